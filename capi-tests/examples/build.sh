# build.sh - builds the example programs of Debian's libpmem-dev and libpmemobj-dev
# against Debian's headers and the genuine library, and once more against our
# headers. To be sourced after lib.sh.

EXAMPLES=$BIN/examples

# SESSION PROGRAM SOURCES AND FLAGS: all that a session starts stands in one directory.
example_programs() {
	local maps="map/map.c map/map_*.c hashmap/*.c tree_map/*.c list_map/*.c"
	cat <<-END
		manpage manpage manpage.c
		setjmp setjmp setjmp.c -O2
		btree btree btree.c
		pi pi pi.c
		lists lists lists.c
		buffons_needle_problem buffons_needle_problem buffons_needle_problem.c
		fifo fifo linkedlist/fifo.c
		queue queue queue/queue.c
		slab_allocator main slab_allocator/*.c
		string_store writer string_store/writer.c
		string_store reader string_store/reader.c
		string_store_tx writer string_store_tx/writer.c
		string_store_tx reader string_store_tx/reader.c
		string_store_tx_type writer string_store_tx_type/writer.c
		string_store_tx_type reader string_store_tx_type/reader.c
		arttree arttree libart/art.c libart/arttree.c
		arttree examine_arttree libart/arttree_*.c
		obj_pmemlog obj_pmemlog pmemlog/obj_pmemlog.c
		obj_pmemlog_simple obj_pmemlog_simple pmemlog/obj_pmemlog_simple.c
		obj_pmemlog_macros obj_pmemlog_macros pmemlog/obj_pmemlog_macros.c
		obj_pmemlog_minimal obj_pmemlog_minimal pmemlog/obj_pmemlog_minimal.c
		obj_pmemblk obj_pmemblk pmemblk/obj_pmemblk.c
		pminvaders pminvaders pminvaders/pminvaders.c -lncurses -ltinfo
		pminvaders2 pminvaders2 pminvaders/pminvaders2.c -lncurses -ltinfo
		mapcli mapcli map/mapcli.c $maps
		data_store data_store map/data_store.c $maps
		kv_server kv_server map/kv_server.c $maps -luv
		pmemobjfs pmemobjfs pmemobjfs/pmemobjfs.c map/map.c map/map_ctree.c tree_map/ctree_map.c -lfuse
		libpmem manpage ../../libpmem-dev/examples/manpage.c
		libpmem simple_copy ../../libpmem-dev/examples/simple_copy.c
		libpmem full_copy ../../libpmem-dev/examples/full_copy.c
	END
}

build_example() { # DIRECTORY PROGRAM SOURCES AND FLAGS
	local directory=$1 program=$2
	shift 2
	mkdir -p "$directory"
	(cd "$EXAMPLES/source/libpmemobj-dev/examples" &&
		compile "$directory/$program" -w -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 \
			-DSRCVERSION='"1.12.1"' -DFUSE_USE_VERSION=28 -DUSE_CTREE -I"$TOP/capi-tests/examples" \
			-I. -Imap -Ihashmap -Itree_map -Ilist_map -I"$PMDK/include/fuse" -idirafter "$PMDK/include" "$@" \
			-L"$PMDK/../lib/x86_64-linux-gnu" -Wl,-z,muldefs)
}

# All programs of a session, from unpacked sources.
build_session() { # SESSION
	local session program sources
	while read -r session program sources; do
		[ "$session" = "$1" ] || continue
		# shellcheck disable=SC2086 # a list of words, some with globs
		(cd "$EXAMPLES/source/libpmemobj-dev/examples" && set -- $sources &&
			build_example "$EXAMPLES/$session" "$program" "$@" &&
			INCLUDE=$TOP/include build_example "$EXAMPLES/$session.our-headers" "$program" "$@") || return 1
	done < <(example_programs)
}

# The sources are as the packages ship them, but for the one path that some of
# them name: it becomes relative to where the session plays.
unpack_examples() {
	rm -rf "$EXAMPLES"
	mkdir -p "$EXAMPLES/source"
	cp -r "$PMDK"/share/doc/libpmem{,obj}-dev "$EXAMPLES/source"
	find "$EXAMPLES/source" -name '*.c' -exec sed -i 's,"/pmem-fs/,"pmem-fs/,' {} +
}

# The example programs of Debian's libpmem-dev and libpmemobj-dev, built for the
# genuine library: what they print on PMDK they print on ours, and on a pool that
# goes from one to the other at each program that a session starts.

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

# The sources are as the packages ship them, but for the one path that some of
# them name: it becomes relative to where the session plays.
build_example() { # SESSION PROGRAM SOURCES AND FLAGS
	local session=$1 program=$2
	shift 2
	mkdir -p "$EXAMPLES/$session"
	(cd "$EXAMPLES/source/libpmemobj-dev/examples" &&
		compile "$EXAMPLES/$session/$program" -w -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 \
			-DSRCVERSION='"1.12.1"' -DFUSE_USE_VERSION=28 -DUSE_CTREE -I"$TOP/capi-tests/examples" \
			-I. -Imap -Ihashmap -Itree_map -Ilist_map -I"$PMDK/include/fuse" "$@" \
			-L"$PMDK/../lib/x86_64-linux-gnu" -Wl,-z,muldefs)
}

# Symbols that a program of the session needs and our libraries do not export yet.
missing_symbols() { # SESSION
	comm -23 \
		<(nm -D --undefined-only "$EXAMPLES/$1"/* | awk '$1 == "U" && $2 ~ /^pmem/ { sub(/@.*/, "", $2); print $2 }' | sort -u) \
		<(nm -D --defined-only "$OURS_LIB"/libpmem{,obj}.so.1 | awk '{ sub(/@.*/, "", $3); print $3 }' | sort -u) |
		paste -sd' '
}

if ! have_pmdk; then
	skip "Debian's example programs" "the genuine PMDK is not here"
	return
fi

rm -rf "$EXAMPLES"
mkdir -p "$EXAMPLES/source"
cp -r "$PMDK"/share/doc/libpmem{,obj}-dev "$EXAMPLES/source"
find "$EXAMPLES/source" -name '*.c' -exec sed -i 's,"/pmem-fs/,"pmem-fs/,' {} +
compile "$EXAMPLES/steady.so" -shared -fPIC capi-tests/examples/steady.c || exit 1

sessions= previous=
while read -r session program sources; do
	[ -z "$only" ] || [[ "example $session" == *$only* ]] || continue
	[ "$session" = "$previous" ] || sessions="$sessions $session"
	previous=$session
	# shellcheck disable=SC2086 # a list of words, some with globs
	(cd "$EXAMPLES/source/libpmemobj-dev/examples" && set -- $sources && build_example "$session" "$program" "$@") || {
		failed=$((failed + 1))
		say "FAILED   compiling $session/$program"
	}
done < <(example_programs)

for session in $sessions; do
	missing=$(missing_symbols "$session")
	if [ -n "$missing" ]; then
		say "left out example $session: not exported yet: $missing"
		continue
	fi
	attempt "example $session" capi-tests/examples/play.sh "$session"
done

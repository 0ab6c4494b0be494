# sessions.sh - how each example program is used. To be sourced by play.sh; what
# these functions print is compared, so nothing in it may depend on chance.
#
# A session uses `run`, `start` and `sound` of play.sh; each program that it runs
# is on the other library than the one before it, if the two differ.

# A pool of 1 GiB.
session_manpage() {
	run manpage
	sound pmem-fs/myfile
	run manpage
	stat -c '%s %a' pmem-fs/myfile
}

# The program frees pointers that a longjmp may have spoilt. Whether it survives that
# is the compiler's affair, and so the same with both libraries.
session_setjmp() {
	run -s '*' setjmp
	sound pmem-fs/myfile
	run -s 1 setjmp
}

session_btree() {
	local key
	run -s 1 btree
	for key in 50 17 83 4 21 60 99 17 -5 70; do
		run btree pool i $key "value of $key"
	done
	run btree pool i 1000 "$(printf 'long %.0s' {1..300})"
	run btree pool p
	for key in 17 1000 18; do run btree pool f $key; done
	run btree pool x
	sound pool
}

# The tasks that were done are listed in the order in which the threads ended.
session_pi() {
	local threads
	for threads in 1 2 7 3; do
		run pi pool calc $threads 20000
		run pi pool print
		run pi pool done >out
		sort out
		run pi pool todo
	done
	# killed while its two threads work; what they had to do is still in the list
	start pi pool calc 2 40000000
	until_true threads_of $started 3
	kill -9 $started
	wait $started 2>/dev/null
	run pi pool todo
	run pi pool calc 2 1000
	run pi pool finish
	run pi pool print
	run pi pool todo
	sound pool
}
threads_of() { [ "$(ls "/proc/$1/task" | wc -l)" = "$2" ]; }

session_lists() {
	local value
	for value in 1 2 3; do
		run lists pool 0 foo $value
		run lists pool 0 bar $((value * 10))
		run lists pool 9 foo $((value * 100))
	done
	run lists pool 0 foo print
	run lists pool 0 bar print
	run lists pool 9 foo print
	run lists pool 5 bar print
	run -s 1 lists pool 10 foo print
	run -s 1 lists pool 0 baz print
	sound pool
}

session_buffons_needle_problem() {
	run buffons_needle_problem pool 20000
	run buffons_needle_problem pool
	run buffons_needle_problem pool 7
	run -s 1 buffons_needle_problem pool seven
	sound pool
}

session_fifo() {
	local letter
	run fifo pool remove
	for letter in a b c d e; do run fifo pool insert $letter; done
	run fifo pool print
	run fifo pool remove
	run fifo pool remove
	run fifo pool insert f
	run fifo pool print
	for letter in 1 2 3 4 5; do run fifo pool remove; done
	run fifo pool print
	run fifo pool
	sound pool
}

session_queue() {
	local n
	run -s 1 queue pool show
	pmempool create --layout=queue obj pool
	run -s 1 queue pool show
	run queue pool new 5
	run -s 1 queue pool dequeue
	for n in 1 2 3 4 5; do run queue pool enqueue "entry number $n"; done
	run -s 1 queue pool enqueue "one too many"
	run queue pool show
	for n in 1 2 3; do run queue pool dequeue; done
	for n in 6 7; do run queue pool enqueue "$(printf "$n%.0s" {1..5000})"; done
	run queue pool show
	for n in 1 2 3 4; do run queue pool dequeue; done
	run -s 1 queue pool dequeue
	sound pool
}

session_slab_allocator() {
	run main pool
	run main pool
	run main pool
	sound pool
}

session_string_store() {
	run writer pool <<<"persistent"
	run reader pool
	run reader pool
	run -s 1 writer pool <<<"twice"
	run writer short <<<"abc"
	run reader short
	run -s 1 reader missing
	run -s 1 writer empty </dev/null
	sound pool
	sound short
}
session_string_store_tx() { session_string_store; }
session_string_store_tx_type() { session_string_store; }

# Keys that make nodes of all four kinds, in descending order because the program's
# own assertion (add_child4) does not bear a node's greatest key to be its fourth.
# The graph names objects by their offsets in the pool, which are the library's
# choice: they are numbered here in order of appearance. A leaf is looked up in the
# file by its offset; its pool id is the pool's own.
session_arttree() {
	local n leaf
	{
		for n in {1..300}; do echo $((n * 7919 % 1000))-key; done
		for n in {33..126}; do printf "\\x$(printf %x "$n")\n"; done
	} | LC_ALL=C sort -ru | awk '{ print; print "value " NR }' >pairs
	run arttree -s 33554432 -m f -n $(($(wc -l <pairs) / 2)) pool <pairs
	run arttree -m d pool
	run arttree -m s "7-key" pool
	run arttree -m s "no such key" pool
	run arttree -m i "inserted:later" pool
	run arttree -m s "inserted" pool
	run arttree -m r "7-key" pool
	run arttree -m s "7-key" pool
	run arttree -m d pool
	run arttree -m g pool >graph
	number_offsets <graph
	leaf=$(grep -a -o -m1 'leaf at.*0x[0-9a-f]*' graph | grep -o '0x[0-9a-f]*')
	run examine_arttree pool examine "$leaf" art_leaf >leaf
	sed 's/off 0x[0-9a-f]* = .*/off POOL/' leaf | number_offsets
	run examine_arttree pool <<<$'structures\ninfo\nset_root 0x3c0550\nhelp search\nnonsense\nquit'
	sound pool
}

number_offsets() {
	awk '{
		while (match($0, /(0x|N|uuid_lo )[0-9a-f][0-9a-f][0-9a-f][0-9a-f]+/)) {
			offset = substr($0, RSTART, RLENGTH)
			sub(/0x|N|uuid_lo /, "", offset)
			if (!(offset in number))
				number[offset] = ++n
			printf "%s@%d", substr($0, 1, RSTART - 1), number[offset]
			$0 = substr($0, RSTART + RLENGTH)
		}
		print
	}'
}

session_obj_pmemlog() { # STATUS when the pool cannot be had
	run "$session" c pool n t a:first v:second:third:fourth w:0 n t
	run "$session" o pool n w:0 "a:$(printf 'long %.0s' {1..2000})" n t
	run "$session" o pool a:last w:1000
	run "$session" o pool r n t w:0 a:again w:0
	run -s "${1:-1}" "$session" c pool n
	run -s "${1:-1}" "$session" o missing n
	run "$session" o pool n w:0 x
	sound pool
}
session_obj_pmemlog_simple() { session_obj_pmemlog 134; } # an assertion of its own
session_obj_pmemlog_macros() { session_obj_pmemlog; }
session_obj_pmemlog_minimal() { session_obj_pmemlog; }

session_obj_pmemblk() {
	local block
	block=$(printf 'block %.0s' {1..100})
	run obj_pmemblk c pool 512 n "w:0:$block" "w:7:$block" r:0 r:7 r:1
	run obj_pmemblk o pool 512 r:7 z:7 r:7 e:0 r:0 n
	run obj_pmemblk o pool 512 r:0 "w:0:$block" r:0
	run obj_pmemblk o pool 512 "w:999999999:$block" r:999999999 x
	run -s 1 obj_pmemblk c pool 512 n
	sound pool
}

# The games, on a terminal, with a player whose keys are given (see steady.c): started,
# killed, resumed, left with 'q', resumed again. Every screen must be the same.
game() { # PROGRAM KEYS [STATUS]
	[ -p silence ] || mkfifo silence # an end of file would be shown on the screen
	KEYS=$2 TERM=vt100 LINES=40 COLUMNS=80 run -s "${3:-0}" script -qec "$1 pool" /dev/null <>silence
}
sweep() { printf 'p %.0s' {1..12}; printf 'o %.0s' {1..24}; printf 'p %.0s' {1..12}; }
session_pminvaders() {
	game pminvaders "$(sweep)$(sweep)K" 137
	game pminvaders "$(sweep)"
	game pminvaders "$(sweep)"
	sound pool
}
session_pminvaders2() {
	game pminvaders2 "........ $(sweep)K" 137
	game pminvaders2 ".. $(sweep)"
	game pminvaders2 "...."
	game pminvaders2 ". $(sweep)"
	sound pool
}

# The hash maps can also be rebuilt; asked for what its map cannot do the program
# exits without closing the pool. Its crit-bit tree bears a single key, as it looks
# for the type of the value, which here is OID_NULL; data_store gives it values.
session_mapcli() {
	local type
	run mapcli ctree pool 42 <<<$'c 10\ni 10\nc 10\nc 11\np'
	run mapcli ctree pool 42 <<<$'c 10\np\nr 10\nr 10\nc 10\np'
	rm pool
	for type in btree rtree rbtree skiplist hashmap_tx hashmap_rp hashmap_atomic; do
		run mapcli $type pool 42 <<-END
			h
			i 10
			i 7
			i 18446744073709551615
			i 7
			c 7
			c 8
			n 2000
			r 7
			c 7
			r 8
			i seven
			x
			p
			q
		END
		run mapcli $type pool 43 <<<$'c 10\nn 2000\nr 10\nc 10\np\nc 10'
		case $type in
		hashmap*) run mapcli $type pool 44 <<<$'d\nb 2\np\nn 100\nb\nc 10\nd' ;;
		*) run -s 1 mapcli $type pool 44 <<<$'n 100\nb\nc 10' ;;
		esac
		run mapcli $type pool 45 <<<$'p\nn 10\np\nq'
		sound pool
		rm pool
	done
	run -s 1 mapcli heap pool
	run -s 1 mapcli
}

# With trees a second run first destroys what the first left; hash maps cannot.
# Why an allocation failed our library says in other words than PMDK, with sizes.
session_data_store() {
	local type again
	for type in ctree btree rbtree skiplist hashmap_tx hashmap_rp hashmap_atomic; do
		again=0
		[[ $type != hashmap* ]] || again=1
		run data_store $type pool >out
		sed -E 's/(temporary space of size: [0-9]+),.*/\1/' out
		run -s $again data_store $type pool 100
		run -s $again data_store $type pool 500
		run -s 1 data_store $type pool 501
		sound pool
		rm pool
	done
}

# A conversation over TCP, the server killed between the two halves. Hash maps
# cannot REMOVE.
session_kv_server() {
	local type port
	for type in ctree btree rbtree skiplist rtree hashmap_tx hashmap_rp hashmap_atomic; do
		serve $type
		talk "INSERT foo bar" "GET foo" "GET nothing" "NONSENSE" "INSERT big $(printf 'x%.0s' {1..3000})" "GET big"
		[[ $type = hashmap* ]] || talk "INSERT gone soon" "REMOVE gone" "GET gone"
		kill -9 $started
		wait $started 2>/dev/null
		serve $type
		talk "GET foo" "GET big" "GET gone" "INSERT foo again" "GET foo"
		exec 3<>"/dev/tcp/127.0.0.1/$port"
		echo KILL >&3
		exec 3>&-
		wait $started
		echo "exit status $?"
		sound pool
		rm pool
	done
}
serve() { # TYPE: on a port that nobody uses
	until
		port=$((10000 + RANDOM % 20000))
		! grep -qi "$(printf ':%04X ' $port)" /proc/net/tcp
	do :; done
	start kv_server "$1" pool $port >/dev/null # it prints nothing but the port
	until_true listens
}
# Not by trying to connect, which may give the port away to the attempt itself.
listens() { grep -qi "$(printf ':%04X 00000000:0000 0A' "$port")" /proc/net/tcp; }
talk() {
	local request answer
	exec 3<>"/dev/tcp/127.0.0.1/$port" || { trouble=1; return 1; }
	for request in "$@"; do
		echo "$request" >&3
		answer=
		read -r -t 10 answer <&3
		echo "$request: $answer"
	done
	exec 3>&-
}

# A file system. Its transactions span system calls; the last one is cut off by a kill.
session_pmemobjfs() {
	local tool
	for tool in mkfs.pmemobjfs pmemobjfs.tx_{begin,commit,abort}; do ln -sf pmemobjfs "$programs/$tool"; done
	run mkfs.pmemobjfs -s 64M pool
	sound pool
	run -s 255 mkfs.pmemobjfs -s 64M pool
	usable_fuse || return
	mkdir mnt
	mounted
	mkdir mnt/dir
	echo hello >mnt/dir/file
	seq 20000 >mnt/dir/numbers
	cp mnt/dir/numbers mnt/copy
	ln -s dir/file mnt/link
	mv mnt/dir/file mnt/dir/renamed
	truncate -s 1000 mnt/copy
	listing
	run pmemobjfs.tx_begin mnt
	rm mnt/dir/numbers
	echo changed >mnt/dir/renamed
	listing
	run pmemobjfs.tx_abort mnt
	listing
	run pmemobjfs.tx_begin mnt
	echo "in a transaction" >mnt/dir/committed
	run pmemobjfs.tx_commit mnt
	unmounted
	mounted
	listing
	run pmemobjfs.tx_begin mnt
	rm mnt/copy
	seq 5000 >mnt/lost
	kill -9 $started
	unmounted
	mounted
	listing
	unmounted
}
usable_fuse() {
	[ -w /dev/fuse ] && unshare -m mount -t tmpfs none . && return
	progress "left out: mounting pmemobjfs, which needs /dev/fuse and the right to mount"
	return 1
}
mounted() {
	start pmemobjfs -s -f pool mnt
	until_true mountpoint -q mnt
}
unmounted() {
	umount -l mnt
	wait $started 2>/dev/null
	echo "exit status $?"
	sound pool
}
listing() {
	(cd mnt && find . -printf '%p %y %s %m %l\n' | sort && find . -type f | sort | xargs md5sum)
}

session_libpmem() {
	local size
	run manpage
	cat pmem-fs/myfile | tr -d '\0'
	run manpage
	for size in 1 100 4096 5000 1000001; do
		seq 200000 | head -c $size >source
		run simple_copy source copy
		run full_copy source full
		md5sum copy full
		cmp source full
		stat -c '%n %s %a' copy full
		run -s 1 simple_copy source copy
		run -s 1 full_copy source full
		rm copy full
	done
	run -s 1 simple_copy missing copy
	run -s 1 full_copy source no/such/directory
	run -s 1 full_copy
}

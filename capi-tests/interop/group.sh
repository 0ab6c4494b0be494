# Pools that go back and forth between PMDK and ours.

compile "$BIN/work" -O2 capi-tests/interop/work.c || exit 1
compile "$BIN/classes" -O2 capi-tests/interop/classes.c || exit 1
pmempool() { on pmdk "$PMDK/bin/pmempool" "$@"; }

# The oracle of this group and the next: does `work verify` see what it must?
verifier_sees() { # LIBRARY KIND
	export PMEM_IS_PMEM_FORCE=1
	local pool=$SCRATCH/pool
	on "$1" "$BIN/work" create "$pool" $((32 << 20)) && on "$1" "$BIN/work" change "$pool" 1 200 || return 1
	on "$1" "$BIN/work" damage "$pool" "$2" || return 1
	if on "$1" "$BIN/work" verify "$pool"; then
		echo "$2 went unnoticed"
		return 1
	fi
}

# A creates, B changes, A changes ... and after each step the pool is in the
# state that PMDK alone would have left, by `work`'s own digest; PMDK's pmempool
# finds nothing wrong with it.
alternate() { # A B SIZE STEPS DIRECTORY
	local a=$1 b=$2 size=$3 steps=$4 dir=${5:-$SCRATCH} pool alone turn library got want
	dir=$(mktemp -d "$dir/interop.XXXXXX") || return 1
	trap 'rm -rf "$dir" "$SCRATCH"' EXIT
	pool=$dir/pool alone=$dir/alone
	on "$a" "$BIN/work" create "$pool" "$size" || return 1
	on pmdk "$BIN/work" create "$alone" "$size" || return 1
	for turn in 1 2 3 4; do
		library=$b
		[ $((turn % 2)) = 1 ] || library=$a
		got=$(on $library "$BIN/work" change "$pool" $turn "$steps") || { echo "turn $turn, $library: $got"; return 1; }
		want=$(on pmdk "$BIN/work" change "$alone" $turn "$steps") || { echo "turn $turn, alone: $want"; return 1; }
		echo "turn $turn, $library: $got"
		[ "$got" = "$want" ] || { echo "pmdk alone: $want"; return 1; }
		pmempool check "$pool" || return 1
	done
	for library in $a $b; do
		got=$(on "$library" "$BIN/work" verify "$pool")
		[ "$got" = "$want" ] || { echo "$library verifies: $got"; return 1; }
		# What fits does not depend on how it is flushed, and a disk takes long
		# for 16,000 allocations.
		PMEM_IS_PMEM_FORCE=1 on "$library" "$BIN/work" room "$pool" || return 1
	done
	on "$b" "$BIN/work" drain "$pool" && on "$a" "$BIN/work" verify "$pool" || return 1
	pmempool check "$pool"
}

# What pmempool says of a pool that each library filled with the same objects:
# header, descriptor, root, heap, objects and their sizes by type. Left out is
# what is each pool's own, and where its library put things.
describe() {
	export PMEM_IS_PMEM_FORCE=1
	local library
	for library in pmdk ours; do
		on $library "$BIN/work" create "$SCRATCH/$library" $((64 << 20)) >/dev/null &&
			on $library "$BIN/work" change "$SCRATCH/$library" 5 400 >/dev/null &&
			pmempool info -s -H -Z -o "$SCRATCH/$library" >"$SCRATCH/$library.info" || return 1
		sed -E '/^Heap:/,$d; /^path|^Creation|ffset  *:/d
			s/(UUID  *:).*/\1/; s/0x[0-9a-f]+( \[OK\])/N\1/' "$SCRATCH/$library.info" >"$SCRATCH/$library.head"
		# everything there is: lanes, objects with their headers, chunks, bitmaps
		pmempool info -l -O -A -a -H -C -b "$SCRATCH/$library" >"$SCRATCH/$library.all" || return 1
		wc -l "$SCRATCH/$library.all"
		if grep -iE 'error|wrong|invalid|corrupt' "$SCRATCH/$library.all" "$SCRATCH/$library.info"; then return 1; fi
	done
	diff "$SCRATCH/pmdk.head" "$SCRATCH/ours.head" && grep -q 'Number of objects' "$SCRATCH/ours.head"
}

# Byte for byte but for uuids, creation time, checksums, and the area that only
# means something while a pool is open.
fresh() { # SIZE
	on pmdk "$BIN/work" fresh "$SCRATCH/pmdk" "$1" && on ours "$BIN/work" fresh "$SCRATCH/ours" "$1" || return 1
	[ "$(stat -c '%s %a' "$SCRATCH/pmdk")" = "$(stat -c '%s %a' "$SCRATCH/ours")" ] || return 1
	cmp -l "$SCRATCH/pmdk" "$SCRATCH/ours" >"$SCRATCH/differences"
	grep -q . "$SCRATCH/differences" || { echo "not even the uuids differ"; return 1; }
	awk '{ at = $1 - 1 }
		at >= 24 && at < 128 || at >= 4088 && at < 4096 { next }  # uuids, creation time; checksum
		at >= 6688 && at < 8192 { next }                          # private to the process
		{ printf "byte %#x: %s in PMDK, %s in ours (octal)\n", at, $2, $3; n++ }
		END { exit n != 0 }' "$SCRATCH/differences"
}
# Custom allocation classes: A and B in turn, each defining them anew; at last
# everything is freed by a library that does not know them.
with_classes() { # A B
	local step library
	for step in 0 1 2 3 4 5 6; do
		library=$1
		[ $((step % 2)) = 0 ] || library=$2
		on "$library" "$BIN/classes" $step "$SCRATCH/classes" || { echo "step $step, $library"; return 1; }
		pmempool check "$SCRATCH/classes" || return 1
	done
	on "$2" "$BIN/classes" free "$SCRATCH/classes" && pmempool check "$SCRATCH/classes"
}
export -f with_classes pmempool verifier_sees alternate describe fresh

reference=ours
have_pmdk && reference=pmdk
for kind in torn half page lost leaked twice overlap; do
	attempt "verification notices: $kind" verifier_sees $reference $kind
done
if have_pmdk; then
	for size in 8388608 8393728 67108864 300000000; do
		attempt "a fresh pool of $size bytes equals PMDK's" fresh $size
	done
	attempt "pmempool info describes ours as it does PMDK's" describe
	export PMEM_IS_PMEM_FORCE=1
	for turn in "pmdk ours" "ours pmdk" "ours ours"; do
		attempt "custom classes in turn: $turn" with_classes $turn
	done
	for turn in "pmdk ours" "ours pmdk"; do
		attempt "in turn: $turn" alternate $turn $((256 << 20)) 4000
		attempt "in turn: $turn, full of small objects" alternate $turn $((100 << 20)) 20000
	done
	export PMEM_IS_PMEM_FORCE=0
	attempt "in turn: pmdk ours, a file on disk" alternate pmdk ours $((256 << 20)) 12 "$BUILD"
	unset PMEM_IS_PMEM_FORCE
else
	skip "pools in turn with PMDK" "the genuine PMDK is not here"
fi

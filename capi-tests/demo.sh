#!/bin/bash
# demo.sh - what pmem-rs does, shown on a program that was compiled for PMDK and
# is never rebuilt (`make demo`). Ends with status 1 if anything is not as said.
set -euo pipefail
cd "$(dirname "$0")/.."
# The pools take 170 MB; where /dev/shm has less they are on the disk.
[ "$(df --output=avail -m /dev/shm 2>/dev/null | tail -n 1)" -ge 250 ] || {
	mkdir -p target
	export TEST_TMPDIR=$PWD/target
}
source capi-tests/lib.sh

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || step() { printf '\n%s\n' "$*"; }
explain() { fold -s -w 76 <<<"$*" | sed 's/^/  /'; }
shown() { sed 's/^/    /'; }
wrong() { say "NOT AS IT SHOULD BE: $*"; exit 1; }

# --- with PMDK: one of its own example programs -------------------------------------
# mapcli keeps a set of numbers in a B-tree in a pool and reads commands: `i 7`
# inserts, `p` prints all.

map() { # LIBRARY: commands on standard input
	on "$1" "$EXAMPLES/mapcli/mapcli" btree "$pool" 1
}

# The numbers in the pool must be 1 to LAST, as LIBRARY sees them.
holds() { # LIBRARY LAST
	local found
	found=$(map "$1" <<<p | tr ' ' '\n' | grep -E '^[0-9]+$' || true)
	[ "$found" = "$(seq "$2")" ] || wrong "with $1 the pool does not hold 1 to $2 but: $(echo $found | cut -c-200)"
	echo "the pool holds the numbers 1 to $2, none missing, none twice" | shown
}

library_of() { # LIBRARY
	on "$1" env LD_TRACE_LOADED_OBJECTS=1 "$EXAMPLES/mapcli/mapcli" | grep 'libpmem' |
		sed "s,$TOP/,,; s/ (0x.*//; s/^[[:space:]]*//" | shown
}

pmdk_accepts() {
	on pmdk "$PMDK/bin/pmempool" check -v "$pool" >"$SCRATCH/check" || {
		shown <"$SCRATCH/check"
		wrong "PMDK's pmempool check finds fault with the pool"
	}
	tail -n 1 "$SCRATCH/check" | sed "s,$SCRATCH/,," | shown
}

# Inserts FIRST to LAST on our library, each in a transaction of its own, and one
# more that is killed right before its transaction commits (see halt.c).
kill_in_transaction() { # FIRST LAST
	local pid status=0
	rm -f "$SCRATCH/halted"
	(
		seq "$1" $(($2 + 1)) | sed 's/^/i /' >"$SCRATCH/commands"
		export HALT_AT=$(($2 - $1 + 2)) HALTED=$SCRATCH/halted LD_PRELOAD=$SCRATCH/halt.so
		export LD_LIBRARY_PATH=$OURS_LIB
		exec "$EXAMPLES/mapcli/mapcli" btree "$pool" 1 <"$SCRATCH/commands"
	) >/dev/null 2>&1 &
	pid=$!
	for _ in {1..1000}; do
		[ ! -e "$SCRATCH/halted" ] && kill -0 $pid 2>/dev/null || break
		sleep 0.02
	done
	[ -e "$SCRATCH/halted" ] || wrong "the program ended before it could be killed"
	kill -9 $pid
	wait $pid 2>/dev/null || status=$?
	[ $status = 137 ] || wrong "the program ended by itself, with status $status"
	echo "$1 to $2 inserted, $(($2 + 1)) begun; process $pid killed with SIGKILL" | shown
}

with_pmdk() {
	source capi-tests/examples/build.sh
	pool=$SCRATCH/numbers.pool
	export PMEM_IS_PMEM_FORCE=1

	step "1. A program for PMDK"
	explain "mapcli, an example program of PMDK's authors, is compiled against" \
		"Debian's headers and linked with the genuine libraries. This binary is" \
		"what runs from here on. (Compiling takes a few seconds.)"
	unpack_examples
	build_session mapcli
	compile "$SCRATCH/halt.so" -shared -fPIC capi-tests/demo/halt.c
	sha256sum "$EXAMPLES/mapcli/mapcli" >"$SCRATCH/binary"

	step "2. It runs on PMDK"
	explain "It creates a pool and inserts the numbers 1 to 500, each in a transaction."
	library_of pmdk
	seq 500 | sed 's/^/i /' | map pmdk >/dev/null
	holds pmdk 500

	step "3. The same binary, the same pool, on pmem-rs"
	explain "Only LD_LIBRARY_PATH differs. It reads what PMDK wrote and inserts 501 to 1000."
	library_of ours
	holds ours 500
	seq 501 1000 | sed 's/^/i /' | map ours >/dev/null
	holds ours 1000

	step "4. Killed in the middle of a transaction"
	explain "On pmem-rs it goes on inserting. One insertion has made all its changes to the" \
		"tree and not yet committed them when the process is killed."
	kill_in_transaction 1001 2000

	step "5. Recovered by pmem-rs"
	explain "On opening the pool the library takes the unfinished insertion back."
	holds ours 2000

	step "6. PMDK accepts the pool"
	explain "Its pmempool checks it, and the program on PMDK goes on with it."
	pmdk_accepts
	holds pmdk 2000
	seq 2001 2100 | sed 's/^/i /' | map pmdk >/dev/null
	holds pmdk 2100

	step "7. Killed on pmem-rs once more, this time recovered by PMDK"
	kill_in_transaction 2101 3000
	holds pmdk 3000
	pmdk_accepts
	sha256sum --quiet -c "$SCRATCH/binary" || wrong "the program was rebuilt"
}

# --- without: a program against our own headers --------------------------------------

without_pmdk() {
	local bank=$SCRATCH/bank pool=$SCRATCH/bank.pool status=0
	step "$1. A program compiled against the headers of pmem-rs"
	if [ ! -e include/libpmemobj.h ]; then
		explain "Left out: this tree has no include/libpmemobj.h."
		return 1
	fi
	explain "A bank of two accounts (capi-tests/demo/bank.c). Alice pays Bob 30; then she" \
		"pays 50, and the process is killed between the two halves of the payment."
	${CC:-cc} -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Wno-clobbered -Iinclude -o "$bank" capi-tests/demo/bank.c \
		-L"$OURS_LIB" -lpmemobj || wrong "it does not compile"
	on ours "$bank" "$pool" show | shown
	on ours "$bank" "$pool" move 30 | shown
	{ on ours "$bank" "$pool" die 50 >"$SCRATCH/died" || status=$?; } 2>/dev/null
	shown <"$SCRATCH/died"
	[ $status = 137 ] || wrong "the program ended by itself, with status $status"
	explain "The next program that opens the pool finds the payment undone:"
	on ours "$bank" "$pool" show >"$SCRATCH/balances"
	shown <"$SCRATCH/balances"
	grep -qx 'Alice 70, Bob 130' "$SCRATCH/balances" || wrong "money was lost or made"
}

say "pmem-rs: the libraries are in ${OURS_LIB#"$TOP/"}; pools in $SCRATCH, which is removed afterwards."
[ -e "$OURS_LIB/libpmemobj.so.1" ] || wrong "there are no libraries; run make"
status=0
tools/fetch-pmdk || status=$?
case $status in
0)
	with_pmdk
	without_pmdk 8 || true
	;;
3)
	explain "Left out: running a program that was compiled for PMDK, and letting PMDK go on" \
		"with its pool. That needs Debian's packages of PMDK, and so apt."
	without_pmdk 1 || wrong "nothing is left that could be shown"
	;;
*) exit 1 ;;
esac
step "Done in $SECONDS seconds; everything was as said."

#!/bin/bash
# play.sh SESSION - a session with example programs, played on PMDK, on ours, with
# both in turn on the same pool, and on ours once more with the programs that were
# compiled with our headers; each must print what PMDK prints alone.
set -uo pipefail
here=$(dirname "$(realpath "$0")")
source "$here/../lib.sh"
source "$here/sessions.sh"
session=$1
bin=$BIN/examples/$session
unset PMEM_IS_PMEM_FORCE

# Whatever happens, nothing stays mounted or running.
cleanup() {
	umount -l "$SCRATCH"/*/mnt 2>/dev/null
	jobs -pr | xargs -r kill -9
	rm -rf "$SCRATCH"
}
trap cleanup EXIT

declare -A launcher_path=([pmdk]=$EXTRA_LIB [ours]=$OURS_LIB:$EXTRA_LIB [preload]=$EXTRA_LIB)
declare -A preloaded=([pmdk]= [ours]= [preload]=$OURS_LIB/libpmem.so.1:$OURS_LIB/libpmemobj.so.1)
declare -A expected_from=([pmdk]=$PMDK_LIB [ours]=$OURS_LIB [preload]=$OURS_LIB)

# Replaces this (sub)shell by the program, on the library whose turn it is.
launch() { # PROGRAM ARGS...
	local library=${libraries[turn % 2]}
	export LD_LIBRARY_PATH=${launcher_path[$library]} MAPPED=$play/mapped.$library
	export LD_PRELOAD=$BIN/examples/steady.so:${preloaded[$library]}
	exec "$@"
}

# run [-s STATUS] PROGRAM ARGS...: one program, with what it prints and its exit
# status, which is to be 0 or match STATUS.
run() {
	local want=0 status
	[ "$1" != -s ] || { want=$2; shift 2; }
	echo "\$ $*"
	(launch "$@" 2>&1)
	status=$?
	turn=$((turn + 1))
	[ $status = 0 ] || echo "exit status $status"
	# shellcheck disable=SC2053 # a pattern
	[[ $status = $want ]] || { echo "and not $want"; trouble=1; }
}

# start PROGRAM ARGS...: in the background, its process id in $started.
start() {
	echo "\$ $* &"
	(launch "$@" 2>&1) &
	started=$!
	turn=$((turn + 1))
}

# until_true COMMAND...: within 20 seconds.
until_true() {
	local deadline=$((SECONDS + 20))
	until "$@" 2>/dev/null; do
		[ $SECONDS -lt $deadline ] || { echo "in vain: $*"; trouble=1; return 1; }
		sleep 0.01
	done
}

pmempool() { LD_PRELOAD= on pmdk "$PMDK/bin/pmempool" "$@"; }

# PMDK finds nothing wrong with a pool that is closed.
sound() { # POOL
	pmempool check "$1" >"$play/check" || { cat "$play/check"; trouble=1; }
}

# The session, on FIRST and SECOND in turn; with a check of which libraries the
# programs had.
play() { # FIRST SECOND FORCE [HEADERS]
	programs=$bin${4:+.$4}
	local -x PATH=$programs:$PATH
	libraries=("$1" "$2") turn=0 trouble=
	play=$SCRATCH/$1.$2${4:+.$4}
	mkdir -p "$play/pmem-fs" && cd "$play" || exit 1
	PMEM_IS_PMEM_FORCE=$3 "session_$session" >"$play.transcript"
	for library in $1 $2; do
		if [ ! -s "mapped.$library" ] || grep -m3 -v "^${expected_from[$library]}/" "mapped.$library"; then
			echo "a program did not have the library it should: $library"
			trouble=1
		fi
	done
	cd / && rm -rf "$play"
	if [ "$trouble" ]; then
		echo "--- $1 and $2:"
		grep -a -B5 "^and not\|^in vain" "$play.transcript" | cut -c-200 | cat -v
		exit 1
	fi
}

play pmdk pmdk 0
wc -l "$SCRATCH/pmdk.pmdk.transcript"
verdict=0
for variant in "ours ours 0" "preload preload 1" "pmdk ours 1" "ours pmdk 1" "ours ours 1 our-headers"; do
	# shellcheck disable=SC2086 # three or four words
	play $variant
	diff -a "$SCRATCH/pmdk.pmdk.transcript" "$play.transcript" >"$SCRATCH/difference" && continue
	echo "--- $variant (>) instead of PMDK alone (<):"
	head -n 12 "$SCRATCH/difference" | cut -c-200 | cat -v
	verdict=1
done
exit $verdict

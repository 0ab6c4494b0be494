# Many threads at once; programs that fork, unload the library, open and close
# pools and start and end threads all the time. On PMDK, too, as the oracle.

pmempool() { on pmdk "$PMDK/bin/pmempool" "$@"; }

stress() { # LIBRARY PROGRAM ARGUMENT...
	local library=$1 program=$2
	shift 2
	mkdir -p "$SCRATCH/files"
	TEST_DIR=$SCRATCH/files PMEM_IS_PMEM_FORCE=${FORCE:-1} on "$library" $MEMCHECK "$BIN/stress-$program" "$@"
}

# What the threads left behind is in order for PMDK, too.
stress_pools() { # LIBRARY SECONDS THREADS POOLS
	local pool
	echo "seed ${SEED:=$RANDOM}"
	stress "$1" threads "$2" "$3" "$4" "$SEED" || return 1
	have_pmdk || return 0
	for pool in "$SCRATCH"/files/s?; do
		pmempool check "$pool" || return 1
	done
}

# Under valgrind, which also tells of blocks that only pointers into their middle
# lead to.
memcheck() { # COMMAND...
	export MEMCHECK="valgrind -q --error-exitcode=9 --fair-sched=yes --leak-check=full
		--show-leak-kinds=definite,possible --errors-for-leak-kinds=definite,possible"
	"$@"
}

# valgrind must have something to say when there is something wrong.
memcheck_notices() {
	printf '#include <stdlib.h>\nint main(void) { char *p = malloc(8); free(p); return p[%s] == 1; }\n' 0 |
		cc -O0 -w -x c - -o "$BIN/stress-wrong" || return 1
	memcheck stress ours wrong
	[ $? = 9 ]
}

scales() {
	stress ours scale | tee "$SCRATCH/out"
	local status=${PIPESTATUS[0]}
	while read -r line; do progress "$line"; done <"$SCRATCH/out"
	[ "$status" = 0 ]
}
export -f pmempool stress stress_pools memcheck memcheck_notices scales
export MEMCHECK=

for program in threads scale churn full fork unload words; do
	compile "$BIN/stress-$program" "capi-tests/stress/$program.c" ||
		{ failed=$((failed + 1)); say "FAILED   compiling $program"; }
done

seconds=${STRESS_SECONDS:-1}
for shape in "2 1" "4 1" "8 1" "2 3" "4 3" "8 3"; do
	attempt "stress: ${shape/ / threads, } pools, ours" stress_pools ours "$seconds" $shape
done
FORCE=0 attempt "stress: 4 threads, 2 pools, ours, files" stress_pools ours "$seconds" 4 2
if have_pmdk; then
	for shape in "4 1" "8 3"; do
		attempt "stress: ${shape/ / threads, } pools, pmdk" stress_pools pmdk "$seconds" $shape
	done
	attempt "stress: fork, pmdk" stress pmdk fork
	attempt "stress: an allocator that aligns to words, pmdk" stress pmdk words
	attempt "stress: churn, pmdk" stress pmdk churn 200
else
	skip "stress on pmdk" "the genuine PMDK is not here"
fi
attempt "stress: fork, ours" stress ours fork
attempt "stress: an allocator that aligns to words, ours" stress ours words
attempt "stress: churn, ours" stress ours churn 1000
# Not on PMDK, of whose space a part gets lost.
for threads in 2 4 8; do
	attempt "stress: a full heap, $threads threads, ours" stress ours full 20 $threads
done
# Not on PMDK: a thread that outlives its dlclose leaks what it kept, 16 KiB a round.
attempt "stress: unload, ours" stress ours unload 1000
if [ "$(nproc)" -gt 1 ]; then
	attempt "stress: two threads and one, ours" scales
else
	skip "stress: two threads and one, ours" "there is one processor"
fi
if command -v valgrind >/dev/null; then
	attempt "stress: memcheck notices" memcheck_notices
	attempt "stress: 4 threads, 2 pools, memcheck" memcheck stress_pools ours 4 4 2
	attempt "stress: churn, memcheck" memcheck stress ours churn 20
	attempt "stress: a full heap, memcheck" memcheck stress ours full 1 3
	attempt "stress: unload, memcheck" memcheck stress ours unload 10
else
	skip "stress: memcheck" "valgrind is not here"
fi

#!/bin/bash
# kill.sh LIBRARY_A LIBRARY_B KILLS THREADS - kill a working process again and
# again; each kill under one library is recovered and verified under the other.
set -uo pipefail
source "$(dirname "$0")/../lib.sh"
a=$1 b=$2 kills=$3 threads=$4
pool=$SCRATCH/pool
export PMEM_IS_PMEM_FORCE=${PMEM_IS_PMEM_FORCE:-1}

path_of() { case $1 in pmdk) echo "$EXTRA_LIB" ;; ours) echo "$OURS_LIB" ;; esac; }

on "$a" "$BIN/work" create "$pool" $((64 << 20)) || exit 1
RANDOM=${SEED:-$$}
seed=$RANDOM verified=0 in_recovery=0 round=0 shown=$SECONDS
echo "$kills kills, $a and $b in turn, $threads threads, seed $seed"
while [ $verified -lt "$kills" ]; do
	round=$((round + 1))
	library=$a
	[ $((round % 2)) = 1 ] || library=$b
	exec 3< <(LD_LIBRARY_PATH=$(path_of $library) exec "$BIN/work" torture "$pool" $((seed + round)) "$threads" 2>&1)
	pid=$!
	if [ $((RANDOM % 8)) = 0 ]; then
		# perhaps while it still recovers or verifies
		sleep 0.0$((RANDOM % 40 + 10))
		in_recovery=$((in_recovery + 1))
	elif read -r -t 60 line <&3 && [ "$line" = verified ]; then
		verified=$((verified + 1))
		sleep 0.0$(printf %02d $((RANDOM % 80 + 1)))
	else
		kill -9 $pid 2>/dev/null
		wait $pid
		echo "round $round: $library cannot recover what was killed before it (status $?): ${line:-silence}"
		cat <&3
		cp "$pool" "$pool.journal" "$BUILD" && echo "the pool is kept in $BUILD"
		exit 1
	fi
	kill -9 $pid 2>/dev/null
	wait $pid 2>/dev/null
	status=$?
	if [ $status != 137 ]; then
		echo "round $round: $library ended by itself, status $status"
		cat <&3
		cp "$pool" "$pool.journal" "$BUILD" && echo "the pool is kept in $BUILD"
		exit 1
	fi
	exec 3<&-
	if [ $((SECONDS - shown)) -ge 5 ]; then
		shown=$SECONDS
		progress "$verified of $kills kills"
	fi
done
# What is there can be freed, and then there is as much room as in a new pool.
on "$b" "$BIN/work" verify "$pool" && on "$a" "$BIN/work" verify "$pool" &&
	on "$b" "$BIN/work" drain "$pool" || exit 1
cp "$pool" "$SCRATCH/drained"
after=$(on "$a" "$BIN/work" room "$pool") || { echo "$after"; exit 1; }
on "$a" "$BIN/work" create "$SCRATCH/new" $((64 << 20)) >/dev/null
new=$(on "$a" "$BIN/work" room "$SCRATCH/new")
echo "$verified kills recovered, $in_recovery more perhaps during recovery"
if [ "$after" != "$new" ]; then
	echo "leaked: after $round kills $after; in a new pool $new"
	cp "$SCRATCH/drained" "$BUILD" && echo "the pool is kept in $BUILD"
	exit 1
fi

# Kills at random moments: recovered under the other library, 250 times per row by default.

compile "$BIN/work" -O2 capi-tests/interop/work.c || exit 1
kills=${KILLS:-250}
TIMEOUT=600
for threads in 1 4; do
	if have_pmdk; then
		attempt "kills, pmdk and ours in turn, $threads threads" \
			capi-tests/torture/kill.sh pmdk ours "$kills" $threads
	else
		skip "kills, pmdk and ours in turn, $threads threads" "the genuine PMDK is not here"
	fi
	attempt "kills, ours alone, $threads threads" capi-tests/torture/kill.sh ours ours $((kills / 4)) $threads
done
unset TIMEOUT

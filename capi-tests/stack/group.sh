# What each exported function needs of the stack: at most 11 KiB, on a stack of
# 16 KiB above a guard page. Builds without optimisation are measured, too.

compile "$BIN/stack" capi-tests/stack/*.c -Wl,-z,now ||
	{ failed=$((failed + 1)); say "FAILED   compiling the stack test"; }

# on_small_stack LIBRARY_DIRECTORY KIB [LIMIT]
on_small_stack() {
	mkdir -p "$SCRATCH/files"
	TEST_DIR=$SCRATCH/files PMEM_IS_PMEM_FORCE=${FORCE:-1} OURS_LIB=$1 on ours "$BIN/stack" "$TOP/src/capi/abi.tsv" \
		"${@:2}" >"$SCRATCH/out"
	local status=$?
	cat "$SCRATCH/out"
	progress "$(grep -a '^deepest' "$SCRATCH/out" || tail -n 1 "$SCRATCH/out")"
	return $status
}

# The same libraries from the development profile, not optimised at all.
unoptimised() {
	CARGO_PROFILE_DEV_OPT_LEVEL=0 cargo build -q --lib --target-dir "$TOP/target/unoptimised" &&
		make -s OUT="$TOP/target/unoptimised/lib" ARCHIVE="$TOP/target/unoptimised/debug/libpmem_rs.a" \
			-o "$TOP/target/unoptimised/debug/libpmem_rs.a" all &&
		on_small_stack "$TOP/target/unoptimised/lib" 256
}

# The test must notice: with less stack than is needed it fails.
notices() {
	! on_small_stack "$OURS_LIB" 16 1024 && ! on_small_stack "$OURS_LIB" 4
}
export -f on_small_stack unoptimised notices

attempt "stack: 16 KiB, at most 11 of them, pmem" on_small_stack "$OURS_LIB" 16 11264
FORCE=0 attempt "stack: 16 KiB, at most 11 of them, file" on_small_stack "$OURS_LIB" 16 11264
attempt "stack: too little is noticed" notices
attempt "stack: measured without optimisation" unoptimised

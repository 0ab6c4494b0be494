# Faults of the machine: no memory, system calls that fail, full and damaged
# files, other processes. See docs/faults.md.

faulty() { # PROGRAM LIBRARY FORCE [ARGUMENT...]
	local program=$1 library=$2 force=$3
	shift 3
	mkdir -p "$SCRATCH/faults"
	TEST_DIR=$SCRATCH/faults PMEM_IS_PMEM_FORCE=$force on "$library" "$BIN/faults_$program" "$@"
}

# The pools that went through faults, as PMDK sees them; then ours again.
memory_and_pmdk() {
	faulty memory ours 1 sample && faulty memory pmdk 1 look && faulty memory ours 1 look
}
export -f faulty memory_and_pmdk

for source in capi-tests/faults/*.c; do
	program=$(basename "$source" .c)
	compile "$BIN/faults_$program" "$source" || { failed=$((failed + 1)); say "FAILED   compiling $source"; }
done
attempt "no memory" faulty memory ours 1
attempt "no memory, file" faulty memory ours 0
if have_pmdk; then
	attempt "no memory, then PMDK" memory_and_pmdk
else
	skip "no memory, then PMDK" "the genuine PMDK is not here"
fi

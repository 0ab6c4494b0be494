# Faults of the machine: no memory, system calls that fail, full file systems,
# pages that cannot be read, several processes. See docs/faults.md.

faulty() { # PROGRAM LIBRARY FORCE [ARGUMENT...]
	local program=$1 library=$2 force=$3
	shift 3
	mkdir -p "$SCRATCH/faults"
	TEST_DIR=${TEST_DIR:-$SCRATCH/faults} PMEM_IS_PMEM_FORCE=$force on "$library" "$BIN/faults_$program" "$@"
}

# The pools that went through faults, as PMDK sees them; then as ours does again.
memory_and_pmdk() {
	faulty memory ours 1 sample && faulty memory pmdk 1 look && faulty memory ours 1 look
}

# On a file system of its own, in a namespace where it may be mounted.
in_little_space() { # LIBRARY
	mkdir -p "$SCRATCH/small"
	export BIN OURS_LIB EXTRA_LIB
	unshare -Urm bash -c 'mount -t tmpfs -o size=12m,nr_inodes=40 none "$0" && TEST_DIR=$0 faulty space "$1" 1' \
		"$SCRATCH/small" "$1"
}

two_processes() { # LIBRARY LIBRARY_OF_THE_OTHER
	local path=$OURS_LIB
	[ "$2" = ours ] || path=$EXTRA_LIB
	HOLDER_LIBRARY_PATH=$path faulty processes "$1" 1
}
export -f on faulty memory_and_pmdk in_little_space two_processes

for source in capi-tests/faults/*.c; do
	program=$(basename "$source" .c)
	compile "$BIN/faults_$program" "$source" || { failed=$((failed + 1)); say "FAILED   compiling $source"; }
done
namespaces=$(unshare -Urm true 2>/dev/null && echo yes)
attempt "no memory, pmem" faulty memory ours 1
attempt "no memory, file" faulty memory ours 0
attempt "failing calls, pmem" faulty calls ours 1
attempt "pages that cannot be read" faulty poison ours 1
for library in pmdk ours; do
	if [ $library = pmdk ] && ! have_pmdk; then
		skip "faults on pmdk" "the genuine PMDK is not here"
		continue
	fi
	attempt "failing calls on $library, file" faulty calls $library 0
	if [ "$namespaces" ]; then
		attempt "little space on $library" in_little_space $library
	else
		skip "little space on $library" "this system lets nobody mount a file system"
	fi
	attempt "two processes on $library" two_processes $library $library
done
if have_pmdk; then
	attempt "no memory, then PMDK" memory_and_pmdk
	attempt "two processes, ours behind PMDK" two_processes ours pmdk
	attempt "two processes, PMDK behind ours" two_processes pmdk ours
fi

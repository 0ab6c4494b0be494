# lib.sh - what the C tests' scripts share: where things are, running a program
# on one library or the other, and reporting. To be sourced by bash.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PMDK=$TOP/target/pmdk/root/usr
PMDK_LIB=$PMDK/lib/x86_64-linux-gnu
OURS_LIB=${OURS_LIB:-$TOP/target/lib} # another directory: a dry run on what is there
BUILD=$TOP/target/capi-tests
BIN=$BUILD/bin
LOG=$BUILD/log
mkdir -p "$BIN" "$LOG"
# Unpacked programs that need more than our two libraries (fio, pmempool, uv).
EXTRA_LIB=$PMDK_LIB:$TOP/target/pmdk/root/lib/x86_64-linux-gnu:$PMDK_LIB/ceph

have_pmdk() { [ -e "$PMDK_LIB/libpmemobj.so.1" ]; }

# An empty directory in memory, gone when the script ends.
SCRATCH=$(mktemp -d "${TEST_TMPDIR:-/dev/shm}/capi-tests.XXXXXX")
chmod 755 "$SCRATCH"
trap 'rm -rf "$SCRATCH"' EXIT

# on LIBRARY COMMAND...: runs the command with that library, pmdk or ours.
on() {
	local library=$1 path
	shift
	case $library in
	pmdk) path=$EXTRA_LIB ;;
	ours) path=$OURS_LIB ;;
	ours+) path=$OURS_LIB:$EXTRA_LIB ;; # for programs that need other libraries, too
	esac
	LIBRARY=${library%+} LD_LIBRARY_PATH=$path "$@"
}

# compile OUTPUT SOURCE... [FLAGS]: against Debian's headers and library, so that
# what runs on ours is what was built for PMDK; without PMDK, against ours. With
# INCLUDE the headers are those in another directory.
compile() {
	local output=$1
	shift
	local include=${INCLUDE:-$PMDK/include} lib=$PMDK_LIB
	have_pmdk || { include=$TOP/include lib=$OURS_LIB; }
	${CC:-cc} -std=gnu11 -O1 -g -Wall -Wextra -Wno-clobbered -I"$include" -o "$output" "$@" \
		-rdynamic -L"$lib" -Wl,--as-needed -lpmemobj -lpmem -lpthread -ldl -lm -Wl,--allow-shlib-undefined
}

# --- reporting -----------------------------------------------------------------

passed=0 failed=0 skipped=0
if [ -t 1 ]; then live=1; else live=; fi

say() { printf '%s\n' "$*"; }

# progress TEXT: from inside a test, past its log (descriptor 9 is the runner's output).
progress() {
	if { true >&9; } 2>/dev/null; then echo "         $*" >&9; fi
	echo "$*"
}

skip() { # NAME WHY
	skipped=$((skipped + 1))
	say "skipped  $1: $2"
}

# attempt NAME COMMAND...: one test. Its output goes to a log, shown if it fails.
attempt() {
	local name=$1 log status start=$SECONDS
	shift
	log=$LOG/${name//[ \/]/_}.log
	[ -z "$only" ] || [[ $name == *$only* ]] || return 0
	[ -z "$live" ] || printf 'running  %s\r' "$name"
	if timeout -k 5 "${TIMEOUT:-300}" bash -c 'source "$1/capi-tests/lib.sh"; shift; "$@"' - "$TOP" "$@" \
		>"$log" 2>&1 </dev/null; then
		passed=$((passed + 1))
		say "passed   $name ($((SECONDS - start)) s)"
	else
		status=$?
		failed=$((failed + 1))
		say "FAILED   $name (status $status, $((SECONDS - start)) s; $log)"
		grep -vE '^ok ' "$log" | head -n "${LOG_LINES:-12}" | sed 's/^/         | /'
	fi
}
only=${only:-}

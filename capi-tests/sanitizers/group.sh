# The C programs under AddressSanitizer and UndefinedBehaviorSanitizer, with a
# library that AddressSanitizer is compiled into; and under valgrind.
# SANITIZERS=all adds what takes long (docs/sanitizers.md): the library as it is
# released, races, and valgrind for all programs.

ASAN_LIB=$TOP/target/asan/lib
TSAN_LIB=$TOP/target/tsan/lib
export ASAN_LIB TSAN_LIB
# Errors end the program. Leaks are judged where threads that end free their part.
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:exitcode=9:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=exitcode=9:suppressions=$TOP/capi-tests/sanitizers/tsan.supp

# instrumented SANITIZER [FLAGS]: our libraries with it, in target/asan or target/tsan.
# The standard library's own code is not instrumented: that takes its sources. For
# address the run-time library is gcc's; its one for thread lacks functions that
# rustc's calls need, so that the program brings rustc's.
instrumented() {
	local dir=$TOP/target/${1:0:1}san lib runtime=-fsanitize=$1
	[ "$1" = address ] || runtime=
	local archive=$dir/x86_64-unknown-linux-gnu/debug/libpmem_rs.a
	RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=$1 -Zub-checks=yes $2" \
		cargo build -q --lib --target x86_64-unknown-linux-gnu --target-dir "$dir" || return 1
	mkdir -p "$dir/lib"
	for lib in pmem pmemobj; do
		gcc $runtime -shared -o "$dir/lib/lib$lib.so.1" -Wl,--whole-archive "$archive" -Wl,--no-whole-archive \
			-Wl,--gc-sections -Wl,--version-script="$TOP/target/lib$lib.map" -Wl,-soname,lib$lib.so.1 \
			-Wl,-init,${lib}_rs_load -Wl,-z,nodelete -lgcc_s -lc || return 1
	done
}

# sanitized PROGRAM ARGUMENT...: on the libraries of OURS_LIB
sanitized() {
	local program=$1
	shift
	mkdir -p "$SCRATCH/files"
	TEST_DIR=$SCRATCH/files PMEM_IS_PMEM_FORCE=${FORCE:-1} on ours "$BIN/$program" "$@"
}

on_instrumented() { # DIRECTORY COMMAND...
	export OURS_LIB=$1
	shift
	"$@"
}

# compile_for_tsan OUTPUT SOURCE
compile_for_tsan() {
	local include=$PMDK/include runtime
	have_pmdk || include=$TOP/include
	runtime=$(rustc --print sysroot)/lib/rustlib/x86_64-unknown-linux-gnu/lib/librustc-stable_rt.tsan.a
	gcc -std=gnu11 -O1 -g -I"$include" -fsanitize=thread -c -o "$1.o" "$2" &&
		gcc -rdynamic -o "$1" "$1.o" -Wl,--whole-archive "$runtime" -Wl,--no-whole-archive -L"$OURS_LIB" -lpmemobj \
			-lpmem -lpthread -ldl -lm -lrt -Wl,--allow-shlib-undefined
}

# Each must have something to say: about the program, and about the library.
notices() {
	local mistake
	for mistake in heap stack undefined leak; do
		sanitized asan-wrong $mistake 2>"$SCRATCH/err"
		[ $? != 0 ] && grep -q 'runtime error\|Sanitizer' "$SCRATCH/err" ||
			{ echo "$mistake went unnoticed"; cat "$SCRATCH/err"; return 1; }
	done
}
library_notices() {
	on_instrumented "$ASAN_LIB" sanitized asan-wrong library 2>"$SCRATCH/err"
	[ $? = 9 ] && grep -q 'heap-buffer-overflow' "$SCRATCH/err" && grep -q 'src/capi/ctl.rs' "$SCRATCH/err" ||
		{ cat "$SCRATCH/err"; return 1; }
}

# PROGRAM: under valgrind. A leak is what nothing points to: only pointers into its
# middle lead to the table of lanes, and children end with pools open.
checked() {
	mkdir -p "$SCRATCH/files"
	MEMCHECK=1 TEST_DIR=$SCRATCH/files PMEM_IS_PMEM_FORCE=0 on ours valgrind -q --error-exitcode=9 --fair-sched=yes \
		--leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite "$BIN/memcheck-$1"
}
export -f instrumented compile_for_tsan sanitized on_instrumented notices library_notices checked

all=
[ "${SANITIZERS:-}" != all ] || all=1
threads_arguments="1 4 2"

SANITIZED="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -Wno-format-truncation"
for source in capi-tests/behaviour/*.c capi-tests/stress/{threads,full,fork}.c capi-tests/sanitizers/wrong.c; do
	program=$(basename "$source" .c)
	[ "$source" != capi-tests/stress/threads.c ] || program=stress-threads
	compile "$BIN/asan-$program" "$source" $SANITIZED ||
		{ failed=$((failed + 1)); say "FAILED   compiling $program for the sanitizers"; }
done
TIMEOUT=600 attempt "sanitizers: the library for AddressSanitizer" instrumented address ""
attempt "sanitizers: they notice" notices
attempt "sanitizers: they notice in the library" library_notices
for source in capi-tests/behaviour/*.c; do
	program=$(basename "$source" .c)
	[ ! "$all" ] || attempt "sanitizers: $program, asan and ubsan" sanitized "asan-$program"
	attempt "sanitizers: $program, library with asan" on_instrumented "$ASAN_LIB" sanitized "asan-$program"
done
attempt "sanitizers: threads of stress, library with asan" on_instrumented "$ASAN_LIB" sanitized asan-stress-threads $threads_arguments
attempt "sanitizers: a full heap, library with asan" on_instrumented "$ASAN_LIB" sanitized asan-full 3 4
# In a forked child nothing points to what belongs to its parent's other threads.
ASAN_OPTIONS=detect_leaks=0:exitcode=9 attempt "sanitizers: fork, library with asan" \
	on_instrumented "$ASAN_LIB" sanitized asan-fork

# Races, on request.
if [ "$all" ]; then
	TIMEOUT=1200 attempt "sanitizers: the library for ThreadSanitizer" instrumented thread "-Cunsafe-allow-abi-mismatch=sanitizer --cfg=tsan"
	for program in behaviour/threads stress/threads stress/full; do
		name=${program/\//-}
		arguments=
		[ $program != stress/threads ] || arguments=$threads_arguments
		[ $program != stress/full ] || arguments="3 4"
		attempt "sanitizers: $program for ThreadSanitizer" compile_for_tsan "$BIN/tsan-$name" "capi-tests/$program.c"
		attempt "sanitizers: $program, library with tsan" on_instrumented "$TSAN_LIB" sanitized "tsan-$name" $arguments
	done
fi

if command -v valgrind >/dev/null; then
	quick="buffers ctl direct funcs pmem tracking"
	for source in capi-tests/behaviour/*.c; do
		program=$(basename "$source" .c)
		[ "$all" ] || [[ " $quick " = *" $program "* ]] || continue
		compile "$BIN/memcheck-$program" "$source" -DFEW &&
			TIMEOUT=1200 attempt "sanitizers: $program, memcheck" checked "$program"
	done
else
	skip "sanitizers: memcheck" "valgrind is not here"
fi

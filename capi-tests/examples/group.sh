# The example programs of Debian's libpmem-dev and libpmemobj-dev, built for the
# genuine library: what they print on PMDK they print on ours, and on a pool that
# goes from one to the other at each program that a session starts.

source capi-tests/examples/build.sh

# Symbols that a program of the session needs and our libraries do not export yet.
missing_symbols() { # SESSION
	comm -23 \
		<(nm -D --undefined-only "$EXAMPLES/$1"/* | awk '$1 == "U" && $2 ~ /^pmem/ { sub(/@.*/, "", $2); print $2 }' | sort -u) \
		<(nm -D --defined-only "$OURS_LIB"/libpmem{,obj}.so.1 | awk '{ sub(/@.*/, "", $3); print $3 }' | sort -u) |
		paste -sd' '
}

# Whatever the packages ship is in the table.
unlisted_examples() {
	cd "$EXAMPLES/source/libpmemobj-dev/examples" || return 1
	comm -23 <(grep -rlE '^(int )?main\(' --include='*.c' * ../../libpmem-dev/examples | sort) \
		<(example_programs | while read -r _ _ sources; do printf '%s\n' $sources; done | sort -u) | tee "$SCRATCH/unlisted"
	[ ! -s "$SCRATCH/unlisted" ]
}
export -f unlisted_examples example_programs
export EXAMPLES

if ! have_pmdk; then
	skip "Debian's example programs" "the genuine PMDK is not here"
	return
fi

[ -e "$OURS_LIB/libpmemobj.so.1" ] || { say "there is no library in $OURS_LIB; run make"; exit 1; }
unpack_examples
compile "$EXAMPLES/steady.so" -shared -fPIC capi-tests/examples/steady.c || exit 1
attempt "no example is forgotten" unlisted_examples

for session in $(example_programs | awk '{ print $1 }' | uniq); do
	[[ "example $session" == *$only* ]] || continue
	build_session "$session" || {
		failed=$((failed + 1))
		say "FAILED   compiling example $session"
		continue
	}
	missing=$(missing_symbols "$session")
	if [ -n "$missing" ]; then
		say "left out example $session: not exported yet: $missing"
		continue
	fi
	attempt "example $session" capi-tests/examples/play.sh "$session"
done

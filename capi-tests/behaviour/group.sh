# The behaviour programs, on both libraries, with pools treated as persistent
# memory and as ordinary files.

behave() { # PROGRAM LIBRARY FORCE
	mkdir "$SCRATCH/files"
	chmod 755 "$SCRATCH/files"
	TEST_DIR=$SCRATCH/files PMEM_IS_PMEM_FORCE=$3 on "$2" "$BIN/$1"
}

# The program must have loaded the libraries that it is said to test.
loads() { # PROGRAM LIBRARY DIRECTORY
	on "$2" env LD_TRACE_LOADED_OBJECTS=1 "$BIN/$1" | tee /dev/stderr |
		awk -v dir="$3/" '/libpmem/ { n++; if (index($3, dir) != 1) bad = 1 } END { exit bad || !n }'
}
export -f behave loads

for source in capi-tests/behaviour/*.c; do
	program=$(basename "$source" .c)
	compile "$BIN/$program" "$source" || { failed=$((failed + 1)); say "FAILED   compiling $source"; continue; }
	for library in pmdk ours; do
		if [ $library = pmdk ] && ! have_pmdk; then
			skip "$program on pmdk" "the genuine PMDK is not here"
			continue
		fi
		dir=$OURS_LIB
		[ $library = ours ] || dir=$PMDK_LIB
		attempt "$program loads $library" loads "$program" $library "$dir"
		attempt "$program on $library, file" behave "$program" $library 0
		attempt "$program on $library, pmem" behave "$program" $library 1
	done
done

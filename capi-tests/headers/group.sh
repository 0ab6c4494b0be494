# Our headers: they compile alone and without a warning, mean the same as
# Debian's, and are installed with all that a build system asks for. (Types,
# constants and functions are compared by tests/headers.rs.)

headers_of() { # pmdk | ours
	if [ "$1" = pmdk ]; then echo "$PMDK/include"; else echo "$TOP/include"; fi
}

# against pmdk | ours COMPILER OUTPUT ARGUMENT...: with these headers, linked
# with the genuine library where there is one. Debian's are system headers, in
# which compilers forgive what ours avoid.
against() {
	local headers=$1 compiler=$2 output=$3 include=-I lib=$PMDK_LIB
	shift 3
	[ "$headers" = ours ] || include=-isystem
	have_pmdk || lib=$OURS_LIB
	$compiler $include "$(headers_of "$headers")" -o "$output" "$@" \
		-L"$lib" -lpmemobj -lpmem -lpthread -Wl,--allow-shlib-undefined
}

strict="-Wall -Wextra -Wpedantic -Werror"

# Each header alone and twice, then a program that uses all of them.
compiles() { # COMPILER STANDARD LANGUAGE
	local header level
	for header in $(cd "$TOP/include" && echo *.h libpmemobj/*.h); do
		printf '#include <%s>\n#include <%s>\nint main(void) { return 0; }\n' "$header" "$header" |
			$1 -std="$2" -x "$3" $strict -I"$TOP/include" -fsyntax-only - || { echo "$header"; return 1; }
	done
	for level in 0 2; do
		against ours "$1" "$SCRATCH/tour" -std="$2" -O$level $strict \
			-x "$3" capi-tests/headers/tour.c -x none || return 1
	done
}

# tour PROGRAM LIBRARY most|lists|crash: what a tour prints; in the end how it ended.
tour() {
	rm -f "$SCRATCH/pool"
	PMEM_IS_PMEM_FORCE=1 on "$2" "$BIN/$1" "$SCRATCH/pool" "$3" 2>&1
	echo "status $?"
}

equal_tours() { # PROGRAM LIBRARY PART
	tour tour-pmdk pmdk "$3" >"$SCRATCH/want"
	tour "$1" "$2" "$3" >"$SCRATCH/got"
	tail -n 1 "$SCRATCH/want"
	grep -q 'status 0' "$SCRATCH/want" && diff "$SCRATCH/want" "$SCRATCH/got"
}

crashes() { # LIBRARY: without an ONABORT block, if the program wants that
	local headers
	for headers in pmdk ours; do
		against $headers cc "$BIN/tour-crash" -O1 -DPOBJ_TX_CRASH_ON_NO_ONABORT capi-tests/headers/tour.c || return 1
		[ "$(ulimit -c 0; tour tour-crash "$1" crash | tail -n 1)" = "status 134" ] || return 1
	done
	[ "$(tour tour-ours "$1" crash | tail -n 1)" = "status 0" ]
}

# The macros that the headers themselves define, each with its definition; not
# those of their own use, nor those of the log, which 1.12.1 does not have.
macros() { # pmdk | ours
	local include
	include=$(headers_of "$1")
	printf '#include <libpmem.h>\n#include <libpmemobj.h>\n' | cc -E -dD -I"$include" - |
		awk -v file="\"$include/" '
			/^# [0-9]+ "/ { inside = index($3, file) == 1 }
			inside && sub(/^#define /, "")' |
		grep -vE '^_|^LIBPMEM[A-Z_]*_H |^PMEM(OBJ)?_LOG_' | sort -u
}

# Names, and numbers of parameters. TX_BEGIN_CB's third is part of its rest.
same_macros() {
	local headers
	for headers in pmdk ours; do
		macros $headers | sed -E 's/^(TX_BEGIN_CB\(pop, ?cb,).*/\1...)/' | awk '
			match($0, /^[A-Za-z_0-9]+\([^)]*\)/) {
				call = substr($0, 1, RLENGTH)
				commas = gsub(/,/, "", call)
				sub(/\(.*/, "", call)
				print call, commas + 1
				next
			}
			{ print $1 }' >"$SCRATCH/$headers"
	done
	wc -l "$SCRATCH/pmdk"
	[ "$(wc -l <"$SCRATCH/pmdk")" -gt 150 ] && diff "$SCRATCH/pmdk" "$SCRATCH/ours"
}

# Types and values of those that are expressions.
same_values() {
	local headers name
	{
		cat <<-'END'
			#include <libpmem.h>
			#include <libpmemobj.h>
			#include <stdio.h>
			#define TYPE(x) _Generic((x), int: "int", unsigned: "unsigned", \
				long: "long", unsigned long: "unsigned long")
			#define SHOW(x) printf("%s %llu\n", TYPE(x), (unsigned long long)(x))
			int main(void) {
		END
		for name in $(macros pmdk | awk '$1 !~ /\(/ { print $1 }' |
			grep -vE '^(D_R[WO]|TX_(BEGIN_LOCK|END|FINALLY|ON.*)|pmemobj_direct|tx_lock_deprecated)$'); do
			echo "printf(\"$name \"), SHOW($name);"
		done
		echo '}'
	} >"$SCRATCH/values.c"
	for headers in pmdk ours; do
		against $headers cc "$SCRATCH/values" "$SCRATCH/values.c" || return 1
		on pmdk "$SCRATCH/values" >"$SCRATCH/$headers"
	done
	cat "$SCRATCH/pmdk"
	[ "$(wc -l <"$SCRATCH/pmdk")" -gt 55 ] && diff "$SCRATCH/pmdk" "$SCRATCH/ours"
}

# Each symbol of the ABI table is declared, with the prototype that stands there.
declares_the_abi() {
	local columns='$1 == "libpmem" || $1 == "libpmemobj"'
	{
		printf '#include <libpmem.h>\n#include <libpmemobj.h>\nvoid use(void);\nvoid use(void) {\n'
		awk -F'\t' "($columns)"' { print "(void)" $2 ";" }' src/capi/abi.tsv
		echo '}'
		awk -F'\t' "($columns)"' && $4 == "func" { print $5 ";" }' src/capi/abi.tsv
	} >"$SCRATCH/abi.c"
	[ "$(wc -l <"$SCRATCH/abi.c")" -gt 250 ] &&
		against ours cc "$SCRATCH/abi.o" -std=c99 $strict -DPMEMOBJ_DIRECT_NON_INLINE -c "$SCRATCH/abi.c"
}

# Mistakes that the compiler has to refuse: what must be there, then a line
# without and one with the mistake.
refuses() { # DECLARATIONS CORRECT WRONG
	local headers line
	for headers in pmdk ours; do
		have_pmdk || [ $headers = ours ] || continue
		for line in "$2" "$3"; do
			printf '#include <libpmemobj.h>\nTOID_DECLARE(int, 1);\n%s\nvoid f(PMEMobjpool *pop);\nvoid f(PMEMobjpool *pop) { (void)pop; %s; }\n' "$1" "$line" >"$SCRATCH/try.c"
			echo "$headers: $line"
			if against $headers cc "$SCRATCH/try.o" -c -Wall -Werror -Wno-unused "$SCRATCH/try.c"; then
				[ "$line" = "$2" ] || return 1
			else
				[ "$line" = "$3" ] || return 1
			fi
		done
	done
}

# pmemobj_direct is inline unless the program wants the function.
direct_is_inline() {
	printf '#include <libpmemobj.h>\nvoid *f(PMEMoid oid);\nvoid *f(PMEMoid oid) { return pmemobj_direct(oid); }\n' >"$SCRATCH/direct.c"
	local headers
	for headers in pmdk ours; do
		have_pmdk || [ $headers = ours ] || continue
		against $headers cc "$SCRATCH/inline.o" -O2 -c "$SCRATCH/direct.c" &&
			against $headers cc "$SCRATCH/function.o" -O2 -c -DPMEMOBJ_DIRECT_NON_INLINE "$SCRATCH/direct.c" || return 1
		nm -u "$SCRATCH/inline.o" | grep -q _pobj_cached_pool || return 1
		if nm -u "$SCRATCH/inline.o" | grep -qw pmemobj_direct; then return 1; fi
		nm -u "$SCRATCH/function.o" | grep -qw pmemobj_direct || return 1
	done
}

# Every source file of Debian's examples that compiles with Debian's headers
# compiles with ours, and there is no header of PMDK's in reach.
examples_compile() { # DIRECTORY ATLEAST
	local source include flags n=0 dir=$PMDK/share/doc/$1/examples others=$SCRATCH/others
	mkdir "$others"
	ln -s "$PMDK"/include/* "$others/"
	rm "$others"/libpmem.h "$others"/libpmemobj.h "$others"/libpmemobj
	ln -s "$PMDK/include/x86_64-linux-gnu" "$others/x86_64-linux-gnu" 2>/dev/null
	# what the examples expect of a file that the package lacks
	cat >"$others/ex_common.h" <<-END
		#pragma once
		#include <sys/stat.h>
		#include <stdint.h>
		#include <unistd.h>
		#define CREATE_MODE_RW (S_IWUSR | S_IRUSR)
		#define MIN(a, b) ((a) < (b) ? (a) : (b))
		static inline int file_exists(const char *path) { return access(path, F_OK); }
		static inline int find_last_set_64(uint64_t v) { return v ? 63 - __builtin_clzll(v) : -1; }
	END
	for source in $(cd "$dir" && find . -name '*.c' | sort); do
		flags="-std=gnu99 -fsyntax-only -Werror=implicit -Werror=incompatible-pointer-types -D_FILE_OFFSET_BITS=64 -DFUSE_USE_VERSION=26 -I$others -I$others/fuse -include $others/ex_common.h"
		for include in $(cd "$dir" && find . -type d); do
			flags="$flags -I$dir/$include"
		done
		if cc $flags -I"$PMDK/include" "$dir/$source" 2>"$SCRATCH/why"; then
			n=$((n + 1))
			cc $flags -I"$TOP/include" "$dir/$source" || { echo "$source"; return 1; }
		else
			echo "not with Debian's headers either: $source: $(head -n 1 "$SCRATCH/why")"
		fi
	done
	echo "$n files"
	[ "$n" -ge "$2" ]
}

binding() { # LIBRARY
	rm -f "$SCRATCH/pool"
	PMEM_IS_PMEM_FORCE=1 on "$1" "$BIN/binding" "$SCRATCH/pool"
}

# Fields and variables of a .pc file; their values where both must agree.
pc_outline() {
	sed -E '/^(version|Version|Name|Cflags|Libs|Libs.private|URL)[=:]/!s/[=:].*//' "$1"
}

# Into a scratch root, as a package is made; then a program is built with what
# pkg-config says, and runs; then everything is removed.
installs() { # PREFIX MAKE-ARGUMENT...
	local prefix=$1 root=$SCRATCH/root lib name
	shift
	lib=$prefix/lib
	[ $# = 0 ] || lib=${1#LIBDIR=}
	mkdir -p "$root$prefix/include"
	echo mine >"$root$prefix/include/mine.h"
	find "$root" | sort >"$SCRATCH/before"
	make -s install PREFIX="$prefix" DESTDIR="$root" "$@" || return 1
	(cd "$root" && find . -type f -o -type l | sort)
	export PKG_CONFIG_PATH=$root$lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root
	export PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
	pkg-config --atleast-version=1.9 libpmemobj && pkg-config --atleast-version=1.12 libpmem || return 1
	if pkg-config --atleast-version=1.13 libpmemobj; then return 1; fi
	pkg-config --cflags --libs libpmemobj libpmem
	for name in libpmem libpmemobj; do
		[ "$(readlink "$root$lib/$name.so")" = $name.so.1 ] || return 1
		[ "$(readlink "$root$lib/$name.so.1")" = $name.so.1.0.0 ] || return 1
		if readelf -SW "$root$lib/$name.so.1" | grep -q '\.debug_'; then return 1; fi
		have_pmdk || continue
		diff <(pc_outline "$PMDK_LIB/pkgconfig/$name.pc") <(pc_outline "$root$lib/pkgconfig/$name.pc") || return 1
	done
	OURS_LIB=$root$lib
	cc -std=c99 -c -Wall -Werror $(pkg-config --cflags libpmemobj libpmem) -o "$SCRATCH/core.o" capi-tests/headers/installed.c &&
		cc -o "$SCRATCH/c" "$SCRATCH/core.o" $(pkg-config --libs libpmemobj libpmem) &&
		g++ -std=c++17 -Wall -Werror $(pkg-config --cflags libpmemobj libpmem) -o "$SCRATCH/c++" \
			-x c++ capi-tests/headers/installed.c -x none $(pkg-config --libs libpmemobj libpmem) || return 1
	for name in c c++; do
		rm -f "$SCRATCH/pool"
		on ours "$SCRATCH/$name" "$SCRATCH/pool" || return 1
		on ours ldd "$SCRATCH/$name" | grep -q "$root$lib/libpmemobj.so.1" || return 1
	done
	make -s uninstall PREFIX="$prefix" DESTDIR="$root" "$@" || return 1
	find "$root" ! -type d | sort | diff <(grep mine.h "$SCRATCH/before") - && [ ! -e "$root$prefix/include/libpmemobj" ]
}

export strict
export -f headers_of against compiles tour equal_tours crashes macros same_macros same_values declares_the_abi refuses \
	direct_is_inline examples_compile binding pc_outline installs

# clang too, where there is one; Debian's may have its version in its name.
newest() { compgen -c "$1" | grep -E "^${1//+/\\+}(-[0-9]+)?\$" | sort -V | tail -n 1; }
for compiler in gcc $(newest clang); do
	for std in c99 c11 c17 gnu11; do
		attempt "headers: $compiler -std=$std" compiles "$compiler" $std c
	done
done
for compiler in g++ $(newest clang++); do
	for std in c++11 c++14 c++17 c++20; do
		attempt "headers: $compiler -std=$std" compiles "$compiler" $std c++
	done
done

attempt "headers: a const id is refused by D_RW" refuses 'extern const TOID(int) x;' 'D_RO(x)' 'D_RW(x)'
attempt "headers: ids of two types do not mix" refuses 'TOID_DECLARE(long, 2);' \
	'TOID(int) a = TOID_NULL(int); (void)a' 'TOID(int) a = TOID_NULL(long); (void)a'
attempt "headers: a callback of another type is refused" refuses \
	'void right(PMEMobjpool *, enum pobj_tx_stage, void *); void wrong(void *, int);' \
	'TX_BEGIN_CB(pop, right, NULL) { } TX_END' 'TX_BEGIN_CB(pop, wrong, NULL) { } TX_END'
attempt "headers: enum pobj_tx_lock is deprecated" refuses '' \
	'pmemobj_tx_lock(TX_PARAM_MUTEX, NULL)' 'pmemobj_tx_lock((enum pobj_tx_param)TX_LOCK_MUTEX, NULL)'
attempt "headers: pmemobj_direct is inline" direct_is_inline
attempt "headers: the table of the ABI" declares_the_abi

against ours cc "$BIN/tour-ours" -O1 capi-tests/headers/tour.c &&
	against ours g++ "$BIN/tour-c++" -O2 -x c++ capi-tests/headers/tour.c -x none &&
	against ours g++ "$BIN/binding" -std=c++17 -O2 -Wall -Wextra -Wpedantic -Werror capi-tests/headers/binding.cpp ||
	{ failed=$((failed + 1)); say "FAILED   compiling the programs of headers"; }
attempt "headers: a C++ binding on ours" binding ours
if have_pmdk; then
	against pmdk cc "$BIN/tour-pmdk" -O1 capi-tests/headers/tour.c
	# What ours does not export yet cannot run on it.
	parts=most
	case "$(nm -D "$OURS_LIB/libpmemobj.so")" in *" T pmemobj_list_insert"*) parts="most lists" ;; esac
	for program in tour-ours tour-c++; do
		for part in most lists; do
			attempt "headers: $program on pmdk, $part" equal_tours $program pmdk $part
		done
		for part in $parts; do
			attempt "headers: $program on ours, $part" equal_tours $program ours $part
		done
	done
	for library in pmdk ours; do
		attempt "headers: POBJ_TX_CRASH_ON_NO_ONABORT, $library" crashes $library
	done
	attempt "headers: names of macros" same_macros
	attempt "headers: values of macros" same_values
	attempt "headers: libpmem's examples compile" examples_compile libpmem-dev 3
	attempt "headers: libpmemobj's examples compile" examples_compile libpmemobj-dev 49
	attempt "headers: a C++ binding on pmdk" binding pmdk
else
	skip "headers beside PMDK's" "the genuine PMDK is not here"
fi
if command -v pkg-config >/dev/null; then
	attempt "install: /usr/local" installs /usr/local
	attempt "install: LIBDIR" installs /usr LIBDIR=/usr/lib/x86_64-linux-gnu
else
	skip "install" "pkg-config is not here"
fi

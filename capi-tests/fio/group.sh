# Debian's fio with its libpmem engine on our library: all that it writes is
# verified, block by block, by the checksum in each block.

# fio LIBRARY FILE OPTIONS...: must have had that library.
fio() {
	local library=$1 file=$2 dir=$OURS_LIB status
	shift 2
	[ "$library" = ours ] || dir=$PMDK_LIB
	rm -f "$SCRATCH"/libs.*
	(cd "$SCRATCH" && LD_DEBUG=libs LD_DEBUG_OUTPUT=$SCRATCH/libs \
		on "${library/ours/ours+}" "$PMDK/bin/fio" --filename="$file" --ioengine=libpmem --thread \
		--size=24M --randseed=7 --verify=crc32c --verify_fatal=1 "$@")
	status=$?
	if [ "$(sed -n 's/.*calling init: \(.*\/libpmem\.so.*\)/\1/p' "$SCRATCH"/libs.*)" != "$dir/libpmem.so.1" ]; then
		echo "fio did not load $dir/libpmem.so.1, or more than that:"
		grep -h 'calling init.*libpmem' "$SCRATCH"/libs.*
		return 2
	fi
	return $status
}

# Written and verified; verified again by a second job of the same run, as fio
# itself fills the file anew before the first; and once more through the kernel,
# by read(2), from the file as it was left.
fio_verifies() { # DIRECTORY ORDER OPTIONS...
	local dir order=$2
	dir=$(mktemp -d "$1/fio.XXXXXX") || return 1
	trap 'rm -rf "$dir" "$SCRATCH"' EXIT
	shift 2
	fio ours "$dir/file" "$@" --name=write --rw="${order}write" --name=read --stonewall --rw="${order}read" || return 1
	fio ours "$dir/file" "$@" --ioengine=psync --name=kernel --rw="${order}read"
}

# Mixed reads and writes of all sizes, each block verified soon after it was written.
fio_mixed() { # DIRECTORY OPTIONS...
	local dir
	dir=$(mktemp -d "$1/fio.XXXXXX") || return 1
	trap 'rm -rf "$dir" "$SCRATCH"' EXIT
	shift
	fio ours "$dir/file" --verify_backlog=16 --rw=randwrite "$@" --name=mixed
}

# The oracle: between writing and reading some bytes are changed in the file.
fio_notices() { # OFFSET LENGTH
	local out=$SCRATCH/out
	fio ours "$SCRATCH/file" --bs=4k --direct=1 --name=write --rw=randwrite --do_verify=0 \
		--name=spoil --stonewall --ioengine=psync --rw=write --verify=0 --offset="$1" --size="$2" --bs="$2" \
		--name=read --stonewall --rw=randread >"$out" 2>&1
	local status=$?
	cat "$out"
	[ $status = 1 ] && grep -qE "^(verify|crc32c): .*offset $(($1 / 4096 * 4096))," "$out" || {
		echo "status $status: the change at $1 went unnoticed"
		return 1
	}
}

# Memory that is not persistent is refused, by fio, on what the library says of it.
fio_refuses() {
	local library
	for library in pmdk ours; do
		PMEM_IS_PMEM_FORCE=0 fio $library "$SCRATCH/file" --bs=4k --name=job --rw=write --minimal --output="$SCRATCH/$library"
		[ $? = 1 ] && grep -o 'func=.*' "$SCRATCH/$library" >"$SCRATCH/$library.why" || return 1
	done
	cat "$SCRATCH/ours.why"
	grep -q 'does not point to persistent memory' "$SCRATCH/ours.why" && cmp "$SCRATCH/pmdk.why" "$SCRATCH/ours.why"
}
export -f fio fio_verifies fio_mixed fio_notices fio_refuses

if ! have_pmdk; then
	skip "fio on libpmem" "Debian's fio is not here"
	return
fi
export PMEM_IS_PMEM_FORCE=1
attempt "fio notices a changed byte" fio_notices 12585984 1
attempt "fio notices a changed block" fio_notices 4096 4096
attempt "fio refuses what is not pmem" fio_refuses
for dir in "$SCRATCH" "$BUILD"; do
	where="in memory"
	[ "$dir" = "$SCRATCH" ] || where="on disk"
	attempt "fio sequential 4k, $where" fio_verifies "$dir" "" --bs=4k --direct=1
	attempt "fio random 4k, $where" fio_verifies "$dir" rand --bs=4k --direct=1
	attempt "fio random 4k, buffered, $where" fio_verifies "$dir" rand --bs=4k --direct=0
	attempt "fio random 4k, synchronous, $where" fio_verifies "$dir" rand --bs=4k --direct=0 --sync=1
	attempt "fio sequential 1m, $where" fio_verifies "$dir" "" --bs=1m --direct=1
	attempt "fio random 512 bytes to 64k, $where" fio_mixed "$dir" --bsrange=512-64k --direct=1
	attempt "fio mixed, two threads, $where" fio_mixed "$dir" --rw=randrw --bs=8k --direct=0 --numjobs=2 --offset_increment=24M
done
unset PMEM_IS_PMEM_FORCE

/*
 * tracking.c -- which ranges libpmem takes for persistent memory.
 *
 * No DAX here: the program's own mmap stands before libc's and grants MAP_SYNC,
 * so that the library believes to be on a DAX file system.
 */
#define _GNU_SOURCE
#include <libpmem.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include "test.h"

static int grant = 1;
static int synced;

void *
mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	if ((flags & MAP_SYNC) && fd >= 0) {
		if (!grant) {
			errno = EOPNOTSUPP;
			return MAP_FAILED;
		}
		flags = (flags & ~(MAP_SYNC | MAP_TYPE)) | MAP_SHARED;
	}
	return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, off);
}

void *
mmap64(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	return mmap(addr, len, prot, flags, fd, off);
}

/* Counts what reaches the file. */
int
msync(void *addr, size_t len, int flags)
{
	synced++;
	return (int)syscall(SYS_msync, addr, len, flags);
}

static char *
map(const char *name, size_t len, int *is_pmem)
{
	return pmem_map_file(path_of(name), len, PMEM_FILE_CREATE, 0600, NULL, is_pmem);
}

static void
granted(void)
{
	int is_pmem = -1;
	char *at = map("a", 5000, &is_pmem);
	NEED(at != NULL);
	EQ(is_pmem, 1);
	EQ(pmem_is_pmem(at, 5000), 1);
	EQ(pmem_is_pmem(at, 5001), 0); /* to the byte, not to the page */
	EQ(pmem_is_pmem(at + 4999, 1), 1);
	EQ(pmem_is_pmem(at + 5000, 1), 0);
	EQ(pmem_is_pmem(at - 1, 2), 0);
	EQ(pmem_is_pmem(at + 17, 300), 1);
	EQ(pmem_is_pmem(at, 0), 0);
	EQ(pmem_unmap(at, 5000), 0);
	EQ(pmem_is_pmem(at, 5000), 0);
}

static void
not_granted(void)
{
	int is_pmem = -1;
	grant = 0;
	char *at = map("b", 8192, &is_pmem);
	grant = 1;
	NEED(at != NULL);
	EQ(is_pmem, 0);
	EQ(pmem_is_pmem(at, 1), 0);
	EQ(pmem_unmap(at, 8192), 0);
	char local[10];
	EQ(pmem_is_pmem(local, 1), 0);
}

static void
partial_unmap(void)
{
	size_t page = 4096;
	char *at = map("c", 10 * page, NULL);
	NEED(at != NULL);
	EQ(pmem_unmap(at + 3 * page, page + 1), 0); /* two whole pages */
	EQ(pmem_is_pmem(at, 3 * page), 1);
	EQ(pmem_is_pmem(at, 3 * page + 1), 0);
	EQ(pmem_is_pmem(at + 3 * page, 1), 0);
	EQ(pmem_is_pmem(at + 5 * page - 1, 1), 0);
	EQ(pmem_is_pmem(at + 5 * page, 5 * page), 1);
	EQ(pmem_unmap(at, 7 * page), 0); /* over the hole */
	EQ(pmem_is_pmem(at + 7 * page, 3 * page), 1);
	EQ(pmem_is_pmem(at + 6 * page, 2 * page), 0);
	EQ(pmem_unmap(at + 7 * page, 3 * page), 0);
	EQ(pmem_is_pmem(at + 7 * page, 1), 0);
}

static void
stale_range(void)
{
	size_t len = (size_t)4 << 20;
	char *at = map("d", len, NULL);
	NEED(at != NULL);
	munmap(at, len); /* behind the library's back */
	EQ(pmem_is_pmem(at, len), 1);
	/* The kernel is free to give the address again; ask for it until it does. */
	int refused = 0;
	for (int i = 0; i < 50 && !refused; i++) {
		errno = 0;
		char *again = map("e", len, NULL);
		if (again == NULL) {
			refused = 1;
			EQ(errno, ENOMEM);
			STARTS(pmem_errormsg(), "duplicated persistent memory range; presumably unmapped with "
				"munmap() instead of pmem_unmap(): addr ");
		} else {
			pmem_unmap(again, len);
		}
	}
	if (!refused)
		printf("# the kernel did not give the same address again\n");
	pmem_unmap(at, len);
	EQ(pmem_is_pmem(at, 1), 0);
}

static void
deep_drain_splits(void)
{
	size_t page = 4096;
	char *at = map("f", 4 * page, NULL);
	NEED(at != NULL);
	EQ((long)mmap(at + 4 * page, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		0), (long)(at + 4 * page));
	synced = 0;
	EQ(pmem_deep_drain(at + page, 4 * page), 0); /* tracked, then not */
	EQ(synced, 2);
	synced = 0;
	EQ(pmem_deep_persist(at, page), 0);
	EQ(synced, 1);
	pmem_persist(at, 4 * page);
	pmem_flush(at, 4 * page);
	EQ(synced, 1);
	EQ(pmem_unmap(at, 5 * page), 0);
}

int
main(void)
{
	unsetenv("PMEM_IS_PMEM_FORCE"); /* it is read at the first question, and would answer it */
	RUN(granted);
	RUN(not_granted);
	RUN(partial_unmap);
	RUN(stale_range);
	RUN(deep_drain_splits);
	DONE();
}

/*
 * space.c -- on a file system without room, 12 MiB of which are free at first:
 * what cannot be created leaves nothing behind.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <libpmem.h>
#include <libpmemobj.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include "../behaviour/test.h"

#define MIB ((size_t)1 << 20)

static size_t
room(void)
{
	struct statvfs st;
	CHECK(statvfs(path_of(""), &st) == 0);
	return st.f_bavail * st.f_bsize;
}

static int
exists(const char *path)
{
	struct stat st;
	return lstat(path, &st) == 0;
}

/* A pool that does not fit. */
static void
refused(const char *path, size_t size, int error)
{
	char message[700];
	size_t before = room();
	errno = 0;
	CHECK(pmemobj_create(path, NULL, size, 0600) == NULL);
	EQ(errno, error);
	snprintf(message, sizeof(message), "posix_fallocate \"%s\", %zu: %s", path, size, strerror(error));
	STARTS(pmemobj_errormsg(), message);
	CHECK(!exists(path));
	EQ(room(), before);
}

static void
pools(void)
{
	refused(path_of("large"), 16 * MIB, ENOSPC);
	PMEMobjpool *p = pmemobj_create(path_of("first"), NULL, 8 * MIB, 0600);
	NEED(p != NULL);
	refused(path_of("second"), 8 * MIB, ENOSPC);
	PMEMoid oid;
	CHECK(pmemobj_zalloc(p, &oid, MIB, 1) == 0); /* whatever is full: the pool's blocks are its own */
	pmemobj_close(p);
	EQ(pmemobj_check(path_of("first"), NULL), 1);
	p = pmemobj_open(path_of("first"), NULL);
	NEED(p != NULL);
	pmemobj_close(p);
	unlink(path_of("first"));
	p = pmemobj_create(path_of("second"), NULL, 8 * MIB, 0600);
	CHECK(p != NULL);
	if (p)
		pmemobj_close(p);
	unlink(path_of("second"));
}

static void
put_sparse(const char *path, size_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	close(fd);
}

/* A file whose blocks cannot all be had stays as it was. */
static void
existing_file(void)
{
	size_t before = room();
	put_sparse(path_of("sparse"), 16 * MIB);
	errno = 0;
	CHECK(pmemobj_create(path_of("sparse"), NULL, 0, 0600) == NULL);
	EQ(errno, ENOSPC);
	struct stat st;
	CHECK(stat(path_of("sparse"), &st) == 0 && st.st_size == (off_t)(16 * MIB) && st.st_blocks == 0);
	EQ(room(), before);
	CHECK(truncate(path_of("sparse"), 8 * MIB) == 0);
	PMEMobjpool *p = pmemobj_create(path_of("sparse"), NULL, 0, 0600);
	CHECK(p != NULL);
	if (p)
		pmemobj_close(p);
	unlink(path_of("sparse"));
}

static void
mapped_files(void)
{
	size_t before = room();
	errno = 0;
	CHECK(pmem_map_file(path_of("map"), 16 * MIB, PMEM_FILE_CREATE | PMEM_FILE_EXCL, 0600, NULL, NULL) == NULL);
	EQ(errno, ENOSPC);
	STARTS(pmem_errormsg(), "posix_fallocate: No space left on device");
	CHECK(!exists(path_of("map")));
	CHECK(pmem_map_file(path_of(""), 16 * MIB, PMEM_FILE_CREATE | PMEM_FILE_TMPFILE, 0600, NULL, NULL) == NULL);
	EQ(errno, ENOSPC);
	EQ(room(), before);
	/* Without EXCL a file of that name may be the user's: it stays, with its bytes. */
	int fd = open(path_of("map"), O_RDWR | O_CREAT, 0600);
	CHECK(write(fd, "text", 4) == 4);
	close(fd);
	CHECK(pmem_map_file(path_of("map"), 16 * MIB, PMEM_FILE_CREATE, 0600, NULL, NULL) == NULL);
	EQ(errno, ENOSPC);
	char text[5] = "";
	fd = open(path_of("map"), O_RDONLY);
	CHECK(read(fd, text, 4) == 4 && strcmp(text, "text") == 0);
	close(fd);
	unlink(path_of("map"));
	EQ(room(), before);
}

/* Neither is there room beyond the limit of the process. */
static void
limited(void)
{
	struct rlimit old, limit;
	CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
	limit = (struct rlimit){4 * MIB, old.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	refused(path_of("limited"), 8 * MIB, EFBIG);
	errno = 0;
	CHECK(pmem_map_file(path_of("map"), 8 * MIB, PMEM_FILE_CREATE | PMEM_FILE_EXCL, 0600, NULL, NULL) == NULL);
	EQ(errno, EFBIG);
	CHECK(!exists(path_of("map")));
	CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
}

/* There is no room for another file's name. */
static void
no_more_files(void)
{
	int n = 0;
	char name[20];
	for (; n < 100; n++) {
		snprintf(name, sizeof(name), "f%d", n);
		int fd = open(path_of(name), O_CREAT | O_WRONLY, 0600);
		if (fd < 0)
			break;
		close(fd);
	}
	EQ(errno, ENOSPC);
	errno = 0;
	CHECK(pmemobj_create(path_of("another"), NULL, 8 * MIB, 0600) == NULL);
	EQ(errno, ENOSPC);
	STARTS(pmemobj_errormsg(), "open \"");
	CHECK(pmem_map_file(path_of("another"), MIB, PMEM_FILE_CREATE, 0600, NULL, NULL) == NULL);
	EQ(errno, ENOSPC);
	while (n-- > 0) {
		snprintf(name, sizeof(name), "f%d", n);
		unlink(path_of(name));
	}
}

int
main(void)
{
	if (room() < 10 * MIB || room() > 14 * MIB) {
		printf("not ok - %zu bytes of room in %s\n", room(), path_of(""));
		return 1;
	}
	RUN(pools);
	RUN(existing_file);
	RUN(mapped_files);
	RUN(limited);
	RUN(no_more_files);
	DONE();
}

/* pmem.c -- libpmem: mapping files, tracking, copies, messages. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <libpmem.h>
#include <pthread.h>
#include <sys/mman.h>
#include "test.h"

#define ALIGN_2M ((uintptr_t)2 << 20)

static size_t mapped_len;
static int is_pmem;

/* One row of the table of pmem_map_file: what must fail, and how. */
static void
fails(const char *path, size_t len, int flags, int error, const char *message)
{
	mapped_len = 4711;
	is_pmem = 4711;
	errno = 0;
	void *at = pmem_map_file(path, len, flags, 0600, &mapped_len, &is_pmem);
	if (at != NULL) {
		FAIL("map_file(%s, %zu, %#x) succeeded", path ? path : "NULL", len, flags);
		pmem_unmap(at, mapped_len);
		return;
	}
	if (errno != error || (message && strncmp(pmem_errormsg(), message, strlen(message)) != 0))
		FAIL("map_file(%s, %zu, %#x): errno %d, \"%s\"; not %d, \"%s\"", path ? path : "NULL", len,
			flags, errno, pmem_errormsg(), error, message ? message : "");
	EQ(mapped_len, 4711);
	EQ(is_pmem, 4711);
}

static off_t
size_of(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 ? st.st_size : -1;
}

static void
make_file(const char *path, off_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || ftruncate(fd, size) != 0)
		FAIL("making %s", path);
	close(fd);
}

static const char *
in(char *buffer, const char *format, const char *path)
{
	snprintf(buffer, 700, format, path);
	return buffer;
}

static void
map_file_refuses(void)
{
	char text[700], lengthy[5000];
	const char *missing = path_of("missing"), *file = path_of("file"), *fifo = path_of("fifo");
	const char *dir = path_of("dir");
	make_file(file, 5000);
	mkfifo(fifo, 0600);
	mkdir(dir, 0755);
	memset(lengthy, 'n', sizeof(lengthy));
	lengthy[sizeof(lengthy) - 1] = 0;

	fails(NULL, 0, 0, EINVAL, "invalid (NULL) path");
	fails(NULL, 5, 0x80, EINVAL, "invalid (NULL) path");
	fails("/dev/null/x", 0, 0, ENOTDIR, "os_access \"/dev/null/x\": Not a directory");
	fails(lengthy, 0, 0, ENAMETOOLONG, "os_access \"nnnn");
	fails(fifo, 0, 0, EINVAL, "file type 010000 not supported");
	fails(fifo, 0, 0x80, EINVAL, "file type 010000 not supported"); /* the earlier check decides */
	fails("/dev/null", 0, 0, EINVAL, NULL);
	fails(file, 0, 0x10, EINVAL, "invalid flag specified 10");
	fails(file, (size_t)INT64_MAX + 1, 0x10 | PMEM_FILE_CREATE, EINVAL, "invalid flag specified 11");
	fails(file, (size_t)INT64_MAX + 1, PMEM_FILE_CREATE, EINVAL,
		"invalid file length 9223372036854775808");
	fails(file, 10, 0, EINVAL, "non-zero 'len' not allowed without PMEM_FILE_CREATE");
	fails(file, 10, PMEM_FILE_TMPFILE, EINVAL, "non-zero 'len' not allowed without PMEM_FILE_CREATE");
	fails(file, 0, PMEM_FILE_CREATE, EINVAL, "zero 'len' not allowed with PMEM_FILE_CREATE");
	fails(dir, 0, PMEM_FILE_TMPFILE, EINVAL, "PMEM_FILE_TMPFILE not allowed without PMEM_FILE_CREATE");
	fails(missing, 0, 0, ENOENT, in(text, "open %s: No such file or directory", missing));
	fails(missing, 0, PMEM_FILE_EXCL, ENOENT, in(text, "open %s: ", missing));
	fails(missing, 0, PMEM_FILE_SPARSE, ENOENT, in(text, "open %s: ", missing));
	fails(file, 4096, PMEM_FILE_CREATE | PMEM_FILE_EXCL, EEXIST, in(text, "open %s: File exists", file));
	fails(dir, 0, 0, EISDIR, in(text, "open %s: Is a directory", dir));
	fails(dir, 4096, PMEM_FILE_CREATE, EISDIR, in(text, "open %s: Is a directory", dir));
	fails(path_of("no/such"), 4096, PMEM_FILE_CREATE, ENOENT, "open ");
	fails(file, 4096, PMEM_FILE_CREATE | PMEM_FILE_TMPFILE, ENOTDIR, NULL);
	fails(missing, 4096, PMEM_FILE_CREATE | PMEM_FILE_TMPFILE, ENOENT, NULL);
	EQ(size_of(file), 5000); /* nothing happened to it */

	/* No room: a file of CREATE stays, with its length; one of EXCL goes. */
	size_t huge = (size_t)1 << 43;
	fails(missing, huge, PMEM_FILE_CREATE | PMEM_FILE_EXCL, ENOSPC, "posix_fallocate: No space left");
	EQ(size_of(missing), -1);
	fails(missing, huge, PMEM_FILE_CREATE, ENOSPC, "posix_fallocate: ");
	EQ(size_of(missing), (off_t)huge);
	unlink(missing);
	make_file(file, 0);
	fails(file, 0, 0, EINVAL, "mmap 0 bytes: Invalid argument");
	unlink(file);
	unlink(fifo);
	rmdir(dir);
}

static void
map_file_maps(void)
{
	const char *path = path_of("mapped");
	struct stat st;
	char *at = pmem_map_file(path, 5000, PMEM_FILE_CREATE, 0644, &mapped_len, &is_pmem);
	NEED(at != NULL);
	EQ(mapped_len, 5000);
	EQ((uintptr_t)at % ALIGN_2M, 0);
	EQ(size_of(path), 5000);
	stat(path, &st);
	EQ(st.st_mode & 0777, 0644 & ~027);
	CHECK(st.st_blocks * 512 >= 5000);
	strcpy(at, "persistent");
	EQ(pmem_msync(at, 11), 0);
	EQ(pmem_unmap(at, mapped_len), 0);

	at = pmem_map_file(path, 0, PMEM_FILE_EXCL, 0, NULL, NULL); /* EXCL alone means nothing */
	NEED(at != NULL);
	STREQ(at, "persistent");
	EQ(pmem_unmap(at, 5000), 0);
	at = pmem_map_file(path, 0, PMEM_FILE_SPARSE, 0, &mapped_len, NULL);
	NEED(at != NULL);
	EQ(mapped_len, 5000);
	EQ(pmem_unmap(at, 5000), 0);

	/* CREATE sets the length of a file that exists, and leaves its mode. */
	at = pmem_map_file(path, 100000, PMEM_FILE_CREATE, 0, &mapped_len, NULL);
	NEED(at != NULL);
	STREQ(at, "persistent");
	EQ(mapped_len, 100000);
	stat(path, &st);
	EQ(st.st_size, 100000);
	EQ(st.st_mode & 0777, 0640);
	CHECK(st.st_blocks * 512 >= 100000);
	EQ(pmem_unmap(at, mapped_len), 0);
	at = pmem_map_file(path, 10, PMEM_FILE_CREATE, 0, &mapped_len, NULL);
	NEED(at != NULL);
	EQ(size_of(path), 10);
	EQ(pmem_unmap(at, mapped_len), 0);
	unlink(path);

	at = pmem_map_file(path, (size_t)3 << 30, PMEM_FILE_CREATE | PMEM_FILE_SPARSE | PMEM_FILE_EXCL, 0600,
		&mapped_len, &is_pmem);
	NEED(at != NULL);
	stat(path, &st);
	EQ(mapped_len, (size_t)3 << 30);
	CHECK(st.st_blocks < 100);
	EQ((uintptr_t)at % ((uintptr_t)1 << 30), 0);
	EQ(pmem_unmap(at, mapped_len), 0);
	unlink(path);

	const char *dir = path_of("dir");
	mkdir(dir, 0755);
	at = pmem_map_file(dir, 100000, PMEM_FILE_CREATE | PMEM_FILE_TMPFILE, 0600, &mapped_len, &is_pmem);
	NEED(at != NULL);
	EQ(mapped_len, 100000);
	at[99999] = 1;
	EQ(rmdir(dir), 0); /* nothing is in it */
	EQ(pmem_unmap(at, mapped_len), 0);
}

static void
unmap_and_msync(void)
{
	errno = 0;
	EQ(pmem_unmap(NULL, 4096), 0);
	char *at = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	EQ(pmem_unmap(at + 1, 4096), -1);
	EQ(errno, EINVAL);
	STREQ(pmem_errormsg(), "munmap: Invalid argument");
	EQ(pmem_unmap(at, 0), -1);
	EQ(errno, EINVAL);
	EQ(pmem_msync(at + 5, 100), 0);
	EQ(pmem_msync(at, 0), 0);
	EQ(pmem_deep_persist(at + 3, 8000), 0);
	EQ(pmem_deep_drain(at, 0), 0);
	EQ(pmem_unmap(at, 8192), 0);
	EQ(pmem_unmap(at, 8192), 0);
	if (getenv("MEMCHECK") && *getenv("MEMCHECK"))
		return; /* what follows is a mistake of the program, and reported */
	errno = 0;
	EQ(pmem_msync(at, 100), -1);
	EQ(errno, ENOMEM);
	STREQ(pmem_errormsg(), "msync: Cannot allocate memory");
	errno = 0;
	EQ(pmem_deep_drain(at, 100), -1);
	EQ(errno, ENOMEM);
}

static void
forced(void)
{
	const char *force = getenv("PMEM_IS_PMEM_FORCE");
	char local[100];
	int answer = force && atoi(force) == 1;
	EQ(pmem_is_pmem(local, sizeof(local)), answer);
	EQ(pmem_is_pmem(local, 0), 0);
	EQ(pmem_has_hw_drain(), 0);
	CHECK(pmem_has_auto_flush() == 0 || pmem_has_auto_flush() == 1);
}

static void *
other_thread(void *arg)
{
	*(char *)arg = pmem_errormsg()[0];
	pmem_map_file(NULL, 0, 0, 0, NULL, NULL);
	return NULL;
}

static void
versions_and_messages(void)
{
	STREQ(pmem_errormsg(), "");
	errno = 4711;
	CHECK(pmem_check_version(1, 0) == NULL && pmem_check_version(1, 1) == NULL);
	STREQ(pmem_check_version(2, 0), "libpmem major version mismatch (need 2, found 1)");
	STREQ(pmem_check_version(0, 9), "libpmem major version mismatch (need 0, found 1)");
	CHECK(pmem_check_version(1, 2) == pmem_errormsg());
	STREQ(pmem_errormsg(), "libpmem minor version mismatch (need 2, found 1)");
	EQ(errno, 4711);
	pthread_t thread;
	char first = 'x';
	pthread_create(&thread, NULL, other_thread, &first);
	pthread_join(thread, NULL);
	EQ(first, 0);
	STREQ(pmem_errormsg(), "libpmem minor version mismatch (need 2, found 1)");
}

/* --- copies --------------------------------------------------------------------------- */

#define BUFFER 20000
static unsigned char *buffer, want[BUFFER];

typedef void *copy_fn(void *, const void *, size_t);
typedef void *flags_fn(void *, const void *, size_t, unsigned);

static void *
with_flags(int which, void *to, const void *from, size_t len, unsigned flags)
{
	static copy_fn *const plain[] = {
		pmem_memcpy_persist, pmem_memcpy_nodrain, pmem_memmove_persist, pmem_memmove_nodrain,
	};
	static flags_fn *const flagged[] = {pmem_memcpy, pmem_memmove};
	return which < 4 ? plain[which](to, from, len) : flagged[which % 2](to, from, len, flags);
}

/* Random, often overlapping moves with every set of flags equal libc's. */
static void
moves(void)
{
	uint64_t seed = 5;
	for (int i = 0; i < 60000 && !case_failures; i++) {
		if (i % 500 == 0) {
			for (int k = 0; k < BUFFER; k++)
				buffer[k] = (unsigned char)random_u64(&seed);
			memcpy(want, buffer, BUFFER);
		}
		size_t len = random_u64(&seed) % (i % 20 ? 700 : 6000);
		size_t from = random_u64(&seed) % (BUFFER - len), to = random_u64(&seed) % (BUFFER - len);
		if (i % 3 == 0) { /* close by */
			long shift = (long)(random_u64(&seed) % 200) - 100;
			long near = (long)from + shift;
			to = near < 0 ? 0 : near > (long)(BUFFER - len) ? BUFFER - len : (size_t)near;
		}
		unsigned flags = (unsigned)random_u64(&seed) & (i % 50 ? 0x3F : 0xFFFFFFFF);
		int which = (int)(random_u64(&seed) % 12);
		void *result = with_flags(which, buffer + to, buffer + from, len, flags);
		CHECK(result == buffer + to);
		memmove(want + to, want + from, len);
		if (memcmp(want, buffer, BUFFER) != 0)
			FAIL("function %d, flags %#x, %zu bytes, %zu to %zu", which, flags, len, from, to);
	}
	pmem_drain();
}

static void
sets(void)
{
	uint64_t seed = 6;
	memcpy(want, buffer, BUFFER);
	for (int i = 0; i < 30000 && !case_failures; i++) {
		size_t len = random_u64(&seed) % (i % 20 ? 700 : 6000), to = random_u64(&seed) % (BUFFER - len);
		int byte = (int)random_u64(&seed);
		unsigned flags = (unsigned)random_u64(&seed) & 0x3F;
		void *result = i % 3 == 0 ? pmem_memset_persist(buffer + to, byte, len)
			: i % 3 == 1 ? pmem_memset_nodrain(buffer + to, byte, len)
			: pmem_memset(buffer + to, byte, len, flags);
		CHECK(result == buffer + to);
		memset(want + to, byte, len);
		if (memcmp(want, buffer, BUFFER) != 0)
			FAIL("flags %#x, %zu bytes at %zu", flags, len, to);
	}
}

/* Nothing outside the two ranges is touched: guard pages on both sides. */
static void
guarded(void)
{
	char *map = mmap(NULL, 5 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *a = map + 4096, *b = map + 3 * 4096;
	mprotect(a, 4096, PROT_READ | PROT_WRITE);
	mprotect(b, 4096, PROT_READ | PROT_WRITE);
	for (unsigned flags = 0; flags < 0x40; flags++)
		for (size_t len = 0; len <= 1100; len = len < 300 ? len + 1 : len + 67) {
			memset(b, (int)len, 4096);
			pmem_memcpy(a, b + 4096 - len, len, flags);
			pmem_memcpy(a + 4096 - len, b, len, flags);
			CHECK(len == 0 || memcmp(a, b, len) == 0);
			pmem_memset(a, 1, len, flags);
			pmem_memset(a + 4096 - len, 1, len, flags);
		}
	pmem_flush(a, 4096);
	pmem_flush(a + 4095, 1);
	pmem_flush(a, 0);
	pmem_persist(a + 1, 4095);
	pmem_deep_flush(a, 4096);
	errno = 4711;
	pmem_persist(a, 1);
	pmem_memset_persist(a, 0, 4096);
	pmem_drain();
	EQ(errno, 4711);
	munmap(map, 5 * 4096);
}

/* --- the log of 2.x ---------------------------------------------------------- */

typedef void log_function(unsigned level, const char *file, unsigned line, const char *name, const char *message);

static int errors_logged;
static char logged[256];

static void
listen(unsigned level, const char *file, unsigned line, const char *name, const char *message)
{
	CHECK(file != NULL && name != NULL && line < 100000);
	if (level != 2)
		return;
	errors_logged++;
	snprintf(logged, sizeof(logged), "%s", message);
}

static void
log_functions(void)
{
	int (*set_threshold)(unsigned, unsigned) = dlsym(RTLD_DEFAULT, "pmem_log_set_threshold");
	int (*get_threshold)(unsigned, unsigned *) = dlsym(RTLD_DEFAULT, "pmem_log_get_threshold");
	int (*set_function)(log_function *) = dlsym(RTLD_DEFAULT, "pmem_log_set_function");
	if (is_pmdk()) { /* 1.12 does not have them */
		CHECK(set_threshold == NULL && get_threshold == NULL && set_function == NULL);
		return;
	}
	NEED(set_threshold && get_threshold && set_function);
	unsigned level = 99;
	EQ(get_threshold(0, &level), 0);
	EQ(level, 3);
	EQ(set_function(listen), 0);
	CHECK(pmem_map_file(path_of("nowhere"), 0, 0, 0, NULL, NULL) == NULL);
	EQ(errors_logged, 1);
	STREQ(logged, pmem_errormsg());
	EQ(set_threshold(0, 1), 0); /* fatal errors only */
	EQ(get_threshold(0, &level), 0);
	EQ(level, 1);
	CHECK(pmem_map_file(path_of("nowhere"), 0, 0, 0, NULL, NULL) == NULL);
	EQ(errors_logged, 1);
	errno = 0;
	EQ(set_threshold(7, 1), 1);
	EQ(errno, EINVAL);
	EQ(set_function(NULL), 0);
	EQ(set_threshold(0, 3), 0);
}

int
main(void)
{
	umask(027);
	if (posix_memalign((void **)&buffer, 4096, BUFFER) != 0)
		return 1;
	RUN(versions_and_messages);
	RUN(forced);
	RUN(map_file_refuses);
	RUN(map_file_maps);
	RUN(unmap_and_msync);
	RUN(moves);
	RUN(sets);
	RUN(guarded);
	RUN(log_functions);
	DONE();
}

/*
 * machine.h -- a machine whose faults are chosen: functions of libc that the
 * test program defines itself, so that the libraries call these, fail when a
 * rule says so. To be included by one file of a program.
 *
 * Calls count, and fail, only while the machine is armed. Blocks that are
 * allocated meanwhile are remembered until they are freed.
 */
#ifndef MACHINE_H
#define MACHINE_H

#ifndef _GNU_SOURCE
#error "_GNU_SOURCE is needed for the functions that are replaced"
#endif
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include "../behaviour/test.h"

/* All that the libraries call and that can fail. */
#define MACHINE_CALLS(X) \
	X(memory) X(open) X(close) X(flock) X(fstat) X(stat) X(access) X(mmap) X(munmap) X(msync) X(ftruncate) \
	X(posix_fallocate) X(fchmod) X(pread) X(preadv) X(pwrite) X(read) X(getrandom) X(realpath) X(mkostemp) \
	X(opendir) X(readdir) X(unlink) X(pthread_key_create) X(pthread_setspecific)

enum call {
#define X(name) CALL_##name,
	MACHINE_CALLS(X)
#undef X
	CALLS
};

static const char *const call_names[] = {
#define X(name) #name,
	MACHINE_CALLS(X)
#undef X
};

/* Of one kind of call, those with numbers first to last fail, counted from 0. */
static struct {
	int armed;
	enum call call;
	long first, last;
	int error;
	long seen[CALLS], failed;
	int dax; /* MAP_SYNC is granted */
	/* Called with each new mapping of a file, and in place of preadv. */
	void (*mapped)(char *at, size_t len, int fd);
	ssize_t (*preadv)(int fd, const struct iovec *iov, int n, off_t off);
} machine = {.call = CALLS};

/* Counts a call; true if it is to fail, with errno set. */
/* For a debugger to stop at. */
__attribute__((noinline)) void machine_fault(void);
__attribute__((noinline)) void
machine_fault(void)
{
	__asm__ volatile("");
}

static int
fails(enum call call)
{
	if (!machine.armed)
		return 0;
	long n = machine.seen[call]++;
	if (call != machine.call || n < machine.first || n > machine.last)
		return 0;
	machine.failed++;
	machine_fault();
	errno = machine.error;
	return 1;
}

static inline void
arrange(enum call call, long first, long last, int error)
{
	memset(machine.seen, 0, sizeof(machine.seen));
	machine.failed = 0;
	machine.call = call;
	machine.first = first;
	machine.last = last;
	machine.error = error;
}

/* --- memory ----------------------------------------------------------------- */

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void __libc_free(void *);

/* The blocks that were allocated while armed: an open-addressed table, whose
 * removed entries are marked. */
#define BLOCKS (1 << 16)
#define REMOVED ((void *)1)
static struct block {
	void *p;
	size_t size;
	void *caller;
} blocks[BLOCKS];
static pthread_mutex_t blocks_lock = PTHREAD_MUTEX_INITIALIZER;
static int tracking;

static size_t
hash(const void *p)
{
	return (size_t)(((uint64_t)p * 0x9E3779B97F4A7C15ULL) >> 48) % BLOCKS;
}

static void
remember(void *p, size_t size, void *caller)
{
	if (p == NULL || !machine.armed)
		return;
	tracking = 1;
	pthread_mutex_lock(&blocks_lock);
	size_t i = hash(p);
	while (blocks[i].p != NULL && blocks[i].p != REMOVED)
		i = (i + 1) % BLOCKS;
	blocks[i] = (struct block){p, size, caller};
	pthread_mutex_unlock(&blocks_lock);
}

static void
forget(const void *p)
{
	if (p == NULL || !tracking)
		return;
	pthread_mutex_lock(&blocks_lock);
	for (size_t i = hash(p); blocks[i].p != NULL; i = (i + 1) % BLOCKS)
		if (blocks[i].p == p) {
			blocks[i].p = REMOVED;
			break;
		}
	pthread_mutex_unlock(&blocks_lock);
}

/* Blocks that were never freed; each is reported. */
static inline int
leaks(void)
{
	int n = 0;
	for (size_t i = 0; i < BLOCKS; i++)
		if (blocks[i].p != NULL && blocks[i].p != REMOVED) {
			Dl_info info = {0};
			dladdr(blocks[i].caller, &info);
			printf("# leaked: %zu bytes, allocated by %s+%#zx\n", blocks[i].size, info.dli_fname,
				(size_t)((char *)blocks[i].caller - (char *)info.dli_fbase));
			n++;
		}
	return n;
}

#define CALLER __builtin_return_address(0)

void *
malloc(size_t size)
{
	void *p = fails(CALL_memory) ? NULL : __libc_malloc(size);
	remember(p, size, CALLER);
	return p;
}

void *
calloc(size_t n, size_t size)
{
	void *p = fails(CALL_memory) ? NULL : __libc_calloc(n, size);
	remember(p, n * size, CALLER);
	return p;
}

void *
realloc(void *old, size_t size)
{
	if (fails(CALL_memory))
		return NULL;
	void *p = __libc_realloc(old, size);
	if (p != NULL) {
		forget(old);
		remember(p, size, CALLER);
	}
	return p;
}

void
free(void *p)
{
	forget(p);
	__libc_free(p);
}

/* --- system calls ------------------------------------------------------------- */

/* libc's own, found before the program starts. */
#define LIBC(X) \
	X(open) X(close) X(flock) X(fstat) X(stat) X(access) X(mmap) X(munmap) X(msync) X(ftruncate) \
	X(posix_fallocate) X(fchmod) X(pread) X(preadv) X(pwrite) X(read) X(getrandom) X(realpath) X(mkostemp) \
	X(opendir) X(readdir) X(unlink) X(pthread_key_create) X(pthread_setspecific)
#define X(name) static __typeof__(name) *libc_##name;
LIBC(X)
#undef X

static void
look_up(void)
{
	if (libc_open != NULL)
		return;
#define X(name) *(void **)&libc_##name = dlsym(RTLD_NEXT, #name);
	LIBC(X)
#undef X
}

__attribute__((constructor)) static void
look_up_early(void)
{
	look_up();
}

/* Define the function, and a second name for the same thing. */
#define REPLACE(type, name, params, args, failure) \
	type name params \
	{ \
		look_up(); \
		return fails(CALL_##name) ? failure : libc_##name args; \
	}
#define REPLACE_TOO(type, name, params, args, failure) \
	REPLACE(type, name, params, args, failure) \
	type name##64 params \
	{ \
		return name args; \
	}

int
open(const char *path, int flags, ...)
{
	va_list rest;
	va_start(rest, flags);
	mode_t mode = va_arg(rest, mode_t);
	va_end(rest);
	look_up();
	return fails(CALL_open) ? -1 : libc_open(path, flags, mode);
}

int
open64(const char *path, int flags, ...)
{
	va_list rest;
	va_start(rest, flags);
	mode_t mode = va_arg(rest, mode_t);
	va_end(rest);
	return open(path, flags, mode);
}

/* The descriptor is gone even so, as on Linux. */
int
close(int fd)
{
	look_up();
	int failed = fails(CALL_close), r = libc_close(fd);
	if (failed)
		errno = machine.error;
	return failed ? -1 : r;
}

void *
mmap(void *at, size_t len, int prot, int flags, int fd, off_t off)
{
	look_up();
	if (fails(CALL_mmap))
		return MAP_FAILED;
	void *p = libc_mmap(at, len, prot, machine.dax ? flags & ~MAP_SYNC : flags, fd, off);
	if (machine.armed && machine.mapped && p != MAP_FAILED && fd >= 0)
		machine.mapped(p, len, fd);
	return p;
}

void *
mmap64(void *at, size_t len, int prot, int flags, int fd, off_t off)
{
	return mmap(at, len, prot, flags, fd, off);
}

static ssize_t
read_at(int fd, const struct iovec *iov, int n, off_t off)
{
	return (machine.armed && machine.preadv ? machine.preadv : libc_preadv)(fd, iov, n, off);
}

ssize_t
preadv(int fd, const struct iovec *iov, int n, off_t off)
{
	look_up();
	if (fails(CALL_preadv))
		return -1;
	return read_at(fd, iov, n, off);
}

ssize_t
preadv64(int fd, const struct iovec *iov, int n, off_t off)
{
	return preadv(fd, iov, n, off);
}

ssize_t
pread(int fd, void *buf, size_t n, off_t off)
{
	look_up();
	if (fails(CALL_pread))
		return -1;
	return read_at(fd, &(struct iovec){buf, n}, 1, off);
}

ssize_t
pread64(int fd, void *buf, size_t n, off_t off)
{
	return pread(fd, buf, n, off);
}

int
fstat64(int fd, struct stat64 *st)
{
	return fstat(fd, (struct stat *)st);
}

int
stat64(const char *path, struct stat64 *st)
{
	return stat(path, (struct stat *)st);
}

REPLACE(int, fstat, (int fd, struct stat *st), (fd, st), -1)
REPLACE(int, stat, (const char *path, struct stat *st), (path, st), -1)
REPLACE(int, flock, (int fd, int how), (fd, how), -1)
REPLACE(int, access, (const char *path, int mode), (path, mode), -1)
REPLACE(int, munmap, (void *at, size_t len), (at, len), -1)
REPLACE(int, msync, (void *at, size_t len, int how), (at, len, how), -1)
REPLACE_TOO(int, ftruncate, (int fd, off_t size), (fd, size), -1)
REPLACE_TOO(int, posix_fallocate, (int fd, off_t off, off_t len), (fd, off, len), machine.error)
REPLACE(int, fchmod, (int fd, mode_t mode), (fd, mode), -1)
REPLACE_TOO(ssize_t, pwrite, (int fd, const void *buf, size_t n, off_t off), (fd, buf, n, off), -1)
REPLACE(ssize_t, read, (int fd, void *buf, size_t n), (fd, buf, n), -1)
REPLACE(ssize_t, getrandom, (void *buf, size_t n, unsigned flags), (buf, n, flags), -1)
REPLACE(char *, realpath, (const char *path, char *resolved), (path, resolved), NULL)
REPLACE(int, mkostemp, (char *path, int flags), (path, flags), -1)
REPLACE(DIR *, opendir, (const char *path), (path), NULL)
REPLACE(struct dirent *, readdir, (DIR *dir), (dir), NULL)
REPLACE(int, unlink, (const char *path), (path), -1)
REPLACE(int, pthread_key_create, (pthread_key_t *key, void (*end)(void *)), (key, end), machine.error)
REPLACE(int, pthread_setspecific, (pthread_key_t key, const void *value), (key, value), machine.error)

/* --- what a process holds -------------------------------------------------------- */

struct holdings {
	int fds;
	char maps[1 << 17];
};

/* Descriptors, and mappings but for malloc's heap and the stack. */
static void
take_stock(struct holdings *h)
{
	static char text[1 << 17];
	memset(h, 0, sizeof(*h));
	for (int fd = 0; fd < 256; fd++)
		h->fds += fcntl(fd, F_GETFD) != -1;
	int fd = libc_open("/proc/self/maps", O_RDONLY);
	size_t n = 0;
	for (ssize_t r; (r = libc_read(fd, text + n, sizeof(text) - 1 - n)) > 0;)
		n += (size_t)r;
	libc_close(fd);
	text[n] = 0;
	char *to = h->maps, *rest = text;
	for (char *line; (line = strsep(&rest, "\n")) != NULL;)
		if (!strstr(line, "[heap]") && !strstr(line, "[stack]"))
			to += sprintf(to, "%s\n", line);
}

/* Nothing is held that was not held before. */
static inline void
nothing_left(const struct holdings *before, const char *what)
{
	static struct holdings now;
	take_stock(&now);
	if (now.fds != before->fds)
		FAIL("%s: %d descriptors are open, not %d", what, now.fds, before->fds);
	size_t same = 0;
	while (now.maps[same] != 0 && now.maps[same] == before->maps[same])
		same++;
	if (now.maps[same] != before->maps[same])
		FAIL("%s: mappings differ; before: ...%.100s, now: ...%.100s", what, before->maps + same, now.maps + same);
}

#endif

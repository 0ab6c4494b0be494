/*
 * calls.c -- every system call that fails, with every plausible error: an
 * error return that names call and file, or a completed operation; nothing left
 * behind, and all is well afterwards.
 */
#define _GNU_SOURCE
#include <libpmem.h>
#include <limits.h>
#include <libpmemobj.h>
#include "machine.h"

#define SIZE PMEMOBJ_MIN_POOL

/* What each call may say; zeros end the list. */
static const int errors[CALLS][10] = {
	[CALL_open] = {EINTR, ENOMEM, EACCES, EMFILE, ENFILE, EROFS, EIO},
	[CALL_close] = {EINTR, EIO},
	[CALL_flock] = {EINTR, ENOLCK, EWOULDBLOCK},
	[CALL_fstat] = {EIO, ENOMEM},
	[CALL_stat] = {EIO, ENOMEM, EACCES},
	[CALL_access] = {EIO, ENOMEM, EACCES},
	[CALL_mmap] = {ENOMEM, EAGAIN, EACCES, ENFILE, EINVAL, ENODEV, EOPNOTSUPP},
	[CALL_munmap] = {ENOMEM, EINVAL},
	[CALL_msync] = {EIO, EINTR, EBUSY, ENOMEM, EINVAL},
	[CALL_ftruncate] = {EIO, EINTR, EFBIG, EPERM, ENOSPC},
	[CALL_posix_fallocate] = {ENOSPC, EDQUOT, EINTR, EIO, ENOMEM, EINVAL, EOPNOTSUPP, EFBIG},
	[CALL_fchmod] = {EIO, EPERM, EROFS},
	[CALL_pread] = {EIO, EINTR, ENOMEM},
	[CALL_preadv] = {EIO, EINTR, ENOMEM},
	[CALL_pwrite] = {EIO, ENOSPC, EDQUOT},
	[CALL_read] = {EIO, EINTR, EAGAIN},
	[CALL_getrandom] = {EAGAIN, EINTR, ENOSYS},
	[CALL_realpath] = {EACCES, EIO, ENOMEM},
	[CALL_mkostemp] = {EMFILE, ENOSPC, EACCES},
	[CALL_opendir] = {EMFILE, ENOMEM, EACCES},
	[CALL_readdir] = {EIO},
	[CALL_unlink] = {EACCES, EIO},
	[CALL_pthread_key_create] = {EAGAIN, ENOMEM},
	[CALL_pthread_setspecific] = {ENOMEM},
};

/* --- operations: 0, or -1 with errno ----------------------------------------------- */

static int
create(const char *path, size_t size)
{
	PMEMobjpool *p = pmemobj_create(path, "faults", size, 0640);
	if (p != NULL)
		pmemobj_close(p);
	return p == NULL ? -1 : 0;
}

static int new_pool(const char *path) { return create(path, SIZE); }
static int pool_in_a_file(const char *path) { return create(path, 0); }
static int check_pool(const char *path) { return pmemobj_check(path, "faults") == 1 ? 0 : -1; }

/* Opens a pool and works in it. */
static int
use_pool(const char *path)
{
	PMEMobjpool *p = pmemobj_open(path, "faults");
	if (p == NULL)
		return -1;
	PMEMoid root = pmemobj_root(p, 1000);
	char *data = pmemobj_direct(root);
	CHECK(!OID_IS_NULL(root) && data[0] == data[999]);
	volatile int committed = 0;
	TX_BEGIN(p) {
		TX_MEMSET(data, data[0] + 1, 1000);
		PMEMoid oid = pmemobj_tx_zalloc(5000, 1);
		pmemobj_tx_free(oid);
	} TX_ONCOMMIT {
		committed = 1;
	} TX_END
	CHECK(committed);
	PMEMoid oid;
	CHECK(pmemobj_zalloc(p, &oid, 100000, 1) == 0);
	pmemobj_memset_persist(p, pmemobj_direct(oid), 1, 100000);
	pmemobj_free(&oid);
	pmemobj_close(p);
	return 0;
}

/* Stores to a mapped file, in every way to make them durable. */
static int
use_mapping(char *p, size_t len)
{
	if (p == NULL)
		return -1;
	memset(p, 1, len);
	int r = pmem_msync(p, len) | pmem_deep_persist(p, len);
	int error = errno;
	if (pmem_is_pmem(p, len))
		pmem_persist(p, len);
	if (pmem_unmap(p, len) != 0) {
		error = errno;
		r = -1;
		machine.armed = 0;
		CHECK(pmem_unmap(p, len) == 0);
		machine.armed = 1;
	}
	errno = error;
	return r;
}

static int
map_new_file(const char *path)
{
	size_t len;
	int is_pmem;
	return use_mapping(pmem_map_file(path, 1 << 20, PMEM_FILE_CREATE | PMEM_FILE_EXCL, 0600, &len, &is_pmem), 1 << 20);
}

static int
map_file(const char *path)
{
	return use_mapping(pmem_map_file(path, 0, 0, 0, NULL, NULL), SIZE);
}

static int
map_temporary_file(const char *path)
{
	char dir[512];
	snprintf(dir, sizeof(dir), "%s", path);
	*strrchr(dir, '/') = 0;
	return use_mapping(pmem_map_file(dir, 1 << 20, PMEM_FILE_CREATE | PMEM_FILE_TMPFILE, 0600, NULL, NULL), 1 << 20);
}

static int
ask_the_platform(const char *path)
{
	(void)path;
	return pmem_has_auto_flush() < 0 ? -1 : 0;
}

enum before { NOTHING, EMPTY_FILE, POOL };

static const struct operation {
	const char *name;
	int (*run)(const char *path);
	enum before before;
	const char *(*message)(void);
} operations[] = {
	{"pmemobj_create", new_pool, NOTHING, pmemobj_errormsg},
	{"pmemobj_create in a file", pool_in_a_file, EMPTY_FILE, pmemobj_errormsg},
	{"pmemobj_open", use_pool, POOL, pmemobj_errormsg},
	{"pmemobj_check", check_pool, POOL, pmemobj_errormsg},
	{"pmem_map_file", map_file, EMPTY_FILE, pmem_errormsg},
	{"pmem_map_file, new", map_new_file, NOTHING, pmem_errormsg},
	{"pmem_map_file, temporary", map_temporary_file, NOTHING, pmem_errormsg},
	{"pmem_has_auto_flush", ask_the_platform, NOTHING, pmem_errormsg},
};
#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))

/* --- one fault -------------------------------------------------------------------------- */

struct fault {
	const struct operation *operation;
	const char *path;
	enum call call;
	long n;
	int error;
	long seen[CALLS]; /* answer of the child */
	int failed;
};

static void
prepare(const struct operation *o, const char *path)
{
	unlink(path);
	if (o->before == EMPTY_FILE) {
		int fd = open(path, O_RDWR | O_CREAT, 0600);
		CHECK(ftruncate(fd, SIZE) == 0);
		close(fd);
	} else if (o->before == POOL) {
		EQ(create(path, SIZE), 0);
	}
}

/* What a failed operation must not have changed. */
static void
as_before(const struct operation *o, const char *path, const char *what)
{
	struct stat st;
	int there = stat(path, &st) == 0;
	if (there != (o->before != NOTHING))
		FAIL("%s: the file is %s", what, there ? "there" : "gone");
	if (o->before != EMPTY_FILE)
		return;
	EQ(st.st_size, SIZE);
	char page[4096];
	int fd = open(path, O_RDONLY);
	CHECK(pread(fd, page, sizeof(page), 0) == sizeof(page));
	for (size_t i = 0; i < sizeof(page) && o->run == pool_in_a_file; i++)
		if (page[i] != 0) {
			FAIL("%s: the file's first page is no longer zero", what);
			break;
		}
	close(fd);
}

/* A message that helps: what failed, where, and why. */
static void
judge_message(const struct fault *f, const char *message, const char *what)
{
	const char *name = call_names[f->call];
	if (f->call == CALL_fchmod)
		name = "chmod"; /* as PMDK */
	if (f->call == CALL_preadv)
		name = "pread";
	if (f->operation->run == map_temporary_file && (f->call == CALL_open || f->call == CALL_mkostemp))
		name = "mkstemp";
	if (strstr(message, name) == NULL)
		FAIL("%s: the message \"%s\" does not name the call", what, message);
	if (strstr(message, strerror(f->error)) == NULL)
		FAIL("%s: the message \"%s\" has no reason", what, message);
	if (f->operation->message == pmemobj_errormsg && strstr(message, f->path) == NULL)
		FAIL("%s: the message \"%s\" does not name the file", what, message);
}

static void
inject(void *arg)
{
	struct fault *f = arg;
	const struct operation *o = f->operation;
	static struct holdings before;
	char what[200];
	snprintf(what, sizeof(what), "%s, %s number %ld: %s", o->name, call_names[f->call], f->n, strerror(f->error));
	case_failures = 0;
	mallopt(M_MMAP_THRESHOLD, 1 << 30); /* all of malloc's is in the heap */
	prepare(o, f->path);
	take_stock(&before);
	arrange(f->call, f->n, f->n, f->error);
	machine.armed = 1;
	errno = 0;
	int r = o->run(f->path), error = errno;
	machine.armed = 0;
	memcpy(f->seen, machine.seen, sizeof(f->seen));
	f->failed = r != 0;
	if (machine.failed > 0 && f->call == CALL_munmap)
		return; /* what cannot be unmapped stays, and with it the lock */
	nothing_left(&before, what);
	if (r != 0) {
		if (error != f->error)
			FAIL("%s: errno %d (%s)", what, error, o->message());
		judge_message(f, o->message(), what);
		if (f->call != CALL_msync) /* the file was made, and used */
			as_before(o, f->path, what);
	}
	/* And without the fault it works. */
	if (o->before != POOL)
		prepare(o, f->path);
	if (o->run(f->path) != 0)
		FAIL("%s: afterwards: %s", what, o->message());
	unlink(f->path);
}

/* Stores that cannot be made durable are no error that a call could return:
 * the process ends, as with PMDK. */
static int
may_end_the_process(const struct fault *f, int status)
{
	return f->call == CALL_msync && f->operation->message == pmemobj_errormsg && status == -SIGABRT;
}

static long
try_all(const struct operation *o, enum call call, long n, struct fault *f)
{
	long faults = 0;
	for (const int *error = errors[call]; *error != 0; error++, faults++) {
		f->call = call;
		f->n = n;
		f->error = *error;
		int status = outcome(inject, f);
		if (status != 0 && !may_end_the_process(f, status))
			FAIL("%s, %s number %ld, %s: status %d", o->name, call_names[call], n, strerror(*error), status);
	}
	return faults;
}

/* As ordinary files only msync is of interest, which persistent memory seldom needs. */
static void
every_call_fails(void)
{
	int force = strcmp(getenv("PMEM_IS_PMEM_FORCE"), "1") == 0;
	machine.dax = force;
	struct fault *f = mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (const struct operation *o = operations; o < operations + OPERATIONS; o++) {
		*f = (struct fault){.operation = o, .path = path_of("file"), .call = CALL_memory, .n = -1};
		EQ(outcome(inject, f), 0);
		long seen[CALLS], faults = 0;
		memcpy(seen, f->seen, sizeof(seen));
		for (enum call c = 0; c < CALLS; c++) {
			/* Many msyncs are alike. */
			long step = seen[c] > 20 ? seen[c] / 10 : 1;
			if (c == CALL_memory || (c != CALL_msync && !force))
				continue;
			for (long n = 0; n < seen[c]; n += step)
				faults += try_all(o, c, n, f);
		}
		printf("# %s: %ld faults\n", o->name, faults);
	}
	munmap(f, sizeof(*f));
}

/* --- stores that are lost ------------------------------------------------------------- */

static void
persist_in_vain(void *p)
{
	pmemobj_persist(p, pmemobj_direct(pmemobj_root(p, 0)), 8);
}

static void
drain_in_vain(void *p)
{
	pmemobj_memset(p, pmemobj_direct(pmemobj_root(p, 0)), 1, 8, 0);
}

static void
commit_in_vain(void *p)
{
	TX_BEGIN(p) {
		TX_MEMSET(pmemobj_direct(pmemobj_root(p, 0)), 1, 8);
	} TX_END
}

/* What goes on must not be built on them: the process ends; pmem_msync says so. */
static void
lost_stores(void)
{
	PMEMobjpool *p = pmemobj_create(path_of("lost"), NULL, SIZE, 0600);
	NEED(p != NULL);
	char *root = pmemobj_direct(pmemobj_root(p, 8));
	arrange(CALL_msync, 0, LONG_MAX, EIO);
	machine.armed = 1;
	EQ(outcome(persist_in_vain, p), -SIGABRT);
	EQ(outcome(drain_in_vain, p), -SIGABRT);
	EQ(outcome(commit_in_vain, p), -SIGABRT);
	errno = 0;
	EQ(pmem_msync(root, 8), -1);
	EQ(errno, EIO);
	STARTS(pmem_errormsg(), "msync: Input/output error");
	machine.armed = 0;
	/* A signal is no loss. */
	arrange(CALL_msync, 0, 0, EINTR);
	machine.armed = 1;
	EQ(outcome(persist_in_vain, p), is_pmdk() ? -SIGABRT : 0);
	machine.armed = 0;
	pmemobj_close(p);
	unlink(path_of("lost"));
}

int
main(void)
{
	static char buffer[1 << 16];
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	if (strcmp(getenv("PMEM_IS_PMEM_FORCE"), "0") == 0)
		RUN(lost_stores);
	if (!is_pmdk()) /* it calls more, and aborts for some */
		RUN(every_call_fails);
	DONE();
}

/* pool.c -- creating, opening and checking pools; what is refused, and how. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <libpmemobj.h>
#include <sys/mman.h>
#include "test.h"

#define SIZE ((size_t)8 << 20)

/* Clients make file creation fail by interposing libc's functions. */
static int no_space;

int
posix_fallocate(int fd, off_t offset, off_t len)
{
	static int (*real)(int, off_t, off_t);
	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "posix_fallocate");
	return no_space ? ENOSPC : real(fd, offset, len);
}

/* --- create ------------------------------------------------------------------------ */

static int
exists(const char *path)
{
	struct stat st;
	return lstat(path, &st) == 0;
}

static void
refused(const char *path, const char *layout, size_t size, int error, const char *message)
{
	errno = 0;
	PMEMobjpool *p = pmemobj_create(path, layout, size, 0600);
	if (p != NULL) {
		FAIL("create(%s, %zu) succeeded", path ? path : "NULL", size);
		pmemobj_close(p);
		return;
	}
	if (errno != error || strncmp(pmemobj_errormsg(), message, strlen(message)) != 0)
		FAIL("create(%s, %zu): errno %d, \"%s\"; not %d, \"%s\"", path ? path : "NULL", size, errno,
			pmemobj_errormsg(), error, message);
}

static void
put_file(const char *path, size_t size, int byte)
{
	FILE *f = fopen(path, "w");
	if (byte != 0) {
		char *bytes = malloc(8192);
		memset(bytes, byte, 8192);
		fwrite(bytes, 1, size < 8192 ? size : 8192, f);
		free(bytes);
	}
	fflush(f);
	if (ftruncate(fileno(f), (off_t)size) != 0)
		FAIL("ftruncate");
	fclose(f);
}

static void
create_refuses(void)
{
	char layout[1100], message[700];
	const char *path = path_of("new");
	memset(layout, 'l', sizeof(layout));
	layout[1024] = 0;
	refused(path, layout, SIZE, EINVAL, "Layout too long");
	refused(NULL, NULL, SIZE, EFAULT, "os_access \"");
	refused("/dev/null/x", NULL, SIZE, ENOTDIR, "os_access \"/dev/null/x\": Not a directory");
	refused(path, NULL, SIZE - 1, EINVAL, "reservation pool size 8384512 smaller than 8388608");
	refused(path, NULL, 1, EINVAL, "reservation pool size 0 smaller than 8388608");
	refused(path, NULL, SIZE_MAX, EFBIG, "invalid size (18446744073709551615) for os_off_t");
	snprintf(message, sizeof(message), "open \"%s\": No such file or directory", path);
	refused(path, NULL, 0, ENOENT, message);
	snprintf(message, sizeof(message), "open \"%s\": No such file or directory", path_of("no/such"));
	refused(path_of("no/such"), NULL, SIZE, ENOENT, message);
	snprintf(message, sizeof(message), "posix_fallocate \"%s\", %zu: No space left on device", path,
		(size_t)1 << 43);
	refused(path, NULL, (size_t)1 << 43, ENOSPC, message);
	CHECK(!exists(path));
	no_space = 1;
	refused(path, NULL, SIZE, ENOSPC, "posix_fallocate \"");
	no_space = 0;
	CHECK(!exists(path));

	put_file(path, 100, 'x');
	snprintf(message, sizeof(message), "file %s already exists", path);
	refused(path, NULL, SIZE, EEXIST, message);
	refused(path, NULL, 0, EINVAL,
		"file is not a poolset file and its size (100) is smaller than 8388608");
	put_file(path, SIZE, 'x');
	refused(path, NULL, 0, EEXIST, "Non-empty file detected");
	struct stat st;
	CHECK(stat(path, &st) == 0 && st.st_size == (off_t)SIZE); /* and was left alone */
	unlink(path);
	mkdir(path, 0755);
	refused(path, NULL, SIZE, EEXIST, "file ");
	rmdir(path);
}

static void
create_makes(void)
{
	const char *path = path_of("new");
	char layout[1100];
	struct stat st;
	memset(layout, 'l', sizeof(layout));
	layout[1023] = 0;
	umask(077);
	PMEMobjpool *p = pmemobj_create(path, layout, SIZE + 5000, 0666);
	umask(022);
	NEED(p != NULL);
	EQ(pmemobj_root_size(p), 0);
	pmemobj_close(p);
	CHECK(stat(path, &st) == 0);
	EQ(st.st_mode & 0777, 0666); /* the umask does not matter */
	EQ(st.st_size, SIZE + 5000);
	CHECK((size_t)st.st_blocks * 512 >= SIZE);
	p = pmemobj_open(path, layout);
	CHECK(p != NULL);
	if (p)
		pmemobj_close(p);
	unlink(path);

	put_file(path, SIZE * 2, 0);
	chmod(path, 0640);
	p = pmemobj_create(path, NULL, 0, 0600);
	NEED(p != NULL);
	uint64_t *words = (void *)p;
	EQ(words[0x1808 / 8], 2); /* the run id of a new pool */
	pmemobj_close(p);
	CHECK(stat(path, &st) == 0);
	EQ(st.st_mode & 0777, 0640);
	EQ(st.st_size, SIZE * 2);
	p = pmemobj_open(path, "");
	NEED(p != NULL);
	if (is_pmdk())
		EQ(((uint64_t *)p)[0x1808 / 8], 4); /* ours: see forged.c */
	pmemobj_close(p);
	unlink(path);
}

static void
as_nobody(void *arg)
{
	(void)arg;
	if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
		_exit(97);
	char message[700];
	refused(path_of("closed/new"), NULL, SIZE, EACCES, "os_access \"");
	snprintf(message, sizeof(message), "open \"%s\": Permission denied", path_of("owned/new"));
	refused(path_of("owned/new"), NULL, SIZE, EACCES, message);
	errno = 0;
	CHECK(pmemobj_open(path_of("secret"), NULL) == NULL);
	EQ(errno, EACCES);
	CHECK(pmemobj_open(path_of("readonly"), NULL) == NULL);
	EQ(errno, EACCES);
	snprintf(message, sizeof(message), "open \"%s\": Permission denied", path_of("readonly"));
	STARTS(pmemobj_errormsg(), message);
	EQ(pmemobj_check(path_of("readonly"), NULL), -1);
	EQ(errno, EACCES);
}

static void
permissions(void)
{
	mkdir(path_of("closed"), 0700);
	mkdir(path_of("owned"), 0755);
	pmemobj_close(pmemobj_create(path_of("secret"), NULL, SIZE, 0600));
	pmemobj_close(pmemobj_create(path_of("readonly"), NULL, SIZE, 0444));
	if (geteuid() == 0)
		EQ(outcome(as_nobody, NULL), 0);
	else
		printf("# permissions are tried as root only\n");
	unlink(path_of("secret"));
	unlink(path_of("readonly"));
	rmdir(path_of("closed"));
	rmdir(path_of("owned"));
}

/* --- damaged copies ------------------------------------------------------------ */

static unsigned char *good, *bad;

/* The format's checksum over 32-bit words; the field itself and all words from
 * `skip` on count as zero. */
static uint64_t
checksum(const unsigned char *at, size_t len, size_t field, size_t skip)
{
	uint32_t lo = 0, hi = 0, word;
	for (size_t i = 0; i < len; i += 4) {
		memcpy(&word, at + i, 4);
		if ((i >= field && i < field + 8) || (skip != 0 && i >= skip))
			word = 0;
		lo += word;
		hi += lo;
	}
	return (uint64_t)hi << 32 | lo;
}

static void
repair_checksums(unsigned char *pool)
{
	uint64_t sum = checksum(pool, 4096, 0xFF8, 0x800);
	memcpy(pool + 0xFF8, &sum, 8);
	sum = checksum(pool + 0x1000, 2048, 2040, 0);
	memcpy(pool + 0x1000 + 2040, &sum, 8);
}

enum { RAW, REPAIRED };

static const struct damage {
	const char *what;
	size_t at;
	unsigned char xor[8];
	int checksums;
	int error; /* 0: opens; -1: EINVAL in ours, no errno in the reference; -2: that crashes;
	            * -3: not judged, that does not look */
	const char *message;
	int check;
} damages[] = {
	{"signature", 0, {0, 0, 0, 0, 'B' ^ 'J' ^ 'O'}, RAW, EINVAL, "wrong pool type: \"PMEM", -1},
	{"major 0", 8, {6}, RAW, EINVAL, "invalid major version (0)", -1},
	{"major 5", 8, {6 ^ 5}, REPAIRED, EINVAL, "Please run the pmdk-convert utility", -1},
	{"major 7", 8, {6 ^ 7}, REPAIRED, EINVAL, "pool version 7 (library expects 6)", -1},
	{"unknown incompat", 0x10, {0x80}, REPAIRED, EINVAL,
		"unsafe to continue due to unknown incompat features: 0x80", -1},
	{"unknown ro_compat", 0x14, {0x80}, REPAIRED, EINVAL, "read-only mode is not supported", -1},
	{"unknown compat", 0x0C, {0x80}, REPAIRED, 0, "", 1},
	{"single header flag", 0x10, {1}, REPAIRED, EINVAL,
		"poolset file options (0) do not match incompat feature flags (0x", -1},
	{"pool set uuid", 0x18, {1}, REPAIRED, 0, "", 1},
	{"uuid", 0x28, {1}, REPAIRED, EINVAL, "wrong part UUID", -1},
	{"previous part", 0x38, {1}, REPAIRED, EINVAL, "wrong part UUID", -1},
	{"next part", 0x48, {1}, REPAIRED, EINVAL, "wrong part UUID", -1},
	{"previous replica", 0x58, {1}, REPAIRED, EINVAL, "wrong replica UUID", -1},
	{"next replica", 0x68, {1}, REPAIRED, EINVAL, "wrong replica UUID", -1},
	{"creation time", 0x78, {1}, REPAIRED, 0, "", 1},
	{"architecture", 0x80, {1}, REPAIRED, EINVAL, "wrong architecture flags", -1},
	{"machine", 0x8E, {1}, REPAIRED, EINVAL, "wrong architecture flags", -1},
	{"header checksum", 0xFF8, {1}, RAW, EINVAL, "invalid checksum of pool header", -1},
	{"header content", 0x78, {1}, RAW, EINVAL, "invalid checksum of pool header", -1},
	{"beyond the 2K", 0x900, {1}, RAW, 0, "", 1},
	{"shutdown state", 0xFC8, {1}, RAW, 0, "", 1},
	{"descriptor checksum", 0x17F8, {1}, RAW, EINVAL, "invalid checksum of pool descriptor", -1},
	{"layout", 0x1000, {'d' ^ 'D'}, REPAIRED, EINVAL,
		"wrong layout (\"damaged\"), pool created with layout \"Damaged\"", -1},
	{"odd run id", 0x1808, {1}, RAW, -1, "invalid run_id", 0},
	{"heap signature", 0x302000, {1}, RAW, -1, "heap: invalid header's checksum", 0},
	{"heap checksum", 0x3023F8, {1}, RAW, -1, "heap: invalid header's checksum", 0},
	{"zone magic", 0x302400, {1}, RAW, -1, "heap: invalid zone magic", 0},
	{"empty zone", 0x302404, {17}, RAW, -2, "heap: invalid zone size", 0},
	{"zone too big", 0x302404, {0, 0, 1}, RAW, -1, "heap: ", 0},
	{"chunk type", 0x302440, {0x40}, RAW, -1, "heap: ", 0},
	{"chunk size", 0x302444, {0, 0, 4}, RAW, -1, "heap: ", 0},
	{"lanes offset", 0x1400, {0, 0x20 ^ 0x10}, REPAIRED, -3, "invalid pool descriptor: lanes_offset", -1},
	{"number of lanes", 0x1408, {0, 4}, REPAIRED, -3, "invalid pool descriptor: nlanes", -1},
	{"heap offset", 0x1410, {0x10}, REPAIRED, -3, "invalid pool descriptor: heap_offset", -1},
	{"heap offset outside", 0x1412, {0, 1}, REPAIRED, -3, "invalid pool descriptor: heap_offset", -1},
	{"heap size", 0x1820, {0, 0x10}, RAW, -3, "heap: invalid heap size", 0},
};

static unsigned char *
load(const char *path, size_t size)
{
	int fd = open(path, O_RDWR);
	unsigned char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return at;
}

static void
damaged_pools(void)
{
	PMEMobjpool *p = pmemobj_create(path_of("good"), "damaged", SIZE, 0600);
	NEED(p != NULL);
	PMEMoid oid;
	for (int i = 0; i < 50; i++)
		pmemobj_zalloc(p, &oid, 40 * (size_t)i + 1, 1);
	pmemobj_root(p, 1000);
	pmemobj_close(p);
	good = load(path_of("good"), SIZE);
	put_file(path_of("bad"), SIZE, 0);
	bad = load(path_of("bad"), SIZE);
	unsigned char *image = malloc(SIZE);
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		const struct damage *d = &damages[i];
		if (d->error <= -2 && is_pmdk())
			continue;
		memcpy(image, good, SIZE);
		for (int k = 0; k < 8; k++)
			image[d->at + (size_t)k] ^= d->xor[k];
		if (d->checksums == REPAIRED)
			repair_checksums(image);
		memcpy(bad, image, SIZE);
		int checked = pmemobj_check(path_of("bad"), "damaged");
		if (checked != d->check)
			FAIL("%s: check says %d, not %d (%s)", d->what, checked, d->check, pmemobj_errormsg());
		if (memcmp(bad, image, SIZE) != 0)
			FAIL("%s: check wrote to the file", d->what);
		errno = 0;
		p = pmemobj_open(path_of("bad"), "damaged");
		int error = errno;
		if ((p != NULL) != (d->error == 0)) {
			FAIL("%s: open gave %s: %s", d->what, p ? "a pool" : "NULL", pmemobj_errormsg());
		} else if (p == NULL) {
			if (d->error > 0 ? error != d->error : !is_pmdk() && error != EINVAL)
				FAIL("%s: errno %d", d->what, error);
			if (strncmp(pmemobj_errormsg(), d->message, strlen(d->message)) != 0)
				FAIL("%s: message \"%s\", not \"%s\"", d->what, pmemobj_errormsg(), d->message);
			/* A failed open changes nothing; PMDK's the shutdown state and the
			 * bytes that belong to whoever has the pool open. */
			if (is_pmdk()) {
				memcpy(image + 0xFB8, bad + 0xFB8, 64);
				memcpy(image + 0x1A20, bad + 0x1A20, 0x2000 - 0x1A20);
			}
			for (size_t at = 0; at < SIZE; at++)
				if (bad[at] != image[at]) {
					FAIL("%s: the failed open wrote to byte %#zx", d->what, at);
					break;
				}
		}
		if (p)
			pmemobj_close(p);
	}
	free(image);
	munmap(good, SIZE);
	munmap(bad, SIZE);
	unlink(path_of("good"));
	unlink(path_of("bad"));
}

static int lines_logged, remarks_logged;

static void
count_lines(unsigned level, const char *file, unsigned line, const char *function, const char *message)
{
	(void)file, (void)line, (void)function;
	lines_logged += level == 2;
	remarks_logged += level == 4 && strstr(message, "reserved") != NULL;
}

/* Check tells all that it finds: the message the first defects, the log of 2.x
 * everything, harmless oddities at level NOTICE. */
static void
check_tells_all(void)
{
	if (is_pmdk())
		return; /* it says what kind of structure is damaged, and stops */
	int (*set_threshold)(unsigned, unsigned) = dlsym(RTLD_DEFAULT, "pmemobj_log_set_threshold");
	int (*set_function)(void (*)(unsigned, const char *, unsigned, const char *, const char *)) =
		dlsym(RTLD_DEFAULT, "pmemobj_log_set_function");
	PMEMobjpool *p = pmemobj_create(path_of("told"), "told", SIZE, 0600);
	NEED(p != NULL && set_threshold && set_function);
	pmemobj_root(p, 1000);
	pmemobj_close(p);
	unsigned char *pool = load(path_of("told"), SIZE);
	for (int lane = 0; lane < 200; lane++)
		pool[0x2000 + 3072 * lane + 0x20] = 9; /* flags of a log */
	pool[0x1840] = 1;
	EQ(set_threshold(0, 4), 0);
	EQ(set_function(count_lines), 0);
	errno = 0;
	EQ(pmemobj_check(path_of("told"), "told"), 0);
	EQ(errno, EINVAL);
	EQ(lines_logged, 200);
	EQ(remarks_logged, 1);
	const char *first = "invalid log: lane 0, internal redo log: flags at offset 0x2020 is 0x9, expected 0; ";
	STARTS(pmemobj_errormsg(), first);
	CHECK(strstr(pmemobj_errormsg(), "\ninvalid log: lane 1, internal redo log: flags at offset 0x2c20") != NULL);
	CHECK(strlen(pmemobj_errormsg()) == 8191);
	pool[0x1840] = 0;
	for (int lane = 0; lane < 200; lane++)
		pool[0x2000 + 3072 * lane + 0x20] = 0;
	EQ(pmemobj_check(path_of("told"), "told"), 1);
	EQ(lines_logged, 200);
	EQ(set_function(NULL), 0);
	EQ(set_threshold(0, 3), 0);
	munmap(pool, SIZE);
	unlink(path_of("told"));
}

/* --- open and check ----------------------------------------------------------------- */

static void
cannot_open(const char *path, const char *layout, int error, const char *message)
{
	errno = 0;
	PMEMobjpool *p = pmemobj_open(path, layout);
	if (p != NULL) {
		FAIL("open(%s) succeeded", path);
		pmemobj_close(p);
		return;
	}
	if (errno != error || strncmp(pmemobj_errormsg(), message, strlen(message)) != 0)
		FAIL("open(%s): errno %d, \"%s\"; not %d, \"%s\"", path ? path : "NULL", errno,
			pmemobj_errormsg(), error, message);
	EQ(pmemobj_check(path, layout), -1);
}

static void
open_in_child(void *arg)
{
	(void)arg;
	char message[700];
	snprintf(message, sizeof(message), "flock \"%s\": Resource temporarily unavailable", path_of("pool"));
	cannot_open(path_of("pool"), NULL, EAGAIN, message);
}

static void
copy(const char *from, const char *to, size_t size)
{
	put_file(to, size, 0);
	unsigned char *a = load(from, size), *b = load(to, size);
	memcpy(b, a, size);
	munmap(a, size);
	munmap(b, size);
}

static void
open_refuses(void)
{
	char message[700];
	cannot_open(NULL, NULL, EINVAL, "invalid (NULL) path");
	snprintf(message, sizeof(message), "open \"%s\": No such file or directory", path_of("missing"));
	cannot_open(path_of("missing"), NULL, ENOENT, message);
	mkdir(path_of("dir"), 0755);
	snprintf(message, sizeof(message), "stat \"%s\": negative size", path_of("dir"));
	cannot_open(path_of("dir"), NULL, EINVAL, message);
	rmdir(path_of("dir"));
	/* What can hold no pool is refused before it is opened: a FIFO would wait. */
	snprintf(message, sizeof(message), "file type 010000 not supported");
	NEED(mkfifo(path_of("fifo"), 0600) == 0);
	alarm(20);
	cannot_open(path_of("fifo"), NULL, EINVAL, message);
	refused(path_of("fifo"), NULL, 0, EINVAL, message);
	EQ(pmemobj_check(path_of("fifo"), NULL), -1);
	alarm(0);
	unlink(path_of("fifo"));
	cannot_open("/dev/null", NULL, EINVAL, "");
	refused("/dev/null", NULL, 0, EINVAL, "");
	NEED(symlink(path_of("loop"), path_of("loop")) == 0);
	snprintf(message, sizeof(message), "os_access \"%s\": Too many levels of symbolic links", path_of("loop"));
	cannot_open(path_of("loop"), NULL, ELOOP, message);
	refused(path_of("loop"), NULL, 0, ELOOP, message);
	unlink(path_of("loop"));
	put_file(path_of("small"), (2 << 20) - 1, 0);
	cannot_open(path_of("small"), NULL, EINVAL, "size 2097151 smaller than 2097152");
	put_file(path_of("small"), 2 << 20, 0);
	cannot_open(path_of("small"), NULL, EINVAL, "invalid major version (0)");
	put_file(path_of("small"), 2 << 20, 'x');
	cannot_open(path_of("small"), NULL, EINVAL, "wrong pool type: \"xxxxxxx");
	if (!is_pmdk()) { /* the reference dies of SIGBUS */
		put_file(path_of("small"), 0, 0);
		cannot_open(path_of("small"), NULL, EINVAL, "size 0 smaller than 2097152");
	}
	unlink(path_of("small"));

	PMEMobjpool *p = pmemobj_create(path_of("pool"), "layout", SIZE, 0600);
	NEED(p != NULL);
	EQ(outcome(open_in_child, NULL), 0);
	snprintf(message, sizeof(message), "flock \"%s\": ", path_of("pool"));
	cannot_open(path_of("pool"), NULL, EAGAIN, message);
	CHECK(link(path_of("pool"), path_of("link")) == 0);
	snprintf(message, sizeof(message), "flock \"%s\": ", path_of("link"));
	cannot_open(path_of("link"), NULL, EAGAIN, message);
	unlink(path_of("link"));
	refused(path_of("pool"), "layout", SIZE, EEXIST, "file ");
	copy(path_of("pool"), path_of("copy"), SIZE);
	errno = 0;
	CHECK(pmemobj_open(path_of("copy"), NULL) == NULL);
	EQ(errno, EEXIST);
	STARTS(pmemobj_errormsg(), "pool initialization failed");
	EQ(pmemobj_check(path_of("copy"), NULL), 1);
	pmemobj_close(p);
	p = pmemobj_open(path_of("copy"), NULL);
	CHECK(p != NULL);
	if (p)
		pmemobj_close(p);

	cannot_open(path_of("pool"), "", EINVAL, "wrong layout (\"\"), pool created with layout \"layout\"");
	cannot_open(path_of("pool"), "layou", EINVAL,
		"wrong layout (\"layou\"), pool created with layout \"layout\"");
	EQ(pmemobj_check(path_of("pool"), "layout"), 1);
	EQ(pmemobj_check(path_of("pool"), NULL), 1);
	for (int i = 0; i < 2; i++) {
		p = pmemobj_open(path_of("pool"), i ? "layout" : NULL);
		NEED(p != NULL);
		pmemobj_close(p);
	}
	unlink(path_of("pool"));
	unlink(path_of("copy"));
}

static void
other_sizes(void)
{
	PMEMobjpool *p = pmemobj_create(path_of("size"), NULL, SIZE, 0600);
	NEED(p != NULL);
	PMEMoid oid;
	while (pmemobj_alloc(p, &oid, 250000, 1, NULL, NULL) == 0)
		;
	pmemobj_close(p);
	/* Larger: it opens; the heap keeps the size that is on media. */
	CHECK(truncate(path_of("size"), SIZE * 2) == 0);
	p = pmemobj_open(path_of("size"), NULL);
	NEED(p != NULL);
	unsigned more = 0;
	while (pmemobj_alloc(p, &oid, 250000, 1, NULL, NULL) == 0)
		more++;
	EQ(more, 0);
	pmemobj_close(p);
	EQ(pmemobj_check(path_of("size"), NULL), 1);
	/* Smaller than the heap: refused. */
	CHECK(truncate(path_of("size"), 7 << 20) == 0);
	CHECK(pmemobj_open(path_of("size"), NULL) == NULL);
	if (!is_pmdk()) { /* the reference dies of a heap that is cut off altogether */
		CHECK(truncate(path_of("size"), 3 << 20) == 0);
		CHECK(pmemobj_open(path_of("size"), NULL) == NULL);
		EQ(errno, EINVAL);
	}
	unlink(path_of("size"));
}

/* The lock lives with the mapping, in a forked child as well. */
static void
fork_keeps_the_lock(void)
{
	PMEMobjpool *p = pmemobj_create(path_of("fork"), NULL, SIZE, 0600);
	NEED(p != NULL);
	int pipes[2];
	CHECK(pipe(pipes) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		char c;
		close(pipes[1]);
		(void)!read(pipes[0], &c, 1);
		_exit(0);
	}
	pmemobj_close(p);
	errno = 0;
	CHECK(pmemobj_open(path_of("fork"), NULL) == NULL);
	EQ(errno, EAGAIN);
	close(pipes[1]);
	waitpid(pid, NULL, 0);
	close(pipes[0]);
	p = pmemobj_open(path_of("fork"), NULL);
	CHECK(p != NULL);
	if (p)
		pmemobj_close(p);
	unlink(path_of("fork"));
}

static int
descriptors(void)
{
	int n = 0;
	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return n;
}

static void
handles_and_addresses(void)
{
	CHECK(pmemobj_pool_by_ptr(&errno) == NULL);
	int before = descriptors();
	PMEMobjpool *p = pmemobj_create(path_of("handle"), NULL, SIZE, 0600);
	NEED(p != NULL);
	EQ(descriptors(), before); /* none is held while a pool is open */
	EQ((uintptr_t)p % (2 << 20), 0);
	CHECK(memcmp(p, "PMEMOBJ", 8) == 0); /* the handle is the mapping's address */
	CHECK(*(void **)((char *)p + 0x1A20) == p); /* known clients read it there */
	CHECK(pmemobj_pool_by_ptr(p) == p);
	CHECK(pmemobj_pool_by_ptr((char *)p + SIZE - 1) == p);
	CHECK(pmemobj_pool_by_ptr((char *)p + SIZE) == NULL);
	CHECK(pmemobj_pool_by_ptr((char *)p - 1) == NULL);
	PMEMoid oid = pmemobj_oid((char *)p + 12345);
	EQ(oid.off, 12345);
	CHECK(oid.pool_uuid_lo != 0 && pmemobj_oid(p).pool_uuid_lo == oid.pool_uuid_lo);
	CHECK(pmemobj_oid(&before).off == 0 && pmemobj_oid(&before).pool_uuid_lo == 0);
	uint64_t uuid[2];
	memcpy(uuid, (char *)p + 0x18, 16);
	CHECK(oid.pool_uuid_lo == __builtin_bswap64(uuid[0] ^ uuid[1]));
	CHECK(pmemobj_pool_by_oid((PMEMoid){1, 2}) == NULL);
	CHECK(pmemobj_pool_by_oid(OID_NULL) == NULL);

	CHECK(pmemobj_get_user_data(p) == NULL);
	pmemobj_set_user_data(p, &before);
	CHECK(pmemobj_get_user_data(p) == &before);
	errno = 4711;
	pmemobj_close(p);
	EQ(errno, 4711);
	CHECK(pmemobj_pool_by_ptr(p) == NULL);
	p = pmemobj_open(path_of("handle"), NULL);
	NEED(p != NULL);
	CHECK(pmemobj_get_user_data(p) == NULL);
	pmemobj_close(p);
	unlink(path_of("handle"));
}

/* --- the durability functions ------------------------------------------------------- */

static void
memory_functions(void)
{
	PMEMobjpool *p = pmemobj_create(path_of("memory"), NULL, SIZE, 0600);
	NEED(p != NULL);
	PMEMoid oid;
	NEED(pmemobj_zalloc(p, &oid, 20000, 1) == 0);
	char *at = pmemobj_direct(oid), text[3000];
	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * 7);
	for (unsigned flags = 0; flags <= 0x3F; flags++)
		for (size_t size = 0; size <= sizeof(text); size += 1 + size / 3) {
			char *to = at + flags;
			memset(at, 0, 8000);
			CHECK(pmemobj_memcpy(p, to, text, size, flags) == to);
			CHECK(memcmp(to, text, size) == 0 && to[size] == 0);
			CHECK(pmemobj_memmove(p, to + 33, to, size, flags) == to + 33);
			CHECK(memcmp(to + 33, text, size) == 0 && to[33 + size] == 0);
			CHECK(pmemobj_memset(p, to, 0x1A5, size, flags) == to);
			CHECK(size == 0 || ((unsigned char)to[0] == 0xA5 && (unsigned char)to[size - 1] == 0xA5));
			pmemobj_drain(p);
		}
	CHECK(pmemobj_memcpy_persist(p, at, text, 100) == at && memcmp(at, text, 100) == 0);
	CHECK(pmemobj_memset_persist(p, at, 0, 100) == at && at[99] == 0);
	pmemobj_persist(p, at, 1);
	pmemobj_flush(p, at, 20000);
	pmemobj_drain(p);
	EQ(pmemobj_xpersist(p, at, 10, 0), 0);
	EQ(pmemobj_xpersist(p, at, 10, PMEMOBJ_F_RELAXED), 0);
	EQ(pmemobj_xflush(p, at, 10, PMEMOBJ_F_RELAXED), 0);
	errno = 0;
	EQ(pmemobj_xpersist(p, at, 10, 1), -1);
	EQ(errno, EINVAL);
	STARTS(pmemobj_errormsg(), "invalid flags 0x1");
	EQ(pmemobj_xflush(p, at, 10, PMEMOBJ_F_RELAXED | 2), -1);
	STARTS(pmemobj_errormsg(), "invalid flags 0x80000002");
	pmemobj_close(p);
	unlink(path_of("memory"));
}

int
main(void)
{
	umask(022);
	RUN(create_refuses);
	RUN(create_makes);
	RUN(permissions);
	RUN(open_refuses);
	RUN(damaged_pools);
	RUN(check_tells_all);
	RUN(other_sizes);
	RUN(fork_keeps_the_lock);
	RUN(handles_and_addresses);
	RUN(memory_functions);
	DONE();
}

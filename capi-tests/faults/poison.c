/*
 * poison.c -- pages of a pool's metadata that cannot be read: opening and
 * checking say where, instead of dying of SIGBUS.
 *
 * A bad page is one that pread cannot read, and whose mapping is one of nothing;
 * or the file is cut there as soon as it is mapped.
 */
#define _GNU_SOURCE
#include <libpmemobj.h>
#include "machine.h"

#define PAGE 4096

static off_t bad;

/* --- the fault ------------------------------------------------------------------ */

static void
lose_a_page(char *mapping, size_t len, int fd)
{
	(void)fd;
	if ((size_t)bad >= len)
		return;
	int nothing = memfd_create("nothing", 0);
	CHECK(libc_mmap(mapping + bad, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, nothing, 0) != MAP_FAILED);
	libc_close(nothing);
}

static void
cut_the_file(char *mapping, size_t len, int fd)
{
	(void)mapping;
	(void)len;
	CHECK(ftruncate(fd, bad) == 0);
}

/* Reads up to the bad page. */
static ssize_t
read_around(int fd, const struct iovec *iov, int n, off_t off)
{
	ssize_t total = 0;
	for (int i = 0; i < n; i++) {
		off_t at = off + total;
		size_t want = iov[i].iov_len;
		if (at < bad + PAGE && at + (off_t)want > bad)
			want = at < bad ? (size_t)(bad - at) : 0;
		ssize_t r = want == 0 ? 0 : libc_pread(fd, iov[i].iov_base, want, at);
		if (r < 0)
			return total > 0 ? total : r;
		total += r;
		if ((size_t)r < iov[i].iov_len)
			break;
	}
	errno = EIO;
	return total > 0 ? total : -1;
}

/* --- what is said of it ------------------------------------------------------------ */

static void
judge(const char *path, const char *call, int failed)
{
	const char *message = pmemobj_errormsg(), *offset = strstr(message, "offset ");
	off_t named = offset ? strtoll(offset + strlen("offset "), NULL, 16) : -1;
	if (!failed || errno != EIO || named < bad || named >= bad + PAGE || !strstr(message, path))
		FAIL("page %#llx: %s %s, errno %d, \"%s\"", (unsigned long long)bad, call, failed ? "failed" : "succeeded",
			errno, message);
}

static void
check_it(void *path)
{
	static struct holdings before;
	case_failures = 0;
	take_stock(&before);
	machine.armed = 1;
	judge(path, "check", pmemobj_check(path, NULL) != 1);
	machine.armed = 0;
	nothing_left(&before, "check");
}

static void
open_it(void *path)
{
	static struct holdings before;
	case_failures = 0;
	take_stock(&before);
	machine.armed = 1;
	judge(path, "open", pmemobj_open(path, NULL) == NULL);
	machine.armed = 0;
	nothing_left(&before, "open");
}

/* Looks at the pool with a page that is bad. */
static void
look_at(const char *path, off_t page)
{
	bad = page;
	machine.mapped = lose_a_page;
	machine.preadv = read_around;
	EQ(outcome(check_it, (void *)path), 0);
	EQ(outcome(open_it, (void *)path), 0);
}

/* The same with the file cut, of which the copy `path` is made. */
static void
cut_at(const char *path, const char *original, off_t page)
{
	char command[1200];
	snprintf(command, sizeof(command), "cp --sparse=always '%s' '%s'", original, path);
	bad = page;
	machine.mapped = cut_the_file;
	machine.preadv = NULL;
	CHECK(system(command) == 0);
	EQ(outcome(open_it, (void *)path), 0);
	unlink(path);
}

/* Both, and the original stays. */
static void
look_and_cut(const char *path, off_t page)
{
	look_at(path, page);
	cut_at(path_of("cut"), path, page);
}

static void
works(const char *path)
{
	EQ(pmemobj_check(path, NULL), 1);
	PMEMobjpool *p = pmemobj_open(path, NULL);
	NEED(p != NULL);
	pmemobj_close(p);
}

static const char *
new_pool(const char *path, off_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), no = 0;
	CHECK(fd >= 0 && ftruncate(fd, size) == 0);
	close(fd);
	CHECK(pmemobj_ctl_set(NULL, "fallocate.at_create", &no) == 0);
	PMEMobjpool *p = pmemobj_create(path, NULL, 0, 0600);
	CHECK(p != NULL);
	if (p != NULL)
		pmemobj_close(p);
	return path;
}

#define LANES 0x2000
#define HEAP 0x302000
#define ZONE_SIZE (64 + 65528 * 8 + 65528 * 0x40000LL)

/* Header, descriptor, lanes, heap and zone header with the first chunks'. */
static void
a_small_pool(void)
{
	const char *path = new_pool(path_of("small"), 8 << 20);
	for (off_t page = 0; page < HEAP; page += page < LANES + 4 * PAGE ? PAGE : 67 * PAGE)
		look_at(path, page);
	look_at(path, HEAP - PAGE);
	look_at(path, HEAP);
	works(path);
	for (off_t page = 0; page <= HEAP; page = page == 0 ? PAGE : page * 4 < HEAP ? page * 4 : page < HEAP ? HEAP : HEAP + 1)
		cut_at(path_of("cut"), path, page);
	unlink(path);
}

/* Chunk headers of the first zone, the second zone's header and its chunks'. */
static void
a_large_pool(void)
{
	const char *path = new_pool(path_of("large"), 20LL << 30);
	off_t second = (HEAP + 1024 + ZONE_SIZE) & -PAGE;
	look_at(path, HEAP + PAGE);
	look_at(path, HEAP + 64 * PAGE);
	look_at(path, HEAP + 128 * PAGE);
	look_at(path, second);
	look_at(path, second + PAGE);
	works(path);
	cut_at(path_of("cut"), path, second);
	unlink(path);
}

/* --- what logs lead to ------------------------------------------------------------- */

#define LANE_SIZE 3072
#define UNDO_NEXT (0x3c0 + 8)
#define FIRST_CHUNK (HEAP + 1024 + 64 + 65528 * 8)
#define CHUNK_HEADERS (HEAP + 1024 + 64)
#define CHUNK 0x40000
#define A_RUN 4
#define PART_OF_A_RUN 5
#define PIECE 1000
#define PIECES 60

/* The log that the first extended undo log continues in. */
static off_t
extension(const char *path)
{
	for (int lane = 0; lane < 1024; lane++) {
		off_t next = (off_t)word_at(path, LANES + lane * LANE_SIZE + UNDO_NEXT);
		if (next != 0)
			return next;
	}
	return 0;
}

/* A run's header before a block in it; 0 if it is not in a run. */
static off_t
run_header(const char *path, off_t at)
{
	off_t chunk = (at - FIRST_CHUNK) / CHUNK;
	uint64_t header = word_at(path, CHUNK_HEADERS + 8 * chunk);
	if ((header & 0xffff) == PART_OF_A_RUN) {
		chunk -= (off_t)(header >> 32);
		header = word_at(path, CHUNK_HEADERS + 8 * chunk);
	}
	return (header & 0xffff) == A_RUN ? FIRST_CHUNK + chunk * CHUNK : 0;
}

/* A process that changes the root piece by piece, and dies before it commits or
 * closes the pool after that. */
static void
change(const char *path, int dies)
{
	pid_t pid = fork();
	if (pid == 0) {
		PMEMobjpool *p = pmemobj_open(path, NULL);
		PMEMoid root = pmemobj_root(p, PIECE * PIECES);
		/* So that the log is not the first in its run. */
		if (pmemobj_alloc(p, NULL, 32 << 10, 1, NULL, NULL) != 0)
			_exit(1);
		TX_BEGIN(p) {
			for (size_t i = 0; i < PIECES; i++) {
				pmemobj_tx_add_range(root, i * PIECE, PIECE - 8);
				memset((char *)pmemobj_direct(root) + i * PIECE, 1, PIECE - 8);
			}
			if (dies)
				_exit(0);
		} TX_ONABORT {
			_exit(1);
		} TX_END
		pmemobj_close(p);
		_exit(0);
	}
	int status;
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* The header of an extension, and that of the run it is in: read last, when the
 * transaction is rolled back already. */
static void
headers(const char *path, off_t log)
{
	NEED(log > FIRST_CHUNK);
	look_and_cut(path, log & -PAGE);
	NEED(run_header(path, log) != 0 && log - run_header(path, log) > PAGE);
	look_at(path, run_header(path, log) & -PAGE);
}

/* An entry in the middle of the log, and both. */
static void
an_interrupted_transaction(void)
{
	const char *path = new_pool(path_of("interrupted"), 16 << 20);
	change(path, 1);
	off_t log = extension(path);
	NEED(log > FIRST_CHUNK);
	look_and_cut(path, (log & -PAGE) + 2 * PAGE);
	headers(path, log);
	works(path);
	EQ(extension(path), 0);
	unlink(path);
}

/* A lane keeps an extension when it is idle; opening releases it. */
static void
an_idle_extension(void)
{
	const char *path = new_pool(path_of("idle"), 16 << 20);
	change(path, 0);
	headers(path, extension(path));
	works(path);
	unlink(path);
}

int
main(void)
{
	static char buffer[1 << 16];
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	RUN(a_small_pool);
	RUN(a_large_pool);
	RUN(an_interrupted_transaction);
	RUN(an_idle_extension);
	DONE();
}

/*
 * processes.c -- one pool, several processes: who comes second is told so.
 *
 *   processes             with a holder on the library in HOLDER_LIBRARY_PATH
 *   processes hold PATH   the holder: opens the pool, says how that went, and
 *                         does as it is told by letters on its standard input
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <libpmemobj.h>
#include <poll.h>
#include <sys/file.h>
#include "../behaviour/test.h"

#define SIZE PMEMOBJ_MIN_POOL
#define LEASH 9 /* the descriptor whose end ends a child of the holder */

/* --- the holder ----------------------------------------------------------------- */

static int
hold(const char *path)
{
	PMEMobjpool *p = pmemobj_open(path, "two");
	char c = p != NULL ? 'o' : 'e';
	while (write(1, &c, 1) == 1 && read(0, &c, 1) == 1) {
		PMEMoid oid;
		switch (c) {
		case 'a': /* allocate */
			c = pmemobj_zalloc(p, &oid, 1000, 7) == 0 ? 'a' : 'e';
			break;
		case 'f': /* a child that outlives this process, for a moment */
			if (fork() == 0) {
				close(1);
				(void)!read(LEASH, &c, 1);
				_exit(0);
			}
			break;
		case 'c':
			pmemobj_close(p);
			p = NULL;
			break;
		case 'x': /* become another program, which waits for the end of its input */
			if (write(1, &c, 1) == 1)
				execl("/bin/cat", "cat", (char *)NULL);
			return 1;
		default:
			return 1;
		}
	}
	return 0;
}

static struct {
	pid_t pid;
	int to, from, leash;
} holder;

/* Tells the holder what to do; true if it says that it did so. */
static int
tell(char c)
{
	char answer = 0;
	struct pollfd ready = {.fd = holder.from, .events = POLLIN};
	return (c == 0 || write(holder.to, &c, 1) == 1) && poll(&ready, 1, 20000) == 1 &&
		read(holder.from, &answer, 1) == 1 && answer == (c ? c : 'o');
}

static int
start(const char *path)
{
	int to[2], from[2], leash[2];
	if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0 || pipe2(leash, O_CLOEXEC) != 0)
		return 0;
	holder.pid = fork();
	if (holder.pid == 0) {
		dup2(to[0], 0);
		dup2(from[1], 1);
		dup2(leash[0], LEASH);
		if (getenv("HOLDER_LIBRARY_PATH") != NULL)
			setenv("LD_LIBRARY_PATH", getenv("HOLDER_LIBRARY_PATH"), 1);
		execl("/proc/self/exe", "processes", "hold", path, (char *)NULL);
		_exit(1);
	}
	close(to[0]);
	close(from[1]);
	close(leash[0]);
	holder.leash = leash[1];
	holder.to = to[1];
	holder.from = from[0];
	return tell(0);
}

static void
end(int signal)
{
	if (signal != 0)
		kill(holder.pid, signal);
	close(holder.to);
	close(holder.from);
	close(holder.leash);
	waitpid(holder.pid, NULL, 0);
}

/* --- who comes second --------------------------------------------------------------- */

static const char *
flock_message(void)
{
	static char message[700];
	snprintf(message, sizeof(message), "flock \"%s\": Resource temporarily unavailable", path_of("pool"));
	return message;
}

static void
refused(const char *when)
{
	errno = 0;
	PMEMobjpool *p = pmemobj_open(path_of("pool"), "two");
	if (p != NULL || errno != EWOULDBLOCK) {
		FAIL("%s: open: %p, errno %d", when, (void *)p, errno);
		return;
	}
	STARTS(pmemobj_errormsg(), flock_message());
	errno = 0;
	int r = pmemobj_check(path_of("pool"), "two");
	if (r != -1 || errno != EWOULDBLOCK) {
		FAIL("%s: check: %d, errno %d", when, r, errno);
		return;
	}
	STARTS(pmemobj_errormsg(), flock_message());
}

static void
opens(const char *when)
{
	PMEMobjpool *p = pmemobj_open(path_of("pool"), "two");
	if (p == NULL) {
		FAIL("%s: open: errno %d, %s", when, errno, pmemobj_errormsg());
		return;
	}
	pmemobj_close(p);
	EQ(pmemobj_check(path_of("pool"), "two"), 1);
}

static void
new_pool(void)
{
	unlink(path_of("pool"));
	PMEMobjpool *p = pmemobj_create(path_of("pool"), "two", SIZE, 0600);
	NEED(p != NULL);
	pmemobj_close(p);
}

/* Nothing that is tried changes the pool under its owner's hands. */
static void
all_are_refused(void)
{
	new_pool();
	NEED(start(path_of("pool")));
	static char before[SIZE], after[SIZE];
	int fd = open(path_of("pool"), O_RDONLY);
	CHECK(pread(fd, before, SIZE, 0) == (ssize_t)SIZE);
	refused("while it is open");
	errno = 0;
	CHECK(pmemobj_create(path_of("pool"), "two", SIZE, 0600) == NULL);
	EQ(errno, EEXIST);
	errno = 0;
	CHECK(pmemobj_create(path_of("pool"), "two", 0, 0600) == NULL);
	EQ(errno, EWOULDBLOCK);
	CHECK(link(path_of("pool"), path_of("other name")) == 0);
	CHECK(pmemobj_open(path_of("other name"), "two") == NULL);
	EQ(errno, EWOULDBLOCK);
	unlink(path_of("other name"));
	CHECK(pread(fd, after, SIZE, 0) == (ssize_t)SIZE);
	CHECK(memcmp(before, after, SIZE) == 0);
	close(fd);
	CHECK(tell('a'));
	CHECK(tell('c'));
	opens("after it was closed");
	end(0);
}

static void
a_killed_owner(void)
{
	new_pool();
	NEED(start(path_of("pool")));
	CHECK(tell('a'));
	refused("while it is open");
	end(SIGKILL);
	opens("after its owner was killed");
}

static void
an_owner_that_becomes_another_program(void)
{
	new_pool();
	NEED(start(path_of("pool")));
	CHECK(tell('x'));
	char c = 'y', answer = 0;
	CHECK(write(holder.to, &c, 1) == 1); /* cat's answer: it is no longer the holder */
	CHECK(read(holder.from, &answer, 1) == 1 && answer == 'y');
	opens("after its owner became another program");
	end(0);
}

static void
an_owner_with_a_child(void)
{
	new_pool();
	NEED(start(path_of("pool")));
	CHECK(tell('f'));
	CHECK(tell('c'));
	refused("while a child of its owner lives");
	kill(holder.pid, SIGKILL);
	waitpid(holder.pid, NULL, 0);
	refused("while a child of its dead owner lives");
	close(holder.to);
	close(holder.leash);
	/* The child ends now; nobody says when it has. */
	for (int i = 0; i < 2000; i++) {
		PMEMobjpool *p = pmemobj_open(path_of("pool"), "two");
		if (p != NULL) {
			pmemobj_close(p);
			break;
		}
		usleep(10000);
	}
	close(holder.from);
	opens("after the child ended");
}

/* A shared lock, as some program that copies the file may take. */
static void
a_locked_file(void)
{
	new_pool();
	int fd = open(path_of("pool"), O_RDONLY);
	CHECK(flock(fd, LOCK_SH) == 0);
	refused("while the file is locked");
	close(fd);
	opens("after the lock was released");
}

int
main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "hold") == 0)
		return hold(argv[2]);
	signal(SIGPIPE, SIG_IGN);
	alarm(60); /* a lock that is waited for */
	RUN(all_are_refused);
	RUN(a_killed_owner);
	RUN(an_owner_that_becomes_another_program);
	RUN(an_owner_with_a_child);
	RUN(a_locked_file);
	DONE();
}

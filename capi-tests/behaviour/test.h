/*
 * test.h -- the little that the behaviour programs share.
 *
 * A program is a list of cases, each printing "ok" or "not ok" with its name.
 * The library under test comes from LD_LIBRARY_PATH, so one binary judges PMDK
 * and ours alike. The runner sets LIBRARY to "pmdk" or "ours" and TEST_DIR to
 * an empty directory.
 */
#ifndef TEST_H
#define TEST_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int case_failures, all_failures;

#define FAIL(...) do { \
	printf("# %s:%d: ", __FILE__, __LINE__); \
	printf(__VA_ARGS__); \
	printf("\n"); \
	case_failures++; \
} while (0)

#define CHECK(cond) do { if (!(cond)) FAIL("%s", #cond); } while (0)

/* For what makes the rest of the case pointless. */
#define NEED(cond) do { if (!(cond)) { FAIL("%s (errno %d)", #cond, errno); return; } } while (0)

#define EQ(got, want) do { \
	long long got_ = (long long)(got), want_ = (long long)(want); \
	if (got_ != want_) \
		FAIL("%s is %lld, not %lld", #got, got_, want_); \
} while (0)

#define STREQ(got, want) do { \
	const char *got_ = (got), *want_ = (want); \
	if (strcmp(got_, want_) != 0) \
		FAIL("%s is \"%s\", not \"%s\"", #got, got_, want_); \
} while (0)

/* The message starts with this text; ours may go on and say more. */
#define STARTS(got, want) do { \
	const char *got_ = (got), *want_ = (want); \
	if (strncmp(got_, want_, strlen(want_)) != 0) \
		FAIL("%s is \"%s\", not \"%s...\"", #got, got_, want_); \
} while (0)

/* A quirk of the reference from which ours departs on purpose: each library is
 * held to its own side. */
static inline int
is_pmdk(void)
{
	const char *library = getenv("LIBRARY");
	return library != NULL && strcmp(library, "pmdk") == 0;
}

#define RUN(name) do { \
	case_failures = 0; \
	name(); \
	printf("%s - %s\n", case_failures ? "not ok" : "ok", #name); \
	fflush(stdout); \
	all_failures += case_failures; \
} while (0)

#define DONE() return all_failures ? 1 : 0

/* A path in the test's own directory; eight may be in use at a time. */
static inline const char *
path_of(const char *name)
{
	static _Thread_local char buffers[8][512];
	static _Thread_local unsigned next;
	char *buffer = buffers[next++ % 8];
	const char *dir = getenv("TEST_DIR");
	snprintf(buffer, sizeof(buffers[0]), "%s/%s", dir ? dir : "/dev/shm", name);
	return buffer;
}

/* A word of a file. */
static inline uint64_t
word_at(const char *path, off_t at)
{
	uint64_t word = 0;
	int fd = open(path, O_RDONLY);
	CHECK(pread(fd, &word, sizeof(word), at) == sizeof(word));
	close(fd);
	return word;
}

/* What became of fn in a child: its exit status, or the negated signal. */
static inline int
outcome(void (*fn)(void *), void *arg)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		fn(arg);
		fflush(stdout);
		_exit(case_failures ? 99 : 0);
	}
	int status;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* A small deterministic generator (xorshift64*). */
static inline uint64_t
random_u64(uint64_t *state)
{
	uint64_t x = *state;
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545F4914F6CDD1DULL;
}

#endif

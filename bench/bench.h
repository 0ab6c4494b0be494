/*
 * bench.h - what the benchmark programs share. They use the public API alone, so
 * that LD_LIBRARY_PATH chooses the library that is measured, and print rows of
 * a name, a value and its unit, separated by tabs.
 */
#ifndef BENCH_H
#define BENCH_H 1

#include <errno.h>
#include <libpmem.h>
#include <libpmemobj.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLOTS 1024
#define MAX_THREADS 64
#define BUFFER (8UL << 20)

/* What a thread works on: an object of its own. */
struct area {
	PMEMoid oid[SLOTS];
	uint64_t words[SLOTS * 8];
	PMEMmutex mutex;
	PMEMrwlock rwlock;
	struct {
		PMEMoid first;
		PMEMmutex lock;
	} list;
	PMEMoid map;
	char buffer[BUFFER];
};

struct worker {
	PMEMobjpool *pop;
	struct area *area;
	PMEMoid oid; /* of the area */
	size_t ops;
	size_t arg;
	uint64_t random;
	int number, threads;
	struct worker *next; /* the next thread's */
};

struct scenario {
	const char *name;
	void (*run)(struct worker *);
	size_t arg;
	size_t ops;     /* per thread, about a tenth of a second */
	size_t counted; /* when instructions are counted; 0: not counted */
	int threads;    /* as many, whatever was asked for; 0: as asked for */
};

/* What the copies are made with: the library that is linked, or another one. */
extern struct pmem {
	void *(*memcpy_persist)(void *, const void *, size_t);
	void *(*memmove_persist)(void *, const void *, size_t);
	void *(*memset_persist)(void *, int, size_t);
	void (*persist)(const void *, size_t);
} pmem;

/* Each list ends with an empty entry. */
extern const struct scenario objects[], maps[], primitives[], shared[], copies[], huge[];

__attribute__((noreturn)) static inline void
die(const char *what)
{
	fprintf(stderr, "bench: %s: %s: %s\n", what, strerror(errno), pmemobj_errormsg());
	exit(1);
}

static inline uint64_t
clock_of(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static inline uint64_t
nanoseconds(void)
{
	return clock_of(CLOCK_MONOTONIC);
}

/* Of the process: stands still while other programs have the processor. */
static inline uint64_t
processor_time(void)
{
	return clock_of(CLOCK_PROCESS_CPUTIME_ID);
}

static inline uint64_t
next_random(uint64_t *state)
{
	uint64_t x = *state;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

static inline void
row(const char *name, double value, const char *unit)
{
	printf("%s\t%.9g\t%s\n", name, value, unit);
	fflush(stdout);
}

#define TX(pop) TX_BEGIN(pop)
#define TX_OR_DIE TX_ONABORT { die("a transaction aborted"); } TX_END

#endif

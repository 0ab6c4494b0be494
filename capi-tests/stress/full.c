/*
 * full.c -- threads that fill a pool and free each other's objects.
 *
 *   full ROUNDS THREADS
 *
 * Each round has sizes of its own, so that what held the last one's must serve
 * others: runs that become empty while other threads look for space turn into
 * free chunks, and free chunks into runs. Nothing may get lost on the way: when
 * all is free, as much fits as into a new pool.
 */
#define _GNU_SOURCE
#include <libpmemobj.h>
#include <pthread.h>
#include "../behaviour/test.h"

enum { MAX_THREADS = 16, MAX_OBJECTS = 8192 };

/* of a run's units, of another's, of whole chunks */
static const size_t sizes[] = {100, 1500, 20000, 130000, 700000, 240, 5000, 64};
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

/* Objects that one thread allocated and the next one frees. */
static struct { PMEMoid oid[MAX_OBJECTS]; size_t n; } held[MAX_THREADS];
static PMEMobjpool *pop;
static int rounds, threads;
static pthread_barrier_t barrier;

/* Allocates until nothing fits; frees one in `spare` at once if that is not 0. */
static void
fill(size_t t, size_t size, size_t spare)
{
	size_t n = 0;
	for (size_t i = 1; n < MAX_OBJECTS && pmemobj_alloc(pop, &held[t].oid[n], size, 1, NULL, NULL) == 0; i++)
		if (spare != 0 && i % spare == 0)
			pmemobj_free(&held[t].oid[n]);
		else
			n++;
	held[t].n = n;
}

static void
empty(size_t t)
{
	/* from both ends, so that runs become empty in no order of theirs */
	for (size_t i = 0; i < held[t].n; i++)
		pmemobj_free(&held[t].oid[i % 2 == 0 ? i / 2 : held[t].n - 1 - i / 2]);
	held[t].n = 0;
}

static void *
work(void *arg)
{
	size_t t = (size_t)arg;
	for (int round = 0; round < rounds; round++) {
		fill(t, sizes[(t + (size_t)round) % SIZES], 7);
		pthread_barrier_wait(&barrier);
		/* no barrier behind it: who is done first fills what others still empty */
		empty((t + 1) % (size_t)threads);
		fill(t + (size_t)threads, sizes[(t + (size_t)round + 3) % SIZES], 5);
		pthread_barrier_wait(&barrier);
		empty(t + (size_t)threads);
	}
	return NULL;
}

static size_t
fits(size_t size)
{
	fill(0, size, 0);
	size_t n = held[0].n;
	empty(0);
	return n;
}

static PMEMobjpool *
new_pool(void)
{
	unlink(path_of("full"));
	return pmemobj_create(path_of("full"), NULL, PMEMOBJ_MIN_POOL, 0600);
}

static void
nothing_gets_lost(void)
{
	pthread_t id[MAX_THREADS];
	size_t before[SIZES];
	for (size_t i = 0; i < SIZES; i++) {
		NEED((pop = new_pool()) != NULL);
		before[i] = fits(sizes[i]);
		pmemobj_close(pop);
	}
	NEED((pop = new_pool()) != NULL);
	pthread_barrier_init(&barrier, NULL, (unsigned)threads);
	for (size_t t = 0; t < (size_t)threads; t++)
		NEED(pthread_create(&id[t], NULL, work, (void *)t) == 0);
	for (int t = 0; t < threads; t++)
		pthread_join(id[t], NULL);
	pthread_barrier_destroy(&barrier);
	CHECK(OID_IS_NULL(pmemobj_first(pop)));
	for (size_t i = 0; i < SIZES; i++) {
		size_t after = fits(sizes[i]);
		if (after != before[i])
			FAIL("%zu objects of %zu bytes fit, %zu into a new pool", after, sizes[i], before[i]);
	}
	pmemobj_close(pop);
	EQ(pmemobj_check(path_of("full"), NULL), 1);
	unlink(path_of("full"));
}

int
main(int argc, char **argv)
{
	rounds = argc > 1 ? atoi(argv[1]) : 20;
	threads = argc > 2 ? atoi(argv[2]) : 4;
	if (threads < 1 || threads > MAX_THREADS / 2)
		return 2;
	RUN(nothing_gets_lost);
	DONE();
}

/*
 * churn.c -- pools and threads that come and go.
 *
 *   churn ROUNDS
 */
#define _GNU_SOURCE
#include <libpmemobj.h>
#include "resources.h"

static int rounds;
static PMEMobjpool *pop;

static void *
one_of_each(void *arg)
{
	PMEMoid oid = OID_NULL, *kept = arg;
	TX_BEGIN(pop) {
		oid = pmemobj_tx_alloc(100, 1);
	} TX_ONABORT {
		FAIL("aborted");
	} TX_END
	pmemobj_free(&oid);
	EQ(pmemobj_alloc(pop, &oid, 300, 1, NULL, NULL), 0);
	if (kept != NULL)
		*kept = oid;
	else
		pmemobj_free(&oid);
	return NULL;
}

static void
in_a_thread(void *(*fn)(void *), void *arg)
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, fn, arg) != 0)
		FAIL("no thread");
	else
		pthread_join(thread, NULL);
}

/* Nor do errors on the way keep anything. */
static void
pools_open_and_close(void)
{
	char path[512];
	snprintf(path, sizeof(path), "%s", path_of("churn"));
	struct resources before = {0};
	for (int i = 0; i < rounds; i++) {
		pop = i % 50 == 0 ? pmemobj_create(path, NULL, 8 << 20, 0600) : pmemobj_open(path, NULL);
		NEED(pop != NULL);
		one_of_each(NULL);
		in_a_thread(one_of_each, NULL);
		pmemobj_close(pop);
		if (i % 50 == 49)
			unlink(path);
		CHECK(pmemobj_open(path_of("missing"), NULL) == NULL);
		CHECK(pmemobj_create(path_of("small"), NULL, 4096, 0600) == NULL);
		if (i == rounds / 10)
			before = resources();
	}
	no_growth(&before);
	unlink(path);
}

static void
threads_come_and_go(void)
{
	pop = pmemobj_create(path_of("churn"), NULL, 16 << 20, 0600);
	NEED(pop != NULL);
	struct resources before = {0};
	for (int i = 0; i < 5 * rounds; i++) {
		in_a_thread(one_of_each, NULL);
		if (i == rounds) /* each lane that they use has been used */
			before = resources();
	}
	no_growth(&before);
	CHECK(OID_IS_NULL(pmemobj_first(pop)));
	pmemobj_close(pop);
	unlink(path_of("churn"));
}

/* --- arenas --------------------------------------------------------------------- */

enum { SITTING = 8 };
static pthread_barrier_t seated, leave;
static unsigned arenas_of[SITTING];

static void *
sit(void *arg)
{
	unsigned *arena = arg;
	EQ(pmemobj_ctl_get(pop, "heap.thread.arena_id", arena), 0);
	pthread_barrier_wait(&seated);
	pthread_barrier_wait(&leave);
	return NULL;
}

static void *
look(void *arg)
{
	unsigned *arena = arg;
	EQ(pmemobj_ctl_get(pop, "heap.thread.arena_id", arena), 0);
	return NULL;
}

/* Threads that ended weigh nothing: those that live are spread evenly, however
 * unevenly the others were. */
static void
arenas_lose_threads_that_end(void)
{
	pop = pmemobj_create(path_of("churn"), NULL, 16 << 20, 0600);
	NEED(pop != NULL);
	unsigned total, mine, arena;
	EQ(pmemobj_ctl_get(pop, "heap.narenas.automatic", &total), 0);
	EQ(pmemobj_ctl_get(pop, "heap.thread.arena_id", &mine), 0);
	/* one after the other: each finds the same arena empty, not the main thread's */
	unsigned first = 0;
	for (int i = 0; i < 3 * rounds; i++) {
		in_a_thread(look, &arena);
		NEED(total == 1 || arena != mine);
		if (first == 0)
			first = arena;
		NEED(arena == first);
	}
	/* at once: no arena gets more than its share */
	pthread_t threads[SITTING];
	pthread_barrier_init(&seated, NULL, SITTING + 1);
	pthread_barrier_init(&leave, NULL, SITTING + 1);
	for (int i = 0; i < SITTING; i++)
		pthread_create(&threads[i], NULL, sit, &arenas_of[i]);
	pthread_barrier_wait(&seated);
	unsigned most = 0;
	for (int i = -1; i < SITTING; i++) {
		unsigned same = mine == (i < 0 ? mine : arenas_of[i]);
		for (int k = 0; k < SITTING; k++)
			same += arenas_of[k] == (i < 0 ? mine : arenas_of[i]);
		most = same > most ? same : most;
	}
	EQ(most, (SITTING + 1 + total - 1) / total);
	pthread_barrier_wait(&leave);
	for (int i = 0; i < SITTING; i++)
		pthread_join(threads[i], NULL);
	pmemobj_close(pop);
	unlink(path_of("churn"));
}

/* A thread that uses more pools than it has records of keeps one seat in each. */
static void *
visit_all(void *arg)
{
	PMEMobjpool **pools = arg;
	unsigned arena, before[12];
	for (int round = 0; round < 20; round++)
		for (int i = 0; i < 12; i++) {
			EQ(pmemobj_ctl_get(pools[i], "heap.thread.arena_id", &arena), 0);
			if (round == 0)
				before[i] = arena;
			if (arena != before[i]) {
				FAIL("arena is %u, not %u", arena, before[i]);
				return NULL;
			}
		}
	return NULL;
}

static void
many_pools(void)
{
	PMEMobjpool *pools[12];
	char name[16];
	for (int i = 0; i < 12; i++) {
		snprintf(name, sizeof(name), "churn%d", i);
		NEED((pools[i] = pmemobj_create(path_of(name), NULL, 8 << 20, 0600)) != NULL);
	}
	for (int i = 0; i < 3; i++)
		in_a_thread(visit_all, pools);
	for (int i = 0; i < 12; i++) {
		snprintf(name, sizeof(name), "churn%d", i);
		pmemobj_close(pools[i]);
		unlink(path_of(name));
	}
}

int
main(int argc, char **argv)
{
	rounds = argc > 1 ? atoi(argv[1]) : 1000;
	RUN(pools_open_and_close);
	RUN(threads_come_and_go);
	RUN(arenas_lose_threads_that_end);
	RUN(many_pools);
	DONE();
}

/*
 * scale.c -- what two threads do in the time of one, over data of their own.
 *
 *   scale [ROUNDS]
 *
 * Others may use the machine, too: what counts is the best of many short rounds,
 * of one thread as of two. The first row is work without the library, to show
 * what the machine can do. Fails only if threads clearly wait for each other.
 */
#define _GNU_SOURCE
#include <libpmemobj.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include "../behaviour/test.h"

enum { SLOTS = 256, OPS = 1500 };
#define BOUND 1.2

struct slots {
	PMEMoid oid[SLOTS];
	uint64_t words[SLOTS][16];
};

static PMEMobjpool *pop;

static void
alloc_free(struct slots *s, unsigned i)
{
	PMEMoid *oid = &s->oid[i % SLOTS];
	if (OID_IS_NULL(*oid)) {
		if (pmemobj_alloc(pop, oid, 16 + i % 7 * 64, 1, NULL, NULL) != 0)
			abort();
	} else {
		pmemobj_free(oid);
	}
}

static void
tx_set(struct slots *s, unsigned i)
{
	uint64_t *word = s->words[i % SLOTS];
	TX_BEGIN(pop) {
		pmemobj_tx_add_range_direct(word, 64);
		*word = i;
	} TX_ONABORT {
		abort();
	} TX_END
}

static void
tx_alloc_free(struct slots *s, unsigned i)
{
	PMEMoid *oid = &s->oid[i % SLOTS];
	TX_BEGIN(pop) {
		pmemobj_tx_add_range_direct(oid, sizeof(*oid));
		if (OID_IS_NULL(*oid)) {
			*oid = pmemobj_tx_alloc(128, 1);
		} else {
			pmemobj_tx_free(*oid);
			*oid = OID_NULL;
		}
	} TX_ONABORT {
		abort();
	} TX_END
}

/* For comparison: stores and arithmetic in memory of its own. */
static void
no_library(struct slots *s, unsigned i)
{
	volatile uint64_t *word = s->words[i % SLOTS];
	for (unsigned k = 0; k < 300; k++)
		word[k % 16] += k;
}

struct worker {
	int cpu;
	void (*op)(struct slots *, unsigned);
	struct slots *slots;
	double start, end;
};

static int ready;

static double
now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *
work(void *arg)
{
	struct worker *w = arg;
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(w->cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	for (unsigned i = 0; i < 2 * SLOTS; i++)
		w->op(w->slots, i); /* its runs and its lane are found */
	__atomic_sub_fetch(&ready, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&ready, __ATOMIC_SEQ_CST) > 0)
		;
	w->start = now();
	for (unsigned i = 0; i < OPS; i++)
		w->op(w->slots, i);
	w->end = now();
	return NULL;
}

/* Operations per second of one or two threads; on two processors at once. */
static double
speed(void (*op)(struct slots *, unsigned), struct slots **slots, const int *cpus, int n)
{
	struct worker w[2];
	pthread_t threads[2];
	ready = n;
	for (int i = 0; i < n; i++) {
		w[i] = (struct worker){cpus[i], op, slots[i], 0, 0};
		pthread_create(&threads[i], NULL, work, &w[i]);
	}
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	double start = w[0].start, end = w[0].end;
	if (n == 2) {
		start = w[1].start < start ? w[1].start : start;
		end = w[1].end > end ? w[1].end : end;
	}
	return n * OPS / (end - start);
}

static void
keep_best(double *best, double value)
{
	if (value > *best)
		*best = value;
}

int
main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 150;
	int cpus[2], n = 0;
	cpu_set_t set;
	sched_getaffinity(0, sizeof(set), &set);
	for (int i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET(i, &set))
			cpus[n++] = i;
	if (n < 2) {
		printf("one processor: nothing to compare\n");
		return 77;
	}
	pop = pmemobj_create(path_of("scale"), NULL, 64 << 20, 0600);
	if (pop == NULL)
		return 1;
	struct slots *slots[2];
	for (int i = 0; i < 2; i++) {
		PMEMoid oid;
		if (pmemobj_zalloc(pop, &oid, sizeof(struct slots), 2) != 0)
			return 1;
		slots[i] = pmemobj_direct(oid);
	}
	struct {
		const char *name;
		void (*op)(struct slots *, unsigned);
		double one, two;
	} all[] = {{"no library", no_library, 0, 0}, {"alloc, free", alloc_free, 0, 0},
		{"tx, one snapshot", tx_set, 0, 0}, {"tx, alloc or free", tx_alloc_free, 0, 0}};
	enum { N = sizeof(all) / sizeof(all[0]) };
	for (int round = 0; round < rounds; round++)
		for (int i = 0; i < N; i++) {
			keep_best(&all[i].one, speed(all[i].op, &slots[round % 2], &cpus[round % 2], 1));
			keep_best(&all[i].two, speed(all[i].op, slots, cpus, 2));
		}
	for (int i = 0; i < N; i++) {
		double ratio = all[i].two / all[i].one;
		printf("%-18s one thread %8.0f, two %8.0f per second: %.2f times\n", all[i].name,
			all[i].one, all[i].two, ratio);
		if (i > 0 && ratio < BOUND)
			FAIL("%s: less than %.1f", all[i].name, BOUND);
	}
	pmemobj_close(pop);
	all_failures = case_failures;
	DONE();
}

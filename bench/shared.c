/*
 * shared.c - threads that get in each other's way: more of them than cores, more
 * than lanes stay idle, threads that live for one operation, and objects that
 * another thread frees.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>

#include "bench.h"

/* Short transactions: each needs a lane. */
static void
lanes(struct worker *w)
{
	for (size_t i = 0; i < w->ops; i++) {
		uint64_t *p = &w->area->words[i % SLOTS * 8];
		TX(w->pop) {
			pmemobj_tx_add_range_direct(p, 8);
			*p = i;
		} TX_OR_DIE
	}
}

static void
arenas(struct worker *w)
{
	for (size_t i = 0; i < w->ops; i++) {
		PMEMoid *o = &w->area->oid[i % SLOTS];
		if (pmemobj_alloc(w->pop, o, 64 + i % 4 * 64, 1, NULL, NULL) != 0)
			die("pmemobj_alloc");
		pmemobj_free(o);
	}
}

/* One lock for all, and its update. */
static void
contended(struct worker *w)
{
	struct area *first = w->area;
	for (struct worker *other = w->next; other != w; other = other->next)
		first = other->number == 0 ? other->area : first;
	for (size_t i = 0; i < w->ops; i++) {
		TX_BEGIN_PARAM(w->pop, TX_PARAM_MUTEX, &first->mutex, TX_PARAM_NONE) {
			pmemobj_tx_add_range_direct(first->words, 8);
			first->words[0]++;
		} TX_OR_DIE
	}
}

/* The next thread frees what this one allocates: slots are full or empty. */
static void
free_elsewhere(struct worker *w)
{
	struct area *from = w->area, *to = w->next->area;
	/* Either side of each ring makes as many steps as the other. */
	for (size_t made = 0, freed = 0; made < w->ops || freed < w->ops;) {
		PMEMoid *o = &to->oid[made % SLOTS], *mine = &from->oid[freed % SLOTS];
		int idle = 1;
		if (made < w->ops && __atomic_load_n(&o->off, __ATOMIC_ACQUIRE) == 0) {
			if (pmemobj_alloc(w->pop, o, w->arg, 1, NULL, NULL) != 0)
				die("pmemobj_alloc");
			made++;
			idle = 0;
		}
		if (freed < w->ops && __atomic_load_n(&mine->off, __ATOMIC_ACQUIRE) != 0) {
			pmemobj_free(mine);
			freed++;
			idle = 0;
		}
		if (idle)
			sched_yield();
	}
}

static void *
live_once(void *arg)
{
	struct worker *w = arg;
	PMEMoid o = OID_NULL;
	TX(w->pop) {
		pmemobj_tx_add_range_direct(w->area->words, 8);
		w->area->words[0]++;
		o = pmemobj_tx_alloc(64, 1);
		pmemobj_tx_free(o);
	} TX_OR_DIE
	return NULL;
}

/* A thread per operation; its start and end count as well, the same for all. */
static void
thread_each(struct worker *w)
{
	for (size_t i = 0; i < w->ops; i++) {
		pthread_t id;
		if (pthread_create(&id, NULL, live_once, w) != 0)
			die("pthread_create");
		pthread_join(id, NULL);
	}
}

const struct scenario shared[] = {
	{"lanes/8 threads", lanes, 0, 8000, 0, 8},
	{"lanes/64 threads", lanes, 0, 1000, 0, 64},
	{"arenas/8 threads", arenas, 0, 3000, 0, 8},
	{"arenas/64 threads", arenas, 0, 500, 0, 64},
	{"contended/4 threads", contended, 0, 8000, 0, 4},
	{"free_elsewhere/64", free_elsewhere, 64, 10000, 0, 2},
	{"free_elsewhere/4096", free_elsewhere, 4096, 10000, 0, 2},
	{"thread_each", thread_each, 0, 4000, 0, 1},
	{NULL, NULL, 0, 0, 0, 0},
};

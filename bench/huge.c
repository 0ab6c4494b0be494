/*
 * huge.c - large transactions. All operations are one transaction: where a row
 * costs more per operation than the one above it, cost is worse than linear.
 */
#include "bench.h"

#define LINES (1UL << 20)

/* Of an object with a line for each snapshot. */
static uint64_t *
line(struct worker *w, size_t i)
{
	if (OID_IS_NULL(w->area->map) &&
	    pmemobj_zalloc(w->pop, &w->area->map, LINES * 64, 13) != 0)
		die("pmemobj_zalloc");
	return (uint64_t *)pmemobj_direct(w->area->map) + i % LINES * 8;
}

/* In the order of their addresses. */
static void
snapshots(struct worker *w)
{
	TX(w->pop) {
		for (size_t i = 0; i < w->ops; i++) {
			uint64_t *p = line(w, i);
			pmemobj_tx_add_range_direct(p, 8);
			*p = i;
		}
	} TX_OR_DIE
}

/* In no order: the factor is odd, so that each line comes once. */
static void
scattered(struct worker *w)
{
	TX(w->pop) {
		for (size_t i = 0; i < w->ops; i++) {
			uint64_t *p = line(w, i * 0x9e3779b1);
			pmemobj_tx_add_range_direct(p, 8);
			*p = i;
		}
	} TX_OR_DIE
}

static void
scattered_abort(struct worker *w)
{
	TX(w->pop) {
		for (size_t i = 0; i < w->ops; i++) {
			uint64_t *p = line(w, i * 0x9e3779b1);
			pmemobj_tx_add_range_direct(p, 8);
			*p = i;
		}
		pmemobj_tx_abort(ECANCELED);
	} TX_END
}

/* A list of objects that one transaction makes, and another one frees. */
static void
objects_of_one(struct worker *w)
{
	PMEMoid *first = &w->area->oid[0];

	TX(w->pop) {
		pmemobj_tx_add_range_direct(first, sizeof(*first));
		for (size_t i = 0; i < w->ops; i++) {
			PMEMoid o = pmemobj_tx_alloc(64, 14);
			*(PMEMoid *)pmemobj_direct(o) = *first;
			*first = o;
		}
	} TX_OR_DIE
	TX(w->pop) {
		pmemobj_tx_add_range_direct(first, sizeof(*first));
		while (!OID_IS_NULL(*first)) {
			PMEMoid o = *first;
			*first = *(PMEMoid *)pmemobj_direct(o);
			pmemobj_tx_free(o);
		}
	} TX_OR_DIE
}

static void
objects_abort(struct worker *w)
{
	TX(w->pop) {
		for (size_t i = 0; i < w->ops; i++)
			pmemobj_tx_alloc(64, 14);
		pmemobj_tx_abort(ECANCELED);
	} TX_END
}

const struct scenario huge[] = {
	{"snapshots/10k", snapshots, 0, 10000, 0, 1},
	{"snapshots/100k", snapshots, 0, 100000, 0, 1},
	{"snapshots/1m", snapshots, 0, 1000000, 0, 1},
	{"scattered/10k", scattered, 0, 10000, 0, 1},
	{"scattered/100k", scattered, 0, 100000, 0, 1},
	{"scattered/1m", scattered, 0, 1000000, 0, 1},
	{"scattered, abort/10k", scattered_abort, 0, 10000, 0, 1},
	{"scattered, abort/100k", scattered_abort, 0, 100000, 0, 1},
	{"objects/10k", objects_of_one, 0, 10000, 0, 1},
	{"objects/100k", objects_of_one, 0, 100000, 0, 1},
	{"objects, abort/10k", objects_abort, 0, 10000, 0, 1},
	{"objects, abort/100k", objects_abort, 0, 100000, 0, 1},
	{NULL, NULL, 0, 0, 0, 0},
};

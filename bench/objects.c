/*
 * objects.c - allocations, reservations, transactions, lists: what programs do
 * with objects all day.
 */
#include <stddef.h>

#include "bench.h"

/* --- atomic allocations --- */

static void
alloc_free(struct worker *w)
{
	for (size_t i = 0; i < w->ops; i++) {
		PMEMoid *o = &w->area->oid[i % SLOTS];
		if (pmemobj_alloc(w->pop, o, w->arg, 1, NULL, NULL) != 0)
			die("pmemobj_alloc");
		pmemobj_free(o);
	}
}

/* Objects that stay. */
static void
alloc_fill(struct worker *w)
{
	for (size_t i = 0; i < w->ops; i++)
		if (pmemobj_alloc(w->pop, &w->area->oid[i % SLOTS], w->arg, 1, NULL, NULL) != 0)
			die("pmemobj_alloc");
}

static void
zalloc_free(struct worker *w)
{
	for (size_t i = 0; i < w->ops; i++) {
		PMEMoid *o = &w->area->oid[i % SLOTS];
		if (pmemobj_zalloc(w->pop, o, w->arg, 1) != 0)
			die("pmemobj_zalloc");
		pmemobj_free(o);
	}
}

/* Random sizes up to arg, each in place of a random one of the live objects. */
static void
alloc_live(struct worker *w)
{
	for (size_t i = 0; i < w->ops; i++) {
		uint64_t r = next_random(&w->random);
		PMEMoid *o = &w->area->oid[r % SLOTS];
		if (!OID_IS_NULL(*o))
			pmemobj_free(o);
		if (pmemobj_alloc(w->pop, o, 16 + (r >> 20) % w->arg, 1, NULL, NULL) != 0)
			die("pmemobj_alloc");
	}
}

static void
realloc_grow(struct worker *w)
{
	PMEMoid *o = &w->area->oid[0];
	for (size_t i = 0; i < w->ops; i++)
		if (pmemobj_realloc(w->pop, o, 64 << i % 8, 1) != 0)
			die("pmemobj_realloc");
	pmemobj_free(o);
}

/* Eight objects become visible at once, and go at once. */
static void
reserve_publish(struct worker *w)
{
	struct pobj_action act[16];

	for (size_t i = 0; i < w->ops; i++) {
		for (size_t k = 0; k < 8; k++) {
			PMEMoid o = pmemobj_reserve(w->pop, &act[k], w->arg, 1);
			if (OID_IS_NULL(o))
				die("pmemobj_reserve");
			pmemobj_set_value(w->pop, &act[8 + k], &w->area->words[k * 8], o.off);
		}
		if (pmemobj_publish(w->pop, act, 16) != 0)
			die("pmemobj_publish");
		for (size_t k = 0; k < 8; k++) {
			PMEMoid o = {w->oid.pool_uuid_lo, w->area->words[k * 8]};
			pmemobj_defer_free(w->pop, o, &act[k]);
		}
		if (pmemobj_publish(w->pop, act, 8) != 0)
			die("pmemobj_publish");
	}
}

/* Eight objects become visible at once, and stay. */
static void
reserve_fill(struct worker *w)
{
	struct pobj_action act[8];

	for (size_t i = 0; i < w->ops; i++) {
		for (size_t k = 0; k < 8; k++)
			if (OID_IS_NULL(pmemobj_reserve(w->pop, &act[k], w->arg, 1)))
				die("pmemobj_reserve");
		if (pmemobj_publish(w->pop, act, 8) != 0)
			die("pmemobj_publish");
	}
}

static void
reserve_cancel(struct worker *w)
{
	struct pobj_action act;

	for (size_t i = 0; i < w->ops; i++) {
		if (OID_IS_NULL(pmemobj_reserve(w->pop, &act, w->arg, 1)))
			die("pmemobj_reserve");
		pmemobj_cancel(w->pop, &act, 1);
	}
}

/* --- transactions --- */

static void
tx_empty(struct worker *w)
{
	for (size_t i = 0; i < w->ops; i++) {
		TX(w->pop) { } TX_OR_DIE
	}
}

static void
tx_add(struct worker *w)
{
	for (size_t i = 0; i < w->ops; i++) {
		char *p = w->area->buffer + i * 8192 % (BUFFER / 2);
		TX(w->pop) {
			pmemobj_tx_add_range_direct(p, w->arg);
			*(volatile uint64_t *)p = i;
		} TX_OR_DIE
	}
}

/* arg words, each in a line of its own. */
static void
tx_add_many(struct worker *w)
{
	for (size_t i = 0; i < w->ops; i++) {
		TX(w->pop) {
			for (size_t k = 0; k < w->arg; k++) {
				uint64_t *p = &w->area->words[k * 16 % (SLOTS * 8)];
				pmemobj_tx_add_range_direct(p, 8);
				*p = i;
			}
		} TX_OR_DIE
	}
}

/* The fields of one object, arg / 8 times over. */
static void
tx_add_same(struct worker *w)
{
	for (size_t i = 0; i < w->ops; i++) {
		TX(w->pop) {
			for (size_t k = 0; k < w->arg; k++) {
				uint64_t *p = &w->area->words[k % 8];
				pmemobj_tx_add_range_direct(p, 8);
				*p = i;
			}
		} TX_OR_DIE
	}
}

static void
tx_alloc_free(struct worker *w)
{
	for (size_t i = 0; i < w->ops; i++) {
		PMEMoid o = OID_NULL;
		TX(w->pop) {
			o = pmemobj_tx_alloc(w->arg, 1);
		} TX_OR_DIE
		TX(w->pop) {
			pmemobj_tx_free(o);
		} TX_OR_DIE
	}
}

/* Eight objects, which stay. */
static void
tx_fill(struct worker *w)
{
	for (size_t i = 0; i < w->ops; i++) {
		TX(w->pop) {
			for (size_t k = 0; k < 8; k++)
				pmemobj_tx_alloc(w->arg, 1);
		} TX_OR_DIE
	}
}

/* A new value is linked, the old one freed. */
static void
tx_replace(struct worker *w)
{
	for (size_t i = 0; i < w->ops; i++) {
		PMEMoid *slot = &w->area->oid[next_random(&w->random) % SLOTS];
		TX(w->pop) {
			pmemobj_tx_add_range_direct(slot, sizeof(*slot));
			PMEMoid old = *slot;
			*slot = pmemobj_tx_alloc(w->arg, 1);
			memset(pmemobj_direct(*slot), (int)i, w->arg);
			if (!OID_IS_NULL(old))
				pmemobj_tx_free(old);
		} TX_OR_DIE
	}
}

static void
tx_nested(struct worker *w)
{
	for (size_t i = 0; i < w->ops; i++) {
		TX(w->pop) {
			TX(w->pop) {
				pmemobj_tx_add_range_direct(&w->area->words[0], 8);
				w->area->words[0] = i;
			} TX_OR_DIE
		} TX_OR_DIE
	}
}

static void
tx_abort(struct worker *w)
{
	for (size_t i = 0; i < w->ops; i++) {
		TX(w->pop) {
			pmemobj_tx_add_range_direct(&w->area->words[0], 64);
			w->area->words[0] = i;
			pmemobj_tx_abort(ECANCELED);
		} TX_END
	}
}

/* --- lists --- */

struct node {
	struct {
		PMEMoid next, prev;
	} entry;
	uint64_t value;
};

static PMEMoid
next_of(PMEMoid oid)
{
	return ((struct node *)pmemobj_direct(oid))->entry.next;
}

static void
list_insert_remove(struct worker *w)
{
	for (size_t i = 0; i < w->ops; i++) {
		PMEMoid o = pmemobj_list_insert_new(w->pop, offsetof(struct node, entry),
			&w->area->list, OID_NULL, 1, sizeof(struct node), 2, NULL, NULL);
		if (OID_IS_NULL(o))
			die("pmemobj_list_insert_new");
		if (pmemobj_list_remove(w->pop, offsetof(struct node, entry), &w->area->list, o, 1) != 0)
			die("pmemobj_list_remove");
	}
}

/* The second element of four goes to the end of the list. */
static void
list_move(struct worker *w)
{
	const size_t at = offsetof(struct node, entry);
	PMEMoid *first = &w->area->list.first;

	while (OID_IS_NULL(*first) || next_of(next_of(*first)).off == first->off ||
	       next_of(next_of(next_of(*first))).off == first->off)
		pmemobj_list_insert_new(w->pop, at, &w->area->list, OID_NULL, 0, sizeof(struct node),
			2, NULL, NULL);
	for (size_t i = 0; i < w->ops; i++)
		if (pmemobj_list_move(w->pop, at, &w->area->list, at, &w->area->list, OID_NULL, 0,
				next_of(*first)) != 0)
			die("pmemobj_list_move");
}

static void
iterate(struct worker *w)
{
	for (size_t i = 0; i < SLOTS; i++)
		if (OID_IS_NULL(w->area->oid[i]) &&
		    pmemobj_alloc(w->pop, &w->area->oid[i], 100, 1, NULL, NULL) != 0)
			die("pmemobj_alloc");
	for (size_t seen = 0; seen < w->ops;) {
		PMEMoid o = pmemobj_first(w->pop);
		for (; !OID_IS_NULL(o) && seen < w->ops; o = pmemobj_next(o))
			seen++;
	}
}

const struct scenario objects[] = {
	{"alloc_free/64", alloc_free, 64, 30000, 4, 0},
	{"alloc_free/1024", alloc_free, 1024, 30000, 16, 0},
	{"alloc_free/100k", alloc_free, 100 << 10, 20000, 8, 0},
	{"alloc_free/1m", alloc_free, 1 << 20, 20000, 8, 0},
	{"zalloc_free/4096", zalloc_free, 4096, 20000, 8, 0},
	{"alloc_live/256", alloc_live, 256, 30000, 32, 0},
	{"alloc_live/4096", alloc_live, 4096, 30000, 32, 0},
	{"realloc_grow", realloc_grow, 0, 15000, 16, 0},
	{"reserve_publish8/64", reserve_publish, 64, 4000, 3, 0},
	{"reserve_cancel/64", reserve_cancel, 64, 100000, 16, 0},
	{"tx_empty", tx_empty, 0, 200000, 8, 0},
	{"tx_add/8", tx_add, 8, 50000, 4, 0},
	{"tx_add/256", tx_add, 256, 50000, 16, 0},
	{"tx_add/4096", tx_add, 4096, 20000, 8, 0},
	{"tx_add_many/16", tx_add_many, 16, 8000, 1, 0},
	{"tx_add_many/256", tx_add_many, 256, 500, 2, 0},
	{"tx_add_same/64", tx_add_same, 64, 10000, 4, 0},
	{"tx_alloc_free/64", tx_alloc_free, 64, 25000, 4, 0},
	{"tx_replace/64", tx_replace, 64, 20000, 16, 0},
	{"tx_replace/1024", tx_replace, 1024, 20000, 16, 0},
	{"tx_nested", tx_nested, 0, 50000, 16, 0},
	{"tx_abort", tx_abort, 0, 30000, 16, 0},
	{"list_insert_remove", list_insert_remove, 0, 15000, 3, 0},
	{"list_move", list_move, 0, 20000, 12, 0},
	{"iterate", iterate, 0, 300000, 32, 0},
	{"alloc_fill/64", alloc_fill, 64, 30000, 16, 0},
	{"reserve_fill8/64", reserve_fill, 64, 4000, 16, 0},
	{"tx_fill8/64", tx_fill, 64, 4000, 16, 0},
	{NULL, NULL, 0, 0, 0, 0},
};

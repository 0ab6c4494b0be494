/*
 * threads.c -- many threads do everything at once, then everything is counted.
 *
 *   threads SECONDS THREADS POOLS [SEED]
 *
 * Each thread has slots of its own in each pool, and shares others, two lists,
 * locks and a counter. Whatever it does, each object is in exactly one slot or
 * list, carries its id, and is filled with what follows from that. In the end
 * the heap's own list of objects, its statistics and pmemobj_check must agree.
 */
#define _GNU_SOURCE
#include <libpmemobj.h>
#include <pthread.h>
#include <time.h>
#include "../behaviour/test.h"

enum { MAX_THREADS = 16, MAX_POOLS = 4, OWN = 24, SHARED = 32, LISTED = 8 };
enum { ITEM = 1, NODE = 2 };
enum { CHUNK = 256 << 10 };
enum { EXTENSION = 33024 }; /* bytes: tx.cache.size, header, in units of its run */

struct item {
	uint64_t id;
	uint64_t size; /* bytes, this header included */
	unsigned char data[];
};

TOID_DECLARE(struct node, NODE);
POBJ_LIST_HEAD(list, struct node);
struct node {
	POBJ_LIST_ENTRY(struct node) link;
	uint64_t owner;
};

struct shared_slot {
	PMEMmutex lock;
	PMEMoid item;
};

struct root {
	PMEMmutex lock;
	PMEMrwlock rwlock;
	PMEMcond cond;
	PMEMmutex cond_lock;
	uint64_t tokens;
	uint64_t counter;
	uint64_t pair[2];
	struct list lists[2];
	struct shared_slot shared[SHARED];
	PMEMoid own[MAX_THREADS][OWN];
};

struct pool {
	PMEMobjpool *pop;
	struct root *root;
	uint64_t allocated; /* of the fresh pool */
	unsigned room;
	char path[512];
};

struct worker {
	pthread_t thread;
	unsigned index;
	uint64_t seed, next_id, steps;
	uint64_t counted[MAX_POOLS];
	/* nodes of this thread, and the list each is in */
	TOID(struct node) node[MAX_POOLS][LISTED];
	int in[MAX_POOLS][LISTED];
};

static struct pool pools[MAX_POOLS];
static unsigned npools, nthreads;
static _Atomic int stop;

#define WRONG(...) do { \
	printf("# %s:%d: ", __FILE__, __LINE__); \
	printf(__VA_ARGS__); \
	printf(" (%s)\n", pmemobj_errormsg()); \
	fflush(stdout); \
	abort(); \
} while (0)
#define MUST(cond) do { if (!(cond)) WRONG("%s, errno %d", #cond, errno); } while (0)

static unsigned
below(struct worker *w, unsigned n)
{
	return (unsigned)(random_u64(&w->seed) >> 33) % n;
}

static size_t
some_size(struct worker *w)
{
	unsigned kind = below(w, 100);
	/* few classes and few arenas, so that threads meet in one run */
	size_t most = kind < 60 ? 60 : kind < 90 ? 512 : kind < 98 ? 16000 : 600000;
	return sizeof(struct item) + below(w, (unsigned)most);
}

/* --- items ------------------------------------------------------------------ */

static void
fill(struct item *item, uint64_t id, size_t size)
{
	item->id = id;
	item->size = size;
	memset(item->data, (int)(id * 7 + 1), size - sizeof(*item));
}

static void
verify_item(PMEMoid oid)
{
	struct item *item = pmemobj_direct(oid);
	MUST(item != NULL && pmemobj_type_num(oid) == ITEM);
	size_t n = item->size - sizeof(*item);
	MUST(item->size <= pmemobj_alloc_usable_size(oid));
	unsigned char want = (unsigned char)(item->id * 7 + 1);
	if (n != 0 && (item->data[0] != want || memcmp(item->data, item->data + 1, n - 1) != 0))
		WRONG("item %llx at %llx is torn", (unsigned long long)item->id, (unsigned long long)oid.off);
}

struct plan { uint64_t id; size_t size; };

static int
construct(PMEMobjpool *pop, void *at, void *arg)
{
	struct plan *plan = arg;
	fill(at, plan->id, plan->size);
	pmemobj_persist(pop, at, plan->size);
	return 0;
}

static void
alloc_atomically(struct worker *w, struct pool *p, PMEMoid *dest)
{
	struct plan plan = {w->next_id++, some_size(w)};
	MUST(pmemobj_alloc(p->pop, dest, plan.size, ITEM, construct, &plan) == 0);
}

static void
realloc_atomically(struct worker *w, struct pool *p, PMEMoid *dest)
{
	struct item *item = pmemobj_direct(*dest);
	size_t size = some_size(w), old = item->size;
	uint64_t id = item->id;
	/* what stays of it must stay as it is */
	item->size = size < old ? size : old;
	pmemobj_persist(p->pop, &item->size, 8);
	MUST(pmemobj_realloc(p->pop, dest, size, ITEM) == 0);
	verify_item(*dest);
	fill(pmemobj_direct(*dest), id, size);
	pmemobj_persist(p->pop, pmemobj_direct(*dest), size);
}

/* --- transactions ------------------------------------------------------------- */

static void
put_in_tx(struct worker *w, PMEMoid *slot)
{
	pmemobj_tx_add_range_direct(slot, sizeof(*slot));
	size_t size = some_size(w);
	*slot = pmemobj_tx_alloc(size, ITEM);
	fill(pmemobj_direct(*slot), w->next_id++, size);
}

static void
take_in_tx(PMEMoid *slot)
{
	verify_item(*slot);
	pmemobj_tx_add_range_direct(slot, sizeof(*slot));
	pmemobj_tx_free(*slot);
	*slot = OID_NULL;
}

static void
rewrite_in_tx(struct worker *w, PMEMoid oid)
{
	struct item *item = pmemobj_direct(oid);
	pmemobj_tx_add_range(oid, 0, item->size);
	fill(item, w->next_id++, item->size);
}

/* Some slots change in nested transactions; one in six is aborted, from inside
 * or outside, and then nothing has changed. Sometimes another pool is used by
 * an atomic call meanwhile. */
static void
transact(struct worker *w, struct pool *p, PMEMoid *own)
{
	PMEMoid before[OWN];
	memcpy(before, own, sizeof(before));
	volatile int committed = 0, aborts = below(w, 6) == 0, levels = (int)below(w, 3);
	PMEMoid elsewhere = OID_NULL;
	TX_BEGIN(p->pop) {
		for (unsigned i = 0, n = 1 + below(w, 5); i < n; i++) {
			PMEMoid *slot = &own[below(w, OWN)];
			if (OID_IS_NULL(*slot))
				put_in_tx(w, slot);
			else if (below(w, 2))
				rewrite_in_tx(w, *slot);
			else
				take_in_tx(slot);
		}
		if (levels > 0) {
			TX_BEGIN(p->pop) {
				PMEMoid *slot = &own[below(w, OWN)];
				if (OID_IS_NULL(*slot))
					put_in_tx(w, slot);
				if (levels > 1) {
					TX_BEGIN(p->pop) {
						rewrite_in_tx(w, *slot);
						if (aborts)
							pmemobj_tx_abort(ECANCELED);
					} TX_END
				}
			} TX_END
		}
		if (below(w, 4) == 0) {
			struct pool *other = &pools[below(w, npools)];
			MUST(pmemobj_alloc(other->pop, &elsewhere, 100, ITEM, NULL, NULL) == 0);
			pmemobj_free(&elsewhere);
		}
		if (aborts)
			pmemobj_tx_abort(ECANCELED);
	} TX_ONCOMMIT {
		committed = 1;
	} TX_END
	MUST(committed == !aborts);
	if (aborts) {
		MUST(memcmp(before, own, sizeof(before)) == 0);
		for (unsigned i = 0; i < OWN; i++)
			if (!OID_IS_NULL(own[i]))
				verify_item(own[i]);
	}
}

static void
count(struct worker *w, struct pool *p)
{
	TX_BEGIN_PARAM(p->pop, TX_PARAM_MUTEX, &p->root->lock, TX_PARAM_NONE) {
		pmemobj_tx_add_range_direct(&p->root->counter, 8);
		p->root->counter++;
	} TX_END
	MUST(pmemobj_tx_errno() == 0);
	w->counted[p - pools]++;
}

/* --- what threads share --------------------------------------------------------- */

/* An item goes from a thread to a shared slot, another comes back: whoever
 * frees it did not allocate it. */
static void
exchange(struct worker *w, struct pool *p, PMEMoid *mine)
{
	struct shared_slot *theirs = &p->root->shared[below(w, SHARED)];
	if (below(w, 2)) {
		TX_BEGIN_PARAM(p->pop, TX_PARAM_MUTEX, &theirs->lock, TX_PARAM_NONE) {
			pmemobj_tx_add_range_direct(&theirs->item, sizeof(PMEMoid));
			pmemobj_tx_add_range_direct(mine, sizeof(PMEMoid));
			PMEMoid item = *mine;
			*mine = theirs->item;
			theirs->item = item;
		} TX_END
		return;
	}
	MUST(pmemobj_mutex_lock(p->pop, &theirs->lock) == 0);
	if (OID_IS_NULL(theirs->item)) {
		alloc_atomically(w, p, &theirs->item);
	} else {
		verify_item(theirs->item);
		if (below(w, 2))
			pmemobj_free(&theirs->item);
		else
			realloc_atomically(w, p, &theirs->item);
	}
	MUST(pmemobj_mutex_unlock(p->pop, &theirs->lock) == 0);
}

static int
construct_node(PMEMobjpool *pop, void *at, void *arg)
{
	struct node *node = at;
	node->owner = *(unsigned *)arg;
	pmemobj_persist(pop, &node->owner, 8);
	return 0;
}

static void
use_lists(struct worker *w, struct pool *p)
{
	size_t k = (size_t)(p - pools);
	unsigned i = below(w, LISTED);
	int *in = &w->in[k][i], to = (int)below(w, 2);
	TOID(struct node) *node = &w->node[k][i];
	if (TOID_IS_NULL(*node)) {
		PMEMoid oid = below(w, 2) ?
			POBJ_LIST_INSERT_NEW_HEAD(p->pop, &p->root->lists[to], link, sizeof(struct node),
				construct_node, &w->index) :
			POBJ_LIST_INSERT_NEW_TAIL(p->pop, &p->root->lists[to], link, sizeof(struct node),
				construct_node, &w->index);
		MUST(!OID_IS_NULL(oid));
		TOID_ASSIGN(*node, oid);
		*in = to;
		return;
	}
	MUST(D_RO(*node)->owner == w->index);
	if (below(w, 3) == 0) {
		MUST(POBJ_LIST_REMOVE_FREE(p->pop, &p->root->lists[*in], *node, link) == 0);
		*node = TOID_NULL(struct node);
	} else if (to != *in) {
		MUST(POBJ_LIST_MOVE_ELEMENT_HEAD(p->pop, &p->root->lists[*in], &p->root->lists[to], *node,
			link, link) == 0);
		*in = to;
	} else {
		MUST(POBJ_LIST_REMOVE(p->pop, &p->root->lists[*in], *node, link) == 0);
		MUST(POBJ_LIST_INSERT_TAIL(p->pop, &p->root->lists[*in], *node, link) == 0);
	}
}

static void
use_locks(struct worker *w, struct pool *p)
{
	struct root *r = p->root;
	if (below(w, 4)) {
		MUST(pmemobj_rwlock_rdlock(p->pop, &r->rwlock) == 0);
		MUST(r->pair[0] == r->pair[1]);
	} else {
		MUST(pmemobj_rwlock_wrlock(p->pop, &r->rwlock) == 0);
		r->pair[0]++;
		r->pair[1]++;
	}
	MUST(pmemobj_rwlock_unlock(p->pop, &r->rwlock) == 0);

	MUST(pmemobj_mutex_lock(p->pop, &r->cond_lock) == 0);
	if (r->tokens > 0) {
		r->tokens--;
		MUST(pmemobj_cond_signal(p->pop, &r->cond) == 0);
	} else if (below(w, 8)) {
		r->tokens++;
		MUST(pmemobj_cond_broadcast(p->pop, &r->cond) == 0);
	} else {
		struct timespec soon;
		clock_gettime(CLOCK_REALTIME, &soon);
		soon.tv_nsec += 100 * 1000;
		soon.tv_sec += soon.tv_nsec / 1000000000;
		soon.tv_nsec %= 1000000000;
		int e = pmemobj_cond_timedwait(p->pop, &r->cond, &r->cond_lock, &soon);
		MUST(e == 0 || e == ETIMEDOUT);
	}
	MUST(pmemobj_mutex_unlock(p->pop, &r->cond_lock) == 0);
}

static void
use_ctl(struct worker *w, struct pool *p)
{
	uint64_t bytes, was = 0;
	unsigned arena, arenas;
	MUST(pmemobj_ctl_get(p->pop, "stats.heap.curr_allocated", &bytes) == 0);
	MUST(bytes < 1ULL << 40);
	MUST(pmemobj_ctl_get(p->pop, "stats.heap.run_allocated", &was) == 0);
	MUST(pmemobj_ctl_get(p->pop, "heap.narenas.total", &arenas) == 0);
	MUST(pmemobj_ctl_get(p->pop, "heap.thread.arena_id", &arena) == 0);
	MUST(arena >= 1 && arena <= arenas);
	if (below(w, 4) == 0) {
		if (arenas < 4)
			MUST(pmemobj_ctl_exec(p->pop, "heap.arena.create", &arena) == 0);
		else
			arena = 1 + below(w, arenas);
		MUST(pmemobj_ctl_set(p->pop, "heap.thread.arena_id", &arena) == 0);
	}
	char name[64];
	size_t size;
	snprintf(name, sizeof(name), "heap.arena.%u.size", arena);
	MUST(pmemobj_ctl_get(p->pop, name, &size) == 0);
}

/* Several reservations, published with the words that lead to them, or not. */
static void
reserve(struct worker *w, struct pool *p, PMEMoid *own)
{
	struct pobj_action act[3 * 4];
	size_t n = 0;
	for (unsigned i = 0; i < 4; i++) {
		PMEMoid *slot = &own[i * (OWN / 4) + below(w, OWN / 4)];
		if (!OID_IS_NULL(*slot)) {
			verify_item(*slot);
			pmemobj_defer_free(p->pop, *slot, &act[n++]);
			pmemobj_set_value(p->pop, &act[n++], &slot->off, 0);
			continue;
		}
		size_t size = some_size(w);
		PMEMoid oid = pmemobj_reserve(p->pop, &act[n++], size, ITEM);
		MUST(!OID_IS_NULL(oid));
		fill(pmemobj_direct(oid), w->next_id++, size);
		pmemobj_persist(p->pop, pmemobj_direct(oid), size);
		pmemobj_set_value(p->pop, &act[n++], &slot->pool_uuid_lo, oid.pool_uuid_lo);
		pmemobj_set_value(p->pop, &act[n++], &slot->off, oid.off);
	}
	if (below(w, 3) == 0)
		pmemobj_cancel(p->pop, act, n);
	else
		MUST(pmemobj_publish(p->pop, act, n) == 0);
}

/* Own objects move together while others are allocated around them. */
static void
defragment(struct worker *w, struct pool *p, PMEMoid *own)
{
	PMEMoid *oids[OWN];
	size_t n = 0;
	struct pobj_defrag_result result;
	for (unsigned i = 0; i < OWN; i++)
		if (below(w, 2) && !OID_IS_NULL(own[i]))
			oids[n++] = &own[i];
	MUST(pmemobj_defrag(p->pop, oids, n, &result) == 0);
	MUST(result.total == n && result.relocated <= n);
}

static void
iterate(struct worker *w, struct pool *p)
{
	/* what is found may be gone at once: only the heap's own calls look at it */
	PMEMoid oid = pmemobj_first(p->pop);
	for (unsigned n = below(w, 200); n > 0 && !OID_IS_NULL(oid); n--)
		oid = pmemobj_next(oid);
}

/* --- threads ---------------------------------------------------------------------- */

static void
step(struct worker *w)
{
	struct pool *p = &pools[below(w, npools)];
	PMEMoid *own = p->root->own[w->index];
	PMEMoid *slot = &own[below(w, OWN)];
	switch (below(w, 16)) {
	case 0: case 1: case 2: case 3:
		if (OID_IS_NULL(*slot)) {
			alloc_atomically(w, p, slot);
		} else {
			verify_item(*slot);
			pmemobj_free(slot);
		}
		break;
	case 4:
		if (!OID_IS_NULL(*slot))
			realloc_atomically(w, p, slot);
		break;
	case 5: case 6: case 7: transact(w, p, own); break;
	case 8: count(w, p); break;
	case 9: case 10: exchange(w, p, slot); break;
	case 11: use_lists(w, p); break;
	case 12: use_locks(w, p); break;
	case 13:
		switch (below(w, 8)) {
		case 0: case 1: use_ctl(w, p); break;
		case 2: defragment(w, p, own); break;
		}
		break;
	case 14: reserve(w, p, own); break;
	case 15: if (below(w, 4) == 0) iterate(w, p); break;
	}
	w->steps++;
}

static void *
work(void *arg)
{
	struct worker *w = arg;
	while (!stop)
		step(w);
	return NULL;
}

/* --- the books ---------------------------------------------------------------------- */

static uint64_t
length(struct list *list)
{
	uint64_t n = 0;
	TOID(struct node) node, last = TOID_NULL(struct node);
	POBJ_LIST_FOREACH(node, list, link) {
		if (n++ > 0)
			MUST(TOID_EQUALS(D_RO(node)->link.pe_prev, last));
		last = node;
	}
	return n;
}

static void
audit(struct pool *p, struct worker *workers)
{
	uint64_t items = 0, nodes = 0, counted = 0;
	for (unsigned i = 0; i < SHARED; i++)
		if (!OID_IS_NULL(p->root->shared[i].item)) {
			verify_item(p->root->shared[i].item);
			items++;
		}
	for (unsigned t = 0; t < nthreads; t++) {
		for (unsigned i = 0; i < OWN; i++)
			if (!OID_IS_NULL(p->root->own[t][i])) {
				verify_item(p->root->own[t][i]);
				items++;
			}
		for (unsigned i = 0; i < LISTED; i++)
			nodes += !TOID_IS_NULL(workers[t].node[p - pools][i]);
		counted += workers[t].counted[p - pools];
	}
	uint64_t found[3] = {0, 0, 0};
	PMEMoid oid;
	POBJ_FOREACH(p->pop, oid)
		found[pmemobj_type_num(oid) % 3]++;
	EQ(found[ITEM], items);
	EQ(found[NODE], nodes);
	EQ(found[0], 0);
	EQ(length(&p->root->lists[0]) + length(&p->root->lists[1]), nodes);
	EQ(p->root->counter, counted);
	EQ(p->root->pair[0], p->root->pair[1]);
	CHECK(items > 0);
}

static void
free_all(struct pool *p)
{
	PMEMoid oid, next;
	POBJ_FOREACH_SAFE(p->pop, oid, next)
		pmemobj_free(&oid);
	uint64_t bytes;
	MUST(pmemobj_ctl_get(p->pop, "stats.heap.curr_allocated", &bytes) == 0);
	/* each lane may keep one extension of its undo log, another since the pool was opened again */
	EQ((bytes - p->allocated) % EXTENSION, 0);
	CHECK((bytes - p->allocated) / EXTENSION <= 2 * nthreads);
	memset(p->root, 0, sizeof(*p->root));
	pmemobj_persist(p->pop, p->root, sizeof(*p->root));
}

/* Chunks that can be had; given back at once. */
static unsigned
room(struct pool *p)
{
	static PMEMoid chunk[1024];
	unsigned n = 0;
	while (n < 1024 && pmemobj_alloc(p->pop, &chunk[n], CHUNK - 64, ITEM, NULL, NULL) == 0)
		n++;
	for (unsigned i = 0; i < n; i++)
		pmemobj_free(&chunk[i]);
	return n;
}

static void
open_pool(struct pool *p, size_t size)
{
	p->pop = size != 0 ? pmemobj_create(p->path, "stress", size, 0600) : pmemobj_open(p->path, "stress");
	MUST(p->pop != NULL);
	int both = 1;
	MUST(pmemobj_ctl_set(p->pop, "stats.enabled", &both) == 0);
	p->root = pmemobj_direct(pmemobj_root(p->pop, sizeof(struct root)));
	MUST(p->root != NULL);
	if (size != 0) {
		MUST(pmemobj_ctl_get(p->pop, "stats.heap.curr_allocated", &p->allocated) == 0);
		p->room = room(p);
	}
}

static void
run_threads(struct worker *workers, double seconds)
{
	stop = 0;
	for (unsigned t = 0; t < nthreads; t++)
		MUST(pthread_create(&workers[t].thread, NULL, work, &workers[t]) == 0);
	struct timespec pause = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
	nanosleep(&pause, NULL);
	stop = 1;
	uint64_t steps = 0;
	for (unsigned t = 0; t < nthreads; t++) {
		pthread_join(workers[t].thread, NULL);
		steps += workers[t].steps;
	}
	CHECK(steps > 0);
	printf("%u threads, %u pools: %llu steps\n", nthreads, npools, (unsigned long long)steps);
}

static void
close_and_check(struct pool *p)
{
	pmemobj_close(p->pop);
	EQ(pmemobj_check(p->path, "stress"), 1);
}

int
main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	double seconds = atof(argv[1]);
	nthreads = (unsigned)atoi(argv[2]);
	npools = (unsigned)atoi(argv[3]);
	uint64_t seed = argc > 4 ? strtoull(argv[4], NULL, 0) : 1;
	if (nthreads > MAX_THREADS || npools > MAX_POOLS)
		return 2;
	for (unsigned i = 0; i < npools; i++) {
		snprintf(pools[i].path, sizeof(pools[i].path), "%s", path_of((char[]){'s', (char)('0' + i), 0}));
		/* PMDK's arenas keep the runs that they emptied */
		open_pool(&pools[i], (size_t)(is_pmdk() ? 512 : 128) << 20);
	}
	static struct worker workers[MAX_THREADS];
	for (unsigned t = 0; t < nthreads; t++) {
		workers[t].index = t;
		workers[t].seed = seed * 1000003 + t + 1;
		workers[t].next_id = (uint64_t)(t + 1) << 40;
	}
	run_threads(workers, seconds / 2);
	for (unsigned i = 0; i < npools; i++) {
		audit(&pools[i], workers);
		close_and_check(&pools[i]);
		open_pool(&pools[i], 0);
		audit(&pools[i], workers);
	}
	run_threads(workers, seconds / 2);
	for (unsigned i = 0; i < npools; i++) {
		struct pool *p = &pools[i];
		audit(p, workers);
		free_all(p);
		/* no unit was lost: all runs but those of the logs are free chunks again */
		unsigned left = room(p);
		printf("room for %u chunks, %u in the fresh pool\n", left, p->room);
		CHECK(is_pmdk() || left + 8 * nthreads + 8 >= p->room);
		CHECK(OID_IS_NULL(pmemobj_first(p->pop)));
		close_and_check(p);
	}
	all_failures = case_failures;
	DONE();
}

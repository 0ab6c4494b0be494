/*
 * work.c -- a workload that can be verified at any moment.
 *
 *   work create  POOL SIZE          a pool with an empty model (and, in a pool of
 *                                   200 MiB or more, one object of each size class)
 *   work change  POOL SEED STEPS    the same changes for the same seed, on any library
 *   work verify  POOL               check, open, verify
 *   work torture POOL SEED THREADS  verify, say so, then change until killed
 *   work drain   POOL               free everything
 *   work room    POOL               how much fits into the pool
 *   work fresh   POOL SIZE          only create and close
 *   work damage  POOL KIND          what verification must notice
 *
 * The model: tables of slots, each slot an oid in the pool. Every live object is
 * in exactly one slot, knows which, and is filled with a pattern made from its
 * own id. Even tables are changed by transactions, which also keep the number
 * of objects and the sum of their ids; odd ones by atomic calls. So verification
 * shows a torn update (pattern or sums), a lost block (in a slot but not in the
 * heap), a leaked block (in the heap but in no slot), and a block handed out
 * twice (objects that overlap, patterns that were written over).
 *
 * A journal beside the pool (an ordinary file) counts what each thread was told
 * to be committed: after a kill, nothing of that may be missing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libpmemobj.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { TABLES = 8, LADDER = TABLES, SLOTS = 160, SAME = 512, THREADS = 4 };
#define MAGIC 0x6B726F776B726F77ULL
#define LADDER_POOL ((size_t)250 << 20)

struct object {
	uint64_t id;
	uint32_t size;
	uint16_t table, slot;
	uint64_t words[];
};

struct table {
	uint64_t ops, count, idsum;
	PMEMoid slot[SLOTS];
};

struct root {
	uint64_t magic;
	uint64_t ladder; /* the pool is large enough for the ladder table */
	PMEMmutex lock;
	uint64_t same[SAME]; /* all equal, whatever happens */
	struct table tables[TABLES + 1];
};

struct journal {
	uint64_t committed[TABLES];
};

struct worker {
	uint64_t rng;
	int first, tables; /* the tables this worker changes */
};

static PMEMobjpool *pop;
static struct root *root;
static struct journal *journal;
static int may_fill; /* a full pool is no error */

__attribute__((noreturn, format(printf, 1, 2))) static void
die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	printf("work: ");
	vprintf(format, args);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

static int
full(int error)
{
	return may_fill && error == ENOMEM;
}

static uint64_t
next_random(struct worker *w)
{
	uint64_t x = w->rng;
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	w->rng = x;
	return x * 0x2545F4914F6CDD1DULL;
}

static unsigned
below(struct worker *w, unsigned n)
{
	return (unsigned)(next_random(w) >> 33) % n;
}

/* --- objects ------------------------------------------------------------------- */

static uint64_t
pattern(uint64_t id, uint64_t i)
{
	uint64_t x = id * 0x9E3779B97F4A7C15ULL + i;
	x ^= x >> 29;
	return x * 0xBF58476D1CE4E5B9ULL;
}

static size_t
words(size_t size)
{
	return (size - sizeof(struct object)) / 8;
}

static void
fill(struct object *o, uint64_t id, size_t size, unsigned table, unsigned slot)
{
	o->id = id;
	o->size = (uint32_t)size;
	o->table = (uint16_t)table;
	o->slot = (uint16_t)slot;
	for (size_t i = 0; i < words(size); i++)
		o->words[i] = pattern(id, i);
}

static size_t
ladder_size(unsigned slot)
{
	double size = 16;
	while (slot-- > 0)
		size *= 1.0898;
	return size > (8 << 20) ? 8 << 20 : (size_t)size;
}

/* A few slots hold huge objects, some medium ones of few classes, most small
 * ones, so that a small pool never runs full. */
static size_t
some_size(struct worker *w, unsigned table, unsigned slot)
{
	if (table == LADDER)
		return ladder_size(slot);
	if (slot < 3)
		return 300000 + below(w, 400000);
	if (slot < 30)
		return 4000 + 9000 * below(w, 3) + below(w, 200);
	return sizeof(struct object) + below(w, slot % 4 ? 300 : 3000);
}

static uint64_t
new_id(struct worker *w)
{
	return next_random(w) | 1;
}

/* --- transactional changes ------------------------------------------------------- */

static void
tx_put(struct worker *w, struct table *t, unsigned table, unsigned slot)
{
	size_t size = some_size(w, table, slot);
	uint64_t id = new_id(w);
	int zeroed = below(w, 4) == 0;
	PMEMoid oid = zeroed ? pmemobj_tx_zalloc(size, table + 1) : pmemobj_tx_alloc(size, table + 1);
	struct object *o = pmemobj_direct(oid);
	if (zeroed)
		for (size_t i = 0; i < words(size); i += 1 + words(size) / 50)
			if (o->words[i] != 0)
				die("zalloc gave memory that is not zero");
	fill(o, id, size, table, slot);
	pmemobj_tx_add_range_direct(&t->slot[slot], sizeof(PMEMoid));
	t->slot[slot] = oid;
	t->count++;
	t->idsum += id;
}

static void
tx_take(struct table *t, unsigned slot)
{
	struct object *o = pmemobj_direct(t->slot[slot]);
	t->count--;
	t->idsum -= o->id;
	pmemobj_tx_free(t->slot[slot]);
	pmemobj_tx_add_range_direct(&t->slot[slot], sizeof(PMEMoid));
	t->slot[slot] = OID_NULL;
}

/* The whole object gets another identity: one big snapshot or many small ones. */
static void
tx_rewrite(struct worker *w, struct table *t, unsigned table, unsigned slot)
{
	PMEMoid oid = t->slot[slot];
	struct object *o = pmemobj_direct(oid);
	uint64_t id = new_id(w);
	t->idsum += id - o->id;
	if (below(w, 2) || o->size > 70000) {
		pmemobj_tx_add_range(oid, 0, o->size);
		fill(o, id, o->size, table, slot);
		return;
	}
	size_t step = 40 + below(w, 400), end = words(o->size) * 8 + sizeof(*o);
	for (size_t at = end; at > 0;) { /* backwards, in overlapping pieces */
		size_t from = at > step ? at - step : 0, len = at - from + 30;
		if (from + len > end)
			len = end - from;
		pmemobj_tx_add_range_direct((char *)o + from, len);
		at = from;
	}
	fill(o, id, o->size, table, slot);
}

static void
tx_resize(struct worker *w, struct table *t, unsigned table, unsigned slot)
{
	struct object *o = pmemobj_direct(t->slot[slot]);
	size_t old = o->size, size = some_size(w, table, slot);
	pmemobj_tx_add_range_direct(&t->slot[slot], sizeof(PMEMoid));
	t->slot[slot] = pmemobj_tx_realloc(t->slot[slot], size, table + 1);
	o = pmemobj_direct(t->slot[slot]);
	size_t kept = words(size < old ? size : old);
	for (size_t i = 0; i < kept; i += 1 + kept / 20)
		if (o->words[i] != pattern(o->id, i))
			die("realloc lost word %zu", i);
	fill(o, o->id, size, table, slot);
}

/* Reserves three objects and publishes them with their slots' values. */
static void
publish(struct worker *w, struct table *t, unsigned table, int in_tx)
{
	struct pobj_action act[9];
	unsigned n = 0;
	uint64_t sum = 0, count = 0;
	for (unsigned slot = 30 + below(w, SLOTS - 40), end = slot + 8; slot < end && n < 9; slot++) {
		if (!OID_IS_NULL(t->slot[slot]))
			continue;
		size_t size = some_size(w, table, slot);
		PMEMoid oid = pmemobj_reserve(pop, &act[n], size, table + 1);
		if (OID_IS_NULL(oid))
			break;
		uint64_t id = new_id(w);
		struct object *o = pmemobj_direct(oid);
		fill(o, id, size, table, slot);
		pmemobj_persist(pop, o, size);
		pmemobj_set_value(pop, &act[n + 1], &t->slot[slot].pool_uuid_lo, oid.pool_uuid_lo);
		pmemobj_set_value(pop, &act[n + 2], &t->slot[slot].off, oid.off);
		n += 3;
		count++;
		sum += id;
	}
	if (in_tx) {
		t->count += count;
		t->idsum += sum;
		pmemobj_tx_publish(act, n);
	} else if (below(w, 4) == 0) {
		pmemobj_cancel(pop, act, n);
	} else if (pmemobj_publish(pop, act, n) != 0) {
		die("publish: %s", pmemobj_errormsg());
	}
}

static void
tx_some(struct worker *w, struct table *t, unsigned table, unsigned n)
{
	while (n-- > 0) {
		unsigned slot = below(w, 20) ? 30 + below(w, SLOTS - 30) : below(w, 30);
		if (OID_IS_NULL(t->slot[slot])) {
			tx_put(w, t, table, slot);
			continue;
		}
		switch (below(w, 5)) {
		case 0:
			tx_take(t, slot);
			break;
		case 1:
			tx_take(t, slot);
			tx_put(w, t, table, slot);
			break;
		case 2:
			tx_resize(w, t, table, slot);
			break;
		default:
			tx_rewrite(w, t, table, slot);
		}
	}
}

static void
transaction(struct worker *w, unsigned table)
{
	struct table *t = &root->tables[table];
	unsigned n = below(w, 10) ? 1 + below(w, 5) : 30;
	int nested = below(w, 4) == 0, abort = below(w, 5) == 0, publishes = below(w, 12) == 0;
	uint64_t ops = t->ops;
	volatile int aborted = 0;
	TX_BEGIN(pop) {
		pmemobj_tx_add_range_direct(t, offsetof(struct table, slot));
		t->ops++;
		if (publishes)
			publish(w, t, table, 1); /* its slots change at commit: nothing else may touch them */
		else
			tx_some(w, t, table, n);
		if (nested && !publishes)
			TX_BEGIN(pop) {
				tx_some(w, t, table, 2);
				if (abort)
					pmemobj_tx_abort(ECANCELED);
			} TX_END
		if (abort)
			pmemobj_tx_abort(ECANCELED);
	} TX_ONABORT {
		if (pmemobj_tx_errno() != ECANCELED && !full(pmemobj_tx_errno()))
			die("transaction: %s", pmemobj_errormsg());
		aborted = 1;
	} TX_END
	if (t->ops != ops + !aborted)
		die("table %u: ops %lu after %s of %lu", table, t->ops, aborted ? "abort" : "commit", ops);
	if (journal)
		__atomic_store_n(&journal->committed[table], t->ops, __ATOMIC_RELEASE);
}

/* Threads meet here: one lock, one page that changes as a whole. */
static void
shared_transaction(struct worker *w)
{
	int abort = below(w, 4) == 0;
	TX_BEGIN_PARAM(pop, TX_PARAM_MUTEX, &root->lock, TX_PARAM_NONE) {
		pmemobj_tx_add_range_direct(root->same, sizeof(root->same));
		for (int i = 0; i < SAME; i++)
			root->same[i]++;
		if (abort)
			pmemobj_tx_abort(ECANCELED);
	} TX_ONABORT {
		if (pmemobj_tx_errno() != ECANCELED)
			die("shared transaction: %s", pmemobj_errormsg());
	} TX_END
}

/* --- atomic changes ---------------------------------------------------------------- */

struct plan {
	uint64_t id;
	size_t size;
	unsigned table, slot;
	int refuse;
};

static int
construct(PMEMobjpool *p, void *ptr, void *arg)
{
	const struct plan *plan = arg;
	fill(ptr, plan->id, plan->size, plan->table, plan->slot);
	pmemobj_persist(p, ptr, plan->size);
	return plan->refuse;
}

static void
atomic_change(struct worker *w, unsigned table)
{
	struct table *t = &root->tables[table];
	unsigned slot = below(w, 20) ? 30 + below(w, SLOTS - 30) : below(w, 30);
	PMEMoid *oid = &t->slot[slot];
	if (below(w, 15) == 0) {
		publish(w, t, table, 0);
		return;
	}
	if (OID_IS_NULL(*oid)) {
		struct plan plan = {new_id(w), some_size(w, table, slot), table, slot, below(w, 6) == 0};
		if (pmemobj_alloc(pop, oid, plan.size, table + 1, construct, &plan) != 0 &&
			!(plan.refuse && errno == ECANCELED) && !full(errno))
			die("alloc %zu: %s", plan.size, pmemobj_errormsg());
		return;
	}
	struct object *o = pmemobj_direct(*oid);
	size_t size = some_size(w, table, slot);
	if (table == LADDER || below(w, 2)) {
		pmemobj_free(oid);
		return;
	}
	/* Only so much of it is to survive; then the object may shrink. */
	if (size < o->size) {
		o->size = (uint32_t)size;
		pmemobj_persist(pop, &o->size, sizeof(o->size));
	}
	int failed = below(w, 2) ? pmemobj_realloc(pop, oid, size, table + 1)
		: pmemobj_zrealloc(pop, oid, size, table + 1);
	if (failed && !full(errno))
		die("realloc %zu: %s", size, pmemobj_errormsg());
}

static void
step(struct worker *w)
{
	unsigned table = (unsigned)w->first + below(w, (unsigned)w->tables);
	if (below(w, 10) == 0)
		shared_transaction(w);
	else if (table % 2 || table == LADDER)
		atomic_change(w, table);
	else
		transaction(w, table);
}

/* --- verification -------------------------------------------------------------------- */

struct extent {
	uint64_t off, len;
};

static int
by_offset(const void *a, const void *b)
{
	const struct extent *x = a, *y = b;
	return x->off < y->off ? -1 : x->off > y->off;
}

/* Looks at one object that iteration found. */
static void
verify_object(PMEMoid oid)
{
	const struct object *o = pmemobj_direct(oid);
	size_t usable = pmemobj_alloc_usable_size(oid);
	uint64_t type = pmemobj_type_num(oid);
	if (o->table > LADDER || o->slot >= SLOTS || o->size < sizeof(*o) || o->size > usable)
		die("leaked or torn: object at %#lx, type %lu, %zu bytes: table %u, slot %u, size %u", oid.off,
			type, usable, o->table, o->slot, o->size);
	PMEMoid linked = root->tables[o->table].slot[o->slot];
	if (!OID_EQUALS(linked, oid))
		die("leaked: object at %#lx says table %u, slot %u, which holds %#lx", oid.off, o->table, o->slot,
			linked.off);
	if (type != o->table + 1u)
		die("object at %#lx of table %u has type %lu", oid.off, o->table, type);
	for (size_t i = 0; i < words(o->size); i++)
		if (o->words[i] != pattern(o->id, i))
			die("torn: object at %#lx (table %u, slot %u, %u bytes), word %zu", oid.off, o->table, o->slot,
				o->size, i);
}

static uint64_t
verify(void)
{
	static struct extent extents[(TABLES + 1) * SLOTS + 1];
	unsigned found = 0, linked = 0;
	uint64_t digest = root->same[0];
	if (root->magic != MAGIC)
		die("the root object is not ours");
	for (PMEMoid oid = pmemobj_first(pop); !OID_IS_NULL(oid); oid = pmemobj_next(oid)) {
		if (found == sizeof(extents) / sizeof(extents[0]))
			die("leaked: more objects than slots");
		verify_object(oid);
		extents[found++] = (struct extent){oid.off, pmemobj_alloc_usable_size(oid)};
	}
	PMEMoid root_oid = pmemobj_root(pop, 0);
	extents[found++] = (struct extent){root_oid.off, pmemobj_alloc_usable_size(root_oid)};
	qsort(extents, found, sizeof(extents[0]), by_offset);
	for (unsigned i = 1; i < found; i++)
		if (extents[i - 1].off + extents[i - 1].len > extents[i].off - 16)
			die("handed out twice: objects at %#lx (%#lx bytes) and %#lx overlap", extents[i - 1].off,
				extents[i - 1].len, extents[i].off);
	for (unsigned table = 0; table <= LADDER; table++) {
		struct table *t = &root->tables[table];
		uint64_t count = 0, sum = 0;
		for (unsigned slot = 0; slot < SLOTS; slot++) {
			if (OID_IS_NULL(t->slot[slot]))
				continue;
			struct object *o = pmemobj_direct(t->slot[slot]);
			count++;
			sum += o->id;
			digest += pattern(o->id + table * 1000 + slot, o->size);
		}
		linked += (unsigned)count;
		if (table % 2 == 0 && table != LADDER && (count != t->count || sum != t->idsum))
			die("torn: table %u has %lu objects and sum %#lx, recorded %lu and %#lx", table, count, sum,
				t->count, t->idsum);
		if (journal && table < TABLES) {
			uint64_t told = journal->committed[table];
			if (t->ops != told && t->ops != told + 1)
				die("lost: table %u at %lu, but %lu was committed", table, t->ops, told);
			journal->committed[table] = t->ops;
		}
	}
	if (linked != found - 1)
		die("lost: %u objects in slots, %u in the heap", linked, found - 1);
	for (int i = 1; i < SAME; i++)
		if (root->same[i] != root->same[0])
			die("torn: the shared page differs at %d", i);
	return digest;
}

/* --- modes ------------------------------------------------------------------------------ */

static void
open_pool(const char *path, int check)
{
	if (check && pmemobj_check(path, "work") != 1)
		die("check: %s", pmemobj_errormsg());
	pop = pmemobj_open(path, "work");
	if (pop == NULL)
		die("open: %s", pmemobj_errormsg());
	root = pmemobj_direct(pmemobj_root(pop, sizeof(struct root)));
}

static void
create(const char *path, size_t size)
{
	pop = pmemobj_create(path, "work", size, 0600);
	if (pop == NULL)
		die("create: %s", pmemobj_errormsg());
	PMEMoid oid = pmemobj_root(pop, sizeof(struct root));
	if (OID_IS_NULL(oid))
		die("root: %s", pmemobj_errormsg());
	root = pmemobj_direct(oid);
	struct worker w = {12345, 0, 1};
	root->ladder = size >= LADDER_POOL;
	for (unsigned slot = 0; root->ladder && slot < SLOTS; slot++) {
		struct plan plan = {new_id(&w), ladder_size(slot), LADDER, slot, 0};
		if (pmemobj_alloc(pop, &root->tables[LADDER].slot[slot], plan.size, LADDER + 1, construct, &plan))
			die("alloc %zu: %s", plan.size, pmemobj_errormsg());
	}
	root->magic = MAGIC;
	pmemobj_persist(pop, root, sizeof(*root));
}

static void
open_journal(const char *pool)
{
	char path[1000];
	snprintf(path, sizeof(path), "%s.journal", pool);
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(*journal)) != 0)
		die("%s: %s", path, strerror(errno));
	journal = mmap(NULL, sizeof(*journal), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (journal == MAP_FAILED)
		die("%s: %s", path, strerror(errno));
	close(fd);
}

static void *
endless(void *arg)
{
	struct worker *w = arg;
	for (;;)
		step(w);
	return NULL;
}

static void
torture(const char *path, uint64_t seed, int threads)
{
	static struct worker workers[THREADS];
	open_pool(path, 0);
	open_journal(path);
	may_fill = 1;
	verify();
	printf("verified\n");
	fflush(stdout);
	pthread_t thread;
	for (int i = 0; i < threads; i++) {
		int tables = TABLES / threads;
		workers[i] = (struct worker){(seed * 100 + (uint64_t)i + 1) * 0x9E3779B97F4A7C15ULL, i * tables, tables};
		if (pthread_create(&thread, NULL, endless, &workers[i]) != 0)
			die("cannot start a thread");
	}
	pthread_join(thread, NULL);
}

static void
drain(void)
{
	for (PMEMoid oid = pmemobj_first(pop), next; !OID_IS_NULL(oid); oid = next) {
		next = pmemobj_next(oid);
		struct object *o = pmemobj_direct(oid);
		pmemobj_free(&root->tables[o->table].slot[o->slot]);
	}
	if (!OID_IS_NULL(pmemobj_first(pop)))
		die("objects that cannot be freed");
	for (int i = 0; i <= LADDER; i++)
		pmemobj_memset_persist(pop, &root->tables[i], 0, sizeof(root->tables[i]));
}

/* How many objects of a size fit, freeing them again. */
static unsigned
room(size_t size)
{
	unsigned n = 0;
	while (pmemobj_alloc(pop, NULL, size, 99, NULL, NULL) == 0)
		n++;
	for (PMEMoid oid = pmemobj_first(pop), next; !OID_IS_NULL(oid); oid = next) {
		next = pmemobj_next(oid);
		if (pmemobj_type_num(oid) == 99)
			pmemobj_free(&oid);
	}
	return n;
}

/* Does what a broken library would do. */
static void
damage(const char *kind)
{
	struct table *t = &root->tables[0];
	unsigned slot = 40;
	while (OID_IS_NULL(t->slot[slot]))
		slot++;
	struct object *o = pmemobj_direct(t->slot[slot]);
	if (strcmp(kind, "torn") == 0) {
		fill(o, o->id, 100, 0, slot);
		o->words[words(100) - 1]++;
	} else if (strcmp(kind, "half") == 0) {
		t->count++;
	} else if (strcmp(kind, "page") == 0) {
		root->same[100]++;
	} else if (strcmp(kind, "lost") == 0) {
		PMEMoid oid = t->slot[slot];
		pmemobj_free(&oid);
	} else if (strcmp(kind, "leaked") == 0) {
		pmemobj_zalloc(pop, NULL, 100, 1);
	} else if (strcmp(kind, "twice") == 0) {
		t->slot[slot + 1] = t->slot[slot];
	} else if (strcmp(kind, "overlap") == 0) {
		PMEMoid a, b; /* the second is written into the first */
		struct plan plan = {1, 2000, 0, 0, 0};
		pmemobj_alloc(pop, &a, 2000, 1, construct, &plan);
		b = a;
		b.off += 64;
		fill(pmemobj_direct(b), 3, 100, 0, slot);
		t->slot[0] = a;
	} else {
		die("%s?", kind);
	}
	pmemobj_close(pop);
}

int
main(int argc, char **argv)
{
	if (argc < 3)
		die("create|change|verify|torture|drain|room|fresh|damage POOL ...");
	const char *mode = argv[1], *path = argv[2];
	uint64_t a = argc > 3 ? strtoull(argv[3], NULL, 0) : 0, b = argc > 4 ? strtoull(argv[4], NULL, 0) : 0;
	if (strcmp(mode, "create") == 0) {
		create(path, a);
	} else if (strcmp(mode, "fresh") == 0) {
		pop = pmemobj_create(path, "work", a, 0600);
		if (pop == NULL)
			die("create: %s", pmemobj_errormsg());
		pmemobj_close(pop);
		return 0;
	} else if (strcmp(mode, "damage") == 0 && argc > 3) {
		open_pool(path, 0);
		damage(argv[3]);
		return 0;
	} else if (strcmp(mode, "torture") == 0) {
		torture(path, a, (int)(b ? b : 1));
	} else {
		open_pool(path, 1);
		if (strcmp(mode, "change") == 0) {
			verify();
			struct worker w = {(a + 1) * 0x9E3779B97F4A7C15ULL, 0, TABLES + (int)root->ladder};
			for (uint64_t i = 0; i < b; i++)
				step(&w);
		} else if (strcmp(mode, "drain") == 0) {
			verify();
			drain();
		} else if (strcmp(mode, "room") == 0) {
			unsigned huge = room(1000000), large = room(100000), small = room(1000);
			printf("room for %u of 1000000, %u of 100000, %u of 1000 bytes\n", huge, large, small);
			pmemobj_close(pop);
			return 0;
		} else if (strcmp(mode, "verify") != 0) {
			die("%s?", mode);
		}
	}
	printf("state %016lx\n", verify());
	pmemobj_close(pop);
	return 0;
}

/* ctl.c -- the ctl namespace: names, types, errors, configuration, and what
 * the settings do. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <libpmemobj.h>
#include <pthread.h>
#include "test.h"

#define POOL_SIZE ((size_t)64 << 20)
#define UNTOUCHED 0xc7c7c7c7c7c7c7c7ULL

static PMEMobjpool *pop;

static PMEMobjpool *
fresh(const char *name)
{
	unlink(path_of(name));
	return pmemobj_create(path_of(name), NULL, POOL_SIZE, 0600);
}

/* --- every entry point, with each operation ---------------------------------- */

enum { G = 1, S = 2, X = 4, GLOBAL = 8 };

static const struct entry {
	const char *name;
	int ops, size; /* bytes that get writes, 0 for none */
	long long value; /* after creation; -2: depends */
} entries[] = {
	{"prefault.at_create", G | S | GLOBAL, 4, 0},
	{"prefault.at_open", G | S | GLOBAL, 4, 0},
	{"sds.at_create", G | S | GLOBAL, 4, 1},
	{"fallocate.at_create", G | S | GLOBAL, 4, 1},
	{"copy_on_write.at_open", G | S | GLOBAL, 4, 0},
	{"heap.arenas_assignment_type", G | S | GLOBAL, 4, 0},
	{"heap.arenas_default_max", G | S | GLOBAL, 4, -2},
	{"tx.cache.size", G | S, 8, 32768},
	{"tx.cache.threshold", G | S, 0, 0},
	{"tx.debug.skip_expensive_checks", G | S, 4, 0},
	{"tx.debug.verify_user_buffers", G | S, 4, 0},
	{"tx.post_commit.queue_depth", G | S, 0, 0},
	{"tx.post_commit.worker", G, 0, 0},
	{"tx.post_commit.stop", G, 0, 0},
	{"heap.narenas.automatic", G, 4, -2},
	{"heap.narenas.total", G, 4, -2},
	{"heap.narenas.max", G | S, 4, 1024},
	{"heap.arena.1.size", G, 8, 0},
	{"heap.arena.1.automatic", G | S, 4, 1},
	{"heap.arena.create", X, 4, -2},
	{"heap.thread.arena_id", G | S, 4, -2},
	{"heap.alloc_class.new.desc", S, 32, -2},
	{"heap.alloc_class.7.desc", G | S, 32, -2},
	{"heap.size.granularity", G | S, 8, 134217728},
	{"heap.size.extend", X, 8, -2},
	{"stats.enabled", G | S, 4, 0},
	{"stats.heap.curr_allocated", G, 8, 0},
	{"stats.heap.run_allocated", G, 8, 0},
	{"stats.heap.run_active", G, 8, 0},
	{"debug.heap.alloc_pattern", G | S, 4, -1},
};

static void
refused(int r, const char *name, int pool)
{
	char want[128];
	snprintf(want, sizeof(want), "invalid query entry point %s", pool ? name : "");
	if (r != -1 || errno != EINVAL || strncmp(pmemobj_errormsg(), want, strlen(want)) != 0)
		FAIL("%s: %d, errno %d, %s", name, r, errno, pmemobj_errormsg());
}

static void
table(void)
{
	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		const struct entry *e = &entries[i];
		uint64_t v[4];
		memset(v, 0xc7, sizeof(v));
		errno = 0;
		int r = pmemobj_ctl_get(pop, e->name, v);
		if (!(e->ops & G)) {
			refused(r, e->name, 1);
		} else {
			if (r != 0)
				FAIL("get %s: %s", e->name, pmemobj_errormsg());
			long long got = e->size == 4 ? (int)v[0] : (long long)v[0];
			if (e->size && e->size < 32 && e->value != -2 && got != e->value)
				FAIL("%s is %lld", e->name, got);
			if (e->size == 0 && v[0] != UNTOUCHED)
				FAIL("%s wrote something", e->name);
			if (e->size == 4 && v[0] >> 32 != UNTOUCHED >> 32)
				FAIL("%s wrote more than an int", e->name);
			if (e->ops & S && e->size == 4)
				CHECK(pmemobj_ctl_set(pop, e->name, v) == 0);
		}
		errno = 0;
		if (!(e->ops & S))
			refused(pmemobj_ctl_set(pop, e->name, v), e->name, 1);
		errno = 0;
		if (!(e->ops & X))
			refused(pmemobj_ctl_exec(pop, e->name, v), e->name, 1);
		errno = 0;
		r = pmemobj_ctl_get(NULL, e->name, v);
		if (e->ops & GLOBAL)
			EQ(r, 0);
		else
			refused(r, e->name, 0);
	}
	static const char *const wrong[] = {"", "heap", "heap.", "nothing", "heap.arena", "heap.narenas.most",
		"heap.arena.x.size", "stats.heap", "HEAP.narenas.total", "tx.cache", "heap.alloc_class.8"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		uint64_t v = 0;
		errno = 0;
		refused(pmemobj_ctl_get(pop, wrong[i], &v), wrong[i], 1);
	}
	if (!is_pmdk()) { /* it crashes on these */
		uint64_t v;
		refused(pmemobj_ctl_get(pop, "heap.narenas.total.more", &v), "heap.narenas.total.more", 1);
		refused(pmemobj_ctl_get(pop, "heap.arena.arena_id.size", &v), "heap.arena.arena_id.size", 1);
		EQ(pmemobj_ctl_exec(pop, "heap.arena.create", NULL), -1);
	}
	unsigned n = 0;
	EQ(pmemobj_ctl_get(pop, "heap..narenas...total.", &n), 0);
	CHECK(n > 0);
	errno = 0;
	EQ(pmemobj_ctl_get(pop, NULL, &n), -1);
	EQ(errno, EINVAL);
	STREQ(pmemobj_errormsg(), "invalid query");
	EQ(pmemobj_ctl_get(pop, "stats.enabled", NULL), -1);
	STREQ(pmemobj_errormsg(), "read queries require non-NULL argument");
	EQ(pmemobj_ctl_set(pop, "stats.enabled", NULL), -1);
	STREQ(pmemobj_errormsg(), "write queries require non-NULL argument");
}

#define REFUSES(op, name, arg, error, message) do { \
	errno = 0; \
	EQ(pmemobj_ctl_##op(pop, name, arg), -1); \
	EQ(errno, error); \
	if ((message)[0]) \
		STARTS(pmemobj_errormsg(), message); \
} while (0)

static void
wrong_values(void)
{
	int i;
	unsigned u;
	long long l;
	size_t s;
	REFUSES(set, "tx.cache.size", (l = -1, &l), EINVAL,
		"invalid cache size, must be between 0 and max alloc size");
	REFUSES(set, "tx.cache.size", (l = (long long)PMEMOBJ_MAX_ALLOC_SIZE + 1, &l), EINVAL, "invalid cache");
	EQ(pmemobj_ctl_set(pop, "tx.cache.size", (l = 100, &l)), 0);
	EQ(pmemobj_ctl_get(pop, "tx.cache.size", &l), 0);
	EQ(l, 100);
	EQ(pmemobj_ctl_set(pop, "tx.cache.size", (l = 32768, &l)), 0);
	REFUSES(set, "heap.arenas_default_max", (u = 0, &u), 0, "");
	REFUSES(set, "heap.narenas.max", (u = 0, &u), 0, "");
	REFUSES(get, "heap.arena.0.size", &s, ERANGE, "");
	REFUSES(get, "heap.arena.100.size", &s, ERANGE, "");
	REFUSES(get, "heap.arena.-1.automatic", &i, ERANGE, "");
	REFUSES(set, "heap.arena.1.automatic", (i = 2, &i), 0, "");
	REFUSES(set, "heap.thread.arena_id", (u = 0, &u), ERANGE, "");
	REFUSES(set, "heap.thread.arena_id", (u = 1000, &u), ERANGE, "");
	REFUSES(set, "heap.size.granularity", (l = 100, &l), 0,
		"incorrect grow size, must be 0 or larger than 2097152");
	EQ(pmemobj_ctl_set(pop, "heap.size.granularity", (l = 0, &l)), 0);
	REFUSES(exec, "heap.size.extend", (s = 100, &s), 0, "incorrect size for extend, must be larger than 2097152");
	REFUSES(exec, "heap.size.extend", (s = 8 << 20, &s), 0,
		"extending the pool by appending parts with headers is not supported!");
}

/* --- allocation classes -------------------------------------------------------- */

static int
define(const char *name, size_t unit, size_t alignment, unsigned units, int header,
	struct pobj_alloc_class_desc *d)
{
	d->unit_size = unit;
	d->alignment = alignment;
	d->units_per_block = units;
	d->header_type = (enum pobj_header_type)header;
	d->class_id = 4711;
	errno = 0;
	return pmemobj_ctl_set(pop, name, d);
}

#define NEW "heap.alloc_class.new.desc"

static void
classes(void)
{
	struct pobj_alloc_class_desc d, got;
	EQ(define(NEW, 0, 0, 10, 1, &d), -1);
	EQ(errno, EINVAL);
	EQ(d.class_id, 4711);
	EQ(define(NEW, 128, 0, 0, 1, &d), -1);
	EQ(errno, EINVAL);
	EQ(define(NEW, 100, 64, 10, 1, &d), -1);
	EQ(errno, EINVAL);
	STARTS(pmemobj_errormsg(), "unit size must be evenly divisible by alignment");
	EQ(define(NEW, 8 << 20, 4 << 20, 10, 1, &d), -1);
	STARTS(pmemobj_errormsg(), "alignment cannot be larger than 2 megabytes");
	EQ(define(NEW, 128, 0, 10, 3, &d), -1);
	EQ(errno, EINVAL);
	STARTS(pmemobj_errormsg(), "invalid header type");
	EQ(define("heap.alloc_class.255.desc", 1000, 0, 10, 1, &d), -1);
	EQ(errno, ERANGE);
	STARTS(pmemobj_errormsg(), "class id outside of the allowed range");
	EQ(define("heap.alloc_class.53.desc", 1000, 0, 10, 1, &d), -1);
	EQ(errno, EEXIST);
	STARTS(pmemobj_errormsg(), "attempted to overwrite an allocation class");
	EQ(define(NEW, 128, 0, 1000, 1, &d), -1); /* the same as class 1 */
	EQ(errno, EINVAL);
	STARTS(pmemobj_errormsg(), "unable to register allocation class");
	EQ(pmemobj_ctl_get(pop, "heap.alloc_class.60.desc", &got), -1);
	EQ(errno, ENOENT);
	STARTS(pmemobj_errormsg(), "class with the given id does not exist");

	EQ(pmemobj_ctl_get(pop, "heap.alloc_class.0.desc", &got), 0);
	EQ(got.unit_size, 262144);
	EQ(got.units_per_block, 0);
	EQ(pmemobj_ctl_get(pop, "heap.alloc_class.9.desc", &got), 0);
	EQ(got.unit_size, 1472);
	EQ(got.units_per_block, 356);
	EQ(got.header_type, POBJ_HEADER_COMPACT);
	EQ(got.class_id, 9);

	EQ(define(NEW, 100, 0, 1000, 1, &d), 0);
	EQ(d.class_id, 54);
	EQ(d.units_per_block, 2617);
	EQ(define("heap.alloc_class.200.desc", 4096, 4096, 100, 1, &d), 0);
	EQ(d.class_id, 200);
	EQ(d.units_per_block, 126);
	EQ(pmemobj_ctl_get(pop, "heap.alloc_class.200.desc", &got), 0);
	CHECK(got.unit_size == 4096 && got.alignment == 4096 && got.units_per_block == 126);
	EQ(got.class_id, 200);
	EQ(define("heap.alloc_class.200.desc", 5000, 0, 100, 1, &d), -1);
	EQ(errno, EEXIST);
}

/* One class of each kind of header, with and without alignment: sizes, types,
 * alignment, and what the class does not take. */
static void
class_objects(void)
{
	static const unsigned header_size[] = {64, 16, 0};
	unsigned id = 210;
	for (int h = 0; h < 3; h++)
		for (int aligned = 0; aligned < 2; aligned++, id++) {
			char name[64];
			struct pobj_alloc_class_desc d;
			size_t unit = 768, align = aligned ? 256 : 0;
			snprintf(name, sizeof(name), "heap.alloc_class.%u.desc", id);
			NEED(define(name, unit, align, 50, h, &d) == 0);
			for (int i = 0; i < 1000; i++) { /* more than one run */
				PMEMoid oid;
				size_t most = h == 2 ? unit : 64 * unit - header_size[h];
				size_t size = h == 2 ? 700 : (size_t)(i % 5 ? 700 : 3000);
				NEED(pmemobj_xalloc(pop, &oid, size, 77, POBJ_CLASS_ID(id), NULL, NULL) == 0);
				size_t units = (size + header_size[h] + unit - 1) / unit;
				EQ(pmemobj_alloc_usable_size(oid), units * unit - header_size[h]);
				EQ(pmemobj_type_num(oid), h == 2 ? 0 : 77);
				if (aligned && (i % 5))
					CHECK(units > 1 || oid.off % 256 == 0);
				memset(pmemobj_direct(oid), 0x5a, size);
				if (i % 3 == 0)
					pmemobj_free(&oid);
				errno = 0;
				EQ(pmemobj_xalloc(pop, &oid, most + 1, 0, POBJ_CLASS_ID(id), NULL, NULL), -1);
				EQ(errno, EINVAL);
				STARTS(pmemobj_errormsg(), "allocation class not suitable for size");
				if (case_failures)
					return;
			}
		}
	PMEMoid oid;
	EQ(pmemobj_xalloc(pop, &oid, 100, 0, POBJ_CLASS_ID(250), NULL, NULL), -1);
	EQ(errno, EINVAL);
	STARTS(pmemobj_errormsg(), "no allocation class for size");
	TX_BEGIN(pop) {
		oid = pmemobj_tx_xalloc(500, 3, POBJ_CLASS_ID(212));
		EQ(pmemobj_alloc_usable_size(oid), 768 - 16);
	} TX_END
	/* the objects are still there, and can be freed, when the class is not */
	pmemobj_close(pop);
	NEED((pop = pmemobj_open(path_of("ctl"), NULL)) != NULL);
	int n = 0;
	for (PMEMoid next, o = pmemobj_first(pop); !OID_IS_NULL(o); o = next, n++) {
		next = pmemobj_next(o);
		CHECK(pmemobj_alloc_usable_size(o) >= 704);
		pmemobj_free(&o);
	}
	EQ(n, 6 * 666 + 1);
	CHECK(OID_IS_NULL(pmemobj_first(pop)));
	pmemobj_close(pop);
	EQ(pmemobj_check(path_of("ctl"), NULL), 1);
	NEED((pop = pmemobj_open(path_of("ctl"), NULL)) != NULL);
}

/* A class that fits better serves sizes that were not asked for before. */
static void
automatic_class(void)
{
	struct pobj_alloc_class_desc d;
	PMEMoid oid;
	NEED(define(NEW, 50016, 0, 10, 1, &d) == 0);
	NEED(pmemobj_alloc(pop, &oid, 50000, 1, NULL, NULL) == 0);
	EQ(pmemobj_alloc_usable_size(oid), 50000);
	pmemobj_free(&oid);
}

/* --- arenas ---------------------------------------------------------------- */

static void *
arena_of_thread(void *arg)
{
	unsigned *ids = arg;
	pmemobj_ctl_get(pop, "heap.thread.arena_id", &ids[0]);
	pmemobj_ctl_set(pop, "heap.thread.arena_id", &ids[1]);
	pmemobj_ctl_get(pop, "heap.thread.arena_id", &ids[2]);
	PMEMoid oid;
	pmemobj_alloc(pop, &oid, 100, 1, NULL, NULL);
	return NULL;
}

static size_t
arena_size(unsigned id)
{
	char name[64];
	size_t size = 0;
	snprintf(name, sizeof(name), "heap.arena.%u.size", id);
	EQ(pmemobj_ctl_get(pop, name, &size), 0);
	return size;
}

static void
arenas(void)
{
	unsigned total, automatic, id = 0, now, max;
	pmemobj_close(pop);
	NEED((pop = fresh("arenas")) != NULL);
	EQ(pmemobj_ctl_get(pop, "heap.narenas.total", &total), 0);
	EQ(pmemobj_ctl_get(pop, "heap.narenas.automatic", &automatic), 0);
	EQ(total, automatic);
	EQ(total, sysconf(_SC_NPROCESSORS_ONLN));
	EQ(pmemobj_ctl_exec(pop, "heap.arena.create", &id), 0);
	EQ(id, total + 1);
	EQ(arena_size(id), 0);
	unsigned ids[3] = {0, id, 0};
	pthread_t t;
	pthread_create(&t, NULL, arena_of_thread, ids);
	pthread_join(t, NULL);
	CHECK(ids[0] >= 1 && ids[0] <= total);
	EQ(ids[2], id);
	EQ(arena_size(id), 262144);
	PMEMoid oid;
	EQ(pmemobj_xalloc(pop, &oid, 4000, 1, POBJ_ARENA_ID(id), NULL, NULL), 0);
	CHECK(arena_size(id) > 262144);
	char name[64];
	int on = 7;
	snprintf(name, sizeof(name), "heap.arena.%u.automatic", id);
	EQ(pmemobj_ctl_get(pop, name, &on), 0);
	EQ(on, 0);
	EQ(pmemobj_ctl_set(pop, name, (on = 1, &on)), 0);
	EQ(pmemobj_ctl_get(pop, "heap.narenas.automatic", &now), 0);
	EQ(now, automatic + 1);
	on = 0;
	for (unsigned i = 1; i <= total; i++) {
		snprintf(name, sizeof(name), "heap.arena.%u.automatic", i);
		EQ(pmemobj_ctl_set(pop, name, &on), 0);
	}
	snprintf(name, sizeof(name), "heap.arena.%u.automatic", id);
	errno = 0;
	EQ(pmemobj_ctl_set(pop, name, &on), -1);
	STARTS(pmemobj_errormsg(), "at least one automatic arena must exist");
	for (int i = 0; i < 1100; i++)
		NEED(pmemobj_ctl_exec(pop, "heap.arena.create", &id) == 0);
	EQ(id, total + 1101);
	EQ(pmemobj_ctl_get(pop, "heap.narenas.max", &max), 0);
	EQ(max, 2048);
	EQ(pmemobj_xalloc(pop, &oid, 100, 1, POBJ_ARENA_ID(id), NULL, NULL), 0);
	EQ(arena_size(id), 262144);
	if (!is_pmdk()) { /* it crashes */
		errno = 0;
		EQ(pmemobj_xalloc(pop, &oid, 100, 1, POBJ_ARENA_ID(id + 1), NULL, NULL), -1);
		CHECK(errno == EINVAL || errno == ERANGE);
	}
	/* settings for the next pool */
	unsigned five = 5, before;
	EQ(pmemobj_ctl_get(NULL, "heap.arenas_default_max", &before), 0);
	EQ(pmemobj_ctl_set(NULL, "heap.arenas_default_max", &five), 0);
	pmemobj_close(pop);
	NEED((pop = pmemobj_open(path_of("arenas"), NULL)) != NULL);
	EQ(pmemobj_ctl_get(pop, "heap.narenas.total", &total), 0);
	EQ(total, 5);
	EQ(pmemobj_ctl_set(NULL, "heap.arenas_default_max", &before), 0);
	enum pobj_arenas_assignment_type global = POBJ_ARENAS_ASSIGNMENT_GLOBAL, thread = POBJ_ARENAS_ASSIGNMENT_THREAD_KEY;
	EQ(pmemobj_ctl_set(NULL, "heap.arenas_assignment_type", &global), 0);
	pmemobj_close(pop);
	NEED((pop = pmemobj_open(path_of("arenas"), NULL)) != NULL);
	EQ(pmemobj_alloc(pop, &oid, 100, 1, NULL, NULL), 0);
	EQ(pmemobj_ctl_set(NULL, "heap.arenas_assignment_type", &thread), 0);
}

/* --- statistics, pattern ---------------------------------------------------- */

static long
stat_of(const char *name)
{
	uint64_t v = 0;
	EQ(pmemobj_ctl_get(pop, name, &v), 0);
	return (long)v;
}

#define CURR stat_of("stats.heap.curr_allocated")
#define RUN_ALLOCATED stat_of("stats.heap.run_allocated")
#define RUN_ACTIVE stat_of("stats.heap.run_active")

static void
set_stats(int value)
{
	enum pobj_stats_enabled e = (enum pobj_stats_enabled)value;
	EQ(pmemobj_ctl_set(pop, "stats.enabled", &e), 0);
}

static void
allocate_and_die(void *arg)
{
	(void)arg;
	if ((pop = fresh("stats")) == NULL)
		_exit(98);
	set_stats(POBJ_STATS_ENABLED_BOTH);
	PMEMoid oid[3];
	pmemobj_alloc(pop, &oid[0], 64, 1, NULL, NULL);
	pmemobj_alloc(pop, &oid[1], 1000, 1, NULL, NULL);
	pmemobj_alloc(pop, &oid[2], 3000000, 1, NULL, NULL);
	pmemobj_free(&oid[1]);
	_exit(0);
}

static void
statistics(void)
{
	pmemobj_close(pop);
	NEED((pop = fresh("stats")) != NULL);
	PMEMoid oid[6];
	EQ(pmemobj_alloc(pop, &oid[0], 100, 1, NULL, NULL), 0);
	EQ(CURR, 0);
	EQ(RUN_ALLOCATED, 128);
	EQ(RUN_ACTIVE, 262144);
	EQ(pmemobj_alloc(pop, &oid[1], 3000000, 1, NULL, NULL), 0);
	EQ(RUN_ALLOCATED, 128);
	EQ(RUN_ACTIVE, 262144);
	set_stats(POBJ_STATS_ENABLED_BOTH);
	EQ(pmemobj_alloc(pop, &oid[2], 100, 1, NULL, NULL), 0);
	EQ(pmemobj_alloc(pop, &oid[3], 3000000, 1, NULL, NULL), 0);
	EQ(CURR, 128 + 3145728);
	EQ(RUN_ALLOCATED, 256);
	TX_BEGIN(pop) {
		oid[4] = pmemobj_tx_alloc(1000, 1);
		pmemobj_tx_free(oid[3]);
		EQ(CURR, 128 + 3145728);
	} TX_END
	EQ(CURR, 128 + 1024);
	EQ(RUN_ALLOCATED, 256 + 1024);
	set_stats(POBJ_STATS_DISABLED);
	pmemobj_free(&oid[4]);
	EQ(RUN_ALLOCATED, 256 + 1024);
	set_stats(POBJ_STATS_ENABLED_PERSISTENT);
	pmemobj_free(&oid[2]);
	EQ(CURR, 1024);
	EQ(RUN_ALLOCATED, 256 + 1024);
	pmemobj_close(pop);
	NEED((pop = pmemobj_open(path_of("stats"), NULL)) != NULL);
	EQ(CURR, 1024);
	EQ(RUN_ALLOCATED, 0);
	EQ(RUN_ACTIVE, 0);
	EQ(pmemobj_alloc(pop, &oid[2], 100, 1, NULL, NULL), 0);
	EQ(RUN_ALLOCATED, 256); /* and the one that was there */
	pmemobj_close(pop);
	EQ(outcome(allocate_and_die, NULL), 0);
	NEED((pop = pmemobj_open(path_of("stats"), NULL)) != NULL);
	EQ(CURR, 128 + 3145728); /* after a crash of the process, too */
}

static void
pattern(void)
{
	int p = 0x1a5; /* a byte of it counts */
	EQ(pmemobj_ctl_set(pop, "debug.heap.alloc_pattern", &p), 0);
	PMEMoid a, z, t = OID_NULL;
	EQ(pmemobj_alloc(pop, &a, 1000, 1, NULL, NULL), 0);
	EQ(pmemobj_zalloc(pop, &z, 1000, 1), 0);
	unsigned char *pa = pmemobj_direct(a), *pz = pmemobj_direct(z);
	for (size_t i = 0; i < pmemobj_alloc_usable_size(a); i++)
		if (pa[i] != 0xa5 || pz[i] != 0) {
			FAIL("byte %zu: %#x %#x", i, pa[i], pz[i]);
			break;
		}
	for (int k = 0; k < 20; k++) { /* of one kind, in a row */
		struct pobj_action act;
		PMEMoid o;
		if (k < 10)
			EQ(pmemobj_alloc(pop, &o, 100, 1, NULL, NULL), 0);
		else
			o = pmemobj_reserve(pop, &act, 100, 1);
		pa = pmemobj_direct(o);
		CHECK(pa[0] == 0xa5 && pa[47] == 0xa5 && pa[48] == 0xa5 && pa[99] == 0xa5);
		if (k >= 10)
			EQ(pmemobj_publish(pop, &act, 1), 0);
	}
	TX_BEGIN(pop) {
		t = pmemobj_tx_alloc(3000000, 1);
		pa = pmemobj_direct(t);
		CHECK(pa[0] == 0xa5 && pa[2999999] == 0xa5);
	} TX_END
	p = -1;
	EQ(pmemobj_ctl_set(pop, "debug.heap.alloc_pattern", &p), 0);
	memset(pmemobj_direct(a), 7, 1000);
	pmemobj_free(&a);
}

/* --- what the process's settings do -------------------------------------------- */

static long
blocks(const char *name)
{
	struct stat st;
	return stat(path_of(name), &st) == 0 ? (long)st.st_blocks * 512 : -1;
}

static void
copy_on_write(void)
{
	pmemobj_close(pop);
	NEED((pop = fresh("cow")) != NULL);
	PMEMoid root = pmemobj_root(pop, 64);
	*(int *)pmemobj_direct(root) = 1;
	pmemobj_persist(pop, pmemobj_direct(root), 4);
	pmemobj_close(pop);
	int on = 1;
	EQ(pmemobj_ctl_set(NULL, "copy_on_write.at_open", &on), 0);
	NEED((pop = pmemobj_open(path_of("cow"), NULL)) != NULL);
	on = 0;
	EQ(pmemobj_ctl_set(NULL, "copy_on_write.at_open", &on), 0);
	*(int *)pmemobj_direct(pmemobj_root(pop, 64)) = 2;
	pmemobj_persist(pop, pmemobj_direct(root), 4);
	PMEMoid oid;
	EQ(pmemobj_alloc(pop, &oid, 100, 1, NULL, NULL), 0);
	CHECK(pmemobj_open(path_of("cow"), NULL) == NULL); /* locked all the same */
	pmemobj_close(pop);
	NEED((pop = pmemobj_open(path_of("cow"), NULL)) != NULL);
	EQ(*(int *)pmemobj_direct(pmemobj_root(pop, 64)), 1);
	CHECK(OID_IS_NULL(pmemobj_first(pop)));
}

static void
creation_settings(void)
{
	int on = 1, off = 0;
	/* an existing file stays sparse, unless its pages are touched */
	for (int touch = 0; touch < 2; touch++) {
		unlink(path_of("sparse"));
		int fd = open(path_of("sparse"), O_CREAT | O_RDWR, 0600);
		NEED(fd >= 0 && ftruncate(fd, 32 << 20) == 0);
		close(fd);
		EQ(pmemobj_ctl_set(NULL, "fallocate.at_create", &off), 0);
		EQ(pmemobj_ctl_set(NULL, "prefault.at_create", touch ? &on : &off), 0);
		EQ(pmemobj_ctl_set(NULL, "sds.at_create", &off), 0);
		PMEMobjpool *p = pmemobj_create(path_of("sparse"), NULL, 0, 0600);
		NEED(p != NULL);
		EQ(((unsigned *)p)[4] & 4, 0); /* incompat features: no shutdown state */
		pmemobj_close(p);
		if (touch)
			CHECK(blocks("sparse") >= 32 << 20);
		else
			CHECK(blocks("sparse") < 16 << 20);
	}
	EQ(pmemobj_ctl_set(NULL, "fallocate.at_create", &on), 0);
	EQ(pmemobj_ctl_set(NULL, "prefault.at_create", &off), 0);
	EQ(pmemobj_ctl_set(NULL, "sds.at_create", &on), 0);
	EQ(pmemobj_ctl_set(NULL, "prefault.at_open", &on), 0);
	PMEMobjpool *p = pmemobj_open(path_of("sparse"), NULL);
	CHECK(p != NULL);
	pmemobj_close(p);
	EQ(pmemobj_ctl_set(NULL, "prefault.at_open", &off), 0);
	p = fresh("sds");
	NEED(p != NULL);
	EQ(((unsigned *)p)[4] & 4, 4);
	pmemobj_close(p);
}

/* --- configuration strings, read at each opening --------------------------------- */

static int
opens_with(const char *conf)
{
	setenv("PMEMOBJ_CONF", conf, 1);
	errno = 0;
	PMEMobjpool *p = pmemobj_open(path_of("cow"), NULL);
	int error = errno;
	unsetenv("PMEMOBJ_CONF");
	if (p == NULL) {
		EQ(error, EINVAL);
		STARTS(pmemobj_errormsg(), "pool initialization failed");
		return 0;
	}
	pop = p;
	return 1;
}

static void
strings(void)
{
	static const struct { const char *conf; int good; } cases[] = {
		{"", 1}, {";;", 1}, {"stats.enabled=1", 1}, {"stats.enabled=both", 1}, {"stats.enabled=Both", 0},
		{"stats.enabled=nope;;prefault.at_open=yes", 1}, {"prefault.at_open=true", 0}, {"prefault.at_open=0 ", 1},
		{" prefault.at_open=1", 0}, {"prefault.at_open= 1", 0}, {"prefault.at_open=on", 0},
		{"prefault.at_open", 0}, {"prefault.at_open=", 0}, {"=1", 0}, {"prefault.at_open=1=1", 0},
		{"prefault.at_open=1,2,3", 1}, {"tx.cache.size=10k", 1}, {"tx.cache.size=k", 0},
		{"tx.cache.size=-1", 0}, {"tx.cache.size=99999999999999999999", 0}, {"heap.narenas.total=1", 0},
		{"heap.arena.create=1", 0}, {"nothing.at.all=1", 0}, {"heap.arenas_assignment_type=thread", 1},
		{"heap.arenas_assignment_type=Thread", 0}, {"heap.alloc_class.100.desc=96,0,10,compact", 1},
		{"heap.alloc_class.new.desc=96,0,10,none;heap.alloc_class.101.desc=192,64,10,legacy", 1},
		{"heap.alloc_class.new.desc=96,0,10", 0}, {"heap.alloc_class.new.desc=96,0,10,full", 0},
		{"debug.heap.alloc_pattern=300", 1}, {"heap.size.granularity=0", 1}, {"tx.post_commit.queue_depth=1", 1},
		{"heap.arena.1.automatic=1", 1}, {"heap.arena.1.automatic=2", 0}, {"heap.narenas.max=2000", 1},
		{"tx.debug.skip_expensive_checks=1;prefault.at_open=0", 1},
	};
	pmemobj_close(pop);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int good = opens_with(cases[i].conf);
		if (good != cases[i].good)
			FAIL("\"%s\": %d (%s)", cases[i].conf, good, pmemobj_errormsg());
		if (good)
			pmemobj_close(pop);
	}
	long long l = 0;
	NEED(opens_with("tx.cache.size=010k;stats.enabled=persistent"));
	EQ(pmemobj_ctl_get(pop, "tx.cache.size", &l), 0);
	EQ(l, 8);
	EQ(stat_of("stats.enabled"), POBJ_STATS_ENABLED_PERSISTENT);
	pmemobj_close(pop);
	NEED(opens_with("heap.alloc_class.100.desc=96,0,0x10,compact,surplus"));
	struct pobj_alloc_class_desc d;
	EQ(pmemobj_ctl_get(pop, "heap.alloc_class.100.desc", &d), 0);
	EQ(d.unit_size, 96);
	EQ(d.header_type, POBJ_HEADER_COMPACT);
	pmemobj_close(pop);
	/* a create that fails leaves no file */
	setenv("PMEMOBJ_CONF", "stats.enabled=what", 1);
	CHECK(fresh("never") == NULL);
	unsetenv("PMEMOBJ_CONF");
	STARTS(pmemobj_errormsg(), "pool initialization failed");
	EQ(access(path_of("never"), F_OK), -1);
	NEED((pop = pmemobj_open(path_of("cow"), NULL)) != NULL);
}

static void
file(void)
{
	FILE *f = fopen(path_of("conf"), "w");
	NEED(f != NULL);
	fputs("# all of it\n tx.cache . size = 5 0 0 0; # why not\n\n\tstats.enabled =\nboth;\n", f);
	fclose(f);
	pmemobj_close(pop);
	setenv("PMEMOBJ_CONF_FILE", path_of("conf"), 1);
	setenv("PMEMOBJ_CONF", "tx.cache.size=77;debug.heap.alloc_pattern=9", 1); /* the file wins */
	NEED((pop = pmemobj_open(path_of("cow"), NULL)) != NULL);
	unsetenv("PMEMOBJ_CONF");
	unsetenv("PMEMOBJ_CONF_FILE");
	EQ(stat_of("tx.cache.size"), 5000);
	EQ(stat_of("stats.enabled"), POBJ_STATS_ENABLED_BOTH);
	EQ((int)stat_of("debug.heap.alloc_pattern"), 9);
}

/* When the library is loaded only the syntax matters, and that a file can be read. */
struct loading { const char *conf, *file; int result; };

static void
load(void *arg)
{
	struct loading *l = arg;
	setenv("PMEMOBJ_CONF", l->conf, 1);
	setenv("PMEMOBJ_CONF_FILE", l->file, 1);
	char self[512] = "";
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		_exit(97);
	execl(self, self, "loaded", NULL);
	_exit(96);
}

static void
loading(void)
{
	static const struct loading cases[] = {
		{"prefault.at_open=1", "", 1}, {"stats.enabled=1;prefault.at_open=1", "", 1},
		{"wrong=1;prefault.at_open=1", "", 1}, {"prefault.at_open=on", "", 0}, {"", "", 0},
		{"prefault.at_open", "", -SIGABRT}, {"=", "", -SIGABRT}, {"", "/nowhere/at/all", -SIGABRT},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int result = outcome(load, (void *)&cases[i]);
		if (result != cases[i].result)
			FAIL("%s: %d, not %d", cases[i].conf, result, cases[i].result);
	}
}

int
main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "loaded") == 0) {
		int on = 9;
		pmemobj_ctl_get(NULL, "prefault.at_open", &on);
		return on;
	}
	pop = fresh("ctl");
	if (pop == NULL)
		return 2;
	RUN(table);
	RUN(wrong_values);
	RUN(classes);
	RUN(class_objects);
	RUN(automatic_class);
	RUN(arenas);
	RUN(statistics);
	RUN(pattern);
	RUN(copy_on_write);
	RUN(creation_settings);
	RUN(strings);
	RUN(file);
	RUN(loading);
	pmemobj_close(pop);
	DONE();
}

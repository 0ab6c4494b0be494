/* alloc.c -- the atomic allocation functions, usable sizes, root and iteration. */
#include <libpmemobj.h>
#include <wchar.h>
#include "test.h"

#define POOL_SIZE ((size_t)256 << 20)
#define CLASS_0_LIMIT 2621440
#define HUGE_UNIT 262144

static PMEMobjpool *pop;

struct root {
	PMEMoid slots[64];
};

static struct root *
root(void)
{
	return pmemobj_direct(pmemobj_root(pop, sizeof(struct root)));
}

/* The default allocation classes: unit size and units per block, by id. */
static const struct { uint64_t unit, nallocs; } classes[] = {
	{HUGE_UNIT, 0}, {128, 2045}, {192, 1364}, {320, 818}, {448, 584}, {704, 372}, {832, 315},
	{1088, 240}, {1216, 215}, {1472, 356}, {1728, 303}, {1856, 282}, {1984, 264}, {2368, 221},
	{3776, 208}, {4480, 234}, {5376, 195}, {5504, 238}, {6208, 211}, {6720, 195}, {7488, 210},
	{7744, 203}, {9216, 199}, {9664, 217}, {10176, 206}, {11072, 213}, {12032, 196},
	{11968, 219}, {12480, 210}, {14272, 202}, {16704, 204}, {17472, 210}, {23040, 182},
	{24384, 172}, {26048, 161}, {27776, 151}, {29120, 144}, {31296, 134}, {39936, 105},
	{46592, 90}, {51776, 81}, {54464, 77}, {66560, 63}, {80640, 52}, {107520, 39}, {113344, 37},
	{135296, 31}, {149760, 28}, {167744, 25}, {209664, 20}, {220736, 19}, {246720, 17},
	{262080, 16}, {349440, 12},
};

static uint64_t
units(uint64_t bytes, uint64_t unit)
{
	return (bytes + unit - 1) / unit;
}

/* What a default pool must give for this request. */
static uint64_t
expected_usable(uint64_t size)
{
	if (size >= CLASS_0_LIMIT)
		return units(size + 16, HUGE_UNIT) * HUGE_UNIT - 16;
	uint64_t bucket = (size + 15) / 16, best_waste = UINT64_MAX;
	int best = 1;
	for (int id = (int)(sizeof(classes) / sizeof(classes[0])) - 1; bucket > 7 && id >= 0; id--) {
		uint64_t unit = classes[id].unit, need = bucket * 16 + 16, n = units(need, unit);
		if (id != 0 && n > 8)
			continue;
		uint64_t waste = n * unit - need;
		if (waste == 0) {
			best = id;
			break;
		}
		if (id != 0)
			waste += ((classes[id].nallocs % n) * unit) / classes[id].nallocs;
		if (waste < best_waste) {
			best_waste = waste;
			best = id;
		}
	}
	return units(size + 16, classes[best].unit) * classes[best].unit - 16;
}

static void
usable_sizes(void)
{
	uint64_t state = 42;
	EQ(pmemobj_alloc_usable_size(OID_NULL), 0);
	for (size_t i = 1; i < 23000 && !case_failures; i++) {
		size_t size = i <= 20000 ? i : 1 + random_u64(&state) % (3 << 20);
		PMEMoid oid;
		NEED(pmemobj_alloc(pop, &oid, size, 1, NULL, NULL) == 0);
		uint64_t usable = pmemobj_alloc_usable_size(oid);
		if (usable != expected_usable(size))
			FAIL("%zu bytes: usable %lu, expected %lu", size, usable, expected_usable(size));
		EQ(oid.off % 64, 16);
		pmemobj_free(&oid);
	}
}

static void
plain_errors(void)
{
	PMEMoid oid = {7, 9}, *slot = &root()->slots[0];
	errno = 0;
	EQ(pmemobj_alloc(pop, &oid, 0, 1, NULL, NULL), -1);
	EQ(errno, EINVAL);
	STARTS(pmemobj_errormsg(), "allocation with size 0");
	EQ(pmemobj_alloc(pop, &oid, PMEMOBJ_MAX_ALLOC_SIZE + 1, 1, NULL, NULL), -1);
	EQ(errno, ENOMEM);
	STARTS(pmemobj_errormsg(), "requested size too large");
	errno = 0;
	EQ(pmemobj_zalloc(pop, &oid, POOL_SIZE, 1), -1);
	EQ(errno, ENOMEM);
	CHECK(oid.pool_uuid_lo == 7 && oid.off == 9);

	*slot = OID_NULL;
	EQ(pmemobj_strdup(pop, slot, NULL, 1), -1);
	EQ(errno, EINVAL);
	EQ(pmemobj_wcsdup(pop, slot, NULL, 1), -1);
	EQ(errno, EINVAL);
	CHECK(OID_IS_NULL(*slot));
	pmemobj_free(slot); /* a null oid: nothing happens */
	EQ(pmemobj_alloc(pop, NULL, 100, 77, NULL, NULL), 0); /* no oid wanted: fine */
	PMEMoid found = pmemobj_first(pop);
	while (!OID_IS_NULL(found) && pmemobj_type_num(found) != 77)
		found = pmemobj_next(found);
	CHECK(!OID_IS_NULL(found));
	pmemobj_free(&found);
}

static int
all_bytes(const void *p, size_t from, size_t to, int byte)
{
	const unsigned char *c = p;
	for (size_t i = from; i < to; i++)
		if (c[i] != (unsigned char)byte)
			return 0;
	return 1;
}

/* Leaves dirty memory behind for the next allocation of this size. */
static void
dirty(size_t size)
{
	PMEMoid oid[20];
	for (int i = 0; i < 20; i++) {
		if (pmemobj_alloc(pop, &oid[i], size, 1, NULL, NULL) != 0)
			FAIL("alloc: %s", pmemobj_errormsg());
		size_t usable = pmemobj_alloc_usable_size(oid[i]);
		pmemobj_memset_persist(pop, pmemobj_direct(oid[i]), 0xEE, usable);
	}
	for (int i = 0; i < 20; i++)
		pmemobj_free(&oid[i]);
}

static void
xalloc_flags(void)
{
	PMEMoid oid = {7, 9};
	errno = 0;
	EQ(pmemobj_xalloc(pop, &oid, 100, 1, POBJ_FLAG_NO_SNAPSHOT, NULL, NULL), -1);
	EQ(errno, EINVAL);
	STARTS(pmemobj_errormsg(), "unknown flags 0x4");
	EQ(pmemobj_xalloc(pop, &oid, 0, 1, POBJ_FLAG_NO_SNAPSHOT, NULL, NULL), -1);
	STARTS(pmemobj_errormsg(), "allocation with size 0");
	errno = 0;
	EQ(pmemobj_xalloc(pop, &oid, 100, 1, POBJ_CLASS_ID(200), NULL, NULL), -1);
	EQ(errno, EINVAL);
	STARTS(pmemobj_errormsg(), "no allocation class for size 100 bytes");
	EQ(pmemobj_xalloc(pop, &oid, 128 * 65, 1, POBJ_CLASS_ID(1), NULL, NULL), -1);
	EQ(errno, EINVAL);
	STARTS(pmemobj_errormsg(), "allocation class not suitable for size 8320 bytes");
	CHECK(oid.pool_uuid_lo == 7 && oid.off == 9);

	EQ(pmemobj_xalloc(pop, &oid, 100, 3, POBJ_CLASS_ID(4), NULL, NULL), 0);
	EQ(pmemobj_alloc_usable_size(oid), 448 - 16);
	EQ(pmemobj_type_num(oid), 3);
	pmemobj_free(&oid);
	CHECK(OID_IS_NULL(oid) && oid.pool_uuid_lo == 0);
	EQ(pmemobj_xalloc(pop, &oid, 128 * 40, 3, POBJ_CLASS_ID(1), NULL, NULL), 0);
	EQ(pmemobj_alloc_usable_size(oid), 128 * 41 - 16);
	pmemobj_free(&oid);
	for (size_t size = 50; size < 4000000; size *= 9) {
		dirty(size);
		EQ(pmemobj_xalloc(pop, &oid, size, UINT64_MAX,
			POBJ_XALLOC_ZERO | POBJ_XALLOC_NO_FLUSH | POBJ_FLAG_TX_NO_ABORT, NULL, NULL), 0);
		CHECK(all_bytes(pmemobj_direct(oid), 0, pmemobj_alloc_usable_size(oid), 0));
		CHECK(pmemobj_type_num(oid) == UINT64_MAX);
		pmemobj_free(&oid);
		dirty(size);
		EQ(pmemobj_zalloc(pop, &oid, size, 1), 0);
		CHECK(all_bytes(pmemobj_direct(oid), 0, pmemobj_alloc_usable_size(oid), 0));
		pmemobj_free(&oid);
	}
}

static void
realloc_rules(void)
{
	PMEMoid *slot = &root()->slots[1], old;
	*slot = OID_NULL;
	EQ(pmemobj_realloc(pop, slot, 0, 5), 0);
	CHECK(OID_IS_NULL(*slot));
	dirty(1000);
	EQ(pmemobj_realloc(pop, slot, 1000, 5), 0); /* null oid: zeroed, even for realloc */
	CHECK(all_bytes(pmemobj_direct(*slot), 0, pmemobj_alloc_usable_size(*slot), 0));
	EQ(pmemobj_type_num(*slot), 5);

	size_t usable = pmemobj_alloc_usable_size(*slot);
	memset(pmemobj_direct(*slot), 0x11, usable);
	old = *slot;
	EQ(pmemobj_realloc(pop, slot, usable, 6), 0); /* the same usable size: nothing at all */
	CHECK(OID_EQUALS(old, *slot));
	EQ(pmemobj_type_num(*slot), 5);

	EQ(pmemobj_realloc(pop, slot, usable - 1, 6), 0); /* anything else moves, even within the block */
	CHECK(!OID_EQUALS(old, *slot));
	EQ(pmemobj_type_num(*slot), 6);
	CHECK(all_bytes(pmemobj_direct(*slot), 0, usable - 1, 0x11)); /* copies what was asked for */

	dirty(3000);
	usable = pmemobj_alloc_usable_size(*slot);
	memset(pmemobj_direct(*slot), 0x11, usable);
	EQ(pmemobj_zrealloc(pop, slot, 3000, 7), 0);
	CHECK(all_bytes(pmemobj_direct(*slot), 0, usable, 0x11));
	CHECK(all_bytes(pmemobj_direct(*slot), usable, pmemobj_alloc_usable_size(*slot), 0));
	memset(pmemobj_direct(*slot), 0x22, 3000);
	EQ(pmemobj_realloc(pop, slot, 10, 8), 0); /* shrink */
	CHECK(all_bytes(pmemobj_direct(*slot), 0, 10, 0x22));

	old = *slot;
	errno = 0;
	EQ(pmemobj_realloc(pop, slot, POOL_SIZE, 9), -1);
	EQ(errno, ENOMEM);
	CHECK(OID_EQUALS(old, *slot));
	EQ(pmemobj_type_num(*slot), 8);
	EQ(pmemobj_realloc(pop, slot, PMEMOBJ_MAX_ALLOC_SIZE + 1, 9), -1);
	EQ(errno, ENOMEM);
	STARTS(pmemobj_errormsg(), "requested size too large");

	EQ(pmemobj_realloc(pop, slot, 5 << 20, 8), 0); /* small to huge and back */
	CHECK(all_bytes(pmemobj_direct(*slot), 0, 10, 0x22));
	EQ(pmemobj_realloc(pop, slot, 40, 8), 0);
	CHECK(all_bytes(pmemobj_direct(*slot), 0, 10, 0x22));
	EQ(pmemobj_realloc(pop, slot, 0, 8), 0);
	CHECK(OID_IS_NULL(*slot) && slot->pool_uuid_lo == 0);
}

static void
duplicates(void)
{
	PMEMoid *slot = &root()->slots[2];
	EQ(pmemobj_strdup(pop, slot, "", 4), 0);
	STREQ((char *)pmemobj_direct(*slot), "");
	pmemobj_free(slot);
	EQ(pmemobj_strdup(pop, slot, "persistent", 4), 0);
	STREQ((char *)pmemobj_direct(*slot), "persistent");
	EQ(pmemobj_type_num(*slot), 4);
	pmemobj_free(slot);
	EQ(pmemobj_wcsdup(pop, slot, L"w\u00efde", 4), 0);
	EQ(wcscmp(pmemobj_direct(*slot), L"w\u00efde"), 0);
	pmemobj_free(slot);
}

static int
refuse(PMEMobjpool *p, void *ptr, void *arg)
{
	*(void **)arg = ptr;
	pmemobj_memset_persist(p, ptr, 0x55, 64);
	return 1;
}

static int
fill(PMEMobjpool *p, void *ptr, void *arg)
{
	pmemobj_memcpy_persist(p, ptr, arg, strlen(arg) + 1);
	return 0;
}

static unsigned
objects(void)
{
	unsigned n = 0;
	for (PMEMoid o = pmemobj_first(pop); !OID_IS_NULL(o); o = pmemobj_next(o))
		n++;
	return n;
}

static void
constructors(void)
{
	PMEMoid *slot = &root()->slots[3], other = {7, 9};
	unsigned before = objects();
	for (size_t size = 100; size < 4000000; size *= 30) {
		void *seen = NULL;
		*slot = OID_NULL;
		errno = 0;
		EQ(pmemobj_alloc(pop, slot, size, 1, refuse, &seen), -1);
		EQ(errno, ECANCELED);
		CHECK(OID_IS_NULL(*slot) && seen != NULL);
		EQ(pmemobj_alloc(pop, &other, size, 1, refuse, &seen), -1);
		CHECK(other.pool_uuid_lo == 7 && other.off == 9);
		EQ(objects(), before);
		EQ(pmemobj_alloc(pop, slot, size, 1, fill, (void *)"constructed"), 0);
		STREQ((char *)pmemobj_direct(*slot), "constructed");
		pmemobj_free(slot);
	}
}

static int constructed;

static int
count_construction(PMEMobjpool *p, void *ptr, void *arg)
{
	(void)p; (void)ptr; (void)arg;
	constructed++;
	return 0;
}

static int
refuse_root(PMEMobjpool *p, void *ptr, void *arg)
{
	(void)p; (void)ptr; (void)arg;
	return -1;
}

static void
root_rules(void)
{
	const char *path = path_of("root");
	unlink(path);
	PMEMobjpool *p = pmemobj_create(path, NULL, PMEMOBJ_MIN_POOL * 4, 0600);
	NEED(p != NULL);
	EQ(pmemobj_root_size(p), 0);
	errno = 0;
	CHECK(OID_IS_NULL(pmemobj_root(p, 0)));
	EQ(errno, EINVAL);
	STARTS(pmemobj_errormsg(), "requested size cannot equals zero");
	CHECK(OID_IS_NULL(pmemobj_root(p, PMEMOBJ_MAX_ALLOC_SIZE + 1)));
	EQ(errno, ENOMEM);
	CHECK(OID_IS_NULL(pmemobj_root_construct(p, 100, refuse_root, NULL)));
	EQ(errno, ECANCELED);
	EQ(pmemobj_root_size(p), 0);

	PMEMoid first = pmemobj_root_construct(p, 100, count_construction, NULL);
	NEED(!OID_IS_NULL(first));
	EQ(constructed, 1);
	EQ(pmemobj_root_size(p), 100);
	EQ(pmemobj_type_num(first), POBJ_ROOT_TYPE_NUM);
	CHECK(all_bytes(pmemobj_direct(first), 0, 100, 0));
	CHECK(OID_IS_NULL(pmemobj_first(p))); /* the root is not iterated */
	CHECK(OID_EQUALS(pmemobj_root(p, 0), first));
	CHECK(OID_EQUALS(pmemobj_root_construct(p, 40, count_construction, NULL), first));
	EQ(constructed, 1);
	EQ(pmemobj_root_size(p), 100);

	memset(pmemobj_direct(first), 0x5A, 112);
	CHECK(OID_IS_NULL(pmemobj_root_construct(p, 5000, refuse_root, NULL)));
	EQ(errno, ECANCELED);
	EQ(pmemobj_root_size(p), 100);
	CHECK(OID_EQUALS(pmemobj_root(p, 100), first));
	PMEMoid grown = pmemobj_root_construct(p, 5000, count_construction, NULL);
	EQ(constructed, 2);
	EQ(pmemobj_root_size(p), 5000);
	CHECK(!OID_EQUALS(grown, first));
	CHECK(all_bytes(pmemobj_direct(grown), 0, 112, 0x5A));
	CHECK(all_bytes(pmemobj_direct(grown), 112, 5000, 0));

	/* Growth to exactly the usable size: the reference forgets to record it. */
	size_t usable = pmemobj_alloc_usable_size(grown);
	pmemobj_root(p, usable);
	EQ(pmemobj_root_size(p), is_pmdk() ? 5000 : usable);
	PMEMoid object;
	EQ(pmemobj_alloc(p, &object, 10, 1, NULL, NULL), 0);
	CHECK(OID_EQUALS(pmemobj_first(p), object));
	pmemobj_close(p);

	p = pmemobj_open(path, NULL);
	NEED(p != NULL);
	CHECK(OID_EQUALS(pmemobj_root(p, 0), grown));
	EQ(pmemobj_root_size(p), is_pmdk() ? 5000 : usable);
	CHECK(all_bytes(pmemobj_direct(pmemobj_root(p, 1)), 0, 112, 0x5A));
	pmemobj_close(p);
	unlink(path);
}

static void
iteration_ascends(void)
{
	while (!OID_IS_NULL(pmemobj_first(pop))) {
		PMEMoid o = pmemobj_first(pop);
		pmemobj_free(&o);
	}
	uint64_t state = 7;
	static PMEMoid made[400];
	for (int i = 0; i < 400; i++) {
		size_t size = i % 20 ? 1 + random_u64(&state) % 9000 : 300000 + random_u64(&state) % 3000000;
		NEED(pmemobj_alloc(pop, &made[i], size, 1000 + i, NULL, NULL) == 0);
	}
	for (int i = 0; i < 400; i += 3)
		pmemobj_free(&made[i]);
	unsigned found = 0;
	uint64_t last = 0;
	for (PMEMoid o = pmemobj_first(pop); !OID_IS_NULL(o); o = pmemobj_next(o), found++) {
		CHECK(o.off > last);
		last = o.off;
		uint64_t i = pmemobj_type_num(o) - 1000;
		CHECK(i < 400 && OID_EQUALS(made[i], o));
	}
	EQ(found, 400 - 134);
	CHECK(OID_IS_NULL(pmemobj_next(OID_NULL)));
	PMEMoid after_root = pmemobj_next(pmemobj_root(pop, 0));
	CHECK(!OID_IS_NULL(after_root) && after_root.off > pmemobj_root(pop, 0).off);

	/* Iteration sees committed objects only, and none that a commit freed. */
	unsigned before = objects();
	TX_BEGIN(pop) {
		pmemobj_tx_alloc(50, 1);
		EQ(objects(), before);
		pmemobj_tx_free(made[1]);
		EQ(objects(), before);
	} TX_END
	EQ(objects(), before);
	TX_BEGIN(pop) {
		pmemobj_tx_alloc(50, 1);
	} TX_END
	EQ(objects(), before + 1);
	for (int i = 0; i < 400; i++)
		if (i % 3 && i != 1)
			pmemobj_free(&made[i]);
}

/* An oid in the pool is set by the allocation itself; atomic calls inside a
 * transaction take effect whatever becomes of it. */
static void
inside_transactions(void)
{
	PMEMoid *slot = &root()->slots[5], *added = &root()->slots[6];
	unsigned before = objects();
	*slot = *added = OID_NULL;
	TX_BEGIN(pop) {
		pmemobj_tx_add_range_direct(added, sizeof(*added));
		EQ(pmemobj_alloc(pop, slot, 100, 1, NULL, NULL), 0);
		EQ(pmemobj_alloc(pop, added, 100, 1, NULL, NULL), 0);
		pmemobj_tx_abort(EBUSY);
	} TX_END
	EQ(objects(), before + 2);
	CHECK(!OID_IS_NULL(*slot) && OID_IS_NULL(*added));
	pmemobj_free(slot);
}

/* The pool can be filled to the brim, emptied, and filled to the same level. */
static void
full_pool(void)
{
	static const size_t sizes[] = {64, 1000, 20000, 200000, 1 << 20};
	const char *path = path_of("full");
	unlink(path);
	PMEMobjpool *p = pmemobj_create(path, NULL, 32 << 20, 0600);
	NEED(p != NULL);
	for (unsigned s = 0; s < 5; s++) {
		unsigned count[2] = {0, 0};
		for (int round = 0; round < 2; round++) {
			PMEMoid oid;
			while (pmemobj_alloc(p, &oid, sizes[s], 1, NULL, NULL) == 0)
				count[round]++;
			EQ(errno, ENOMEM);
			for (oid = pmemobj_first(p); !OID_IS_NULL(oid);) {
				PMEMoid next = pmemobj_next(oid);
				pmemobj_free(&oid);
				oid = next;
			}
		}
		/* Programs size minimal pools by what PMDK fits into them. */
		static const unsigned fits[] = {231085, 28815, 1408, 140, 21};
		printf("# %zu-byte objects in 32 MiB: %u, then %u\n", sizes[s], count[0], count[1]);
		if (count[0] < fits[s] * 0.97 || count[1] < fits[s] * 0.97)
			FAIL("%zu-byte objects: %u, then %u; PMDK has room for %u", sizes[s], count[0],
				count[1], fits[s]);
	}
	pmemobj_close(p);
	EQ(pmemobj_check(path, NULL), 1);
	unlink(path);
}

int
main(void)
{
	const char *path = path_of("alloc");
	unlink(path);
	pop = pmemobj_create(path, "alloc", POOL_SIZE, 0600);
	if (pop == NULL) {
		printf("not ok - create: %s\n", pmemobj_errormsg());
		return 1;
	}
	RUN(usable_sizes);
	RUN(plain_errors);
	RUN(xalloc_flags);
	RUN(realloc_rules);
	RUN(duplicates);
	RUN(constructors);
	RUN(root_rules);
	RUN(iteration_ascends);
	RUN(inside_transactions);
	pmemobj_close(pop);
	case_failures = 0;
	EQ(pmemobj_check(path, "alloc"), 1);
	all_failures += case_failures;
	unlink(path);
	RUN(full_pool);
	DONE();
}

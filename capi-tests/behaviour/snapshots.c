/* snapshots.c -- what add_range saves and what an abort restores. */
#include <libpmemobj.h>
#include "test.h"

#define AREA (1 << 20)

static PMEMobjpool *pop;
static PMEMoid area_oid;
static unsigned char *area, model[AREA], start[AREA];

static void
scribble(uint64_t *seed)
{
	for (size_t i = 0; i < AREA; i += 8) {
		uint64_t word = random_u64(seed);
		memcpy(area + i, &word, 8);
	}
	memcpy(start, area, AREA);
}

/* Adds a random range by one of the four calls and changes some of it. */
static void
add_and_change(uint64_t *seed, size_t biggest)
{
	size_t size = 1 + random_u64(seed) % biggest, at = random_u64(seed) % (AREA - size);
	uint64_t flags = random_u64(seed) % 2 ? POBJ_XADD_NO_FLUSH : POBJ_XADD_ASSUME_INITIALIZED;
	switch (random_u64(seed) % 4) {
	case 0: EQ(pmemobj_tx_add_range(area_oid, at, size), 0); break;
	case 1: EQ(pmemobj_tx_add_range_direct(area + at, size), 0); break;
	case 2: EQ(pmemobj_tx_xadd_range(area_oid, at, size, flags), 0); break;
	case 3: EQ(pmemobj_tx_xadd_range_direct(area + at, size, flags), 0); break;
	}
	size_t from = at + random_u64(seed) % size, n = 1 + random_u64(seed) % (at + size - from);
	memset(area + from, (int)random_u64(seed), n);
}

static int
first_difference(const unsigned char *a, const unsigned char *b)
{
	for (int i = 0; i < AREA; i++)
		if (a[i] != b[i])
			return i;
	return -1;
}

static void
random_ranges_then_end(void)
{
	/* ranges per transaction and the biggest of them: few and many, small and large */
	static const struct { int rounds, ranges; size_t biggest; } shapes[] = {
		{200, 8, 16}, {60, 127, 40}, {60, 128, 40}, {40, 200, 100}, {20, 1500, 64}, {20, 60, 5000},
		{10, 12, 300000}, {4, 6000, 24},
	};
	uint64_t seed = 99;
	for (unsigned s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
		for (int round = 0; round < shapes[s].rounds && !case_failures; round++) {
			int commit = round % 3 == 2;
			if (round % 7 == 0)
				scribble(&seed);
			memcpy(start, area, AREA);
			static uint64_t inner;
			inner = seed += 12345;
			TX_BEGIN(pop) {
				for (int i = 0; i < shapes[s].ranges; i++)
					add_and_change(&inner, shapes[s].biggest);
				memcpy(model, area, AREA);
				if (!commit)
					pmemobj_tx_abort(ECANCELED);
			} TX_END
			int at = first_difference(area, commit ? model : start);
			if (at >= 0)
				FAIL("%d ranges up to %zu, round %d, %s: byte %d is wrong", shapes[s].ranges,
					shapes[s].biggest, round, commit ? "commit" : "abort", at);
		}
}

static void
first_content_wins(void)
{
	memset(area, 1, 4096);
	TX_BEGIN(pop) {
		pmemobj_tx_add_range_direct(area + 100, 100);
		memset(area + 100, 2, 100);
		pmemobj_tx_add_range_direct(area, 300); /* around the first */
		memset(area, 3, 300);
		pmemobj_tx_add_range_direct(area, 300);
		memset(area, 4, 300);
		pmemobj_tx_abort(1);
	} TX_END
	for (int i = 0; i < 4096; i++)
		if (area[i] != 1) {
			FAIL("byte %d is %d", i, area[i]);
			break;
		}
}

static void
no_snapshot_is_not_restored(void)
{
	memset(area, 1, 4096);
	TX_BEGIN(pop) {
		EQ(pmemobj_tx_xadd_range_direct(area, 64, POBJ_XADD_NO_SNAPSHOT), 0);
		memset(area, 2, 64);
		EQ(pmemobj_tx_add_range_direct(area + 32, 64), 0); /* its first half counts as covered */
		memset(area + 32, 3, 64);
		pmemobj_tx_abort(1);
	} TX_END
	EQ(area[0], 2);
	EQ(area[31], 2);
	EQ(area[32], 3);
	EQ(area[63], 3);
	EQ(area[64], 1);
	EQ(area[95], 1);
}

static void
empty_and_edge_ranges(void)
{
	size_t usable = pmemobj_alloc_usable_size(area_oid);
	TX_BEGIN(pop) {
		EQ(pmemobj_tx_add_range(area_oid, 0, 0), 0);
		EQ(pmemobj_tx_add_range_direct(area, 0), 0);
		EQ(pmemobj_tx_add_range(area_oid, usable - 1, 1), 0);
		area[usable - 1] = 9;
		EQ(pmemobj_tx_add_range(area_oid, 0, usable), 0);
		memset(area, 7, usable);
		pmemobj_tx_abort(1);
	} TX_ONCOMMIT {
		FAIL("committed");
	} TX_END
	CHECK(area[5000] != 7 || area[5001] != 7 || area[5002] != 7);
}

/* An object of this transaction needs no snapshot, and gets none. */
static void
own_objects(void)
{
	static PMEMoid oid;
	TX_BEGIN(pop) {
		oid = pmemobj_tx_alloc(1000, 1);
		EQ(pmemobj_tx_add_range(oid, 0, 1000), 0);
		memset(pmemobj_direct(oid), 5, 1000);
		EQ(pmemobj_tx_add_range(oid, 500, 100), 0);
	} TX_ONABORT {
		FAIL("%s", pmemobj_errormsg());
	} TX_END
	EQ(((char *)pmemobj_direct(oid))[999], 5);
	pmemobj_free(&oid);
}

/* The log grows until the pool is full; then ENOMEM, and everything is restored. */
static void
log_that_fills_the_pool(void)
{
	PMEMobjpool *p = pmemobj_create(path_of("fill"), NULL, 16 << 20, 0600);
	NEED(p != NULL);
	PMEMoid oid;
	size_t size = 6 << 20;
	NEED(pmemobj_zalloc(p, &oid, size, 1) == 0);
	static PMEMoid held;
	NEED(pmemobj_alloc(p, &held, 2 << 20, 1, NULL, NULL) == 0);
	unsigned char *bytes = pmemobj_direct(oid);
	volatile int failed = 0;
	volatile size_t done = 0;
	for (int round = 0; round < 3; round++) {
		failed = 0;
		TX_BEGIN(p) {
			for (done = 0; done + 64 <= size; done += 64) {
				pmemobj_tx_add_range_direct(bytes + done, 60);
				memset(bytes + done, 1, 60);
			}
		} TX_ONABORT {
			failed = pmemobj_tx_errno();
		} TX_END
		EQ(failed, ENOMEM);
		STARTS(pmemobj_errormsg(), "out of memory");
		for (size_t i = 0; i < size; i++)
			if (bytes[i] != 0) {
				FAIL("round %d: byte %zu was not restored", round, i);
				break;
			}
	}
	/* What the log took is free again, but for one extension. */
	PMEMoid again;
	EQ(pmemobj_alloc(p, &again, 2 << 20, 1, NULL, NULL), 0);
	EQ(OID_IS_NULL(pmemobj_first(p)), 0);
	unsigned n = 0;
	for (PMEMoid o = pmemobj_first(p); !OID_IS_NULL(o); o = pmemobj_next(o))
		n++;
	EQ(n, 3); /* log extensions are hidden */
	pmemobj_close(p);
	EQ(pmemobj_check(path_of("fill"), NULL), 1);
	unlink(path_of("fill"));
}

int
main(void)
{
	pop = pmemobj_create(path_of("snapshots"), NULL, 64 << 20, 0600);
	if (pop == NULL || pmemobj_zalloc(pop, &area_oid, AREA, 1) != 0) {
		printf("not ok - create: %s\n", pmemobj_errormsg());
		return 1;
	}
	area = pmemobj_direct(area_oid);
	RUN(random_ranges_then_end);
	RUN(first_content_wins);
	RUN(no_snapshot_is_not_restored);
	RUN(empty_and_edge_ranges);
	RUN(own_objects);
	RUN(log_that_fills_the_pool);
	pmemobj_close(pop);
	case_failures = 0;
	EQ(pmemobj_check(path_of("snapshots"), NULL), 1);
	all_failures += case_failures;
	DONE();
}

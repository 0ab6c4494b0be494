/*
 * reopen.c -- a pool that an earlier process left full, or full of holes: its
 * objects stay where they are, and its holes are used before it is full again.
 */
#include <libpmemobj.h>
#include "test.h"

#define MIB ((size_t)1 << 20)
#ifdef FEW /* under valgrind */
enum { OBJECTS = 4000, SIZES = 5 };
#define POOL_SIZE (12 * MIB)
#define MOST_OF_IT (6 * MIB)
#else
enum { OBJECTS = 40000, SIZES = 5 };
#define POOL_SIZE (40 * MIB)
#define MOST_OF_IT (30 * MIB)
#endif
static const size_t sizes[SIZES] = {40, 100, 700, 3000, 20000};

struct root {
	PMEMoid oid[OBJECTS];
};

static PMEMobjpool *pop;
static struct root *root;

static void
reopen(void)
{
	if (pop != NULL)
		pmemobj_close(pop);
	pop = pmemobj_open(path_of("reopen"), "reopen");
	if (pop == NULL) {
		FAIL("%s", pmemobj_errormsg());
		exit(1);
	}
	root = pmemobj_direct(pmemobj_root(pop, sizeof(*root)));
}

static unsigned char
pattern(size_t i)
{
	return (unsigned char)(i * 7 + 1);
}

static int
make(size_t i)
{
	if (pmemobj_alloc(pop, &root->oid[i], sizes[i % SIZES], i % SIZES + 1, NULL, NULL) != 0)
		return 0;
	memset(pmemobj_direct(root->oid[i]), pattern(i), sizes[i % SIZES]);
	return 1;
}

/* Each object has its pattern, all of it. */
static void
intact(void)
{
	size_t wrong = 0;
	for (size_t i = 0; i < OBJECTS; i++) {
		const unsigned char *p = pmemobj_direct(root->oid[i]);
		for (size_t k = 0; p != NULL && k < sizes[i % SIZES]; k++)
			wrong += p[k] != pattern(i);
	}
	EQ(wrong, 0);
}

/* Until no object of any size fits. */
static size_t
fill(void)
{
	size_t live = 0, failed = 0;
	for (size_t i = 0; i < OBJECTS; i++)
		if (OID_IS_NULL(root->oid[i]) && !make(i))
			failed++;
	for (size_t i = 0; i < OBJECTS; i++)
		live += !OID_IS_NULL(root->oid[i]);
	CHECK(failed > 0);
	return live;
}

static void
holes_are_filled(void)
{
	unlink(path_of("reopen"));
	NEED((pop = pmemobj_create(path_of("reopen"), "reopen", POOL_SIZE, 0600)) != NULL);
	reopen();
	fill();
	for (unsigned round = 0; round < 4; round++) {
		size_t gone = 0;
		for (size_t i = round; i < OBJECTS; i += 3)
			if (!OID_IS_NULL(root->oid[i])) {
				/* Some of them are the first that this process does in their run. */
				pmemobj_free(&root->oid[i]);
				gone++;
			}
		reopen();
		/* The very same objects fit again. */
		size_t back = 0;
		for (size_t i = round; i < OBJECTS; i += 3)
			if (gone > back && OID_IS_NULL(root->oid[i]))
				back += make(i);
		CHECK(back >= gone - gone / 50);
		intact();
		reopen();
	}
	intact();
	pmemobj_close(pop);
	EQ(pmemobj_check(path_of("reopen"), "reopen"), 1);
	pop = NULL;
	reopen();
}

/* Runs that became empty hold a huge object, whoever emptied them. */
static void
empty_runs_become_chunks(void)
{
	for (size_t i = 0; i < OBJECTS; i += 2)
		pmemobj_free(&root->oid[i]);
	reopen();
	for (size_t i = 1; i < OBJECTS; i += 2)
		pmemobj_free(&root->oid[i]);
	reopen();
	PMEMoid huge = OID_NULL;
	NEED(pmemobj_alloc(pop, &huge, MOST_OF_IT, 9, NULL, NULL) == 0);
	memset(pmemobj_direct(huge), 0xff, MOST_OF_IT);
	reopen();
	size_t objects = 0;
	for (PMEMoid o = pmemobj_first(pop); !OID_IS_NULL(o); o = pmemobj_next(o))
		objects++;
	EQ(objects, 1);
	pmemobj_close(pop);
}

/* What an earlier process allocated is counted, whether anything was done with it
 * or not. */
static void
statistics_count_all(void)
{
	enum { N = OBJECTS / 2 };
	uint64_t before = 0, after = 0;
	unlink(path_of("reopen"));
	NEED((pop = pmemobj_create(path_of("reopen"), "reopen", POOL_SIZE, 0600)) != NULL);
	reopen();
	for (size_t i = 0; i < N; i++)
		EQ(pmemobj_alloc(pop, NULL, 100, 1, NULL, NULL), 0);
	EQ(pmemobj_ctl_get(pop, "stats.heap.run_allocated", &before), 0);
	reopen();
	PMEMoid first = pmemobj_first(pop);
	pmemobj_free(&first);
	EQ(pmemobj_ctl_get(pop, "stats.heap.run_allocated", &after), 0);
	EQ(after, before - 128);
	pmemobj_close(pop);
}

int
main(void)
{
	RUN(holes_are_filled);
	RUN(empty_runs_become_chunks);
	RUN(statistics_count_all);
	DONE();
}

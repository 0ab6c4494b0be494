/*
 * fork.c -- a program that forks with a pool open.
 *
 *   fork [--child-of POOL]
 *
 * A child shares the mapping, but not what the library keeps in memory: it may
 * look at objects, exit, or execute another program, and the parent goes on as
 * if nothing had happened.
 */
#define _GNU_SOURCE
#include <libpmemobj.h>
#include <pthread.h>
#include "../behaviour/test.h"

struct root {
	PMEMmutex lock;
	uint64_t counter;
	PMEMoid object;
};

static PMEMobjpool *pop;
static struct root *root;
static char path[512];
static char *program;

static void
bump(void)
{
	TX_BEGIN_PARAM(pop, TX_PARAM_MUTEX, &root->lock, TX_PARAM_NONE) {
		pmemobj_tx_add_range_direct(&root->counter, 8);
		root->counter++;
		pmemobj_tx_add_range_direct(&root->object, sizeof(PMEMoid));
		pmemobj_tx_free(root->object);
		root->object = pmemobj_tx_alloc(100, 1);
		*(uint64_t *)pmemobj_direct(root->object) = root->counter;
	} TX_ONABORT {
		FAIL("aborted");
	} TX_END
}

/* --- what children do ------------------------------------------------------------- */

static void
leaves(void *arg)
{
	(void)arg;
}

static void
exits(void *arg)
{
	(void)arg;
	exit(0); /* with the library's part of the end of a process */
}

static void
executes(void *arg)
{
	(void)arg;
	execl("/proc/self/exe", program, "--child-of", path, (char *)NULL);
	FAIL("exec");
}

static void
reads(void *arg)
{
	uint64_t *want = arg;
	EQ(*(uint64_t *)pmemobj_direct(root->object), *want);
	EQ(pmemobj_type_num(root->object), 1);
	CHECK(pmemobj_alloc_usable_size(root->object) >= 100);
	CHECK(OID_EQUALS(pmemobj_first(pop), root->object));
	CHECK(pmemobj_pool_by_oid(root->object) == pop);
	CHECK(pmemobj_pool_by_ptr(root) == pop);
	EQ(pmemobj_root_size(pop), sizeof(struct root));
}

/* The pool is locked, whoever asks: also a child that knows it as open. */
static void
opens(void *arg)
{
	(void)arg;
	errno = 0;
	CHECK(pmemobj_open(path, NULL) == NULL);
	EQ(errno, EAGAIN);
	CHECK(pmemobj_errormsg()[0] != 0);
}

static void
uses_its_own_pool(void *arg)
{
	(void)arg;
	char own[600];
	snprintf(own, sizeof(own), "%s-own", path);
	PMEMobjpool *p = pmemobj_create(own, NULL, 8 << 20, 0600);
	NEED(p != NULL);
	PMEMoid oid;
	EQ(pmemobj_alloc(p, &oid, 100, 1, NULL, NULL), 0);
	TX_BEGIN(p) {
		pmemobj_tx_free(oid);
	} TX_ONABORT {
		FAIL("aborted");
	} TX_END
	pmemobj_close(p);
	EQ(pmemobj_check(own, NULL), 1);
	unlink(own);
}

/* --- the parent -------------------------------------------------------------------- */

static void
parent_goes_on(void)
{
	struct { void (*child)(void *); } all[] = {{leaves}, {exits}, {executes}, {reads}, {opens}, {uses_its_own_pool}};
	for (int round = 0; round < 5; round++)
		for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
			uint64_t counter = root->counter;
			EQ(outcome(all[i].child, &counter), 0);
			EQ(root->counter, counter);
			bump();
			EQ(root->counter, counter + 1);
		}
}

static volatile int stop;

static void *
keep_busy(void *arg)
{
	(void)arg;
	while (!stop)
		bump();
	return NULL;
}

/* While other threads are in the middle of transactions. */
static void
forks_among_threads(void)
{
	pthread_t threads[2];
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, keep_busy, NULL);
	for (int i = 0; i < 40; i++) {
		EQ(outcome(i % 2 ? exits : executes, NULL), 0);
		bump();
	}
	stop = 1;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

/* In the middle of its own transaction, which the child just forgets. */
static void
forks_in_a_transaction(void)
{
	uint64_t counter = root->counter;
	TX_BEGIN(pop) {
		pmemobj_tx_add_range_direct(&root->counter, 8);
		root->counter += 100;
		EQ(outcome(exits, NULL), 0);
		EQ(outcome(executes, NULL), 0);
		pmemobj_tx_abort(ECANCELED);
	} TX_END
	EQ(root->counter, counter);
}

int
main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--child-of") == 0) {
		/* the parent still has it open */
		CHECK(pmemobj_open(argv[2], NULL) == NULL);
		EQ(errno, EAGAIN);
		return case_failures != 0;
	}
	program = argv[0];
	snprintf(path, sizeof(path), "%s", path_of("fork"));
	pop = pmemobj_create(path, NULL, 16 << 20, 0600);
	if (pop == NULL)
		return 1;
	root = pmemobj_direct(pmemobj_root(pop, sizeof(struct root)));
	bump();
	RUN(parent_goes_on);
	RUN(forks_among_threads);
	RUN(forks_in_a_transaction);
	case_failures = 0;
	uint64_t counter = root->counter;
	pmemobj_close(pop);
	EQ(pmemobj_check(path, NULL), 1);
	pop = pmemobj_open(path, NULL);
	CHECK(pop != NULL);
	root = pmemobj_direct(pmemobj_root(pop, sizeof(struct root)));
	EQ(root->counter, counter);
	pmemobj_close(pop);
	all_failures += case_failures;
	DONE();
}

/* funcs.c -- the program's own malloc, volatile variables, the log of 2.x. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <libpmemobj.h>
#include <pthread.h>
#include "test.h"

/* --- pmemobj_set_funcs ------------------------------------------------------- */

static size_t mallocs, frees, fail_at = SIZE_MAX;

static void *
counted_malloc(size_t size)
{
	if (++mallocs > fail_at)
		return NULL;
	if (is_pmdk()) /* it has blocks of libc's already, and frees them with ours */
		return malloc(size);
	size_t *p = malloc(size + 16);
	p[0] = 0x600df00d; /* a free that gets another's block would see it */
	return p + 2;
}

static void
counted_free(void *ptr)
{
	if (ptr == NULL)
		return;
	if (is_pmdk()) {
		frees++;
		free(ptr);
		return;
	}
	size_t *p = (size_t *)ptr - 2;
	if (p[0] != 0x600df00d)
		abort();
	p[0] = 0;
	frees++;
	free(p);
}

static void *
counted_realloc(void *ptr, size_t size)
{
	if (ptr == NULL)
		return counted_malloc(size);
	if (++mallocs > fail_at)
		return NULL;
	frees++;
	if (is_pmdk())
		return realloc(ptr, size);
	size_t *p = realloc((size_t *)ptr - 2, size + 16);
	return p + 2;
}

static char *
counted_strdup(const char *s)
{
	char *p = counted_malloc(strlen(s) + 1);
	return p == NULL ? NULL : strcpy(p, s);
}

struct element;
TOID_DECLARE(struct element, 5);

struct root {
	PMEMoid oids[8];
	POBJ_LIST_HEAD(head, struct element) list;
	char data[9000];
};

/* A bit of everything; whatever cannot be done is left out. */
static void
work(PMEMobjpool *pop)
{
	PMEMoid oid = pmemobj_root(pop, sizeof(struct root));
	struct root *r = pmemobj_direct(oid);
	if (r == NULL)
		return;
	pmemobj_alloc(pop, &r->oids[0], 100, 1, NULL, NULL);
	pmemobj_zalloc(pop, &r->oids[1], 3 << 20, 1);
	pmemobj_realloc(pop, &r->oids[0], 5000, 1);
	if (pmemobj_tx_begin(pop, NULL, TX_PARAM_NONE) == 0) {
		pmemobj_tx_set_failure_behavior(POBJ_TX_FAILURE_RETURN);
		pmemobj_tx_add_range(oid, offsetof(struct root, data), 9000);
		PMEMoid a = pmemobj_tx_alloc(500, 2);
		if (!OID_IS_NULL(a))
			pmemobj_tx_free(a);
		for (int i = 0; i < 60; i++)
			pmemobj_tx_alloc(40, 3);
		pmemobj_tx_commit();
		pmemobj_tx_process();
	} else {
		EQ(pmemobj_tx_stage(), TX_STAGE_ONABORT); /* there is something to end */
	}
	pmemobj_tx_end();
	volatile int state = 0;
	TX_BEGIN(pop) {
		TX_BEGIN(pop) {
			pmemobj_tx_add_range(oid, offsetof(struct root, data), 100);
		} TX_END
	} TX_ONCOMMIT {
		state = 1;
	} TX_ONABORT {
		EQ(pmemobj_tx_errno(), ENOMEM);
		state = 2;
	} TX_END
	CHECK(state != 0);
	EQ(pmemobj_tx_stage(), TX_STAGE_NONE);
	struct pobj_action act[60];
	int n = 0;
	while (n < 60 && !OID_IS_NULL(pmemobj_reserve(pop, &act[n], 64, 4)))
		n++;
	if (pmemobj_publish(pop, act, (size_t)n) != 0)
		pmemobj_cancel(pop, act, (size_t)n);
	PMEMoid e = pmemobj_list_insert_new(pop, 0, &r->list, OID_NULL, 1, 64, 5, NULL, NULL);
	if (!OID_IS_NULL(e))
		pmemobj_list_remove(pop, 0, &r->list, e, 1);
	pmemobj_free(&r->oids[0]);
	pmemobj_free(&r->oids[1]);
	for (PMEMoid next, o = pmemobj_first(pop); !OID_IS_NULL(o); o = next) {
		next = pmemobj_next(o);
		pmemobj_free(&o);
	}
}

static void *
create_and_work(void *arg)
{
	(void)arg;
	PMEMobjpool *pop = pmemobj_create(path_of("routed"), NULL, 32 << 20, 0600);
	if (pop != NULL) {
		work(pop);
		pmemobj_close(pop);
	}
	return pop;
}

/* In a thread of its own, so that what belongs to the thread is given back. */
static void *
in_a_thread(void *(*fn)(void *))
{
	pthread_t t;
	void *result;
	pthread_create(&t, NULL, fn, NULL);
	pthread_join(t, &result);
	return result;
}

static void
routed(void)
{
	pmemobj_set_funcs(counted_malloc, counted_free, counted_realloc, counted_strdup);
	CHECK(in_a_thread(create_and_work) != NULL);
	CHECK(mallocs > 0 && frees > 0);
	if (!is_pmdk())
		EQ(mallocs, frees);
	pmemobj_set_funcs(NULL, NULL, NULL, NULL);
	size_t before = mallocs;
	unlink(path_of("routed"));
	CHECK(in_a_thread(create_and_work) != NULL);
	EQ(mallocs, before);
}

/* Blocks go back to where they came from, though the functions changed. */
static void
changed_in_between(void)
{
	if (is_pmdk())
		return; /* it frees with whatever is set */
	unlink(path_of("routed"));
	PMEMobjpool *pop = pmemobj_create(path_of("routed"), NULL, 32 << 20, 0600);
	NEED(pop != NULL);
	mallocs = frees = 0;
	pmemobj_set_funcs(counted_malloc, counted_free, counted_realloc, counted_strdup);
	work(pop);
	pmemobj_set_funcs(NULL, NULL, NULL, NULL);
	pmemobj_close(pop);
	CHECK(mallocs > 0 && frees > 0);
	pmemobj_set_funcs(counted_malloc, NULL, NULL, NULL);
	pmemobj_set_funcs(NULL, NULL, NULL, NULL);
}

static void *
open_and_work(void *arg)
{
	(void)arg;
	PMEMobjpool *pop = pmemobj_open(path_of("routed"), NULL);
	if (pop != NULL) {
		work(pop);
		pmemobj_close(pop);
	}
	return pop;
}

/* Every single allocation fails once, and all later ones, too: errors, never a
 * crash, and a sound pool. */
static void
without_memory(void)
{
	if (is_pmdk())
		return; /* it aborts in places */
	pmemobj_set_funcs(counted_malloc, counted_free, counted_realloc, counted_strdup);
	size_t n = 0, opened = 0;
	do {
		fail_at = n++;
		mallocs = frees = 0;
		opened += in_a_thread(open_and_work) != NULL;
		size_t failed = mallocs > fail_at ? mallocs - fail_at : 0;
		EQ(mallocs - failed, frees);
		fail_at = SIZE_MAX;
		if (pmemobj_check(path_of("routed"), NULL) != 1)
			FAIL("without memory from the %zuth block on: %s", n, pmemobj_errormsg());
		if (failed == 0)
			break;
	} while (n < 10000 && case_failures == 0);
	CHECK(n > 10 && opened > 5);
	pmemobj_set_funcs(NULL, NULL, NULL, NULL);
}

/* --- pmemobj_volatile -------------------------------------------------------- */

static int constructed, refusing;

static int
construct(void *ptr, void *arg)
{
	if (refusing)
		return -1;
	__sync_fetch_and_add(&constructed, 1);
	*(long *)ptr = (long)arg;
	return 0;
}

struct with_volatile {
	PMEMvlt(long) v;
};

static PMEMobjpool *pop;
static struct with_volatile *shared;

static void *
use(void *arg)
{
	long *p = pmemobj_volatile(pop, &shared->v.vlt, &shared->v.value, sizeof(long), construct, (void *)77);
	(void)arg;
	return (void *)(p == &shared->v.value && *p == 77 ? 1L : 0L);
}

static void
volatile_variables(void)
{
	NEED((pop = pmemobj_create(path_of("volatile"), NULL, 8 << 20, 0600)) != NULL);
	shared = pmemobj_direct(pmemobj_root(pop, sizeof(*shared)));
	refusing = 1;
	CHECK(pmemobj_volatile(pop, &shared->v.vlt, &shared->v.value, sizeof(long), construct, NULL) == NULL);
	STREQ(pmemobj_errormsg(), "error initializing lock");
	EQ(shared->v.vlt.runid, 0);
	refusing = 0;
	pthread_t t[8];
	for (int i = 0; i < 8; i++)
		pthread_create(&t[i], NULL, use, NULL);
	for (int i = 0; i < 8; i++) {
		void *good;
		pthread_join(t[i], &good);
		CHECK(good != NULL);
	}
	EQ(constructed, 1);
	CHECK(use(NULL) != NULL);
	EQ(constructed, 1);
	size_t off = (size_t)((char *)shared - (char *)pop);
	pmemobj_close(pop);
	NEED((pop = pmemobj_open(path_of("volatile"), NULL)) != NULL);
	shared = (void *)((char *)pop + off);
	CHECK(use(NULL) != NULL); /* a new run constructs anew */
	EQ(constructed, 2);
	pmemobj_close(pop);
}

/* --- the log of 2.x ---------------------------------------------------------- */

typedef void log_function(unsigned level, const char *file, unsigned line, const char *name, const char *message);

static int errors_logged;
static char logged[256];

static void
listen(unsigned level, const char *file, unsigned line, const char *name, const char *message)
{
	CHECK(file != NULL && name != NULL && line < 100000);
	if (level != 2)
		return;
	errors_logged++;
	snprintf(logged, sizeof(logged), "%s", message);
}

static void
log_functions(void)
{
	int (*set_threshold)(unsigned, unsigned) = dlsym(RTLD_DEFAULT, "pmemobj_log_set_threshold");
	int (*get_threshold)(unsigned, unsigned *) = dlsym(RTLD_DEFAULT, "pmemobj_log_get_threshold");
	int (*set_function)(log_function *) = dlsym(RTLD_DEFAULT, "pmemobj_log_set_function");
	if (is_pmdk()) { /* 1.12 does not have them */
		CHECK(set_threshold == NULL && get_threshold == NULL && set_function == NULL);
		return;
	}
	NEED(set_threshold && get_threshold && set_function);
	unsigned level = 99;
	EQ(get_threshold(0, &level), 0);
	EQ(level, 3);
	EQ(set_function(listen), 0);
	CHECK(pmemobj_open(path_of("nowhere"), NULL) == NULL);
	EQ(errors_logged, 1);
	STREQ(logged, pmemobj_errormsg());
	EQ(set_threshold(0, 1), 0); /* fatal errors only */
	CHECK(pmemobj_open(path_of("nowhere"), NULL) == NULL);
	EQ(errors_logged, 1);
	errno = 0;
	EQ(set_threshold(7, 1), 1);
	EQ(errno, EINVAL);
	EQ(set_function(NULL), 0);
	EQ(set_threshold(0, 3), 0);
}

int
main(void)
{
	RUN(routed);
	RUN(changed_in_between);
	RUN(without_memory);
	RUN(volatile_variables);
	RUN(log_functions);
	DONE();
}

/*
 * unload.c -- a program that loads and unloads libpmemobj again and again.
 *
 *   unload ROUNDS
 *
 * Each round loads the library, uses it in threads, some of which outlive the
 * dlclose, and in one that outlives all rounds.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <libpmemobj.h>
#include "resources.h"

/* What the macros of the header call is looked up anew each time. */
#define SYMBOLS(X) \
	X(pmemobj_create) X(pmemobj_open) X(pmemobj_close) X(pmemobj_errormsg) \
	X(pmemobj_tx_begin) X(pmemobj_tx_commit) X(pmemobj_tx_abort) X(pmemobj_tx_end) \
	X(pmemobj_tx_process) X(pmemobj_tx_stage) X(pmemobj_tx_alloc) X(pmemobj_tx_errno) \
	X(pmemobj_alloc) X(pmemobj_free) X(pmemobj_check_version)
static struct {
#define X(name) __typeof__(name) *name;
	SYMBOLS(X)
#undef X
} api;

static void
look_up(void *lib)
{
#define X(name) api.name = (__typeof__(api.name))dlsym(lib, #name);
	SYMBOLS(X)
#undef X
}

#define pmemobj_create api.pmemobj_create
#define pmemobj_open api.pmemobj_open
#define pmemobj_close api.pmemobj_close
#define pmemobj_errormsg api.pmemobj_errormsg
#define pmemobj_tx_begin api.pmemobj_tx_begin
#define pmemobj_tx_commit api.pmemobj_tx_commit
#define pmemobj_tx_abort api.pmemobj_tx_abort
#define pmemobj_tx_end api.pmemobj_tx_end
#define pmemobj_tx_process api.pmemobj_tx_process
#define pmemobj_tx_stage api.pmemobj_tx_stage
#define pmemobj_tx_alloc api.pmemobj_tx_alloc
#define pmemobj_tx_errno api.pmemobj_tx_errno
#define pmemobj_alloc api.pmemobj_alloc
#define pmemobj_free api.pmemobj_free
#define pmemobj_check_version api.pmemobj_check_version

static PMEMobjpool *pop;
static pthread_barrier_t loaded, used, unloaded, turn;
static volatile int last;

static void
use(void)
{
	PMEMoid oid = OID_NULL;
	CHECK(pmemobj_errormsg() != NULL);
	TX_BEGIN(pop) {
		oid = pmemobj_tx_alloc(100, 1);
	} TX_ONABORT {
		FAIL("aborted");
	} TX_END
	pmemobj_free(&oid);
	TX_BEGIN(pop) {
		pmemobj_tx_alloc(200, 1);
		pmemobj_tx_abort(ECANCELED);
	} TX_END
	EQ(pmemobj_alloc(pop, &oid, 1000, 1, NULL, NULL), 0);
	pmemobj_free(&oid);
	CHECK(pmemobj_check_version(99, 0) != NULL);
	CHECK(pmemobj_errormsg()[0] != 0);
}

static void *
outlives_the_library(void *arg)
{
	(void)arg;
	use();
	pthread_barrier_wait(&used);
	pthread_barrier_wait(&unloaded);
	return NULL; /* what the library wants done at a thread's end is done now */
}

static void *
ends_before(void *arg)
{
	(void)arg;
	use();
	return NULL;
}

static void *
outlives_all(void *arg)
{
	(void)arg;
	for (;;) {
		pthread_barrier_wait(&loaded);
		if (last)
			return NULL;
		use();
		pthread_barrier_wait(&turn);
	}
}

static void
one_round(const char *path)
{
	void *lib = dlopen("libpmemobj.so.1", RTLD_NOW | RTLD_LOCAL);
	if (lib == NULL) {
		printf("# %s\n", dlerror());
		exit(1);
	}
	look_up(lib);
	pop = pmemobj_open(path, NULL);
	if (pop == NULL)
		pop = pmemobj_create(path, NULL, 16 << 20, 0600);
	NEED(pop != NULL);
	pthread_t outliving, ending;
	pthread_create(&outliving, NULL, outlives_the_library, NULL);
	pthread_create(&ending, NULL, ends_before, NULL);
	pthread_barrier_wait(&loaded);
	use();
	pthread_barrier_wait(&turn);
	pthread_join(ending, NULL);
	pthread_barrier_wait(&used);
	pmemobj_close(pop);
	memset(&api, 0, sizeof(api));
	EQ(dlclose(lib), 0);
	pthread_barrier_wait(&unloaded);
	pthread_join(outliving, NULL);
}

int
main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 1000;
	const char *path = path_of("unload");
	pthread_barrier_t *barriers[] = {&loaded, &used, &unloaded, &turn};
	for (int i = 0; i < 4; i++)
		pthread_barrier_init(barriers[i], NULL, 2);
	pthread_t thread;
	pthread_create(&thread, NULL, outlives_all, NULL);
	struct resources before = {0};
	for (int i = 1; i <= rounds; i++) {
		one_round(path);
		if (i == rounds / 10)
			before = resources();
	}
	no_growth(&before);
	last = 1;
	pthread_barrier_wait(&loaded);
	pthread_join(thread, NULL);
	unlink(path);
	all_failures = case_failures;
	DONE();
}

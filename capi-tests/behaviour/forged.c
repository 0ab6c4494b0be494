/*
 * forged.c -- a pool file that claims that a lock in it is initialised, and held:
 * what a thread library would make of such a file's content is not left to it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <libpmemobj.h>
#include "test.h"

#define SIZE PMEMOBJ_MIN_POOL

struct root {
	PMEMmutex mutex;
	PMEMrwlock rwlock;
	uint64_t volatile_id, volatile_value;
};

static uint64_t
run_id(void)
{
	return word_at(path_of("forged"), 0x1808);
}

/* All that is to be as it is in locks that are held, for a run's id. */
static void
forge(off_t root, uint64_t id)
{
	struct root r;
	memset(&r, 1, sizeof(r));
	memcpy(&r.mutex, &id, sizeof(id));
	memcpy(&r.rwlock, &id, sizeof(id));
	r.volatile_id = id;
	int fd = open(path_of("forged"), O_WRONLY);
	CHECK(pwrite(fd, &r, sizeof(r), root) == sizeof(r));
	close(fd);
}

static int constructed;

static int
construct(void *value, void *arg)
{
	(void)arg;
	*(uint64_t *)value = 7;
	constructed++;
	return 0;
}

static void
locks_are_new(off_t root, uint64_t id)
{
	forge(root, id);
	PMEMobjpool *p = pmemobj_open(path_of("forged"), NULL);
	NEED(p != NULL);
	struct root *r = (struct root *)((char *)p + root);
	constructed = 0;
	EQ(pmemobj_mutex_trylock(p, &r->mutex), 0);
	EQ(pmemobj_mutex_unlock(p, &r->mutex), 0);
	EQ(pmemobj_rwlock_trywrlock(p, &r->rwlock), 0);
	EQ(pmemobj_rwlock_unlock(p, &r->rwlock), 0);
	uint64_t *value =
		pmemobj_volatile(p, (struct pmemvlt *)&r->volatile_id, &r->volatile_value, 8, construct, NULL);
	CHECK(value != NULL && *value == 7);
	EQ(constructed, 1);
	pmemobj_close(p);
}

/* PMDK adds 2 to the id of each run: who wrote the file knows which one comes. It
 * takes such a lock for a held one, and waits for ever where another thread seems
 * to be initialising it, so that is not tried. */
static void
locks_of_the_coming_run(void)
{
	PMEMobjpool *p = pmemobj_create(path_of("forged"), NULL, SIZE, 0600);
	NEED(p != NULL);
	off_t root = (off_t)pmemobj_root(p, sizeof(struct root)).off;
	pmemobj_close(p);
	for (int i = 0; i < 3; i++) {
		locks_are_new(root, run_id()); /* the last run */
		locks_are_new(root, 0);
		if (is_pmdk())
			continue;
		locks_are_new(root, run_id() + 2);
		locks_are_new(root, run_id() + 1);
	}
	unlink(path_of("forged"));
}

/* Each run's id is even, and another than the last. */
static void
ids_of_runs(void)
{
	PMEMobjpool *p = pmemobj_create(path_of("forged"), NULL, SIZE, 0600);
	NEED(p != NULL);
	uint64_t last = run_id();
	EQ(last, 2);
	pmemobj_close(p);
	for (int i = 0; i < 10; i++) {
		p = pmemobj_open(path_of("forged"), NULL);
		NEED(p != NULL);
		uint64_t id = run_id();
		CHECK(id % 2 == 0 && id != 0 && id != last);
		if (is_pmdk())
			EQ(id, last + 2);
		last = id;
		pmemobj_close(p);
		EQ(run_id(), id);
	}
	unlink(path_of("forged"));
}

int
main(void)
{
	alarm(60); /* a lock that never ends being initialised */
	RUN(locks_of_the_coming_run);
	RUN(ids_of_runs);
	DONE();
}

/* threads.c -- the cache behind pmemobj_direct, threads, lanes, locks. */
#define _GNU_SOURCE
#include <libpmemobj.h>
#include <pthread.h>
#include <time.h>
#include "test.h"

static PMEMobjpool *pop;

/* --- the thread's cache and its invalidation ------------------------------- */

static pthread_barrier_t barrier;
static PMEMoid watched;

static void *
direct_in_another_thread(void *arg)
{
	void **seen = arg;
	seen[0] = pmemobj_direct(watched);
	pthread_barrier_wait(&barrier); /* main closes the pool */
	pthread_barrier_wait(&barrier);
	seen[1] = pmemobj_direct(watched);
	pthread_barrier_wait(&barrier); /* main opens it again */
	pthread_barrier_wait(&barrier);
	seen[2] = pmemobj_direct(watched);
	return NULL;
}

static void
close_invalidates_every_thread(void)
{
	PMEMobjpool *p = pmemobj_create(path_of("cache"), NULL, 8 << 20, 0600);
	NEED(p != NULL);
	NEED(pmemobj_alloc(p, &watched, 64, 1, NULL, NULL) == 0);
	void *seen[3] = {NULL, (void *)1, NULL};
	pthread_t thread;
	pthread_barrier_init(&barrier, NULL, 2);
	pthread_create(&thread, NULL, direct_in_another_thread, seen);
	pthread_barrier_wait(&barrier);

	CHECK(pmemobj_direct(watched) == (char *)p + watched.off);
	CHECK(_pobj_cached_pool.pop == p);
	CHECK(_pobj_cached_pool.uuid_lo == watched.pool_uuid_lo);
	int before = _pobj_cache_invalidate;
	pmemobj_close(p);
	EQ(_pobj_cache_invalidate, before + 1);
	CHECK(_pobj_cached_pool.pop == NULL && _pobj_cached_pool.uuid_lo == 0);
	EQ(_pobj_cached_pool.invalidate, before);
	CHECK(pmemobj_direct(watched) == NULL);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);

	before = _pobj_cache_invalidate;
	p = pmemobj_open(path_of("cache"), NULL);
	EQ(_pobj_cache_invalidate, before); /* opening does not invalidate */
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
	CHECK(seen[0] != NULL);
	CHECK(seen[1] == NULL);
	CHECK(seen[2] == (char *)p + watched.off);
	CHECK(pmemobj_direct(OID_NULL) == NULL);
	CHECK(pmemobj_direct((PMEMoid){1, 64}) == NULL);
	CHECK(pmemobj_direct((PMEMoid){watched.pool_uuid_lo, 0}) == NULL);
	pmemobj_close(p);
	unlink(path_of("cache"));
}

static void
many_pools(void)
{
	enum { POOLS = 20 };
	PMEMobjpool *pools[POOLS];
	PMEMoid oids[POOLS];
	char name[20];
	for (int i = 0; i < POOLS; i++) {
		snprintf(name, sizeof(name), "many%d", i);
		NEED((pools[i] = pmemobj_create(path_of(name), NULL, 8 << 20, 0600)) != NULL);
		NEED(pmemobj_alloc(pools[i], &oids[i], 100, i, NULL, NULL) == 0);
	}
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < POOLS; i++) {
			CHECK(pmemobj_direct(oids[i]) == (char *)pools[i] + oids[i].off);
			CHECK(pmemobj_pool_by_oid(oids[i]) == pools[i]);
			CHECK(pmemobj_pool_by_oid((PMEMoid){oids[i].pool_uuid_lo, 0}) == pools[i]);
			CHECK(pmemobj_pool_by_ptr(pmemobj_direct(oids[i])) == pools[i]);
			CHECK(OID_EQUALS(pmemobj_oid(pmemobj_direct(oids[i])), oids[i]));
			EQ(pmemobj_type_num(oids[i]), i);
		}
	for (int i = POOLS - 1; i >= 0; i -= 2)
		pmemobj_close(pools[i]);
	for (int i = 0; i < POOLS; i++) {
		CHECK((pmemobj_pool_by_oid(oids[i]) != NULL) == !(i % 2));
		CHECK((pmemobj_direct(oids[i]) != NULL) == !(i % 2));
	}
	for (int i = 0; i < POOLS; i += 2)
		pmemobj_close(pools[i]);
	for (int i = 0; i < POOLS; i++) {
		snprintf(name, sizeof(name), "many%d", i);
		unlink(path_of(name));
	}
}

/* --- many threads on one pool ------------------------------------------------ */

struct shared {
	PMEMmutex lock;
	PMEMrwlock rwlock;
	PMEMcond cond;
	uint64_t counter;
	uint64_t pair[2];
	uint64_t turn;
};

static struct shared *shared;
static int errors;

static void *
mixed_work(void *arg)
{
	uint64_t seed = 1000 + (uintptr_t)arg;
	enum { HELD = 50 };
	static _Thread_local PMEMoid held[HELD];
	memset(held, 0, sizeof(held));
	for (int i = 0; i < 1500; i++) {
		int slot = (int)(random_u64(&seed) % HELD);
		PMEMoid *h = &held[slot];
		if (!OID_IS_NULL(*h)) {
			/* Everything in it must still be ours. */
			unsigned char *p = pmemobj_direct(*h);
			size_t size = pmemobj_alloc_usable_size(*h);
			unsigned char want = (unsigned char)((uintptr_t)arg * 50 + (unsigned)slot);
			for (size_t k = 0; k < size; k++)
				if (p[k] != want) {
					__atomic_fetch_add(&errors, 1, __ATOMIC_RELAXED);
					break;
				}
			if (random_u64(&seed) % 2) {
				pmemobj_free(h);
			} else {
				TX_BEGIN(pop) {
					pmemobj_tx_free(*h);
				} TX_END
				*h = OID_NULL;
			}
			continue;
		}
		size_t size = 1 + random_u64(&seed) % (i % 50 ? 3000 : 400000);
		if (random_u64(&seed) % 2) {
			if (pmemobj_alloc(pop, h, size, 1, NULL, NULL) != 0)
				__atomic_fetch_add(&errors, 1, __ATOMIC_RELAXED);
		} else {
			TX_BEGIN_PARAM(pop, TX_PARAM_MUTEX, &shared->lock, TX_PARAM_NONE) {
				*h = pmemobj_tx_alloc(size, 2);
				pmemobj_tx_add_range_direct(&shared->counter, 8);
				shared->counter++;
				if (i % 10 == 0)
					pmemobj_tx_abort(ECANCELED);
			} TX_ONABORT {
				*h = OID_NULL;
			} TX_END
		}
		if (!OID_IS_NULL(*h))
			memset(pmemobj_direct(*h), (int)((uintptr_t)arg * 50 + (unsigned)slot),
				pmemobj_alloc_usable_size(*h));
	}
	for (int i = 0; i < HELD; i++)
		pmemobj_free(&held[i]);
	return NULL;
}

static void
threads_share_a_pool(void)
{
	enum { THREADS = 12 };
	pthread_t threads[THREADS];
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, mixed_work, (void *)i);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	EQ(errors, 0);
	CHECK(OID_IS_NULL(pmemobj_first(pop)));
}

static void *
small_transactions(void *arg)
{
	(void)arg;
	for (int i = 0; i < 500; i++) {
		TX_BEGIN_PARAM(pop, TX_PARAM_MUTEX, &shared->lock, TX_PARAM_NONE) {
			TX_ADD_DIRECT(&shared->counter);
			shared->counter++;
		} TX_END
		if (i % 50 == 0)
			sched_yield();
	}
	return NULL;
}

/* More threads than lanes: they wait for each other and all finish. */
static void
more_threads_than_lanes(void)
{
	const char *lanes[] = {"1", "2", "3", "5000", "0", "text"};
	for (int round = 0; round < 6; round++) {
		setenv("PMEMOBJ_NLANES", lanes[round], 1);
		pop = pmemobj_create(path_of("lanes"), NULL, 8 << 20, 0600);
		unsetenv("PMEMOBJ_NLANES");
		NEED(pop != NULL);
		shared = pmemobj_direct(pmemobj_root(pop, sizeof(*shared)));
		pthread_t threads[8];
		for (int i = 0; i < 8; i++)
			pthread_create(&threads[i], NULL, small_transactions, NULL);
		for (int i = 0; i < 8; i++)
			pthread_join(threads[i], NULL);
		EQ(shared->counter, 8 * 500);
		pmemobj_close(pop);
		unlink(path_of("lanes"));
	}
}

static void *
begin_and_end(void *arg)
{
	(void)arg;
	TX_BEGIN(pop) {
		pmemobj_tx_free(pmemobj_tx_alloc(10, 1));
	} TX_END
	PMEMoid oid;
	if (pmemobj_alloc(pop, &oid, 100, 1, NULL, NULL) == 0)
		pmemobj_free(&oid);
	return NULL;
}

/* Threads come and go, far more of them than there are lanes or arenas. */
static void
short_lived_threads(void)
{
	for (int i = 0; i < 3000; i++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, begin_and_end, NULL) != 0) {
			FAIL("thread %d", i);
			return;
		}
		pthread_join(thread, NULL);
	}
	CHECK(OID_IS_NULL(pmemobj_first(pop)));
}

/* --- locks ---------------------------------------------------------------------- */

static void *
other_side(void *arg)
{
	int *result = arg;
	result[0] = pmemobj_mutex_trylock(pop, &shared->lock);
	result[1] = pmemobj_rwlock_trywrlock(pop, &shared->rwlock);
	result[2] = pmemobj_rwlock_tryrdlock(pop, &shared->rwlock);
	struct timespec soon;
	clock_gettime(CLOCK_REALTIME, &soon);
	soon.tv_nsec += 20 * 1000 * 1000;
	soon.tv_sec += soon.tv_nsec / 1000000000;
	soon.tv_nsec %= 1000000000;
	result[3] = pmemobj_mutex_timedlock(pop, &shared->lock, &soon);
	result[4] = pmemobj_rwlock_timedwrlock(pop, &shared->rwlock, &soon);
	result[5] = pmemobj_rwlock_timedrdlock(pop, &shared->rwlock, &soon);
	return NULL;
}

static void
lock_results(void)
{
	pthread_t thread;
	int result[6];
	EQ(pmemobj_mutex_lock(pop, &shared->lock), 0);
	EQ(pmemobj_rwlock_wrlock(pop, &shared->rwlock), 0);
	pthread_create(&thread, NULL, other_side, result);
	pthread_join(thread, NULL);
	EQ(result[0], EBUSY);
	EQ(result[1], EBUSY);
	EQ(result[2], EBUSY);
	EQ(result[3], ETIMEDOUT);
	EQ(result[4], ETIMEDOUT);
	EQ(result[5], ETIMEDOUT);
	EQ(pmemobj_rwlock_unlock(pop, &shared->rwlock), 0);
	EQ(pmemobj_mutex_unlock(pop, &shared->lock), 0);
	EQ(pmemobj_rwlock_rdlock(pop, &shared->rwlock), 0);
	EQ(pmemobj_rwlock_tryrdlock(pop, &shared->rwlock), 0);
	EQ(pmemobj_rwlock_unlock(pop, &shared->rwlock), 0);
	EQ(pmemobj_rwlock_unlock(pop, &shared->rwlock), 0);
	PMEMmutex in_dram;
	memset(&in_dram, 0, sizeof(in_dram));
	EQ(pmemobj_mutex_lock(pop, &in_dram), 0);
	EQ(pmemobj_mutex_trylock(pop, &in_dram), EBUSY);
	EQ(pmemobj_mutex_unlock(pop, &in_dram), 0);
}

static void *
ping_pong(void *arg)
{
	uint64_t me = (uintptr_t)arg;
	for (int i = 0; i < 200; i++) {
		pmemobj_mutex_lock(pop, &shared->lock);
		while (shared->turn % 2 != me)
			pmemobj_cond_wait(pop, &shared->cond, &shared->lock);
		shared->turn++;
		if (i % 2)
			pmemobj_cond_signal(pop, &shared->cond);
		else
			pmemobj_cond_broadcast(pop, &shared->cond);
		pmemobj_mutex_unlock(pop, &shared->lock);
	}
	return NULL;
}

static void
conditions(void)
{
	pthread_t threads[2];
	shared->turn = 0;
	for (uintptr_t i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, ping_pong, (void *)i);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	EQ(shared->turn, 400);
	struct timespec past = {1, 0};
	pmemobj_mutex_lock(pop, &shared->lock);
	EQ(pmemobj_cond_timedwait(pop, &shared->cond, &shared->lock, &past), ETIMEDOUT);
	pmemobj_mutex_unlock(pop, &shared->lock);
}

/* A lock that was held when the pool was closed is free after the next open. */
static void
locks_are_reset_by_open(void)
{
	pop = pmemobj_create(path_of("held"), NULL, 8 << 20, 0600);
	NEED(pop != NULL);
	struct shared *s = pmemobj_direct(pmemobj_root(pop, sizeof(*s)));
	EQ(pmemobj_mutex_lock(pop, &s->lock), 0);
	EQ(pmemobj_rwlock_wrlock(pop, &s->rwlock), 0);
	pmemobj_persist(pop, s, sizeof(*s));
	pmemobj_close(pop);
	pop = pmemobj_open(path_of("held"), NULL);
	NEED(pop != NULL);
	s = pmemobj_direct(pmemobj_root(pop, sizeof(*s)));
	EQ(pmemobj_mutex_trylock(pop, &s->lock), 0);
	EQ(pmemobj_rwlock_trywrlock(pop, &s->rwlock), 0);
	EQ(pmemobj_mutex_unlock(pop, &s->lock), 0);
	EQ(pmemobj_rwlock_unlock(pop, &s->rwlock), 0);
	struct timespec past = {1, 0};
	EQ(pmemobj_mutex_lock(pop, &s->lock), 0);
	EQ(pmemobj_cond_timedwait(pop, &s->cond, &s->lock, &past), ETIMEDOUT);
	CHECK(*(uint64_t *)&s->cond != 0);
	pmemobj_cond_zero(pop, &s->cond);
	EQ(*(uint64_t *)&s->cond, 0);
	EQ(pmemobj_cond_timedwait(pop, &s->cond, &s->lock, &past), ETIMEDOUT);
	EQ(pmemobj_mutex_unlock(pop, &s->lock), 0);
	pmemobj_mutex_zero(pop, &s->lock);
	EQ(*(uint64_t *)&s->lock, 0);
	pmemobj_rwlock_zero(pop, &s->rwlock);
	EQ(*(uint64_t *)&s->rwlock, 0);
	pmemobj_close(pop);
	unlink(path_of("held"));
}

/* Every thread has its own message. */
static void *
fail_here(void *arg)
{
	char *first = arg;
	*first = pmemobj_errormsg()[0];
	pmemobj_open(path_of("missing"), NULL);
	return NULL;
}

static void
messages_are_per_thread(void)
{
	CHECK(pmemobj_check_version(3, 0) != NULL);
	STREQ(pmemobj_errormsg(), "libpmemobj major version mismatch (need 3, found 2)");
	char first = 'x';
	pthread_t thread;
	pthread_create(&thread, NULL, fail_here, &first);
	pthread_join(thread, NULL);
	EQ(first, 0);
	STREQ(pmemobj_errormsg(), "libpmemobj major version mismatch (need 3, found 2)");
	STREQ(pmemobj_check_version(2, 99), "libpmemobj minor version mismatch (need 99, found 4)");
	CHECK(pmemobj_check_version(1, 0) != NULL);
	CHECK(pmemobj_check_version(PMEMOBJ_MAJOR_VERSION, PMEMOBJ_MINOR_VERSION) == NULL);
	CHECK(pmemobj_check_version(2, 0) == NULL);
}

int
main(void)
{
	RUN(messages_are_per_thread);
	RUN(close_invalidates_every_thread);
	RUN(many_pools);
	RUN(locks_are_reset_by_open);
	RUN(more_threads_than_lanes);
	pop = pmemobj_create(path_of("threads"), NULL, 256 << 20, 0600);
	if (pop == NULL) {
		printf("not ok - create: %s\n", pmemobj_errormsg());
		return 1;
	}
	shared = pmemobj_direct(pmemobj_root(pop, sizeof(*shared)));
	RUN(lock_results);
	RUN(conditions);
	RUN(short_lived_threads);
	RUN(threads_share_a_pool);
	pmemobj_close(pop);
	case_failures = 0;
	EQ(pmemobj_check(path_of("threads"), NULL), 1);
	all_failures += case_failures;
	DONE();
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libpmemobj/thread.h -- locks in persistent memory, unlocked when their pool is opened.
 */
#ifndef LIBPMEMOBJ_THREAD_H
#define LIBPMEMOBJ_THREAD_H 1

#include <time.h>

#include <libpmemobj/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* By hand: types whose content is the library's own. */
#define _POBJ_CL_SIZE 64 /* bytes of a cache line */

typedef union {
	long long align;
	char padding[_POBJ_CL_SIZE];
} PMEMmutex;

typedef union {
	long long align;
	char padding[_POBJ_CL_SIZE];
} PMEMrwlock;

typedef union {
	long long align;
	char padding[_POBJ_CL_SIZE];
} PMEMcond;

struct timespec; /* which C99 does not have */

/* Makes the lock unlocked, as zeroed memory is. */
void pmemobj_mutex_zero(PMEMobjpool *pop, PMEMmutex *mutexp);

/* pthread_mutex_lock(3): 0 or an error number. */
int pmemobj_mutex_lock(PMEMobjpool *pop, PMEMmutex *mutexp);

/* pthread_mutex_trylock(3). */
int pmemobj_mutex_trylock(PMEMobjpool *pop, PMEMmutex *mutexp);

/* pthread_mutex_unlock(3). */
int pmemobj_mutex_unlock(PMEMobjpool *pop, PMEMmutex *mutexp);

/* Makes the lock unlocked, as zeroed memory is. */
void pmemobj_rwlock_zero(PMEMobjpool *pop, PMEMrwlock *rwlockp);

/* pthread_rwlock_rdlock(3): 0 or an error number. */
int pmemobj_rwlock_rdlock(PMEMobjpool *pop, PMEMrwlock *rwlockp);

/* pthread_rwlock_wrlock(3). */
int pmemobj_rwlock_wrlock(PMEMobjpool *pop, PMEMrwlock *rwlockp);

/* pthread_rwlock_tryrdlock(3). */
int pmemobj_rwlock_tryrdlock(PMEMobjpool *pop, PMEMrwlock *rwlockp);

/* pthread_rwlock_trywrlock(3). */
int pmemobj_rwlock_trywrlock(PMEMobjpool *pop, PMEMrwlock *rwlockp);

/* pthread_rwlock_unlock(3). */
int pmemobj_rwlock_unlock(PMEMobjpool *pop, PMEMrwlock *rwlockp);

/* Makes the condition one that nobody waits for, as zeroed memory is. */
void pmemobj_cond_zero(PMEMobjpool *pop, PMEMcond *condp);

/* pthread_cond_broadcast(3): 0 or an error number. */
int pmemobj_cond_broadcast(PMEMobjpool *pop, PMEMcond *condp);

/* pthread_cond_signal(3). */
int pmemobj_cond_signal(PMEMobjpool *pop, PMEMcond *condp);

/* By hand: pointers that are restrict, as those of the functions in pthread.h. */
int pmemobj_mutex_timedlock(PMEMobjpool *pop, PMEMmutex *__restrict mutexp,
	const struct timespec *__restrict abs_timeout);
int pmemobj_rwlock_timedrdlock(PMEMobjpool *pop, PMEMrwlock *__restrict rwlockp,
	const struct timespec *__restrict abs_timeout);
int pmemobj_rwlock_timedwrlock(PMEMobjpool *pop, PMEMrwlock *__restrict rwlockp,
	const struct timespec *__restrict abs_timeout);
int pmemobj_cond_wait(PMEMobjpool *pop, PMEMcond *condp, PMEMmutex *__restrict mutexp);
int pmemobj_cond_timedwait(PMEMobjpool *pop, PMEMcond *__restrict condp,
	PMEMmutex *__restrict mutexp, const struct timespec *__restrict abs_timeout);

#ifdef __cplusplus
}
#endif

#endif /* libpmemobj/thread.h */

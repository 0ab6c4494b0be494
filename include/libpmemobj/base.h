/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libpmemobj/base.h -- pools, object ids, and durability of memory in a pool.
 */
#ifndef LIBPMEMOBJ_BASE_H
#define LIBPMEMOBJ_BASE_H 1

#ifndef __STDC_LIMIT_MACROS
#define __STDC_LIMIT_MACROS
#endif

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * By hand: a type that is never complete, macros with parameters, an object
 * of a type that has two names, and what is thread-local or inline.
 */

/* An open pool: the address of its mapping. */
typedef struct pmemobjpool PMEMobjpool;

/* The id of an object: its pool, and the offset of its data in bytes. */
typedef struct pmemoid {
	uint64_t pool_uuid_lo;
	uint64_t off;
} PMEMoid;

static const PMEMoid OID_NULL = { 0, 0 };

#define OID_IS_NULL(o) ((o).off == 0)
#define OID_EQUALS(lhs, rhs) \
	((lhs).off == (rhs).off && (lhs).pool_uuid_lo == (rhs).pool_uuid_lo)

/* The allocation class or arena of an allocation, to be combined with flags. */
#define POBJ_CLASS_ID(id) ((uint64_t)(id) << 48)
#define POBJ_ARENA_ID(id) ((uint64_t)(id) << 32)

/* Largest object, in bytes. */
#define PMEMOBJ_MAX_ALLOC_SIZE (size_t)17177771968

/* Flags of allocations and snapshots; each function has its own names for them. */
#define POBJ_FLAG_ZERO ((uint64_t)1 << 0)
#define POBJ_FLAG_NO_FLUSH ((uint64_t)1 << 1)
#define POBJ_FLAG_NO_SNAPSHOT ((uint64_t)1 << 2)
#define POBJ_FLAG_ASSUME_INITIALIZED ((uint64_t)1 << 3)
#define POBJ_FLAG_TX_NO_ABORT ((uint64_t)1 << 4)
#define POBJ_XALLOC_CLASS_MASK ((uint64_t)65535 << 48)
#define POBJ_XALLOC_ARENA_MASK ((uint64_t)65535 << 32)
#define POBJ_XALLOC_ZERO POBJ_FLAG_ZERO
#define POBJ_XALLOC_NO_FLUSH POBJ_FLAG_NO_FLUSH
#define POBJ_XALLOC_NO_ABORT POBJ_FLAG_TX_NO_ABORT

/* Flags of pmemobj_memmove, pmemobj_memcpy and pmemobj_memset. */
#define PMEMOBJ_F_MEM_NODRAIN (1U << 0)
#define PMEMOBJ_F_MEM_NONTEMPORAL (1U << 1)
#define PMEMOBJ_F_MEM_TEMPORAL (1U << 2)
#define PMEMOBJ_F_MEM_WC (1U << 3)
#define PMEMOBJ_F_MEM_WB (1U << 4)
#define PMEMOBJ_F_MEM_NOFLUSH (1U << 5)

/* Durability where atomicity is not needed; also for pmemobj_xpersist and pmemobj_xflush. */
#define PMEMOBJ_F_RELAXED (1U << 31)

/* For pmemobj_check_version. */
#define PMEMOBJ_MAJOR_VERSION 2
#define PMEMOBJ_MINOR_VERSION 4

/* Fills in a new object; anything but 0 cancels its allocation. */
typedef int (*pmemobj_constr)(PMEMobjpool *pop, void *ptr, void *arg);

/* Start of a volatile variable in persistent memory; see PMEMvlt. */
struct pmemvlt {
	uint64_t runid;
};

/* A variable in persistent memory, constructed anew when its pool is opened. */
#define PMEMvlt(T) \
	struct { \
		struct pmemvlt vlt; \
		T value; \
	}

/* The open pool of an object, or NULL. */
PMEMobjpool *pmemobj_pool_by_oid(PMEMoid oid);

/* The open pool that contains an address, or NULL. */
PMEMobjpool *pmemobj_pool_by_ptr(const void *addr);

/* The id of the object at an address; OID_NULL outside of open pools. */
PMEMoid pmemobj_oid(const void *addr);

/* The type number of an object; in a transaction also of its own new ones. */
uint64_t pmemobj_type_num(PMEMoid oid);

/* Makes a range of the pool durable: flush, then drain. */
void pmemobj_persist(PMEMobjpool *pop, const void *addr, size_t len);

/* Starts writing back a range; durable after pmemobj_drain. */
void pmemobj_flush(PMEMobjpool *pop, const void *addr, size_t len);

/* Waits until everything flushed before is durable. */
void pmemobj_drain(PMEMobjpool *pop);

/* pmemobj_persist with PMEMOBJ_F_RELAXED or 0; 0, or -1 with errno. */
int pmemobj_xpersist(PMEMobjpool *pop, const void *addr, size_t len, unsigned flags);

/* pmemobj_flush with PMEMOBJ_F_RELAXED or 0; 0, or -1 with errno. */
int pmemobj_xflush(PMEMobjpool *pop, const void *addr, size_t len, unsigned flags);

/* memmove(3) to the pool, as PMEMOBJ_F_* flags say. */
void *pmemobj_memmove(PMEMobjpool *pop,
		      void *dest,
		      const void *src,
		      size_t len,
		      unsigned flags);

/* memcpy(3) to the pool, as PMEMOBJ_F_* flags say. */
void *pmemobj_memcpy(PMEMobjpool *pop,
		     void *dest,
		     const void *src,
		     size_t len,
		     unsigned flags);

/* memcpy(3) to the pool, durable on return. */
void *pmemobj_memcpy_persist(PMEMobjpool *pop, void *dest, const void *src, size_t len);

/* memset(3) in the pool, as PMEMOBJ_F_* flags say. */
void *pmemobj_memset(PMEMobjpool *pop, void *dest, int c, size_t len, unsigned flags);

/* memset(3) in the pool, durable on return. */
void *pmemobj_memset_persist(PMEMobjpool *pop, void *dest, int c, size_t len);

/* NULL if the library has this version of the API, else why not. */
const char *pmemobj_check_version(unsigned major_required,
				  unsigned minor_required);

/* The calling thread's last error message; "" before the first. */
const char *pmemobj_errormsg(void);

/* Called by iteration macros; only the genuine debug library prints here. */
void _pobj_debug_notice(const char *_name, const char *_file, int _line);

/* The address of a variable, constructed by the first call; NULL if that fails. */
void *pmemobj_volatile(PMEMobjpool *pop, struct pmemvlt *vlt, void *ptr, size_t size,
	int (*constr)(void *ptr, void *arg), void *arg);

/* The bytes that an object can hold; 0 for the null id. */
size_t pmemobj_alloc_usable_size(PMEMoid oid);

/* Replaces the allocator of the library's volatile memory. */
void pmemobj_set_funcs(void *(*malloc_func)(size_t size), void (*free_func)(void *ptr),
	void *(*realloc_func)(void *ptr, size_t size), char *(*strdup_func)(const char *s));

/* Counts closed pools: says when the thread's cache is out of date. */
extern int _pobj_cache_invalidate;

/* The pool that the calling thread used last. */
extern __thread struct _pobj_pcache {
	PMEMobjpool *pop;
	uint64_t uuid_lo;
	int invalidate;
} _pobj_cached_pool;

/* pmemobj_direct without a call, as long as objects are of one pool. */
static inline void *
pmemobj_direct_inline(PMEMoid oid)
{
	struct _pobj_pcache *cache = &_pobj_cached_pool;

	if (oid.off == 0 || oid.pool_uuid_lo == 0)
		return NULL;
	if (cache->invalidate != _pobj_cache_invalidate || cache->uuid_lo != oid.pool_uuid_lo) {
		cache->invalidate = _pobj_cache_invalidate;
		cache->pop = pmemobj_pool_by_oid(oid);
		cache->uuid_lo = cache->pop != NULL ? oid.pool_uuid_lo : 0;
		if (cache->pop == NULL)
			return NULL;
	}
	return (void *)((uintptr_t)cache->pop + oid.off);
}

/* The address of an object; NULL for the null id or if its pool is not open. */
#if defined(PMEMOBJ_DIRECT_NON_INLINE) || defined(_PMEMOBJ_INTRNL)
void *pmemobj_direct(PMEMoid oid);
#else
#define pmemobj_direct pmemobj_direct_inline
#endif

#ifdef __cplusplus
}
#endif

#endif /* libpmemobj/base.h */

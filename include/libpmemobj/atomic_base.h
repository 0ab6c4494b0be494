/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libpmemobj/atomic_base.h -- objects allocated and freed one by one.
 */
#ifndef LIBPMEMOBJ_ATOMIC_BASE_H
#define LIBPMEMOBJ_ATOMIC_BASE_H 1

#include <libpmemobj/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Not what pmemobj_xalloc accepts, which is POBJ_TX_XALLOC_VALID_FLAGS. */
#define POBJ_XALLOC_VALID_FLAGS (POBJ_XALLOC_ZERO | POBJ_XALLOC_CLASS_MASK)

/* What pmemobj_defrag did. */
struct pobj_defrag_result {
	/* objects looked at */
	size_t total;
	/* objects moved */
	size_t relocated;
};

/* Allocates an object and stores its id in *oidp, atomically; 0, or -1 with errno. */
int pmemobj_alloc(PMEMobjpool *pop,
		  PMEMoid *oidp,
		  size_t size,
		  uint64_t type_num,
		  pmemobj_constr constructor,
		  void *arg);

/* pmemobj_alloc with POBJ_XALLOC_* flags, POBJ_CLASS_ID and POBJ_ARENA_ID. */
int pmemobj_xalloc(PMEMobjpool *pop,
		   PMEMoid *oidp,
		   size_t size,
		   uint64_t type_num,
		   uint64_t flags,
		   pmemobj_constr constructor,
		   void *arg);

/* Allocates a zeroed object. */
int pmemobj_zalloc(PMEMobjpool *pop, PMEMoid *oidp, size_t size, uint64_t type_num);

/* Resizes an object; *oidp changes atomically if it moves. 0, or -1 with errno. */
int pmemobj_realloc(PMEMobjpool *pop, PMEMoid *oidp, size_t size, uint64_t type_num);

/* pmemobj_realloc that zeroes the bytes gained. */
int pmemobj_zrealloc(PMEMobjpool *pop, PMEMoid *oidp, size_t size, uint64_t type_num);

/* Allocates a copy of a string. */
int pmemobj_strdup(PMEMobjpool *pop, PMEMoid *oidp, const char *s, uint64_t type_num);

/* Allocates a copy of a wide string. */
int pmemobj_wcsdup(PMEMobjpool *pop, PMEMoid *oidp, const wchar_t *s, uint64_t type_num);

/* Frees an object and makes *oidp the null id, atomically. */
void pmemobj_free(PMEMoid *oidp);

/* Moves objects so that fewer runs are in use, and updates the ids. */
int pmemobj_defrag(PMEMobjpool *pop,
		   PMEMoid **oidv,
		   size_t oidcnt,
		   struct pobj_defrag_result *result);

#ifdef __cplusplus
}
#endif

#endif /* libpmemobj/atomic_base.h */

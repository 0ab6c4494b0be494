/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libpmemobj/action_base.h -- changes that are prepared first and published together.
 */
#ifndef LIBPMEMOBJ_ACTION_BASE_H
#define LIBPMEMOBJ_ACTION_BASE_H 1

#include <libpmemobj/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define POBJ_ACTION_XRESERVE_VALID_FLAGS ((POBJ_XALLOC_CLASS_MASK | POBJ_XALLOC_ARENA_MASK) | POBJ_XALLOC_ZERO)

/* What an action changes. */
enum pobj_action_type {
	/* an object: reserved, or to be freed */
	POBJ_ACTION_TYPE_HEAP,
	/* a word of memory */
	POBJ_ACTION_TYPE_MEM,
	POBJ_MAX_ACTION_TYPE,
};

/* The object of a heap action. */
struct pobj_action_heap {
	/* its offset in the pool, in bytes */
	uint64_t offset;
	/* bytes that it can hold */
	uint64_t usable_size;
};

/* A prepared change; by hand, since cbindgen has no unions without names. */
struct pobj_action {
	enum pobj_action_type type;
	uint32_t data[3];
	__extension__ union {
		struct pobj_action_heap heap;
		uint64_t data2[14];
	};
};

/* Performs the actions when the transaction commits; 0 or an error number, or aborts. */
int pmemobj_tx_publish(struct pobj_action *actv, size_t actvcnt);

/* pmemobj_tx_publish with POBJ_XPUBLISH_NO_ABORT. */
int pmemobj_tx_xpublish(struct pobj_action *actv, size_t actvcnt, uint64_t flags);

/* Reserves an object that pmemobj_publish will make permanent; OID_NULL with errno on failure. */
PMEMoid pmemobj_reserve(PMEMobjpool *pop,
			struct pobj_action *act,
			size_t size,
			uint64_t type_num);

/* pmemobj_reserve with POBJ_XALLOC_ZERO, POBJ_CLASS_ID and POBJ_ARENA_ID. */
PMEMoid pmemobj_xreserve(PMEMobjpool *pop,
			 struct pobj_action *act,
			 size_t size,
			 uint64_t type_num,
			 uint64_t flags);

/* Prepares to set a word of the pool. */
void pmemobj_set_value(PMEMobjpool *pop,
		       struct pobj_action *act,
		       uint64_t *ptr,
		       uint64_t value);

/* Prepares to free an object. */
void pmemobj_defer_free(PMEMobjpool *pop, PMEMoid oid, struct pobj_action *act);

/* Performs all actions atomically; 0, or -1 with errno. */
int pmemobj_publish(PMEMobjpool *pop, struct pobj_action *actv, size_t actvcnt);

/* Forgets actions and gives reservations back. */
void pmemobj_cancel(PMEMobjpool *pop, struct pobj_action *actv, size_t actvcnt);

#ifdef __cplusplus
}
#endif

#endif /* libpmemobj/action_base.h */

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libpmemobj/lists_atomic_base.h -- doubly linked circular lists that change atomically.
 */
#ifndef LIBPMEMOBJ_LISTS_ATOMIC_BASE_H
#define LIBPMEMOBJ_LISTS_ATOMIC_BASE_H 1

#include <libpmemobj/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A list's head is an id and a lock, an entry two ids at pe_offset bytes in the
 * element; see lists_atomic.h. An element goes before or after dest; with dest
 * OID_NULL, before means to the head of the list, after to its tail.
 */

/* Inserts an object; 0, or -1 with errno. */
int pmemobj_list_insert(PMEMobjpool *pop,
			size_t pe_offset,
			void *head,
			PMEMoid dest,
			int before,
			PMEMoid oid);

/* Allocates an object and inserts it; OID_NULL with errno on failure. */
PMEMoid pmemobj_list_insert_new(PMEMobjpool *pop,
				size_t pe_offset,
				void *head,
				PMEMoid dest,
				int before,
				size_t size,
				uint64_t type_num,
				pmemobj_constr constructor,
				void *arg);

/* Removes an element, and frees it if free is not 0; 0, or -1 with errno. */
int pmemobj_list_remove(PMEMobjpool *pop,
			size_t pe_offset,
			void *head,
			PMEMoid oid,
			int free);

/* Moves an element to another list or place; 0, or -1 with errno. */
int pmemobj_list_move(PMEMobjpool *pop,
		      size_t pe_old_offset,
		      void *head_old,
		      size_t pe_new_offset,
		      void *head_new,
		      PMEMoid dest,
		      int before,
		      PMEMoid oid);

#ifdef __cplusplus
}
#endif

#endif /* libpmemobj/lists_atomic_base.h */

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libpmemobj/lists_atomic.h -- typed lists.
 */
#ifndef LIBPMEMOBJ_LISTS_ATOMIC_H
#define LIBPMEMOBJ_LISTS_ATOMIC_H 1

#include <libpmemobj/lists_atomic_base.h>
#include <libpmemobj/thread.h>
#include <libpmemobj/types.h>

/* A member of the elements, and the type of the head. */
#define POBJ_LIST_ENTRY(type) \
	struct { \
		TOID(type) pe_next; \
		TOID(type) pe_prev; \
	}
#define POBJ_LIST_HEAD(name, type) \
	struct name { \
		TOID(type) pe_first; \
		PMEMmutex lock; \
	}

#define POBJ_LIST_FIRST(head) ((head)->pe_first)
#define POBJ_LIST_LAST(head, field) \
	(POBJ_LIST_EMPTY(head) ? POBJ_LIST_FIRST(head) \
			       : POBJ_LIST_PREV(POBJ_LIST_FIRST(head), field))
#define POBJ_LIST_EMPTY(head) TOID_IS_NULL(POBJ_LIST_FIRST(head))
#define POBJ_LIST_NEXT(elm, field) (D_RO(elm)->field.pe_next)
#define POBJ_LIST_PREV(elm, field) (D_RO(elm)->field.pe_prev)

/* Loops that leave a null id in var unless the body breaks out. */
#define POBJ_LIST_FOREACH(var, head, field) \
	for (_pobj_debug_notice("POBJ_LIST_FOREACH", __FILE__, __LINE__), \
			(var) = POBJ_LIST_FIRST(head); \
			!TOID_IS_NULL(var); \
			(void)(TOID_EQUALS(POBJ_LIST_NEXT(var, field), POBJ_LIST_FIRST(head)) \
					? TOID_ASSIGN(var, OID_NULL) \
					: ((var) = POBJ_LIST_NEXT(var, field))))
#define POBJ_LIST_FOREACH_REVERSE(var, head, field) \
	for (_pobj_debug_notice("POBJ_LIST_FOREACH_REVERSE", __FILE__, __LINE__), \
			(var) = POBJ_LIST_LAST(head, field); \
			!TOID_IS_NULL(var); \
			(void)(TOID_EQUALS(POBJ_LIST_PREV(var, field), POBJ_LIST_LAST(head, field)) \
					? TOID_ASSIGN(var, OID_NULL) \
					: ((var) = POBJ_LIST_PREV(var, field))))

/* Where an element goes: in a list, or beside another element. */
#define POBJ_LIST_DEST_HEAD 1
#define POBJ_LIST_DEST_TAIL 0
#define POBJ_LIST_DEST_BEFORE 1
#define POBJ_LIST_DEST_AFTER 0

#define _POBJ_LIST_OFFSET(head, field) TOID_OFFSETOF(POBJ_LIST_FIRST(head), field)

#define _POBJ_LIST_INSERT(pop, head, dest, before, elm, field) \
	pmemobj_list_insert((pop), _POBJ_LIST_OFFSET(head, field), (head), (dest), (before), \
		(elm).oid)
#define POBJ_LIST_INSERT_HEAD(pop, head, elm, field) \
	_POBJ_LIST_INSERT(pop, head, OID_NULL, POBJ_LIST_DEST_HEAD, elm, field)
#define POBJ_LIST_INSERT_TAIL(pop, head, elm, field) \
	_POBJ_LIST_INSERT(pop, head, OID_NULL, POBJ_LIST_DEST_TAIL, elm, field)
#define POBJ_LIST_INSERT_AFTER(pop, head, listelm, elm, field) \
	_POBJ_LIST_INSERT(pop, head, (listelm).oid, POBJ_LIST_DEST_AFTER, elm, field)
#define POBJ_LIST_INSERT_BEFORE(pop, head, listelm, elm, field) \
	_POBJ_LIST_INSERT(pop, head, (listelm).oid, POBJ_LIST_DEST_BEFORE, elm, field)

#define _POBJ_LIST_INSERT_NEW(pop, head, dest, before, field, size, constr, arg) \
	pmemobj_list_insert_new((pop), _POBJ_LIST_OFFSET(head, field), (head), (dest), (before), \
		(size), TOID_TYPE_NUM_OF(POBJ_LIST_FIRST(head)), (constr), (arg))
#define POBJ_LIST_INSERT_NEW_HEAD(pop, head, field, size, constr, arg) \
	_POBJ_LIST_INSERT_NEW(pop, head, OID_NULL, POBJ_LIST_DEST_HEAD, field, size, constr, arg)
#define POBJ_LIST_INSERT_NEW_TAIL(pop, head, field, size, constr, arg) \
	_POBJ_LIST_INSERT_NEW(pop, head, OID_NULL, POBJ_LIST_DEST_TAIL, field, size, constr, arg)
#define POBJ_LIST_INSERT_NEW_AFTER(pop, head, listelm, field, size, constr, arg) \
	_POBJ_LIST_INSERT_NEW(pop, head, (listelm).oid, POBJ_LIST_DEST_AFTER, field, size, \
		constr, arg)
#define POBJ_LIST_INSERT_NEW_BEFORE(pop, head, listelm, field, size, constr, arg) \
	_POBJ_LIST_INSERT_NEW(pop, head, (listelm).oid, POBJ_LIST_DEST_BEFORE, field, size, \
		constr, arg)

#define _POBJ_LIST_REMOVE(pop, head, elm, field, free) \
	pmemobj_list_remove((pop), _POBJ_LIST_OFFSET(head, field), (head), (elm).oid, (free))
#define POBJ_LIST_REMOVE(pop, head, elm, field) _POBJ_LIST_REMOVE(pop, head, elm, field, 0)
#define POBJ_LIST_REMOVE_FREE(pop, head, elm, field) _POBJ_LIST_REMOVE(pop, head, elm, field, 1)

#define _POBJ_LIST_MOVE(pop, head, head_new, dest, before, elm, field, field_new) \
	pmemobj_list_move((pop), _POBJ_LIST_OFFSET(head, field), (head), \
		_POBJ_LIST_OFFSET(head_new, field_new), (head_new), (dest), (before), (elm).oid)
#define POBJ_LIST_MOVE_ELEMENT_HEAD(pop, head, head_new, elm, field, field_new) \
	_POBJ_LIST_MOVE(pop, head, head_new, OID_NULL, POBJ_LIST_DEST_HEAD, elm, field, field_new)
#define POBJ_LIST_MOVE_ELEMENT_TAIL(pop, head, head_new, elm, field, field_new) \
	_POBJ_LIST_MOVE(pop, head, head_new, OID_NULL, POBJ_LIST_DEST_TAIL, elm, field, field_new)
#define POBJ_LIST_MOVE_ELEMENT_AFTER(pop, head, head_new, listelm, elm, field, field_new) \
	_POBJ_LIST_MOVE(pop, head, head_new, (listelm).oid, POBJ_LIST_DEST_AFTER, elm, field, \
		field_new)
#define POBJ_LIST_MOVE_ELEMENT_BEFORE(pop, head, head_new, listelm, elm, field, field_new) \
	_POBJ_LIST_MOVE(pop, head, head_new, (listelm).oid, POBJ_LIST_DEST_BEFORE, elm, field, \
		field_new)

#endif /* libpmemobj/lists_atomic.h */

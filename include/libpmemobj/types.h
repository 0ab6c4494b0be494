/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libpmemobj/types.h -- ids that know the type of their object.
 */
#ifndef LIBPMEMOBJ_TYPES_H
#define LIBPMEMOBJ_TYPES_H 1

#include <libpmemobj/base.h>

/* Longest name of a layout, its NUL included, in bytes. */
#define PMEMOBJ_MAX_LAYOUT ((size_t)1024)

#define POBJ_ROOT_TYPE_NUM 0

/*
 * TOID(t) is a union whose members beside the id carry, in their types alone,
 * the type and the type number of the object. A t of two tokens, like struct s,
 * pastes into _toid_struct s_toid, whose first word is nothing.
 */
#define _toid_struct
#define _toid_union
#define _toid_enum

#define TOID(t) union _toid_##t##_toid

#ifdef __cplusplus
#define _TOID_CONSTR(t) \
	_toid_##t##_toid() \
	{ \
	} \
	_toid_##t##_toid(PMEMoid _oid) : oid(_oid) \
	{ \
	}
#else
#define _TOID_CONSTR(t)
#endif

#define _TOID_DECLARE(t, i) \
	typedef uint8_t _toid_##t##_toid_type_num[(i) + 1]; \
	TOID(t) \
	{ \
		_TOID_CONSTR(t) \
		PMEMoid oid; \
		t *_type; \
		_toid_##t##_toid_type_num *_type_num; \
	}

/* Declares the ids of type t, with its number in the layout. */
#define TOID_DECLARE(t, i) _TOID_DECLARE(t, i)
#define TOID_DECLARE_ROOT(t) _TOID_DECLARE(t, POBJ_ROOT_TYPE_NUM)

/* Constants of the compiler: nothing is evaluated. */
#define TOID_TYPE_NUM(t) (sizeof(_toid_##t##_toid_type_num) - 1)
#define TOID_TYPE_NUM_OF(o) (sizeof(*(o)._type_num) - 1)
#define TOID_TYPEOF(o) __typeof__(*(o)._type)
#define TOID_OFFSETOF(o, field) offsetof(TOID_TYPEOF(o), field)

/* An untyped id as one of t: in C a cast to a union, which is GNU's. */
#define _TOID_CAST(t, value) (__extension__(t)(value))

#define TOID_NULL(t) _TOID_CAST(TOID(t), OID_NULL)
#define TOID_IS_NULL(o) ((o).oid.off == 0)
#define TOID_EQUALS(lhs, rhs) OID_EQUALS((lhs).oid, (rhs).oid)

/* Whether the object itself has the type. */
#define TOID_VALID(o) (pmemobj_type_num((o).oid) == TOID_TYPE_NUM_OF(o))
#define OID_INSTANCEOF(o, t) (pmemobj_type_num(o) == TOID_TYPE_NUM(t))

/* Assigns an untyped id; the expression is o. */
#ifdef __clang__
#define TOID_ASSIGN(o, value) ((o).oid = (value), (o))
#else
#define TOID_ASSIGN(o, value) \
	(__extension__({ \
		(o).oid = (value); \
		(o); \
	}))
#endif

/* The address of an object, with its type; the assignment refuses a const o. */
#define DIRECT_RW(o) \
	(__extension__({ \
		__typeof__(o) _pobj_o; \
		_pobj_o._type = NULL; \
		(void)_pobj_o; \
		(TOID_TYPEOF(o) *)pmemobj_direct((o).oid); \
	}))
#define DIRECT_RO(o) ((const TOID_TYPEOF(o) *)pmemobj_direct((o).oid))
#define D_RW DIRECT_RW
#define D_RO DIRECT_RO

/*
 * A layout: its types are numbered from 1 in the order of their declaration,
 * by what the compiler has counted since the beginning.
 */
#define _POBJ_LAYOUT_REF(name) (sizeof(_pobj_layout_##name##_ref))

/*
 * Lets a semicolon follow, or not: an empty declaration is C++, and outside of
 * functions, where layouts stand, GNU C.
 */
#ifdef __cplusplus
#define _POBJ_LAYOUT_SEMICOLON ;
#else
#define _POBJ_LAYOUT_SEMICOLON \
	; \
	__extension__
#endif

#define POBJ_LAYOUT_BEGIN(name) typedef uint8_t _pobj_layout_##name##_ref[__COUNTER__ + 1]
#define POBJ_LAYOUT_TOID(name, t) \
	TOID_DECLARE(t, (__COUNTER__ + 1 - _POBJ_LAYOUT_REF(name))) _POBJ_LAYOUT_SEMICOLON
#define POBJ_LAYOUT_ROOT(name, t) TOID_DECLARE_ROOT(t) _POBJ_LAYOUT_SEMICOLON
#define POBJ_LAYOUT_END(name) \
	typedef char _pobj_layout_##name##_cnt[__COUNTER__ + 1 - _POBJ_LAYOUT_REF(name)] \
		_POBJ_LAYOUT_SEMICOLON

#define POBJ_LAYOUT_NAME(name) #name
#define POBJ_LAYOUT_TYPES_NUM(name) (sizeof(_pobj_layout_##name##_cnt) - 1)

#endif /* libpmemobj/types.h */

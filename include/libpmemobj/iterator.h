/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libpmemobj/iterator.h -- objects of one type; loops over the objects of a pool.
 */
#ifndef LIBPMEMOBJ_ITERATOR_H
#define LIBPMEMOBJ_ITERATOR_H 1

#include <libpmemobj/iterator_base.h>
#include <libpmemobj/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The first object with a type number, or OID_NULL. */
static inline PMEMoid
POBJ_FIRST_TYPE_NUM(PMEMobjpool *pop, uint64_t type_num)
{
	PMEMoid oid = pmemobj_first(pop);

	while (!OID_IS_NULL(oid) && pmemobj_type_num(oid) != type_num)
		oid = pmemobj_next(oid);
	return oid;
}

/* The next object with the type number of this one, or OID_NULL. */
static inline PMEMoid
POBJ_NEXT_TYPE_NUM(PMEMoid o)
{
	PMEMoid oid = pmemobj_next(o);

	while (!OID_IS_NULL(oid) && pmemobj_type_num(oid) != pmemobj_type_num(o))
		oid = pmemobj_next(oid);
	return oid;
}

#ifdef __cplusplus
}
#endif

#define POBJ_FIRST(pop, t) _TOID_CAST(TOID(t), POBJ_FIRST_TYPE_NUM((pop), TOID_TYPE_NUM(t)))
#define POBJ_NEXT(o) _TOID_CAST(__typeof__(o), POBJ_NEXT_TYPE_NUM((o).oid))

/* Over all objects; the SAFE form lets the body free the current one. */
#define POBJ_FOREACH(pop, varoid) \
	for (_pobj_debug_notice("POBJ_FOREACH", __FILE__, __LINE__), \
			(varoid) = pmemobj_first(pop); \
			!OID_IS_NULL(varoid); (varoid) = pmemobj_next(varoid))
#define POBJ_FOREACH_SAFE(pop, varoid, nvaroid) \
	for (_pobj_debug_notice("POBJ_FOREACH_SAFE", __FILE__, __LINE__), \
			(varoid) = pmemobj_first(pop); \
			!OID_IS_NULL(varoid) && ((nvaroid) = pmemobj_next(varoid), 1); \
			(varoid) = (nvaroid))

/* Over the objects of the type of var. */
#define POBJ_FOREACH_TYPE(pop, var) \
	POBJ_FOREACH(pop, (var).oid) \
		if (TOID_VALID(var))
#define POBJ_FOREACH_SAFE_TYPE(pop, var, nvar) \
	POBJ_FOREACH_SAFE(pop, (var).oid, (nvar).oid) \
		if (TOID_VALID(var))

#endif /* libpmemobj/iterator.h */

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libpmemobj/iterator_base.h -- all objects of a pool, one after the other.
 */
#ifndef LIBPMEMOBJ_ITERATOR_BASE_H
#define LIBPMEMOBJ_ITERATOR_BASE_H 1

#include <libpmemobj/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The first object of the pool, or OID_NULL. */
PMEMoid pmemobj_first(PMEMobjpool *pop);

/* The object after this one, or OID_NULL. */
PMEMoid pmemobj_next(PMEMoid oid);

#ifdef __cplusplus
}
#endif

#endif /* libpmemobj/iterator_base.h */

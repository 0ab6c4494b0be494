/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libpmemobj/pool.h -- the typed root object.
 */
#ifndef LIBPMEMOBJ_POOL_H
#define LIBPMEMOBJ_POOL_H 1

#include <libpmemobj/pool_base.h>
#include <libpmemobj/types.h>

#define POBJ_ROOT(pop, t) _TOID_CAST(TOID(t), pmemobj_root((pop), sizeof(t)))

#endif /* libpmemobj/pool.h */

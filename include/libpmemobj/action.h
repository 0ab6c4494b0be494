/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libpmemobj/action.h -- typed reservations.
 */
#ifndef LIBPMEMOBJ_ACTION_H
#define LIBPMEMOBJ_ACTION_H 1

#include <libpmemobj/action_base.h>
#include <libpmemobj/types.h>

#define POBJ_RESERVE_NEW(pop, t, act) POBJ_RESERVE_ALLOC(pop, t, sizeof(t), act)
#define POBJ_RESERVE_ALLOC(pop, t, size, act) \
	_TOID_CAST(TOID(t), pmemobj_reserve((pop), (act), (size), TOID_TYPE_NUM(t)))

#define POBJ_XRESERVE_NEW(pop, t, act, flags) POBJ_XRESERVE_ALLOC(pop, t, sizeof(t), act, flags)
#define POBJ_XRESERVE_ALLOC(pop, t, size, act, flags) \
	_TOID_CAST(TOID(t), pmemobj_xreserve((pop), (act), (size), TOID_TYPE_NUM(t), (flags)))

#endif /* libpmemobj/action.h */

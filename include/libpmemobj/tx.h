/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libpmemobj/tx.h -- blocks that are transactions, and typed transactional functions.
 */
#ifndef LIBPMEMOBJ_TX_H
#define LIBPMEMOBJ_TX_H 1

#include <errno.h>
#include <string.h>

#include <libpmemobj/tx_base.h>
#include <libpmemobj/types.h>

#ifdef POBJ_TX_CRASH_ON_NO_ONABORT
#include <stdlib.h>
#define TX_ONABORT_CHECK \
	do { \
		if (_stage == TX_STAGE_ONABORT) \
			abort(); \
	} while (0)
#else
#define TX_ONABORT_CHECK \
	do { \
	} while (0)
#endif

/*
 * TX_BEGIN opens a block that TX_END closes: a loop over the stages of the
 * transaction with a switch, whose cases are the program's blocks. An abort
 * continues at setjmp; then, too, the loop sees the stage that has come.
 * Parameters end with TX_PARAM_NONE, whether the program says so or not.
 */
#define _POBJ_TX_BEGIN(pop, ...) \
	{ \
		jmp_buf _tx_env; \
		enum pobj_tx_stage _stage; \
		int _pobj_errno; \
		if (setjmp(_tx_env) != 0) { \
			errno = pmemobj_tx_errno(); \
		} else { \
			_pobj_errno = pmemobj_tx_begin((pop), _tx_env, __VA_ARGS__, TX_PARAM_NONE); \
			if (_pobj_errno != 0) \
				errno = _pobj_errno; \
		} \
		while ((_stage = pmemobj_tx_stage()) != TX_STAGE_NONE) { \
			switch (_stage) { \
			case TX_STAGE_WORK:

/* The end of a block and the begin of that of another stage. */
#define _POBJ_TX_STAGE(label) \
				pmemobj_tx_process(); \
				break; \
			label:

#define TX_BEGIN(pop) _POBJ_TX_BEGIN(pop, TX_PARAM_NONE)
#define TX_BEGIN_PARAM(pop, ...) _POBJ_TX_BEGIN(pop, __VA_ARGS__)
#define TX_BEGIN_LOCK TX_BEGIN_PARAM
/* TX_BEGIN_CB(pop, cb, arg [, parameters]) */
#define TX_BEGIN_CB(pop, cb, ...) \
	_POBJ_TX_BEGIN(pop, TX_PARAM_CB, _pobj_validate_cb_sig(cb), __VA_ARGS__)

#define TX_ONABORT _POBJ_TX_STAGE(case TX_STAGE_ONABORT)
#define TX_ONCOMMIT _POBJ_TX_STAGE(case TX_STAGE_ONCOMMIT)
#define TX_FINALLY _POBJ_TX_STAGE(case TX_STAGE_FINALLY)

#define TX_END \
			_POBJ_TX_STAGE(default) \
				TX_ONABORT_CHECK; \
				pmemobj_tx_process(); \
				break; \
			} \
		} \
		_pobj_errno = pmemobj_tx_end(); \
		if (_pobj_errno != 0) \
			errno = _pobj_errno; \
	}

/* Snapshots, of an object or of memory at an address; 0 or an error number. */
#define TX_ADD(o) pmemobj_tx_add_range((o).oid, 0, sizeof(*(o)._type))
#define TX_ADD_FIELD(o, field) TX_ADD_DIRECT(&(D_RO(o)->field))
#define TX_ADD_DIRECT(p) pmemobj_tx_add_range_direct((p), sizeof(*(p)))
#define TX_ADD_FIELD_DIRECT(p, field) TX_ADD_DIRECT(&(p)->field)

#define TX_XADD(o, flags) pmemobj_tx_xadd_range((o).oid, 0, sizeof(*(o)._type), (flags))
#define TX_XADD_FIELD(o, field, flags) TX_XADD_DIRECT(&(D_RO(o)->field), flags)
#define TX_XADD_DIRECT(p, flags) pmemobj_tx_xadd_range_direct((p), sizeof(*(p)), (flags))
#define TX_XADD_FIELD_DIRECT(p, field, flags) TX_XADD_DIRECT(&(p)->field, flags)

/* A snapshot of a field, then its new value. */
#define TX_SET(o, field, value) (TX_ADD_FIELD(o, field), D_RW(o)->field = (value))
#define TX_SET_DIRECT(p, field, value) (TX_ADD_FIELD_DIRECT(p, field), (p)->field = (value))

/* Objects; the null id on failure. */
#define TX_NEW(t) TX_ALLOC(t, sizeof(t))
#define TX_ALLOC(t, size) _TOID_CAST(TOID(t), pmemobj_tx_alloc((size), TOID_TYPE_NUM(t)))
#define TX_ZNEW(t) TX_ZALLOC(t, sizeof(t))
#define TX_ZALLOC(t, size) _TOID_CAST(TOID(t), pmemobj_tx_zalloc((size), TOID_TYPE_NUM(t)))
#define TX_XALLOC(t, size, flags) \
	_TOID_CAST(TOID(t), pmemobj_tx_xalloc((size), TOID_TYPE_NUM(t), (flags)))
#define TX_REALLOC(o, size) \
	_TOID_CAST(__typeof__(o), pmemobj_tx_realloc((o).oid, (size), TOID_TYPE_NUM_OF(o)))
#define TX_ZREALLOC(o, size) \
	_TOID_CAST(__typeof__(o), pmemobj_tx_zrealloc((o).oid, (size), TOID_TYPE_NUM_OF(o)))
#define TX_STRDUP(s, type_num) pmemobj_tx_strdup((s), (type_num))
#define TX_XSTRDUP(s, type_num, flags) pmemobj_tx_xstrdup((s), (type_num), (flags))
#define TX_WCSDUP(s, type_num) pmemobj_tx_wcsdup((s), (type_num))
#define TX_XWCSDUP(s, type_num, flags) pmemobj_tx_xwcsdup((s), (type_num), (flags))
#define TX_FREE(o) pmemobj_tx_free((o).oid)
#define TX_XFREE(o, flags) pmemobj_tx_xfree((o).oid, (flags))

#ifdef __cplusplus
extern "C" {
#endif

/* Has the compiler check the type of a callback. */
static inline pmemobj_tx_callback
_pobj_validate_cb_sig(pmemobj_tx_callback cb)
{
	return cb;
}

/* memcpy and memset with a snapshot of what they overwrite. */
static inline void *
TX_MEMCPY(void *dest, const void *src, size_t num)
{
	pmemobj_tx_add_range_direct(dest, num);
	return memcpy(dest, src, num);
}

static inline void *
TX_MEMSET(void *dest, int c, size_t num)
{
	pmemobj_tx_add_range_direct(dest, num);
	return memset(dest, c, num);
}

#ifdef __cplusplus
}
#endif

#endif /* libpmemobj/tx.h */

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libpmemobj/tx_base.h -- transactions.
 */
#ifndef LIBPMEMOBJ_TX_BASE_H
#define LIBPMEMOBJ_TX_BASE_H 1

#include <setjmp.h>

#include <libpmemobj/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Flags of pmemobj_tx_xalloc. */
#define POBJ_TX_XALLOC_VALID_FLAGS ((((POBJ_XALLOC_ZERO | POBJ_XALLOC_NO_FLUSH) | POBJ_XALLOC_ARENA_MASK) | POBJ_XALLOC_CLASS_MASK) | POBJ_XALLOC_NO_ABORT)

/* Flags of pmemobj_tx_xadd_range and pmemobj_tx_xadd_range_direct. */
#define POBJ_XADD_NO_FLUSH POBJ_FLAG_NO_FLUSH
#define POBJ_XADD_NO_SNAPSHOT POBJ_FLAG_NO_SNAPSHOT
#define POBJ_XADD_ASSUME_INITIALIZED POBJ_FLAG_ASSUME_INITIALIZED
#define POBJ_XADD_NO_ABORT POBJ_FLAG_TX_NO_ABORT
#define POBJ_XADD_VALID_FLAGS (((POBJ_XADD_NO_FLUSH | POBJ_XADD_NO_SNAPSHOT) | POBJ_XADD_ASSUME_INITIALIZED) | POBJ_XADD_NO_ABORT)

/* Flags of the other pmemobj_tx_x functions: fail without aborting. */
#define POBJ_XLOCK_NO_ABORT POBJ_FLAG_TX_NO_ABORT
#define POBJ_XLOCK_VALID_FLAGS POBJ_XLOCK_NO_ABORT
#define POBJ_XFREE_NO_ABORT POBJ_FLAG_TX_NO_ABORT
#define POBJ_XFREE_VALID_FLAGS POBJ_XFREE_NO_ABORT
#define POBJ_XPUBLISH_NO_ABORT POBJ_FLAG_TX_NO_ABORT
#define POBJ_XPUBLISH_VALID_FLAGS POBJ_XPUBLISH_NO_ABORT
#define POBJ_XLOG_APPEND_BUFFER_NO_ABORT POBJ_FLAG_TX_NO_ABORT
#define POBJ_XLOG_APPEND_BUFFER_VALID_FLAGS POBJ_XLOG_APPEND_BUFFER_NO_ABORT

/* Where the calling thread's transaction is. */
enum pobj_tx_stage {
	/* no transaction */
	TX_STAGE_NONE,
	/* in progress */
	TX_STAGE_WORK,
	/* committed */
	TX_STAGE_ONCOMMIT,
	/* aborted, or failed to begin */
	TX_STAGE_ONABORT,
	/* about to end, either way */
	TX_STAGE_FINALLY,
	MAX_TX_STAGE,
};

/* Parameters of pmemobj_tx_begin, each followed by what it names. */
enum pobj_tx_param {
	/* end of the parameters */
	TX_PARAM_NONE,
	/* PMEMmutex * */
	TX_PARAM_MUTEX,
	/* PMEMrwlock * */
	TX_PARAM_RWLOCK,
	/* pmemobj_tx_callback, void * */
	TX_PARAM_CB,
};

/* The logs of a transaction. */
enum pobj_log_type {
	/* of snapshots: the undo log */
	TX_LOG_TYPE_SNAPSHOT,
	/* of allocations and other actions: the redo log */
	TX_LOG_TYPE_INTENT,
};

/* What a failing function of a transaction does. */
enum pobj_tx_failure_behavior {
	/* aborts */
	POBJ_TX_FAILURE_ABORT,
	/* returns an error */
	POBJ_TX_FAILURE_RETURN,
};

/* By hand: what carries attributes, and what has an array as parameter. */
#if !defined(pmdk_use_attr_deprec_with_msg)
#if defined(__clang__)
#define pmdk_use_attr_deprec_with_msg __has_extension(attribute_deprecated_with_message)
#else /* since GCC 6.1 on enumerators */
#define pmdk_use_attr_deprec_with_msg (__GNUC__ * 100 + __GNUC_MINOR__ >= 601)
#endif
#endif
#if pmdk_use_attr_deprec_with_msg
#define tx_lock_deprecated __attribute__((deprecated("use enum pobj_tx_param")))
#else
#define tx_lock_deprecated
#endif

/* The old names of enum pobj_tx_param. */
enum tx_lock_deprecated pobj_tx_lock {
	TX_LOCK_NONE tx_lock_deprecated = TX_PARAM_NONE,
	TX_LOCK_MUTEX tx_lock_deprecated = TX_PARAM_MUTEX,
	TX_LOCK_RWLOCK tx_lock_deprecated = TX_PARAM_RWLOCK
};

/* Called at every change of the stage of an outermost transaction. */
typedef void (*pmemobj_tx_callback)(PMEMobjpool *pop, enum pobj_tx_stage stage, void *arg);

/*
 * Begins a transaction, or one nested in the current one; 0 or an error number.
 * If it aborts and env is not NULL, control continues there. The parameters are
 * those of enum pobj_tx_param, up to TX_PARAM_NONE.
 */
int pmemobj_tx_begin(PMEMobjpool *pop, jmp_buf env, ...);

/* Takes a lock until the end of the outermost transaction; 0 or an error number. */
int pmemobj_tx_lock(enum pobj_tx_param type, void *lockp);

/* pmemobj_tx_lock with POBJ_XLOCK_NO_ABORT. */
int pmemobj_tx_xlock(enum pobj_tx_param type, void *lockp, uint64_t flags);

/* Aborts the current transaction: everything is as before it. */
void pmemobj_tx_abort(int errnum);

/* Commits the current transaction. */
void pmemobj_tx_commit(void);

/* Ends the current transaction after its last stage; 0 or the error number that aborted it. */
int pmemobj_tx_end(void);

/* Goes on to the next stage; commits if that is what comes next. */
void pmemobj_tx_process(void);

/* Snapshots size bytes of an object from off on; 0 or an error number. */
int pmemobj_tx_add_range(PMEMoid oid, uint64_t off, size_t size);

/* pmemobj_tx_add_range with POBJ_XADD_* flags. */
int pmemobj_tx_xadd_range(PMEMoid oid, uint64_t off, size_t size, uint64_t flags);

/* Snapshots size bytes at an address; 0 or an error number. */
int pmemobj_tx_add_range_direct(const void *ptr, size_t size);

/* pmemobj_tx_add_range_direct with POBJ_XADD_* flags. */
int pmemobj_tx_xadd_range_direct(const void *ptr, size_t size, uint64_t flags);

/* Allocates an object; OID_NULL with errno on failure. */
PMEMoid pmemobj_tx_alloc(size_t size, uint64_t type_num);

/* pmemobj_tx_alloc with POBJ_XALLOC_* flags, POBJ_CLASS_ID and POBJ_ARENA_ID. */
PMEMoid pmemobj_tx_xalloc(size_t size, uint64_t type_num, uint64_t flags);

/* Allocates a zeroed object. */
PMEMoid pmemobj_tx_zalloc(size_t size, uint64_t type_num);

/* Resizes an object, which may move; OID_NULL with errno on failure. */
PMEMoid pmemobj_tx_realloc(PMEMoid oid, size_t size, uint64_t type_num);

/* pmemobj_tx_realloc that zeroes the bytes gained. */
PMEMoid pmemobj_tx_zrealloc(PMEMoid oid, size_t size, uint64_t type_num);

/* Allocates a copy of a string. */
PMEMoid pmemobj_tx_strdup(const char *s, uint64_t type_num);

/* pmemobj_tx_strdup with POBJ_XALLOC_* flags. */
PMEMoid pmemobj_tx_xstrdup(const char *s, uint64_t type_num, uint64_t flags);

/* Allocates a copy of a wide string. */
PMEMoid pmemobj_tx_wcsdup(const wchar_t *s, uint64_t type_num);

/* pmemobj_tx_wcsdup with POBJ_XALLOC_* flags. */
PMEMoid pmemobj_tx_xwcsdup(const wchar_t *s, uint64_t type_num, uint64_t flags);

/* Frees an object when the transaction commits; 0 or an error number. */
int pmemobj_tx_free(PMEMoid oid);

/* pmemobj_tx_free with POBJ_XFREE_NO_ABORT. */
int pmemobj_tx_xfree(PMEMoid oid, uint64_t flags);

/* Gives a log memory of the pool to grow into; 0 or an error number. */
int pmemobj_tx_log_append_buffer(enum pobj_log_type type, void *addr, size_t size);

/* pmemobj_tx_log_append_buffer with POBJ_XLOG_APPEND_BUFFER_NO_ABORT. */
int pmemobj_tx_xlog_append_buffer(enum pobj_log_type type,
					 void *addr,
					 size_t size,
					 uint64_t flags);

/* The stage of the calling thread's transaction. */
enum pobj_tx_stage pmemobj_tx_stage(void);

/* The error number of the calling thread's last transaction. */
int pmemobj_tx_errno(void);

/* Keeps a pointer with the current transaction. */
void pmemobj_tx_set_user_data(void *data);

/* The pointer kept with the current transaction; NULL at first. */
void *pmemobj_tx_get_user_data(void);

/* What failing functions do in the current and nested transactions from here on. */
void pmemobj_tx_set_failure_behavior(enum pobj_tx_failure_behavior behavior);

/* What failing functions do in the current transaction. */
enum pobj_tx_failure_behavior pmemobj_tx_get_failure_behavior(void);

/* Lets a log grow by itself (the default) or not; 0 or an error number. */
int pmemobj_tx_log_auto_alloc(enum pobj_log_type type, int on_off);

/* Bytes of buffers that snapshots of these sizes need; SIZE_MAX with errno on failure. */
size_t pmemobj_tx_log_snapshots_max_size(size_t *sizes, size_t nsizes);

/* Bytes of buffers that so many allocations and frees need; SIZE_MAX with errno on failure. */
size_t pmemobj_tx_log_intents_max_size(size_t nintents);

#ifdef __cplusplus
}
#endif

#endif /* libpmemobj/tx_base.h */

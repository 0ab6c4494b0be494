/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libpmemobj/pool_base.h -- creating, opening and checking pools; their root object.
 */
#ifndef LIBPMEMOBJ_POOL_BASE_H
#define LIBPMEMOBJ_POOL_BASE_H 1

#include <stddef.h>
#include <sys/types.h>

#include <libpmemobj/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Smallest pool, in bytes. */
#define PMEMOBJ_MIN_POOL ((size_t)8 << 20)

/* Smallest part of a pool set, in bytes. */
#define PMEMOBJ_MIN_PART ((size_t)2 << 20)

/* Creates a pool; poolsize in bytes, 0 if the file exists with its size. NULL with errno on failure. */
PMEMobjpool *pmemobj_create(const char *path,
			    const char *layout,
			    size_t poolsize,
			    mode_t mode);

/* Opens a pool, whatever its layout if that is NULL. NULL with errno on failure. */
PMEMobjpool *pmemobj_open(const char *path, const char *layout);

/* Closes a pool. */
void pmemobj_close(PMEMobjpool *pop);

/* 1 if the pool is consistent, 0 if it is not, -1 if it cannot be checked. */
int pmemobj_check(const char *path, const char *layout);

/* The root object, allocated or grown to size as needed; OID_NULL with errno on failure. */
PMEMoid pmemobj_root(PMEMobjpool *pop, size_t size);

/* pmemobj_root with a constructor for what is new. */
PMEMoid pmemobj_root_construct(PMEMobjpool *pop,
			       size_t size,
			       pmemobj_constr constructor,
			       void *arg);

/* The size of the root object in bytes; 0 if there is none. */
size_t pmemobj_root_size(PMEMobjpool *pop);

/* Keeps a volatile pointer with an open pool. */
void pmemobj_set_user_data(PMEMobjpool *pop, void *data);

/* The pointer kept with an open pool; NULL at first. */
void *pmemobj_get_user_data(PMEMobjpool *pop);

#ifdef __cplusplus
}
#endif

#endif /* libpmemobj/pool_base.h */

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libpmemobj/ctl.h -- parameters and statistics of pools and of the library.
 */
#ifndef LIBPMEMOBJ_CTL_H
#define LIBPMEMOBJ_CTL_H 1

#include <stddef.h>
#include <sys/types.h>

#include <libpmemobj/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What precedes an object's data in memory. */
enum pobj_header_type {
	/* 64 bytes, with type number */
	POBJ_HEADER_LEGACY,
	/* 16 bytes, with type number */
	POBJ_HEADER_COMPACT,
	/* nothing: all objects have the size of the class, and type 0 */
	POBJ_HEADER_NONE,
	MAX_POBJ_HEADER_TYPES,
};

/* Which statistics are kept, for stats.enabled. */
enum pobj_stats_enabled {
	POBJ_STATS_ENABLED_TRANSIENT,
	POBJ_STATS_ENABLED_BOTH,
	POBJ_STATS_ENABLED_PERSISTENT,
	POBJ_STATS_DISABLED,
};

/* How threads get their arenas, for heap.arenas_assignment_type. */
enum pobj_arenas_assignment_type {
	POBJ_ARENAS_ASSIGNMENT_THREAD_KEY,
	POBJ_ARENAS_ASSIGNMENT_GLOBAL,
};

/* An allocation class, for heap.alloc_class.[class_id].desc. */
struct pobj_alloc_class_desc {
	/* bytes that one unit takes */
	size_t unit_size;
	/* of objects, in bytes; 0 or a power of two that divides unit_size */
	size_t alignment;
	/* at least so many units are allocated from the heap at a time */
	unsigned units_per_block;
	enum pobj_header_type header_type;
	/* out: the number, for POBJ_CLASS_ID */
	unsigned class_id;
};

/* Reads an entry by name into an argument of its type; 0, or -1 with errno. */
int pmemobj_ctl_get(PMEMobjpool *pop, const char *name, void *arg);

/* Sets an entry by name; 0, or -1 with errno. */
int pmemobj_ctl_set(PMEMobjpool *pop, const char *name, void *arg);

/* Runs an entry by name; 0, or -1 with errno. */
int pmemobj_ctl_exec(PMEMobjpool *pop, const char *name, void *arg);

#ifdef __cplusplus
}
#endif

#endif /* libpmemobj/ctl.h */

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libpmem.h -- memory-mapped persistent memory: mapping, flushing, copying.
 * See libpmem(7).
 */
#ifndef LIBPMEM_H
#define LIBPMEM_H 1

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Smallest part of a pool set, in bytes. */
#define PMEM_MIN_PART ((size_t)2 << 20)

/* Flags of pmem_map_file. */
#define PMEM_FILE_CREATE (1 << 0)
#define PMEM_FILE_EXCL (1 << 1)
#define PMEM_FILE_SPARSE (1 << 2)
#define PMEM_FILE_TMPFILE (1 << 3)

/* Flags of pmem_memmove, pmem_memcpy and pmem_memset. */
#define PMEM_F_MEM_NODRAIN (1U << 0)
#define PMEM_F_MEM_NONTEMPORAL (1U << 1)
#define PMEM_F_MEM_TEMPORAL (1U << 2)
#define PMEM_F_MEM_WC (1U << 3)
#define PMEM_F_MEM_WB (1U << 4)
#define PMEM_F_MEM_NOFLUSH (1U << 5)
#define PMEM_F_MEM_VALID_FLAGS (((((PMEM_F_MEM_NODRAIN | PMEM_F_MEM_NONTEMPORAL) | PMEM_F_MEM_TEMPORAL) | PMEM_F_MEM_WC) | PMEM_F_MEM_WB) | PMEM_F_MEM_NOFLUSH)

/* For pmem_check_version. */
#define PMEM_MAJOR_VERSION 1
#define PMEM_MINOR_VERSION 1

/* Creates or opens a file and maps it; NULL with errno on failure. */
void *pmem_map_file(const char *path,
		    size_t len,
		    int flags,
		    mode_t mode,
		    size_t *mapped_lenp,
		    int *is_pmemp);

/* Unmaps a range that pmem_map_file mapped; 0, or -1 with errno. */
int pmem_unmap(void *addr, size_t len);

/* 1 if the whole range is persistent memory, else 0. */
int pmem_is_pmem(const void *addr, size_t len);

/* Starts writing back the cache lines of a range; durable after pmem_drain. */
void pmem_flush(const void *addr, size_t len);

/* Waits until everything flushed before is durable. */
void pmem_drain(void);

/* Makes a range of persistent memory durable: flush, then drain. */
void pmem_persist(const void *addr, size_t len);

/* Makes a range of any mapping durable with msync(2); 0, or -1 with errno. */
int pmem_msync(const void *addr, size_t len);

/* Flushes a range, even where the CPU flushes its caches on power failure. */
void pmem_deep_flush(const void *addr, size_t len);

/* Waits until a flushed range is in the memory's own persistence domain; 0, or -1 with errno. */
int pmem_deep_drain(const void *addr,
		    size_t len);

/* Deep flush, then deep drain; 0, or -1 with errno. */
int pmem_deep_persist(const void *addr, size_t len);

/* 1 if the machine has a hardware drain instruction: always 0. */
int pmem_has_hw_drain(void);

/* 1 if CPU caches are flushed on power failure, 0 if not, -1 with errno. */
int pmem_has_auto_flush(void);

/* memmove(3) to persistent memory, as PMEM_F_MEM_* flags say. */
void *pmem_memmove(void *pmemdest, const void *src, size_t len, unsigned flags);

/* memcpy(3) to persistent memory, as PMEM_F_MEM_* flags say. */
void *pmem_memcpy(void *pmemdest, const void *src, size_t len, unsigned flags);

/* memset(3) of persistent memory, as PMEM_F_MEM_* flags say. */
void *pmem_memset(void *pmemdest, int c, size_t len, unsigned flags);

/* memmove(3), durable on return. */
void *pmem_memmove_persist(void *pmemdest, const void *src, size_t len);

/* memcpy(3), durable on return. */
void *pmem_memcpy_persist(void *pmemdest, const void *src, size_t len);

/* memset(3), durable on return. */
void *pmem_memset_persist(void *pmemdest, int c, size_t len);

/* memmove(3), durable after pmem_drain. */
void *pmem_memmove_nodrain(void *pmemdest, const void *src, size_t len);

/* memcpy(3), durable after pmem_drain. */
void *pmem_memcpy_nodrain(void *pmemdest, const void *src, size_t len);

/* memset(3), durable after pmem_drain. */
void *pmem_memset_nodrain(void *pmemdest, int c, size_t len);

/* NULL if the library has this version of the API, else why not. */
const char *pmem_check_version(unsigned major_required, unsigned minor_required);

/* The calling thread's last error message; "" before the first. */
const char *pmem_errormsg(void);

/*
 * The log of libpmem 2: by hand, since cbindgen does not know types of
 * functions. The setters and the getter return 0, or 1 with errno.
 */
enum pmem_log_level {
	PMEM_LOG_LEVEL_HARK, /* about the library itself */
	PMEM_LOG_LEVEL_FATAL,
	PMEM_LOG_LEVEL_ERROR,
	PMEM_LOG_LEVEL_WARNING,
	PMEM_LOG_LEVEL_NOTICE,
	PMEM_LOG_LEVEL_INFO,
	PMEM_LOG_LEVEL_DEBUG
};

enum pmem_log_threshold {
	PMEM_LOG_THRESHOLD, /* of messages that are delivered */
	PMEM_LOG_THRESHOLD_AUX /* of those that the default function prints */
};

typedef void pmem_log_function(enum pmem_log_level level, const char *file_name,
	unsigned line_no, const char *function_name, const char *message);

#define PMEM_LOG_USE_DEFAULT_FUNCTION (0)

int pmem_log_set_threshold(enum pmem_log_threshold threshold,
	enum pmem_log_level value);
int pmem_log_get_threshold(enum pmem_log_threshold threshold,
	enum pmem_log_level *value);
int pmem_log_set_function(pmem_log_function *log_function);

#ifdef __cplusplus
}
#endif

#endif /* libpmem.h */

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libpmemobj/log.h -- the library's log, as of libpmemobj 2.1.
 */
#ifndef LIBPMEMOBJ_LOG_H
#define LIBPMEMOBJ_LOG_H 1

#include <libpmemobj/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum pmemobj_log_level {
	PMEMOBJ_LOG_LEVEL_HARK, /* about the library itself */
	PMEMOBJ_LOG_LEVEL_FATAL,
	PMEMOBJ_LOG_LEVEL_ERROR,
	PMEMOBJ_LOG_LEVEL_WARNING,
	PMEMOBJ_LOG_LEVEL_NOTICE,
	PMEMOBJ_LOG_LEVEL_INFO,
	PMEMOBJ_LOG_LEVEL_DEBUG
};

enum pmemobj_log_threshold {
	PMEMOBJ_LOG_THRESHOLD, /* of messages that are delivered */
	PMEMOBJ_LOG_THRESHOLD_AUX /* of those that the default function prints */
};

typedef void pmemobj_log_function(enum pmemobj_log_level level, const char *file_name,
	unsigned line_no, const char *function_name, const char *message);

#define PMEMOBJ_LOG_USE_DEFAULT_FUNCTION (0)

/* All return 0, or 1 with errno. */
int pmemobj_log_set_threshold(enum pmemobj_log_threshold threshold,
	enum pmemobj_log_level value);
int pmemobj_log_get_threshold(enum pmemobj_log_threshold threshold,
	enum pmemobj_log_level *value);
int pmemobj_log_set_function(pmemobj_log_function *log_function);

#ifdef __cplusplus
}
#endif

#endif /* libpmemobj/log.h */

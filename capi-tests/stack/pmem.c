/* pmem.c -- cases of libpmem. */
#include "stack.h"

typedef void log_function(unsigned, const char *, unsigned, const char *, const char *);
static int (*set_threshold)(unsigned, unsigned);
static int (*get_threshold)(unsigned, unsigned *);
static int (*set_function)(log_function *);

static void
count(unsigned level, const char *file, unsigned line, const char *name, const char *message)
{
	(void)level, (void)file, (void)line, (void)name, (void)message;
}

CALL(pmem_check_version, fits) { pmem_check_version(1, 0); }
CALL(pmem_check_version, refused) { pmem_check_version(9, 9); }
CALL(pmem_errormsg, after_an_error) { pmem_errormsg(); }
CALL(pmem_has_auto_flush, asked) { pmem_has_auto_flush(); }
CALL(pmem_has_hw_drain, asked) { pmem_has_hw_drain(); }
CALL(pmem_is_pmem, mapped) { pmem_is_pmem(mapped, mapped_len); }
CALL(pmem_is_pmem, elsewhere) { pmem_is_pmem(&mapped, 8); }
CALL(pmem_deep_drain, mapped) { pmem_deep_drain(mapped, 5000); }
CALL(pmem_deep_flush, mapped) { pmem_deep_flush(mapped, 5000); }
CALL(pmem_deep_persist, mapped) { pmem_deep_persist(mapped, 5000); }
CALL(pmem_deep_persist, elsewhere) { pmem_deep_persist(&mapped, 8); }
CALL(pmem_drain, asked) { pmem_drain(); }
CALL(pmem_flush, long) { pmem_flush(mapped, 70000); }
CALL(pmem_persist, long) { pmem_persist(mapped, 70000); }
CALL(pmem_msync, long) { pmem_msync(mapped, 70000); }
CALL(pmem_msync, fails) { pmem_msync((void *)4096, 4096); }

CALL(pmem_map_file, created) { pmem_unmap(pmem_map_file(path_of("m"), 4096, PMEM_FILE_CREATE, 0600, NULL, NULL), 4096); }
CALL(pmem_map_file, opened) { pmem_unmap(pmem_map_file(path_of("m"), 0, 0, 0, NULL, NULL), 4096); }
CALL(pmem_map_file, sparse) { pmem_unmap(pmem_map_file(path_of("m"), 1 << 20, PMEM_FILE_CREATE | PMEM_FILE_SPARSE, 0600, NULL, NULL), 1 << 20); }
CALL(pmem_map_file, temporary) { pmem_unmap(pmem_map_file(path_of("."), 4096, PMEM_FILE_CREATE | PMEM_FILE_TMPFILE, 0, NULL, NULL), 4096); }
CALL(pmem_map_file, missing) { pmem_map_file(path_of("no/file"), 0, 0, 0, NULL, NULL); }
CALL(pmem_map_file, exists) { pmem_map_file(path_of("m"), 4096, PMEM_FILE_CREATE | PMEM_FILE_EXCL, 0600, NULL, NULL); }
CALL(pmem_map_file, too_large) { pmem_map_file(path_of("m2"), (size_t)1 << 62, PMEM_FILE_CREATE, 0600, NULL, NULL); }
CALL(pmem_map_file, directory) { pmem_map_file("/tmp", 0, 0, 0, NULL, NULL); }
CALL(pmem_map_file, device) { pmem_map_file("/dev/null", 0, 0, 0, NULL, NULL); }
CALL(pmem_map_file, bad_flags) { pmem_map_file(path_of("m"), 0, 64, 0, NULL, NULL); }
CALL(pmem_map_file, long_name)
{
	static char name[PATH_MAX - 1];
	memset(name, 'x', sizeof(name) - 1);
	pmem_map_file(name, 0, 0, 0, NULL, NULL);
}
CALL(pmem_unmap, mapped)
{
	pmem_unmap(mapped, mapped_len);
	mapped = NULL;
}
CALL(pmem_unmap, fails) { pmem_unmap((void *)1, 1); }

#define COPY(fn, ...) \
	CALL(fn, small) { fn(mapped + 1, mapped + 6000, 100 __VA_ARGS__); } \
	CALL(fn, large) { fn(mapped + 1, mapped + 80001, 70000 __VA_ARGS__); } \
	CALL(fn, overlapping) { fn(mapped + 100, mapped, 70000 __VA_ARGS__); }
#define COMMA ,
COPY(pmem_memmove_persist)
COPY(pmem_memmove_nodrain)
COPY(pmem_memmove, COMMA PMEM_F_MEM_NONTEMPORAL)
#define COPY_APART(fn, ...) \
	CALL(fn, small) { fn(mapped + 1, mapped + 6000, 100 __VA_ARGS__); } \
	CALL(fn, large) { fn(mapped + 1, mapped + 80001, 70000 __VA_ARGS__); }
COPY_APART(pmem_memcpy_persist)
COPY_APART(pmem_memcpy_nodrain)
COPY_APART(pmem_memcpy, COMMA PMEM_F_MEM_TEMPORAL)
#define SET(fn, ...) \
	CALL(fn, small) { fn(mapped + 1, 3, 100 __VA_ARGS__); } \
	CALL(fn, large) { fn(mapped + 1, 3, 70000 __VA_ARGS__); }
SET(pmem_memset_persist)
SET(pmem_memset_nodrain)
SET(pmem_memset, COMMA PMEM_F_MEM_WC)

CALL(pmem_log_set_threshold, both)
{
	*(void **)&set_threshold = dlsym(RTLD_DEFAULT, "pmem_log_set_threshold");
	set_threshold(0, 3);
	set_threshold(9, 9);
}
CALL(pmem_log_get_threshold, asked)
{
	unsigned level;
	*(void **)&get_threshold = dlsym(RTLD_DEFAULT, "pmem_log_get_threshold");
	get_threshold(0, &level);
}
CALL(pmem_log_set_function, called)
{
	*(void **)&set_function = dlsym(RTLD_DEFAULT, "pmem_log_set_function");
	set_function(count);
	pmem_map_file(path_of("no/file"), 0, 0, 0, NULL, NULL);
	set_function(NULL);
}
/* Every error to stderr, which is the runner's log. */
CALL(pmem_log_set_threshold, stderr)
{
	*(void **)&set_threshold = dlsym(RTLD_DEFAULT, "pmem_log_set_threshold");
	set_threshold(1, 6);
	pmem_map_file(path_of("no/file"), 0, 0, 0, NULL, NULL);
	set_threshold(1, 0);
}

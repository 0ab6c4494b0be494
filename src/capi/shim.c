/*
 * What stable Rust cannot express: exported thread-local data, a variadic
 * function, and jumps. An exported transactional function calls its Rust part,
 * which has returned when this frame, the last one of the library, calls the
 * program back or jumps to the environment of an aborted level.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <wchar.h>

#define EXPORT __attribute__((visibility("default")))
#define LIKELY(x) __builtin_expect(!!(x), 1)

typedef struct {
	uint64_t pool_uuid_lo;
	uint64_t off;
} oid_t;

/* struct _pobj_pcache: programs' inline code reads and writes it */
EXPORT __thread struct {
	void *pop;
	uint64_t uuid_lo;
	int invalidate;
} _pobj_cached_pool;

EXPORT int _pobj_cache_invalidate;

/* struct Thread in thread.rs */
__attribute__((tls_model("initial-exec"), visibility("hidden")))
__thread struct {
	_Alignas(8) char bytes[200];
} pmem_rs_thread;

void *pmem_rs_this_thread(void);

void *
pmem_rs_this_thread(void)
{
	return &pmem_rs_thread;
}

/* what a Rust part that returned left to do: struct Step in tx_step.rs */
__attribute__((tls_model("initial-exec")))
static __thread struct step {
	int pending;
	int stage;
	void (*callback)(void *pop, int stage, void *arg);
	void *pop;
	void *arg;
	const void *env;
	int error;
} step;

struct step *pmem_rs_step(void);

struct step *
pmem_rs_step(void)
{
	return &step;
}

void *pmem_rs_cached_pool(void);
int pmem_rs_tx_begin(void *pop, const void *env);
int pmem_rs_tx_begin_lock(int type, void *lock);
void pmem_rs_tx_begin_callback(void (*callback)(void *, int, void *), void *arg);
int pmem_rs_tx_begin_unknown(int type);
int pmem_rs_tx_xlock(int type, void *lock, uint64_t flags);
int pmem_rs_tx_commit(void);
int pmem_rs_tx_commit_called_back(void);
int pmem_rs_tx_abort(int error);
int pmem_rs_tx_process(void);
int pmem_rs_tx_end(void);
int pmem_rs_tx_add_range(oid_t oid, uint64_t off, size_t size, uint64_t flags);
int pmem_rs_tx_add_range_direct(const void *ptr, size_t size, uint64_t flags);
oid_t pmem_rs_tx_alloc(size_t size, uint64_t type_num, uint64_t flags);
oid_t pmem_rs_tx_realloc(oid_t oid, size_t size, uint64_t type_num, int zero);
oid_t pmem_rs_tx_strdup(const char *s, uint64_t type_num, uint64_t flags);
oid_t pmem_rs_tx_wcsdup(const wchar_t *s, uint64_t type_num, uint64_t flags);
int pmem_rs_tx_free(oid_t oid, uint64_t flags);
int pmem_rs_tx_publish(const void *actv, size_t n, uint64_t flags);
int pmem_rs_tx_log_append_buffer(int type, void *addr, size_t size, uint64_t flags);

void *
pmem_rs_cached_pool(void)
{
	return &_pobj_cached_pool;
}

/*
 * Every Rust part that may leave something to do returns other than 0 (or a
 * null oid) then, and maybe else. Returns what the exported function returns.
 */
static __attribute__((noinline, cold)) int
finish(int result)
{
	/* a callback may start another transaction: keep what comes after it */
	struct step s = step;

	if (!s.pending)
		return result;
	step.pending = 0;
	if (s.callback != NULL)
		s.callback(s.pop, s.stage, s.arg);
	if (s.env != NULL)
		longjmp(*(jmp_buf *)s.env, s.error);
	return s.error;
}

static inline int
int_step(int result)
{
	return LIKELY(result == 0) ? 0 : finish(result);
}

static inline oid_t
oid_step(oid_t result)
{
	if (!LIKELY(result.off != 0))
		finish(0);
	return result;
}

enum { PARAM_NONE, PARAM_MUTEX, PARAM_RWLOCK, PARAM_CB };

EXPORT int
pmemobj_tx_begin(void *pop, jmp_buf env, ...)
{
	va_list ap;

	int error = pmem_rs_tx_begin(pop, env);
	va_start(ap, env);
	for (int type; error == 0 && (type = va_arg(ap, int)) != PARAM_NONE;) {
		if (type == PARAM_CB) {
			void (*callback)(void *, int, void *) =
				va_arg(ap, void (*)(void *, int, void *));
			pmem_rs_tx_begin_callback(callback, va_arg(ap, void *));
		} else if (type == PARAM_MUTEX || type == PARAM_RWLOCK) {
			error = pmem_rs_tx_begin_lock(type, va_arg(ap, void *));
		} else {
			error = pmem_rs_tx_begin_unknown(type);
		}
	}
	va_end(ap);
	return int_step(error);
}

/* what Rust parts return that have called back before they commit */
#define COMMIT 2

/* the callback before the commit, the commit, and the callback after it */
static __attribute__((noinline, cold)) void
commit_with_callback(void)
{
	finish(0);
	if (pmem_rs_tx_commit_called_back())
		finish(0);
}

EXPORT void
pmemobj_tx_commit(void)
{
	if (!LIKELY(pmem_rs_tx_commit() == 0))
		commit_with_callback();
}

EXPORT void
pmemobj_tx_abort(int errnum)
{
	if (pmem_rs_tx_abort(errnum))
		finish(0);
}

EXPORT void
pmemobj_tx_process(void)
{
	int left = pmem_rs_tx_process();

	if (!LIKELY(left == 0)) {
		if (left == COMMIT)
			commit_with_callback();
		else
			finish(0);
	}
}

/* step.pending if pmem_rs_tx_end is to be called again after the callback */
#define END_AGAIN 2

EXPORT int
pmemobj_tx_end(void)
{
	int result = pmem_rs_tx_end();

	if (LIKELY(result == 0))
		return 0;
	if (step.pending == END_AGAIN) {
		finish(0);
		result = pmem_rs_tx_end();
	}
	return int_step(result);
}

#define NO_ABORT (1ULL << 4)
#define ZERO 1ULL

EXPORT int
pmemobj_tx_lock(int type, void *lockp)
{
	return int_step(pmem_rs_tx_xlock(type, lockp, NO_ABORT));
}

EXPORT int
pmemobj_tx_xlock(int type, void *lockp, uint64_t flags)
{
	return int_step(pmem_rs_tx_xlock(type, lockp, flags));
}

EXPORT int
pmemobj_tx_add_range(oid_t oid, uint64_t off, size_t size)
{
	return int_step(pmem_rs_tx_add_range(oid, off, size, 0));
}

EXPORT int
pmemobj_tx_xadd_range(oid_t oid, uint64_t off, size_t size, uint64_t flags)
{
	return int_step(pmem_rs_tx_add_range(oid, off, size, flags));
}

EXPORT int
pmemobj_tx_add_range_direct(const void *ptr, size_t size)
{
	return int_step(pmem_rs_tx_add_range_direct(ptr, size, 0));
}

EXPORT int
pmemobj_tx_xadd_range_direct(const void *ptr, size_t size, uint64_t flags)
{
	return int_step(pmem_rs_tx_add_range_direct(ptr, size, flags));
}

EXPORT oid_t
pmemobj_tx_alloc(size_t size, uint64_t type_num)
{
	return oid_step(pmem_rs_tx_alloc(size, type_num, 0));
}

EXPORT oid_t
pmemobj_tx_zalloc(size_t size, uint64_t type_num)
{
	return oid_step(pmem_rs_tx_alloc(size, type_num, ZERO));
}

EXPORT oid_t
pmemobj_tx_xalloc(size_t size, uint64_t type_num, uint64_t flags)
{
	return oid_step(pmem_rs_tx_alloc(size, type_num, flags));
}

EXPORT oid_t
pmemobj_tx_realloc(oid_t oid, size_t size, uint64_t type_num)
{
	return oid_step(pmem_rs_tx_realloc(oid, size, type_num, 0));
}

EXPORT oid_t
pmemobj_tx_zrealloc(oid_t oid, size_t size, uint64_t type_num)
{
	return oid_step(pmem_rs_tx_realloc(oid, size, type_num, 1));
}

EXPORT oid_t
pmemobj_tx_strdup(const char *str, uint64_t type_num)
{
	return oid_step(pmem_rs_tx_strdup(str, type_num, 0));
}

EXPORT oid_t
pmemobj_tx_xstrdup(const char *str, uint64_t type_num, uint64_t flags)
{
	return oid_step(pmem_rs_tx_strdup(str, type_num, flags));
}

EXPORT oid_t
pmemobj_tx_wcsdup(const wchar_t *str, uint64_t type_num)
{
	return oid_step(pmem_rs_tx_wcsdup(str, type_num, 0));
}

EXPORT oid_t
pmemobj_tx_xwcsdup(const wchar_t *str, uint64_t type_num, uint64_t flags)
{
	return oid_step(pmem_rs_tx_wcsdup(str, type_num, flags));
}

EXPORT int
pmemobj_tx_free(oid_t oid)
{
	return int_step(pmem_rs_tx_free(oid, 0));
}

EXPORT int
pmemobj_tx_xfree(oid_t oid, uint64_t flags)
{
	return int_step(pmem_rs_tx_free(oid, flags));
}

EXPORT int
pmemobj_tx_publish(const void *actv, size_t actvcnt)
{
	return int_step(pmem_rs_tx_publish(actv, actvcnt, 0));
}

EXPORT int
pmemobj_tx_xpublish(const void *actv, size_t actvcnt, uint64_t flags)
{
	return int_step(pmem_rs_tx_publish(actv, actvcnt, flags));
}

EXPORT int
pmemobj_tx_log_append_buffer(int type, void *addr, size_t size)
{
	return int_step(pmem_rs_tx_log_append_buffer(type, addr, size, 0));
}

EXPORT int
pmemobj_tx_xlog_append_buffer(int type, void *addr, size_t size, uint64_t flags)
{
	return int_step(pmem_rs_tx_log_append_buffer(type, addr, size, flags));
}

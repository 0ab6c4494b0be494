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

/* struct Step in tx.rs */
struct step {
	int act;
	int stage;
	void (*callback)(void *pop, int stage, void *arg);
	void *pop;
	void *arg;
	const void *env;
	int error;
};

void *pmem_rs_cached_pool(void);
int pmem_rs_tx_begin(struct step *, void *pop, const void *env);
int pmem_rs_tx_begin_lock(struct step *, int type, void *lock);
void pmem_rs_tx_begin_callback(void (*callback)(void *, int, void *), void *arg);
int pmem_rs_tx_begin_unknown(struct step *, int type);
int pmem_rs_tx_xlock(struct step *, int type, void *lock, uint64_t flags);
void pmem_rs_tx_commit_begin(struct step *);
void pmem_rs_tx_commit(struct step *);
void pmem_rs_tx_abort(struct step *, int error);
int pmem_rs_tx_process(struct step *);
void pmem_rs_tx_end_begin(struct step *);
int pmem_rs_tx_end(struct step *);
int pmem_rs_tx_add_range(struct step *, oid_t oid, uint64_t off, size_t size, uint64_t flags);
int pmem_rs_tx_add_range_direct(struct step *, const void *ptr, size_t size, uint64_t flags);
oid_t pmem_rs_tx_alloc(struct step *, size_t size, uint64_t type_num, uint64_t flags);
oid_t pmem_rs_tx_realloc(struct step *, oid_t oid, size_t size, uint64_t type_num, int zero);
oid_t pmem_rs_tx_strdup(struct step *, const char *s, uint64_t type_num, uint64_t flags);
oid_t pmem_rs_tx_wcsdup(struct step *, const wchar_t *s, uint64_t type_num, uint64_t flags);
int pmem_rs_tx_free(struct step *, oid_t oid, uint64_t flags);
int pmem_rs_tx_publish(struct step *, const void *actv, size_t n, uint64_t flags);
int pmem_rs_tx_log_append_buffer(struct step *, int type, void *addr, size_t size, uint64_t flags);

void *
pmem_rs_cached_pool(void)
{
	return &_pobj_cached_pool;
}

static void
finish(const struct step *s)
{
	/* a callback may start another transaction: keep what comes after it */
	const void *env = s->env;
	int error = s->error;

	if (s->callback != NULL)
		s->callback(s->pop, s->stage, s->arg);
	if (env != NULL) {
		jmp_buf target;
		__builtin_memcpy(&target, env, sizeof(target));
		longjmp(target, error);
	}
}

/* calls a Rust part, then does what it asks for */
#define STEP(type, call)                                                       \
	do {                                                                   \
		struct step s;                                                 \
		s.act = 0;                                                     \
		type result = call;                                            \
		if (!LIKELY(s.act == 0))                                       \
			finish(&s);                                            \
		return result;                                                 \
	} while (0)

enum { PARAM_NONE, PARAM_MUTEX, PARAM_RWLOCK, PARAM_CB };

EXPORT int
pmemobj_tx_begin(void *pop, jmp_buf env, ...)
{
	struct step s;
	va_list ap;

	s.act = 0;
	int error = pmem_rs_tx_begin(&s, pop, env);
	va_start(ap, env);
	for (int type; error == 0 && (type = va_arg(ap, int)) != PARAM_NONE;) {
		if (type == PARAM_CB) {
			void (*callback)(void *, int, void *) =
				va_arg(ap, void (*)(void *, int, void *));
			pmem_rs_tx_begin_callback(callback, va_arg(ap, void *));
		} else if (type == PARAM_MUTEX || type == PARAM_RWLOCK) {
			error = pmem_rs_tx_begin_lock(&s, type, va_arg(ap, void *));
		} else {
			error = pmem_rs_tx_begin_unknown(&s, type);
		}
	}
	va_end(ap);
	if (!LIKELY(s.act == 0))
		finish(&s);
	return error;
}

EXPORT void
pmemobj_tx_commit(void)
{
	struct step s;

	s.act = 0;
	pmem_rs_tx_commit_begin(&s);
	if (!LIKELY(s.act == 0))
		finish(&s);
	s.act = 0;
	pmem_rs_tx_commit(&s);
	if (!LIKELY(s.act == 0))
		finish(&s);
}

EXPORT void
pmemobj_tx_abort(int errnum)
{
	struct step s;

	s.act = 0;
	pmem_rs_tx_abort(&s, errnum);
	if (s.act != 0)
		finish(&s);
}

EXPORT void
pmemobj_tx_process(void)
{
	struct step s;

	s.act = 0;
	if (pmem_rs_tx_process(&s))
		pmemobj_tx_commit();
	else if (!LIKELY(s.act == 0))
		finish(&s);
}

EXPORT int
pmemobj_tx_end(void)
{
	struct step s;

	s.act = 0;
	pmem_rs_tx_end_begin(&s);
	if (!LIKELY(s.act == 0))
		finish(&s);
	STEP(int, pmem_rs_tx_end(&s));
}

#define NO_ABORT (1ULL << 4)
#define ZERO 1ULL

EXPORT int
pmemobj_tx_lock(int type, void *lockp)
{
	STEP(int, pmem_rs_tx_xlock(&s, type, lockp, NO_ABORT));
}

EXPORT int
pmemobj_tx_xlock(int type, void *lockp, uint64_t flags)
{
	STEP(int, pmem_rs_tx_xlock(&s, type, lockp, flags));
}

EXPORT int
pmemobj_tx_add_range(oid_t oid, uint64_t off, size_t size)
{
	STEP(int, pmem_rs_tx_add_range(&s, oid, off, size, 0));
}

EXPORT int
pmemobj_tx_xadd_range(oid_t oid, uint64_t off, size_t size, uint64_t flags)
{
	STEP(int, pmem_rs_tx_add_range(&s, oid, off, size, flags));
}

EXPORT int
pmemobj_tx_add_range_direct(const void *ptr, size_t size)
{
	STEP(int, pmem_rs_tx_add_range_direct(&s, ptr, size, 0));
}

EXPORT int
pmemobj_tx_xadd_range_direct(const void *ptr, size_t size, uint64_t flags)
{
	STEP(int, pmem_rs_tx_add_range_direct(&s, ptr, size, flags));
}

EXPORT oid_t
pmemobj_tx_alloc(size_t size, uint64_t type_num)
{
	STEP(oid_t, pmem_rs_tx_alloc(&s, size, type_num, 0));
}

EXPORT oid_t
pmemobj_tx_zalloc(size_t size, uint64_t type_num)
{
	STEP(oid_t, pmem_rs_tx_alloc(&s, size, type_num, ZERO));
}

EXPORT oid_t
pmemobj_tx_xalloc(size_t size, uint64_t type_num, uint64_t flags)
{
	STEP(oid_t, pmem_rs_tx_alloc(&s, size, type_num, flags));
}

EXPORT oid_t
pmemobj_tx_realloc(oid_t oid, size_t size, uint64_t type_num)
{
	STEP(oid_t, pmem_rs_tx_realloc(&s, oid, size, type_num, 0));
}

EXPORT oid_t
pmemobj_tx_zrealloc(oid_t oid, size_t size, uint64_t type_num)
{
	STEP(oid_t, pmem_rs_tx_realloc(&s, oid, size, type_num, 1));
}

EXPORT oid_t
pmemobj_tx_strdup(const char *str, uint64_t type_num)
{
	STEP(oid_t, pmem_rs_tx_strdup(&s, str, type_num, 0));
}

EXPORT oid_t
pmemobj_tx_xstrdup(const char *str, uint64_t type_num, uint64_t flags)
{
	STEP(oid_t, pmem_rs_tx_strdup(&s, str, type_num, flags));
}

EXPORT oid_t
pmemobj_tx_wcsdup(const wchar_t *str, uint64_t type_num)
{
	STEP(oid_t, pmem_rs_tx_wcsdup(&s, str, type_num, 0));
}

EXPORT oid_t
pmemobj_tx_xwcsdup(const wchar_t *str, uint64_t type_num, uint64_t flags)
{
	STEP(oid_t, pmem_rs_tx_wcsdup(&s, str, type_num, flags));
}

EXPORT int
pmemobj_tx_free(oid_t oid)
{
	STEP(int, pmem_rs_tx_free(&s, oid, 0));
}

EXPORT int
pmemobj_tx_xfree(oid_t oid, uint64_t flags)
{
	STEP(int, pmem_rs_tx_free(&s, oid, flags));
}

EXPORT int
pmemobj_tx_publish(const void *actv, size_t actvcnt)
{
	STEP(int, pmem_rs_tx_publish(&s, actv, actvcnt, 0));
}

EXPORT int
pmemobj_tx_xpublish(const void *actv, size_t actvcnt, uint64_t flags)
{
	STEP(int, pmem_rs_tx_publish(&s, actv, actvcnt, flags));
}

EXPORT int
pmemobj_tx_log_append_buffer(int type, void *addr, size_t size)
{
	STEP(int, pmem_rs_tx_log_append_buffer(&s, type, addr, size, 0));
}

EXPORT int
pmemobj_tx_xlog_append_buffer(int type, void *addr, size_t size, uint64_t flags)
{
	STEP(int, pmem_rs_tx_log_append_buffer(&s, type, addr, size, flags));
}

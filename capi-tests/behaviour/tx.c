/* tx.c -- transactions: stages, nesting, aborts, callbacks, failures. */
#include <libpmemobj.h>
#include <wchar.h>
#include "test.h"

static PMEMobjpool *pop, *other;
static PMEMoid other_oid;

struct root {
	uint64_t value;
	uint64_t more[15];
	PMEMmutex mutex;
	PMEMmutex mutex2;
	PMEMrwlock rwlock;
	PMEMoid oid;
};

static struct root *
root(void)
{
	return pmemobj_direct(pmemobj_root(pop, sizeof(struct root)));
}

static unsigned
objects(void)
{
	unsigned n = 0;
	for (PMEMoid o = pmemobj_first(pop); !OID_IS_NULL(o); o = pmemobj_next(o))
		n++;
	return n;
}

/* --- stages: which call is allowed where ------------------------------- */

enum call {
	BEGIN, ADD_RANGE, ADD_DIRECT, XADD_RANGE, XADD_DIRECT, ALLOC, ZALLOC, XALLOC, REALLOC, ZREALLOC,
	STRDUP, XSTRDUP, WCSDUP, XWCSDUP, FREE, XFREE, LOCK, XLOCK, COMMIT, ABORT, SET_FAILURE, GET_FAILURE,
	PROCESS, END, SET_USER_DATA, GET_USER_DATA, STAGE, ERRNO, CALLS
};

static const char *const call_names[] = {
	"begin", "add_range", "add_range_direct", "xadd_range", "xadd_range_direct", "alloc", "zalloc",
	"xalloc", "realloc", "zrealloc", "strdup", "xstrdup", "wcsdup", "xwcsdup", "free", "xfree", "lock",
	"xlock", "commit", "abort", "set_failure_behavior", "get_failure_behavior", "process", "end",
	"set_user_data", "get_user_data", "stage", "errno",
};

#define IN(stage) (1 << TX_STAGE_##stage)
#define OPEN (IN(WORK) | IN(ONCOMMIT) | IN(ONABORT) | IN(FINALLY))

static int
allowed(enum call call)
{
	switch (call) {
	case BEGIN: return IN(NONE) | IN(WORK);
	case PROCESS: case SET_USER_DATA: case GET_USER_DATA: return OPEN;
	case END: return OPEN & ~IN(WORK);
	case STAGE: case ERRNO: return OPEN | IN(NONE);
	default: return IN(WORK);
	}
}

static void
perform(enum call call)
{
	switch (call) {
	case BEGIN: pmemobj_tx_begin(pop, NULL, TX_PARAM_NONE); break;
	case ADD_RANGE: pmemobj_tx_add_range(pmemobj_root(pop, 0), 0, 8); break;
	case ADD_DIRECT: pmemobj_tx_add_range_direct(root(), 8); break;
	case XADD_RANGE: pmemobj_tx_xadd_range(pmemobj_root(pop, 0), 0, 8, 0); break;
	case XADD_DIRECT: pmemobj_tx_xadd_range_direct(root(), 8, 0); break;
	case ALLOC: pmemobj_tx_alloc(8, 1); break;
	case ZALLOC: pmemobj_tx_zalloc(8, 1); break;
	case XALLOC: pmemobj_tx_xalloc(8, 1, 0); break;
	case REALLOC: pmemobj_tx_realloc(OID_NULL, 8, 1); break;
	case ZREALLOC: pmemobj_tx_zrealloc(OID_NULL, 8, 1); break;
	case STRDUP: pmemobj_tx_strdup("a", 1); break;
	case XSTRDUP: pmemobj_tx_xstrdup("a", 1, 0); break;
	case WCSDUP: pmemobj_tx_wcsdup(L"a", 1); break;
	case XWCSDUP: pmemobj_tx_xwcsdup(L"a", 1, 0); break;
	case FREE: pmemobj_tx_free(OID_NULL); break;
	case XFREE: pmemobj_tx_xfree(OID_NULL, 0); break;
	case LOCK: pmemobj_tx_lock(TX_PARAM_MUTEX, &root()->mutex); break;
	case XLOCK: pmemobj_tx_xlock(TX_PARAM_MUTEX, &root()->mutex, 0); break;
	case COMMIT: pmemobj_tx_commit(); break;
	case ABORT: pmemobj_tx_abort(EIO); break;
	case SET_FAILURE: pmemobj_tx_set_failure_behavior(POBJ_TX_FAILURE_ABORT); break;
	case GET_FAILURE: (void)pmemobj_tx_get_failure_behavior(); break;
	case PROCESS: pmemobj_tx_process(); break;
	case END: (void)pmemobj_tx_end(); break;
	case SET_USER_DATA: pmemobj_tx_set_user_data(NULL); break;
	case GET_USER_DATA: (void)pmemobj_tx_get_user_data(); break;
	case STAGE: (void)pmemobj_tx_stage(); break;
	case ERRNO: (void)pmemobj_tx_errno(); break;
	case CALLS: break;
	}
}

static void
reach(enum pobj_tx_stage stage)
{
	if (stage == TX_STAGE_NONE)
		return;
	pmemobj_tx_begin(pop, NULL, TX_PARAM_NONE);
	if (stage == TX_STAGE_ONABORT)
		pmemobj_tx_abort(EIO);
	else if (stage != TX_STAGE_WORK)
		pmemobj_tx_commit();
	if (stage == TX_STAGE_FINALLY)
		pmemobj_tx_process();
	CHECK(pmemobj_tx_stage() == stage);
}

static void
child_calls(void *arg)
{
	const int *what = arg;
	pop = pmemobj_open(path_of("stages"), NULL);
	if (pop == NULL)
		_exit(98);
	if (what[2])
		(void)!freopen(path_of("stderr"), "w", stderr);
	reach((enum pobj_tx_stage)what[0]);
	perform((enum call)what[1]);
}

static void
stage_table(void)
{
	pop = pmemobj_create(path_of("stages"), NULL, PMEMOBJ_MIN_POOL, 0600);
	NEED(pop != NULL);
	root();
	pmemobj_close(pop);
	for (int stage = 0; stage < MAX_TX_STAGE; stage++)
		for (int call = 0; call < CALLS; call++) {
			int what[] = {stage, call, 1};
			int ended = outcome(child_calls, what);
			int want = (allowed((enum call)call) & (1 << stage)) ? 0 : -SIGABRT;
			if (ended != want)
				FAIL("%s in stage %d ended with %d, not %d", call_names[call], stage, ended, want);
			struct stat st;
			if (stat(path_of("stderr"), &st) == 0 && st.st_size != 0)
				FAIL("%s in stage %d wrote to stderr", call_names[call], stage);
		}
	unlink(path_of("stages"));
	unlink(path_of("stderr"));
	pop = NULL;
}

/* --- begin, process, end -------------------------------------------------- */

static void
walk_by_process(void)
{
	EQ(pmemobj_tx_begin(pop, NULL, TX_PARAM_NONE), 0);
	EQ(pmemobj_tx_stage(), TX_STAGE_WORK);
	EQ(pmemobj_tx_begin(pop, NULL, TX_PARAM_NONE), 0);
	pmemobj_tx_process();
	EQ(pmemobj_tx_stage(), TX_STAGE_ONCOMMIT);
	pmemobj_tx_process();
	EQ(pmemobj_tx_stage(), TX_STAGE_FINALLY);
	pmemobj_tx_process();
	EQ(pmemobj_tx_stage(), TX_STAGE_NONE); /* between process and end of an inner level, too */
	EQ(pmemobj_tx_end(), 0);
	EQ(pmemobj_tx_stage(), TX_STAGE_WORK);
	pmemobj_tx_commit();
	EQ(pmemobj_tx_stage(), TX_STAGE_ONCOMMIT);
	EQ(pmemobj_tx_end(), 0);
	EQ(pmemobj_tx_stage(), TX_STAGE_NONE);
}

static void
commit_and_abort(void)
{
	struct root *r = root();
	volatile int onabort = 0, oncommit = 0, finally = 0;
	r->value = 1;
	TX_BEGIN(pop) {
		EQ(pmemobj_tx_add_range(pmemobj_root(pop, 0), 0, 8), 0);
		r->value = 2;
	} TX_ONCOMMIT {
		oncommit++;
		EQ(r->value, 2);
	} TX_ONABORT {
		onabort++;
	} TX_FINALLY {
		finally++;
	} TX_END
	EQ(oncommit, 1);
	EQ(onabort, 0);
	EQ(finally, 1);
	EQ(r->value, 2);
	EQ(pmemobj_tx_errno(), 0);

	errno = 0;
	TX_BEGIN(pop) {
		TX_ADD_DIRECT(&r->value);
		r->value = 3;
		pmemobj_tx_abort(EDOM);
		FAIL("abort returned");
	} TX_ONCOMMIT {
		oncommit++;
	} TX_ONABORT {
		onabort++;
		EQ(errno, EDOM);
		EQ(pmemobj_tx_errno(), EDOM);
		EQ(r->value, 2);
	} TX_FINALLY {
		finally++;
	} TX_END
	EQ(errno, EDOM);
	EQ(pmemobj_tx_errno(), EDOM);
	EQ(oncommit, 1);
	EQ(onabort, 1);
	EQ(finally, 2);
	STARTS(pmemobj_errormsg(), "explicit transaction abort: ");

	/* 0 becomes ECANCELED, a negative number stays; without an environment abort returns. */
	const int given[] = {0, -5, ENOMEM}, got[] = {ECANCELED, -5, ENOMEM};
	for (int i = 0; i < 3; i++) {
		jmp_buf zero;
		memset(zero, 0, sizeof(zero));
		EQ(pmemobj_tx_begin(pop, i == 1 ? zero : NULL, TX_PARAM_NONE), 0);
		EQ(pmemobj_tx_errno(), 0);
		pmemobj_tx_abort(given[i]);
		EQ(errno, got[i]);
		EQ(pmemobj_tx_stage(), TX_STAGE_ONABORT);
		EQ(pmemobj_tx_end(), got[i]);
		EQ(pmemobj_tx_errno(), got[i]);
	}
}

/* --- nesting ------------------------------------------------------------------ */

static void
waterfall_with_environments(void)
{
	struct root *r = root();
	volatile int inner = 0, outer = 0, after = 0;
	r->value = 10;
	r->more[0] = 10;
	TX_BEGIN(pop) {
		TX_ADD_DIRECT(&r->value);
		r->value = 11;
		TX_BEGIN(pop) {
			TX_ADD_DIRECT(&r->more[0]);
			r->more[0] = 11;
			TX_BEGIN(pop) {
				pmemobj_tx_abort(EXDEV);
			} TX_END
			after++;
		} TX_ONABORT {
			inner++;
			EQ(pmemobj_tx_errno(), EXDEV);
			EQ(r->value, 11); /* undone when the outermost level aborts */
			EQ(r->more[0], 11);
		} TX_FINALLY {
			EQ(r->value, 11);
		} TX_END
		after++;
	} TX_ONABORT {
		outer++;
		EQ(errno, EXDEV);
		EQ(r->value, 10);
		EQ(r->more[0], 10);
	} TX_END
	EQ(inner, 1);
	EQ(outer, 1);
	EQ(after, 0);
	EQ(pmemobj_tx_errno(), EXDEV);
	STARTS(pmemobj_errormsg(), "explicit transaction abort: ");
}

enum { DEPTH = 4 };
static unsigned jumped_to;

/* Every choice of levels with an environment: the abort of the innermost level
 * reaches each level, by a jump where there is an environment. */
static void
level(int depth, unsigned with_env, struct root *r)
{
	jmp_buf env;
	if ((with_env & (1u << depth)) && setjmp(env) != 0) {
		jumped_to |= 1u << depth;
	} else {
		EQ(pmemobj_tx_begin(pop, with_env & (1u << depth) ? env : NULL, TX_PARAM_NONE), 0);
		if (depth == 0) {
			pmemobj_tx_add_range_direct(&r->value, 8);
			r->value = 6;
		}
		if (depth < DEPTH - 1)
			level(depth + 1, with_env, r);
		else
			pmemobj_tx_abort(EPROTO);
	}
	EQ(errno, EPROTO);
	EQ(pmemobj_tx_stage(), TX_STAGE_ONABORT);
	EQ(r->value, depth == 0 ? 5 : 6);
	EQ(pmemobj_tx_end(), EPROTO); /* jumps, if the parent has an environment */
}

static void
waterfall_mixed(void)
{
	struct root *r = root();
	for (unsigned with_env = 0; with_env < 1 << DEPTH; with_env++) {
		r->value = 5;
		jumped_to = 0;
		level(0, with_env, r);
		EQ(jumped_to, with_env);
		EQ(pmemobj_tx_stage(), TX_STAGE_NONE);
		EQ(r->value, 5);
	}
}

static void
wrong_pool(void)
{
	struct root *r = root();
	volatile int aborted = 0;
	r->value = 1;
	TX_BEGIN(pop) {
		TX_ADD_DIRECT(&r->value);
		r->value = 2;
		TX_BEGIN(other) {
			FAIL("a nested transaction on another pool began");
		} TX_END
		FAIL("control stayed in the outer transaction");
	} TX_ONABORT {
		aborted++;
		EQ(pmemobj_tx_errno(), EINVAL);
	} TX_END
	EQ(aborted, 1);
	EQ(r->value, 1);
	STARTS(pmemobj_errormsg(), "nested transaction for different pool");
}

/* --- callbacks ------------------------------------------------------------------ */

static char trace[64];

static void
record(PMEMobjpool *p, enum pobj_tx_stage stage, void *arg)
{
	static const char letters[] = "NWCAF"; /* none, work, oncommit, onabort, finally */
	CHECK(arg == trace);
	CHECK(p == (stage == TX_STAGE_NONE ? NULL : pop));
	CHECK(pmemobj_tx_stage() == stage);
	size_t n = strlen(trace);
	if (n + 2 < sizeof(trace)) {
		trace[n] = letters[stage];
		trace[n + 1] = 0;
	}
	if (stage == TX_STAGE_NONE) { /* a new transaction may start here */
		TX_BEGIN(pop) {
			TX_SET_DIRECT(root(), more[3], 33);
		} TX_END
	}
}

static void
note(const char *text)
{
	strcat(trace, text);
}

static void
callbacks(void)
{
	trace[0] = 0;
	TX_BEGIN_CB(pop, record, trace) {
		note("w");
		TX_BEGIN_CB(pop, record, trace) { /* the same again: fine */
			note("i");
		} TX_ONCOMMIT {
			note("j");
		} TX_END
	} TX_ONCOMMIT {
		note("c");
	} TX_FINALLY {
		note("f");
	} TX_END
	STREQ(trace, "wijWCcFfN");

	trace[0] = 0;
	TX_BEGIN(pop) {
		TX_BEGIN_CB(pop, record, trace) { /* set by an inner level */
			pmemobj_tx_abort(1);
		} TX_ONABORT {
			note("i");
		} TX_END
	} TX_ONABORT {
		note("a");
	} TX_FINALLY {
		note("f");
	} TX_END
	STREQ(trace, "iAaFfN");

	/* end straight from ONCOMMIT passes through FINALLY */
	trace[0] = 0;
	EQ(pmemobj_tx_begin(pop, NULL, TX_PARAM_CB, record, trace, TX_PARAM_NONE), 0);
	pmemobj_tx_commit();
	EQ(pmemobj_tx_end(), 0);
	STREQ(trace, "WCFN");
	trace[0] = 0;
	EQ(pmemobj_tx_begin(pop, NULL, TX_PARAM_CB, record, trace, TX_PARAM_NONE), 0);
	pmemobj_tx_abort(3);
	EQ(pmemobj_tx_end(), 3);
	STREQ(trace, "AFN");
	EQ(root()->more[3], 33);
}

static void
work_in_callback(PMEMobjpool *p, enum pobj_tx_stage stage, void *arg)
{
	(void)p;
	if (stage == TX_STAGE_WORK) {
		TX_SET_DIRECT(root(), more[4], 44);
		if (arg != NULL)
			pmemobj_tx_abort(ENOLINK);
	}
}

static void
callbacks_may_work_and_abort(void)
{
	struct root *r = root();
	r->more[4] = 0;
	TX_BEGIN_CB(pop, work_in_callback, NULL) {
	} TX_END
	EQ(r->more[4], 44);
	r->more[4] = 1;
	volatile int aborted = 0;
	TX_BEGIN_CB(pop, work_in_callback, trace) {
	} TX_ONABORT {
		aborted = pmemobj_tx_errno();
	} TX_END
	EQ(aborted, ENOLINK);
	EQ(r->more[4], 1);
}

static void
begin_in_stage(PMEMobjpool *p, enum pobj_tx_stage stage, void *arg)
{
	if ((void *)(intptr_t)stage == arg)
		pmemobj_tx_begin(p, NULL, TX_PARAM_NONE);
}

static void
child_callback(void *arg)
{
	pop = pmemobj_open(path_of("callback"), NULL);
	if (pop == NULL)
		_exit(98);
	const int *what = arg;
	if (what[0] < 0) { /* a different callback */
		pmemobj_tx_begin(pop, NULL, TX_PARAM_CB, record, trace, TX_PARAM_NONE);
		pmemobj_tx_begin(pop, NULL, TX_PARAM_CB, record, what[0] == -1 ? NULL : trace, TX_PARAM_NONE);
		pmemobj_tx_begin(pop, NULL, TX_PARAM_CB, work_in_callback, trace, TX_PARAM_NONE);
		return;
	}
	pmemobj_tx_begin(pop, NULL, TX_PARAM_CB, begin_in_stage, (void *)(intptr_t)what[0], TX_PARAM_NONE);
	if (what[0] == TX_STAGE_ONABORT)
		pmemobj_tx_abort(1);
	else
		pmemobj_tx_commit();
	(void)pmemobj_tx_end();
}

static void
callbacks_that_abort_the_process(void)
{
	pop = pmemobj_create(path_of("callback"), NULL, PMEMOBJ_MIN_POOL, 0600);
	NEED(pop != NULL);
	root();
	pmemobj_close(pop);
	const int fatal[] = {-1, -2, TX_STAGE_ONCOMMIT, TX_STAGE_ONABORT, TX_STAGE_FINALLY};
	for (int i = 0; i < 5; i++)
		EQ(outcome(child_callback, (void *)&fatal[i]), -SIGABRT);
	unlink(path_of("callback"));
	pop = NULL;
}

static void
user_data(void)
{
	int a, b;
	TX_BEGIN(pop) {
		CHECK(pmemobj_tx_get_user_data() == NULL);
		pmemobj_tx_set_user_data(&a);
		TX_BEGIN(pop) {
			CHECK(pmemobj_tx_get_user_data() == &a);
			pmemobj_tx_set_user_data(&b);
		} TX_END
		CHECK(pmemobj_tx_get_user_data() == &b);
	} TX_ONCOMMIT {
		CHECK(pmemobj_tx_get_user_data() == &b);
	} TX_FINALLY {
		CHECK(pmemobj_tx_get_user_data() == &b);
	} TX_END
	TX_BEGIN(pop) {
		CHECK(pmemobj_tx_get_user_data() == NULL);
	} TX_END
}

/* --- failing calls: section 15.5's table ------------------------------------- */

struct failing {
	const char *name;
	int code;
	const char *message; /* NULL: any */
	int returns_oid;
	int has_flags;
};

/* Calls the n-th failing call with the given extra flags; gives what it
 * returned (for oids: 0 if null), or -1 behind the last. */
static int
fail_call(int n, uint64_t flags, struct failing *f)
{
	PMEMoid r = pmemobj_root(pop, 0);
	struct root *d = root();
	char local[8];
#define CASE(number, err, msg, oid, fl, call) case number: \
	*f = (struct failing){#call, err, msg, oid, fl}; return (int)(call);
#define OIDC(number, err, msg, fl, call) case number: { \
	*f = (struct failing){#call, err, msg, 1, fl}; PMEMoid o_ = call; return !OID_IS_NULL(o_); }
	switch (n) {
	CASE(0, EINVAL, "invalid pool uuid", 0, 0, pmemobj_tx_add_range(OID_NULL, 0, 8))
	CASE(1, EINVAL, "invalid pool uuid", 0, 0, pmemobj_tx_add_range(other_oid, 0, 8))
	CASE(2, EINVAL, "invalid pool uuid", 0, 1, pmemobj_tx_xadd_range(other_oid, 0, 8, flags))
	CASE(3, EINVAL, "object outside of pool", 0, 0, pmemobj_tx_add_range_direct(local, 8))
	CASE(4, EINVAL, "object outside of pool", 0, 1, pmemobj_tx_xadd_range_direct(local, 8, flags))
	CASE(5, EINVAL, "object outside of pool", 0, 0,
		pmemobj_tx_add_range_direct(pmemobj_direct(other_oid), 8))
	CASE(6, EINVAL, "snapshot size too large", 0, 0,
		pmemobj_tx_add_range(r, 0, PMEMOBJ_MAX_ALLOC_SIZE + 1))
	CASE(7, EINVAL, "snapshot size too large", 0, 1,
		pmemobj_tx_xadd_range_direct(d, PMEMOBJ_MAX_ALLOC_SIZE + 1, flags))
	CASE(8, EINVAL, "object outside of heap", 0, 0, pmemobj_tx_add_range(r, 0, (size_t)100 << 20))
	CASE(9, EINVAL, "object outside of heap", 0, 1,
		pmemobj_tx_xadd_range_direct((char *)pop + 4096, 8, flags))
	CASE(10, EINVAL, "unknown flags 0x80", 0, 1, pmemobj_tx_xadd_range(r, 0, 8, 0x80 | flags))
	CASE(11, EINVAL, "unknown flags 0x80", 0, 1, pmemobj_tx_xadd_range_direct(d, 8, 0x80 | flags))
	OIDC(12, EINVAL, "allocation with size 0", 0, pmemobj_tx_alloc(0, 1))
	OIDC(13, EINVAL, "allocation with size 0", 0, pmemobj_tx_zalloc(0, 1))
	OIDC(14, EINVAL, "allocation with size 0", 1, pmemobj_tx_xalloc(0, 1, flags))
	OIDC(15, ENOMEM, "requested size too large", 0, pmemobj_tx_alloc(PMEMOBJ_MAX_ALLOC_SIZE + 1, 1))
	OIDC(16, ENOMEM, "requested size too large", 1,
		pmemobj_tx_xalloc(PMEMOBJ_MAX_ALLOC_SIZE + 1, 1, flags))
	OIDC(17, ENOMEM, "out of memory", 0, pmemobj_tx_alloc((size_t)100 << 20, 1))
	OIDC(18, ENOMEM, "out of memory", 0, pmemobj_tx_zalloc((size_t)100 << 20, 1))
	OIDC(19, ENOMEM, "out of memory", 1, pmemobj_tx_xalloc((size_t)100 << 20, 1, flags))
	OIDC(20, ENOMEM, "out of memory", 1, pmemobj_tx_xalloc(100, 1, POBJ_CLASS_ID(200) | flags))
	OIDC(21, EINVAL, "unknown flags 0x4", 1, pmemobj_tx_xalloc(8, 1, 4 | flags))
	OIDC(22, EINVAL, "cannot duplicate NULL string", 0, pmemobj_tx_strdup(NULL, 1))
	OIDC(23, EINVAL, "cannot duplicate NULL string", 1, pmemobj_tx_xstrdup(NULL, 1, flags))
	OIDC(24, EINVAL, "cannot duplicate NULL string", 0, pmemobj_tx_wcsdup(NULL, 1))
	OIDC(25, EINVAL, "cannot duplicate NULL string", 1, pmemobj_tx_xwcsdup(NULL, 1, flags))
	OIDC(26, EINVAL, "unknown flags 0x4", 1, pmemobj_tx_xstrdup("x", 1, 4 | flags))
	CASE(27, EINVAL, "invalid pool uuid", 0, 0, pmemobj_tx_free(other_oid))
	CASE(28, EINVAL, "invalid pool uuid", 0, 1, pmemobj_tx_xfree(other_oid, flags))
	CASE(29, EINVAL, "unknown flags 0x1", 0, 1, pmemobj_tx_xfree(r, 1 | flags))
	CASE(30, EINVAL, "unknown flags 0x8", 0, 1, pmemobj_tx_xlock(TX_PARAM_MUTEX, &d->mutex, 8 | flags))
	OIDC(31, ENOMEM, NULL, 0, pmemobj_tx_realloc(d->oid, (size_t)100 << 20, 1))
	OIDC(32, ENOMEM, NULL, 0, pmemobj_tx_zrealloc(d->oid, PMEMOBJ_MAX_ALLOC_SIZE + 1, 1))
	}
	return -1;
}

/* The plain way: the transaction aborts with the call's error. */
static int
failing_aborts(int n, uint64_t flags, enum pobj_tx_failure_behavior behavior, int should_abort)
{
	struct root *r = root();
	static struct failing f;
	static int known, got;
	volatile int aborted = 0, committed = 0;
	known = 1;
	f.name = "begin";
	r->value = 1;
	TX_BEGIN(pop) {
		pmemobj_tx_set_failure_behavior(behavior);
		TX_ADD_DIRECT(&r->value);
		r->value = 2;
		errno = 0;
		got = fail_call(n, flags, &f);
		known = got != -1;
		if (known && should_abort > 0 && f.has_flags >= 0)
			FAIL("%s returned %d", f.name, got);
		if (known && !should_abort) {
			if (got != (f.returns_oid ? 0 : f.code) || errno != f.code)
				FAIL("%s returned %d, errno %d; not %d", f.name, got, errno, f.code);
			EQ(pmemobj_tx_stage(), TX_STAGE_WORK);
		}
	} TX_ONCOMMIT {
		committed++;
	} TX_ONABORT {
		aborted++;
		if (pmemobj_tx_errno() != f.code || errno != f.code)
			FAIL("%s: tx_errno %d, errno %d; not %d", f.name, pmemobj_tx_errno(), errno, f.code);
	} TX_END
	if (!known)
		return 0;
	if (should_abort ? !aborted : !committed)
		FAIL("%s: aborted %d, committed %d", f.name, aborted, committed);
	EQ(r->value, aborted ? 1 : 2);
	if (f.message && strncmp(pmemobj_errormsg(), f.message, strlen(f.message)) != 0)
		FAIL("%s: message \"%s\", not \"%s\"", f.name, pmemobj_errormsg(), f.message);
	return 1;
}

/* Which of the calls takes flags at all; ask by a dry run that returns. */
static int
takes_flags(int n)
{
	static struct failing f;
	TX_BEGIN(pop) {
		pmemobj_tx_set_failure_behavior(POBJ_TX_FAILURE_RETURN);
		(void)fail_call(n, 0, &f);
	} TX_END
	return f.has_flags;
}

static void
failures_abort(void)
{
	EQ(pmemobj_zalloc(pop, &root()->oid, 100, 1), 0);
	unsigned before = objects();
	int n = 0;
	while (failing_aborts(n, 0, POBJ_TX_FAILURE_ABORT, 1))
		n++;
	EQ(n, 33);
	EQ(objects(), before);
}

static void
failures_return(void)
{
	unsigned before = objects();
	for (int n = 0; n < 31; n++)
		failing_aborts(n, 0, POBJ_TX_FAILURE_RETURN, 0);
	/* The reference's reallocations abort all the same. */
	for (int n = 31; n < 33; n++)
		failing_aborts(n, 0, POBJ_TX_FAILURE_RETURN, is_pmdk());
	EQ(objects(), before);
}

static void
failures_with_no_abort(void)
{
	unsigned before = objects();
	for (int n = 0; n < 31; n++)
		if (takes_flags(n))
			failing_aborts(n, POBJ_FLAG_TX_NO_ABORT, POBJ_TX_FAILURE_ABORT, 0);
	EQ(objects(), before);
}

static void
failure_behavior_is_inherited(void)
{
	TX_BEGIN(pop) {
		EQ(pmemobj_tx_get_failure_behavior(), POBJ_TX_FAILURE_ABORT);
		pmemobj_tx_set_failure_behavior(POBJ_TX_FAILURE_RETURN);
		TX_BEGIN(pop) {
			EQ(pmemobj_tx_get_failure_behavior(), POBJ_TX_FAILURE_RETURN);
			pmemobj_tx_set_failure_behavior(POBJ_TX_FAILURE_ABORT);
		} TX_END
		EQ(pmemobj_tx_get_failure_behavior(), POBJ_TX_FAILURE_RETURN);
	} TX_END
	TX_BEGIN(pop) {
		EQ(pmemobj_tx_get_failure_behavior(), POBJ_TX_FAILURE_ABORT);
	} TX_END
}

/* Without an environment a failing call returns with the stage ONABORT. */
static void
failures_without_environment(void)
{
	EQ(pmemobj_tx_begin(pop, NULL, TX_PARAM_NONE), 0);
	CHECK(OID_IS_NULL(pmemobj_tx_alloc(0, 1)));
	EQ(errno, EINVAL);
	EQ(pmemobj_tx_stage(), TX_STAGE_ONABORT);
	EQ(pmemobj_tx_end(), EINVAL);
	EQ(pmemobj_tx_begin(pop, NULL, TX_PARAM_NONE), 0);
	EQ(pmemobj_tx_add_range(OID_NULL, 0, 1), EINVAL);
	EQ(pmemobj_tx_stage(), TX_STAGE_ONABORT);
	EQ(pmemobj_tx_end(), EINVAL);
}

/* --- locks ---------------------------------------------------------------------- */

static void
locks(void)
{
	struct root *r = root();
	pmemobj_mutex_zero(pop, &r->mutex);
	pmemobj_mutex_zero(pop, &r->mutex2);
	pmemobj_rwlock_zero(pop, &r->rwlock);
	TX_BEGIN_PARAM(pop, TX_PARAM_MUTEX, &r->mutex, TX_PARAM_RWLOCK, &r->rwlock, TX_PARAM_NONE) {
		EQ(pmemobj_mutex_trylock(pop, &r->mutex), EBUSY);
		EQ(pmemobj_rwlock_tryrdlock(pop, &r->rwlock), EBUSY);
		TX_BEGIN_PARAM(pop, TX_PARAM_MUTEX, &r->mutex, TX_PARAM_NONE) { /* again: skipped */
			EQ(pmemobj_tx_lock(TX_PARAM_MUTEX, &r->mutex2), 0);
			EQ(pmemobj_tx_xlock(TX_PARAM_MUTEX, &r->mutex2, 0), 0);
		} TX_END
		EQ(pmemobj_mutex_trylock(pop, &r->mutex2), EBUSY); /* held to the outermost end */
		/* Restoring a range leaves the held locks in it alone. */
		TX_ADD_DIRECT(r);
		r->value++;
		pmemobj_tx_abort(EIO);
	} TX_ONABORT {
		EQ(pmemobj_mutex_trylock(pop, &r->mutex), EBUSY);
	} TX_FINALLY {
		EQ(pmemobj_mutex_trylock(pop, &r->mutex), EBUSY);
		EQ(pmemobj_mutex_trylock(pop, &r->mutex2), EBUSY);
	} TX_END
	EQ(pmemobj_mutex_trylock(pop, &r->mutex), 0);
	EQ(pmemobj_mutex_unlock(pop, &r->mutex), 0);
	EQ(pmemobj_mutex_trylock(pop, &r->mutex2), 0);
	EQ(pmemobj_mutex_unlock(pop, &r->mutex2), 0);
	EQ(pmemobj_rwlock_trywrlock(pop, &r->rwlock), 0);

	/* The writer asks again: tx_lock reports it, begin aborts with it. */
	TX_BEGIN(pop) {
		EQ(pmemobj_tx_lock(TX_PARAM_RWLOCK, &r->rwlock), EDEADLK);
		EQ(pmemobj_tx_xlock(TX_PARAM_RWLOCK, &r->rwlock, POBJ_XLOCK_NO_ABORT), EDEADLK);
		EQ(pmemobj_tx_stage(), TX_STAGE_WORK);
	} TX_END
	EQ(pmemobj_tx_begin(pop, NULL, TX_PARAM_RWLOCK, &r->rwlock, TX_PARAM_NONE), EDEADLK);
	EQ(pmemobj_tx_stage(), TX_STAGE_ONABORT);
	EQ(pmemobj_tx_end(), EDEADLK);
	STARTS(pmemobj_errormsg(), "pmemobj_rwlock_wrlock: ");
	volatile int aborted = 0;
	TX_BEGIN(pop) {
		(void)pmemobj_tx_xlock(TX_PARAM_RWLOCK, &r->rwlock, 0);
	} TX_ONABORT {
		aborted = pmemobj_tx_errno();
	} TX_END
	EQ(aborted, EDEADLK);
	EQ(pmemobj_rwlock_unlock(pop, &r->rwlock), 0);
}

/* --- objects in transactions -------------------------------------------------- */

static void
objects_appear_at_commit(void)
{
	unsigned before = objects();
	static PMEMoid oid, huge, zeroed;
	for (int commit = 0; commit < 2; commit++) {
		TX_BEGIN(pop) {
			oid = pmemobj_tx_alloc(100, 12);
			EQ(pmemobj_type_num(oid), 12);
			EQ(pmemobj_alloc_usable_size(oid), 112);
			memset(pmemobj_direct(oid), 0x77, 112);
			huge = pmemobj_tx_xalloc(3 << 20, 13, POBJ_XALLOC_ZERO);
			zeroed = pmemobj_tx_zalloc(1000, 14);
			char *z = pmemobj_direct(zeroed);
			for (size_t i = 0; i < pmemobj_alloc_usable_size(zeroed); i++)
				CHECK(z[i] == 0);
			PMEMoid text = pmemobj_tx_strdup("text", 15);
			STREQ((char *)pmemobj_direct(text), "text");
			EQ(((char *)pmemobj_direct(pmemobj_tx_strdup("", 15)))[0], 0);
			EQ(wcscmp(pmemobj_direct(pmemobj_tx_wcsdup(L"wide", 15)), L"wide"), 0);
			if (!commit)
				pmemobj_tx_abort(ECANCELED);
		} TX_END
		EQ(objects(), before + (commit ? 6 : 0));
	}
	TX_BEGIN(pop) {
		EQ(pmemobj_tx_free(oid), 0);
		EQ(pmemobj_tx_free(huge), 0);
		EQ(((char *)pmemobj_direct(oid))[5], 0x77); /* intact until commit */
		PMEMoid o = pmemobj_tx_alloc(100, 1);
		CHECK(o.off != oid.off);
		pmemobj_tx_abort(ECANCELED);
	} TX_END
	EQ(objects(), before + 6);
	EQ(((char *)pmemobj_direct(oid))[5], 0x77);
	for (PMEMoid o = pmemobj_first(pop), next; !OID_IS_NULL(o); o = next) {
		next = pmemobj_next(o);
		if (pmemobj_type_num(o) >= 12 && pmemobj_type_num(o) <= 15)
			TX_BEGIN(pop) {
				pmemobj_tx_free(o);
			} TX_END
	}
	EQ(objects(), before);
}

/* Freeing what the same transaction allocated cancels the allocation. */
static void
alloc_then_free(void)
{
	unsigned before = objects();
	for (int commit = 0; commit < 2; commit++) {
		TX_BEGIN(pop) {
			for (size_t size = 60; size < 4000000; size *= 5) {
				PMEMoid a = pmemobj_tx_zalloc(size, 1), b = pmemobj_tx_zalloc(size, 1);
				memset(pmemobj_direct(a), 1, size);
				memset(pmemobj_direct(b), 2, size);
				EQ(pmemobj_tx_free(a), 0);
				PMEMoid c = pmemobj_tx_zalloc(size, 1);
				memset(pmemobj_direct(c), 3, size);
				EQ(((char *)pmemobj_direct(b))[size - 1], 2);
				EQ(pmemobj_tx_free(c), 0);
				EQ(pmemobj_tx_free(b), 0);
			}
			if (!commit)
				pmemobj_tx_abort(ECANCELED);
		} TX_END
		EQ(objects(), before);
	}
	/* Many times over: nothing is used up. */
	for (int i = 0; i < 200; i++)
		TX_BEGIN(pop) {
			pmemobj_tx_free(pmemobj_tx_alloc(2 << 20, 1));
			pmemobj_tx_free(pmemobj_tx_alloc(100, 1));
		} TX_ONABORT {
			FAIL("round %d: %s", i, pmemobj_errormsg());
		} TX_END
}

static void
reallocations(void)
{
	struct root *r = root();
	unsigned before = objects();
	static PMEMoid a, b;
	TX_BEGIN(pop) {
		a = pmemobj_tx_realloc(OID_NULL, 100, 20);
		EQ(pmemobj_type_num(a), 20);
		memset(pmemobj_direct(a), 0x33, 112);
		b = pmemobj_tx_realloc(a, 112, 21); /* equal size: moves all the same */
		CHECK(!OID_EQUALS(a, b));
		EQ(pmemobj_type_num(b), 21);
		EQ(((char *)pmemobj_direct(b))[111], 0x33);
		a = pmemobj_tx_zrealloc(b, 1000, 22);
		char *p = pmemobj_direct(a);
		EQ(p[111], 0x33);
		for (size_t i = 112; i < pmemobj_alloc_usable_size(a); i++)
			CHECK(p[i] == 0);
	} TX_ONABORT {
		FAIL("%s", pmemobj_errormsg());
	} TX_END
	EQ(objects(), before + 1);
	TX_BEGIN(pop) {
		b = pmemobj_tx_realloc(a, 3 << 20, 23);
		EQ(((char *)pmemobj_direct(b))[111], 0x33);
		pmemobj_tx_abort(ECANCELED);
	} TX_END
	EQ(objects(), before + 1);
	EQ(pmemobj_type_num(a), 22);
	TX_BEGIN(pop) {
		CHECK(OID_IS_NULL(pmemobj_tx_realloc(a, 0, 23)));
	} TX_END
	EQ(objects(), before);
	(void)r;
}

static void
actions(void)
{
	struct root *r = root();
	unsigned before = objects();
	for (int commit = 0; commit < 2; commit++) {
		r->value = 1;
		struct pobj_action act[3];
		PMEMoid oid = pmemobj_reserve(pop, &act[0], 100, 30);
		NEED(!OID_IS_NULL(oid));
		CHECK(act[0].heap.offset == oid.off);
		EQ(act[0].heap.usable_size, 112);
		PMEMoid huge = pmemobj_reserve(pop, &act[1], 1 << 20, 30);
		NEED(!OID_IS_NULL(huge));
		pmemobj_set_value(pop, &act[2], &r->value, 2);
		EQ(objects(), before);
		TX_BEGIN(pop) {
			EQ(pmemobj_tx_publish(act, 3), 0);
			memset(act, 0xFF, sizeof(act)); /* the array may go */
			EQ(objects(), before);
			if (!commit)
				pmemobj_tx_abort(ECANCELED);
		} TX_END
		EQ(objects(), before + (commit ? 2 : 0));
		EQ(r->value, commit ? 2 : 1);
		if (commit) {
			pmemobj_free(&oid);
			pmemobj_free(&huge);
		}
	}
	if (!is_pmdk()) { /* PMDK would publish and free it, in an order of its own */
		struct pobj_action act[1];
		PMEMoid oid = pmemobj_reserve(pop, &act[0], 1 << 20, 30);
		TX_BEGIN(pop) {
			EQ(pmemobj_tx_publish(act, 1), 0);
			EQ(pmemobj_tx_free(oid), 0);
		} TX_END
		EQ(objects(), before);
	}
	TX_BEGIN(pop) {
		EQ(pmemobj_tx_xpublish(NULL, 0, 0), 0);
		EQ(pmemobj_tx_xpublish(NULL, 0, POBJ_XPUBLISH_NO_ABORT), 0);
		EQ(pmemobj_tx_xpublish(NULL, 0, POBJ_XPUBLISH_NO_ABORT | 1), EINVAL);
	} TX_ONABORT {
		FAIL("%s", pmemobj_errormsg());
	} TX_END
	EQ(objects(), before);
}

/* TX_* macros, as programs use them. */
TOID_DECLARE(struct node, 9);
struct node {
	uint64_t key;
	char text[40];
	TOID(struct node) next;
};

/* Room in the redo log that the transaction's commit counts on stays its own. */
static void
atomic_calls_in_a_large_transaction(void)
{
	struct root *r = root();
	unsigned before = objects();
	enum { N = 200 };
	static struct pobj_action act[N];
	PMEMoid words;
	NEED(pmemobj_zalloc(pop, &words, N * 8, 31) == 0);
	uint64_t *word = pmemobj_direct(words);
	TX_BEGIN(pop) {
		for (unsigned i = 0; i < N; i++)
			pmemobj_set_value(pop, &act[i], &word[i], i + 1);
		EQ(pmemobj_tx_publish(act, N), 0);
		EQ(pmemobj_alloc(pop, &r->oid, 100, 32, NULL, NULL), 0);
		EQ(pmemobj_realloc(pop, &r->oid, 1000, 32), 0);
		pmemobj_free(&r->oid);
	} TX_ONABORT {
		FAIL("%s", pmemobj_errormsg());
	} TX_END
	for (unsigned i = 0; i < N; i++)
		EQ(word[i], i + 1);
	pmemobj_free(&words);
	EQ(objects(), before);
}

/* Publishing the same free twice gives the chunks back once. */
static void
huge_block_freed_twice(void)
{
	if (is_pmdk())
		return; /* it aborts */
	PMEMoid a, b, c;
	NEED(pmemobj_alloc(pop, &a, 3 << 20, 33, NULL, NULL) == 0);
	struct pobj_action act[2];
	pmemobj_defer_free(pop, a, &act[0]);
	pmemobj_defer_free(pop, a, &act[1]);
	EQ(pmemobj_publish(pop, act, 2), 0);
	NEED(pmemobj_alloc(pop, &b, 3 << 20, 33, NULL, NULL) == 0);
	NEED(pmemobj_alloc(pop, &c, 3 << 20, 33, NULL, NULL) == 0);
	CHECK(b.off != c.off);
	TX_BEGIN(pop) {
		pmemobj_tx_free(b);
		pmemobj_tx_free(b);
	} TX_END
	NEED(pmemobj_alloc(pop, &b, 3 << 20, 33, NULL, NULL) == 0);
	NEED(pmemobj_alloc(pop, &a, 3 << 20, 33, NULL, NULL) == 0);
	CHECK(a.off != b.off && a.off != c.off && b.off != c.off);
	pmemobj_free(&a);
	pmemobj_free(&b);
	pmemobj_free(&c);
}

static void
macros(void)
{
	static TOID(struct node) node;
	TX_BEGIN(pop) {
		node = TX_ZNEW(struct node);
		D_RW(node)->key = 1;
		TX_MEMCPY(D_RW(node)->text, "hello", 6);
	} TX_END
	CHECK(TOID_VALID(node));
	TX_BEGIN(pop) {
		TX_ADD_FIELD(node, key);
		D_RW(node)->key = 2;
		TX_SET(node, next, node);
		TX_MEMSET(D_RW(node)->text, 'x', 5);
		pmemobj_tx_abort(-1);
	} TX_END
	EQ(D_RO(node)->key, 1);
	CHECK(TOID_IS_NULL(D_RO(node)->next));
	STREQ(D_RO(node)->text, "hello");
	TX_BEGIN(pop) {
		TX_ADD(node);
		D_RW(node)->key = 3;
		TX_FREE(node);
	} TX_END
}

int
main(void)
{
	RUN(stage_table);
	RUN(callbacks_that_abort_the_process);
	pop = pmemobj_create(path_of("tx"), "tx", 32 << 20, 0600);
	other = pmemobj_create(path_of("other"), "tx", 8 << 20, 0600);
	if (pop == NULL || other == NULL) {
		printf("not ok - create: %s\n", pmemobj_errormsg());
		return 1;
	}
	pmemobj_alloc(other, &other_oid, 100, 1, NULL, NULL);
	RUN(walk_by_process);
	RUN(commit_and_abort);
	RUN(waterfall_with_environments);
	RUN(waterfall_mixed);
	RUN(wrong_pool);
	RUN(callbacks);
	RUN(callbacks_may_work_and_abort);
	RUN(user_data);
	RUN(failures_abort);
	RUN(failures_return);
	RUN(failures_with_no_abort);
	RUN(failure_behavior_is_inherited);
	RUN(failures_without_environment);
	RUN(locks);
	RUN(objects_appear_at_commit);
	RUN(alloc_then_free);
	RUN(reallocations);
	RUN(actions);
	RUN(atomic_calls_in_a_large_transaction);
	RUN(huge_block_freed_twice);
	RUN(macros);
	pmemobj_close(pop);
	pmemobj_close(other);
	case_failures = 0;
	EQ(pmemobj_check(path_of("tx"), "tx"), 1);
	DONE();
}

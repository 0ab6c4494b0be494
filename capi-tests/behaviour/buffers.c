/* buffers.c -- log space that a transaction borrows from the program. */
#define _GNU_SOURCE
#include <libpmemobj.h>
#include "test.h"

#define POOL_SIZE ((size_t)32 << 20)
#define BUFFER 20000

static PMEMobjpool *pop, *other;

struct root {
	PMEMoid undo, redo, big;
	PMEMoid oids[2000];
};

static struct root *r;

static void *
aligned(PMEMoid oid)
{
	return (void *)(((uintptr_t)pmemobj_direct(oid) + 63) & ~(uintptr_t)63);
}

static void
max_sizes(void)
{
	size_t sizes[] = {100, 40, 41};
	EQ(pmemobj_tx_log_snapshots_max_size(NULL, 0), 64);
	EQ(pmemobj_tx_log_snapshots_max_size(sizes + 1, 1), 128);
	EQ(pmemobj_tx_log_snapshots_max_size(sizes + 2, 1), 192);
	EQ(pmemobj_tx_log_snapshots_max_size(sizes, 3), 384);
	static const size_t intents[] = {64, 128, 128, 128, 128, 192};
	for (size_t i = 0; i < 6; i++)
		EQ(pmemobj_tx_log_intents_max_size(i), intents[i]);
	size_t huge[] = {SIZE_MAX / 2, SIZE_MAX / 2, SIZE_MAX / 2}, most[] = {SIZE_MAX};
	errno = 0;
	CHECK(pmemobj_tx_log_snapshots_max_size(huge, 3) == SIZE_MAX);
	EQ(errno, ERANGE);
	errno = 0;
	CHECK(pmemobj_tx_log_snapshots_max_size(most, 1) == SIZE_MAX);
	EQ(errno, ERANGE);
	errno = 0;
	CHECK(pmemobj_tx_log_intents_max_size(SIZE_MAX / 8) == SIZE_MAX);
	EQ(errno, ERANGE);
	size_t full = PMEMOBJ_MAX_ALLOC_SIZE;
	EQ(pmemobj_tx_log_snapshots_max_size(&full, 1), 64 + ((full + 24 + 63) & ~63UL) + 88);
}

/* Appends under POBJ_TX_FAILURE_RETURN: what comes back. */
static int
append(int type, void *addr, size_t size)
{
	int e = 0;
	TX_BEGIN(pop) {
		e = pmemobj_tx_xlog_append_buffer((enum pobj_log_type)type, addr, size,
				POBJ_XLOG_APPEND_BUFFER_NO_ABORT);
	} TX_ONABORT {
		FAIL("aborted");
	} TX_END
	return e;
}

static void
errors(void)
{
	char *a = aligned(r->undo);
	for (int type = 0; type < 2; type++) {
		EQ(append(type, a, 127), EINVAL);
		STARTS(pmemobj_errormsg(), "Capacity insufficient");
		EQ(append(type, a + 1, 128), EINVAL);
		EQ(append(type, a, 0), EINVAL);
		EQ(append(type, a, 128), 0);
		EQ(append(type, a + 1, 191), 0);
		EQ(append(type, pmemobj_direct(pmemobj_root(other, 5000)), 4000), EINVAL);
		STARTS(pmemobj_errormsg(), "Buffer from a different pool");
	}
	volatile int aborted = 0;
	TX_BEGIN(pop) {
		pmemobj_tx_log_append_buffer(TX_LOG_TYPE_SNAPSHOT, a, 1);
		FAIL("went on");
	} TX_ONABORT {
		aborted = 1;
	} TX_END
	EQ(aborted, 1);
	EQ(pmemobj_tx_errno(), EINVAL);
	TX_BEGIN(pop) {
		errno = 0;
		EQ(pmemobj_tx_xlog_append_buffer(TX_LOG_TYPE_SNAPSHOT, a, 4000, 8 | POBJ_XLOG_APPEND_BUFFER_NO_ABORT), EINVAL);
		STARTS(pmemobj_errormsg(), "unknown flags 0x8");
	} TX_END
	if (!is_pmdk()) { /* it loops for ever */
		TX_BEGIN(pop) {
			EQ(pmemobj_tx_log_append_buffer(TX_LOG_TYPE_SNAPSHOT, a, 4000), 0);
			EQ(pmemobj_tx_xlog_append_buffer(TX_LOG_TYPE_INTENT, a + 2000, 4000,
				POBJ_XLOG_APPEND_BUFFER_NO_ABORT), EINVAL);
			STARTS(pmemobj_errormsg(), "Buffer currently used");
		} TX_END
		EQ(append(1, a + 2000, 4000), 0);
	}
}

/* With extension forbidden the log has room for what the buffer promises. */
static void
snapshots(void)
{
	char *big = pmemobj_direct(r->big), *a = aligned(r->undo);
	for (int round = 0; round < 3; round++) { /* buffers can be used again */
		size_t sizes[10], need;
		for (int i = 0; i < 10; i++)
			sizes[i] = 1000 + 77 * (size_t)i;
		need = pmemobj_tx_log_snapshots_max_size(sizes, 10);
		memset(big, 'a', 20000);
		TX_BEGIN(pop) {
			pmemobj_tx_log_auto_alloc(TX_LOG_TYPE_SNAPSHOT, 0);
			pmemobj_tx_log_append_buffer(TX_LOG_TYPE_SNAPSHOT, a, need);
			for (int i = 0; i < 10; i++) {
				pmemobj_tx_add_range(r->big, 2000 * (uint64_t)i, sizes[i]);
				memset(big + 2000 * i, 'b', sizes[i]);
			}
			if (round == 1)
				pmemobj_tx_abort(ECANCELED);
		} TX_ONABORT {
			EQ(round, 1);
		} TX_END
		for (int i = 0; i < 10; i++)
			EQ(big[2000 * i + 999], round == 1 ? 'a' : 'b');
	}
	errno = 0;
	TX_BEGIN(pop) { /* and no more than that */
		pmemobj_tx_log_auto_alloc(TX_LOG_TYPE_SNAPSHOT, 0);
		EQ(pmemobj_tx_xadd_range(r->big, 0, 20000, POBJ_XADD_NO_ABORT), ENOMEM);
	} TX_ONABORT {
		FAIL("aborted");
	} TX_END
	TX_BEGIN(pop) { /* on again */
		EQ(pmemobj_tx_xadd_range(r->big, 0, 20000, POBJ_XADD_NO_ABORT), 0);
	} TX_END
	/* several buffers, then an extension behind them */
	memset(big, 'x', 100000);
	TX_BEGIN(pop) {
		pmemobj_tx_log_append_buffer(TX_LOG_TYPE_SNAPSHOT, a, 4000);
		pmemobj_tx_add_range(r->big, 0, 3000);
		pmemobj_tx_log_append_buffer(TX_LOG_TYPE_SNAPSHOT, a + 4096, 4000);
		pmemobj_tx_add_range(r->big, 0, 100000);
		memset(big, 'y', 100000);
		pmemobj_tx_abort(1);
	} TX_END
	for (int i = 0; i < 100000; i++)
		if (big[i] != 'x') {
			FAIL("byte %d is %c", i, big[i]);
			break;
		}
}

static void
intents(void)
{
	char *a = aligned(r->redo);
	int n = 900;
	for (int round = 0; round < 3; round++) {
		TX_BEGIN(pop) {
			pmemobj_tx_log_auto_alloc(TX_LOG_TYPE_INTENT, 0);
			pmemobj_tx_log_append_buffer(TX_LOG_TYPE_INTENT, a, pmemobj_tx_log_intents_max_size((size_t)n));
			for (int i = 0; i < n - 1; i++) {
				struct pobj_action act; /* words that cannot be merged */
				pmemobj_set_value(pop, &act, &r->oids[i].off, (uint64_t)(i + round));
				pmemobj_tx_publish(&act, 1);
			}
			if (round == 1)
				pmemobj_tx_abort(ECANCELED);
		} TX_ONABORT {
			if (round != 1)
				FAIL("aborted: %s", pmemobj_errormsg());
		} TX_END
		for (int i = 0; i < n - 1; i++)
			EQ(r->oids[i].off, i + (round == 1 ? 0 : round));
	}
	TX_BEGIN(pop) {
		pmemobj_tx_log_auto_alloc(TX_LOG_TYPE_INTENT, 0);
		int e = 0;
		for (int i = 0; i < 200 && e == 0; i++) {
			struct pobj_action act;
			pmemobj_set_value(pop, &act, &r->oids[i].off, 1);
			e = pmemobj_tx_xpublish(&act, 1, POBJ_XPUBLISH_NO_ABORT);
		}
		EQ(e, ENOMEM);
	} TX_END
	memset(r->oids, 0, sizeof(r->oids));
}

/* A crash while buffers are linked: the data is restored, and the buffers are
 * the program's objects as before. */
static void
die_with_buffers(void *arg)
{
	(void)arg;
	char *big = pmemobj_direct(r->big);
	TX_BEGIN(pop) {
		pmemobj_tx_log_append_buffer(TX_LOG_TYPE_SNAPSHOT, aligned(r->undo), 8000);
		pmemobj_tx_log_append_buffer(TX_LOG_TYPE_SNAPSHOT, (char *)aligned(r->undo) + 8064, 4000);
		pmemobj_tx_log_append_buffer(TX_LOG_TYPE_INTENT, aligned(r->redo), 8000);
		pmemobj_tx_add_range(r->big, 0, 60000); /* also an extension */
		memset(big, '!', 60000);
		_exit(0);
	} TX_END
}

static void
crash(void)
{
	memset(pmemobj_direct(r->big), '.', 60000);
	pmemobj_persist(pop, pmemobj_direct(r->big), 60000);
	pmemobj_close(other);
	pmemobj_close(pop);
	pid_t pid = fork();
	if (pid == 0) {
		pop = pmemobj_open(path_of("buffers"), NULL);
		r = pmemobj_direct(pmemobj_root(pop, sizeof(*r)));
		die_with_buffers(NULL);
		_exit(1);
	}
	int status;
	NEED(waitpid(pid, &status, 0) == pid && status == 0);
	NEED((pop = pmemobj_open(path_of("buffers"), NULL)) != NULL);
	NEED((other = pmemobj_open(path_of("other"), NULL)) != NULL);
	r = pmemobj_direct(pmemobj_root(pop, sizeof(*r)));
	char *big = pmemobj_direct(r->big);
	for (int i = 0; i < 60000; i++)
		if (big[i] != '.') {
			FAIL("byte %d is %c", i, big[i]);
			break;
		}
	if (is_pmdk())
		return; /* it has freed the program's objects */
	int n = 0;
	for (PMEMoid o = pmemobj_first(pop); !OID_IS_NULL(o); o = pmemobj_next(o))
		n += OID_EQUALS(o, r->undo) || OID_EQUALS(o, r->redo) || OID_EQUALS(o, r->big);
	EQ(n, 3);
	EQ(pmemobj_type_num(r->undo), 77);
	snapshots();
	intents();
}

int
main(void)
{
	pop = pmemobj_create(path_of("buffers"), NULL, POOL_SIZE, 0600);
	other = pmemobj_create(path_of("other"), NULL, 8 << 20, 0600);
	if (pop == NULL || other == NULL)
		return 2;
	r = pmemobj_direct(pmemobj_root(pop, sizeof(*r)));
	if (pmemobj_alloc(pop, &r->undo, BUFFER, 77, NULL, NULL) ||
	    pmemobj_alloc(pop, &r->redo, BUFFER, 77, NULL, NULL) ||
	    pmemobj_alloc(pop, &r->big, 200000, 1, NULL, NULL))
		return 2;
	RUN(max_sizes);
	RUN(errors);
	RUN(snapshots);
	RUN(intents);
	RUN(crash);
	pmemobj_close(pop);
	pmemobj_close(other);
	if (!is_pmdk())
		EQ(pmemobj_check(path_of("buffers"), NULL), 1);
	DONE();
}

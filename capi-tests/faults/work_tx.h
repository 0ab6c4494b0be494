/* work_tx.h -- transactions of all kinds, a part of work.h. */
#ifndef WORK_TX_H
#define WORK_TX_H

/* Sets a part of the root's data, behind a snapshot. */
static int
set_data(size_t at, size_t len, unsigned char byte, uint64_t flags)
{
	int error = pmemobj_tx_xadd_range(pmemobj_oid(root), offsetof(struct root, data) + at, len, flags);
	if (error == 0) {
		memset(root->data + at, byte, len);
		memset(next.data + at, byte, len);
	}
	return error;
}

/* Allocates an object for an empty slot. */
static int
tx_fill(int i, size_t size, unsigned char byte, uint64_t flags)
{
	if (next.slot[i].size != 0)
		return 0;
	int error = pmemobj_tx_xadd_range_direct(&root->slot[i], sizeof(PMEMoid), flags & ~POBJ_XALLOC_ZERO);
	if (error != 0)
		return error;
	PMEMoid oid = pmemobj_tx_xalloc(size, 11, flags);
	if (OID_IS_NULL(oid))
		return errno;
	memset(pmemobj_direct(oid), byte, size);
	root->slot[i] = oid;
	next.slot[i].size = size;
	next.slot[i].type = 11;
	next.slot[i].byte = byte;
	return 0;
}

static int
tx_release(int i, uint64_t flags)
{
	if (next.slot[i].size == 0)
		return 0;
	int error = pmemobj_tx_xadd_range_direct(&root->slot[i], sizeof(PMEMoid), flags);
	if (error == 0)
		error = pmemobj_tx_xfree(root->slot[i], flags);
	if (error == 0) {
		root->slot[i] = OID_NULL;
		next.slot[i].size = 0;
	}
	return error;
}

/* Reallocates; the data that is lost is not looked at. */
static int
tx_resize(int i, size_t size, unsigned char byte)
{
	if (next.slot[i].size == 0)
		return 0;
	int error = pmemobj_tx_add_range_direct(&root->slot[i], sizeof(PMEMoid));
	PMEMoid oid = error ? OID_NULL : pmemobj_tx_realloc(root->slot[i], size, 12);
	if (OID_IS_NULL(oid))
		return error ? error : errno;
	memset(pmemobj_direct(oid), byte, size);
	root->slot[i] = oid;
	next.slot[i].size = size;
	next.slot[i].type = 12;
	next.slot[i].byte = byte;
	return 0;
}

/* After a transaction: what it should have done is done, or nothing is. */
static void
ended(int committed, int error, const char *what)
{
	if (committed)
		now = next;
	errno = error;
	went_well(committed, what);
	EQ(pmemobj_tx_stage(), TX_STAGE_NONE);
}

static void
many_changes(uint64_t flags)
{
	for (int i = 0; i < 40; i++) /* scattered, so that they do not merge */
		set_data((size_t)(i * 7 % 40) * 400, 64, (unsigned char)(i + 1), flags);
	set_data(16000, 16000, 99, flags);
	for (int i = 64; i < 90; i++)
		tx_fill(i, i % 3 ? 50 : 700, (unsigned char)i, flags);
	tx_release(21, flags);
	tx_release(70, flags);
}

static int called;

static void
call_back(PMEMobjpool *p, enum pobj_tx_stage stage, void *arg)
{
	(void)p;
	(void)stage;
	*(int *)arg += 1;
}

/* A failing call jumps to the stage ONABORT. */
static void
transaction_that_jumps(void)
{
	volatile int committed = 0, error = 0;
	next = now;
	TX_BEGIN_PARAM(pop, TX_PARAM_MUTEX, &root->mutex, TX_PARAM_CB, call_back, &called) {
		many_changes(0);
		pmemobj_tx_lock(TX_PARAM_RWLOCK, &root->rwlock);
		TX_BEGIN(pop) {
			set_data(100, 200, 55, 0);
			tx_fill(91, 3000, 91, POBJ_XALLOC_ZERO);
			tx_resize(22, 50000, 22);
		} TX_END
	} TX_ONCOMMIT {
		committed = 1;
	} TX_ONABORT {
		error = pmemobj_tx_errno();
	} TX_END
	ended(committed, error, "a transaction");
}

/* A failing call returns, and the transaction goes on without it. */
static void
transaction_that_goes_on(void)
{
	next = now;
	int error = pmemobj_tx_begin(pop, NULL, TX_PARAM_RWLOCK, &root->rwlock, TX_PARAM_NONE);
	if (error == 0) {
		pmemobj_tx_set_user_data(&now);
		pmemobj_tx_set_failure_behavior(POBJ_TX_FAILURE_RETURN);
		many_changes(0);
		PMEMoid oid = pmemobj_tx_strdup("text", 13);
		if (!OID_IS_NULL(oid))
			while (pmemobj_tx_free(oid) != 0) /* nothing refers to it */
				;
		CHECK(pmemobj_tx_get_user_data() == &now);
		pmemobj_tx_commit();
	}
	int committed = pmemobj_tx_stage() == TX_STAGE_ONCOMMIT;
	pmemobj_tx_end();
	ended(committed, error, "a transaction that returns");
}

/* The same by flags, and then it is aborted. */
static void
transaction_in_vain(void)
{
	next = now;
	volatile int begun = 0, error = 0;
	TX_BEGIN(pop) {
		begun = 1;
		many_changes(POBJ_FLAG_TX_NO_ABORT);
		pmemobj_tx_abort(ECANCELED);
	} TX_ONABORT {
		error = pmemobj_tx_errno();
	} TX_END
	if (begun)
		EQ(error, ECANCELED);
	errno = error;
	went_well(begun, "a transaction to be aborted");
	QUIETLY(verify());
}

/* Logs in memory that the application lends; the redo log may not grow else. */
static void
transaction_with_buffers(void)
{
	for (int i = 92; i < 94; i++) {
		if (now.slot[i].size == 0 && DOES(pmemobj_alloc(pop, &root->slot[i], 20000, 14, NULL, NULL) == 0))
			fill(i, 20000, 14, 1);
		if (now.slot[i].size == 0)
			return;
	}
	volatile int committed = 0, error = 0;
	next = now;
	TX_BEGIN(pop) {
		pmemobj_tx_log_append_buffer(TX_LOG_TYPE_SNAPSHOT, pmemobj_direct(root->slot[92]), 20000);
		pmemobj_tx_log_append_buffer(TX_LOG_TYPE_INTENT, pmemobj_direct(root->slot[93]), 20000);
		pmemobj_tx_log_auto_alloc(TX_LOG_TYPE_INTENT, 0);
		set_data(10000, 15000, 17, 0);
		for (int i = 64; i < 90; i++)
			if (next.slot[i].size != 0)
				tx_release(i, 0);
	} TX_ONCOMMIT {
		committed = 1;
	} TX_ONABORT {
		error = pmemobj_tx_errno();
	} TX_END
	/* Who lends a buffer gets it back with other contents. */
	QUIETLY(
		fill(92, 20000, 14, 1);
		fill(93, 20000, 14, 1);
		next.slot[92] = now.slot[92];
		next.slot[93] = now.slot[93]
	);
	ended(committed, error, "a transaction with lent buffers");
}

/* What was reserved before is published by a transaction. */
static void
transaction_that_publishes(void)
{
	struct pobj_action act[20];
	PMEMoid oid[20];
	int n = 0;
	for (int i = 0; i < 20; i++) {
		oid[n] = pmemobj_reserve(pop, &act[n], 128, 11);
		if (went_well(!OID_IS_NULL(oid[n]), "pmemobj_reserve"))
			n++;
	}
	volatile int committed = 0, begun = 0, published = 0, error = 0;
	next = now;
	TX_BEGIN(pop) {
		begun = 1;
		pmemobj_tx_add_range_direct(&root->slot[64], 20 * sizeof(PMEMoid));
		if (next.slot[64].size == 0 && pmemobj_tx_xpublish(act, (size_t)n, POBJ_XPUBLISH_NO_ABORT) == 0) {
			published = 1;
			for (int i = 0; i < n; i++)
				if (next.slot[64 + i].size == 0) {
					pmemobj_memset(pop, pmemobj_direct(oid[i]), 64, 128, 0);
					root->slot[64 + i] = oid[i];
					next.slot[64 + i].size = 128;
					next.slot[64 + i].type = 11;
					next.slot[64 + i].byte = 64;
				} else {
					pmemobj_tx_free(oid[i]);
				}
		}
	} TX_ONCOMMIT {
		committed = 1;
	} TX_ONABORT {
		error = pmemobj_tx_errno();
	} TX_END
	(void)begun;
	if (!published)
		pmemobj_cancel(pop, act, (size_t)n);
	ended(committed, error, "a transaction that publishes");
}

static void
transactions(void)
{
	transaction_that_jumps();
	transaction_with_buffers();
	transaction_that_publishes();
	transaction_that_goes_on();
	transaction_in_vain();
}

#endif

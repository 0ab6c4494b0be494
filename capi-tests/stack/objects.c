/* objects.c -- cases of libpmemobj around objects: atomic calls, actions,
 * lists, transactions. */
#include <wchar.h>
#include "stack.h"

#define TOO_MUCH ((size_t)1 << 32)

static int constructed(PMEMobjpool *p, void *at, void *arg)
{
	(void)p, (void)arg;
	*(char *)at = 1;
	return 0;
}
static int refused(PMEMobjpool *p, void *at, void *arg)
{
	(void)p, (void)at, (void)arg;
	return -1;
}

CALL(pmemobj_alloc, new_zone) { pmemobj_alloc(pop, NULL, 30000, 1, constructed, NULL); }
CALL(pmemobj_alloc, small) { pmemobj_free(&oid); pmemobj_alloc(pop, &oid, 100, 1, constructed, NULL); }
CALL(pmemobj_alloc, huge) { pmemobj_free(&huge); pmemobj_alloc(pop, &huge, 4 << 20, 1, constructed, NULL); }
CALL(pmemobj_alloc, full) { pmemobj_alloc(pop, &oid, TOO_MUCH, 1, NULL, NULL); }
CALL(pmemobj_alloc, too_large) { pmemobj_alloc(pop, &oid, (size_t)1 << 40, 1, NULL, NULL); }
CALL(pmemobj_alloc, size_zero) { pmemobj_alloc(pop, &oid, 0, 1, NULL, NULL); }
CALL(pmemobj_alloc, canceled) { PMEMoid o; pmemobj_alloc(pop, &o, 5000, 1, refused, NULL); }
CALL(pmemobj_xalloc, bad_class) { PMEMoid o; pmemobj_xalloc(pop, &o, 5000, 1, POBJ_CLASS_ID(200), NULL, NULL); }
CALL(pmemobj_xalloc, zeroed) { pmemobj_xalloc(pop, NULL, 5000, 1, POBJ_XALLOC_ZERO, NULL, NULL); }
CALL(pmemobj_xalloc, bad_flags) { pmemobj_xalloc(pop, NULL, 5000, 1, 1 << 10, NULL, NULL); }
CALL(pmemobj_zalloc, huge) { pmemobj_zalloc(pop, &oid, 3 << 20, 1); pmemobj_free(&oid); }
CALL(pmemobj_realloc, grows) { pmemobj_realloc(pop, &oid, 20000, 2); }
CALL(pmemobj_realloc, huge) { pmemobj_realloc(pop, &huge, 5 << 20, 2); }
CALL(pmemobj_realloc, full) { pmemobj_realloc(pop, &oid, TOO_MUCH, 2); }
CALL(pmemobj_realloc, frees) { pmemobj_realloc(pop, &oid, 0, 2); }
CALL(pmemobj_zrealloc, grows) { pmemobj_zrealloc(pop, &oid, 300000, 2); }
CALL(pmemobj_strdup, small) { PMEMoid o; pmemobj_strdup(pop, &o, "a string", 3); pmemobj_free(&o); }
CALL(pmemobj_strdup, null) { PMEMoid o; pmemobj_strdup(pop, &o, NULL, 3); }
CALL(pmemobj_wcsdup, small) { PMEMoid o; pmemobj_wcsdup(pop, &o, L"a string", 3); pmemobj_free(&o); }
CALL(pmemobj_free, small) { pmemobj_free(&oid); }
CALL(pmemobj_free, huge) { pmemobj_free(&huge); }
CALL(pmemobj_alloc_usable_size, small) { pmemobj_alloc_usable_size(oid); }
CALL(pmemobj_type_num, small) { pmemobj_type_num(oid); }
CALL(pmemobj_root, grows) { pmemobj_root(pop, ROOT + 200000); }
CALL(pmemobj_root, too_large) { pmemobj_root(pop, (size_t)1 << 40); }
CALL(pmemobj_root_construct, grows) { pmemobj_root_construct(pop, ROOT + 400000, constructed, NULL); }
CALL(pmemobj_root_construct, canceled) { pmemobj_root_construct(pop, ROOT + 600000, refused, NULL); }
CALL(pmemobj_root_size, asked) { pmemobj_root_size(pop); }
CALL(pmemobj_first, asked) { pmemobj_first(pop); }
CALL(pmemobj_next, all) { for (PMEMoid o = pmemobj_first(pop); !OID_IS_NULL(o); o = pmemobj_next(o)) ; }

static PMEMoid many[3000], *pointers[3000];
/* Sparse runs. */
CALL(pmemobj_defrag, sparse)
{
	for (unsigned i = 0; i < 3000; i++)
		pmemobj_alloc(pop, &many[i], 300, 1, NULL, NULL);
	unsigned n = 0;
	for (unsigned i = 0; i < 3000; i++)
		if (i % 5)
			pmemobj_free(&many[i]);
		else
			pointers[n++] = &many[i];
	struct pobj_defrag_result result;
	pmemobj_defrag(pop, pointers, n, &result);
	for (unsigned i = 0; i < 3000; i += 5)
		pmemobj_free(&many[i]);
}
CALL(pmemobj_defrag, wrong_pool)
{
	PMEMoid wrong = {12345, 678}, *p = &wrong;
	pmemobj_defrag(pop, &p, 1, NULL);
}

/* --- actions ------------------------------------------------------------------ */

static struct pobj_action actions[300]; /* more than a log holds */
static void
words(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		pmemobj_set_value(pop, &actions[i], (uint64_t *)(root + 2048) + i, i);
}
CALL(pmemobj_set_value, one) { words(1); }
CALL(pmemobj_reserve, small) { pmemobj_reserve(pop, actions, 5000, 1); pmemobj_cancel(pop, actions, 1); }
CALL(pmemobj_reserve, full) { pmemobj_reserve(pop, actions, TOO_MUCH, 1); }
CALL(pmemobj_xreserve, zeroed) { pmemobj_xreserve(pop, actions, 3 << 20, 1, POBJ_XALLOC_ZERO); pmemobj_cancel(pop, actions, 1); }
CALL(pmemobj_xreserve, bad_flags) { pmemobj_xreserve(pop, actions, 3 << 20, 1, 1 << 10); }
CALL(pmemobj_defer_free, canceled) { pmemobj_defer_free(pop, oid, actions); pmemobj_cancel(pop, actions, 1); }
CALL(pmemobj_cancel, words) { words(300); pmemobj_cancel(pop, actions, 300); }
CALL(pmemobj_publish, extends_the_log)
{
	words(298);
	pmemobj_reserve(pop, &actions[298], 3 << 20, 1);
	pmemobj_defer_free(pop, oid, &actions[299]);
	pmemobj_publish(pop, actions, 300);
	oid = OID_NULL;
}

/* --- lists ---------------------------------------------------------------------- */

static struct { PMEMoid first; PMEMmutex lock; } *heads;
#define LIST(nth) ((void *)((char *)heads + 128 * (nth)))

CALL(pmemobj_list_insert_new, first)
{
	heads = (void *)(root + 8192);
	memset(root + 8192, 0, 256);
	pmemobj_list_insert_new(pop, 0, LIST(0), OID_NULL, 0, 200, 1, constructed, NULL);
}
CALL(pmemobj_list_insert_new, large) { pmemobj_list_insert_new(pop, 0, LIST(0), OID_NULL, 1, 3 << 20, 1, constructed, NULL); }
CALL(pmemobj_list_insert_new, full) { pmemobj_list_insert_new(pop, 0, LIST(0), OID_NULL, 1, TOO_MUCH, 1, NULL, NULL); }
CALL(pmemobj_list_insert, other) { pmemobj_list_insert(pop, 0, LIST(0), OID_NULL, 0, other); }
CALL(pmemobj_list_move, other) { pmemobj_list_move(pop, 0, LIST(0), 0, LIST(1), OID_NULL, 0, other); }
CALL(pmemobj_list_move, not_in_it) { pmemobj_list_move(pop, 0, LIST(0), 0, LIST(1), oid, 0, other); }
CALL(pmemobj_list_remove, frees)
{
	pmemobj_list_remove(pop, 0, LIST(1), other, 1);
	other = OID_NULL;
}

/* --- transactions --------------------------------------------------------------- */

static void
stage_changed(PMEMobjpool *p, enum pobj_tx_stage stage, void *arg)
{
	(void)p, (void)stage, (void)arg;
}

CALL(pmemobj_tx_begin, nested)
{
	pmemobj_tx_begin(pop, NULL, TX_PARAM_CB, stage_changed, NULL, TX_PARAM_MUTEX, root + 64, TX_PARAM_RWLOCK, root + 128,
		TX_PARAM_NONE);
	for (int i = 0; i < 50; i++)
		pmemobj_tx_begin(pop, NULL, TX_PARAM_NONE);
	for (int i = 0; i < 51; i++) {
		pmemobj_tx_process();
		pmemobj_tx_end();
	}
}
CALL(pmemobj_tx_begin, wrong_parameter)
{
	pmemobj_tx_begin(pop, NULL, 77, TX_PARAM_NONE);
	if (pmemobj_tx_stage() != TX_STAGE_NONE)
		pmemobj_tx_end();
}
/* Many ranges, an extended log, blocks of all kinds, a callback; and a jump. */
static void
much(void)
{
	for (unsigned i = 0; i < 300; i++)
		pmemobj_tx_add_range_direct(root + 2048 + 100 * i, 60);
	pmemobj_tx_add_range(huge, 0, 200000);
	for (unsigned i = 0; i < 100; i++)
		pmemobj_tx_alloc(100 + 100 * i, 1);
	pmemobj_tx_zalloc(4 << 20, 1);
	pmemobj_tx_free(other);
}
CALL(pmemobj_tx_commit, much)
{
	pmemobj_tx_begin(pop, NULL, TX_PARAM_CB, stage_changed, NULL, TX_PARAM_NONE);
	much();
	pmemobj_tx_commit();
	pmemobj_tx_end();
	other = OID_NULL;
}
CALL(pmemobj_tx_abort, much)
{
	TX_BEGIN_PARAM(pop, TX_PARAM_CB, stage_changed, NULL, TX_PARAM_NONE) {
		much();
		pmemobj_tx_abort(ECANCELED);
	} TX_END
}
CALL(pmemobj_tx_end, aborted)
{
	pmemobj_tx_begin(pop, NULL, TX_PARAM_NONE);
	pmemobj_tx_abort(ECANCELED);
	pmemobj_tx_end();
}
CALL(pmemobj_tx_process, much)
{
	pmemobj_tx_begin(pop, NULL, TX_PARAM_NONE);
	much();
	pmemobj_tx_process();
	pmemobj_tx_end();
	other = OID_NULL;
}
CALL(pmemobj_tx_stage, outside) { pmemobj_tx_stage(); }
CALL(pmemobj_tx_errno, outside) { pmemobj_tx_errno(); }
CALL(pmemobj_tx_lock, held) { IN_TX(pmemobj_tx_lock(TX_PARAM_MUTEX, root + 64)); }
CALL(pmemobj_tx_xlock, wrong) { IN_TX(pmemobj_tx_xlock(TX_PARAM_CB, root + 64, POBJ_XLOCK_NO_ABORT)); }
CALL(pmemobj_tx_add_range, long) { IN_TX(pmemobj_tx_add_range(huge, 0, 500000)); }
CALL(pmemobj_tx_add_range, aborts) { IN_TX(pmemobj_tx_add_range(huge, 0, TOO_MUCH)); }
CALL(pmemobj_tx_add_range_direct, long) { IN_TX(pmemobj_tx_add_range_direct(root, ROOT)); }
CALL(pmemobj_tx_add_range_direct, aborts) { IN_TX(pmemobj_tx_add_range_direct(&pop, 8)); }
CALL(pmemobj_tx_xadd_range, long) { IN_TX(pmemobj_tx_xadd_range(huge, 0, 500000, POBJ_XADD_NO_SNAPSHOT)); }
CALL(pmemobj_tx_xadd_range, wrong) { IN_TX(pmemobj_tx_xadd_range(huge, 0, 500000, 1 << 20)); }
CALL(pmemobj_tx_xadd_range_direct, long) { IN_TX(pmemobj_tx_xadd_range_direct(root, ROOT, POBJ_XADD_NO_FLUSH)); }
CALL(pmemobj_tx_alloc, huge) { IN_TX(pmemobj_tx_alloc(4 << 20, 1)); }
CALL(pmemobj_tx_alloc, aborts) { IN_TX(pmemobj_tx_alloc(TOO_MUCH, 1)); }
CALL(pmemobj_tx_xalloc, zeroed) { IN_TX(pmemobj_tx_xalloc(5000, 1, POBJ_XALLOC_ZERO)); }
CALL(pmemobj_tx_xalloc, wrong) { IN_TX(pmemobj_tx_xalloc(5000, 1, 1 << 10)); }
CALL(pmemobj_tx_zalloc, small) { IN_TX(pmemobj_tx_zalloc(5000, 1)); }
CALL(pmemobj_tx_realloc, grows) { IN_TX(oid = pmemobj_tx_realloc(oid, 50000, 1)); }
CALL(pmemobj_tx_realloc, aborts) { IN_TX(pmemobj_tx_realloc(oid, TOO_MUCH, 1)); }
CALL(pmemobj_tx_zrealloc, grows) { IN_TX(oid = pmemobj_tx_zrealloc(oid, 70000, 1)); }
CALL(pmemobj_tx_strdup, small) { IN_TX(pmemobj_tx_strdup("text", 1)); }
CALL(pmemobj_tx_xstrdup, null) { IN_TX(pmemobj_tx_xstrdup(NULL, 1, 0)); }
CALL(pmemobj_tx_wcsdup, small) { IN_TX(pmemobj_tx_wcsdup(L"text", 1)); }
CALL(pmemobj_tx_xwcsdup, null) { IN_TX(pmemobj_tx_xwcsdup(NULL, 1, 0)); }
CALL(pmemobj_tx_free, huge) { IN_TX(pmemobj_tx_free(huge)); huge = OID_NULL; }
CALL(pmemobj_tx_xfree, wrong) { PMEMoid o = {oid.pool_uuid_lo, oid.off + 8}; IN_TX(pmemobj_tx_xfree(o, POBJ_XFREE_NO_ABORT)); }
CALL(pmemobj_tx_publish, words) { words(100); IN_TX(pmemobj_tx_publish(actions, 100)); }
CALL(pmemobj_tx_xpublish, extends_the_log) { words(300); IN_TX(pmemobj_tx_xpublish(actions, 300, 0)); }
CALL(pmemobj_tx_log_append_buffer, snapshots) { IN_TX(pmemobj_tx_log_append_buffer(TX_LOG_TYPE_SNAPSHOT, root + 16384, 8192)); }
CALL(pmemobj_tx_xlog_append_buffer, wrong) { IN_TX(pmemobj_tx_xlog_append_buffer(TX_LOG_TYPE_INTENT, &pop, 1, 0)); }
CALL(pmemobj_tx_log_auto_alloc, off)
{
	IN_TX(pmemobj_tx_log_auto_alloc(TX_LOG_TYPE_SNAPSHOT, 0), pmemobj_tx_add_range(huge, 0, 500000));
}
CALL(pmemobj_tx_log_snapshots_max_size, asked) { size_t n = 1000; pmemobj_tx_log_snapshots_max_size(&n, 1); }
CALL(pmemobj_tx_log_intents_max_size, asked) { pmemobj_tx_log_intents_max_size(100); }
CALL(pmemobj_tx_set_user_data, inside) { IN_TX(pmemobj_tx_set_user_data(&pop)); }
CALL(pmemobj_tx_get_user_data, inside) { IN_TX(pmemobj_tx_get_user_data()); }
CALL(pmemobj_tx_set_failure_behavior, inside) { IN_TX(pmemobj_tx_set_failure_behavior(POBJ_TX_FAILURE_RETURN)); }
CALL(pmemobj_tx_get_failure_behavior, inside) { IN_TX(pmemobj_tx_get_failure_behavior()); }

/*
 * work.h -- a bit of everything that the library offers, on a pool with its
 * model. A call may fail while the machine is armed, if a fault explains it:
 * then nothing changed.
 */
#ifndef WORK_H
#define WORK_H

#include <wchar.h>
#include "machine.h"
#include "model.h"

static long excused; /* faults that were there before this step */

/* Runs a function of the test, which no fault may hit. */
#define QUIETLY(...) do { \
	int armed_ = machine.armed, errno_ = errno; \
	machine.armed = 0; \
	__VA_ARGS__; \
	machine.armed = armed_; \
	errno = errno_; \
} while (0)

/* What a call said: true if it succeeded. A failure needs a reason, the right
 * errno and a message, and leaves everything as it was. */
static int
went_well(int good, const char *what)
{
	if (!good) {
		int error = errno;
		const char *message = pmemobj_errormsg();
		QUIETLY(
			if (machine.failed == excused)
				FAIL("%s failed without a fault: errno %d, %s", what, error, message);
			if (error != machine.error)
				FAIL("%s: errno %d, not %d (%s)", what, error, machine.error, message);
			if (message == NULL || strstr(message, machine.call == CALL_memory ? "out of memory" : "") == NULL || !message[0])
				FAIL("%s failed with the message \"%s\"", what, message);
			if (root != NULL && pmemobj_tx_stage() == TX_STAGE_NONE)
				verify()
		);
	}
	excused = machine.failed;
	return good;
}
#define DOES(call) went_well(call, #call)

static void
fill(int i, size_t size, uint64_t type, unsigned char byte)
{
	pmemobj_memset_persist(pop, pmemobj_direct(root->slot[i]), byte, size);
	now.slot[i].size = size;
	now.slot[i].type = type;
	now.slot[i].byte = byte;
}

/* --- single calls ----------------------------------------------------------------- */

static int
construct(PMEMobjpool *p, void *at, void *arg)
{
	pmemobj_memset_persist(p, at, *(unsigned char *)arg, 64);
	return 0;
}

static void
allocate(void)
{
	static const size_t sizes[] = {1, 40, 64, 100, 300, 1000, 5000, 60000, 200000, 300000, 600000};
	for (int i = 0; i < (int)(sizeof(sizes) / sizeof(sizes[0])); i++)
		if (DOES(pmemobj_alloc(pop, &root->slot[i], sizes[i], 1, NULL, NULL) == 0))
			fill(i, sizes[i], 1, (unsigned char)(i + 1));
	for (int i = 11; i < 14; i++) {
		size_t size = i == 11 ? 128 : i == 12 ? 4000 : 300000;
		if (DOES(pmemobj_zalloc(pop, &root->slot[i], size, 2) == 0)) {
			CHECK(all_bytes(pmemobj_direct(root->slot[i]), size, 0));
			fill(i, size, 2, 0);
		}
	}
	unsigned char byte = 77;
	if (DOES(pmemobj_alloc(pop, &root->slot[14], 64, 3, construct, &byte) == 0)) {
		CHECK(all_bytes(pmemobj_direct(root->slot[14]), 64, 77));
		fill(14, 64, 3, 77);
	}
	if (DOES(pmemobj_strdup(pop, &root->slot[15], "aaaaaaaaaaaaaaa", 4) == 0)) {
		STREQ(pmemobj_direct(root->slot[15]), "aaaaaaaaaaaaaaa");
		fill(15, 16, 4, 'a');
	}
	if (DOES(pmemobj_wcsdup(pop, &root->slot[16], L"bbb", 4) == 0))
		fill(16, 16, 4, 'b');
	for (int i = 20; i < 40; i++) /* more than one run of a class */
		if (DOES(pmemobj_alloc(pop, &root->slot[i], 30000, 5, NULL, NULL) == 0))
			fill(i, 30000, 5, (unsigned char)i);
}

static void
reallocate(void)
{
	static const struct { int slot; size_t size; int zero; } changes[] = {
		{1, 5000, 0}, {7, 30, 0}, {3, 400000, 0}, {9, 100, 0}, {17, 70, 0}, {18, 90, 1}, {12, 9000, 1},
		{4, 310, 0},
	};
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		int s = changes[i].slot;
		size_t size = changes[i].size, old = now.slot[s].size;
		int good = changes[i].zero ? pmemobj_zrealloc(pop, &root->slot[s], size, 6) == 0
			: pmemobj_realloc(pop, &root->slot[s], size, 6) == 0;
		if (went_well(good, "pmemobj_(z)realloc")) {
			CHECK(all_bytes(pmemobj_direct(root->slot[s]), old < size ? old : size, now.slot[s].byte));
			fill(s, size, 6, (unsigned char)(s + 100));
		}
	}
}

/* It returns nothing: either the object is gone, or it is still there. */
static void
release(int i)
{
	pmemobj_free(&root->slot[i]);
	int gone = OID_IS_NULL(root->slot[i]);
	if (gone)
		now.slot[i].size = 0;
	errno = gone ? errno : machine.error;
	went_well(gone, "pmemobj_free");
}

static unsigned classes_made; /* in the open pool: each of another size */

static void
controls(void)
{
	struct pobj_alloc_class_desc class = {.unit_size = 96 + 16 * classes_made++, .units_per_block = 500,
		.header_type = POBJ_HEADER_COMPACT};
	if (DOES(pmemobj_ctl_set(pop, "heap.alloc_class.new.desc", &class) == 0))
		for (int i = 40; i < 42; i++)
			if (DOES(pmemobj_xalloc(pop, &root->slot[i], 80, 7, POBJ_CLASS_ID(class.class_id), NULL, NULL) == 0))
				fill(i, 80, 7, 7);
	unsigned arena, arenas;
	if (DOES(pmemobj_ctl_exec(pop, "heap.arena.create", &arena) == 0)) {
		DOES(pmemobj_ctl_get(pop, "heap.narenas.total", &arenas) == 0);
		if (DOES(pmemobj_ctl_set(pop, "heap.thread.arena_id", &arena) == 0) &&
		    DOES(pmemobj_alloc(pop, &root->slot[42], 1000, 7, NULL, NULL) == 0))
			fill(42, 1000, 7, 42);
		if (DOES(pmemobj_xalloc(pop, &root->slot[43], 150, 7, POBJ_ARENA_ID(arena) | POBJ_XALLOC_ZERO, NULL, NULL) == 0))
			fill(43, 150, 7, 43);
	}
	enum pobj_stats_enabled enabled = POBJ_STATS_ENABLED_BOTH;
	DOES(pmemobj_ctl_set(pop, "stats.enabled", &enabled) == 0);
	uint64_t bytes;
	DOES(pmemobj_ctl_get(pop, "stats.heap.curr_allocated", &bytes) == 0);
	DOES(pmemobj_ctl_get(pop, "stats.heap.run_allocated", &bytes) == 0);
	int off = 0;
	DOES(pmemobj_ctl_set(pop, "tx.debug.skip_expensive_checks", &off) == 0);
	if (pmemobj_ctl_get(pop, "no.such.entry", &off) == 0)
		FAIL("an entry that does not exist was read");
	CHECK(pmemobj_errormsg()[0] != 0);
}

static void
actions(void)
{
	struct pobj_action act[72];
	PMEMoid oid[70];
	size_t n = 0;
	for (int i = 0; i < 70; i++) {
		PMEMoid o = pmemobj_reserve(pop, &act[n], 200, 8);
		if (!went_well(!OID_IS_NULL(o), "pmemobj_reserve"))
			continue;
		pmemobj_memset_persist(pop, pmemobj_direct(o), 9, 200);
		oid[n++] = o;
	}
	/* Ten stay, sixty are cancelled; a value changes with the ten. */
	size_t keep = n < 10 ? n : 10;
	pmemobj_cancel(pop, act + keep, n - keep);
	pmemobj_set_value(pop, &act[keep], &root->value[0], 4711);
	for (size_t i = 0; i < keep; i++) /* the slots they go to */
		pmemobj_set_value(pop, &act[keep + 1 + 2 * i], &root->slot[50 + i].off, oid[i].off),
		pmemobj_set_value(pop, &act[keep + 2 + 2 * i], &root->slot[50 + i].pool_uuid_lo, oid[i].pool_uuid_lo);
	if (DOES(pmemobj_publish(pop, act, keep + 1 + 2 * keep) == 0)) {
		now.value[0] = 4711;
		for (size_t i = 0; i < keep; i++)
			fill(50 + (int)i, 200, 8, 9);
	} else {
		pmemobj_cancel(pop, act, keep + 1 + 2 * keep);
	}
	if (now.slot[23].size != 0) {
		pmemobj_defer_free(pop, root->slot[23], &act[0]);
		pmemobj_set_value(pop, &act[1], &root->slot[23].off, 0);
		if (DOES(pmemobj_publish(pop, act, 2) == 0))
			now.slot[23].size = 0;
		else
			pmemobj_cancel(pop, act, 2);
	}
}

static void
lists(void)
{
	size_t at = offsetof(struct element, link);
	for (uint64_t i = 0; i < 6; i++) {
		PMEMoid e = pmemobj_list_insert_new(pop, at, &root->list[0], OID_NULL, POBJ_LIST_DEST_TAIL,
			sizeof(struct element), 900, NULL, NULL);
		if (!went_well(!OID_IS_NULL(e), "pmemobj_list_insert_new"))
			continue;
		pmemobj_memcpy_persist(pop, pmemobj_direct(e), &i, sizeof(i));
		now.list[0][now.length[0]++] = i;
	}
	if (now.length[0] > 1 && DOES(pmemobj_list_move(pop, at, &root->list[0], at, &root->list[1], OID_NULL,
			POBJ_LIST_DEST_HEAD, root->list[0].pe_first.oid) == 0)) {
		memmove(&now.list[1][1], &now.list[1][0], 8 * now.length[1]++);
		now.list[1][0] = now.list[0][0];
		memmove(&now.list[0][0], &now.list[0][1], 8 * --now.length[0]);
	}
	if (now.length[0] > 1 && DOES(pmemobj_list_remove(pop, at, &root->list[0], root->list[0].pe_first.oid, 1) == 0))
		memmove(&now.list[0][0], &now.list[0][1], 8 * --now.length[0]);
}

static int
construct_variable(void *variable, void *arg)
{
	(void)arg;
	*(long *)variable = 1;
	return 0;
}

static long *
variable(void)
{
	return pmemobj_volatile(pop, &root->variable.vlt, &root->variable.value, sizeof(long), construct_variable, NULL);
}

static void
locks(void)
{
	CHECK(pmemobj_mutex_lock(pop, &root->mutex) == 0);
	CHECK(pmemobj_cond_signal(pop, &root->cond) == 0);
	CHECK(pmemobj_mutex_unlock(pop, &root->mutex) == 0);
	CHECK(pmemobj_rwlock_wrlock(pop, &root->rwlock) == 0);
	CHECK(pmemobj_rwlock_unlock(pop, &root->rwlock) == 0);
	CHECK(variable() != NULL);
	pmemobj_set_user_data(pop, &now);
	CHECK(pmemobj_get_user_data(pop) == &now);
}

static void
defragment(void)
{
	PMEMoid *oids[SLOTS];
	size_t n = 0;
	for (int i = 0; i < SLOTS; i++)
		if (now.slot[i].size != 0)
			oids[n++] = &root->slot[i];
	struct pobj_defrag_result result;
	DOES(pmemobj_defrag(pop, oids, n, &result) == 0);
}

#include "work_tx.h"

/* --- all of it ------------------------------------------------------------------------ */

/* What the first use of the library in a thread needs. */
static void *
in_a_new_thread(void *arg)
{
	(void)arg;
	if (pmemobj_open(path_of("nowhere"), NULL) != NULL)
		FAIL("a pool that does not exist was opened");
	CHECK(pmemobj_errormsg()[0] != 0);
	excused = machine.failed;
	if (DOES(pmemobj_alloc(pop, &root->slot[60], 500, 9, NULL, NULL) == 0))
		fill(60, 500, 9, 60);
	transaction_that_jumps();
	return NULL;
}

static void
work(void)
{
	allocate();
	reallocate();
	for (int i = 0; i < 40; i += 5)
		release(i);
	controls();
	actions();
	lists();
	locks();
	transactions();
	defragment();
	pthread_t t;
	QUIETLY(if (pthread_create(&t, NULL, in_a_new_thread, NULL) != 0) abort());
	pthread_join(t, NULL);
	QUIETLY(verify());
}

/* Frees everything. */
static void
clear(void)
{
	for (int i = 0; i < SLOTS; i++)
		if (now.slot[i].size != 0)
			release(i);
	size_t at = offsetof(struct element, link);
	for (int l = 0; l < LISTS; l++)
		while (now.length[l] > 0 &&
		       DOES(pmemobj_list_remove(pop, at, &root->list[l], root->list[l].pe_first.oid, 1) == 0))
			memmove(&now.list[l][0], &now.list[l][1], 8 * --now.length[l]);
}

/* The root with its lists; true if it is there. */
static int
enter(void)
{
	PMEMoid oid = pmemobj_root(pop, sizeof(struct root));
	root = NULL;
	classes_made = 0;
	if (!went_well(!OID_IS_NULL(oid), "pmemobj_root"))
		return 0;
	root = pmemobj_direct(oid);
	return 1;
}

#endif

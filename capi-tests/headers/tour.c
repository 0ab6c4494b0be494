/*
 * tour.c -- every macro and inline function of libpmemobj's headers, used once,
 * with what it does printed: the same with Debian's headers and ours.
 *
 * Correct as C99 and later and as C++11 and later, without a warning.
 *
 *   tour POOL most|lists|crash
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include <libpmem.h>
#include <libpmemobj.h>

struct root;
struct node;
typedef int number;
union either;

POBJ_LAYOUT_BEGIN(tour);
POBJ_LAYOUT_ROOT(tour, struct root);
POBJ_LAYOUT_TOID(tour, struct node);
POBJ_LAYOUT_TOID(tour, number);
POBJ_LAYOUT_TOID(tour, union either)
POBJ_LAYOUT_TOID(tour, char);
POBJ_LAYOUT_END(tour);

/* A second layout counts from 1 again; declared by hand, a type has any number. */
POBJ_LAYOUT_BEGIN(second);
POBJ_LAYOUT_TOID(second, long);
POBJ_LAYOUT_END(second)
TOID_DECLARE(short, 77);
TOID_DECLARE_ROOT(double);

struct node {
	int value;
	POBJ_LIST_ENTRY(struct node) entry;
	POBJ_LIST_ENTRY(struct node) other;
	char text[8];
};

union either {
	int i;
	char c[32];
};

POBJ_LIST_HEAD(node_list, struct node);

struct root {
	TOID(struct node) first;
	TOID(number) n;
	PMEMmutex mutex;
	PMEMrwlock rwlock;
	PMEMcond cond;
	PMEMvlt(int) vlt;
	uint64_t word;
	int array[5];
	struct node_list list, list2;
};

static PMEMobjpool *pop;
static TOID(struct root) root;
static TOID(struct node) a, b, c;
static int calls;

#define SHOW(expr) printf("%s: %lld\n", #expr, (long long)(expr))

static int
construct(PMEMobjpool *p, void *ptr, void *arg)
{
	struct node *node = (struct node *)ptr;

	memset(ptr, 0, sizeof(*node));
	node->value = *(const int *)arg;
	pmemobj_persist(p, node, sizeof(*node));
	return node->value < 0;
}

static void
types(void)
{
	TOID(struct node) x = TOID_NULL(struct node);
	PMEMoid oid = { 1, 2 };

	printf("%s\n", POBJ_LAYOUT_NAME(tour));
	SHOW(POBJ_LAYOUT_TYPES_NUM(tour));
	SHOW(POBJ_LAYOUT_TYPES_NUM(second));
	SHOW(TOID_TYPE_NUM(struct root));
	SHOW(TOID_TYPE_NUM(struct node));
	SHOW(TOID_TYPE_NUM(number));
	SHOW(TOID_TYPE_NUM(union either));
	SHOW(TOID_TYPE_NUM(char));
	SHOW(TOID_TYPE_NUM(long));
	SHOW(TOID_TYPE_NUM(short));
	SHOW(TOID_TYPE_NUM(double));
	SHOW(TOID_TYPE_NUM_OF(x));
	SHOW(TOID_TYPE_NUM_OF(D_RO(root)->n));
	SHOW(sizeof(x));
	SHOW(sizeof(TOID_TYPEOF(x)));
	SHOW(TOID_OFFSETOF(x, entry.pe_prev));
	SHOW(TOID_OFFSETOF(root, list.lock));
	SHOW(sizeof(struct node_list));
	SHOW(sizeof(D_RO(x)->entry));
	SHOW(sizeof(D_RO(root)->vlt));
	SHOW(TOID_IS_NULL(x));
	SHOW(OID_IS_NULL(oid));
	SHOW(OID_IS_NULL(OID_NULL));
	SHOW(TOID_ASSIGN(x, (calls++, oid)).oid.off);
	SHOW(x.oid.pool_uuid_lo);
	SHOW(TOID_EQUALS(x, x));
	SHOW(TOID_EQUALS(x, TOID_NULL(struct node)));
	SHOW(OID_EQUALS(x.oid, oid));
	SHOW(OID_EQUALS(x.oid, OID_NULL));
	SHOW(D_RW(TOID_NULL(struct node)) == NULL);
	SHOW(pmemobj_direct(oid) == NULL);
	SHOW(calls);
	SHOW(POBJ_CLASS_ID(200) == (uint64_t)200 << 48);
	SHOW(POBJ_ARENA_ID(7) == (uint64_t)7 << 32);
}

static void
atomic(void)
{
	TOID(char) text;
	int arg = 5;

	SHOW(POBJ_NEW(pop, &a, struct node, construct, &arg));
	SHOW(TOID_VALID(a));
	SHOW(OID_INSTANCEOF(a.oid, number));
	SHOW(OID_INSTANCEOF(a.oid, struct node));
	SHOW(D_RO(a)->value);
	SHOW(pmemobj_alloc_usable_size(a.oid));
	D_RW(a)->value = 6;
	SHOW(DIRECT_RO(a)->value);
	SHOW(++DIRECT_RW(a)->value);
	SHOW((D_RW((calls++, a))->value));
	SHOW(calls);
	arg = -1;
	SHOW(POBJ_NEW(pop, &b, struct node, construct, &arg));
	SHOW(errno == ECANCELED);
	SHOW(TOID_IS_NULL(b));
	SHOW(POBJ_ALLOC(pop, &text, char, 1000, NULL, NULL));
	SHOW(pmemobj_alloc_usable_size(text.oid));
	SHOW(TOID_VALID(text));
	SHOW(POBJ_REALLOC(pop, &text, char, 3000));
	SHOW(pmemobj_alloc_usable_size(text.oid));
	SHOW(POBJ_ZREALLOC(pop, &text, char, 5000));
	SHOW(D_RO(text)[4999]);
	POBJ_FREE(&text);
	SHOW(TOID_IS_NULL(text));
	SHOW(POBJ_ZNEW(pop, &b, struct node));
	SHOW(D_RO(b)->value);
	SHOW(POBJ_ZALLOC(pop, &D_RW(root)->n, number, 10 * sizeof(number)));
	SHOW(D_RO(D_RO(root)->n)[9]);
	SHOW(TOID_VALID(D_RO(root)->n));
}

static void
actions(void)
{
	struct pobj_action act[6];
	struct root *r = D_RW(root);

	c = POBJ_RESERVE_NEW(pop, struct node, &act[0]);
	SHOW(act[0].type);
	SHOW(act[0].heap.usable_size);
	SHOW(TOID_IS_NULL(c));
	SHOW(TOID_VALID(POBJ_RESERVE_ALLOC(pop, char, 500, &act[1])));
	SHOW(TOID_VALID(POBJ_XRESERVE_NEW(pop, number, &act[2], POBJ_XALLOC_ZERO)));
	SHOW(TOID_VALID(POBJ_XRESERVE_ALLOC(pop, char, 600, &act[3], POBJ_XALLOC_ZERO)));
	pmemobj_set_value(pop, &act[4], &r->word, 99);
	SHOW(act[4].type == POBJ_ACTION_TYPE_MEM);
	pmemobj_cancel(pop, &act[1], 3);
	D_RW(c)->value = 33;
	pmemobj_persist(pop, D_RW(c), sizeof(struct node));
	SHOW(r->word);
	pmemobj_defer_free(pop, b.oid, &act[1]);
	SHOW(pmemobj_publish(pop, act, 1));
	SHOW(pmemobj_publish(pop, &act[4], 1));
	SHOW(pmemobj_publish(pop, &act[1], 1));
	SHOW(r->word);
}

static void
iteration(void)
{
	PMEMoid oid, next;
	TOID(struct node) node, after;
	int n = 0, others = 0;

	node = POBJ_FIRST(pop, struct node);
	SHOW(D_RO(node)->value);
	node = POBJ_NEXT(node);
	SHOW(D_RO(node)->value);
	SHOW(TOID_IS_NULL(POBJ_NEXT(node)));
	SHOW(TOID_IS_NULL(POBJ_FIRST(pop, short)));
	SHOW(OID_IS_NULL(POBJ_NEXT_TYPE_NUM(POBJ_FIRST_TYPE_NUM(pop, TOID_TYPE_NUM(number)))));
	POBJ_FOREACH(pop, oid)
		n += (int)pmemobj_type_num(oid);
	SHOW(n);
	POBJ_FOREACH_TYPE(pop, node) {
		n += D_RO(node)->value;
	} else {
		others++;
	}
	SHOW(n);
	SHOW(others);
	POBJ_FOREACH_SAFE_TYPE(pop, node, after)
		if (D_RO(node)->value == 33)
			POBJ_FREE(&node);
	POBJ_FOREACH_SAFE(pop, oid, next)
		if (OID_INSTANCEOF(oid, number))
			pmemobj_free(&oid);
	n = 0;
	POBJ_FOREACH(pop, oid)
		n++;
	SHOW(n);
	D_RW(root)->n = TOID_NULL(number);
}

static int stages[8], order;

static void
callback(PMEMobjpool *p, enum pobj_tx_stage stage, void *arg)
{
	(void)p;
	(*(int *)arg)++;
	order = order * 10 + (int)stage;
}

/* What the blocks say of where they are. */
#define BLOCK() (order = order * 10 + (int)_stage)

static void
outcomes(void)
{
	static int runs;

	order = 0;
	errno = 0;
	TX_BEGIN(pop) {
		BLOCK();
	} TX_ONABORT {
		BLOCK();
	} TX_ONCOMMIT {
		BLOCK();
	} TX_FINALLY {
		BLOCK();
	} TX_END
	SHOW(order);
	SHOW(errno);

	order = 0;
	TX_BEGIN(pop) {
		BLOCK();
		pmemobj_tx_abort(EDOM);
	} TX_ONCOMMIT {
		BLOCK();
	} TX_ONABORT {
		SHOW(errno == EDOM);
		BLOCK();
	} TX_FINALLY {
		SHOW(pmemobj_tx_errno() == EDOM);
		BLOCK();
	} TX_END
	SHOW(order);
	SHOW(errno == EDOM);

	/* a break out of a block runs it again */
	TX_BEGIN(pop) {
		if (runs++ < 3)
			break;
	} TX_END
	SHOW(runs);

	/* nested, with the parent going down as well */
	order = 0;
	TX_BEGIN(pop) {
		TX_BEGIN(pop) {
			BLOCK();
			pmemobj_tx_abort(ERANGE);
		} TX_ONABORT {
			BLOCK();
		} TX_END
		BLOCK(); /* not reached */
	} TX_ONABORT {
		BLOCK();
	} TX_END
	SHOW(order);
	SHOW(errno == ERANGE);
}

static void
parameters(void)
{
	struct root *r = D_RW(root);

	order = 0;
	memset(stages, 0, sizeof(stages));
	TX_BEGIN_PARAM(pop, TX_PARAM_MUTEX, &r->mutex, TX_PARAM_RWLOCK, &r->rwlock, TX_PARAM_NONE) {
		SHOW(pmemobj_mutex_trylock(pop, &r->mutex) == EBUSY);
		SHOW(pmemobj_tx_lock(TX_PARAM_MUTEX, &r->mutex));
	} TX_END
	TX_BEGIN_PARAM(pop, TX_PARAM_RWLOCK, &r->rwlock) {
		SHOW(pmemobj_rwlock_trywrlock(pop, &r->rwlock) == EBUSY);
	} TX_END
	TX_BEGIN_LOCK(pop, TX_PARAM_MUTEX, &r->mutex) {
		SHOW(pmemobj_rwlock_trywrlock(pop, &r->rwlock));
		SHOW(pmemobj_rwlock_unlock(pop, &r->rwlock));
	} TX_END
	TX_BEGIN_CB(pop, callback, &stages[0]) {
		BLOCK();
	} TX_END
	SHOW(order);
	TX_BEGIN_CB(pop, callback, &stages[1], TX_PARAM_MUTEX, &r->mutex, TX_PARAM_NONE) {
		SHOW(pmemobj_mutex_trylock(pop, &r->mutex) == EBUSY);
	} TX_END
	SHOW(stages[0]);
	SHOW(stages[1]);
	SHOW(pmemobj_mutex_trylock(pop, &r->mutex));
	SHOW(pmemobj_mutex_unlock(pop, &r->mutex));
}

static void
changes(void)
{
	struct root *r = D_RW(root);
	int pass;

	r->word = 1;
	memset(r->array, 1, sizeof(r->array));
	D_RW(a)->value = 10;
	pmemobj_persist(pop, r, sizeof(*r));
	/* first undone, then done */
	for (pass = 0; pass < 2; pass++) {
		TX_BEGIN(pop) {
			SHOW(TX_ADD(a));
			SHOW(TX_ADD_FIELD(a, text));
			SHOW(TX_ADD_DIRECT(&r->array));
			SHOW(TX_ADD_FIELD_DIRECT(r, array[1]));
			SHOW(TX_XADD(a, POBJ_XADD_NO_FLUSH));
			SHOW(TX_XADD_FIELD(a, value, POBJ_XADD_ASSUME_INITIALIZED));
			SHOW(TX_XADD_DIRECT(&r->word, POBJ_XADD_NO_SNAPSHOT));
			SHOW(TX_XADD_FIELD_DIRECT(r, array, POBJ_XADD_NO_ABORT));
			SHOW(TX_XADD_DIRECT(&r->word, (uint64_t)1 << 63 | POBJ_XADD_NO_ABORT) == EINVAL);
			D_RW(a)->value++;
			TX_SET(a, text[0], 'x');
			TX_SET_DIRECT(r, array[2], 12);
			SHOW(TX_MEMCPY(&r->array[3], &r->array[2], sizeof(int)) == &r->array[3]);
			SHOW(TX_MEMSET(r->array, 7, sizeof(int)) == r->array);
			if (pass == 0)
				pmemobj_tx_abort(ECANCELED);
		} TX_END
		SHOW(D_RO(a)->value);
		SHOW(D_RO(a)->text[0]);
		SHOW(r->array[0]);
		SHOW(r->array[2]);
		SHOW(r->array[3]);
	}
}

static void
objects(void)
{
	static TOID(char) text, copy;
	static TOID(number) numbers;
	PMEMoid oid;
	int n;

	TX_BEGIN(pop) {
		b = TX_NEW(struct node);
		c = TX_ZNEW(struct node);
		SHOW(TOID_VALID(b));
		SHOW(D_RO(c)->value);
		text = TX_ALLOC(char, 100);
		numbers = TX_ZALLOC(number, 100 * sizeof(number));
		SHOW(D_RO(numbers)[99]);
		SHOW(TX_FREE(text));
		text = TX_XALLOC(char, 300, POBJ_XALLOC_ZERO | POBJ_XALLOC_NO_FLUSH);
		SHOW(D_RO(text)[299]);
		text = TX_REALLOC(text, 700);
		text = TX_ZREALLOC(text, 1700);
		SHOW(TOID_VALID(text));
		SHOW(D_RO(text)[1699]);
		SHOW(TOID_IS_NULL(TX_XALLOC(char, 0, POBJ_XALLOC_NO_ABORT)));
		TOID_ASSIGN(copy, TX_STRDUP("hello", TOID_TYPE_NUM(char)));
		printf("%s\n", D_RO(copy));
		SHOW(TX_XFREE(copy, POBJ_XFREE_NO_ABORT));
		TOID_ASSIGN(copy, TX_XSTRDUP("hello again", TOID_TYPE_NUM(char), POBJ_XALLOC_ZERO));
		printf("%s\n", D_RO(copy));
		oid = TX_WCSDUP(L"wide", 200);
		SHOW(wcscmp((const wchar_t *)pmemobj_direct(oid), L"wide"));
		oid = TX_XWCSDUP(L"wider", 201, 0);
		SHOW(wcscmp((const wchar_t *)pmemobj_direct(oid), L"wider"));
		SHOW(pmemobj_type_num(oid));
	} TX_ONABORT {
		printf("aborted: %s\n", pmemobj_errormsg());
	} TX_END
	n = 0;
	POBJ_FOREACH(pop, oid)
		n += (int)pmemobj_type_num(oid);
	SHOW(n);
}

static int
vlt(void *ptr, void *arg)
{
	*(int *)ptr = *(int *)arg;
	return 0;
}

static void
variables(void)
{
	struct root *r = D_RW(root);
	int value = 41;
	void *p = pmemobj_volatile(pop, &r->vlt.vlt, &r->vlt.value, sizeof(int), vlt, &value);

	SHOW(p == &r->vlt.value);
	SHOW(r->vlt.value++);
	pmemobj_volatile(pop, &r->vlt.vlt, &r->vlt.value, sizeof(int), vlt, &value);
	SHOW(r->vlt.value);
	SHOW(TOID_EQUALS(POBJ_ROOT(pop, struct root), root));
	SHOW(pmemobj_check_version(PMEMOBJ_MAJOR_VERSION, PMEMOBJ_MINOR_VERSION) == NULL);
	SHOW(pmem_check_version(PMEM_MAJOR_VERSION, PMEM_MINOR_VERSION) == NULL);
}

static void
show_list(const char *name, struct node_list *list)
{
	TOID(struct node) node;

	printf("%s:", name);
	POBJ_LIST_FOREACH(node, list, entry)
		printf(" %d", D_RO(node)->value);
	printf(" |");
	SHOW(TOID_IS_NULL(node));
}

static void
lists(void)
{
	struct root *r = D_RW(root);
	struct node_list *l = &r->list;
	TOID(struct node) x, y, z;
	PMEMoid oid;
	int arg = 1;

	SHOW(POBJ_LIST_EMPTY(l));
	SHOW(TOID_IS_NULL(POBJ_LIST_LAST(l, entry)));
	TOID_ASSIGN(x, POBJ_LIST_INSERT_NEW_HEAD(pop, l, entry, sizeof(struct node), construct, &arg));
	SHOW(TOID_VALID(x));
	arg = 2;
	TOID_ASSIGN(y, POBJ_LIST_INSERT_NEW_TAIL(pop, l, entry, sizeof(struct node), construct, &arg));
	arg = 3;
	oid = POBJ_LIST_INSERT_NEW_AFTER(pop, l, x, entry, sizeof(struct node), construct, &arg);
	SHOW(OID_IS_NULL(oid));
	arg = 4;
	oid = POBJ_LIST_INSERT_NEW_BEFORE(pop, l, x, entry, sizeof(struct node), construct, &arg);
	SHOW(OID_IS_NULL(oid));
	show_list("new", l);
	SHOW(TOID_EQUALS(POBJ_LIST_LAST(l, entry), y));
	SHOW(D_RO(POBJ_LIST_FIRST(l))->value);
	SHOW(D_RO(POBJ_LIST_NEXT(x, entry))->value);
	SHOW(D_RO(POBJ_LIST_PREV(x, entry))->value);
	POBJ_LIST_FOREACH_REVERSE(z, l, entry)
		printf("%d ", D_RO(z)->value);
	SHOW(TOID_IS_NULL(z));

	SHOW(POBJ_LIST_REMOVE(pop, l, x, entry));
	show_list("removed", l);
	SHOW(POBJ_LIST_INSERT_HEAD(pop, l, x, entry));
	show_list("head", l);
	SHOW(POBJ_LIST_REMOVE(pop, l, x, entry));
	SHOW(POBJ_LIST_INSERT_TAIL(pop, l, x, entry));
	show_list("tail", l);
	SHOW(POBJ_LIST_REMOVE(pop, l, x, entry));
	SHOW(POBJ_LIST_INSERT_AFTER(pop, l, y, x, entry));
	show_list("after", l);
	SHOW(POBJ_LIST_REMOVE(pop, l, x, entry));
	SHOW(POBJ_LIST_INSERT_BEFORE(pop, l, y, x, entry));
	show_list("before", l);

	SHOW(POBJ_LIST_MOVE_ELEMENT_HEAD(pop, l, &r->list2, x, entry, entry));
	SHOW(POBJ_LIST_MOVE_ELEMENT_TAIL(pop, l, &r->list2, y, entry, entry));
	z = POBJ_LIST_FIRST(l);
	SHOW(POBJ_LIST_MOVE_ELEMENT_AFTER(pop, l, &r->list2, x, z, entry, entry));
	z = POBJ_LIST_FIRST(l);
	SHOW(POBJ_LIST_MOVE_ELEMENT_BEFORE(pop, l, &r->list2, x, z, entry, entry));
	show_list("moved from", l);
	show_list("moved to", &r->list2);
	SHOW(POBJ_LIST_MOVE_ELEMENT_HEAD(pop, &r->list2, l, x, entry, other));
	SHOW(TOID_EQUALS(POBJ_LIST_NEXT(x, other), x));
	while (!POBJ_LIST_EMPTY(&r->list2)) {
		z = POBJ_LIST_FIRST(&r->list2);
		SHOW(POBJ_LIST_REMOVE_FREE(pop, &r->list2, z, entry));
	}
	show_list("freed", &r->list2);
}

int
main(int argc, char *argv[])
{
	const char *part = argc > 2 ? argv[2] : "";

	pop = pmemobj_create(argv[1], POBJ_LAYOUT_NAME(tour), PMEMOBJ_MIN_POOL, 0600);
	if (pop == NULL) {
		printf("%s\n", pmemobj_errormsg());
		return 1;
	}
	root = POBJ_ROOT(pop, struct root);
	if (strcmp(part, "lists") == 0) {
		lists();
	} else if (strcmp(part, "crash") == 0) {
		/* ends here if compiled with POBJ_TX_CRASH_ON_NO_ONABORT */
		TX_BEGIN(pop) {
			pmemobj_tx_abort(1);
		} TX_END
	} else {
		types();
		atomic();
		actions();
		iteration();
		outcomes();
		parameters();
		changes();
		objects();
		variables();
	}
	pmemobj_close(pop);
	return 0;
}

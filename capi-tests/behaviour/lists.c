/* lists.c -- atomic lists through all their macros, against a model. */
#define _GNU_SOURCE
#include <libpmemobj.h>
#include <pthread.h>
#include "test.h"

POBJ_LAYOUT_BEGIN(lists);
POBJ_LAYOUT_ROOT(lists, struct root);
POBJ_LAYOUT_TOID(lists, struct element);
POBJ_LAYOUT_END(lists);

struct element {
	uint64_t id;
	POBJ_LIST_ENTRY(struct element) one;
	uint64_t between;
	POBJ_LIST_ENTRY(struct element) two;
};

POBJ_LIST_HEAD(head, struct element);

struct root {
	struct head first, second; /* linked by `one` */
	struct head third; /* linked by `two` */
	PMEMoid oid;
};

#define MOST 40

static PMEMobjpool *pop;
static struct root *r;

/* What a list must hold, in order. */
struct model {
	TOID(struct element) at[MOST];
	int n;
};

static void
put(struct model *m, int i, TOID(struct element) e)
{
	memmove(&m->at[i + 1], &m->at[i], (size_t)(m->n - i) * sizeof(e));
	m->at[i] = e;
	m->n++;
}

static TOID(struct element)
take(struct model *m, int i)
{
	TOID(struct element) e = m->at[i];
	m->n--;
	memmove(&m->at[i], &m->at[i + 1], (size_t)(m->n - i) * sizeof(e));
	return e;
}

#define SAME_AS(head, m, field) do { \
	TOID(struct element) e_; \
	int i_ = 0; \
	POBJ_LIST_FOREACH(e_, head, field) { \
		if (i_ >= (m)->n || !TOID_EQUALS(e_, (m)->at[i_])) \
			FAIL("element %d of %d differs", i_, (m)->n); \
		if (++i_ > MOST) \
			break; \
	} \
	EQ(i_, (m)->n); \
	POBJ_LIST_FOREACH_REVERSE(e_, head, field) \
		if (--i_ < 0 || !TOID_EQUALS(e_, (m)->at[i_])) { \
			FAIL("element %d of %d differs in reverse", i_, (m)->n); \
			break; \
		} \
	EQ(i_, 0); \
	CHECK(POBJ_LIST_EMPTY(head) == ((m)->n == 0)); \
} while (0)

static int
number(PMEMobjpool *p, void *ptr, void *arg)
{
	struct element *e = ptr;
	memset(e, 0xee, sizeof(*e)); /* also the links: they are filled later */
	e->id = *(uint64_t *)arg;
	pmemobj_persist(p, e, sizeof(*e));
	return 0;
}

static TOID(struct element)
new_at(struct head *h, struct model *m, int how, int i, uint64_t id)
{
	TOID(struct element) e;
	switch (how) {
	case 0:
		TOID_ASSIGN(e, POBJ_LIST_INSERT_NEW_HEAD(pop, h, one, sizeof(struct element), number, &id));
		put(m, 0, e);
		break;
	case 1:
		TOID_ASSIGN(e, POBJ_LIST_INSERT_NEW_TAIL(pop, h, one, sizeof(struct element), number, &id));
		put(m, m->n, e);
		break;
	case 2:
		TOID_ASSIGN(e, POBJ_LIST_INSERT_NEW_BEFORE(pop, h, m->at[i], one, sizeof(struct element),
				number, &id));
		put(m, i, e);
		break;
	default:
		TOID_ASSIGN(e, POBJ_LIST_INSERT_NEW_AFTER(pop, h, m->at[i], one, sizeof(struct element),
				number, &id));
		put(m, i + 1, e);
	}
	CHECK(!TOID_IS_NULL(e) && D_RO(e)->id == id);
	EQ(pmemobj_type_num(e.oid), TOID_TYPE_NUM(struct element));
	return e;
}

static void
insert_at(struct head *h, struct model *m, int how, int i, TOID(struct element) e)
{
	switch (how) {
	case 0:
		EQ(POBJ_LIST_INSERT_HEAD(pop, h, e, one), 0);
		put(m, 0, e);
		break;
	case 1:
		EQ(POBJ_LIST_INSERT_TAIL(pop, h, e, one), 0);
		put(m, m->n, e);
		break;
	case 2:
		EQ(POBJ_LIST_INSERT_BEFORE(pop, h, m->at[i], e, one), 0);
		put(m, i, e);
		break;
	default:
		EQ(POBJ_LIST_INSERT_AFTER(pop, h, m->at[i], e, one), 0);
		put(m, i + 1, e);
	}
}

/* Moves element i of one list to a place in the other or the same list. */
static void
move(struct head *from, struct model *mf, int i, struct head *to, struct model *mt, int how, int at)
{
	TOID(struct element) e = mf->at[i], dest = mt->n ? mt->at[at] : e;
	if (how >= 2 && TOID_EQUALS(e, dest)) {
		EQ(POBJ_LIST_MOVE_ELEMENT_BEFORE(pop, from, to, dest, e, one, one), 0);
		return; /* beside itself: nothing happens */
	}
	take(mf, i);
	int where = 0;
	for (int k = 0; k < mt->n; k++)
		if (TOID_EQUALS(mt->at[k], dest))
			where = k;
	switch (how) {
	case 0:
		EQ(POBJ_LIST_MOVE_ELEMENT_HEAD(pop, from, to, e, one, one), 0);
		put(mt, 0, e);
		break;
	case 1:
		EQ(POBJ_LIST_MOVE_ELEMENT_TAIL(pop, from, to, e, one, one), 0);
		put(mt, mt->n, e);
		break;
	case 2:
		EQ(POBJ_LIST_MOVE_ELEMENT_BEFORE(pop, from, to, dest, e, one, one), 0);
		put(mt, where, e);
		break;
	default:
		EQ(POBJ_LIST_MOVE_ELEMENT_AFTER(pop, from, to, dest, e, one, one), 0);
		put(mt, where + 1, e);
	}
}

static void
as_the_model(void)
{
	static struct model m[2], loose;
	struct head *h[2] = {&r->first, &r->second};
	uint64_t state = 7, id = 0;
	for (int step = 0; step < 4000 && case_failures == 0; step++) {
		int l = (int)(random_u64(&state) % 2), o = (int)(random_u64(&state) % 2);
		int how = (int)(random_u64(&state) % (m[l].n ? 4 : 2));
		int i = m[l].n ? (int)(random_u64(&state) % (uint64_t)m[l].n) : 0;
		switch (random_u64(&state) % 5) {
		case 0:
			if (m[0].n + m[1].n + loose.n < MOST - 1)
				new_at(h[l], &m[l], how, i, ++id);
			break;
		case 1:
			if (loose.n)
				insert_at(h[l], &m[l], how, i, take(&loose, 0));
			break;
		case 2:
			if (m[l].n) {
				TOID(struct element) e = take(&m[l], i);
				EQ(POBJ_LIST_REMOVE(pop, h[l], e, one), 0);
				EQ(D_RO(e)->one.pe_next.oid.off, 0);
				EQ(D_RO(e)->one.pe_prev.oid.off, 0);
				EQ(D_RO(e)->one.pe_next.oid.pool_uuid_lo, e.oid.pool_uuid_lo);
				put(&loose, loose.n, e);
			}
			break;
		case 3:
			if (m[l].n && random_u64(&state) % 2) {
				TOID(struct element) e = take(&m[l], i);
				EQ(POBJ_LIST_REMOVE_FREE(pop, h[l], e, one), 0);
			}
			break;
		default:
			if (m[l].n) {
				how = (int)(random_u64(&state) % (m[o].n ? 4 : 2));
				int at = m[o].n ? (int)(random_u64(&state) % (uint64_t)m[o].n) : 0;
				move(h[l], &m[l], i, h[o], &m[o], how, at);
			}
		}
		SAME_AS(h[0], &m[0], one);
		SAME_AS(h[1], &m[1], one);
		int objects = 0;
		TOID(struct element) e;
		POBJ_FOREACH_TYPE(pop, e)
			objects++;
		EQ(objects, m[0].n + m[1].n + loose.n);
	}
	CHECK(id > 200);
	/* the same after the pool was closed */
	size_t off = (size_t)((char *)r - (char *)pop);
	pmemobj_close(pop);
	NEED((pop = pmemobj_open(path_of("lists"), POBJ_LAYOUT_NAME(lists))) != NULL);
	r = (void *)((char *)pop + off);
	SAME_AS(&r->first, &m[0], one);
	SAME_AS(&r->second, &m[1], one);
	while (m[0].n)
		EQ(POBJ_LIST_REMOVE_FREE(pop, &r->first, take(&m[0], 0), one), 0);
	while (m[1].n)
		EQ(POBJ_LIST_REMOVE_FREE(pop, &r->second, take(&m[1], m[1].n - 1), one), 0);
	SAME_AS(&r->first, &m[0], one);
	SAME_AS(&r->second, &m[1], one);
}

/* Between lists that use different entries: the old entry stays as it was. */
static void
other_entry(void)
{
	struct model m = {.n = 0}, t = {.n = 0};
	TOID(struct element) a = new_at(&r->first, &m, 0, 0, 1), b = new_at(&r->first, &m, 1, 0, 2);
	EQ(POBJ_LIST_INSERT_HEAD(pop, &r->third, a, two), 0); /* on two lists at once */
	put(&t, 0, a);
	SAME_AS(&r->third, &t, two);
	EQ(POBJ_LIST_REMOVE(pop, &r->third, a, two), 0);
	take(&t, 0);

	EQ(POBJ_LIST_MOVE_ELEMENT_HEAD(pop, &r->first, &r->third, b, one, two), 0);
	take(&m, 1);
	put(&t, 0, b);
	SAME_AS(&r->first, &m, one);
	SAME_AS(&r->third, &t, two);
	EQ(D_RO(b)->one.pe_next.oid.off, a.oid.off);
	EQ(D_RO(b)->one.pe_prev.oid.off, a.oid.off);
	EQ(POBJ_LIST_REMOVE_FREE(pop, &r->third, b, two), 0);
	EQ(POBJ_LIST_REMOVE_FREE(pop, &r->first, a, one), 0);
	CHECK(POBJ_LIST_EMPTY(&r->first) && POBJ_LIST_EMPTY(&r->third));
	CHECK(r->first.pe_first.oid.pool_uuid_lo != 0); /* only the offset is cleared */
}

static int
refuse(PMEMobjpool *p, void *ptr, void *arg)
{
	(void)p, (void)ptr, (void)arg;
	return 1;
}

static void
failures(void)
{
	errno = 0;
	PMEMoid oid = POBJ_LIST_INSERT_NEW_HEAD(pop, &r->first, one, sizeof(struct element), refuse, NULL);
	CHECK(OID_IS_NULL(oid));
	EQ(errno, ECANCELED);
	errno = 0;
	oid = POBJ_LIST_INSERT_NEW_TAIL(pop, &r->first, one, PMEMOBJ_MAX_ALLOC_SIZE + 1, NULL, NULL);
	CHECK(OID_IS_NULL(oid));
	EQ(errno, ENOMEM);
	STARTS(pmemobj_errormsg(), "requested size too large");
	errno = 0;
	oid = POBJ_LIST_INSERT_NEW_TAIL(pop, &r->first, one, 1UL << 30, NULL, NULL);
	CHECK(OID_IS_NULL(oid));
	EQ(errno, ENOMEM);
	CHECK(POBJ_LIST_EMPTY(&r->first));
	CHECK(OID_IS_NULL(pmemobj_first(pop)));
	if (is_pmdk())
		return; /* it crashes on all that follows */
	errno = 0;
	oid = POBJ_LIST_INSERT_NEW_TAIL(pop, &r->first, one, 0, NULL, NULL);
	CHECK(OID_IS_NULL(oid));
	EQ(errno, EINVAL);
	struct model m = {.n = 0};
	TOID(struct element) a = new_at(&r->first, &m, 0, 0, 1);
	EQ(POBJ_LIST_REMOVE(pop, &r->first, a, one), 0);
	errno = 0;
	EQ(POBJ_LIST_REMOVE(pop, &r->first, a, one), -1); /* on no list any more */
	EQ(errno, EINVAL);
	EQ(POBJ_LIST_INSERT_HEAD(pop, &r->first, a, one), 0);
	D_RW(a)->one.pe_next.oid.off = D_RW(a)->one.pe_prev.oid.off = 1UL << 40; /* damaged links */
	EQ(POBJ_LIST_REMOVE(pop, &r->first, a, one), -1);
	EQ(POBJ_LIST_INSERT_TAIL(pop, &r->first, a, one), -1);
	D_RW(a)->one.pe_next.oid.off = D_RW(a)->one.pe_prev.oid.off = a.oid.off;
	EQ(pmemobj_list_insert(pop, 1, &r->first, OID_NULL, 1, a.oid), -1); /* misaligned */
	EQ(pmemobj_list_remove(pop, 0, (char *)pop + 16, a.oid, 0), -1); /* no head there */
	EQ(pmemobj_list_insert(pop, 8, &r->first, OID_NULL, 1, OID_NULL), -1);
	/* What would write into the locks that are held. */
	PMEMoid root = pmemobj_root(pop, sizeof(*r));
	errno = 0;
	EQ(pmemobj_list_insert(pop, offsetof(struct root, second) + 48, &r->second, OID_NULL, 1, root), -1);
	EQ(errno, EINVAL);
	errno = 0;
	EQ(pmemobj_list_move(pop, 0, (char *)&r->first + 8, 0, &r->first, OID_NULL, 1, a.oid), -1);
	EQ(errno, EINVAL);
	EQ(POBJ_LIST_REMOVE_FREE(pop, &r->first, a, one), 0);
}

/* In a transaction they act at once, whatever becomes of it. */
static void
within_a_transaction(void)
{
	struct model m = {.n = 0};
	TX_BEGIN(pop) {
		new_at(&r->second, &m, 0, 0, 5);
		pmemobj_tx_abort(EINVAL);
	} TX_END
	SAME_AS(&r->second, &m, one);
	EQ(POBJ_LIST_REMOVE_FREE(pop, &r->second, m.at[0], one), 0);
}

/* Threads that move elements back and forth, with the heads in either order. */
static void *
mover(void *arg)
{
	long me = (long)arg;
	struct head *a = me % 2 ? &r->first : &r->second, *b = me % 2 ? &r->second : &r->first;
	for (uint64_t i = 0; i < 1500; i++) {
		TOID(struct element) e;
		TOID_ASSIGN(e, POBJ_LIST_INSERT_NEW_TAIL(pop, a, one, sizeof(struct element), number, &i));
		CHECK(POBJ_LIST_MOVE_ELEMENT_HEAD(pop, a, b, e, one, one) == 0);
		CHECK(POBJ_LIST_REMOVE_FREE(pop, b, e, one) == 0);
	}
	return NULL;
}

static void
threads(void)
{
	pthread_t t[3];
	for (long i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, mover, (void *)i);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	CHECK(POBJ_LIST_EMPTY(&r->first) && POBJ_LIST_EMPTY(&r->second));
}

int
main(void)
{
	pop = pmemobj_create(path_of("lists"), POBJ_LAYOUT_NAME(lists), 16 << 20, 0600);
	if (pop == NULL)
		return 2;
	r = pmemobj_direct(pmemobj_root(pop, sizeof(struct root)));
	RUN(failures);
	RUN(as_the_model);
	RUN(other_entry);
	RUN(within_a_transaction);
	RUN(threads);
	pmemobj_close(pop);
	EQ(pmemobj_check(path_of("lists"), POBJ_LAYOUT_NAME(lists)), 1);
	DONE();
}

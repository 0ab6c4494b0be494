/* defrag.c -- objects move out of sparse runs, and what refers to them follows. */
#define _GNU_SOURCE
#include <libpmemobj.h>
#include "test.h"

#define POOL_SIZE ((size_t)128 << 20)
#ifdef FEW /* under valgrind */
#define N 6000
#else
#define N 20000
#endif

static PMEMobjpool *pop;

/* Chained, so that listed ids lie inside of objects that move. */
struct object {
	PMEMoid next;
	uint64_t id;
	char data[140];
};

struct root {
	PMEMoid first;
	PMEMoid oids[N];
};

static struct root *r;
static PMEMoid *list[2 * N + 10];

static void
fill(struct object *o, uint64_t id)
{
	o->id = id;
	memset(o->data, (int)(id * 31), sizeof(o->data));
	pmemobj_persist(pop, o, sizeof(*o));
}

static int
sound(PMEMoid oid, uint64_t id)
{
	struct object *o = pmemobj_direct(oid);
	if (o->id != id || pmemobj_type_num(oid) != 9)
		return 0;
	for (size_t i = 0; i < sizeof(o->data); i++)
		if (o->data[i] != (char)(id * 31))
			return 0;
	return 1;
}

/* Chunks that hold objects. */
static int
chunks(void)
{
	static char seen[POOL_SIZE >> 18];
	int n = 0;
	memset(seen, 0, sizeof(seen));
	for (PMEMoid o = pmemobj_first(pop); !OID_IS_NULL(o); o = pmemobj_next(o)) {
		size_t c = (o.off - 0x302000 - 1024 - 64 - 65528 * 8) >> 18;
		n += !seen[c];
		seen[c] = 1;
	}
	return n;
}

/* One in `keep` of N objects stays, in a chain. */
static size_t
fragment(uint64_t keep)
{
	uint64_t state = 5;
	size_t n = 0;
	for (int i = 0; i < N; i++)
		if (pmemobj_alloc(pop, &r->oids[i], sizeof(struct object), 9, NULL, NULL) != 0)
			return 0;
	for (int i = 0; i < N; i++) {
		if (random_u64(&state) % keep)
			pmemobj_free(&r->oids[i]);
		else
			fill(pmemobj_direct(r->oids[i]), (uint64_t)i);
	}
	PMEMoid *link = &r->first;
	for (int i = 0; i < N; i++) {
		int k = (i * 7919) % N; /* in another order than in memory */
		if (OID_IS_NULL(r->oids[k]))
			continue;
		*link = r->oids[k];
		pmemobj_persist(pop, link, sizeof(*link));
		list[n++] = &r->oids[k];
		list[n++] = link;
		link = &((struct object *)pmemobj_direct(r->oids[k]))->next;
		*link = OID_NULL;
		pmemobj_persist(pop, link, sizeof(*link));
	}
	return n;
}

static void
follow(size_t objects)
{
	size_t n = 0;
	for (int i = 0; i < N; i++)
		if (!OID_IS_NULL(r->oids[i])) {
			n++;
			if (!sound(r->oids[i], (uint64_t)i))
				FAIL("object %d is damaged", i);
		}
	EQ(n, objects);
	n = 0;
	for (PMEMoid o = r->first; !OID_IS_NULL(o) && n <= N; n++) {
		struct object *p = pmemobj_direct(o);
		if (!OID_EQUALS(o, r->oids[p->id]))
			FAIL("the chain goes elsewhere at %zu", n);
		o = p->next;
	}
	EQ(n, objects);
	n = 0;
	for (PMEMoid o = pmemobj_first(pop); !OID_IS_NULL(o); o = pmemobj_next(o))
		n++;
	EQ(n, objects);
}

static void
sparse(void)
{
	size_t n = fragment(10), objects = n / 2;
	NEED(n > 0);
	int before = chunks();
	PMEMoid in_dram = *list[0], null = OID_NULL;
	list[n] = &in_dram;
	list[n + 1] = &null;
	struct pobj_defrag_result result = {77, 77};
	EQ(pmemobj_defrag(pop, list, n + 2, &result), 0);
	EQ(result.total, objects);
	CHECK(result.relocated > objects / 2 && result.relocated <= objects);
	if (!is_pmdk()) /* those of the fullest run stay */
		CHECK(result.relocated < objects);
	CHECK(OID_EQUALS(in_dram, *list[0]));
	CHECK(OID_IS_NULL(null));
	int after = chunks();
	printf("# %d chunks before, %d after, %zu of %zu moved\n", before, after, result.relocated, objects);
	CHECK(after * 5 <= before);
	follow(objects);
	/* nothing to be gained any more */
	EQ(pmemobj_defrag(pop, list, 0, &result), 0);
	EQ(result.total, 0);
	EQ(pmemobj_defrag(pop, NULL, 0, NULL), 0);
	size_t off = (size_t)((char *)r - (char *)pop);
	pmemobj_close(pop);
	EQ(pmemobj_check(path_of("defrag"), NULL), 1);
	NEED((pop = pmemobj_open(path_of("defrag"), NULL)) != NULL);
	r = (void *)((char *)pop + off);
	follow(objects);
	for (int i = 0; i < N; i++)
		pmemobj_free(&r->oids[i]);
	r->first = OID_NULL;
	CHECK(OID_IS_NULL(pmemobj_first(pop)));
}

/* Full runs and huge objects stay where they are. */
static void
dense(void)
{
	size_t n = fragment(1);
	NEED(n == 2 * N);
	PMEMoid huge, old;
	NEED(pmemobj_alloc(pop, &huge, 3000000, 1, NULL, NULL) == 0);
	old = huge;
	list[n++] = &huge;
	struct pobj_defrag_result result;
	EQ(pmemobj_defrag(pop, list, n, &result), 0);
	EQ(result.total, N + 1);
	CHECK(result.relocated < 2000); /* of the last run at most */
	CHECK(OID_EQUALS(huge, old));
	pmemobj_free(&huge);
	follow(N);
	for (int i = 0; i < N; i++)
		pmemobj_free(&r->oids[i]);
}

static void
another_pool(void)
{
	PMEMobjpool *other = pmemobj_create(path_of("other"), NULL, 8 << 20, 0600);
	NEED(other != NULL);
	PMEMoid here, there, *both[2] = {&here, &there};
	NEED(pmemobj_alloc(pop, &here, 100, 1, NULL, NULL) == 0);
	NEED(pmemobj_alloc(other, &there, 100, 1, NULL, NULL) == 0);
	PMEMoid old = here;
	struct pobj_defrag_result result = {5, 5};
	errno = 0;
	EQ(pmemobj_defrag(pop, both, 2, &result), -1);
	EQ(errno, 0);
	STREQ(pmemobj_errormsg(), "Not all PMEMoids belong to the provided pool");
	EQ(result.total, 0);
	EQ(result.relocated, 0);
	CHECK(OID_EQUALS(here, old));
	pmemobj_free(&here);
	pmemobj_close(other);
}

/* Killed in the middle, at several moments: every object is there once. */
static void
killed(void)
{
	size_t off = (size_t)((char *)r - (char *)pop);
	size_t n = fragment(10), objects = n / 2;
	NEED(n > 0);
	pmemobj_close(pop);
	for (unsigned delay = 200; delay < 4000; delay += 700) {
		pid_t pid = fork();
		if (pid == 0) {
			pop = pmemobj_open(path_of("defrag"), NULL);
			struct root *mine = (void *)((char *)pop + off);
			size_t k = 0;
			list[k++] = &mine->first;
			for (int i = 0; i < N; i++)
				if (!OID_IS_NULL(mine->oids[i])) {
					list[k++] = &mine->oids[i];
					list[k++] = &((struct object *)pmemobj_direct(mine->oids[i]))->next;
				}
			pmemobj_defrag(pop, list, k, NULL);
			_exit(0);
		}
		usleep(delay);
		kill(pid, SIGKILL);
		int status;
		waitpid(pid, &status, 0);
		NEED((pop = pmemobj_open(path_of("defrag"), NULL)) != NULL);
		r = (void *)((char *)pop + off);
		follow(objects);
		pmemobj_close(pop);
	}
	NEED((pop = pmemobj_open(path_of("defrag"), NULL)) != NULL);
	r = (void *)((char *)pop + off);
	for (int i = 0; i < N; i++)
		pmemobj_free(&r->oids[i]);
}

int
main(void)
{
	pop = pmemobj_create(path_of("defrag"), NULL, POOL_SIZE, 0600);
	if (pop == NULL)
		return 2;
	r = pmemobj_direct(pmemobj_root(pop, sizeof(*r)));
	RUN(sparse);
	RUN(dense);
	RUN(another_pool);
	RUN(killed);
	pmemobj_close(pop);
	EQ(pmemobj_check(path_of("defrag"), NULL), 1);
	DONE();
}

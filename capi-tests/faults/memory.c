/*
 * memory.c -- out of memory at every single allocation of a mixed workload:
 * errors or completed calls, nothing lost, a sound pool.
 *
 *   memory                sweeps
 *   memory sample         leaves pools that went through some faults
 *   memory look           opens and verifies those pools, on either library
 *   memory at N COUNT     fails COUNT allocations from number N on (-1: all)
 *   memory born N COUNT   the same while a pool is made
 */
#define _GNU_SOURCE
#include <libpmem.h>
#include <limits.h>
#include "work.h"

#define KEPT 5 /* pools */

static int pmem; /* pools are persistent memory */

struct run {
	const char *path;
	void *(*life)(void *);
	long first, count;
	int keep;
	long seen, failed; /* the answer of the child */
};

/* The file with a pool's model. */
static const char *
beside(const char *path)
{
	static char name[600];
	snprintf(name, sizeof(name), "%s.model", path);
	return name;
}

/* From here on there is memory. */
static void
relax(struct run *r)
{
	r->seen = machine.seen[CALL_memory];
	r->failed = excused = machine.failed;
	machine.call = CALLS;
}

/* The model is new, and so is the root's data. */
static void
reset(void)
{
	memset(&now, 0, sizeof(now));
	pmemobj_memset_persist(pop, root->value, 0, sizeof(root->value));
	pmemobj_memset_persist(pop, root->data, 0, sizeof(root->data));
	verify();
}

static void
work_after_clearing(void)
{
	clear();
	verify();
	work();
}

/* All that can be done with an open pool, without and then with memory. */
static void *
life(void *arg)
{
	struct run *r = arg;
	machine.armed = 1;
	pop = pmemobj_open(r->path, LAYOUT);
	if (!went_well(pop != NULL, "pmemobj_open")) {
		relax(r);
		pop = pmemobj_open(r->path, LAYOUT);
	}
	if (went_well(pop != NULL, "pmemobj_open, with memory") && enter()) {
		QUIETLY(reset());
		work();
		if (machine.call != CALLS)
			relax(r);
		verify();
		work_after_clearing();
		if (r->keep)
			QUIETLY(save_model(beside(r->path)));
		else
			clear();
		verify();
		root = NULL;
		pmemobj_close(pop);
	}
	machine.armed = 0;
	return NULL;
}

/* Creating, checking and opening; the root. */
static void *
birth(void *arg)
{
	struct run *r = arg;
	struct stat st;
	machine.armed = 1;
	pop = pmemobj_create(r->path, LAYOUT, PMEMOBJ_MIN_POOL, 0600);
	if (!went_well(pop != NULL, "pmemobj_create")) {
		CHECK(stat(r->path, &st) != 0 && errno == ENOENT);
		machine.call = CALLS;
		pop = pmemobj_create(r->path, LAYOUT, PMEMOBJ_MIN_POOL, 0600);
		CHECK(pop != NULL);
		machine.call = CALL_memory;
	}
	enter();
	root = NULL;
	pmemobj_close(pop);
	DOES(pmemobj_check(r->path, LAYOUT) == 1);
	pop = pmemobj_open(r->path, LAYOUT);
	if (went_well(pop != NULL, "pmemobj_open")) {
		enter();
		root = NULL;
		pmemobj_close(pop);
	}
	relax(r);
	machine.armed = 0;
	unlink(r->path);
	return NULL;
}

#define THREADS 12
static pthread_barrier_t all_here;

/* A thread's first transaction finds no memory, at the same time as others'. */
static void *
first_transaction(void *arg)
{
	volatile int aborted = 0;
	(void)arg;
	pthread_barrier_wait(&all_here); /* until the machine is armed */
	TX_BEGIN(pop) {
		FAIL("a transaction without memory");
	} TX_ONABORT {
		aborted = 1;
		EQ(pmemobj_tx_errno(), ENOMEM);
		pthread_barrier_wait(&all_here);
	} TX_END
	CHECK(aborted);
	return NULL;
}

static void
run_first_transactions(void *path)
{
	pthread_t t[THREADS];
	pop = pmemobj_open(path, LAYOUT);
	NEED(pop != NULL);
	pthread_barrier_init(&all_here, NULL, THREADS + 1);
	arrange(CALL_memory, 0, LONG_MAX, ENOMEM);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, first_transaction, NULL);
	machine.armed = 1;
	pthread_barrier_wait(&all_here);
	pthread_barrier_wait(&all_here);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	machine.armed = 0;
	pmemobj_close(pop);
}

#define MAPPINGS 12
#define MAPPED ((size_t)64 << 10)

/* libpmem's mappings of persistent memory, and what it knows of them. */
static void *
mappings(void *arg)
{
	struct run *r = arg;
	static struct holdings after;
	char *at[MAPPINGS];
	machine.dax = machine.armed = 1;
	for (int i = 0; i < MAPPINGS; i++) {
		at[i] = pmem_map_file(r->path, MAPPED, PMEM_FILE_CREATE, 0600, NULL, NULL);
		if (at[i] == NULL) {
			EQ(errno, ENOMEM);
			CHECK(strstr(pmem_errormsg(), "out of memory") != NULL);
			continue;
		}
		/* A hole in the middle makes two of one. */
		EQ(pmem_is_pmem(at[i], MAPPED), 1);
		if (pmem_unmap(at[i] + MAPPED / 2, 4096) != 0) {
			EQ(errno, ENOMEM);
			EQ(pmem_is_pmem(at[i], MAPPED), 1);
			EQ(at[i][MAPPED / 2], 0);
		} else {
			EQ(pmem_is_pmem(at[i] + MAPPED / 2, 1), 0);
		}
		EQ(pmem_is_pmem(at[i], MAPPED / 2), 1);
		EQ(pmem_deep_persist(at[i], 4096), 0);
	}
	relax(r);
	for (int i = 0; i < MAPPINGS; i++)
		if (at[i] != NULL)
			EQ(pmem_unmap(at[i], MAPPED), 0);
	machine.armed = 0;
	take_stock(&after);
	CHECK(strstr(after.maps, r->path) == NULL);
	return NULL;
}

/* One run in this process. */
static void
run(void *arg)
{
	struct run *r = arg;
	pthread_t t;
	case_failures = 0;
	arrange(CALL_memory, r->first, r->count < 0 ? LONG_MAX : r->first + r->count - 1, ENOMEM);
	pthread_create(&t, NULL, r->life, r);
	pthread_join(t, NULL);
	if (r->life != mappings) /* libpmem keeps its table */
		EQ(leaks(), 0);
	if (r->life == life && pmemobj_check(r->path, LAYOUT) != 1)
		FAIL("the pool is damaged: %s", pmemobj_errormsg());
}

/* Fails COUNT allocations from the first, second, ... on, until there are no
 * more; where the memory is an ordinary file, which makes little difference,
 * from every third on. */
static void
sweep(void *(*life_or_birth)(void *), const char *path, long count)
{
	long stride = pmem ? 1 : 3;
	struct run *r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	*r = (struct run){.path = path, .life = life_or_birth, .count = count};
	do {
		r->failed = -1;
		int status = outcome(run, r);
		if (status != 0)
			FAIL("%ld failures from allocation %ld on: status %d", count, r->first, status);
		r->first += stride;
	} while (r->failed > 0 && case_failures < 5);
	printf("# %s, %ld at a time: %ld of %ld allocations\n", path, count, (r->first - 1) / stride, r->seen);
	CHECK(r->first > (life_or_birth == mappings ? 4 : 20) && r->failed == 0);
	munmap(r, sizeof(*r));
}

static void
new_pool(void *path)
{
	PMEMobjpool *p = pmemobj_create(path, LAYOUT, POOL_SIZE, 0600);
	NEED(p != NULL);
	CHECK(!OID_IS_NULL(pmemobj_root(p, sizeof(struct root))));
	pmemobj_close(p);
}

/* Pools after a fault here and there, for PMDK to look at. */
static void
sample(void)
{
	for (long n = 0; n < KEPT; n++) {
		char path[512];
		snprintf(path, sizeof(path), "%s-%ld", path_of("kept"), n);
		EQ(outcome(new_pool, path), 0);
		struct run r = {.path = path, .life = life, .first = 13 + 25 * n, .count = n % 2 ? 1 : 20, .keep = 1};
		EQ(outcome(run, &r), 0);
	}
}

/* Opens what was kept. */
static void
look(void)
{
	for (long n = 0; n < KEPT; n++) {
		char path[512];
		snprintf(path, sizeof(path), "%s-%ld", path_of("kept"), n);
		EQ(pmemobj_check(path, LAYOUT), 1);
		pop = pmemobj_open(path, LAYOUT);
		NEED(pop != NULL);
		load_model(beside(path));
		CHECK(now.length[0] > 0 && now.slot[0].size + now.slot[1].size > 0);
		CHECK(enter());
		verify();
		work_after_clearing();
		pmemobj_close(pop);
	}
}

static void while_a_pool_is_born(void)
{
	for (int count = -1; count <= 1; count += 2)
		sweep(birth, path_of("born"), count);
}

static void
first_transactions(void)
{
	EQ(outcome(run_first_transactions, (void *)path_of("pool")), 0);
}

static void
while_files_are_mapped(void)
{
	unsetenv("PMEM_IS_PMEM_FORCE");
	for (int count = -1; count <= 1; count += 2)
		sweep(mappings, path_of("mapped"), count);
}

static void one_at_a_time(void) { sweep(life, path_of("pool"), 1); }
static void seven_at_a_time(void) { sweep(life, path_of("pool"), 7); }
static void from_one_on(void) { sweep(life, path_of("pool"), -1); }

/* Settings by text, and by a file whose path is long. */
static void
with_a_configuration(void)
{
	char path[1000];
	snprintf(path, sizeof(path), "%s%0*d", path_of("conf"), 200, 0);
	FILE *f = fopen(path, "w");
	NEED(f != NULL);
	fprintf(f, "# comment\nheap.alloc_class.131.desc=1040,0,100,compact;\n");
	fclose(f);
	strcpy(path, path_of(""));
	while (strlen(path) < 600)
		strcat(path, "./");
	snprintf(path + strlen(path), 300, "conf%0*d", 200, 0);
	setenv("PMEMOBJ_CONF", "heap.alloc_class.130.desc=1008,0,100,compact;stats.enabled=both", 1);
	setenv("PMEMOBJ_CONF_FILE", path, 1);
	sweep(birth, path_of("born"), -1);
	sweep(birth, path_of("born"), 1);
	unsetenv("PMEMOBJ_CONF");
	unsetenv("PMEMOBJ_CONF_FILE");
}

int
main(int argc, char **argv)
{
	static char buffer[1 << 16];
	pmem = strcmp(getenv("PMEM_IS_PMEM_FORCE"), "1") == 0;
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	if (argc == 2) {
		if (strcmp(argv[1], "look") == 0)
			RUN(look);
		else
			RUN(sample);
		DONE();
	}
	EQ(outcome(new_pool, (void *)path_of("pool")), 0);
	if (argc == 4) {
		struct run r = {.path = path_of("pool"), .life = life, .first = atol(argv[2]), .count = atol(argv[3])};
		if (strcmp(argv[1], "born") == 0)
			r.life = birth;
		run(&r);
		return case_failures != 0;
	}
	RUN(from_one_on);
	if (!pmem)
		DONE();
	RUN(first_transactions);
	RUN(while_a_pool_is_born);
	RUN(with_a_configuration);
	RUN(one_at_a_time);
	RUN(seven_at_a_time);
	RUN(while_files_are_mapped);
	DONE();
}

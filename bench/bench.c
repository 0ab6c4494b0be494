/*
 * bench - what the operations of libpmem and libpmemobj cost.
 *
 *   bench [-t THREADS] [-c | -m OPS | -p LIBPMEM] [-g GROUP] POOLFILE [SCENARIO...]
 *
 * Rows: nanoseconds per operation; of the processor if there is one thread. -m: the median of so many operations, each
 * timed by itself, for files whose disk now and then takes its time; and the
 * calls of msync per operation. -c: instead the exact counts of a few operations
 * each (step.h), of the scenarios for which that makes sense. -p: instead the
 * copies by this library and by another libpmem, in turn on the same memory, and
 * a value of each.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"
#include "step.h"

#define POOL_SIZE (2048UL << 20)

static const struct {
	const char *name;
	const struct scenario *scenarios;
} groups[] = {
	{"objects", objects}, {"maps", maps}, {"primitives", primitives}, {"copies", copies},
	{"shared", shared},   {"huge", huge},
};

struct root {
	PMEMoid areas[MAX_THREADS];
};

static PMEMobjpool *pop;
static int threads = 1;
static size_t singles; /* operations that are timed one by one */
static uint64_t msyncs;

/* The libraries call this one. */
int
msync(void *addr, size_t len, int flags)
{
	__atomic_add_fetch(&msyncs, 1, __ATOMIC_RELAXED);
	return (int)syscall(SYS_msync, addr, len, flags);
}

static void
empty(struct area *area)
{
	for (size_t i = 0; i < SLOTS; i++)
		if (!OID_IS_NULL(area->oid[i]))
			pmemobj_free(&area->oid[i]);
}

static void
prepare(struct worker *w, int n, const struct scenario *s)
{
	struct root *root = pmemobj_direct(pmemobj_root(pop, sizeof(struct root)));

	for (int i = 0; i < n; i++) {
		PMEMoid *area = &root->areas[i];
		if (OID_IS_NULL(*area) && pmemobj_zalloc(pop, area, sizeof(struct area), 100) != 0)
			die("pmemobj_zalloc");
		w[i] = (struct worker){.pop = pop, .area = pmemobj_direct(*area), .oid = *area,
			.arg = s->arg, .random = 88172645463325252ULL + (uint64_t)i, .number = i,
			.threads = n, .next = &w[(i + 1) % n]};
		empty(w[i].area);
	}
}

static void
count(const struct scenario *s)
{
	struct worker w;
	char name[128];

	if (s->counted == 0)
		return;
	prepare(&w, 1, s);
	w.ops = s->counted;
	s->run(&w);
	step_start();
	s->run(&w);
	struct counts c = step_stop();
	double ops = (double)w.ops;
	const struct {
		const char *what;
		double value;
	} rows[] = {
		{"instructions", (double)c.instructions}, {"flushes", (double)c.flushes},
		{"fences", (double)c.fences}, {"streamed", (double)c.streamed},
		{"locked", (double)c.locked}, {"syscalls", (double)c.syscalls},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(name, sizeof(name), "%s %s", s->name, rows[i].what);
		row(name, rows[i].value / ops, "per operation");
	}
}

static pthread_barrier_t barrier;
static const struct scenario *current;

struct thread {
	struct worker *worker;
	pthread_t id;
	uint64_t start, end;
};

static void *
run_thread(void *arg)
{
	struct thread *t = arg;
	struct worker *w = t->worker;
	size_t ops = w->ops;

	w->ops = ops / 20 + 1; /* the lane, the arena, the caches */
	current->run(w);
	w->ops = ops;
	pthread_barrier_wait(&barrier);
	/* Threads of a process may wait for each other; one waits for nobody. */
	clockid_t clock = w->threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
	t->start = clock_of(clock);
	current->run(w);
	t->end = clock_of(clock);
	return NULL;
}

static void
measure(const struct scenario *s)
{
	struct worker w[MAX_THREADS];
	struct thread t[MAX_THREADS];
	int n = s->threads ? s->threads : threads;

	current = s;
	prepare(w, n, s);
	pthread_barrier_init(&barrier, NULL, (unsigned)n);
	for (int i = 0; i < n; i++) {
		w[i].ops = s->ops;
		t[i].worker = &w[i];
		if (pthread_create(&t[i].id, NULL, run_thread, &t[i]) != 0)
			die("pthread_create");
	}
	uint64_t start = UINT64_MAX, end = 0;
	for (int i = 0; i < n; i++) {
		pthread_join(t[i].id, NULL);
		start = t[i].start < start ? t[i].start : start;
		end = t[i].end > end ? t[i].end : end;
	}
	pthread_barrier_destroy(&barrier);
	row(s->name, (double)(end - start) / (double)w[0].ops / n, "ns");
}

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static void
measure_singles(const struct scenario *s)
{
	uint64_t *each = calloc(singles, sizeof(*each));
	struct worker w;
	char name[128];

	if (each == NULL)
		die("calloc");
	prepare(&w, 1, s);
	w.ops = 20;
	s->run(&w);
	w.ops = 1;
	msyncs = 0;
	for (size_t i = 0; i < singles; i++) {
		uint64_t start = nanoseconds();
		s->run(&w);
		each[i] = nanoseconds() - start;
	}
	qsort(each, singles, sizeof(*each), compare);
	row(s->name, (double)each[singles / 2], "ns");
	snprintf(name, sizeof(name), "%s msync", s->name);
	row(name, (double)msyncs / (double)singles, "calls");
	free(each);
}

/* A pair of medians of many short runs: where memory lies, and what else the machine
 * does, is the same for both. */
#define SLICES 51

static struct pmem pair[2];

static void
load_other(const char *path)
{
	void *lib = dlmopen(LM_ID_NEWLM, path, RTLD_NOW);

	if (lib == NULL) {
		fprintf(stderr, "bench: %s\n", dlerror());
		exit(1);
	}
	pair[0] = pmem;
	*(void **)&pair[1].memcpy_persist = dlsym(lib, "pmem_memcpy_persist");
	*(void **)&pair[1].memmove_persist = dlsym(lib, "pmem_memmove_persist");
	*(void **)&pair[1].memset_persist = dlsym(lib, "pmem_memset_persist");
	*(void **)&pair[1].persist = dlsym(lib, "pmem_persist");
}

static void
measure_pair(const struct scenario *s)
{
	uint64_t times[2][SLICES];
	struct worker w;

	prepare(&w, 1, s);
	w.ops = s->ops / SLICES + 1;
	for (int i = -1; i < SLICES; i++) /* the first to warm up */
		for (int turn = 0; turn < 2; turn++) {
			int side = (i + turn) & 1;
			pmem = pair[side];
			uint64_t start = clock_of(CLOCK_PROCESS_CPUTIME_ID);
			s->run(&w);
			if (i >= 0)
				times[side][i] = clock_of(CLOCK_PROCESS_CPUTIME_ID) - start;
		}
	for (int side = 0; side < 2; side++)
		qsort(times[side], SLICES, sizeof(times[side][0]), compare);
	printf("%s\t%.9g\tns\t%.9g\n", s->name, (double)times[0][SLICES / 2] / (double)w.ops,
		(double)times[1][SLICES / 2] / (double)w.ops);
}

static int
wanted(const char *name, char **names)
{
	for (char **n = names; *n != NULL; n++)
		if (strcmp(*n, name) == 0)
			return 1;
	return *names == NULL;
}

int
main(int argc, char **argv)
{
	const char *group = "objects";
	void (*run)(const struct scenario *) = measure;
	int option;

	while ((option = getopt(argc, argv, "t:cm:p:g:")) != -1) {
		switch (option) {
		case 't': threads = atoi(optarg); break;
		case 'c': run = count; break;
		case 'm': run = measure_singles, singles = strtoul(optarg, NULL, 0); break;
		case 'p': run = measure_pair, load_other(optarg); break;
		case 'g': group = optarg; break;
		default: return 2;
		}
	}
	if (optind == argc || threads < 1 || threads > MAX_THREADS) {
		fprintf(stderr, "usage: bench [-t THREADS] [-c | -m OPS | -p LIBPMEM] [-g GROUP] POOLFILE [SCENARIO...]\n");
		return 2;
	}
	const char *path = argv[optind];
	unlink(path);
	pop = pmemobj_create(path, "bench", POOL_SIZE, 0600);
	if (pop == NULL)
		die(path);
	for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++) {
		if (strcmp(groups[g].name, group) != 0)
			continue;
		for (const struct scenario *s = groups[g].scenarios; s->name != NULL; s++)
			if (wanted(s->name, argv + optind + 1))
				run(s);
	}
	pmemobj_close(pop);
	unlink(path);
	return 0;
}

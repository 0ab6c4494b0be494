/*
 * opening - what a pool costs before anything is done with it, and per thread.
 *
 *   opening fill POOLFILE OBJECTS      makes a pool of that many objects of 64 bytes
 *   opening open POOLFILE OBJECTS      milliseconds of the processor to open it and allocate
 *   opening crash POOLFILE SNAPSHOTS   makes a pool and dies in a transaction
 *   opening recover POOLFILE SNAPSHOTS milliseconds to open it and look
 *   opening memory POOLFILE            volatile memory, per pool and per thread
 */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <unistd.h>

#include "bench.h"

static PMEMobjpool *pop;

static void
create(const char *path, size_t size)
{
	unlink(path);
	pop = pmemobj_create(path, "bench", size, 0600);
	if (pop == NULL)
		die(path);
}

static void
fill(const char *path, size_t objects)
{
	create(path, (64UL << 20) + objects * 160);
	for (size_t i = 0; i < objects; i++)
		if (pmemobj_alloc(pop, NULL, 64, 1, NULL, NULL) != 0)
			die("pmemobj_alloc");
	pmemobj_close(pop);
}

static void
report(const char *what, const char *number, double value, const char *unit)
{
	char name[128];
	snprintf(name, sizeof(name), what, number);
	row(name, value, unit);
}

static void
open_and_allocate(const char *path, const char *objects)
{
	PMEMoid o = OID_NULL;
	uint64_t start = processor_time();

	pop = pmemobj_open(path, "bench");
	if (pop == NULL)
		die(path);
	uint64_t opened = processor_time();
	if (pmemobj_alloc(pop, &o, 64, 1, NULL, NULL) != 0)
		die("pmemobj_alloc");
	uint64_t end = processor_time();
	report("open, %s objects", objects, (double)(opened - start) / 1e6, "ms");
	report("open and first allocation, %s objects", objects, (double)(end - start) / 1e6, "ms");
	pmemobj_free(&o);
	pmemobj_close(pop);
}

/* A word in each second line, all of them snapshot and changed. */
static void
crash(const char *path, size_t snapshots)
{
	create(path, (64UL << 20) + snapshots * 512);
	uint64_t *words = pmemobj_direct(pmemobj_root(pop, snapshots * 128));
	if (words == NULL)
		die("pmemobj_root");
	TX(pop) {
		for (size_t i = 0; i < snapshots; i++) {
			pmemobj_tx_add_range_direct(&words[i * 16], 8);
			words[i * 16] = i + 1;
		}
		_exit(0);
	} TX_OR_DIE
}

static void
recover(const char *path, const char *snapshots)
{
	size_t n = strtoul(snapshots, NULL, 0);
	uint64_t start = processor_time();

	pop = pmemobj_open(path, "bench");
	uint64_t end = processor_time();
	if (pop == NULL)
		die(path);
	const uint64_t *words = pmemobj_direct(pmemobj_root(pop, n * 128));
	for (size_t i = 0; i < n; i++)
		if (words[i * 16] != 0)
			die("not rolled back");
	report("recovery, %s snapshots", snapshots, (double)(end - start) / 1e6, "ms");
	pmemobj_close(pop);
}

/* --- volatile memory --- */

#define THREADS 32

static pthread_barrier_t used, measured;
static uint64_t *words;

static double
heap_bytes(void)
{
	struct mallinfo2 m = mallinfo2();
	return (double)(m.uordblks + m.hblkhd);
}

/* KiB, of what is no file's. */
static double
resident(void)
{
	char line[128];
	double kib = 0;
	FILE *f = fopen("/proc/self/status", "r");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		sscanf(line, "RssAnon: %lf", &kib);
	if (f != NULL)
		fclose(f);
	return kib;
}

static void
work(size_t number)
{
	PMEMoid o = OID_NULL;
	if (pmemobj_alloc(pop, &o, 100, 1, NULL, NULL) != 0)
		die("pmemobj_alloc");
	TX(pop) {
		pmemobj_tx_add_range_direct(&words[number * 8], 8);
		words[number * 8]++;
		pmemobj_tx_free(o);
	} TX_OR_DIE
}

static void *
idle_or_work(void *arg)
{
	pthread_barrier_wait(&used);
	pthread_barrier_wait(&measured);
	work((size_t)arg);
	pthread_barrier_wait(&used);
	pthread_barrier_wait(&measured);
	return NULL;
}

static void
memory(const char *path)
{
	pthread_t id[THREADS];

	create(path, 1UL << 30);
	pmemobj_close(pop);
	double heap = heap_bytes(), kib = resident(), closed = heap;
	pop = pmemobj_open(path, "bench");
	if (pop == NULL)
		die(path);
	row("open pool of 1 GiB, malloc", (heap_bytes() - heap) / 1024, "KiB");
	row("open pool of 1 GiB, resident", resident() - kib, "KiB");
	words = pmemobj_direct(pmemobj_root(pop, (THREADS + 1) * 64));
	work(THREADS);
	row("used pool of 1 GiB, malloc", (heap_bytes() - heap) / 1024, "KiB");
	row("used pool of 1 GiB, resident", resident() - kib, "KiB");

	pthread_barrier_init(&used, NULL, THREADS + 1);
	pthread_barrier_init(&measured, NULL, THREADS + 1);
	for (size_t i = 0; i < THREADS; i++)
		if (pthread_create(&id[i], NULL, idle_or_work, (void *)i) != 0)
			die("pthread_create");
	pthread_barrier_wait(&used);
	heap = heap_bytes(), kib = resident();
	pthread_barrier_wait(&measured);
	pthread_barrier_wait(&used);
	row("each of 32 threads more, malloc", (heap_bytes() - heap) / 1024 / THREADS, "KiB");
	row("each of 32 threads more, resident", (resident() - kib) / THREADS, "KiB");
	row("pool and 32 threads, malloc", (heap_bytes() - closed) / 1024, "KiB");
	pthread_barrier_wait(&measured);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(id[i], NULL);
	pmemobj_close(pop);
	unlink(path);
}

int
main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "", *path = argv[2];

	if (strcmp(what, "memory") == 0 && argc == 3) {
		memory(path);
	} else if (argc == 4 && strcmp(what, "fill") == 0) {
		fill(path, strtoul(argv[3], NULL, 0));
	} else if (argc == 4 && strcmp(what, "open") == 0) {
		open_and_allocate(path, argv[3]);
	} else if (argc == 4 && strcmp(what, "crash") == 0) {
		crash(path, strtoul(argv[3], NULL, 0));
	} else if (argc == 4 && strcmp(what, "recover") == 0) {
		recover(path, argv[3]);
	} else {
		fprintf(stderr, "usage: opening fill|open|crash|recover POOLFILE NUMBER, opening memory POOLFILE\n");
		return 2;
	}
	return 0;
}

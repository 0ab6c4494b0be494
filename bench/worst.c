/*
 * worst - what averages hide: a full and fragmented heap, and how long the
 * slowest operations take.
 *
 *   worst POOLFILE
 */
#include <unistd.h>

#include "bench.h"

#define POOL_SIZE (256UL << 20)
#define OBJECTS (1 << 18)
#define SAMPLES 200000

struct root {
	PMEMoid oid[OBJECTS];
	uint64_t words[SLOTS * 8];
};

static PMEMobjpool *pop;
static struct root *root;
static uint64_t state = 88172645463325252ULL;
static uint32_t samples[SAMPLES];

/* --- latency --- */

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static void
alloc_free(size_t i)
{
	PMEMoid *o = &root->oid[i % SLOTS];
	if (OID_IS_NULL(*o)) {
		if (pmemobj_alloc(pop, o, 64 + i % 16 * 32, 1, NULL, NULL) != 0)
			die("pmemobj_alloc");
	} else {
		pmemobj_free(o);
	}
}

static void
tx_add(size_t i)
{
	uint64_t *p = &root->words[i % SLOTS * 8];
	TX(pop) {
		pmemobj_tx_add_range_direct(p, 64);
		*p = i;
	} TX_OR_DIE
}

static void
tx_replace(size_t i)
{
	PMEMoid *slot = &root->oid[next_random(&state) % SLOTS];
	TX(pop) {
		pmemobj_tx_add_range_direct(slot, sizeof(*slot));
		PMEMoid old = *slot;
		*slot = pmemobj_tx_alloc(64 + i % 16 * 32, 1);
		if (!OID_IS_NULL(old))
			pmemobj_tx_free(old);
	} TX_OR_DIE
}

static void
latency(const char *name, void (*operation)(size_t))
{
	char what[128];
	const struct {
		const char *name;
		size_t at;
	} points[] = {
		{"median", SAMPLES / 2}, {"p99", SAMPLES - SAMPLES / 100}, {"p99.9", SAMPLES - SAMPLES / 1000},
	};

	for (size_t i = 0; i < 4 * SLOTS; i++)
		operation(i);
	for (size_t i = 0; i < SAMPLES; i++) {
		uint64_t start = nanoseconds();
		operation(i);
		samples[i] = (uint32_t)(nanoseconds() - start);
	}
	qsort(samples, SAMPLES, sizeof(samples[0]), compare);
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		snprintf(what, sizeof(what), "latency of %s, %s", name, points[i].name);
		row(what, samples[points[i].at], "ns");
	}
	snprintf(what, sizeof(what), "latency of %s, p99.9 / median", name);
	row(what, (double)samples[points[2].at] / samples[points[0].at], "times");
}

/* --- a heap without much room --- */

/* Mostly small ones, up to 16 KiB. */
static size_t
random_size(void)
{
	uint64_t r = next_random(&state);
	return 32 + (r >> 16) % (64UL << r % 9);
}

/* Until nothing fits any more. */
static size_t
fill(size_t *used)
{
	size_t n = 0;
	uint64_t start = processor_time();

	while (n < OBJECTS && pmemobj_alloc(pop, &root->oid[n], random_size(), 1, NULL, NULL) == 0)
		*used += pmemobj_alloc_usable_size(root->oid[n++]);
	row("filling the heap, random sizes", (double)(processor_time() - start) / (double)n, "ns");
	return n;
}

static void
when_full(void)
{
	const size_t tries = 2000;
	PMEMoid o = OID_NULL;
	uint64_t start = processor_time();

	for (size_t i = 0; i < tries; i++)
		if (pmemobj_alloc(pop, &o, 64 << 10, 1, NULL, NULL) == 0)
			pmemobj_free(&o);
	row("allocation that fails, full heap", (double)(processor_time() - start) / (double)tries, "ns");
}

/* Random ones go until a tenth is free, then each that comes replaces one. */
static void
fragmented(size_t n, size_t used)
{
	const size_t ops = 100000;
	size_t room = used / 10, freed = 0, failed = 0;

	while (freed < room) {
		PMEMoid *o = &root->oid[next_random(&state) % n];
		if (!OID_IS_NULL(*o)) {
			freed += pmemobj_alloc_usable_size(*o);
			pmemobj_free(o);
		}
	}
	uint64_t start = processor_time();
	for (size_t i = 0; i < ops; i++) {
		PMEMoid *o = &root->oid[next_random(&state) % n];
		if (!OID_IS_NULL(*o))
			pmemobj_free(o);
		failed += pmemobj_alloc(pop, o, random_size(), 1, NULL, NULL) != 0;
	}
	row("free and alloc, heap 90 % full", (double)(processor_time() - start) / (double)ops, "ns");
	row("allocations that found no room, heap 90 % full", 100 * (double)failed / (double)ops, "%");
}

int
main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: worst POOLFILE\n");
		return 2;
	}
	unlink(argv[1]);
	pop = pmemobj_create(argv[1], "bench", POOL_SIZE, 0600);
	if (pop == NULL)
		die(argv[1]);
	root = pmemobj_direct(pmemobj_root(pop, sizeof(*root)));
	if (root == NULL)
		die("pmemobj_root");
	latency("alloc or free", alloc_free);
	latency("tx_add/64", tx_add);
	latency("tx_replace", tx_replace);
	for (size_t i = 0; i < SLOTS; i++)
		if (!OID_IS_NULL(root->oid[i]))
			pmemobj_free(&root->oid[i]);
	size_t used = 0, n = fill(&used);
	row("usable bytes, full heap", 100 * (double)used / POOL_SIZE, "%");
	when_full();
	fragmented(n, used);
	pmemobj_close(pop);
	unlink(argv[1]);
	return 0;
}

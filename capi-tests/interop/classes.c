/* classes.c -- a pool with custom allocation classes, in turn by two libraries.
 *
 *	classes STEP POOL
 *
 * Step 0 creates the pool; each step defines the classes, checks all objects
 * of the steps before, frees some and adds others; an odd last step without
 * classes ("free") frees everything. A step ends with status 1 if anything is
 * not as the steps before left it. */
#include <libpmemobj.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PER_STEP 600
#define CLASSES 6

static const struct { size_t unit, alignment; unsigned units; int header; } classes[CLASSES] = {
	{96, 0, 1000, POBJ_HEADER_NONE}, {768, 256, 50, POBJ_HEADER_NONE}, {100, 0, 1000, POBJ_HEADER_COMPACT},
	{4096, 4096, 60, POBJ_HEADER_COMPACT}, {1000, 0, 700, POBJ_HEADER_LEGACY}, {512, 128, 90, POBJ_HEADER_LEGACY},
	/* none whose runs have a multiple of 64 units: PMDK loops for ever on those (format 4.5) */
};

struct root {
	uint64_t n;
	struct { PMEMoid oid; uint64_t size, seed; } objects[20 * PER_STEP];
};

#define NEED(x) do { \
	if (!(x)) { \
		fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #x, pmemobj_errormsg()); \
		exit(1); \
	} \
} while (0)

int
main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	int step = atoi(argv[1]), all = strcmp(argv[1], "free") == 0;
	NEED((step == 0 && !all) || pmemobj_check(argv[2], "classes") == 1);
	PMEMobjpool *pop = step == 0 && !all ? pmemobj_create(argv[2], "classes", 128 << 20, 0600) :
		pmemobj_open(argv[2], "classes");
	NEED(pop != NULL);
	struct root *r = pmemobj_direct(pmemobj_root(pop, sizeof(*r)));
	for (int i = 0; i < CLASSES && !all; i++) {
		char name[64];
		struct pobj_alloc_class_desc d = {classes[i].unit, classes[i].alignment, classes[i].units,
			(enum pobj_header_type)classes[i].header, 0};
		snprintf(name, sizeof(name), "heap.alloc_class.%d.desc", 130 + i);
		NEED(pmemobj_ctl_set(pop, name, &d) == 0);
	}
	uint64_t live = 0;
	for (uint64_t i = 0; i < r->n; i++) {
		if (OID_IS_NULL(r->objects[i].oid))
			continue;
		live++;
		unsigned char *p = pmemobj_direct(r->objects[i].oid);
		NEED(pmemobj_alloc_usable_size(r->objects[i].oid) >= r->objects[i].size);
		for (uint64_t k = 0; k < r->objects[i].size; k++)
			NEED(p[k] == (unsigned char)(r->objects[i].seed + k));
		if (all || (i * 7 + (uint64_t)step) % 3 == 0) {
			pmemobj_free(&r->objects[i].oid);
			live--;
		}
	}
	for (int i = 0; i < PER_STEP && !all; i++) {
		int c = i % CLASSES;
		size_t size = classes[c].unit * (size_t)(classes[c].header == POBJ_HEADER_NONE ? 1 : 1 + i % 3) -
			(classes[c].header == POBJ_HEADER_NONE ? 3 : 64);
		uint64_t at = r->n;
		NEED(pmemobj_xalloc(pop, &r->objects[at].oid, size, 5, POBJ_CLASS_ID(130 + c), NULL, NULL) == 0);
		if (classes[c].alignment && i % 3 == 0)
			NEED(r->objects[at].oid.off % classes[c].alignment == 0);
		unsigned char *p = pmemobj_direct(r->objects[at].oid);
		r->objects[at].size = size;
		r->objects[at].seed = at * 13 + (uint64_t)step;
		for (size_t k = 0; k < size; k++)
			p[k] = (unsigned char)(r->objects[at].seed + k);
		pmemobj_persist(pop, p, size);
		r->n++;
		pmemobj_persist(pop, r, sizeof(*r));
		live++;
	}
	uint64_t found = 0;
	for (PMEMoid o = pmemobj_first(pop); !OID_IS_NULL(o); o = pmemobj_next(o))
		found++;
	if (found != live) {
		fprintf(stderr, "%lu objects, not %lu\n", found, live);
		exit(1);
	}
	pmemobj_close(pop);
	return 0;
}

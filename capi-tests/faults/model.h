/*
 * model.h -- a pool, and in the program's memory what must be in it. The model
 * can be saved to a file, so that the other library can be asked, too.
 */
#ifndef MODEL_H
#define MODEL_H

#include <libpmemobj.h>
#include "../behaviour/test.h"

#define POOL_SIZE ((size_t)64 << 20)
#define LAYOUT "faults"
#define SLOTS 96
#define LISTS 2
#define ELEMENTS 16
#define DATA 32768

struct element;
TOID_DECLARE(struct element, 900);

struct element {
	uint64_t number;
	POBJ_LIST_ENTRY(struct element) link;
};

struct root {
	PMEMoid slot[SLOTS];
	POBJ_LIST_HEAD(list, struct element) list[LISTS];
	PMEMmutex mutex;
	PMEMrwlock rwlock;
	PMEMcond cond;
	PMEMvlt(long) variable;
	uint64_t value[8];
	unsigned char data[DATA];
};

/* Each object is filled with one byte; a size of 0 is no object. */
struct model {
	struct {
		size_t size;
		uint64_t type;
		unsigned char byte;
	} slot[SLOTS];
	uint64_t list[LISTS][ELEMENTS];
	unsigned length[LISTS];
	uint64_t value[8];
	unsigned char data[DATA];
};

static struct model now, next;
static PMEMobjpool *pop;
static struct root *root;

static int
all_bytes(const unsigned char *p, size_t size, unsigned char byte)
{
	return size == 0 || (p[0] == byte && memcmp(p, p + 1, size - 1) == 0);
}

static void
verify_slots(void)
{
	for (int i = 0; i < SLOTS; i++) {
		PMEMoid oid = root->slot[i];
		if (OID_IS_NULL(oid) != (now.slot[i].size == 0)) {
			FAIL("slot %d: %s", i, OID_IS_NULL(oid) ? "its object is gone" : "an object that should not be");
			continue;
		}
		if (OID_IS_NULL(oid))
			continue;
		if (pmemobj_type_num(oid) != now.slot[i].type)
			FAIL("slot %d: type %lu, not %lu", i, pmemobj_type_num(oid), now.slot[i].type);
		if (pmemobj_alloc_usable_size(oid) < now.slot[i].size)
			FAIL("slot %d: %zu bytes, not %zu", i, pmemobj_alloc_usable_size(oid), now.slot[i].size);
		else if (!all_bytes(pmemobj_direct(oid), now.slot[i].size, now.slot[i].byte))
			FAIL("slot %d (%zu bytes): other contents", i, now.slot[i].size);
	}
}

static void
verify_lists(void)
{
	for (int l = 0; l < LISTS; l++) {
		unsigned n = 0;
		TOID(struct element) e;
		POBJ_LIST_FOREACH(e, &root->list[l], link) {
			if (n >= now.length[l] || D_RO(e)->number != now.list[l][n]) {
				FAIL("list %d: element %u is number %lu", l, n, D_RO(e)->number);
				return;
			}
			n++;
		}
		if (n != now.length[l])
			FAIL("list %d: %u elements, not %u", l, n, now.length[l]);
	}
}

/* As many objects as the model has, so that none was lost; all were looked at. */
static void
verify_count(void)
{
	long have = 0, want = now.length[0] + now.length[1];
	for (int i = 0; i < SLOTS; i++)
		want += now.slot[i].size != 0;
	for (PMEMoid o = pmemobj_first(pop); !OID_IS_NULL(o) && have < 10000; o = pmemobj_next(o))
		have++;
	EQ(have, want);
}

static void
verify(void)
{
	verify_slots();
	verify_lists();
	verify_count();
	CHECK(memcmp(root->value, now.value, sizeof(now.value)) == 0);
	CHECK(memcmp(root->data, now.data, sizeof(now.data)) == 0);
}

/* --- the model in a file ------------------------------------------------------- */

static inline void
save_model(const char *path)
{
	FILE *f = fopen(path, "w");
	if (f == NULL || fwrite(&now, sizeof(now), 1, f) != 1)
		FAIL("cannot save %s", path);
	if (f != NULL)
		fclose(f);
}

static inline void
load_model(const char *path)
{
	FILE *f = fopen(path, "r");
	if (f == NULL || fread(&now, sizeof(now), 1, f) != 1)
		FAIL("cannot load %s", path);
	if (f != NULL)
		fclose(f);
}

#endif

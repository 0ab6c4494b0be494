/*
 * words.c -- an allocator that aligns to words, as some do with small blocks:
 * whatever the library asks it for, it gives back as it got it.
 */
#include <libpmemobj.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- the allocator: each block once, never at a multiple of 16 --- */

#define ARENA ((size_t)256 << 20)
#define ALIVE 0x616c697665212121u

struct block {
	size_t size;
	uint64_t state;
};

static _Alignas(16) char arena[ARENA];
static size_t used;
static size_t blocks;

void *
malloc(size_t size)
{
	size_t need = (size + 15) / 16 * 16 + 32;
	size_t at = __atomic_fetch_add(&used, need, __ATOMIC_RELAXED);
	if (at + need > ARENA)
		return NULL;
	struct block *b = (void *)(arena + at + 8);
	*b = (struct block){size, ALIVE};
	__atomic_fetch_add(&blocks, 1, __ATOMIC_RELAXED);
	return b + 1;
}

void
free(void *p)
{
	if (p == NULL)
		return;
	struct block *b = (struct block *)p - 1;
	if ((uintptr_t)p % 16 != 8 || b->state != ALIVE) {
		static const char message[] = "free of what malloc did not return\n";
		(void)!write(2, message, sizeof(message) - 1);
		_exit(1);
	}
	b->state = 0;
	memset(p, 0xdd, b->size);
}

void *
calloc(size_t n, size_t size)
{
	return malloc(n * size); /* a block is used once: it is zero */
}

void *
realloc(void *p, size_t size)
{
	void *new = malloc(size);
	if (p != NULL && new != NULL) {
		size_t old = ((struct block *)p)[-1].size;
		memcpy(new, p, old < size ? old : size);
		free(p);
	}
	return new;
}

/* --- what makes the library allocate --- */

#define die(what) (fprintf(stderr, "%s: %s\n", what, pmemobj_errormsg()), exit(1))

struct root {
	char bytes[64 << 10];
	PMEMoid oid;
};

static void
transaction(PMEMobjpool *pop, struct root *root, int n, int aborts)
{
	TX_BEGIN(pop) {
		for (int i = 0; i < n; i++) {
			pmemobj_tx_add_range_direct(root->bytes + 200 * i, 100);
			pmemobj_tx_free(pmemobj_tx_alloc(40 + i, 1));
			pmemobj_tx_alloc(10, 2);
		}
		if (aborts)
			pmemobj_tx_abort(ECANCELED);
	} TX_ONABORT {
		if (!aborts)
			die("transaction");
	} TX_END
}

static void *
thread(void *pop)
{
	struct root *root = pmemobj_direct(pmemobj_root(pop, sizeof(*root)));
	for (int n = 1; n <= 256; n *= 2)
		transaction(pop, root, n, n % 3 == 1);
	struct pobj_action act[100];
	for (int i = 0; i < 100; i++)
		pmemobj_reserve(pop, &act[i], 100, 1);
	if (pmemobj_publish(pop, act, 100) != 0)
		die("pmemobj_publish");
	return NULL;
}

int
main(void)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/words", getenv("TEST_DIR"));
	unlink(path);
	PMEMobjpool *pop = pmemobj_create(path, "words", 64 << 20, 0600);
	for (int round = 0; round < 3; round++) {
		if (pop == NULL)
			die(path);
		struct pobj_alloc_class_desc class = {.unit_size = 96, .units_per_block = 10};
		if (pmemobj_ctl_set(pop, "heap.alloc_class.new.desc", &class) != 0)
			die("pmemobj_ctl_set");
		pthread_t other;
		if (pthread_create(&other, NULL, thread, pop) != 0 || pthread_join(other, NULL) != 0)
			die("pthread_create");
		thread(pop);
		pmemobj_close(pop);
		if (pmemobj_open(path, "another") != NULL)
			die("pmemobj_open");
		pop = pmemobj_open(path, "words");
	}
	pmemobj_close(pop);
	unlink(path);
	printf("%zu blocks\n", blocks);
	return blocks < 100;
}

/*
 * primitives.c - what is called so often that it must cost nothing: locks,
 * look-ups; and libpmem's copies at all sizes.
 */
#include "bench.h"

static void
mutex_lock(struct worker *w)
{
	for (size_t i = 0; i < w->ops; i++) {
		pmemobj_mutex_lock(w->pop, &w->area->mutex);
		pmemobj_mutex_unlock(w->pop, &w->area->mutex);
	}
}

static void
rwlock_rdlock(struct worker *w)
{
	for (size_t i = 0; i < w->ops; i++) {
		pmemobj_rwlock_rdlock(w->pop, &w->area->rwlock);
		pmemobj_rwlock_unlock(w->pop, &w->area->rwlock);
	}
}

static void
direct(struct worker *w)
{
	uintptr_t sum = 0;
	PMEMoid o = w->oid;

	for (size_t i = 0; i < w->ops; i++) {
		sum += (uintptr_t)(pmemobj_direct)(o);
		o.off ^= sum & 1;
	}
	*(volatile uintptr_t *)&w->area->words[1] = sum;
}

static void
usable_size(struct worker *w)
{
	size_t sum = 0;

	for (size_t i = 0; i < w->ops; i++)
		sum += pmemobj_alloc_usable_size(w->oid) + pmemobj_type_num(w->oid);
	*(volatile size_t *)&w->area->words[1] = sum;
}

static void
obj_memcpy(struct worker *w)
{
	static char src[4096];

	for (size_t i = 0; i < w->ops; i++)
		pmemobj_memcpy_persist(w->pop, w->area->buffer + i * 4096 % (BUFFER / 2), src, w->arg);
}

const struct scenario primitives[] = {
	{"mutex_lock", mutex_lock, 0, 2000000, 64, 0},
	{"rwlock_rdlock", rwlock_rdlock, 0, 1000000, 64, 0},
	{"direct", direct, 0, 10000000, 64, 0},
	{"usable_size", usable_size, 0, 4000000, 64, 0},
	{"obj_memcpy/64", obj_memcpy, 64, 300000, 64, 0},
	{"obj_memcpy/4096", obj_memcpy, 4096, 50000, 16, 0},
	{NULL, NULL, 0, 0, 0, 0},
};

/* --- libpmem --- */

struct pmem pmem = {pmem_memcpy_persist, pmem_memmove_persist, pmem_memset_persist, pmem_persist};

static char source[BUFFER];

/* Places that are a page apart, as far as the copy fits. */
static char *
place(struct worker *w, size_t i)
{
	size_t room = BUFFER - w->arg;
	return w->area->buffer + (room < 4096 ? 0 : i * 4096 % room / 4096 * 4096);
}

static void
pmem_copy(struct worker *w)
{
	for (size_t i = 0; i < w->ops; i++)
		pmem.memcpy_persist(place(w, i), source + (i & 7), w->arg);
}

/* Neither end on a line's boundary; 1032 and 4104 bytes end 32 bytes into one. */
static void
pmem_copy_odd(struct worker *w)
{
	for (size_t i = 0; i < w->ops; i++)
		pmem.memcpy_persist(place(w, i) + 24, source, w->arg);
}

/* Four lines, any words of one before them, and any part of one behind. */
static void
each_end(struct worker *w, void *(*store)(void *, size_t))
{
	for (size_t i = 0; i < w->ops; i++)
		for (size_t head = 0; head < 64; head += 8)
			for (size_t tail = 0; tail < 64; tail++)
				store(w->area->buffer + 128 - head, head + w->arg + tail);
}

static void *
copy_persist(void *to, size_t len)
{
	return pmem.memcpy_persist(to, source, len);
}

static void *
set_persist(void *to, size_t len)
{
	return pmem.memset_persist(to, 1, len);
}

/* Overlapping, backward and forward. */
static void *
move_persist(void *to, size_t len)
{
	pmem.memmove_persist(to, (char *)to - 64, len);
	return pmem.memmove_persist(to, (char *)to + 64, len);
}

static void
pmem_move_ends(struct worker *w)
{
	each_end(w, move_persist);
}

static void
pmem_copy_ends(struct worker *w)
{
	each_end(w, copy_persist);
}

static void
pmem_set_ends(struct worker *w)
{
	each_end(w, set_persist);
}

/* Overlapping, backward. */
static void
pmem_move(struct worker *w)
{
	for (size_t i = 0; i < w->ops; i++)
		pmem.memmove_persist(w->area->buffer + 64, w->area->buffer, w->arg);
}

static void
pmem_set(struct worker *w)
{
	for (size_t i = 0; i < w->ops; i++)
		pmem.memset_persist(place(w, i), (int)i, w->arg);
}

static void
pmem_flush_one(struct worker *w)
{
	for (size_t i = 0; i < w->ops; i++) {
		char *p = place(w, i);
		*(volatile char *)p = (char)i;
		pmem.persist(p, w->arg);
	}
}

const struct scenario copies[] = {
	{"pmem_memcpy/1", pmem_copy, 1, 300000, 0, 0},
	{"pmem_memcpy/8", pmem_copy, 8, 300000, 64, 0},
	{"pmem_memcpy/64", pmem_copy, 64, 300000, 64, 0},
	{"pmem_memcpy/200", pmem_copy, 200, 200000, 64, 0},
	{"pmem_memcpy/256", pmem_copy, 256, 200000, 64, 0},
	{"pmem_memcpy/512", pmem_copy, 512, 150000, 0, 0},
	{"pmem_memcpy/1024", pmem_copy, 1024, 100000, 64, 0},
	{"pmem_memcpy/4096", pmem_copy, 4096, 50000, 16, 0},
	{"pmem_memcpy/16k", pmem_copy, 16 << 10, 20000, 0, 0},
	{"pmem_memcpy/64k", pmem_copy, 64 << 10, 5000, 0, 0},
	{"pmem_memcpy/1m", pmem_copy, 1 << 20, 300, 0, 0},
	{"pmem_memcpy/4m", pmem_copy, 4 << 20, 80, 0, 0},
	{"pmem_memcpy_odd/100", pmem_copy_odd, 100, 200000, 0, 0},
	{"pmem_memcpy_odd/1032", pmem_copy_odd, 1032, 100000, 16, 0},
	{"pmem_memcpy_odd/4000", pmem_copy_odd, 4000, 50000, 0, 0},
	{"pmem_memcpy_odd/4104", pmem_copy_odd, 4104, 50000, 16, 0},
	{"pmem_memcpy_ends/256", pmem_copy_ends, 256, 30, 1, 0},
	{"pmem_memmove_ends/256", pmem_move_ends, 256, 30, 1, 0},
	{"pmem_memset_ends/256", pmem_set_ends, 256, 30, 1, 0},
	{"pmem_memmove/64", pmem_move, 64, 300000, 64, 0},
	{"pmem_memmove/4096", pmem_move, 4096, 50000, 16, 0},
	{"pmem_memmove/64k", pmem_move, 64 << 10, 5000, 0, 0},
	{"pmem_memmove/1m", pmem_move, 1 << 20, 300, 0, 0},
	{"pmem_memset/8", pmem_set, 8, 300000, 0, 0},
	{"pmem_memset/64", pmem_set, 64, 300000, 64, 0},
	{"pmem_memset/1024", pmem_set, 1024, 100000, 16, 0},
	{"pmem_memset/4096", pmem_set, 4096, 50000, 16, 0},
	{"pmem_memset/64k", pmem_set, 64 << 10, 5000, 0, 0},
	{"pmem_memset/1m", pmem_set, 1 << 20, 300, 0, 0},
	{"pmem_persist/8", pmem_flush_one, 8, 300000, 64, 0},
	{"pmem_persist/64", pmem_flush_one, 64, 300000, 0, 0},
	{"pmem_persist/1024", pmem_flush_one, 1024, 100000, 0, 0},
	{"pmem_persist/4096", pmem_flush_one, 4096, 50000, 16, 0},
	{"pmem_persist/64k", pmem_flush_one, 64 << 10, 3000, 0, 0},
	{NULL, NULL, 0, 0, 0, 0},
};

/* stack.h -- the table of cases, and what they may use. */
#ifndef STACK_H
#define STACK_H

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <libpmem.h>
#include <libpmemobj.h>
#include <pthread.h>
#include <sys/mman.h>
#include <ucontext.h>
#include "../behaviour/test.h"

static inline int failures(void) { return case_failures + all_failures; }

enum { MOST_TESTS = 500, ROOT = 50000 };

struct test {
	const char *symbol, *what;
	void (*fn)(void);
	size_t depth;
};

extern struct test tests[MOST_TESTS];
extern unsigned ntests;

/* Open, with a root and objects of 100 bytes, of 4000, and of 3 MiB; a case
 * may free objects, and close the pool if it sets pop to NULL. */
extern PMEMobjpool *pop;
extern PMEMoid oid, other, huge;
extern char *root;
extern char *mapped;
extern size_t mapped_len;

/* CALL(symbol, situation) { ... }: a case of that function. */
#define CALL(symbol, what) \
	static void symbol##_##what(void); \
	__attribute__((constructor)) static void add_##symbol##_##what(void) \
	{ \
		tests[ntests++] = (struct test){#symbol, #what, symbol##_##what, 0}; \
	} \
	static void symbol##_##what(void)

/* A transaction in which nothing jumps. */
#define IN_TX(...) do { \
	pmemobj_tx_begin(pop, NULL, TX_PARAM_NONE); \
	__VA_ARGS__; \
	pmemobj_tx_process(); \
	pmemobj_tx_end(); \
} while (0)

#endif

/* What the calls need of the stack: each runs on a stack of its own, painted
 * before and looked at afterwards. */
#define _GNU_SOURCE
#include <libpmem.h>
#include <libpmemobj.h>
#include <sys/mman.h>
#include <ucontext.h>
#include "test.h"

enum { STACK = 256 << 10, LIMIT = 11 << 10, PAINT = 0xA5 };

static PMEMobjpool *pop;
static PMEMoid oid, other;
static char *mapped;
static size_t mapped_len;

static ucontext_t here, there;
static unsigned char *stack;
static size_t deepest;
static const char *deepest_name = "";

/* The glue of a context switch, measured by a call of nothing. */
static size_t glue;

static size_t
depth_of(void (*fn)(void))
{
	memset(stack, PAINT, STACK);
	getcontext(&there);
	there.uc_stack.ss_sp = stack;
	there.uc_stack.ss_size = STACK;
	there.uc_link = &here;
	makecontext(&there, fn, 0);
	swapcontext(&here, &there);
	size_t untouched = 0;
	while (stack[untouched] == PAINT)
		untouched++;
	return STACK - untouched;
}

static void nothing(void) {}

static void
measure(const char *name, void (*fn)(void))
{
	size_t depth = depth_of(fn) - glue;
	printf("# %-16s %6zu bytes\n", name, depth);
	if (depth > deepest) {
		deepest = depth;
		deepest_name = name;
	}
	if (!is_pmdk() && depth > LIMIT)
		FAIL("%s takes %zu bytes of stack, %d are allowed", name, depth, LIMIT);
}

static void create(void) { pop = pmemobj_create(path_of("stack"), "stack", 16 << 20, 0600); }
static void open_(void) { pop = pmemobj_open(path_of("stack"), "stack"); }
static void close_(void) { pmemobj_close(pop); }
static void check(void) { pmemobj_check(path_of("stack"), "stack"); }
static void open_missing(void) { pmemobj_open(path_of("missing"), "stack"); }
static void create_refused(void) { pmemobj_create(path_of("stack"), "stack", 16 << 20, 0600); }
static void root(void) { pmemobj_root(pop, 500); pmemobj_root(pop, 5000); }
static void alloc(void) { pmemobj_alloc(pop, &oid, 100, 1, NULL, NULL); }
static void alloc_huge(void) { pmemobj_zalloc(pop, &other, 3 << 20, 1); }
static void alloc_fails(void) { PMEMoid o; pmemobj_alloc(pop, &o, 1 << 30, 1, NULL, NULL); }
static void realloc_(void) { pmemobj_zrealloc(pop, &oid, 20000, 2); }
static void strdup_(void) { PMEMoid o; pmemobj_strdup(pop, &o, "a string", 3); pmemobj_free(&o); }
static void free_(void) { pmemobj_free(&oid); pmemobj_free(&other); }
static void iterate(void) { for (PMEMoid o = pmemobj_first(pop); !OID_IS_NULL(o); o = pmemobj_next(o)) ; }

static void
publish(void)
{
	static struct pobj_action act[200]; /* more than a log holds */
	uint64_t *words = pmemobj_direct(pmemobj_root(pop, 5000));
	for (unsigned i = 0; i < 200; i++)
		pmemobj_set_value(pop, &act[i], &words[i], i);
	pmemobj_publish(pop, act, 200);
}

static void
transaction(void)
{
	char *words = pmemobj_direct(pmemobj_root(pop, 5000));
	pmemobj_tx_begin(pop, NULL, TX_PARAM_NONE);
	pmemobj_tx_add_range_direct(words, 4000);
	pmemobj_tx_alloc(4 << 20, 1);
	pmemobj_tx_free(pmemobj_tx_zalloc(400, 1));
	pmemobj_tx_process();
	pmemobj_tx_end();
}

static void
aborted(void)
{
	char *words = pmemobj_direct(pmemobj_root(pop, 5000));
	pmemobj_tx_begin(pop, NULL, TX_PARAM_NONE);
	pmemobj_tx_add_range_direct(words, 4000);
	pmemobj_tx_abort(ECANCELED);
	pmemobj_tx_end();
}

static void map(void) { mapped = pmem_map_file(path_of("mapped"), 1 << 20, PMEM_FILE_CREATE, 0600, &mapped_len, NULL); }
static void map_fails(void) { pmem_map_file(path_of("no/file"), 0, 0, 0, NULL, NULL); }
static void temporary(void) { pmem_unmap(pmem_map_file(path_of("."), 4096, PMEM_FILE_CREATE | PMEM_FILE_TMPFILE, 0, NULL, NULL), 4096); }
static void copies(void) { pmem_memcpy_persist(mapped, mapped + 5000, 70000); pmem_memset_persist(mapped, 1, 70000); }
static void flushes(void) { pmem_persist(mapped, 5000); pmem_deep_persist(mapped, 5000); pmem_has_auto_flush(); }
static void unmap(void) { pmem_unmap(mapped, mapped_len); }
static void device(void) { pmem_map_file("/dev/null", 0, 0, 0, NULL, NULL); }

static void
all_calls(void)
{
	stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	NEED(stack != MAP_FAILED);
	depth_of(nothing);
	glue = depth_of(nothing);
#define CALL(fn) measure(#fn, fn)
	CALL(create);
	NEED(pop != NULL);
	CALL(create_refused);
	CALL(root);
	CALL(alloc);
	CALL(alloc_huge);
	CALL(alloc_fails);
	CALL(realloc_);
	CALL(strdup_);
	CALL(iterate);
	CALL(publish);
	CALL(transaction);
	CALL(aborted);
	CALL(free_);
	CALL(close_);
	CALL(check);
	CALL(open_missing);
	CALL(open_);
	NEED(pop != NULL);
	CALL(close_);
	CALL(map);
	NEED(mapped != NULL);
	CALL(map_fails);
	CALL(temporary);
	CALL(copies);
	CALL(flushes);
	CALL(unmap);
	CALL(device);
	printf("# deepest: %s, %zu bytes\n", deepest_name, deepest);
}

int
main(void)
{
	RUN(all_calls);
	DONE();
}

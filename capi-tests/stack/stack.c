/* stack.c -- what each exported function needs of the stack.
 *
 *	stack ABI_TABLE KIB [LIMIT]
 *
 * Each case runs on a stack of KIB kibibytes above a page that must not be
 * touched, painted before and looked at afterwards. The frames of the case and
 * of what it calls back count, too. More than LIMIT bytes are a failure. */
#include "stack.h"

struct test tests[MOST_TESTS];
unsigned ntests;

PMEMobjpool *pop;
PMEMoid oid, other, huge;
char *root;
char *mapped;
size_t mapped_len;

static ucontext_t here, there;
static unsigned char *stack;
static size_t stack_size, glue;
static const char *running = "nothing";

enum { PAINT = 0xA5, PAGE = 4096 };

static size_t
depth_of(void (*fn)(void))
{
	memset(stack, PAINT, stack_size);
	getcontext(&there);
	there.uc_stack.ss_sp = stack;
	there.uc_stack.ss_size = stack_size;
	there.uc_link = &here;
	makecontext(&there, fn, 0);
	swapcontext(&here, &there);
	size_t untouched = 0;
	while (untouched < stack_size && stack[untouched] == PAINT)
		untouched++;
	return stack_size - untouched;
}

static void nothing(void) {}

/* On a stack of its own: the one that overflowed has no room. */
static void
overflow(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	unsigned char *at = info->si_addr;
	const char *what = at >= stack - PAGE && at < stack ? ": stack overflow\n" : ": SIGSEGV\n";
	ssize_t n = write(1, running, strlen(running));
	n += write(1, what, strlen(what));
	_exit(n > 0 ? 3 : 4);
}

/* A pool, a root, and three objects, as the next case finds them. */
static void
before(void)
{
	if (pop == NULL) {
		pop = pmemobj_open(path_of("stack"), "stack");
		if (pop == NULL)
			pop = pmemobj_create(path_of("stack"), "stack", 64 << 20, 0600);
		NEED(pop != NULL);
	}
	root = pmemobj_direct(pmemobj_root(pop, ROOT));
	if (OID_IS_NULL(oid) || pmemobj_pool_by_oid(oid) != pop)
		NEED(pmemobj_alloc(pop, &oid, 100, 1, NULL, NULL) == 0);
	if (OID_IS_NULL(other) || pmemobj_pool_by_oid(other) != pop)
		NEED(pmemobj_alloc(pop, &other, 4000, 1, NULL, NULL) == 0);
	if (OID_IS_NULL(huge) || pmemobj_pool_by_oid(huge) != pop)
		NEED(pmemobj_alloc(pop, &huge, 3 << 20, 1, NULL, NULL) == 0);
	if (mapped == NULL)
		mapped = pmem_map_file(path_of("mapped"), 1 << 20, PMEM_FILE_CREATE, 0600, &mapped_len, NULL);
	NEED(mapped != NULL);
}

/* Each function of the ABI table has a case, and each case a function. */
static void
complete(const char *path)
{
	FILE *f = fopen(path, "r");
	NEED(f != NULL);
	char line[1024], symbol[128], kind[32];
	unsigned functions = 0;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*s %127s %*s %31s", symbol, kind) != 2 || strcmp(kind, "func") != 0)
			continue;
		functions++;
		unsigned i = 0;
		while (i < ntests && strcmp(tests[i].symbol, symbol) != 0)
			i++;
		if (i == ntests)
			FAIL("%s is not called", symbol);
	}
	fclose(f);
	EQ(functions, 136);
}

static int
deeper(const void *a, const void *b)
{
	const struct test *x = a, *y = b;
	return (x->depth < y->depth) - (x->depth > y->depth);
}

int
main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	stack_size = (size_t)atoi(argv[2]) << 10;
	size_t limit = argc > 3 ? (size_t)atoi(argv[3]) : stack_size;
	unsigned char *with_guard = mmap(NULL, stack_size + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack = with_guard + PAGE;
	static char signal_stack[64 << 10];
	stack_t alternative = {.ss_sp = signal_stack, .ss_size = sizeof(signal_stack)};
	struct sigaction action = {.sa_sigaction = overflow, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	if (with_guard == MAP_FAILED || mprotect(stack, stack_size, PROT_READ | PROT_WRITE) != 0 ||
			sigaltstack(&alternative, NULL) != 0 || sigaction(SIGSEGV, &action, NULL) != 0)
		return 2;
	complete(argv[1]);
	depth_of(nothing);
	glue = depth_of(nothing);
	for (unsigned i = 0; i < ntests; i++) {
		before();
		running = tests[i].symbol;
		tests[i].depth = depth_of(tests[i].fn) - glue;
		if (pmemobj_tx_stage() != TX_STAGE_NONE)
			FAIL("%s, %s: a transaction was left", tests[i].symbol, tests[i].what);
		if (tests[i].depth > limit)
			FAIL("%s, %s: %zu bytes, %zu are allowed", tests[i].symbol, tests[i].what, tests[i].depth, limit);
	}
	qsort(tests, ntests, sizeof(tests[0]), deeper);
	for (unsigned i = 0; i < ntests; i++)
		printf("# %6zu bytes: %s, %s\n", tests[i].depth, tests[i].symbol, tests[i].what);
	printf("deepest: %s, %s: %zu bytes (%u cases)\n", tests[0].symbol, tests[0].what, tests[0].depth, ntests);
	return failures() ? 1 : 0;
}

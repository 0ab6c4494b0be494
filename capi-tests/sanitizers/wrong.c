/* wrong.c -- mistakes that the sanitizers must report.
 *
 *	wrong heap | stack | undefined | leak | library */
#include <libpmemobj.h>
#include <limits.h>
#include "../behaviour/test.h"

static void *volatile kept;

int
main(int argc, char **argv)
{
	const char *mistake = argc > 1 ? argv[1] : "";
	volatile int n = 8;
	if (strcmp(mistake, "heap") == 0) {
		char *volatile p = malloc(8);
		p[n] = 1;
	} else if (strcmp(mistake, "stack") == 0) {
		volatile char on_stack[8];
		on_stack[n] = 1;
		n = on_stack[0];
	} else if (strcmp(mistake, "undefined") == 0) {
		n += INT_MAX;
	} else if (strcmp(mistake, "leak") == 0) {
		kept = malloc(8);
		kept = NULL;
	} else if (strcmp(mistake, "library") == 0) {
		/* The library writes eight bytes to where there are four. */
		PMEMobjpool *pop = pmemobj_create(path_of("wrong"), NULL, PMEMOBJ_MIN_POOL, 0600);
		void *four = malloc(4);
		pmemobj_ctl_get(pop, "stats.heap.curr_allocated", four);
	}
	return case_failures + all_failures;
}

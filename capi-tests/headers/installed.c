/*
 * installed.c -- the smallest program of a user: C and C++, both libraries.
 */
#include <libpmem.h>
#include <libpmemobj.h>
#include <stdio.h>

POBJ_LAYOUT_BEGIN(installed);
POBJ_LAYOUT_ROOT(installed, int);
POBJ_LAYOUT_END(installed);

int
main(int argc, char *argv[])
{
	PMEMobjpool *pop = argc < 2 ? NULL
		: pmemobj_create(argv[1], POBJ_LAYOUT_NAME(installed), PMEMOBJ_MIN_POOL, 0600);
	TOID(int) root;

	if (pop == NULL) {
		fprintf(stderr, "%s\n", pmemobj_errormsg());
		return 1;
	}
	root = POBJ_ROOT(pop, int);
	TX_BEGIN(pop) {
		TX_ADD(root);
		*D_RW(root) = 1;
	} TX_END
	printf("%d, persistent memory: %d\n", *D_RO(root), pmem_is_pmem(D_RO(root), sizeof(int)));
	pmemobj_close(pop);
	return 0;
}

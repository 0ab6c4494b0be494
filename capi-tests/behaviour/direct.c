/* direct.c -- pmemobj_direct as a function, for programs that do not inline it. */
#define PMEMOBJ_DIRECT_NON_INLINE
#include <libpmemobj.h>
#include "test.h"

/* It fills the cache that the inlined one of other objects reads. */
static void
same_cache(void)
{
	PMEMobjpool *pools[2];
	PMEMoid oids[2];
	for (int i = 0; i < 2; i++) {
		NEED((pools[i] = pmemobj_create(path_of(i ? "b" : "a"), NULL, 8 << 20, 0600)) != NULL);
		NEED(pmemobj_alloc(pools[i], &oids[i], 64, 1, NULL, NULL) == 0);
	}
	for (int i = 0; i < 4; i++) {
		CHECK(pmemobj_direct(oids[i % 2]) == (char *)pools[i % 2] + oids[i % 2].off);
		CHECK(_pobj_cached_pool.pop == pools[i % 2]);
		CHECK(_pobj_cached_pool.uuid_lo == oids[i % 2].pool_uuid_lo);
	}
	CHECK(pmemobj_direct(OID_NULL) == NULL);
	CHECK(pmemobj_direct((PMEMoid){1, 64}) == NULL);
	CHECK(pmemobj_direct((PMEMoid){oids[0].pool_uuid_lo, 0}) == NULL);
	pmemobj_close(pools[1]);
	CHECK(pmemobj_direct(oids[1]) == NULL);
	CHECK(pmemobj_direct(oids[0]) == (char *)pools[0] + oids[0].off);
	pmemobj_close(pools[0]);
	CHECK(pmemobj_direct(oids[0]) == NULL);
}

int
main(void)
{
	RUN(same_cache);
	DONE();
}

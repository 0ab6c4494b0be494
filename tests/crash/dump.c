/*
 * dump.c -- what a library sees of pools, after recovering them.
 *
 * Reads names of pools. For each pool a line with the size and hash of the root object, and a line
 * with offset, type, usable size and hash of each object. The first word of an
 * object says how many of its bytes mean something; 0 stands for all. The top
 * bit of a type number says that none do. A line with a dot ends each pool.
 */
#include <errno.h>
#include <inttypes.h>
#include <libpmemobj.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint64_t
hash(const char *p, size_t len)
{
	uint64_t h = 0xcbf29ce484222325;
	for (size_t i = 0; i < len; i += 8) {
		uint64_t word = 0;
		memcpy(&word, p + i, len - i < 8 ? len - i : 8);
		h = (h ^ word) * 0x100000001b3;
	}
	return h;
}

static void
object(PMEMoid oid)
{
	const char *p = pmemobj_direct(oid);
	size_t usable = pmemobj_alloc_usable_size(oid);
	uint64_t type = pmemobj_type_num(oid), len;
	memcpy(&len, p, 8);
	if (len == 0 || len > usable)
		len = usable;
	printf("%" PRIx64 " %" PRIx64 " %zx %" PRIx64 "\n", oid.off, type, usable, type >> 63 ? 0 : hash(p, len));
}

static void
pool(const char *path)
{
	PMEMobjpool *pop = pmemobj_open(path, NULL);
	/* As `unlocked` in world.rs: a process that a test starts shares its locks. */
	for (int i = 0; pop == NULL && errno == EAGAIN && i < 500; i++) {
		usleep(10000);
		pop = pmemobj_open(path, NULL);
	}
	if (pop == NULL) {
		printf("open: %s\n", pmemobj_errormsg());
		return;
	}
	size_t size = pmemobj_root_size(pop);
	printf("root %zx %" PRIx64 "\n", size, size ? hash(pmemobj_direct(pmemobj_root(pop, size)), size) : 0);
	for (PMEMoid oid = pmemobj_first(pop); !OID_IS_NULL(oid); oid = pmemobj_next(oid))
		object(oid);
	pmemobj_close(pop);
}

int
main(void)
{
	char path[4096];
	while (fgets(path, sizeof(path), stdin) != NULL) {
		path[strcspn(path, "\n")] = 0;
		pool(path);
		printf(".\n");
		fflush(stdout);
	}
	return 0;
}

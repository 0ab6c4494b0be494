/*
 * resources.h -- what the process holds, to be compared before and after.
 */
#ifndef RESOURCES_H
#define RESOURCES_H

#include <dirent.h>
#include <malloc.h>
#include <pthread.h>
#include "../behaviour/test.h"

struct resources {
	long rss, size; /* KiB */
	long allocated; /* bytes, by malloc */
	long mappings, descriptors, keys;
};

static long
entries(const char *dir)
{
	long n = 0;
	DIR *d = opendir(dir);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static struct resources
resources(void)
{
	struct resources r = {0};
	char line[512];
	FILE *f = fopen("/proc/self/status", "r");
	while (fgets(line, sizeof(line), f) != NULL) {
		sscanf(line, "VmRSS: %ld", &r.rss);
		sscanf(line, "VmSize: %ld", &r.size);
	}
	fclose(f);
	f = fopen("/proc/self/maps", "r");
	while (fgets(line, sizeof(line), f) != NULL)
		r.mappings++;
	fclose(f);
	r.allocated = (long)mallinfo2().uordblks;
	r.descriptors = entries("/proc/self/fd");
	/* all keys that are left: the more, the fewer are taken */
	static pthread_key_t keys[PTHREAD_KEYS_MAX];
	long left = 0;
	while (left < PTHREAD_KEYS_MAX && pthread_key_create(&keys[left], NULL) == 0)
		left++;
	for (long i = 0; i < left; i++)
		pthread_key_delete(keys[i]);
	r.keys = PTHREAD_KEYS_MAX - left;
	return r;
}

/* What may not grow at all, and memory, of which malloc keeps a little. */
static void
no_growth(const struct resources *before)
{
	struct resources now = resources();
	printf("allocated %ld -> %ld bytes, resident %ld -> %ld KiB, virtual %ld -> %ld KiB, %ld -> %ld mappings, %ld -> %ld descriptors, %ld -> %ld keys\n",
		before->allocated, now.allocated, before->rss, now.rss, before->size, now.size, before->mappings, now.mappings,
		before->descriptors, now.descriptors, before->keys, now.keys);
	EQ(now.descriptors, before->descriptors);
	EQ(now.keys, before->keys);
	CHECK(now.mappings <= before->mappings + 4);
	const char *memcheck = getenv("MEMCHECK");
	if (memcheck == NULL || *memcheck == 0) { /* valgrind keeps what was freed for a while */
		CHECK(now.allocated <= before->allocated + 8192);
		CHECK(now.rss <= before->rss + 1024);
		CHECK(now.size <= before->size + 1024);
	}
}

#endif

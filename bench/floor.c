/*
 * floor - what this machine needs for what no library can avoid, and how much
 * of its bandwidth the library's copies reach.
 *
 *   floor FILE
 */
#include <cpuid.h>
#include <fcntl.h>
#include <immintrin.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define SIZE (64UL << 20)
#define LINES 16384
#define ROUNDS 15

static char *memory;
static char source[4 << 20] __attribute__((aligned(64)));

#define LEAF7_CLFLUSHOPT (1u << 23)
#define LEAF7_CLWB (1u << 24)
#define LEAF7_AVX512F (1u << 16)

static unsigned
features(void)
{
	unsigned a, b = 0, c, d;
	__get_cpuid_count(7, 0, &a, &b, &c, &d);
	return b;
}

static void
by_clflush(char *p)
{
	_mm_clflush(p);
}

__attribute__((target("clflushopt"))) static void
by_clflushopt(char *p)
{
	_mm_clflushopt(p);
}

__attribute__((target("clwb"))) static void
by_clwb(char *p)
{
	_mm_clwb(p);
}

static void
by_nothing(char *p)
{
	(void)p;
}

__attribute__((target("avx512f"))) static void
stream512(char *to, size_t len, int value)
{
	__m512i line = _mm512_set1_epi8((char)value);
	for (size_t i = 0; i < len; i += 64)
		_mm512_stream_si512((void *)(to + i), line);
}

static void
stream128(char *to, size_t len, int value)
{
	__m128i part = _mm_set1_epi8((char)value);
	for (size_t i = 0; i < len; i += 16)
		_mm_stream_si128((void *)(to + i), part);
}

static void (*stream)(char *, size_t, int) = stream128;

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double
median(double *values)
{
	qsort(values, ROUNDS, sizeof(*values), compare);
	return values[ROUNDS / 2];
}

/* Nanoseconds per line for a store, its write-back, and a fence. */
static double
ordered(void (*flush)(char *), int store)
{
	double each[ROUNDS];
	for (int r = 0; r < ROUNDS; r++) {
		uint64_t start = nanoseconds();
		for (size_t i = 0; i < LINES; i++) {
			char *p = memory + i * 128;
			if (store)
				*(volatile char *)p = (char)r;
			flush(p);
			_mm_sfence();
		}
		each[r] = (double)(nanoseconds() - start) / LINES;
	}
	return median(each);
}

static double
streamed(void)
{
	double each[ROUNDS];
	for (int r = 0; r < ROUNDS; r++) {
		uint64_t start = nanoseconds();
		for (size_t i = 0; i < LINES; i++) {
			stream(memory + i * 128, 64, r);
			_mm_sfence();
		}
		each[r] = (double)(nanoseconds() - start) / LINES;
	}
	return median(each);
}

static void
set_machine(char *to, size_t len, int value)
{
	stream(to, len, value);
	_mm_sfence();
}

static void
set_library(char *to, size_t len, int value)
{
	pmem_memset_persist(to, value, len);
}

static void
copy_library(char *to, size_t len, int value)
{
	(void)value;
	pmem_memcpy_persist(to, source, len);
}

/* Nanoseconds for 16 MiB in pieces. */
static double
pieces(void (*set)(char *, size_t, int), size_t len)
{
	uint64_t start = nanoseconds();
	for (size_t at = 0; at + len <= 16 << 20; at += len)
		set(memory + at, len, (int)at);
	return (double)(nanoseconds() - start);
}

/* In turn, so that whatever else the machine does hits all of them. */
static void
bandwidth(const char *name, size_t len)
{
	char what[64];
	double machine[ROUNDS], set[ROUNDS], copy[ROUNDS];

	for (int r = 0; r < ROUNDS; r++) {
		double best = pieces(set_machine, len);
		machine[r] = (16 << 20) / best;
		set[r] = 100 * best / pieces(set_library, len);
		copy[r] = 100 * best / pieces(copy_library, len);
	}
	snprintf(what, sizeof(what), "streamed stores, %s", name);
	row(what, median(machine), "GB/s");
	snprintf(what, sizeof(what), "pmem_memset, %s", name);
	row(what, median(set), "% of that");
	snprintf(what, sizeof(what), "pmem_memcpy, %s", name);
	row(what, median(copy), "% of that");
}

int
main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_RDWR | O_CREAT, 0600) : -1;
	if (fd < 0 || ftruncate(fd, SIZE) != 0) {
		fprintf(stderr, "usage: floor FILE\n");
		return 2;
	}
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	unsigned has = features();
	if (has & LEAF7_AVX512F)
		stream = stream512;
	row("store, clflush, fence", ordered(by_clflush, 1), "ns");
	if (has & LEAF7_CLFLUSHOPT)
		row("store, clflushopt, fence", ordered(by_clflushopt, 1), "ns");
	if (has & LEAF7_CLWB)
		row("store, clwb, fence", ordered(by_clwb, 1), "ns");
	row("whole line streamed, fence", streamed(), "ns");
	row("store, fence", ordered(by_nothing, 1), "ns");
	row("fence", ordered(by_nothing, 0), "ns");
	bandwidth("64 KiB", 64 << 10);
	bandwidth("256 KiB", 256 << 10);
	bandwidth("1 MiB", 1 << 20);
	bandwidth("4 MiB", 4 << 20);
	unlink(argv[1]);
	return 0;
}

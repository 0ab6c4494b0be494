/*
 * step.h - exact counts of the instructions that a piece of code executes.
 */
#ifndef STEP_H
#define STEP_H 1

#include <stdint.h>

struct counts {
	uint64_t instructions;
	uint64_t flushes;  /* clwb, clflushopt, clflush */
	uint64_t fences;   /* sfence, mfence */
	uint64_t streamed; /* bytes stored past the cache */
	uint64_t locked;   /* lock-prefixed instructions, xchg with memory */
	uint64_t syscalls;
};

/* From step_start to step_stop, in one thread. */
void step_start(void);
struct counts step_stop(void);

#endif

/*
 * step.c - counts what the calling thread executes, instruction by instruction:
 * the CPU's trap flag raises SIGTRAP before each of them. The counts do not
 * depend on the speed or the load of the machine, and need neither performance
 * counters nor the right to trace a process.
 */
#define _GNU_SOURCE
#include "step.h"

#include <signal.h>
#include <string.h>
#include <ucontext.h>

#define TRAP_FLAG "0x100"

static struct counts counts;
static const unsigned char *last;

static int
is_streaming(unsigned char opcode)
{
	return opcode == 0xe7 || opcode == 0x2b; /* movntdq, movntps and movntpd */
}

/* Group 15: flushes and fences. */
static void
count_group15(unsigned char modrm, int opsize, int rep)
{
	int reg = modrm >> 3 & 7, memory = modrm >> 6 != 3;

	if (memory && !rep && (reg == 7 || (reg == 6 && opsize)))
		counts.flushes++;
	else if (!memory && !rep && !opsize && (reg == 6 || reg == 7))
		counts.fences++;
}

static void
count_two_byte(const unsigned char *p, int opsize, int rep, int wide)
{
	switch (p[0]) {
	case 0x05:
		counts.syscalls++;
		break;
	case 0xae:
		count_group15(p[1], opsize, rep);
		break;
	case 0xc3: /* movnti */
		counts.streamed += wide ? 8 : 4;
		break;
	case 0xe7:
	case 0x2b:
		counts.streamed += p[0] == 0xe7 && !opsize ? 8 : 16;
		break;
	case 0x38:
		if (p[1] == 0xf8 && opsize)
			counts.streamed += 64; /* movdir64b */
		else if (p[1] == 0xf9)
			counts.streamed += wide ? 8 : 4; /* movdiri */
		break;
	}
}

/* The instruction at p is next. Reads no byte behind it. */
static void
count(const unsigned char *p)
{
	int opsize = 0, lock = 0, rep = 0, wide = 0;

	/* A repeated string instruction traps each time around. */
	if (p == last)
		return;
	last = p;
	counts.instructions++;
	if (p[0] == 0xc5) { /* VEX of two bytes, of three, EVEX */
		counts.streamed += is_streaming(p[2]) ? 16u << (p[1] >> 2 & 1) : 0;
		return;
	}
	if (p[0] == 0xc4) {
		counts.streamed += (p[1] & 0x1f) == 1 && is_streaming(p[3]) ? 16u << (p[2] >> 2 & 1) : 0;
		return;
	}
	if (p[0] == 0x62) {
		counts.streamed += (p[1] & 7) == 1 && is_streaming(p[4]) ? 16u << (p[3] >> 5 & 3) : 0;
		return;
	}
	for (;; p++) {
		if (*p == 0x66)
			opsize = 1;
		else if (*p == 0xf0)
			lock = 1;
		else if (*p == 0xf2 || *p == 0xf3)
			rep = 1;
		else if (strchr("\x2e\x36\x3e\x26\x64\x65", *p) == NULL || *p == 0)
			break;
	}
	if ((*p & 0xf0) == 0x40)
		wide = *p++ >> 3 & 1;
	counts.locked += lock || ((*p == 0x86 || *p == 0x87) && p[1] >> 6 != 3);
	if (*p == 0x0f)
		count_two_byte(p + 1, opsize, rep, wide);
}

static void
on_trap(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)info;
	count((const unsigned char *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP]);
}

void
step_start(void)
{
	struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};

	sigaction(SIGTRAP, &action, NULL);
	memset(&counts, 0, sizeof(counts));
	last = NULL;
	__asm__ volatile("pushf; orq $" TRAP_FLAG ", (%%rsp); popf" ::: "memory", "cc");
}

struct counts
step_stop(void)
{
	__asm__ volatile("pushf; andq $~" TRAP_FLAG ", (%%rsp); popf" ::: "memory", "cc");
	return counts;
}

// Preloaded into a program by the demonstration: holds it right before its commit
// number $HALT_AT until somebody kills it; makes the file $HALTED to say so.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

void pmemobj_tx_commit(void) {
	static unsigned long commits, halt_at;
	static void (*commit)(void);
	if (!commit) {
		commit = (void (*)(void))dlsym(RTLD_NEXT, "pmemobj_tx_commit");
		halt_at = strtoul(getenv("HALT_AT"), NULL, 10);
	}
	if (++commits == halt_at) {
		close(creat(getenv("HALTED"), 0600));
		for (;;)
			pause();
	}
	commit();
}

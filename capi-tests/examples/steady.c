// Preloaded into every example program so that what it prints depends on the
// program and the library alone. It also writes down which libraries were mapped.
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// Seeds of random numbers, times of files.
time_t time(time_t *result) {
	const time_t now = 1000000000;
	if (result)
		*result = now;
	return now;
}

// The games wait for this after each frame.
int usleep(useconds_t usec) {
	(void)usec;
	return 0;
}

// A player who presses one key of $KEYS every hundred frames: '.' is none, 'K'
// kills the program there and then. At the end of $KEYS it quits.
int wgetch(void *window) {
	(void)window;
	static const char *keys;
	static unsigned frame;
	if (!keys)
		keys = getenv("KEYS") ? getenv("KEYS") : "";
	if (frame++ % 100 != 0)
		return -1;
	switch (*keys) {
	case 'K': return raise(SIGKILL);
	case 0: return 'q';
	case '.': keys++; return -1;
	default: return (unsigned char)*keys++;
	}
}

__attribute__((constructor)) static void write_down_libraries(void) {
	const char *name = getenv("MAPPED");
	FILE *maps = fopen("/proc/self/maps", "r"), *out = name ? fopen(name, "a") : NULL;
	char line[8192];
	while (maps && out && fgets(line, sizeof line, maps)) {
		char *path = strchr(line, '/');
		if (path && (strstr(path, "/libpmem.so") || strstr(path, "/libpmemobj.so")))
			fputs(path, out);
	}
	if (maps)
		fclose(maps);
	if (out)
		fclose(out);
}

/* What Debian's example programs include under this name and the packages do not ship. */
#ifndef EX_COMMON_H
#define EX_COMMON_H

#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#define CREATE_MODE_RW (S_IWUSR | S_IRUSR)
#define MIN(a, b) ((a) < (b) ? (a) : (b))

/* 0 if there is a file of that name, as access(2). */
static inline int file_exists(const char *path) { return access(path, F_OK); }

/* The number of the highest bit that is set, -1 if there is none. */
static inline int find_last_set_64(uint64_t bits) { return bits ? 63 - __builtin_clzll(bits) : -1; }

#endif

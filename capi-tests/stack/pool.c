/* pool.c -- cases of libpmemobj around pools: opening, configuration, locks. */
#include <time.h>
#include "stack.h"

typedef void log_function(unsigned, const char *, unsigned, const char *, const char *);

static void
close_pool(void)
{
	pmemobj_close(pop);
	pop = NULL;
}

/* A copy of the open pool, as a crash leaves it. */
static void
copy_to(const char *name)
{
	int from = open(path_of("stack"), O_RDONLY), to = open(path_of(name), O_RDWR | O_CREAT | O_TRUNC, 0600);
	static char buffer[1 << 20];
	ssize_t n;
	while ((n = read(from, buffer, sizeof(buffer))) > 0)
		n = write(to, buffer, (size_t)n);
	close(from);
	close(to);
}

static char *
map_copy(const char *name)
{
	int fd = open(path_of(name), O_RDWR);
	char *at = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return at;
}

/* With logs to recover: a transaction whose undo log is extended twice. */
static void
make_crashed(void)
{
	pmemobj_tx_begin(pop, NULL, TX_PARAM_NONE);
	pmemobj_tx_add_range_direct(root, ROOT);
	memset(root, 1, ROOT);
	pmemobj_tx_add_range(huge, 0, 100000);
	pmemobj_tx_alloc(100, 1);
	copy_to("crashed");
	pmemobj_tx_abort(ECANCELED);
	pmemobj_tx_end();
}

CALL(pmemobj_check_version, fits) { pmemobj_check_version(2, 0); }
CALL(pmemobj_check_version, refused) { pmemobj_check_version(9, 9); }
CALL(pmemobj_errormsg, asked) { pmemobj_errormsg(); }
CALL(_pobj_debug_notice, called) { _pobj_debug_notice("name", "file", 1); }
CALL(pmemobj_volatile, fresh)
{
	struct pmemvlt *vlt = (struct pmemvlt *)(root + 1024);
	pmemobj_volatile(pop, vlt, root + 1032, 8, NULL, NULL);
}

CALL(pmemobj_create, new_file)
{
	PMEMobjpool *p = pmemobj_create(path_of("new"), "layout", 8 << 20, 0600);
	pmemobj_close(p);
	unlink(path_of("new"));
}
CALL(pmemobj_create, exists) { pmemobj_create(path_of("stack"), "stack", 16 << 20, 0600); }
CALL(pmemobj_create, no_directory) { pmemobj_create(path_of("no/file"), "stack", 16 << 20, 0600); }
CALL(pmemobj_create, too_small) { pmemobj_create(path_of("new"), "stack", 1 << 20, 0600); }
CALL(pmemobj_create, too_large) { pmemobj_create(path_of("new"), "stack", (size_t)1 << 60, 0600); }
CALL(pmemobj_create, existing_file)
{
	int fd = open(path_of("empty"), O_RDWR | O_CREAT, 0600);
	if (ftruncate(fd, 8 << 20) == 0)
		pmemobj_close(pmemobj_create(path_of("empty"), "layout", 0, 0600));
	close(fd);
	unlink(path_of("empty"));
}
CALL(pmemobj_close, open) { close_pool(); }
CALL(pmemobj_open, closed)
{
	close_pool();
	pop = pmemobj_open(path_of("stack"), "stack");
}
CALL(pmemobj_open, missing) { pmemobj_open(path_of("missing"), "stack"); }
CALL(pmemobj_open, locked) { pmemobj_open(path_of("stack"), "stack"); }
CALL(pmemobj_open, other_layout)
{
	close_pool();
	pmemobj_open(path_of("stack"), "a name that is as long as any that a program may choose for itself, and not its own");
}
CALL(pmemobj_open, recovery)
{
	make_crashed();
	close_pool();
	pmemobj_close(pmemobj_open(path_of("crashed"), "stack"));
}
CALL(pmemobj_open, same_pool_twice)
{
	make_crashed();
	pmemobj_open(path_of("crashed"), "stack");
}
CALL(pmemobj_open, damaged_heap)
{
	make_crashed();
	char *image = map_copy("crashed");
	memset(image + 0x302440, 0x77, 800);
	pmemobj_open(path_of("crashed"), "stack");
	munmap(image, 64 << 20);
}
CALL(pmemobj_open, configured)
{
	close_pool();
	setenv("PMEMOBJ_CONF", "heap.alloc_class.new.desc=1000,0,500,compact;prefault.at_open=1;stats.enabled=1", 1);
	pop = pmemobj_open(path_of("stack"), "stack");
	unsetenv("PMEMOBJ_CONF");
}
CALL(pmemobj_open, wrong_configuration)
{
	close_pool();
	setenv("PMEMOBJ_CONF", "heap.alloc_class.new.desc=1000,0,500,compact,and,more,than,that;no.such.entry=1", 1);
	pop = pmemobj_open(path_of("stack"), "stack");
	unsetenv("PMEMOBJ_CONF");
}
CALL(pmemobj_open, configuration_file)
{
	close_pool();
	int fd = open(path_of("conf"), O_RDWR | O_CREAT | O_TRUNC, 0600);
	static const char text[] = "# a comment\nheap.size.granularity=10485760;\nstats.enabled=1;\ntx.debug.skip_expensive_checks=1;";
	if (write(fd, text, sizeof(text) - 1) > 0)
		setenv("PMEMOBJ_CONF_FILE", path_of("conf"), 1);
	close(fd);
	pop = pmemobj_open(path_of("stack"), "stack");
	unsetenv("PMEMOBJ_CONF_FILE");
}
CALL(pmemobj_check, sound)
{
	close_pool();
	pmemobj_check(path_of("stack"), "stack");
}
CALL(pmemobj_check, recovery)
{
	make_crashed();
	pmemobj_check(path_of("crashed"), "stack");
}
CALL(pmemobj_check, damaged_everywhere)
{
	make_crashed();
	char *image = map_copy("crashed");
	for (size_t lane = 0; lane < 1024; lane++)
		image[0x2000 + 3072 * lane + 32] = 1;
	memset(image + 0x382400 + 16, 0, 304);
	memset(image + 0x302480, 0x77, 8);
	int (*set_threshold)(unsigned, unsigned) = (int (*)(unsigned, unsigned))dlsym(RTLD_DEFAULT, "pmemobj_log_set_threshold");
	set_threshold(1, 6); /* to stderr */
	pmemobj_check(path_of("crashed"), "stack");
	set_threshold(1, 0);
	munmap(image, 64 << 20);
}
CALL(pmemobj_check, missing) { pmemobj_check(path_of("missing"), NULL); }
CALL(pmemobj_set_user_data, open) { pmemobj_set_user_data(pop, NULL); }
CALL(pmemobj_get_user_data, open) { pmemobj_get_user_data(pop); }
CALL(pmemobj_pool_by_oid, open) { pmemobj_pool_by_oid(oid); }
CALL(pmemobj_pool_by_ptr, open) { pmemobj_pool_by_ptr(root); }
CALL(pmemobj_pool_by_ptr, elsewhere) { pmemobj_pool_by_ptr(&pop); }
CALL(pmemobj_oid, open) { pmemobj_oid(root); }
CALL(pmemobj_direct, open)
{
	/* the exported function, not the headers' */
	void *(*direct)(PMEMoid) = (void *(*)(PMEMoid))dlsym(RTLD_DEFAULT, "pmemobj_direct");
	direct(oid);
}

CALL(pmemobj_persist, long) { pmemobj_persist(pop, root, ROOT); }
CALL(pmemobj_flush, long) { pmemobj_flush(pop, root, ROOT); }
CALL(pmemobj_xpersist, long) { pmemobj_xpersist(pop, root, ROOT, 0); }
CALL(pmemobj_xflush, long) { pmemobj_xflush(pop, root, ROOT, 0); }
CALL(pmemobj_xflush, bad_flags) { pmemobj_xflush(pop, root, ROOT, 1 << 20); }
CALL(pmemobj_drain, open) { pmemobj_drain(pop); }
CALL(pmemobj_memcpy, large) { pmemobj_memcpy(pop, root, root + ROOT / 2, ROOT / 2, 0); }
CALL(pmemobj_memcpy_persist, large) { pmemobj_memcpy_persist(pop, root, root + ROOT / 2, ROOT / 2); }
CALL(pmemobj_memmove, large) { pmemobj_memmove(pop, root, root + 100, ROOT / 2, 0); }
CALL(pmemobj_memmove, bad_flags) { pmemobj_memmove(pop, root, root + 100, ROOT / 2, 1 << 20); }
CALL(pmemobj_memset, large) { pmemobj_memset(pop, root, 0, ROOT, 0); }
CALL(pmemobj_memset_persist, large) { pmemobj_memset_persist(pop, root, 0, ROOT); }

CALL(pmemobj_set_funcs, malloc) { pmemobj_set_funcs(malloc, free, realloc, strdup); }
CALL(pmemobj_ctl_get, statistics)
{
	uint64_t n;
	pmemobj_ctl_get(pop, "stats.heap.curr_allocated", &n);
	pmemobj_ctl_get(pop, "stats.heap.run_active", &n);
}
CALL(pmemobj_ctl_get, unknown) { pmemobj_ctl_get(pop, "heap.no.such.entry.as.this.one.which.is.long.too", NULL); }
CALL(pmemobj_ctl_get, class)
{
	struct pobj_alloc_class_desc d;
	pmemobj_ctl_get(pop, "heap.alloc_class.3.desc", &d);
	pmemobj_ctl_get(pop, "heap.alloc_class.200.desc", &d);
}
CALL(pmemobj_ctl_set, class)
{
	struct pobj_alloc_class_desc d = {5000, 0, 100, POBJ_HEADER_COMPACT, 0};
	pmemobj_ctl_set(pop, "heap.alloc_class.new.desc", &d);
	pmemobj_ctl_set(pop, "heap.alloc_class.3.desc", &d);
}
CALL(pmemobj_ctl_set, prefault)
{
	int yes = 1;
	pmemobj_ctl_set(NULL, "prefault.at_open", &yes);
	close_pool();
	pop = pmemobj_open(path_of("stack"), "stack");
	yes = 0;
	pmemobj_ctl_set(NULL, "prefault.at_open", &yes);
}
CALL(pmemobj_ctl_exec, extend)
{
	uint64_t size = 10 << 20;
	pmemobj_ctl_exec(pop, "heap.size.extend", &size);
}
CALL(pmemobj_ctl_exec, arena)
{
	unsigned arena;
	pmemobj_ctl_exec(pop, "heap.arena.create", &arena);
}

CALL(pmemobj_log_set_threshold, stderr)
{
	int (*set_threshold)(unsigned, unsigned) = (int (*)(unsigned, unsigned))dlsym(RTLD_DEFAULT, "pmemobj_log_set_threshold");
	set_threshold(1, 6);
	pmemobj_open(path_of("missing"), NULL);
	set_threshold(1, 0);
	set_threshold(1, 99);
}
CALL(pmemobj_log_get_threshold, asked)
{
	unsigned level;
	((int (*)(unsigned, unsigned *))dlsym(RTLD_DEFAULT, "pmemobj_log_get_threshold"))(0, &level);
}
static void
count(unsigned level, const char *file, unsigned line, const char *name, const char *message)
{
	(void)level, (void)file, (void)line, (void)name, (void)message;
}
CALL(pmemobj_log_set_function, called)
{
	int (*set_function)(log_function *) = (int (*)(log_function *))dlsym(RTLD_DEFAULT, "pmemobj_log_set_function");
	set_function(count);
	pmemobj_open(path_of("missing"), NULL);
	set_function(NULL);
}

#define MUTEX ((PMEMmutex *)(root + 64))
#define RWLOCK ((PMEMrwlock *)(root + 128))
#define COND ((PMEMcond *)(root + 192))
static const struct timespec past = {1, 0};

CALL(pmemobj_mutex_zero, free) { pmemobj_mutex_zero(pop, MUTEX); }
CALL(pmemobj_mutex_lock, fresh)
{
	pmemobj_mutex_zero(pop, MUTEX);
	pmemobj_mutex_lock(pop, MUTEX);
	pmemobj_mutex_unlock(pop, MUTEX);
}
CALL(pmemobj_mutex_trylock, held)
{
	pmemobj_mutex_lock(pop, MUTEX);
	pmemobj_mutex_trylock(pop, MUTEX);
	pmemobj_mutex_unlock(pop, MUTEX);
}
CALL(pmemobj_mutex_timedlock, held)
{
	pmemobj_mutex_lock(pop, MUTEX);
	pmemobj_mutex_timedlock(pop, MUTEX, &past);
	pmemobj_mutex_unlock(pop, MUTEX);
}
CALL(pmemobj_mutex_unlock, held)
{
	pmemobj_mutex_lock(pop, MUTEX);
	pmemobj_mutex_unlock(pop, MUTEX);
}
CALL(pmemobj_rwlock_zero, free) { pmemobj_rwlock_zero(pop, RWLOCK); }
#define RW(fn, ...) \
	CALL(fn, free) \
	{ \
		pmemobj_rwlock_zero(pop, RWLOCK); \
		if (fn(pop, RWLOCK __VA_ARGS__) == 0) \
			pmemobj_rwlock_unlock(pop, RWLOCK); \
	}
#define COMMA ,
RW(pmemobj_rwlock_rdlock)
RW(pmemobj_rwlock_wrlock)
RW(pmemobj_rwlock_tryrdlock)
RW(pmemobj_rwlock_trywrlock)
RW(pmemobj_rwlock_timedrdlock, COMMA &past)
RW(pmemobj_rwlock_timedwrlock, COMMA &past)
CALL(pmemobj_rwlock_unlock, held)
{
	pmemobj_rwlock_wrlock(pop, RWLOCK);
	pmemobj_rwlock_tryrdlock(pop, RWLOCK);
	pmemobj_rwlock_unlock(pop, RWLOCK);
}
CALL(pmemobj_cond_zero, free) { pmemobj_cond_zero(pop, COND); }
CALL(pmemobj_cond_signal, nobody) { pmemobj_cond_signal(pop, COND); }
CALL(pmemobj_cond_broadcast, nobody) { pmemobj_cond_broadcast(pop, COND); }
CALL(pmemobj_cond_timedwait, in_vain)
{
	pmemobj_mutex_lock(pop, MUTEX);
	pmemobj_cond_timedwait(pop, COND, MUTEX, &past);
	pmemobj_mutex_unlock(pop, MUTEX);
}
/* Woken by another thread. */
static volatile int woken;
static void *
wake(void *arg)
{
	while (!woken) {
		pmemobj_mutex_lock(pop, MUTEX);
		pmemobj_cond_broadcast(pop, COND);
		pmemobj_mutex_unlock(pop, MUTEX);
	}
	return arg;
}
CALL(pmemobj_cond_wait, woken)
{
	pthread_t thread;
	pmemobj_mutex_lock(pop, MUTEX);
	woken = 0;
	pthread_create(&thread, NULL, wake, NULL);
	pmemobj_cond_wait(pop, COND, MUTEX);
	woken = 1;
	pmemobj_mutex_unlock(pop, MUTEX);
	pthread_join(thread, NULL);
}

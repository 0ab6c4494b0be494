# pmem-rs: build, install and check. See README.md.

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
CARGO ?= cargo
CC ?= cc
STRIP ?= strip

LIBS := pmem pmemobj
FULL := 1.0.0
# The release of PMDK whose API this is: what build systems ask pkg-config for.
VERSION := 1.12.1
HEADERS := $(wildcard include/*.h include/libpmemobj/*.h)
ARCHIVE := target/release/libpmem_rs.a
OUT := target/lib
SOURCES := $(shell find src -name '*.rs' -o -name '*.c') Cargo.toml build.rs

.PHONY: all headers check-headers pmdk install uninstall check demo bench bench-doc bench-counts check-counts mutants clean

all: $(LIBS:%=$(OUT)/lib%.so)

$(ARCHIVE): $(SOURCES)
	$(CARGO) build --release --lib

# Version script: exactly the symbols of the ABI table that the archive defines.
target/lib%.map: $(ARCHIVE) src/capi/abi.tsv tools/version-map
	tools/version-map lib$* $(ARCHIVE) >$@.new && mv $@.new $@

# One archive, linked once per library; what a library does not export and does
# not use is dropped. dlclose does not unmap it (nodelete): threads that used it
# may end later, and then their part of it is freed.
$(OUT)/lib%.so.$(FULL): $(ARCHIVE) target/lib%.map
	@mkdir -p $(OUT)
	$(CC) -shared -o $@ -Wl,--whole-archive $(ARCHIVE) -Wl,--no-whole-archive \
		-Wl,--gc-sections -Wl,--version-script=target/lib$*.map -Wl,-soname,lib$*.so.1 \
		-Wl,-init,$*_rs_load -Wl,-z,nodelete -Wl,-z,now -Wl,-z,relro -Wl,-z,noexecstack -Wl,--as-needed \
		-Wl,-z,defs -lgcc_s -lc

$(OUT)/lib%.so: $(OUT)/lib%.so.$(FULL)
	ln -sf lib$*.so.$(FULL) $(OUT)/lib$*.so.1
	ln -sf lib$*.so.1 $@

.SECONDARY:

# The headers are generated, and committed.
headers:
	$(CARGO) run -q --example headers include

check-headers:
	rm -rf target/headers
	$(CARGO) run -q --example headers target/headers
	cd target/headers && find . -name '*.h' | xargs -I% diff -u ../../include/% %

# The genuine PMDK, for tests, if this machine can have it.
pmdk:
	tools/fetch-pmdk || [ $$? = 3 ]

check: check-headers pmdk

install: all
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)/libpmemobj
	for lib in $(LIBS); do \
		so=$(DESTDIR)$(LIBDIR)/lib$$lib.so && \
		install -m 755 $(OUT)/lib$$lib.so.$(FULL) $$so.$(FULL) && \
		$(STRIP) --strip-debug $$so.$(FULL) && \
		ln -sf lib$$lib.so.$(FULL) $$so.1 && \
		ln -sf lib$$lib.so.1 $$so && \
		sed 's|@VERSION@|$(VERSION)|; s|@LIBDIR@|$(LIBDIR)|; s|@PREFIX@|$(PREFIX)|; s|@INCLUDEDIR@|$(INCLUDEDIR:$(PREFIX)/%=$${prefix}/%)|' \
			pkgconfig/lib$$lib.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/lib$$lib.pc || exit 1; \
	done
	for header in $(HEADERS:include/%=%); do \
		install -m 644 include/$$header $(DESTDIR)$(INCLUDEDIR)/$$header || exit 1; \
	done

uninstall:
	for lib in $(LIBS); do \
		rm -f $(DESTDIR)$(LIBDIR)/lib$$lib.so $(DESTDIR)$(LIBDIR)/lib$$lib.so.1 \
			$(DESTDIR)$(LIBDIR)/lib$$lib.so.$(FULL) $(DESTDIR)$(LIBDIR)/pkgconfig/lib$$lib.pc; \
	done
	rm -f $(HEADERS:include/%=$(DESTDIR)$(INCLUDEDIR)/%)
	rmdir $(DESTDIR)$(INCLUDEDIR)/libpmemobj $(DESTDIR)$(LIBDIR)/pkgconfig 2>/dev/null || true

clean:
	rm -rf $(OUT) target/*.map

check: all
	tools/check-abi --complete $(OUT)
	$(CARGO) test --features recorder
	$(CARGO) xtask crash
	tools/check-no-mutants "$$(ls -t target/debug/deps/crash-*[0-9a-f][0-9a-f] | head -1)" $(LIBS:%=$(OUT)/lib%.so.1) $(ARCHIVE)
	capi-tests/run
	$(MAKE) check-counts
	tools/status-table --check

# All mutants, for most of an hour; one that was interrupted goes on.
mutants:
	CRASH_MUTANTS=all CRASH_RESULTS=$(CURDIR)/target/mutants.tsv CRASH_TABLE=$(CURDIR)/docs/mutants.md \
		$(CARGO) test --features recorder --test crash mutants_are_noticed -- --nocapture
	rm target/mutants.tsv

demo: all
	capi-tests/demo.sh

# Benchmarks (docs/performance.md). Linked against our libraries; which ones they
# run on is up to LD_LIBRARY_PATH.
BENCH := $(addprefix target/bench/bin/,bench worst opening floor)

target/bench/bin/bench: $(addprefix bench/,bench.c step.c objects.c maps.c primitives.c shared.c huge.c step.h)
target/bench/bin/%: bench/%.c bench/bench.h | all
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -g -Wall -Wextra -Wno-clobbered -Iinclude -o $@ $(filter %.c,$^) \
		-rdynamic -L$(OUT) -Wl,-rpath-link,$(OUT) -lpmemobj -lpmem -lpthread

# Compares with the genuine PMDK; SUITES="objects copies", ROUNDS=9.
bench: all $(BENCH)
	tools/fetch-pmdk
	$(CARGO) run -q --example bench -- report $(if $(ROUNDS),--rounds $(ROUNDS)) $(SUITES)

# The same, into the tables of docs/performance.md.
bench-doc: all $(BENCH)
	tools/fetch-pmdk
	$(CARGO) run -q --example bench -- report --document $(if $(ROUNDS),--rounds $(ROUNDS)) $(SUITES)

# Exact counts of key scenarios: compared, and written.
check-counts: all $(BENCH)
	$(CARGO) run -q --example bench -- counts

bench-counts: all $(BENCH)
	$(CARGO) run -q --example bench -- counts --update

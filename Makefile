# pmem-rs: build, install and check. See README.md.

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
CARGO ?= cargo
CC ?= cc

LIBS := pmem pmemobj
FULL := 1.0.0
ARCHIVE := target/release/libpmem_rs.a
OUT := target/lib
SOURCES := $(shell find src -name '*.rs' -o -name '*.c') Cargo.toml build.rs

.PHONY: all install uninstall check demo clean

all: $(LIBS:%=$(OUT)/lib%.so)

$(ARCHIVE): $(SOURCES)
	$(CARGO) build --release --lib

# Version script: exactly the symbols of the ABI table that the archive defines.
target/lib%.map: $(ARCHIVE) src/capi/abi.tsv tools/version-map
	tools/version-map lib$* $(ARCHIVE) >$@.new && mv $@.new $@

# One archive, linked once per library; what a library does not export and does
# not use is dropped.
$(OUT)/lib%.so.$(FULL): $(ARCHIVE) target/lib%.map
	@mkdir -p $(OUT)
	$(CC) -shared -o $@ -Wl,--whole-archive $(ARCHIVE) -Wl,--no-whole-archive \
		-Wl,--gc-sections -Wl,--version-script=target/lib$*.map -Wl,-soname,lib$*.so.1 \
		-Wl,-init,$*_rs_load -Wl,-z,now -Wl,-z,relro -Wl,-z,noexecstack -Wl,--as-needed \
		-Wl,-z,defs -lgcc_s -lc

$(OUT)/lib%.so: $(OUT)/lib%.so.$(FULL)
	ln -sf lib$*.so.$(FULL) $(OUT)/lib$*.so.1
	ln -sf lib$*.so.1 $@

.SECONDARY:

clean:
	rm -rf $(OUT) target/*.map

check: all
	$(CARGO) test --features recorder
	capi-tests/run

demo: all
	capi-tests/demo.sh

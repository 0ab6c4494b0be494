//! Compiles the C shim into the library.

fn main() {
    println!("cargo::rerun-if-changed=src/capi/shim.c");
    cc::Build::new().file("src/capi/shim.c").warnings(true).pic(true).compile("pmem_rs_shim");
}

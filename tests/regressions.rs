//! The inputs of the fuzz targets that the repository keeps, without libFuzzer:
//! those that once broke something, and a sample of what it found to go new
//! ways. See docs/hostile-pools.md.

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::path::Path;

/// Runs all inputs of a target. Where the process dies without a word,
/// `--nocapture` tells at which one.
fn each(target: &str, run: fn(&[u8])) {
    for kind in ["regressions", "seeds"] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(target);
        let mut files: Vec<_> =
            dir.read_dir().unwrap_or_else(|e| panic!("{dir:?}: {e}")).map(|f| f.unwrap().path()).collect();
        files.sort();
        for file in &files {
            println!("{}", file.display());
            run(&std::fs::read(file).unwrap());
        }
        assert!(kind == "regressions" || files.len() > 20, "{} inputs in {dir:?}", files.len());
    }
}

/// One test, as the targets change the environment and map pools at one place.
#[test]
fn no_input_breaks_anything() {
    each("api", fuzz::api::run);
    each("ctl", fuzz::ctl::run);
    each("pool", fuzz::pool::run);
}

//! Differential recovery: the genuine PMDK recovers some of the states too,
//! and must see the same root, objects and data.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;

use crate::media::Logical;
use crate::recover::Sample;
use crate::rng::Rng;
use crate::world::Scratch;

/// Pools per run of the program.
const BATCH: usize = 8;

pub struct Pmdk {
    lib: PathBuf,
    dump: Scratch,
    one_in: u64,
    rng: Rng,
    waiting: Vec<(Scratch, String, String)>,
    pub compared: usize,
    pub failures: Vec<String>,
}

impl Pmdk {
    /// One state of `one_in` is compared. An error says why that is impossible.
    pub fn new(one_in: u64) -> Result<Pmdk, String> {
        let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.join("target/pmdk/root/usr");
        let lib = root.join("lib/x86_64-linux-gnu");
        if !lib.join("libpmemobj.so.1").exists() {
            return Err(format!("no PMDK in {}: run tools/fetch-pmdk", root.display()));
        }
        let dump = Scratch::new("dump");
        let compiled = Command::new(std::env::var("CC").unwrap_or("cc".into()))
            .arg("-o")
            .arg(dump.path())
            .arg(manifest.join("tests/crash/dump.c"))
            .arg(format!("-I{}", root.join("include").display()))
            .arg(format!("-L{}", lib.display()))
            .args(["-O2", "-lpmemobj", "-lpmem", "-Wl,--allow-shlib-undefined"])
            .status()
            .map_err(|e| format!("no C compiler: {e}"))?;
        assert!(compiled.success(), "dump.c does not compile");
        let (rng, waiting, failures) = (Rng::new(3), Vec::new(), Vec::new());
        Ok(Pmdk { lib, dump, one_in, rng, waiting, compared: 0, failures })
    }

    /// Compares what is left.
    pub fn flush(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let out = Command::new(self.dump.path())
            .args(waiting.iter().map(|w| w.0.path()))
            .env("LD_LIBRARY_PATH", &self.lib)
            .output()
            .unwrap();
        let out = String::from_utf8_lossy(&out.stdout);
        let mut seen = out.split(".\n");
        for (_, name, ours) in waiting {
            let theirs = seen.next().unwrap_or("died");
            self.compared += 1;
            if theirs != ours {
                self.failures.push(format!("{name}: PMDK sees\n{theirs}we see\n{ours}"));
            }
        }
    }
}

impl Sample for Pmdk {
    fn take(&mut self, name: &str, image: &[u8], recovered: &Logical) {
        if self.rng.chance(self.one_in) {
            let file = Scratch::new("pmdk");
            file.write(image);
            self.waiting.push((file, name.into(), text(recovered)));
            if self.waiting.len() == BATCH {
                self.flush();
            }
        }
    }
}

fn text(l: &Logical) -> String {
    let mut s = format!("root {:x} {:x}\n", l.root.0, l.root.1);
    for (off, (type_num, usable, hash)) in &l.objects {
        writeln!(s, "{off:x} {type_num:x} {usable:x} {hash:x}").unwrap();
    }
    s
}

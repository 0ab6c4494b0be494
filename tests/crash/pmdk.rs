//! Differential recovery: the genuine PMDK recovers some of the states too,
//! and must see the same root, objects and data.

use std::ffi::CStr;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::media::Logical;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pmdk/root/usr")
}

fn libraries() -> PathBuf {
    root().join("lib/x86_64-linux-gnu")
}

/// The program that says what PMDK sees. An error says why there is none.
pub fn compile() -> Result<PathBuf, String> {
    if !libraries().join("libpmemobj.so.1").exists() {
        return Err(format!("no PMDK in {}: run tools/fetch-pmdk", root().display()));
    }
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = manifest.join("target/crash");
    std::fs::create_dir_all(&dir).map_err(|e| e.to_string())?;
    // Under a name of its own first: another run may be using the old one.
    let (program, new) = (dir.join("dump"), dir.join(format!("dump-{}", std::process::id())));
    let compiled = Command::new(std::env::var("CC").unwrap_or("cc".into()))
        .arg("-o")
        .arg(&new)
        .arg(manifest.join("tests/crash/dump.c"))
        .arg(format!("-I{}", root().join("include").display()))
        .arg(format!("-L{}", libraries().display()))
        .args(["-O2", "-lpmemobj", "-lpmem", "-Wl,--allow-shlib-undefined"])
        .status()
        .map_err(|e| format!("no C compiler: {e}"))?;
    assert!(compiled.success(), "dump.c does not compile");
    std::fs::rename(&new, &program).map_err(|e| e.to_string())?;
    Ok(program)
}

/// A process that recovers pools with PMDK, in private copies.
pub struct Pmdk {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Pmdk {
    pub fn start(program: &Path) -> Pmdk {
        let mut child = Command::new(program)
            .env("LD_LIBRARY_PATH", libraries())
            .env("PMEMOBJ_CONF", "copy_on_write.at_open=1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("compiled");
        let (stdin, stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Pmdk { child, stdin, stdout: BufReader::new(stdout) }
    }

    /// Whether PMDK sees what we see.
    pub fn compare(&mut self, pool: &CStr, ours: &Logical) -> Result<(), String> {
        let (ours, mut theirs) = (text(ours), String::new());
        let sent = writeln!(self.stdin, "{}", pool.to_str().expect("a name")).is_ok();
        let mut line = String::new();
        while sent && self.stdout.read_line(&mut line).is_ok_and(|n| n > 0) {
            if line == ".\n" {
                return if theirs == ours {
                    Ok(())
                } else {
                    Err(format!("PMDK sees\n{theirs}we see\n{ours}"))
                };
            }
            theirs += &line;
            line.clear();
        }
        Err(format!("PMDK died: {:?}", self.child.wait()))
    }
}

impl Drop for Pmdk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(l: &Logical) -> String {
    let mut s = format!("root {:x} {:x}\n", l.root.0, l.root.1);
    for (off, (type_num, usable, hash)) in &l.objects {
        writeln!(s, "{off:x} {type_num:x} {usable:x} {hash:x}").unwrap();
    }
    s
}

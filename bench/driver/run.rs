//! Runs a suite on both libraries in turn and collects what they print.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::suites::{Kind, Place, Step, Suite};
use crate::{Result, top};

/// A measured quantity; the values of each round, of PMDK and of pmem-rs.
pub struct Row {
    pub name: String,
    pub unit: String,
    pub values: [Vec<f64>; 2],
}

impl Row {
    /// The median of a library's rounds.
    pub fn median(&self, side: usize) -> f64 {
        median(self.values[side].clone())
    }

    /// The median of the rounds' ratios: what hits a round hits both.
    pub fn ratio(&self) -> f64 {
        let [a, b] = &self.values;
        median(a.iter().zip(b).map(|(a, b)| b / a).collect())
    }
}

fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    match v.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => v[n / 2],
        n => (v[n / 2 - 1] + v[n / 2]) / 2.0,
    }
}

/// Directories of libraries: PMDK's, with what it needs, and ours.
pub fn libraries() -> [String; 2] {
    let root = top().join("target/pmdk/root");
    let dirs = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/ceph"];
    let dirs: Vec<_> = dirs.iter().map(|d| root.join(d).display().to_string()).collect();
    [dirs.join(":"), top().join("target/lib").display().to_string()]
}

/// A directory for pool files that goes away with its value.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Removes what runs left behind that were interrupted.
    pub fn new(parent: &Path) -> Result<Scratch> {
        for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let pid = name.to_str().and_then(|n| n.strip_prefix("bench.")?.parse::<u32>().ok());
            if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let dir = parent.join(format!("bench.{}", std::process::id()));
        std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        Ok(Scratch(dir))
    }

    pub fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A line that a program printed.
pub struct Printed {
    pub name: String,
    pub value: f64,
    pub unit: String,
    /// Our value, of a program that measures both libraries.
    pub ours: Option<f64>,
}

/// Starts a benchmark program; what it printed.
pub fn program(args: &[String], library: &str, env: &[(&str, &str)]) -> Result<Vec<Printed>> {
    let path = top().join("target/bench/bin").join(&args[0]);
    let mut command = Command::new(&path);
    command.args(&args[1..]).env("LD_LIBRARY_PATH", library).envs(env.iter().copied());
    let out = command.output().map_err(|e| format!("{}: {e}; make builds it", path.display()))?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        return Err(format!("{} with {library}: {}: {said}", args.join(" "), out.status));
    }
    let text = String::from_utf8_lossy(&out.stdout);
    let rows = text.lines().map(|line| {
        let mut parts = line.split('\t');
        let mut next = || parts.next().ok_or_else(|| format!("{}: a strange line: {line}", args[0]));
        let (name, value, unit) = (next()?.to_owned(), next()?, next()?.to_owned());
        let number = |text: &str| text.parse().map_err(|_| format!("{}: no number: {line}", args[0]));
        Ok(Printed { name, value: number(value)?, unit, ours: parts.next().map(number).transpose()? })
    });
    rows.collect()
}

fn step(s: &Step, side: usize, memory: &Scratch, disk: &Scratch) -> Result<Vec<Printed>> {
    let (dir, force) = match s.place {
        Place::Memory => (memory, "1"),
        Place::Cache => (memory, "0"),
        Place::Disk => (disk, "0"),
    };
    let file = dir.file(["pmdk", "ours"][side]);
    let ours = format!("{}/libpmem.so.1", libraries()[1]);
    let args: Vec<_> = s.args.iter().map(|a| a.replace('@', &file).replace('%', &ours)).collect();
    program(&args, &libraries()[side], &[("PMEM_IS_PMEM_FORCE", force)])
}

/// Runs the steps of each round on the one library, then on the other.
pub fn suite(suite: &Suite, rounds: usize) -> Result<Vec<Row>> {
    let memory = Scratch::new(Path::new("/dev/shm"))?;
    let disk = Scratch::new(&top().join("target/bench"))?;
    let rounds = if suite.kind == Kind::Counts { 1 } else { rounds };
    let (total, mut done) = (2 * rounds * suite.steps.len(), 0);
    let mut rows: Vec<Row> = Vec::new();
    for round in 0..rounds {
        for side in 0..2 {
            for s in suite.steps {
                progress(suite.name, done, total, round, rounds, s);
                done += 1;
                if s.once && round > 0 || s.is_pair() && side > 0 {
                    continue;
                }
                for Printed { name, value, unit, ours } in step(s, side, &memory, &disk)? {
                    let name = format!("{}{name}", s.prefix);
                    let at = rows.iter().position(|r| r.name == name).unwrap_or_else(|| {
                        rows.push(Row { name, unit, values: Default::default() });
                        rows.len() - 1
                    });
                    rows[at].values[side].push(value);
                    rows[at].values[1].extend(ours);
                }
            }
        }
    }
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
    Ok(rows)
}

fn progress(name: &str, done: usize, total: usize, round: usize, rounds: usize, s: &Step) {
    let text =
        format!("{name}: {:3} %, round {}/{rounds}, {}", 100 * done / total, round + 1, s.args.join(" "));
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{text}");
        let _ = std::io::stderr().flush();
    } else if done == 0 || round > 0 && done.is_multiple_of(total / rounds) {
        eprintln!("{text}");
    }
}

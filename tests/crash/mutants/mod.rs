//! Mutants: the library with one defect, which the crash tests have to notice.
//! Each runs in a process of its own. docs/crash-consistency.md says how to run
//! them; `make mutants` runs all and writes docs/mutants.md.

mod closing;
mod defects;
mod results;
mod sites;
mod table;

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Output};
use std::sync::Mutex;

use pmem_rs::flush::recorder::{self, Faulty, Recording};

use crate::ops::{self, Scenario};
use crate::recover::Judge;
use crate::rng::Rng;
use crate::states::Budget;

/// The scenarios that a child tries, by name; that there are any makes a
/// process a child.
const SCENARIOS: &str = "CRASH_SCENARIOS";
/// The faulty site of a child's recordings.
const FAULT: &str = "CRASH_FAULT";
/// One state in so many is crashed again while it is recovered.
const SECOND: &str = "CRASH_SECOND";
/// Names the defect of a child; `pmem_rs::mutant` reads it.
const DEFECT: &str = "CRASH_DEFECT";
/// The scenario that makes a pool.
const CREATE: &str = "create";
/// States per fence of two passes over the scenarios: most are noticed soon.
const PASSES: [usize; 2] = [4, 16];
/// Scenarios, short ones, in which what no crash can show is looked for.
const EXCUSED_SCENARIOS: usize = 12;
/// Seconds until a child is thought to hang.
const PATIENCE: u32 = 900;
const JOBS: usize = 2;

/// What is wrong with the library.
enum Change {
    /// A flush or fence, wherever it is recorded.
    Site(Faulty),
    /// One of `pmem_rs::mutant`.
    Defect(&'static str),
}

/// Who has to notice.
enum Check {
    /// These scenarios, the likeliest first.
    Scenarios(Vec<&'static str>),
    /// A test of its own.
    Test(&'static str),
}

struct Mutant {
    change: Change,
    /// Where it is, and what.
    name: String,
    what: String,
    check: Check,
    /// Why no crash can show it.
    excuse: Option<&'static str>,
}

/// What a child found.
struct Verdict {
    noticed: bool,
    by: String,
    states: u64,
    message: String,
}

impl Mutant {
    fn command(&self) -> Command {
        let mut c = Command::new(std::env::current_exe().unwrap());
        match &self.check {
            Check::Scenarios(names) => {
                let few = if self.excuse.is_some() { EXCUSED_SCENARIOS } else { names.len() };
                let names = &names[..names.len().min(few)];
                c.args(["--exact", "mutants::mutants_are_noticed", "--nocapture"]);
                c.env(SCENARIOS, names.join(","));
                c.env(SECOND, self.second_in().to_string());
            }
            Check::Test(name) => {
                c.args(["--exact", name, "--nocapture"]);
            }
        }
        match &self.change {
            Change::Site(f) => c.env(FAULT, sites::encode(f)),
            Change::Defect(name) => c.env(DEFECT, name),
        };
        // SAFETY: both calls may be made between fork and exec.
        unsafe {
            c.pre_exec(|| {
                libc::nice(10);
                libc::alarm(PATIENCE);
                Ok(())
            });
        }
        c
    }

    /// Second crashes take most of the time, and matter where recovery is wrong.
    fn second_in(&self) -> u64 {
        let name = &self.name;
        let recovery = [sites::RECOVERY, "open.rs", "src/pool/", "Recovery", "Rollback", "Unchecked"];
        if recovery.iter().any(|part| name.contains(part)) { 4 } else { 40 }
    }

    fn run(&self) -> Verdict {
        let out = self.command().output().unwrap();
        match &self.check {
            Check::Scenarios(_) => Verdict::of_child(&out),
            Check::Test(name) => Verdict::of_test(name, &out),
        }
    }

    fn as_expected(&self, v: &Verdict) -> bool {
        v.noticed == self.excuse.is_none()
    }
}

impl Verdict {
    /// From the line that [`child`] printed; without one the process died.
    fn of_child(out: &Output) -> Verdict {
        let text = String::from_utf8_lossy(&out.stdout);
        let parse = |l: &str| {
            let mut parts = l.strip_prefix("verdict\t")?.splitn(3, '\t');
            let (by, states) = (parts.next()?.to_string(), parts.next()?.parse().ok()?);
            let message = parts.next()?.to_string();
            Some(Verdict { noticed: !by.is_empty(), by, states, message })
        };
        text.lines().find_map(parse).unwrap_or_else(|| died(out))
    }

    fn of_test(name: &str, out: &Output) -> Verdict {
        let by = name.rsplit("::").next().unwrap().to_string();
        if out.status.success() {
            return Verdict { noticed: false, by, states: 0, message: String::new() };
        }
        let text = String::from_utf8_lossy(&out.stderr);
        let message = text.lines().skip_while(|l| !l.contains("panicked at")).nth(1).unwrap_or("it died");
        let states = message.split("after ").nth(1).and_then(|t| t.split(' ').next()?.parse().ok());
        Verdict { noticed: true, by, states: states.unwrap_or(0), message: message.into() }
    }
}

fn died(out: &Output) -> Verdict {
    let text = String::from_utf8_lossy(&out.stdout);
    let by = text.lines().filter_map(|l| l.strip_prefix("tries ")).next_back().unwrap_or("?").to_string();
    let message = match out.status.signal() {
        Some(libc::SIGALRM) => "died: it hung".into(),
        signal => format!("died: signal {signal:?}, {}", out.status),
    };
    Verdict { noticed: true, by, states: 0, message }
}

/// The child: tries the scenarios and prints what was found.
fn child(scenarios: &str) {
    // Only what is recorded has the fault: recovery in the judge is sound, but
    // for crashes of the recovery itself. A defect is everywhere.
    recorder::set_fault(std::env::var(FAULT).ok().map(|f| sites::decode(&f)));
    std::panic::set_hook(Box::new(|_| {}));
    let rarely = std::env::var(SECOND).map_or(40, |n| n.parse().unwrap());
    let mut judge = Judge::new(Budget { per_fence: 0 }, rarely);
    for per_fence in PASSES {
        judge.budget = Budget { per_fence };
        for name in scenarios.split(',') {
            println!("tries {name}");
            let found = catch_unwind(AssertUnwindSafe(|| attempt(&mut judge, name)));
            let message = match found {
                Ok(Ok(())) => continue,
                Ok(Err(e)) => e.0,
                Err(panic) => {
                    let text = panic.downcast_ref::<String>().map(String::as_str);
                    let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?");
                    format!("died: {text}")
                }
            };
            println!("verdict\t{name}\t{}\t{}", judge.tally.states, message.replace(['\n', '\t'], " "));
            return;
        }
    }
    println!("verdict\t\t{}\t", judge.tally.states);
}

fn attempt(judge: &mut Judge, name: &str) -> Result<(), crate::recover::Failure> {
    if name == closing::NAME {
        return closing::judge(&mut judge.tally);
    }
    if name == CREATE {
        return [true, false].into_iter().try_for_each(|used| judge.creation(&ops::create(used)));
    }
    let mut h = scenario(name)();
    if std::env::var(FAULT).is_ok_and(|f| !f.contains(sites::RECOVERY)) {
        match h.recording.sound {
            Some(n) => skip(&mut h.recording, n),
            None => return Ok(()),
        }
    }
    judge.history(&h)
}

/// Lets the first fences take effect: what comes before the first fault is as
/// without one.
fn skip(r: &mut Recording, fences: usize) {
    for f in r.fences.drain(..fences) {
        f.apply(&mut r.initial);
    }
}

fn scenario(name: &str) -> Scenario {
    let found = ops::ALL.iter().find(|s| s.0 == name);
    found.unwrap_or_else(|| panic!("no scenario {name}")).1
}

/// Those that `CRASH_MUTANTS` wants: so many, all, or those with a name that
/// contains one of several parts, separated by commas.
fn choose(mut all: Vec<Mutant>) -> Vec<Mutant> {
    let wanted = std::env::var("CRASH_MUTANTS").unwrap_or("20".into());
    if let Ok(n) = wanted.parse::<usize>() {
        let mut rng = Rng::new(all.len() as u64);
        all.retain(|m| m.excuse.is_none());
        while all.len() > n {
            all.swap_remove(rng.below(all.len() as u64) as usize);
        }
    } else if wanted != "all" {
        all.retain(|m| wanted.split(',').any(|part| m.name.contains(part)));
    }
    all
}

#[test]
fn mutants_are_noticed() {
    if let Ok(scenarios) = std::env::var(SCENARIOS) {
        return child(&scenarios);
    }
    let mut all = defects::mutants();
    let defects = all.len();
    all.extend(sites::mutants());
    all.sort_by_key(|m| m.excuse.is_some()); // those take long
    let chosen = choose(all);
    println!("{} mutants, {defects} of them by hand", chosen.len());
    let verdicts = run_all(&chosen);
    let rows: Vec<_> = chosen.iter().zip(&verdicts).collect();
    if let Ok(path) = std::env::var("CRASH_TABLE") {
        std::fs::write(path, table::markdown(&rows)).unwrap();
    }
    let missed: Vec<_> = rows.iter().filter(|(m, v)| !m.as_expected(v)).map(|(m, v)| text(m, v)).collect();
    assert!(missed.is_empty(), "not as expected:\n{}", missed.join("\n"));
}

/// In children, several at a time.
fn run_all(mutants: &[Mutant]) -> Vec<Verdict> {
    let next = Mutex::new(0..mutants.len());
    let done = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some(i) = next.lock().unwrap().next() else { return };
            let begin = std::time::Instant::now();
            let v = results::known(&mutants[i].name).unwrap_or_else(|| mutants[i].run());
            results::keep(&mutants[i].name, &v);
            println!("{} [{:.1?}]", text(&mutants[i], &v), begin.elapsed());
            done.lock().unwrap().push((i, v));
        }
    };
    std::thread::scope(|s| (0..JOBS).for_each(|_| drop(s.spawn(work))));
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|d| d.0);
    done.into_iter().map(|d| d.1).collect()
}

fn text(m: &Mutant, v: &Verdict) -> String {
    let verdict = match (v.noticed, m.excuse) {
        (true, None) => format!("noticed by {} after {} states: {}", v.by, v.states, v.message),
        (true, Some(_)) => format!("NOTICED against what UNNOTICED says, by {}: {}", v.by, v.message),
        (false, Some(why)) => format!("survived {} states, as expected: {why}", v.states),
        (false, None) => format!("NOT NOTICED in {} states", v.states),
    };
    format!("{}: {}\n    {verdict}", m.name, m.what)
}

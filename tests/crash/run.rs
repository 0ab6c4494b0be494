//! The command's run: plans how many states each fence gets, shares scenarios
//! and slices of their fences out to processes, and sums up. What ends a
//! process, or hangs in it, is a failure of the state that it tried.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use crate::coverage::Coverage;
use crate::job::{self, Job};
use crate::recover::Tally;
use crate::states::{Slice, subsets_tried};
use crate::world::Scratch;
use crate::{ops, pmdk};

pub struct Options {
    pub states: u64,
    pub per_fence: Option<usize>,
    pub seed: u64,
    pub only: Vec<String>,
    pub jobs: usize,
    pub second_in: u64,
    pub table: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Options {
        let jobs = std::thread::available_parallelism().map_or(1, |n| n.get());
        let (per_fence, only, table) = (None, Vec::new(), None);
        Options { states: 100_000, per_fence, seed: 1, only, jobs, second_in: 100, table }
    }
}

/// States that a process is given, about.
const PER_JOB: f64 = 1500.0;
/// The share of states that drawing them finds.
const FOUND: f64 = 0.9;
/// So many subsets per fence are all of those that are numbered.
const MOST: usize = 1 << 16;
const PROGRESS: Duration = Duration::from_secs(10);

/// Different subsets, and states in all, of one fence.
type Variety = (u64, u64);

/// How many states of a fence a budget builds, about.
fn expected((subsets, all): Variety, per_fence: usize) -> f64 {
    let subsets = subsets.max(2) - 1; // without that of the next fence
    subsets_tried(per_fence, subsets) as f64 + FOUND * (per_fence as u64).min(all - subsets) as f64
}

struct Plan {
    scenarios: Vec<(String, Vec<Variety>)>,
    per_fence: usize,
}

impl Plan {
    fn new(o: &Options) -> Result<Plan, String> {
        let names: Vec<_> = match o.only.is_empty() {
            true => ops::names().map(str::to_string).collect(),
            false => o.only.clone(),
        };
        let queue = Mutex::new(names.into_iter().enumerate().collect::<VecDeque<_>>());
        let scenarios = Mutex::new(BTreeMap::new());
        std::thread::scope(|s| {
            let work = || -> Result<(), String> {
                while let Some((i, name)) = lock(&queue).pop_front() {
                    let fences = varieties(&name, o.seed)?;
                    lock(&scenarios).insert(i, (name, fences));
                }
                Ok(())
            };
            let threads: Vec<_> = (0..o.jobs).map(|_| s.spawn(work)).collect();
            threads.into_iter().try_for_each(|t| t.join().expect("does not panic"))
        })?;
        let scenarios = scenarios.into_inner().unwrap_or_else(|e| e.into_inner()).into_values().collect();
        let mut plan = Plan { scenarios, per_fence: o.per_fence.unwrap_or(MOST) };
        if o.per_fence.is_none() {
            // A little more: an expectation is not a promise.
            let enough = |n: &usize| plan.states(*n) < 1.03 * o.states as f64;
            let sizes: Vec<usize> = (1..MOST).collect();
            plan.per_fence = sizes.partition_point(enough) + 1;
        }
        Ok(plan)
    }

    fn states(&self, per_fence: usize) -> f64 {
        self.scenarios.iter().flat_map(|s| &s.1).map(|&v| expected(v, per_fence)).sum()
    }

    /// Fences, and those of which all subsets are tried.
    fn fences(&self) -> (usize, usize) {
        let all = || self.scenarios.iter().flat_map(|s| &s.1);
        (all().count(), all().filter(|v| subsets_tried(self.per_fence, v.0) == v.0).count())
    }

    /// Long ones first.
    fn jobs(&self, o: &Options, pmdk: Option<&PathBuf>) -> VecDeque<Job> {
        let mut jobs = Vec::new();
        for (name, fences) in &self.scenarios {
            let states: f64 = fences.iter().map(|&v| expected(v, self.per_fence)).sum();
            let of = ((states / PER_JOB).ceil() as usize).clamp(1, fences.len());
            let job = |nth| Job {
                scenario: name.clone(),
                slice: Slice { nth, of },
                per_fence: self.per_fence,
                second_in: o.second_in,
                pmdk: pmdk.filter(|_| ops::is_for_pmdk(name)).cloned(),
                heartbeat: None,
            };
            jobs.extend((0..of).map(job));
        }
        jobs.into()
    }
}

fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(|e| e.into_inner())
}

fn this_program() -> Command {
    let mut c = Command::new(std::env::current_exe().expect("has a name"));
    c.stdin(Stdio::null()).env("RUST_BACKTRACE", "0");
    c
}

/// CPU time of the processes that ended.
fn cpu_seconds() -> f64 {
    // SAFETY: all zero is valid; filled in by the call.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage);
        usage
    };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

fn varieties(scenario: &str, seed: u64) -> Result<Vec<Variety>, String> {
    let args = ["crash", "--plan", scenario, "--seed", &seed.to_string()];
    let out = this_program().args(args).output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    if !out.status.success() {
        let why = String::from_utf8_lossy(&out.stderr).into_owned();
        return Err(format!("{scenario} cannot be recorded: {}\n{why}", out.status));
    }
    let line = |l: &str| {
        let (subsets, all) = l.split_once(' ')?;
        Some((subsets.parse().ok()?, all.parse().ok()?))
    };
    Ok(text.lines().filter_map(line).collect())
}

/// What a process says.
enum Event {
    At(Tally),
    Failed(String),
    Covered(String, u64),
    Done(Tally),
}

fn tally(words: &[&str]) -> Tally {
    let n = |i: usize| words.get(i).and_then(|w| w.parse().ok()).unwrap_or(0);
    Tally { fences: n(0), states: n(1), crashed_again: n(2), second: n(3), used: n(4), compared: n(5) }
}

/// Runs a job in a process of its own.
fn work(mut job: Job, seed: u64, say: impl Fn(Event)) {
    let heartbeat = Scratch::new("heartbeat");
    heartbeat.write(b"");
    job.heartbeat = Some(heartbeat.path().into());
    let mut child = this_program().args(job.arguments(seed)).stdout(Stdio::piped()).spawn().expect("starts");
    let (mut done, mut last) = (false, Tally::default());
    for line in BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok) {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["failed", ..] => say(Event::Failed(line["failed ".len()..].replace('\t', "\n"))),
            ["covered", kind, site, n] => {
                say(Event::Covered(format!("{kind} {site}"), n.parse().unwrap_or(0)))
            }
            ["at", numbers @ ..] => {
                last = tally(numbers);
                say(Event::At(last));
            }
            ["done", numbers @ ..] => {
                (done, last) = (true, tally(numbers));
            }
            _ => println!("{line}"),
        }
    }
    let status = child.wait().expect("a child");
    if !done {
        say(Event::Failed(format!(
            "{}: died: {status}",
            job::last_state(job.heartbeat.as_ref().expect("set"))
        )));
    }
    say(Event::Done(last));
}

#[derive(Default)]
struct Summary {
    /// By job: what it did so far.
    tallies: BTreeMap<usize, Tally>,
    covered: BTreeMap<String, u64>,
    failures: Vec<String>,
}

impl Summary {
    fn total(&self) -> Tally {
        self.tallies.values().fold(Tally::default(), |sum, t| sum.plus(t))
    }
}

pub fn run(o: &Options) -> Result<(), String> {
    let program = match pmdk::compile() {
        Err(why) if std::env::var("CI").as_deref() == Ok("true") => {
            return Err(format!("nothing may be skipped in CI: {why}"));
        }
        Err(why) => {
            println!("skipped: comparison with PMDK: {why}");
            None
        }
        Ok(program) => Some(program),
    };
    let plan = Plan::new(o)?;
    let (fences, exhausted) = plan.fences();
    let expected = plan.states(plan.per_fence);
    println!(
        "seed {}: {} scenarios, {fences} fences, {} subsets of each and as many other states, about {expected:.0} in all",
        o.seed,
        plan.scenarios.len(),
        plan.per_fence
    );
    let begin = Instant::now();
    let summary = carry_out(&plan, o, program.as_ref(), begin, expected);
    let t = summary.total();
    println!("\n{} states at {} fences, at {exhausted} of them all subsets", t.states, t.fences);
    println!("{}", report(&t, begin.elapsed().as_secs_f64(), o.jobs));
    println!("{} failures", summary.failures.len());
    if !summary.failures.is_empty() {
        return Err(format!("failures:\n{}", summary.failures.join("\n")));
    }
    if program.is_some() && o.only.is_empty() && t.compared * 20 < t.states {
        return Err("PMDK recovered less than a twentieth of the states".into());
    }
    if o.per_fence.is_none() && o.only.is_empty() && t.states < o.states {
        return Err(format!("fewer than {} states", o.states));
    }
    judge_coverage(&Coverage::new(summary.covered), o, t.states + t.second)
}

fn report(t: &Tally, seconds: f64, jobs: usize) -> String {
    let (all, percent) = (t.states + t.second, |n: u64| 100.0 * n as f64 / t.states.max(1) as f64);
    format!(
        "{:6.2} % crashed again while they were recovered: {} more states\n\
         {:6.2} % used for a hundred operations\n\
         {:6.2} % recovered by PMDK, too\n\
         {seconds:.0} s with {jobs} processes: {:.0} states/s; {:.0} s of CPU time",
        percent(t.crashed_again),
        t.second,
        percent(t.used),
        percent(t.compared),
        all as f64 / seconds,
        cpu_seconds()
    )
}

/// Prints and writes the table. Of some scenarios it has to have gaps.
fn judge_coverage(coverage: &Coverage, o: &Options, states: u64) -> Result<(), String> {
    println!("\n{}", coverage.table());
    if let Some(path) = &o.table {
        std::fs::write(path, page(o, states, coverage)).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    let (missing, (flushes, fences)) = (coverage.missing(), coverage.counts());
    println!("{flushes} flushes and {fences} fences in the source, {} not covered", missing.len());
    match o.only.is_empty() && !missing.is_empty() {
        true => Err(format!("not covered:\n{}", missing.join("\n"))),
        false => Ok(()),
    }
}

/// docs/crash-coverage.md
fn page(o: &Options, states: u64, coverage: &Coverage) -> String {
    format!(
        "# Flushes and fences, and the crash states that stopped there\n\n\
         Written by `cargo xtask crash --states {} --seed {} --table docs/crash-coverage.md`,\n\
         which fails if one of them is 0. The calls are found in the source. For a fence the\n\
         number is that of states that stopped right before it took effect; for a flush, of\n\
         states in which it was undecided whether its lines arrived. In all {states} states,\n\
         those during recovery included.\n\n\
         {}\nNot in the table:\n\n{}",
        o.states,
        o.seed,
        coverage.table(),
        coverage.elsewhere()
    )
}

fn carry_out(plan: &Plan, o: &Options, pmdk: Option<&PathBuf>, begin: Instant, expected: f64) -> Summary {
    let queue = Mutex::new(plan.jobs(o, pmdk));
    let names: Vec<String> = lock(&queue).iter().map(|j| j.scenario.clone()).collect();
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    names.iter().for_each(|name| *left.entry(name).or_default() += 1);
    let (sender, events) = mpsc::channel::<(usize, Event)>();
    let mut summary = Summary::default();
    std::thread::scope(|s| {
        for _ in 0..o.jobs {
            let (sender, queue, n) = (sender.clone(), &queue, names.len());
            s.spawn(move || {
                loop {
                    let (i, job) = {
                        let mut queue = lock(queue);
                        let i = n - queue.len();
                        let Some(job) = queue.pop_front() else { return };
                        (i, job)
                    };
                    work(job, o.seed, |event| _ = sender.send((i, event)));
                }
            });
        }
        drop(sender);
        let mut told = begin;
        for (i, event) in events {
            let name = names[i].as_str();
            match event {
                Event::At(t) => _ = summary.tallies.insert(i, t),
                Event::Covered(site, n) => *summary.covered.entry(site).or_default() += n,
                Event::Failed(why) => {
                    let id = why.split_once(": ").map_or(why.as_str(), |w| w.0);
                    println!("FAILED {why}\n  cargo xtask crash --seed {} --replay {id}", o.seed);
                    summary.failures.push(why);
                }
                Event::Done(t) => {
                    summary.tallies.insert(i, t);
                    let of = names.iter().zip(0..).filter(|n| n.0 == name);
                    *left.get_mut(name).expect("counted") -= 1;
                    if left[name] == 0 {
                        let t = of
                            .filter_map(|n| summary.tallies.get(&n.1))
                            .fold(Tally::default(), |s, t| s.plus(t));
                        println!(
                            "{name:20} {:6} fences {:7} states {:7} during recovery",
                            t.fences, t.states, t.second
                        );
                    }
                }
            }
            if told.elapsed() > PROGRESS {
                told = Instant::now();
                let (t, s) = (summary.total(), begin.elapsed().as_secs_f64());
                let rest = s / t.states.max(1) as f64 * (expected - t.states as f64).max(0.0);
                println!(
                    "-- {} of {expected:.0} states, {} during recovery, {:.0} states/s, {rest:.0} s left, in {name}",
                    t.states,
                    t.second,
                    (t.states + t.second) as f64 / s
                );
            }
        }
    });
    summary
}

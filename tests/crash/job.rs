//! What a process of the command does: it records one scenario, as the first
//! thing it does, so that each process records the same, and tries some of its
//! states, or one.

use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::ops;
use crate::pmdk::{self, Pmdk};
use crate::recover::{Judge, Recorded, Tally};
use crate::states::{self, Budget, Id, Slice};

/// A state that takes longer hangs.
const TIMEOUT_SECONDS: u32 = 60;
/// Bytes of the file that holds the id of the state that is being tried.
const ID: usize = 64;

fn record(scenario: &str) -> Result<Recorded, String> {
    ops::record(scenario).ok_or_else(|| format!("no scenario {scenario}"))
}

/// Prints for each fence how many subsets, and states, differ at least.
pub fn plan(scenario: &str) -> Result<(), String> {
    for (subsets, all) in states::varieties(record(scenario)?.recording()) {
        println!("{subsets} {all}");
    }
    Ok(())
}

/// Some fences of a scenario.
#[derive(Clone, Debug)]
pub struct Job {
    pub scenario: String,
    pub slice: Slice,
    pub per_fence: usize,
    pub second_in: u64,
    pub pmdk: Option<PathBuf>,
    pub heartbeat: Option<PathBuf>,
}

impl Default for Job {
    fn default() -> Job {
        let (scenario, slice) = (String::new(), Slice::ALL);
        Job { scenario, slice, per_fence: 1, second_in: 0, pmdk: None, heartbeat: None }
    }
}

fn tell(what: &str, t: &Tally) {
    let Tally { fences, states, crashed_again, second, used, compared } = t;
    println!("{what} {fences} {states} {crashed_again} {second} {used} {compared}");
    let _ = std::io::stdout().flush();
}

impl Job {
    /// The process's arguments.
    pub fn arguments(&self, seed: u64) -> Vec<String> {
        let mut args = vec!["crash".to_string()];
        let mut add = |name: &str, value: String| args.extend([format!("--{name}"), value]);
        add("job", self.scenario.clone());
        add("seed", seed.to_string());
        add("nth", self.slice.nth.to_string());
        add("of", self.slice.of.to_string());
        add("per-fence", self.per_fence.to_string());
        add("second", self.second_in.to_string());
        for (name, file) in [("pmdk", &self.pmdk), ("heartbeat", &self.heartbeat)] {
            if let Some(file) = file {
                add(name, file.to_string_lossy().into_owned());
            }
        }
        args
    }

    /// Tries its states and prints what came of it.
    pub fn run(self) -> Result<(), String> {
        let recorded = record(&self.scenario)?;
        let mut judge = Judge::new(Budget { per_fence: self.per_fence }, self.second_in);
        judge.slice = self.slice;
        judge.pmdk = self.pmdk.as_deref().map(Pmdk::start);
        if let Some(path) = &self.heartbeat {
            let file = std::fs::File::options().write(true).open(path).map_err(|e| e.to_string())?;
            let mut told = Instant::now();
            judge.watch = Some(Box::new(move |id, tally| {
                let _ = file.write_all_at(format!("{id:ID$}").as_bytes(), 0);
                // SAFETY: a timer whose signal ends the process.
                unsafe { libc::alarm(TIMEOUT_SECONDS) };
                if told.elapsed() > Duration::from_secs(1) {
                    told = Instant::now();
                    tell("at", tally);
                }
            }));
        }
        if let Err(e) = judge.recorded(&self.scenario, &recorded) {
            println!("failed {}", e.0.replace('\n', "\t"));
        }
        for ((kind, site), n) in &judge.coverage {
            println!("covered {kind:?} {site} {n}");
        }
        tell("done", &judge.tally);
        Ok(())
    }
}

/// The state that a process tried last.
pub fn last_state(heartbeat: &Path) -> String {
    std::fs::read_to_string(heartbeat).unwrap_or_default().trim().to_string()
}

/// Tries one state again: `SCENARIO:FENCE:N`, or `SCENARIO:FENCE:N:FENCE:N` for
/// one of its recovery.
pub fn replay(id: &str, image: Option<&Path>) -> Result<(), String> {
    let wrong = || format!("{id} is not SCENARIO:FENCE:N or SCENARIO:FENCE:N:FENCE:N");
    let parts: Vec<&str> = id.split(':').collect();
    let number = |i: usize| parts.get(i).and_then(|p| p.parse().ok()).ok_or_else(wrong);
    let id_at = |i| Ok::<Id, String>(Id { fence: number(i)? as usize, n: number(i + 1)? });
    let second = if parts.len() > 3 { Some(id_at(3)?) } else { None };
    let (first, recorded) = (id_at(1)?, record(parts[0])?);
    let fences = recorded.recording().fences.len();
    if first.fence >= fences {
        return Err(format!("{} has {fences} fences", parts[0]));
    }
    let mut judge = Judge::new(Budget { per_fence: 64 }, 1);
    if ops::is_for_pmdk(parts[0]) {
        judge.pmdk = pmdk::compile().map(|program| Pmdk::start(&program)).ok();
    }
    let mut written = Ok(());
    let result = judge.replay(parts[0], &recorded, first, second, &mut |stop, choice, state| {
        let step = match &recorded {
            Recorded::History(h) if second.is_none() => format!(", {}", h.names[stop.fence.mark as usize]),
            _ => String::new(),
        };
        let site = stop.fence.site.map_or("the end".into(), |s| s.to_string());
        println!("stopped at {site} in step {}{step}", stop.fence.mark);
        stop.describe(choice).iter().for_each(|line| println!("  {line}"));
        if let Some(path) = image {
            written = std::fs::write(path, state).map_err(|e| format!("{}: {e}", path.display()));
        }
    });
    written?;
    println!("{:?}", judge.tally);
    result.map_err(|e| e.0)?;
    println!("no failure");
    Ok(())
}

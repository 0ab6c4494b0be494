//! Mutants: each flush and each fence of the library is left out once, and the
//! crash tests have to notice.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use pmem_rs::flush::recorder::{self, Kind, Site};

use crate::ops;
use crate::recover::Judge;
use crate::rng::Rng;
use crate::states::Budget;

const OMIT: &str = "CRASH_OMIT";
const SCENARIOS: &str = "CRASH_SCENARIOS";

/// Sites whose absence no crash can show, and why: kind, file, source line.
const UNNOTICED: &[(Kind, &str, &str, &str)] = &[];

fn source_line(site: &Site) -> String {
    let path = format!("{}/{}", env!("CARGO_MANIFEST_DIR"), site.1.file());
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().nth(site.1.line() as usize - 1).unwrap().trim().to_string()
}

fn excuse(site: &Site) -> Option<&'static str> {
    let line = source_line(site);
    let is = |u: &&(Kind, &str, &str, &str)| u.0 == site.0 && site.1.file() == u.1 && line == u.2;
    UNNOTICED.iter().find(is).map(|u| u.3)
}

/// Sites of the library by the scenarios that pass them.
fn sites() -> BTreeMap<Site, (u64, Vec<&'static str>)> {
    let mut all = BTreeMap::new();
    for (name, scenario) in ops::ALL {
        for (site, n) in scenario().recording.sites {
            if site.1.file().starts_with("src/") {
                let entry: &mut (u64, Vec<_>) = all.entry(site).or_default();
                entry.0 += n;
                entry.1.push(name);
            }
        }
    }
    all
}

/// The child: leaves the site out and says what was found.
fn run_mutant(omitted: &str) {
    let (kind, at) = omitted.split_once(' ').unwrap();
    let kind = if kind == "flush" { Kind::Flush } else { Kind::Fence };
    let names: BTreeSet<String> = std::env::var(SCENARIOS).unwrap().split(',').map(str::to_string).collect();
    let mut judge = Judge::new(Budget { per_fence: 8 }, 12);
    for (name, scenario) in ops::ALL.into_iter().filter(|s| names.contains(s.0)) {
        // Only what is recorded goes wrong: recovery in the judge is sound,
        // but for crashes of the recovery itself.
        recorder::omit(Some((kind, at.to_string())));
        let history = scenario();
        if let Err(e) = judge.history(&history) {
            println!("caught by {name} after {} states: {}", judge.tally.states, e.0);
            return;
        }
    }
    println!("survived {} states", judge.tally.states);
}

/// `CRASH_MUTANTS`: how many of them, or "all".
#[test]
fn mutants_are_noticed() {
    if let Ok(omitted) = std::env::var(OMIT) {
        return run_mutant(&omitted);
    }
    let sites = sites();
    let mut chosen: Vec<_> = sites.iter().collect();
    if let n = std::env::var("CRASH_MUTANTS").unwrap_or("6".into())
        && n != "all"
    {
        let mut rng = Rng::new(chosen.len() as u64);
        let n = n.parse().expect("CRASH_MUTANTS is a number or `all`");
        while chosen.len() > n {
            chosen.swap_remove(rng.below(chosen.len() as u64) as usize);
        }
    }
    println!("{} of {} flushes and fences", chosen.len(), sites.len());
    let mut missed = Vec::new();
    for (site, (calls, scenarios)) in chosen {
        let kind = if site.0 == Kind::Flush { "flush" } else { "fence" };
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "mutants::mutants_are_noticed", "--nocapture"])
            .env(OMIT, format!("{kind} {}", site.1))
            .env(SCENARIOS, scenarios.join(","))
            .output()
            .unwrap();
        let out = String::from_utf8_lossy(&child.stdout);
        let verdict = out.lines().find(|l| l.starts_with("caught") || l.starts_with("survived"));
        let verdict = verdict.unwrap_or("caught: the recovery died");
        let line =
            format!("{kind} {}:{} ({calls} calls) `{}`", site.1.file(), site.1.line(), source_line(site));
        println!("{line}\n    {verdict}");
        match (verdict.starts_with("caught"), excuse(site)) {
            (true, None) => {}
            (false, Some(why)) => println!("    expected: {why}"),
            (false, None) => missed.push(line),
            (true, Some(_)) => missed.push(format!("{line}: noticed, against what UNNOTICED says")),
        }
    }
    assert!(missed.is_empty(), "not as expected:\n{}", missed.join("\n"));
}

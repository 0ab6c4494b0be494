//! Every crash state: each operation is recorded, stopped at each fence in
//! each subset of lines, recovered, and judged. See docs/crash-consistency.md.

mod library;
mod media;
mod mutants;
mod ops;
mod ops_more;
mod pmdk;
mod recover;
mod rng;
mod seeds;
mod states;
mod world;

use pmdk::Pmdk;
use recover::{Judge, Sample};
use states::Budget;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |v| v.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// `CRASH_STATES`: states per fence.
fn budget() -> Budget {
    Budget { per_fence: number("CRASH_STATES", 12) as usize }
}

#[test]
fn creation() {
    let mut judge = Judge::new(budget(), 0);
    for used in [false, true] {
        judge.creation(&ops::create(used)).unwrap();
    }
    println!("{:?}", judge.tally);
}

#[test]
fn every_operation() {
    let only = std::env::var("CRASH_ONLY").ok();
    let one_in = number("CRASH_PMDK", 40);
    let mut pmdk = Pmdk::new(one_in.max(1));
    if let Err(why) = &pmdk {
        println!("skipped: comparison with PMDK: {why}");
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "nothing may be skipped in CI");
    }
    let mut judge = Judge::new(budget(), 40);
    judge.sample = pmdk.as_mut().ok().map(|p| p as &mut dyn Sample);
    let mut failures = Vec::new();
    let begin = std::time::Instant::now();
    for (name, scenario) in ops::ALL {
        if only.as_ref().is_some_and(|o| o != name) {
            continue;
        }
        let (t, before) = (std::time::Instant::now(), judge.tally);
        let history = scenario();
        if name == ops::NOT_FOR_PMDK {
            judge.sample = None; // the last one
        }
        let recorded = t.elapsed();
        if let Err(e) = judge.history(&history) {
            println!("{}", e.0);
            failures.push(e.0);
        }
        println!(
            "{name:20} {:5} fences {:6} states {:6} during recovery {:6.2?} + {:.2?}",
            judge.tally.fences - before.fences,
            judge.tally.states - before.states,
            judge.tally.second - before.second,
            recorded,
            t.elapsed() - recorded
        );
    }
    println!("{:?} in {:.1?}", judge.tally, begin.elapsed());
    if let Ok(pmdk) = &mut pmdk {
        pmdk.flush();
        println!("{} states recovered by PMDK too, {} differ", pmdk.compared, pmdk.failures.len());
        failures.append(&mut pmdk.failures);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

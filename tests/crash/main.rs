//! Every crash state: each operation is recorded, stopped at each fence in
//! each subset of lines, recovered, and judged. See docs/crash-consistency.md.

mod media;
mod mutants;
mod ops;
mod recover;
mod rng;
mod states;
mod world;

use recover::Judge;
use states::Budget;

/// `CRASH_STATES`: states per fence.
fn budget() -> Budget {
    let n = std::env::var("CRASH_STATES").ok().map(|v| v.parse().expect("CRASH_STATES is a number"));
    Budget { per_fence: n.unwrap_or(12) }
}

#[test]
fn every_operation() {
    let only = std::env::var("CRASH_ONLY").ok();
    let mut judge = Judge::new(budget(), 40);
    let mut failures = Vec::new();
    let begin = std::time::Instant::now();
    for (name, scenario) in ops::ALL {
        if only.as_ref().is_some_and(|o| o != name) {
            continue;
        }
        let (t, before) = (std::time::Instant::now(), judge.tally);
        let history = scenario();
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
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

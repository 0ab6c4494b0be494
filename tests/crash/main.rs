//! Every crash state: each operation is recorded, stopped at each fence in
//! each subset of lines, recovered, and judged. See docs/crash-consistency.md.

mod afterlife;
mod calls;
mod classes;
mod found;
mod library;
mod media;
mod mixes;
mod mutants;
mod ops;
mod ops_more;
mod pmdk;
mod recover;
mod rng;
mod seeds;
mod states;
mod transactions;
mod world;

use pmdk::Pmdk;
use recover::Judge;
use states::Budget;

/// Of some states of each scenario: `cargo xtask crash` tries many.
const FEW: Budget = Budget { per_fence: 3 };

#[test]
fn creation() {
    let mut judge = Judge::new(Budget { per_fence: 12 }, 0);
    for used in [false, true] {
        judge.creation(&ops::create(used)).unwrap_or_else(|e| panic!("{}", e.0));
    }
    println!("{:?}", judge.tally);
}

#[test]
fn every_operation() {
    let pmdk = pmdk::compile();
    if let Err(why) = &pmdk {
        println!("skipped: comparison with PMDK: {why}");
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "nothing may be skipped in CI");
    }
    let mut judge = Judge::new(FEW, 100);
    let mut failures = Vec::new();
    for (name, scenario) in ops::ALL {
        judge.pmdk = pmdk.as_ref().ok().filter(|_| ops::is_for_pmdk(name)).map(|p| Pmdk::start(p));
        failures.extend(judge.history(&scenario()).err().map(|e| e.0));
    }
    println!("{:?}", judge.tally);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

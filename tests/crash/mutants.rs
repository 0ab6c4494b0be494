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
/// The scenario that makes a pool.
const CREATE: &str = "create";
/// Scenarios whose recoveries are recorded too.
const RECOVERED: [&str; 4] = ["publish_many", "tx_snapshots", "tx_large_snapshots", "tx_objects"];
const SCENARIOS: &str = "CRASH_SCENARIOS";

/// A gap of the tests, not of the argument.
const ONE_LANE: &str =
    "matters once another lane changes the same words, which no scenario does after a recovery";

const BEFORE_DESCRIPTOR: &str = "another fence comes before the descriptor";

/// Sites whose absence no crash can show, and why: kind, file, source line (or
/// lines, to tell it from others).
const UNNOTICED: &[(Kind, &str, &str, &str)] = &[
    (Kind::Fence, "src/ulog/lanes.rs", "region.drain();", BEFORE_DESCRIPTOR),
    (Kind::Fence, "src/pool/create.rs", "region.drain();", BEFORE_DESCRIPTOR),
    (
        Kind::Fence,
        "src/pool/create.rs",
        "region.persist_word(HEAP_SIZE, self.heap_size());",
        BEFORE_DESCRIPTOR,
    ),
    (
        Kind::Fence,
        "src/pool/descriptor.rs",
        "region.copy_in(START, &bytes);\nregion.drain();",
        "that of the run id follows before create returns",
    ),
    (
        Kind::Fence,
        "src/heap/zone.rs",
        "self.persist_size(region);",
        "another fence comes before a block of the zone is allocated",
    ),
    (Kind::Flush, "src/ulog/recover.rs", "region.persist(chain.head, HEADER);", ONE_LANE),
    (Kind::Fence, "src/ulog/recover.rs", "region.persist(chain.head, HEADER);", ONE_LANE),
    (
        Kind::Flush,
        "src/heap/zone.rs",
        "region.fill(self.start + 8, 0, ZONE_HEADER - 8);",
        "shares its line with the zone's magic, flushed next",
    ),
    (
        Kind::Flush,
        "src/obj/root.rs",
        "self.persist_header(new);",
        "the header shares its line with the zeroed data, flushed before",
    ),
    (
        Kind::Fence,
        "src/ulog/recover.rs",
        "region.persist_word(head + GEN_NUM, gen_num.wrapping_add(1));",
        "that of the conversion flags comes before open returns, and recovery can be repeated",
    ),
    (
        Kind::Flush,
        "src/obj/defrag.rs",
        "region.flush(new.start, new.header.size());",
        "in the default classes the header shares its line with the data, flushed next",
    ),
    (Kind::Flush, "src/obj/open.rs", CONVERSION, "the word is 0 already"),
    (Kind::Fence, "src/obj/open.rs", CONVERSION, "the word is 0 already"),
    (
        Kind::Flush,
        "src/pool/open.rs",
        "self.region.persist_word(RUN_ID, id);",
        "its line is flushed again with the conversion flags, before a lock can be used",
    ),
    (
        Kind::Fence,
        "src/pool/open.rs",
        "self.region.persist_word(RUN_ID, id);",
        "another fence comes before a lock can be used",
    ),
    (
        Kind::Fence,
        "src/pool/open.rs",
        "self.region.drain();",
        "all calls drained: for what the program flushed and did not drain before it closed",
    ),
    (
        Kind::Flush,
        "src/pool/descriptor.rs",
        "region.flush(ROOT_OFFSET, RESERVED - ROOT_OFFSET);",
        "shares its line with the reserved words, flushed before",
    ),
    (
        Kind::Flush,
        "src/pool/create.rs",
        "region.persist_word(HEAP_SIZE, self.heap_size());",
        "its line is flushed again before the descriptor, and open repairs a size of 0",
    ),
    (
        Kind::Fence,
        "src/pool/sds.rs",
        "store(region, &state(false));",
        "a pool that seems to be open still is marked anew: its counters are equal",
    ),
    (Kind::Fence, "src/heap/boot.rs", "region.drain();", "another fence comes before the descriptor"),
];
const CONVERSION: &str = "region.persist_word(CONVERSION_FLAGS, 0);";

fn name(site: &Site) -> String {
    format!("{} {}", if site.0 == Kind::Flush { "flush" } else { "fence" }, site.1)
}

/// The site's line of source and `before` lines in front of it.
fn source(site: &Site, before: usize) -> String {
    let path = format!("{}/{}", env!("CARGO_MANIFEST_DIR"), site.1.file());
    let text = std::fs::read_to_string(path).unwrap();
    let line = site.1.line() as usize;
    let lines = text.lines().take(line).skip(line - 1 - before).map(str::trim);
    lines.collect::<Vec<_>>().join("\n")
}

fn excuse(site: &Site) -> Option<&'static str> {
    let is = |u: &&(Kind, &str, &str, &str)| {
        u.0 == site.0 && site.1.file() == u.1 && source(site, u.2.lines().count() - 1) == u.2
    };
    UNNOTICED.iter().find(is).map(|u| u.3)
}

/// Sites of the library by the scenarios that pass them.
fn sites() -> BTreeMap<Site, (u64, Vec<&'static str>)> {
    let mut all = BTreeMap::new();
    let recordings = ops::ALL.into_iter().map(|(name, scenario)| (name, scenario().recording));
    for (name, recording) in recordings.chain([(CREATE, ops::create(true))]) {
        for (site, n) in recording.sites {
            if site.1.file().starts_with("src/") {
                let entry: &mut (u64, Vec<_>) = all.entry(site).or_default();
                entry.0 += n;
                entry.1.push(name);
            }
        }
    }
    let mut judge = Judge::new(Budget { per_fence: 4 }, 5);
    for (_, scenario) in ops::ALL.into_iter().filter(|s| RECOVERED.contains(&s.0)) {
        judge.history(&scenario()).expect("sound without mutation");
    }
    for site in judge.sites.into_iter().filter(|s| s.1.file().ends_with("recover.rs")) {
        all.insert(site, (0, RECOVERED.to_vec()));
    }
    all
}

/// The child: leaves the site out and says what was found.
fn run_mutant(omitted: &str) {
    let (kind, at) = omitted.split_once(' ').unwrap();
    let kind = if kind == "flush" { Kind::Flush } else { Kind::Fence };
    let names: BTreeSet<String> = std::env::var(SCENARIOS).unwrap().split(',').map(str::to_string).collect();
    let second_in = if at.contains("recover.rs") { 2 } else { 12 };
    let mut judge = Judge::new(Budget { per_fence: 16 }, second_in);
    recorder::omit(Some((kind, at.to_string())));
    if names.contains(CREATE)
        && let Err(e) = judge.creation(&ops::create(true))
    {
        println!("caught by {CREATE} after {} states: {}", judge.tally.states, e.0);
        return;
    }
    // Only what is recorded goes wrong: recovery in the judge is sound, but for
    // crashes of the recovery itself.
    for (name, scenario) in ops::ALL.into_iter().filter(|s| names.contains(s.0)) {
        let history = scenario();
        if let Err(e) = judge.history(&history) {
            println!("caught by {name} after {} states: {}", judge.tally.states, e.0);
            return;
        }
    }
    println!("survived {} states", judge.tally.states);
}

/// `CRASH_MUTANTS`: how many of them, "all", or parts of "flush FILE:LINE"
/// separated by commas.
#[test]
fn mutants_are_noticed() {
    if let Ok(omitted) = std::env::var(OMIT) {
        return run_mutant(&omitted);
    }
    let sites = sites();
    let mut chosen: Vec<_> = sites.iter().collect();
    let wanted = std::env::var("CRASH_MUTANTS").unwrap_or("6".into());
    if let Ok(n) = wanted.parse::<usize>() {
        let mut rng = Rng::new(chosen.len() as u64);
        while chosen.len() > n {
            chosen.swap_remove(rng.below(chosen.len() as u64) as usize);
        }
    } else if wanted != "all" {
        chosen.retain(|(site, _)| wanted.split(',').any(|part| name(site).contains(part)));
    }
    println!("{} of {} flushes and fences", chosen.len(), sites.len());
    let mut missed = Vec::new();
    for (site, (calls, scenarios)) in chosen {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "mutants::mutants_are_noticed", "--nocapture"])
            .env(OMIT, name(site))
            .env(SCENARIOS, scenarios.join(","))
            .output()
            .unwrap();
        let out = String::from_utf8_lossy(&child.stdout);
        let verdict = out.lines().find(|l| l.starts_with("caught") || l.starts_with("survived"));
        let verdict = verdict.unwrap_or("caught: the recovery died");
        let line = format!("{} ({calls} calls) `{}`", name(site), source(site, 0));
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

//! Mutants by place: each flush and each fence of the library that the
//! scenarios pass has each of the faults of [`Fault`] that it can have.

use std::collections::{BTreeMap, BTreeSet};

use pmem_rs::flush::recorder::{Fault, Faulty, Kind, Site};

use super::{CREATE, Change, Check, Mutant, closing};
use crate::ops;
use crate::recover::Judge;
use crate::states::Budget;

/// What only recoveries pass.
pub const RECOVERY: &str = "src/ulog/recover.rs";
/// Scenarios whose recoveries are recorded too.
const RECOVERED: [&str; 5] =
    ["publish_many", "tx_snapshots", "tx_large_snapshots", "tx_objects", "second_lane"];

/// Faults, kind, file, source line (or lines, to tell it from others), reason.
type Excuse = (&'static [Fault], Kind, &'static str, &'static str, &'static str);

const ALL: &[Fault] = &[Fault::Omitted, Fault::FirstLine, Fault::LastLine, Fault::Late];

/// Faults that no crash can show, and why.
const UNNOTICED: &[Excuse] = &[
    (ALL, Kind::Flush, "src/obj/open.rs", CONVERSION, STAYS),
    (ALL, Kind::Fence, "src/obj/open.rs", CONVERSION, STAYS),
    (ALL, Kind::Flush, "src/obj/open.rs", UNSIZED, AGAIN),
    (ALL, Kind::Fence, "src/obj/open.rs", UNSIZED, AGAIN),
    (ALL, Kind::Flush, "src/heap/boot.rs", JOINED, APART),
    (ALL, Kind::Fence, "src/heap/boot.rs", JOINED, APART),
    (
        ALL,
        Kind::Fence,
        "src/ulog/recover.rs",
        "region.persist_word(head + CAPACITY, UNDO_CAPACITY);",
        "a pool whose lanes have none was converted, and the flag that says so goes with a fence",
    ),
    (ALL, Kind::Flush, "src/pool/open.rs", RUN_ID, RANDOM),
    (&[Fault::FirstLine, Fault::LastLine], Kind::Flush, "src/ulog/redo.rs", CLEARED, EITHER),
    (
        &[Fault::FirstLine],
        Kind::Flush,
        "src/ulog/lanes.rs",
        "region.fill(start + log, 0, 2 * HEADER);",
        "that line is flushed again with the capacity",
    ),
    (
        ALL,
        Kind::Flush,
        "src/heap/arena.rs",
        "self.region.fill(b.user(), self.pattern() as u8, b.usable());",
        "a pattern for debugging, which nobody promises to last",
    ),
    (&[Fault::FirstLine], Kind::Flush, "src/pool/sds.rs", "store(region, &state(true));", COUNTER),
    (&[Fault::FirstLine], Kind::Flush, "src/pool/sds.rs", "store(region, &state(false));", COUNTER),
];
const CONVERSION: &str = "region.persist_word(CONVERSION_FLAGS, 0);";
const UNSIZED: &str = "region.persist_word(HEAP_SIZE, size);";
const AGAIN: &str = "worked out again by each open until it is there";
const JOINED: &str =
    "zone.persist_header(&self.region, at, ChunkHeader { kind: FREE, flags, size: have + size });";
const APART: &str = "the blocks that it joins are free each for itself";
const RUN_ID: &str = "self.region.persist_word(RUN_ID, id);";
const RANDOM: &str = "the next run's id is another one, whatever is stored: ids are random";
/// That of `Redo::process_log`, not of `Redo::store`.
const CLEARED: &str = "lane[1] = next;\nregion.stream(self.log, lane);";
const EITHER: &str = "a log is none without its header, and none without its entries";
const COUNTER: &str = "of the state that line has a counter alone, which is always 0";
const STAYS: &str = "a flag that survives is cleared by the next open, and nothing reads it";

const FAULTS: [(Fault, &str); 4] = [
    (Fault::Omitted, "omitted"),
    (Fault::FirstLine, "first line missing"),
    (Fault::LastLine, "last line missing"),
    (Fault::Late, "late"),
];

fn name_of(fault: Fault) -> &'static str {
    FAULTS.iter().find(|f| f.0 == fault).map_or("", |f| f.1)
}

/// A fault as text, for a child.
pub fn encode(f: &Faulty) -> String {
    let kind = if f.kind == Kind::Flush { "flush" } else { "fence" };
    format!("{}:{kind}:{}:{}:{}", name_of(f.fault), f.file, f.line, f.column)
}

pub fn decode(text: &str) -> Faulty {
    let parts: Vec<_> = text.split(':').collect();
    let [fault, kind, file, line, column] = parts[..] else { panic!("no fault: {text}") };
    Faulty {
        fault: FAULTS.iter().find(|f| f.1 == fault).expect("a fault").0,
        kind: if kind == "flush" { Kind::Flush } else { Kind::Fence },
        file: file.into(),
        line: line.parse().unwrap(),
        column: column.parse().unwrap(),
    }
}

/// The site's line of source and `before` lines in front of it.
fn source(site: &Site, before: usize) -> String {
    let path = format!("{}/{}", env!("CARGO_MANIFEST_DIR"), site.1.file());
    let text = std::fs::read_to_string(path).unwrap();
    let line = site.1.line() as usize;
    let lines = text.lines().take(line).skip(line - 1 - before).map(str::trim);
    lines.collect::<Vec<_>>().join("\n")
}

fn is_at(u: &Excuse, site: &Site) -> bool {
    u.1 == site.0 && site.1.file() == u.2 && source(site, u.3.lines().count() - 1) == u.3
}

fn excuse(fault: Fault, site: &Site) -> Option<&'static str> {
    UNNOTICED.iter().find(|u| u.0.contains(&fault) && is_at(u, site)).map(|u| u.4)
}

/// Who passes a site.
#[derive(Default)]
struct Passed {
    /// Scenarios, and how many fences they have.
    by: Vec<(usize, &'static str)>,
    /// Some flush there is of several lines.
    long: bool,
}

fn sites() -> BTreeMap<Site, Passed> {
    let mut all: BTreeMap<Site, Passed> = BTreeMap::new();
    let recordings = ops::ALL.into_iter().map(|(name, scenario)| (name, scenario().recording));
    let others = [(CREATE, ops::create(true)), (closing::NAME, closing::history().0.recording)];
    for (name, r) in recordings.chain(others) {
        for site in r.sites.into_keys().filter(|s| s.1.file().starts_with("src/")) {
            let passed = all.entry(site).or_default();
            passed.by.push((r.fences.len(), name));
            passed.long |= r.long.contains(&site);
        }
    }
    for site in sites_of_recovery() {
        let passed = Passed { by: RECOVERED.map(|name| (0, name)).to_vec(), long: false };
        all.entry(site).or_insert(passed);
    }
    all
}

fn sites_of_recovery() -> BTreeSet<Site> {
    let mut judge = Judge::new(Budget { per_fence: 4 }, 5);
    for (_, scenario) in ops::ALL.into_iter().filter(|s| RECOVERED.contains(&s.0)) {
        judge.history(&scenario()).expect("sound without mutation");
    }
    judge.sites.retain(|s| s.1.file().ends_with(RECOVERY));
    judge.sites
}

pub fn mutants() -> Vec<Mutant> {
    let mut all = Vec::new();
    let sites = sites();
    for u in UNNOTICED {
        assert!(sites.keys().any(|s| is_at(u, s)), "no site any more: {u:?}");
    }
    for (site, mut passed) in sites {
        passed.by.sort_unstable(); // short ones first
        let scenarios: Vec<_> = passed.by.iter().map(|b| b.1).collect();
        for (fault, text) in FAULTS {
            let possible = match fault {
                Fault::Omitted => true,
                Fault::FirstLine | Fault::LastLine => site.0 == Kind::Flush && passed.long,
                Fault::Late => site.0 == Kind::Fence,
            };
            if !possible {
                continue;
            }
            let kind = if site.0 == Kind::Flush { "flush" } else { "fence" };
            let (file, line, column) = (site.1.file().into(), site.1.line(), site.1.column());
            all.push(Mutant {
                name: format!("{kind} {text} {}", site.1),
                what: format!("{kind} {text}: {}: `{}`", site.1.file(), source(&site, 0)),
                change: Change::Site(Faulty { fault, kind: site.0, file, line, column }),
                check: Check::Scenarios(scenarios.clone()),
                excuse: excuse(fault, &site),
            });
        }
    }
    all
}

//! What may be wrong in the logs of the lanes (format 3.2 to 3.11). Told, not
//! repaired; recovery decides for itself what it carries out.

use std::fmt::Arguments;

use super::recover::{Bounds, Budget, Chain, undo_chain, valid_redo};
use super::{
    CAPACITY, EXTERNAL, EXTERNAL_CAPACITY, FLAGS, GEN_NUM, HEADER, INTERNAL, INTERNAL_CAPACITY, LANE_SIZE,
    NEXT, UNDO, UNDO_CAPACITY,
};
use crate::pool::Region;
use crate::pool::check::zeros;
use crate::pool::finding::{Advice, Finding, Findings, Gravity};

const LOGS: [(&str, u64, u64); 3] = [
    ("internal redo", INTERNAL, INTERNAL_CAPACITY),
    ("external redo", EXTERNAL, EXTERNAL_CAPACITY),
    ("undo", UNDO, UNDO_CAPACITY),
];

/// Before recovery: headers of all lanes' logs, and what valid redo logs are
/// about to change.
pub fn inspect_redo(region: &Region, bounds: &Bounds, lanes: u64, findings: &mut Findings) {
    let budget = Budget::new(region);
    for lane in 0..lanes {
        for (name, offset, base) in LOGS {
            header(region, lane, name, bounds.lanes.0 + lane * LANE_SIZE + offset, base, findings);
        }
        for chain in valid_redo(region, bounds, lane, &budget) {
            entries(&chain, |e| chain.check_redo(e).is_ok(), findings);
        }
    }
}

/// After recovery of redo logs: the snapshots that are about to be restored.
pub fn inspect_undo(region: &Region, bounds: &Bounds, lanes: u64, findings: &mut Findings) {
    let budget = Budget::new(region);
    for lane in 0..lanes {
        let chain = undo_chain(region, bounds, lane, &budget);
        entries(&chain, |e| chain.check_undo(e).is_ok(), findings);
    }
}

fn entries(chain: &Chain, allowed: impl Fn(&super::entry::Found) -> bool, findings: &mut Findings) {
    let (lane, name) = (chain.lane, chain.name);
    let mut n = 0;
    let end = chain.each_valid(|e| {
        if !allowed(&e) {
            let place = format_args!("lane {lane}, {name} log, entry {n}");
            let expected = format_args!("a place that logs may change");
            findings.tell(&defect(place, "target", e.at, e.target, expected));
        }
        n += 1;
        Ok(())
    });
    if let Err(super::Error::Link { next, at, .. }) = end {
        let place = format_args!("lane {lane}, {name} log");
        findings.tell(&defect(place, "next", at, next, format_args!("a log in the heap")));
    }
}

fn header(region: &Region, lane: u64, name: &str, head: u64, base: u64, findings: &mut Findings) {
    let place = format_args!("lane {lane}, {name} log");
    let mut check = |ok: bool, field: &str, offset: u64, expected: Arguments| {
        if !ok {
            let (at, found) = (head + offset, region.load(head + offset));
            findings.tell(&defect(place, field, at, found, expected));
        }
    };
    let capacity = region.load(head + CAPACITY);
    if base == UNDO_CAPACITY {
        // 0 in the lanes of converted pools.
        check(capacity == base || capacity == 0, "capacity", CAPACITY, format_args!("{base:#x}"));
    } else {
        let ok = capacity <= base && capacity.is_multiple_of(64);
        check(ok, "capacity", CAPACITY, format_args!("0 to {base:#x}, a multiple of 64"));
        check(region.load(head + GEN_NUM) == 0, "gen_num", GEN_NUM, format_args!("0"));
    }
    check(region.load(head + FLAGS) == 0, "flags", FLAGS, format_args!("0"));
    if base == INTERNAL_CAPACITY {
        check(region.load(head + NEXT) == 0, "next", NEXT, format_args!("0"));
    }
    zeros(region, place, "unused", (head + FLAGS + 8, head + HEADER), findings);
}

fn defect<'a>(
    place: Arguments<'a>,
    field: &'a str,
    at: u64,
    found: u64,
    expected: Arguments<'a>,
) -> Finding<'a> {
    Finding {
        gravity: Gravity::Defect,
        what: "invalid log",
        place,
        field,
        at,
        found,
        expected,
        advice: Advice::Restore,
    }
}

//! Recovery of the logs of one lane (format 3.10). Everything read here is
//! hostile until checked: a log is carried out only after all its targets
//! were found to be places that logs may change.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use super::entry::{BUF_HEADER, Found, Op, entry_at, valid_extension};
use super::{
    CAPACITY, EXTERNAL, EXTERNAL_CAPACITY, Error, FLAGS, GEN_NUM, HEADER, INTERNAL, INTERNAL_CAPACITY,
    LANE_SIZE, NEXT, UNDO, UNDO_CAPACITY, USER_BUFFER, align_up,
};
use crate::pool::{Region, checksum::Sum};

/// What one phase of recovery needs to know of the pool around the lanes.
#[derive(Debug)]
pub struct Bounds {
    /// All lanes.
    pub lanes: (u64, u64),
    /// The heap, headers of zones included.
    pub heap: (u64, u64),
    /// Words of the descriptor that redo logs may change.
    pub words: [u64; 2],
    /// Bytes of linked logs that the phase may still walk. Sound logs do not
    /// overlap: what runs out is a loop, or lanes that share their extensions.
    pub budget: Cell<u64>,
}

impl Bounds {
    /// How often a phase walks a log: to check it, to check it again before it
    /// is carried out, and then.
    pub const WALKS: u64 = 3;

    fn allows_word(&self, at: u64) -> bool {
        let inside = |(from, to): (u64, u64)| from <= at && at < to && to - at >= 8;
        at & 7 == 0 && (inside(self.lanes) || inside(self.heap) || self.words.contains(&at))
    }

    fn allows_range(&self, at: u64, len: u64) -> bool {
        self.heap.0 <= at && at <= self.heap.1 && len <= self.heap.1 - at
    }
}

/// One lane as recovery sees it.
#[derive(Clone, Copy)]
struct Chain<'a> {
    region: &'a Region,
    bounds: &'a Bounds,
    lane: u64,
    name: &'static str,
    head: u64,
    capacity: u64,
    gen_num: u64,
}

impl Chain<'_> {
    /// Calls `f` for each entry of the valid prefix of the chain.
    fn each(&self, mut f: impl FnMut(Found) -> Result<(), Error>) -> Result<(), Error> {
        let (mut data, mut capacity) = (self.head + HEADER, self.capacity);
        let mut next = self.region.load(self.head + NEXT);
        loop {
            let (mut at, end) = (data, data + capacity);
            while let Some(e) = entry_at(self.region, at, end, self.gen_num) {
                f(e)?;
                at += e.size;
            }
            if at < end || next == 0 {
                return Ok(());
            }
            let (log, cap, after) = self.link(next)?;
            (data, capacity, next) = (log + HEADER, cap, after);
        }
    }

    /// Carries out the entries once all were found to be allowed. Each is
    /// checked again when its turn comes: in a forged chain an entry may
    /// have changed those after it.
    fn check_and_apply(&self, mut check: impl FnMut(&Found) -> Result<(), Error>) -> Result<(), Error> {
        self.each(|e| check(&e))?;
        self.each(|e| {
            check(&e)?;
            apply(self.region, &e);
            Ok(())
        })
    }

    fn check_redo(&self, e: &Found) -> Result<(), Error> {
        let ok = match e.op {
            Op::Set | Op::And | Op::Or => self.bounds.allows_word(e.target),
            Op::BufSet | Op::BufCpy => self.bounds.allows_range(e.target, e.len),
        };
        if ok { Ok(()) } else { Err(self.bad_target(e)) }
    }

    fn link(&self, next: u64) -> Result<(u64, u64, u64), Error> {
        let (heap, budget) = (self.bounds.heap, &self.bounds.budget);
        let linked = valid_extension(self.region, next, heap.0, heap.1).and_then(|linked| {
            budget.set(budget.get().checked_sub(linked.1 + HEADER)?);
            Some(linked)
        });
        linked.ok_or_else(|| self.bad_link(next))
    }

    fn bad_link(&self, next: u64) -> Error {
        Error::Link { lane: self.lane, log: self.name, next }
    }

    fn bad_target(&self, e: &Found) -> Error {
        Error::Target { lane: self.lane, log: self.name, at: e.at, target: e.target }
    }
}

/// The redo logs of a lane that are valid: not those never used, idle, or torn
/// while they were written.
fn valid_redo<'a>(region: &'a Region, bounds: &'a Bounds, lane: u64) -> impl Iterator<Item = Chain<'a>> {
    let start = bounds.lanes.0 + lane * LANE_SIZE;
    let logs = [
        ("internal redo", start + INTERNAL, INTERNAL_CAPACITY),
        ("external redo", start + EXTERNAL, EXTERNAL_CAPACITY),
    ];
    logs.into_iter().filter_map(move |(name, head, base)| {
        let capacity = region.load(head + CAPACITY);
        let valid = capacity != 0 && capacity <= base && checksum_matches(region, head, capacity);
        valid.then_some(Chain { region, bounds, lane, name, head, capacity, gen_num: 0 })
    })
}

/// Whether all that the lane's valid redo logs would change are places that
/// logs may change. Changes nothing.
pub fn check_redo(region: &Region, bounds: &Bounds, lane: u64) -> Result<(), Error> {
    valid_redo(region, bounds, lane).try_for_each(|chain| chain.each(|e| chain.check_redo(&e)))
}

/// Carries out and invalidates the redo logs of a lane, if they are valid.
/// Only after this was done for all lanes may undo logs be looked at: a redo
/// log may hold the generation number that invalidates an undo log.
pub fn recover_redo(region: &Region, bounds: &Bounds, lane: u64) -> Result<(), Error> {
    for chain in valid_redo(region, bounds, lane) {
        chain.check_and_apply(|e| chain.check_redo(e))?;
        // Targets durable before the log that repeats them is gone.
        region.drain();
        // `next` keeps its value all the time: a header that lost it would
        // leak the extensions.
        for field in (0..HEADER).step_by(8).filter(|&field| field != NEXT) {
            region.store(chain.head + field, 0);
        }
        region.persist(chain.head, HEADER);
    }
    Ok(())
}

/// 3.5.4: the sum over the header and the valid prefix of the head log.
fn checksum_matches(region: &Region, head: u64, capacity: u64) -> bool {
    let (mut at, end) = (head + HEADER, head + HEADER + capacity);
    while let Some(e) = entry_at(region, at, end, 0) {
        at += e.size;
    }
    if at == head + HEADER {
        return false;
    }
    let mut sum = Sum::default();
    sum.add_u64(0);
    // SAFETY: recovery is alone with the pool.
    sum.add(unsafe { region.bytes(head + 8, at - head - 8) });
    sum.value() == region.load(head)
}

fn apply(region: &Region, e: &Found) {
    match e.op {
        Op::Set | Op::And | Op::Or => {
            let value = region.load(e.at + 8);
            let word = region.word(e.target);
            let old = word.load(Ordering::Relaxed);
            let new = match e.op {
                Op::And => old & value,
                Op::Or => old | value,
                _ => value,
            };
            word.store(new, Ordering::Release);
            region.flush(e.target, 8);
        }
        Op::BufCpy => {
            // A memmove: an overlap, which only a forged log has, does no harm.
            region.copy_within(e.target, e.at + BUF_HEADER, e.len);
        }
        Op::BufSet => {
            let byte = region.load(e.at + BUF_HEADER) as u8;
            region.fill(e.target, byte, e.len);
        }
    }
}

/// Restores the snapshots of a lane whose transaction did not commit, and
/// makes sure that the lane's undo log can be used again.
pub fn rollback_undo(region: &Region, bounds: &Bounds, lane: u64) -> Result<(), Error> {
    let head = bounds.lanes.0 + lane * LANE_SIZE + UNDO;
    if region.load(head + CAPACITY) != UNDO_CAPACITY {
        // Lanes of converted pools are all zero (11.3). Entries go first, so
        // that the new capacity uncovers none.
        region.fill(head + HEADER, 0, 64);
        region.drain();
        region.persist_word(head + CAPACITY, UNDO_CAPACITY);
    }
    let gen_num = region.load(head + GEN_NUM);
    let chain = Chain { region, bounds, lane, name: "undo", head, capacity: UNDO_CAPACITY, gen_num };
    let mut found = false;
    chain.check_and_apply(|e| {
        found = true;
        let ok = matches!(e.op, Op::BufCpy | Op::BufSet) && bounds.allows_range(e.target, e.len);
        if ok { Ok(()) } else { Err(chain.bad_target(e)) }
    })?;
    if !found && region.load(head + NEXT) == 0 {
        return Ok(());
    }
    // The restored data must be durable before the entries lose their validity.
    region.drain();
    region.persist_word(head + GEN_NUM, gen_num.wrapping_add(1));
    Ok(())
}

/// A linked extension that recovery still has to release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linked {
    /// Offset of the `next` field that holds the link.
    pub field: u64,
    pub link: u64,
}

impl Linked {
    /// Whether it is the application's own object.
    pub fn is_user_buffer(&self, region: &Region) -> bool {
        region.load(align_up(self.link, 64) + FLAGS) & USER_BUFFER != 0
    }
}

/// Logs that may have extensions while they are idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extended {
    Redo,
    Undo,
}

/// The extensions linked to a lane's log, which is idle, in the order of their
/// release: from the last one on.
pub fn extensions_of(
    region: &Region,
    bounds: &Bounds,
    lane: u64,
    log: Extended,
) -> Result<Vec<Linked>, Error> {
    let (name, head) = match log {
        Extended::Redo => ("external redo", EXTERNAL),
        Extended::Undo => ("undo", UNDO),
    };
    let head = bounds.lanes.0 + lane * LANE_SIZE + head;
    let chain = Chain { region, bounds, lane, name, head, capacity: 0, gen_num: 0 };
    let mut found = Vec::new();
    let (mut field, mut link) = (head + NEXT, region.load(head + NEXT));
    while link != 0 {
        let (log, _, after) = chain.link(link)?;
        found.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        found.push(Linked { field, link });
        (field, link) = (log + NEXT, after);
    }
    found.reverse();
    Ok(found)
}

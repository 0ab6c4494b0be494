//! Recovery of the logs of one lane (format 3.10). Everything read here is
//! hostile until checked: a log is carried out only after all its targets
//! were found to be places that logs may change.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use super::entry::{BUF_HEADER, Found, Op, entry_at, is_valid, unverified_at, valid_extension};
use super::{
    CAPACITY, EXTERNAL, EXTERNAL_CAPACITY, Error, FLAGS, GEN_NUM, HEADER, INTERNAL, INTERNAL_CAPACITY,
    LANE_SIZE, NEXT, UNDO, UNDO_CAPACITY, USER_BUFFER, align_up,
};
use crate::pool::{PAGE, Probe, Region, checksum::Sum};

/// What one phase of recovery needs to know of the pool around the lanes.
pub struct Bounds<'a> {
    /// To be asked before extensions of logs are looked at.
    pub probe: Probe<'a>,
    /// All lanes.
    pub lanes: (u64, u64),
    /// The heap, headers of zones included.
    pub heap: (u64, u64),
    /// Words of the descriptor that redo logs may change.
    pub words: [u64; 2],
}

impl Bounds<'_> {
    fn allows_word(&self, at: u64) -> bool {
        let inside = |(from, to): (u64, u64)| from <= at && at < to && to - at >= 8;
        at & 7 == 0 && (inside(self.lanes) || inside(self.heap) || self.words.contains(&at))
    }

    fn allows_range(&self, at: u64, len: u64) -> bool {
        self.heap.0 <= at && at <= self.heap.1 && len <= self.heap.1 - at
    }

    /// As [`unverified_at`]; what is found can be read, as is known up to
    /// `readable`.
    #[inline]
    fn entry_at(
        &self,
        region: &Region,
        at: u64,
        end: u64,
        readable: &mut u64,
    ) -> Result<Option<Found>, Error> {
        if at + HEADER > *readable {
            *readable = end.min(at + READ_AHEAD);
            self.probe.check(at..*readable)?;
        }
        let entry = unverified_at(region, at, end);
        if let Some(e) = entry
            && at + e.size > *readable
        {
            *readable = at + e.size;
            self.probe.check(at..*readable)?;
        }
        Ok(entry)
    }
}

/// Bytes of a log that are made sure to be readable at once, mostly.
const READ_AHEAD: u64 = 64 << 10;

/// Bytes of extensions that a phase may still read. Sound logs do not overlap:
/// whoever reads more follows links in circles, or from many lanes to the same
/// log, and must come to an end.
pub struct Budget(Cell<u64>);

impl Budget {
    /// How often a phase walks a log at most: to check it, to check it in two
    /// ways before it is carried out, and then.
    const WALKS: u64 = 4;

    pub fn new(region: &Region) -> Budget {
        Budget(Cell::new((region.len() as u64).saturating_mul(Self::WALKS)))
    }

    fn spend(&self, bytes: u64) -> Option<()> {
        self.0.set(self.0.get().checked_sub(bytes)?);
        Some(())
    }
}

/// One log of a lane with its extensions, as recovery sees it.
#[derive(Clone, Copy)]
pub(super) struct Chain<'a> {
    region: &'a Region,
    bounds: &'a Bounds<'a>,
    budget: &'a Budget,
    pub lane: u64,
    pub name: &'static str,
    head: u64,
    capacity: u64,
    gen_num: u64,
}

impl Chain<'_> {
    /// Calls `f` for each entry up to the first that `is_valid` refuses.
    #[inline]
    fn each(
        &self,
        is_valid: impl Fn(&Found) -> bool,
        mut f: impl FnMut(Found) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (mut data, mut capacity) = (self.head + HEADER, self.capacity);
        let mut field = self.head + NEXT;
        let mut readable = data + capacity; // as all of the lanes
        loop {
            let (mut at, end) = (data, data + capacity);
            while let Some(e) = self.bounds.entry_at(self.region, at, end, &mut readable)?.filter(&is_valid) {
                f(e)?;
                at += e.size;
            }
            let next = self.region.load(field);
            if at < end || next == 0 || defect!(ChainNotFollowed) {
                return Ok(());
            }
            let log;
            (log, capacity) = self.link(field, next)?;
            (data, field) = (log + HEADER, log + NEXT);
            readable = data;
        }
    }

    /// Calls `f` for each entry of the valid prefix of the chain.
    pub fn each_valid(&self, f: impl FnMut(Found) -> Result<(), Error>) -> Result<(), Error> {
        self.each(|e| is_valid(self.region, e, self.gen_num), f)
    }

    /// Carries out the entries once all were found to be allowed. Each is
    /// checked again when its turn comes: in a forged chain an entry may
    /// have changed those after it. Returns whether there is any.
    fn check_and_apply(&self, check: impl Fn(&Found) -> Result<(), Error>) -> Result<bool, Error> {
        // Where all that looks like entries is allowed, so are the valid ones,
        // and no checksum is needed to know that.
        if self.each(|_| true, |e| check(&e)).is_err() {
            self.each_valid(|e| check(&e))?;
        }
        let mut any = false;
        self.each_valid(|e| {
            check(&e)?;
            apply(self.region, &e);
            any = true;
            Ok(())
        })?;
        Ok(any)
    }

    pub fn check_redo(&self, e: &Found) -> Result<(), Error> {
        let ok = match e.op {
            Op::Set | Op::And | Op::Or => self.bounds.allows_word(e.target),
            Op::BufSet | Op::BufCpy => self.bounds.allows_range(e.target, e.len),
        };
        if ok { Ok(()) } else { Err(self.bad_target(e)) }
    }

    pub fn check_undo(&self, e: &Found) -> Result<(), Error> {
        let ok = matches!(e.op, Op::BufCpy | Op::BufSet) && self.bounds.allows_range(e.target, e.len);
        if ok { Ok(()) } else { Err(self.bad_target(e)) }
    }

    /// Offset and capacity of the log that the link at `field` designates.
    fn link(&self, field: u64, next: u64) -> Result<(u64, u64), Error> {
        let heap = self.bounds.heap;
        let log = align_up(next, 64);
        if heap.0 <= log && log < heap.1 {
            self.bounds.probe.check(log..(log + HEADER).min(heap.1))?;
        }
        valid_extension(self.region, next, heap.0, heap.1)
            .and_then(|(log, capacity, _)| self.budget.spend(capacity + HEADER).map(|()| (log, capacity)))
            .ok_or(Error::Link { lane: self.lane, log: self.name, at: field, next })
    }

    fn bad_target(&self, e: &Found) -> Error {
        Error::Target { lane: self.lane, log: self.name, at: e.at, target: e.target }
    }
}

/// The redo logs of a lane that are valid: not those never used, idle, or torn
/// while they were written.
pub(super) fn valid_redo<'a>(
    region: &'a Region,
    bounds: &'a Bounds<'a>,
    lane: u64,
    budget: &'a Budget,
) -> impl Iterator<Item = Chain<'a>> {
    let start = bounds.lanes.0 + lane * LANE_SIZE;
    let logs = [
        ("internal redo", start + INTERNAL, INTERNAL_CAPACITY),
        ("external redo", start + EXTERNAL, EXTERNAL_CAPACITY),
    ];
    logs.into_iter().filter_map(move |(name, head, base)| {
        let capacity = region.load(head + CAPACITY);
        let valid = capacity != 0
            && capacity <= base
            && (checksum_matches(region, head, capacity) || defect!(RedoSumUnchecked));
        valid.then_some(Chain { region, bounds, budget, lane, name, head, capacity, gen_num: 0 })
    })
}

/// Whether all that the lane's valid redo logs would change are places that
/// logs may change. Changes nothing.
pub fn check_redo(region: &Region, bounds: &Bounds, lane: u64, budget: &Budget) -> Result<(), Error> {
    valid_redo(region, bounds, lane, budget).try_for_each(|chain| chain.each_valid(|e| chain.check_redo(&e)))
}

/// Carries out and invalidates the redo logs of a lane, if they are valid.
/// Only after this was done for all lanes may undo logs be looked at: a redo
/// log may hold the generation number that invalidates an undo log.
pub fn recover_redo(region: &Region, bounds: &Bounds, lane: u64, budget: &Budget) -> Result<(), Error> {
    for chain in valid_redo(region, bounds, lane, budget) {
        defect!(RecoveryClearsFirst, region.persist_word(chain.head + CAPACITY, 0));
        chain.check_and_apply(|e| chain.check_redo(e))?;
        // Targets durable before the log that repeats them is gone.
        region.drain();
        // The entries go as well, as in `Redo::process_log`. `next` keeps its
        // value all the time: a header that lost it would leak the extensions.
        let len = HEADER + if defect!(RecoveryKeepsEntries) { 0 } else { chain.capacity };
        for word in (0..len).step_by(8).filter(|&word| word != NEXT || defect!(RecoveryClearsLink)) {
            region.store(chain.head + word, 0);
        }
        region.persist(chain.head, len);
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
            map_pages(region, e.target, e.len);
            // A memmove: an overlap, which only a forged log has, does no harm.
            region.copy_within(e.target, e.at + BUF_HEADER, e.len);
        }
        Op::BufSet => {
            let byte = region.load(e.at + BUF_HEADER) as u8;
            region.fill(e.target, byte, e.len);
        }
    }
}

/// Loads from each page of a range that is about to be stored to: at a load
/// the kernel maps the pages around as well, at a store the one page alone.
fn map_pages(region: &Region, at: u64, len: u64) {
    for page in (at..at + len).step_by(PAGE as usize) {
        // SAFETY: inside the mapping, as `at` checked.
        unsafe { region.at(page, 1).read_volatile() };
    }
}

/// The undo log of a lane.
pub(super) fn undo_chain<'a>(
    region: &'a Region,
    bounds: &'a Bounds<'a>,
    lane: u64,
    budget: &'a Budget,
) -> Chain<'a> {
    let head = bounds.lanes.0 + lane * LANE_SIZE + UNDO;
    let gen_num = region.load(head + GEN_NUM);
    Chain { region, bounds, budget, lane, name: "undo", head, capacity: UNDO_CAPACITY, gen_num }
}

/// Restores the snapshots of a lane whose transaction did not commit, and
/// makes sure that the lane's undo log can be used again.
pub fn rollback_undo(region: &Region, bounds: &Bounds, lane: u64, budget: &Budget) -> Result<(), Error> {
    let chain = undo_chain(region, bounds, lane, budget);
    let head = chain.head;
    match region.load(head + CAPACITY) {
        UNDO_CAPACITY => {}
        0 => {
            // Lanes of converted pools are all zero (11.3). Entries go first, so
            // that the new capacity uncovers none.
            region.fill(head + HEADER, 0, 64);
            region.drain();
            region.persist_word(head + CAPACITY, UNDO_CAPACITY);
        }
        // Nobody ever changes it: what to restore is not known.
        found => {
            let (log, at) = (chain.name, head + CAPACITY);
            return Err(Error::Capacity { lane, log, at, found, expected: UNDO_CAPACITY });
        }
    }
    let found = chain.check_and_apply(|e| chain.check_undo(e))?;
    if !found && region.load(head + NEXT) == 0 {
        return Ok(());
    }
    // The restored data must be durable before the entries lose their validity.
    region.drain();
    region.persist_word(head + GEN_NUM, chain.gen_num.wrapping_add(!defect!(RollbackKeepsGeneration) as u64));
    Ok(())
}

/// A linked extension that recovery still has to release. A forged chain has as
/// many as the pool has lines, so this is small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linked {
    /// Offset of the `next` field that holds the link.
    pub field: u64,
    pub link: u64,
}

impl Linked {
    /// Offset of the end of the log's entries.
    pub fn end(&self, region: &Region) -> u64 {
        let log = align_up(self.link, 64);
        log + HEADER + region.load(log + CAPACITY)
    }

    /// Whether it is the application's own object.
    pub fn is_user_buffer(&self, region: &Region) -> bool {
        region.load(align_up(self.link, 64) + FLAGS) & USER_BUFFER != 0 && !defect!(LentBufferFreed)
    }
}

/// Logs that may have extensions while they are idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extended {
    Redo,
    Undo,
}

impl Extended {
    pub const ALL: [Extended; 2] = [Extended::Redo, Extended::Undo];

    pub fn name(self) -> &'static str {
        match self {
            Extended::Redo => "external redo",
            Extended::Undo => "undo",
        }
    }
}

/// Adds the extensions linked to a lane's log, which is idle, in the order of
/// the chain. They are released from the end.
pub fn links_of(
    region: &Region,
    bounds: &Bounds,
    lane: u64,
    log: Extended,
    budget: &Budget,
    links: &mut Vec<Linked>,
) -> Result<(), Error> {
    let in_lane = if log == Extended::Redo { EXTERNAL } else { UNDO };
    let head = bounds.lanes.0 + lane * LANE_SIZE + in_lane;
    let chain = Chain { region, bounds, budget, lane, name: log.name(), head, capacity: 0, gen_num: 0 };
    let mut field = head + NEXT;
    loop {
        let link = region.load(field);
        if link == 0 {
            return Ok(());
        }
        let (log, _) = chain.link(field, link)?;
        links.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        links.push(Linked { field, link });
        field = log + NEXT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flush::Domain;
    use crate::ulog::Undo;

    const LANES: u64 = 4096;
    const HEAP: u64 = 8192;

    #[repr(align(4096))]
    struct Memory([u8; 16384]);

    /// A pool with a lane that holds snapshots of two heap words, both changed.
    fn interrupted(memory: &mut Memory) -> (Region, Bounds<'static>) {
        // SAFETY: aligned, and outlives the region in each test.
        let region = unsafe { Region::new(memory.0.as_mut_ptr(), memory.0.len(), Domain::cpu()) };
        region.store(LANES + UNDO + CAPACITY, UNDO_CAPACITY);
        let mut undo = Undo::new(&region, LANES + UNDO).unwrap();
        for at in [HEAP, HEAP + 64] {
            undo.snapshot(&region, at, 8);
            region.store(at, 77);
        }
        (region, Bounds { probe: Probe::new(None), lanes: (LANES, HEAP), heap: (HEAP, 16384), words: [0, 0] })
    }

    fn words(region: &Region) -> [u64; 2] {
        [region.load(HEAP), region.load(HEAP + 64)]
    }

    /// The second entry, and the line behind it.
    const SECOND: u64 = LANES + UNDO + HEADER + 64;

    #[test]
    fn what_follows_the_valid_entries_does_not_matter() {
        let mut memory = Box::new(Memory([0; _]));
        let (region, bounds) = interrupted(&mut memory);
        // Like an entry, with a target that is not allowed, but not confirmed.
        region.store(SECOND + 64, Op::BufCpy.word(64));
        region.store(SECOND + 64 + 16, 8);
        rollback_undo(&region, &bounds, 0, &Budget::new(&region)).unwrap();
        assert_eq!(words(&region), [0, 0]);
    }

    #[test]
    fn nothing_is_carried_out_if_a_target_is_not_allowed() {
        let mut memory = Box::new(Memory([0; _]));
        let (region, mut bounds) = interrupted(&mut memory);
        bounds.heap.1 = HEAP + 64;
        assert!(matches!(
            rollback_undo(&region, &bounds, 0, &Budget::new(&region)),
            Err(Error::Target { at: SECOND, .. })
        ));
        assert_eq!(words(&region), [77, 77]);
    }
}

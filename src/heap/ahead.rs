//! Object headers made durable ahead. Where objects of one kind are reserved in a
//! row, the headers of the next ones are streamed together, in whole lines, with
//! one ordering point: none of them needs a flush when it is published, nor entries
//! in a log.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use super::Heap;
use super::block::{Block, compact_words};
use super::layout::HeaderType;
use super::map::RunMap;

/// Bytes of a line.
const LINE: u64 = 64;
/// Headers that are made durable together, at most.
const MOST: u32 = 32;

/// The blocks of a run that were reserved last, if they are of one kind: of the same
/// type and size. Written under the lock of the arena that the run serves; others'
/// glances are hints.
#[derive(Debug)]
pub struct Row {
    kind: AtomicU64,
    length: AtomicU32,
}

/// No kind: nothing was reserved yet.
const NO_KIND: u64 = u64::MAX;

impl Row {
    /// The first block counts twice, as others like it are likely to follow.
    pub fn new() -> Row {
        Row { kind: AtomicU64::new(NO_KIND), length: AtomicU32::new(1) }
    }

    /// Notes a reserved block.
    #[inline(always)]
    pub fn note(&self, units: u32, type_num: u64) {
        // Two kinds are seldom taken for one; then headers are streamed in vain.
        let kind = (type_num ^ (units as u64) << 56) & NO_KIND >> 1;
        let before = self.kind.load(Relaxed);
        let length = if before == kind || before == NO_KIND { self.length.load(Relaxed) } else { 0 };
        self.length.store(length.saturating_add(1), Relaxed);
        self.kind.store(kind, Relaxed);
    }

    /// Whether the last block was not the only one.
    fn goes_on(&self) -> bool {
        self.length.load(Relaxed) > 1
    }

    /// How many headers are made durable together, where `fit` blocks have room: as
    /// many as were reserved in the row before, so that few are made in vain. None
    /// is left alone.
    fn ahead(&self, fit: u32) -> u32 {
        match self.length.load(Relaxed).min(MOST) {
            n if n + 1 >= fit => fit,
            n => n,
        }
    }
}

impl Heap {
    /// Makes the header of a reserved block of the program durable, if that is worth
    /// it, and those of the blocks that are likely to be reserved next.
    #[inline]
    pub fn prepare_header(&self, b: &mut Block, type_num: u64) {
        if !self.has_header(b, type_num, 0) && b.header == HeaderType::Compact {
            self.prepare_row(b, type_num);
        }
    }

    /// The arena's lock comes before the slot's, and is only tried.
    #[inline(never)]
    fn prepare_row(&self, b: &mut Block, type_num: u64) {
        let whole_lines = b.start.is_multiple_of(LINE) && b.size.is_multiple_of(LINE);
        // The rest of the header's line has no content yet.
        let blank = self.pattern() < 0;
        let Some(slot) = self.run_slot(b).filter(|_| whole_lines && blank) else { return };
        // A run with a reserved unit keeps its map.
        let Some(map) = slot.map().filter(|map| map.row.goes_on()) else { return };
        let arena = &self.arenas[map.arena.load(Relaxed) as usize];
        if self.region.domain().flushes_lines() && arena.lock.try_lock() {
            if std::ptr::eq(arena.active(slot.class()), map) {
                slot.lock.with(|| self.stream_headers(map, b, type_num));
            }
            arena.lock.unlock();
        }
    }

    /// Both locks are held: what is free stays free.
    fn stream_headers(&self, map: &RunMap, b: &mut Block, type_num: u64) {
        let count = map.row.ahead(map.room(b) / b.bits.count_ones());
        if count < 2 {
            return;
        }
        let [size, extra] = compact_words(b.size, 0, type_num);
        for i in 0..count as u64 {
            self.region.stream_line(b.start + i * b.size, &[size, extra, 0, 0, 0, 0, 0, 0]);
        }
        // The headers durable before anyone takes them for it: who publishes an
        // object may be another thread, whose drain orders nothing of this one.
        if !defect!(HeadersAheadNotDrained) {
            self.region.drain();
        }
        map.note_headers(b, count);
        b.headed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let row = Row::new();
        let note = |units, type_num| {
            row.note(units, type_num);
            row.goes_on().then(|| row.ahead(100))
        };
        assert_eq!([1, 1, 1].map(|units| note(units, 7)), [Some(2), Some(3), Some(4)]);
        assert_eq!([8, 7, 7].map(|type_num| note(1, type_num)), [None, None, Some(2)]);
        assert_eq!([2, 2, 1].map(|units| note(units, 7)), [None, Some(2), None]);
        (0..100).for_each(|_| row.note(1, 7));
        assert_eq!([31, 32, 33, 34].map(|fit| row.ahead(fit)), [31, 32, 33, 32]);
    }
}

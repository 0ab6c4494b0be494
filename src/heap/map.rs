//! The volatile map of a run: its free units, found by the length of their gaps.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use super::ahead::Row;
use super::block::Block;
use super::layout::{MAX_UNITS, RUN_HEADER, RunGeometry};
use super::zone::Zone;
use crate::pool::Region;

/// A gap is a row of free units in one word of the bitmap. Gaps from this many
/// units on are called wide, and not told apart: requests in the default
/// classes are shorter.
pub const WIDE: u32 = 9;

/// Which units of a run are free, as the arena that the run serves sees it:
/// media's bitmap, read once, less what was reserved since.
///
/// What is not under another lock is written by the arena that the run serves,
/// or under the slot's lock where it serves none. Atomic for others' glances.
#[derive(Debug)]
pub struct RunMap {
    pub zone: u32,
    pub chunk: u32,
    pub geometry: RunGeometry,
    /// Offset of the bitmap.
    pub bitmap: u64,
    pub first_unit: u64,
    /// Index of the arena that the run serves, or served last.
    pub arena: AtomicU32,
    words: Vec<Word>,
    /// Of the gaps of free units; a bit is set for each length that there is.
    lengths: AtomicU32,
    /// By length.
    gaps: [Gaps; WIDE as usize + 1],
    any_returned: AtomicBool,
    pub row: Row,
}

/// What is known of the units of one word of the bitmap, by its bits.
#[derive(Debug, Default)]
pub struct Word {
    free: AtomicU64,
    /// Given back since; written under the slot's lock.
    returned: AtomicU64,
    /// The units at which memory holds an object header that is durable: that of
    /// an object that was allocated and freed, or one made ahead. Written under
    /// the slot's lock, for units that are on their way back, or, with the
    /// arena's, for free ones; of free units it is read, of others it says nothing.
    headed: AtomicU64,
}

/// Units that come back: bits of the bitmap's word at an offset in the pool, and
/// those of them at which an object started that was allocated.
#[derive(Clone, Copy, Debug)]
pub struct Returned {
    pub word: u64,
    pub bits: u64,
    pub headed: u64,
}

/// The gaps of one length.
#[derive(Debug, Default)]
struct Gaps {
    count: AtomicU32,
    /// No word below has one.
    from: AtomicU32,
}

impl RunMap {
    /// The map of the run that starts at `chunk`. `None` when out of memory.
    pub fn read(region: &Region, zone: &Zone, chunk: u32, g: RunGeometry) -> Option<*mut RunMap> {
        let start = zone.chunk(chunk);
        let bitmap = start + RUN_HEADER;
        let mut words = Vec::new();
        words.try_reserve_exact(g.words as usize).ok()?;
        words.extend((0..g.words).map(|i| {
            let free = !region.load(bitmap + 8 * i as u64) & g.valid_bits(i);
            Word { free: AtomicU64::new(free), ..Word::default() }
        }));
        let map = RunMap {
            zone: zone.index,
            chunk,
            geometry: g,
            bitmap,
            first_unit: g.first_unit(start),
            arena: AtomicU32::new(0),
            words,
            lengths: AtomicU32::new(0),
            gaps: Default::default(),
            any_returned: AtomicBool::new(false),
            row: Row::new(),
        };
        map.find_gaps();
        super::try_box(map)
    }

    /// Frees what [`RunMap::read`] made; null is fine.
    pub fn free(map: *mut RunMap) {
        if !map.is_null() {
            // SAFETY: made by `try_box`; the slot that owned it lets go of it.
            drop(unsafe { Box::from_raw(map) });
        }
    }

    /// Reserves `count` units of the shortest gap that has room for them, so
    /// that long gaps are left for those who need them; the word, and the bit of
    /// the first unit.
    #[inline(always)]
    fn take(&self, count: u32) -> Option<(u32, u32)> {
        let shortest = count.min(WIDE);
        let lengths = self.lengths.load(Relaxed) >> shortest;
        if lengths == 0 {
            return None;
        }
        let length = shortest + lengths.trailing_zeros();
        // Mostly it is the first gap of the word, and a wide one stays wide.
        let i = self.gaps[length as usize].from.load(Relaxed);
        let free = &self.words[i as usize].free;
        let word = free.load(Relaxed);
        let bit = word.trailing_zeros();
        if word.wrapping_shr(bit).trailing_ones() < count + WIDE || length < WIDE {
            return self.take_from(length, count);
        }
        free.store(word & !mask(bit, count), Relaxed);
        Some((i, bit))
    }

    /// Reserves `count` units of a gap of `length`.
    #[inline(never)]
    fn take_from(&self, length: u32, count: u32) -> Option<(u32, u32)> {
        let (i, bit) = self.find_gap(length, count.max(length))?;
        let free = &self.words[i as usize].free;
        let word = free.load(Relaxed);
        free.store(word & !mask(bit, count), Relaxed);
        let left = (word >> bit).trailing_ones() - count;
        if left < WIDE {
            self.remove_gap(length);
            self.add_gap(left, i);
        }
        Some((i, bit))
    }

    /// A word with a gap of `length` units, or with a wide one of `least`; where
    /// the gap starts.
    fn find_gap(&self, length: u32, least: u32) -> Option<(u32, u32)> {
        let from = &self.gaps[length as usize].from;
        for i in from.load(Relaxed)..self.words.len() as u32 {
            if let Some(bit) = gap_in(self.words[i as usize].free.load(Relaxed), length, least) {
                if least <= WIDE {
                    from.store(i, Relaxed);
                }
                return Some((i, bit));
            }
        }
        None
    }

    fn remove_gap(&self, length: u32) {
        let count = &self.gaps[length as usize].count;
        let left = count.load(Relaxed) - 1;
        count.store(left, Relaxed);
        if left == 0 {
            self.lengths.store(self.lengths.load(Relaxed) & !(1 << length), Relaxed);
        }
    }

    /// Notes a gap, if it has any length, in a word.
    fn add_gap(&self, length: u32, word: u32) {
        if length > 0 {
            let length = length.min(WIDE);
            let Gaps { count, from } = &self.gaps[length as usize];
            count.store(count.load(Relaxed) + 1, Relaxed);
            from.store(from.load(Relaxed).min(word), Relaxed);
            self.lengths.store(self.lengths.load(Relaxed) | 1 << length, Relaxed);
        }
    }

    fn find_gaps(&self) {
        self.lengths.store(0, Relaxed);
        for Gaps { count, from } in &self.gaps {
            count.store(0, Relaxed);
            from.store(self.words.len() as u32, Relaxed);
        }
        for (i, word) in self.words.iter().enumerate() {
            gap_lengths(word.free.load(Relaxed)).for_each(|length| self.add_gap(length, i as u32));
        }
    }

    /// As [`RunMap::take`], as a block for an object of a type.
    #[inline(always)]
    pub fn take_block(&self, units: u32, type_num: u64) -> Option<Block> {
        let (word, bit) = self.take(units)?;
        self.row.note(units, type_num);
        Some(Block {
            start: self.first_unit + (64 * word + bit) as u64 * self.geometry.unit,
            size: units as u64 * self.geometry.unit,
            bits: mask(bit, units),
            word: self.bitmap + 8 * word as u64,
            zone: self.zone,
            chunk: self.chunk,
            header: self.geometry.header(),
            headed: self.words[word as usize].headed.load(Relaxed) >> bit & 1 != 0,
        })
    }

    /// What is known of the units of the bitmap's word at an offset in the pool.
    #[inline]
    pub fn word(&self, at: u64) -> Option<&Word> {
        self.words.get((at.wrapping_sub(self.bitmap) / 8) as usize)
    }

    /// Units of a reserved block and of the free ones behind it in its word. Both
    /// locks are held.
    pub fn room(&self, b: &Block) -> u32 {
        let first = b.bits.trailing_zeros();
        let free = self.word(b.word).map_or(0, |w| w.free.load(Relaxed));
        let free = if defect!(HeadersAheadOverOthers) { u64::MAX } else { free };
        ((free | b.bits) >> first).trailing_ones().min(64 - first)
    }

    /// Headers for a reserved block and those like it behind it, `count` in all, are
    /// durable. Both locks are held.
    pub fn note_headers(&self, b: &Block, count: u32) {
        if let Some(w) = self.word(b.word) {
            let starts = (0..count).fold(0, |bits, i| bits | b.first_unit() << (i * b.bits.count_ones()));
            w.headed.store(w.headed.load(Relaxed) | starts, Relaxed);
        }
    }

    /// Units given back, to be merged. The slot's lock is held.
    #[inline]
    pub fn give_back(&self, w: &Word, bits: u64) {
        w.returned.store(w.returned.load(Relaxed) | bits, Relaxed);
        self.any_returned.store(true, Relaxed);
    }

    /// Makes returned units available; both locks are held, or the slot's if
    /// the run serves no arena.
    pub fn merge(&self) {
        if !self.any_returned.load(Relaxed) {
            return;
        }
        self.any_returned.store(false, Relaxed);
        for w in &self.words {
            w.free.store(w.all(), Relaxed);
            w.returned.store(0, Relaxed);
        }
        self.find_gaps();
    }

    /// Units that are neither allocated nor reserved; the locks are held as
    /// for [`RunMap::merge`].
    pub fn free_units(&self) -> u32 {
        self.words.iter().map(|w| w.all().count_ones()).sum()
    }

    /// Whether no unit is allocated or reserved. The slot's lock is held: whoever
    /// gives the last unit back knows of all that were ever taken.
    pub fn is_empty(&self) -> bool {
        self.words.iter().enumerate().all(|(i, w)| w.all() == self.geometry.valid_bits(i as u32))
    }

    /// Whether `count` units can be taken.
    pub fn fits(&self, count: u32) -> bool {
        self.longest_gap() >= count.min(WIDE)
            && (count <= WIDE || self.words.iter().any(|w| starts_of(w.free.load(Relaxed), count) != 0))
    }

    /// The longest gap, up to [`WIDE`]; 0 if no unit is free.
    pub fn longest_gap(&self) -> u32 {
        self.lengths.load(Relaxed).checked_ilog2().unwrap_or(0)
    }
}

impl Word {
    /// Notes at which units that come back there are object headers. What lies
    /// inside of an object is the program's: no header, however much it looks
    /// like one. The slot's lock is held.
    #[inline]
    pub fn note_headers(&self, r: &Returned) {
        let bits = if defect!(HeaderInside) { r.bits & r.bits.wrapping_neg() } else { r.bits };
        self.headed.store(self.headed.load(Relaxed) & !bits | r.headed, Relaxed);
    }

    /// Whether units are a row that no free unit precedes, and that is followed by
    /// a wide gap; without the locks of [`Word::put`] that is a guess.
    #[inline]
    pub fn begin_wide_gap(&self, bits: u64) -> bool {
        let free = self.free.load(Relaxed);
        let lowest = bits & bits.wrapping_neg();
        let end = bits.wrapping_add(lowest); // one bit, if it is one row
        let wide = end.checked_mul(mask(0, WIDE)).unwrap_or(0);
        end.is_power_of_two() && wide != 0 && free & wide == wide && free & (bits | lowest >> 1) == 0
    }

    /// Makes units available that begin a wide gap, at once; false if they do
    /// not. Both locks are held.
    #[inline]
    pub fn put(&self, bits: u64) -> bool {
        let begin = self.begin_wide_gap(bits);
        if begin {
            // The gap is still one of as many that are wide.
            self.free.store(self.free.load(Relaxed) | bits, Relaxed);
        }
        begin
    }

    fn all(&self) -> u64 {
        self.free.load(Relaxed) | self.returned.load(Relaxed)
    }
}

/// The longest gap in some words, up to [`WIDE`].
pub fn longest_gap(words: impl Iterator<Item = u64>) -> u32 {
    words.flat_map(gap_lengths).max().unwrap_or(0).min(WIDE)
}

/// Lengths of the gaps in a word.
fn gap_lengths(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        if word == 0 {
            return None;
        }
        let length = (word >> word.trailing_zeros()).trailing_ones();
        // The carry clears the lowest row of ones.
        word &= word.wrapping_add(word & word.wrapping_neg());
        Some(length)
    })
}

/// Where a gap of `length` units starts in a word; of a wide one at least
/// `least`.
#[inline]
fn gap_in(word: u64, length: u32, least: u32) -> Option<u32> {
    let starts = starts_of(word, least);
    let exact = if length < WIDE { starts & !(word << 1) & !(word >> length) } else { starts };
    (exact != 0).then(|| exact.trailing_zeros())
}

/// `count` bits, at least one, from `bit` on.
#[inline]
pub fn mask(bit: u32, count: u32) -> u64 {
    (u64::MAX >> (MAX_UNITS - count)) << bit
}

/// The bits of `word` at which `count` consecutive ones start.
#[inline]
fn starts_of(mut word: u64, count: u32) -> u64 {
    let mut have = 1;
    while have < count {
        let step = have.min(count - have);
        word &= word >> step;
        have += step;
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::RawLock;
    use crate::random::rounds;

    fn xorshift(mut state: u64) -> impl FnMut() -> u64 {
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        }
    }

    #[test]
    fn consecutive_ones() {
        for count in 1..=64u32 {
            for word in [0u64, u64::MAX, 0xff00_f0f0_0000_00ff, 0x8000_0000_0000_0001, 0x7fff << 20] {
                let slow = (0..=64 - count)
                    .filter(|&b| word & mask(b, count) == mask(b, count))
                    .fold(0u64, |acc, b| acc | 1 << b);
                assert_eq!(starts_of(word, count), slow, "{count} in {word:#x}");
            }
        }
    }

    /// Each request gets the shortest gap that has room for it.
    #[test]
    fn gaps_are_chosen_by_length() {
        let shared = Shared::new();
        let map = &shared.map;
        let mut random = xorshift(88_172_645_463_325_252);
        let mut held = Vec::new();
        for _ in 0..rounds(200_000) {
            let rng = random();
            let count = 1 + (rng >> 8) as u32 % 12;
            let free: Vec<u64> = map.words.iter().map(|w| w.free.load(Relaxed)).collect();
            let lengths = || free.iter().flat_map(|&w| gap_lengths(w));
            assert_eq!(map.longest_gap(), lengths().max().unwrap_or(0).min(WIDE));
            assert_eq!(map.fits(count), lengths().any(|n| n >= count));
            let shortest = lengths().filter(|&n| n >= count).map(|n| n.min(WIDE)).min();
            let found = map.take(count);
            assert_eq!(found.is_some(), shortest.is_some());
            if let Some((word, bit)) = found {
                let word_was = free[word as usize];
                let length = (word_was >> bit).trailing_ones();
                assert!(length >= count && Some(length.min(WIDE)) == shortest);
                assert!(bit == 0 || word_was >> (bit - 1) & 1 == 0, "not at the gap's start");
                held.push((word, bit, count));
            }
            if rng.is_multiple_of(2) && !held.is_empty() {
                let (word, bit, count) = held.swap_remove((rng >> 16) as usize % held.len());
                give_back(map, word, mask(bit, count), rng.is_multiple_of(4));
            }
            if found.is_none() || rng % 64 == 1 {
                map.merge();
            }
        }
    }

    /// A header is known where an allocated object was freed, until its unit is
    /// given back by another one, or in one.
    #[test]
    fn headers_of_freed_objects() {
        let map = Shared::new().map;
        let take = |units| map.take_block(units, 0).map(|b| (b.start / b.size, b.headed));
        let back = |bit, count, allocated| {
            let (w, headed) = (&map.words[0], if allocated { 1u64 << bit } else { 0 });
            w.note_headers(&Returned { word: 0, bits: mask(bit, count), headed });
            assert!(w.put(mask(bit, count)), "a row before the wide gap");
        };
        assert_eq!([1, 1].map(take), [Some((0, false)), Some((1, false))]);
        back(1, 1, true);
        back(0, 1, true);
        assert_eq!([1, 1].map(take), [Some((0, true)), Some((1, true))]);
        back(1, 1, false);
        back(0, 1, true);
        assert_eq!([1, 1].map(take), [Some((0, true)), Some((1, false))]);
        back(0, 2, true);
        assert_eq!([2].map(take), [Some((0, true))]);
        back(0, 2, true);
        assert_eq!([1, 1].map(take), [Some((0, true)), Some((1, false))]);
        let r = Returned { word: 0, bits: 2, headed: 2 };
        map.words[0].note_headers(&r);
        map.give_back(&map.words[0], r.bits);
        assert_eq!(take(1), Some((2, false)), "not merged yet");
        map.merge();
        assert_eq!(take(1), Some((1, true)));
    }

    /// Headers are made ahead for free units alone, of the block's word.
    #[test]
    fn room_behind_a_block() {
        let map = Shared::new().map;
        let taken: Vec<_> = (0..64).map(|_| map.take_block(1, 0).unwrap()).collect();
        let put = |bit: u32| {
            map.give_back(&map.words[0], 1 << bit);
            map.merge();
        };
        assert_eq!(map.room(&taken[0]), 1);
        [2, 3, 5, 62, 63].into_iter().for_each(put);
        assert_eq!([0, 1, 4, 61].map(|i| map.room(&taken[i])), [1, 3, 2, 3]);
        let two = map.take_block(2, 0).unwrap();
        assert_eq!((two.first_unit(), map.room(&two)), (4, 2));
        map.note_headers(&Block { bits: 3, ..taken[0] }, 3);
        let headed = || map.take_block(1, 0).map(|b| (b.first_unit().trailing_zeros(), b.headed));
        assert_eq!([headed(), headed()], [Some((5, false)), Some((62, false))]);
        assert_eq!(map.words[0].headed.load(Relaxed), 0b10101);
    }

    fn give_back(map: &RunMap, word: u32, bits: u64, locked: bool) {
        let w = &map.words[word as usize];
        if !(locked && w.put(bits)) {
            map.give_back(w, bits);
        }
    }

    /// A map whose two locks are those of an arena and of a slot.
    struct Shared {
        map: RunMap,
        arena: RawLock,
        slot: RawLock,
        /// The thread that has each unit, plus 1.
        owner: Vec<AtomicU32>,
    }

    impl Shared {
        fn new() -> Shared {
            let geometry = RunGeometry::new(2600, 0, 1, 0).unwrap();
            let word = |i| Word { free: AtomicU64::new(geometry.valid_bits(i)), ..Word::default() };
            let map = RunMap {
                zone: 0,
                chunk: 0,
                geometry,
                bitmap: 0,
                first_unit: 0,
                arena: AtomicU32::new(0),
                words: (0..geometry.words).map(word).collect(),
                lengths: AtomicU32::new(0),
                gaps: Default::default(),
                any_returned: AtomicBool::new(false),
                row: Row::new(),
            };
            map.find_gaps();
            let owner = (0..geometry.units).map(|_| AtomicU32::new(0)).collect();
            Shared { map, arena: RawLock::default(), slot: RawLock::default(), owner }
        }

        fn reserve(&self, count: u32) -> Option<u32> {
            let found = self.arena.with(|| {
                self.map.take(count).or_else(|| {
                    self.slot.with(|| self.map.merge());
                    self.map.take(count)
                })
            });
            found.map(|(word, bit)| 64 * word + bit)
        }

        fn give_back(&self, unit: u32, count: u32) {
            self.slot.with(|| {
                let locked = self.arena.try_lock();
                give_back(&self.map, unit / 64, mask(unit % 64, count), locked);
                if locked {
                    self.arena.unlock();
                }
            });
        }

        fn own(&self, unit: u32, count: u32, from: u32, to: u32) {
            for u in unit..unit + count {
                assert_eq!(self.owner[u as usize].swap(to, Relaxed), from, "unit {u}");
            }
        }

        /// Takes and gives back at random, and leaves the processor at random.
        fn work(&self, me: u32) {
            let mut random = xorshift(0x9e37_79b9 * me as u64);
            let mut below = |n: u64| random() % n;
            let mut held = Vec::new();
            for _ in 0..rounds(1_000_000) / if cfg!(miri) { 50 } else { 1 } {
                let count = 1 + below(8) as u32;
                if below(2) == 0
                    && let Some(unit) = self.reserve(count)
                {
                    self.own(unit, count, 0, me);
                    held.push((unit, count));
                } else if !held.is_empty() {
                    let (unit, count) = held.swap_remove(below(held.len() as u64) as usize);
                    self.own(unit, count, me, 0);
                    self.give_back(unit, count);
                }
                if below(64) == 0 {
                    std::thread::yield_now();
                }
            }
            for (unit, count) in held {
                self.own(unit, count, me, 0);
                self.give_back(unit, count);
            }
        }
    }

    #[test]
    fn threads_take_and_give_back() {
        let shared = Shared::new();
        std::thread::scope(|t| {
            for me in 1..=4 {
                let shared = &shared;
                t.spawn(move || shared.work(me));
            }
        });
        assert_eq!(shared.map.free_units(), shared.map.geometry.units);
    }
}

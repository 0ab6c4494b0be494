//! Runs: the volatile map of free units, and making a run on media.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::block::Block;
use super::layout::{ChunkHeader, MAX_UNITS, RUN, RUN_DATA, RUN_HEADER, RunGeometry};
use super::zone::Zone;
use crate::pool::Region;

/// Which units of a run are free, as the arena that the run serves sees it:
/// media's bitmap, read once, less what was reserved since.
#[derive(Debug)]
pub struct RunMap {
    pub zone: u32,
    pub chunk: u32,
    pub geometry: RunGeometry,
    /// Offset of the bitmap.
    pub bitmap: u64,
    pub first_unit: u64,
    /// Word to look at first.
    hint: AtomicUsize,
    /// Free units; written by the arena that the run serves, or under the
    /// slot's lock where it serves none. Atomic for the others' glances.
    free: Vec<AtomicU64>,
    /// Units given back since; written under the slot's lock.
    returned: Vec<AtomicU64>,
}

impl RunMap {
    /// The map of the run that starts at `chunk`. `None` when out of memory.
    pub fn read(region: &Region, zone: &Zone, chunk: u32, g: RunGeometry) -> Option<*mut RunMap> {
        let start = zone.chunk(chunk);
        let bitmap = start + RUN_HEADER;
        let (mut free, mut returned) = (Vec::new(), Vec::new());
        free.try_reserve_exact(g.words as usize).ok()?;
        returned.try_reserve_exact(g.words as usize).ok()?;
        for i in 0..g.words {
            free.push(AtomicU64::new(!region.load(bitmap + 8 * i as u64) & g.valid_bits(i)));
            returned.push(AtomicU64::new(0));
        }
        let map = RunMap {
            zone: zone.index,
            chunk,
            geometry: g,
            bitmap,
            first_unit: g.first_unit(start),
            hint: AtomicUsize::new(0),
            free,
            returned,
        };
        super::try_box(map)
    }

    /// Frees what [`RunMap::read`] made; null is fine.
    pub fn free(map: *mut RunMap) {
        if !map.is_null() {
            // SAFETY: made by `try_box`; the slot that owned it lets go of it.
            drop(unsafe { Box::from_raw(map) });
        }
    }

    /// Reserves `count` units that lie in one word; their index.
    #[inline]
    pub fn take(&self, count: u32) -> Option<u32> {
        let n = self.free.len();
        let mut i = self.hint.load(Relaxed);
        for _ in 0..n {
            let word = self.free[i].load(Relaxed);
            if word != 0 {
                let starts = starts_of(word, count);
                if starts != 0 {
                    let bit = starts.trailing_zeros();
                    self.free[i].store(word & !mask(bit, count), Relaxed);
                    self.hint.store(i, Relaxed);
                    return Some(i as u32 * 64 + bit);
                }
            }
            i = if i + 1 == n { 0 } else { i + 1 };
        }
        None
    }

    /// As [`RunMap::take`], as a block.
    #[inline(always)]
    pub fn take_block(&self, units: u32) -> Option<Block> {
        let unit = self.take(units)?;
        Some(Block {
            start: self.first_unit + unit as u64 * self.geometry.unit,
            size: units as u64 * self.geometry.unit,
            bits: mask(unit % 64, units),
            word: self.bitmap + 8 * (unit / 64) as u64,
            zone: self.zone,
            chunk: self.chunk,
            header: self.geometry.header(),
        })
    }

    /// Units given back, as bits of the bitmap's word at an offset in the
    /// pool; the slot's lock is held.
    #[inline]
    pub fn give_back(&self, word: u64, bits: u64) {
        if let Some(w) = self.returned.get((word.wrapping_sub(self.bitmap) / 8) as usize) {
            w.store(w.load(Relaxed) | bits, Relaxed);
        }
    }

    /// Makes returned units available; both locks are held.
    pub fn merge(&self) {
        for (f, r) in self.free.iter().zip(&self.returned) {
            f.store(f.load(Relaxed) | r.load(Relaxed), Relaxed);
            r.store(0, Relaxed);
        }
    }

    /// Units that are neither allocated nor reserved; both locks are held, or
    /// the run serves no arena.
    pub fn free_units(&self) -> u32 {
        self.words().map(u64::count_ones).sum()
    }

    /// Whether `count` units would be found after a merge.
    pub fn fits(&self, count: u32) -> bool {
        self.words().any(|w| starts_of(w, count) != 0)
    }

    fn words(&self) -> impl Iterator<Item = u64> {
        self.free.iter().zip(&self.returned).map(|(f, r)| f.load(Relaxed) | r.load(Relaxed))
    }
}

/// `count` bits from `bit` on.
#[inline]
pub fn mask(bit: u32, count: u32) -> u64 {
    if count >= MAX_UNITS { u64::MAX } else { ((1 << count) - 1) << bit }
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

/// Free units of a run on media that nothing is reserved in.
pub fn count_free(region: &Region, bitmap: u64, g: &RunGeometry) -> u32 {
    (0..g.words).map(|i| (!region.load(bitmap + 8 * i as u64) & g.valid_bits(i)).count_ones()).sum()
}

/// The first word of the bitmap, from `word` on, with an allocated unit.
pub fn first_in_use(region: &Region, bitmap: u64, g: &RunGeometry, word: u32) -> Option<u32> {
    (word..g.words).find(|&i| region.load(bitmap + 8 * i as u64) & g.valid_bits(i) != 0)
}

/// Whether `count` units can be taken from a run on media.
pub fn media_fits(region: &Region, bitmap: u64, g: &RunGeometry, count: u32) -> bool {
    (0..g.words).any(|i| starts_of(!region.load(bitmap + 8 * i as u64) & g.valid_bits(i), count) != 0)
}

/// Turns the free block of `g.chunks` chunks at `chunk` into an empty run
/// (format 4.5). Until the last store the chunks are a valid free block.
pub fn create(region: &Region, zone: &Zone, chunk: u32, g: &RunGeometry) {
    let start = zone.chunk(chunk);
    let header = ChunkHeader { kind: RUN, flags: g.flags, size: g.chunks };
    defect!(RunHeaderFirst, zone.persist_header(region, chunk, header));
    region.store(start, g.unit);
    region.store(start + 8, g.alignment);
    for i in 0..(g.bitmap_bytes / 8) as u32 {
        region.store(
            start + RUN_HEADER + 8 * i as u64,
            if defect!(RunTailFree) { 0 } else { !g.valid_bits(i) },
        );
    }
    region.flush(start, RUN_HEADER + g.bitmap_bytes);
    for i in 1..if defect!(RunPartsMissing) { 1 } else { g.chunks } {
        let data = ChunkHeader { kind: RUN_DATA, flags: 0, size: i };
        region.store(zone.header_at(chunk + i), data.pack());
    }
    if g.chunks > 1 {
        region.flush(zone.header_at(chunk + 1), 8 * (g.chunks as u64 - 1));
    }
    // All of the run before the header that makes it one.
    region.drain();
    zone.persist_header(region, chunk, header);
}

/// Geometry of a run as media describes it, with everything checked.
#[cold]
pub fn read_geometry(region: &Region, zone: &Zone, chunk: u32, h: ChunkHeader) -> Option<RunGeometry> {
    if h.kind != RUN || h.size == 0 || h.size > zone.chunks.checked_sub(chunk)? {
        return None;
    }
    let start = zone.chunk(chunk);
    let (unit, alignment) = (region.load(start), region.load(start + 8));
    if alignment > 8 * super::layout::CHUNK {
        return None;
    }
    let g = RunGeometry::new(unit, alignment, h.size, h.flags)?;
    // With an alignment that the creator did not have, units could reach
    // beyond the run.
    let end = g.first_unit(start) + g.units as u64 * g.unit;
    (end <= start + g.chunks as u64 * super::layout::CHUNK).then_some(g)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;
    use crate::lock::RawLock;

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
            let words = |w: fn(&RunGeometry, u32) -> u64| {
                (0..geometry.words).map(|i| AtomicU64::new(w(&geometry, i))).collect()
            };
            let map = RunMap {
                zone: 0,
                chunk: 0,
                geometry,
                bitmap: 0,
                first_unit: 0,
                hint: AtomicUsize::new(0),
                free: words(RunGeometry::valid_bits),
                returned: words(|_, _| 0),
            };
            let owner = (0..geometry.units).map(|_| AtomicU32::new(0)).collect();
            Shared { map, arena: RawLock::default(), slot: RawLock::default(), owner }
        }

        fn reserve(&self, count: u32) -> Option<u32> {
            self.arena.with(|| {
                self.map.take(count).or_else(|| {
                    self.slot.with(|| self.map.merge());
                    self.map.take(count)
                })
            })
        }

        fn give_back(&self, unit: u32, count: u32) {
            let word = 8 * (unit / 64) as u64;
            self.slot.with(|| self.map.give_back(word, mask(unit % 64, count)));
        }

        fn own(&self, unit: u32, count: u32, from: u32, to: u32) {
            for u in unit..unit + count {
                assert_eq!(self.owner[u as usize].swap(to, Relaxed), from, "unit {u}");
            }
        }

        /// Takes and gives back at random, and leaves the processor at random.
        fn work(&self, me: u32) {
            let mut rng = 0x9e37_79b9_u64 * me as u64;
            let mut below = |n: u64| {
                rng ^= rng << 13;
                rng ^= rng >> 7;
                rng ^= rng << 17;
                rng % n
            };
            let mut held = Vec::new();
            for _ in 0..1_000_000 {
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

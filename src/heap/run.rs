//! Runs: the volatile map of free units, and making a run on media.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

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

    /// Units given back; the slot's lock is held.
    #[inline]
    pub fn give_back(&self, unit: u32, count: u32) {
        if let Some(w) = self.returned.get((unit / 64) as usize) {
            w.store(w.load(Relaxed) | mask(unit % 64, count), Relaxed);
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

/// Whether `count` units can be taken from a run on media.
pub fn media_fits(region: &Region, bitmap: u64, g: &RunGeometry, count: u32) -> bool {
    (0..g.words).any(|i| starts_of(!region.load(bitmap + 8 * i as u64) & g.valid_bits(i), count) != 0)
}

/// Turns the free block of `g.chunks` chunks at `chunk` into an empty run
/// (format 4.5). Until the last store the chunks are a valid free block.
pub fn create(region: &Region, zone: &Zone, chunk: u32, g: &RunGeometry) {
    let start = zone.chunk(chunk);
    region.store(start, g.unit);
    region.store(start + 8, g.alignment);
    for i in 0..(g.bitmap_bytes / 8) as u32 {
        region.store(start + RUN_HEADER + 8 * i as u64, !g.valid_bits(i));
    }
    region.flush(start, RUN_HEADER + g.bitmap_bytes);
    for i in 1..g.chunks {
        let data = ChunkHeader { kind: RUN_DATA, flags: 0, size: i };
        region.store(zone.header_at(chunk + i), data.pack());
    }
    if g.chunks > 1 {
        region.flush(zone.header_at(chunk + 1), 8 * (g.chunks as u64 - 1));
    }
    // All of the run before the header that makes it one.
    region.drain();
    zone.persist_header(region, chunk, ChunkHeader { kind: RUN, flags: g.flags, size: g.chunks });
}

/// Geometry of a run as media describes it, with everything checked.
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
    use super::*;

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
}

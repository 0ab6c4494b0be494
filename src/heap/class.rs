//! Allocation classes: which unit size serves which request (format section
//! 5). A policy of the process; media knows only the runs that it made.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};

use super::layout::{CHUNK, FLEX_BITMAP, HeaderType, RunGeometry};
use crate::ulog::align_up;

/// Class 0: whole chunks.
pub const HUGE: u8 = 0;
/// Marks "no class".
pub const NO_CLASS: u8 = 255;
const MAX_CLASSES: usize = 255;
/// Units of one allocation in a default class.
const MAX_DEFAULT_UNITS: u64 = 8;
/// Requests from here on are huge.
const HUGE_FROM: u64 = 10 * CHUNK;
/// Requests are classed in steps of this many bytes.
const GRANULARITY: u64 = 16;
const BUCKETS: usize = (HUGE_FROM / GRANULARITY) as usize + 1;

/// A class of runs.
#[derive(Clone, Copy, Debug)]
pub struct Class {
    pub run: RunGeometry,
}

/// Why a class cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddError {
    Taken,
    NoId,
    Same,
}

/// All classes of a pool, and the class of each request size.
pub struct Classes {
    /// Set once each, the default ones first.
    classes: Vec<OnceLock<Class>>,
    /// Behind the highest id that is in use.
    end: AtomicU8,
    /// Held while a class is added.
    adding: Mutex<()>,
    /// Class of requests of `16 * i` bytes; `NO_CLASS` where undecided.
    by_size: Vec<AtomicU8>,
}

impl Classes {
    /// The default table; `None` when out of memory.
    pub fn new() -> Option<Classes> {
        let mut by_size = Vec::new();
        by_size.try_reserve_exact(BUCKETS).ok()?;
        by_size.extend((0..BUCKETS).map(|_| AtomicU8::new(NO_CLASS)));
        let mut classes = Vec::new();
        classes.try_reserve_exact(MAX_CLASSES).ok()?;
        classes.extend((0..MAX_CLASSES).map(|_| OnceLock::new()));
        let end = AtomicU8::new(generate(&classes));
        Some(Classes { classes, end, adding: Mutex::new(()), by_size })
    }

    #[inline]
    pub fn get(&self, id: u8) -> Option<&Class> {
        self.classes.get(id as usize)?.get()
    }

    /// The class of runs of this geometry.
    pub fn of_run(&self, g: &RunGeometry) -> Option<u8> {
        let same = |c: &OnceLock<Class>| c.get().is_some_and(|c| c.run == *g);
        self.classes.iter().position(same).map(|i| i as u8)
    }

    /// Adds a class under an id, or under the lowest free one. Its runs must
    /// not look like those of another class: the id, or why not.
    pub fn add(&self, id: Option<u8>, run: RunGeometry) -> Result<u8, AddError> {
        let _guard = super::lock(&self.adding);
        let id = match id {
            Some(id) if id == HUGE || self.get(id).is_some() => return Err(AddError::Taken),
            Some(id) => id,
            None => (1..NO_CLASS).find(|&id| self.get(id).is_none()).ok_or(AddError::NoId)?,
        };
        let looks = |g: &RunGeometry| (g.unit.div_ceil(GRANULARITY), g.flags, g.chunks);
        if self.classes.iter().filter_map(OnceLock::get).any(|c| looks(&c.run) == looks(&run)) {
            return Err(AddError::Same);
        }
        self.classes.get(id as usize).ok_or(AddError::NoId)?.get_or_init(|| Class { run });
        self.end.fetch_max(id + 1, Relaxed);
        Ok(id)
    }

    /// The class for a request of `size` bytes.
    #[inline]
    pub fn for_size(&self, size: u64) -> u8 {
        if size >= HUGE_FROM {
            return HUGE;
        }
        let bucket = size.div_ceil(GRANULARITY);
        let cached = &self.by_size[bucket as usize];
        match cached.load(Relaxed) {
            NO_CLASS => {
                let id = self.choose(bucket);
                cached.store(id, Relaxed);
                id
            }
            id => id,
        }
    }

    /// The class that wastes least, counting what a run cannot use (5.4); of
    /// several, the one with the highest id, and whole chunks last.
    fn choose(&self, bucket: u64) -> u8 {
        if bucket * GRANULARITY <= 112 {
            return 1;
        }
        let size = bucket * GRANULARITY;
        let (mut best, mut least) = (HUGE, u64::MAX);
        for id in (1..self.end.load(Relaxed)).rev() {
            if let Some(waste) = self.get(id).and_then(|c| c.waste(size, least)) {
                (best, least) = (id, waste);
            }
        }
        let chunks = (size + HeaderType::Compact.size()).wrapping_neg() % CHUNK;
        if chunks < least { HUGE } else { best }
    }
}

impl Class {
    /// What an object of `size` bytes wastes, if the class may serve it and that
    /// is less than `least`.
    fn waste(&self, size: u64, least: u64) -> Option<u64> {
        let (unit, n) = (self.run.unit, self.run.units as u64);
        let need = size + self.run.header().size();
        if self.run.header() == HeaderType::None || need > MAX_DEFAULT_UNITS * unit {
            return None;
        }
        if unit >= need {
            return Some(unit - need).filter(|&waste| waste < least);
        }
        let units = need.div_ceil(unit);
        let waste = units * unit - need;
        // Objects that fit exactly are served whatever is left of the run.
        let rest = if waste == 0 || waste >= least { 0 } else { (n % units) * unit / n };
        Some(waste + rest).filter(|&waste| waste < least)
    }
}

/// The derivation of the default table (5.3); behind its last id.
fn generate(classes: &[OnceLock<Class>]) -> u8 {
    const LIMITS: [u64; 9] = [128, 1024, 2048, 4096, 8192, 16384, 32768, 131_072, 393_216];
    let mut count = 1;
    let mut push = |unit, chunks| {
        let flags = HeaderType::Compact.flags() | FLEX_BITMAP;
        if let Some(run) = RunGeometry::new(unit, 0, chunks, flags) {
            classes[count].get_or_init(|| Class { run });
        }
        count += 1;
    };
    push(LIMITS[0], 1);
    for limits in LIMITS.windows(2) {
        let mut n = limits[0] + 64;
        loop {
            if let Some((unit, chunks)) = new_class(classes, n) {
                push(unit, chunks);
            }
            let step = n as f32 * 0.05f32;
            let whole = step as u64;
            let step = if step - whole as f32 >= f32::EPSILON { whole + 1 } else { whole };
            n += align_up(step, 64);
            if n > limits[1] {
                break;
            }
        }
    }
    count as u8
}

/// The class that `add(n)` of 5.3 would add, unless one serves already.
fn new_class(classes: &[OnceLock<Class>], mut n: u64) -> Option<(u64, u32)> {
    const FIRST_CHUNK: u64 = CHUNK - 16 - 304;
    let want = n * 200;
    let chunks =
        if want <= FIRST_CHUNK { 1 } else { 16.min(1 + (want - FIRST_CHUNK).div_ceil(CHUNK)) } as u32;
    let serves = |c: &Class, n: u64| n.is_multiple_of(c.run.unit) && n / c.run.unit <= MAX_DEFAULT_UNITS;
    let mut existing = classes.iter().filter_map(OnceLock::get);
    if existing.clone().any(|c| c.run.chunks >= chunks && serves(c, n)) {
        return None;
    }
    loop {
        let g = RunGeometry::new(n, 0, chunks, FLEX_BITMAP)?;
        if (chunks as u64 * CHUNK - 16 - g.bitmap_bytes) % n <= 1024 {
            break;
        }
        n += 64;
    }
    (!existing.any(|c| serves(c, n))).then_some((n, chunks))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Table 5.2: unit, chunks, units per run.
    const TABLE: [(u64, u32, u32); 53] = [
        (128, 1, 2045),
        (192, 1, 1364),
        (320, 1, 818),
        (448, 1, 584),
        (704, 1, 372),
        (832, 1, 315),
        (1088, 1, 240),
        (1216, 1, 215),
        (1472, 2, 356),
        (1728, 2, 303),
        (1856, 2, 282),
        (1984, 2, 264),
        (2368, 2, 221),
        (3776, 3, 208),
        (4480, 4, 234),
        (5376, 4, 195),
        (5504, 5, 238),
        (6208, 5, 211),
        (6720, 5, 195),
        (7488, 6, 210),
        (7744, 6, 203),
        (9216, 7, 199),
        (9664, 8, 217),
        (10176, 8, 206),
        (11072, 9, 213),
        (12032, 9, 196),
        (11968, 10, 219),
        (12480, 10, 210),
        (14272, 11, 202),
        (16704, 13, 204),
        (17472, 14, 210),
        (23040, 16, 182),
        (24384, 16, 172),
        (26048, 16, 161),
        (27776, 16, 151),
        (29120, 16, 144),
        (31296, 16, 134),
        (39936, 16, 105),
        (46592, 16, 90),
        (51776, 16, 81),
        (54464, 16, 77),
        (66560, 16, 63),
        (80640, 16, 52),
        (107520, 16, 39),
        (113344, 16, 37),
        (135296, 16, 31),
        (149760, 16, 28),
        (167744, 16, 25),
        (209664, 16, 20),
        (220736, 16, 19),
        (246720, 16, 17),
        (262080, 16, 16),
        (349440, 16, 12),
    ];

    #[test]
    #[cfg_attr(miri, ignore = "takes too long")]
    fn default_table() {
        let c = Classes::new().unwrap();
        for (i, want) in TABLE.iter().enumerate() {
            let g = c.get(i as u8 + 1).unwrap().run;
            assert_eq!((g.unit, g.chunks, g.units), *want, "class {}", i + 1);
        }
        assert!(c.get(54).is_none());
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes too long")]
    fn known_choices() {
        let c = Classes::new().unwrap();
        assert_eq!([1, 112].map(|s| c.for_size(s)), [1, 1]);
        assert_eq!(c.for_size(256), 3); // one unit of 320 in A.3 holds the root
        assert_eq!(c.for_size(600_000), 49);
        // Whole chunks waste less than eight units of the largest class.
        assert_eq!([2_000_000, HUGE_FROM - 1, HUGE_FROM].map(|s| c.for_size(s) == HUGE), [false, true, true]);
    }
}

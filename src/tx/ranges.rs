//! The ranges that a transaction has covered: what is snapshotted already,
//! and what commit must flush.

use super::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub start: u64,
    pub end: u64,
    pub flush: bool,
}

/// Disjoint ranges by ascending offset; neighbours are merged.
#[derive(Debug)]
pub struct Ranges {
    sorted: Vec<Range>,
}

impl Ranges {
    pub const fn new() -> Ranges {
        Ranges { sorted: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    pub fn clear(&mut self) {
        self.sorted.clear();
    }

    pub fn iter(&self) -> impl Iterator<Item = &Range> {
        self.sorted.iter()
    }

    /// Whether the byte at `at` is covered.
    pub fn covers(&self, at: u64) -> bool {
        let r = self.sorted.get(self.sorted.partition_point(|r| r.end <= at));
        r.is_some_and(|r| r.start <= at)
    }

    /// Adds a range and calls `gap` with each part of it that was not covered
    /// before. If `gap` fails nothing is added.
    pub fn add(
        &mut self,
        new: Range,
        mut gap: impl FnMut(u64, u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.sorted.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        let first = self.first_touching(new.start);
        if let Some(r) = self.sorted.get_mut(first)
            && r.start <= new.start
            && new.end <= r.end
        {
            r.flush |= new.flush;
            return Ok(());
        }
        let (mut at, mut merged, mut end) = (new.start, new, first);
        while let Some(r) = self.sorted.get(end).filter(|r| r.start <= new.end) {
            if at < r.start {
                gap(at, r.start)?;
            }
            at = at.max(r.end);
            merged.start = merged.start.min(r.start);
            merged.end = merged.end.max(r.end);
            merged.flush |= r.flush && !defect!(RangesLoseFlush);
            end += 1;
        }
        if at < new.end {
            gap(at, new.end)?;
        }
        if first == end {
            self.sorted.insert(first, merged);
        } else {
            self.sorted[first] = merged;
            self.sorted.drain(first + 1..end);
        }
        Ok(())
    }

    /// Forgets exactly `start..end`, whatever it was merged with.
    pub fn remove(&mut self, start: u64, end: u64) -> Result<(), Error> {
        self.sorted.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        let mut i = self.first_touching(start);
        while let Some(r) = self.sorted.get(i).copied().filter(|r| r.start < end) {
            let left = Range { end: r.end.min(start), ..r };
            let right = Range { start: r.start.max(end), ..r };
            self.sorted.remove(i);
            for part in [left, right] {
                if part.start < part.end && !defect!(SeedFreeInSameTx) {
                    self.sorted.insert(i, part);
                    i += 1;
                }
            }
        }
        Ok(())
    }

    /// Index of the first range that ends at or behind `start`. Programs
    /// mostly add in ascending order, so the last ones are looked at first.
    #[inline]
    fn first_touching(&self, start: u64) -> usize {
        match self.sorted.last() {
            None => 0,
            Some(r) if r.end < start => self.sorted.len(),
            Some(_) => self.sorted.partition_point(|r| r.end < start),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(r: &mut Ranges, start: u64, end: u64, flush: bool) -> Vec<(u64, u64)> {
        let mut gaps = vec![];
        r.add(Range { start, end, flush }, |a, b| {
            gaps.push((a, b));
            Ok(())
        })
        .unwrap();
        gaps
    }

    #[test]
    fn only_gaps_are_new() {
        let mut r = Ranges::new();
        assert_eq!(add(&mut r, 10, 20, true), [(10, 20)]);
        assert_eq!(add(&mut r, 12, 18, true), []);
        assert_eq!(add(&mut r, 30, 40, false), [(30, 40)]);
        assert_eq!(add(&mut r, 5, 50, false), [(5, 10), (20, 30), (40, 50)]);
        assert_eq!(r.sorted, [Range { start: 5, end: 50, flush: true }]);
        r.remove(10, 12).unwrap();
        assert_eq!(add(&mut r, 0, 60, true), [(0, 5), (10, 12), (50, 60)]);
    }

    /// Against one flag per byte.
    #[test]
    fn matches_a_plain_model() {
        let mut seed = 1u64;
        let mut rnd = |n: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) % n
        };
        let mut r = Ranges::new();
        let mut model = [(false, false); 300];
        for _ in 0..5000 {
            let start = rnd(280);
            let end = start + 1 + rnd(20);
            let bytes = &mut model[start as usize..end as usize];
            if rnd(4) == 0 {
                r.remove(start, end).unwrap();
                bytes.fill((false, false));
            } else {
                let gaps = add(&mut r, start, end, true);
                let new: u64 = gaps.iter().map(|(a, b)| b - a).sum();
                assert_eq!(new, bytes.iter().filter(|b| !b.0).count() as u64);
                bytes.fill((true, true));
            }
            if rnd(100) == 0 {
                r.clear();
                model = [(false, false); 300];
            }
            let covered: u64 = r.iter().map(|r| r.end - r.start).sum();
            assert_eq!(covered, model.iter().filter(|b| b.0).count() as u64);
            assert!(r.sorted.windows(2).all(|w| w[0].end <= w[1].start));
        }
    }
}

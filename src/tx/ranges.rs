//! The ranges that a transaction has covered: what is snapshotted already,
//! and what commit must flush.

use super::Error;
use super::sorted::{NoMemory, Sorted};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub start: u64,
    pub end: u64,
    pub flush: bool,
}

/// Disjoint ranges by ascending offset; neighbours are merged.
#[derive(Debug)]
pub struct Ranges {
    sorted: Sorted<Range>,
}

impl From<NoMemory> for Error {
    fn from(_: NoMemory) -> Error {
        Error::OutOfMemory
    }
}

impl Ranges {
    pub const fn new() -> Ranges {
        Ranges { sorted: Sorted::new() }
    }

    pub fn clear(&mut self) {
        self.sorted.clear();
    }

    /// All ranges in their order, in parts.
    #[inline]
    pub fn blocks(&self) -> impl Iterator<Item = &[Range]> {
        self.sorted.blocks()
    }

    /// Whether the byte at `at` is covered.
    pub fn covers(&self, at: u64) -> bool {
        self.sorted.get(self.sorted.find(|r| r.end <= at)).is_some_and(|r| r.start <= at)
    }

    /// Notes the range if it needs no snapshot because the newest one covers
    /// it; false, and nothing done, if not.
    #[inline]
    pub fn add_covered(&mut self, new: Range) -> bool {
        match self.sorted.last_mut() {
            Some(r) if r.start <= new.start && new.end <= r.end => {
                r.flush |= new.flush;
                true
            }
            _ => false,
        }
    }

    /// Adds a range and calls `gap` with each part of it that was not covered
    /// before. If `gap` fails nothing is added.
    ///
    /// Programs mostly add in ascending order, or what they added last.
    #[inline]
    pub fn add(
        &mut self,
        new: Range,
        mut gap: impl FnMut(u64, u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match self.sorted.last_mut() {
            Some(r) if new.start > r.end => {}
            Some(r) if r.start <= new.start => {
                if new.end > r.end {
                    gap(r.end, new.end)?;
                    r.end = new.end;
                }
                r.flush |= new.flush;
                return Ok(());
            }
            Some(_) => return self.add_inside(new, gap),
            None => {}
        }
        self.sorted.reserve_last()?;
        gap(new.start, new.end)?;
        self.sorted.push(new);
        Ok(())
    }

    /// Adds a range that starts in front of the last one.
    #[inline(never)]
    fn add_inside(
        &mut self,
        new: Range,
        mut gap: impl FnMut(u64, u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.sorted.reserve()?;
        let first = self.sorted.find(|r| r.end < new.start);
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
            end = self.sorted.next(end);
        }
        if at < new.end {
            gap(at, new.end)?;
        }
        if first == end {
            self.sorted.insert(first, merged);
        } else {
            self.sorted.remove(self.sorted.next(first), end);
            if let Some(r) = self.sorted.get_mut(first) {
                *r = merged;
            }
        }
        Ok(())
    }

    /// Forgets exactly `start..end`, whatever it was merged with.
    pub fn remove(&mut self, start: u64, end: u64) -> Result<(), Error> {
        // For the second part of a range that is cut in two.
        self.sorted.reserve()?;
        loop {
            let at = self.sorted.find(|r| r.end <= start);
            let Some(r) = self.sorted.get_mut(at).filter(|r| r.start < end) else { return Ok(()) };
            let (left, right) = (Range { end: start, ..*r }, Range { start: end, ..*r });
            match (left.start < left.end, right.start < right.end) {
                _ if defect!(SeedFreeInSameTx) => self.sorted.remove(at, self.sorted.next(at)),
                (false, false) => self.sorted.remove(at, self.sorted.next(at)),
                (true, false) => *r = left,
                (false, true) => *r = right,
                (true, true) => {
                    *r = right;
                    self.sorted.insert(at, left);
                }
            }
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
        assert!(r.blocks().flatten().eq(&[Range { start: 5, end: 50, flush: true }]));
        r.remove(10, 12).unwrap();
        assert_eq!(add(&mut r, 0, 60, true), [(0, 5), (10, 12), (50, 60)]);
    }

    /// Against one flag per byte.
    #[test]
    fn matches_a_plain_model() {
        let mut below = crate::random::below(1);
        let mut rnd = |n| below(n) as u64;
        let mut r = Ranges::new();
        let mut model = [(false, false); 300];
        for _ in 0..crate::random::rounds(5000) {
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
            let covered: u64 = r.blocks().flatten().map(|r| r.end - r.start).sum();
            assert_eq!(covered, model.iter().filter(|b| b.0).count() as u64);
            assert!(r.blocks().flatten().is_sorted_by(|a, b| a.end <= b.start));
        }
    }
}

//! The memory that libpmem itself mapped and knows to be persistent, to the
//! byte (libpmem contract section 7).

use std::ops::Range;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::Error;

/// What stands behind a tracked range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file, mapped with MAP_SYNC.
    File,
    /// A Device DAX, with the number of its NVDIMM region if it has one.
    Device { region: Option<u32> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    pub range: Range<usize>,
    pub kind: Kind,
}

/// Disjoint ranges in ascending order.
#[derive(Debug, Default)]
struct Table(Vec<Tracked>);

static TABLE: RwLock<Table> = RwLock::new(Table(Vec::new()));

fn read() -> RwLockReadGuard<'static, Table> {
    TABLE.read().unwrap_or_else(PoisonError::into_inner)
}

fn write() -> RwLockWriteGuard<'static, Table> {
    TABLE.write().unwrap_or_else(PoisonError::into_inner)
}

/// Enters a new mapping.
pub fn insert(range: Range<usize>, kind: Kind) -> Result<(), Error<'static>> {
    write().insert(Tracked { range, kind })
}

/// Forgets a range: what is tracked in it is cut or split.
pub fn remove(range: Range<usize>) -> Result<(), Error<'static>> {
    write().remove(range)
}

/// Whether tracked ranges cover the whole of a range that is not empty.
pub fn covers(range: Range<usize>) -> bool {
    read().covers(range)
}

/// The first tracked range that has a part in `range`.
pub fn first_in(range: Range<usize>) -> Option<Tracked> {
    read().first_in(&range).cloned()
}

impl Table {
    /// The index of the first range that ends behind `addr`.
    fn behind(&self, addr: usize) -> usize {
        self.0.partition_point(|t| t.range.end <= addr)
    }

    fn first_in(&self, range: &Range<usize>) -> Option<&Tracked> {
        self.0.get(self.behind(range.start)).filter(|t| t.range.start < range.end)
    }

    fn insert(&mut self, new: Tracked) -> Result<(), Error<'static>> {
        if self.first_in(&new.range).is_some() {
            return Err(Error::Duplicate { addr: new.range.start, len: new.range.len() });
        }
        self.0.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        self.0.insert(self.behind(new.range.start), new);
        Ok(())
    }

    fn remove(&mut self, gone: Range<usize>) -> Result<(), Error<'static>> {
        // A split adds a range.
        self.0.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        let mut i = self.behind(gone.start);
        while let Some(t) = self.0.get_mut(i).filter(|t| t.range.start < gone.end) {
            let (before, behind) = (t.range.start..gone.start, gone.end..t.range.end);
            if before.is_empty() && behind.is_empty() {
                self.0.remove(i);
                continue;
            }
            if before.is_empty() {
                t.range = behind;
            } else {
                t.range = before;
                let kind = t.kind;
                if !behind.is_empty() {
                    self.0.insert(i + 1, Tracked { range: behind, kind });
                    return Ok(());
                }
            }
            i += 1;
        }
        Ok(())
    }

    fn covers(&self, range: Range<usize>) -> bool {
        let mut at = range.start;
        for t in &self.0[self.behind(at)..] {
            if at >= range.end || t.range.start > at {
                break;
            }
            at = t.range.end;
        }
        at >= range.end && !range.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(ranges: &[Range<usize>]) -> Table {
        let mut t = Table::default();
        for r in ranges {
            t.insert(Tracked { range: r.clone(), kind: Kind::File }).unwrap();
        }
        t
    }

    #[test]
    fn behaves_like_a_set_of_bytes() {
        let mut below = crate::random::below(7);
        let (mut t, mut bytes) = (Table::default(), [false; 100]);
        for _ in 0..crate::random::rounds(50_000) {
            let start = below(99);
            let r = start..start + 1 + below(100 - start);
            match below(3) {
                0 => {
                    let new = Tracked { range: r.clone(), kind: Kind::File };
                    let free = bytes[r.clone()].iter().all(|b| !b);
                    assert_eq!(t.insert(new).is_ok(), free, "{r:?} {t:?}");
                    if free {
                        bytes[r].fill(true);
                    }
                }
                1 => {
                    t.remove(r.clone()).unwrap();
                    bytes[r].fill(false);
                }
                _ => {
                    assert_eq!(t.covers(r.clone()), bytes[r.clone()].iter().all(|&b| b), "{r:?} {t:?}");
                    let first = t.first_in(&r).map(|t| t.range.start.max(r.start));
                    assert_eq!(first, bytes[r.clone()].iter().position(|&b| b).map(|i| r.start + i));
                }
            }
            assert!(t.0.is_sorted_by(|a, b| a.range.end <= b.range.start));
            assert!(t.0.iter().all(|t| !t.range.is_empty()));
        }
    }

    #[test]
    fn exact_to_the_byte() {
        let t = table(&[4096..9096, 12288..16384]);
        assert!(t.covers(4096..9096) && t.covers(5000..5001));
        assert!(!t.covers(4096..9097) && !t.covers(4095..4097) && !t.covers(8000..13000));
        assert!(!t.covers(4096..4096));
    }

    #[test]
    fn overlap_is_refused() {
        let mut t = table(std::slice::from_ref(&(10..20)));
        let new = Tracked { range: 19..30, kind: Kind::File };
        assert_eq!(t.insert(new), Err(Error::Duplicate { addr: 19, len: 11 }));
        t.insert(Tracked { range: 20..30, kind: Kind::File }).unwrap();
        assert!(t.covers(10..30));
    }
}

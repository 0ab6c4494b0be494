//! Stores to page-cache memory that wait for the thread's next drain: ranges
//! of whole pages, merged, so that an ordering point costs one msync.

use std::cell::RefCell;
use std::ops::Range;

use super::errno::{StrError, die, errno, preserve_errno};

const PAGE: usize = 4096;

/// Ranges that a thread remembers; more, and what is there is synced early.
const RANGES: usize = 16;

/// Ranges no farther apart than this are synced by one call: the pages
/// between them, mostly clean, cost less than a second wait for the device.
const GAP: usize = 1 << 30;

thread_local! {
    static PENDING: RefCell<Pending> = const { RefCell::new(Pending::NONE) };
}

/// Disjoint page ranges in ascending order, none adjacent to another.
struct Pending {
    ranges: [Range<usize>; RANGES],
    n: usize,
}

/// Remembers the pages of `addr[..len]` for the calling thread's next
/// [`drain`].
#[inline(never)]
pub fn add(addr: usize, len: usize) {
    if len != 0 {
        let pages = addr & !(PAGE - 1)..addr.saturating_add(len).saturating_add(PAGE - 1) & !(PAGE - 1);
        PENDING.with(|p| match p.try_borrow_mut() {
            Ok(mut p) => p.add(pages, sync),
            // A signal interrupted the thread in here.
            Err(_) => sync(pages),
        });
    }
}

/// Makes everything that the calling thread added durable. Ends the process
/// if that fails: what comes next must not be built on lost stores.
#[inline(never)]
pub fn drain() {
    PENDING.with(|p| {
        if let Ok(mut p) = p.try_borrow_mut() {
            p.drain(sync);
        }
    });
}

/// msync. That a range was unmapped meanwhile is no failure: the call syncs
/// what is left of it, and nobody can rely on the rest.
fn sync(pages: Range<usize>) {
    preserve_errno(|| {
        // SAFETY: does not touch memory contents.
        while unsafe { libc::msync(pages.start as *mut _, pages.len(), libc::MS_SYNC) } != 0 {
            match errno() {
                libc::EINTR => {} // as file systems in user space may say
                libc::ENOMEM => return,
                e => {
                    let (start, len, why) = (pages.start, pages.len(), StrError(e));
                    die(format_args!("stores to a file were lost: msync({start:#x}, {len}): {why}"));
                }
            }
        }
    })
}

impl Pending {
    const NONE: Pending = Pending { ranges: [const { 0..0 }; RANGES], n: 0 };

    fn add(&mut self, new: Range<usize>, sync: impl FnMut(Range<usize>)) {
        // A store near the last one asks for nothing new.
        if self.ranges[..self.n].last().is_some_and(|r| r.start <= new.start && new.end <= r.end) {
            return;
        }
        // All ranges that touch the new one, first..last, become part of it.
        let first = self.ranges[..self.n].partition_point(|r| r.end < new.start);
        let last = self.ranges[..self.n].partition_point(|r| r.start <= new.end);
        if first < last {
            let merged = self.ranges[first].start.min(new.start)..self.ranges[last - 1].end.max(new.end);
            self.ranges[first] = merged;
            self.ranges[first + 1..self.n].rotate_left(last - first - 1);
            self.n -= last - first - 1;
        } else if self.n < RANGES {
            self.ranges[first..=self.n].rotate_right(1);
            self.ranges[first] = new;
            self.n += 1;
        } else {
            self.drain(sync);
            self.ranges[0] = new;
            self.n = 1;
        }
    }

    fn drain(&mut self, mut sync: impl FnMut(Range<usize>)) {
        let ranges = &self.ranges[..std::mem::take(&mut self.n)];
        for near in ranges.chunk_by(|a, b| b.start - a.end <= GAP) {
            sync(near[0].start..near[near.len() - 1].end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn pages(r: Range<usize>) -> Range<usize> {
        r.start * PAGE..r.end * PAGE
    }

    fn add_all(ranges: &[Range<usize>]) -> (Pending, Vec<Range<usize>>) {
        let (mut p, mut synced) = (Pending::NONE, Vec::new());
        for r in ranges {
            p.add(pages(r.clone()), |s| synced.push(s));
        }
        (p, synced)
    }

    #[test]
    fn merges_what_touches() {
        let (p, synced) = add_all(&[10..11, 20..21, 11..12, 12..20, 5..6, 30..31, 29..32, 30..31]);
        assert_eq!(p.ranges[..p.n], [pages(5..6), pages(10..21), pages(29..32)]);
        assert!(synced.is_empty());
    }

    #[test]
    fn random_sets_are_the_union() {
        let mut below = crate::random::below(1);
        for _ in 0..crate::random::rounds(2000) {
            let (mut p, mut synced) = (Pending::NONE, Vec::new());
            let mut want = [false; 128];
            for _ in 0..1 + below(30) {
                let start = below(120);
                let r = start..start + 1 + below(7);
                want[r.clone()].fill(true);
                p.add(pages(r), |s| synced.push(s));
                let r = &p.ranges[..p.n];
                assert!(r.is_sorted_by(|a, b| a.end < b.start) && r.iter().all(|r| r.start < r.end));
            }
            synced.extend_from_slice(&p.ranges[..p.n]);
            let mut got = [false; 128];
            synced.into_iter().for_each(|r| got[r.start / PAGE..r.end / PAGE].fill(true));
            // What a full set synced early was synced as a span: more than asked for, never less.
            assert!(want.iter().zip(&got).all(|(w, g)| *g || !*w));
        }
    }

    #[test]
    fn full_set_is_synced_early() {
        let far: Vec<_> = (0..RANGES + 1).map(|i| 10 * i..10 * i + 1).collect();
        let (p, synced) = add_all(&far);
        assert_eq!(synced, [pages(0..10 * RANGES - 9)]);
        assert_eq!(p.ranges[..p.n], [pages(far[RANGES].clone())]);
    }

    #[test]
    fn drain_spans_small_gaps_only() {
        let far = 3 * GAP / PAGE;
        let (mut p, _) = add_all(&[1..2, 100..101, far..far + 1]);
        let mut synced = Vec::new();
        p.drain(|s| synced.push(s));
        assert_eq!(synced, [pages(1..101), pages(far..far + 1)]);
        p.drain(|_| panic!("drained twice"));
    }
}

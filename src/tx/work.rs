//! What a transaction does between begin and commit.

use super::ranges::Range;
use super::{Error, Target, Transaction};
use crate::heap::{Action, Heap, MAX_ALLOC, Request};
use crate::ulog::Hold;

/// How a range is added (`POBJ_XADD_*`).
#[derive(Clone, Copy, Debug)]
pub struct AddRange {
    pub snapshot: bool,
    pub flush: bool,
}

impl Transaction {
    #[inline]
    fn working(&self) -> Result<Target, Error> {
        self.target.ok_or(Error::PoolUuid)
    }

    /// Saves `len` bytes at the pool offset `at` so that abort restores them,
    /// and notes them for flushing at commit.
    #[inline(always)]
    pub fn add_range(&mut self, at: u64, len: u64, how: AddRange) -> Result<(), Error> {
        let (from, to) = self.working()?.heap.range();
        let (inside, size) = (at.wrapping_sub(from), to - from);
        if len > MAX_ALLOC {
            return Err(Error::SnapshotTooLarge);
        }
        if inside > size || len > size - inside {
            return Err(Error::OutsideHeap);
        }
        if len == 0 {
            return Ok(());
        }
        let new = Range { start: at, end: at + len, flush: how.flush };
        if self.ranges.add_covered(new) { Ok(()) } else { self.add_new_range(new, how.snapshot) }
    }

    #[inline(never)]
    fn add_new_range(&mut self, new: Range, take: bool) -> Result<(), Error> {
        let (Some(target), Some(hold)) = (&self.target, &self.hold) else { return Err(Error::PoolUuid) };
        let heap = target.heap;
        self.touched = true;
        self.ranges.add(
            new,
            |start, end| {
                if take { snapshot(heap, hold, start, end - start) } else { Ok(()) }
            },
        )
    }

    /// As [`Transaction::add_range`], by address.
    #[inline]
    pub fn add_range_direct(&mut self, at: usize, len: u64, how: AddRange) -> Result<(), Error> {
        let target = self.working()?;
        let off = (at as u64).wrapping_sub(target.handle as u64);
        if off >= target.heap.range().1 {
            return Err(Error::OutsidePool);
        }
        self.add_range(off, len, how)
    }

    /// Makes room for `n` more actions, in memory and in the redo log, and for
    /// the generation number behind them.
    fn prepare_actions(&mut self, n: usize) -> Result<Target, Error> {
        let target = self.working()?;
        self.actions.reserve(n)?;
        let Some(hold) = &self.hold else { return Err(Error::PoolUuid) };
        self.touched = true;
        target.heap.prepare(hold, self.actions.as_slice().len() + n + 1).map_err(Error::of_reserve)?;
        Ok(target)
    }

    /// Reserves an object; it is allocated when the transaction commits. Its
    /// data needs no snapshot.
    pub fn alloc(&mut self, req: &Request, flush: bool) -> Result<u64, Error> {
        let target = self.prepare_actions(1)?;
        let heap = target.heap;
        let mut b = heap.reserve(req).map_err(Error::of_reserve)?;
        if !flush {
            // Commit flushes headers with the data, but for such objects.
            heap.prepare_header(&mut b, req.type_num);
        }
        heap.write_header(&mut b, req.type_num, 0);
        let covered = Range { start: b.start, end: b.start + b.size, flush };
        let noted =
            self.actions.push(Action::Alloc(b)).and_then(|()| self.ranges.add(covered, |_, _| Ok(())));
        if let Err(e) = noted {
            heap.cancel(&b);
            if let Some(i) = self.actions.allocation_of(b.user()) {
                self.actions.remove(i);
            }
            return Err(e);
        }
        let region = heap.region();
        if !flush {
            heap.flush_header(&b);
        }
        if req.zero {
            let p = region.at(b.user(), b.usable());
            // SAFETY: a reserved block belongs to this transaction; commit
            // flushes it.
            unsafe { p.write_bytes(0, b.usable() as usize) };
        }
        defect!(UncommittedKept, self.hold.iter_mut().for_each(|h| heap.operation(h).allocate(&b)));
        Ok(b.user())
    }

    /// Frees an object at commit; one that this transaction allocated, at once.
    pub fn free(&mut self, off: u64) -> Result<(), Error> {
        // What this transaction allocated is covered by its ranges.
        if self.ranges.covers(off)
            && let Some(i) = self.actions.allocation_of(off)
        {
            return self.cancel(i);
        }
        let heap = self.prepare_actions(1)?.heap;
        match heap.block_to_free(off) {
            Ok(b) if defect!(TxFreeAtOnce) => self.hold.iter_mut().for_each(|h| heap.operation(h).free(&b)),
            Ok(b) => self.actions.push(Action::Free(b))?,
            // On media it is free: perhaps a reservation that was taken over.
            Err(e) => match self.actions.allocation_of(off) {
                Some(i) => return self.cancel(i),
                None => return Err(e.into()),
            },
        }
        Ok(())
    }

    /// Takes back the allocation that is action `i`.
    fn cancel(&mut self, i: usize) -> Result<(), Error> {
        if let Action::Alloc(b) = self.actions.as_slice()[i] {
            self.ranges.remove(b.start, b.start + b.size)?;
            self.actions.remove(i);
            self.working()?.heap.cancel(&b);
        }
        Ok(())
    }

    /// Moves an object into a new one of another size and type.
    pub fn realloc(&mut self, off: u64, req: &Request) -> Result<u64, Error> {
        let heap = self.working()?.heap;
        let n = heap.usable_size(off).min(req.size);
        let region = heap.region();
        let from = region.try_at(off, n).ok_or(Error::OutsideHeap)?;
        let new = self.alloc(req, true)?;
        // SAFETY: both are inside the pool. They overlap if no object starts at
        // `off`, which freeing it will tell.
        unsafe { std::ptr::copy(from, region.at(new, n), n as usize) };
        if let Err(e) = self.free(off) {
            self.free(new)?;
            return Err(e);
        }
        Ok(new)
    }

    /// Takes over reserved blocks and other actions of the atomic API.
    pub fn publish(&mut self, actions: &[Action]) -> Result<(), Error> {
        self.prepare_actions(actions.len())?;
        for a in actions {
            if let Action::Alloc(b) = a
                && b.has_loose_header()
                && !defect!(TxPublishedHeader)
            {
                // Commit makes the header durable.
                let header = Range { start: b.start, end: b.user(), flush: true };
                self.ranges.add(header, |_, _| Ok(()))?;
            }
        }
        let before = self.actions.as_slice().len();
        for a in actions {
            if let Err(e) = self.actions.push(*a) {
                // They are the caller's as before.
                (before..self.actions.as_slice().len()).rev().for_each(|i| self.actions.remove(i));
                return Err(e);
            }
        }
        Ok(())
    }
}

/// Makes the content of a range durable in the lane's undo log.
#[inline]
fn snapshot(heap: &Heap, hold: &Hold, from: u64, len: u64) -> Result<(), Error> {
    // SAFETY: the lane is held and nothing is called back meanwhile.
    let done = unsafe { hold.logs().as_mut() }.undo.try_snapshot(heap.region(), from, len);
    if done { Ok(()) } else { snapshot_slowly(heap, hold, from, len) }
}

/// Makes room first.
#[inline(never)]
fn snapshot_slowly(heap: &Heap, hold: &Hold, from: u64, len: u64) -> Result<(), Error> {
    heap.prepare_snapshot(hold, len).map_err(Error::of_reserve)?;
    // SAFETY: as in `snapshot`.
    unsafe { hold.logs().as_mut() }.undo.snapshot(heap.region(), from, len);
    Ok(())
}

//! What a transaction does between begin and commit.

use super::ranges::Range;
use super::{Error, Target, Transaction};
use crate::heap::{Action, Block, HeaderType, MAX_ALLOC, Request};

/// How a range is added (`POBJ_XADD_*`).
#[derive(Clone, Copy, Debug)]
pub struct AddRange {
    pub snapshot: bool,
    pub flush: bool,
}

impl Transaction {
    fn working(&self) -> Result<Target, Error> {
        self.target.ok_or(Error::PoolUuid)
    }

    /// Saves `len` bytes at the pool offset `at` so that abort restores them,
    /// and notes them for flushing at commit.
    #[inline]
    pub fn add_range(&mut self, at: u64, len: u64, how: AddRange) -> Result<(), Error> {
        let target = self.working()?;
        if len > MAX_ALLOC {
            return Err(Error::SnapshotTooLarge);
        }
        let (from, to) = target.heap.range();
        if at < from || at > to || len > to - at {
            return Err(Error::OutsideHeap);
        }
        if len == 0 {
            return Ok(());
        }
        let Some(hold) = &self.hold else { return Err(Error::PoolUuid) };
        // For the generation number that commit adds. Room for it in the redo
        // log is made with the other actions; alone it needs none.
        self.actions.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        let new = Range { start: at, end: at + len, flush: how.flush };
        self.ranges.add(new, |start, end| {
            if !how.snapshot {
                return Ok(());
            }
            target.heap.prepare_snapshot(hold, end - start).map_err(Error::of_reserve)?;
            // SAFETY: the lane is held and nothing is called back meanwhile.
            let undo = unsafe { &mut hold.logs().as_mut().undo };
            undo.snapshot(target.heap.region(), start, end - start);
            Ok(())
        })
    }

    /// As [`Transaction::add_range`], by address.
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
        self.actions.try_reserve(n + 1).map_err(|_| Error::OutOfMemory)?;
        let Some(hold) = &self.hold else { return Err(Error::PoolUuid) };
        target.heap.prepare(hold, self.actions.len() + n + 1).map_err(Error::of_reserve)?;
        Ok(target)
    }

    /// Reserves an object; it is allocated when the transaction commits. Its
    /// data needs no snapshot.
    pub fn alloc(&mut self, req: &Request, flush: bool) -> Result<u64, Error> {
        let target = self.prepare_actions(1)?;
        let heap = target.heap;
        let b = heap.reserve(req).map_err(Error::of_reserve)?;
        let covered = Range { start: b.start, end: b.start + b.size, flush };
        if let Err(e) = self.ranges.add(covered, |_, _| Ok(())) {
            heap.cancel(&b);
            return Err(e);
        }
        heap.write_header(&b, req.type_num, 0);
        let region = heap.region();
        if !flush && b.header != HeaderType::None {
            // Commit flushes the header with the data, but for this object.
            region.flush(b.start, b.header.size());
        }
        if req.zero {
            let p = region.at(b.user(), b.usable());
            // SAFETY: a reserved block belongs to this transaction; commit
            // flushes it.
            unsafe { p.write_bytes(0, b.usable() as usize) };
        }
        if defect!(UncommittedKept)
            && let Some(hold) = &self.hold
        {
            // SAFETY: no actions on volatile words.
            unsafe { heap.publish(hold, &[Action::Alloc(b)]) };
        } else {
            self.actions.push(Action::Alloc(b));
        }
        Ok(b.user())
    }

    /// Frees an object at commit; one that this transaction allocated, at once.
    pub fn free(&mut self, off: u64) -> Result<(), Error> {
        let own = |a: &Action| matches!(a, Action::Alloc(b) if b.user() == off);
        // What this transaction allocated is covered by its ranges.
        if self.ranges.covers(off)
            && let Some(i) = self.actions.iter().rposition(own)
        {
            return self.cancel(i);
        }
        let heap = self.prepare_actions(1)?.heap;
        match heap.block_to_free(off) {
            Ok(b) if defect!(TxFreeAtOnce) => {
                // SAFETY: no actions on volatile words.
                self.hold.iter().for_each(|h| unsafe { heap.publish(h, &[Action::Free(b)]) })
            }
            Ok(b) => self.actions.push(Action::Free(b)),
            // On media it is free: perhaps a reservation that was taken over.
            Err(e) => match self.actions.iter().rposition(own) {
                Some(i) => return self.cancel(i),
                None => return Err(e.into()),
            },
        }
        Ok(())
    }

    /// Takes back the allocation that is action `i`.
    fn cancel(&mut self, i: usize) -> Result<(), Error> {
        if let Action::Alloc(b) = self.actions[i] {
            self.ranges.remove(b.start, b.start + b.size)?;
            self.actions.swap_remove(i);
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
                && b.header != HeaderType::None
                && !defect!(TxPublishedHeader)
            {
                // Commit makes the header durable.
                let header = Range { start: b.start, end: b.user(), flush: true };
                self.ranges.add(header, |_, _| Ok(()))?;
            }
        }
        self.actions.extend_from_slice(actions);
        Ok(())
    }

    /// The block of an object that this transaction allocated.
    pub fn allocated(&self, off: u64) -> Option<&Block> {
        self.actions.iter().find_map(|a| match a {
            Action::Alloc(b) if b.user() == off => Some(b),
            _ => None,
        })
    }
}

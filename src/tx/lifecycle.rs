//! Begin, commit, abort, end.

use std::ffi::c_void;

use super::{Callback, Env, Error, FAILURE_ABORT, Stage, Target, Transaction};
use crate::heap::{Action, Heap};
use crate::pool::Region;
use crate::ulog::{Hold, Logs};

/// A kind of lock that a transaction takes: `enum pobj_tx_param`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    Mutex,
    RwLock,
}

/// A lock that the transaction holds until its outermost level ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    pub kind: LockKind,
    pub at: *mut c_void,
}

/// Size of a persistent lock.
const LOCK_SIZE: u64 = 64;

/// What ending a level leaves to do.
pub enum Ended {
    /// The outermost level ended with this error; if `busy`, locks are to be
    /// released, a callback is due, or the transaction to be let go.
    Outermost { error: i32, busy: bool },
    /// An inner level ended well.
    Inner,
    /// An inner level failed: its parent is to be aborted with the same error.
    AbortParent(i32),
}

impl Transaction {
    /// Opens a transaction, or a level of the open one. The caller checked
    /// that the stage is `None` or `Work`. When it fails there is a level to
    /// abort: the new one, if that is the outermost, else its parent.
    #[inline]
    pub fn begin(&mut self, target: Target, env: Option<&Env>) -> Result<(), Error> {
        if !self.levels.is_empty() {
            return self.begin_inner(target, env);
        }
        self.levels.push_outermost(env, FAILURE_ABORT);
        self.stage = Stage::Work;
        self.error = 0;
        self.user_data = std::ptr::null_mut();
        if self.is_spare() {
            return Err(Error::OutOfMemory);
        }
        let before = self.hold.replace(target.heap.lanes.hold()?);
        debug_assert!(before.is_none(), "commit and abort let the lane go");
        std::mem::forget(before);
        self.target = Some(target);
        Ok(())
    }

    #[inline(never)]
    fn begin_inner(&mut self, target: Target, env: Option<&Env>) -> Result<(), Error> {
        if self.target.is_some_and(|t| t.uuid_lo != target.uuid_lo) {
            return Err(Error::OtherPool);
        }
        self.levels.push_inner(env, self.failure())?;
        self.error = 0;
        Ok(())
    }

    /// Sets the tree's callback; false if there is a different one already.
    pub fn set_callback(&mut self, callback: Callback, arg: *mut c_void) -> bool {
        match self.callback {
            Some((f, a)) => std::ptr::fn_addr_eq(f, callback) && a == arg,
            None => {
                self.callback = Some((callback, arg));
                true
            }
        }
    }

    pub fn holds(&self, lock: Lock) -> bool {
        self.locks.contains(&lock)
    }

    /// Makes room to note one more lock.
    pub fn reserve_lock(&mut self) -> Result<(), Error> {
        self.locks.try_reserve(1).map_err(|_| Error::OutOfMemory)
    }

    /// Notes a lock that was taken.
    pub fn push_lock(&mut self, lock: Lock) {
        self.locks.push(lock);
    }

    /// The next lock to release, newest first, once the tree ended.
    pub fn pop_lock(&mut self) -> Option<Lock> {
        self.locks.pop()
    }

    /// Commits the current level; for the outermost one all its changes become
    /// durable, atomically (format 7.3).
    #[inline]
    pub fn commit(&mut self) {
        self.stage = Stage::OnCommit;
        if self.levels.is_outermost() {
            match self.touched {
                false => drop(self.hold.take()),
                true => self.commit_outermost(),
            }
        }
    }

    fn commit_outermost(&mut self) {
        let (Some(target), Some(hold)) = (self.target, self.hold.take()) else { return };
        self.touched = false;
        let heap = target.heap;
        if self.flush_ranges(heap.region()) {
            // New data durable before the commit point: the store or log that
            // publishes objects and invalidates the snapshots.
            heap.region().drain();
        }
        // SAFETY: the lane is held and nothing is called back meanwhile.
        let undo = unsafe { &hold.logs().as_ref().undo };
        let snapshots = !undo.is_empty();
        let value = undo.gen_num().wrapping_add(!defect!(CommitKeepsGeneration) as u64);
        let at = undo.gen_num_offset();
        let (at, value) = if defect!(SeedSpilledUndo) { (at + 40, 0) } else { (at, value) };
        defect!(
            CommitInTwoSteps,
            if snapshots {
                heap.region().persist_word(at, value)
            }
        );
        if !self.actions.as_slice().is_empty() {
            let logged = snapshots && !defect!(CommitLogWithoutGeneration);
            self.publish_with(heap, &hold, logged.then_some(Action::Set { at, value }));
        } else if snapshots {
            // The commit point: one store takes all snapshots back.
            heap.region().persist_word(at, value);
        }
        if snapshots {
            restart_undo(heap, &hold);
        }
        if self.special_logs {
            self.end_special_logs(heap, &hold);
        }
        self.ranges.clear();
    }

    /// Publishes the actions, and with them the one that takes the snapshots
    /// back, for which there is room.
    #[inline(never)]
    fn publish_with(&mut self, heap: &Heap, hold: &Hold, last: Option<Action>) {
        last.into_iter().for_each(|a| self.actions.push_last(a));
        if self.special_logs {
            heap.link_lent(hold, self.actions.as_slice().len());
        }
        // SAFETY: reserved blocks are this transaction's own; transient
        // destinations are valid until commit by the API's contract.
        unsafe { heap.publish(hold, self.actions.as_slice()) };
        self.actions.clear();
    }

    /// Starts the write-back of what the transaction changed; whether there
    /// is anything.
    #[inline]
    fn flush_ranges(&self, region: &Region) -> bool {
        let (mut any, mut flushed) = (false, 0);
        for block in self.ranges.blocks() {
            for r in block {
                any = true;
                // Ranges that share a line flush it once.
                let start = (r.start & !63).max(flushed);
                if r.flush && start < r.end && !(defect!(SeedHugeZalloc) && r.end - r.start > 4096) {
                    flushed = (r.end + 63) & !63;
                    match r.end - start {
                        ..=64 => region.flush_line(start),
                        len => region.flush(start, len - 64 * defect!(CommitRangeShort) as u64),
                    }
                }
            }
        }
        any
    }

    /// Aborts the current level with `error`; the outermost one restores all
    /// snapshots (format 7.4).
    pub fn abort(&mut self, error: i32) {
        self.stage = Stage::OnAbort;
        self.error = error;
        if self.levels.is_outermost() {
            self.roll_back();
        }
    }

    fn roll_back(&mut self) {
        let (Some(target), Some(hold)) = (self.target, self.hold.take()) else { return };
        self.touched = false;
        let region = *target.heap.region();
        let mut logs = hold.logs();
        // SAFETY: the lane is held and nothing is called back meanwhile.
        let Logs { undo, .. } = unsafe { logs.as_mut() };
        if !undo.is_empty() {
            defect!(AbortGenerationFirst, region.persist_word(undo.gen_num_offset(), undo.gen_num() + 1));
            undo.each(&region, |to, len, from| {
                self.each_part_but_locks(&target, to, len, |at, n| {
                    region.copy_within(at, from + (at - to), n);
                });
            });
            // Restored data durable before the snapshots lose their validity.
            region.drain();
            let value = undo.gen_num().wrapping_add(!defect!(AbortKeepsGeneration) as u64);
            region.persist_word(undo.gen_num_offset(), value);
            restart_undo(target.heap, &hold);
        }
        for a in self.actions.as_slice() {
            if let Action::Alloc(b) = a {
                target.heap.cancel(b);
            }
        }
        if self.special_logs {
            self.end_special_logs(target.heap, &hold);
        }
        self.actions.clear();
        self.ranges.clear();
    }

    /// Calls `f` with the parts of a range that are no lock held by the
    /// transaction: those keep their live value.
    fn each_part_but_locks(&self, target: &Target, start: u64, len: u64, mut f: impl FnMut(u64, u64)) {
        let base = target.handle as u64;
        let (mut at, end) = (start, start + len);
        while at < end {
            let lock = self
                .locks
                .iter()
                .map(|l| (l.at as u64).wrapping_sub(base))
                .filter(|&l| l < end && l.saturating_add(LOCK_SIZE) > at)
                .min();
            let stop = lock.unwrap_or(end).clamp(at, end);
            if at < stop {
                f(at, stop - at);
            }
            at = lock.map_or(end, |l| l + LOCK_SIZE).max(stop);
        }
    }

    /// `Finally` after commit or abort, `None` after that.
    #[inline]
    pub fn advance(&mut self) {
        self.stage = match self.stage {
            Stage::OnCommit | Stage::OnAbort => Stage::Finally,
            _ => Stage::None,
        };
    }

    /// Ends the current level.
    #[inline]
    pub fn end(&mut self) -> Ended {
        self.levels.pop();
        if self.levels.is_empty() {
            self.stage = Stage::None;
            self.target = None;
            let busy =
                !self.locks.is_empty() || self.callback.is_some() || (self.error != 0 && self.is_spare());
            return Ended::Outermost { error: self.error, busy };
        }
        self.stage = Stage::Work;
        if self.error != 0 { Ended::AbortParent(self.error) } else { Ended::Inner }
    }
}

/// The generation number on media took the snapshots back.
#[inline]
fn restart_undo(heap: &Heap, hold: &Hold) {
    // SAFETY: the lane is held and nothing is called back meanwhile.
    let undo = unsafe { &mut hold.logs().as_mut().undo };
    undo.restart();
    if undo.extensions() > 0 {
        heap.trim_undo(hold);
    }
}

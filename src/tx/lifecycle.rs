//! Begin, commit, abort, end.

use std::ffi::c_void;

use super::{Callback, Env, Error, FAILURE_ABORT, Stage, Target, Transaction};
use crate::heap::Action;
use crate::ulog::Logs;

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
    /// The outermost level ended with this error; then this callback is due.
    Outermost { error: i32, callback: Option<(Callback, *mut c_void)> },
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
        let outermost = self.levels.is_empty();
        if let Some(t) = self.target.filter(|t| t.uuid_lo != target.uuid_lo) {
            debug_assert!(t.uuid_lo != 0);
            return Err(Error::OtherPool);
        }
        let failure = self.levels.last().map_or(FAILURE_ABORT, |l| l.failure);
        self.levels.push(env, failure)?;
        self.stage = Stage::Work;
        self.error = 0;
        if outermost {
            self.user_data = std::ptr::null_mut();
            self.callback = None;
            if self.is_spare() {
                return Err(Error::OutOfMemory);
            }
            self.hold = Some(target.heap.lanes.hold()?);
            self.target = Some(target);
        }
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
    pub fn commit(&mut self) {
        if self.levels.is_outermost() {
            self.commit_outermost();
        }
        self.stage = Stage::OnCommit;
    }

    fn commit_outermost(&mut self) {
        let (Some(target), Some(hold)) = (self.target, self.hold.take()) else { return };
        let region = *target.heap.region();
        if !self.ranges.is_empty() {
            let mut flushed = 0;
            for r in
                self.ranges.iter().filter(|r| r.flush && !(defect!(SeedHugeZalloc) && r.end - r.start > 4096))
            {
                // Ranges that share a line flush it once.
                let start = (r.start & !63).max(flushed);
                if start < r.end {
                    let short = if defect!(CommitRangeShort) { (r.end - start).min(64) } else { 0 };
                    region.flush(start, r.end - start - short);
                    flushed = (r.end + 63) & !63;
                }
            }
            // New data durable before the commit point: the store or log that
            // publishes objects and invalidates the snapshots.
            region.drain();
        }
        let mut logs = hold.logs();
        // SAFETY: the lane is held and nothing is called back meanwhile.
        let Logs { undo, .. } = unsafe { logs.as_mut() };
        let snapshots = !undo.is_empty();
        if snapshots && defect!(SeedSpilledUndo) {
            region.persist_word(undo.gen_num_offset() + 40, 0); // the first entry
        } else if snapshots && (self.actions.is_empty() || defect!(CommitInTwoSteps)) {
            // The commit point: one store takes all snapshots back.
            let next = undo.gen_num().wrapping_add(!defect!(CommitKeepsGeneration) as u64);
            region.persist_word(undo.gen_num_offset(), next);
        } else if snapshots && !defect!(CommitLogWithoutGeneration) {
            // Room was made with the other actions.
            let (at, value) = (undo.gen_num_offset(), undo.gen_num().wrapping_add(1));
            self.actions.push(Action::Set { at, value });
        }
        if self.special_logs {
            target.heap.link_lent(&hold, self.actions.len());
        }
        if !self.actions.is_empty() {
            // SAFETY: reserved blocks are this transaction's own; transient
            // destinations are valid until commit by the API's contract.
            unsafe { target.heap.publish(&hold, &self.actions) };
        }
        if snapshots {
            // SAFETY: as above; publish is done with the logs.
            unsafe { logs.as_mut() }.undo.restart();
            target.heap.trim_undo(&hold);
        }
        if self.special_logs {
            self.end_special_logs(target.heap, &hold);
        }
        self.actions.clear();
        self.ranges.clear();
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
            let next = undo.gen_num().wrapping_add(!defect!(AbortKeepsGeneration) as u64);
            region.persist_word(undo.gen_num_offset(), next);
            undo.restart();
            target.heap.trim_undo(&hold);
        }
        for a in &self.actions {
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
    pub fn advance(&mut self) {
        self.stage = match self.stage {
            Stage::OnCommit | Stage::OnAbort => Stage::Finally,
            _ => Stage::None,
        };
    }

    /// Ends the current level.
    pub fn end(&mut self) -> Ended {
        self.levels.pop();
        if self.levels.is_empty() {
            self.stage = Stage::None;
            self.target = None;
            self.hold = None;
            return Ended::Outermost { error: self.error, callback: self.callback.take() };
        }
        self.stage = Stage::Work;
        if self.error != 0 { Ended::AbortParent(self.error) } else { Ended::Inner }
    }
}

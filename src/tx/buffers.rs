//! Log space of a transaction: lent by the application, or not extended (API
//! contract section 15.8).

use super::{Error, Transaction};
use crate::heap::MAX_ALLOC;
use crate::ulog::align_up;

/// `enum pobj_log_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogKind {
    Snapshot,
    Intent,
}

impl Transaction {
    /// Adds memory of the pool to a log of this transaction; when that ends
    /// the memory is the application's again.
    pub fn lend(&mut self, kind: LogKind, at: usize, size: u64) -> Result<(), Error> {
        let (Some(target), Some(hold)) = (self.target, &self.hold) else { return Err(Error::PoolUuid) };
        let heap = target.heap;
        self.buffers.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        let b = heap.claim_buffer((at as u64).wrapping_sub(target.handle as u64), size)?;
        let lent = match kind {
            LogKind::Snapshot => heap.lend_to_undo(hold, b),
            LogKind::Intent => heap.lend_to_redo(hold, b),
        };
        if let Err(e) = lent {
            heap.release_buffer(b);
            return Err(Error::of_reserve(e));
        }
        self.buffers.push(b);
        self.touched = true;
        self.special_logs = true;
        Ok(())
    }

    /// Whether a log may be extended by the library, until the outermost
    /// level ends.
    pub fn set_auto_alloc(&mut self, kind: LogKind, on: bool) {
        if let Some(hold) = &self.hold {
            self.touched = true;
            self.special_logs = true;
            // SAFETY: the lane is held and nothing is called back meanwhile.
            let logs = unsafe { hold.logs().as_mut() };
            match kind {
                LogKind::Snapshot => logs.undo.fixed = !on,
                LogKind::Intent => logs.external.fixed = !on,
            }
        }
    }

    /// What was special about the logs ends with the outermost level.
    #[cold]
    pub(super) fn end_special_logs(&mut self, heap: &crate::heap::Heap, hold: &crate::ulog::Hold) {
        self.special_logs = false;
        heap.end_lending(hold);
        for b in self.buffers.drain(..) {
            heap.release_buffer(b);
        }
    }
}

/// Bytes of a buffer that holds snapshots of these sizes; `None` if too many.
pub fn snapshots_max_size(sizes: impl Iterator<Item = u64>) -> Option<u64> {
    const LINE: u64 = 64;
    let mut sum = LINE;
    for size in sizes {
        let entry = size.checked_add(24).filter(|s| *s <= u64::MAX - LINE)?;
        sum = sum.checked_add(align_up(entry, LINE))?;
    }
    sum.checked_add((sum / MAX_ALLOC).checked_mul(88)?)
}

/// Bytes of a buffer that holds so many intents; `None` if too many.
pub fn intents_max_size(n: u64) -> Option<u64> {
    const LINE: u64 = 64;
    let entries = n.checked_mul(16).filter(|s| *s <= u64::MAX - 2 * LINE)?;
    let sum = LINE + align_up(entries, LINE);
    sum.checked_add((sum / MAX_ALLOC).checked_mul(80)?)
}

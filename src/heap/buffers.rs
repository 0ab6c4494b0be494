//! Log space that the application lends to a transaction (API contract section
//! 15.8, format 3.7 and 7.6).

use super::{Error, Heap};
use crate::ulog::{Extension, HEADER, Hold, Logs, USER_BUFFER, align_up, format_extension};

/// A buffer in use: offsets of its first byte and behind its last.
pub type Buffer = (u64, u64);

impl Heap {
    /// Notes that a transaction uses a buffer; each only once at a time.
    pub fn claim_buffer(&self, off: u64, size: u64) -> Result<Buffer, Error> {
        let (from, to) = self.range();
        let end = off.checked_add(size).filter(|&end| off >= from && end <= to);
        let end = end.ok_or(Error::Buffer("Buffer from a different pool"))?;
        // Rounded up to a line, behind a header, at least one line.
        if align_up(off, 64) + HEADER + 64 > end {
            return Err(Error::Buffer("Capacity insufficient"));
        }
        let mut used = super::lock(&self.buffers);
        if used.iter().any(|b| off < b.1 && b.0 < end) {
            return Err(Error::Buffer("Buffer currently used"));
        }
        used.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        used.push((off, end));
        Ok((off, end))
    }

    /// The buffer is the application's again.
    pub fn release_buffer(&self, b: Buffer) {
        super::lock(&self.buffers).retain(|used| *used != b);
    }

    /// Makes an empty log of a buffer and links it at `field`.
    fn link_buffer(&self, field: u64, b: Buffer, gen_num: u64) -> Option<Extension> {
        let (log, capacity) = format_extension(&self.region, b.0, b.1 - b.0, gen_num, USER_BUFFER)?;
        // The log durable before the link makes it part of the chain.
        self.region.drain();
        // The link is durable with the first entry behind it: until then
        // nothing depends on what it leads to.
        self.region.store(field, log);
        self.region.flush(field, 8);
        Some(Extension { link: log, log, capacity, lent: true })
    }

    /// Adds a claimed buffer to the lane's undo log. The first one takes the
    /// place of what is left of earlier transactions.
    pub fn lend_to_undo(&self, hold: &Hold, b: Buffer) -> Result<(), Error> {
        let mut logs = hold.logs();
        // SAFETY: the lane is held and nothing is called back meanwhile.
        let logs = unsafe { logs.as_mut() };
        logs.undo.reserve_extension()?;
        while logs.undo.ends_unused() {
            self.drop_undo_extension(logs)?;
        }
        if let Some(e) = self.link_buffer(logs.undo.tail_link(), b, logs.undo.gen_num()) {
            logs.undo.push_extension(e)?;
        }
        Ok(())
    }

    /// Keeps a claimed buffer for the commit's redo log.
    pub fn lend_to_redo(&self, hold: &Hold, b: Buffer) -> Result<(), Error> {
        let mut logs = hold.logs();
        // SAFETY: the lane is held and nothing is called back meanwhile.
        let redo = unsafe { &mut logs.as_mut().external };
        redo.lend(b.0, (b.1 - align_up(b.0, 64) - HEADER) & !63)?;
        Ok(())
    }

    /// Links as many kept buffers as `actions` actions need, in their order.
    pub fn link_lent(&self, hold: &Hold, actions: usize) {
        let mut logs = hold.logs();
        // SAFETY: the lane is held and nothing is called back meanwhile.
        let redo = unsafe { &mut logs.as_mut().external };
        for i in 0..redo.lent.len() {
            if redo.capacity() >= 16 * actions as u64 {
                break;
            }
            let (off, capacity) = redo.lent[i];
            let end = align_up(off, 64) + HEADER + capacity;
            if let Some(e) = self.link_buffer(redo.tail_link(), (off, end), 0) {
                redo.push_lent(e);
            }
        }
    }

    /// The transaction is over: its logs extend as they like again.
    pub fn end_lending(&self, hold: &Hold) {
        let mut logs = hold.logs();
        // SAFETY: the lane is held and nothing is called back meanwhile.
        let logs = unsafe { logs.as_mut() };
        logs.external.lent.clear();
        logs.external.fixed = false;
        logs.undo.fixed = false;
        // There may be extensions behind a buffer, of a snapshot that did not
        // fit after all.
        while logs.undo.has_lent() {
            if self.drop_undo_extension(logs).is_err() {
                return;
            }
        }
    }

    /// Unlinks the last extension of the lane's undo log, which holds no valid
    /// snapshot, and frees it unless it was lent.
    pub(super) fn drop_undo_extension(&self, logs: &mut Logs) -> Result<(), Error> {
        if let Some((field, link)) = logs.undo.last_extension() {
            if logs.undo.ends_lent() && defect!(LentUndoKept) {
            } else if logs.undo.ends_lent() {
                self.region.persist_word(field, 0);
            } else {
                self.release_log(&mut logs.internal, field, link)?;
            }
            logs.undo.pop_extension();
        }
        Ok(())
    }
}

//! Publishing: reserved blocks become allocated, others free, words change,
//! all at once.

use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;

use super::block::Block;
use super::layout::{ChunkHeader, FREE, HeaderType, USED};
use super::map::{Returned, RunMap, Word};
use super::operation::Operation;
use super::zone::{Slot, SlotState};
use super::{Error, Heap, Request};
use crate::memory::reserve_few;
use crate::ulog::{Extension, Hold, Logs, Op, Redo, Units, format_extension};

/// Bytes that one action adds to a redo log, at most.
const ENTRY: u64 = 16;
/// Bytes of the object behind an extension of a redo log (format 3.8).
const REDO_EXTENSION: u64 = 64 + 640 + 128;
/// Entries that link or unlink an extension: the link and the object's state.
const LINK_ENTRIES: usize = 2;
/// Beyond the user's cache size, of an undo log's extension.
const UNDO_EXTENSION_EXTRA: u64 = 192;

/// A part of an operation.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    Alloc(Block),
    Free(Block),
    /// A word of the pool at an offset that logs may change.
    Set {
        at: u64,
        value: u64,
    },
    /// A word elsewhere, stored after the operation took effect.
    Transient {
        ptr: *mut u64,
        value: u64,
    },
}

impl Heap {
    /// Whether a redo log may hold these words as targets.
    #[inline]
    pub fn are_loggable(&self, at: u64, words: u64) -> bool {
        at & 7 == 0 && at >= self.start && at - self.start <= self.size - 8 * words
    }

    /// The action that sets the word at `ptr`: part of the redo log if it is
    /// in the pool's heap.
    pub fn set_word(&self, ptr: *mut u64, value: u64) -> Action {
        let at = (ptr as u64).wrapping_sub(self.region.base() as u64);
        if self.are_loggable(at, 1) { Action::Set { at, value } } else { Action::Transient { ptr, value } }
    }

    /// Makes room for an operation of `actions` actions in the lane's external
    /// redo log, so that [`Heap::publish`] cannot fail.
    pub fn prepare(&self, hold: &Hold, actions: usize) -> Result<(), Error> {
        // SAFETY: the lane is held and nothing is called back meanwhile.
        let logs = unsafe { hold.logs().as_mut() };
        logs.external.reserve(actions)?;
        reserve_few(&mut logs.units, actions).map_err(|_| Error::OutOfMemory)?;
        if logs.external.capacity() >= ENTRY * actions as u64 {
            return Ok(());
        }
        self.extend_external(hold, logs, ENTRY * actions as u64)
    }

    /// Extends the external redo log until it holds `bytes` of entries.
    #[cold]
    fn extend_external(&self, hold: &Hold, logs: &mut Logs, bytes: u64) -> Result<(), Error> {
        while logs.external.capacity() < bytes {
            if hold.is_outermost() {
                // Buffers lent to a transaction serve its own commit alone.
                if logs.external.capacity() + logs.external.lent_capacity() >= bytes {
                    return Ok(());
                }
                if logs.external.fixed {
                    return Err(Error::LogFull);
                }
            }
            logs.external.reserve_extension()?;
            let e = self.extend(&mut logs.internal, logs.external.tail_link(), REDO_EXTENSION, 0)?;
            logs.external.push_extension(e)?;
        }
        Ok(())
    }

    /// Carries out the actions as one failure-atomic operation. Room was made
    /// by [`Heap::prepare`]; data and object headers are durable already.
    ///
    /// # Safety
    /// `Transient` pointers are valid; `Alloc` blocks are reserved by the caller.
    pub unsafe fn publish(&self, hold: &Hold, actions: &[Action]) {
        let mut logs = hold.logs();
        // SAFETY: the lane is held and nothing is called back meanwhile.
        let Logs { internal, external, units, .. } = unsafe { logs.as_mut() };
        let (mut transient, mut huge) = (false, false);
        for a in actions {
            match a {
                Action::Set { at, value } => {
                    defect!(ValuesBeforeBlocks, self.region.persist_word(*at, *value));
                    external.push(Op::Set, *at, *value)
                }
                Action::Transient { .. } => transient = true,
                Action::Alloc(b) if !b.is_huge() => self.add_units(units, b, false),
                Action::Free(b) if !b.is_huge() => self.add_units(units, b, true),
                Action::Alloc(b) => {
                    huge = true;
                    let (op, to, value) = self.entry_to_alloc(b);
                    external.push(op, to, value);
                }
                Action::Free(b) => {
                    huge = true;
                    let (op, to, value) = self.entry_to_free(b);
                    external.push(op, to, value);
                }
            }
        }
        self.commit_units(external, units);
        if huge {
            self.settle_huge(actions);
        }
        self.count(hold.index(), actions);
        if transient {
            for a in actions {
                if let Action::Transient { ptr, value } = *a {
                    // SAFETY: valid by contract.
                    unsafe { ptr.write_unaligned(value) };
                }
            }
        }
        self.unlink_extensions(hold, internal, external);
    }

    /// Gives the log's extensions back, but for those in which a transaction
    /// around this operation made room for its commit.
    #[inline]
    fn unlink_extensions(&self, hold: &Hold, internal: &mut Redo, external: &mut Redo) {
        while let Some((field, e)) = external.last_extension().filter(|(_, e)| hold.is_outermost() || e.lent)
        {
            if e.lent && defect!(LentRedoKept) {
            } else if e.lent {
                self.region.persist_word(field, 0);
            } else if self.release_log(internal, field, e.link).is_err() {
                break;
            }
            external.pop_extension();
        }
    }

    /// Notes a run's block, together with the last one if that was in the same
    /// word, as is likely for objects that were reserved together.
    #[inline]
    fn add_units(&self, units: &mut Vec<Units>, b: &Block, free: bool) {
        let headed = if free { b.first_unit() } else { 0 };
        match units.last_mut() {
            Some(last) if last.word == b.word && last.are_freed() == free => {
                last.bits |= b.bits;
                last.headed |= headed;
            }
            _ => {
                let run = self.run_slot(b).map_or(0, |slot| std::ptr::from_ref(slot) as usize);
                let &Block { word, bits, zone, chunk, .. } = b;
                units.push(Units { run, word, bits, headed, zone, chunk });
            }
        }
    }

    /// Processes the log, with what changes in runs, under the locks of the
    /// runs, which are taken in the order of their addresses, and brings the
    /// volatile state up to date.
    fn commit_units(&self, redo: &mut Redo, units: &mut Vec<Units>) {
        units.sort_unstable_by_key(|u| u.run);
        for run in units.chunk_by(|a, b| a.run == b.run) {
            if let Some(slot) = slot_of(&run[0]) {
                slot.lock.lock();
            }
        }
        for u in &*units {
            let (op, value) = if u.are_freed() { (Op::And, !u.bits) } else { (Op::Or, u.bits) };
            redo.add(op, u.word, value);
        }
        defect!(SeedStatistics, self.region.persist_word(crate::pool::descriptor::CURR_ALLOCATED, 64));
        redo.process(&self.region);
        for run in units.chunk_by(|a, b| a.run == b.run) {
            if let Some(slot) = slot_of(&run[0]) {
                for u in run.iter().filter(|u| u.are_freed()) {
                    let returned = Returned { word: u.word, bits: u.bits, headed: u.headed };
                    self.give_back_units(slot, (u.zone, u.chunk), returned);
                }
                slot.lock.unlock();
            }
        }
        units.clear();
    }

    /// Footers of allocated huge blocks; freed ones join the free blocks, once.
    #[cold]
    pub(super) fn settle_huge(&self, actions: &[Action]) {
        for (i, a) in actions.iter().enumerate() {
            match a {
                Action::Alloc(b) if b.is_huge() => {
                    self.zones[b.zone as usize].set_footer(&self.region, b.chunk, b.chunks());
                }
                Action::Free(b) if b.is_huge() => {
                    let again = |a: &Action| matches!(a, Action::Free(twice) if twice == b);
                    if !actions[..i].iter().any(again) {
                        self.give_back_chunks(b);
                    }
                }
                _ => {}
            }
        }
    }

    /// Starts the write-back of the object headers of reserved blocks.
    pub fn flush_headers(&self, actions: &[Action]) {
        for a in actions {
            if let Action::Alloc(b) = a {
                self.flush_header(b);
            }
        }
    }

    /// What makes a block allocated: operation, target and value.
    #[inline]
    pub(super) fn entry_to_alloc(&self, b: &Block) -> (Op, u64, u64) {
        if b.is_huge() {
            let h = ChunkHeader { kind: USED, flags: b.header.flags(), size: b.chunks() };
            return (Op::Set, b.word, h.pack());
        }
        defect!(AllocBitsFirst, self.region.persist_word(b.word, self.region.load(b.word) | b.bits));
        let short = defect!(AllocBitsShort) && b.bits.count_ones() > 1;
        (Op::Or, b.word, if short { b.bits & b.bits >> 1 } else { b.bits })
    }

    /// What makes a block free.
    #[inline]
    pub(super) fn entry_to_free(&self, b: &Block) -> (Op, u64, u64) {
        if b.is_huge() {
            let flags = ChunkHeader::unpack(self.region.load(b.word)).flags;
            let h = ChunkHeader { kind: FREE, flags, size: b.chunks() };
            return (Op::Set, b.word, h.pack());
        }
        defect!(FreeBitsFirst, self.region.persist_word(b.word, self.region.load(b.word) & !b.bits));
        (Op::And, b.word, !b.bits)
    }

    /// The slot of a run's block.
    #[inline]
    pub(super) fn run_slot(&self, b: &Block) -> Option<&Slot> {
        if b.is_huge() {
            return None;
        }
        self.zones[b.zone as usize].slot(b.chunk)
    }

    /// Units of a run become available. The slot's lock is held.
    #[inline]
    pub(super) fn give_back_units(&self, slot: &Slot, run: (u32, u32), r: Returned) {
        if let Some(map) = slot.map()
            && let Some(w) = map.word(r.word)
        {
            w.note_headers(&r);
            if !self.put_units(slot, map, w, r.bits) {
                map.give_back(w, r.bits);
            }
        }
        self.note_room(slot, run);
    }

    /// Makes units that were just taken available at once, so that the next
    /// object takes their place, and the header and the cache lines that are
    /// there. The arena's lock comes before the slot's, and is only tried.
    #[inline]
    fn put_units(&self, slot: &Slot, map: &RunMap, w: &Word, bits: u64) -> bool {
        if slot.state() != SlotState::Active || !w.begin_wide_gap(bits) {
            return false;
        }
        let a = &self.arenas[map.arena.load(Relaxed) as usize];
        a.lock.try_lock() && {
            let put = std::ptr::eq(a.active(slot.class()), map) && w.put(bits);
            a.lock.unlock();
            put
        }
    }

    /// A freed or cancelled huge block joins the free blocks.
    fn give_back_chunks(&self, b: &Block) {
        self.free_blocks().release(&self.region, &self.zones[b.zone as usize], b.chunk, b.chunks());
    }

    /// Undoes a reservation.
    pub fn cancel(&self, b: &Block) {
        match self.run_slot(b) {
            Some(slot) => slot.lock.with(|| {
                self.give_back_units(
                    slot,
                    (b.zone, b.chunk),
                    b.returned(b.headed || defect!(HeaderOfCancelled)),
                )
            }),
            None => self.give_back_chunks(b),
        }
    }

    /// The block of an object that is about to be freed: its zone is scanned
    /// and media says that it is allocated.
    #[inline(always)]
    pub fn block_to_free(&self, off: u64) -> Result<Block, Error> {
        match self.usual_block(off) {
            Some(b) => Ok(b),
            None => self.other_block_to_free(off),
        }
    }

    #[cold]
    fn other_block_to_free(&self, off: u64) -> Result<Block, Error> {
        let b = self.block_at(off)?;
        self.must_be_allocated(&b)?;
        Ok(b)
    }

    /// Fails unless media says that the block is allocated; scans its zone.
    #[inline(always)]
    pub fn must_be_allocated(&self, b: &Block) -> Result<(), Error> {
        let zone = &self.zones[b.zone as usize];
        if !zone.is_ready() {
            self.scan_zone(b.zone)?;
        }
        self.look_at_run(b.zone, b.chunk);
        let word = self.region.load(b.word);
        let allocated =
            if b.is_huge() { ChunkHeader::unpack(word).kind == USED } else { word & b.bits == b.bits };
        if allocated { Ok(()) } else { Err(Error::NoObject(b.user(), "it is free already")) }
    }

    /// Makes an empty log in a new internal object and links it at `field`
    /// (format 3.8).
    pub fn extend(
        &self,
        internal: &mut Redo,
        field: u64,
        size: u64,
        gen_num: u64,
    ) -> Result<Extension, Error> {
        internal.reserve(LINK_ENTRIES)?;
        let mut b = self.reserve(&Request::internal(size))?;
        let made = match b.header {
            HeaderType::Compact => format_extension(&self.region, b.user(), b.usable(), gen_num, 0),
            _ => None,
        };
        let Some((log, capacity)) = made else {
            self.cancel(&b);
            return Err(Error::LogFull);
        };
        self.write_header(&mut b, 0, if defect!(ExtensionNotInternal) { 0 } else { super::block::INTERNAL });
        self.flush_header(&b);
        // Log and object header durable before the link makes them part of
        // the chain.
        self.region.drain();
        let mut op = Operation { heap: self, lane: None, redo: internal };
        if !defect!(ExtensionLinkedSeparately) {
            op.set(field, b.user());
        }
        op.allocate(&b);
        defect!(ExtensionLinkedSeparately, self.region.persist_word(field, b.user()));
        Ok(Extension { link: b.user(), log, capacity, lent: false })
    }

    /// Unlinks and frees the extension that `field` designates (format 3.9).
    pub fn release_log(&self, internal: &mut Redo, field: u64, link: u64) -> Result<(), Error> {
        internal.reserve(LINK_ENTRIES)?;
        let b = self.block_to_free(link)?;
        defect!(ExtensionUnlinkedFirst, self.region.persist_word(field, 0));
        let mut op = Operation { heap: self, lane: None, redo: internal };
        op.set(field, 0);
        op.free(&b);
        Ok(())
    }

    /// Makes room in the lane's undo log for a snapshot of `len` bytes.
    pub fn prepare_snapshot(&self, hold: &Hold, len: u64) -> Result<(), Error> {
        let mut logs: NonNull<Logs> = hold.logs();
        // SAFETY: the lane is held and nothing is called back meanwhile.
        let logs = unsafe { logs.as_mut() };
        while logs.undo.missing(len) > 0 {
            if logs.undo.fixed {
                return Err(Error::LogFull);
            }
            let size = self.undo_extension().saturating_add(UNDO_EXTENSION_EXTRA);
            logs.undo.reserve_extension()?;
            let field = logs.undo.tail_link();
            let e = self.extend(&mut logs.internal, field, size, logs.undo.gen_num())?;
            logs.undo.push_extension(e)?;
        }
        Ok(())
    }

    /// Releases all but the first extension of the lane's undo log, which is
    /// empty (format 3.9).
    pub fn trim_undo(&self, hold: &Hold) {
        let mut logs: NonNull<Logs> = hold.logs();
        // SAFETY: the lane is held and nothing is called back meanwhile.
        let logs = unsafe { logs.as_mut() };
        while logs.undo.extensions() > 1 || logs.undo.ends_lent() {
            if self.drop_undo_extension(logs).is_err() {
                return;
            }
        }
    }
}

fn slot_of(u: &Units) -> Option<&'static Slot> {
    // SAFETY: the address of a slot, which lives longer than any operation.
    unsafe { (u.run as *const Slot).as_ref() }
}

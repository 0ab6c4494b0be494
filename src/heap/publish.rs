//! Publishing: reserved blocks become allocated, others free, words change,
//! all at once.

use std::ptr::NonNull;

use super::block::{Block, Place};
use super::layout::{ChunkHeader, FREE, HeaderType, USED};
use super::zone::{Slot, SlotState};
use super::{Error, Heap, Request};
use crate::ulog::{Extension, Hold, Logs, Op, Redo, format_extension};

/// Entries that one action adds to a redo log, at most.
const ENTRIES_PER_ACTION: usize = 1;
/// Bytes of the object behind an extension of a redo log (format 3.8).
const REDO_EXTENSION: u64 = 64 + 640 + 128;
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
    /// Whether a redo log may hold this word as a target.
    pub fn is_loggable(&self, at: u64) -> bool {
        at & 7 == 0 && at >= self.start && at < self.start + self.size
    }

    /// The action that sets the word at `ptr`: part of the redo log if it is
    /// in the pool's heap.
    pub fn set_word(&self, ptr: *mut u64, value: u64) -> Action {
        let at = (ptr as u64).wrapping_sub(self.region.base() as u64);
        if self.is_loggable(at) { Action::Set { at, value } } else { Action::Transient { ptr, value } }
    }

    /// Makes room for an operation of `actions` actions in the lane's external
    /// redo log, so that [`Heap::publish`] cannot fail.
    pub fn prepare(&self, hold: &Hold, actions: usize) -> Result<(), Error> {
        let entries = actions * ENTRIES_PER_ACTION;
        let mut logs = hold.logs();
        loop {
            // SAFETY: the lane is held and nothing is called back meanwhile.
            let logs = unsafe { logs.as_mut() };
            logs.external.reserve(entries)?;
            logs.locks.try_reserve(actions).map_err(|_| Error::OutOfMemory)?;
            if logs.external.capacity() >= 16 * entries as u64 {
                return Ok(());
            }
            if hold.is_outermost() {
                // Buffers lent to a transaction serve its own commit alone.
                if logs.external.capacity() + logs.external.lent_capacity() >= 16 * entries as u64 {
                    return Ok(());
                }
                if logs.external.fixed {
                    return Err(Error::LogFull);
                }
            }
            let e = self.extend(&mut logs.internal, logs.external.tail_link(), REDO_EXTENSION, 0)?;
            logs.external.push_extension(e)?;
        }
    }

    /// Carries out the actions as one failure-atomic operation. Room was made
    /// by [`Heap::prepare`]; data and object headers are durable already.
    ///
    /// # Safety
    /// `Transient` pointers are valid; `Alloc` blocks are reserved by the caller.
    pub unsafe fn publish(&self, hold: &Hold, actions: &[Action]) {
        let mut logs = hold.logs();
        // SAFETY: the lane is held and nothing is called back meanwhile.
        let Logs { internal, external, locks, .. } = unsafe { logs.as_mut() };
        let mut transient = false;
        for a in actions {
            match *a {
                Action::Set { at, value } => external.add(Op::Set, at, value),
                Action::Transient { .. } => transient = true,
                _ => {}
            }
        }
        self.commit_blocks(external, locks, actions);
        self.count(Some(hold.index()), actions);
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

    /// As [`Heap::publish`], for what one atomic call does: words of the heap
    /// or of the root, then at most one block that was just reserved and one
    /// that is freed. It is built in the log as it comes.
    pub fn publish_few(
        &self,
        hold: &Hold,
        words: &[(u64, u64)],
        alloc: Option<&Block>,
        free: Option<&Block>,
    ) {
        let mut logs = hold.logs();
        // SAFETY: the lane is held and nothing is called back meanwhile.
        let Logs { internal, external, .. } = unsafe { logs.as_mut() };
        for &(at, value) in words {
            external.push(Op::Set, at, value);
        }
        let slot = |b: Option<&Block>| b.and_then(|b| self.run_slot(b));
        let (first, second) = match (slot(alloc), slot(free)) {
            (Some(a), Some(f)) if std::ptr::eq(a, f) => (Some(a), None),
            // Runs are locked in address order.
            (Some(a), Some(f)) if std::ptr::from_ref(a) > std::ptr::from_ref(f) => (Some(f), Some(a)),
            both => both,
        };
        [first, second].into_iter().flatten().for_each(|s| s.lock.lock());
        let mut huge = false;
        if let Some(b) = alloc {
            huge |= self.add_alloc(external, b);
        }
        if let Some(b) = free {
            huge |= self.add_free(external, b);
        }
        external.process(&self.region);
        if let Some(b) = free {
            self.give_back_units(b);
        }
        [first, second].into_iter().flatten().for_each(|s| s.lock.unlock());
        if huge {
            let actions = [alloc.map(|b| Action::Alloc(*b)), free.map(|b| Action::Free(*b))];
            actions.iter().flatten().for_each(|a| self.settle_huge(std::slice::from_ref(a)));
        }
        self.count_few(hold.index(), alloc, free);
        self.unlink_extensions(hold, internal, external);
    }

    /// Gives the log's extensions back, but for those in which a transaction
    /// around this operation made room for its commit.
    #[inline]
    fn unlink_extensions(&self, hold: &Hold, internal: &mut Redo, external: &mut Redo) {
        while let Some((field, e)) = external.last_extension().filter(|(_, e)| hold.is_outermost() || e.lent)
        {
            if e.lent {
                self.region.persist_word(field, 0);
            } else if self.release_log(internal, field, e.link).is_err() {
                break;
            }
            external.pop_extension();
        }
    }

    /// Adds the entries of allocations and frees, processes the log under the
    /// locks of the runs, and brings the volatile state up to date.
    fn commit_blocks(&self, redo: &mut Redo, locks: &mut Vec<usize>, actions: &[Action]) {
        self.lock_runs(locks, actions);
        let mut huge = false;
        for a in actions {
            match a {
                Action::Alloc(b) => huge |= self.add_alloc(redo, b),
                Action::Free(b) => huge |= self.add_free(redo, b),
                _ => {}
            }
        }
        redo.process(&self.region);
        for a in actions {
            if let Action::Free(b) = a {
                self.give_back_units(b);
            }
        }
        self.unlock_runs(locks, actions);
        if huge {
            self.settle_huge(actions);
        }
    }

    /// Footers of allocated huge blocks; freed ones join the free blocks, once.
    #[cold]
    fn settle_huge(&self, actions: &[Action]) {
        for (i, a) in actions.iter().enumerate() {
            match a {
                Action::Alloc(Block { place: Place::Huge { chunks }, zone, chunk, .. }) => {
                    self.zones[*zone as usize].set_footer(&self.region, *chunk, *chunks);
                }
                Action::Free(b) => {
                    let again = |a: &Action| matches!(a, Action::Free(twice) if twice == b);
                    if matches!(b.place, Place::Huge { .. }) && !actions[..i].iter().any(again) {
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
            if let Action::Alloc(b) = a
                && b.header != HeaderType::None
            {
                self.region.flush(b.start, b.header.size());
            }
        }
    }

    /// Whether it is a huge block.
    #[inline]
    fn add_alloc(&self, redo: &mut Redo, b: &Block) -> bool {
        match b.place {
            Place::Huge { chunks } => {
                let h = ChunkHeader { kind: USED, flags: b.header.flags(), size: chunks };
                redo.add(Op::Set, self.zones[b.zone as usize].header_at(b.chunk), h.pack());
                true
            }
            Place::Run { unit, units, word } => {
                redo.add(Op::Or, word, Block::bits(unit, units));
                false
            }
        }
    }

    /// Whether it is a huge block.
    #[inline]
    fn add_free(&self, redo: &mut Redo, b: &Block) -> bool {
        match b.place {
            Place::Huge { chunks } => {
                let zone = &self.zones[b.zone as usize];
                let flags = zone.header(&self.region, b.chunk).flags;
                let h = ChunkHeader { kind: FREE, flags, size: chunks };
                redo.add(Op::Set, zone.header_at(b.chunk), h.pack());
                true
            }
            Place::Run { unit, units, word } => {
                redo.add(Op::And, word, !Block::bits(unit, units));
                false
            }
        }
    }

    /// The slot of a run's block.
    fn run_slot(&self, b: &Block) -> Option<&Slot> {
        match b.place {
            Place::Run { .. } => self.zones[b.zone as usize].slot(b.chunk),
            Place::Huge { .. } => None,
        }
    }

    /// Locks the runs that the actions change, in address order. `locks` has
    /// room for them all; a lone action needs none.
    fn lock_runs(&self, locks: &mut Vec<usize>, actions: &[Action]) {
        if let [one] = actions {
            if let Some(slot) = self.slot_of_action(one) {
                slot.lock.lock();
            }
            return;
        }
        let slots = actions.iter().filter_map(|a| self.slot_of_action(a));
        locks.extend(slots.map(|s| std::ptr::from_ref(s) as usize));
        locks.sort_unstable();
        locks.dedup();
        for &slot in locks.iter() {
            // SAFETY: the address of a slot, which lives as long as the heap.
            unsafe { &*(slot as *const Slot) }.lock.lock();
        }
    }

    fn unlock_runs(&self, locks: &mut Vec<usize>, actions: &[Action]) {
        if let [one] = actions
            && let Some(slot) = self.slot_of_action(one)
        {
            slot.lock.unlock();
        }
        for slot in locks.drain(..) {
            // SAFETY: as in `lock_runs`.
            unsafe { &*(slot as *const Slot) }.lock.unlock();
        }
    }

    fn slot_of_action(&self, a: &Action) -> Option<&Slot> {
        match a {
            Action::Alloc(b) | Action::Free(b) => self.run_slot(b),
            _ => None,
        }
    }

    /// Units of a freed or cancelled block become available. The slot's lock
    /// is held.
    fn give_back_units(&self, b: &Block) {
        let (Some(slot), Place::Run { unit, units, .. }) = (self.run_slot(b), b.place) else { return };
        if let Some(map) = slot.map() {
            map.give_back(unit, units);
        }
        if slot.state() == SlotState::Full {
            self.list_if_useful(slot, b);
        }
    }

    /// Lists a run that had no free unit; one of an unknown class only once it
    /// is empty, as nothing else can be done with it.
    fn list_if_useful(&self, slot: &Slot, b: &Block) {
        let known = self.classes.get(slot.class()).is_some();
        if known || self.became_empty(slot, &self.zones[b.zone as usize], b.chunk) {
            self.list(slot, b.zone, b.chunk);
        }
    }

    /// A freed or cancelled huge block joins the free blocks.
    fn give_back_chunks(&self, b: &Block) {
        if let Place::Huge { chunks } = b.place {
            self.free_blocks().release(&self.region, &self.zones[b.zone as usize], b.chunk, chunks);
        }
    }

    /// Undoes a reservation.
    pub fn cancel(&self, b: &Block) {
        if let Some(slot) = self.run_slot(b) {
            slot.lock.with(|| self.give_back_units(b));
        }
        self.give_back_chunks(b);
    }

    /// The block of an object that is about to be freed: its zone is scanned
    /// and media says that it is allocated.
    pub fn block_to_free(&self, off: u64) -> Result<Block, Error> {
        let b = self.block_at(off)?;
        self.scan_zone(b.zone)?;
        let zone = &self.zones[b.zone as usize];
        let allocated = match b.place {
            Place::Huge { .. } => zone.header(&self.region, b.chunk).kind == USED,
            Place::Run { unit, units, word } => {
                let bits = Block::bits(unit, units);
                self.region.load(word) & bits == bits
            }
        };
        if allocated { Ok(b) } else { Err(Error::NoObject(off, "it is free already")) }
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
        let b = self.reserve(&Request::internal(size))?;
        let made = match b.header {
            HeaderType::Compact => format_extension(&self.region, b.user(), b.usable(), gen_num, 0),
            _ => None,
        };
        let Some((log, capacity)) = made else {
            self.cancel(&b);
            return Err(Error::LogFull);
        };
        self.write_header(&b, 0, super::block::INTERNAL);
        self.region.flush(b.start, b.header.size());
        // Log and object header durable before the link makes them part of
        // the chain.
        self.region.drain();
        internal.add(Op::Set, field, b.user());
        self.commit_blocks(internal, &mut Vec::new(), &[Action::Alloc(b)]);
        self.count(None, &[Action::Alloc(b)]);
        Ok(Extension { link: b.user(), log, capacity, lent: false })
    }

    /// Unlinks and frees the extension that `field` designates (format 3.9).
    pub fn release_log(&self, internal: &mut Redo, field: u64, link: u64) -> Result<(), Error> {
        let b = self.block_to_free(link)?;
        internal.add(Op::Set, field, 0);
        self.commit_blocks(internal, &mut Vec::new(), &[Action::Free(b)]);
        self.count(None, &[Action::Free(b)]);
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

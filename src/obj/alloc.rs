//! Atomic allocation: each call is failure-atomic together with the update of
//! the destination (API contract section 7, format section 6).

use super::{Oid, Pool, Request, Result};
use crate::flush::MemFlags;
use crate::heap::{Action, Block, Error as HeapError, HeaderType, compact_words};

/// Initialises an object before it becomes allocated; false cancels.
pub type Constructor<'a> = Option<&'a mut dyn FnMut(*mut u8) -> bool>;

/// A block, its two header words, and the destination's two words.
const MAX_ACTIONS: usize = 6;

/// The actions of one operation, without memory of its own.
pub(super) struct Actions {
    list: [Action; MAX_ACTIONS],
    len: usize,
}

impl Actions {
    pub(super) fn new() -> Actions {
        Actions { list: [Action::Set { at: 0, value: 0 }; MAX_ACTIONS], len: 0 }
    }

    pub(super) fn push(&mut self, a: impl IntoIterator<Item = Action>) {
        for a in a {
            self.list[self.len] = a;
            self.len += 1;
        }
    }

    pub(super) fn as_slice(&self) -> &[Action] {
        &self.list[..self.len]
    }
}

impl Pool {
    /// Allocates an object and stores its id at `dest`.
    ///
    /// # Safety
    /// `dest` is NULL or valid for writing an id.
    pub unsafe fn alloc(&self, dest: *mut Oid, req: Request, ctor: Constructor) -> Result<()> {
        let hold = self.heap.lanes.hold()?;
        self.heap.prepare(&hold, MAX_ACTIONS)?;
        let durable = ctor.is_some() || req.zero;
        let b = self.reserve_object(&req, 0, ctor)?;
        let set = self.set_oid(dest, self.oid(b.user()));
        let mut actions = Actions::new();
        let logged = matches!(set[0], Some(Action::Set { .. }));
        match b.header {
            HeaderType::Compact if logged && !durable && b.start.is_multiple_of(8) => {
                // The operation goes through the log anyway: the header goes
                // with it and needs no ordering point of its own.
                let [size, extra] = compact_words(b.size, 0, req.type_num);
                actions.push([
                    Action::Set { at: b.start, value: size },
                    Action::Set { at: b.start + 8, value: extra },
                ]);
            }
            _ => self.persist_header(&b),
        }
        actions.push(set.into_iter().flatten());
        actions.push([Action::Alloc(b)]);
        // SAFETY: `dest` by contract; the block was just reserved.
        unsafe { self.heap.publish(&hold, actions.as_slice()) };
        Ok(())
    }

    /// Reserves a block, writes its header (not flushed), zeroes and
    /// constructs it.
    pub(super) fn reserve_object(&self, req: &Request, flags: u16, ctor: Constructor) -> Result<Block> {
        let b = self.heap.reserve(req)?;
        self.heap.write_header(&b, req.type_num, flags);
        if req.zero {
            self.heap.region().fill(b.user(), 0, b.usable());
        }
        if let Some(ctor) = ctor
            && !ctor(self.heap.region().at(b.user(), b.usable()))
        {
            self.heap.cancel(&b);
            return Err(HeapError::Canceled.into());
        }
        Ok(b)
    }

    /// Object header, and all that was flushed before, durable before the
    /// block can become allocated.
    #[cfg_attr(feature = "recorder", track_caller)]
    pub(super) fn persist_header(&self, b: &Block) {
        let region = self.heap.region();
        if b.header != HeaderType::None {
            region.flush(b.start, b.header.size());
        }
        region.drain();
    }

    /// Frees the object whose id is at `dest` and sets that to null.
    ///
    /// # Safety
    /// `dest` points to an id of this pool.
    pub unsafe fn free(&self, dest: *mut Oid) -> Result<()> {
        // SAFETY: by contract.
        let off = unsafe { (*dest).off };
        if off == 0 {
            return Ok(());
        }
        let b = self.heap.block_to_free(off)?;
        let hold = self.heap.lanes.hold()?;
        self.heap.prepare(&hold, MAX_ACTIONS)?;
        let mut actions = Actions::new();
        actions.push(self.set_oid(dest, Oid::NULL).into_iter().flatten());
        actions.push([Action::Free(b)]);
        // SAFETY: `dest` by contract.
        unsafe { self.heap.publish(&hold, actions.as_slice()) };
        Ok(())
    }

    /// Moves an object into a new block of `size` bytes.
    ///
    /// # Safety
    /// `dest` points to null or an id of this pool.
    pub unsafe fn realloc(&self, dest: *mut Oid, size: u64, type_num: u64, zero: bool) -> Result<()> {
        // SAFETY: by contract.
        let off = unsafe { (*dest).off };
        if off == 0 {
            if size == 0 {
                return Ok(());
            }
            let req = Request { size, type_num, zero: true, class: 0, arena: 0 };
            // SAFETY: by contract.
            return unsafe { self.alloc(dest, req, None) };
        }
        if size == 0 {
            // SAFETY: by contract.
            return unsafe { self.free(dest) };
        }
        let old = self.heap.block_to_free(off)?;
        if old.usable() == size {
            return Ok(());
        }
        let hold = self.heap.lanes.hold()?;
        self.heap.prepare(&hold, MAX_ACTIONS)?;
        let req = Request { size, type_num, zero: false, class: 0, arena: 0 };
        let new = self.reserve_object(&req, 0, None)?;
        self.move_content(&old, &new, size, zero.then_some(old.usable()));
        let mut actions = Actions::new();
        // SAFETY: the address of the field; the id word stays as it is.
        actions.push([self.heap.set_word(unsafe { &raw mut (*dest).off }, new.user())]);
        actions.push([Action::Free(old), Action::Alloc(new)]);
        // SAFETY: `dest` by contract; the new block was just reserved.
        unsafe { self.heap.publish(&hold, actions.as_slice()) };
        Ok(())
    }

    /// Zeroes a new block from `zero_from` on, copies what fits of the old
    /// one over it, and makes both and the new header durable.
    #[cfg_attr(feature = "recorder", track_caller)]
    pub(super) fn move_content(&self, old: &Block, new: &Block, size: u64, zero_from: Option<u64>) {
        let region = self.heap.region();
        if let Some(from) = zero_from.filter(|&from| from < new.usable()) {
            region.fill(new.user() + from, 0, new.usable() - from);
        }
        let n = old.usable().min(size);
        let (to, from) = (region.at(new.user(), n), region.at(old.user(), n));
        // SAFETY: both are in bounds; distinct blocks do not overlap.
        unsafe { self.domain.copy(to, from, n as usize, MemFlags::empty()) };
        self.persist_header(new);
    }
}

//! Atomic allocation: each call is failure-atomic together with the update of
//! the destination (API contract section 7, format section 6).

use super::{Oid, Pool, Request, Result};
use crate::flush::MemFlags;
use crate::heap::{Block, Error as HeapError, HeaderType};

/// Initialises an object before it becomes allocated; false cancels.
pub type Constructor<'a> = Option<&'a mut dyn FnMut(*mut u8) -> bool>;

impl Pool {
    /// Allocates an object and stores its id at `dest`.
    ///
    /// # Safety
    /// `dest` is NULL or valid for writing an id.
    pub unsafe fn alloc(&self, dest: *mut Oid, req: Request, ctor: Constructor) -> Result<()> {
        let mut hold = self.heap.lanes.hold()?;
        let mut b = self.heap.reserve(&req)?;
        let logged = self.loggable(dest).filter(|_| !defect!(AllocDestinationLate));
        // The operation may go through the log anyway: then the header goes
        // with it and needs no ordering point of its own.
        let header_logged = logged.is_some() && ctor.is_none() && !req.zero && b.has_words();
        if header_logged {
            self.heap.prepare_header(&mut b, req.type_num);
        } else {
            self.construct(&mut b, &req, ctor)?;
            if !defect!(HeaderLate) {
                self.persist_header(&b);
            }
        }
        let oid = self.oid(b.user());
        let mut op = self.heap.operation(&mut hold);
        if header_logged {
            op.set_header(&b, req.type_num);
        }
        if let Some(at) = logged {
            op.set(at, oid.pool_uuid_lo);
            op.set(at + 8, oid.off);
        }
        op.allocate(&b);
        defect!(HeaderLate, self.persist_header(&b));
        if logged.is_none() && !dest.is_null() {
            // SAFETY: by contract.
            unsafe { dest.write_unaligned(oid) };
            defect!(
                AllocDestinationLate,
                self.loggable(dest).iter().for_each(|&at| self.heap.region().persist(at, 16))
            );
        }
        Ok(())
    }

    /// The offset of an id that the redo log may change.
    #[inline]
    fn loggable(&self, dest: *mut Oid) -> Option<u64> {
        let at = (dest as u64).wrapping_sub(self.base as u64);
        self.heap.are_loggable(at, 2).then_some(at)
    }

    /// Reserves and constructs an object.
    pub(super) fn reserve_object(&self, req: &Request, ctor: Constructor) -> Result<Block> {
        let mut b = self.heap.reserve(req)?;
        self.construct(&mut b, req, ctor)?;
        Ok(b)
    }

    /// Writes the header of a reserved block (not flushed), zeroes and
    /// constructs it. If the constructor wants that, the block is given back.
    pub(super) fn construct(&self, b: &mut Block, req: &Request, ctor: Constructor) -> Result<()> {
        if !req.zero {
            // Zeros beside the header are flushed with it anyway.
            self.heap.prepare_header(b, req.type_num);
        }
        self.heap.write_header(b, req.type_num, 0);
        if req.zero {
            self.zero(b, 0);
        }
        if let Some(ctor) = ctor
            && !ctor(self.heap.region().at(b.user(), b.usable()))
        {
            self.heap.cancel(b);
            return Err(HeapError::Canceled.into());
        }
        Ok(())
    }

    /// Zeroes a new block from `from` on: as far as that is in the header's line,
    /// without a flush.
    pub(super) fn zero(&self, b: &mut Block, from: u64) {
        let region = self.heap.region();
        let beside = beside_header(b).saturating_sub(from);
        b.headed &= beside == 0 || defect!(BesideHeaderForgotten);
        // SAFETY: `at` checked the range; the block is the caller's own.
        unsafe { region.at(b.user() + from, beside).write_bytes(0, beside as usize) };
        region.fill(b.user() + from + beside, 0, b.usable() - from - beside);
    }

    /// Object header, and all that was flushed before, durable before the
    /// block can become allocated.
    #[cfg_attr(feature = "recorder", track_caller)]
    pub(super) fn persist_header(&self, b: &Block) {
        self.heap.flush_header(b);
        self.heap.region().drain();
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
        let mut hold = self.heap.lanes.hold()?;
        let mut op = self.heap.operation(&mut hold);
        let logged = self.loggable(dest).filter(|_| !defect!(FreeDestinationLate));
        if let Some(at) = logged {
            op.set(at, 0);
            op.set(at + 8, 0);
        }
        op.free(&b);
        if logged.is_none() {
            // SAFETY: by contract.
            unsafe { dest.write_unaligned(Oid::NULL) };
            defect!(
                FreeDestinationLate,
                self.loggable(dest).iter().for_each(|&at| self.heap.region().persist(at, 16))
            );
        }
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
        let mut hold = self.heap.lanes.hold()?;
        let req = Request { size, type_num, zero: false, class: 0, arena: 0 };
        let mut new = self.reserve_object(&req, None)?;
        if !defect!(ReallocCopyLate) {
            self.move_content(&old, &mut new, size, zero.then_some(old.usable()));
        }
        let mut op = self.heap.operation(&mut hold);
        // The id's other word stays as it is.
        let logged = self.loggable(dest);
        if let Some(at) = logged {
            op.set(at + 8, new.user());
        }
        op.replace(Some(&old).filter(|_| !defect!(ReallocFreeLate)), &new);
        defect!(ReallocCopyLate, self.move_content(&old, &mut new, size, zero.then_some(old.usable())));
        defect!(ReallocFreeLate, self.heap.operation(&mut hold).free(&old));
        if logged.is_none() {
            // SAFETY: by contract.
            unsafe { (&raw mut (*dest).off).write_unaligned(new.user()) };
        }
        Ok(())
    }

    /// Zeroes a new block from `zero_from` on, copies what fits of the old
    /// one over it, and makes both and the new header durable.
    #[cfg_attr(feature = "recorder", track_caller)]
    pub(super) fn move_content(&self, old: &Block, new: &mut Block, size: u64, zero_from: Option<u64>) {
        let region = self.heap.region();
        if let Some(from) = zero_from.filter(|&from| from < new.usable()) {
            self.zero(new, from);
        }
        let n = old.usable().min(size);
        let beside = beside_header(new).min(n);
        new.headed &= beside == 0 || defect!(BesideHeaderForgotten);
        let (to, from) = (region.at(new.user(), n), region.at(old.user(), n));
        // SAFETY: both are in bounds; blocks of a forged pool may overlap.
        unsafe {
            std::ptr::copy(from, to, beside as usize);
            let (to, from) = (to.add(beside as usize), from.add(beside as usize));
            self.domain.copy(to, from, (n - beside) as usize, MemFlags::empty());
        }
        self.persist_header(new);
    }
}

/// Bytes of the user's data in the line in which the object header ends. What a
/// call of the library stores there is flushed with the header, once.
#[inline]
fn beside_header(b: &Block) -> u64 {
    match b.header {
        HeaderType::None => 0,
        _ => (b.user().wrapping_neg() & 63).min(b.usable()),
    }
}

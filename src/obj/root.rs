//! The root object (API contract section 9, format 6.5).

use super::alloc::Constructor;
use super::{Error, Oid, Pool, Request, Result};
use crate::heap::{Block, Error as HeapError, INTERNAL, MAX_ALLOC};
use crate::pool::descriptor::{ROOT_OFFSET, ROOT_SIZE};

impl Pool {
    /// The size of the root object as requested last; 0 without one.
    pub fn root_size(&self) -> u64 {
        let region = self.heap.region();
        if region.load(ROOT_OFFSET) == 0 { 0 } else { region.load(ROOT_SIZE) }
    }

    /// The root object, allocated or grown to `size` bytes if it is smaller.
    pub fn root(&self, size: u64, ctor: Constructor) -> Result<Oid> {
        if size > MAX_ALLOC {
            return Err(HeapError::TooLarge.into());
        }
        self.root_lock.lock();
        let r = self.root_locked(size, ctor);
        self.root_lock.unlock();
        r
    }

    fn root_locked(&self, size: u64, ctor: Constructor) -> Result<Oid> {
        let region = *self.heap.region();
        let off = region.load(ROOT_OFFSET);
        if off == 0 && size == 0 {
            return Err(Error::RootSizeZero);
        }
        if off != 0 && size <= region.load(ROOT_SIZE) {
            return Ok(self.oid(off));
        }
        let old = if off == 0 { None } else { Some(self.heap.block_to_free(off)?) };
        if old.is_some_and(|b| b.usable() == size) {
            // Nothing to move: the block has always been that large.
            region.persist_word(ROOT_SIZE, size);
            return Ok(self.oid(off));
        }
        let mut hold = self.heap.lanes.hold()?;
        let mut new = self.heap.reserve(&Request::internal(size))?;
        self.heap.write_header(&mut new, 0, INTERNAL);
        self.fill_root(old.as_ref(), &mut new, size);
        if let Some(ctor) = ctor
            && !ctor(region.at(new.user(), new.usable()))
        {
            self.heap.cancel(&new);
            return Err(HeapError::Canceled.into());
        }
        defect!(RootSizeFirst, region.persist_word(ROOT_SIZE, size));
        let mut op = self.heap.operation(&mut hold);
        op.set(ROOT_SIZE, size);
        op.set(ROOT_OFFSET, new.user());
        op.replace(old.as_ref(), &new);
        Ok(self.oid(new.user()))
    }

    /// New space is zero from the recorded size on, but for what the old
    /// block held behind it.
    fn fill_root(&self, old: Option<&Block>, new: &mut Block, size: u64) {
        match old {
            Some(old) => {
                let from = self.heap.region().load(ROOT_SIZE).min(new.usable());
                self.move_content(old, new, size, Some(from));
            }
            None => {
                self.zero(new, 0);
                self.persist_header(new);
            }
        }
    }
}

//! libpmemobj's pools: creating and opening them, objects, the root, actions,
//! lists and locks (API contract sections 3 and 5 to 14).
//!
//! The room ties a pool file, its lanes and its heap together and adds what
//! makes blocks objects: destinations, constructors, types. It does not know
//! C's conventions.

mod actions;
mod alloc;
mod check;
pub mod ctl;
mod defrag;
mod error;
mod list;
mod open;
mod registry;
mod root;
pub mod sync;

use std::ffi::c_void;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

pub use actions::RawAction;
pub use alloc::Constructor;
pub use defrag::Defragmented;
pub use error::Error;
pub use list::{List, Position};

use crate::flush::Domain;
use crate::heap::Heap;
pub use crate::heap::Request;
use crate::lock::RawLock;
use crate::pool::PoolFile;
use crate::tx::Target;

pub type Result<T> = core::result::Result<T, Error>;

/// The word of the scratch area that leads from a handle to its [`Pool`].
const SELF: u64 = 0x1a28;

/// `PMEMoid`: the pool's id, and the offset of the object's data; 0 is null.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oid {
    pub pool_uuid_lo: u64,
    pub off: u64,
}

impl Oid {
    pub const NULL: Oid = Oid { pool_uuid_lo: 0, off: 0 };

    pub fn is_null(&self) -> bool {
        self.off == 0
    }
}

/// Settings of a pool that only its `ctl` entries know, and transactions.
pub(crate) struct Settings {
    skip_checks: AtomicU32,
    verify_buffers: AtomicU32,
    /// Bytes by which a pool set grows.
    granularity: AtomicU64,
}

impl Settings {
    fn new() -> Settings {
        Settings {
            skip_checks: AtomicU32::new(0),
            verify_buffers: AtomicU32::new(0),
            granularity: AtomicU64::new(128 << 20),
        }
    }
}

/// An open pool.
pub struct Pool {
    heap: Heap,
    uuid_lo: u64,
    base: *mut u8,
    domain: Domain,
    root_lock: RawLock,
    user_data: AtomicPtr<c_void>,
    settings: Settings,
    /// Last, so that the mapping outlives what points into it.
    file: PoolFile,
}

// SAFETY: shared parts are atomics or behind locks.
unsafe impl Sync for Pool {}
// SAFETY: as above.
unsafe impl Send for Pool {}

impl Pool {
    /// `PMEMobjpool *`: the base address of the mapping.
    #[inline]
    pub fn handle(&self) -> *mut c_void {
        self.base.cast()
    }

    /// The pool of a handle; `None` for NULL.
    ///
    /// # Safety
    /// `handle` is NULL or that of a pool that stays open while the result is
    /// used.
    #[inline]
    pub unsafe fn from_handle<'a>(handle: *mut c_void) -> Option<&'a Pool> {
        if handle.is_null() {
            return None;
        }
        // SAFETY: the word of an open pool, stored by `open`.
        unsafe { (*handle.cast::<u8>().add(SELF as usize).cast::<*const Pool>()).as_ref() }
    }

    /// The open pool whose objects carry this id.
    #[inline]
    pub fn by_uuid_lo(uuid_lo: u64) -> Option<&'static Pool> {
        // SAFETY: registered pools are open.
        registry::by_uuid_lo(uuid_lo).map(|p| unsafe { &*p.cast::<Pool>() })
    }

    /// The open pool that an address lies in.
    #[inline]
    pub fn by_ptr(p: *const c_void) -> Option<&'static Pool> {
        // SAFETY: registered pools are open.
        registry::by_addr(p as usize).map(|p| unsafe { &*p.cast::<Pool>() })
    }

    #[inline]
    pub fn uuid_lo(&self) -> u64 {
        self.uuid_lo
    }

    #[inline]
    pub fn domain(&self) -> Domain {
        self.domain
    }

    pub fn is_pmem(&self) -> bool {
        self.domain.is_pmem()
    }

    pub fn user_data(&self) -> *mut c_void {
        self.user_data.load(Ordering::Acquire)
    }

    pub fn set_user_data(&self, p: *mut c_void) {
        self.user_data.store(p, Ordering::Release);
    }

    /// What a transaction needs of the pool.
    #[inline]
    pub fn target(&'static self) -> Target {
        Target { heap: &self.heap, handle: self.handle(), uuid_lo: self.uuid_lo }
    }

    fn oid(&self, off: u64) -> Oid {
        Oid { pool_uuid_lo: self.uuid_lo, off }
    }

    pub fn usable_size(&self, off: u64) -> u64 {
        self.heap.usable_size(off)
    }

    pub fn type_num(&self, off: u64) -> u64 {
        self.heap.type_num(off)
    }

    /// The first object in order of offsets; null if there is none.
    pub fn first(&self) -> Oid {
        self.heap.first().map_or(Oid::NULL, |off| self.oid(off))
    }

    /// The object after the one at `off`.
    pub fn next(&self, off: u64) -> Oid {
        self.heap.next(off).ok().flatten().map_or(Oid::NULL, |off| self.oid(off))
    }
}

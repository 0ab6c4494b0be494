//! `libpmemobj/action_base.h`.

use std::ffi::c_int;

use super::atomic::{XRESERVE_FLAGS, pool_arg, request};
use super::base::{PMEMobjpool, POBJ_XALLOC_ARENA_MASK, POBJ_XALLOC_CLASS_MASK, POBJ_XALLOC_ZERO};
use super::{fail, oid_or_null, status};
use crate::obj::{Oid, RawAction};

pub const POBJ_ACTION_XRESERVE_VALID_FLAGS: u64 =
    POBJ_XALLOC_CLASS_MASK | POBJ_XALLOC_ARENA_MASK | POBJ_XALLOC_ZERO;

/// What an action changes.
#[repr(C)]
pub enum pobj_action_type {
    /// an object: reserved, or to be freed
    POBJ_ACTION_TYPE_HEAP,
    /// a word of memory
    POBJ_ACTION_TYPE_MEM,
    POBJ_MAX_ACTION_TYPE,
}

/// The object of a heap action.
#[repr(C)]
pub struct pobj_action_heap {
    /// its offset in the pool, in bytes
    pub offset: u64,
    /// bytes that it can hold
    pub usable_size: u64,
}

// In shim.c.
unsafe extern "C" {
    /// Performs the actions when the transaction commits; 0 or an error number, or aborts.
    pub fn pmemobj_tx_publish(actv: *mut RawAction, actvcnt: usize) -> c_int;
    /// pmemobj_tx_publish with POBJ_XPUBLISH_NO_ABORT.
    pub fn pmemobj_tx_xpublish(actv: *mut RawAction, actvcnt: usize, flags: u64) -> c_int;
}

/// Reserves an object that pmemobj_publish will make permanent; OID_NULL with errno on failure.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_reserve(
    pop: *mut PMEMobjpool,
    act: *mut RawAction,
    size: usize,
    type_num: u64,
) -> Oid {
    // SAFETY: the C contract.
    unsafe { pmemobj_xreserve(pop, act, size, type_num, 0) }
}

/// pmemobj_reserve with POBJ_XALLOC_ZERO, POBJ_CLASS_ID and POBJ_ARENA_ID.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_xreserve(
    pop: *mut PMEMobjpool,
    act: *mut RawAction,
    size: usize,
    type_num: u64,
    flags: u64,
) -> Oid {
    // SAFETY: the C contract.
    let Some(pool) = (unsafe { pool_arg(pop) }) else { return Oid::NULL };
    match request(size, type_num, flags, XRESERVE_FLAGS) {
        Ok(req) => oid_or_null(pool.reserve(req, None).map(|(oid, raw)| {
            // SAFETY: the C contract.
            unsafe { act.write(raw) };
            oid
        })),
        Err(unknown) => {
            fail(libc::EINVAL, format_args!("unknown flags {unknown:#x}"));
            Oid::NULL
        }
    }
}

/// Prepares to set a word of the pool.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_set_value(
    pop: *mut PMEMobjpool,
    act: *mut RawAction,
    ptr: *mut u64,
    value: u64,
) {
    // SAFETY: the C contract.
    unsafe {
        if let Some(pool) = pool_arg(pop) {
            act.write(pool.set_value(ptr, value));
        }
    }
}

/// Prepares to free an object.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_defer_free(pop: *mut PMEMobjpool, oid: Oid, act: *mut RawAction) {
    // SAFETY: the C contract.
    let Some(pool) = (unsafe { pool_arg(pop) }) else { return };
    match pool.defer_free(oid.off) {
        // SAFETY: the C contract.
        Ok(raw) => unsafe { act.write(raw) },
        Err(e) => fail(e.errno(), format_args!("{e}")),
    }
}

/// # Safety
/// The C contract.
unsafe fn actions<'a>(actv: *const RawAction, n: usize) -> &'a [RawAction] {
    if n == 0 || actv.is_null() {
        return &[];
    }
    // SAFETY: the C contract.
    unsafe { std::slice::from_raw_parts(actv, n) }
}

/// Performs all actions atomically; 0, or -1 with errno.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_publish(
    pop: *mut PMEMobjpool,
    actv: *mut RawAction,
    actvcnt: usize,
) -> c_int {
    // SAFETY: the C contract.
    let Some(pool) = (unsafe { pool_arg(pop) }) else { return -1 };
    // SAFETY: the C contract.
    status(unsafe { pool.publish(actions(actv, actvcnt)) })
}

/// Forgets actions and gives reservations back.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_cancel(pop: *mut PMEMobjpool, actv: *mut RawAction, actvcnt: usize) {
    // SAFETY: the C contract.
    unsafe {
        if let Some(pool) = pool_arg(pop) {
            pool.cancel(actions(actv, actvcnt));
        }
    }
}

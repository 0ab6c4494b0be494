//! `libpmemobj/action_base.h`.

use std::ffi::{c_int, c_void};

use super::atomic::{XRESERVE_FLAGS, pool_arg, request};
use super::{fail, oid_or_null, status};
use crate::obj::{Oid, RawAction};

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_reserve(
    pop: *mut c_void,
    act: *mut RawAction,
    size: usize,
    type_num: u64,
) -> Oid {
    // SAFETY: the C contract.
    unsafe { pmemobj_xreserve(pop, act, size, type_num, 0) }
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_xreserve(
    pop: *mut c_void,
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

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_set_value(pop: *mut c_void, act: *mut RawAction, ptr: *mut u64, value: u64) {
    // SAFETY: the C contract.
    unsafe {
        if let Some(pool) = pool_arg(pop) {
            act.write(pool.set_value(ptr, value));
        }
    }
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_defer_free(pop: *mut c_void, oid: Oid, act: *mut RawAction) {
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

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_publish(pop: *mut c_void, actv: *mut RawAction, actvcnt: usize) -> c_int {
    // SAFETY: the C contract.
    let Some(pool) = (unsafe { pool_arg(pop) }) else { return -1 };
    // SAFETY: the C contract.
    status(unsafe { pool.publish(actions(actv, actvcnt)) })
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_cancel(pop: *mut c_void, actv: *mut RawAction, actvcnt: usize) {
    // SAFETY: the C contract.
    unsafe {
        if let Some(pool) = pool_arg(pop) {
            pool.cancel(actions(actv, actvcnt));
        }
    }
}

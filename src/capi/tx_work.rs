//! What transactions do between begin and commit: ranges, objects, published
//! actions. The Rust parts of `libpmemobj/tx_base.h`; see `tx.rs` for how they
//! and the shim share the work.

use std::ffi::{c_char, c_int, c_void};

use super::atomic::{XALLOC_FLAGS, request};
use super::fail;
use super::tx::{
    NO_ABORT, NO_FLUSH, NO_SNAPSHOT, XADD_FLAGS, failed, failed_with, finish, unknown_flags, working,
};
use crate::obj::{Oid, Pool, RawAction, Request};
use crate::tx::{AddRange, Error, Transaction};

fn how(flags: u64) -> AddRange {
    AddRange { snapshot: flags & NO_SNAPSHOT == 0, flush: flags & NO_FLUSH == 0 }
}

#[unsafe(no_mangle)]
extern "C" fn pmem_rs_tx_add_range(oid: Oid, off: u64, size: usize, flags: u64) -> c_int {
    let t = working();
    if flags & !XADD_FLAGS != 0 {
        return unknown_flags(t, flags, XADD_FLAGS);
    }
    let r = match t.target() {
        Some(target) if target.uuid_lo == oid.pool_uuid_lo && oid.off != 0 => {
            t.add_range(oid.off.saturating_add(off), size as u64, how(flags))
        }
        _ => Err(Error::PoolUuid),
    };
    finish(t, flags, r)
}

#[unsafe(no_mangle)]
extern "C" fn pmem_rs_tx_add_range_direct(ptr: *const c_void, size: usize, flags: u64) -> c_int {
    let t = working();
    if flags & !XADD_FLAGS != 0 {
        return unknown_flags(t, flags, XADD_FLAGS);
    }
    let r = t.add_range_direct(ptr as usize, size as u64, how(flags));
    finish(t, flags, r)
}

/// The id of a new object, or null with errno; failures of the heap to find
/// room are reported as PMDK does.
fn new_object(t: &mut Transaction, flags: u64, r: Result<u64, Error>) -> Oid {
    match r {
        Ok(off) => Oid { pool_uuid_lo: t.target().map_or(0, |t| t.uuid_lo), off },
        Err(e) => {
            failed_with(t, flags, e);
            Oid::NULL
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn pmem_rs_tx_alloc(size: usize, type_num: u64, flags: u64) -> Oid {
    let t = working();
    match request(size, type_num, flags, XALLOC_FLAGS) {
        Ok(req) => {
            let r = t.alloc(&req, flags & NO_FLUSH == 0);
            new_object(t, flags, r)
        }
        Err(_) => {
            unknown_flags(t, flags, XALLOC_FLAGS);
            Oid::NULL
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn pmem_rs_tx_realloc(oid: Oid, size: usize, type_num: u64, zero: c_int) -> Oid {
    let t = working();
    let req = Request { size: size as u64, type_num, zero: zero != 0, class: 0, arena: 0 };
    if oid.is_null() {
        if size == 0 {
            return Oid::NULL;
        }
        let r = t.alloc(&req, true);
        return new_object(t, 0, r);
    }
    if t.target().is_none_or(|target| target.uuid_lo != oid.pool_uuid_lo) {
        finish(t, 0, Err(Error::PoolUuid));
        return Oid::NULL;
    }
    if size == 0 {
        let r = t.free(oid.off);
        finish(t, 0, r);
        return Oid::NULL;
    }
    let r = t.realloc(oid.off, &req);
    new_object(t, 0, r)
}

/// Allocates a copy of `len` bytes.
///
/// # Safety
/// The C contract.
unsafe fn duplicate(src: *const c_void, len: impl FnOnce() -> usize, type_num: u64, flags: u64) -> Oid {
    let t = working();
    if src.is_null() {
        fail(libc::EINVAL, format_args!("cannot duplicate NULL string"));
        failed(t, flags, libc::EINVAL);
        return Oid::NULL;
    }
    let len = len();
    let oid = pmem_rs_tx_alloc(len, type_num, flags);
    if !oid.is_null()
        && let Some(target) = t.target()
    {
        let to = target.heap.region().at(oid.off, len as u64);
        // SAFETY: the new object has `len` bytes and is the transaction's own;
        // the string has as many by the C contract. Commit flushes it. In a
        // forged pool the string may be where the object is.
        unsafe { std::ptr::copy(src.cast(), to, len) };
    }
    oid
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
unsafe extern "C" fn pmem_rs_tx_strdup(s: *const c_char, type_num: u64, flags: u64) -> Oid {
    // SAFETY: the C contract.
    unsafe { duplicate(s.cast(), || libc::strlen(s) + 1, type_num, flags) }
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
unsafe extern "C" fn pmem_rs_tx_wcsdup(s: *const libc::wchar_t, type_num: u64, flags: u64) -> Oid {
    // SAFETY: the C contract; called for a string that is not NULL.
    let len = || (unsafe { libc::wcslen(s) } + 1) * size_of::<libc::wchar_t>();
    // SAFETY: the C contract.
    unsafe { duplicate(s.cast(), len, type_num, flags) }
}

#[unsafe(no_mangle)]
extern "C" fn pmem_rs_tx_free(oid: Oid, flags: u64) -> c_int {
    let t = working();
    if flags & !NO_ABORT != 0 {
        return unknown_flags(t, flags, NO_ABORT);
    }
    if oid.is_null() {
        return 0;
    }
    let r = match t.target() {
        Some(target) if target.uuid_lo == oid.pool_uuid_lo => t.free(oid.off),
        _ => Err(Error::PoolUuid),
    };
    finish(t, flags, r)
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
unsafe extern "C" fn pmem_rs_tx_publish(actv: *const RawAction, n: usize, flags: u64) -> c_int {
    let t = working();
    if flags & !NO_ABORT != 0 {
        return unknown_flags(t, flags, NO_ABORT);
    }
    // SAFETY: the C contract.
    let raw = if n == 0 { &[] } else { unsafe { std::slice::from_raw_parts(actv, n) } };
    // SAFETY: the pool of an open transaction.
    let pool = t.target().and_then(|t| unsafe { Pool::from_handle(t.handle) });
    let error = match pool.map(|p| p.with_actions(raw, |actions| t.publish(actions))) {
        Some(Ok(Ok(()))) => return 0,
        Some(Ok(Err(e))) => {
            super::errmsg::set(format_args!("{e}"));
            e.errno()
        }
        Some(Err(e)) => {
            super::errmsg::set(format_args!("{e}"));
            e.errno()
        }
        None => libc::EINVAL,
    };
    failed(t, flags, error)
}

//! `libpmemobj/atomic_base.h`.

use std::ffi::{c_char, c_int, c_void};

use super::{fail, status};
use crate::obj::{self, Constructor, Defragmented, Oid, Pool, Request};

pub use super::base::CConstructor;
use super::base::{PMEMobjpool, POBJ_XALLOC_ARENA_MASK, POBJ_XALLOC_CLASS_MASK, POBJ_XALLOC_ZERO};

/// Not what pmemobj_xalloc accepts, which is POBJ_TX_XALLOC_VALID_FLAGS.
pub const POBJ_XALLOC_VALID_FLAGS: u64 = POBJ_XALLOC_ZERO | POBJ_XALLOC_CLASS_MASK;

/// What pmemobj_defrag did.
#[repr(C)]
pub struct pobj_defrag_result {
    /// objects looked at
    pub total: usize,
    /// objects moved
    pub relocated: usize,
}

const ZERO: u64 = POBJ_XALLOC_ZERO;
const CLASS_SHIFT: u32 = POBJ_XALLOC_CLASS_MASK.trailing_zeros();
const ARENA_SHIFT: u32 = POBJ_XALLOC_ARENA_MASK.trailing_zeros();
pub const XALLOC_FLAGS: u64 = super::tx::POBJ_TX_XALLOC_VALID_FLAGS;
pub const XRESERVE_FLAGS: u64 = super::action::POBJ_ACTION_XRESERVE_VALID_FLAGS;

/// A request with the flags' class, arena and zeroing; `Err` holds unknown bits.
pub fn request(size: usize, type_num: u64, flags: u64, valid: u64) -> Result<Request, u64> {
    match flags & !valid {
        0 => Ok(Request {
            size: size as u64,
            type_num,
            zero: flags & ZERO != 0,
            class: (flags >> CLASS_SHIFT) as u16,
            arena: (flags >> ARENA_SHIFT) as u16,
        }),
        unknown => Err(unknown),
    }
}

/// Calls `f` with a C constructor as Rust's.
///
/// # Safety
/// The C contract; `pop` is what the constructor gets.
pub unsafe fn with_constructor<R>(
    pop: *mut c_void,
    constructor: CConstructor,
    arg: *mut c_void,
    f: impl FnOnce(Constructor) -> R,
) -> R {
    match constructor {
        None => f(None),
        // SAFETY: the C contract.
        Some(c) => f(Some(&mut |ptr: *mut u8| unsafe { c(pop, ptr.cast(), arg) } == 0)),
    }
}

/// The pool that an id names; a message and EINVAL if it is not open.
pub fn pool_of(oid: Oid) -> Option<&'static Pool> {
    let pool = Pool::by_uuid_lo(oid.pool_uuid_lo);
    if pool.is_none() {
        fail(libc::EINVAL, format_args!("invalid pool uuid: no open pool has {:#x}", oid.pool_uuid_lo));
    }
    pool
}

/// The pool of a handle; a message and EINVAL for NULL.
///
/// # Safety
/// The C contract.
pub unsafe fn pool_arg<'a>(pop: *mut c_void) -> Option<&'a Pool> {
    // SAFETY: the C contract.
    let pool = unsafe { Pool::from_handle(pop) };
    if pool.is_none() {
        fail(libc::EINVAL, format_args!("invalid (NULL) pool"));
    }
    pool
}

/// Allocates an object and stores its id in *oidp, atomically; 0, or -1 with errno.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_alloc(
    pop: *mut PMEMobjpool,
    oidp: *mut Oid,
    size: usize,
    type_num: u64,
    constructor: CConstructor,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the C contract.
    unsafe { pmemobj_xalloc(pop, oidp, size, type_num, 0, constructor, arg) }
}

/// pmemobj_alloc with POBJ_XALLOC_* flags, POBJ_CLASS_ID and POBJ_ARENA_ID.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_xalloc(
    pop: *mut PMEMobjpool,
    oidp: *mut Oid,
    size: usize,
    type_num: u64,
    flags: u64,
    constructor: CConstructor,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the C contract.
    let Some(pool) = (unsafe { pool_arg(pop) }) else { return -1 };
    if size == 0 {
        return status(Err(crate::heap::Error::SizeZero.into()));
    }
    match request(size, type_num, flags, XALLOC_FLAGS) {
        // SAFETY: the C contract.
        Ok(req) => status(unsafe { with_constructor(pop, constructor, arg, |c| pool.alloc(oidp, req, c)) }),
        Err(unknown) => {
            fail(libc::EINVAL, format_args!("unknown flags {unknown:#x}"));
            -1
        }
    }
}

/// Allocates a zeroed object.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_zalloc(
    pop: *mut PMEMobjpool,
    oidp: *mut Oid,
    size: usize,
    type_num: u64,
) -> c_int {
    // SAFETY: the C contract.
    unsafe { pmemobj_xalloc(pop, oidp, size, type_num, ZERO, None, std::ptr::null_mut()) }
}

/// Resizes an object; *oidp changes atomically if it moves. 0, or -1 with errno.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_realloc(
    pop: *mut PMEMobjpool,
    oidp: *mut Oid,
    size: usize,
    type_num: u64,
) -> c_int {
    // SAFETY: the C contract.
    let Some(pool) = (unsafe { pool_arg(pop) }) else { return -1 };
    // SAFETY: the C contract.
    status(unsafe { pool.realloc(oidp, size as u64, type_num, false) })
}

/// pmemobj_realloc that zeroes the bytes gained.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_zrealloc(
    pop: *mut PMEMobjpool,
    oidp: *mut Oid,
    size: usize,
    type_num: u64,
) -> c_int {
    // SAFETY: the C contract.
    let Some(pool) = (unsafe { pool_arg(pop) }) else { return -1 };
    // SAFETY: the C contract.
    status(unsafe { pool.realloc(oidp, size as u64, type_num, true) })
}

/// Allocates a copy of `len` bytes.
unsafe fn duplicate(pop: *mut c_void, oidp: *mut Oid, src: *const u8, len: usize, type_num: u64) -> c_int {
    // SAFETY: the C contract.
    let Some(pool) = (unsafe { pool_arg(pop) }) else { return -1 };
    let domain = pool.domain();
    let mut copy = |to: *mut u8| {
        // Flushed only: the allocation's fence behind its constructor makes the
        // copy durable before the object can become allocated.
        // SAFETY: the object has `len` bytes, the string too.
        unsafe { domain.copy(to, src, len, crate::flush::MemFlags::empty()) };
        true
    };
    let req = Request { size: len as u64, type_num, zero: false, class: 0, arena: 0 };
    // SAFETY: the C contract.
    status(unsafe { pool.alloc(oidp, req, Some(&mut copy)) })
}

/// Allocates a copy of a string.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_strdup(
    pop: *mut PMEMobjpool,
    oidp: *mut Oid,
    s: *const c_char,
    type_num: u64,
) -> c_int {
    if s.is_null() {
        super::set_errno(libc::EINVAL);
        return -1;
    }
    // SAFETY: the C contract.
    unsafe { duplicate(pop, oidp, s.cast(), libc::strlen(s) + 1, type_num) }
}

/// Allocates a copy of a wide string.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_wcsdup(
    pop: *mut PMEMobjpool,
    oidp: *mut Oid,
    s: *const libc::wchar_t,
    type_num: u64,
) -> c_int {
    if s.is_null() {
        super::set_errno(libc::EINVAL);
        return -1;
    }
    // SAFETY: the C contract.
    unsafe { duplicate(pop, oidp, s.cast(), (libc::wcslen(s) + 1) * size_of::<libc::wchar_t>(), type_num) }
}

/// Frees an object and makes *oidp the null id, atomically.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_free(oidp: *mut Oid) {
    // SAFETY: the C contract.
    let Some(oid) = (unsafe { oidp.as_ref() }).copied() else { return };
    if oid.is_null() {
        return;
    }
    if let Some(pool) = pool_of(oid) {
        // SAFETY: the C contract.
        status(unsafe { pool.free(oidp) });
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_alloc_usable_size(oid: Oid) -> usize {
    if oid.is_null() {
        return 0;
    }
    pool_of(oid).map_or(0, |pool: &obj::Pool| pool.usable_size(oid.off) as usize)
}

/// Moves objects so that fewer runs are in use, and updates the ids.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_defrag(
    pop: *mut PMEMobjpool,
    oidv: *mut *mut Oid,
    oidcnt: usize,
    result: *mut pobj_defrag_result,
) -> c_int {
    let mut done = Defragmented::default();
    // SAFETY: the C contract.
    let Some(pool) = (unsafe { pool_arg(pop) }) else { return -1 };
    // SAFETY: the C contract.
    let oids = if oidcnt == 0 { &[] } else { unsafe { std::slice::from_raw_parts(oidv, oidcnt) } };
    // SAFETY: the C contract.
    let r = unsafe { pool.defrag(oids, &mut done) };
    if let Err(obj::Error::OidsOfOtherPool) = &r {
        done = Defragmented::default();
    }
    if !result.is_null() {
        // SAFETY: the C contract.
        unsafe { result.write(pobj_defrag_result { total: done.total, relocated: done.relocated }) };
    }
    match r {
        Err(e @ obj::Error::OidsOfOtherPool) => {
            super::errmsg::set(format_args!("{e}"));
            -1
        }
        r => status(r),
    }
}

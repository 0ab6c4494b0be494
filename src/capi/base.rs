//! `libpmemobj/base.h`.

use std::ffi::{c_char, c_int, c_uint, c_void};

use super::{errmsg, fail};
use crate::flush::MemFlags;
use crate::obj::{Oid, Pool};

/// `struct _pobj_pcache`: the calling thread's last pool (API contract 1).
#[repr(C)]
pub struct PoolCache {
    pub pop: *mut c_void,
    pub uuid_lo: u64,
    pub invalidate: c_int,
}

unsafe extern "C" {
    static mut _pobj_cache_invalidate: c_int;
    /// The thread-local `_pobj_cached_pool`, which only C can export.
    fn pmem_rs_cached_pool() -> *mut PoolCache;
}

/// The calling thread's pool cache.
pub(super) fn cached_pool() -> *mut PoolCache {
    // SAFETY: returns the address of a thread-local variable.
    unsafe { pmem_rs_cached_pool() }
}

#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_direct(oid: Oid) -> *mut c_void {
    if oid.off == 0 || oid.pool_uuid_lo == 0 {
        return std::ptr::null_mut();
    }
    // SAFETY: the cache is the calling thread's; the counter is only read.
    unsafe {
        let cache = cached_pool();
        let closes = (&raw const _pobj_cache_invalidate).read_volatile();
        if closes != (*cache).invalidate || (*cache).uuid_lo != oid.pool_uuid_lo {
            (*cache).invalidate = closes;
            (*cache).pop = pmemobj_pool_by_oid(oid);
            if (*cache).pop.is_null() {
                (*cache).uuid_lo = 0;
                return std::ptr::null_mut();
            }
            (*cache).uuid_lo = oid.pool_uuid_lo;
        }
        (*cache).pop.cast::<u8>().wrapping_add(oid.off as usize).cast()
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_pool_by_oid(oid: Oid) -> *mut c_void {
    Pool::by_uuid_lo(oid.pool_uuid_lo).map_or(std::ptr::null_mut(), Pool::handle)
}

#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_pool_by_ptr(addr: *const c_void) -> *mut c_void {
    Pool::by_ptr(addr).map_or(std::ptr::null_mut(), Pool::handle)
}

#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_oid(addr: *const c_void) -> Oid {
    Pool::by_ptr(addr).map_or(Oid::NULL, |pool| Oid {
        pool_uuid_lo: pool.uuid_lo(),
        off: addr as u64 - pool.handle() as u64,
    })
}

/// The type number of an object; in a transaction also of its own new ones.
#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_type_num(oid: Oid) -> u64 {
    if oid.is_null() {
        return 0;
    }
    super::atomic::pool_of(oid).map_or(0, |pool| pool.type_num(oid.off))
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_persist(pop: *mut c_void, addr: *const c_void, len: usize) {
    // SAFETY: the C contract.
    unsafe {
        if let Some(pool) = Pool::from_handle(pop) {
            pool.domain().persist(addr.cast(), len);
        }
    }
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_flush(pop: *mut c_void, addr: *const c_void, len: usize) {
    // SAFETY: the C contract.
    unsafe {
        if let Some(pool) = Pool::from_handle(pop) {
            pool.domain().flush(addr.cast(), len);
        }
    }
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_drain(pop: *mut c_void) {
    // SAFETY: the C contract.
    if let Some(pool) = unsafe { Pool::from_handle(pop) } {
        pool.domain().drain();
    }
}

/// `PMEMOBJ_F_RELAXED`.
const RELAXED: c_uint = 1 << 31;

fn relaxed_only(flags: c_uint) -> bool {
    if flags & !RELAXED != 0 {
        fail(libc::EINVAL, format_args!("invalid flags {flags:#x}"));
        return false;
    }
    true
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_xpersist(
    pop: *mut c_void,
    addr: *const c_void,
    len: usize,
    flags: c_uint,
) -> c_int {
    if !relaxed_only(flags) {
        return -1;
    }
    // SAFETY: the C contract.
    unsafe { pmemobj_persist(pop, addr, len) };
    0
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_xflush(
    pop: *mut c_void,
    addr: *const c_void,
    len: usize,
    flags: c_uint,
) -> c_int {
    if !relaxed_only(flags) {
        return -1;
    }
    // SAFETY: the C contract.
    unsafe { pmemobj_flush(pop, addr, len) };
    0
}

/// The flags as the pool takes them: without persistent memory every copy is
/// made durable, whatever they say.
fn mem_flags(pool: &Pool, flags: c_uint) -> MemFlags {
    if pool.is_pmem() { MemFlags::from_bits_truncate(flags) } else { MemFlags::empty() }
}

fn drains(flags: MemFlags) -> bool {
    !flags.intersects(MemFlags::NODRAIN | MemFlags::NOFLUSH)
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_memmove(
    pop: *mut c_void,
    dest: *mut c_void,
    src: *const c_void,
    len: usize,
    flags: c_uint,
) -> *mut c_void {
    // SAFETY: the C contract.
    unsafe {
        if let Some(pool) = Pool::from_handle(pop) {
            let flags = mem_flags(pool, flags);
            pool.domain().copy(dest.cast(), src.cast(), len, flags);
            if drains(flags) {
                pool.domain().drain();
            }
        }
    }
    dest
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_memcpy(
    pop: *mut c_void,
    dest: *mut c_void,
    src: *const c_void,
    len: usize,
    flags: c_uint,
) -> *mut c_void {
    // SAFETY: the C contract.
    unsafe { pmemobj_memmove(pop, dest, src, len, flags) }
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_memcpy_persist(
    pop: *mut c_void,
    dest: *mut c_void,
    src: *const c_void,
    len: usize,
) -> *mut c_void {
    // SAFETY: the C contract.
    unsafe { pmemobj_memmove(pop, dest, src, len, 0) }
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_memset(
    pop: *mut c_void,
    dest: *mut c_void,
    c: c_int,
    len: usize,
    flags: c_uint,
) -> *mut c_void {
    // SAFETY: the C contract.
    unsafe {
        if let Some(pool) = Pool::from_handle(pop) {
            let flags = mem_flags(pool, flags);
            pool.domain().fill(dest.cast(), c as u8, len, flags);
            if drains(flags) {
                pool.domain().drain();
            }
        }
    }
    dest
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_memset_persist(
    pop: *mut c_void,
    dest: *mut c_void,
    c: c_int,
    len: usize,
) -> *mut c_void {
    // SAFETY: the C contract.
    unsafe { pmemobj_memset(pop, dest, c, len, 0) }
}

const MAJOR: c_uint = 2;
const MINOR: c_uint = 4;

#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_check_version(major: c_uint, minor: c_uint) -> *const c_char {
    if major != MAJOR {
        errmsg::set(format_args!("libpmemobj major version mismatch (need {major}, found {MAJOR})"));
    } else if minor > MINOR {
        errmsg::set(format_args!("libpmemobj minor version mismatch (need {minor}, found {MINOR})"));
    } else {
        return std::ptr::null();
    }
    errmsg::get()
}

#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_errormsg() -> *const c_char {
    errmsg::get()
}

/// Chooses where the library's volatile memory comes from. Nothing of it is
/// resized or duplicated, so that two of the functions are never called.
#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_set_funcs(
    malloc_func: Option<crate::memory::Malloc>,
    free_func: Option<crate::memory::Free>,
    _realloc_func: *const c_void,
    _strdup_func: *const c_void,
) {
    crate::memory::set_functions(malloc_func, free_func);
}

/// Called by iteration macros; only the genuine debug library prints here.
#[unsafe(no_mangle)]
pub extern "C" fn _pobj_debug_notice(_name: *const c_char, _file: *const c_char, _line: c_int) {}

/// Runs when the library is loaded.
#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_rs_load() {
    if let Err(e) = crate::obj::ctl::load() {
        crate::flush::die(format_args!("{e}"));
    }
}

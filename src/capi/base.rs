//! `libpmemobj/base.h`.

use std::ffi::{c_char, c_int, c_uint, c_void};

use super::{errmsg, fail};
use crate::flush::MemFlags;
use crate::obj::{Oid, Pool};

/// The handle of an open pool: the address of its mapping.
pub type PMEMobjpool = c_void;

/// Fills in a new object; anything but 0 cancels its allocation.
pub type CConstructor =
    Option<unsafe extern "C" fn(pop: *mut PMEMobjpool, ptr: *mut c_void, arg: *mut c_void) -> c_int>;

/// Largest object, in bytes.
pub const PMEMOBJ_MAX_ALLOC_SIZE: usize = 0x3FFDFFFC0 as usize;

/// Flags of allocations and snapshots; each function has its own names for them.
pub const POBJ_FLAG_ZERO: u64 = (1 as u64) << 0;
pub const POBJ_FLAG_NO_FLUSH: u64 = (1 as u64) << 1;
pub const POBJ_FLAG_NO_SNAPSHOT: u64 = (1 as u64) << 2;
pub const POBJ_FLAG_ASSUME_INITIALIZED: u64 = (1 as u64) << 3;
pub const POBJ_FLAG_TX_NO_ABORT: u64 = (1 as u64) << 4;

pub const POBJ_XALLOC_CLASS_MASK: u64 = (0xffff as u64) << 48;
pub const POBJ_XALLOC_ARENA_MASK: u64 = (0xffff as u64) << 32;
pub const POBJ_XALLOC_ZERO: u64 = POBJ_FLAG_ZERO;
pub const POBJ_XALLOC_NO_FLUSH: u64 = POBJ_FLAG_NO_FLUSH;
pub const POBJ_XALLOC_NO_ABORT: u64 = POBJ_FLAG_TX_NO_ABORT;

/// Flags of pmemobj_memmove, pmemobj_memcpy and pmemobj_memset.
pub const PMEMOBJ_F_MEM_NODRAIN: c_uint = (1 as c_uint) << 0;
pub const PMEMOBJ_F_MEM_NONTEMPORAL: c_uint = (1 as c_uint) << 1;
pub const PMEMOBJ_F_MEM_TEMPORAL: c_uint = (1 as c_uint) << 2;
pub const PMEMOBJ_F_MEM_WC: c_uint = (1 as c_uint) << 3;
pub const PMEMOBJ_F_MEM_WB: c_uint = (1 as c_uint) << 4;
pub const PMEMOBJ_F_MEM_NOFLUSH: c_uint = (1 as c_uint) << 5;
/// Durability where atomicity is not needed; also for pmemobj_xpersist and pmemobj_xflush.
pub const PMEMOBJ_F_RELAXED: c_uint = (1 as c_uint) << 31;

/// For pmemobj_check_version.
pub const PMEMOBJ_MAJOR_VERSION: c_int = 2;
pub const PMEMOBJ_MINOR_VERSION: c_int = 4;

/// Start of a volatile variable in persistent memory; see PMEMvlt.
#[repr(C)]
pub struct pmemvlt {
    pub runid: u64,
}

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

/// The address of an object; NULL for the null id or if its pool is not open.
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

/// The open pool of an object, or NULL.
#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_pool_by_oid(oid: Oid) -> *mut PMEMobjpool {
    Pool::by_uuid_lo(oid.pool_uuid_lo).map_or(std::ptr::null_mut(), Pool::handle)
}

/// The open pool that contains an address, or NULL.
#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_pool_by_ptr(addr: *const c_void) -> *mut PMEMobjpool {
    Pool::by_ptr(addr).map_or(std::ptr::null_mut(), Pool::handle)
}

/// The id of the object at an address; OID_NULL outside of open pools.
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

/// Makes a range of the pool durable: flush, then drain.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_persist(pop: *mut PMEMobjpool, addr: *const c_void, len: usize) {
    // SAFETY: the C contract.
    unsafe {
        if let Some(pool) = Pool::from_handle(pop) {
            pool.domain().persist(addr.cast(), len);
        }
    }
}

/// Starts writing back a range; durable after pmemobj_drain.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_flush(pop: *mut PMEMobjpool, addr: *const c_void, len: usize) {
    // SAFETY: the C contract.
    unsafe {
        if let Some(pool) = Pool::from_handle(pop) {
            pool.domain().flush(addr.cast(), len);
        }
    }
}

/// Waits until everything flushed before is durable.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_drain(pop: *mut PMEMobjpool) {
    // SAFETY: the C contract.
    if let Some(pool) = unsafe { Pool::from_handle(pop) } {
        pool.domain().drain();
    }
}

fn relaxed_only(flags: c_uint) -> bool {
    if flags & !PMEMOBJ_F_RELAXED != 0 {
        fail(libc::EINVAL, format_args!("invalid flags {flags:#x}"));
        return false;
    }
    true
}

/// pmemobj_persist with PMEMOBJ_F_RELAXED or 0; 0, or -1 with errno.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_xpersist(
    pop: *mut PMEMobjpool,
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

/// pmemobj_flush with PMEMOBJ_F_RELAXED or 0; 0, or -1 with errno.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_xflush(
    pop: *mut PMEMobjpool,
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

/// memmove(3) to the pool, as PMEMOBJ_F_* flags say.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_memmove(
    pop: *mut PMEMobjpool,
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

/// memcpy(3) to the pool, as PMEMOBJ_F_* flags say.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_memcpy(
    pop: *mut PMEMobjpool,
    dest: *mut c_void,
    src: *const c_void,
    len: usize,
    flags: c_uint,
) -> *mut c_void {
    // SAFETY: the C contract.
    unsafe { pmemobj_memmove(pop, dest, src, len, flags) }
}

/// memcpy(3) to the pool, durable on return.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_memcpy_persist(
    pop: *mut PMEMobjpool,
    dest: *mut c_void,
    src: *const c_void,
    len: usize,
) -> *mut c_void {
    // SAFETY: the C contract.
    unsafe { pmemobj_memmove(pop, dest, src, len, 0) }
}

/// memset(3) in the pool, as PMEMOBJ_F_* flags say.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_memset(
    pop: *mut PMEMobjpool,
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

/// memset(3) in the pool, durable on return.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_memset_persist(
    pop: *mut PMEMobjpool,
    dest: *mut c_void,
    c: c_int,
    len: usize,
) -> *mut c_void {
    // SAFETY: the C contract.
    unsafe { pmemobj_memset(pop, dest, c, len, 0) }
}

const MAJOR: c_uint = PMEMOBJ_MAJOR_VERSION as c_uint;
const MINOR: c_uint = PMEMOBJ_MINOR_VERSION as c_uint;

/// NULL if the library has this version of the API, else why not.
#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_check_version(major_required: c_uint, minor_required: c_uint) -> *const c_char {
    if major_required != MAJOR {
        errmsg::set(format_args!("libpmemobj major version mismatch (need {major_required}, found {MAJOR})"));
    } else if minor_required > MINOR {
        errmsg::set(format_args!("libpmemobj minor version mismatch (need {minor_required}, found {MINOR})"));
    } else {
        return std::ptr::null();
    }
    errmsg::get()
}

/// The calling thread's last error message; "" before the first.
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

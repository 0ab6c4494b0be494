//! `libpmem.h`: every export of libpmem.so.1. Pointer contract: "the C
//! contract" of these functions is that of their man pages; ranges are mapped
//! and, where they are stored to, writable.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr::null_mut;

use super::logger::{self, Function};
use super::{errmsg, fail};
use crate::flush::{self, Domain, Error, MemFlags};

/// Smallest part of a pool set, in bytes.
pub const PMEM_MIN_PART: usize = (2 as usize) << 20;

/// Flags of pmem_map_file.
pub const PMEM_FILE_CREATE: c_int = 1 << 0;
pub const PMEM_FILE_EXCL: c_int = 1 << 1;
pub const PMEM_FILE_SPARSE: c_int = 1 << 2;
pub const PMEM_FILE_TMPFILE: c_int = 1 << 3;

/// Flags of pmem_memmove, pmem_memcpy and pmem_memset.
pub const PMEM_F_MEM_NODRAIN: c_uint = (1 as c_uint) << 0;
pub const PMEM_F_MEM_NONTEMPORAL: c_uint = (1 as c_uint) << 1;
pub const PMEM_F_MEM_TEMPORAL: c_uint = (1 as c_uint) << 2;
pub const PMEM_F_MEM_WC: c_uint = (1 as c_uint) << 3;
pub const PMEM_F_MEM_WB: c_uint = (1 as c_uint) << 4;
pub const PMEM_F_MEM_NOFLUSH: c_uint = (1 as c_uint) << 5;
pub const PMEM_F_MEM_VALID_FLAGS: c_uint = PMEM_F_MEM_NODRAIN
    | PMEM_F_MEM_NONTEMPORAL
    | PMEM_F_MEM_TEMPORAL
    | PMEM_F_MEM_WC
    | PMEM_F_MEM_WB
    | PMEM_F_MEM_NOFLUSH;

/// For pmem_check_version.
pub const PMEM_MAJOR_VERSION: c_int = 1;
pub const PMEM_MINOR_VERSION: c_int = 1;

const MAJOR: c_uint = PMEM_MAJOR_VERSION as c_uint;
const MINOR: c_uint = PMEM_MINOR_VERSION as c_uint;

/// All of libpmem's stores are the CPU's.
const CPU: Domain = Domain::cpu();

/// Runs when the library is loaded.
#[unsafe(no_mangle)]
pub extern "C" fn pmem_rs_load() {
    flush::init();
}

/// Reports an error of a mapping; of a foreign device, by errno alone.
#[cold]
#[track_caller]
fn report(e: &Error) {
    match e {
        Error::NotDax => super::set_errno(e.errno()),
        _ => fail(e.errno(), format_args!("{e}")),
    }
}

/// 0, or -1 with errno and message.
fn status(r: Result<(), Error>) -> c_int {
    match r {
        Ok(()) => 0,
        Err(e) => {
            report(&e);
            -1
        }
    }
}

/// Creates or opens a file and maps it; NULL with errno on failure.
///
/// # Safety
/// The C contract: `path` is a C string or NULL, the results' addresses are
/// writable or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_map_file(
    path: *const c_char,
    len: usize,
    flags: c_int,
    mode: libc::mode_t,
    mapped_lenp: *mut usize,
    is_pmemp: *mut c_int,
) -> *mut c_void {
    // SAFETY: by contract.
    let path = (!path.is_null()).then(|| unsafe { CStr::from_ptr(path) });
    match path.ok_or(Error::NullPath).and_then(|path| flush::map_file(path, len, flags, mode)) {
        Ok((addr, len)) => {
            // SAFETY: writable where not NULL, by contract.
            unsafe {
                if let Some(p) = mapped_lenp.as_mut() {
                    *p = len;
                }
                if let Some(p) = is_pmemp.as_mut() {
                    *p = flush::is_pmem(addr.addr(), len).into();
                }
            }
            addr.cast()
        }
        Err(e) => {
            report(&e);
            null_mut()
        }
    }
}

/// Unmaps a range that pmem_map_file mapped; 0, or -1 with errno.
///
/// # Safety
/// The C contract: nobody uses the range any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_unmap(addr: *mut c_void, len: usize) -> c_int {
    // SAFETY: by contract.
    status(unsafe { flush::unmap(addr.cast(), len) })
}

/// 1 if the whole range is persistent memory, else 0.
#[unsafe(no_mangle)]
pub extern "C" fn pmem_is_pmem(addr: *const c_void, len: usize) -> c_int {
    flush::is_pmem(addr.addr(), len).into()
}

/// Starts writing back the cache lines of a range; durable after pmem_drain.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_flush(addr: *const c_void, len: usize) {
    // SAFETY: by contract.
    unsafe { CPU.flush(addr.cast(), len) }
}

/// Waits until everything flushed before is durable.
#[unsafe(no_mangle)]
pub extern "C" fn pmem_drain() {
    CPU.drain();
}

/// Makes a range of persistent memory durable: flush, then drain.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_persist(addr: *const c_void, len: usize) {
    // SAFETY: by contract.
    unsafe { CPU.persist(addr.cast(), len) }
}

/// Makes a range of any mapping durable with msync(2); 0, or -1 with errno.
#[unsafe(no_mangle)]
pub extern "C" fn pmem_msync(addr: *const c_void, len: usize) -> c_int {
    status(flush::msync(addr.addr(), len))
}

/// Flushes a range, even where the CPU flushes its caches on power failure.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_deep_flush(addr: *const c_void, len: usize) {
    // SAFETY: by contract.
    unsafe { flush::deep_flush(addr.cast(), len) }
}

/// Waits until a flushed range is in the memory's own persistence domain; 0, or -1 with errno.
#[unsafe(no_mangle)]
pub extern "C" fn pmem_deep_drain(addr: *const c_void, len: usize) -> c_int {
    status(flush::deep_drain(addr.addr(), len))
}

/// Deep flush, then deep drain; 0, or -1 with errno.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_deep_persist(addr: *const c_void, len: usize) -> c_int {
    // SAFETY: by contract.
    unsafe { flush::deep_flush(addr.cast(), len) };
    pmem_deep_drain(addr, len)
}

/// 1 if the machine has a hardware drain instruction: always 0.
#[unsafe(no_mangle)]
pub extern "C" fn pmem_has_hw_drain() -> c_int {
    0
}

/// 1 if CPU caches are flushed on power failure, 0 if not, -1 with errno.
#[unsafe(no_mangle)]
pub extern "C" fn pmem_has_auto_flush() -> c_int {
    match flush::has_auto_flush() {
        Ok(answer) => answer.into(),
        Err(e) => status(Err(e)),
    }
}

/// Whether a copy or fill ends with a drain.
#[inline(always)]
fn drains(flags: MemFlags) -> bool {
    !flags.intersects(MemFlags::NODRAIN | MemFlags::NOFLUSH)
}

/// # Safety
/// The C contract.
#[inline(always)]
unsafe fn copy(dst: *mut c_void, src: *const c_void, len: usize, flags: MemFlags) -> *mut c_void {
    // SAFETY: by contract.
    unsafe { CPU.copy(dst.cast(), src.cast(), len, flags) };
    if drains(flags) {
        // The caller may rely on the bytes as soon as this returns.
        CPU.drain();
    }
    dst
}

/// # Safety
/// The C contract.
#[inline(always)]
unsafe fn fill(dst: *mut c_void, c: c_int, len: usize, flags: MemFlags) -> *mut c_void {
    // SAFETY: by contract.
    unsafe { CPU.fill(dst.cast(), c as u8, len, flags) };
    if drains(flags) {
        // The caller may rely on the bytes as soon as this returns.
        CPU.drain();
    }
    dst
}

/// memmove(3) to persistent memory, as PMEM_F_MEM_* flags say.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memmove(
    pmemdest: *mut c_void,
    src: *const c_void,
    len: usize,
    flags: c_uint,
) -> *mut c_void {
    // SAFETY: by contract.
    unsafe { copy(pmemdest, src, len, MemFlags::from_bits_truncate(flags)) }
}

/// memcpy(3) to persistent memory, as PMEM_F_MEM_* flags say.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memcpy(
    pmemdest: *mut c_void,
    src: *const c_void,
    len: usize,
    flags: c_uint,
) -> *mut c_void {
    // SAFETY: by contract.
    unsafe { copy(pmemdest, src, len, MemFlags::from_bits_truncate(flags)) }
}

/// memset(3) of persistent memory, as PMEM_F_MEM_* flags say.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memset(
    pmemdest: *mut c_void,
    c: c_int,
    len: usize,
    flags: c_uint,
) -> *mut c_void {
    // SAFETY: by contract.
    unsafe { fill(pmemdest, c, len, MemFlags::from_bits_truncate(flags)) }
}

/// memmove(3), durable on return.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memmove_persist(
    pmemdest: *mut c_void,
    src: *const c_void,
    len: usize,
) -> *mut c_void {
    // SAFETY: by contract.
    unsafe { copy(pmemdest, src, len, MemFlags::empty()) }
}

/// memcpy(3), durable on return.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memcpy_persist(
    pmemdest: *mut c_void,
    src: *const c_void,
    len: usize,
) -> *mut c_void {
    // SAFETY: by contract.
    unsafe { copy(pmemdest, src, len, MemFlags::empty()) }
}

/// memset(3), durable on return.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memset_persist(pmemdest: *mut c_void, c: c_int, len: usize) -> *mut c_void {
    // SAFETY: by contract.
    unsafe { fill(pmemdest, c, len, MemFlags::empty()) }
}

/// memmove(3), durable after pmem_drain.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memmove_nodrain(
    pmemdest: *mut c_void,
    src: *const c_void,
    len: usize,
) -> *mut c_void {
    // SAFETY: by contract.
    unsafe { copy(pmemdest, src, len, MemFlags::NODRAIN) }
}

/// memcpy(3), durable after pmem_drain.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memcpy_nodrain(
    pmemdest: *mut c_void,
    src: *const c_void,
    len: usize,
) -> *mut c_void {
    // SAFETY: by contract.
    unsafe { copy(pmemdest, src, len, MemFlags::NODRAIN) }
}

/// memset(3), durable after pmem_drain.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memset_nodrain(pmemdest: *mut c_void, c: c_int, len: usize) -> *mut c_void {
    // SAFETY: by contract.
    unsafe { fill(pmemdest, c, len, MemFlags::NODRAIN) }
}

/// NULL if the library has this version of the API, else why not.
#[unsafe(no_mangle)]
pub extern "C" fn pmem_check_version(major_required: c_uint, minor_required: c_uint) -> *const c_char {
    if major_required != MAJOR {
        errmsg::set(format_args!("libpmem major version mismatch (need {major_required}, found {MAJOR})"));
    } else if minor_required > MINOR {
        errmsg::set(format_args!("libpmem minor version mismatch (need {minor_required}, found {MINOR})"));
    } else {
        return std::ptr::null();
    }
    errmsg::get()
}

/// The calling thread's last error message; "" before the first.
#[unsafe(no_mangle)]
pub extern "C" fn pmem_errormsg() -> *const c_char {
    errmsg::get()
}

#[unsafe(no_mangle)]
pub extern "C" fn pmem_log_set_threshold(threshold: c_uint, level: c_uint) -> c_int {
    logger::set_threshold(threshold, level)
}

/// # Safety
/// The C contract: `level` is writable or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_log_get_threshold(threshold: c_uint, level: *mut c_uint) -> c_int {
    // SAFETY: by contract.
    unsafe { logger::get_threshold(threshold, level) }
}

#[unsafe(no_mangle)]
pub extern "C" fn pmem_log_set_function(function: Option<Function>) -> c_int {
    logger::set_function(function, c"libpmem of pmem-rs")
}

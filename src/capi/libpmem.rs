//! `libpmem.h`: every export of libpmem.so.1. Pointer contract: "the C
//! contract" of these functions is that of their man pages; ranges are mapped
//! and, where they are stored to, writable.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr::null_mut;

use super::logger::{self, Function};
use super::{errmsg, fail};
use crate::flush::{self, Domain, Error, MemFlags};

const MAJOR: c_uint = 1;
const MINOR: c_uint = 1;

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

/// # Safety
/// The C contract: nobody uses the range any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_unmap(addr: *mut c_void, len: usize) -> c_int {
    // SAFETY: by contract.
    status(unsafe { flush::unmap(addr.cast(), len) })
}

#[unsafe(no_mangle)]
pub extern "C" fn pmem_is_pmem(addr: *const c_void, len: usize) -> c_int {
    flush::is_pmem(addr.addr(), len).into()
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_flush(addr: *const c_void, len: usize) {
    // SAFETY: by contract.
    unsafe { CPU.flush(addr.cast(), len) }
}

#[unsafe(no_mangle)]
pub extern "C" fn pmem_drain() {
    CPU.drain();
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_persist(addr: *const c_void, len: usize) {
    // SAFETY: by contract.
    unsafe { CPU.persist(addr.cast(), len) }
}

#[unsafe(no_mangle)]
pub extern "C" fn pmem_msync(addr: *const c_void, len: usize) -> c_int {
    status(flush::msync(addr.addr(), len))
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_deep_flush(addr: *const c_void, len: usize) {
    // SAFETY: by contract.
    unsafe { flush::deep_flush(addr.cast(), len) }
}

#[unsafe(no_mangle)]
pub extern "C" fn pmem_deep_drain(addr: *const c_void, len: usize) -> c_int {
    status(flush::deep_drain(addr.addr(), len))
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_deep_persist(addr: *const c_void, len: usize) -> c_int {
    // SAFETY: by contract.
    unsafe { flush::deep_flush(addr.cast(), len) };
    pmem_deep_drain(addr, len)
}

#[unsafe(no_mangle)]
pub extern "C" fn pmem_has_hw_drain() -> c_int {
    0
}

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

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memmove(
    dst: *mut c_void,
    src: *const c_void,
    len: usize,
    flags: c_uint,
) -> *mut c_void {
    // SAFETY: by contract.
    unsafe { copy(dst, src, len, MemFlags::from_bits_truncate(flags)) }
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memcpy(
    dst: *mut c_void,
    src: *const c_void,
    len: usize,
    flags: c_uint,
) -> *mut c_void {
    // SAFETY: by contract.
    unsafe { copy(dst, src, len, MemFlags::from_bits_truncate(flags)) }
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memset(dst: *mut c_void, c: c_int, len: usize, flags: c_uint) -> *mut c_void {
    // SAFETY: by contract.
    unsafe { fill(dst, c, len, MemFlags::from_bits_truncate(flags)) }
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memmove_persist(
    dst: *mut c_void,
    src: *const c_void,
    len: usize,
) -> *mut c_void {
    // SAFETY: by contract.
    unsafe { copy(dst, src, len, MemFlags::empty()) }
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memcpy_persist(
    dst: *mut c_void,
    src: *const c_void,
    len: usize,
) -> *mut c_void {
    // SAFETY: by contract.
    unsafe { copy(dst, src, len, MemFlags::empty()) }
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memset_persist(dst: *mut c_void, c: c_int, len: usize) -> *mut c_void {
    // SAFETY: by contract.
    unsafe { fill(dst, c, len, MemFlags::empty()) }
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memmove_nodrain(
    dst: *mut c_void,
    src: *const c_void,
    len: usize,
) -> *mut c_void {
    // SAFETY: by contract.
    unsafe { copy(dst, src, len, MemFlags::NODRAIN) }
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memcpy_nodrain(
    dst: *mut c_void,
    src: *const c_void,
    len: usize,
) -> *mut c_void {
    // SAFETY: by contract.
    unsafe { copy(dst, src, len, MemFlags::NODRAIN) }
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmem_memset_nodrain(dst: *mut c_void, c: c_int, len: usize) -> *mut c_void {
    // SAFETY: by contract.
    unsafe { fill(dst, c, len, MemFlags::NODRAIN) }
}

#[unsafe(no_mangle)]
pub extern "C" fn pmem_check_version(major: c_uint, minor: c_uint) -> *const c_char {
    if major != MAJOR {
        errmsg::set(format_args!("libpmem major version mismatch (need {major}, found {MAJOR})"));
    } else if minor > MINOR {
        errmsg::set(format_args!("libpmem minor version mismatch (need {minor}, found {MINOR})"));
    } else {
        return std::ptr::null();
    }
    errmsg::get()
}

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

//! Mapping files: where, and whether the mapping is persistent memory
//! (libpmem contract section 6).

use std::io;
use std::ptr::null_mut;

const TWO_MIB: usize = 2 << 20;
const ONE_GIB: usize = 1 << 30;

/// A mapped file; unmapped when dropped.
#[derive(Debug)]
pub struct Mapping {
    addr: *mut u8,
    len: usize,
    sync: bool,
}

// SAFETY: the mapping is plain memory; who shares it synchronises.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes of the file from its start; copy-on-write if
    /// `private`. MAP_SYNC is tried first where the file is shared.
    pub fn file(fd: i32, len: usize, private: bool) -> io::Result<Mapping> {
        let hint = place(len)?;
        if !private {
            let flags = libc::MAP_SHARED_VALIDATE | libc::MAP_SYNC;
            match Mapping::at(hint, len, flags, fd, true) {
                Err(e) if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP)) => {}
                r => return r,
            }
        }
        let flags = if private { libc::MAP_PRIVATE | libc::MAP_NORESERVE } else { libc::MAP_SHARED };
        Mapping::at(hint, len, flags, fd, false)
    }

    fn at(hint: *mut libc::c_void, len: usize, flags: i32, fd: i32, sync: bool) -> io::Result<Mapping> {
        // SAFETY: the hint is no MAP_FIXED; nothing mapped is replaced.
        let addr = unsafe { libc::mmap(hint, len, libc::PROT_READ | libc::PROT_WRITE, flags, fd, 0) };
        if addr == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapping { addr: addr.cast(), len, sync })
    }

    pub fn addr(&self) -> *mut u8 {
        self.addr
    }

    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether MAP_SYNC was granted: CPU flushes make stores durable.
    pub fn is_sync(&self) -> bool {
        self.sync
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `at`, used by nobody any more.
        unsafe { libc::munmap(self.addr.cast(), self.len) };
    }
}

/// A free, aligned place for a mapping: part of a reservation that is given
/// back at once.
fn place(len: usize) -> io::Result<*mut libc::c_void> {
    let align = if len >= 2 * ONE_GIB { ONE_GIB } else { TWO_MIB };
    let room = len.checked_add(align).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new anonymous mapping.
    let p = unsafe { libc::mmap(null_mut(), room, libc::PROT_READ, flags, -1, 0) };
    if p == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just mapped, never used.
    unsafe { libc::munmap(p, room) };
    Ok(((p as usize).next_multiple_of(align)) as *mut libc::c_void)
}

unsafe extern "C" {
    fn secure_getenv(name: *const libc::c_char) -> *const libc::c_char;
}

/// The value of an environment variable, NULL in set-uid processes.
pub fn env(name: &std::ffi::CStr) -> Option<&'static std::ffi::CStr> {
    // SAFETY: the name is a C string.
    let p = unsafe { secure_getenv(name.as_ptr()) };
    // SAFETY: a non-null result is a C string of the environment, which lives
    // as long as the process unless the program changes that very variable.
    (!p.is_null()).then(|| unsafe { std::ffi::CStr::from_ptr(p) })
}

/// What `PMEM_IS_PMEM_FORCE` says, read once: all memory is persistent, none
/// is, or nothing.
pub fn forced() -> Option<bool> {
    use std::sync::atomic::{AtomicU8, Ordering};
    static LATCH: AtomicU8 = AtomicU8::new(0);
    let v = match LATCH.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: atoi reads a C string.
            let v = env(c"PMEM_IS_PMEM_FORCE").map(|v| unsafe { libc::atoi(v.as_ptr()) });
            let v = match v {
                Some(0) => 1,
                Some(1) => 2,
                _ => 3,
            };
            LATCH.store(v, Ordering::Relaxed);
            v
        }
        v => v,
    };
    match v {
        1 => Some(false),
        2 => Some(true),
        _ => None,
    }
}

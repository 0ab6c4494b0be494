//! Mapping files (libpmem contract section 6).

use super::Error;
use super::errno::errno;
use super::place::place;

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
    pub fn file(fd: i32, len: usize, private: bool) -> Result<Mapping, Error<'static>> {
        Mapping::aligned(fd, len, private, 1)
    }

    /// As [`Mapping::file`], at a multiple of `align`, a power of two, if that
    /// is more than files want.
    pub fn aligned(fd: i32, len: usize, private: bool, align: usize) -> Result<Mapping, Error<'static>> {
        let hint = place(len, align)?;
        if private {
            return Mapping::at(hint, len, libc::MAP_PRIVATE | libc::MAP_NORESERVE, fd);
        }
        match Mapping::at(hint, len, libc::MAP_SHARED_VALIDATE | libc::MAP_SYNC, fd) {
            Err(Error::Mmap { errno: libc::EINVAL | libc::EOPNOTSUPP, .. }) => {
                Mapping::at(hint, len, libc::MAP_SHARED, fd)
            }
            mapping => mapping,
        }
    }

    fn at(hint: usize, len: usize, flags: i32, fd: i32) -> Result<Mapping, Error<'static>> {
        // SAFETY: the hint is no MAP_FIXED; nothing mapped is replaced.
        let addr =
            unsafe { libc::mmap(hint as *mut _, len, libc::PROT_READ | libc::PROT_WRITE, flags, fd, 0) };
        if addr == libc::MAP_FAILED {
            return Err(Error::Mmap { len, errno: errno() });
        }
        Ok(Mapping { addr: addr.cast(), len, sync: flags & libc::MAP_SYNC != 0 })
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

    /// Keeps the file mapped until somebody calls munmap.
    pub fn leak(self) -> *mut u8 {
        std::mem::ManuallyDrop::new(self).addr
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `at`, used by nobody any more.
        unsafe { libc::munmap(self.addr.cast(), self.len) };
    }
}

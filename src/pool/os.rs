//! Files: opening, locking, sizing. libc's `posix_fallocate` is called by that
//! name, as programs interpose it.

use std::ffi::CStr;
use std::ops::Range;

use super::{Error, Unreadable};
use crate::flush::errno;

/// An open file; closed when dropped. The lock outlives it in the mapping.
#[derive(Debug)]
pub struct File {
    fd: i32,
}

impl File {
    pub fn open(path: &CStr, flags: i32) -> Result<File, Error> {
        // SAFETY: a C string; mode 0 keeps others from a file half made.
        let fd = unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, 0) };
        if fd < 0 { Err(Error::os("open")) } else { Ok(File { fd }) }
    }

    pub fn fd(&self) -> i32 {
        self.fd
    }

    /// Takes the lock that says "open", for as long as a mapping of this file
    /// description lives.
    pub fn lock(&self) -> Result<(), Error> {
        // SAFETY: an open descriptor.
        if unsafe { libc::flock(self.fd, libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            return Err(Error::os("flock"));
        }
        Ok(())
    }

    fn stat(&self) -> Result<libc::stat, Error> {
        // SAFETY: all zero is a valid stat.
        let mut st: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: an open descriptor and a valid buffer.
        if unsafe { libc::fstat(self.fd, &mut st) } != 0 {
            return Err(Error::os("fstat"));
        }
        Ok(st)
    }

    /// Bytes of a regular file.
    pub fn size(&self) -> Result<u64, Error> {
        let st = self.stat()?;
        if st.st_mode & libc::S_IFMT != libc::S_IFREG {
            return Err(Error::NoFile);
        }
        u64::try_from(st.st_size).map_err(|_| Error::NoFile)
    }

    /// Seconds since the epoch of the last status change.
    pub fn ctime(&self) -> Result<u64, Error> {
        Ok(self.stat()?.st_ctime as u64)
    }

    /// Allocates all blocks of the first `size` bytes.
    pub fn allocate(&self, size: u64) -> Result<(), Error> {
        loop {
            // SAFETY: an open descriptor.
            match unsafe { libc::posix_fallocate(self.fd, 0, size as libc::off_t) } {
                0 => return Ok(()),
                libc::EINTR => {}
                errno => return Err(Error::Allocate { size, errno }),
            }
        }
    }

    pub fn read_start(&self, buf: &mut [u8]) -> Result<(), Error> {
        // SAFETY: the buffer is as long as said.
        let n = unsafe { libc::pread(self.fd, buf.as_mut_ptr().cast(), buf.len(), 0) };
        if n < 0 {
            return Err(Unreadable { offset: 0, errno: errno() }.into());
        }
        buf[n as usize..].fill(0);
        Ok(())
    }

    /// Reads a range for nothing: what cannot be read, as media says or because
    /// the file ends, is an error here. A load from the mapping would end the
    /// process by SIGBUS.
    #[inline(never)]
    pub fn probe(&self, range: Range<u64>) -> Result<(), Unreadable> {
        const PIECE: usize = 1024;
        let mut sink = [0u8; PIECE];
        let mut at = range.start;
        while at < range.end {
            let piece = libc::iovec { iov_base: sink.as_mut_ptr().cast(), iov_len: PIECE };
            // All pieces go to the same place.
            let mut pieces = [piece; 128];
            let len = (range.end - at).min((PIECE * pieces.len()) as u64) as usize;
            let n = len.div_ceil(PIECE);
            pieces[n - 1].iov_len = len - (n - 1) * PIECE;
            // SAFETY: each piece is as long as said.
            let r = unsafe { libc::preadv(self.fd, pieces.as_ptr(), n as i32, at as libc::off_t) };
            match (r, errno()) {
                (1.., _) => at += r as u64,
                (0, _) => return Err(Unreadable { offset: at, errno: libc::EIO }),
                (_, libc::EINTR) => {}
                (_, errno) => return Err(Unreadable { offset: at, errno }),
            }
        }
        Ok(())
    }

    pub fn write_start(&self, buf: &[u8]) {
        // SAFETY: the buffer is as long as said.
        unsafe { libc::pwrite(self.fd, buf.as_ptr().cast(), buf.len(), 0) };
    }

    pub fn set_mode(&self, mode: u32) -> Result<(), Error> {
        // SAFETY: an open descriptor.
        if unsafe { libc::fchmod(self.fd, mode) } != 0 { Err(Error::os("chmod")) } else { Ok(()) }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: owned and open.
        unsafe { libc::close(self.fd) };
    }
}

/// Refuses what can hold no pool before it is opened: opening a FIFO would wait.
pub fn check_type(path: &CStr) -> Result<(), Error> {
    use crate::flush::{Error as Flush, FileType};
    match FileType::of(path) {
        Ok(FileType::Normal) => Ok(()),
        Ok(FileType::Device(_)) => Err(Error::Device),
        Err(Flush::Access { errno, .. }) => Err(Error::Os { call: "os_access", errno }),
        Err(Flush::FileType(kind)) => Err(Error::FileType(kind)),
        Err(Flush::NotDax) => Err(Error::NotDax),
        Err(e) => Err(Error::Os { call: "stat", errno: e.errno() }),
    }
}

/// Whether a file of that name exists; errors but ENOENT are errors.
pub fn exists(path: &CStr) -> Result<bool, Error> {
    // SAFETY: a C string.
    if unsafe { libc::access(path.as_ptr(), libc::F_OK) } == 0 {
        return Ok(true);
    }
    match Error::os("os_access") {
        Error::Os { errno: libc::ENOENT, .. } => Ok(false),
        e => Err(e),
    }
}

pub fn unlink(path: &CStr) {
    // SAFETY: a C string.
    unsafe { libc::unlink(path.as_ptr()) };
}

//! Small reads from sysfs, without allocating.

use std::ffi::CStr;
use std::fmt::{self, Write};

use super::errno::errno;

/// A path put together in place.
pub struct Path {
    bytes: [u8; 512],
    len: usize,
}

impl Path {
    /// `None` if the path is too long to be one of sysfs.
    pub fn new(text: fmt::Arguments) -> Option<Path> {
        let mut p = Path::default();
        p.write_fmt(text).ok().map(|()| p)
    }

    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }
}

impl Default for Path {
    fn default() -> Path {
        Path { bytes: [0; 512], len: 0 }
    }
}

impl Write for Path {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        // The last byte stays NUL.
        let room = self.bytes.len() - 1 - self.len;
        if s.len() > room {
            return Err(fmt::Error);
        }
        self.bytes[self.len..][..s.len()].copy_from_slice(s.as_bytes());
        self.len += s.len();
        Ok(())
    }
}

/// An open file, closed when dropped.
pub struct Fd(pub i32);

impl Fd {
    /// The file, or errno.
    pub fn open(path: &CStr, flags: i32, mode: libc::mode_t) -> Result<Fd, i32> {
        // SAFETY: a C string.
        let fd = unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, mode) };
        if fd < 0 { Err(errno()) } else { Ok(Fd(fd)) }
    }

    /// What one read returns, or errno.
    pub fn read<'b>(&self, buf: &'b mut [u8]) -> Result<&'b [u8], i32> {
        // SAFETY: the buffer is as long as said.
        let n = unsafe { libc::read(self.0, buf.as_mut_ptr().cast(), buf.len()) };
        if n < 0 { Err(errno()) } else { Ok(&buf[..n as usize]) }
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: open, and nobody else's.
        unsafe { libc::close(self.0) };
    }
}

/// The number in a sysfs file; `None` if there is none.
pub fn read_number(path: &CStr) -> Option<u64> {
    let mut buf = [0; 64];
    let text = Fd::open(path, libc::O_RDONLY, 0).ok()?.read(&mut buf).map(<[u8]>::trim_ascii).ok()?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The names in a directory.
pub struct Dir(*mut libc::DIR);

impl Dir {
    pub fn open(path: &CStr) -> Result<Dir, i32> {
        // SAFETY: a C string.
        let d = unsafe { libc::opendir(path.as_ptr()) };
        if d.is_null() { Err(errno()) } else { Ok(Dir(d)) }
    }

    /// The next entry: its name and `DT_*` type.
    pub fn next(&mut self) -> Option<(&CStr, u8)> {
        // SAFETY: an open directory, used by this thread alone.
        let entry = unsafe { libc::readdir(self.0) };
        if entry.is_null() {
            return None;
        }
        // SAFETY: readdir's names are C strings; they live until the next call, which needs `self`.
        // An entry ends with its name: there may not be a whole `dirent` to refer to.
        unsafe {
            Some((CStr::from_ptr((&raw const (*entry).d_name).cast()), (&raw const (*entry).d_type).read()))
        }
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // SAFETY: open, and nobody else's.
        unsafe { libc::closedir(self.0) };
    }
}

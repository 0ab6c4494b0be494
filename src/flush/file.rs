//! Creating, opening and mapping a file for libpmem's user (libpmem contract
//! sections 5 and 8).

use std::ffi::CStr;

use super::device::FileType;
use super::errno::{errno, preserve_errno};
use super::sysfs::Fd;
use super::track::{self, Kind};
use super::{Error, Mapping, forced};

const PAGE: usize = 4096;

bitflags::bitflags! {
    /// The bits of `PMEM_FILE_*`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct FileFlags: i32 {
        const CREATE = 1;
        const EXCL = 2;
        const SPARSE = 4;
        const TMPFILE = 8;
    }
}

/// Maps a file, or a Device DAX, after creating it if asked to: the address,
/// and the length to the byte.
pub fn map_file(
    path: &CStr,
    len: usize,
    flags: i32,
    mode: libc::mode_t,
) -> Result<(*mut u8, usize), Error<'_>> {
    let kind = FileType::of(path)?;
    let flags = FileFlags::from_bits(flags).ok_or(Error::Flags(flags))?;
    match kind {
        FileType::Device(device) => {
            let other = flags - (FileFlags::CREATE | FileFlags::SPARSE);
            if !other.is_empty() {
                return Err(Error::DeviceFlags(other.bits()));
            }
            let size = device.size()?;
            if len != 0 && len != size {
                return Err(Error::DeviceLength(size));
            }
            let fd = open(path, libc::O_RDWR, 0)?;
            let mapping = Mapping::aligned(fd.0, size, false, device.align())?;
            finish(mapping, Some(Kind::Device { region: device.region() }))
        }
        FileType::Normal => {
            check(len, flags)?;
            let fd = if flags.contains(FileFlags::TMPFILE) {
                temporary(path)?
            } else {
                let create = if flags.contains(FileFlags::CREATE) { libc::O_CREAT } else { 0 };
                let excl = if flags.contains(FileFlags::EXCL) { libc::O_EXCL } else { 0 };
                open(path, libc::O_RDWR | create | excl, mode)?
            };
            map_open(&fd, path, len, flags).inspect_err(|_| {
                drop(fd);
                if flags.contains(FileFlags::CREATE | FileFlags::EXCL) {
                    // This call created it. With TMPFILE, the path is a directory.
                    // SAFETY: a C string.
                    unsafe { libc::unlink(path.as_ptr()) };
                }
            })
        }
    }
}

/// What length and flags ask of each other.
fn check(len: usize, flags: FileFlags) -> Result<(), Error<'static>> {
    match flags.contains(FileFlags::CREATE) {
        true if len > i64::MAX as usize => Err(Error::FileLength(len)),
        true if len == 0 => Err(Error::NoLength),
        false if len != 0 => Err(Error::LengthWithoutCreate),
        false if flags.contains(FileFlags::TMPFILE) => Err(Error::TmpfileWithoutCreate),
        _ => Ok(()),
    }
}

fn open(path: &CStr, flags: i32, mode: libc::mode_t) -> Result<Fd, Error<'_>> {
    Fd::open(path, flags, mode).map_err(|errno| Error::Path { call: "open", path, errno })
}

/// Gives the file its length and maps it.
fn map_open<'p>(
    fd: &Fd,
    path: &'p CStr,
    len: usize,
    flags: FileFlags,
) -> Result<(*mut u8, usize), Error<'p>> {
    let len = if flags.contains(FileFlags::CREATE) {
        // SAFETY: an open file; `check` bounded the length.
        if unsafe { libc::ftruncate(fd.0, len as i64) } != 0 {
            return Err(Error::os("ftruncate"));
        }
        if !flags.contains(FileFlags::SPARSE) {
            allocate(fd, len as i64)?;
        }
        len
    } else {
        // SAFETY: all zero bytes are a valid stat.
        let mut st: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: an open file, a stat to fill.
        if unsafe { libc::fstat(fd.0, &mut st) } != 0 {
            return Err(Error::Path { call: "fstat", path, errno: errno() });
        }
        usize::try_from(st.st_size).map_err(|_| Error::NegativeSize(path))?
    };
    let mapping = Mapping::file(fd.0, len, false)?;
    let kind = mapping.is_sync().then_some(Kind::File);
    finish(mapping, kind)
}

/// Enters the mapping in the table if it is persistent memory, and hands it
/// to the user.
fn finish(mapping: Mapping, kind: Option<Kind>) -> Result<(*mut u8, usize), Error<'static>> {
    let len = mapping.len();
    if let Some(kind) = kind {
        let start = mapping.addr().addr();
        track::insert(start..start + len, kind)?;
    }
    Ok((mapping.leak(), len))
}

/// A file without a name in the directory `path`.
fn temporary(path: &CStr) -> Result<Fd, Error<'static>> {
    match Fd::open(path, libc::O_TMPFILE | libc::O_RDWR, 0o600) {
        // The file system does not know such files, or the kernel does not.
        Err(libc::EOPNOTSUPP | libc::EISDIR) => named_and_unlinked(path),
        r => r,
    }
    .map_err(|errno| Error::Os { call: "mkstemp", errno })
}

/// A file that loses its name at once; no signal handler sees it meanwhile.
fn named_and_unlinked(dir: &CStr) -> Result<Fd, i32> {
    const NAME: &[u8] = b"/pmem.XXXXXX\0";
    let mut path = [0u8; libc::PATH_MAX as usize + NAME.len()];
    let dir = dir.to_bytes();
    let room = path.get_mut(..dir.len() + NAME.len()).ok_or(libc::ENAMETOOLONG)?;
    room[..dir.len()].copy_from_slice(dir);
    room[dir.len()..].copy_from_slice(NAME);
    // SAFETY: signal sets to fill and to restore; mkostemp gets a writable C string of the form it wants.
    unsafe {
        let (mut all, mut old) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &all, &mut old);
        let fd = libc::mkostemp(path.as_mut_ptr().cast(), libc::O_CLOEXEC);
        let e = errno();
        if fd >= 0 {
            libc::unlink(path.as_ptr().cast());
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &old, std::ptr::null_mut());
        if fd < 0 { Err(e) } else { Ok(Fd(fd)) }
    }
}

/// Gives the file all its blocks.
fn allocate(fd: &Fd, len: i64) -> Result<(), Error<'static>> {
    let failed = |errno| Error::Os { call: "posix_fallocate", errno };
    // SAFETY: an open file.
    let fallocate = |at, n| match unsafe { libc::posix_fallocate(fd.0, at, n) } {
        0 => Ok(()),
        e => Err(e),
    };
    match fallocate(0, len) {
        Err(libc::ENOMEM | libc::EINTR) => in_pieces(len, fallocate).map_err(failed),
        r => r.map_err(failed),
    }
}

/// Allocates piece by piece what was too much, or took too long, at once.
fn in_pieces(len: i64, mut fallocate: impl FnMut(i64, i64) -> Result<(), i32>) -> Result<(), i32> {
    const TRIES: u32 = 5;
    const LEAST: i64 = 1 << 20;
    let (mut at, mut piece, mut failures) = (0, 1 << 30, 0);
    while at < len {
        let n = piece.min(len - at);
        match fallocate(at, n) {
            Ok(()) => {
                at += n;
                failures = 0;
            }
            Err(e @ (libc::ENOMEM | libc::EINTR)) => {
                failures += 1;
                if failures == TRIES {
                    failures = 0;
                    piece /= 2;
                    if piece < LEAST {
                        return Err(e);
                    }
                }
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Whether `addr[..len]` is persistent memory: mapped by [`map_file`], or
/// everything or nothing if the user says so.
pub fn is_pmem(addr: usize, len: usize) -> bool {
    preserve_errno(|| match forced() {
        Some(answer) => answer && len != 0,
        None => addr.checked_add(len).is_some_and(|end| track::covers(addr..end)),
    })
}

/// Unmaps a range; the table forgets its whole pages first.
///
/// # Safety
/// Nobody uses the range any more.
pub unsafe fn unmap(addr: *mut u8, len: usize) -> Result<(), Error<'static>> {
    if addr.addr().is_multiple_of(PAGE)
        && len != 0
        && let Some(pages) = len.checked_next_multiple_of(PAGE)
    {
        track::remove(addr.addr()..addr.addr().saturating_add(pages))?;
    }
    // SAFETY: by contract.
    match unsafe { libc::munmap(addr.cast(), len) } {
        0 => Ok(()),
        _ => Err(Error::os("munmap")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "allocates a file's space")]
    fn allocation_in_pieces() {
        let mut done = 0;
        let mut calls = 0;
        // Pieces of at most 256 MiB succeed, each at its second try.
        let r = in_pieces((3 << 30) + 5, |at, n| {
            calls += 1;
            assert_eq!(at, done);
            if n > 256 << 20 || calls % 2 == 0 {
                return Err(libc::EINTR);
            }
            done += n;
            Ok(())
        });
        assert_eq!((r, done), (Ok(()), (3 << 30) + 5));
        assert_eq!(in_pieces(1 << 32, |_, _| Err(libc::ENOMEM)), Err(libc::ENOMEM));
        assert_eq!(in_pieces(1 << 32, |_, _| Err(libc::ENOSPC)), Err(libc::ENOSPC));
    }
}

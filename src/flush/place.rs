//! Where to put a mapping: aligned, so that huge pages fit, and in a free
//! part of the address space, or from where `PMEM_MMAP_HINT` says.

use std::ptr::null_mut;

use super::errno::preserve_errno;
use super::sysfs::Fd;
use super::{Error, env};

const PAGE: usize = 4096;
const TWO_MIB: usize = 2 << 20;
const ONE_GIB: usize = 1 << 30;

/// The end of what mmap hands out without being asked for more.
const ADDRESS_END: usize = 1 << 47;

/// An address for a mapping of `len` bytes: a multiple of `align`, of 2 MiB,
/// and for 2 GiB and more of 1 GiB.
pub fn place(len: usize, align: usize) -> Result<usize, Error<'static>> {
    let wanted = if len >= 2 * ONE_GIB { ONE_GIB } else { TWO_MIB };
    let align = align.max(wanted);
    match hint() {
        Some(hint) => above(hint, len, align),
        None => anywhere(len, align),
    }
}

/// Part of a reservation that is given back at once.
fn anywhere(len: usize, align: usize) -> Result<usize, Error<'static>> {
    const CALL: &str = "mmap MAP_ANONYMOUS";
    let room = len.checked_add(align).ok_or(Error::Os { call: CALL, errno: libc::ENOMEM })?;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new anonymous mapping.
    let p = unsafe { libc::mmap(null_mut(), room, libc::PROT_READ, flags, -1, 0) };
    if p == libc::MAP_FAILED {
        return Err(Error::os(CALL));
    }
    // SAFETY: just mapped, never used.
    unsafe { libc::munmap(p, room) };
    Ok(p.addr().next_multiple_of(align))
}

/// The value of `PMEM_MMAP_HINT`, if it is a number and the address space can
/// be looked at.
fn hint() -> Option<usize> {
    let text = env(c"PMEM_MMAP_HINT")?;
    let mut end = null_mut();
    preserve_errno(|| {
        // SAFETY: a C string.
        let n = unsafe { libc::strtoull(text.as_ptr(), &mut end, 16) };
        // SAFETY: as above; F_OK and R_OK only look.
        let readable = unsafe { libc::access(MAPS.as_ptr(), libc::R_OK) } == 0;
        (end.cast_const() != text.as_ptr() && readable).then_some(n as usize)
    })
}

const MAPS: &std::ffi::CStr = c"/proc/self/maps";

/// The lowest free place at or above `hint`.
fn above(hint: usize, len: usize, align: usize) -> Result<usize, Error<'static>> {
    let maps =
        Fd::open(MAPS, libc::O_RDONLY, 0).map_err(|errno| Error::Path { call: "open", path: MAPS, errno })?;
    let mut gap = Gap { at: hint.max(PAGE).checked_next_multiple_of(align), len, align };
    let mut line = MapsLine::default();
    let mut buf = [0; 4096];
    loop {
        let text = maps.read(&mut buf).map_err(|errno| Error::Path { call: "read", path: MAPS, errno })?;
        if text.is_empty() {
            return gap
                .at
                .filter(|&a| gap.end().is_some_and(|e| e <= ADDRESS_END && a != 0))
                .ok_or(Error::NoPlace);
        }
        for &byte in text {
            if let Some((start, end)) = line.push(byte) {
                gap.pass(start, end);
            }
        }
    }
}

/// A candidate that moves up past the mappings in its way.
struct Gap {
    /// `None`: beyond the end of the address space.
    at: Option<usize>,
    len: usize,
    align: usize,
}

impl Gap {
    fn end(&self) -> Option<usize> {
        self.at?.checked_add(self.len)
    }

    /// Takes the next mapping, in ascending order.
    fn pass(&mut self, start: usize, end: usize) {
        let Some(at) = self.at else { return };
        if end > at && self.end().is_none_or(|e| e > start) {
            self.at = end.checked_next_multiple_of(self.align);
        }
    }
}

/// Reads `start-end ...` lines byte by byte.
#[derive(Default)]
struct MapsLine {
    start: usize,
    number: usize,
    /// Behind the two addresses.
    done: bool,
}

impl MapsLine {
    /// The addresses of a mapping, once they are complete.
    fn push(&mut self, byte: u8) -> Option<(usize, usize)> {
        match byte {
            b'\n' => *self = MapsLine::default(),
            _ if self.done => {}
            b'-' => self.start = std::mem::take(&mut self.number),
            b' ' => {
                self.done = true;
                return Some((self.start, self.number));
            }
            _ => {
                let digit = char::from(byte).to_digit(16).unwrap_or(0) as usize;
                self.number = self.number << 4 | digit;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowest_gap_that_fits() {
        let mut gap = Gap { at: Some(TWO_MIB), len: 3 * TWO_MIB, align: TWO_MIB };
        gap.pass(0x1000, 0x2000);
        assert_eq!(gap.at, Some(TWO_MIB));
        gap.pass(2 * TWO_MIB, 2 * TWO_MIB + 4096);
        assert_eq!(gap.at, Some(3 * TWO_MIB));
        // Touching is no overlap, on either side.
        gap.pass(6 * TWO_MIB, 7 * TWO_MIB);
        assert_eq!(gap.at, Some(3 * TWO_MIB));
        gap.pass(usize::MAX - 4096, usize::MAX);
        assert_eq!(gap.at, Some(3 * TWO_MIB));
        gap.pass(4 * TWO_MIB, usize::MAX);
        assert_eq!(gap.at, None);
    }

    #[test]
    fn maps_are_read() {
        let mut line = MapsLine::default();
        let text =
            b"00400000-00452000 r-xp 00000000 08:02 173521  /usr/bin/a-b c\n7f0-ffffffffff600000 rw-p\n";
        let found: Vec<_> = text.iter().filter_map(|&b| line.push(b)).collect();
        assert_eq!(found, [(0x400000, 0x452000), (0x7f0, 0xffffffffff600000)]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "reads the process's maps")]
    fn this_process_has_room() {
        let low = above(0, TWO_MIB, TWO_MIB).unwrap();
        assert!(low.is_multiple_of(TWO_MIB) && low != 0);
        let here = &raw const low as usize;
        assert_eq!(above(here, ADDRESS_END, TWO_MIB), Err(Error::NoPlace));
        assert_eq!(above(usize::MAX, TWO_MIB, TWO_MIB), Err(Error::NoPlace));
        assert_eq!(anywhere(4 << 30, ONE_GIB).unwrap() % ONE_GIB, 0);
        assert_eq!(anywhere(usize::MAX, ONE_GIB).unwrap_err().errno(), libc::ENOMEM);
    }
}

//! How a range is cut into stores. The pieces come from a [`Kernel`], one per
//! vector width; the cutting is the same for all of them.
//!
//! Two promises hold for every kernel, direction and size:
//! * an aligned 8-byte word that lies wholly in the range is stored by one
//!   store, so it can never be seen, or survive, half-written;
//! * the destination is never read, and nothing outside it is written.

use super::arch::writeback::LINE;
use super::engine::Engine;

/// The pieces of a copy. Each reads all of its source before it writes.
pub trait Kernel {
    /// # Safety
    /// `dst` is 8-byte aligned and writable, `src` readable for 16 bytes, and
    /// the CPU has the kernel's instructions.
    unsafe fn store16(dst: *mut u8, src: *const u8);

    /// # Safety
    /// As [`Kernel::store16`], for 64 bytes.
    unsafe fn store64(dst: *mut u8, src: *const u8);

    /// Writes a whole line past the cache.
    ///
    /// # Safety
    /// As [`Kernel::store64`], with `dst` line-aligned.
    unsafe fn stream64(dst: *mut u8, src: *const u8);

    /// Lines of a group: as many as there are registers for, so that loads do
    /// not wait for the streamed stores before them (those whose addresses
    /// agree in the lower 12 bits). Without registers, one.
    const GROUP: usize = 1;

    /// As [`Kernel::stream64`], for a group of lines.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn stream_group(dst: *mut u8, src: *const u8) {
        const { assert!(Self::GROUP == 1) };
        // SAFETY: by contract, a group being a line.
        unsafe { Self::stream64(dst, src) }
    }

    /// From so many lines on there are registers for two groups, and they help.
    const MANY: usize = usize::MAX;

    /// As [`Kernel::stream_group`], for two groups.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn stream_groups(_: *mut u8, _: *const u8) {
        const { assert!(Self::MANY == usize::MAX) };
    }

    /// Writes a whole line of one word past the cache.
    ///
    /// # Safety
    /// As [`Kernel::stream64`].
    #[inline(always)]
    unsafe fn stream_word(dst: *mut u8, word: u64) {
        let line = Line([word; LINE / 8]);
        // SAFETY: by contract.
        unsafe { Self::stream64(dst, line.0.as_ptr().cast()) }
    }

    /// Leaves the CPU as other code expects it.
    ///
    /// # Safety
    /// The CPU has the kernel's instructions.
    #[inline(always)]
    unsafe fn end() {}
}

/// Where the bytes come from.
pub trait Source: Copy {
    /// The address to read the bytes at `off` from.
    fn at(self, off: usize) -> *const u8;
}

/// What whole lines can be streamed from.
pub trait Lines: Source {
    /// Whether writing `len` bytes at `dst` leaves the source as it is.
    fn is_apart(self, dst: *mut u8, len: usize) -> bool;

    /// Streams the line at `off`.
    ///
    /// # Safety
    /// As [`Kernel::stream64`].
    unsafe fn stream64<K: Kernel>(self, dst: *mut u8, off: usize);

    /// Streams the group of lines at `off`.
    ///
    /// # Safety
    /// As [`Kernel::stream_group`].
    unsafe fn stream_group<K: Kernel>(self, dst: *mut u8, off: usize);

    /// As [`Lines::stream_group`], for two groups.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn stream_groups<K: Kernel>(self, dst: *mut u8, off: usize) {
        let second = K::GROUP * LINE;
        // SAFETY: by contract.
        unsafe {
            self.stream_group::<K>(dst, off);
            self.stream_group::<K>(dst.add(second), off + second);
        }
    }
}

/// Memory to copy.
#[derive(Clone, Copy)]
pub struct Bytes(pub *const u8);

impl Source for Bytes {
    #[inline(always)]
    fn at(self, off: usize) -> *const u8 {
        self.0.wrapping_add(off)
    }
}

impl Lines for Bytes {
    #[inline(always)]
    fn is_apart(self, dst: *mut u8, len: usize) -> bool {
        self.0.addr().abs_diff(dst.addr()) >= len
    }

    #[inline(always)]
    unsafe fn stream64<K: Kernel>(self, dst: *mut u8, off: usize) {
        // SAFETY: by contract.
        unsafe { K::stream64(dst, self.at(off)) }
    }

    #[inline(always)]
    unsafe fn stream_group<K: Kernel>(self, dst: *mut u8, off: usize) {
        // SAFETY: by contract.
        unsafe { K::stream_group(dst, self.at(off)) }
    }

    #[inline(always)]
    unsafe fn stream_groups<K: Kernel>(self, dst: *mut u8, off: usize) {
        // SAFETY: by contract.
        unsafe { K::stream_groups(dst, self.at(off)) }
    }
}

/// One line, again and again: a fill.
#[derive(Clone, Copy)]
pub struct Pattern<'a>(pub &'a Line);

/// A line of equal words.
#[repr(C, align(64))]
pub struct Line(pub [u64; LINE / 8]);

impl Line {
    pub fn of(byte: u8) -> Line {
        Line([u64::from_ne_bytes([byte; 8]); LINE / 8])
    }
}

impl Source for Pattern<'_> {
    #[inline(always)]
    fn at(self, _: usize) -> *const u8 {
        self.0.0.as_ptr().cast()
    }
}

impl Lines for Pattern<'_> {
    #[inline(always)]
    fn is_apart(self, _: *mut u8, _: usize) -> bool {
        true
    }

    /// From a register: a load would wait for the stores that made the line.
    #[inline(always)]
    unsafe fn stream64<K: Kernel>(self, dst: *mut u8, _: usize) {
        // SAFETY: by contract.
        unsafe { K::stream_word(dst, self.0.0[0]) }
    }

    #[inline(always)]
    unsafe fn stream_group<K: Kernel>(self, dst: *mut u8, off: usize) {
        for at in (0..K::GROUP * LINE).step_by(LINE) {
            // SAFETY: by contract, a line of the group.
            unsafe { self.stream64::<K>(dst.add(at), off + at) }
        }
    }
}

/// Which end an overlapping move starts from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Backward,
}

/// One store of 8 bytes.
///
/// # Safety
/// `dst` is 8-byte aligned and writable.
#[inline(always)]
pub unsafe fn store8(dst: *mut u8, word: u64) {
    // SAFETY: by contract. Volatile: neither split nor merged by the compiler.
    unsafe { dst.cast::<u64>().write_volatile(word) }
}

/// Copies `size_of::<T>()` bytes by one load and one store.
///
/// # Safety
/// `dst` is aligned for `T` and writable, `src` readable.
#[inline(always)]
unsafe fn piece<T>(dst: *mut u8, src: *const u8) {
    // SAFETY: by contract.
    unsafe { dst.cast::<T>().write_volatile(src.cast::<T>().read_unaligned()) }
}

/// Cached stores from the first byte to the last.
///
/// # Safety
/// `dst` is writable and `src` readable for `len` bytes, `dst` does not
/// overlap `src` from above, and the CPU has the kernel's instructions.
#[inline(always)]
pub unsafe fn forward<K: Kernel, S: Source>(dst: *mut u8, src: S, len: usize) {
    let mut at = 0;
    // SAFETY: `at` never passes `len`; each piece is aligned to its size or, from 8 bytes on, to 8.
    unsafe {
        if dst.addr() & 7 != 0 {
            if dst.addr() & 1 != 0 && len >= 1 {
                piece::<u8>(dst, src.at(0));
                at = 1;
            }
            if dst.addr().wrapping_add(at) & 2 != 0 && len - at >= 2 {
                piece::<u16>(dst.add(at), src.at(at));
                at += 2;
            }
            if dst.addr().wrapping_add(at) & 4 != 0 && len - at >= 4 {
                piece::<u32>(dst.add(at), src.at(at));
                at += 4;
            }
        }
        while len - at >= 64 {
            K::store64(dst.add(at), src.at(at));
            at += 64;
        }
        while len - at >= 16 {
            K::store16(dst.add(at), src.at(at));
            at += 16;
        }
        if len - at >= 8 {
            piece::<u64>(dst.add(at), src.at(at));
            at += 8;
        }
        if at == len {
            return;
        }
        if len - at >= 4 {
            piece::<u32>(dst.add(at), src.at(at));
            at += 4;
        }
        if len - at >= 2 {
            piece::<u16>(dst.add(at), src.at(at));
            at += 2;
        }
        if len - at >= 1 {
            piece::<u8>(dst.add(at), src.at(at));
        }
    }
}

/// Cached stores from the last byte to the first: [`forward`] mirrored.
///
/// # Safety
/// As [`forward`], but `dst` does not overlap `src` from below.
#[inline(always)]
pub unsafe fn backward<K: Kernel, S: Source>(dst: *mut u8, src: S, len: usize) {
    let end = dst.addr().wrapping_add(len);
    let mut at = len;
    // SAFETY: `at` never drops below 0; pieces are aligned as in `forward`.
    unsafe {
        if end & 1 != 0 && at >= 1 {
            at -= 1;
            piece::<u8>(dst.add(at), src.at(at));
        }
        if dst.addr().wrapping_add(at) & 2 != 0 && at >= 2 {
            at -= 2;
            piece::<u16>(dst.add(at), src.at(at));
        }
        if dst.addr().wrapping_add(at) & 4 != 0 && at >= 4 {
            at -= 4;
            piece::<u32>(dst.add(at), src.at(at));
        }
        while at >= 64 {
            at -= 64;
            K::store64(dst.add(at), src.at(at));
        }
        while at >= 16 {
            at -= 16;
            K::store16(dst.add(at), src.at(at));
        }
        if at >= 8 {
            at -= 8;
            piece::<u64>(dst.add(at), src.at(at));
        }
        if at >= 4 {
            at -= 4;
            piece::<u32>(dst.add(at), src.at(at));
        }
        if at >= 2 {
            at -= 2;
            piece::<u16>(dst.add(at), src.at(at));
        }
        if at >= 1 {
            piece::<u8>(dst, src.at(0));
        }
    }
}

/// # Safety
/// As [`forward`] or [`backward`].
#[inline(always)]
pub unsafe fn store<K: Kernel, S: Source>(dst: *mut u8, src: S, (off, len): (usize, usize), way: Direction) {
    let (dst, src) = (dst.wrapping_add(off), Offset(src, off));
    // SAFETY: by contract.
    unsafe {
        match way {
            Direction::Forward => forward::<K, _>(dst, src, len),
            Direction::Backward => backward::<K, _>(dst, src, len),
        }
    }
}

/// A source from an offset on.
#[derive(Clone, Copy)]
struct Offset<S>(S, usize);

impl<S: Source> Source for Offset<S> {
    #[inline(always)]
    fn at(self, off: usize) -> *const u8 {
        self.0.at(self.1 + off)
    }
}

/// Bytes stored before their lines are flushed: still in the first-level cache.
const BLOCK: usize = 2048;

/// Cached stores, flushed block by block if `flush`.
///
/// # Safety
/// As [`forward`] or [`backward`], whichever `way` says.
#[inline(always)]
pub unsafe fn cached<K: Kernel, S: Source>(
    engine: Engine,
    dst: *mut u8,
    src: S,
    len: usize,
    way: Direction,
    flush: bool,
) {
    // Blocks start at line boundaries, so that no line is flushed twice.
    let mut rest = 0..len;
    while !rest.is_empty() {
        let block = match way {
            Direction::Forward => {
                let cut = BLOCK - dst.addr().wrapping_add(rest.start) % LINE;
                let end = if rest.len() > cut { rest.start + cut } else { rest.end };
                std::mem::replace(&mut rest.start, end)..end
            }
            Direction::Backward => {
                let past = dst.addr().wrapping_add(rest.end) % LINE;
                let cut = if past == 0 { BLOCK } else { BLOCK - LINE + past };
                let start = if rest.len() > cut { rest.end - cut } else { rest.start };
                start..std::mem::replace(&mut rest.end, start)
            }
        };
        // SAFETY: by contract; the block is part of the range.
        unsafe {
            store::<K, S>(dst, src, (block.start, block.len()), way);
            if flush {
                engine.flush(dst.wrapping_add(block.start), block.len());
            }
        }
    }
    // SAFETY: by contract.
    unsafe { K::end() };
}

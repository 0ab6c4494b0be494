//! Which stores a copy or fill uses, by its size and flags (libpmem contract
//! section 10).

use super::MemFlags;
use super::arch::writeback::{LINE, fence};
use super::arch::{Avx, Avx512, Movdir64b, Sse2, Words};
use super::engine::{Engine, SHORT};
use super::kernel::{self, Bytes, Direction, Kernel, Line, Lines, Pattern, Source};
use super::stream;

/// Flags under which a short copy is not simply cached and flushed.
const UNUSUAL: MemFlags = MemFlags::NOFLUSH.union(MemFlags::NONTEMPORAL).union(MemFlags::WC);

/// Cached copies from this size on use the widest registers.
const WIDE: usize = 512;

/// memmove, flushed unless `NOFLUSH`, not drained.
///
/// # Safety
/// `dst` is writable and `src` readable for `len` bytes.
pub unsafe fn copy(dst: *mut u8, src: *const u8, len: usize, flags: MemFlags) {
    if dst.cast_const() == src {
        return;
    }
    let way = direction(dst, src, len);
    let e = Engine::peek();
    // SAFETY: by contract; `way` suits the overlap.
    unsafe {
        if len < SHORT && e.contains(Engine::SHORT) && !flags.intersects(UNUSUAL) {
            match way {
                Direction::Forward => kernel::forward::<Sse2, _>(dst, Bytes(src), len),
                Direction::Backward => kernel::backward::<Sse2, _>(dst, Bytes(src), len),
            }
            e.flush(dst, len);
        } else if !instead(dst, len, flags, || libc::memmove(dst.cast(), src.cast(), len)) {
            any(dst, Bytes(src), len, way, flags);
        }
    }
}

/// Streams whole lines, if that is as simple as the CPU and the user's wishes
/// mostly make it; else nothing is done and the answer is false.
///
/// # Safety
/// `dst` starts a line and is writable, `src` readable, for `len` bytes, a
/// multiple of a line.
#[inline]
pub unsafe fn stream_lines(dst: *mut u8, src: *const u8, len: usize) -> bool {
    if !streams_whole_lines() {
        return false;
    }
    // SAFETY: by contract; the CPU has the instructions.
    unsafe {
        for at in (0..len).step_by(LINE) {
            Avx512::stream64(dst.add(at), src.add(at));
        }
        Avx512::end();
    }
    true
}

/// Whether lines are streamed by AVX-512 and nothing else is to be considered.
#[inline(always)]
fn streams_whole_lines() -> bool {
    const DECIDES: Engine =
        Engine::AVX512F.union(Engine::MOVDIR64B).union(Engine::EADR).union(Engine::NO_MOVNT);
    Engine::peek().intersection(DECIDES) == Engine::AVX512F
}

/// As [`stream_lines`], for one line.
///
/// # Safety
/// As there.
#[inline(always)]
pub unsafe fn stream_line(dst: *mut u8, src: *const u8) -> bool {
    let streams = streams_whole_lines();
    if streams {
        // SAFETY: by contract; the CPU has the instructions.
        unsafe {
            Avx512::stream64(dst, src);
            Avx512::end();
        }
    }
    streams
}

/// As [`stream_lines`]; returns the sums that `Domain::stream_summing` tells.
///
/// # Safety
/// As there; the ranges do not overlap.
#[inline]
pub unsafe fn stream_summing(dst: *mut u8, src: *const u8, len: usize) -> Option<(u32, u32)> {
    // SAFETY: by contract; the CPU has the instructions.
    streams_whole_lines().then(|| unsafe { super::arch::stream_summing(dst, src, len) })
}

/// memset, flushed unless `NOFLUSH`, not drained.
///
/// # Safety
/// `dst` is writable for `len` bytes.
pub unsafe fn fill(dst: *mut u8, byte: u8, len: usize, flags: MemFlags) {
    let line = Line::of(byte);
    let e = Engine::peek();
    // SAFETY: by contract; a pattern overlaps nothing.
    unsafe {
        if len < SHORT && e.contains(Engine::SHORT) && !flags.intersects(UNUSUAL) {
            kernel::forward::<Sse2, _>(dst, Pattern(&line), len);
            e.flush(dst, len);
        } else if !instead(dst, len, flags, || libc::memset(dst.cast(), byte.into(), len)) {
            any(dst, Pattern(&line), len, Direction::Forward, flags);
        }
    }
}

/// Backward only where a store would overwrite source bytes still to be read.
#[inline(always)]
fn direction(dst: *mut u8, src: *const u8, len: usize) -> Direction {
    if dst.addr().wrapping_sub(src.addr()) >= len { Direction::Forward } else { Direction::Backward }
}

/// Lets libc do the stores, and flushes them, if the user wants that.
///
/// # Safety
/// The range is mapped.
#[inline(always)]
unsafe fn instead(
    dst: *mut u8,
    len: usize,
    flags: MemFlags,
    store: impl FnOnce() -> *mut libc::c_void,
) -> bool {
    let e = Engine::get();
    if !e.contains(Engine::NO_MOVNT | Engine::LIBC) {
        return false;
    }
    store();
    if !flags.contains(MemFlags::NOFLUSH) {
        // SAFETY: by contract.
        unsafe { e.flush(dst, len) };
    }
    true
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stores {
    Cached,
    Flushed,
    Streamed,
}

/// The first row of the contract's table that matches.
#[inline(always)]
fn stores(e: Engine, len: usize, flags: MemFlags) -> Stores {
    if flags.contains(MemFlags::NOFLUSH) {
        Stores::Cached
    } else if e.contains(Engine::NO_MOVNT) {
        Stores::Flushed
    } else if flags.contains(MemFlags::NONTEMPORAL) {
        Stores::Streamed
    } else if e.is_eadr() {
        Stores::Cached
    } else if flags.contains(MemFlags::WC) {
        Stores::Streamed
    } else if flags.intersects(MemFlags::WB | MemFlags::TEMPORAL) || len < e.threshold() {
        Stores::Flushed
    } else {
        Stores::Streamed
    }
}

/// A copy or fill of any size, by the kernel that suits it.
///
/// # Safety
/// As [`kernel::cached`].
#[inline(never)]
unsafe fn any<S: Lines>(dst: *mut u8, src: S, len: usize, way: Direction, flags: MemFlags) {
    let e = Engine::get();
    let stores = stores(e, len, flags);
    // SAFETY: by contract; the engine holds only what the CPU has.
    unsafe {
        if stores == Stores::Streamed {
            if e.contains(Engine::MOVDIR64B) {
                streamed::<Movdir64b, S>(e, dst, src, len, way)
            } else if e.contains(Engine::AVX512F) {
                streamed::<Avx512, S>(e, dst, src, len, way)
            } else if e.contains(Engine::AVX) {
                streamed::<Avx, S>(e, dst, src, len, way)
            } else {
                streamed::<Sse2, S>(e, dst, src, len, way)
            }
            if e.is_eadr() {
                // Streamed bytes are in no cache yet: durable, like all
                // others on such a platform, only behind a fence.
                fence();
            }
            return;
        }
        let flush = stores == Stores::Flushed;
        if e.contains(Engine::NO_MOVNT) {
            cached::<Words, S>(e, dst, src, len, way, flush)
        } else if len < WIDE || !e.intersects(Engine::AVX512F | Engine::AVX) {
            cached::<Sse2, S>(e, dst, src, len, way, flush)
        } else if e.contains(Engine::AVX512F) {
            cached::<Avx512, S>(e, dst, src, len, way, flush)
        } else {
            cached::<Avx, S>(e, dst, src, len, way, flush)
        }
    }
}

/// One body per kernel.
///
/// # Safety
/// As [`stream::streamed`].
#[inline(never)]
unsafe fn streamed<K: Kernel, S: Lines>(e: Engine, dst: *mut u8, src: S, len: usize, way: Direction) {
    // SAFETY: by contract.
    unsafe { stream::streamed::<K, S>(e, dst, src, len, way) }
}

/// One body per kernel.
///
/// # Safety
/// As [`kernel::cached`].
#[inline(never)]
unsafe fn cached<K: Kernel, S: Source>(
    e: Engine,
    dst: *mut u8,
    src: S,
    len: usize,
    way: Direction,
    flush: bool,
) {
    // SAFETY: by contract.
    unsafe { kernel::cached::<K, S>(e, dst, src, len, way, flush) }
}

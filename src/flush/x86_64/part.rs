//! Parts of a line past the cache, by what every x86-64 has.

use std::arch::asm;
use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

/// Whether so many bytes at one end of a line are streamed. Other numbers would
/// take stores of several sizes.
#[inline(always)]
pub const fn is_part(len: usize) -> bool {
    matches!(len, 4 | 8 | 16 | 32)
}

/// Writes a part of a line past the cache. Reads all of its source before it
/// writes; words are stored whole.
///
/// # Safety
/// `dst` is aligned to words, or to 4 bytes for that many, and writable, `src`
/// readable, for `len` bytes, a part.
#[inline(always)]
pub unsafe fn stream_part(dst: *mut u8, src: *const u8, len: usize) {
    debug_assert!(is_part(len) && dst.addr().is_multiple_of(len.min(8)));
    // SAFETY: by contract.
    unsafe {
        if cfg!(miri) {
            return std::ptr::copy(src, dst, len); // Miri knows no instructions
        }
        match len {
            4 => asm!("movnti [{d}], {x:e}", d = in(reg) dst, x = in(reg) src.cast::<u32>().read_unaligned(),
                options(nostack, preserves_flags)),
            8 => stream_words::<1>(dst, src),
            16 => stream_words::<2>(dst, src),
            _ => stream_words::<4>(dst, src),
        }
    }
}

/// # Safety
/// As [`stream_part`], for `N` words.
#[inline(always)]
unsafe fn stream_words<const N: usize>(dst: *mut u8, src: *const u8) {
    // SAFETY: by contract.
    unsafe {
        let words = src.cast::<[u64; N]>().read_unaligned();
        for (i, word) in words.into_iter().enumerate() {
            asm!("movnti [{d}], {x}", d = in(reg) dst.add(8 * i), x = in(reg) word,
                options(nostack, preserves_flags));
        }
    }
}

/// Has a line that is written soon fetched into the cache; any address will do.
#[inline(always)]
pub fn fetch(line: *const u8) {
    if !cfg!(miri) {
        // SAFETY: a hint, which touches nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) }
    }
}

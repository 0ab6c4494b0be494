//! A line at a time.

use std::arch::asm;

use super::Avx;
use crate::flush::kernel::Kernel;

/// Loads lines, each into its register, and then streams them: 16, and those named.
macro_rules! stream_lines {
    (@all $dst:expr, $src:expr, $($n:literal $register:tt),*) => {
        asm!(
            $(concat!("vmovups zmm", $n, ", [{s} + 64 * ", $n, "]"),)*
            $(concat!("vmovntps [{d} + 64 * ", $n, "], zmm", $n),)*
            d = in(reg) $dst, s = in(reg) $src, $(out($register) _,)* options(nostack, preserves_flags)
        )
    };
    ($dst:expr, $src:expr $(, $n:literal $register:tt)*) => {
        stream_lines!(@all $dst, $src,
            0 "xmm0", 1 "xmm1", 2 "xmm2", 3 "xmm3", 4 "xmm4", 5 "xmm5", 6 "xmm6", 7 "xmm7",
            8 "xmm8", 9 "xmm9", 10 "xmm10", 11 "xmm11", 12 "xmm12", 13 "xmm13", 14 "xmm14", 15 "xmm15"
            $(, $n $register)*)
    };
}

/// Only for CPUs with AVX-512F.
pub struct Avx512;

impl Kernel for Avx512 {
    #[inline(always)]
    unsafe fn store16(dst: *mut u8, src: *const u8) {
        // SAFETY: the same contract.
        unsafe { Avx::store16(dst, src) }
    }

    #[inline(always)]
    unsafe fn store64(dst: *mut u8, src: *const u8) {
        // SAFETY: the trait's contract.
        unsafe {
            asm!("vmovups zmm0, [{s}]", "vmovups [{d}], zmm0",
                d = in(reg) dst, s = in(reg) src, out("xmm0") _, options(nostack, preserves_flags));
        }
    }

    #[inline(always)]
    unsafe fn stream64(dst: *mut u8, src: *const u8) {
        // SAFETY: the trait's contract.
        unsafe {
            asm!("vmovups zmm0, [{s}]", "vmovntps [{d}], zmm0",
                d = in(reg) dst, s = in(reg) src, out("xmm0") _, options(nostack, preserves_flags));
        }
    }

    const GROUP: usize = 16;

    #[inline(always)]
    unsafe fn stream_group(dst: *mut u8, src: *const u8) {
        // SAFETY: the trait's contract.
        unsafe {
            stream_lines!(dst, src);
        }
    }

    /// An overlapping move, whose source is in no cache, gains 3 %; of fewer lines
    /// it loses more.
    const MANY: usize = 256;

    #[inline(always)]
    unsafe fn stream_groups(dst: *mut u8, src: *const u8) {
        // SAFETY: the trait's contract.
        unsafe {
            stream_lines!(dst, src,
                16 "xmm16", 17 "xmm17", 18 "xmm18", 19 "xmm19", 20 "xmm20", 21 "xmm21", 22 "xmm22", 23 "xmm23",
                24 "xmm24", 25 "xmm25", 26 "xmm26", 27 "xmm27", 28 "xmm28", 29 "xmm29", 30 "xmm30", 31 "xmm31");
        }
    }

    #[inline(always)]
    unsafe fn stream_word(dst: *mut u8, word: u64) {
        // SAFETY: the trait's contract.
        unsafe {
            asm!("vpbroadcastq zmm0, {w}",
                "vmovntps [{d}], zmm0",
                d = in(reg) dst, w = in(reg) word, out("xmm0") _, options(nostack, preserves_flags));
        }
    }

    #[inline(always)]
    unsafe fn end() {
        // SAFETY: AVX-512F implies AVX.
        unsafe { Avx::end() }
    }
}

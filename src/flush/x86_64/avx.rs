//! 32 bytes at a time.

use std::arch::asm;

use super::Sse2;
use crate::flush::kernel::Kernel;

/// Only for CPUs with AVX.
pub struct Avx;

impl Kernel for Avx {
    #[inline(always)]
    unsafe fn store16(dst: *mut u8, src: *const u8) {
        // SAFETY: the same contract.
        unsafe { Sse2::store16(dst, src) }
    }

    #[inline(always)]
    unsafe fn store64(dst: *mut u8, src: *const u8) {
        // SAFETY: the trait's contract.
        unsafe {
            asm!("vmovups ymm0, [{s}]", "vmovups ymm1, [{s} + 32]", "vmovups [{d}], ymm0", "vmovups [{d} + 32], ymm1",
                d = in(reg) dst, s = in(reg) src, out("xmm0") _, out("xmm1") _, options(nostack, preserves_flags));
        }
    }

    #[inline(always)]
    unsafe fn stream64(dst: *mut u8, src: *const u8) {
        // SAFETY: the trait's contract.
        unsafe {
            asm!("vmovups ymm0, [{s}]", "vmovups ymm1, [{s} + 32]", "vmovntps [{d}], ymm0", "vmovntps [{d} + 32], ymm1",
                d = in(reg) dst, s = in(reg) src, out("xmm0") _, out("xmm1") _, options(nostack, preserves_flags));
        }
    }

    /// Mixing dirty upper halves with SSE code is slow.
    #[inline(always)]
    unsafe fn end() {
        // SAFETY: the compiler is told that no vector register survives.
        unsafe { asm!("vzeroupper", clobber_abi("C"), options(nomem, nostack, preserves_flags)) };
    }
}

//! 32 bytes at a time.

use std::arch::asm;

use crate::flush::kernel::Kernel;

/// Only for CPUs with AVX.
pub struct Avx;

impl Kernel for Avx {
    /// Not as SSE encodes it: while the upper halves of registers hold something,
    /// such a load keeps the old one, and waits for what loads it.
    #[inline(always)]
    unsafe fn store16(dst: *mut u8, src: *const u8) {
        // SAFETY: the trait's contract.
        unsafe {
            asm!("vmovups {x}, [{s}]", "vmovups [{d}], {x}",
                d = in(reg) dst, s = in(reg) src, x = out(xmm_reg) _, options(nostack, preserves_flags));
        }
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

    const GROUP: usize = 4;

    #[inline(always)]
    unsafe fn stream_group(dst: *mut u8, src: *const u8) {
        // SAFETY: the trait's contract.
        unsafe {
            asm!(
                "vmovups ymm0, [{s}]", "vmovups ymm1, [{s} + 32]", "vmovups ymm2, [{s} + 64]", "vmovups ymm3, [{s} + 96]",
                "vmovups ymm4, [{s} + 128]", "vmovups ymm5, [{s} + 160]", "vmovups ymm6, [{s} + 192]", "vmovups ymm7, [{s} + 224]",
                "vmovntps [{d}], ymm0", "vmovntps [{d} + 32], ymm1", "vmovntps [{d} + 64], ymm2", "vmovntps [{d} + 96], ymm3",
                "vmovntps [{d} + 128], ymm4", "vmovntps [{d} + 160], ymm5", "vmovntps [{d} + 192], ymm6", "vmovntps [{d} + 224], ymm7",
                d = in(reg) dst, s = in(reg) src,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                options(nostack, preserves_flags)
            );
        }
    }

    #[inline(always)]
    unsafe fn stream_word(dst: *mut u8, word: u64) {
        // SAFETY: the trait's contract.
        unsafe {
            asm!("vmovq xmm0, {w}", "vmovddup xmm0, xmm0", "vinsertf128 ymm0, ymm0, xmm0, 1",
                "vmovntps [{d}], ymm0", "vmovntps [{d} + 32], ymm0",
                d = in(reg) dst, w = in(reg) word, out("xmm0") _, options(nostack, preserves_flags));
        }
    }

    /// Mixing dirty upper halves with SSE code is slow.
    #[inline(always)]
    unsafe fn end() {
        // SAFETY: the compiler is told that no vector register survives.
        unsafe { asm!("vzeroupper", clobber_abi("C"), options(nomem, nostack, preserves_flags)) };
    }
}

//! A line at a time.

use std::arch::asm;

use super::Avx;
use crate::flush::kernel::Kernel;

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
            asm!(
                "vmovups zmm0, [{s}]", "vmovups zmm1, [{s} + 64]", "vmovups zmm2, [{s} + 128]", "vmovups zmm3, [{s} + 192]",
                "vmovups zmm4, [{s} + 256]", "vmovups zmm5, [{s} + 320]", "vmovups zmm6, [{s} + 384]", "vmovups zmm7, [{s} + 448]",
                "vmovups zmm8, [{s} + 512]", "vmovups zmm9, [{s} + 576]", "vmovups zmm10, [{s} + 640]", "vmovups zmm11, [{s} + 704]",
                "vmovups zmm12, [{s} + 768]", "vmovups zmm13, [{s} + 832]", "vmovups zmm14, [{s} + 896]", "vmovups zmm15, [{s} + 960]",
                "vmovntps [{d}], zmm0", "vmovntps [{d} + 64], zmm1", "vmovntps [{d} + 128], zmm2", "vmovntps [{d} + 192], zmm3",
                "vmovntps [{d} + 256], zmm4", "vmovntps [{d} + 320], zmm5", "vmovntps [{d} + 384], zmm6", "vmovntps [{d} + 448], zmm7",
                "vmovntps [{d} + 512], zmm8", "vmovntps [{d} + 576], zmm9", "vmovntps [{d} + 640], zmm10", "vmovntps [{d} + 704], zmm11",
                "vmovntps [{d} + 768], zmm12", "vmovntps [{d} + 832], zmm13", "vmovntps [{d} + 896], zmm14", "vmovntps [{d} + 960], zmm15",
                d = in(reg) dst, s = in(reg) src,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _, out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                options(nostack, preserves_flags)
            );
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

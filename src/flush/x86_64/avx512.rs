//! A line at a time.

use std::arch::asm;

use super::{Avx, Sse2};
use crate::flush::kernel::Kernel;

/// Only for CPUs with AVX-512F.
pub struct Avx512;

impl Kernel for Avx512 {
    #[inline(always)]
    unsafe fn store16(dst: *mut u8, src: *const u8) {
        // SAFETY: the same contract.
        unsafe { Sse2::store16(dst, src) }
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

    #[inline(always)]
    unsafe fn end() {
        // SAFETY: AVX-512F implies AVX.
        unsafe { Avx::end() }
    }
}

//! A line at a time, by direct store: one write of 64 bytes that no part can
//! be missing of.

use std::arch::asm;

use super::Sse2;
use crate::flush::kernel::Kernel;

/// Only for CPUs with MOVDIR64B.
pub struct Movdir64b;

impl Kernel for Movdir64b {
    #[inline(always)]
    unsafe fn store16(dst: *mut u8, src: *const u8) {
        // SAFETY: the same contract.
        unsafe { Sse2::store16(dst, src) }
    }

    #[inline(always)]
    unsafe fn store64(dst: *mut u8, src: *const u8) {
        // SAFETY: the same contract.
        unsafe { Sse2::store64(dst, src) }
    }

    /// The registers are fixed: the test that stands in for the CPU knows them.
    #[inline(always)]
    unsafe fn stream64(dst: *mut u8, src: *const u8) {
        // SAFETY: the trait's contract.
        unsafe {
            asm!("movdir64b rdi, [rsi]", in("rdi") dst, in("rsi") src, options(nostack, preserves_flags));
        }
    }
}

//! 16 bytes at a time: what every x86-64 has.

use std::arch::asm;

use crate::flush::kernel::Kernel;

pub struct Sse2;

impl Kernel for Sse2 {
    #[inline(always)]
    unsafe fn store16(dst: *mut u8, src: *const u8) {
        // SAFETY: the trait's contract.
        unsafe {
            asm!("movups {x}, [{s}]", "movups [{d}], {x}",
                d = in(reg) dst, s = in(reg) src, x = out(xmm_reg) _, options(nostack, preserves_flags));
        }
    }

    #[inline(always)]
    unsafe fn store64(dst: *mut u8, src: *const u8) {
        // SAFETY: the trait's contract.
        unsafe {
            asm!("movups {a}, [{s}]", "movups {b}, [{s} + 16]", "movups {c}, [{s} + 32]", "movups {e}, [{s} + 48]",
                "movups [{d}], {a}", "movups [{d} + 16], {b}", "movups [{d} + 32], {c}", "movups [{d} + 48], {e}",
                d = in(reg) dst, s = in(reg) src, a = out(xmm_reg) _, b = out(xmm_reg) _, c = out(xmm_reg) _,
                e = out(xmm_reg) _, options(nostack, preserves_flags));
        }
    }

    #[inline(always)]
    unsafe fn stream64(dst: *mut u8, src: *const u8) {
        // SAFETY: the trait's contract.
        unsafe {
            asm!("movups {a}, [{s}]", "movups {b}, [{s} + 16]", "movups {c}, [{s} + 32]", "movups {e}, [{s} + 48]",
                "movntps [{d}], {a}", "movntps [{d} + 16], {b}", "movntps [{d} + 32], {c}", "movntps [{d} + 48], {e}",
                d = in(reg) dst, s = in(reg) src, a = out(xmm_reg) _, b = out(xmm_reg) _, c = out(xmm_reg) _,
                e = out(xmm_reg) _, options(nostack, preserves_flags));
        }
    }

    const GROUP: usize = 4;

    #[inline(always)]
    unsafe fn stream_group(dst: *mut u8, src: *const u8) {
        // SAFETY: the trait's contract.
        unsafe {
            asm!(
                "movups xmm0, [{s}]", "movups xmm1, [{s} + 16]", "movups xmm2, [{s} + 32]", "movups xmm3, [{s} + 48]",
                "movups xmm4, [{s} + 64]", "movups xmm5, [{s} + 80]", "movups xmm6, [{s} + 96]", "movups xmm7, [{s} + 112]",
                "movups xmm8, [{s} + 128]", "movups xmm9, [{s} + 144]", "movups xmm10, [{s} + 160]", "movups xmm11, [{s} + 176]",
                "movups xmm12, [{s} + 192]", "movups xmm13, [{s} + 208]", "movups xmm14, [{s} + 224]", "movups xmm15, [{s} + 240]",
                "movntps [{d}], xmm0", "movntps [{d} + 16], xmm1", "movntps [{d} + 32], xmm2", "movntps [{d} + 48], xmm3",
                "movntps [{d} + 64], xmm4", "movntps [{d} + 80], xmm5", "movntps [{d} + 96], xmm6", "movntps [{d} + 112], xmm7",
                "movntps [{d} + 128], xmm8", "movntps [{d} + 144], xmm9", "movntps [{d} + 160], xmm10", "movntps [{d} + 176], xmm11",
                "movntps [{d} + 192], xmm12", "movntps [{d} + 208], xmm13", "movntps [{d} + 224], xmm14", "movntps [{d} + 240], xmm15",
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
            asm!("movq {x}, {w}", "punpcklqdq {x}, {x}",
                "movntps [{d}], {x}", "movntps [{d} + 16], {x}", "movntps [{d} + 32], {x}", "movntps [{d} + 48], {x}",
                d = in(reg) dst, w = in(reg) word, x = out(xmm_reg) _, options(nostack, preserves_flags));
        }
    }
}

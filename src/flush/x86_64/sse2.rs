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
}

/// Streams 4, 8, 16 or 32 bytes to the start of a line; false for any other
/// length.
///
/// # Safety
/// `dst` is line-aligned and writable, `src` readable for `len` bytes.
#[inline(always)]
pub unsafe fn stream_part(dst: *mut u8, src: *const u8, len: usize) -> bool {
    // SAFETY: by contract; a line's start is aligned for all of them.
    unsafe {
        match len {
            4 => asm!("mov {t:e}, [{s}]", "movnti [{d}], {t:e}",
                d = in(reg) dst, s = in(reg) src, t = out(reg) _, options(nostack, preserves_flags)),
            8 => asm!("mov {t}, [{s}]", "movnti [{d}], {t}",
                d = in(reg) dst, s = in(reg) src, t = out(reg) _, options(nostack, preserves_flags)),
            16 => asm!("movups {t}, [{s}]", "movntps [{d}], {t}",
                d = in(reg) dst, s = in(reg) src, t = out(xmm_reg) _, options(nostack, preserves_flags)),
            32 => {
                asm!("movups {t}, [{s}]", "movups {u}, [{s} + 16]", "movntps [{d}], {t}", "movntps [{d} + 16], {u}",
                d = in(reg) dst, s = in(reg) src, t = out(xmm_reg) _, u = out(xmm_reg) _,
                options(nostack, preserves_flags))
            }
            _ => return false,
        }
    }
    true
}

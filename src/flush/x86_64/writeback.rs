//! Cache-line write-back and the store fence. Miri has no caches.

#[cfg(not(miri))]
use std::arch::asm;

pub const LINE: usize = 64;

macro_rules! writeback {
    ($(#[$doc:meta])* $name:ident, $insn:literal) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// `start..end` is mapped and the CPU has the instruction.
        #[inline(always)]
        pub unsafe fn $name(start: usize, end: usize) {
            let mut line = start & !(LINE - 1);
            while line < end {
                // SAFETY: mapped, by contract; memory contents do not change.
                #[cfg(not(miri))]
                unsafe {
                    asm!(concat!($insn, " [{}]"), in(reg) line, options(nostack, preserves_flags))
                };
                line += LINE;
            }
        }
    };
}

writeback!(
    /// Writes the lines back; they may stay cached. Ordered by a fence.
    clwb, "clwb"
);
writeback!(
    /// Writes the lines back and evicts them. Ordered by a fence.
    clflushopt, "clflushopt"
);
writeback!(
    /// Writes the lines back and evicts them, one after the other.
    clflush, "clflush"
);

/// As [`clwb`], for one line.
///
/// # Safety
/// The line is mapped and the CPU has the instruction.
#[inline(always)]
pub unsafe fn clwb_line(at: *const u8) {
    // SAFETY: mapped, by contract; memory contents do not change.
    #[cfg(not(miri))]
    unsafe {
        asm!("clwb [{}]", in(reg) at, options(nostack, preserves_flags))
    };
}

/// Orders all stores, write-backs and non-temporal stores before it against
/// all after it.
#[inline(always)]
pub fn fence() {
    // SAFETY: a fence.
    #[cfg(not(miri))]
    unsafe {
        asm!("sfence", options(nostack, preserves_flags))
    };
}

//! 8 bytes at a time: no vector registers, no non-temporal stores.

use crate::flush::kernel::{Kernel, store8};

pub struct Words;

impl Kernel for Words {
    #[inline(always)]
    unsafe fn store16(dst: *mut u8, src: *const u8) {
        // SAFETY: the trait's contract; both halves are read before either is written.
        unsafe {
            let (a, b) = (src.cast::<u64>().read_unaligned(), src.add(8).cast::<u64>().read_unaligned());
            store8(dst, a);
            store8(dst.add(8), b);
        }
    }

    #[inline(always)]
    unsafe fn store64(dst: *mut u8, src: *const u8) {
        // SAFETY: the trait's contract; everything is read before anything is written.
        unsafe {
            let line = src.cast::<[u64; 8]>().read_unaligned();
            for (i, word) in line.into_iter().enumerate() {
                store8(dst.add(8 * i), word);
            }
        }
    }

    #[inline(always)]
    unsafe fn stream64(dst: *mut u8, src: *const u8) {
        // SAFETY: the same contract.
        unsafe { Self::store64(dst, src) }
    }
}

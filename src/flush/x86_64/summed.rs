//! Copying past the cache and summing up in one pass.

use std::arch::x86_64::{
    _mm512_add_epi32, _mm512_loadu_si512, _mm512_mullo_epi32, _mm512_reduce_add_epi32, _mm512_set_epi32,
    _mm512_setzero_si512, _mm512_slli_epi32, _mm512_stream_si512, _mm512_sub_epi32,
};

use super::writeback::LINE;

/// Streams whole lines; returns the sum of their 32-bit words and the sum of
/// all partial sums from the first word on, both modulo 2^32.
///
/// Each of 16 lanes sums every sixteenth word. With m lines, the word of lane
/// j in line k counts 16 (m - k) - j times in the second sum; its lane's own
/// `hi` counts it m - k times.
///
/// # Safety
/// `dst` starts a line and is writable, `src` readable, for `len` bytes, a
/// multiple of a line, and they do not overlap.
#[target_feature(enable = "avx512f")]
pub unsafe fn stream_summing(dst: *mut u8, src: *const u8, len: usize) -> (u32, u32) {
    let (mut lo, mut hi) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    for at in (0..len).step_by(LINE) {
        // SAFETY: inside the ranges.
        unsafe {
            let line = _mm512_loadu_si512(src.add(at).cast());
            _mm512_stream_si512(dst.add(at).cast(), line);
            lo = _mm512_add_epi32(lo, line);
        }
        hi = _mm512_add_epi32(hi, lo);
    }
    let lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    let hi = _mm512_sub_epi32(_mm512_slli_epi32::<4>(hi), _mm512_mullo_epi32(lo, lane));
    (_mm512_reduce_add_epi32(lo) as u32, _mm512_reduce_add_epi32(hi) as u32)
}

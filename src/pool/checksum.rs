//! The Fletcher-like sum of format section 1.7.

const LANES: usize = 8;
/// Words from which on lanes are worth their set-up.
const LONG: usize = 32;

/// A running sum over little-endian 32-bit words.
#[derive(Clone, Copy, Default)]
pub struct Sum {
    lo: u32,
    hi: u32,
}

impl Sum {
    #[inline]
    pub fn add_word(&mut self, w: u32) {
        self.lo = self.lo.wrapping_add(w);
        self.hi = self.hi.wrapping_add(self.lo);
    }
    #[inline]
    pub fn add_u64(&mut self, w: u64) {
        self.add_word(w as u32);
        self.add_word((w >> 32) as u32);
    }
    /// `n` words of zero.
    #[inline]
    pub fn add_zeros(&mut self, n: u32) {
        self.hi = self.hi.wrapping_add(self.lo.wrapping_mul(n));
    }
    /// Words whose own sums are known: `lo` of the words, `hi` of the running
    /// `lo`.
    #[inline]
    pub fn add_sums(&mut self, lo: u32, hi: u32, words: u32) {
        self.hi = self.hi.wrapping_add(self.lo.wrapping_mul(words)).wrapping_add(hi);
        self.lo = self.lo.wrapping_add(lo);
    }
    /// The bytes of words, in the order of the host, which is little-endian.
    #[inline]
    pub fn add_words(&mut self, words: &[u64]) {
        if words.len() >= LONG {
            return self.add_long(words);
        }
        words.iter().for_each(|&w| self.add_u64(w));
    }

    /// As [`Sum::add_words`], for a few entries of two words.
    #[inline]
    pub fn add_pairs(&mut self, pairs: &[u64]) {
        // SAFETY: every x86-64 CPU has SSE2.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            self.add_quads(pairs)
        }
        #[cfg(not(target_arch = "x86_64"))]
        self.add_words(pairs);
    }

    /// As [`Sum::add_long`], with four lanes in one vector.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "sse2")]
    fn add_quads(&mut self, pairs: &[u64]) {
        use std::arch::x86_64::*;
        let (mut lo, mut hi) = (_mm_setzero_si128(), _mm_setzero_si128());
        for pair in pairs.chunks_exact(2) {
            // SAFETY: two words, at any alignment.
            let w = unsafe { _mm_loadu_si128(pair.as_ptr().cast()) };
            lo = _mm_add_epi32(lo, w);
            hi = _mm_add_epi32(hi, lo);
        }
        // Lane j counted each word j times too often.
        let mut weighted = _mm_slli_epi32::<2>(hi);
        weighted = _mm_sub_epi32(weighted, _mm_srli_si128::<4>(lo));
        weighted = _mm_sub_epi32(weighted, _mm_srli_si128::<8>(lo));
        weighted = _mm_sub_epi32(weighted, _mm_srli_si128::<12>(lo));
        // The sums of both, side by side.
        let halves = _mm_add_epi32(_mm_unpacklo_epi32(lo, weighted), _mm_unpackhi_epi32(lo, weighted));
        let both = _mm_add_epi32(halves, _mm_srli_si128::<8>(halves));
        let both = _mm_cvtsi128_si64(both) as u64;
        self.add_zeros(2 * pairs.len() as u32);
        self.lo = self.lo.wrapping_add(both as u32);
        self.hi = self.hi.wrapping_add((both >> 32) as u32);
    }

    /// `bytes.len()` is a multiple of 4.
    pub fn add(&mut self, bytes: &[u8]) {
        let word = |w: &[u8]| u32::from_le_bytes([w[0], w[1], w[2], w[3]]);
        // SAFETY: any bytes are words.
        let (before, words, after) = unsafe { bytes.align_to::<u64>() };
        if before.len() % 4 != 0 {
            return bytes.chunks_exact(4).for_each(|w| self.add_word(word(w)));
        }
        before.chunks_exact(4).for_each(|w| self.add_word(word(w)));
        self.add_words(words);
        after.chunks_exact(4).for_each(|w| self.add_word(word(w)));
    }

    /// Each lane sums every eighth word. With m groups, the word at group k,
    /// lane j counts 8 (m - k) - j times in `hi`; its lane's own `hi` counts
    /// it m - k times.
    #[inline(never)]
    fn add_long(&mut self, words: &[u64]) {
        let (groups, rest) = words.split_at(words.len() & !(LANES / 2 - 1));
        // SAFETY: every x86-64 CPU has SSE2.
        #[cfg(target_arch = "x86_64")]
        let (lo, hi) = unsafe { lanes(groups) };
        #[cfg(not(target_arch = "x86_64"))]
        let (lo, hi) = lanes(groups);
        self.hi = self.hi.wrapping_add((2 * groups.len() as u32).wrapping_mul(self.lo));
        for j in 0..LANES {
            self.hi = self.hi.wrapping_add(hi[j].wrapping_mul(LANES as u32));
            self.hi = self.hi.wrapping_sub(lo[j].wrapping_mul(j as u32));
            self.lo = self.lo.wrapping_add(lo[j]);
        }
        rest.iter().for_each(|&w| self.add_u64(w));
    }

    pub fn value(self) -> u64 {
        (self.hi as u64) << 32 | self.lo as u64
    }
}

/// The two sums of each lane. By vectors of the base instruction set, as the
/// compiler does not find them by itself.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
fn lanes(words: &[u64]) -> ([u32; LANES], [u32; LANES]) {
    use std::arch::x86_64::{__m128i, _mm_add_epi32, _mm_loadu_si128, _mm_setzero_si128};
    let (mut lo, mut hi) = ([_mm_setzero_si128(); 2], [_mm_setzero_si128(); 2]);
    for group in words.chunks_exact(LANES / 2) {
        for half in 0..2 {
            // SAFETY: two words of the group, at any alignment.
            let w = unsafe { _mm_loadu_si128(group[2 * half..].as_ptr().cast::<__m128i>()) };
            lo[half] = _mm_add_epi32(lo[half], w);
            hi[half] = _mm_add_epi32(hi[half], lo[half]);
        }
    }
    // SAFETY: vectors and arrays of the same size, valid for any bits.
    let array = |v| unsafe { std::mem::transmute::<[__m128i; 2], [u32; LANES]>(v) };
    (array(lo), array(hi))
}

/// The two sums of each lane.
#[cfg(not(target_arch = "x86_64"))]
fn lanes(words: &[u64]) -> ([u32; LANES], [u32; LANES]) {
    let (mut lo, mut hi) = ([0u32; LANES], [0u32; LANES]);
    for group in words.chunks_exact(LANES / 2) {
        for j in 0..LANES {
            lo[j] = lo[j].wrapping_add((group[j / 2] >> (32 * (j % 2))) as u32);
            hi[j] = hi[j].wrapping_add(lo[j]);
        }
    }
    (lo, hi)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of format 1.7.
    #[test]
    fn known_sums() {
        let sum = |bytes: &[u8]| {
            let mut s = Sum::default();
            s.add(bytes);
            s.value()
        };
        let words: Vec<u8> = [1u32, 2, 3, 4].iter().flat_map(|w| w.to_le_bytes()).collect();
        assert_eq!(sum(&words), 0x0000_0014_0000_000A);
        let bytes: Vec<u8> = (0..32).collect();
        assert_eq!(sum(&bytes), 0xBD99_7550_8880_7870);
    }

    #[test]
    fn lanes_sum_as_words_do() {
        let bytes: Vec<u8> = (0..4096u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for (from, len) in [(0, 4096), (4, 128), (64, 132), (8, 1000), (12, 252), (0, 60), (0, 0)] {
            let (mut fast, mut slow) = (Sum { lo: 7, hi: 9 }, Sum { lo: 7, hi: 9 });
            fast.add(&bytes[from..from + len]);
            for w in bytes[from..from + len].chunks_exact(4) {
                slow.add_word(u32::from_le_bytes([w[0], w[1], w[2], w[3]]));
            }
            assert_eq!(fast.value(), slow.value(), "{len} bytes from {from}");
            let words = |w: &[u8]| u64::from_le_bytes(w.try_into().unwrap());
            let pairs: Vec<u64> = bytes[from..from + len / 16 * 16].chunks(8).map(words).collect();
            let (mut fast, mut slow) = (Sum { lo: 7, hi: 9 }, Sum { lo: 7, hi: 9 });
            fast.add_pairs(&pairs);
            pairs.iter().for_each(|&w| slow.add_u64(w));
            assert_eq!(fast.value(), slow.value(), "{} words", pairs.len());
        }
    }

    /// Zeros, and a part whose sums are known, as if added word by word.
    #[test]
    fn parts_are_joined() {
        let words: Vec<u64> = (1..20u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let (mut whole, mut joined, mut part) = (Sum::default(), Sum::default(), Sum::default());
        whole.add_words(&words);
        whole.add_words(&[0, 0]);
        joined.add_words(&words[..5]);
        part.add_words(&words[5..]);
        joined.add_sums(part.lo, part.hi, 2 * (words.len() as u32 - 5));
        joined.add_zeros(4);
        assert_eq!(joined.value(), whole.value());
    }
}

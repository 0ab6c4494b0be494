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
    /// The bytes of words, in the order of the host, which is little-endian.
    #[inline]
    pub fn add_words(&mut self, words: &[u64]) {
        if words.len() >= LONG {
            return self.add_long(words);
        }
        words.iter().for_each(|&w| self.add_u64(w));
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

    /// Each lane sums every eighth word, so that the compiler uses vectors.
    /// With m groups, the word at group k, lane j counts 8 (m - k) - j times
    /// in `hi`; its lane's own `hi` counts it m - k times.
    #[inline(never)]
    fn add_long(&mut self, words: &[u64]) {
        let (groups, rest) = words.split_at(words.len() & !(LANES / 2 - 1));
        // SAFETY: four words have the bytes of eight halves, and need no less alignment.
        let groups = unsafe {
            std::slice::from_raw_parts(groups.as_ptr().cast::<[u32; LANES]>(), groups.len() / (LANES / 2))
        };
        let (mut lo, mut hi) = ([0u32; LANES], [0u32; LANES]);
        for group in groups {
            for j in 0..LANES {
                lo[j] = lo[j].wrapping_add(group[j]);
            }
            for j in 0..LANES {
                hi[j] = hi[j].wrapping_add(lo[j]);
            }
        }
        let n = (groups.len() * LANES) as u32;
        self.hi = self.hi.wrapping_add(n.wrapping_mul(self.lo));
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
        }
    }
}

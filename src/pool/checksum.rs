//! The Fletcher-like sum of format section 1.7.

/// A running sum over little-endian 32-bit words.
#[derive(Clone, Copy, Default)]
pub struct Sum {
    lo: u32,
    hi: u32,
}

impl Sum {
    pub fn add_word(&mut self, w: u32) {
        self.lo = self.lo.wrapping_add(w);
        self.hi = self.hi.wrapping_add(self.lo);
    }
    pub fn add_u64(&mut self, w: u64) {
        self.add_word(w as u32);
        self.add_word((w >> 32) as u32);
    }
    /// `bytes.len()` is a multiple of 4.
    pub fn add(&mut self, bytes: &[u8]) {
        for w in bytes.chunks_exact(4) {
            self.add_word(u32::from_le_bytes([w[0], w[1], w[2], w[3]]));
        }
    }
    pub fn value(self) -> u64 {
        (self.hi as u64) << 32 | self.lo as u64
    }
}

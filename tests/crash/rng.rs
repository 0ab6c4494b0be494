//! Random numbers that are the same in every run.
#![allow(dead_code)]

use std::sync::atomic::{AtomicU64, Ordering};

/// The seed of this run: it draws states, and the mixes of calls.
static SEED: AtomicU64 = AtomicU64::new(1);

pub fn seed() -> u64 {
    SEED.load(Ordering::Relaxed)
}

/// Before anything is drawn.
pub fn set_seed(seed: u64) {
    SEED.store(seed, Ordering::Relaxed);
}

/// The last steps of splitmix64.
pub fn mix(word: u64) -> u64 {
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Of the run's seed and of what the numbers are for: they do not depend on
    /// what else was drawn.
    pub fn of(purpose: &[u64]) -> Rng {
        let add = |h: u64, w: &u64| mix(h.wrapping_add(0x9E37_79B9_7F4A_7C15) ^ w);
        Rng(purpose.iter().fold(mix(seed()), add) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 16) % n
    }

    pub fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

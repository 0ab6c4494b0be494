//! Pseudo-random numbers for unit tests.

/// Numbers below the one that is asked for.
pub fn below(mut seed: u64) -> impl FnMut(usize) -> usize {
    move |n| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize % n
    }
}

/// Rounds of a test: fewer in Miri, which takes a thousand times as long.
pub const fn rounds(n: usize) -> usize {
    if cfg!(miri) { n / 100 } else { n }
}

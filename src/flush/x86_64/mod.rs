//! What x86-64 brings: detection, cache-line write-back, fences, and the copy
//! kernels. Another architecture offers the same names in a module like this.

mod avx;
mod avx512;
pub mod cpu;
mod movdir64b;
mod part;
#[cfg(not(miri))]
mod sse2;
mod summed;
mod words;
pub mod writeback;

pub use avx::Avx;
pub use avx512::Avx512;
pub use movdir64b::Movdir64b;
pub use part::{fetch, is_part, stream_part};
#[cfg(not(miri))]
pub use sse2::Sse2;
pub use summed::stream_summing;
pub use words::Words;
/// Miri knows no instructions.
#[cfg(miri)]
pub use words::Words as Sse2;

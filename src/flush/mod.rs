//! The flush engine: how stores reach persistence. It knows the CPU's flush
//! instructions and copy kernels, the page cache, where and how files and
//! devices are mapped, and which memory is persistent; it knows nothing of
//! pools.

mod copy;
mod device;
mod domain;
mod engine;
mod env;
mod errno;
mod error;
mod file;
mod kernel;
#[cfg(test)]
mod kernel_tests;
mod map;
mod pending;
mod place;
mod platform;
#[cfg(feature = "recorder")]
pub mod recorder;
mod stream;
mod sync;
mod sysfs;
mod track;

#[cfg(target_arch = "x86_64")]
#[path = "x86_64/mod.rs"]
mod arch;

pub use device::FileType;
pub use domain::{Domain, MemFlags};
pub use env::{env, forced};
pub use errno::{Lossy, StrError, die, errno, preserve_errno, set_errno};
pub use error::Error;
pub use file::{FileFlags, is_pmem, map_file, unmap};
pub use map::Mapping;
pub use platform::has_auto_flush;
pub use sync::{deep_drain, deep_flush, msync};
pub use sysfs::Fd;

/// Makes all decisions that are made once. Without this call they are made
/// when they are first needed.
pub fn init() {
    engine::Engine::get();
}

//! What a pool file is (format sections 1 and 2): header, checksum, identity,
//! features, shutdown state, descriptor; creating, opening and locking files.
//!
//! The room does not look behind the descriptor: lanes and heap are formatted
//! and checked by the rooms that know them.

pub mod check;
pub mod checksum;
mod create;
pub mod descriptor;
mod error;
pub mod finding;
mod header;
mod open;
mod os;
mod probe;
mod region;
mod sds;
mod uuid;

pub use create::{CreateOptions, Creation, Identity, create};
pub use error::{Error, Text};
pub use open::{OpenOptions, PoolFile, open};
pub use probe::{Probe, Unreadable};
pub use region::Region;

/// Bytes of the header page, and of a page everywhere else.
pub const PAGE: u64 = 4096;
pub const MIN_POOL: u64 = 8 << 20;
pub const MIN_PART: u64 = 2 << 20;
/// Process-private area of the descriptor page.
pub const SCRATCH: u64 = 0x1a20;
pub const SCRATCH_END: u64 = 0x2000;

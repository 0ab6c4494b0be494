//! The unified redo/undo log on media (format section 3), its writers and its
//! recovery, and the lanes that hold three such logs each.
//!
//! The room knows log headers, entries and their checksums. It does not know
//! where extensions of a log come from: the heap makes them and links them.

mod check;
mod entry;
mod error;
mod lanes;
mod recover;
mod redo;
mod undo;

pub use check::{inspect_redo, inspect_undo};
pub use entry::{Op, format_extension, valid_extension};
pub use error::Error;
pub use lanes::{Hold, Lanes, Logs, Units, format};
pub use recover::{Bounds, Budget, Extended, Linked, check_redo, links_of, recover_redo, rollback_undo};
pub use redo::{Extension, Redo};
pub use undo::Undo;

/// Offsets inside a log header.
pub const NEXT: u64 = 8;
pub const CAPACITY: u64 = 16;
pub const GEN_NUM: u64 = 24;
pub const FLAGS: u64 = 32;
/// Size of a log header; entries start behind it.
pub const HEADER: u64 = 64;
/// Header flag: the log lies in a buffer of the application.
pub const USER_BUFFER: u64 = 1;

/// Geometry of a lane.
pub const LANE_SIZE: u64 = 3072;
pub const INTERNAL: u64 = 0;
pub const INTERNAL_CAPACITY: u64 = 192;
pub const EXTERNAL: u64 = 0x100;
pub const EXTERNAL_CAPACITY: u64 = 640;
pub const UNDO: u64 = 0x3c0;
pub const UNDO_CAPACITY: u64 = 2048;

/// `x` rounded up to a multiple of `a`, a power of two; saturates.
#[inline]
pub fn align_up(x: u64, a: u64) -> u64 {
    x.saturating_add(a - 1) & !(a - 1)
}

//! What a pool file is: header, checksum, identity, descriptor, locking.

pub mod checksum;
mod region;
pub use region::Region;

//! What a pool file is: header, checksum, identity, descriptor, locking.

mod region;
pub use region::Region;

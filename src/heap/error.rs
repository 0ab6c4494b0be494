//! What can go wrong in a heap.

use thiserror::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Error {
    #[error("heap: invalid header's checksum: at {at:#x} is {found:#x}, expected {expected:#x}")]
    HeaderChecksum { at: u64, found: u64, expected: u64 },
    #[error("heap: invalid signature: at {at:#x} is {found:#x}, expected {expected:#x}")]
    Signature { at: u64, found: u64, expected: u64 },
    #[error("heap: invalid header: {field} at {at:#x} is {found:#x}, expected {expected:#x}")]
    Header { field: &'static str, at: u64, found: u64, expected: u64 },
    #[error("heap: invalid heap size: {found} bytes, expected {min} to {max}")]
    Size { found: u64, min: u64, max: u64 },
    #[error("heap: invalid zone magic: zone {zone} has {found:#x} at {at:#x}, expected {expected:#x}")]
    ZoneMagic { zone: u32, at: u64, found: u32, expected: u32 },
    #[error("heap: invalid zone size: zone {zone} has {found} chunks at {at:#x}, expected 1 to {max}")]
    ZoneSize { zone: u32, at: u64, found: u32, max: u32 },
    #[error("heap: {what}: zone {zone} chunk {chunk} has {found:#x} at {at:#x}")]
    Chunk { what: &'static str, zone: u32, chunk: u32, at: u64, found: u64 },
    #[error("no object at offset {0:#x}: {1}")]
    NoObject(u64, &'static str),
    #[error("requested size too large")]
    TooLarge,
    #[error("allocation with size 0")]
    SizeZero,
    #[error("no allocation class for size {0} bytes")]
    NoClass(u64),
    #[error("allocation class not suitable for size {0} bytes")]
    ClassUnsuitable(u64),
    #[error("arena id outside of the allowed range: {0}")]
    NoArena(u64),
    #[error("{0}")]
    Buffer(&'static str),
    #[error("{0}")]
    Class(&'static str),
    #[error("attempted to overwrite an allocation class")]
    ClassTaken,
    #[error("the pool has no free space for {0} bytes, and a single-file pool cannot be extended")]
    Full(u64),
    #[error("out of memory")]
    OutOfMemory,
    #[error("the constructor cancelled the allocation")]
    Canceled,
    #[error("log extension disabled and the log is full")]
    LogFull,
    #[error(transparent)]
    Log(#[from] crate::ulog::Error),
}

impl Error {
    pub fn errno(&self) -> i32 {
        match self {
            Error::TooLarge | Error::Full(_) | Error::OutOfMemory | Error::LogFull => libc::ENOMEM,
            Error::Canceled => libc::ECANCELED,
            Error::ClassTaken => libc::EEXIST,
            Error::Log(e) => e.errno(),
            _ => libc::EINVAL,
        }
    }
}

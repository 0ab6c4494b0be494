//! What can be wrong with a pool file.

use std::fmt;

use thiserror::Error;

use super::Unreadable;

/// The first bytes of a text from media, for a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text {
    bytes: [u8; 64],
    len: u8,
}

impl Text {
    /// Up to the first NUL, cut at 64 bytes.
    pub fn new(bytes: &[u8]) -> Text {
        let len = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len()).min(64);
        let mut t = Text { bytes: [0; 64], len: len as u8 };
        t.bytes[..len].copy_from_slice(&bytes[..len]);
        t
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.bytes[..self.len as usize].utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{fffd}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A link of the header's ring of files that does not lead back to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub field: &'static str,
    pub at: usize,
    pub found: [u8; 16],
    pub expected: [u8; 16],
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |u: &[u8; 16]| u128::from_be_bytes(*u);
        let Link { field, at, found, expected } = self;
        write!(f, "{field} at {at:#x}, found {:032x}, expected {:032x}", hex(found), hex(expected))
    }
}

/// Why a pool file was not created or opened. The C ABI puts the path to it;
/// the first words are those of PMDK's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Error {
    #[error("{call}")]
    Os { call: &'static str, errno: i32 },
    #[error("posix_fallocate {size}")]
    Allocate { size: u64, errno: i32 },
    #[error("Layout too long: {0} bytes, at most 1023")]
    LayoutTooLong(usize),
    #[error("file already exists")]
    Exists,
    #[error("reservation pool size {0} smaller than 8388608")]
    SizeTooSmall(u64),
    #[error("invalid size ({0}) for os_off_t")]
    SizeTooLarge(u64),
    #[error("file is not a poolset file and its size ({0}) is smaller than 8388608")]
    FileTooSmall(u64),
    #[error("Non-empty file detected: the first page of a new pool's file must be zero")]
    NotEmpty,
    #[error("pool set files are not supported yet")]
    PoolSet,
    #[error("file type 0{0:o} not supported")]
    FileType(u32),
    #[error("the character device is no Device DAX")]
    NotDax,
    #[error("pools on Device DAX are not supported yet")]
    Device,
    #[error("negative size: not a file that can hold a pool")]
    NoFile,
    #[error("size {0} smaller than 2097152")]
    PartTooSmall(u64),
    #[error("invalid major version (0): pool header: major at 0x8, expected 6")]
    NoMajor,
    #[error("wrong pool type: \"{0}\", expected \"PMEMOBJ\": pool header: signature at 0x0")]
    Type(Text),
    #[error(
        "Please run the pmdk-convert utility to upgrade the pool: it has version {0}, expected 6: pool header: major at 0x8"
    )]
    OldMajor(u32),
    #[error("pool version {0} (library expects 6): pool header: major at 0x8")]
    NewMajor(u32),
    #[error("unsafe to continue due to unknown incompat features: {0:#x}: pool header: incompat at 0x10")]
    Incompat(u32),
    #[error(
        "read-only mode is not supported: unknown ro_compat features {0:#x}: pool header: ro_compat at 0x14"
    )]
    ReadOnly(u32),
    #[error(
        "invalid checksum of pool header: at 0xff8, found {found:#x}, expected {expected:#x}; pmempool check --repair may help, or a backup"
    )]
    HeaderChecksum { found: u64, expected: u64 },
    #[error(
        "wrong architecture flags: pool header: at {at:#x}, found {found:#x}, expected {expected:#x}; the pool was made on another kind of machine"
    )]
    Arch { at: usize, found: u64, expected: u64 },
    #[error("wrong part UUID: pool header: {0}; the file is part of a larger set")]
    PartUuid(Link),
    #[error("wrong replica UUID: pool header: {0}; the file is one of several replicas")]
    ReplicaUuid(Link),
    #[error(
        "poolset file options (0) do not match incompat feature flags ({0:#x}): pool header: incompat at 0x10"
    )]
    SingleHeader(u32),
    #[error("a bad block recovery of the pool was interrupted: {0}_badblocks.txt exists")]
    BadBlocks(&'static str),
    #[error(
        "an ADR failure was detected, the pool might be corrupted: shutdown state: at 0xfb8, unsafe shutdowns {usc:#x}, devices {uid:#x}, expected 0x0 of both; restore the pool from a backup"
    )]
    Adr { usc: u64, uid: u64 },
    #[error(
        "invalid checksum of pool descriptor: at 0x17f8, found {found:#x}, expected {expected:#x}; restore the pool from a backup"
    )]
    DescriptorChecksum { found: u64, expected: u64 },
    #[error(
        "invalid pool descriptor: {field} at {at:#x} is {found:#x}, which the pool of {len:#x} bytes cannot hold"
    )]
    Descriptor { field: &'static str, at: u64, found: u64, len: u64 },
    #[error(
        "wrong layout (\"{given}\"), pool created with layout \"{stored}\": descriptor: layout at 0x1000"
    )]
    Layout { given: Text, stored: Text },
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("invalid run_id {0}: descriptor: run_id at 0x1808 must be even")]
    RunId(u64),
}

impl Error {
    /// The last error of the operating system, from `call`.
    pub fn os(call: &'static str) -> Error {
        Error::Os { call, errno: std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO) }
    }

    pub fn errno(&self) -> i32 {
        match self {
            Error::Os { errno, .. } | Error::Allocate { errno, .. } => *errno,
            Error::Unreadable(e) => e.errno,
            Error::Exists | Error::NotEmpty => libc::EEXIST,
            Error::SizeTooLarge(_) => libc::EFBIG,
            Error::PoolSet | Error::Device => libc::ENOTSUP,
            _ => libc::EINVAL,
        }
    }
}

//! What can go wrong with mappings, in the words of libpmem's messages.

use std::ffi::CStr;

use thiserror::Error;

use super::errno::{Lossy, StrError, errno};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Error<'p> {
    #[error("{call}: {}", StrError(*errno))]
    Os { call: &'static str, errno: i32 },
    #[error("{call} {}: {}", Lossy(path.to_bytes()), StrError(*errno))]
    Path { call: &'static str, path: &'p CStr, errno: i32 },
    #[error("os_access \"{}\": {}", Lossy(path.to_bytes()), StrError(*errno))]
    Access { path: &'p CStr, errno: i32 },
    #[error("mmap {len} bytes: {}", StrError(*errno))]
    Mmap { len: usize, errno: i32 },
    #[error("invalid (NULL) path")]
    NullPath,
    #[error("file type 0{0:o} not supported")]
    FileType(u32),
    #[error("the character device is no Device DAX")]
    NotDax,
    #[error("realpath \"/sys/dev/char/{major}:{minor}/subsystem\": {}", StrError(*errno))]
    Subsystem { major: u32, minor: u32, errno: i32 },
    #[error("invalid flag specified {0:x}")]
    Flags(i32),
    #[error("flag unsupported for Device DAX {0:x}")]
    DeviceFlags(i32),
    #[error("unable to read Device DAX size")]
    DeviceSize,
    #[error("Device DAX length must be either 0 or the exact size of the device: {0}")]
    DeviceLength(usize),
    #[error("invalid file length {0}")]
    FileLength(usize),
    #[error("non-zero 'len' not allowed without PMEM_FILE_CREATE")]
    LengthWithoutCreate,
    #[error("zero 'len' not allowed with PMEM_FILE_CREATE")]
    NoLength,
    #[error("PMEM_FILE_TMPFILE not allowed without PMEM_FILE_CREATE")]
    TmpfileWithoutCreate,
    #[error("stat {}: negative size", Lossy(.0.to_bytes()))]
    NegativeSize(&'p CStr),
    #[error(
        "duplicated persistent memory range; presumably unmapped with munmap() instead of pmem_unmap(): \
         addr {addr:#x} len {len}"
    )]
    Duplicate { addr: usize, len: usize },
    #[error("end of address space reached")]
    NoPlace,
    #[error("out of memory")]
    OutOfMemory,
}

impl Error<'_> {
    /// The last error of the operating system, from `call`.
    pub fn os(call: &'static str) -> Error<'static> {
        Error::Os { call, errno: errno() }
    }

    pub fn errno(&self) -> i32 {
        match self {
            Error::Os { errno, .. }
            | Error::Path { errno, .. }
            | Error::Access { errno, .. }
            | Error::Subsystem { errno, .. }
            | Error::Mmap { errno, .. } => *errno,
            Error::NoPlace | Error::OutOfMemory | Error::Duplicate { .. } => libc::ENOMEM,
            _ => libc::EINVAL,
        }
    }
}

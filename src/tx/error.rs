//! Why a transactional call fails.

use thiserror::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Error {
    #[error("nested transaction for different pool")]
    OtherPool,
    #[error("invalid pool uuid")]
    PoolUuid,
    #[error("object outside of pool")]
    OutsidePool,
    #[error("object outside of heap")]
    OutsideHeap,
    #[error("snapshot size too large")]
    SnapshotTooLarge,
    #[error("out of memory")]
    OutOfMemory,
    #[error(transparent)]
    Heap(#[from] crate::heap::Error),
}

impl Error {
    pub fn errno(&self) -> i32 {
        match self {
            Error::OutOfMemory => libc::ENOMEM,
            Error::Heap(e) => e.errno(),
            _ => libc::EINVAL,
        }
    }
}

impl From<crate::ulog::Error> for Error {
    fn from(e: crate::ulog::Error) -> Error {
        Error::Heap(e.into())
    }
}

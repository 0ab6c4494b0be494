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
    /// PMDK reports all failures to reserve as ENOMEM.
    #[error("out of memory: {0}")]
    NoRoom(crate::heap::Error),
    #[error(transparent)]
    Heap(#[from] crate::heap::Error),
}

impl Error {
    pub fn errno(&self) -> i32 {
        match self {
            Error::OutOfMemory | Error::NoRoom(_) => libc::ENOMEM,
            Error::Heap(e) => e.errno(),
            _ => libc::EINVAL,
        }
    }
}

impl Error {
    /// A failure to reserve, as the transactional calls report it.
    pub fn of_reserve(e: crate::heap::Error) -> Error {
        use crate::heap::Error::{Canceled, ClassUnsuitable, Full, LogFull, NoArena, NoClass};
        match e {
            Full(_) | NoClass(_) | ClassUnsuitable(_) | NoArena(_) | Canceled | LogFull => Error::NoRoom(e),
            _ => Error::Heap(e),
        }
    }
}

impl From<crate::ulog::Error> for Error {
    fn from(e: crate::ulog::Error) -> Error {
        Error::Heap(e.into())
    }
}

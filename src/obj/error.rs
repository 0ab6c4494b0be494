//! Why a call on a pool fails.

use thiserror::Error;

use super::ctl;

#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] crate::pool::Error),
    #[error(transparent)]
    Heap(#[from] crate::heap::Error),
    #[error(transparent)]
    Log(#[from] crate::ulog::Error),
    #[error("pool initialization failed: a pool with the same pool set UUID is open already")]
    AlreadyOpen,
    #[error("pool initialization failed: {0}")]
    Config(ctl::Error),
    #[error("requested size cannot equals zero")]
    RootSizeZero,
    #[error("list head at {0:#x}: not in the pool's heap, not aligned, or part of another head")]
    ListHead(u64),
    #[error("object at {0:#x} is no element of the list")]
    NotInList(u64),
    #[error("pmemobj_mutex_lock: {}", crate::flush::StrError(*.0))]
    ListLock(i32),
    /// PMDK leaves errno as it is.
    #[error("Not all PMEMoids belong to the provided pool")]
    OidsOfOtherPool,
    #[error("out of memory")]
    OutOfMemory,
}

impl Error {
    pub fn errno(&self) -> i32 {
        match self {
            Error::File(e) => e.errno(),
            Error::Heap(e) => e.errno(),
            Error::Log(e) => e.errno(),
            Error::AlreadyOpen => libc::EEXIST,
            Error::Config(e) if e.errno() == Some(libc::ENOMEM) => libc::ENOMEM,
            Error::Config(_)
            | Error::OidsOfOtherPool
            | Error::RootSizeZero
            | Error::ListHead(_)
            | Error::NotInList(_) => libc::EINVAL,
            Error::ListLock(e) => *e,
            Error::OutOfMemory => libc::ENOMEM,
        }
    }
}

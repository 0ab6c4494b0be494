//! Why a call on a pool fails.

use thiserror::Error;

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
    #[error("requested size cannot equals zero")]
    RootSizeZero,
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
            Error::RootSizeZero => libc::EINVAL,
            Error::OutOfMemory => libc::ENOMEM,
        }
    }
}

//! What can be wrong with a log.

use thiserror::Error;

use crate::pool::Unreadable;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Error {
    #[error("lane {lane}: {log} log entry at {at:#x} targets {target:#x}, which no log may change")]
    Target { lane: u64, log: &'static str, at: u64, target: u64 },
    #[error("lane {lane}: {log} log: the link at {at:#x} is {next:#x}, which is no log")]
    Link { lane: u64, log: &'static str, at: u64, next: u64 },
    #[error("lane {lane}: {log} log: capacity at {at:#x} is {found:#x}, expected {expected:#x}")]
    Capacity { lane: u64, log: &'static str, at: u64, found: u64, expected: u64 },
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("out of memory")]
    OutOfMemory,
    #[error("this thread holds lanes of too many pools at once")]
    TooManyPools,
}

impl Error {
    pub fn errno(&self) -> i32 {
        match self {
            Error::Target { .. } | Error::Link { .. } | Error::Capacity { .. } => libc::EINVAL,
            Error::Unreadable(e) => e.errno,
            Error::OutOfMemory => libc::ENOMEM,
            Error::TooManyPools => libc::EBUSY,
        }
    }
}

//! The C ABI, and nothing else: an exported function turns C's arguments into
//! Rust's, calls one function of a lower room, and turns the result into C's
//! protocol. One file per public header; `shim.c` holds what stable Rust
//! cannot express: a variadic function, exported thread-local data, jumps.
//!
//! Pointer contract of all exports: a pool handle is NULL or that of an open
//! pool; other pointers are valid for what the man page says, or NULL where it
//! allows that. Exports refer to it as "the C contract".
//!
//! The public headers are generated from these files (`tools/headers`): C's
//! names, a cast where a constant needs a type in C, and a first line of each
//! comment that is written for C programmers.
#![allow(clippy::identity_op, clippy::unnecessary_cast, non_camel_case_types)]

pub mod action;
pub mod atomic;
pub mod base;
pub mod ctl;
pub mod errmsg;
pub mod iterator;
pub mod libpmem;
pub mod lists_atomic;
pub mod log;
pub mod logger;
pub mod pool;
pub mod thread;
pub mod tx;
mod tx_step;
mod tx_work;

use std::ffi::{CStr, c_int};
use std::fmt;

pub(crate) use crate::flush::{Lossy, StrError, set_errno};
use crate::obj;

/// Reports an error the C way: message, then errno.
#[cold]
#[track_caller]
pub(crate) fn fail(errno: c_int, message: fmt::Arguments) {
    errmsg::set(message);
    set_errno(errno);
}

/// 0, or -1 with errno and message.
#[inline]
pub(crate) fn status(r: obj::Result<()>) -> c_int {
    match r {
        Ok(()) => 0,
        Err(e) => {
            fail(e.errno(), format_args!("{e}"));
            -1
        }
    }
}

/// The null id with errno and message for an error.
#[inline]
pub(crate) fn oid_or_null(r: obj::Result<obj::Oid>) -> obj::Oid {
    r.unwrap_or_else(|e| {
        fail(e.errno(), format_args!("{e}"));
        obj::Oid::NULL
    })
}

/// Reports an error of an operation on a file: the system call, path and
/// reason, or what is wrong in which file.
#[cold]
pub(crate) fn fail_file(path: &CStr, e: &obj::Error) {
    use crate::pool::Error as File;
    let path = Lossy(path.to_bytes());
    let errno = e.errno();
    let why = StrError(errno);
    match e {
        obj::Error::File(File::Os { call, .. }) => fail(errno, format_args!("{call} \"{path}\": {why}")),
        obj::Error::File(File::Allocate { size, .. }) => {
            fail(errno, format_args!("posix_fallocate \"{path}\", {size}: {why}"))
        }
        obj::Error::File(File::Exists) => fail(errno, format_args!("file {path} already exists")),
        obj::Error::File(File::FileType(_) | File::NotDax) => fail(errno, format_args!("{e}: {path}")),
        obj::Error::File(File::NoFile) => fail(errno, format_args!("stat \"{path}\": negative size")),
        _ => fail(errno, format_args!("{e} (file \"{path}\")")),
    }
}

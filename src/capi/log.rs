//! `libpmemobj/log.h`, of the 2.x API (API contract section 22).

use std::ffi::{c_int, c_uint};

use super::logger::{self, Function};

#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_log_set_threshold(threshold: c_uint, level: c_uint) -> c_int {
    logger::set_threshold(threshold, level)
}

/// # Safety
/// The C contract: `level` is writable or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_log_get_threshold(threshold: c_uint, level: *mut c_uint) -> c_int {
    // SAFETY: by contract.
    unsafe { logger::get_threshold(threshold, level) }
}

#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_log_set_function(function: Option<Function>) -> c_int {
    logger::set_function(function, c"libpmemobj of pmem-rs")
}

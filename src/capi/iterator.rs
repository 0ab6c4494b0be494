//! `libpmemobj/iterator_base.h`.

use std::ffi::c_void;

use super::atomic::{pool_arg, pool_of};
use crate::obj::Oid;

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_first(pop: *mut c_void) -> Oid {
    // SAFETY: the C contract.
    unsafe { pool_arg(pop) }.map_or(Oid::NULL, |pool| pool.first())
}

#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_next(oid: Oid) -> Oid {
    if oid.is_null() {
        return Oid::NULL;
    }
    pool_of(oid).map_or(Oid::NULL, |pool| pool.next(oid.off))
}

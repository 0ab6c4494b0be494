//! `libpmemobj/iterator_base.h`.

use super::atomic::{pool_arg, pool_of};
use super::base::PMEMobjpool;
use crate::obj::Oid;

/// The first object of the pool, or OID_NULL.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_first(pop: *mut PMEMobjpool) -> Oid {
    // SAFETY: the C contract.
    unsafe { pool_arg(pop) }.map_or(Oid::NULL, |pool| pool.first())
}

/// The object after this one, or OID_NULL.
#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_next(oid: Oid) -> Oid {
    if oid.is_null() {
        return Oid::NULL;
    }
    pool_of(oid).map_or(Oid::NULL, |pool| pool.next(oid.off))
}

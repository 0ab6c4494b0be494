//! `libpmemobj/lists_atomic_base.h`.

use std::ffi::{c_int, c_void};

use super::atomic::{CConstructor, pool_arg, with_constructor};
use super::base::PMEMobjpool;
use super::{oid_or_null, status};
use crate::obj::{Error, List, Oid, Pool, Position, Request};

/// The position that C names; an id of another pool is none.
fn position(pool: &Pool, dest: Oid, before: c_int) -> Result<Position, Error> {
    if !dest.is_null() {
        element(pool, dest)?;
    }
    Ok(Position { dest: dest.off, before: before != 0 })
}

/// The offset of an element of this pool.
fn element(pool: &Pool, oid: Oid) -> Result<u64, Error> {
    if oid.pool_uuid_lo == pool.uuid_lo() { Ok(oid.off) } else { Err(Error::NotInList(oid.off)) }
}

fn list(pool: &Pool, head: *mut c_void, pe_offset: usize) -> Result<List, Error> {
    pool.list(head.cast(), pe_offset as u64)
}

/// Inserts an object; 0, or -1 with errno.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_list_insert(
    pop: *mut PMEMobjpool,
    pe_offset: usize,
    head: *mut c_void,
    dest: Oid,
    before: c_int,
    oid: Oid,
) -> c_int {
    // SAFETY: the C contract.
    let Some(pool) = (unsafe { pool_arg(pop) }) else { return -1 };
    let insert =
        || pool.list_insert(list(pool, head, pe_offset)?, position(pool, dest, before)?, element(pool, oid)?);
    status(insert())
}

/// Allocates an object and inserts it; OID_NULL with errno on failure.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_list_insert_new(
    pop: *mut PMEMobjpool,
    pe_offset: usize,
    head: *mut c_void,
    dest: Oid,
    before: c_int,
    size: usize,
    type_num: u64,
    constructor: CConstructor,
    arg: *mut c_void,
) -> Oid {
    // SAFETY: the C contract.
    let Some(pool) = (unsafe { pool_arg(pop) }) else { return Oid::NULL };
    let req = Request { size: size as u64, type_num, zero: false, class: 0, arena: 0 };
    let insert = || {
        let (list, place) = (list(pool, head, pe_offset)?, position(pool, dest, before)?);
        // SAFETY: the C contract.
        unsafe { with_constructor(pop, constructor, arg, |c| pool.list_insert_new(list, place, req, c)) }
    };
    oid_or_null(insert())
}

/// Removes an element, and frees it if free is not 0; 0, or -1 with errno.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_list_remove(
    pop: *mut PMEMobjpool,
    pe_offset: usize,
    head: *mut c_void,
    oid: Oid,
    free: c_int,
) -> c_int {
    // SAFETY: the C contract.
    let Some(pool) = (unsafe { pool_arg(pop) }) else { return -1 };
    let remove = || pool.list_remove(list(pool, head, pe_offset)?, element(pool, oid)?, free != 0);
    status(remove())
}

/// Moves an element to another list or place; 0, or -1 with errno.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_list_move(
    pop: *mut PMEMobjpool,
    pe_old_offset: usize,
    head_old: *mut c_void,
    pe_new_offset: usize,
    head_new: *mut c_void,
    dest: Oid,
    before: c_int,
    oid: Oid,
) -> c_int {
    // SAFETY: the C contract.
    let Some(pool) = (unsafe { pool_arg(pop) }) else { return -1 };
    let to_place = || {
        pool.list_move(
            list(pool, head_old, pe_old_offset)?,
            list(pool, head_new, pe_new_offset)?,
            position(pool, dest, before)?,
            element(pool, oid)?,
        )
    };
    status(to_place())
}

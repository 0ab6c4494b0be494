//! What the library remembers per thread: its transaction and, per pool, the
//! lane that it prefers or holds, and its arena. A fixed table, so that no path
//! of an operation allocates and nothing needs to be freed when the thread ends.

use std::ffi::c_void;

/// Pools that one thread may hold lanes of at the same time.
const RECORDS: usize = 8;

/// A lane or arena that the thread has not got. Others count from 1, so that
/// a thread starts with zeros.
pub const UNASSIGNED: u32 = 0;

/// One thread's relation to one open pool.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Unique per open; 0 marks an unused record.
    pub pool_id: u64,
    /// The lane plus 1.
    pub lane: u32,
    /// Nested holds of `lane`; 0 means that it is only preferred.
    pub depth: u32,
    /// The arena plus 1.
    pub arena: u32,
}

const EMPTY: Record = Record { pool_id: 0, lane: UNASSIGNED, depth: 0, arena: UNASSIGNED };

/// The shim's `pmem_rs_thread`, all zero in a new thread.
#[repr(C)]
struct Thread {
    transaction: *mut c_void,
    table: [Record; RECORDS],
}

const _: () = assert!(size_of::<Thread>() == 200, "as in shim.c");

/// The calling thread's part. Rust's own thread-local data would cost a call
/// of the loader each time: stable Rust cannot choose the initial-exec model,
/// which the exported `_pobj_cached_pool` demands of the library anyway.
#[inline(always)]
fn this() -> *mut Thread {
    #[cfg(target_arch = "x86_64")]
    {
        let at: *mut Thread;
        // SAFETY: reads the thread pointer and the loader's constant offset;
        // the result is the same wherever in the thread it is asked for.
        unsafe {
            std::arch::asm!(
                "mov {at}, qword ptr [rip + pmem_rs_thread@GOTTPOFF]",
                "add {at}, qword ptr fs:[0]",
                at = out(reg) at,
                options(pure, nomem, nostack)
            );
        }
        at
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        unsafe extern "C" {
            fn pmem_rs_this_thread() -> *mut Thread;
        }
        // SAFETY: returns the address of a thread-local variable.
        unsafe { pmem_rs_this_thread() }
    }
}

/// The thread's transaction, whatever that is; null at first.
#[inline(always)]
pub fn transaction() -> *mut c_void {
    // SAFETY: the thread's own, and no reference to it is kept.
    unsafe { (*this()).transaction }
}

pub fn set_transaction(t: *mut c_void) {
    // SAFETY: as above.
    unsafe { (*this()).transaction = t }
}

/// Runs `f` on the calling thread's record of the pool; `f` must not call
/// back here. `None` if the thread holds lanes of too many pools at once.
#[inline]
pub fn with_record<R>(pool_id: u64, f: impl FnOnce(&mut Record) -> R) -> Option<R> {
    // SAFETY: the table is this thread's own and `f` does not re-enter.
    let table = unsafe { &mut (*this()).table };
    if table[0].pool_id == pool_id {
        return Some(f(&mut table[0]));
    }
    find(table, pool_id).map(f)
}

/// Moves the pool's record, if need be a new one in place of an idle one, to
/// the front of the table.
#[cold]
fn find(table: &mut [Record; RECORDS], pool_id: u64) -> Option<&mut Record> {
    let i = match table.iter().position(|r| r.pool_id == pool_id) {
        Some(i) => i,
        None => {
            let i = table.iter().rposition(|r| r.depth == 0)?;
            table[i] = Record { pool_id, ..EMPTY };
            i
        }
    };
    table[..=i].rotate_right(1);
    Some(&mut table[0])
}

//! What the library remembers per thread and pool: the lane that the thread
//! prefers or holds, and its arena. A fixed table, so that no path of an
//! operation allocates and nothing needs to be freed when the thread ends.

use std::cell::UnsafeCell;

/// Pools that one thread may hold lanes of at the same time.
const RECORDS: usize = 8;

pub const UNASSIGNED: u32 = u32::MAX;

/// One thread's relation to one open pool.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Unique per open; 0 marks an unused record.
    pub pool_id: u64,
    pub lane: u32,
    /// Nested holds of `lane`; 0 means that it is only preferred.
    pub depth: u32,
    pub arena: u32,
}

const EMPTY: Record = Record { pool_id: 0, lane: UNASSIGNED, depth: 0, arena: UNASSIGNED };

thread_local! {
    static TABLE: UnsafeCell<[Record; RECORDS]> = const { UnsafeCell::new([EMPTY; RECORDS]) };
}

/// Runs `f` on the calling thread's record of the pool; `f` must not call
/// back here. `None` if the thread holds lanes of too many pools at once.
#[inline]
pub fn with_record<R>(pool_id: u64, f: impl FnOnce(&mut Record) -> R) -> Option<R> {
    TABLE.with(|table| {
        // SAFETY: the table is this thread's own and `f` does not re-enter.
        let table = unsafe { &mut *table.get() };
        if table[0].pool_id == pool_id {
            return Some(f(&mut table[0]));
        }
        find(table, pool_id).map(f)
    })
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

//! The open pools of the process. Looked up on every `pmemobj_direct` that
//! misses its cache and on every `pmemobj_pool_by_ptr`, so that readers take
//! no lock: they look through a table whose entries are atomics.

use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use super::{Error, Result};

/// Entries of one block of the table.
const BLOCK: usize = 64;

struct Entry {
    /// 0 marks a free entry.
    uuid_lo: AtomicU64,
    base: AtomicUsize,
    len: AtomicUsize,
    pool: AtomicPtr<()>,
}

impl Entry {
    const fn free() -> Entry {
        Entry {
            uuid_lo: AtomicU64::new(0),
            base: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            pool: AtomicPtr::new(std::ptr::null_mut()),
        }
    }
}

/// A block of entries, and the next one, which is never freed again.
struct Block {
    entries: [Entry; BLOCK],
    /// Entries in front of it may be used, those behind never were.
    used: AtomicUsize,
    next: AtomicPtr<Block>,
}

impl Block {
    const fn new() -> Block {
        Block {
            entries: [const { Entry::free() }; BLOCK],
            used: AtomicUsize::new(0),
            next: AtomicPtr::new(std::ptr::null_mut()),
        }
    }
}

static FIRST: Block = Block::new();
/// Bounds of all pools that were ever open: most addresses are outside.
static LOW: AtomicUsize = AtomicUsize::new(usize::MAX);
static HIGH: AtomicUsize = AtomicUsize::new(0);
static WRITER: Mutex<()> = Mutex::new(());

fn entries() -> impl Iterator<Item = &'static Entry> {
    let blocks = std::iter::successors(Some(&FIRST), |b| {
        // SAFETY: blocks are leaked.
        unsafe { b.next.load(Ordering::Acquire).as_ref() }
    });
    blocks.flat_map(|b| &b.entries[..b.used.load(Ordering::Acquire)])
}

/// Adds a pool. Its id must not be there yet.
pub fn insert(uuid_lo: u64, base: usize, len: usize, pool: *const ()) -> Result<()> {
    let _guard = WRITER.lock().unwrap_or_else(|e| e.into_inner());
    if by_uuid_lo(uuid_lo).is_some() {
        return Err(Error::AlreadyOpen);
    }
    let e = free_entry().ok_or(Error::OutOfMemory)?;
    LOW.fetch_min(base, Ordering::Release);
    HIGH.fetch_max(base + len, Ordering::Release);
    e.pool.store(pool.cast_mut(), Ordering::Relaxed);
    e.len.store(len, Ordering::Relaxed);
    e.base.store(base, Ordering::Release);
    e.uuid_lo.store(uuid_lo, Ordering::Release);
    Ok(())
}

fn free_entry() -> Option<&'static Entry> {
    if let Some(e) = entries().find(|e| e.base.load(Ordering::Relaxed) == 0) {
        return Some(e);
    }
    let mut block = &FIRST;
    loop {
        let used = block.used.load(Ordering::Relaxed);
        if used < BLOCK {
            block.used.store(used + 1, Ordering::Release);
            return Some(&block.entries[used]);
        }
        if block.next.load(Ordering::Relaxed).is_null() {
            block.next.store(crate::heap::try_box(Block::new())?, Ordering::Release);
        }
        // SAFETY: not null, and blocks are leaked.
        block = unsafe { block.next.load(Ordering::Relaxed).as_ref() }?;
    }
}

/// Takes a pool out.
pub fn remove(pool: *const ()) {
    let _guard = WRITER.lock().unwrap_or_else(|e| e.into_inner());
    for e in entries().filter(|e| std::ptr::eq(e.pool.load(Ordering::Relaxed), pool)) {
        e.uuid_lo.store(0, Ordering::Release);
        e.len.store(0, Ordering::Release);
        e.pool.store(std::ptr::null_mut(), Ordering::Release);
        e.base.store(0, Ordering::Release);
    }
}

/// The pool with this id.
#[inline]
pub fn by_uuid_lo(uuid_lo: u64) -> Option<*const ()> {
    if uuid_lo == 0 {
        return None;
    }
    let is = |e: &&Entry| e.uuid_lo.load(Ordering::Acquire) == uuid_lo;
    // Mostly one pool is open.
    let e = Some(&FIRST.entries[0]).filter(is).or_else(|| entries().find(is))?;
    Some(e.pool.load(Ordering::Acquire))
}

/// The pool that contains an address.
#[inline]
pub fn by_addr(addr: usize) -> Option<*const ()> {
    if addr < LOW.load(Ordering::Relaxed) || addr >= HIGH.load(Ordering::Relaxed) {
        return None;
    }
    let e = entries().find(|e| {
        let base = e.base.load(Ordering::Acquire);
        addr.wrapping_sub(base) < e.len.load(Ordering::Acquire)
    })?;
    Some(e.pool.load(Ordering::Acquire)).filter(|p| !p.is_null()).map(|p| p.cast_const())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_many_and_forgets() {
        let many = if cfg!(miri) { 10 } else { 200 };
        let at = |i: usize| (0x10_0000 * (i + 1)) as *const ();
        for round in 0..3 {
            for i in 0..many {
                insert(i as u64 + 1000, at(i) as usize, 0x1000, at(i)).unwrap();
            }
            assert!(matches!(insert(1000, 1, 1, at(0)), Err(Error::AlreadyOpen)), "round {round}");
            for i in 0..many {
                assert_eq!(by_uuid_lo(i as u64 + 1000), Some(at(i)));
                assert_eq!(by_addr(at(i) as usize + 0xfff), Some(at(i)));
                assert_eq!(by_addr(at(i) as usize + 0x1000), None);
            }
            (0..many).for_each(|i| remove(at(i)));
            assert_eq!((by_uuid_lo(1000), by_addr(at(0) as usize)), (None, None));
        }
    }
}

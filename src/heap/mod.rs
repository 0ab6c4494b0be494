//! The heap (format section 4): zones, chunks and runs on media; arenas,
//! allocation classes and free lists in the process.
//!
//! The room knows how blocks are reserved and how reserved blocks, frees and
//! word changes are published through a lane's redo log. It does not know
//! what objects are for: destinations, roots and constructors are `obj`'s.

mod ahead;
mod arena;
mod arenas;
mod block;
mod boot;
mod buffers;
mod check;
mod class;
mod compact;
mod custom;
mod error;
mod huge;
mod iter;
mod layout;
mod map;
mod operation;
mod publish;
mod recycler;
mod run;
mod seats;
mod stats;
mod zone;

use std::alloc::Layout;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

pub use arenas::Sharing;
pub use block::{Block, INTERNAL, ObjectHeader};
pub use boot::{check, format, metadata};
pub use buffers::Buffer;
pub use check::{Root, inspect};
pub use custom::ClassInfo;
pub use error::Error;
pub use layout::{HeaderType, MAX_ALLOC, MIN_HEAP};
pub use operation::Operation;
pub use publish::Action;

use crate::pool::Region;
use crate::ulog::{self, Bounds, Budget, Extended, Lanes, Redo};

/// Recycled runs of each class, the last for runs of unknown classes.
const RECYCLERS: usize = class::NO_CLASS as usize + 1;
/// Default size of an extension of an undo log (`tx.cache.size`).
const UNDO_EXTENSION: u64 = 32_768;

/// What to allocate.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Bytes that the user asks for.
    pub size: u64,
    pub type_num: u64,
    /// Zero the whole usable size.
    pub zero: bool,
    /// Allocation class, 0 for the default.
    pub class: u16,
    /// Arena, 0 for the thread's own.
    pub arena: u16,
}

impl Request {
    /// For an object of the library.
    pub fn internal(size: u64) -> Request {
        Request { size, type_num: 0, zero: false, class: 0, arena: 0 }
    }
}

/// An open heap with its lanes.
pub struct Heap {
    region: Region,
    /// Offset of the heap header.
    start: u64,
    size: u64,
    pub lanes: Lanes,
    classes: class::Classes,
    zones: Vec<zone::Zone>,
    /// No zone below it is left to scan.
    next_zone: AtomicU32,
    free: Mutex<huge::FreeBlocks>,
    arenas: arenas::Arenas,
    recyclers: Vec<recycler::Recycler>,
    /// A run is not on a recycler's list, though it should be.
    unlisted: AtomicBool,
    /// A run may have become empty since all were looked at.
    emptied: AtomicBool,
    /// Held while empty runs become free chunks.
    reclaiming: Mutex<()>,
    /// Memory was short when space was looked for.
    short_of_memory: AtomicBool,
    /// Runs of earlier processes at which nobody looked yet.
    unseen: Mutex<Vec<(u32, u32)>>,
    /// Log space lent by the application to running transactions.
    buffers: Mutex<Vec<Buffer>>,
    /// `tx.cache.size`.
    undo_extension: AtomicU64,
    stats: stats::Stats,
    /// The byte that fills reserved blocks, if it is not negative.
    pattern: AtomicI32,
}

impl Heap {
    /// Opens a heap that [`check`] found sound and whose lanes' redo logs were
    /// recovered.
    pub fn boot(
        region: Region,
        start: u64,
        size: u64,
        lanes: Lanes,
        sharing: Sharing,
    ) -> Result<Heap, Error> {
        let stats = stats::Stats::new(lanes.count())?;
        let arenas = arenas::Arenas::new(sharing, lanes.id())?;
        let mut heap = Heap {
            region,
            start,
            size,
            lanes,
            classes: class::Classes::new().ok_or(Error::OutOfMemory)?,
            zones: Vec::new(),
            next_zone: AtomicU32::new(0),
            free: Mutex::default(),
            arenas,
            recyclers: Vec::new(),
            unlisted: AtomicBool::new(false),
            emptied: AtomicBool::new(false),
            reclaiming: Mutex::default(),
            short_of_memory: AtomicBool::new(false),
            unseen: Mutex::default(),
            undo_extension: AtomicU64::new(UNDO_EXTENSION),
            buffers: Mutex::default(),
            stats,
            pattern: AtomicI32::new(-1),
        };
        let zones = layout::zone_count(size);
        fill(&mut heap.zones, zones as usize, |z| {
            zone::Zone::new(start, z as u32, layout::zone_chunks(size, z as u64) as u32)
        })?;
        fill(&mut heap.recyclers, RECYCLERS, |_| Default::default())?;
        heap.grow_zones();
        Ok(heap)
    }

    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Offsets of the heap's first byte and behind its last.
    pub fn range(&self) -> (u64, u64) {
        (self.start, self.start + self.size)
    }

    /// Releases what is still linked to the logs of a lane after recovery, the
    /// last of each chain first. A chain is looked at when its turn comes, as
    /// releasing another one may have changed a forged one.
    pub fn release_chains(&self, bounds: &Bounds, lane: u64, budget: &Budget) -> Result<(), Error> {
        for log in Extended::ALL {
            self.release_chain(bounds, lane, log, budget)?;
        }
        Ok(())
    }

    fn release_chain(&self, bounds: &Bounds, lane: u64, log: Extended, budget: &Budget) -> Result<(), Error> {
        let mut links = Vec::new();
        ulog::links_of(&self.region, bounds, lane, log, budget, &mut links)?;
        if links.is_empty() {
            return Ok(());
        }
        let mut internal = Redo::internal_of(bounds, lane);
        if defect!(ExtensionsFreedFromHead) {
            links.reverse()
        }
        for linked in links.iter().rev() {
            self.probe_block(bounds, linked.link)?;
            if linked.is_user_buffer(&self.region) {
                // The application's own object: unlinked, never freed.
                self.region.persist_word(linked.field, 0);
            } else {
                self.release_log(&mut internal, linked.field, linked.link)?;
            }
        }
        Ok(())
    }

    /// Sets the size of extensions of undo logs.
    pub fn set_undo_extension(&self, bytes: u64) {
        self.undo_extension.store(bytes, Ordering::Relaxed);
    }

    /// The byte that fills newly reserved blocks; negative for none.
    pub fn pattern(&self) -> i32 {
        self.pattern.load(Ordering::Relaxed)
    }

    pub fn set_pattern(&self, pattern: i32) {
        self.pattern.store(pattern, Ordering::Relaxed);
    }

    pub fn undo_extension(&self) -> u64 {
        self.undo_extension.load(Ordering::Relaxed)
    }

    fn free_blocks(&self) -> MutexGuard<'_, huge::FreeBlocks> {
        lock(&self.free)
    }
}

/// Panics abort, so that no lock is ever poisoned.
fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    // ThreadSanitizer does not see the standard library's slow path.
    #[cfg(tsan)]
    loop {
        match m.try_lock() {
            Ok(guard) => return guard,
            Err(std::sync::TryLockError::Poisoned(e)) => return e.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => std::thread::yield_now(),
        }
    }
    #[cfg(not(tsan))]
    m.lock().unwrap_or_else(|e| e.into_inner())
}

fn fill<T>(v: &mut Vec<T>, n: usize, f: impl FnMut(usize) -> T) -> Result<(), Error> {
    v.try_reserve_exact(n).map_err(|_| Error::OutOfMemory)?;
    v.extend((0..n).map(f));
    Ok(())
}

/// A box that does not abort when memory runs out.
pub(crate) fn try_box<T>(value: T) -> Option<*mut T> {
    let layout = Layout::new::<T>();
    assert!(layout.size() > 0);
    // SAFETY: the size is not zero.
    let p = unsafe { std::alloc::alloc(layout) }.cast::<T>();
    if p.is_null() {
        return None;
    }
    // SAFETY: fresh memory of T's layout.
    unsafe { p.write(value) };
    Some(p)
}

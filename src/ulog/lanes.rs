//! Lanes: sets of logs, each used by one thread at a time.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::{
    CAPACITY, EXTERNAL, EXTERNAL_CAPACITY, Error, HEADER, INTERNAL, INTERNAL_CAPACITY, LANE_SIZE, Redo, UNDO,
    UNDO_CAPACITY, Undo,
};
use crate::pool::Region;
use crate::thread::{self, UNASSIGNED};

/// Entries for which the external log of a lane always has volatile room: an
/// atomic call that allocates or frees has five at most, two of an object's
/// header, two of an id, and its block. Lists make room for more.
const OPERATION: usize = 6;
/// New threads start this many lanes apart.
const STRIDE: u32 = 8;

/// Units of a run that become allocated or free: bits of a word of its bitmap.
#[derive(Clone, Copy, Debug)]
pub struct Units {
    /// Address of the run's volatile state.
    pub run: usize,
    pub word: u64,
    pub bits: u64,
    /// Of units that become free, the bits at which objects start; 0 for units
    /// that become allocated.
    pub headed: u64,
    pub zone: u32,
    pub chunk: u32,
}

impl Units {
    pub fn are_freed(&self) -> bool {
        self.headed != 0
    }
}

/// The volatile side of one lane's logs.
pub struct Logs {
    pub internal: Redo,
    pub external: Redo,
    pub undo: Undo,
    /// What the running operation changes in runs.
    pub units: Vec<Units>,
}

/// A cache line of its own per lane. All zero is a free lane never used.
#[repr(align(64))]
struct Lane {
    busy: AtomicBool,
    /// Made at the lane's first use.
    logs: UnsafeCell<Option<NonNull<Logs>>>,
}

/// All lanes of an open pool.
pub struct Lanes {
    region: Region,
    offset: u64,
    lanes: NonNull<Lane>,
    count: u32,
    next_primary: AtomicU32,
    /// Unique per open of any pool; the key of the threads' records.
    id: u64,
}

// SAFETY: a lane's logs are touched only by the thread that holds it.
unsafe impl Send for Lanes {}
// SAFETY: as above.
unsafe impl Sync for Lanes {}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Lanes {
    /// The first `count` lanes of the array at `offset`; recovery is done.
    pub fn new(region: Region, offset: u64, count: u32) -> Result<Lanes, Error> {
        let layout = Self::layout(count).ok_or(Error::OutOfMemory)?;
        // SAFETY: the layout's size is not zero.
        let lanes = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(Error::OutOfMemory)?;
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Ok(Lanes { region, offset, lanes: lanes.cast(), count, next_primary: AtomicU32::new(0), id })
    }

    fn layout(count: u32) -> Option<Layout> {
        if count == 0 {
            return None;
        }
        Layout::array::<Lane>(count as usize).ok()
    }

    #[inline]
    fn lane(&self, i: u32) -> &Lane {
        assert!(i < self.count);
        // SAFETY: in bounds; all zero bytes are a valid Lane.
        unsafe { &*self.lanes.as_ptr().add(i as usize) }
    }

    /// Lanes in use.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Key of the per-thread records of this pool.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Holds a lane for the calling thread; nested holds share it. Waits
    /// while all lanes are taken.
    #[inline]
    pub fn hold(&self) -> Result<Hold<'_>, Error> {
        let held = thread::with_record(self.id, |r| {
            if r.depth == 0 && (r.lane == UNASSIGNED || !self.try_acquire(r.lane - 1)) {
                r.lane = self.search(r.lane);
            }
            r.depth += 1;
            (r.lane - 1, r.depth == 1)
        });
        let Some((lane, outermost)) = held else { return Err(Error::TooManyPools) };
        match self.logs_of(lane) {
            Some(logs) => Ok(Hold { lanes: self, logs, lane, outermost }),
            None => self.first_hold(lane, outermost),
        }
    }

    #[cold]
    fn first_hold(&self, lane: u32, outermost: bool) -> Result<Hold<'_>, Error> {
        // Dropping it lets the lane go.
        let mut hold = Hold { lanes: self, logs: NonNull::dangling(), lane, outermost };
        hold.logs = self.make_logs(lane)?;
        Ok(hold)
    }

    /// The next free lane, from the preferred one on. Both count from 1.
    #[cold]
    fn search(&self, preferred: u32) -> u32 {
        let mut i = match preferred {
            UNASSIGNED => self.next_primary.fetch_add(STRIDE, Ordering::Relaxed) % self.count,
            p => p - 1,
        };
        let mut tried = 0;
        while !self.try_acquire(i) {
            i = (i + 1) % self.count;
            tried += 1;
            if tried % self.count == 0 {
                std::thread::yield_now();
            }
        }
        i + 1
    }

    #[inline]
    fn try_acquire(&self, i: u32) -> bool {
        let busy = &self.lane(i).busy;
        !busy.load(Ordering::Relaxed) && !busy.swap(true, Ordering::Acquire)
    }

    #[inline]
    fn logs_of(&self, i: u32) -> Option<NonNull<Logs>> {
        // SAFETY: the caller holds the lane, or is the pool's last user.
        unsafe { *self.lane(i).logs.get() }
    }

    #[cold]
    fn make_logs(&self, i: u32) -> Result<NonNull<Logs>, Error> {
        let start = self.offset + i as u64 * LANE_SIZE;
        let mut external = Redo::new(start + EXTERNAL, EXTERNAL_CAPACITY);
        external.reserve(OPERATION)?;
        let logs = Logs {
            internal: Redo::new(start + INTERNAL, INTERNAL_CAPACITY),
            external,
            undo: Undo::new(&self.region, start + UNDO)?,
            units: Vec::new(),
        };
        // SAFETY: Logs is not zero-sized.
        let p = unsafe { alloc_zeroed(Layout::new::<Logs>()) }.cast::<Logs>();
        let p = NonNull::new(p).ok_or(Error::OutOfMemory)?;
        // SAFETY: freshly allocated for one Logs; the lane is held.
        unsafe {
            p.as_ptr().write(logs);
            *self.lane(i).logs.get() = Some(p);
        }
        Ok(p)
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        for i in 0..self.count {
            if let Some(p) = self.logs_of(i) {
                // SAFETY: made by `make_logs`, used by nobody any more.
                unsafe {
                    p.as_ptr().drop_in_place();
                    dealloc(p.as_ptr().cast(), Layout::new::<Logs>());
                }
            }
        }
        if let Some(layout) = Self::layout(self.count) {
            // SAFETY: allocated in `new` with this layout.
            unsafe { dealloc(self.lanes.as_ptr().cast(), layout) };
        }
    }
}

/// A held lane; let go when dropped, if it is the outermost hold.
pub struct Hold<'a> {
    lanes: &'a Lanes,
    logs: NonNull<Logs>,
    lane: u32,
    outermost: bool,
}

impl Hold<'_> {
    /// The lane's logs. Operations of a thread nest (an atomic allocation
    /// inside a transaction), so the logs are handed out as a pointer.
    ///
    /// Contract: a reference made from it ends before anything is called that
    /// could start another operation of this thread (constructors, callbacks).
    #[inline]
    pub fn logs(&self) -> NonNull<Logs> {
        self.logs
    }

    #[inline]
    pub fn index(&self) -> u32 {
        self.lane
    }

    /// Whether no other operation of the thread, as a transaction around this
    /// one, holds the lane.
    #[inline]
    pub fn is_outermost(&self) -> bool {
        self.outermost
    }
}

impl Drop for Hold<'_> {
    #[inline]
    fn drop(&mut self) {
        let last = thread::with_record(self.lanes.id, |r| {
            r.depth -= 1;
            r.depth == 0
        });
        if last != Some(false) {
            self.lanes.lane(self.lane).busy.store(false, Ordering::Release);
        }
    }
}

/// Writes `count` lanes as of a new pool (format 3.2); flushed, not drained.
pub fn format(region: &Region, offset: u64, count: u64) {
    for lane in 0..count - defect!(LastLaneUnformatted) as u64 {
        let start = offset + lane * LANE_SIZE;
        for (log, capacity) in
            [(INTERNAL, INTERNAL_CAPACITY), (EXTERNAL, EXTERNAL_CAPACITY), (UNDO, UNDO_CAPACITY)]
        {
            // Header and the first line of entries.
            region.fill(start + log, 0, 2 * HEADER);
            region.store(start + log + CAPACITY, capacity);
            region.flush(start + log + CAPACITY, 8);
        }
    }
}

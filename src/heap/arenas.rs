//! The arenas of a heap, and which one a thread uses.

use std::ops::Index;
use std::ptr::null_mut;
use std::sync::Mutex;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicU32};

use super::arena::Arena;
use super::{Error, Heap, fill, seats};
use crate::thread::{self, UNASSIGNED};

/// Segments of arenas created later; number `k` holds `1 << k` of them.
const SEGMENTS: usize = 16;
/// What fits into the segments and into the flags of an allocation.
const LIMIT: usize = u16::MAX as usize;
const DEFAULT_MAX: u32 = 1024;

/// How a heap is shared among threads.
#[derive(Clone, Copy, Debug)]
pub struct Sharing {
    /// Arenas at first, at least 1.
    pub arenas: u32,
    /// All threads use the first one.
    pub one_for_all: bool,
}

/// Arenas by index. They are never taken away, so that none needs a lock to be
/// found.
pub struct Arenas {
    first: Vec<Arena>,
    more: [AtomicPtr<Arena>; SEGMENTS],
    total: AtomicU32,
    /// What creation announces as its limit; it grows on demand.
    max: AtomicU32,
    one_for_all: bool,
    /// Of the heap, to which threads' seats refer.
    id: u64,
    /// Held while arenas are created or change between automatic and not.
    changing: Mutex<()>,
}

impl Arenas {
    /// The arenas of the heap `id`.
    pub fn new(sharing: Sharing, id: u64) -> Result<Arenas, Error> {
        let n = sharing.arenas.clamp(1, LIMIT as u32);
        let mut first = Vec::new();
        fill(&mut first, n as usize, |_| Arena::new(true))?;
        seats::open(id)?;
        Ok(Arenas {
            first,
            more: [const { AtomicPtr::new(null_mut()) }; SEGMENTS],
            total: AtomicU32::new(n),
            max: AtomicU32::new(n.max(DEFAULT_MAX)),
            one_for_all: sharing.one_for_all,
            id,
            changing: Mutex::new(()),
        })
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.total.load(Acquire) as usize
    }

    /// Segment and position of an arena created later.
    fn place(later: usize) -> (usize, usize) {
        let k = (later + 1).ilog2() as usize;
        (k, later + 1 - (1 << k))
    }

    #[cold]
    fn created(&self, i: usize) -> &Arena {
        let (k, at) = Self::place(i - self.first.len());
        // SAFETY: below `total`, so that segment and arena were made, and they stay.
        unsafe { &*self.more[k].load(Acquire).add(at) }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arena> {
        (0..self.len()).map(|i| &self[i])
    }

    /// A new arena that serves only those who name it: its index.
    fn create(&self) -> Result<usize, Error> {
        let _guard = super::lock(&self.changing);
        let i = self.len();
        if i >= LIMIT {
            return Err(Error::OutOfMemory);
        }
        let (k, _) = Self::place(i - self.first.len());
        if self.more[k].load(Relaxed).is_null() {
            let mut segment = Vec::new();
            fill(&mut segment, 1 << k, |_| Arena::new(false))?;
            self.more[k].store(segment.leak().as_mut_ptr(), Release);
        }
        self.total.store(i as u32 + 1, Release);
        while self.max.load(Relaxed) <= i as u32 {
            self.max.fetch_add(self.max.load(Relaxed), Relaxed);
        }
        Ok(i)
    }

    /// Index of the calling thread's arena; at first that is the automatic one
    /// with the fewest threads.
    #[cold]
    fn assign(&self) -> u32 {
        seats::take(self.id, false, || {
            let automatic = self.iter().enumerate().filter(|(_, a)| a.automatic.load(Relaxed));
            let fewest = automatic.min_by_key(|(_, a)| a.threads.load(Relaxed)).map_or(0, |(i, _)| i);
            let i = if self.one_for_all { 0 } else { fewest };
            (i as u32, &raw const self[i].threads)
        })
    }
}

impl Index<usize> for Arenas {
    type Output = Arena;

    #[inline]
    fn index(&self, i: usize) -> &Arena {
        match self.first.get(i) {
            Some(a) => a,
            None => self.created(i),
        }
    }
}

impl Drop for Arenas {
    fn drop(&mut self) {
        seats::close(self.id);
        for (k, segment) in self.more.iter_mut().enumerate() {
            let p = *segment.get_mut();
            if !p.is_null() {
                // SAFETY: leaked by `create` with exactly this length and capacity.
                drop(unsafe { Vec::from_raw_parts(p, 1 << k, 1 << k) });
            }
        }
    }
}

/// Arenas by the numbers that programs use, from 1 on.
impl Heap {
    /// Index of the calling thread's arena, or of the one that was asked for.
    #[inline]
    pub(super) fn arena_for(&self, wanted: u32) -> Result<usize, Error> {
        if wanted != 0 {
            return self.arena_index(wanted as u64);
        }
        let assigned = thread::with_record(self.lanes.id(), |r| {
            if r.arena == UNASSIGNED {
                r.arena = self.arenas.assign() + 1;
            }
            r.arena - 1
        });
        Ok(assigned.unwrap_or(0) as usize)
    }

    fn arena_index(&self, id: u64) -> Result<usize, Error> {
        if id >= 1 && id <= self.arenas.len() as u64 { Ok(id as usize - 1) } else { Err(Error::NoArena(id)) }
    }

    pub fn arena_count(&self) -> u32 {
        self.arenas.len() as u32
    }

    pub fn automatic_arenas(&self) -> u32 {
        self.arenas.iter().filter(|a| a.automatic.load(Relaxed)).count() as u32
    }

    pub fn max_arenas(&self) -> u32 {
        self.arenas.max.load(Relaxed)
    }

    /// False if there are more arenas already.
    pub fn set_max_arenas(&self, max: u32) -> bool {
        let _guard = super::lock(&self.arenas.changing);
        let enough = max as usize >= self.arenas.len();
        if enough {
            self.arenas.max.store(max, Relaxed);
        }
        enough
    }

    pub fn create_arena(&self) -> Result<u32, Error> {
        Ok(self.arenas.create()? as u32 + 1)
    }

    /// Bytes of the runs that serve an arena.
    pub fn arena_size(&self, id: u64) -> Result<u64, Error> {
        Ok(self.arenas[self.arena_index(id)?].size())
    }

    pub fn arena_automatic(&self, id: u64) -> Result<bool, Error> {
        Ok(self.arenas[self.arena_index(id)?].automatic.load(Relaxed))
    }

    /// Whether threads get the arena without asking. False if it is the last one.
    pub fn set_arena_automatic(&self, id: u64, on: bool) -> Result<bool, Error> {
        let arena = &self.arenas[self.arena_index(id)?];
        let _guard = super::lock(&self.arenas.changing);
        if !on && arena.automatic.load(Relaxed) && self.automatic_arenas() == 1 {
            return Ok(false);
        }
        arena.automatic.store(on, Relaxed);
        Ok(true)
    }

    /// The arena of the calling thread; `None` if all threads share one.
    pub fn thread_arena(&self) -> Option<u32> {
        if self.arenas.one_for_all { None } else { Some(self.arena_for(0).unwrap_or(0) as u32 + 1) }
    }

    /// Gives the calling thread another arena.
    pub fn set_thread_arena(&self, id: u64) -> Result<(), Error> {
        let new = self.arena_index(id)? as u32;
        seats::take(self.arenas.id, true, || (new, &raw const self.arenas[new as usize].threads));
        thread::with_record(self.lanes.id(), |r| r.arena = new + 1);
        Ok(())
    }
}

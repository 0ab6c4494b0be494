//! Arenas: each thread allocates from the runs of one of them, so that
//! threads seldom meet.

use std::cell::UnsafeCell;
use std::ptr::null_mut;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32};

use super::block::Block;
use super::class::{HUGE, NO_CLASS};
use super::layout::{CHUNK, HeaderType, MAX_ALLOC, RunGeometry};
use super::map::RunMap;
use super::run;
use super::zone::{Slot, SlotState, Zone};
use super::{Error, Heap, Request};
use crate::lock::RawLock;

/// The runs that serve one arena, one per class. No line of it belongs to
/// another arena, too.
#[repr(align(64))]
pub struct Arena {
    pub(super) lock: RawLock,
    active: UnsafeCell<[*mut RunMap; NO_CLASS as usize]>,
    /// Threads may get it without asking.
    pub automatic: AtomicBool,
    /// Threads that were given it.
    pub threads: AtomicU32,
}

// SAFETY: `active` is only touched with the lock held.
unsafe impl Sync for Arena {}
// SAFETY: the maps belong to the slots of their runs.
unsafe impl Send for Arena {}

impl Arena {
    pub fn new(automatic: bool) -> Arena {
        Arena {
            lock: RawLock::default(),
            active: UnsafeCell::new([null_mut(); NO_CLASS as usize]),
            automatic: AtomicBool::new(automatic),
            threads: AtomicU32::new(0),
        }
    }

    /// Bytes of its runs.
    pub fn size(&self) -> u64 {
        self.lock.with(|| {
            // SAFETY: an arena's runs keep their maps while they serve it.
            let chunks =
                |class| unsafe { self.active(class).as_ref() }.map_or(0, |m| m.geometry.chunks as u64);
            (1..NO_CLASS).map(chunks).sum::<u64>() * CHUNK
        })
    }

    /// The run that serves `class`.
    pub(super) fn active(&self, class: u8) -> *mut RunMap {
        // SAFETY: the caller holds the arena's lock.
        unsafe { (&*self.active.get())[class as usize] }
    }

    pub(super) fn set_active(&self, class: u8, map: *mut RunMap) {
        // SAFETY: the caller holds the arena's lock.
        unsafe { (&mut *self.active.get())[class as usize] = map }
    }
}

impl Heap {
    /// Reserves a block: it is taken out of the volatile state, media does not
    /// change but for free space being split or turned into runs.
    #[inline]
    pub fn reserve(&self, req: &Request) -> Result<Block, Error> {
        if self.pattern() < 0 { self.take_block(req) } else { self.take_and_fill(req) }
    }

    /// `debug.heap.alloc_pattern`.
    #[cold]
    fn take_and_fill(&self, req: &Request) -> Result<Block, Error> {
        let b = self.take_block(req)?;
        self.region.fill(b.user(), self.pattern() as u8, b.usable());
        Ok(b)
    }

    #[inline]
    fn take_block(&self, req: &Request) -> Result<Block, Error> {
        if req.size.wrapping_sub(1) >= MAX_ALLOC {
            return Err(if req.size == 0 { Error::SizeZero } else { Error::TooLarge });
        }
        let id = match req.class {
            0 => self.classes.for_size(req.size),
            id if id < NO_CLASS as u16 => id as u8,
            _ => return Err(Error::NoClass(req.size)),
        };
        let arena = self.arena_for(req.arena as u32)?;
        match self.take_active(&self.arenas[arena], id, req) {
            Some(b) => Ok(b),
            None => self.take_other(arena, id, req),
        }
    }

    /// A block from the run that serves the class, if there is one with room.
    #[inline]
    fn take_active(&self, a: &Arena, class: u8, req: &Request) -> Option<Block> {
        a.lock.lock();
        // SAFETY: an arena's runs keep their maps while they serve it.
        let map = unsafe { a.active(class).as_ref() };
        let block = map.and_then(|m| m.take_block(m.geometry.units_for(req.size)?, req.type_num));
        a.lock.unlock();
        block
    }

    /// Whole chunks, or units of a run that does not serve the arena yet.
    #[cold]
    fn take_other(&self, arena: usize, class: u8, req: &Request) -> Result<Block, Error> {
        let size = req.size;
        if class == HUGE {
            return self.reserve_huge(size);
        }
        let g = &self.classes.get(class).ok_or(Error::NoClass(size))?.run;
        let units = g.units_for(size).ok_or(Error::ClassUnsuitable(size))?;
        self.reserve_units(arena, class, units, req.type_num).ok_or_else(|| self.why_none(size))
    }

    fn reserve_huge(&self, size: u64) -> Result<Block, Error> {
        let header = HeaderType::Compact;
        let chunks = (size + header.size()).div_ceil(CHUNK) as u32;
        let (z, chunk) = self.reserve_chunks(chunks, header, None).ok_or_else(|| self.why_none(size))?;
        let zone = &self.zones[z as usize];
        Ok(Block {
            start: zone.chunk(chunk),
            size: chunks as u64 * CHUNK,
            bits: 0,
            word: zone.header_at(chunk),
            zone: z,
            chunk,
            header,
            headed: false,
        })
    }

    /// Chunks from the free blocks, from zones not yet looked at, and at last
    /// from runs that became empty. `locked` is the arena whose lock the
    /// caller holds.
    fn reserve_chunks(&self, chunks: u32, header: HeaderType, locked: Option<usize>) -> Option<(u32, u32)> {
        loop {
            if let Some(found) = self.reserve_free(chunks, header) {
                return Some(found);
            }
            if !self.scan_next_zone() && !self.look_at_all_runs() {
                break;
            }
        }
        self.reclaim_empty_runs(locked);
        self.reserve_free(chunks, header)
    }

    /// Chunks from the free blocks. Empty runs of earlier processes between them
    /// would scatter several in a row.
    fn reserve_free(&self, chunks: u32, header: HeaderType) -> Option<(u32, u32)> {
        if chunks > 1 {
            self.look_at_all_runs();
        }
        self.free_blocks().reserve(&self.region, &self.zones, chunks, header)
    }

    pub(super) fn reserve_units(&self, arena: usize, class: u8, units: u32, type_num: u64) -> Option<Block> {
        self.try_reserve_units(arena, class, units, type_num).or_else(|| {
            // With no lock held, all arenas' empty runs can be had.
            self.reclaim_empty_runs(None);
            self.try_reserve_units(arena, class, units, type_num)
        })
    }

    fn try_reserve_units(&self, arena: usize, class: u8, units: u32, type_num: u64) -> Option<Block> {
        let a = &self.arenas[arena];
        a.lock.with(|| {
            // SAFETY: an arena's runs keep their maps while they serve it.
            let map = unsafe { a.active(class).as_ref() };
            map.and_then(|m| m.take_block(units, type_num)).or_else(|| {
                // SAFETY: as above.
                unsafe { self.refill(arena, class, units).as_ref() }?.take_block(units, type_num)
            })
        })
    }

    /// Gives the arena a run from which `units` can be taken; null if there is
    /// none to be had. The arena's lock is held.
    #[cold]
    fn refill(&self, arena: usize, class: u8, units: u32) -> *mut RunMap {
        let a = &self.arenas[arena];
        let current = a.active(class);
        // SAFETY: an arena's runs keep their maps while they serve it.
        if let Some(map) = unsafe { current.as_ref() } {
            let slot = self.slot_of(map);
            slot.lock.with(|| map.merge());
            if map.fits(units) {
                return current;
            }
            self.detach(slot, map);
            a.set_active(class, null_mut());
        }
        let next = self.next_run(arena, class, units);
        // SAFETY: as above.
        if let Some(map) = unsafe { next.as_ref() } {
            map.arena.store(arena as u32, Relaxed);
        }
        a.set_active(class, next);
        next
    }

    pub(super) fn slot_of(&self, map: &RunMap) -> &Slot {
        match self.zones[map.zone as usize].slot(map.chunk) {
            Some(slot) => slot,
            None => unreachable!("a run with a map is in a scanned zone"),
        }
    }

    /// A run stops serving its arena.
    pub(super) fn detach(&self, slot: &Slot, map: &RunMap) {
        slot.lock.with(|| {
            slot.set_state(SlotState::Full);
            map.merge();
            if map.longest_gap() > 0 {
                self.list(slot, map.zone, map.chunk);
            }
        });
    }

    /// Why nothing could be reserved: no space, or no memory to look for it.
    #[cold]
    fn why_none(&self, size: u64) -> Error {
        if self.short_of_memory.swap(false, Relaxed) { Error::OutOfMemory } else { Error::Full(size) }
    }

    fn next_run(&self, arena: usize, class: u8, units: u32) -> *mut RunMap {
        loop {
            let run = self.recycled_run(class, units);
            if !run.is_null() {
                return run;
            }
            let run = self.run_of_earlier(class, units);
            if !run.is_null() {
                return run;
            }
            let run = self.new_run(class, None);
            if !run.is_null() {
                return run;
            }
            if !self.scan_next_zone() && !self.look_at_all_runs() {
                break;
            }
        }
        let run = self.new_run(class, Some(arena));
        if run.is_null() { self.steal(arena, class, units) } else { run }
    }

    pub(super) fn read_map(&self, zone: &Zone, chunk: u32, g: RunGeometry) -> Option<*mut RunMap> {
        let map = RunMap::read(&self.region, zone, chunk, g);
        if map.is_none() {
            self.short_of_memory.store(true, Relaxed);
        }
        map
    }

    /// A new run, from free chunks; with `locked`, from emptied runs too.
    fn new_run(&self, class: u8, locked: Option<usize>) -> *mut RunMap {
        let Some(g) = self.classes.get(class).map(|c| c.run) else { return null_mut() };
        let found = match locked {
            None => self.reserve_free(g.chunks, g.header()),
            Some(_) => self.reserve_chunks(g.chunks, g.header(), locked),
        };
        let Some((z, chunk)) = found else { return null_mut() };
        let zone = &self.zones[z as usize];
        // A forged pool may have freed the chunks of a run: it stays what it is.
        if zone.slot(chunk).is_some_and(|slot| slot.lock.with(|| slot.map().is_some())) {
            return null_mut();
        }
        run::create(&self.region, zone, chunk, &g);
        self.stats.count_run(g.chunks as i64 * CHUNK as i64, 0);
        let (Some(slot), Some(map)) = (zone.slot(chunk), self.read_map(zone, chunk, g)) else {
            self.run_to_free(zone, chunk); // before anyone knows of it
            return null_mut();
        };
        slot.lock.with(|| {
            slot.set_class(class);
            let before = slot.map.swap(map, Relaxed);
            debug_assert!(before.is_null(), "a run where one is known");
            slot.set_state(SlotState::Active);
        });
        map
    }

    /// Another arena's run, when nothing else has room. Arenas are only tried,
    /// as another thread may be here with the locks the other way round.
    fn steal(&self, arena: usize, class: u8, units: u32) -> *mut RunMap {
        for (i, other) in self.arenas.iter().enumerate() {
            if i == arena || !other.lock.try_lock() {
                continue;
            }
            let run = other.active(class);
            // SAFETY: an arena's runs keep their maps while they serve it.
            let fits = unsafe { run.as_ref() }.is_some_and(|map| {
                self.slot_of(map).lock.with(|| map.merge());
                map.fits(units)
            });
            if fits {
                other.set_active(class, null_mut());
            }
            other.lock.unlock();
            if fits {
                return run;
            }
        }
        null_mut()
    }

    /// Turns runs without an allocated or reserved unit into free chunks. A
    /// caller that holds an arena's lock only tries the others', as another
    /// thread may be here with the locks the other way round.
    fn reclaim_empty_runs(&self, locked: Option<usize>) {
        // Who finds nothing noted has waited for what others found.
        let _guard = match (self.reclaiming.try_lock(), locked) {
            (Ok(guard), _) => guard,
            (Err(_), None) => super::lock(&self.reclaiming),
            (Err(_), Some(_)) => return,
        };
        if self.unlisted.swap(false, Relaxed) {
            self.list_the_unlisted();
        }
        // What becomes empty from here on is noted again.
        if !self.emptied.swap(false, Relaxed) {
            return;
        }
        for (i, a) in self.arenas.iter().enumerate() {
            match locked {
                None => a.lock.lock(),
                Some(own) if own == i => (),
                Some(_) if a.lock.try_lock() => (),
                Some(_) => {
                    self.emptied.store(true, Relaxed);
                    continue;
                }
            }
            for class in 1..NO_CLASS {
                // SAFETY: an arena's runs keep their maps while they serve it.
                if let Some(map) = unsafe { a.active(class).as_ref() } {
                    let slot = self.slot_of(map);
                    if slot.lock.with(|| map.is_empty()) {
                        self.detach(slot, map);
                        a.set_active(class, null_mut());
                    }
                }
            }
            if Some(i) != locked {
                a.lock.unlock();
            }
        }
        for class in 1..=NO_CLASS {
            self.reclaim_listed(class);
        }
    }

    /// An empty run that serves nobody becomes a free block.
    pub(super) fn run_to_free(&self, zone: &Zone, c: u32) {
        if let Some(slot) = zone.slot(c) {
            slot.lock.with(|| {
                slot.set_state(SlotState::NoRun);
                slot.set_class(NO_CLASS);
                RunMap::free(slot.map.swap(null_mut(), Relaxed));
            });
        }
        let mut blocks = self.free_blocks();
        let size = zone.header(&self.region, c).size;
        if !defect!(EmptyRunKept) {
            zone.persist_free(&self.region, c, size)
        }
        self.stats.count_run(-(size as i64 * CHUNK as i64), 0);
        blocks.release(&self.region, zone, c, size);
    }
}

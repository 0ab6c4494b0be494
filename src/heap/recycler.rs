//! Recyclers: runs that have room and serve no arena, by class and by their
//! longest gap.

use std::ptr::null_mut;
use std::sync::MutexGuard;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, atomic::AtomicBool};

use super::Heap;
use super::layout::RUN_HEADER;
use super::map::{RunMap, WIDE};
use super::run;
use super::zone::{Slot, SlotState, Zone};

/// Zone and first chunk of a run.
pub type Place = (u32, u32);

/// The listed runs of a class.
#[derive(Default)]
pub struct Recycler {
    /// By the length of the longest gap, up to [`WIDE`], that a run had when it
    /// was listed; it can only have become longer. Empty until it is needed.
    by_gap: Mutex<Vec<Vec<Place>>>,
    /// Units were given back to a listed run since its gap was looked at.
    grown: AtomicBool,
}

impl Recycler {
    pub fn runs(&self) -> MutexGuard<'_, Vec<Vec<Place>>> {
        super::lock(&self.by_gap)
    }

    /// Lists a run; false without memory.
    fn list(&self, run: Place, gap: u32) -> bool {
        let mut by_gap = self.runs();
        if by_gap.is_empty() {
            if by_gap.try_reserve_exact(WIDE as usize + 1).is_err() {
                return false;
            }
            by_gap.resize_with(WIDE as usize + 1, Vec::new);
        }
        let runs = &mut by_gap[gap as usize];
        if runs.try_reserve(1).is_err() {
            return false;
        }
        runs.push(run);
        true
    }
}

impl Heap {
    /// Puts a run with free units on the recycler's list. The slot's lock is
    /// held. Without memory the run is "full" until the next free in it, or
    /// until space is looked for everywhere.
    pub(super) fn list(&self, slot: &Slot, zone: u32, chunk: u32) {
        let gap = self.longest_gap(slot, (zone, chunk));
        if self.recyclers[slot.class() as usize].list((zone, chunk), gap) {
            slot.set_state(SlotState::Listed);
        } else {
            slot.set_state(SlotState::Full);
            self.unlisted.store(true, Relaxed);
        }
    }

    /// The longest gap of a run that serves no arena; its lock is held.
    fn longest_gap(&self, slot: &Slot, (z, c): Place) -> u32 {
        match (slot.map(), self.classes.get(slot.class())) {
            (Some(map), _) => {
                map.merge();
                map.longest_gap()
            }
            (None, Some(class)) => {
                let bitmap = self.zones[z as usize].chunk(c) + RUN_HEADER;
                run::media_gap(&self.region, bitmap, &class.run)
            }
            _ => WIDE, // of an unknown class, empty
        }
    }

    /// Lists the runs for which there was no memory when they should have been.
    #[cold]
    pub(super) fn list_the_unlisted(&self) {
        for zone in self.zones.iter().filter(|z| z.is_ready()) {
            for c in 0..zone.chunks {
                if let Some(slot) = zone.slot(c).filter(|s| s.state() == SlotState::Full) {
                    slot.lock.with(|| self.list_scanned(zone, c, slot));
                }
            }
        }
    }

    /// The listed run of the class with the shortest longest gap that has room,
    /// so that long gaps are left for those who need them; it serves an arena
    /// now. Null if there is none.
    pub(super) fn recycled_run(&self, class: u8, units: u32) -> *mut RunMap {
        let recycler = &self.recyclers[class as usize];
        let mut by_gap = recycler.runs();
        let mut found = self.take_listed(&mut by_gap, units);
        // What became too long for its list since is noted again from here on.
        if found.is_none() && recycler.grown.swap(false, Relaxed) {
            if !self.regroup(&mut by_gap) {
                recycler.grown.store(true, Relaxed);
            }
            found = self.take_listed(&mut by_gap, units);
        }
        drop(by_gap);
        let Some((z, c)) = found else { return null_mut() };
        self.activate(&self.zones[z as usize], c)
    }

    fn take_listed(&self, by_gap: &mut [Vec<Place>], units: u32) -> Option<Place> {
        for listed in units.min(WIDE)..=WIDE {
            for i in (0..by_gap.get(listed as usize)?.len()).rev() {
                let run = by_gap[listed as usize][i];
                let gap = self.glance(run, |slot| self.longest_gap(slot, run)).unwrap_or(listed);
                if gap > listed && relist(by_gap, listed, i, gap) {
                    continue;
                }
                if units <= WIDE || self.glance(run, |slot| self.fits(slot, run, units)) == Some(true) {
                    return Some(by_gap[listed as usize].swap_remove(i));
                }
            }
        }
        None
    }

    /// Moves runs whose gaps have become longer to their lists; false if a run
    /// could not be looked at.
    fn regroup(&self, by_gap: &mut [Vec<Place>]) -> bool {
        let mut all = true;
        for listed in (0..WIDE).rev() {
            for i in (0..by_gap.get(listed as usize).map_or(0, Vec::len)).rev() {
                let run = by_gap[listed as usize][i];
                match self.glance(run, |slot| self.longest_gap(slot, run)) {
                    Some(gap) if gap > listed => all &= relist(by_gap, listed, i, gap),
                    Some(_) => {}
                    None => all = false,
                }
            }
        }
        all
    }

    /// Looks at a listed run under its lock, which is only tried: whoever holds
    /// it may be about to list a run.
    fn glance<R>(&self, (z, c): Place, look: impl FnOnce(&Slot) -> R) -> Option<R> {
        let slot = self.zones[z as usize].slot(c).filter(|s| s.lock.try_lock())?;
        let found = look(slot);
        slot.lock.unlock();
        Some(found)
    }

    /// Whether a listed run has room for more units than lists tell apart.
    fn fits(&self, slot: &Slot, (z, c): Place, units: u32) -> bool {
        self.map_of(slot, &self.zones[z as usize], c).is_some_and(|map| {
            map.merge();
            map.fits(units)
        })
    }

    /// The map of a run of a known class, made if need be. The slot's lock is held.
    fn map_of<'a>(&self, slot: &'a Slot, zone: &Zone, chunk: u32) -> Option<&'a RunMap> {
        if slot.map().is_none() {
            let class = self.classes.get(slot.class())?;
            slot.map.store(self.read_map(zone, chunk, class.run)?, Relaxed);
        }
        slot.map()
    }

    /// Makes a run serve an arena, with all units that came back.
    pub(super) fn activate(&self, zone: &Zone, chunk: u32) -> *mut RunMap {
        let Some(slot) = zone.slot(chunk) else { return null_mut() };
        slot.lock.with(|| {
            match self.map_of(slot, zone, chunk) {
                Some(map) => {
                    map.merge();
                    slot.set_state(SlotState::Active);
                }
                None => self.list(slot, zone.index, chunk), // out of memory
            }
            slot.map.load(Relaxed)
        })
    }

    /// Units were given back to a run; its slot's lock is held.
    #[inline]
    pub(super) fn note_room(&self, slot: &Slot, run: Place) {
        match slot.state() {
            SlotState::Full => self.list_if_useful(slot, run),
            SlotState::Listed => set(&self.recyclers[slot.class() as usize].grown),
            _ => {}
        }
        // What has no map is looked at when space is short.
        if !self.emptied.load(Relaxed) {
            self.note_if_empty(slot);
        }
    }

    #[cold]
    fn note_if_empty(&self, slot: &Slot) {
        if slot.map().is_none_or(RunMap::is_empty) {
            self.emptied.store(true, Relaxed);
        }
    }

    /// Lists a run that had no free unit; one of an unknown class only once it
    /// is empty, as nothing else can be done with it.
    #[cold]
    fn list_if_useful(&self, slot: &Slot, (zone, chunk): Place) {
        let known = self.classes.get(slot.class()).is_some();
        if known || self.became_empty(slot, &self.zones[zone as usize], chunk) {
            self.list(slot, zone, chunk);
        }
    }

    /// Turns the empty ones of the listed runs of a class into free chunks.
    pub(super) fn reclaim_listed(&self, class: u8) {
        for gap in 1..=WIDE as usize {
            let mut from = 0;
            loop {
                let mut by_gap = self.recyclers[class as usize].runs();
                let Some(runs) = by_gap.get_mut(gap) else { return };
                let Some(i) = (from..runs.len()).find(|&i| self.is_empty_run(runs[i])) else { break };
                let (z, c) = runs.swap_remove(i);
                drop(by_gap);
                self.run_to_free(&self.zones[z as usize], c);
                from = i;
            }
        }
    }

    /// Whether a listed run has neither an allocated nor a reserved unit.
    fn is_empty_run(&self, (z, c): Place) -> bool {
        let zone = &self.zones[z as usize];
        let empty = self.glance((z, c), |slot| match slot.map() {
            Some(map) => map.is_empty(),
            None => self.is_empty_on_media(zone, c),
        });
        if empty.is_none() {
            self.emptied.store(true, Relaxed); // perhaps
        }
        empty == Some(true)
    }

    /// Whether no unit of a run is allocated; what nothing is reserved in is
    /// as media says.
    fn is_empty_on_media(&self, zone: &Zone, c: u32) -> bool {
        let h = zone.header(&self.region, c);
        self.geometry(zone.index, c, h)
            .is_some_and(|g| run::first_in_use(&self.region, zone.chunk(c) + RUN_HEADER, &g, 0).is_none())
    }

    /// As [`Heap::is_empty_on_media`], for a run in which nothing is allocated
    /// any more: however often it is asked, each word is looked at once.
    fn became_empty(&self, slot: &Slot, zone: &Zone, c: u32) -> bool {
        let Some(g) = self.geometry(zone.index, c, zone.header(&self.region, c)) else { return false };
        let from = slot.empty_words.load(Relaxed);
        let found = run::first_in_use(&self.region, zone.chunk(c) + RUN_HEADER, &g, from);
        slot.empty_words.store(found.unwrap_or(g.words), Relaxed);
        found.is_none()
    }

    /// Has an arena take the listed run with room for `units` that `rank` puts
    /// last.
    pub(super) fn prefer<K: Ord>(&self, class: u8, units: u32, rank: impl Fn(Place) -> K) -> *mut RunMap {
        let mut by_gap = self.recyclers[class as usize].runs();
        self.regroup(&mut by_gap);
        let long = || {
            (units.min(WIDE) as usize..by_gap.len()).flat_map(|g| (0..by_gap[g].len()).map(move |i| (g, i)))
        };
        let best = long().max_by_key(|&(g, i)| rank(by_gap[g][i]));
        let Some((g, i)) = best else { return null_mut() };
        let (z, c) = by_gap[g].swap_remove(i);
        drop(by_gap);
        self.activate(&self.zones[z as usize], c)
    }
}

/// Moves a run to another list; false without memory.
fn relist(by_gap: &mut [Vec<Place>], from: u32, i: usize, to: u32) -> bool {
    let room = by_gap[to as usize].try_reserve(1).is_ok();
    if room {
        let run = by_gap[from as usize].swap_remove(i);
        by_gap[to as usize].push(run);
    }
    room
}

/// Sets a flag that is mostly set already, and shared.
#[inline]
fn set(flag: &AtomicBool) {
    if !flag.load(Relaxed) {
        flag.store(true, Relaxed);
    }
}

//! What defragmentation asks of the heap: which runs are sparse, and places in
//! fuller ones.

use std::ptr::null_mut;

use super::block::Block;
use super::layout::{RUN_HEADER, RunGeometry};
use super::{Heap, run};

impl Heap {
    /// The geometry of a block's run, and how many of its units are allocated.
    fn filling(&self, zone: u32, chunk: u32) -> Option<(RunGeometry, u32)> {
        let zone = self.zones.get(zone as usize)?;
        let g = self.geometry(zone.index, chunk, zone.header(&self.region, chunk))?;
        let free = run::count_free(&self.region, zone.chunk(chunk) + RUN_HEADER, &g);
        Some((g, g.units - free))
    }

    /// Whether a block lies in a run of which at most half is allocated.
    pub fn is_in_sparse_run(&self, b: &Block) -> bool {
        !b.is_huge() && self.filling(b.zone, b.chunk).is_some_and(|(g, used)| 2 * used <= g.units)
    }

    /// A reserved block of the same class and size in a run that is at least
    /// as full as the block's own.
    pub fn reserve_fuller(&self, old: &Block) -> Option<Block> {
        if old.is_huge() {
            return None;
        }
        let units = old.bits.count_ones();
        let class = self.zones.get(old.zone as usize)?.slot(old.chunk)?.class();
        self.classes.get(class)?;
        let arena = self.arena_for(0).ok()?;
        let (_, used) = self.filling(old.zone, old.chunk)?;
        for attempt in 0..2 {
            let new = self.reserve_units(arena, class, units, 0)?;
            let elsewhere = (new.zone, new.chunk) != (old.zone, old.chunk);
            if elsewhere && self.filling(new.zone, new.chunk).is_some_and(|(_, n)| n >= used) {
                return Some(new);
            }
            self.cancel(&new);
            if attempt == 0 {
                self.prefer_full_run(arena, class, units);
            }
        }
        None
    }

    /// Has the arena take the fullest run of a class with room for `units`.
    fn prefer_full_run(&self, arena: usize, class: u8, units: u32) {
        self.look_at_all_runs();
        let a = &self.arenas[arena];
        a.lock.with(|| {
            // SAFETY: an arena's runs keep their maps while they serve it.
            if let Some(map) = unsafe { a.active(class).as_ref() } {
                self.detach(self.slot_of(map), map);
                a.set_active(class, null_mut());
            }
            let used = |(z, c)| self.filling(z, c).map_or(0, |(_, used)| used);
            a.set_active(class, self.prefer(class, units, used));
        });
    }
}

//! Creating, checking and opening a heap, and the lazy scan of its zones.

use std::ops::Range;
use std::ptr::null_mut;
use std::sync::atomic::Ordering;

use super::class::NO_CLASS;
use super::layout::{
    CHUNK, ChunkHeader, FREE, HEAP_HEADER, MAX_CHUNKS, MIN_HEAP, RUN, RUN_HEADER, USED, ZONE_HEADER,
    zone_chunks, zone_count,
};
use super::map::RunMap;
use super::run;
use super::zone::{Slot, SlotState, Zone};
use super::{Error, Heap};
use crate::pool::Region;
use crate::pool::checksum::Sum;

const SIGNATURE: &[u8; 16] = b"MEMORY_HEAP_HDR\0";
/// Runs of earlier processes that a thread looks at when it needs a run.
const GLANCES: u32 = 16;
/// Words of the heap header.
const WORDS: usize = (HEAP_HEADER / 8) as usize;
/// (index of the word, its name, its value).
const FIELDS: [(usize, &str, u64); 4] =
    [(2, "major", 1), (3, "minor", 0), (5, "chunk size", CHUNK), (6, "chunks per zone", MAX_CHUNKS)];

/// Writes an empty heap of `size` bytes at `start` (format 1.8, step 8);
/// flushed, not drained. Zones stay uninitialised until they are needed.
pub fn format(region: &Region, start: u64, size: u64) {
    let mut words = [0u64; WORDS];
    for (i, half) in SIGNATURE.chunks_exact(8).enumerate() {
        words[i] = half.iter().rev().fold(0, |w, &b| w << 8 | b as u64);
    }
    for (i, _, value) in FIELDS {
        words[i] = value;
    }
    words[WORDS - 1] = if defect!(HeapSumMissing) { 0 } else { checksum(&words) };
    for (i, w) in words.iter().enumerate() {
        region.store(start + 8 * i as u64, *w);
    }
    if !defect!(SeedCreate) {
        region.flush(start, HEAP_HEADER)
    }
    for z in 0..zone_count(size) {
        let zone = Zone::new(start, z as u32, 1);
        region.fill(zone.start, 0, 64);
        region.store(zone.header_at(0), 0);
        region.flush(zone.header_at(0), 8);
    }
}

fn checksum(words: &[u64; WORDS]) -> u64 {
    let mut sum = Sum::default();
    words[..WORDS - 1].iter().for_each(|&w| sum.add_u64(w));
    sum.add_u64(0);
    sum.value()
}

/// What [`check`] reads of a heap of `size` bytes at `start`: ranges.
pub fn metadata(start: u64, size: u64) -> impl Iterator<Item = Range<u64>> {
    let zones = (0..zone_count(size)).map(move |z| {
        let at = Zone::new(start, z as u32, 0).start;
        at..at + ZONE_HEADER + 8 * zone_chunks(size, z)
    });
    std::iter::once(start..start + HEAP_HEADER).chain(zones)
}

/// Checks 22 to 26 of format 1.10: header, size, and the chunk walk of every
/// initialised zone. Changes nothing.
pub fn check(region: &Region, start: u64, size: u64) -> Result<(), Error> {
    let max = (region.len() as u64).saturating_sub(start);
    if size < MIN_HEAP || size > max {
        return Err(Error::Size { found: size, min: MIN_HEAP, max });
    }
    let mut first = Ok(());
    check_header(region, start, &mut |e| {
        if first.is_ok() {
            first = Err(e);
        }
    });
    first?;
    for z in 0..zone_count(size) {
        let zone = Zone::new(start, z as u32, zone_chunks(size, z) as u32);
        if zone.stored(region).0 != 0 {
            zone.walk(region, |_, _| Ok(()))?;
        }
    }
    Ok(())
}

/// All that is wrong with the heap header.
pub(super) fn check_header(region: &Region, start: u64, wrong: &mut dyn FnMut(Error)) {
    let mut words = [0u64; WORDS];
    for (i, w) in words.iter_mut().enumerate() {
        *w = region.load(start + 8 * i as u64);
    }
    let (at, found, expected) = (start + HEAP_HEADER - 8, words[WORDS - 1], checksum(&words));
    if found != expected {
        wrong(Error::HeaderChecksum { at, found, expected });
    }
    for (i, half) in SIGNATURE.as_chunks::<8>().0.iter().enumerate() {
        if words[i] != u64::from_le_bytes(*half) {
            let (at, found) = (start + 8 * i as u64, words[i]);
            wrong(Error::Signature { at, found, expected: u64::from_le_bytes(*half) });
        }
    }
    for (i, field, expected) in FIELDS {
        if field != "minor" && words[i] != expected {
            wrong(Error::Header { field, at: start + 8 * i as u64, found: words[i], expected });
        }
    }
}

impl Heap {
    /// Completes growths that a crash interrupted. Zones are scanned later,
    /// when they are first needed.
    pub(super) fn grow_zones(&self) {
        for zone in &self.zones {
            let (magic, size) = zone.stored(&self.region);
            if magic != 0 && size < zone.chunks {
                zone.grow(&self.region, size);
            }
        }
    }

    /// Scans the first zone that was not yet; false if all were, or memory is
    /// short, or the zone is damaged.
    pub(super) fn scan_next_zone(&self) -> bool {
        let from = self.next_zone.load(Ordering::Relaxed);
        for zone in self.zones.iter().skip(from as usize) {
            if !zone.is_ready() {
                let scanned = self.scan_zone(zone.index);
                if scanned == Err(Error::OutOfMemory) {
                    self.short_of_memory.store(true, Ordering::Relaxed);
                }
                return scanned.is_ok();
            }
            self.next_zone.fetch_max(zone.index + 1, Ordering::Relaxed);
        }
        false
    }

    /// Makes a zone usable: initialises it if it never was, else builds the
    /// volatile state from its chunk headers (format 4.8).
    pub fn scan_zone(&self, z: u32) -> Result<(), Error> {
        let zone = &self.zones[z as usize];
        if zone.is_ready() {
            return Ok(());
        }
        {
            let mut blocks = self.free_blocks();
            if zone.is_ready() {
                return Ok(());
            }
            if zone.stored(&self.region).0 == 0 {
                zone.initialize(&self.region);
            }
            let mut runs = 0;
            zone.walk(&self.region, |_, h| {
                runs += (h.kind == RUN) as usize;
                Ok(())
            })?;
            let scanned = self.zones.iter().filter(|z| z.is_ready());
            blocks.make_room(scanned.chain([zone]).map(|z| z.chunks as usize).sum())?;
            let mut unseen = super::lock(&self.unseen);
            unseen.try_reserve(runs).map_err(|_| Error::OutOfMemory)?;
            let slots = zone.new_slots()?;
            let mut free: Option<(u32, u32)> = None;
            // Cannot fail: the same walk just passed, and free blocks only merge.
            zone.walk(&self.region, |c, h| {
                // SAFETY: one slot per chunk was allocated.
                let slot = unsafe { slots.add(c as usize).as_ref() };
                slot.set_class(NO_CLASS);
                match h.kind {
                    // A footer may have been lost in a crash.
                    FREE | USED if !defect!(SeedFooters) => zone.set_footer(&self.region, c, h.size),
                    RUN => {
                        slot.set_state(SlotState::Unseen);
                        unseen.push((z, c));
                    }
                    _ => {}
                }
                if h.kind == FREE || (h.kind == USED && defect!(SeedLateScan)) {
                    free = Some(self.extend_free(zone, free, c, h.size));
                } else if let Some((at, size)) = free.take() {
                    blocks.insert(z, at, size);
                }
                Ok(())
            })?;
            if let Some((at, size)) = free {
                blocks.insert(z, at, size);
            }
            zone.set_ready(slots);
        }
        Ok(())
    }

    /// Looks at all runs at which nobody looked yet; false if there are none.
    #[cold]
    pub(super) fn look_at_all_runs(&self) -> bool {
        let mut any = false;
        while let Some((z, c)) = self.pop_unseen() {
            self.look_at_run(z, c);
            any = true;
        }
        any
    }

    /// Looks at a few runs of earlier processes, for one of the class with
    /// room for `units`; null if none of them is. What is left is for the next
    /// who needs a run, so that none waits for all that a pool holds.
    #[cold]
    pub(super) fn run_of_earlier(&self, class: u8, units: u32) -> *mut RunMap {
        for _ in 0..GLANCES {
            let Some((z, c)) = self.pop_unseen() else { break };
            if self.look_at_run(z, c) == Some(class) {
                let run = self.recycled_run(class, units);
                if !run.is_null() {
                    return run;
                }
            }
        }
        null_mut()
    }

    fn pop_unseen(&self) -> Option<(u32, u32)> {
        super::lock(&self.unseen).pop()
    }

    /// Counts a run's free units, unless somebody did: it becomes known to the
    /// statistics, and room in it to the recycler of its class, which is
    /// returned; an empty run becomes free chunks. Before that, nothing is
    /// reserved or freed in it.
    #[cold]
    pub(super) fn look_at_run(&self, z: u32, c: u32) -> Option<u8> {
        let zone = &self.zones[z as usize];
        let slot = zone.slot(c).filter(|s| s.state() == SlotState::Unseen)?;
        let (empty, class) = slot.lock.with(|| {
            if slot.state() != SlotState::Unseen {
                return (false, None); // somebody else was quicker
            }
            slot.set_state(SlotState::NoRun);
            let h = zone.header(&self.region, c);
            let Some(g) = run::read_geometry(&self.region, zone, c, h) else { return (false, None) };
            let free = run::count_free(&self.region, zone.chunk(c) + RUN_HEADER, &g);
            let allocated = (g.units - free) as i64 * g.unit as i64;
            self.stats.count_run(h.size as i64 * CHUNK as i64, allocated);
            if free == g.units {
                return (true, None);
            }
            slot.set_class(self.classes.of_run(&g).unwrap_or(NO_CLASS));
            slot.set_state(SlotState::Full);
            self.list_scanned(zone, c, slot);
            (false, Some(slot.class()))
        });
        if empty {
            self.run_to_free(zone, c);
        }
        class
    }

    /// Adds a free block to the free block in front of it.
    fn extend_free(&self, zone: &Zone, before: Option<(u32, u32)>, c: u32, size: u32) -> (u32, u32) {
        let Some((at, have)) = before else { return (c, size) };
        let flags = zone.header(&self.region, at).flags;
        zone.persist_header(&self.region, at, ChunkHeader { kind: FREE, flags, size: have + size });
        zone.set_footer(&self.region, at, have + size);
        (at, have + size)
    }

    /// Lists a run of a known class that has free units.
    pub(super) fn list_scanned(&self, zone: &Zone, c: u32, slot: &Slot) {
        if slot.state() != SlotState::Full {
            return; // somebody freed in it since
        }
        let free = match (slot.map(), self.classes.get(slot.class())) {
            (Some(map), _) => map.free_units(),
            (None, Some(class)) => run::count_free(&self.region, zone.chunk(c) + RUN_HEADER, &class.run),
            _ => 0,
        };
        if free > 0 {
            self.list(slot, zone.index, c);
        }
    }
}

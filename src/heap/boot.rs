//! Creating, checking and opening a heap, and the lazy scan of its zones.

use std::ops::Range;
use std::sync::atomic::Ordering;

use super::class::NO_CLASS;
use super::layout::{
    CHUNK, ChunkHeader, FREE, HEAP_HEADER, MAX_CHUNKS, MIN_HEAP, RUN, RUN_HEADER, USED, ZONE_HEADER,
    zone_chunks, zone_count,
};
use super::run;
use super::zone::{Slot, SlotState, Zone};
use super::{Error, Heap};
use crate::pool::Region;
use crate::pool::checksum::Sum;

const SIGNATURE: &[u8; 16] = b"MEMORY_HEAP_HDR\0";
/// Words of the heap header.
const WORDS: usize = (HEAP_HEADER / 8) as usize;
/// (index of the word, its name, its value).
const FIELDS: [(usize, &str, u64); 4] =
    [(2, "major", 1), (3, "minor", 0), (5, "chunk size", CHUNK), (6, "chunks per zone", MAX_CHUNKS)];

/// Writes an empty heap of `size` bytes at `start`, durable on return
/// (format 1.8, step 8). Zones stay uninitialised until they are needed.
pub fn format(region: &Region, start: u64, size: u64) {
    let mut words = [0u64; WORDS];
    for (i, half) in SIGNATURE.chunks_exact(8).enumerate() {
        words[i] = half.iter().rev().fold(0, |w, &b| w << 8 | b as u64);
    }
    for (i, _, value) in FIELDS {
        words[i] = value;
    }
    words[WORDS - 1] = checksum(&words);
    for (i, w) in words.iter().enumerate() {
        region.store(start + 8 * i as u64, *w);
    }
    region.flush(start, HEAP_HEADER);
    for z in 0..zone_count(size) {
        let zone = Zone::new(start, z as u32, 1);
        region.fill(zone.start, 0, 64);
        region.store(zone.header_at(0), 0);
        region.flush(zone.header_at(0), 8);
    }
    // Heap durable before the descriptor that makes it part of a pool.
    region.drain();
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
    let mut words = [0u64; WORDS];
    for (i, w) in words.iter_mut().enumerate() {
        *w = region.load(start + 8 * i as u64);
    }
    if words[WORDS - 1] != checksum(&words) {
        return Err(Error::HeaderChecksum);
    }
    if words.iter().flat_map(|w| w.to_le_bytes()).take(16).ne(SIGNATURE.iter().copied()) {
        return Err(Error::Signature);
    }
    for (i, field, expected) in FIELDS {
        if field != "minor" && words[i] != expected {
            return Err(Error::Header { field, found: words[i], expected });
        }
    }
    for z in 0..zone_count(size) {
        let zone = Zone::new(start, z as u32, zone_chunks(size, z) as u32);
        if zone.stored(region).0 != 0 {
            zone.walk(region, |_, _| Ok(()))?;
        }
    }
    Ok(())
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
            zone.walk(&self.region, |_, _| Ok(()))?;
            let scanned = self.zones.iter().filter(|z| z.is_ready());
            blocks.make_room(scanned.chain([zone]).map(|z| z.chunks as usize).sum())?;
            let slots = zone.new_slots()?;
            let mut free: Option<(u32, u32)> = None;
            // Cannot fail: the same walk just passed, and free blocks only merge.
            zone.walk(&self.region, |c, h| {
                // SAFETY: one slot per chunk was allocated.
                let slot = unsafe { slots.add(c as usize).as_ref() };
                slot.set_class(NO_CLASS);
                if self.scan_block(zone, c, h, slot) {
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
        for c in 0..zone.chunks {
            if let Some(slot) = zone.slot(c).filter(|s| s.state() == SlotState::Full) {
                slot.lock.with(|| self.list_scanned(zone, c, slot));
            }
        }
        Ok(())
    }

    /// Looks at one block; true if it is free, as an empty run now is.
    fn scan_block(&self, zone: &Zone, c: u32, h: ChunkHeader, slot: &Slot) -> bool {
        match h.kind {
            FREE => {
                // A footer may have been lost in a crash.
                zone.set_footer(&self.region, c, h.size);
                true
            }
            USED => {
                zone.set_footer(&self.region, c, h.size);
                false
            }
            RUN => {
                let Some(g) = run::read_geometry(&self.region, zone, c, h) else { return false };
                let free_units = run::count_free(&self.region, zone.chunk(c) + RUN_HEADER, &g);
                if free_units == g.units {
                    zone.persist_free(&self.region, c, h.size);
                    return true;
                }
                let allocated = (g.units - free_units) as i64 * g.unit as i64;
                self.stats.count_run(h.size as i64 * CHUNK as i64, allocated);
                slot.set_class(self.classes.of_run(&g).unwrap_or(NO_CLASS));
                slot.set_state(SlotState::Full);
                false
            }
            _ => false,
        }
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

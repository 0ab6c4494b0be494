//! Zones: their headers on media, and what the process knows about their
//! chunks once a zone was scanned.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, Ordering};

use super::error::Error;
use super::layout::{
    CHUNK, ChunkHeader, FOOTER, FREE, HEAP_HEADER, ZONE_HEADER, ZONE_MAGIC, ZONE_META, ZONE_SIZE,
};
use super::map::RunMap;
use crate::lock::RawLock;
use crate::pool::Region;

/// What a slot's run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SlotState {
    /// Not the first chunk of a run, as all slots are at first.
    NoRun = 0,
    /// Serves an arena.
    Active = 1,
    /// Has free units and is on the recycler's list of its class.
    Listed = 2,
    /// No free unit was seen; the next free lists it.
    Full = 3,
    /// An earlier process made it, and nobody looked at it yet.
    Unseen = 4,
}

/// Volatile state of the run that starts at a chunk; all zero is "no run". In a
/// line of its own, as neighbouring runs serve different threads; nobody touches
/// the slots of chunks that are no runs.
#[repr(align(64))]
pub struct Slot {
    /// Held from before a redo log that changes the run's bitmap becomes valid
    /// until it is durably invalid. Guards the fields, and `map`'s returned units.
    pub lock: RawLock,
    state: AtomicU8,
    class: AtomicU8,
    /// Words at the start of the bitmap that are known to have no allocated
    /// unit. For runs of unknown classes, which only become emptier.
    pub empty_words: AtomicU32,
    /// Made when the run first serves an arena; kept while it is a run.
    pub map: AtomicPtr<RunMap>,
}

impl Slot {
    #[inline]
    pub fn state(&self) -> SlotState {
        match self.state.load(Ordering::Relaxed) {
            1 => SlotState::Active,
            2 => SlotState::Listed,
            3 => SlotState::Full,
            4 => SlotState::Unseen,
            _ => SlotState::NoRun,
        }
    }

    pub fn set_state(&self, s: SlotState) {
        self.state.store(s as u8, Ordering::Relaxed);
    }

    #[inline]
    pub fn class(&self) -> u8 {
        self.class.load(Ordering::Relaxed)
    }

    pub fn set_class(&self, class: u8) {
        self.class.store(class, Ordering::Relaxed);
    }

    /// The run's map; the caller holds the lock, or the run serves its arena.
    #[inline]
    pub fn map(&self) -> Option<&RunMap> {
        // SAFETY: a non-null map is valid while the slot owns it, and the slot
        // gives it up only under its lock and when the run serves no arena.
        unsafe { self.map.load(Ordering::Relaxed).as_ref() }
    }
}

/// A zone of the heap.
pub struct Zone {
    pub index: u32,
    /// Offset of the zone header.
    pub start: u64,
    /// Chunks that heap_size gives the zone.
    pub chunks: u32,
    /// Null until the zone was scanned.
    slots: AtomicPtr<Slot>,
}

// SAFETY: slots are guarded by their locks; the rest is immutable or atomic.
unsafe impl Sync for Zone {}
// SAFETY: as above.
unsafe impl Send for Zone {}

impl Zone {
    pub fn new(heap: u64, index: u32, chunks: u32) -> Zone {
        let start = heap + HEAP_HEADER + index as u64 * ZONE_SIZE;
        Zone { index, start, chunks, slots: AtomicPtr::new(null_mut()) }
    }

    #[inline]
    pub fn is_ready(&self) -> bool {
        !self.slots.load(Ordering::Acquire).is_null()
    }

    /// The slot of a chunk; `None` before the zone was scanned.
    #[inline]
    pub fn slot(&self, chunk: u32) -> Option<&Slot> {
        let slots = self.slots.load(Ordering::Acquire);
        // SAFETY: `chunks` slots were allocated, all zero bytes are valid.
        (chunk < self.chunks && !slots.is_null()).then(|| unsafe { &*slots.add(chunk as usize) })
    }

    fn layout(&self) -> Option<Layout> {
        Layout::array::<Slot>(self.chunks as usize).ok()
    }

    /// Slots for the scan to fill in; published by [`Zone::set_ready`].
    pub fn new_slots(&self) -> Result<NonNull<Slot>, Error> {
        let layout = self.layout().filter(|l| l.size() > 0).ok_or(Error::OutOfMemory)?;
        // SAFETY: the size is not zero.
        NonNull::new(unsafe { alloc_zeroed(layout) }.cast()).ok_or(Error::OutOfMemory)
    }

    pub fn set_ready(&self, slots: NonNull<Slot>) {
        self.slots.store(slots.as_ptr(), Ordering::Release);
    }

    /// Offset of a chunk.
    #[inline]
    pub fn chunk(&self, c: u32) -> u64 {
        self.start + ZONE_META + c as u64 * CHUNK
    }

    /// Offset of a chunk's header.
    #[inline]
    pub fn header_at(&self, c: u32) -> u64 {
        self.start + ZONE_HEADER + 8 * c as u64
    }

    #[inline]
    pub fn header(&self, region: &Region, c: u32) -> ChunkHeader {
        ChunkHeader::unpack(region.load(self.header_at(c)))
    }

    /// Stores a chunk header, durable on return.
    #[cfg_attr(feature = "recorder", track_caller)]
    pub fn persist_header(&self, region: &Region, c: u32, h: ChunkHeader) {
        region.persist_word(self.header_at(c), h.pack());
    }

    /// Makes a block of `size` chunks free, durable on return, then its footer.
    #[cfg_attr(feature = "recorder", track_caller)]
    pub fn persist_free(&self, region: &Region, c: u32, size: u32) {
        self.persist_header(region, c, ChunkHeader { kind: FREE, flags: 0, size });
        self.set_footer(region, c, size);
    }

    /// Marks the end of a block of several chunks. A hint for the genuine
    /// library; never flushed (format 4.4).
    pub fn set_footer(&self, region: &Region, c: u32, size: u32) {
        if size > 1 {
            let footer = ChunkHeader { kind: FOOTER, flags: 0, size };
            region.store(self.header_at(c + size - 1), footer.pack());
        }
    }

    /// Magic and size as stored.
    pub fn stored(&self, region: &Region) -> (u32, u32) {
        let w = region.load(self.start);
        (w as u32, (w >> 32) as u32)
    }

    #[cfg_attr(feature = "recorder", track_caller)]
    fn persist_size(&self, region: &Region) {
        region.persist_word(self.start, (self.chunks as u64) << 32 | ZONE_MAGIC as u64);
    }

    /// Gives a never used zone its first free block (format 4.2).
    pub fn initialize(&self, region: &Region) {
        defect!(ZoneMagicFirst, self.persist_size(region));
        // The block before the magic that makes anyone look at it.
        self.persist_free(region, 0, self.chunks);
        // In the line of the magic, which is flushed.
        (8..ZONE_HEADER).step_by(8).for_each(|at| region.store(self.start + at, 0));
        self.persist_size(region);
    }

    /// Completes a growth of the heap that a crash interrupted (format 4.9).
    pub fn grow(&self, region: &Region, stored: u32) {
        let more = self.chunks - stored;
        defect!(GrowSizeFirst, self.persist_size(region));
        // The new block before the size that makes it part of the zone.
        self.persist_free(region, stored, more);
        self.persist_size(region);
    }

    /// Walks the blocks of an initialised zone: position, header.
    pub fn walk(
        &self,
        region: &Region,
        mut f: impl FnMut(u32, ChunkHeader) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (magic, size) = self.stored(region);
        if magic != ZONE_MAGIC {
            return Err(Error::ZoneMagic {
                zone: self.index,
                at: self.start,
                found: magic,
                expected: ZONE_MAGIC,
            });
        }
        if size == 0 || size > self.chunks {
            return Err(Error::ZoneSize {
                zone: self.index,
                at: self.start + 4,
                found: size,
                max: self.chunks,
            });
        }
        let mut c = 0;
        while c < size {
            let h = self.header(region, c);
            if let Some((what, _)) = h.wrong(size - c) {
                let at = self.header_at(c);
                return Err(Error::Chunk { what, zone: self.index, chunk: c, at, found: h.pack() });
            }
            f(c, h)?;
            c += h.size;
        }
        Ok(())
    }
}

impl Drop for Zone {
    fn drop(&mut self) {
        for c in 0..self.chunks {
            if let Some(slot) = self.slot(c) {
                RunMap::free(slot.map.load(Ordering::Relaxed));
            }
        }
        let slots = *self.slots.get_mut();
        if let (false, Some(layout)) = (slots.is_null(), self.layout()) {
            // SAFETY: made by `new_slots` with this layout.
            unsafe { dealloc(slots.cast(), layout) };
        }
    }
}

//! Blocks: the place of an object, found from its offset, and its header.

use super::layout::{
    CHUNK, ChunkHeader, FREE, HEAP_HEADER, HeaderType, MAX_UNITS, RUN, RUN_DATA, RUN_HEADER, RunGeometry,
    USED, ZONE_META, ZONE_SIZE,
};
use super::map::{Returned, mask};
use super::run;
use super::zone::{SlotState, Zone};
use super::{Error, Heap};
use crate::ulog::{self, Bounds};

/// Object flag: not the application's (root, log extensions).
pub const INTERNAL: u16 = 0x8000;
const SIZE_MASK: u64 = (1 << 48) - 1;

/// Where a block is and what changes on media make it allocated or free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Offset of the block: of its object header, if it has one.
    pub start: u64,
    /// Bytes, object header included.
    pub size: u64,
    /// Of a run, the units: bits of one word of its bitmap. 0 for a huge block.
    pub bits: u64,
    /// Offset of the word that says whether it is allocated: of the bitmap, or
    /// the chunk header.
    pub word: u64,
    pub zone: u32,
    /// First chunk, of the run or of the huge block.
    pub chunk: u32,
    pub header: HeaderType,
    /// Of a reserved block: whether the object header that memory holds there is
    /// durable. What is stored over it, or beside it for its flush, ends that.
    pub headed: bool,
}

impl Block {
    /// Offset of the user's data.
    #[inline]
    pub fn user(&self) -> u64 {
        self.start + self.header.size()
    }

    /// Bytes that the user may use.
    #[inline]
    pub fn usable(&self) -> u64 {
        self.size - self.header.size()
    }

    /// Whether its object header is aligned words, as a log can set.
    #[inline]
    pub fn has_words(&self) -> bool {
        self.header == HeaderType::Compact && self.start.is_multiple_of(8)
    }

    /// Whether a reserved block has an object header that is not durable yet.
    #[inline]
    pub fn has_loose_header(&self) -> bool {
        self.header != HeaderType::None && !self.headed
    }

    /// Of a run: the bit of the first unit, at which the object header is.
    #[inline]
    pub fn first_unit(&self) -> u64 {
        self.bits & self.bits.wrapping_neg()
    }

    /// The units of a run as they are given back, with an object header that is
    /// durable or without.
    #[inline]
    pub fn returned(&self, headed: bool) -> Returned {
        let headed = if headed { self.first_unit() } else { 0 };
        Returned { word: self.word, bits: self.bits, headed }
    }

    #[inline]
    pub fn is_huge(&self) -> bool {
        self.bits == 0
    }

    /// Chunks of a huge block.
    #[inline]
    pub fn chunks(&self) -> u32 {
        (self.size / CHUNK) as u32
    }

    /// The block in words, for memory that the program keeps meanwhile.
    #[inline]
    pub fn pack(&self) -> [u64; 6] {
        let at = (self.zone as u64) << 32 | self.chunk as u64;
        let header = self.header as u64 | (self.headed as u64) << 8;
        [self.start, self.size, self.bits, self.word, at, header]
    }
}

/// In the order of their declaration.
const HEADER_TYPES: [HeaderType; 3] = [HeaderType::Legacy, HeaderType::Compact, HeaderType::None];

/// What an object header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectHeader {
    pub size: u64,
    pub flags: u16,
    pub type_num: u64,
}

/// The words of a compact header.
#[inline]
pub fn compact_words(size: u64, flags: u16, type_num: u64) -> [u64; 2] {
    [size | (flags as u64) << 48, type_num]
}

impl Heap {
    /// Whether a reserved block has this object header already, durably. So it
    /// is when the place of an object is used again for one like it: header and
    /// flush are spared. (Known to be durable are headers of allocated objects,
    /// from before they could become allocated; see [`super::map`].)
    #[inline]
    pub fn has_header(&self, b: &Block, type_num: u64, flags: u16) -> bool {
        // SAFETY: `at` checked the range.
        let there = || unsafe { self.region.at(b.start, 16).cast::<[u64; 2]>().read_unaligned() };
        b.headed
            && b.header == HeaderType::Compact
            && (there() == compact_words(b.size, flags, type_num) || defect!(HeaderNotCompared))
    }

    /// Writes the object header of a reserved block; not flushed.
    #[inline]
    pub fn write_header(&self, b: &mut Block, type_num: u64, flags: u16) {
        if self.has_header(b, type_num, flags) {
            return;
        }
        b.headed = false;
        let p = self.region.at(b.start, b.header.size());
        // SAFETY: `at` checked the range; the block is the caller's own. Units of
        // a custom class need not be multiples of 8 bytes.
        unsafe {
            match b.header {
                HeaderType::Compact => {
                    p.cast::<[u64; 2]>().write_unaligned(compact_words(b.size, flags, type_num));
                }
                HeaderType::Legacy => {
                    p.add(8).cast::<u64>().write_unaligned(b.size);
                    p.add(48).cast::<[u64; 2]>().write_unaligned([(flags as u64) << 48, type_num]);
                }
                HeaderType::None => {}
            }
        }
    }

    /// Reads the header of a block that starts at `start`.
    #[inline(always)]
    pub(super) fn read_header(&self, start: u64, header: HeaderType, unit: u64) -> Option<ObjectHeader> {
        let p = self.region.try_at(start, header.size())?;
        // SAFETY: inside the header, which is inside the pool, as `try_at`
        // checked; headers of objects in use do not change.
        let word = |off| unsafe { p.add(off).cast::<u64>().read_unaligned() };
        Some(match header {
            HeaderType::Compact => {
                let w = word(0);
                ObjectHeader { size: w & SIZE_MASK, flags: (w >> 48) as u16, type_num: word(8) }
            }
            HeaderType::Legacy => {
                ObjectHeader { size: word(8), flags: (word(48) >> 48) as u16, type_num: word(56) }
            }
            HeaderType::None => ObjectHeader { size: unit, flags: 0, type_num: 0 },
        })
    }

    /// Starts the write-back of the object header of a reserved block, unless
    /// it is durable.
    #[inline]
    #[cfg_attr(feature = "recorder", track_caller)]
    pub fn flush_header(&self, b: &Block) {
        if b.has_loose_header() {
            self.region.flush(b.start, b.header.size());
        }
    }

    /// The object header of a block.
    #[inline]
    pub fn header_of(&self, b: &Block) -> ObjectHeader {
        let none = ObjectHeader { size: b.size, flags: 0, type_num: 0 };
        self.read_header(b.start, b.header, b.size).unwrap_or(none)
    }

    /// Zone index and chunk of an offset, which may lie anywhere.
    #[inline]
    fn place_of(&self, off: u64) -> Option<(u32, u32)> {
        let rel = off.checked_sub(self.start + HEAP_HEADER)?;
        let (z, rel) = if rel < ZONE_SIZE { (0, rel) } else { (rel / ZONE_SIZE, rel % ZONE_SIZE) };
        let chunk = rel.checked_sub(ZONE_META)? / CHUNK;
        let zone = self.zones.get(z as usize)?;
        (chunk < zone.chunks as u64).then_some((z as u32, chunk as u32))
    }

    /// The header of the block or run that chunk `c` belongs to, and its
    /// first chunk.
    #[inline]
    fn owner_of(&self, z: u32, c: u32) -> Option<(u32, ChunkHeader)> {
        let zone = &self.zones[z as usize];
        let h = zone.header(&self.region, c);
        if h.kind != RUN_DATA {
            return Some((c, h));
        }
        let first = c.checked_sub(h.size)?;
        let run = zone.header(&self.region, first);
        (run.kind == RUN && run.size > h.size).then_some((first, run))
    }

    /// The block of an allocated object, if it is like nearly all: compact, in a
    /// run of a known class. `None` says nothing.
    #[inline(always)]
    pub(super) fn usual_block(&self, off: u64) -> Option<Block> {
        let (z, c) = self.place_of(off)?;
        let (chunk, h) = self.owner_of(z, c)?;
        let zone = &self.zones[z as usize];
        let g = self.known_geometry(zone, chunk).filter(|_| h.kind == RUN)?;
        let (header, base) = (HeaderType::Compact, zone.chunk(chunk));
        let start = off.wrapping_sub(header.size());
        let from_first = start.wrapping_sub(g.first_unit(base));
        let unit = from_first / g.unit;
        if g.header() != header || from_first % g.unit != 0 || unit >= g.units as u64 {
            return None;
        }
        let found = self.read_header(start, header, g.unit)?;
        let units = self.units_of(&found, unit as u32, g)?;
        let (size, bits) = (units as u64 * g.unit, mask(unit as u32 % 64, units));
        let word = base + RUN_HEADER + 8 * (unit / 64);
        let allocated = self.region.load(word) & bits == bits;
        allocated.then_some(Block { start, size, bits, word, zone: z, chunk, header, headed: false })
    }

    /// The block whose user data starts at `off`, an offset from the user or
    /// from media.
    pub fn block_at(&self, off: u64) -> Result<Block, Error> {
        match self.usual_block(off) {
            Some(b) => Ok(b),
            None => self.find_block(off).map_err(|what| Error::NoObject(off, what)),
        }
    }

    #[inline(never)]
    fn find_block(&self, off: u64) -> Result<Block, &'static str> {
        let (z, c) = self.place_of(off).ok_or("outside of the zones")?;
        let (chunk, h) = self.owner_of(z, c).ok_or("stray part of a run")?;
        let zone = &self.zones[z as usize];
        let header = HeaderType::of_flags(h.flags);
        let start = off.wrapping_sub(header.size());
        let base = zone.chunk(chunk);
        match h.kind {
            RUN => {
                let read;
                let g = match self.known_geometry(zone, chunk) {
                    Some(g) => g,
                    None => {
                        read = run::read_geometry(&self.region, zone, chunk, h);
                        read.as_ref().ok_or("run with an impossible geometry")?
                    }
                };
                let from_first = start.checked_sub(g.first_unit(base)).ok_or("inside a run's header")?;
                let unit = from_first / g.unit;
                if from_first % g.unit != 0 || unit >= g.units as u64 {
                    return Err("not at a unit's start");
                }
                let found = self.read_header(start, header, g.unit).ok_or("no header")?;
                let units = self.units_of(&found, unit as u32, g).ok_or("object header with a wrong size")?;
                let (size, bits) = (units as u64 * g.unit, mask(unit as u32 % 64, units));
                let word = base + RUN_HEADER + 8 * (unit / 64);
                Ok(Block { start, size, bits, word, zone: z, chunk, header, headed: false })
            }
            USED | FREE if start == base => {
                if h.size == 0 || h.size > zone.chunks - chunk {
                    return Err("huge block larger than its zone");
                }
                let size = h.size as u64 * CHUNK;
                let word = zone.header_at(chunk);
                Ok(Block { start, size, bits: 0, word, zone: z, chunk, header, headed: false })
            }
            _ => Err("no block starts there"),
        }
    }

    /// Makes sure that all that finding the block of an object looks at can be
    /// read: the object's header, and that of its run. `off` lies in the heap.
    pub(super) fn probe_block(&self, bounds: &Bounds, off: u64) -> Result<(), ulog::Error> {
        bounds.probe.check(off.saturating_sub(HeaderType::Legacy.size())..off)?;
        let owner = self.place_of(off).and_then(|(z, c)| Some((z, self.owner_of(z, c)?)));
        let Some((z, (chunk, h))) = owner.filter(|(_, (_, h))| h.kind == RUN) else { return Ok(()) };
        let start = self.zones[z as usize].chunk(chunk);
        bounds.probe.check(start..start + RUN_HEADER)?;
        if let Some(g) = self.geometry(z, chunk, h) {
            bounds.probe.check(start..g.first_unit(start))?;
        }
        Ok(())
    }

    /// What [`Block::pack`] packed; `None` for words that it did not make. A
    /// reserved block cannot be found from its offset: on media it is free.
    #[inline]
    pub fn unpack(&self, [start, size, bits, word, at, header]: [u64; 6]) -> Option<Block> {
        let (z, chunk) = ((at >> 32) as u32, at as u32);
        let zone = self.zones.get(z as usize).filter(|zone| chunk < zone.chunks)?;
        let (header, headed) = (*HEADER_TYPES.get(header as usize & 0xff)?, header >> 8 != 0);
        let kind = zone.header(&self.region, chunk).kind;
        let possible = if bits != 0 {
            kind == RUN && word & 7 == 0 && word.wrapping_sub(zone.chunk(chunk)) < CHUNK
        } else {
            let start = zone.chunk(chunk);
            word == zone.header_at(chunk) && size > 0 && size <= zone.chunk(zone.chunks) - start
        };
        possible.then_some(Block { start, size, bits, word, zone: z, chunk, header, headed })
    }

    /// Units of the object at `unit`, if its header is possible there.
    #[inline(always)]
    pub(super) fn units_of(&self, found: &ObjectHeader, unit: u32, g: &RunGeometry) -> Option<u32> {
        let units = if found.size == g.unit { 1 } else { found.size.div_ceil(g.unit) };
        // The size is any number in a legacy header: bounds first, then sums. An
        // object smaller than its header is one of a forged run of tiny units.
        let fits = (1..=MAX_UNITS as u64).contains(&units)
            && (unit % 64) as u64 + units <= MAX_UNITS as u64
            && unit as u64 + units <= g.units as u64
            && units * g.unit >= g.header().size();
        fits.then_some(units as u32)
    }

    /// Geometry of a run: of its class if the zone was scanned and the class
    /// is known, else from media, checked.
    #[inline]
    pub(super) fn geometry(&self, z: u32, chunk: u32, h: ChunkHeader) -> Option<RunGeometry> {
        let zone = &self.zones[z as usize];
        match self.known_geometry(zone, chunk) {
            Some(g) => Some(*g),
            None => run::read_geometry(&self.region, zone, chunk, h),
        }
    }

    #[inline]
    fn known_geometry(&self, zone: &Zone, chunk: u32) -> Option<&RunGeometry> {
        let slot = zone.slot(chunk).filter(|slot| slot.state() != SlotState::NoRun)?;
        self.classes.get(slot.class()).map(|class| &class.run)
    }

    /// Usable size of the object at `off`; 0 if there is none. Never more than
    /// its run or huge block has, whatever the header says: programs write there.
    pub fn usable_size(&self, off: u64) -> u64 {
        self.peek(off)
            .map_or(0, |(h, header, end)| h.size.saturating_sub(header).min(end.saturating_sub(off)))
    }

    /// Type number of the object at `off`; 0 if there is none.
    pub fn type_num(&self, off: u64) -> u64 {
        self.peek(off).map_or(0, |(h, ..)| h.type_num)
    }

    /// The object header behind an offset, without looking up the block; its
    /// size, and the end of the chunks that the object is in.
    #[inline]
    fn peek(&self, off: u64) -> Option<(ObjectHeader, u64, u64)> {
        let (z, c) = self.place_of(off)?;
        let (chunk, h) = self.owner_of(z, c)?;
        let zone = &self.zones[z as usize];
        let end = zone.chunk(chunk.saturating_add(h.size).min(zone.chunks));
        let header = HeaderType::of_flags(h.flags);
        if header == HeaderType::Compact {
            let found = self.read_header(off.wrapping_sub(16), HeaderType::Compact, 0)?;
            return Some((found, 16, end));
        }
        let unit = match header {
            HeaderType::None if h.kind == RUN => self.geometry(z, chunk, h)?.unit,
            _ => 0,
        };
        let found = self.read_header(off.wrapping_sub(header.size()), header, unit)?;
        Some((found, header.size(), end))
    }
}

//! Where things are in a heap (format section 4): zones, chunks, runs.

use crate::ulog::align_up;

pub const HEAP_HEADER: u64 = 1024;
pub const CHUNK: u64 = 262_144;
pub const MAX_CHUNKS: u64 = 65_528;
pub const ZONE_HEADER: u64 = 64;
/// Zone header and chunk headers.
pub const ZONE_META: u64 = ZONE_HEADER + MAX_CHUNKS * 8;
pub const ZONE_SIZE: u64 = ZONE_META + MAX_CHUNKS * CHUNK;
/// Zone header and one chunk: less is no zone.
pub const MIN_ZONE: u64 = ZONE_META + CHUNK;
pub const MIN_HEAP: u64 = 1_311_744;
pub const ZONE_MAGIC: u32 = 0xC3F0_A2D2;
/// Largest request: a full zone less a line.
pub const MAX_ALLOC: u64 = 0x3_FFDF_FFC0;
/// Run header before the bitmap: unit size, alignment.
pub const RUN_HEADER: u64 = 16;
/// Units of one allocation lie in one word of the bitmap.
pub const MAX_UNITS: u32 = 64;

/// Chunk types.
pub const FOOTER: u16 = 1;
pub const FREE: u16 = 2;
pub const USED: u16 = 3;
pub const RUN: u16 = 4;
pub const RUN_DATA: u16 = 5;

/// Chunk flags.
pub const COMPACT: u16 = 1;
pub const HEADER_NONE: u16 = 2;
pub const ALIGNED: u16 = 4;
pub const FLEX_BITMAP: u16 = 8;
pub const ALL_FLAGS: u16 = COMPACT | HEADER_NONE | ALIGNED | FLEX_BITMAP;

/// A chunk header, the u64 at its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHeader {
    pub kind: u16,
    pub flags: u16,
    pub size: u32,
}

impl ChunkHeader {
    #[inline]
    pub fn unpack(w: u64) -> ChunkHeader {
        ChunkHeader { kind: w as u16, flags: (w >> 16) as u16, size: (w >> 32) as u32 }
    }

    /// What is wrong with the header of a block of which `left` chunks are left
    /// in its zone, in PMDK's words, and the field.
    pub fn wrong(self, left: u32) -> Option<(&'static str, &'static str)> {
        match self.kind {
            0 => Some(("invalid chunk type", "type")),
            FOOTER..=RUN_DATA if self.flags & !ALL_FLAGS != 0 => Some(("invalid chunk flags", "flags")),
            FOOTER..=RUN_DATA if self.size == 0 || self.size > left => {
                Some(("chunk sizes mismatch", "size_idx"))
            }
            FOOTER..=RUN_DATA => None,
            _ => Some(("unknown chunk type", "type")),
        }
    }

    #[inline]
    pub fn pack(self) -> u64 {
        (self.size as u64) << 32 | (self.flags as u64) << 16 | self.kind as u64
    }
}

/// How an object says what it is (format 4.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderType {
    Legacy,
    Compact,
    None,
}

impl HeaderType {
    #[inline]
    pub fn of_flags(flags: u16) -> HeaderType {
        if flags & COMPACT != 0 {
            HeaderType::Compact
        } else if flags & HEADER_NONE != 0 {
            HeaderType::None
        } else {
            HeaderType::Legacy
        }
    }

    #[inline]
    pub fn flags(self) -> u16 {
        match self {
            HeaderType::Compact => COMPACT,
            HeaderType::None => HEADER_NONE,
            HeaderType::Legacy => 0,
        }
    }

    #[inline]
    pub fn size(self) -> u64 {
        match self {
            HeaderType::Compact => 16,
            HeaderType::None => 0,
            HeaderType::Legacy => 64,
        }
    }
}

/// Zones of a heap of `size` bytes.
pub fn zone_count(size: u64) -> u64 {
    let mut rest = size.saturating_sub(HEAP_HEADER);
    let mut count = 0;
    while rest >= MIN_ZONE {
        count += 1;
        rest -= rest.min(ZONE_SIZE);
    }
    count
}

/// Chunks of zone `zone` of a heap of `size` bytes.
pub fn zone_chunks(size: u64, zone: u64) -> u64 {
    if zone + 1 < zone_count(size) {
        return MAX_CHUNKS;
    }
    let more = if defect!(SeedZoneChunks) { CHUNK - 1 } else { 0 };
    ((size - zone * ZONE_SIZE - ZONE_META - HEAP_HEADER + more) / CHUNK).min(MAX_CHUNKS)
}

/// Where the parts of a run are, relative to its first chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunGeometry {
    pub unit: u64,
    pub alignment: u64,
    pub chunks: u32,
    pub flags: u16,
    /// Bytes reserved for the bitmap.
    pub bitmap_bytes: u64,
    /// Units; bits behind them are set.
    pub units: u32,
    /// Words of the bitmap that carry units.
    pub words: u32,
}

const FIXED_BITMAP: u64 = 304;

impl RunGeometry {
    /// The geometry that format 4.5 gives to a run of `chunks` chunks; `None`
    /// for a unit size of which not one unit fits.
    pub fn new(unit: u64, alignment: u64, chunks: u32, flags: u16) -> Option<RunGeometry> {
        if unit == 0 || chunks == 0 {
            return None;
        }
        let content = chunks as u64 * CHUNK - RUN_HEADER;
        let bitmap_bytes = if flags & FLEX_BITMAP != 0 {
            let words = (content / unit).div_ceil(64);
            8 * (align_up(words + 2, 8) - 2)
        } else {
            FIXED_BITMAP
        };
        let mut units = content.checked_sub(bitmap_bytes)? / unit;
        if flags & FLEX_BITMAP == 0 {
            units = units.min(FIXED_BITMAP * 8);
        }
        let units = units.checked_sub((alignment != 0) as u64)?;
        if units == 0 {
            return None;
        }
        let words = bitmap_bytes / 8 - (bitmap_bytes * 8 - units) / 64;
        Some(RunGeometry {
            unit,
            alignment,
            chunks,
            flags,
            bitmap_bytes,
            units: units as u32,
            words: words as u32,
        })
    }

    #[inline]
    pub fn header(&self) -> HeaderType {
        HeaderType::of_flags(self.flags)
    }

    /// Units of an object of `size` bytes of data; `None` if it is too large.
    #[inline]
    pub fn units_for(&self, size: u64) -> Option<u32> {
        let header = self.header();
        let units = (size + header.size()).div_ceil(self.unit);
        let most = if header == HeaderType::None { 1 } else { MAX_UNITS.min(self.units) };
        (units <= most as u64).then_some(units as u32)
    }

    /// Offset in the pool of unit 0 of a run whose first chunk is at `chunk`.
    #[inline]
    pub fn first_unit(&self, chunk: u64) -> u64 {
        let start = chunk + RUN_HEADER + self.bitmap_bytes;
        if self.flags & ALIGNED == 0 || self.alignment == 0 {
            return start;
        }
        let header = self.header().size();
        (start + header).div_ceil(self.alignment) * self.alignment - header
    }

    /// The bits of word `i` that stand for units.
    #[inline]
    pub fn valid_bits(&self, i: u32) -> u64 {
        let left = self.units.saturating_sub(i * 64);
        if left >= 64 { u64::MAX } else { (1 << left) - 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_of_known_heaps() {
        assert_eq!(zone_chunks(5_234_688, 0), 17);
        assert_eq!(zone_chunks(32 * 1048576 - 0x302000, 0), 113);
        let h = 40 * 1073741824 - 0x302000;
        assert_eq!(zone_count(h), 3);
        assert_eq!([0, 1, 2].map(|z| zone_chunks(h, z)), [65528, 65528, 32765]);
    }

    #[test]
    fn run_geometry_of_known_runs() {
        let g = RunGeometry::new(128, 0, 1, 9).unwrap();
        assert_eq!((g.bitmap_bytes, g.units, g.words), (304, 2045, 32));
        assert_eq!(g.valid_bits(31).count_ones(), 61);
        let g = RunGeometry::new(209_664, 0, 16, 9).unwrap();
        assert_eq!((g.bitmap_bytes, g.units, g.words), (48, 20, 1));
        // Example of 4.5: the user data of unit 192 at 0x472500.
        let g = RunGeometry::new(1024, 256, 1, 0xd).unwrap();
        assert_eq!(g.first_unit(0x44_2400) + 192 * 1024, 0x47_24f0);
    }
}

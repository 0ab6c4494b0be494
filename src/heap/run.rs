//! Runs on media: making one, and what it says.

use super::layout::{ChunkHeader, RUN, RUN_DATA, RUN_HEADER, RunGeometry};
use super::map::longest_gap;
use super::zone::Zone;
use crate::pool::Region;

/// Free units of a run on media that nothing is reserved in.
pub fn count_free(region: &Region, bitmap: u64, g: &RunGeometry) -> u32 {
    (0..g.words).map(|i| (!region.load(bitmap + 8 * i as u64) & g.valid_bits(i)).count_ones()).sum()
}

/// The first word of the bitmap, from `word` on, with an allocated unit.
pub fn first_in_use(region: &Region, bitmap: u64, g: &RunGeometry, word: u32) -> Option<u32> {
    (word..g.words).find(|&i| region.load(bitmap + 8 * i as u64) & g.valid_bits(i) != 0)
}

/// The longest gap of a run on media that nothing is reserved in.
pub fn media_gap(region: &Region, bitmap: u64, g: &RunGeometry) -> u32 {
    longest_gap((0..g.words).map(|i| !region.load(bitmap + 8 * i as u64) & g.valid_bits(i)))
}

/// Turns the free block of `g.chunks` chunks at `chunk` into an empty run
/// (format 4.5). Until the last store the chunks are a valid free block.
pub fn create(region: &Region, zone: &Zone, chunk: u32, g: &RunGeometry) {
    let start = zone.chunk(chunk);
    let header = ChunkHeader { kind: RUN, flags: g.flags, size: g.chunks };
    defect!(RunHeaderFirst, zone.persist_header(region, chunk, header));
    region.store(start, g.unit);
    region.store(start + 8, g.alignment);
    for i in 0..(g.bitmap_bytes / 8) as u32 {
        region.store(
            start + RUN_HEADER + 8 * i as u64,
            if defect!(RunTailFree) { 0 } else { !g.valid_bits(i) },
        );
    }
    region.flush(start, RUN_HEADER + g.bitmap_bytes);
    for i in 1..if defect!(RunPartsMissing) { 1 } else { g.chunks } {
        let data = ChunkHeader { kind: RUN_DATA, flags: 0, size: i };
        region.store(zone.header_at(chunk + i), data.pack());
    }
    if g.chunks > 1 {
        region.flush(zone.header_at(chunk + 1), 8 * (g.chunks as u64 - 1));
    }
    // All of the run before the header that makes it one.
    region.drain();
    zone.persist_header(region, chunk, header);
}

/// Geometry of a run as media describes it, with everything checked.
#[cold]
pub fn read_geometry(region: &Region, zone: &Zone, chunk: u32, h: ChunkHeader) -> Option<RunGeometry> {
    if h.kind != RUN || h.size == 0 || h.size > zone.chunks.checked_sub(chunk)? {
        return None;
    }
    let start = zone.chunk(chunk);
    let (unit, alignment) = (region.load(start), region.load(start + 8));
    if alignment > 8 * super::layout::CHUNK {
        return None;
    }
    let g = RunGeometry::new(unit, alignment, h.size, h.flags)?;
    // With an alignment that the creator did not have, units could reach
    // beyond the run.
    let end = g.first_unit(start) + g.units as u64 * g.unit;
    (end <= start + g.chunks as u64 * super::layout::CHUNK).then_some(g)
}

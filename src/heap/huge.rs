//! Free blocks of whole chunks: finding, splitting, coalescing.

use super::Error;
use super::layout::{ChunkHeader, FOOTER, FREE, HeaderType};
use super::zone::Zone;
use crate::pool::Region;

/// The free blocks of all scanned zones, by size, then position. What is not
/// in here is not free, whatever a footer on media says.
#[derive(Debug, Default)]
pub struct FreeBlocks {
    sorted: Vec<u64>,
}

const ZONE_SHIFT: u32 = 20;
const SIZE_SHIFT: u32 = 40;

fn key(zone: u32, chunk: u32, size: u32) -> u64 {
    (size as u64) << SIZE_SHIFT | (zone as u64) << ZONE_SHIFT | chunk as u64
}

impl FreeBlocks {
    /// Makes room for the blocks of zones of so many chunks together, so that
    /// none is ever lost for want of memory.
    pub fn make_room(&mut self, chunks: usize) -> Result<(), Error> {
        self.sorted.try_reserve_exact(chunks - self.sorted.len()).map_err(|_| Error::OutOfMemory)
    }

    /// Notes a free block, for which there is room.
    pub fn insert(&mut self, zone: u32, chunk: u32, size: u32) {
        let k = key(zone, chunk, size);
        if let Err(i) = self.sorted.binary_search(&k) {
            debug_assert!(self.sorted.len() < self.sorted.capacity());
            self.sorted.insert(i, k);
        }
    }

    fn remove(&mut self, zone: u32, chunk: u32, size: u32) -> bool {
        match self.sorted.binary_search(&key(zone, chunk, size)) {
            Ok(i) => {
                self.sorted.remove(i);
                true
            }
            Err(_) => false,
        }
    }

    /// Takes the smallest block of at least `size` chunks: zone, chunk, size.
    fn take(&mut self, size: u32) -> Option<(u32, u32, u32)> {
        let i = self.sorted.partition_point(|&k| k < key(0, 0, size));
        if i == self.sorted.len() {
            return None;
        }
        let k = self.sorted.remove(i);
        let field = |shift: u32| (k >> shift) as u32 & ((1 << ZONE_SHIFT) - 1);
        Some((field(ZONE_SHIFT), field(0), (k >> SIZE_SHIFT) as u32))
    }

    /// Reserves a block of exactly `size` chunks, split from a larger one if
    /// need be: zone and chunk. Its header, still that of a free block, says
    /// by `header` where the data of the object to come will start.
    pub fn reserve(
        &mut self,
        region: &Region,
        zones: &[Zone],
        size: u32,
        header: HeaderType,
    ) -> Option<(u32, u32)> {
        let (z, chunk, have) = self.take(size)?;
        let zone = zones.get(z as usize)?;
        if have > size {
            // The right part's header lies inside the block until the left
            // part's header, stored after it is durable, gives it a life of
            // its own.
            let left = ChunkHeader { kind: FREE, flags: header.flags(), size };
            defect!(SplitLeftFirst, zone.persist_header(region, chunk, left));
            zone.persist_free(region, chunk + size, have - size);
            // Durable before the right part can be allocated, by whomever.
            zone.persist_header(region, chunk, left);
            zone.set_footer(region, chunk, size);
            self.insert(z, chunk + size, have - size);
        } else if HeaderType::of_flags(zone.header(region, chunk).flags) != header {
            // Only for whoever looks at the reserved block: either header is
            // that of the free block which a crash makes of it.
            let free = ChunkHeader { kind: FREE, flags: header.flags(), size };
            region.store(zone.header_at(chunk), free.pack());
        }
        Some((z, chunk))
    }

    /// Takes in a block whose header on media says FREE, durably, and merges
    /// it with its free neighbours.
    pub fn release(&mut self, region: &Region, zone: &Zone, chunk: u32, size: u32) {
        let (mut first, mut total) = (chunk, size);
        if chunk + size < zone.chunks {
            let right = zone.header(region, chunk + size);
            if right.kind == FREE && self.remove(zone.index, chunk + size, right.size) {
                total += right.size;
            }
        }
        if chunk > 0 {
            let left = zone.header(region, chunk - 1);
            // A block of one chunk has no footer; a footer is believed only
            // if the block is known to be free.
            let n = if left.kind == FOOTER { left.size } else { 1 };
            if n <= chunk && (self.remove(zone.index, chunk - n, n) || defect!(SeedFooters)) {
                first -= n;
                total += n;
            }
        }
        if total != size {
            let flags = zone.header(region, first).flags;
            // One store swallows the neighbours' headers.
            let at = if defect!(MergeAtBlock) { chunk } else { first };
            zone.persist_header(region, at, ChunkHeader { kind: FREE, flags, size: total });
        }
        zone.set_footer(region, first, total);
        self.insert(zone.index, first, total);
    }
}

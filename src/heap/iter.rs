//! Iteration over allocated objects, by ascending offset.

use super::block::INTERNAL;
use super::layout::{ChunkHeader, HeaderType, RUN, RUN_HEADER, RunGeometry, USED, ZONE_MAGIC};
use super::zone::Zone;
use super::{Error, Heap};

impl Heap {
    /// Offset of the first object's user data.
    pub fn first(&self) -> Option<u64> {
        self.from(0, 0, 0)
    }

    /// The object after the one at `off`.
    pub fn next(&self, off: u64) -> Result<Option<u64>, Error> {
        let b = self.block_at(off)?;
        if b.is_huge() {
            return Ok(self.from(b.zone, b.chunk + b.chunks(), 0));
        }
        let bitmap = self.zones[b.zone as usize].chunk(b.chunk) + RUN_HEADER;
        let behind = 64 - b.bits.leading_zeros();
        Ok(self.from(b.zone, b.chunk, (b.word - bitmap) as u32 * 8 + behind))
    }

    /// The first object from a block's start, or a unit of a run, on.
    fn from(&self, z: u32, mut c: u32, mut unit: u32) -> Option<u64> {
        for zone in self.zones.get(z as usize..)? {
            let (magic, size) = zone.stored(&self.region);
            let size = if magic == ZONE_MAGIC { size.min(zone.chunks) } else { 0 };
            while c < size {
                let h = zone.header(&self.region, c);
                if let Some(off) = self.in_block(zone, c, h, unit) {
                    return Some(off);
                }
                unit = 0;
                // A damaged header must not stop the walk from ending.
                c = c.saturating_add(h.size.max(1));
            }
            c = 0;
            unit = 0;
        }
        None
    }

    fn in_block(&self, zone: &Zone, c: u32, h: ChunkHeader, unit: u32) -> Option<u64> {
        match h.kind {
            USED => {
                let header = HeaderType::of_flags(h.flags);
                let off = zone.chunk(c) + header.size();
                let b = self.block_at(off).ok()?;
                (self.header_of(&b).flags & INTERNAL == 0).then_some(off)
            }
            RUN => {
                let g = self.geometry(zone.index, c, h)?;
                self.in_run(zone, c, &g, unit)
            }
            _ => None,
        }
    }

    /// The first object of a run from `unit` on. Set bits that start no
    /// possible object are skipped one by one.
    fn in_run(&self, zone: &Zone, c: u32, g: &RunGeometry, mut unit: u32) -> Option<u64> {
        let first = g.first_unit(zone.chunk(c));
        let header = g.header();
        while unit < g.units {
            let word = self.region.load(zone.chunk(c) + RUN_HEADER + 8 * (unit / 64) as u64);
            let set = word >> (unit % 64);
            if set == 0 {
                unit = (unit / 64 + 1) * 64;
                continue;
            }
            unit += set.trailing_zeros();
            if unit >= g.units {
                return None;
            }
            let start = first + unit as u64 * g.unit;
            let found = self.read_header(start, header, g.unit)?; // runs are inside the pool
            match self.units_of(&found, unit, g) {
                Some(_) if found.flags & INTERNAL == 0 => return Some(start + header.size()),
                Some(units) => unit += units,
                None => unit += 1,
            }
        }
        None
    }
}

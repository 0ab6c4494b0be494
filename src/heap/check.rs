//! What may be wrong in a heap: header, zones, chunks, runs, bitmaps, objects
//! (format section 4). Nothing is changed, and each object is looked at once.

use std::fmt::Arguments;

use super::boot::check_header;
use super::layout::{
    ALIGNED, CHUNK, ChunkHeader, FLEX_BITMAP, FOOTER, HEADER_NONE, HeaderType, MAX_UNITS, RUN, RUN_DATA,
    RUN_HEADER, RunGeometry, USED, ZONE_HEADER, ZONE_MAGIC, zone_chunks, zone_count,
};
use super::map::mask;
use super::run::read_geometry;
use super::zone::Zone;
use super::{Error, Heap, INTERNAL};
use crate::pool::Region;
use crate::pool::check::zeros;
use crate::pool::descriptor::{ROOT_OFFSET, ROOT_SIZE};
use crate::pool::finding::{Advice, Finding, Findings, Gravity};
use crate::ulog::{self, Bounds, Budget};

/// The root object as the descriptor has it.
#[derive(Clone, Copy, Debug)]
pub struct Root {
    pub off: u64,
    pub size: u64,
}

/// Tells what is wrong in the heap of `size` bytes at `start`, which are a heap's
/// at least and not more than the pool has. `root` is looked
/// for if recovery is complete: only then is all else internal a leak.
pub fn inspect(region: &Region, start: u64, size: u64, root: Option<Root>, findings: &mut Findings) {
    check_header(region, start, &mut |e| tell_header(&e, findings));
    let mut heap = Inspection { region, findings, root, root_found: false };
    for z in 0..zone_count(size) {
        heap.zone(&Zone::new(start, z as u32, zone_chunks(size, z) as u32));
    }
    heap.root();
}

fn tell_header(e: &Error, findings: &mut Findings) {
    let (what, field, at, found, expected) = match *e {
        Error::HeaderChecksum { at, found, expected } => {
            ("heap: invalid header's checksum", "checksum", at, found, expected)
        }
        Error::Signature { at, found, expected } => {
            ("heap: invalid signature", "signature", at, found, expected)
        }
        Error::Header { field, at, found, expected } => ("heap: invalid header", field, at, found, expected),
        _ => return,
    };
    let (place, expected) = (format_args!("heap header"), format_args!("{expected:#x}"));
    let (gravity, advice) = (Gravity::Defect, Advice::Restore);
    findings.tell(&Finding { gravity, what, place, field, at, found, expected, advice });
}

struct Inspection<'a, 'b> {
    region: &'a Region,
    findings: &'a mut Findings<'b>,
    root: Option<Root>,
    root_found: bool,
}

/// An object header's place and what it says.
struct Object<'a> {
    place: Arguments<'a>,
    start: u64,
    header: HeaderType,
}

impl Inspection<'_, '_> {
    fn defect(
        &mut self,
        what: &str,
        place: Arguments,
        field: &str,
        (at, found): (u64, u64),
        expected: Arguments,
    ) {
        let (gravity, advice) = (Gravity::Defect, Advice::Copy);
        self.findings.tell(&Finding { gravity, what, place, field, at, found, expected, advice });
    }

    fn zone(&mut self, zone: &Zone) {
        let z = zone.index;
        let (magic, size) = zone.stored(self.region);
        if magic == 0 {
            return; // never used
        }
        let place = format_args!("zone {z}");
        if magic != ZONE_MAGIC {
            let found = (zone.start, magic as u64);
            self.defect("heap: invalid zone magic", place, "magic", found, format_args!("{ZONE_MAGIC:#x}"));
            return;
        }
        if size == 0 || size > zone.chunks {
            let expected = format_args!("1 to {:#x} chunks", zone.chunks);
            let found = (zone.start + 4, size as u64);
            self.defect("heap: invalid zone size", place, "size_idx", found, expected);
            return;
        }
        zeros(self.region, place, "reserved", (zone.start + 8, zone.start + ZONE_HEADER), self.findings);
        let mut c = 0;
        while c < size {
            let h = zone.header(self.region, c);
            if !self.chunk(zone, c, h, size - c) {
                return; // where the next block starts is not known
            }
            c += h.size;
        }
    }

    /// One block; false if its size cannot be relied on.
    fn chunk(&mut self, zone: &Zone, c: u32, h: ChunkHeader, left: u32) -> bool {
        let place = format_args!("zone {}, chunk {c}", zone.index);
        let stray = matches!(h.kind, FOOTER | RUN_DATA).then_some(("invalid chunk type", "type"));
        if let Some((what, field)) = h.wrong(left).or(stray) {
            let (found, expected) = match field {
                "type" => (h.kind as u64, format_args!("2, 3 or 4: a free block, a huge object or a run")),
                "flags" => (h.flags as u64, format_args!("0 to 0xf")),
                _ => (h.size as u64, format_args!("1 to {left:#x} chunks")),
            };
            let at = zone.header_at(c)
                + [("flags", 2), ("size_idx", 4)].iter().fold(0, |at, f| if f.0 == field { f.1 } else { at });
            self.defect(what, place, field, (at, found), expected);
            return false;
        }
        match h.kind {
            USED => {
                let (start, header) = (zone.chunk(c), HeaderType::of_flags(h.flags));
                let object = Object { place, start, header };
                let size = h.size as u64 * CHUNK;
                let found = self.size_of(&object, size);
                if found != size {
                    let at = object.start + if header == HeaderType::Legacy { 8 } else { 0 };
                    let expected = format_args!("{size:#x}");
                    self.defect("invalid object size", object.place, "size", (at, found), expected);
                }
                self.object(&object, size);
            }
            RUN => self.run(zone, c, h),
            _ => {}
        }
        true
    }

    fn run(&mut self, zone: &Zone, c: u32, h: ChunkHeader) {
        let (z, start) = (zone.index, zone.chunk(c));
        for i in 1..h.size {
            let part = zone.header(self.region, c + i);
            if part.kind != RUN_DATA || part.size != i {
                let (place, at) = (format_args!("zone {z}, chunk {}", c + i), zone.header_at(c + i));
                let expected = format_args!("{:#x}, part {i} of the run at chunk {c}", (i as u64) << 32 | 5);
                self.defect("invalid part of a run", place, "header", (at, part.pack()), expected);
            }
        }
        let place = format_args!("zone {z}, run at chunk {c}");
        let (unit, alignment) = (self.region.load(start), self.region.load(start + 8));
        let aligned = if h.flags & ALIGNED != 0 { alignment.is_power_of_two() } else { alignment == 0 };
        if !aligned {
            let expected = match h.flags & ALIGNED {
                0 => format_args!("0, as the run is not flagged as aligned"),
                _ => format_args!("a power of two"),
            };
            self.defect("invalid run", place, "alignment", (start + 8, alignment), expected);
            return;
        }
        let Some(g) = read_geometry(self.region, zone, c, h) else {
            let expected = format_args!("a size of which the run's {} chunks hold some", h.size);
            self.defect("invalid run", place, "unit size", (start, unit), expected);
            return;
        };
        self.bitmap_end(place, start + RUN_HEADER, &g);
        if g.flags & HEADER_NONE == 0 || g.header() != HeaderType::None {
            self.units(zone, c, &g);
        }
    }

    /// Bits behind those of the units are set: whoever finds a free one takes
    /// what follows for a unit.
    fn bitmap_end(&mut self, place: Arguments, bitmap: u64, g: &RunGeometry) {
        // Fixed bitmaps are older than the rule for words without units.
        let words = if g.flags & FLEX_BITMAP != 0 { g.bitmap_bytes as u32 / 8 } else { g.words };
        for i in g.units / 64..words {
            let at = bitmap + 8 * i as u64;
            let (found, behind) = (self.region.load(at), !g.valid_bits(i));
            if found & behind != behind {
                let expected = format_args!("bits {behind:#x} set, as the run has {} units", g.units);
                self.defect("invalid bitmap", place, "bitmap", (at, found), expected);
            }
        }
    }

    /// The objects of a run's set bits.
    fn units(&mut self, zone: &Zone, c: u32, g: &RunGeometry) {
        let (z, start) = (zone.index, zone.chunk(c));
        let (bitmap, first) = (start + RUN_HEADER, g.first_unit(start));
        let mut unit = 0;
        while unit < g.units {
            let at = bitmap + 8 * (unit / 64) as u64;
            let (word, bit) = (self.region.load(at) & g.valid_bits(unit / 64), unit % 64);
            if word >> bit == 0 {
                unit += 64 - bit;
                continue;
            }
            unit += (word >> bit).trailing_zeros();
            let bit = unit % 64;
            let place = format_args!("zone {z}, run at chunk {c}, unit {unit}");
            let object = Object { place, start: first + unit as u64 * g.unit, header: g.header() };
            let size = self.size_of(&object, g.unit);
            let n = size / g.unit;
            let fits = n > 0 && size.is_multiple_of(g.unit) && bit as u64 + n <= MAX_UNITS as u64;
            let n = n.min(MAX_UNITS as u64) as u32;
            if !fits || unit + n > g.units {
                if lost_units(word, g, unit) {
                    return;
                }
                let most = (MAX_UNITS - bit).min(g.units - unit) as u64 * g.unit;
                let at = object.start + if object.header == HeaderType::Legacy { 8 } else { 0 };
                let expected = format_args!("a multiple of the unit size {:#x}, at most {most:#x}", g.unit);
                self.defect("invalid object size", object.place, "size", (at, size), expected);
                unit += 1;
                continue;
            }
            let bits = mask(bit, n);
            if word & bits != bits {
                let expected = format_args!("bits {bits:#x} set for the {n} units of the object");
                self.defect("object partly free", object.place, "bitmap", (at, word), expected);
            }
            self.object(&object, size);
            unit += n;
        }
    }

    fn word(&self, at: u64) -> u64 {
        // SAFETY: objects of checked runs and chunks lie inside the pool; units
        // need not be multiples of 8 bytes.
        unsafe { self.region.at(at, 8).cast::<u64>().read_unaligned() }
    }

    /// The size that an object's header says, or `known` without one.
    fn size_of(&self, o: &Object, known: u64) -> u64 {
        match o.header {
            HeaderType::Compact => self.word(o.start) & ((1 << 48) - 1),
            HeaderType::Legacy => self.word(o.start + 8),
            HeaderType::None => known,
        }
    }

    /// The flags of an object, and whether somebody knows it if it is internal.
    fn object(&mut self, o: &Object, size: u64) {
        let at = match o.header {
            HeaderType::Compact => o.start + 6,
            HeaderType::Legacy => o.start + 54,
            HeaderType::None => return,
        };
        let flags = (self.word(at - 6) >> 48) as u16;
        if flags & !INTERNAL != 0 {
            let expected = format_args!("0, or {INTERNAL:#x} for internal objects");
            self.defect("invalid object flags", o.place, "flags", (at, flags as u64), expected);
        }
        let user = o.start + o.header.size();
        let Some(root) = self.root else { return };
        if root.off == user {
            self.root_found = true;
            let usable = size - o.header.size();
            if root.size == 0 || root.size > usable {
                let (place, expected) = (format_args!("root object"), format_args!("1 to {usable:#x}"));
                self.defect("invalid root", place, "root_size", (ROOT_SIZE, root.size), expected);
            }
            if flags & INTERNAL == 0 {
                let expected = format_args!("{INTERNAL:#x}, as of all internal objects");
                self.defect("invalid root", o.place, "flags", (at, flags as u64), expected);
            }
        } else if flags & INTERNAL != 0 {
            let leak = Finding {
                gravity: Gravity::Defect,
                what: "leaked internal object",
                place: o.place,
                field: "flags",
                at,
                found: flags as u64,
                expected: format_args!("0, as it is neither the root nor part of a log"),
                advice: Advice::Leak,
            };
            self.findings.tell(&leak);
        }
    }

    fn root(&mut self) {
        let Some(root) = self.root else { return };
        let place = format_args!("root object");
        if root.off != 0 && !self.root_found {
            let expected = format_args!("0 or an allocated object");
            self.defect("invalid root", place, "root_offset", (ROOT_OFFSET, root.off), expected);
        }
        if root.off == 0 && root.size != 0 {
            let expected = format_args!("0, as there is no root object");
            self.defect("invalid root", place, "root_size", (ROOT_SIZE, root.size), expected);
        }
    }
}

/// Whether the set bits from `unit` on are those that PMDK loses when the units
/// end with a word (format 4.5): it is set from the start, and nobody's.
fn lost_units(word: u64, g: &RunGeometry, unit: u32) -> bool {
    g.units.is_multiple_of(64) && unit / 64 == g.units / 64 - 1 && word == u64::MAX
}

impl Heap {
    /// Tells of links from logs to what is no log. Redo logs are recovered.
    pub fn inspect_links(
        &self,
        bounds: &Bounds,
        lanes: u64,
        findings: &mut Findings,
    ) -> Result<(), ulog::Error> {
        let budget = Budget::new(&self.region);
        let mut links = Vec::new();
        for (lane, log) in (0..lanes).flat_map(|lane| ulog::Extended::ALL.map(|log| (lane, log))) {
            links.clear();
            let end = match ulog::links_of(&self.region, bounds, lane, log, &budget, &mut links) {
                Err(e @ (ulog::Error::OutOfMemory | ulog::Error::Unreadable(_))) => return Err(e),
                end => end,
            };
            for l in &links {
                self.probe_block(bounds, l.link)?;
                if !l.is_user_buffer(&self.region) && !self.is_extension(l) {
                    tell_link(lane, log.name(), l.field, l.link, findings);
                }
            }
            if let Err(ulog::Error::Link { log, at, next, .. }) = end {
                tell_link(lane, log, at, next, findings);
            }
        }
        Ok(())
    }

    /// Whether a link leads to an allocated internal object that holds the log.
    fn is_extension(&self, l: &ulog::Linked) -> bool {
        let Ok(b) = self.block_to_free(l.link) else { return false };
        // PMDK up to 1.7 did not subtract the shift of up to a line.
        let end = b.start + b.size + 64;
        self.header_of(&b).flags & INTERNAL != 0 && l.end(&self.region) <= end
    }
}

fn tell_link(lane: u64, log: &str, at: u64, found: u64, findings: &mut Findings) {
    findings.tell(&Finding {
        gravity: Gravity::Defect,
        what: "invalid log",
        place: format_args!("lane {lane}, {log} log"),
        field: "next",
        at,
        found,
        expected: format_args!("0 or a log in an internal object"),
        advice: Advice::Restore,
    });
}

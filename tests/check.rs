//! `pmemobj_check` says what is wrong and where: one defect at a time in a
//! sound pool, for each structure and each field of the format, checksums
//! repaired; and nothing is said of sound pools.

#[path = "crash/media.rs"]
mod media;
#[path = "crash/world.rs"]
mod world;

use media::{CHUNK, CHUNK0, HEAP, LANE, LANES, ZONE, put_u64, sum, u64_at};
use pmem_rs::obj::Pool;
use pmem_rs::pool::finding::Gravity;
use world::{ImageFile, MIB, Scratch, another, close, create, in_tx, overwrite, populate};

/// What a check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Cannot be opened: -1.
    Refused,
    /// Inconsistent: 0.
    Defect,
    /// Consistent: 1, with a remark.
    Remark,
}
use Verdict::{Defect, Refused, Remark};

/// A pool with something of everything, closed, or as a crash in a transaction
/// whose undo log is extended leaves it.
fn base(crashed: bool) -> Vec<u8> {
    let file = Scratch::new("check");
    let p = create(&file.0, b"check", 24 * MIB, true, another());
    let root = populate(p);
    in_tx(p, || overwrite(p, root + 5000, 4000, 1));
    if crashed {
        let image = world::crashed(p, root);
        close(p);
        return image;
    }
    close(p);
    let mut image = std::fs::read(file.path()).unwrap();
    add_runs(&mut image);
    image
}

/// Runs of kinds that no default class makes, in the last free block: legacy
/// headers, none, and aligned units; one object in each.
fn add_runs(b: &mut [u8]) {
    let &(c, n) = media::heap(b).unwrap().free.last().unwrap();
    assert!(n > 3);
    for (i, (flags, alignment)) in [(8, 0), (10, 0), (13, 256)].into_iter().enumerate() {
        let (chunk, at) = (c + i as u64, CHUNK0 + (c + i as u64) * CHUNK);
        put_u64(b, at, 1024);
        put_u64(b, at + 8, alignment);
        let (bytes, units, first) = media::run_geometry(chunk, 1, flags, 1024, alignment);
        for k in (0..bytes).step_by(8) {
            let bits = units.saturating_sub(8 * k).min(64);
            put_u64(b, at + 16 + k, if bits == 64 { 0 } else { u64::MAX << bits });
        }
        put_u64(b, at + 16, 1);
        match flags {
            8 => put_u64(b, first + 8, 1024),
            13 => put_u64(b, (first + 16).next_multiple_of(256) - 16, 1024),
            _ => {}
        }
        if flags == 8 {
            put_u64(b, first + 48, 0);
            put_u64(b, first + 56, 7);
        }
        put_u64(b, ZONE + 64 + 8 * chunk, 1 << 32 | flags << 16 | 4);
    }
    put_u64(b, ZONE + 64 + 8 * (c + 3), (n - 3) << 32 | 2);
}

fn repair(b: &mut [u8], at: u64) {
    let skip = if b[0x10] & 2 != 0 { 0x800 } else { 0xff8 };
    for (from, len, skip) in [(0u64, 4096, skip), (0x1000, 2048, 0), (HEAP, 1024, 0)] {
        let field = len - 8;
        if (from..from + field).contains(&at) {
            let s = sum(&b[from as usize..(from + len) as usize], Some(field as usize), skip, 0);
            put_u64(b, from + field, s);
        }
    }
}

/// What a check of the file says: its verdict, and all lines.
fn check(file: &Scratch) -> (i32, Vec<String>) {
    let mut lines = Vec::new();
    let said = Pool::check(&file.0, None, &mut |f| {
        let gravity = if f.gravity == Gravity::Remark { "remark: " } else { "" };
        lines.push(format!("{gravity}{f}"));
    });
    match said {
        Ok(sound) => (sound as i32, lines),
        Err(e) => {
            lines.push(e.to_string());
            (-1, lines)
        }
    }
}

struct Table {
    file: ImageFile,
    sound: Vec<u8>,
    failures: Vec<String>,
    cases: usize,
}

impl Table {
    /// One defect: `len` bytes at `at` become `value`. The check must give its
    /// verdict, in a line that names the structure, the field, offset and value.
    fn case(&mut self, verdict: Verdict, place: &str, field: &str, at: u64, len: usize, value: u64) {
        let shown = if len == 8 { value } else { value & ((1 << (8 * len)) - 1) };
        let want = [format!("{at:#x}"), format!("{shown:#x}")];
        self.changed(verdict, &[place, field, &want[0], &want[1]], at, |b| {
            b[at as usize..at as usize + len].copy_from_slice(&value.to_le_bytes()[..len]);
        });
    }

    fn changed(&mut self, verdict: Verdict, want: &[&str], at: u64, change: impl FnOnce(&mut [u8])) {
        let bytes = self.file.bytes();
        bytes.copy_from_slice(&self.sound);
        change(bytes);
        repair(bytes, at);
        let before = bytes.to_vec();
        let (said, lines) = check(&self.file.file);
        let expected = match verdict {
            Refused => -1,
            Defect => 0,
            Remark => 1,
        };
        let told = lines
            .iter()
            .any(|l| l.starts_with("remark: ") == (verdict == Remark) && want.iter().all(|w| l.contains(w)));
        self.cases += 1;
        if said != expected || !told {
            self.failures.push(format!("{want:?}: {said}, not {expected}: {lines:#?}"));
        }
        assert!(self.file.bytes() == before, "{want:?}: the check wrote to the file");
    }
}

fn table(sound: Vec<u8>) -> Table {
    let file = ImageFile::new(&sound);
    Table { file, sound, failures: Vec::new(), cases: 0 }
}

fn header_cases(t: &mut Table) {
    let h = "pool header";
    t.changed(Refused, &[h, "signature", "0x0", "XMEMOBJ"], 0, |b| b[0] = b'X');
    for major in [0, 5, 7] {
        t.changed(Refused, &[h, "major", "0x8", &major.to_string()], 8, |b| b[8] = major);
    }
    t.case(Refused, h, "incompat", 0x10, 4, 0x80);
    t.case(Refused, h, "incompat", 0x10, 4, 0x7);
    t.case(Refused, h, "ro_compat", 0x14, 4, 0x100);
    for (at, field) in [(0x38, "prev_part"), (0x48, "next_part"), (0x58, "prev_repl"), (0x68, "next_repl")] {
        let (at_text, value) = (format!("{at:#x}"), "aa".repeat(16));
        t.changed(Refused, &[h, field, &at_text, &value], at as u64, |b| b[at..at + 16].fill(0xaa));
    }
    t.changed(Refused, &[h, "prev_part_uuid", "0x38"], 0x28, |b| b[0x28] ^= 1);
    t.case(Refused, h, "architecture", 0x80, 8, 0x7f7_3777_7311);
    t.case(Refused, h, "architecture", 0x88, 8, 183 << 48 | 0x102);
    t.case(Refused, h, "checksum", 0xff8, 8, 0x1234);
    t.case(Remark, h, "unused", 0x100, 8, 5);
    t.case(Remark, h, "unused2", 0x900, 8, 5);
    t.changed(Refused, &["shutdown state", "0xfb8", "0x5"], 0, |b| {
        put_u64(b, 0xfb8, 5);
        put_u64(b, 0xfc8, 1);
        let s = sum(&b[0xfb8..0xff8], Some(56), 0, 0);
        put_u64(b, 0xff0, s);
    });
    t.changed(Remark, &["shutdown state", "0xfb8", "0x5"], 0x10, |b| {
        b[0x10] = 2;
        put_u64(b, 0xfb8, 5);
    });
}

fn descriptor_cases(t: &mut Table) {
    let d = "descriptor";
    t.case(Refused, d, "lanes_offset", 0x1400, 8, 0x1000);
    t.case(Refused, d, "lanes_offset", 0x1400, 8, 0x2008);
    t.case(Refused, d, "nlanes", 0x1408, 8, 0);
    t.case(Refused, d, "nlanes", 0x1408, 8, 1 << 40);
    t.case(Refused, d, "heap_offset", 0x1410, 8, 0x302010);
    t.case(Refused, d, "heap_offset", 0x1410, 8, 1 << 50);
    t.case(Refused, d, "checksum", 0x17f8, 8, 0x77);
    t.case(Remark, d, "unused", 0x1420, 8, 1);
    t.case(Defect, d, "run_id", 0x1808, 8, 3);
    t.case(Defect, d, "heap_size", 0x1820, 8, 0x1000);
    t.case(Defect, d, "heap_size", 0x1820, 8, 1 << 40);
    t.case(Remark, d, "conversion_flags", 0x1818, 8, 1);
    t.case(Remark, d, "curr_allocated", 0x1828, 8, u64::MAX);
    t.case(Remark, d, "reserved", 0x1840, 8, 9);
}

fn log_cases(t: &mut Table) {
    for lane in [0, 16, 1023] {
        let start = LANES + lane * LANE;
        for (log, name) in
            [(start, "internal redo"), (start + 0x100, "external redo"), (start + 0x3c0, "undo")]
        {
            let place = format!("lane {lane}, {name} log");
            t.case(Defect, &place, "capacity", log + 16, 8, 0x1000);
            t.case(Defect, &place, "capacity", log + 16, 8, 0x48);
            t.case(Defect, &place, "flags", log + 32, 8, 1);
            t.case(Remark, &place, "unused", log + 40, 8, 1);
            t.case(Remark, &place, "unused", log + 56, 8, 1);
            for next in [0x1000, HEAP + 0x40, 1 << 60, CHUNK0 + 0x2000] {
                t.case(Defect, &place, "next", log + 8, 8, next);
            }
            if name != "undo" {
                t.case(Defect, &place, "gen_num", log + 24, 8, 1);
            }
        }
        redo_cases(t, lane, start, "internal redo", 192);
        redo_cases(t, lane, start + 0x100, "external redo", 640);
        let undo = start + 0x3c0;
        let place = format!("lane {lane}, undo log, entry 1");
        for (target, len) in [(0x1800, 16), (1 << 50, 8), (HEAP + 22 * MIB, 40)] {
            let (at, target_text) = (format!("{:#x}", undo + 128), format!("{target:#x}"));
            t.changed(Defect, &[&place, "target", &at, &target_text], 0, |b| {
                snapshot(b, undo, undo + 64, CHUNK0, 8);
                snapshot(b, undo, undo + 128, target, len);
                b[undo as usize + 192..undo as usize + 256].fill(0);
            });
        }
    }
}

/// A redo log with a valid checksum whose second entry may not be.
fn redo_cases(t: &mut Table, lane: u64, log: u64, name: &str, base: u64) {
    let place = format!("lane {lane}, {name} log");
    let entry = format!("{place}, entry 1");
    let mut redo = |want: &[&str], entries: u64, target: u64, next: u64| {
        t.changed(Defect, want, 0, |b| {
            b[log as usize..(log + 64 + base) as usize].fill(0);
            for i in 0..entries {
                put_u64(b, log + 64 + 16 * i, if i == 1 { target } else { 0x1810 });
                put_u64(b, log + 72 + 16 * i, u64_at(&*b, 0x1810));
            }
            put_u64(b, log + 8, next);
            put_u64(b, log + 16, if entries == 2 { 64 } else { base });
            let image = (log as usize)..(log + 64 + 16 * entries) as usize;
            let s = sum(&b[image], Some(0), 0, 0);
            put_u64(b, log, s);
        })
    };
    let at = format!("{:#x}", log + 80);
    for target in [0x1808u64, 0x1000, 1 << 40, CHUNK0 + 4] {
        redo(&[&entry, "target", &at, &format!("{target:#x}")], 2, target, 0);
    }
    let next = format!("{:#x}", log + 8);
    redo(&[&place, "next", &next, "0x100000"], base / 16, 0x1810, 0x10_0000);
}

/// An undo entry with the log's generation number.
fn snapshot(b: &mut [u8], log: u64, at: u64, target: u64, len: u64) {
    b[at as usize..at as usize + 64].fill(0);
    put_u64(b, at, 6 << 61 | target);
    put_u64(b, at + 16, len);
    let gen_num = u64_at(b, log + 24).to_le_bytes();
    let s = sum(&gen_num, None, 0, sum(&b[at as usize..at as usize + 64], Some(8), 0, 0));
    put_u64(b, at + 8, s);
}

fn heap_cases(t: &mut Table) {
    let h = "heap header";
    t.case(Defect, h, "signature", HEAP, 8, 0x1234);
    t.case(Defect, h, "signature", HEAP + 8, 8, 0x1234);
    t.case(Defect, h, "major", HEAP + 16, 8, 2);
    t.case(Defect, h, "chunk size", HEAP + 40, 8, 0x20000);
    t.case(Defect, h, "chunks per zone", HEAP + 48, 8, 0x100);
    t.case(Defect, h, "checksum", HEAP + 1016, 8, 0x99);
    t.case(Defect, "zone 0", "magic", ZONE, 4, 0x1234);
    t.case(Defect, "zone 0", "size_idx", ZONE + 4, 4, 0);
    t.case(Defect, "zone 0", "size_idx", ZONE + 4, 4, 1000);
    t.case(Remark, "zone 0", "reserved", ZONE + 16, 8, 1);
}

/// First chunk and header of a block of a kind, with these flags.
fn find(b: &[u8], kind: u64, flags: u64, chunks: std::ops::Range<u64>) -> (u64, u64) {
    let mut c = 0;
    loop {
        let h = u64_at(b, ZONE + 64 + 8 * c);
        let size = h >> 32;
        if h & 0xffff == kind && h >> 16 & 0xffff == flags && chunks.contains(&size) {
            return (c, h);
        }
        c += size;
        assert!(c < u64_at(b, ZONE) >> 32, "no block of kind {kind}, flags {flags}");
    }
}

fn chunk_cases(t: &mut Table) {
    let sound = t.sound.clone();
    let free = find(&sound, 2, 0, 2..1000);
    let huge = find(&sound, 3, 1, 2..1000);
    let run = find(&sound, 4, 9, 2..1000);
    for (c, _) in [free, huge, run] {
        let (at, place) = (ZONE + 64 + 8 * c, format!("zone 0, chunk {c}"));
        for kind in [0, 1, 5, 6, 0xffff] {
            t.case(Defect, &place, "type", at, 2, kind);
        }
        t.case(Defect, &place, "flags", at + 2, 2, 0x10);
        t.case(Defect, &place, "size_idx", at + 4, 4, 0);
        t.case(Defect, &place, "size_idx", at + 4, 4, 900);
    }
    // A huge object has an object header, of its block's size.
    let (c, h) = huge;
    let (start, place) = (CHUNK0 + c * CHUNK, format!("zone 0, chunk {c}"));
    t.case(Defect, &place, "size", start, 6, (h >> 32) * CHUNK - 64);
    t.case(Defect, &place, "flags", start + 6, 2, 1);
    t.case(Defect, &place, "leaked", start + 6, 2, 0x8000);
    // One chunk more makes the next walk position a wrong one, or the object's size.
    t.changed(Defect, &[&place, "size"], 0, |b| put_u64(b, ZONE + 64 + 8 * c, h - (1 << 32)));
    let (c, _) = run;
    for (part, header) in [(1, 2 << 32 | 5), (1, 1 << 32 | 2), (1, 0)] {
        let place = format!("zone 0, chunk {}", c + part);
        t.case(Defect, &place, "header", ZONE + 64 + 8 * (c + part), 8, header);
    }
}

fn run_cases(t: &mut Table) {
    let sound = t.sound.clone();
    for (flags, alignment, header) in [(9, 0, 16), (8, 0, 64), (10, 0, 0), (13, 256, 16)] {
        let (c, _) = find(&sound, 4, flags, 1..2);
        let (at, place) = (CHUNK0 + c * CHUNK, format!("run at chunk {c}"));
        let unit = u64_at(&sound, at);
        let (bytes, units, first) = media::run_geometry(c, 1, flags, unit, alignment);
        t.case(Defect, &place, "unit size", at, 8, 0);
        t.case(Defect, &place, "unit size", at, 8, 1 << 30);
        t.case(Defect, &place, "alignment", at + 8, 8, 3);
        t.case(Defect, &place, "alignment", at + 8, 8, if alignment == 0 { 64 } else { 0 });
        // The first bit behind the units, and the last of the bitmap.
        for bit in [units, bytes * 8 - 1] {
            let word = at + 16 + bit / 64 * 8;
            t.case(Defect, &place, "bitmap", word, 8, u64_at(&sound, word) & !(1 << (bit % 64)));
        }
        // The first object of the run.
        let bit = u64_at(&sound, at + 16).trailing_zeros() as u64;
        let object = match alignment {
            0 => first + bit * unit,
            a => (first + 16).next_multiple_of(a) - 16 + bit * unit,
        };
        let place = format!("{place}, unit {bit}");
        let (size, object_flags) = match header {
            16 => (object, object + 6),
            64 => (object + 8, object + 54),
            _ => continue,
        };
        for wrong in [0, unit - 8, unit * 65, units * unit + unit] {
            t.case(Defect, &place, "size", size, 6, wrong);
        }
        t.case(Defect, &place, "flags", object_flags, 2, 1);
        t.case(Defect, &place, "leaked", object_flags, 2, 0x8000);
        // An object of two units of which one is free.
        if u64_at(&sound, at + 16) >> (bit + 1) & 1 == 0 {
            let word = u64_at(&sound, at + 16);
            let want = [format!("{:#x}", at + 16), format!("{word:#x}")];
            t.changed(Defect, &[&place, "partly free", "bitmap", &want[0], &want[1]], 0, |b| {
                put_u64(b, size, 2 * unit);
            });
        }
    }
}

fn root_cases(t: &mut Table) {
    let (root, size) = (u64_at(&t.sound, 0x1800), u64_at(&t.sound, 0x1810));
    let r = "root object";
    for off in [root + 8, 0x1000, 1 << 50, CHUNK0] {
        t.case(Defect, r, "root_offset", 0x1800, 8, off);
    }
    t.case(Defect, r, "root_size", 0x1810, 8, 0);
    t.case(Defect, r, "root_size", 0x1810, 8, size + 100_000);
    t.case(Defect, "invalid root", "flags", root - 16 + 6, 2, 0);
    // Without its offset the object leaks, and the size has no object.
    let size_text = format!("{size:#x}");
    t.changed(Defect, &[r, "root_size", "0x1810", &size_text], 0, |b| put_u64(b, 0x1800, 0));
    t.changed(Defect, &["leaked internal object", "0x8000"], 0, |b| {
        put_u64(b, 0x1800, 0);
        put_u64(b, 0x1810, 0);
    });
    // A free root.
    let (start, bytes) = (root - 16, u64_at(&t.sound, root - 16) & ((1 << 48) - 1));
    let last = (start - CHUNK0) / CHUNK;
    let c = (0..=last).rev().find(|&c| u64_at(&t.sound, ZONE + 64 + 8 * c) as u16 == 4).unwrap();
    let root_text = format!("{root:#x}");
    t.changed(Defect, &[r, "root_offset", "0x1800", &root_text], 0, |b| {
        let (run, h) = (CHUNK0 + c * CHUNK, u64_at(b, ZONE + 64 + 8 * c));
        let unit = u64_at(b, run);
        let k = (start - media::run_geometry(c, h >> 32, 9, unit, 0).2) / unit;
        let word = run + 16 + k / 64 * 8;
        let freed = u64_at(b, word) & !(((1 << (bytes / unit)) - 1) << (k % 64));
        put_u64(b, word, freed);
    });
}

#[test]
fn each_defect_is_told() {
    let mut t = table(base(false));
    let (said, lines) = check(&t.file.file);
    assert!(said == 1 && lines.is_empty(), "{said}: {lines:#?}");
    header_cases(&mut t);
    descriptor_cases(&mut t);
    log_cases(&mut t);
    heap_cases(&mut t);
    chunk_cases(&mut t);
    run_cases(&mut t);
    root_cases(&mut t);
    println!("{} defects", t.cases);
    assert!(t.cases > 150, "{} cases", t.cases);
    assert!(t.failures.is_empty(), "{} of {}:\n{}", t.failures.len(), t.cases, t.failures.join("\n"));
}

/// Several defects are all told, in the order of the file.
#[test]
fn all_defects_are_told() {
    let mut image = base(false);
    put_u64(&mut image, 0x1810, 1 << 40);
    put_u64(&mut image, LANES + LANE + 32, 4);
    put_u64(&mut image, ZONE + 8, 1);
    let file = Scratch::new("several");
    file.write(&image);
    let (said, lines) = check(&file);
    assert_eq!(said, 0);
    let want = ["lane 1, internal redo log: flags", "remark: reserved area in use: zone 0", "root_size"];
    assert_eq!(lines.len(), want.len(), "{lines:#?}");
    for (line, want) in lines.iter().zip(want) {
        assert!(line.contains(want), "{line}: not {want}");
    }
}

#[test]
fn nothing_is_told_of_sound_pools() {
    for (name, image) in [("crashed", base(true)), ("used", base(false))] {
        let file = Scratch::new(name);
        file.write(&image);
        let (said, lines) = check(&file);
        assert!(said == 1 && lines.is_empty(), "{name}: {said}: {lines:#?}");
    }
    let file = Scratch::new("fresh");
    close(create(&file.0, b"", 8 * MIB, true, 903));
    assert_eq!(check(&file), (1, Vec::new()));
}

/// Links that share logs, and circles: the time is bounded by the size.
#[test]
fn shared_chains_come_to_an_end() {
    let mut image = base(false);
    // In free space, a chain of logs without room for an entry, each linked to
    // the next; all lanes begin at its start.
    let from = CHUNK0 + 30 * CHUNK;
    let end = image.len() as u64 - 256;
    for at in (from..end).step_by(64) {
        put_u64(&mut image, at + 8, at + 64);
        put_u64(&mut image, at + 16, 0);
        put_u64(&mut image, at + 32, 1);
    }
    put_u64(&mut image, end / 64 * 64 + 8, 0);
    for lane in 0..1024 {
        put_u64(&mut image, LANES + lane * LANE + 0x3c8, from);
        put_u64(&mut image, LANES + lane * LANE + 0x108, from);
    }
    let file = Scratch::new("shared");
    file.write(&image);
    let begin = std::time::Instant::now();
    assert_eq!(check(&file).0, 0);
    let took = begin.elapsed();
    println!("{took:?}");
    assert!(took.as_secs() < 8, "{took:?}");
}

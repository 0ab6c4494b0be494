//! Mutations that know the format: where the words are, and which checksums
//! must be right for anybody to look at them.

use super::super::bytes::Bytes;
use super::super::image::{Image, PAGE, SIZE};
use super::super::media::{self, CHUNK, CHUNK0, HEAP, LANE, LANES, ZONE};
use super::bases::{Base, NLANES};

const INTERNAL: u64 = 0;
const EXTERNAL: u64 = 0x100;
const UNDO: u64 = 0x3c0;
const CHUNKS: u64 = 17;

/// A value that breaks assumptions, perhaps, for a word that says `old`.
fn value(old: u64, b: &mut Bytes) -> u64 {
    let size = SIZE as u64;
    match b.u8() % 15 {
        0 => 0,
        1 => b.u8() as u64,
        2 => b.u16() as u64,
        3 => b.u32() as u64,
        4 => b.u64(),
        5 => u64::MAX - b.u8() as u64,
        6 => (1 << 63) - b.u8() as u64,
        7 => size.wrapping_add(b.u8() as i8 as u64),
        8 => old.wrapping_add(b.u8() as i8 as u64),
        9 => old.wrapping_add((b.u8() as i8 as u64).wrapping_mul(64)),
        10 => old ^ 1 << (b.u8() % 64),
        11 => 1 << (b.u8() % 64),
        12 => old & !0xffff_ffff | b.u32() as u64,
        13 => 64 * b.u16() as u64,
        _ => old,
    }
}

/// An offset that something might point to.
pub fn target(base: &Base, b: &mut Bytes) -> u64 {
    match b.u8() % 12 {
        0 => 0x1800 + 8 * b.below(6),
        1 => lane(b) + 8 * (b.u16() as u64 % (LANE / 8)),
        2 => ZONE + 8 * b.below(8),
        3 => ZONE + 64 + 8 * b.below(CHUNKS + 2),
        4 => CHUNK0 + b.below(CHUNKS) * CHUNK + 8 * b.u8() as u64,
        5 => CHUNK0 + 64 * b.u16() as u64,
        6 => base.objects[b.u8() as usize % base.objects.len()],
        7 => base.objects[b.u8() as usize % base.objects.len()].wrapping_add(b.u8() as i8 as u64),
        8 => HEAP + 8 * b.u8() as u64,
        9 => SIZE as u64 - b.u8() as u64,
        10 => CHUNK0 + 8 * b.u32() as u64 % (CHUNKS * CHUNK),
        _ => value(HEAP, b),
    }
}

fn lane(b: &mut Bytes) -> u64 {
    LANES + b.below(NLANES) * LANE
}

fn put(image: &mut Image, at: u64, b: &mut Bytes) {
    let v = value(image.u64_at(at), b);
    image.put_u64(at, v);
}

/// Makes a checksum right, most of the time.
fn repair(image: &mut Image, from: u64, len: u64, field: u64, skip: usize, b: &mut Bytes) {
    if b.u8() & 7 != 7 {
        let s =
            media::sum(&image.bytes()[from as usize..(from + len) as usize], Some(field as usize), skip, 0);
        image.put_u64(from + field, s);
    }
}

/// Value entries from `at` on: bytes written.
fn value_entries(base: &mut Base, at: u64, max: u64, b: &mut Bytes) -> u64 {
    let n = (1 + b.u8() as u64 % 64).min(max / 16);
    for i in 0..n {
        let op = b.pick(&[0, 0, 1, 2, 2, 5, 6, 3]);
        let to = target(base, b);
        let old = base.image.u64_at(to);
        base.image.put_u64(at + 16 * i, op << 61 | to & ((1 << 61) - 1) | (b.u8() == 0xff) as u64);
        let v = value(old, b);
        base.image.put_u64(at + 16 * i + 8, v);
    }
    16 * n
}

/// A redo log with entries, and its checksum.
fn redo(base: &mut Base, b: &mut Bytes) {
    let (log, capacity) = b.pick(&[(INTERNAL, 192), (EXTERNAL, 640)]);
    let log = lane(b) + log;
    base.image.put(log, &[0; 64]);
    let len = value_entries(base, log + 64, capacity, b);
    if len < capacity {
        base.image.put_u64(log + 64 + len, 0);
    }
    let shown = if b.u8() & 7 == 7 { value(capacity, b) } else { capacity };
    base.image.put_u64(log + 16, shown);
    if b.u8() & 1 == 1 {
        let next = target(base, b);
        base.image.put_u64(log + 8, next);
    }
    // The sum covers what recovery reads: up to the first zero word.
    let zero = |n: &u64| base.image.u64_at(log + 64 + n) == 0;
    let len = (0..capacity).step_by(16).find(zero).unwrap_or(capacity);
    repair(&mut base.image, log, 64 + len, 0, 0, b);
}

/// Buffer entries from `at` on, with checksums that a generation confirms.
fn buffer_entries(base: &mut Base, mut at: u64, gen_num: u64, b: &mut Bytes) {
    for _ in 0..1 + b.below(8) {
        let op = b.pick(&[6, 6, 6, 5, 5, 0, 7, 2]);
        let to = target(base, b);
        let len = if b.u8() & 3 == 3 { value(40, b) } else { b.u16() as u64 };
        base.image.put_u64(at, op << 61 | to & ((1 << 61) - 1));
        base.image.put_u64(at + 16, len);
        let data = b.slice((len.min(32)) as usize);
        base.image.put(at + 24, data);
        let size = len.saturating_add(24).checked_next_multiple_of(64).unwrap_or(u64::MAX);
        if size > (SIZE as u64).saturating_sub(at) {
            return;
        }
        let entry = media::sum(&base.image.bytes()[at as usize..(at + size) as usize], Some(8), 0, 0);
        let sum = media::sum(&gen_num.to_le_bytes(), None, 0, entry);
        base.image.put_u64(at + 8, sum);
        at += size;
    }
}

fn undo(base: &mut Base, b: &mut Bytes) {
    let log = lane(b) + UNDO;
    if b.u8() & 7 == 7 {
        put(&mut base.image, log + 24, b);
    }
    let gen_num = base.image.u64_at(log + 24);
    buffer_entries(base, log + 64, gen_num, b);
    if b.u8() & 7 == 7 {
        put(&mut base.image, log + 16, b);
    }
}

/// A chain of logs behind one of a lane's, circles included, with entries.
fn chain(base: &mut Base, b: &mut Bytes) {
    let log = lane(b) + b.pick(&[INTERNAL, EXTERNAL, UNDO]);
    let gen_num = base.image.u64_at(log + 24);
    let first = target(base, b);
    base.image.put_u64(log + 8, first);
    let mut at = first;
    for _ in 0..b.below(6) {
        let next = match b.u8() % 5 {
            0 => 0,
            1 => first,
            2 => at,
            _ => target(base, b),
        };
        let header = at.checked_next_multiple_of(64).unwrap_or(0);
        let capacity = if b.u8() & 3 == 3 { value(640, b) } else { 64 * b.u8() as u64 };
        base.image.put_u64(header.wrapping_add(8), next);
        base.image.put_u64(header.wrapping_add(16), capacity);
        base.image.put_u64(header.wrapping_add(24), gen_num);
        base.image.put_u64(header.wrapping_add(32), b.u8() as u64 & 1);
        if header < SIZE as u64 {
            match b.u8() & 3 {
                0 => buffer_entries(base, header + 64, gen_num, b),
                1 => drop(value_entries(base, header + 64, 1024, b)),
                _ => {}
            }
        }
        at = next;
    }
}

fn chunk_header(image: &mut Image, b: &mut Bytes) {
    let at = ZONE + 64 + 8 * b.below(CHUNKS + 3);
    if b.u8() & 3 == 3 {
        return put(image, at, b);
    }
    let size = if b.u8() & 7 == 7 { b.u32() as u64 } else { b.below(CHUNKS + 3) };
    image.put_u64(at, size << 32 | b.below(17) << 16 | b.below(7));
}

/// A word in a run's header or bitmap.
fn run(base: &mut Base, b: &mut Bytes) {
    let known = base.runs.len() as u64;
    let start = if known > 0 && b.u8() & 7 != 7 {
        base.runs[b.below(known) as usize]
    } else {
        CHUNK0 + b.below(CHUNKS) * CHUNK
    };
    let at = start + if b.u8() & 1 == 0 { 8 * b.below(2) } else { 16 + 8 * b.u16() as u64 % 4096 };
    put(&mut base.image, at, b);
}

fn object_header(base: &mut Base, b: &mut Bytes) {
    let object = base.objects[b.u8() as usize % base.objects.len()];
    let at = object.saturating_sub(b.pick(&[16, 16, 16, 8, 56, 16 + 128, 64]));
    if b.u8() & 1 == 0 {
        return put(&mut base.image, at, b);
    }
    let flags = b.u16() as u64;
    let size = value(base.image.u64_at(at) & ((1 << 48) - 1), b);
    base.image.put_u64(at, flags << 48 | size & ((1 << 48) - 1));
}

pub fn mutate(base: &mut Base, b: &mut Bytes) {
    let image = &mut base.image;
    match b.u8() % 18 {
        0 => {
            let at = b.u32() as u64 % SIZE as u64;
            let n = b.below(32) as usize;
            image.put(at, b.slice(n));
        }
        1 => {
            let at = b.pick(&[0, 8, 0x10, 0x18, 0x28, 0x38, 0x48, 0x58, 0x68, 0x78, 0x80, 0x88]);
            put(image, at, b);
            let skip = if image.bytes()[0x10] & 2 != 0 { 0x800 } else { 0xff8 };
            repair(image, 0, 4096, 0xff8, skip, b);
        }
        2 => {
            let at = b.pick(&[0x1400, 0x1408, 0x1410, 0x1000]);
            put(image, at, b);
            repair(image, 0x1000, 2048, 2040, 0, b);
        }
        3 => put(image, 0x1800 + 8 * b.below(8), b),
        4 => {
            let at = HEAP + b.pick(&[0, 16, 24, 40, 48, 56]);
            put(image, at, b);
            repair(image, HEAP, 1024, 1016, 0, b);
        }
        5 => {
            let at = 0xfb8 + 8 * b.below(8);
            put(image, at, b);
            repair(image, 0xfb8, 64, 56, 0, b);
        }
        6 => put(image, ZONE, b),
        7 => chunk_header(image, b),
        8 | 9 => redo(base, b),
        10 | 11 => undo(base, b),
        12 | 13 => chain(base, b),
        14 => run(base, b),
        15 => object_header(base, b),
        16 => {
            let at = target(base, b);
            put(&mut base.image, at, b);
        }
        _ => {
            let size = value(SIZE as u64, b).min(SIZE as u64) as usize;
            if size > 0 && size < SIZE {
                // Below that size the mutations' own accesses would fault.
                base.cut = Some(size.max(PAGE));
            }
        }
    }
}

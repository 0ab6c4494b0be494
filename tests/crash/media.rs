//! A reader of pool images that shares nothing with the library: written from
//! the format's sections 1 to 4, it says what is wrong rather than repair it.
#![allow(dead_code)] // each test takes what it needs

use std::collections::BTreeMap;

pub const CHUNK: u64 = 0x40000;
pub const LANE: u64 = 3072;
pub const LANES: u64 = 0x2000;
pub const HEAP: u64 = 0x30_2000;
pub const ZONE: u64 = HEAP + 0x400;
pub const CHUNK0: u64 = ZONE + 0x8_0000;
/// The statistic that is kept in the pool.
pub const ALLOCATED: u64 = 0x1828;

/// The sum of 1.7, continued from `start`.
pub fn sum(range: &[u8], checksum_at: Option<usize>, skip: usize, start: u64) -> u64 {
    let (mut lo, mut hi) = (start as u32, (start >> 32) as u32);
    for (i, w) in range.chunks_exact(4).enumerate() {
        let at = 4 * i;
        let zero = checksum_at.is_some_and(|c| at >= c && at < c + 8) || (skip != 0 && at >= skip);
        let w = if zero { 0 } else { u32::from_le_bytes([w[0], w[1], w[2], w[3]]) };
        lo = lo.wrapping_add(w);
        hi = hi.wrapping_add(lo);
    }
    (hi as u64) << 32 | lo as u64
}

pub fn u64_at(b: &[u8], at: u64) -> u64 {
    u64::from_le_bytes(*b[at as usize..].first_chunk().expect("inside the pool"))
}

pub fn put_u64(b: &mut [u8], at: u64, v: u64) {
    b[at as usize..at as usize + 8].copy_from_slice(&v.to_le_bytes());
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// Offset of the user's data.
    pub off: u64,
    /// Offset and bytes of the block.
    pub start: u64,
    pub size: u64,
    pub type_num: u64,
    pub internal: bool,
}

impl Object {
    pub fn usable(&self) -> u64 {
        self.start + self.size - self.off
    }
}

#[derive(Clone, Debug, Default)]
pub struct Heap {
    pub objects: Vec<Object>,
    /// (first chunk, chunks) of free blocks of zone 0.
    pub free: Vec<(u64, u64)>,
    pub runs: u64,
    /// Chunks that the zone says it has; 0 before its first use.
    pub chunks: u64,
}

/// Chunks of a one-zone heap of this size.
pub fn fitting_chunks(b: &[u8]) -> u64 {
    (u64_at(b, 0x1820) - 0x400 - 0x8_0000) / CHUNK
}

/// All blocks of a one-zone heap. An error is a heap that is not sound.
pub fn heap(b: &[u8]) -> Result<Heap, String> {
    let mut found = Heap::default();
    let zone = u64_at(b, ZONE);
    if zone as u32 == 0 {
        return Ok(found);
    }
    let chunks = zone >> 32;
    let fit = fitting_chunks(b);
    // Fewer: a growth that a crash interrupted (4.9).
    if zone as u32 != 0xC3F0_A2D2 || chunks > fit {
        return Err(format!("zone header {zone:#x}, {fit} chunks fit"));
    }
    found.chunks = chunks;
    let mut c = 0;
    while c < chunks {
        let h = u64_at(b, ZONE + 64 + 8 * c);
        let (kind, flags, size) = (h & 0xffff, h >> 16 & 0xffff, h >> 32);
        if flags & !0xf != 0 || size == 0 || size > chunks - c {
            return Err(format!("chunk {c} of {chunks}: header {h:#x}"));
        }
        match kind {
            2 => found.free.push((c, size)),
            3 => {
                let (start, size) = (CHUNK0 + c * CHUNK, size * CHUNK);
                found.objects.push(object(b, start, size, flags)?);
            }
            4 => {
                found.runs += 1;
                run(b, c, size, flags, &mut found.objects)?;
            }
            _ => return Err(format!("chunk {c}: a block cannot start with {h:#x}")),
        }
        c += size;
    }
    Ok(found)
}

fn object(b: &[u8], start: u64, size: u64, flags: u64) -> Result<Object, String> {
    let (header, real, internal, type_num) = match flags & 3 {
        0 => (64, u64_at(b, start + 8), u64_at(b, start + 48) >> 63, u64_at(b, start + 56)),
        2 => (0, size, 0, 0),
        _ => {
            let w = u64_at(b, start);
            (16, w & ((1 << 48) - 1), w >> 63, u64_at(b, start + 8))
        }
    };
    if real != size {
        return Err(format!("object at {start:#x}: {real} bytes in a block of {size}"));
    }
    Ok(Object { off: start + header, start, size, type_num, internal: internal != 0 })
}

/// Geometry of a run (4.5): bitmap bytes, units, offset of unit 0.
pub fn run_geometry(chunk: u64, chunks: u64, flags: u64, unit: u64, alignment: u64) -> (u64, u64, u64) {
    let content = chunks * CHUNK - 16;
    let bytes =
        if flags & 8 != 0 { 8 * (((content / unit).div_ceil(64) + 2).next_multiple_of(8) - 2) } else { 304 };
    let units = (content - bytes) / unit - (alignment != 0) as u64;
    let mut first = CHUNK0 + chunk * CHUNK + 16 + bytes;
    if flags & 4 != 0 {
        let header = [64, 16, 0, 16][flags as usize & 3];
        first = (first + header).next_multiple_of(alignment) - header;
    }
    (bytes, units, first)
}

fn run(b: &[u8], c: u64, chunks: u64, flags: u64, objects: &mut Vec<Object>) -> Result<(), String> {
    let start = CHUNK0 + c * CHUNK;
    let (unit, alignment) = (u64_at(b, start), u64_at(b, start + 8));
    let sound = [8, 9, 10, 12, 13, 14].contains(&flags) && (flags & 4 != 0) == alignment.is_power_of_two();
    if unit == 0 || unit > chunks * CHUNK || !sound {
        return Err(format!("run at chunk {c}: unit {unit}, alignment {alignment}, flags {flags}"));
    }
    for i in 1..chunks {
        let h = u64_at(b, ZONE + 64 + 8 * (c + i));
        if h != i << 32 | 5 {
            return Err(format!("run at chunk {c}: part {i} has {h:#x}"));
        }
    }
    let (bytes, units, first) = run_geometry(c, chunks, flags, unit, alignment);
    let set = |k: u64| u64_at(b, start + 16 + k / 64 * 8) >> (k % 64) & 1 == 1;
    if let Some(k) = (units..bytes * 8).find(|&k| !set(k)) {
        return Err(format!("run at chunk {c}: bit {k} behind the last unit is free"));
    }
    let mut k = 0;
    while k < units {
        if !set(k) {
            k += 1;
            continue;
        }
        let at = first + k * unit;
        let real = match flags & 3 {
            0 => u64_at(b, at + 8),
            2 => unit,
            _ => u64_at(b, at) & ((1 << 48) - 1),
        };
        let n = real / unit;
        if n == 0 || !real.is_multiple_of(unit) || k % 64 + n > 64 || k + n > units {
            return Err(format!("run at chunk {c}: unit {k} of {unit} bytes has an object of {real}"));
        }
        if let Some(i) = (k..k + n).find(|&i| !set(i)) {
            return Err(format!("run at chunk {c}: unit {i} of the object at unit {k} is free"));
        }
        objects.push(object(b, at, real, flags)?);
        k += n;
    }
    Ok(())
}

/// Whether a lane's redo log would be carried out at open (3.5.4).
pub fn redo_is_valid(b: &[u8], log: u64, base: u64) -> bool {
    let capacity = u64_at(b, log + 0x10);
    if capacity == 0 || capacity > base {
        return false;
    }
    let mut n = 0;
    while n < capacity && u64_at(b, log + 64 + n) != 0 {
        n += 16;
    }
    let image = &b[log as usize..(log + 64 + n) as usize];
    n > 0 && sum(image, Some(0), 0, 0) == u64_at(b, log)
}

/// Whether an undo log has an entry (3.6.1).
pub fn undo_is_valid(b: &[u8], log: u64) -> bool {
    let (at, gen_num) = (log + 64, u64_at(b, log + 0x18));
    let size = (u64_at(b, at + 0x10).saturating_add(24)).checked_next_multiple_of(64).unwrap_or(u64::MAX);
    if u64_at(b, at) == 0 || size > 2048 {
        return false;
    }
    let entry = sum(&b[at as usize..(at + size) as usize], Some(8), 0, 0);
    sum(&gen_num.to_le_bytes(), None, 0, entry) == u64_at(b, at + 8)
}

/// What must hold after recovery: nothing to redo or undo, no log extended.
pub fn logs_are_idle(b: &[u8]) -> Result<(), String> {
    for lane in 0..u64_at(b, 0x1408) {
        let at = LANES + lane * LANE;
        let (internal, external, undo) = (at, at + 0x100, at + 0x3c0);
        let wrong = if redo_is_valid(b, internal, 192) || u64_at(b, internal + 8) != 0 {
            "internal"
        } else if redo_is_valid(b, external, 640) || u64_at(b, external + 8) != 0 {
            "external"
        } else if undo_is_valid(b, undo) || u64_at(b, undo + 8) != 0 || u64_at(b, undo + 16) != 2048 {
            "undo"
        } else {
            continue;
        };
        return Err(format!("lane {lane}: its {wrong} log is not idle"));
    }
    Ok(())
}

/// FNV-1a over words; the last one is padded with zeros.
pub fn hash(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let words = words.iter().chain((!rest.is_empty()).then_some(&last));
    words.fold(0xcbf2_9ce4_8422_2325, |h, w| (h ^ u64::from_le_bytes(*w)).wrapping_mul(0x100_0000_01b3))
}

/// Type numbers with this bit: nothing is promised about the content.
pub const NO_CONTENT: u64 = 1 << 63;

/// Type number of an object that is a lock.
pub const LOCK: u64 = NO_CONTENT | 0x10C;

/// The state of 1.6: `Some(dirty)`, or `None` if it is torn.
pub fn shutdown_state(b: &[u8]) -> Option<bool> {
    let state = &b[0xfb8..0xff8];
    (sum(state, Some(56), 0, 0) == u64_at(state, 56)).then_some(state[16] != 0)
}

/// What a program sees of a pool. The first word of an object says how many
/// of its bytes mean something; 0 stands for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logical {
    /// Size and hash of the root object; zero without one.
    pub root: (u64, u64),
    /// Offset of an object: type, usable size, hash.
    pub objects: BTreeMap<u64, (u64, u64, u64)>,
}

/// The logical content, of a sound heap only.
pub fn logical(b: &[u8]) -> Result<Logical, String> {
    logical_of(b, &heap(b)?)
}

/// As [`logical`], of what [`heap`] found.
pub fn logical_of(b: &[u8], heap: &Heap) -> Result<Logical, String> {
    let mut l = Logical::default();
    let (root, root_size) = (u64_at(b, 0x1800), u64_at(b, 0x1810));
    let mut root_block = None;
    for &o in &heap.objects {
        if o.internal {
            if o.off == root {
                root_block = Some(o);
            }
            continue;
        }
        let len = match u64_at(b, o.off) {
            len if len > 0 && len <= o.usable() => len,
            _ => o.usable(),
        };
        let content = &b[o.off as usize..(o.off + len) as usize];
        let hash = if o.type_num & NO_CONTENT != 0 { 0 } else { hash(content) };
        l.objects.insert(o.off, (o.type_num, o.usable(), hash));
    }
    match root_block {
        Some(o) if root_size > 0 && root_size <= o.usable() => {
            l.root = (root_size, hash(&b[root as usize..(root + root_size) as usize]));
        }
        None if root == 0 => {}
        _ => return Err(format!("root at {root:#x}, {root_size} bytes: {root_block:?}")),
    }
    Ok(l)
}

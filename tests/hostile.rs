//! Hostile media: mutated pools, opened, checked, walked and used in a child
//! process that must neither die nor hang.
//!
//! `HOSTILE_IMAGES` is the number of images, `HOSTILE_SEED` the first seed; a
//! report names the seed of the image that broke a child.

#[path = "crash/media.rs"]
mod media;
#[path = "crash/rng.rs"]
mod rng;
#[path = "crash/world.rs"]
mod world;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use media::{CHUNK, CHUNK0, HEAP, LANE, LANES, ZONE, sum, u64_at};
use pmem_rs::obj::{Oid, Pool};
use pmem_rs::pool::OpenOptions;
use rng::Rng;
use world::{
    ImageFile, MIB, Scratch, abort, alloc, at, close, create, free, in_tx, overwrite, populate, request,
    slot, tx,
};

const SIZE: u64 = 24 * MIB;
/// Images per child.
const BATCH: u64 = 250;
/// For one image; a usual one takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |v| v.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// Pools with something of everything: as closed, and as left by a crash in a
/// transaction with an extended log.
fn base(crashed: bool) -> Vec<u8> {
    let file = Scratch::new("hostile");
    let p = create(&file.0, b"hostile", SIZE, true, 0);
    let root = populate(p);
    alloc(p, slot(p, root + 832), 2_700_000, 52);
    free(p, slot(p, root + 816));
    in_tx(p, || overwrite(p, root + 5000, 4000, 1));
    let image = crashed.then(|| world::crashed(p, root));
    close(p);
    image.unwrap_or_else(|| std::fs::read(file.path()).unwrap())
}

// --- mutations ------------------------------------------------------------------

const PAGE: u64 = 4096;

/// An image that is mutated, and restored to one of the bases.
struct Image {
    file: ImageFile,
    /// The base, and the pages that differ from it.
    base: usize,
    touched: Vec<u64>,
}

impl std::ops::Deref for Image {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.file
    }
}

impl Image {
    fn put(&mut self, at: u64, bytes: &[u8]) {
        self.touched.extend(at / PAGE..=(at + bytes.len() as u64 - 1) / PAGE);
        self.file.bytes()[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
    }

    fn put_u64(&mut self, at: u64, value: u64) {
        self.put(at, &value.to_le_bytes());
    }

    fn restore(&mut self, bases: &[Vec<u8>; 2], base: usize) {
        let bytes = self.file.bytes();
        for page in self.touched.drain(..) {
            let range = (page * PAGE) as usize..((page + 1) * PAGE) as usize;
            bytes[range.clone()].copy_from_slice(&bases[self.base][range]);
        }
        if base != self.base {
            bytes.copy_from_slice(&bases[base]);
        }
        self.base = base;
    }
}

/// A value that breaks assumptions.
fn wild(rng: &mut Rng, near: u64) -> u64 {
    let size = SIZE;
    match rng.below(12) {
        0 => 0,
        1 => 1,
        2 => u64::MAX,
        3 => u64::MAX - rng.below(4096),
        4 => size - rng.below(128),
        5 => size + rng.below(128),
        6 => rng.below(size) & !7,
        7 => rng.below(size),
        8 => 1 << rng.below(64),
        9 => near.wrapping_add(rng.below(129)).wrapping_sub(64),
        10 => near ^ (1 << rng.below(64)),
        _ => rng.next(),
    }
}

fn put_wild(b: &mut Image, rng: &mut Rng, at: u64) {
    let v = wild(rng, u64_at(b, at));
    b.put_u64(at, v);
}

fn repair(b: &mut Image, from: u64, len: u64, field: u64, skip: usize) {
    let range = &b[from as usize..(from + len) as usize];
    let s = sum(range, Some(field as usize), skip, 0);
    b.put_u64(from + field, s);
}

fn some_lane(rng: &mut Rng) -> u64 {
    let lane = if rng.chance(2) { 0 } else { rng.below(1024) };
    LANES + lane * LANE
}

/// A target for a log's entry.
fn some_target(rng: &mut Rng) -> u64 {
    match rng.below(6) {
        0 => 0x1800 + 8 * rng.below(6),
        1 => LANES + 8 * rng.below(3 << 17),
        2 => ZONE + 8 * rng.below(80),
        3 => CHUNK0 + 8 * rng.below(1 << 20),
        _ => wild(rng, HEAP),
    }
}

/// A redo log with a valid checksum and wild entries.
fn redo(b: &mut Image, rng: &mut Rng) {
    let lane = some_lane(rng);
    let (log, base) = if rng.chance(2) { (lane, 192) } else { (lane + 0x100, 640) };
    let n = 1 + rng.below(base / 16);
    b.put(log, &vec![0; (64 + base) as usize]);
    for i in 0..n {
        let op = [0, 1, 2, 2, 0, 5, 6, 3][rng.below(8) as usize];
        let target = some_target(rng);
        b.put_u64(log + 64 + 16 * i, op << 61 | (target & ((1 << 61) - 1)) | (rng.chance(8) as u64));
        put_wild(b, rng, log + 72 + 16 * i);
    }
    let capacity = if rng.chance(6) { wild(rng, base) } else { base.min((16 * n + 8).next_multiple_of(64)) };
    b.put_u64(log + 16, capacity);
    if rng.chance(3) {
        let next = some_target(rng);
        b.put_u64(log + 8, next);
    }
    let mut len = 0;
    while len + 16 <= base && u64_at(b, log + 64 + len) != 0 {
        len += 16;
    }
    repair(b, log, 64 + len, 0, 0);
}

/// Undo entries with valid checksums, wild targets and wild lengths.
fn undo(b: &mut Image, rng: &mut Rng) {
    let log = some_lane(rng) + 0x3c0;
    let gen_num = u64_at(b, log + 24);
    let mut pos = 64;
    while pos < 64 + 2048 && !rng.chance(5) {
        let at = log + pos;
        let len = if rng.chance(2) { rng.below(200) } else { wild(rng, 2024) };
        let op = [6, 6, 6, 5, 0, 7][rng.below(6) as usize];
        let target = some_target(rng);
        b.put_u64(at, op << 61 | (target & ((1 << 61) - 1)));
        b.put_u64(at + 16, len);
        let size = len.checked_add(24).and_then(|n| n.checked_next_multiple_of(64)).unwrap_or(64);
        let Some(entry) = b.get(at as usize..).and_then(|r| r.get(..size.min(1 << 20) as usize)) else {
            break;
        };
        let s = sum(&gen_num.to_le_bytes(), None, 0, sum(entry, Some(8), 0, 0));
        b.put_u64(at + 8, s);
        pos += size.min(4096);
    }
    if rng.chance(4) {
        put_wild(b, rng, log + 16);
    }
}

/// Links between logs, in circles too.
fn links(b: &mut Image, rng: &mut Rng) {
    let log = some_lane(rng) + [0, 0x100, 0x3c0][rng.below(3) as usize];
    let first = CHUNK0 + 64 * rng.below(20_000);
    b.put_u64(log + 8, if rng.chance(4) { some_target(rng) } else { first });
    let mut at = first;
    for _ in 0..rng.below(6) {
        let next = match rng.below(3) {
            0 => first,
            1 => at,
            _ => CHUNK0 + 64 * rng.below(20_000),
        };
        let capacity = if rng.chance(3) { wild(rng, 640) } else { 64 * rng.below(100) };
        let header = at.next_multiple_of(64);
        b.put_u64(header + 8, next);
        b.put_u64(header + 16, capacity);
        b.put_u64(header + 32, rng.below(2));
        at = next;
    }
}

fn some_run(b: &Image, rng: &mut Rng) -> Option<(u64, u64)> {
    let runs: Vec<_> = (0..60).filter(|c| u64_at(b, ZONE + 64 + 8 * c) as u16 == 4).collect();
    let c = *runs.get(rng.below(runs.len().max(1) as u64) as usize)?;
    Some((c, CHUNK0 + c * CHUNK))
}

fn mutate(b: &mut Image, rng: &mut Rng) {
    match rng.below(14) {
        // Random bytes, most of them where something is.
        0 => {
            for _ in 0..1 + rng.below(20) {
                let at = if rng.chance(2) { rng.below(b.len() as u64) } else { rng.below(0x40_0000) };
                b.put(at, &[rng.next() as u8]);
            }
        }
        1 => {
            let at = [8, 0xc, 0x10, 0x14, 0x18, 0x28, 0x78, 0x80, 0x88][rng.below(9) as usize];
            put_wild(b, rng, at & !7);
            repair(b, 0, 4096, 0xff8, if b[0x10] & 2 != 0 { 0x800 } else { 0xff8 });
        }
        2 => {
            let at = [0x1400, 0x1408, 0x1410, 0x1000][rng.below(4) as usize];
            put_wild(b, rng, at);
            repair(b, 0x1000, 2048, 2040, 0);
        }
        3 => {
            let at = 0x1800 + 8 * rng.below(8);
            put_wild(b, rng, at);
        }
        4 => {
            let at = HEAP + [0, 16, 24, 40, 48, 56][rng.below(6) as usize];
            put_wild(b, rng, at);
            repair(b, HEAP, 1024, 1016, 0);
        }
        5 | 6 => redo(b, rng),
        7 | 8 => undo(b, rng),
        9 => links(b, rng),
        10 => put_wild(b, rng, ZONE),
        11 => {
            for _ in 0..1 + rng.below(3) {
                let at = ZONE + 64 + 8 * rng.below(64);
                let v = match rng.below(3) {
                    0 => wild(rng, u64_at(b, at)),
                    _ => {
                        let size = if rng.chance(4) { wild(rng, 1) as u32 as u64 } else { rng.below(64) };
                        size << 32 | rng.below(17) << 16 | rng.below(7)
                    }
                };
                b.put_u64(at, v);
            }
        }
        12 => {
            if let Some((_, at)) = some_run(b, rng) {
                let v = match rng.below(4) {
                    0 => 0,
                    1 => 1 + rng.below(64),
                    2 => 1 << rng.below(64),
                    _ => wild(rng, u64_at(b, at)),
                };
                let field = at + 8 * rng.below(2);
                b.put_u64(field, v);
            }
        }
        _ => {
            if let Some((_, at)) = some_run(b, rng) {
                for _ in 0..1 + rng.below(8) {
                    let words = if rng.chance(2) { 40 } else { 4000 };
                    let field = at + 16 + 8 * rng.below(words);
                    put_wild(b, rng, field);
                }
            }
        }
    }
}

// --- what a program does with a pool ----------------------------------------------

fn readable(p: &'static Pool, off: u64) -> u64 {
    let size = p.usable_size(off);
    let end = world::bytes_len(p);
    if off < end { size.min(end - off) } else { 0 }
}

fn live(p: &'static Pool, rng: &mut Rng) {
    let mut ids = Vec::new();
    let mut oid = p.first();
    while !oid.is_null() && ids.len() < 300_000 {
        ids.push(oid);
        oid = p.next(oid.off);
    }
    assert!(ids.len() < 300_000, "the pool has not room for that many objects");
    let mut total = 0u64;
    for oid in ids.iter().take(2000) {
        let n = readable(p, oid.off);
        total ^= p.type_num(oid.off);
        if n > 0 {
            // SAFETY: inside the pool.
            total ^= unsafe { at(p, oid.off + n - 1).read() } as u64;
        }
    }
    std::hint::black_box(total);
    for _ in 0..30 {
        let size = [1, 100, 1000, 30_000, 300_000, 2_700_000][rng.below(6) as usize];
        let mut dest = Oid::NULL;
        if rng.chance(4) && !ids.is_empty() {
            dest = ids.swap_remove(rng.below(ids.len() as u64) as usize);
        } else if rng.chance(8) {
            dest.off = some_target(rng);
        }
        // SAFETY: an id in volatile memory.
        let _ = match rng.below(3) {
            // SAFETY: as above.
            _ if dest.is_null() => unsafe { p.alloc(&mut dest, request(size, 1), None) },
            // SAFETY: as above.
            0 => unsafe { p.realloc(&mut dest, size, 2, true) },
            // SAFETY: as above.
            _ => unsafe { p.free(&mut dest) },
        };
    }
    for _ in 0..6 {
        if tx().begin(p.target(), None).is_err() {
            continue;
        }
        for _ in 0..4 {
            if let Some(oid) = ids.get(rng.below(ids.len().max(1) as u64) as usize)
                && tx().add_range(oid.off, readable(p, oid.off).min(5000), world::SNAPSHOT).is_ok()
                && rng.chance(3)
            {
                let _ = tx().free(oid.off);
            }
            let _ = tx().alloc(&request(1 + rng.below(3000), 3), true);
        }
        if rng.chance(2) { abort() } else { world::commit() }
    }
    let _ = p.root(1 + rng.below(20_000), None);
    p.usable_size(some_target(rng));
    p.type_num(some_target(rng));
}

fn child(first: u64) {
    let bases = [base(false), base(true)];
    let mut image = Image { file: ImageFile::new(&bases[0]), base: 0, touched: Vec::new() };
    let path = image.file.file.0.clone();
    let (mut opened, mut refused) = (0, 0);
    for seed in first..first + BATCH {
        let mut rng = Rng::new(seed);
        eprintln!("seed {seed}");
        // The seed alone decides; many in a row, as another base costs a copy.
        image.restore(&bases, (seed / 128 % 2) as usize);
        for _ in 0..1 + rng.below(3) {
            mutate(&mut image, &mut rng);
        }
        let _ = Pool::check(&path, None, &mut |f| _ = std::hint::black_box(f.to_string()));
        match Pool::open_with(&path, None, OpenOptions { private: true }) {
            Ok(pool) => {
                opened += 1;
                live(pool, &mut rng);
                close(pool);
            }
            Err(e) => {
                refused += 1;
                assert!(e.errno() > 0, "{e}: errno {}", e.errno());
            }
        }
    }
    println!("\nresult {opened} {refused}");
}

#[test]
fn no_image_breaks_the_process() {
    const CHILD: &str = "HOSTILE_CHILD";
    if let Ok(first) = std::env::var(CHILD) {
        return child(first.parse().unwrap());
    }
    let (images, seed) = (number("HOSTILE_IMAGES", 2500), number("HOSTILE_SEED", 1));
    let (mut opened, mut refused, mut broken) = (0, 0, Vec::new());
    let mut first = seed;
    while first < seed + images {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "no_image_breaks_the_process", "--nocapture"])
            .env(CHILD, first.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (log, alive) = watch(&mut process);
        let output = process.wait_with_output().unwrap();
        let last =
            log.lines().rev().find_map(|l| l.strip_prefix("seed ")).and_then(|s| s.parse::<u64>().ok());
        if alive && output.status.success() {
            let out = String::from_utf8_lossy(&output.stdout).into_owned();
            let counts = out.lines().find_map(|l| l.strip_prefix("result ")).expect("a result");
            let (o, r) = counts.split_once(' ').unwrap();
            opened += o.parse::<u64>().unwrap();
            refused += r.parse::<u64>().unwrap();
            first += BATCH;
        } else {
            let what = if alive { output.status.to_string() } else { "hangs".into() };
            let tail: Vec<_> = log.lines().rev().filter(|l| !l.starts_with("seed")).take(12).collect();
            let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n    ");
            broken.push(format!("seed {last:?}: {what}\n    {tail}"));
            let _ = writeln!(std::io::stdout(), "{}", broken.last().unwrap());
            first = last.map_or(first + BATCH, |s| s + 1);
            if broken.len() == 20 {
                break;
            }
        }
    }
    println!("{opened} images opened, {refused} refused, {} broke the process", broken.len());
    assert!(opened * 5 > images && refused * 5 > images, "a useful mixture");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Reads the child's standard error to its end; kills the child if an image
/// takes too long. False if it did.
fn watch(process: &mut std::process::Child) -> (String, bool) {
    use std::io::BufRead;
    use std::sync::mpsc;
    let (send, receive) = mpsc::channel();
    let stderr = std::io::BufReader::new(process.stderr.take().unwrap());
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    let (mut log, mut seen) = (String::new(), Instant::now());
    loop {
        match receive.recv_timeout(PATIENCE) {
            Ok(line) => {
                if line.starts_with("seed") {
                    seen = Instant::now();
                }
                log.push_str(&line);
                log.push('\n');
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return (log, true),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let _ = process.kill();
                log.push_str(&format!("silent for {:?}\n", seen.elapsed()));
                return (log, false);
            }
        }
    }
}

//! What a pool file can make the library do is bounded by the file's size: the
//! processor time and the memory of checking and opening it, for the worst
//! images that we know.

#[path = "crash/media.rs"]
mod media;
#[path = "crash/world.rs"]
mod world;

use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use media::{CHUNK, CHUNK0, LANE, LANES, ZONE, put_u64, sum};
use pmem_rs::capi::base::pmemobj_set_funcs;
use pmem_rs::obj::Pool;
use pmem_rs::pool::OpenOptions;
use world::{ImageFile, MIB, Scratch, close, create};

/// Bytes of memory that the library uses, and the most that it used.
static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" fn counted_malloc(size: usize) -> *mut c_void {
    // SAFETY: malloc's contract.
    let (p, n) = unsafe {
        let p = libc::malloc(size);
        (p, libc::malloc_usable_size(p))
    };
    PEAK.fetch_max(NOW.fetch_add(n, Relaxed) + n, Relaxed);
    p
}

unsafe extern "C" fn counted_free(p: *mut c_void) {
    // SAFETY: free's contract.
    unsafe {
        NOW.fetch_sub(libc::malloc_usable_size(p), Relaxed);
        libc::free(p);
    }
}

const INTERNAL: u64 = 0;
const EXTERNAL: u64 = 0x100;
const UNDO: u64 = 0x3c0;
const NEXT: u64 = 8;
const CAPACITY: u64 = 16;
const FLAGS: u64 = 32;
const USER_BUFFER: u64 = 1;
/// Operation of a value entry, and of a buffer entry.
const SET: u64 = 0;
const BUF_CPY: u64 = 6 << 61;

fn lanes() -> impl Iterator<Item = u64> {
    (0..1024).map(|lane| LANES + lane * LANE)
}

/// Logs without room for an entry, one behind the other, each in the next line:
/// the offset of the first.
fn chain(b: &mut [u8], flags: u64) -> u64 {
    let end = b.len() as u64 - 64;
    for at in (CHUNK0..end).step_by(64) {
        put_u64(b, at + NEXT, if at + 128 <= end { at + 64 } else { 0 });
        put_u64(b, at + CAPACITY, 0);
        put_u64(b, at + FLAGS, flags);
    }
    CHUNK0
}

/// One log in all of the heap's chunks; its entries are up to the caller.
fn large_log(b: &mut [u8], next: u64) -> (u64, u64) {
    let capacity = (b.len() as u64 - CHUNK0 - 64) & !63;
    put_u64(b, CHUNK0 + NEXT, next);
    put_u64(b, CHUNK0 + CAPACITY, capacity);
    (CHUNK0, capacity)
}

/// Entries that store words where nobody minds.
fn value_entries(b: &mut [u8], from: u64, len: u64) {
    for at in (from..from + len).step_by(16) {
        put_u64(b, at, SET | (CHUNK0 - 8));
        put_u64(b, at + 8, 7);
    }
}

/// Snapshots of 40 bytes each, of generation 0.
fn snapshots(b: &mut [u8], from: u64, len: u64) {
    for at in (from..from + len).step_by(64) {
        put_u64(b, at, BUF_CPY | (CHUNK0 - 64));
        put_u64(b, at + 16, 40);
        let entry = sum(&b[at as usize..at as usize + 64], Some(8), 0, 0);
        let s = sum(&[0; 8], None, 0, entry);
        put_u64(b, at + 8, s);
    }
}

/// A redo log that is full, valid, and continues elsewhere.
fn full_redo(b: &mut [u8], log: u64, capacity: u64, next: u64) {
    value_entries(b, log + 64, capacity);
    put_u64(b, log + NEXT, next);
    put_u64(b, log + CAPACITY, capacity);
    let s = sum(&b[log as usize..(log + 64 + capacity) as usize], Some(0), 0, 0);
    put_u64(b, log, s);
}

/// A run of as many chunks as there are, of no known class, full of objects
/// that are extensions of one log, in this order of units.
fn extensions(b: &mut [u8], forwards: bool) {
    const UNIT: u64 = 128;
    let chunks = (b.len() as u64 - CHUNK0) / CHUNK;
    put_u64(b, ZONE, chunks << 32 | 0xC3F0_A2D2);
    put_u64(b, ZONE + 64, chunks << 32 | 9 << 16 | 4);
    (1..chunks).for_each(|c| put_u64(b, ZONE + 64 + 8 * c, c << 32 | 5));
    put_u64(b, CHUNK0, UNIT);
    let (bitmap, units, first) = media::run_geometry(0, chunks, 9, UNIT, 0);
    (0..bitmap / 8).for_each(|i| put_u64(b, CHUNK0 + 16 + 8 * i, u64::MAX));
    let user = |k: u64| first + k * UNIT + 16;
    for k in 0..units {
        let log = user(k).next_multiple_of(64);
        let next = if forwards { (k + 1 < units).then(|| user(k + 1)) } else { k.checked_sub(1).map(user) };
        put_u64(b, user(k) - 16, UNIT | 0x8000 << 48);
        put_u64(b, log + NEXT, next.unwrap_or(0));
    }
    put_u64(b, LANES + UNDO + NEXT, user(if forwards { 0 } else { units - 1 }));
}

type Build = fn(&mut [u8]);

const WORST: &[(&str, Build)] = &[
    ("as it was created", |_| {}),
    ("a chain of as many logs as there are lines", |b| {
        let first = chain(b, USER_BUFFER);
        put_u64(b, LANES + UNDO + NEXT, first);
    }),
    ("that chain, behind all logs of all lanes", |b| {
        let first = chain(b, USER_BUFFER);
        for lane in lanes() {
            put_u64(b, lane + EXTERNAL + NEXT, first);
            put_u64(b, lane + UNDO + NEXT, first);
        }
    }),
    ("logs that go in a circle", |b| {
        let first = chain(b, 0);
        let last = b.len() as u64 - 64;
        put_u64(b, last + NEXT, first);
        lanes().for_each(|lane| put_u64(b, lane + UNDO + NEXT, first));
    }),
    ("a large redo log that all lanes share", |b| {
        let (log, capacity) = large_log(b, 0);
        value_entries(b, log + 64, capacity);
        for lane in lanes() {
            full_redo(b, lane + INTERNAL, 192, log);
            full_redo(b, lane + EXTERNAL, 640, log);
        }
    }),
    ("a large redo log that follows itself", |b| {
        let (log, capacity) = large_log(b, CHUNK0);
        value_entries(b, log + 64, capacity);
        lanes().for_each(|lane| full_redo(b, lane + EXTERNAL, 640, log));
    }),
    ("a large undo log that all lanes share", |b| {
        let (log, capacity) = large_log(b, 0);
        snapshots(b, log + 64, capacity);
        for lane in lanes() {
            snapshots(b, lane + UNDO + 64, 2048);
            put_u64(b, lane + UNDO + NEXT, log);
        }
    }),
    ("logs that overlap, all but a line", |b| {
        let end = b.len() as u64;
        for at in (CHUNK0..end - 128).step_by(64) {
            put_u64(b, at + NEXT, at + 64);
            put_u64(b, at + CAPACITY, (end - at - 64) & !63);
        }
        lanes().for_each(|lane| put_u64(b, lane + UNDO + NEXT, CHUNK0));
    }),
    ("as many extensions as objects fit, freed from the last", |b| extensions(b, true)),
    ("as many extensions as objects fit, freed from the first", |b| extensions(b, false)),
];

/// Processor time of this thread.
fn cpu() -> Duration {
    // SAFETY: all zero is a valid timespec; the kernel fills it in.
    unsafe {
        let mut t: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t);
        Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
    }
}

#[test]
fn work_and_memory_are_bounded_by_the_size() {
    // The library never calls the other two.
    pmemobj_set_funcs(Some(counted_malloc), Some(counted_free), std::ptr::null(), std::ptr::null());
    for mib in [8, 32] {
        let empty = Scratch::new("bounds");
        close(create(&empty.0, b"bounds", mib * MIB, false, 0));
        let base = std::fs::read(empty.path()).unwrap();
        for (what, build) in WORST {
            let mut image = ImageFile::new(&base);
            build(image.bytes());
            let path = image.file.0.clone();
            PEAK.store(0, Relaxed);
            let (memory, start) = (NOW.load(Relaxed), cpu());
            let mut said = String::new();
            let checked = Pool::check(&path, None, &mut |f| said = f.to_string());
            let sound = matches!(checked, Ok(true));
            let opened = Pool::open_with(&path, None, OpenOptions { private: true });
            let (time, memory) = (cpu() - start, PEAK.load(Relaxed).saturating_sub(memory) as u64);
            // Open tolerates what it can mend, as lanes that share their buffers.
            assert!(!sound || opened.is_ok(), "{what}: what is sound opens");
            assert_eq!(sound, said.is_empty(), "{what}: {said}");
            opened.into_iter().for_each(close);
            println!("{mib:>3} MiB, {what}: {time:?}, {memory} bytes of memory, sound: {sound}");
            assert!(time < Duration::from_millis(100) * mib as u32, "{mib} MiB, {what}: {time:?}");
            assert!(memory < 2 * MIB + mib * MIB / 2, "{mib} MiB, {what}: {memory} bytes of memory");
        }
    }
}

//! The media format's golden values (appendix A, sections 1.7 and 3.6.1) and
//! its checklist for writers (section 10), on pools that this library wrote.
//!
//! Byte for byte where the format leaves no choice. Which free unit of a run
//! serves a request is ours to choose (PMDK prefers the smallest sufficient
//! free extent), so that offsets of objects, and what is computed from them,
//! differ from the appendix: there the structure is compared, with offsets
//! and checksums worked out by the independent reader in crash/media.rs.

use std::sync::{Mutex, MutexGuard};

#[path = "crash/media.rs"]
mod media;
#[path = "crash/world.rs"]
mod world;

use media::{CHUNK0, ZONE, put_u64, sum, u64_at};
use pmem_rs::flush::recorder;
use pmem_rs::obj::{Oid, Pool};
use world::{
    MIB, Scratch, abort, alloc, bytes, close, create, free, in_tx, overwrite, request, slot, tx, tx_alloc,
};

const UUID_LO: u64 = 0xBBBB_BBBB_9999_9999;
const RUN_ID: u64 = 0x1808;
const INTERNAL: u64 = 0x2000;
const EXTERNAL: u64 = 0x2100;
const UNDO: u64 = 0x23c0;
const GEN: u64 = 0x23d8;

/// The pools have one identity, so that only one is open at a time.
struct Golden {
    file: Scratch,
    _alone: MutexGuard<'static, ()>,
}

impl std::ops::Deref for Golden {
    type Target = Scratch;
    fn deref(&self) -> &Scratch {
        &self.file
    }
}

fn golden(layout: &[u8], mib: u64, sds: bool) -> (Golden, &'static Pool) {
    static ALONE: Mutex<()> = Mutex::new(());
    let file =
        Golden { file: Scratch::new("golden"), _alone: ALONE.lock().unwrap_or_else(|e| e.into_inner()) };
    let pool = create(&file.0, layout, mib * MIB, sds, 0);
    (file, pool)
}

fn golden_pool(mib: u64) -> Golden {
    let (file, pool) = golden(b"golden", mib, false);
    close(pool);
    file
}

fn read(file: &Scratch) -> Vec<u8> {
    std::fs::read(file.path()).unwrap()
}

/// Open, do something, close.
fn with<R>(file: &Scratch, f: impl FnOnce(&'static Pool) -> R) -> R {
    let pool = Pool::open(&file.0, Some(b"golden")).unwrap();
    let r = f(pool);
    close(pool);
    r
}

/// As [`with`]; also the images that a power cut would have left behind each
/// fence.
fn recorded(file: &Scratch, f: impl FnOnce(&'static Pool)) -> Vec<Vec<u8>> {
    recorder::arm();
    with(file, f);
    let r = recorder::finish().unwrap();
    let mut image = r.initial;
    r.fences
        .iter()
        .map(|f| {
            f.apply(&mut image);
            image.clone()
        })
        .collect()
}

/// Entries of the first image in which the redo log at `log` is valid.
fn redo(images: &[Vec<u8>], log: u64, base: u64) -> (Vec<(u64, u64)>, &[u8]) {
    let image = images.iter().find(|i| media::redo_is_valid(i, log, base)).expect("a valid log");
    let mut entries = Vec::new();
    let capacity = u64_at(image, log + 16);
    for at in (log + 64..log + 64 + capacity).step_by(16) {
        if u64_at(image, at) == 0 {
            break;
        }
        entries.push((u64_at(image, at), u64_at(image, at + 8)));
    }
    (entries, image)
}

fn object_at(b: &[u8], off: u64) -> media::Object {
    *media::heap(b).unwrap().objects.iter().find(|o| o.off == off).expect("allocated")
}

/// Word and bits of the run's bitmap that hold an object.
fn bits_of(b: &[u8], o: &media::Object) -> (u64, u64) {
    let last = (o.start - CHUNK0) / media::CHUNK;
    let header = |c: u64| u64_at(b, ZONE + 64 + 8 * c);
    let chunk = (0..=last).rev().find(|&c| header(c) as u16 == 4).expect("in a run");
    let start = CHUNK0 + chunk * media::CHUNK;
    let (unit, h) = (u64_at(b, start), header(chunk));
    let units = o.size / unit;
    let (_, _, first) = media::run_geometry(chunk, h >> 32, 9, unit, 0);
    let k = (o.start - first) / unit;
    (start + 16 + k / 64 * 8, ((1 << units) - 1) << (k % 64))
}

/// Lines of a hex dump: address, bytes.
fn parse_dump(text: &str) -> Vec<(u64, u8)> {
    let mut all = Vec::new();
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        let (addr, rest) = line.trim().split_once(": ").unwrap();
        let addr = u64::from_str_radix(addr, 16).unwrap();
        for (i, byte) in rest.split_whitespace().take(16).enumerate() {
            all.push((addr + i as u64, u8::from_str_radix(byte, 16).unwrap()));
        }
    }
    all
}

const A1: &str = "
00000000: 50 4d 45 4d 4f 42 4a 00 06 00 00 00 01 00 00 00
00000010: 02 00 00 00 00 00 00 00 33 22 11 00 55 44 77 66
00000020: 88 99 aa bb cc dd ee ff 3c 2d 1e 0f 5a 4b 78 69
00000030: 87 96 a5 b4 c3 d2 e1 f0 3c 2d 1e 0f 5a 4b 78 69
00000040: 87 96 a5 b4 c3 d2 e1 f0 3c 2d 1e 0f 5a 4b 78 69
00000050: 87 96 a5 b4 c3 d2 e1 f0 3c 2d 1e 0f 5a 4b 78 69
00000060: 87 96 a5 b4 c3 d2 e1 f0 3c 2d 1e 0f 5a 4b 78 69
00000070: 87 96 a5 b4 c3 d2 e1 f0 00 10 5e 5f 00 00 00 00
00000080: 10 73 77 37 f7 07 00 00 02 01 00 00 00 00 3e 00
00000ff0: 00 00 00 00 00 00 00 00 ed 62 5a 9d 59 a6 df c8
00001000: 67 6f 6c 64 65 6e 00 00 00 00 00 00 00 00 00 00
00001400: 00 20 00 00 00 00 00 00 00 04 00 00 00 00 00 00
00001410: 00 20 30 00 00 00 00 00 00 00 00 00 00 00 00 00
000017f0: 00 00 00 00 00 00 00 00 cc 21 9d 64 9b a1 3e 09
00001800: 00 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00
00001820: 00 e0 4f 00 00 00 00 00 00 00 00 00 00 00 00 00
00302000: 4d 45 4d 4f 52 59 5f 48 45 41 50 5f 48 44 52 00
00302010: 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
00302020: 00 00 00 00 00 00 00 00 00 00 04 00 00 00 00 00
00302030: f8 ff 00 00 00 00 00 00 00 00 00 00 00 00 00 00
003023f0: 00 00 00 00 00 00 00 00 25 24 54 f7 a8 7c f9 4b
";

/// A.1 with compat 1, as PMDK 1.12.1 writes it (its table of checksums), and
/// without the shutdown state.
#[test]
fn a1_created() {
    let image = read(&golden_pool(8));
    assert_eq!(image.len() as u64, 8 * MIB);
    let mut want = vec![0u8; image.len()];
    for (at, byte) in parse_dump(A1) {
        want[at as usize] = byte;
    }
    for lane in 0..1024 {
        let at = 0x2000 + 0xc00 * lane;
        for (off, v) in [(0x10, 0xc0), (0x110, 0x280), (0x3d0, 0x800)] {
            put_u64(&mut want, at + off, v);
        }
    }
    want[0x1a20..0x2000].copy_from_slice(&image[0x1a20..0x2000]); // scratch
    let wrong = (0..want.len()).find(|&i| image[i] != want[i]);
    assert_eq!(wrong.map(|i| format!("{i:#x}: {:#x}, expected {:#x}", image[i], want[i])), None);
}

/// With the shutdown state; its bytes are covered by no checksum.
#[test]
fn a1_with_shutdown_state() {
    let (file, pool) = golden(b"golden", 8, true);
    assert_eq!(u64_at(&read(&file), 0xff0), 0xC_0000_0001, "open: marked and summed");
    close(pool);
    let image = read(&file);
    assert_eq!(u64_at(&image, 0xff8), 0xC8DF_B649_9D5A_62F1);
    assert_eq!(image[0xc..0x14], [1, 0, 0, 0, 6, 0, 0, 0]);
    assert!(image[0xfb8..0xff8].iter().all(|&b| b == 0), "closed");
}

#[test]
fn checksum_vectors() {
    use pmem_rs::pool::checksum::Sum;
    let words: Vec<u8> = [1u32, 2, 3, 4].iter().flat_map(|w| w.to_le_bytes()).collect();
    let bytes: Vec<u8> = (0..32).collect();
    assert_eq!(sum(&words, None, 0, 0), 0x14_0000_000A);
    assert_eq!(sum(&bytes, None, 0, 0), 0xBD99_7550_8880_7870);
    assert_eq!(sum(&bytes, Some(8), 0, 0), 0x3016_FDE4_6E68_625C);
    assert_eq!(sum(&bytes, None, 16, 0), 0xD6BC_A288_2420_1C18);
    assert_eq!(sum(&bytes[..16], None, 0, 5), 0x463C_323C_2420_1C1D);
    // The library's own sum: plain, and with words left out as zeros.
    let lib = |f: &dyn Fn(&mut Sum)| {
        let mut s = Sum::default();
        f(&mut s);
        s.value()
    };
    assert_eq!(lib(&|s| s.add(&words)), 0x14_0000_000A);
    assert_eq!(lib(&|s| s.add(&bytes)), 0xBD99_7550_8880_7870);
    let skip_field = |s: &mut Sum| {
        s.add(&bytes[..8]);
        s.add_u64(0);
        s.add(&bytes[16..]);
    };
    assert_eq!(lib(&skip_field), 0x3016_FDE4_6E68_625C);
    for (layout, want) in
        [(&b"golden"[..], 0x093E_A19B_649D_21CC), (b"", 0x2F83_7800_0030_4400), (b"x", 0x2F84_6800_0030_4478)]
    {
        let (file, pool) = golden(layout, 8, false);
        close(pool);
        assert_eq!(u64_at(&read(&file), 0x17f8), want);
    }
    // Undo entries of 3.6.1, and the logs of A.3 and A.4.
    let undo = |target: u64, data: &[u8], gen_num: u64| {
        let mut e = vec![0; (24 + data.len()).next_multiple_of(64)];
        put_u64(&mut e, 0, 6 << 61 | target);
        put_u64(&mut e, 16, data.len() as u64);
        e[24..24 + data.len()].copy_from_slice(data);
        sum(&gen_num.to_le_bytes(), None, 0, sum(&e, Some(8), 0, 0))
    };
    assert_eq!(undo(0x3F_E4D0, &[0; 100], 0), 0xC87C_6F58_C03F_E534);
    assert_eq!(undo(0x3F_E4D0, &[0xab; 100], 1), 0x04B8_AA8A_8403_A8E8);
    assert_eq!(undo(0x3F_E4B0, &[0; 16], 1), 0xC47E_1542_C03F_E4C1);
    let redo = |entries: &[u64]| {
        let image: Vec<u8> =
            [0, 0, 0x40, 0, 0, 0, 0, 0].iter().chain(entries).flat_map(|w| w.to_le_bytes()).collect();
        sum(&image, Some(0), 0, 0)
    };
    let a3 = [0x1810, 0x100, 0x1800, 0x3f_e490, 0x4000_0000_003c_2470, 1];
    assert_eq!(redo(&a3), 0xC271_DDE2_407C_3A51);
    let a4 = [0x3f_e490, UUID_LO, 0x3f_e498, 0x3c_05d0, 0x4000_0000_0038_2508, 2];
    assert_eq!(redo(&a4), 0x60E0_3211_9649_4996);
}

/// Even, and not to be foreseen: the format's "run_id += 2" is PMDK's way.
fn assert_another_run(b: &[u8], last: u64) {
    let id = u64_at(b, RUN_ID);
    assert!(id.is_multiple_of(2) && id != 0 && id != last, "run id {id} after {last}");
}

/// A.2: all but which unit of the run is taken.
#[test]
fn a2_allocated() {
    let file = golden_pool(8);
    // SAFETY: no destination.
    with(&file, |p| unsafe { p.alloc(std::ptr::null_mut(), request(64, 7), None) }.unwrap());
    let b = read(&file);
    assert_another_run(&b, 2);
    for (at, want) in [
        (0x30_2400, 0x11_C3F0_A2D2),
        (0x30_2440, 0x1_0009_0004),
        (0x30_2448, 0x10_0000_0002),
        (0x30_24c0, 0x10_0000_0001),
        (0x38_2400, 0x80),
        (0x38_2408, 0),
    ] {
        assert_eq!(u64_at(&b, at), want, "{at:#x}");
    }
    let words: Vec<u64> = (0..38).map(|i| u64_at(&b, 0x38_2410 + 8 * i)).collect();
    assert_eq!(words.iter().map(|w| w.count_ones()).sum::<u32>(), 1 + 3 + 6 * 64, "one unit, the padding");
    assert_eq!(words[31] & 0xe000_0000_0000_0000, 0xe000_0000_0000_0000);
    assert!(words[32..].iter().all(|&w| w == u64::MAX));
    let o = media::heap(&b).unwrap().objects[0];
    assert_eq!((u64_at(&b, o.start), u64_at(&b, o.start + 8), o.usable()), (0x80, 7, 112));
}

/// A.3: the root of 256 bytes, its log and its order.
#[test]
fn a3_root() {
    let file = golden_pool(8);
    // SAFETY: no destination.
    with(&file, |p| unsafe { p.alloc(std::ptr::null_mut(), request(64, 7), None) }.unwrap());
    let images = recorded(&file, |p| {
        p.root(256, None).unwrap();
    });
    let b = read(&file);
    let root = u64_at(&b, 0x1800);
    let o = object_at(&b, root);
    for (at, want) in [
        (0x1810, 0x100),
        (0x2110, 0),
        (0x30_2448, 0x1_0009_0004),
        (0x30_2450, 0xf_0000_0002),
        (0x30_24c0, 0xf_0000_0001),
        (0x3c_2400, 0x140),
        (0x3c_2478, u64::MAX),
        (o.start, 0x8000_0000_0000_0140),
        (o.start + 8, 0),
    ] {
        assert_eq!(u64_at(&b, at), want, "{at:#x}");
    }
    assert_eq!(u64_at(&b, 0x3c_2470) >> 50, 0x3fff, "818 units: 50 valid bits in word 12");
    let (word, bits) = bits_of(&b, &o);
    let (entries, image) = redo(&images, EXTERNAL, 640);
    assert_eq!(entries, [(0x1810, 0x100), (0x1800, root), (2 << 61 | word, bits)]);
    assert_eq!([8, 16, 24, 32, 40, 48, 56].map(|f| u64_at(image, EXTERNAL + f)), [0, 0x40, 0, 0, 0, 0, 0]);
    assert!(b[root as usize..(root + 304) as usize].iter().all(|&b| b == 0));
}

/// A.4: with a destination. An object that is constructed has its header
/// durable before, and the log has PMDK's three entries.
#[test]
fn a4_destination() {
    let file = golden_pool(8);
    let root = with(&file, |p| p.root(256, None).unwrap().off);
    let images = recorded(&file, |p| alloc(p, slot(p, root), 64, 7));
    let b = read(&file);
    let o = object_at(&b, u64_at(&b, root + 8));
    let (word, bits) = bits_of(&b, &o);
    let (entries, image) = redo(&images, EXTERNAL, 640);
    assert_eq!(entries, [(root, UUID_LO), (root + 8, o.off), (2 << 61 | word, bits)]);
    assert_eq!((u64_at(image, o.start), u64_at(image, o.start + 8)), (0x80, 7), "durable before the log");
    // Invalidated: the header zeroed, and the entries, which PMDK leaves stale.
    let last = images.last().unwrap();
    assert!(last[EXTERNAL as usize..EXTERNAL as usize + 128].iter().all(|&b| b == 0));
}

/// Whether an undo entry at `at` is whole: its checksum, its padding, and
/// zeros behind it.
fn undo_entry(b: &[u8], at: u64, gen_num: u64) -> (u64, u64) {
    let n = u64_at(b, at + 16);
    let size = (n + 24).next_multiple_of(64);
    let entry = &b[at as usize..(at + size) as usize];
    assert_eq!(u64_at(b, at) >> 61, 6, "BUF_CPY");
    assert_eq!(sum(&gen_num.to_le_bytes(), None, 0, sum(entry, Some(8), 0, 0)), u64_at(b, at + 8));
    assert!(entry[24 + n as usize..].iter().all(|&b| b == 0), "padded with zeros");
    (u64_at(b, at) & ((1 << 61) - 1), n)
}

/// A.5 and A.6: snapshots, the commit by one word, a crash and its recovery.
#[test]
fn a5_a6_snapshots() {
    let file = golden_pool(8);
    let root = with(&file, |p| p.root(256, None).unwrap().off);
    let images = recorded(&file, |p| in_tx(p, || overwrite(p, root + 64, 100, 0xab)));
    let open = images.iter().find(|i| media::undo_is_valid(i, UNDO)).unwrap();
    assert_eq!(undo_entry(open, 0x2400, 0), (root + 64, 100));
    assert_eq!(u64_at(open, 0x2480), 0, "terminator");
    assert!(!images.iter().any(|i| media::redo_is_valid(i, EXTERNAL, 640)), "one entry, in place");
    let b = read(&file);
    assert_eq!([0, 8, 16, 24].map(|f| u64_at(&b, UNDO + f)), [0, 0, 0x800, 1]);
    assert_eq!(b[root as usize + 64..root as usize + 164], [0xab; 100]);

    let (mut before, mut new) = (Vec::new(), 0);
    recorder::arm();
    with(&file, |p| {
        tx().begin(p.target(), None).unwrap();
        overwrite(p, root + 64, 100, 0xcd);
        new = tx_alloc(p, root + 32, 200, 11);
        before = bytes(p).to_vec(); // the cache wrote everything back
        abort();
    });
    recorder::finish();
    assert_eq!(undo_entry(&before, 0x2400, 1), (root + 64, 100));
    assert_eq!(undo_entry(&before, 0x2480, 1), (root + 32, 16));
    assert_eq!(u64_at(&before, 0x24c0), 0);
    // Ours was the root's 320-byte class; the header is there, no bit is set.
    assert_eq!(u64_at(&before, new - 8), 11);
    assert!(media::heap(&before).unwrap().objects.iter().all(|o| o.off != new));
    file.write(&before);
    let run_id = u64_at(&before, RUN_ID);
    with(&file, |_| ());
    let b = read(&file);
    assert_another_run(&b, run_id);
    assert_eq!(u64_at(&b, GEN), 2);
    assert_eq!((u64_at(&b, root + 32), u64_at(&b, root + 40)), (0, 0));
    assert_eq!(b[root as usize + 64..root as usize + 164], [0xab; 100], "as before the transaction");
}

/// A.7: the commit's log holds the next generation number.
#[test]
fn a7_commit_log() {
    let file = golden_pool(8);
    let root = with(&file, |p| p.root(256, None).unwrap().off);
    let images = recorded(&file, |p| {
        in_tx(p, || {
            overwrite(p, root + 64, 100, 0xab);
            tx_alloc(p, root + 32, 200, 11);
        })
    });
    let b = read(&file);
    let o = object_at(&b, u64_at(&b, root + 40));
    let (word, bits) = bits_of(&b, &o);
    let (mut entries, image) = redo(&images, EXTERNAL, 640);
    entries.sort_unstable();
    assert_eq!(entries, [(GEN, 1), (2 << 61 | word, bits)]);
    assert_eq!(u64_at(image, EXTERNAL + 16), 0x40);
    assert_eq!(u64_at(image, GEN), 0, "not before the log is valid");
    assert_eq!(u64_at(&b, GEN), 1);
}

/// A.8: huge blocks, their footers, coalescing.
#[test]
fn a8_huge() {
    let file = golden_pool(32);
    let root = with(&file, |p| p.root(100, None).unwrap().off);
    let header = |p: &Pool, c: u64| u64_at(bytes(p), ZONE + 64 + 8 * c);
    with(&file, |p| {
        let mut ids = [Oid::NULL; 3];
        for (i, id) in ids.iter_mut().enumerate() {
            // SAFETY: an id in volatile memory.
            unsafe { p.alloc(id, request(3_000_000, i as u64), None) }.unwrap();
        }
        assert_eq!([1, 12, 13].map(|c| header(p, c)), [0xc_0001_0003, 0xc_0000_0001, 0xc_0001_0003]);
        assert_eq!(u64_at(bytes(p), 0x3c_2400), 0x30_0000);
        assert_eq!(ids[0].off, 0x3c_2410);
        free(p, &mut ids[0]);
        assert_eq!(header(p, 1), 0xc_0001_0002);
        free(p, &mut ids[1]);
        assert_eq!(header(p, 1), 0x18_0001_0002);
        free(p, &mut ids[2]);
        assert_eq!(header(p, 1), 0x70_0001_0002);
        assert_eq!(header(p, 112) & 0xffff_ffff_0000_ffff, 0x70_0000_0001, "footer");
    });
    assert_eq!(root, u64_at(&read(&file), 0x1800));
}

/// A.9: a run of many chunks.
#[test]
fn a9_multi_chunk_run() {
    let file = golden_pool(32);
    let root = with(&file, |p| {
        let root = p.root(100, None).unwrap().off;
        alloc(p, slot(p, root), 3 * 262_144 - 16, 1);
        root
    });
    with(&file, |p| alloc(p, slot(p, root + 16), 600_000, 5));
    let b = read(&file);
    let o = object_at(&b, u64_at(&b, root + 24));
    let chunk = (o.start - CHUNK0) / media::CHUNK;
    let header = |c: u64| u64_at(&b, ZONE + 64 + 8 * c);
    assert_eq!(header(chunk), 0x10_0009_0004);
    assert!((1..16).all(|i| header(chunk + i) == i << 32 | 5));
    let start = CHUNK0 + chunk * media::CHUNK;
    assert_eq!((u64_at(&b, start), u64_at(&b, start + 16)), (0x3_3300, 0xffff_ffff_fff0_0007));
    assert_eq!((o.start - start, u64_at(&b, o.start), o.usable()), (0x40, 0x9_9900, 628_976));
}

/// A.10: an undo log that is extended.
#[test]
fn a10_undo_extension() {
    let file = golden_pool(32);
    let root = with(&file, |p| p.root(5000, None).unwrap().off);
    let images = recorded(&file, |p| in_tx(p, || overwrite(p, root, 3000, 1)));
    let (entries, image) = redo(&images, INTERNAL, 192);
    let u = u64_at(&read(&file), UNDO + 8);
    let o = object_at(&read(&file), u);
    assert_eq!((u64_at(image, o.start), u64_at(image, o.start + 8)), (0x8000_0000_0000_8100, 0));
    let (word, bits) = bits_of(&read(&file), &o);
    assert_eq!(bits.count_ones(), 6);
    assert_eq!(entries, [(UNDO + 8, u), (2 << 61 | word, bits)]);
    assert_eq!(u64_at(image, INTERNAL + 16), 0x40);
    let log = u.next_multiple_of(64);
    let full = images.iter().rfind(|i| media::undo_is_valid(i, UNDO)).unwrap();
    assert_eq!([0, 8, 24, 32].map(|f| u64_at(full, log + f)), [0, 0, 0, 0]);
    // All whole lines of the object: PMDK rounds down twice and stores 0x8040.
    assert_eq!(u64_at(full, log + 16), (o.start + o.size - log - 64) & !63);
    assert_eq!(undo_entry(full, 0x2400, 0), (root, 2024));
    assert_eq!(undo_entry(full, log + 64, 0), (root + 2024, 976));
    // It stays linked after the commit and is released by the next open.
    with(&file, |_| ());
    media::logs_are_idle(&read(&file)).unwrap();
}

/// Section 10, point by point. 5, 13 and 15 are the crash tests'; 14 holds if
/// they pass with the scratch area and free chunks evicted at random.
#[test]
fn writers_checklist() {
    let file = golden_pool(8);
    let b = read(&file);
    assert_eq!(sum(&b[..4096], Some(0xff8), 0x800, 0), u64_at(&b, 0xff8), "1: 2K checksum");
    assert_eq!([0x1400, 0x1408, 0x1410].map(|at| u64_at(&b, at)), [0x2000, 1024, 0x30_2000], "2");
    let images = recorded(&file, |p| {
        // 4: nobody else gets the lock while the pool is open.
        let other = std::fs::File::open(file.path()).unwrap();
        assert!(other.try_lock().is_err());
        let root = p.root(1000, None).unwrap().off;
        let mut words: Vec<_> = (0..41).map(|i| p.set_value(world::at(p, root + 8 * i).cast(), i)).collect();
        words.truncate(40);
        // SAFETY: words of the root.
        unsafe { p.publish(&words) }.unwrap();
        in_tx(p, || overwrite(p, root + 400, 30, 7));
        alloc(p, slot(p, root), 700, 1);
    });
    let changed = |i: &Vec<u8>| (0..i.len()).step_by(8).find(|&at| i[at..at + 8] != b[at..at + 8]);
    let first = images.iter().find_map(changed);
    assert_eq!(first, Some(RUN_ID as usize), "3: run_id before anything else");
    assert!(images.iter().all(|i| u64_at(i, RUN_ID).is_multiple_of(2)), "3: always even");
    // 6: forty entries fill the log, without a zero word.
    let full =
        images.iter().find(|i| media::redo_is_valid(i, EXTERNAL, 640) && u64_at(i, EXTERNAL + 16) == 640);
    assert!(full.is_some());
    for i in &images {
        let undo = u64_at(i, UNDO + 16);
        assert_eq!(undo, 2048, "8, 3.11: the capacity of the undo log stays");
        media::heap(i).unwrap(); // 9, 10, 11, 12
    }
    let last = images.last().unwrap();
    let root = u64_at(last, 0x1800);
    assert!(object_at(last, root).internal, "12");
    assert!(last[0x1830..0x1a20].iter().all(|&b| b == 0), "14");
    for (c, n) in media::heap(last).unwrap().free {
        let footer = u64_at(&read(&file), ZONE + 64 + 8 * (c + n - 1));
        assert!(n == 1 || footer & 0xffff_ffff_0000_ffff == n << 32 | 1, "10: footer of the block at {c}");
    }
}

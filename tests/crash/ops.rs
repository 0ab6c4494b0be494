//! Every operation that changes media, as a recorded scenario.

use pmem_rs::flush::recorder::{self, Recording};
use pmem_rs::obj::{Oid, Pool, sync};
use pmem_rs::pool::{CreateOptions, checksum::Sum};

use crate::library;
use crate::media::{self, LOCK, NO_CONTENT};
use crate::ops_more;
use crate::rng::Rng;
use crate::world::*;

pub type Scenario = fn() -> History;

pub const ALL: [(&str, Scenario); 44] = [
    ("root", root),
    ("small", small),
    ("classes", classes),
    ("multi_unit", multi_unit),
    ("realloc", realloc),
    ("huge", huge),
    ("coalesce", coalesce),
    ("empty_runs", empty_runs),
    ("publish", publish),
    ("publish_many", publish_many),
    ("publish_exact", publish_exact),
    ("cancel", cancel),
    ("tx_snapshots", tx_snapshots),
    ("tx_many_snapshots", tx_many_snapshots),
    ("tx_large_snapshots", tx_large_snapshots),
    ("tx_stale_log", tx_stale_log),
    ("tx_forged_log", tx_forged_log),
    ("tx_objects", tx_objects),
    ("tx_many_objects", tx_many_objects),
    ("tx_huge", tx_huge),
    ("tx_abort", tx_abort),
    ("tx_nested", tx_nested),
    ("reopen", reopen),
    ("reused_chunk", reused_chunk),
    ("merged_chunks", merged_chunks),
    ("reclaimed_chunks", reclaimed_chunks),
    ("reserved", reserved),
    ("two_lanes", two_lanes),
    ("locks", locks),
    ("lists", library::lists),
    ("defrag", library::defrag),
    ("new_zone", ops_more::new_zone),
    ("growth", ops_more::growth),
    ("publish_again", ops_more::publish_again),
    ("tx_no_flush", ops_more::tx_no_flush),
    ("tx_publish", ops_more::tx_publish),
    ("second_lane", ops_more::second_lane),
    ("whole_zone", ops_more::whole_zone),
    ("custom_class", ops_more::custom_class),
    ("custom_defrag", ops_more::custom_defrag),
    ("converted", ops_more::converted),
    ("wide_run", ops_more::wide_run),
    ("forged_extension", ops_more::forged_extension),
    (NOT_FOR_PMDK, library::buffers),
];

/// PMDK's recovery frees the application's buffers (format 11.1).
pub const NOT_FOR_PMDK: &str = "buffers";

const ROOT: u64 = 4000;

/// A pool of `mib` MiB whose root has room for many object ids.
pub fn world(mib: u64) -> (World, u64) {
    let w = World::new(mib);
    let root = w.pool().root(ROOT, None).unwrap().off;
    (w, root)
}

/// A pool in the making, on a file that is new, or on an old one of which
/// only the first page is empty.
pub fn create(used: bool) -> Recording {
    let file = Scratch::new("create");
    if used {
        let mut old = vec![0xb4; 8 << 20];
        old[..4096].fill(0);
        // Words of an old pool, which would pass for those of the new one.
        for (at, word) in [(0x1800, 0x3c_2550), (0x1808, 2), (0x1810, 64), (0x1820, (8 << 20) - media::HEAP)]
        {
            media::put_u64(&mut old, at, word);
        }
        file.write(&old);
    }
    recorder::arm();
    let options = CreateOptions {
        size: if used { 0 } else { 8 * MIB },
        mode: 0o600,
        sds: true,
        allocate: true,
        identity: None,
    };
    let pool = Pool::create_with(&file.0, b"crash", &options).unwrap();
    recorder::mark(1); // from here on it is a pool
    close(pool);
    recorder::finish().unwrap()
}

fn root() -> History {
    let mut w = World::new(8);
    let mut before = Oid::NULL;
    alloc(w.pool(), &mut before, 200, 1);
    alloc(w.pool(), std::ptr::null_mut(), 200, 1);
    free(w.pool(), &mut before);
    w.record();
    w.step("root in used memory", |p| {
        p.root(200, None).unwrap();
    });
    w.step("constructed growth", |p| {
        let mut ctor = |at: *mut u8| {
            fill(at, 900, 3);
            persist(p, at, 900);
            true
        };
        p.root(900, Some(&mut ctor)).unwrap();
    });
    w.step("growth", |p| {
        p.root(5000, None).unwrap();
    });
    w.step("no growth", |p| {
        p.root(100, None).unwrap();
    });
    w.step("huge growth", |p| {
        p.root(2_700_000, None).unwrap();
    });
    w.finish("root")
}

fn small() -> History {
    let (mut w, root) = world(8);
    // Memory that is not zero.
    (0..12).for_each(|i| alloc(w.pool(), slot(w.pool(), root + 16 * i), 100, i));
    (0..12).for_each(|i| free(w.pool(), slot(w.pool(), root + 16 * i)));
    alloc(w.pool(), slot(w.pool(), root + 192), 100, 12);
    w.record();
    w.step("alloc without content", |p| {
        // SAFETY: an id in the root.
        unsafe { p.alloc(slot(p, root), request(64, NO_CONTENT | 7), None) }.unwrap();
    });
    w.step("alloc with constructor", |p| alloc(p, slot(p, root + 16), 100, 8));
    w.step("zalloc in used memory", |p| {
        let mut req = request(90, 9);
        req.zero = true;
        // SAFETY: an id in the root.
        unsafe { p.alloc(slot(p, root + 32), req, None) }.unwrap();
    });
    w.step("cancelled constructor", |p| {
        // SAFETY: an id in the root.
        let r = unsafe { p.alloc(slot(p, root + 48), request(64, 1), Some(&mut |_| false)) };
        assert!(r.is_err());
    });
    w.step("free", |p| free(p, slot(p, root + 16)));
    w.step("alloc again", |p| alloc(p, slot(p, root + 16), 110, 10));
    let mut volatile = Oid::NULL;
    w.step("alloc to volatile memory", |p| alloc(p, &mut volatile, 64, 11));
    w.step("free from volatile memory", |p| free(p, &mut volatile));
    w.step("alloc to nowhere", |p| {
        // SAFETY: no destination.
        unsafe { p.alloc(std::ptr::null_mut(), request(64, NO_CONTENT | 12), None) }.unwrap();
    });
    w.step("zalloc to nowhere", |p| {
        let mut req = request(64, 13);
        req.zero = true;
        // SAFETY: no destination.
        unsafe { p.alloc(std::ptr::null_mut(), req, None) }.unwrap();
    });
    w.finish("small")
}

fn classes() -> History {
    let (mut w, root) = world(16);
    w.record();
    w.step("alloc without content in a new run", |p| {
        // SAFETY: an id in the root.
        unsafe { p.alloc(slot(p, root + 800), request(1200, NO_CONTENT | 1), None) }.unwrap();
    });
    for (i, size) in [112, 300, 700, 2000, 5000, 9000, 30_000, 60_000, 110_000].into_iter().enumerate() {
        let dest = root + 16 * i as u64;
        w.step(&format!("alloc {size}"), |p| alloc(p, slot(p, dest), size, size));
        if i % 2 == 1 {
            w.step(&format!("free {size}"), |p| free(p, slot(p, dest)));
        }
    }
    w.finish("classes")
}

fn multi_unit() -> History {
    let (mut w, root) = world(16);
    w.record();
    w.step("600,000 bytes", |p| alloc(p, slot(p, root), 600_000, 1));
    for i in 1..6 {
        w.step("240 bytes", |p| alloc(p, slot(p, root + 16 * i), 240, i));
    }
    w.step("free in the middle", |p| free(p, slot(p, root + 32)));
    w.step("fills the gap", |p| alloc(p, slot(p, root + 32), 100, 9));
    w.finish("multi_unit")
}

fn realloc() -> History {
    let (mut w, root) = world(16);
    alloc(w.pool(), slot(w.pool(), root), 100, 1);
    w.record();
    for (size, zero) in
        [(300, false), (120, false), (40, false), (9000, true), (300_000, false), (0, false), (80, true)]
    {
        w.step(&format!("to {size}"), |p| {
            // SAFETY: an id in the root.
            unsafe { p.realloc(slot(p, root), size, 20, zero) }.unwrap();
        });
    }
    w.step("to huge", |p| {
        // SAFETY: an id in the root.
        unsafe { p.realloc(slot(p, root), 2_700_000, 21, false) }.unwrap();
    });
    w.finish("realloc")
}

pub const HUGE: u64 = 2_700_000;

fn huge() -> History {
    let (mut w, root) = world(16);
    w.record();
    w.step("alloc", |p| alloc(p, slot(p, root), HUGE, 1));
    w.step("alloc", |p| alloc(p, slot(p, root + 16), HUGE + 500_000, 2));
    w.step("free first", |p| free(p, slot(p, root)));
    w.step("smaller one", |p| alloc(p, slot(p, root), HUGE, 3));
    w.step("zalloc", |p| {
        let mut req = request(HUGE, 4);
        req.zero = true;
        // SAFETY: an id in the root.
        unsafe { p.alloc(slot(p, root + 32), req, None) }.unwrap();
    });
    w.finish("huge")
}

/// Frees with a free neighbour on the left, on the right, on both sides.
pub fn coalesce() -> History {
    let (mut w, root) = world(24);
    for i in 0..6 {
        alloc(w.pool(), slot(w.pool(), root + 16 * i), HUGE, i);
    }
    w.record();
    for i in [1, 2, 4, 3, 0, 5] {
        w.step(&format!("free {i}"), |p| free(p, slot(p, root + 16 * i)));
    }
    w.step("all in one", |p| alloc(p, slot(p, root), 5 * HUGE, 9));
    w.finish("coalesce")
}

/// Empty runs become free chunks, when the zone is scanned and when memory is
/// short.
fn empty_runs() -> History {
    let (mut w, root) = world(16);
    for (i, size) in [100, 300, 5000, 600_000, 2000].into_iter().enumerate() {
        alloc(w.pool(), slot(w.pool(), root + 16 * i as u64), size, size);
    }
    for i in [1, 2, 4] {
        free(w.pool(), slot(w.pool(), root + 16 * i));
    }
    w.record();
    w.step("scans the zone", |p| free(p, slot(p, root)));
    w.step("empties a run", |p| free(p, slot(p, root + 48)));
    w.step("needs its chunks", |p| alloc(p, slot(p, root), 9_000_000, 1));
    w.finish("empty_runs")
}

fn reserve(p: &Pool, size: u64, type_num: u64) -> (Oid, pmem_rs::obj::RawAction) {
    let (oid, act) = p.reserve(request(size, type_num), None).unwrap();
    fill(at(p, oid.off), size, type_num);
    persist(p, at(p, oid.off), size);
    (oid, act)
}

pub fn do_publish(p: &Pool, acts: &[pmem_rs::obj::RawAction]) {
    // SAFETY: made by this pool, used once.
    unsafe { p.publish(acts) }.unwrap();
}

fn publish() -> History {
    let (mut w, root) = world(16);
    alloc(w.pool(), slot(w.pool(), root), 100, 1);
    w.record();
    w.step("reserve, set, free, huge", |p| {
        let (a, act_a) = reserve(p, 200, 2);
        let (b, act_b) = reserve(p, HUGE, 3);
        // SAFETY: an id in the root.
        let old = unsafe { (*slot(p, root)).off };
        let acts = [
            act_a,
            p.set_value(at(p, root + 24).cast(), a.off),
            p.defer_free(old).unwrap(),
            act_b,
            p.set_value(at(p, root + 8).cast(), 0),
            p.set_value(at(p, root + 40).cast(), b.off),
        ];
        do_publish(p, &acts);
    });
    w.step("one action, without content", |p| {
        let (_, act) = p.reserve(request(80, NO_CONTENT | 4), None).unwrap();
        do_publish(p, &[act]);
    });
    w.finish("publish")
}

/// More actions than the lane's log holds: extensions, several of them.
fn publish_many() -> History {
    let (mut w, root) = world(8);
    w.record();
    for n in [41, 150] {
        w.step(&format!("{n} words"), |p| {
            let set = |i: u64| p.set_value(at(p, root + 8 * i).cast(), n << 32 | i);
            do_publish(p, &(0..n).map(set).collect::<Vec<_>>());
        });
    }
    w.step("70 objects and words", |p| {
        let mut acts = Vec::new();
        for i in 0..70 {
            let (oid, act) = reserve(p, 100 + i, i);
            acts.extend([act, p.set_value(at(p, root + 8 * i).cast(), oid.off)]);
        }
        do_publish(p, &acts);
    });
    w.finish("publish_many")
}

/// Logs that fill their capacity, of the lane and of an extension, to the
/// last byte; and more transient words than a log has room for.
pub fn publish_exact() -> History {
    let (mut w, root) = world(8);
    w.record();
    for n in [39u64, 40, 40 + 44, 40 + 43] {
        w.step(&format!("{n} words"), |p| {
            let set = |i: u64| p.set_value(at(p, root + 8 * i).cast(), n << 32 | i);
            do_publish(p, &(0..n).map(set).collect::<Vec<_>>());
        });
    }
    let mut words = vec![0u64; 100];
    w.step("transient words", |p| {
        let mut acts: Vec<_> = words.iter_mut().map(|w| p.set_value(w, 5)).collect();
        acts.push(p.set_value(at(p, root).cast(), 77));
        acts.push(p.set_value(at(p, root + 8).cast(), 78));
        do_publish(p, &acts);
    });
    assert!(words.iter().all(|&w| w == 5));
    w.finish("publish_exact")
}

pub fn cancel() -> History {
    let (mut w, root) = world(16);
    w.record();
    w.step("cancel small and split huge", |p| {
        let acts = [reserve(p, 100, 1).1, reserve(p, HUGE, 2).1, reserve(p, 30_000, 3).1];
        p.cancel(&acts);
    });
    w.step("the rest is whole", |p| alloc(p, slot(p, root), 9_000_000, 4));
    w.finish("cancel")
}

fn tx_snapshots() -> History {
    let (mut w, root) = world(8);
    w.record();
    w.step("empty", |p| in_tx(p, || {}));
    w.step("one", |p| in_tx(p, || overwrite(p, root + 64, 100, 0xab)));
    w.step("a few, unaligned", |p| {
        in_tx(p, || {
            for i in 0..5 {
                overwrite(p, root + 1 + 300 * i, 13 + 40 * i, i as u8 + 1);
            }
        })
    });
    w.step("overlapping", |p| {
        in_tx(p, || {
            overwrite(p, root + 100, 100, 1);
            overwrite(p, root + 300, 100, 2);
            overwrite(p, root + 50, 400, 3);
            overwrite(p, root + 100, 100, 4);
        })
    });
    w.step("again", |p| in_tx(p, || overwrite(p, root, 1900, 0x55)));
    w.step("shorter", |p| in_tx(p, || overwrite(p, root, 24, 0x66)));
    w.finish("tx_snapshots")
}

fn tx_many_snapshots() -> History {
    let (mut w, root) = world(8);
    w.record();
    for (round, n) in [130u64, 60].into_iter().enumerate() {
        w.step(&format!("{n} snapshots"), |p| {
            in_tx(p, || (0..n).for_each(|i| overwrite(p, root + 30 * i, 9, round as u8 + i as u8)))
        });
    }
    w.finish("tx_many_snapshots")
}

fn tx_large_snapshots() -> History {
    let mut w = World::new(16);
    let root = w.pool().root(100_000, None).unwrap().off;
    w.record();
    w.step("into an extension", |p| in_tx(p, || overwrite(p, root, 3000, 1)));
    w.step("fills the lane's log", |p| in_tx(p, || overwrite(p, root, 2024, 2)));
    w.step("three extensions", |p| in_tx(p, || overwrite(p, root, 99_000, 3)));
    w.step("small again", |p| in_tx(p, || overwrite(p, root + 10, 20, 4)));
    w.finish("tx_large_snapshots")
}

/// Old entries behind the new ones, at positions where they could pass for
/// entries, in the lane's log and in an extension.
fn tx_stale_log() -> History {
    let mut w = World::new(8);
    let root = w.pool().root(20_000, None).unwrap().off;
    w.record();
    let mut rng = Rng::new(11);
    for round in 0..5u64 {
        let n = 1 + rng.below(45);
        let len = 8 + 40 * rng.below(4);
        w.step(&format!("{n} of {len} bytes"), |p| {
            in_tx(p, || (0..n).for_each(|i| overwrite(p, root + 300 * i, len, (round * 16 + i) as u8)))
        });
    }
    w.finish("tx_stale_log")
}

/// An undo entry of generation `gen_num` that would set a word.
pub fn forged_entry(gen_num: u64, target: u64, value: u64) -> [u64; 8] {
    let mut entry = [6 << 61 | target, 0, 8, value, 0, 0, 0, 0];
    let mut sum = Sum::default();
    entry.iter().for_each(|&w| sum.add_u64(w));
    sum.add_u64(gen_num);
    entry[1] = sum.value();
    entry
}

/// Saved data that looks like an entry of a later transaction, right where that
/// one's log ends: in the lane's log, and in an extension behind a snapshot that
/// is split.
fn tx_forged_log() -> History {
    const LANE_0: u64 = 0x2000;
    const GEN_NUM: u64 = LANE_0 + 0x3c0 + 24;
    const LEN: u64 = 6000;
    /// Data bytes of an entry that fills the lane's log.
    const IN_LANE: u64 = 2048 - 24;
    let mut w = World::new(8);
    let root = w.pool().root(20_000, None).unwrap().off;
    // SAFETY: a word of the lanes.
    let gen_num = unsafe { at(w.pool(), GEN_NUM).cast::<u64>().read() };
    let target = root + 15_000;
    // For a log that ends at 64, and one that ends at 128 of the extension.
    let forge = |p: &Pool, gen_num| {
        for place in [64 - 24, IN_LANE + 128 - 24] {
            let entry = forged_entry(gen_num, target, 0xeeee);
            // SAFETY: inside the root.
            unsafe { at(p, root + place).cast::<[u64; 8]>().write_unaligned(entry) };
        }
    };
    forge(w.pool(), gen_num + 1);
    persist(w.pool(), at(w.pool(), root), LEN);
    w.record();
    w.step("entries in saved data", |p| {
        in_tx(p, || {
            tx().add_range(root, LEN, SNAPSHOT).unwrap();
            forge(p, gen_num + 3);
        })
    });
    w.step("a short log", |p| in_tx(p, || overwrite(p, root + 10_000, 8, 1)));
    w.step("other entries in saved data", |p| in_tx(p, || overwrite(p, root, LEN, 2)));
    w.step("a log that is split", |p| in_tx(p, || overwrite(p, root + 7000, IN_LANE + 100, 3)));
    // SAFETY: as above.
    assert_eq!(unsafe { at(w.pool(), GEN_NUM).cast::<u64>().read() }, gen_num + 4, "lane 0 was used");
    w.finish("tx_forged_log")
}

pub fn tx_objects() -> History {
    let (mut w, root) = world(16);
    w.record();
    w.step("alloc", |p| {
        in_tx(p, || {
            tx_alloc(p, root, 100, 1);
        })
    });
    w.step("alloc, free, overwrite", |p| {
        in_tx(p, || {
            tx_alloc(p, root + 16, 300, 2);
            tx_free(p, root);
            tx_alloc(p, root + 32, 2000, 3);
            overwrite(p, root + 100, 100, 9);
        })
    });
    w.step("alloc and free the same", |p| {
        in_tx(p, || {
            let a = tx_alloc(p, root + 48, 112, 4);
            tx_alloc(p, root + 64, 112, 5);
            tx().free(a).unwrap();
            tx_alloc(p, root + 48, 110, 6);
        })
    });
    w.step("realloc", |p| {
        in_tx(p, || {
            // SAFETY: an id in the root.
            let old = unsafe { (*slot(p, root + 16)).off };
            let off = tx().realloc(old, &request(5000, 7)).unwrap();
            fill(at(p, off), 5000, 7);
            tx_set(p, root + 16, Oid { pool_uuid_lo: p.uuid_lo(), off });
        })
    });
    w.step("zalloc", |p| {
        in_tx(p, || {
            let mut req = request(900, 8);
            req.zero = true;
            let off = tx().alloc(&req, true).unwrap();
            tx_set(p, root + 80, Oid { pool_uuid_lo: p.uuid_lo(), off });
        })
    });
    w.step("only free", |p| {
        // SAFETY: an id in the root.
        let off = unsafe { (*slot(p, root + 80)).off };
        in_tx(p, || tx().free(off).unwrap())
    });
    w.finish("tx_objects")
}

fn tx_many_objects() -> History {
    let (mut w, root) = world(8);
    w.record();
    w.step("70 objects", |p| {
        in_tx(p, || {
            for i in 0..70 {
                tx_alloc(p, root + 16 * i, 20 + 30 * (i % 9), i + 1);
            }
        })
    });
    w.step("frees half, allocates", |p| {
        in_tx(p, || {
            for i in 0..35 {
                tx_free(p, root + 32 * i);
            }
            for i in 0..20 {
                tx_alloc(p, root + 32 * i, 400, i + 100);
            }
        })
    });
    w.finish("tx_many_objects")
}

fn tx_huge() -> History {
    let (mut w, root) = world(16);
    w.record();
    w.step("zalloc", |p| {
        in_tx(p, || {
            let mut req = request(HUGE, 1);
            req.zero = true;
            let off = tx().alloc(&req, true).unwrap();
            tx_set(p, root, Oid { pool_uuid_lo: p.uuid_lo(), off });
        })
    });
    w.step("alloc and free", |p| {
        in_tx(p, || {
            tx_alloc(p, root + 16, HUGE, 2);
            tx_free(p, root);
        })
    });
    w.finish("tx_huge")
}

fn tx_abort() -> History {
    let (mut w, root) = world(16);
    alloc(w.pool(), slot(w.pool(), root), 100, 1);
    w.record();
    let aborted = |p: &'static Pool, f: &dyn Fn()| {
        tx().begin(p.target(), None).unwrap();
        f();
        abort();
    };
    w.step("snapshots", |p| {
        aborted(p, &|| (0..40).for_each(|i| overwrite(p, root + 200 + 50 * i, 30, 0xee)))
    });
    w.step("large snapshot", |p| aborted(p, &|| overwrite(p, root + 16, 3900, 0xdd)));
    w.step("objects", |p| {
        aborted(p, &|| {
            tx_alloc(p, root + 16, 100, 2);
            tx().alloc(&request(HUGE, 3), true).unwrap();
            tx_free(p, root);
        })
    });
    w.step("snapshots once more", |p| {
        aborted(p, &|| (0..40).for_each(|i| overwrite(p, root + 200 + 50 * i, 30, 0xcc)))
    });
    w.step("words that had a snapshot", |p| {
        let set = |i: u64| p.set_value(at(p, root + 200 + 8 * i).cast(), 5);
        do_publish(p, &(0..8).map(set).collect::<Vec<_>>());
    });
    w.step("commits after that", |p| {
        in_tx(p, || {
            overwrite(p, root + 300, 100, 0x11);
            tx_free(p, root);
        })
    });
    w.finish("tx_abort")
}

fn tx_nested() -> History {
    let (mut w, root) = world(8);
    w.record();
    w.step("inner levels commit", |p| {
        in_tx(p, || {
            overwrite(p, root + 64, 50, 1);
            in_tx(p, || {
                tx_alloc(p, root, 100, 1);
                in_tx(p, || overwrite(p, root + 200, 300, 2));
            });
            overwrite(p, root + 90, 60, 3);
        })
    });
    w.step("atomic calls inside", |p| {
        in_tx(p, || overwrite(p, root + 64, 50, 4));
    });
    w.step("inner level aborts", |p| {
        tx().begin(p.target(), None).unwrap();
        overwrite(p, root + 64, 500, 5);
        tx().begin(p.target(), None).unwrap();
        tx_alloc(p, root + 16, 100, 2);
        abort();
        abort();
    });
    w.finish("tx_nested")
}

/// Opens of a pool with something to do: the extension that a clean close
/// leaves linked, chunks to merge.
fn reopen() -> History {
    let mut w = World::new(24);
    let root = w.pool().root(50_000, None).unwrap().off;
    let p = w.pool();
    in_tx(p, || overwrite(p, root, 40_000, 1));
    for i in 0..3 {
        alloc(p, slot(p, root + 16 * i), HUGE, i);
    }
    alloc(p, slot(p, root + 64), 600_000, 4);
    free(p, slot(p, root + 64));
    w.record();
    w.step("uses it", |p| in_tx(p, || overwrite(p, root + 100, 3000, 2)));
    w.step("frees", |p| free(p, slot(p, root)));
    w.finish("reopen")
}

/// One unit of each of these is the first of a run: of one chunk, the last of
/// two. With the root's run they take chunks 0 to 9.
const FIRSTS: [u64; 8] = [112, 304, 432, 688, 1072, 1200, 176, 1456];
/// The same of three chunks.
const THREE_CHUNKS: u64 = 3760;

pub fn fill_runs(p: &Pool, root: u64, n: usize) {
    for (i, size) in FIRSTS.into_iter().take(n).enumerate() {
        alloc(p, slot(p, root + 16 * i as u64), size, size);
    }
    let run = |c| crate::media::u64_at(bytes(p), crate::media::ZONE + 64 + 8 * c) == 0x1_0009_0004;
    assert!((1..=n.min(7) as u64).all(run), "behind the root's run");
}

/// The chunk of an empty run becomes a run of another class in place.
fn reused_chunk() -> History {
    let (mut w, root) = world(8);
    fill_runs(w.pool(), root, 6);
    free(w.pool(), slot(w.pool(), root));
    w.record();
    // Scans the zone: nothing is drained before the chunk is used again.
    w.step("one chunk", |p| alloc(p, slot(p, root), FIRSTS[6], 1));
    w.finish("reused_chunk")
}

/// Those of two, merged; their headers lie in different lines.
fn merged_chunks() -> History {
    let (mut w, root) = world(8);
    fill_runs(w.pool(), root, 8);
    alloc(w.pool(), slot(w.pool(), root + 160), 5360, 1); // between them and what is free
    free(w.pool(), slot(w.pool(), root + 96));
    free(w.pool(), slot(w.pool(), root + 112));
    w.record();
    w.step("three chunks", |p| alloc(p, slot(p, root), THREE_CHUNKS, 2));
    w.finish("merged_chunks")
}

/// Both once more, when there are no other chunks left.
fn reclaimed_chunks() -> History {
    let (mut w, root) = world(8);
    fill_runs(w.pool(), root, 8);
    alloc(w.pool(), slot(w.pool(), root + 160), 7 * 262_144 - 16, 1);
    w.record();
    w.step("scans the zone", |p| alloc(p, slot(p, root + 176), 60, 1));
    w.step("empty a run", |p| free(p, slot(p, root + 96)));
    w.step("empty a run", |p| free(p, slot(p, root + 112)));
    w.step("three chunks", |p| alloc(p, slot(p, root + 96), THREE_CHUNKS, 2));
    w.step("empty a run", |p| free(p, slot(p, root + 32)));
    w.step("one chunk", |p| alloc(p, slot(p, root + 32), FIRSTS[6], 2));
    w.finish("reclaimed_chunks")
}

/// A reserved block in front of an allocated one; nothing drained in between
/// but by the library.
fn reserved() -> History {
    let (mut w, root) = world(16);
    w.record();
    let mut acts = Vec::new();
    w.step("reserve huge", |p| acts.push(p.reserve(request(HUGE, NO_CONTENT | 1), None).unwrap().1));
    w.step("allocate behind it", |p| alloc(p, slot(p, root), HUGE, 2));
    w.step("cancel", |p| p.cancel(&acts));
    w.finish("reserved")
}

/// Two threads, two lanes, one word of a bitmap.
fn two_lanes() -> History {
    let (mut w, root) = world(16);
    w.record();
    for round in 0..3 {
        w.step("alloc on the first lane", |p| alloc(p, slot(p, root), 100, round));
        w.step("free on the second", |p| {
            on_another_thread(|| {
                // SAFETY: an id in the root.
                let mut copy = unsafe { *slot(p, root) };
                free(p, &mut copy);
            });
        });
    }
    // What an abort restored and another thread changes then must not be
    // restored again.
    w.step("abort on the first lane", |p| {
        tx().begin(p.target(), None).unwrap();
        overwrite(p, root + 1000, 8, 7);
        abort();
    });
    for round in 0..2 {
        w.step("the same word, and another, on the second", |p| {
            on_another_thread(|| {
                let word = at(p, root + 1000 + 8 * round);
                // SAFETY: an aligned word of the root.
                unsafe { word.cast::<u64>().write_volatile(9) };
                persist(p, word, 8);
            });
        });
    }
    w.step("reserve huge", |p| {
        tx().begin(p.target(), None).unwrap();
        tx().alloc(&request(HUGE, NO_CONTENT | 1), false).unwrap();
    });
    w.step("allocate behind it on the second", |p| {
        on_another_thread(|| alloc(p, slot(p, root + 32), HUGE, 2));
    });
    w.step("commit", |_| commit());
    w.finish("two_lanes")
}

/// A lock that was held when power went.
fn locks() -> History {
    let (mut w, root) = world(8);
    // SAFETY: an id in the root.
    unsafe { w.pool().alloc(slot(w.pool(), root), request(64, LOCK), None) }.unwrap();
    // SAFETY: as above.
    let off = unsafe { (*slot(w.pool(), root)).off };
    persist_zero(w.pool(), off, 64);
    w.record();
    w.step("lock", |p| {
        // SAFETY: 64 bytes of an object.
        assert_eq!(unsafe { sync::mutex_lock(p.handle(), at(p, off).cast()) }, 0);
    });
    w.step("alloc", |p| alloc(p, slot(p, root + 16), 100, 1));
    w.finish("locks")
}

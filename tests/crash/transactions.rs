//! Scenarios of transactions: snapshots, objects, aborts, levels, and logs with
//! something old behind their end.

use pmem_rs::obj::{Oid, Pool};

use crate::found;
use crate::ops::{HUGE, do_publish, world};
use crate::rng::Rng;
use crate::world::*;

pub fn tx_snapshots() -> History {
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

pub fn tx_many_snapshots() -> History {
    let (mut w, root) = world(8);
    w.record();
    for (round, n) in [130u64, 60].into_iter().enumerate() {
        w.step(&format!("{n} snapshots"), |p| {
            in_tx(p, || (0..n).for_each(|i| overwrite(p, root + 30 * i, 9, round as u8 + i as u8)))
        });
    }
    w.finish("tx_many_snapshots")
}

pub fn tx_large_snapshots() -> History {
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
pub fn tx_stale_log() -> History {
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

const LANE_0: u64 = 0x2000;
const GEN_NUM: u64 = LANE_0 + 0x3c0 + 24;

/// Saved data that looks like an entry of a later transaction, right where that
/// one's log ends: in the lane's log, and in an extension behind a snapshot that
/// is split.
pub fn tx_forged_log() -> History {
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
            let entry = found::entry(6, target, 8, &[0xeeee], gen_num);
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

/// Saved data that looks like an entry of a later transaction, written over a
/// part of an extension that was zero for long, where that one's log ends.
pub fn tx_forged_far() -> History {
    /// Data bytes of an entry that fills the lane's log.
    const IN_LANE: u64 = 2048 - 24;
    /// Where the last log ends, in the extension; data bytes of its snapshot.
    const END: u64 = 320 * 64;
    const LEN: u64 = IN_LANE + END - 24;
    let mut w = World::new(8);
    let root = w.pool().root(60_000, None).unwrap().off;
    // SAFETY: a word of the lanes.
    let gen_num = unsafe { at(w.pool(), GEN_NUM).cast::<u64>().read() };
    let entry = found::entry(6, root + 50_000, 8, &[0xeeee], gen_num + 3);
    // SAFETY: inside the root.
    unsafe { at(w.pool(), root + LEN).cast::<[u64; 8]>().write_unaligned(entry) };
    persist(w.pool(), at(w.pool(), root), 60_000);
    w.record();
    w.step("zeroes the rest of the extension", |p| {
        in_tx(p, || {
            overwrite(p, root + 30_000, 16_000, 1);
            overwrite(p, root + 1, 8, 2);
        })
    });
    w.step("ends before it", |p| in_tx(p, || overwrite(p, root + 30_000, 3000, 3)));
    w.step("fills the extension", |p| in_tx(p, || tx().add_range(root, 40_000, SNAPSHOT).unwrap()));
    w.step("ends at an entry", |p| in_tx(p, || overwrite(p, root + 30_000 - LEN, LEN, 4)));
    // SAFETY: as above.
    assert_eq!(unsafe { at(w.pool(), GEN_NUM).cast::<u64>().read() }, gen_num + 4, "lane 0 was used");
    w.finish("tx_forged_far")
}

/// Saved data that looks like an entry of a later transaction in every line of
/// the lane's log, and that transaction's many short entries.
pub fn tx_forged_lines() -> History {
    const LEN: u64 = 2048 - 24;
    let mut w = World::new(8);
    let root = w.pool().root(20_000, None).unwrap().off;
    // SAFETY: a word of the lanes.
    let gen_num = unsafe { at(w.pool(), GEN_NUM).cast::<u64>().read() };
    for line in 1..32 {
        let entry = found::entry(6, root + 15_000, 8, &[0xeeee], gen_num + 1);
        // SAFETY: inside the root.
        unsafe { at(w.pool(), root + 64 * line - 24).cast::<[u64; 8]>().write_unaligned(entry) };
    }
    persist(w.pool(), at(w.pool(), root), LEN + 64);
    w.record();
    w.step("entries in saved data", |p| in_tx(p, || tx().add_range(root, LEN, SNAPSHOT).unwrap()));
    w.step("short entries", |p| {
        in_tx(p, || (0..31).for_each(|i| overwrite(p, root + 10_000 + 8 * i, 8, i as u8)));
    });
    w.finish("tx_forged_lines")
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

pub fn tx_many_objects() -> History {
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

pub fn tx_huge() -> History {
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

pub fn tx_abort() -> History {
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

pub fn tx_nested() -> History {
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

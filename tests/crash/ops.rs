//! Every operation that changes media, as a recorded scenario.
#![allow(dead_code)] // each program takes what it needs

use pmem_rs::flush::recorder::{self, Recording};
use pmem_rs::obj::{Oid, Pool, sync};
use pmem_rs::pool::CreateOptions;

use crate::media::{self, LOCK, NO_CONTENT};
use crate::ops_more;
use crate::recover::Recorded;
use crate::world::*;
use crate::{calls, classes, found, library, mixes, transactions};

pub type Scenario = fn() -> History;

pub const ALL: [(&str, Scenario); 65] = [
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
    ("tx_snapshots", transactions::tx_snapshots),
    ("tx_many_snapshots", transactions::tx_many_snapshots),
    ("tx_large_snapshots", transactions::tx_large_snapshots),
    ("tx_stale_log", transactions::tx_stale_log),
    ("tx_forged_far", transactions::tx_forged_far),
    ("tx_forged_log", transactions::tx_forged_log),
    ("tx_forged_lines", transactions::tx_forged_lines),
    ("tx_objects", transactions::tx_objects),
    ("tx_many_objects", transactions::tx_many_objects),
    ("tx_huge", transactions::tx_huge),
    ("tx_abort", transactions::tx_abort),
    ("tx_nested", transactions::tx_nested),
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
    ("reused_headers", ops_more::reused_headers),
    ("headers_ahead", ops_more::headers_ahead),
    ("whole_run", ops_more::whole_run),
    ("custom_class", ops_more::custom_class),
    ("custom_defrag", ops_more::custom_defrag),
    ("buffers", library::buffers),
    ("reserved_zeros", reserved_zeros),
    ("custom_classes", classes::custom_classes),
    ("statistics", classes::statistics),
    ("pattern", classes::pattern),
    ("words", calls::words),
    ("strings", calls::strings),
    ("zeroed_locks", calls::zeroed_locks),
    ("first_use", found::first_use),
    ("fill_entry", found::fill_entry),
    ("converted", found::converted),
    ("unsized_heap", found::unsized_heap),
    ("grown", found::grown),
    ("mix_1", || mixes::mix("mix_1", 1)),
    ("mix_2", || mixes::mix("mix_2", 2)),
    ("mix_3", || mixes::mix("mix_3", 3)),
    ("mix_4", || mixes::mix("mix_4", 4)),
    ("mix_5", || mixes::mix("mix_5", 5)),
    ("wide_run", ops_more::wide_run),
    ("forged_extension", ops_more::forged_extension),
];

/// Those that make a pool.
const CREATIONS: [(&str, bool); 2] = [("create", false), ("create_used", true)];

/// All scenarios.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|s| s.0).chain(CREATIONS.iter().map(|s| s.0))
}

/// What a scenario leaves; `None` if there is none of that name.
pub fn record(name: &str) -> Option<Recorded> {
    if let Some((_, used)) = CREATIONS.iter().find(|s| s.0 == name) {
        return Some(Recorded::Creation(create(*used)));
    }
    ALL.iter().find(|s| s.0 == name).map(|(_, scenario)| Recorded::History(scenario()))
}

/// Scenarios whose pools PMDK does not recover alike, and why.
const NOT_FOR_PMDK: &[(&str, &str)] =
    &[("buffers", "its recovery frees the application's buffers (format 11.1)")];

pub fn is_for_pmdk(name: &str) -> bool {
    NOT_FOR_PMDK.iter().all(|s| s.0 != name)
}

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
        identity: Some(identity(another())),
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
    w.step("growth to the size of the block", |p| {
        let root = p.root(900, None).unwrap();
        p.root(p.usable_size(root.off), None).unwrap();
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

/// Bytes that need chunks of their own.
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

/// A reservation promises durable zeros.
fn reserved_zeros() -> History {
    let (mut w, root) = world(8);
    (0..4).for_each(|i| alloc(w.pool(), slot(w.pool(), root + 16 * i), 300, i));
    (0..4).for_each(|i| free(w.pool(), slot(w.pool(), root + 16 * i)));
    w.record();
    for i in 0..2 {
        w.step("reserve and publish", |p| {
            let mut req = request(300, i);
            req.zero = true;
            let (oid, act) = p.reserve(req, None).unwrap();
            do_publish(p, &[act, p.set_value(at(p, root + 8).cast(), oid.off)]);
        });
    }
    w.step("publish on another thread", |p| {
        let mut req = request(300, 2);
        req.zero = true;
        let (oid, act) = p.reserve(req, None).unwrap();
        on_another_thread(|| do_publish(p, &[act, p.set_value(at(p, root + 24).cast(), oid.off)]));
    });
    w.finish("reserved_zeros")
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

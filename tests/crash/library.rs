//! Scenarios of lists, defragmentation, and logs in borrowed memory.

use pmem_rs::obj::{Defragmented, List, Oid, Pool, Position};
use pmem_rs::tx::LogKind;

use crate::media::{LOCK, NO_CONTENT};
use crate::ops::world;
use crate::world::*;

const HEAD: Position = Position { dest: 0, before: true };
const TAIL: Position = Position { dest: 0, before: false };

/// An empty list with its head in an object whose content is not compared, as
/// the lock in it may hold anything. Elements hold their links.
fn list(w: &World, at_slot: u64, entry: u64) -> List {
    let p = w.pool();
    // SAFETY: an id in the root.
    unsafe { p.alloc(slot(p, at_slot), request(80, LOCK), None) }.unwrap();
    // SAFETY: as above.
    let off = unsafe { (*slot(p, at_slot)).off };
    persist_zero(p, off, 80);
    p.list(at(p, off), entry).unwrap()
}

fn insert_new(p: &Pool, l: List, place: Position, type_num: u64) -> Oid {
    let mut ctor = |to: *mut u8| {
        fill(to, 112, type_num);
        persist(p, to, 112);
        true
    };
    p.list_insert_new(l, place, request(100, type_num), Some(&mut ctor)).unwrap()
}

pub fn lists() -> History {
    let (mut w, root) = world(8);
    let (a, b) = (list(&w, root, 8), list(&w, root + 16, 8));
    let other = w.pool().list(at(w.pool(), a.head()), 48).unwrap();
    w.record();
    let mut e = [Oid::NULL; 4];
    w.step("insert new into an empty list", |p| e[0] = insert_new(p, a, TAIL, 1));
    w.step("insert new last", |p| e[1] = insert_new(p, a, TAIL, 2));
    w.step("insert new first", |p| e[2] = insert_new(p, a, HEAD, 3));
    let behind = Position { dest: e[2].off, before: false };
    w.step("insert new behind another", |p| e[3] = insert_new(p, a, behind, 4));
    w.step("move within the list", |p| p.list_move(a, a, TAIL, e[2].off).unwrap());
    w.step("move to where it is", |p| p.list_move(a, a, TAIL, e[2].off).unwrap());
    w.step("move to an empty list", |p| p.list_move(a, b, HEAD, e[1].off).unwrap());
    w.step("move to another list", |p| p.list_move(a, b, HEAD, e[0].off).unwrap());
    w.step("insert new, whose constructor leaves it as it is", |p| {
        p.list_insert_new(b, HEAD, request(100, NO_CONTENT | 9), Some(&mut |_| true)).unwrap();
    });
    w.step("remove", |p| p.list_remove(a, e[2].off, false).unwrap());
    let before = Position { dest: e[3].off, before: true };
    w.step("insert", |p| p.list_insert(a, before, e[2].off).unwrap());
    w.step("remove and free", |p| p.list_remove(a, e[2].off, true).unwrap());
    w.step("remove and free the last", |p| p.list_remove(a, e[3].off, true).unwrap());
    w.step("insert by another entry", |p| p.list_insert(other, HEAD, e[0].off).unwrap());
    w.step("insert new without constructor", |p| {
        p.list_insert_new(b, HEAD, request(100, NO_CONTENT | 5), None).unwrap();
    });
    w.finish("lists")
}

/// Objects of two sparse runs come together in one; one of them holds the id
/// of another.
pub fn defrag() -> History {
    const UNITS: u64 = 208;
    let (mut w, root) = world(16);
    let p = w.pool();
    let mut all = vec![Oid::NULL; 2 * UNITS as usize];
    for (i, oid) in all.iter_mut().enumerate() {
        alloc(p, oid, 3700, i as u64);
    }
    for (i, oid) in all.iter_mut().enumerate() {
        if i % 50 != 7 {
            free(p, oid);
        }
    }
    let kept: Vec<Oid> = all.into_iter().filter(|o| !o.is_null()).collect();
    // SAFETY: an object of 3700 bytes.
    unsafe { slot(p, kept[1].off + 40).write(kept[7]) };
    persist(p, at(p, kept[1].off + 40), 16);
    // Offsets: recording opens the pool again, perhaps at another address.
    let mut ids = vec![kept[1].off + 40];
    for (i, &oid) in kept.iter().enumerate() {
        let to = root + 16 * i as u64;
        // SAFETY: inside the root.
        unsafe { slot(p, to).write(oid) };
        persist(p, slot(p, to).cast(), 16);
        ids.push(to);
    }
    w.record();
    w.step("defrag", |p| {
        let oids: Vec<_> = ids.iter().map(|&at| slot(p, at)).collect();
        let mut done = Defragmented::default();
        // SAFETY: ids in objects of the pool.
        unsafe { p.defrag(&oids, &mut done) }.unwrap();
        assert_eq!(done.total, kept.len());
        assert!(done.relocated >= 4);
    });
    w.finish("defrag")
}

/// Logs in memory of the application, which stays allocated whatever happens.
pub fn buffers() -> History {
    let mut w = World::new(16);
    let root = w.pool().root(60_000, None).unwrap().off;
    for i in 0..2 {
        // SAFETY: an id in the root.
        unsafe { w.pool().alloc(slot(w.pool(), root + 16 * i), request(9000, LOCK), None) }.unwrap();
    }
    // Offsets: recording opens the pool again, perhaps at another address.
    // SAFETY: as above.
    let [one, two] = [0, 1].map(|i| unsafe { (*slot(w.pool(), root + 16 * i)).off });
    let lent = |p, off| at(p, off) as usize;
    w.record();
    w.step("snapshots in a buffer", |p| {
        in_tx(p, || {
            tx().lend(LogKind::Snapshot, lent(p, one), 9000).unwrap();
            overwrite(p, root + 1000, 9000, 1);
        })
    });
    w.step("in two buffers and an extension", |p| {
        in_tx(p, || {
            tx().lend(LogKind::Snapshot, lent(p, one), 4000).unwrap();
            tx().lend(LogKind::Snapshot, lent(p, two), 4000).unwrap();
            overwrite(p, root + 1000, 30_000, 2);
        })
    });
    w.step("aborted", |p| {
        tx().begin(p.target(), None).unwrap();
        tx().lend(LogKind::Snapshot, lent(p, one), 9000).unwrap();
        overwrite(p, root + 1000, 9000, 4);
        abort();
    });
    // A link that outlived its transaction would now lead into foreign data.
    let foreign = |w: &mut World, off| {
        w.step("the buffer is used for something else", |p| {
            on_another_thread(|| {
                // SAFETY: an object of 9000 bytes.
                unsafe { at(p, off).write_bytes(0xff, 9000) };
                persist(p, at(p, off), 9000);
            });
        });
        w.step("and that goes on", |p| on_another_thread(|| persist(p, at(p, root), 8)));
    };
    foreign(&mut w, one);
    w.step("intents in a buffer", |p| {
        in_tx(p, || {
            tx().lend(LogKind::Intent, lent(p, two), 9000).unwrap();
            tx().set_auto_alloc(LogKind::Intent, false);
            let set = |i: u64| p.set_value(at(p, root + 40_000 + 16 * i).cast(), i + 1);
            let acts: Vec<_> = (0..60).map(set).collect();
            p.with_actions(&acts, |actions| tx().publish(actions)).unwrap().unwrap();
            overwrite(p, root + 500, 100, 3);
        })
    });
    foreign(&mut w, two);
    w.finish("buffers")
}

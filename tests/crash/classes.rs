//! Scenarios of settings that programs make: allocation classes of their own,
//! statistics, a pattern for new memory.

use pmem_rs::obj::ctl::{self, ClassDesc, Op, Value};
use pmem_rs::obj::{Oid, Pool, Request};

use crate::media;
use crate::ops::world;
use crate::world::*;

fn set(p: &Pool, name: &str, value: Value) -> Value {
    ctl::find(Some(p), name.as_bytes(), Op::Set).unwrap().run(value).unwrap()
}

/// Unit size, alignment, units per run, header type.
const CLASSES: [(u64, u64, u32, u32); 6] = [
    (128, 0, 3000, 1),
    (256, 64, 500, 1),
    (512, 0, 300, 0),
    (1024, 512, 70, 0),
    (192, 0, 900, 2),
    (4096, 4096, 70, 2),
];

fn define(p: &Pool) -> Vec<u16> {
    let class = |&(unit_size, alignment, units_per_block, header_type): &_| {
        let desc = ClassDesc { unit_size, alignment, units_per_block, header_type, class_id: 0 };
        match set(p, "heap.alloc_class.new.desc", Value::Class(desc)) {
            Value::Class(c) => c.class_id as u16,
            other => panic!("{other:?}"),
        }
    };
    CLASSES.iter().map(class).collect()
}

/// A header for the type, if the class has one.
fn of_class(i: usize, class: u16, size: u64, type_num: u64) -> Request {
    Request { class, ..request(size, if CLASSES[i].3 == 2 { 0 } else { type_num }) }
}

fn alloc_of(p: &Pool, dest: *mut Oid, req: Request, seed: u64) {
    let mut ctor = |to: *mut u8| {
        fill(to, req.size, seed);
        persist(p, to, req.size);
        true
    };
    // SAFETY: an id in the root.
    unsafe { p.alloc(dest, req, Some(&mut ctor)) }.unwrap();
}

/// Each class: its first run, an object beside another, several units, free,
/// and in transactions.
pub fn custom_classes() -> History {
    let (mut w, root) = world(16);
    w.record();
    let ids = define(w.pool());
    for (i, &class) in ids.iter().enumerate() {
        let (unit, _, _, header) = CLASSES[i];
        let (at, room) = (root + 64 * i as u64, unit - [64, 16, 0][header as usize]);
        w.step("a run", |p| alloc_of(p, slot(p, at), of_class(i, class, room, 1), 1));
        w.step("one beside it", |p| alloc_of(p, slot(p, at + 16), of_class(i, class, room / 2, 2), 2));
        if header != 2 {
            w.step("three units", |p| {
                alloc_of(p, slot(p, at + 32), of_class(i, class, 2 * unit + room, 3), 3);
            });
        }
        w.step("free", |p| free(p, slot(p, at + 16)));
        w.step("zeroed, not constructed", |p| {
            let req = Request { zero: true, ..of_class(i, class, room, 4) };
            // SAFETY: an id in the root.
            unsafe { p.alloc(slot(p, at + 16), req, None) }.unwrap();
        });
        w.step("in a transaction", |p| {
            in_tx(p, || {
                tx_free(p, at);
                let off = tx().alloc(&of_class(i, class, room, 5), true).unwrap();
                fill(crate::world::at(p, off), room, 5);
                tx_set(p, at + 48, Oid { pool_uuid_lo: p.uuid_lo(), off });
            })
        });
        w.step("aborted", |p| {
            tx().begin(p.target(), None).unwrap();
            tx().alloc(&of_class(i, class, room, 5), true).unwrap();
            tx_free(p, at + 48);
            abort();
        });
        w.step("published", |p| {
            let (oid, reserved) = p.reserve(of_class(i, class, room, 6), None).unwrap();
            fill(crate::world::at(p, oid.off), room, 6);
            persist(p, crate::world::at(p, oid.off), room);
            let word = p.set_value(slot(p, at + 8).cast(), oid.off);
            // SAFETY: made by this pool, used once.
            unsafe { p.publish(&[reserved, word]) }.unwrap();
        });
    }
    w.finish("custom_classes")
}

/// Bytes of all blocks, as the statistic counts them.
fn allocated(p: &Pool) -> u64 {
    media::heap(bytes(p)).unwrap().objects.iter().map(|o| o.size).sum()
}

pub fn statistics() -> History {
    const HUGE: u64 = 2_700_000;
    let (mut w, root) = world(16);
    w.record();
    set(w.pool(), "stats.enabled", Value::Int(1));
    let before = allocated(w.pool());
    w.step("small", |p| alloc(p, slot(p, root), 100, 1));
    w.step("huge", |p| alloc(p, slot(p, root + 16), HUGE, 2));
    w.step("free", |p| free(p, slot(p, root)));
    w.step("transaction", |p| {
        in_tx(p, || {
            tx_alloc(p, root, 300, 3);
            tx_alloc(p, root + 32, 5000, 4);
            tx_free(p, root + 16);
        })
    });
    w.step("aborted", |p| {
        tx().begin(p.target(), None).unwrap();
        tx_alloc(p, root + 16, 300, 3);
        tx_free(p, root);
        abort();
    });
    // SAFETY: an id in the root.
    w.step("realloc", |p| unsafe { p.realloc(slot(p, root), 900, 5, false) }.unwrap());
    w.step("root", |p| {
        p.root(9000, None).unwrap();
    });
    assert_eq!(media::u64_at(bytes(w.pool()), media::ALLOCATED), allocated(w.pool()).wrapping_sub(before));
    w.finish("statistics")
}

/// New memory is filled.
pub fn pattern() -> History {
    let (mut w, root) = world(8);
    w.record();
    set(w.pool(), "debug.heap.alloc_pattern", Value::Int(0xa5));
    w.step("not constructed", |p| {
        // SAFETY: an id in the root.
        unsafe { p.alloc(slot(p, root), request(100, media::NO_CONTENT | 1), None) }.unwrap();
    });
    w.step("constructed", |p| alloc(p, slot(p, root + 16), 100, 2));
    w.finish("pattern")
}

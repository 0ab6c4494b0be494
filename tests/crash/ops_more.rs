//! Scenarios for defects that those of `ops` would miss.

use pmem_rs::heap::{ClassInfo, HeaderType};
use pmem_rs::obj::{Defragmented, Oid, Pool, RawAction, Request};
use pmem_rs::tx::AddRange;

use crate::found::entry;
use crate::media::{self, NO_CONTENT, ZONE, put_u64, u64_at};
use crate::ops::{HUGE, do_publish, fill_runs, world};
use crate::world::*;

/// The first use of a zone.
pub fn new_zone() -> History {
    let mut w = World::new(8);
    w.record();
    w.step("root", |p| {
        p.root(200, None).unwrap();
    });
    w.finish("new_zone")
}

/// A zone that is smaller than its heap: the open lets it grow.
pub fn growth() -> History {
    const MORE: u64 = 9;
    let (mut w, root) = world(16);
    alloc(w.pool(), slot(w.pool(), root), HUGE, 1);
    let mut size = 0;
    w.record_edited(|image| {
        let heap = media::heap(image).unwrap();
        let (c, chunks) = *heap.free.last().unwrap();
        assert!(c + chunks == heap.chunks && chunks > MORE, "the last block is free");
        put_u64(image, ZONE + 64 + 8 * c, (chunks - MORE) << 32 | 2);
        let magic = u64_at(image, ZONE) as u32 as u64;
        put_u64(image, ZONE, (heap.chunks - MORE) << 32 | magic);
        size = chunks;
    });
    w.step("needs all", |p| alloc(p, slot(p, root + 16), size * media::CHUNK - 16, 2));
    w.finish("growth")
}

fn set_words(p: &Pool, words: impl Iterator<Item = u64>, value: u64) {
    do_publish(p, &words.map(|at| p.set_value(at_word(p, at), value)).collect::<Vec<_>>());
}

fn at_word(p: &Pool, off: u64) -> *mut u64 {
    at(p, off).cast()
}

/// An extension in the place of an older one, whose entries lie behind the new
/// ones and have become wrong.
pub fn publish_again() -> History {
    let (mut w, root) = world(8);
    let words = |from: u64, to: u64| (from..to).map(move |i| root + 8 * i);
    set_words(w.pool(), words(0, 84), 1);
    w.record();
    w.step("the last ones of them", |p| set_words(p, words(60, 84), 2));
    w.step("60 words, whole lines of entries", |p| set_words(p, words(0, 60), 3));
    w.finish("publish_again")
}

/// A range that commit flushes, merged with one that the program flushes.
pub fn tx_no_flush() -> History {
    let (mut w, root) = world(8);
    w.record();
    let no_flush = AddRange { snapshot: true, flush: false };
    let change = |p: &'static Pool, off: u64, how, byte| {
        tx().add_range(off, 200, how).unwrap();
        // SAFETY: inside the root.
        unsafe { at(p, off).write_bytes(byte, 200) };
    };
    w.step("the program's range behind", |p| {
        in_tx(p, || {
            change(p, root + 200, SNAPSHOT, 1);
            change(p, root + 400, no_flush, 2);
            persist(p, at(p, root + 400), 200);
        })
    });
    w.step("and in front", |p| {
        in_tx(p, || {
            change(p, root + 400, SNAPSHOT, 3);
            change(p, root + 200, no_flush, 4);
            persist(p, at(p, root + 200), 200);
        })
    });
    w.finish("tx_no_flush")
}

/// Reservations that a transaction takes over.
pub fn tx_publish() -> History {
    let (mut w, root) = world(16);
    w.record();
    for (i, size) in [80, 2000, HUGE].into_iter().enumerate() {
        w.step(&format!("{size} bytes"), |p| {
            in_tx(p, || {
                let (oid, act) = p.reserve(request(size, NO_CONTENT | size), None).unwrap();
                let set = p.set_value(at_word(p, root + 64 * i as u64), oid.off);
                p.with_actions(&[act, set], |actions| tx().publish(actions)).unwrap().unwrap();
                overwrite(p, root + 1000, 100, i as u8 + 1);
            })
        });
    }
    w.finish("tx_publish")
}

/// What only the second lane's logs know; after a crash the first one changes
/// the same words.
pub fn second_lane() -> History {
    let (mut w, root) = world(8);
    w.record();
    w.step("takes the first lane", |p| set_words(p, [root, root + 8].into_iter(), 1));
    for round in 1..3 {
        w.step("publishes", |p| {
            let words = [64, 72, 104, 200, 304].map(|at| root + at);
            on_another_thread(|| set_words(p, words.into_iter(), round));
        });
        w.step("commits", |p| {
            on_another_thread(|| in_tx(p, || overwrite(p, root + 40, 300, round as u8)));
        });
    }
    w.finish("second_lane")
}

/// A thread reserves all of a new zone and drains nothing more; another one
/// publishes.
pub fn whole_zone() -> History {
    let mut w = World::new(8);
    let chunks = (u64_at(bytes(w.pool()), 0x1820) - 0x400 - 0x8_0000) / media::CHUNK;
    w.record();
    let mut act = None;
    w.step("reserve", |p| {
        let req = request(chunks * media::CHUNK - 16, NO_CONTENT | 1);
        on_another_thread(|| act = Some(p.reserve(req, None).unwrap().1));
    });
    w.step("publish", |p| do_publish(p, act.as_slice()));
    w.finish("whole_zone")
}

/// Allocates without a constructor; `dest` is in the root.
fn bare(p: &Pool, dest: *mut Oid, size: u64, type_num: u64) {
    // SAFETY: an id in the root.
    unsafe { p.alloc(dest, request(size, type_num), None) }.unwrap();
}

/// Places used again for objects like those before, whose headers are there, and
/// for others.
pub fn reused_headers() -> History {
    const SIZE: u64 = 100; // one unit
    const TYPE: u64 = NO_CONTENT | 3;
    let (mut w, root) = world(8);
    w.record();
    let p = w.pool();
    let (first, second) = (slot(p, root), slot(p, root + 16));
    // Reserves, does something with what is there, and cancels.
    let cancel = |p: &'static Pool, size, what: &dyn Fn(*mut u64)| {
        let (oid, act) = p.reserve(request(size, TYPE), None).unwrap();
        what(at_word(p, oid.off));
        p.cancel(&[act]);
        oid.off
    };
    // SAFETY: in the root.
    let place = |dest: *mut Oid| unsafe { (*dest).off };
    w.step("an object", |p| alloc(p, first, SIZE, 1));
    let off = place(first);
    w.step("freed", |p| free(p, first));
    w.step("one like it", |p| alloc(p, first, SIZE, 1));
    w.step("freed again", |p| free(p, first));
    w.step("one of another type", |p| {
        alloc(p, first, SIZE, 2);
        assert_eq!((place(first), p.target().heap.type_num(off)), (off, 2));
    });
    w.step("freed", |p| free(p, first));
    w.step("a third type, cancelled", |p| assert_eq!(cancel(p, SIZE, &|_| ()), off));
    w.step("that type", |p| {
        bare(p, first, SIZE, TYPE);
        assert_eq!(place(first), off);
    });
    w.step("a neighbour of another type", |p| alloc(p, second, SIZE, 1));
    let neighbour = place(second);
    w.step("both freed", |p| {
        do_publish(p, &[off, neighbour].map(|off| p.defer_free(off).unwrap()));
    });
    w.step("one over both, with the look of a header, cancelled", |p| {
        let inside = |words: *mut u64| {
            // SAFETY: inside the reserved object: where the neighbour was.
            unsafe {
                let header = words.byte_add((neighbour - off) as usize - 16);
                assert_eq!(header.add(1).replace(TYPE), 1, "the neighbour's");
            }
        };
        assert_eq!(cancel(p, 2 * SIZE, &inside), off);
    });
    for (dest, off) in [(first, off), (second, neighbour)] {
        w.step("an object there", |p| {
            bare(p, dest, SIZE, TYPE);
            assert_eq!(place(dest), off);
        });
    }
    w.step("freed", |p| free(p, second));
    w.step("with content", |p| alloc(p, second, SIZE, 7));
    w.step("freed", |p| free(p, second));
    w.step("zeros", |p| {
        // SAFETY: an id in the root.
        unsafe { p.alloc(second, Request { zero: true, ..request(SIZE, 7) }, None) }.unwrap();
        assert_eq!(place(second), neighbour);
    });
    w.finish("reused_headers")
}

/// Objects of a kind in a row, whose headers are made durable together.
pub fn headers_ahead() -> History {
    const SIZE: u64 = 100; // one unit
    const TYPE: u64 = NO_CONTENT | 3;
    let (mut w, root) = world(8);
    let p = w.pool();
    // Of one type, so that a header over theirs is no header of another type.
    (0..6).for_each(|i| alloc(p, slot(p, root + 16 * i), SIZE, 3));
    (1..4).for_each(|i| free(p, slot(p, root + 16 * i)));
    w.record();
    let reserve = |p: &'static Pool, n| -> Vec<_> {
        (0..n).map(|_| p.reserve(request(SIZE, TYPE), None).unwrap()).collect()
    };
    let acts = |row: &[(Oid, RawAction)]| row.iter().map(|&(_, act)| act).collect::<Vec<_>>();
    w.step("a row, before and behind others", |p| do_publish(p, &acts(&reserve(p, 9))));
    let mut row = Vec::new();
    w.step("the row goes on", |p| row = acts(&reserve(p, 12)));
    for part in row.chunks(5) {
        w.step("published by another thread", |p| on_another_thread(|| do_publish(p, part)));
    }
    w.step("one that was cancelled", |p| {
        let row = reserve(p, 1);
        p.cancel(&acts(&row));
        let again = reserve(p, 1);
        assert_eq!(row[0].0.off, again[0].0.off);
        on_another_thread(|| do_publish(p, &acts(&again)));
    });
    for i in 6..10 {
        w.step("atomic ones, without constructors", |p| bare(p, slot(p, root + 16 * i), SIZE, TYPE));
    }
    for i in 10..12 {
        w.step("of changing types", |p| bare(p, slot(p, root + 16 * i), SIZE, TYPE + i));
    }
    w.step("a transaction's, which the program flushes", |p| {
        in_tx(p, || {
            for _ in 0..3 {
                tx().alloc(&request(2 * SIZE, TYPE), false).unwrap();
            }
        })
    });
    w.finish("headers_ahead")
}

/// A class whose units end inside lines: the headers of some objects share no
/// line with their data.
fn add_class(p: &'static Pool, unit: u64) -> u16 {
    let info = ClassInfo { unit, alignment: 0, units: 60, header: HeaderType::Compact };
    p.target().heap.add_class(None, &info).unwrap().0 as u16
}

/// A thread makes a run, in which no headers are made ahead, and drains nothing
/// more; another one publishes.
pub fn whole_run() -> History {
    const UNIT: u64 = 240;
    let (mut w, _) = world(8);
    w.record();
    let mut act = None;
    w.step("reserve", |p| {
        add_class(p, UNIT);
        let req = request(UNIT - 16, NO_CONTENT | 1);
        on_another_thread(|| act = Some(p.reserve(req, None).unwrap().1));
    });
    w.step("publish", |p| do_publish(p, act.as_slice()));
    w.finish("whole_run")
}

/// Root and objects in used memory, whose headers end a line and whose data
/// starts one.
pub fn custom_class() -> History {
    const UNIT: u64 = 240;
    const SIZE: u64 = UNIT - 16;
    const LARGE: u64 = 432;
    let mut w = World::new(8);
    let (mut used, mut moved) = ([Oid::NULL; 12], Oid::NULL);
    add_class(w.pool(), UNIT);
    add_class(w.pool(), LARGE);
    used.iter_mut().zip(0..).for_each(|(oid, i)| alloc(w.pool(), oid, SIZE, i));
    used.iter_mut().for_each(|oid| free(w.pool(), oid));
    used.iter_mut().for_each(|oid| alloc(w.pool(), oid, LARGE - 16, 3));
    used.iter_mut().for_each(|oid| free(w.pool(), oid));
    alloc(w.pool(), &mut moved, 100, 50);
    w.record();
    let fillers = |p: &'static Pool, n| (0..n).for_each(|_| alloc(p, std::ptr::null_mut(), SIZE, 7));
    let starts_line = |off: u64| assert_eq!(off % 64, 0, "its header ends a line");
    w.step("classes", |p| {
        add_class(p, UNIT);
        add_class(p, LARGE);
    });
    w.step("object", |p| fillers(p, 1));
    w.step("root", |p| starts_line(p.root(SIZE, None).unwrap().off));
    // A new run's last units, a short gap, are taken first: three, the root
    // among them, then those from the start.
    (0..2).for_each(|_| w.step("object", |p| fillers(p, 1)));
    w.step("zalloc", |p| {
        let mut oid = Oid::NULL;
        let req = Request { zero: true, ..request(SIZE, 8) };
        // SAFETY: an id in volatile memory.
        unsafe { p.alloc(&mut oid, req, None) }.unwrap();
        starts_line(oid.off);
    });
    (0..3).for_each(|_| w.step("object", |p| fillers(p, 1)));
    w.step("realloc", |p| {
        // SAFETY: an id in volatile memory.
        unsafe { p.realloc(&mut moved, SIZE, 9, false) }.unwrap();
        starts_line(moved.off);
    });
    w.step("object", |p| alloc(p, std::ptr::null_mut(), LARGE - 16, 7));
    w.step("root grows", |p| starts_line(p.root(LARGE - 16, None).unwrap().off));
    w.finish("custom_class")
}

/// Objects that move, of the same kind.
pub fn custom_defrag() -> History {
    const UNIT: u64 = 3696;
    let (mut w, root) = world(16);
    let p = w.pool();
    let class = add_class(p, UNIT);
    let units = p.target().heap.class_info(class as u8).unwrap().units;
    let mut all = vec![Oid::NULL; 2 * units as usize];
    for (i, oid) in all.iter_mut().enumerate() {
        let req = Request { class, ..request(UNIT - 16, i as u64) };
        let mut ctor = |at: *mut u8| {
            fill(at, UNIT - 16, i as u64);
            persist(p, at, UNIT - 16);
            true
        };
        // SAFETY: an id in volatile memory.
        unsafe { p.alloc(oid, req, Some(&mut ctor)) }.unwrap();
    }
    let keep = |i: usize| if i < units as usize { i.is_multiple_of(2) } else { i % 16 == 3 };
    let mut ids = Vec::new();
    for (i, oid) in all.iter_mut().enumerate() {
        if keep(i) {
            let to = root + 16 * ids.len() as u64;
            // SAFETY: inside the root.
            unsafe { slot(p, to).write(*oid) };
            persist(p, slot(p, to).cast(), 16);
            ids.push(to);
        } else {
            free(p, oid);
        }
    }
    w.record();
    w.step("class", |p| {
        add_class(p, UNIT);
    });
    w.step("defrag", |p| {
        let oids: Vec<_> = ids.iter().map(|&at| slot(p, at)).collect();
        let mut done = Defragmented::default();
        // SAFETY: ids in objects of the pool.
        unsafe { p.defrag(&oids, &mut done) }.unwrap();
        assert!(done.relocated >= 4, "{done:?}");
    });
    w.finish("custom_defrag")
}

/// A run of so many chunks that their headers take several lines, the first of
/// which is not that of the run's own header.
pub fn wide_run() -> History {
    const FIRST: u64 = 7;
    let (mut w, root) = world(16);
    fill_runs(w.pool(), root, 6);
    w.record();
    w.step("alloc", |p| {
        alloc(p, slot(p, root + 160), 200_000, 1);
        let header = u64_at(bytes(p), ZONE + 64 + 8 * FIRST);
        assert!(header as u16 == 4 && header >> 32 > 9, "{header:x}");
    });
    w.finish("wide_run")
}

/// Memory full of what would be entries of the running transaction becomes an
/// extension of its log.
pub fn forged_extension() -> History {
    const GEN_NUM: u64 = media::LANES + 0x3c0 + 24;
    const EXTENSION: u64 = 32_768 + 192;
    let mut w = World::new(8);
    let p = w.pool();
    let root = p.root(20_000, None).unwrap().off;
    let mut forged = Oid::NULL;
    alloc(p, &mut forged, EXTENSION, 1);
    let entry = entry(6, root + 15_000, 8, &[0xeeee], u64_at(bytes(p), GEN_NUM));
    for off in (forged.off.next_multiple_of(64)..forged.off + EXTENSION - 64).step_by(64) {
        // SAFETY: inside the object.
        unsafe { at(p, off).cast::<[u64; 8]>().write(entry) };
    }
    persist(p, at(p, forged.off), EXTENSION);
    free(p, &mut forged);
    w.record();
    w.step("a log that is split", |p| in_tx(p, || overwrite(p, root, 2048 + 100, 3)));
    w.finish("forged_extension")
}

//! Scenarios of the C interface where it flushes by itself: what programs do to
//! persistent memory, copies of strings, locks made new.

use std::ffi::c_void;
use std::ptr::null_mut;

use pmem_rs::capi::{atomic, base, thread};
use pmem_rs::obj::Pool;

use crate::ops::world;
use crate::world::*;

const NODRAIN: u32 = 1;

fn handle(p: &Pool) -> *mut base::PMEMobjpool {
    p.handle().cast()
}

/// Words of the root, each of them stored whole.
pub fn words() -> History {
    let (mut w, root) = world(8);
    let word = |p: &Pool, i: u64| at(p, root + 72 * i);
    let (mut from, from_len) = ([7u64; 3], 8);
    let from: *mut c_void = from.as_mut_ptr().cast();
    w.record();
    // SAFETY: words of the root; the source is as long.
    unsafe {
        w.step("persist", |p| {
            word(p, 0).cast::<u64>().write(1);
            base::pmemobj_persist(handle(p), word(p, 0).cast(), 8);
        });
        w.step("flush and drain", |p| {
            word(p, 1).cast::<u64>().write(1);
            base::pmemobj_flush(handle(p), word(p, 1).cast(), 8);
            base::pmemobj_drain(handle(p));
        });
        w.step("xpersist", |p| {
            word(p, 2).cast::<u64>().write(1);
            base::pmemobj_xpersist(handle(p), word(p, 2).cast(), 8, 0);
        });
        w.step("memcpy", |p| {
            base::pmemobj_memcpy_persist(handle(p), word(p, 3).cast(), from, from_len);
        });
        w.step("memmove, drained later", |p| {
            base::pmemobj_memmove(handle(p), word(p, 4).cast(), from, from_len, NODRAIN);
            base::pmemobj_drain(handle(p));
        });
        w.step("memset", |p| {
            base::pmemobj_memset_persist(handle(p), word(p, 5).cast(), 0xee, 8);
        });
        w.step("memset, drained later", |p| {
            base::pmemobj_memset(handle(p), word(p, 6).cast(), 0xee, 8, NODRAIN);
            base::pmemobj_drain(handle(p));
        });
    }
    w.finish("words")
}

pub fn strings() -> History {
    let (mut w, root) = world(8);
    let text =
        c"A string that is longer than the line that its object's header begins in: more than 64 bytes.";
    let wide: Vec<libc::wchar_t> = (0..50).map(|i| i + 65).chain([0]).collect();
    w.record();
    w.step("strdup", |p| {
        // SAFETY: an id in the root, a string.
        assert_eq!(unsafe { atomic::pmemobj_strdup(handle(p), slot(p, root), text.as_ptr(), 1) }, 0);
    });
    w.step("wcsdup", |p| {
        // SAFETY: an id in the root, a string.
        assert_eq!(unsafe { atomic::pmemobj_wcsdup(handle(p), slot(p, root + 16), wide.as_ptr(), 2) }, 0);
    });
    w.step("strdup to nowhere", |p| {
        // SAFETY: no destination, a string.
        assert_eq!(unsafe { atomic::pmemobj_strdup(handle(p), null_mut(), text.as_ptr(), 3) }, 0);
    });
    w.finish("strings")
}

/// Locks made new durably; nobody holds them. Their object is of a type whose
/// content counts.
pub fn zeroed_locks() -> History {
    let (mut w, root) = world(8);
    // SAFETY: an id in the root.
    unsafe { w.pool().alloc(slot(w.pool(), root), request(192, 12), None) }.unwrap();
    // SAFETY: as above.
    let off = unsafe { (*slot(w.pool(), root)).off };
    // SAFETY: the object.
    unsafe { at(w.pool(), off).write_bytes(1, 192) }; // of an earlier run
    persist(w.pool(), at(w.pool(), off), 192);
    w.record();
    // SAFETY: 64 bytes each of an object.
    unsafe {
        w.step("mutex", |p| thread::pmemobj_mutex_zero(handle(p), at(p, off).cast()));
        w.step("rwlock", |p| thread::pmemobj_rwlock_zero(handle(p), at(p, off + 64).cast()));
        w.step("condition", |p| thread::pmemobj_cond_zero(handle(p), at(p, off + 128).cast()));
    }
    w.finish("zeroed_locks")
}

//! What the pool must hold.

use std::ffi::c_void;

use super::super::abi::*;

/// Ids in the root.
pub const SLOTS: usize = 48;
/// Offsets in the root of the heads of two lists.
const HEADS: [usize; 2] = [16 * SLOTS, 16 * SLOTS + 80];
const ROOT: usize = HEADS[1] + 80;
/// Offset of the entry in elements of lists.
pub const ENTRY: usize = 8;
const CONTENT: usize = ENTRY + 32;
/// Bytes looked at, at either end of an object.
const EDGE: usize = 300;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Plain,
    Element,
}

#[derive(Clone, Copy, Debug)]
pub struct Object {
    pub oid: Oid,
    pub size: usize,
    pub usable: u64,
    pub type_num: u64,
    pub kind: Kind,
    seed: u8,
}

impl Object {
    fn data(&self, pop: Pop) -> *mut u8 {
        data(pop, self.oid)
    }

    /// Offsets whose bytes are known.
    fn known(&self) -> impl Iterator<Item = usize> + use<> {
        let from = if self.kind == Kind::Element { CONTENT } else { 0 };
        let first = from..self.size.min(from + EDGE);
        let last = self.size.saturating_sub(EDGE).max(first.end);
        first.chain(last..self.size)
    }

    fn byte(&self, i: usize) -> u8 {
        self.seed.wrapping_add((i as u8).wrapping_mul(7)) | 1
    }

    /// The object with new content.
    pub fn filled(mut self, pop: Pop, seed: u8) -> Object {
        self.seed = seed;
        for i in self.known() {
            // SAFETY: inside of the object.
            unsafe { self.data(pop).add(i).write(self.byte(i)) };
        }
        // SAFETY: as above.
        unsafe { pmemobj_persist(pop, self.data(pop).cast(), self.size) };
        self
    }

    /// The first `len` bytes of the content are those of another object.
    pub fn assert_content_at(&self, pop: Pop, oid: Oid, len: usize) {
        for i in self.known().take_while(|&i| i < len) {
            // SAFETY: inside of the object.
            let found = unsafe { data(pop, oid).add(i).read() };
            assert_eq!(found, self.byte(i), "byte {i} of {self:?} at {:#x}", oid.off);
        }
    }

    pub fn assert_zero(&self, pop: Pop, from: u64, to: u64) {
        // SAFETY: inside of the object.
        let bytes = unsafe { std::slice::from_raw_parts(self.data(pop), self.usable as usize) };
        let zero = bytes[from as usize..to as usize].chunks(4096).all(|c| c == &[0; 4096][..c.len()]);
        assert!(zero, "{from}..{to} of {self:?}");
    }
}

pub fn data(pop: Pop, oid: Oid) -> *mut u8 {
    // SAFETY: objects are inside of the pool.
    let p = unsafe { pmemobj_direct(oid) }.cast::<u8>();
    assert_eq!(p, pop.cast::<u8>().wrapping_add(oid.off as usize));
    p
}

#[derive(Clone, Default)]
pub struct Model {
    pub root: Option<Oid>,
    pub root_size: usize,
    pub slots: Vec<Option<Object>>,
    pub lists: [Vec<Object>; 2],
    /// Elements that are on no list.
    pub loose: Vec<Object>,
}

impl Model {
    pub fn make_root(&mut self, pop: Pop) {
        // SAFETY: an open pool.
        let root = unsafe { pmemobj_root(pop, ROOT) };
        assert!(!root.is_null());
        (self.root, self.root_size) = (Some(root), ROOT);
        self.slots = vec![None; SLOTS];
    }

    fn root_at(&self, pop: Pop, off: usize) -> *mut c_void {
        data(pop, self.root.expect("made first")).wrapping_add(off).cast()
    }

    pub fn slot_at(&self, pop: Pop, slot: usize) -> *mut Oid {
        self.root_at(pop, 16 * slot).cast()
    }

    pub fn head_at(&self, pop: Pop, list: usize) -> *mut c_void {
        self.root_at(pop, HEADS[list])
    }

    /// The root is where it was, and as large.
    pub fn pop_changed(&mut self, pop: Pop) {
        // SAFETY: an open pool.
        unsafe {
            assert_eq!(pmemobj_root_size(pop), self.root_size);
            assert_eq!(Some(pmemobj_root(pop, self.root_size)), self.root);
        }
    }

    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        let lists = self.lists.iter().flatten();
        self.slots.iter().flatten().chain(lists).chain(&self.loose)
    }

    /// A new object, which overlaps none.
    pub fn admit(&self, oid: Oid, size: usize, type_num: u64, kind: Kind) -> Object {
        // SAFETY: an object.
        let usable = unsafe { pmemobj_alloc_usable_size(oid) } as u64;
        assert!(usable >= size as u64, "{usable} bytes for {size}");
        let new = Object { oid, size, usable, type_num, kind, seed: 0 };
        for o in self.objects() {
            let apart = o.oid.off + o.usable <= oid.off || oid.off + usable <= o.oid.off;
            assert!(apart, "{new:?} overlaps {o:?}");
        }
        new
    }

    /// Offset, type and usable size of all objects, in order.
    pub fn expected(&self) -> Vec<(u64, u64, u64)> {
        let mut all: Vec<_> = self.objects().map(|o| (o.oid.off, o.type_num, o.usable)).collect();
        all.sort_unstable();
        all
    }

    pub fn verify(&self, pop: Pop) {
        // SAFETY: an open pool, and its objects.
        unsafe {
            assert_eq!(pmemobj_root(pop, 0), self.root.unwrap());
            let mut found = Vec::new();
            let mut oid = pmemobj_first(pop);
            while !oid.is_null() {
                found.push((oid.off, pmemobj_type_num(oid), pmemobj_alloc_usable_size(oid) as u64));
                oid = pmemobj_next(oid);
            }
            assert_eq!(found, self.expected(), "found, expected");
        }
        for o in self.objects() {
            o.assert_content_at(pop, o.oid, o.size);
        }
        for (i, slot) in self.slots.iter().enumerate() {
            // SAFETY: an id in the root.
            let oid = unsafe { *self.slot_at(pop, i) };
            assert_eq!(oid.off, slot.map_or(0, |o| o.oid.off), "slot {i}");
            assert!(oid.is_null() || oid == slot.unwrap().oid);
        }
        (0..2).for_each(|i| self.verify_list(pop, i));
    }

    /// Forwards and backwards.
    fn verify_list(&self, pop: Pop, i: usize) {
        let word = |p: *mut u8, off: usize| {
            // SAFETY: inside of a head or an element.
            unsafe { p.add(off).cast::<u64>().read_unaligned() }
        };
        let list = &self.lists[i];
        let first = word(self.head_at(pop, i).cast(), 8);
        assert_eq!(first, list.first().map_or(0, |o| o.oid.off), "list {i}");
        for (k, o) in list.iter().enumerate() {
            let (next, prev) = (&list[(k + 1) % list.len()], &list[(k + list.len() - 1) % list.len()]);
            let p = data(pop, o.oid);
            assert_eq!(word(p, ENTRY + 8), next.oid.off, "next of {k} in list {i}");
            assert_eq!(word(p, ENTRY + 24), prev.oid.off, "previous of {k} in list {i}");
        }
    }
}

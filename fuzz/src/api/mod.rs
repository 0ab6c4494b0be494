//! Sequences of calls of the API against a model: after each step every object
//! is where the model says, with its size, type and content, and nothing else
//! is. An error leaves everything as it was and says why.

mod actions;
mod lists;
mod model;
mod transaction;

use std::cell::RefCell;
use std::ffi::c_void;
use std::ptr::{null, null_mut};

use super::abi::{self, *};
use super::bytes::Bytes;
use super::image::{self, Sparse};
use super::media;
use super::pool::create;
use model::{Kind, Model, SLOTS};

const MAX_STEPS: usize = 80;
/// All class bands, and whole chunks.
const SIZES: [usize; 16] =
    [1, 16, 40, 100, 112, 113, 240, 700, 1500, 3000, 10_000, 30_000, 100_000, 262_128, 524_272, 1_500_000];

thread_local! {
    static POOL: RefCell<Sparse> = RefCell::new({
        image::guard();
        abi::copy_on_write(false);
        let (file, pop) = create();
        // SAFETY: open, and used by nobody.
        unsafe { pmemobj_close(pop) };
        Sparse::new(file)
    });
}

pub fn run(input: &[u8]) {
    POOL.with_borrow_mut(|pool| {
        abi::copy_on_write(false);
        let mut w = World::open(pool, Bytes::new(input));
        for _ in 0..MAX_STEPS {
            if w.input.is_empty() {
                break;
            }
            w.step();
        }
        w.reopen();
        w.model.verify(w.pop);
        w.close();
        pool.restore();
    });
}

struct World<'a> {
    pool: &'a Sparse,
    input: Bytes<'a>,
    pop: Pop,
    model: Model,
    /// Classes that the program defined: id and size of a unit's data.
    classes: Vec<(u64, usize)>,
    seed: u8,
    /// The object that serves the open transaction as a log.
    lent: Option<usize>,
}

impl<'a> World<'a> {
    fn open(pool: &'a Sparse, input: Bytes<'a>) -> World<'a> {
        let (pop, model) = (null_mut(), Model::default());
        let mut w = World { pool, input, pop, model, classes: Vec::new(), seed: 0, lent: None };
        w.pop = w.open_pool();
        w.model.make_root(w.pop);
        w
    }

    fn open_pool(&self) -> Pop {
        // SAFETY: a C string.
        let pop = unsafe { pmemobj_open(self.pool.file.path.as_ptr(), null()) };
        assert!(!pop.is_null(), "{}", abi::message());
        // Small extensions, so that transactions need several.
        let mut small = 1000u64;
        // SAFETY: the entry's type.
        unsafe { pmemobj_ctl_set(pop, c"tx.cache.size".as_ptr(), (&raw mut small).cast()) };
        pop
    }

    fn close(&mut self) {
        // SAFETY: open; the model keeps offsets only.
        unsafe { pmemobj_close(self.pop) };
        // SAFETY: a C string.
        let sound = unsafe { pmemobj_check(self.pool.file.path.as_ptr(), null()) };
        assert_eq!(sound, 1, "{}", abi::message());
        let bytes = self.pool.file.bytes();
        assert_eq!(media::shutdown_state(bytes), Some(false));
        for lane in 0..super::pool::NLANES {
            let at = media::LANES + lane * media::LANE;
            assert!(!media::redo_is_valid(bytes, at, 192) && !media::redo_is_valid(bytes, at + 0x100, 640));
            assert!(!media::undo_is_valid(bytes, at + 0x3c0), "lane {lane}");
        }
        if self.classes.is_empty() {
            // A reader of its own finds the same objects.
            let heap = media::heap(bytes).expect("a sound heap");
            let found = heap.objects.iter().filter(|o| !o.internal).map(|o| (o.off, o.type_num, o.usable()));
            assert!(found.eq(self.model.expected()), "{:?}", heap.objects);
        }
    }

    fn reopen(&mut self) {
        self.close();
        self.pop = self.open_pool();
        self.model.pop_changed(self.pop);
        for (id, _) in self.classes.drain(..).collect::<Vec<_>>() {
            let desc = CLASSES[id as usize - FIRST_CLASS];
            self.define(id, desc);
        }
    }

    fn seed(&mut self) -> u8 {
        self.seed = self.seed.wrapping_add(1);
        self.seed
    }

    fn size(&mut self) -> usize {
        let size = self.input.pick(&SIZES);
        size + self.input.below(32) as usize
    }

    fn slot(&mut self) -> usize {
        self.input.u8() as usize % SLOTS
    }

    fn step(&mut self) {
        match self.input.u8() % 20 {
            0..=3 => self.alloc(),
            4 | 5 => self.realloc(),
            6 | 7 => self.free(),
            8 | 9 => self.actions(),
            10..=12 => self.transaction(),
            13 | 14 => self.lists(),
            15 => self.grow_root(),
            16 => self.defrag(),
            17 => self.reopen(),
            18 => self.define_class(),
            _ => self.wrong_arguments(),
        }
        self.model.verify(self.pop);
    }

    fn alloc(&mut self) {
        let (slot, mut size, seed) = (self.slot(), self.size(), self.seed());
        if self.model.slots[slot].is_some() {
            return;
        }
        let mut flags = self.input.u8() as u64 & ZERO;
        if let Some(&(id, unit)) = self.classes.get(self.input.u8() as usize) {
            (flags, size) = (flags | class(id), unit);
        }
        // Objects of some classes have no header that could keep a type.
        let type_num = if flags & !ZERO != 0 { 0 } else { seed as u64 };
        let mut cancel = self.input.u8() & 7 == 7;
        let constructor: Constructor = cancel.then_some(canceling);
        let at = self.model.slot_at(self.pop, slot);
        let arg = (&raw mut cancel).cast::<c_void>();
        abi::set_errno(0);
        // SAFETY: a free place of the root.
        let r = unsafe { pmemobj_xalloc(self.pop, at, size, type_num, flags, constructor, arg) };
        if r != 0 {
            let errno = abi::errno();
            assert!(errno == libc::ENOMEM || cancel && errno == libc::ECANCELED, "{errno}");
            // SAFETY: as above.
            assert!(unsafe { *at }.is_null(), "a failure changes nothing");
            return;
        }
        assert!(!cancel, "the constructor failed");
        // SAFETY: just written.
        let oid = unsafe { *at };
        let object = self.model.admit(oid, size, type_num, Kind::Plain);
        if flags & ZERO != 0 {
            object.assert_zero(self.pop, 0, object.usable);
        }
        self.model.slots[slot] = Some(object.filled(self.pop, seed));
    }

    fn realloc(&mut self) {
        let (slot, mut size, seed) = (self.slot(), self.size(), self.seed());
        let Some(old) = self.model.slots[slot].take() else { return };
        match self.input.u8() & 15 {
            0 => size = 0,
            1 => size = old.usable as usize,
            _ => {}
        }
        let zero = self.input.u8() & 1 == 1;
        let at = self.model.slot_at(self.pop, slot);
        abi::set_errno(0);
        // SAFETY: the place holds the object's id.
        let r = unsafe {
            let f = if zero { pmemobj_zrealloc } else { pmemobj_realloc };
            f(self.pop, at, size, seed as u64)
        };
        // SAFETY: as above.
        let oid = unsafe { *at };
        if r != 0 {
            assert_eq!((abi::errno(), oid), (libc::ENOMEM, old.oid));
            self.model.slots[slot] = Some(old);
        } else if size == 0 {
            assert!(oid.is_null());
        } else if size as u64 == old.usable {
            assert_eq!(oid, old.oid);
            self.model.slots[slot] = Some(old);
        } else {
            let new = self.model.admit(oid, size, seed as u64, Kind::Plain);
            old.assert_content_at(self.pop, oid, size);
            if zero && old.usable < size as u64 {
                new.assert_zero(self.pop, old.usable, size as u64);
            }
            self.model.slots[slot] = Some(new.filled(self.pop, seed));
        }
    }

    fn free(&mut self) {
        let slot = self.slot();
        if self.model.slots[slot].take().is_some() {
            let at = self.model.slot_at(self.pop, slot);
            // SAFETY: the place holds the object's id.
            unsafe {
                pmemobj_free(at);
                assert!((*at).is_null());
            }
        }
    }

    fn grow_root(&mut self) {
        let size = self.model.root_size + self.input.u8() as usize * 8;
        // SAFETY: an open pool.
        let (root, now) = unsafe { (pmemobj_root(self.pop, size), pmemobj_root_size(self.pop)) };
        if root.is_null() {
            assert_eq!((abi::errno(), now), (libc::ENOMEM, self.model.root_size));
        } else {
            assert_eq!(now, size);
            (self.model.root, self.model.root_size) = (Some(root), size);
        }
    }

    fn defrag(&mut self) {
        let mut pointers: Vec<*mut Oid> = Vec::new();
        for slot in 0..SLOTS {
            if self.input.u8() & 7 != 7 {
                pointers.push(self.model.slot_at(self.pop, slot));
            }
        }
        let mut result = DefragResult::default();
        // SAFETY: ids in the root, or null.
        let r = unsafe { pmemobj_defrag(self.pop, pointers.as_mut_ptr(), pointers.len(), &mut result) };
        assert!(result.relocated <= result.total && result.total <= pointers.len());
        assert!(r == 0 || abi::errno() == libc::ENOMEM, "{}", abi::message());
        let mut moved = 0;
        for slot in 0..SLOTS {
            let at = self.model.slot_at(self.pop, slot);
            if let Some(object) = &mut self.model.slots[slot] {
                // SAFETY: an id in the root.
                let oid = unsafe { *at };
                moved += (oid != object.oid) as usize;
                object.oid = oid;
            }
        }
        assert_eq!(moved, result.relocated);
    }

    fn define_class(&mut self) {
        let i = self.input.u8() as usize % CLASSES.len();
        let id = (FIRST_CLASS + i) as u64;
        if self.classes.iter().all(|c| c.0 != id) {
            self.define(id, CLASSES[i]);
        }
    }

    fn define(&mut self, id: u64, (unit_size, alignment, units_per_block, header_type): Class) {
        let mut desc = ClassDesc { unit_size, alignment, units_per_block, header_type, class_id: 0 };
        let name = std::ffi::CString::new(format!("heap.alloc_class.{id}.desc")).unwrap();
        // SAFETY: the entry's type.
        let r = unsafe { pmemobj_ctl_set(self.pop, name.as_ptr(), (&raw mut desc).cast()) };
        assert_eq!((r, desc.class_id), (0, id as u32), "{}", abi::message());
        self.classes.push((id, unit_size - [64, 16, 0][header_type as usize]));
    }

    /// Each is refused, with the errno that the manual gives.
    fn wrong_arguments(&mut self) {
        let (pop, mut oid) = (self.pop, NULL);
        let at = &raw mut oid;
        abi::set_errno(0);
        // SAFETY: an open pool; an id in volatile memory.
        let (failed, errno) = unsafe {
            match self.input.u8() % 5 {
                0 => (pmemobj_xalloc(pop, at, 0, 1, 0, None, null_mut()) == -1, libc::EINVAL),
                1 => (pmemobj_xalloc(pop, at, 1 << 40, 1, 0, None, null_mut()) == -1, libc::ENOMEM),
                2 => (pmemobj_xalloc(pop, at, 10, 1, 1 << 9, None, null_mut()) == -1, libc::EINVAL),
                3 => (pmemobj_xalloc(pop, at, 10, 1, class(199), None, null_mut()) == -1, libc::EINVAL),
                _ => (pmemobj_root(pop, 1 << 40).is_null(), libc::ENOMEM),
            }
        };
        assert!(failed && oid.is_null());
        assert_eq!(abi::errno(), errno, "{}", abi::message());
    }
}

/// Unit size, alignment, units, type of header.
type Class = (usize, usize, u32, u32);
const FIRST_CLASS: usize = 200;
const CLASSES: [Class; 4] = [(96, 0, 100, 2), (512, 256, 40, 1), (200, 0, 50, 0), (24, 8, 2000, 2)];

unsafe extern "C" fn canceling(_: Pop, _: *mut c_void, arg: *mut c_void) -> i32 {
    // SAFETY: `alloc` passes a flag.
    unsafe { *arg.cast::<bool>() as i32 }
}

//! What a program does with a pool that opened: it walks, reads, and changes.

use std::ffi::c_void;
use std::ptr::null_mut;

use super::super::abi::*;
use super::super::bytes::Bytes;
use super::super::image::SIZE;
use super::super::media;
use super::bases::Base;
use super::mutate::target;

const MAX_STEPS: usize = 60;
/// Objects whose content is looked at.
const LOOKED_AT: usize = 500;
const SIZES: [usize; 12] = [1, 24, 60, 100, 300, 1000, 5000, 20_000, 100_000, 262_128, 600_000, 3_000_000];

struct Program<'a, 'b> {
    pop: Pop,
    base: &'a Base,
    input: &'a mut Bytes<'b>,
    objects: Vec<Oid>,
    id: u64,
}

pub fn run(pop: Pop, base: &Base, input: &mut Bytes) {
    // SAFETY: an open pool.
    let id = unsafe { pmemobj_oid(pop.cast::<u8>().wrapping_add(SIZE / 2).cast()).pool_uuid_lo };
    let mut p = Program { pop, base, input, objects: Vec::new(), id };
    p.walk();
    for _ in 0..MAX_STEPS {
        if p.input.is_empty() {
            break;
        }
        p.step();
    }
    p.walk();
}

/// Bytes that a program may use, as the library says.
fn usable(oid: Oid) -> u64 {
    // SAFETY: ids of an open pool, wild offsets included.
    let size = unsafe { pmemobj_alloc_usable_size(oid) } as u64;
    assert!(size == 0 || oid.off + size <= SIZE as u64, "{size:#x} bytes at {:#x}", oid.off);
    size
}

impl Program<'_, '_> {
    /// All objects, in order, each once.
    fn walk(&mut self) {
        self.objects.clear();
        // SAFETY: an open pool and what it says its objects are.
        unsafe {
            let mut oid = pmemobj_first(self.pop);
            let mut last = 0;
            while !oid.is_null() {
                assert!(oid.off > last && oid.off < SIZE as u64, "{:#x} after {last:#x}", oid.off);
                last = oid.off;
                if self.objects.len() < LOOKED_AT {
                    self.objects.push(oid);
                    std::hint::black_box(pmemobj_type_num(oid));
                    let n = usable(oid) as usize;
                    if n > 0 {
                        let p = pmemobj_direct(oid).cast::<u8>();
                        std::hint::black_box((p.read(), p.add(n - 1).read()));
                    }
                }
                oid = pmemobj_next(oid);
            }
        }
    }

    /// The first objects: some may have gone.
    fn look_again(&mut self) {
        self.objects.clear();
        // SAFETY: as above.
        unsafe {
            let mut oid = pmemobj_first(self.pop);
            while !oid.is_null() && self.objects.len() < 50 {
                self.objects.push(oid);
                oid = pmemobj_next(oid);
            }
        }
    }

    fn size(&mut self) -> usize {
        let size = self.input.pick(&SIZES);
        size + self.input.below(64) as usize
    }

    /// An object, or what is none.
    fn oid(&mut self) -> Oid {
        if !self.objects.is_empty() && self.input.u8() & 7 != 7 {
            let i = self.input.u16() as usize % self.objects.len();
            return self.objects[i];
        }
        Oid { pool_uuid_lo: self.id, off: target(self.base, self.input) }
    }

    /// An object that is one, and a range of it.
    fn range(&mut self, most: u64) -> Option<(Oid, u64, usize)> {
        self.look_again();
        if self.objects.is_empty() {
            return None;
        }
        let oid = self.objects[self.input.u8() as usize % self.objects.len()];
        let usable = usable(oid);
        let at = 8 * self.input.below(16);
        let n = (self.input.u16() as u64).min(most).min(usable.saturating_sub(at));
        (n > 0).then_some((oid, at, n as usize))
    }

    /// Where an id or a list head could be: in an object of the pool.
    fn place(&mut self, len: u64) -> Option<*mut c_void> {
        let (oid, at, _) = self.range(8)?;
        (oid.off.is_multiple_of(8) && usable(oid) >= at + len)
            // SAFETY: inside of an object.
            .then(|| unsafe { pmemobj_direct(oid).cast::<u8>().add(at as usize).cast() })
    }

    fn step(&mut self) {
        let pop = self.pop;
        // SAFETY: an open pool; ids of it, wild ones as far as functions check
        // them; places inside of objects.
        unsafe {
            match self.input.u8() % 16 {
                0 => {
                    let (size, flags) = (self.size(), self.input.u8() as u64 & ZERO);
                    let mut oid = NULL;
                    if pmemobj_xalloc(pop, &mut oid, size, 1, flags, None, null_mut()) == 0 {
                        self.fill(oid, size);
                        self.objects.push(oid);
                    }
                }
                1 => {
                    // The id is inside of the pool.
                    let size = self.size();
                    if let Some(at) = self.place(16) {
                        pmemobj_xalloc(pop, at.cast(), size, 2, 0, None, null_mut());
                    }
                }
                2 => {
                    let mut oid = self.oid();
                    let size = self.size();
                    pmemobj_realloc(pop, &mut oid, size, 3);
                }
                3 => {
                    let mut oid = self.oid();
                    let size = self.size();
                    pmemobj_zrealloc(pop, &mut oid, size, 3);
                }
                4 | 5 => {
                    let mut oid = self.oid();
                    pmemobj_free(&mut oid);
                }
                6 => {
                    let size = self.size();
                    pmemobj_root(pop, size);
                    std::hint::black_box(pmemobj_root_size(pop));
                }
                7..=9 => self.transaction(),
                10 => self.actions(),
                11 | 12 => self.lists(),
                13 => self.defragment(),
                14 => self.ctl(),
                _ => {
                    let oid = self.oid();
                    std::hint::black_box((
                        pmemobj_type_num(oid),
                        pmemobj_alloc_usable_size(oid),
                        pmemobj_next(oid),
                        pmemobj_pool_by_oid(oid),
                    ));
                }
            }
        }
    }

    /// What was allocated is the program's: all of it is there.
    fn fill(&self, oid: Oid, size: usize) {
        assert!(oid.off + size as u64 <= SIZE as u64, "{:#x}+{size:#x}", oid.off);
        // SAFETY: as just checked.
        unsafe { pmemobj_memset_persist(self.pop, pmemobj_direct(oid), 0x77, size.min(4096)) };
    }

    fn transaction(&mut self) {
        if !begin(self.pop) {
            end(false);
            return;
        }
        for _ in 0..1 + self.input.below(12) {
            if !working() {
                break;
            }
            let flags = if self.input.u8() & 3 == 3 { 0 } else { NO_ABORT };
            // SAFETY: a transaction at work.
            unsafe {
                match self.input.u8() % 9 {
                    0 | 1 => {
                        if let Some((oid, at, n)) = self.range(u64::MAX)
                            && pmemobj_tx_xadd_range(oid, at, n, flags) == 0
                        {
                            pmemobj_direct(oid).cast::<u8>().add(at as usize).write_bytes(0x55, n);
                        }
                    }
                    2 => {
                        let (size, zero) = (self.size(), self.input.u8() as u64 & ZERO);
                        let oid = pmemobj_tx_xalloc(size, 4, flags | zero);
                        if !oid.is_null() {
                            self.fill(oid, size);
                        }
                    }
                    3 => drop(pmemobj_tx_xfree(self.oid(), flags)),
                    4 => {
                        let (oid, size) = (self.oid(), self.size());
                        pmemobj_tx_realloc(oid, size, 5);
                    }
                    5 => {
                        let (oid, size) = (self.oid(), self.size());
                        pmemobj_tx_zrealloc(oid, size, 6);
                    }
                    6 => {
                        // Not in the heap.
                        let far = self.input.pick(&[0, 0x1800, media::HEAP - 1, SIZE as u64 - 1, 1 << 40]);
                        let p = self.pop.cast::<u8>().wrapping_add(far as usize);
                        let n = 2 + self.input.u16() as usize;
                        assert_ne!(pmemobj_tx_xadd_range_direct(p.cast(), n, flags), 0);
                    }
                    7 => {
                        if let Some((oid, _, n)) = self.range(u64::MAX) {
                            let n = n.min(usable(oid) as usize);
                            let kind = self.input.u8() as i32 & 1;
                            pmemobj_tx_xlog_append_buffer(kind, pmemobj_direct(oid), n, flags);
                        }
                    }
                    _ => {
                        // A level inside.
                        if begin(self.pop) {
                            pmemobj_tx_xalloc(100, 7, flags);
                        }
                        end(self.input.u8() & 3 != 3);
                    }
                }
            }
        }
        end(self.input.u8() & 1 == 0);
    }

    fn actions(&mut self) {
        let mut actions = [Action([0; 16]); 40];
        let mut n = 0;
        for _ in 0..1 + self.input.below(40) {
            let at = &raw mut actions[n];
            // SAFETY: an open pool; a word of it or of this function.
            unsafe {
                match self.input.u8() % 3 {
                    0 => {
                        let size = self.size();
                        n += !pmemobj_xreserve(self.pop, at, size, 8, 0).is_null() as usize;
                    }
                    1 => {
                        let oid = self.oid();
                        set_errno(0);
                        pmemobj_defer_free(self.pop, oid, at);
                        n += (errno() == 0) as usize;
                    }
                    _ => {
                        if let Some(word) = self.place(8) {
                            pmemobj_set_value(self.pop, at, word.cast(), 42);
                            n += 1;
                        }
                    }
                }
            }
        }
        // SAFETY: actions of this pool, used once.
        unsafe {
            match self.input.u8() % 3 {
                0 => pmemobj_cancel(self.pop, actions.as_mut_ptr(), n),
                1 => drop(pmemobj_publish(self.pop, actions.as_mut_ptr(), n)),
                _ if begin(self.pop) => {
                    pmemobj_tx_publish(actions.as_mut_ptr(), n);
                    end(self.input.u8() & 1 == 0);
                }
                _ => drop(end(false)),
            }
        }
    }

    fn lists(&mut self) {
        let (Some(head), Some(other)) = (self.place(80), self.place(80)) else { return };
        let entry = if self.input.u8() & 3 == 3 { self.input.u16() as usize } else { 32 };
        let (oid, before) = (self.oid(), self.input.u8() as i32 & 1);
        let dest = if self.input.u8() & 1 == 0 { NULL } else { self.oid() };
        // SAFETY: heads inside of objects; the rest is checked.
        unsafe {
            // A lock that is free, as the list's user would have it.
            head.cast::<u8>().add(16).write_bytes(0, 64);
            other.cast::<u8>().add(16).write_bytes(0, 64);
            match self.input.u8() % 4 {
                0 => drop(pmemobj_list_insert(self.pop, entry, head, dest, before, oid)),
                1 => {
                    let size = self.size();
                    pmemobj_list_insert_new(self.pop, entry, head, dest, before, size, 9, None, null_mut());
                }
                2 => {
                    let free = self.input.u8() as i32 & 1;
                    pmemobj_list_remove(self.pop, entry, head, oid, free);
                }
                _ => drop(pmemobj_list_move(self.pop, entry, head, entry, other, dest, before, oid)),
            }
        }
    }

    fn defragment(&mut self) {
        let mut oids = self.objects.clone();
        let mut pointers: Vec<*mut Oid> = oids.iter_mut().map(|oid| oid as *mut Oid).collect();
        let mut result = DefragResult::default();
        // SAFETY: valid pointers to ids.
        unsafe { pmemobj_defrag(self.pop, pointers.as_mut_ptr(), pointers.len(), &mut result) };
        assert!(result.relocated <= result.total);
        self.objects = oids;
    }

    fn ctl(&mut self) {
        let mut long = 0u64;
        let arg = (&raw mut long).cast::<c_void>();
        // SAFETY: arguments of the entries' types.
        unsafe {
            match self.input.u8() % 5 {
                0 => drop(pmemobj_ctl_get(self.pop, c"stats.heap.curr_allocated".as_ptr(), arg)),
                1 => drop(pmemobj_ctl_get(self.pop, c"stats.heap.run_allocated".as_ptr(), arg)),
                2 => drop(pmemobj_ctl_get(self.pop, c"heap.arena.1.size".as_ptr(), arg)),
                3 => drop(pmemobj_ctl_set(self.pop, c"stats.enabled".as_ptr(), arg)),
                _ => {
                    let (unit_size, alignment, units_per_block, header_type) = self.input.pick(&[
                        (96, 0, 100, 2),
                        (512, 256, 40, 1),
                        (200, 0, 50, 0),
                        (24, 8, 2000, 2),
                        (70_000, 0, 6, 0),
                    ]);
                    let mut desc =
                        ClassDesc { unit_size, alignment, units_per_block, header_type, class_id: 0 };
                    let name = c"heap.alloc_class.new.desc";
                    let arg = (&raw mut desc).cast();
                    if pmemobj_ctl_set(self.pop, name.as_ptr(), arg) == 0 {
                        let (flags, size) =
                            (class(desc.class_id as u64), unit_size.saturating_sub(64).max(1));
                        pmemobj_xalloc(self.pop, null_mut(), size, 1, flags, None, null_mut());
                    }
                }
            }
        }
    }
}

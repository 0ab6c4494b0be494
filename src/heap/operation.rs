//! The operation of one atomic call: words that change, and at most one block
//! that becomes allocated and one that becomes free, all at once. It is built
//! in the lane's log as it comes.

use super::block::{Block, compact_words};
use super::publish::Action;
use super::zone::Slot;
use super::{Error, Heap};
use crate::ulog::{Hold, Op, Redo};

/// An operation in the making. The lane's own log has room for it, and volatile
/// room for one that allocates or frees; nothing may be called back before it
/// is carried out.
pub struct Operation<'a> {
    pub(super) heap: &'a Heap,
    /// The lane in which it is counted.
    pub(super) lane: Option<u32>,
    pub(super) redo: &'a mut Redo,
}

impl Heap {
    #[inline]
    pub fn operation<'a>(&'a self, hold: &'a mut Hold) -> Operation<'a> {
        let lane = Some(hold.index());
        // SAFETY: the lane is held, by `hold` as long as the operation lives,
        // and operations of the thread do not interleave.
        let redo = unsafe { &mut (*hold.logs().as_ptr()).external };
        Operation { heap: self, lane, redo }
    }
}

impl Operation<'_> {
    /// Makes volatile room for an operation of `entries` words and blocks.
    #[inline]
    pub fn reserve(&mut self, entries: usize) -> Result<(), Error> {
        Ok(self.redo.reserve(entries)?)
    }

    /// Sets a word of the heap or of the root, once at most.
    #[inline]
    pub fn set(&mut self, at: u64, value: u64) {
        self.redo.push(Op::Set, at, value);
    }

    /// Sets the object header of a block that has one of words.
    #[inline]
    pub fn set_header(&mut self, b: &Block, type_num: u64) {
        if self.heap.has_header(b, type_num, 0) {
            return;
        }
        defect!(HeaderForgotten, return self.heap.write_header(&mut { *b }, type_num, 0));
        let [size, extra] = compact_words(b.size, 0, type_num);
        self.set(b.start, size);
        self.set(b.start + 8, extra);
    }

    /// Carries it out, with no block.
    #[inline]
    pub fn carry_out(self) {
        self.redo.process(&self.heap.region);
    }

    /// Carries it out, with a block that was just reserved. Its object header
    /// is durable, or among the words.
    #[inline]
    pub fn allocate(self, b: &Block) {
        self.change(Some(b), None);
    }

    /// Carries it out, with a block that is freed.
    #[inline]
    pub fn free(self, b: &Block) {
        self.change(None, Some(b));
    }

    /// Carries it out, with a block that takes the place of another one.
    pub fn replace(self, old: Option<&Block>, new: &Block) {
        self.change(Some(new), old);
    }

    #[inline(always)]
    fn change(self, alloc: Option<&Block>, free: Option<&Block>) {
        let Operation { heap, lane, redo } = self;
        let to_free = free.and_then(|b| heap.run_slot(b));
        let (first, second) = in_order(alloc.and_then(|b| heap.run_slot(b)), to_free);
        if let Some(slot) = first {
            slot.lock.lock();
        }
        if let Some(slot) = second {
            slot.lock.lock();
        }
        if let Some((op, word, value)) = alloc.map(|b| heap.entry_to_alloc(b)) {
            redo.push(op, word, value);
        }
        if let Some((op, word, value)) = free.map(|b| heap.entry_to_free(b)) {
            redo.push(op, word, value);
        }
        defect!(SeedCoalescing, settle_huge(heap, alloc, free));
        redo.process(&heap.region);
        if let (Some(slot), Some(b)) = (to_free, free) {
            heap.give_back_units(slot, (b.zone, b.chunk), b.returned(true));
        }
        if let Some(slot) = second {
            slot.lock.unlock();
        }
        if let Some(slot) = first {
            slot.lock.unlock();
        }
        let huge = alloc.is_some_and(Block::is_huge) || free.is_some_and(Block::is_huge);
        if huge && !defect!(SeedCoalescing) {
            settle_huge(heap, alloc, free);
        }
        heap.count_few(lane, alloc, free);
    }
}

/// The slots to lock, in the order of their addresses.
#[inline(always)]
fn in_order<'a>(a: Option<&'a Slot>, b: Option<&'a Slot>) -> (Option<&'a Slot>, Option<&'a Slot>) {
    match (a, b) {
        (Some(x), Some(y)) if std::ptr::eq(x, y) => (a, None),
        (Some(x), Some(y)) if std::ptr::from_ref(x) > std::ptr::from_ref(y) => (b, a),
        _ => (a, b),
    }
}

#[cold]
fn settle_huge(heap: &Heap, alloc: Option<&Block>, free: Option<&Block>) {
    let actions = [alloc.map(|b| Action::Alloc(*b)), free.map(|b| Action::Free(*b))];
    actions.iter().flatten().for_each(|a| heap.settle_huge(std::slice::from_ref(a)));
}

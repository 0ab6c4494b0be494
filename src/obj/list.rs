//! Circular lists in persistent memory (API contract section 13, format 8.1
//! and 8.2). Each change is one redo operation, under the lock of the head.

use super::alloc::Constructor;
use super::{Error, Oid, Pool, Request, Result, sync};
use crate::heap::{Block, Error as HeapError, Heap, Operation};
use crate::pool::Region;
use crate::ulog::Hold;

/// Offsets inside an entry: the id of the next element, of the previous one.
const NEXT: u64 = 0;
const PREV: u64 = 16;
const ENTRY_SIZE: u64 = 32;
/// Offset of the lock in a head, behind the id of the first element.
const HEAD_LOCK: u64 = 16;
const HEAD_SIZE: u64 = 80;
/// Offset of an id's second word.
const OFF: u64 = 8;
/// A move changes two heads, four neighbours and one entry. A new element needs
/// no more: one head, two neighbours, its entry, its header and its block.
const MAX_WORDS: usize = 12;

/// Where to put an element: before or after `dest`, or if that is 0, before
/// the first or after the last one.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    pub dest: u64,
    pub before: bool,
}

/// A list: its head, and where the entry is in each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List {
    /// Offset of the head in the pool.
    head: u64,
    /// Offset of the entry from the start of an element.
    entry: u64,
}

impl List {
    /// Offset of the head.
    pub fn head(&self) -> u64 {
        self.head
    }
}

/// Changes of words in the making. Reading sees them, so that an element can
/// be taken from one place and put in another of the same list.
struct Words<'a> {
    region: &'a Region,
    heap: &'a Heap,
    uuid_lo: u64,
    /// Heads of the lists: their locks are held.
    heads: [u64; 2],
    new: [(u64, u64); MAX_WORDS],
    len: usize,
}

impl Words<'_> {
    fn get(&self, at: u64) -> u64 {
        let changed = self.new[..self.len].iter().find(|w| w.0 == at);
        changed.map_or_else(|| self.region.load(at), |w| w.1)
    }

    fn set(&mut self, at: u64, value: u64) {
        match self.new[..self.len].iter_mut().find(|w| w.0 == at) {
            Some(w) => w.1 = value,
            None => self.push(at, value),
        }
    }

    /// Sets a word that was not set yet.
    fn push(&mut self, at: u64, value: u64) {
        self.new[self.len] = (at, value);
        self.len += 1;
    }

    /// The operation that makes the changes.
    fn operation<'a>(&self, pool: &'a Pool, hold: &'a mut Hold) -> Operation<'a> {
        let mut op = pool.heap.operation(hold);
        self.new[..self.len].iter().for_each(|&(at, value)| op.set(at, value));
        op
    }

    /// Forgets changes that are none. For words that only lists ever wrote:
    /// those are durable as they are.
    fn drop_idle(&mut self) {
        let mut kept = 0;
        for i in 0..self.len {
            if self.region.load(self.new[i].0) != self.new[i].1 {
                self.new[kept] = self.new[i];
                kept += 1;
            }
        }
        self.len = kept;
    }

    /// Offset of the entry of the element at `off`, which a program or media
    /// gave: an object that has room for it, as its words will change. It is
    /// no part of a head, whose lock it would overwrite.
    fn entry(&self, list: List, off: u64) -> Result<u64> {
        let b = self.heap.block_at(off).map_err(|_| Error::NotInList(off))?;
        self.entry_of(list, &b)
    }

    fn entry_of(&self, list: List, b: &Block) -> Result<u64> {
        let refused = Err(Error::NotInList(b.user()));
        if list.entry.checked_add(ENTRY_SIZE).is_none_or(|end| end > b.usable()) {
            return refused;
        }
        let at = b.user() + list.entry;
        let apart = |head: u64| at + ENTRY_SIZE <= head || at >= head + HEAD_SIZE;
        if at.is_multiple_of(8) && self.heads.into_iter().all(apart) { Ok(at) } else { refused }
    }

    fn first(&self, list: List) -> u64 {
        self.get(list.head + OFF)
    }

    fn set_first(&mut self, list: List, off: u64) {
        self.set(list.head + OFF, off);
        if self.get(list.head) == 0 {
            self.set(list.head, self.uuid_lo);
        }
    }

    /// Takes an element out; its own words stay. Offset of its entry.
    fn unlink(&mut self, list: List, off: u64) -> Result<u64> {
        let at = self.entry(list, off)?;
        let (next, prev) = (self.get(at + NEXT + OFF), self.get(at + PREV + OFF));
        let first = self.first(list);
        if next == off {
            self.set_first(list, 0);
            return Ok(at);
        }
        let (next_at, prev_at) = (self.entry(list, next)?, self.entry(list, prev)?);
        self.set(next_at + PREV + OFF, prev);
        self.set(prev_at + NEXT + OFF, next);
        if first == off {
            self.set_first(list, next);
        }
        Ok(at)
    }

    fn link(&mut self, list: List, off: u64, place: Position) -> Result<()> {
        let at = self.entry(list, off)?;
        self.link_at(list, off, at, place)
    }

    /// Puts an element with the entry `at` in: neighbours, head, and the four
    /// words of its entry.
    fn link_at(&mut self, list: List, off: u64, at: u64, place: Position) -> Result<()> {
        let first = self.first(list);
        let (next, prev) = if first == 0 {
            self.set_first(list, off);
            (off, off)
        } else {
            let dest = match (place.dest, place.before) {
                (0, true) => first,
                (0, false) => self.get(self.entry(list, first)? + PREV + OFF),
                (dest, _) => dest,
            };
            if dest == off {
                return Err(Error::NotInList(off));
            }
            let dest_at = self.entry(list, dest)?;
            if place.before {
                let prev = self.get(dest_at + PREV + OFF);
                self.set(dest_at + PREV + OFF, off);
                let prev_at = self.entry(list, prev)?;
                self.set(prev_at + NEXT + OFF, off);
                if dest == first {
                    self.set_first(list, off);
                }
                (dest, prev)
            } else {
                let next = self.get(dest_at + NEXT + OFF);
                self.set(dest_at + NEXT + OFF, off);
                let next_at = self.entry(list, next)?;
                self.set(next_at + PREV + OFF, off);
                (next, dest)
            }
        };
        self.push(at + NEXT, self.uuid_lo);
        self.push(at + NEXT + OFF, next);
        self.push(at + PREV, self.uuid_lo);
        self.push(at + PREV + OFF, prev);
        Ok(())
    }
}

impl Pool {
    /// The list whose head is at an address of the pool.
    pub fn list(&self, head: *mut u8, entry: u64) -> Result<List> {
        let at = (head as u64).wrapping_sub(self.base as u64);
        let (from, to) = self.heap.range();
        if at < from || at > to - HEAD_SIZE || !at.is_multiple_of(8) {
            return Err(Error::ListHead(at));
        }
        Ok(List { head: at, entry })
    }

    /// Inserts an element that is on no list.
    pub fn list_insert(&self, list: List, place: Position, off: u64) -> Result<()> {
        self.change_lists([list, list], |words| words.link(list, off, place))
    }

    /// Takes an element out, and frees it if `free`.
    pub fn list_remove(&self, list: List, off: u64, free: bool) -> Result<()> {
        if !free {
            return self.change_lists([list, list], |words| {
                let at = words.unlink(list, off)?;
                words.set(at + NEXT + OFF, 0);
                words.set(at + PREV + OFF, 0);
                Ok(())
            });
        }
        let mut hold = self.hold_for_lists()?;
        self.with_heads([list, list], || {
            let b = self.heap.block_to_free(off)?;
            let mut words = self.words([list, list]);
            words.unlink(list, off)?;
            words.operation(self, &mut hold).free(&b);
            Ok(())
        })
    }

    /// Moves an element to a place in another list or in its own.
    pub fn list_move(&self, from: List, to: List, place: Position, off: u64) -> Result<()> {
        if from.head == to.head && place.dest == off {
            return Ok(());
        }
        self.change_lists([from, to], |words| {
            let at = words.unlink(from, off)?;
            if from.entry == to.entry {
                words.link_at(to, off, at, place)?;
            } else {
                words.link(to, off, place)?;
            }
            if from == to {
                words.drop_idle();
            }
            Ok(())
        })
    }

    /// Allocates an element and inserts it.
    pub fn list_insert_new(
        &self,
        list: List,
        place: Position,
        req: Request,
        mut ctor: Constructor,
    ) -> Result<Oid> {
        if req.size == 0 {
            return Err(HeapError::SizeZero.into());
        }
        let mut hold = self.hold_for_lists()?;
        self.with_heads([list, list], || {
            let mut b = self.heap.reserve(&req)?;
            // Without a constructor the header goes through the log with the
            // links, which saves an ordering point.
            let header_logged = ctor.is_none() && b.has_words();
            if header_logged {
                self.heap.prepare_header(&mut b, req.type_num);
            } else {
                self.construct(&mut b, &req, ctor.take())?;
            }
            let mut words = self.words([list, list]);
            // Its header, by which others know it, may not be there yet.
            let linked = words.entry_of(list, &b).and_then(|at| words.link_at(list, b.user(), at, place));
            if let Err(e) = linked {
                self.heap.cancel(&b);
                return Err(e);
            }
            if !header_logged {
                self.persist_header(&b);
            }
            let mut op = words.operation(self, &mut hold);
            if header_logged {
                op.set_header(&b, req.type_num);
            }
            defect!(ListElementLate, {
                op.carry_out();
                op = self.heap.operation(&mut hold);
            });
            op.allocate(&b);
            Ok(self.oid(b.user()))
        })
    }

    /// A lane with volatile room for the largest operation.
    fn hold_for_lists(&self) -> Result<Hold<'_>> {
        let mut hold = self.heap.lanes.hold()?;
        self.heap.operation(&mut hold).reserve(MAX_WORDS)?;
        Ok(hold)
    }

    fn words(&self, lists: [List; 2]) -> Words<'_> {
        Words {
            region: self.heap.region(),
            heap: &self.heap,
            uuid_lo: self.uuid_lo,
            heads: lists.map(|l| l.head),
            new: [(0, 0); MAX_WORDS],
            len: 0,
        }
    }

    /// Changes words of one or two lists, all at once or not at all.
    fn change_lists(&self, lists: [List; 2], f: impl FnOnce(&mut Words) -> Result<()>) -> Result<()> {
        let mut hold = self.hold_for_lists()?;
        self.with_heads(lists, || {
            let mut words = self.words(lists);
            f(&mut words)?;
            defect!(
                ListInHalves,
                Words { len: words.len / 2, ..words }.operation(self, &mut hold).carry_out()
            );
            words.operation(self, &mut hold).carry_out();
            Ok(())
        })
    }

    /// Runs `f` with the heads' locks held, taken in the order of addresses. A
    /// lane is held already: whoever has the lock must never wait for one.
    fn with_heads<R>(&self, lists: [List; 2], f: impl FnOnce() -> Result<R>) -> Result<R> {
        let lock = |list: List| self.heap.region().at(list.head + HEAD_LOCK, HEAD_SIZE - HEAD_LOCK).cast();
        let [low, high] = if lists[0].head <= lists[1].head { lists } else { [lists[1], lists[0]] };
        let two = low.head != high.head;
        if two && high.head - low.head < HEAD_SIZE {
            return Err(Error::ListHead(high.head)); // their locks are one another's
        }
        // SAFETY: locks of heads inside this open pool.
        let take = |list| match unsafe { sync::mutex_lock(self.handle(), lock(list)) } {
            0 => Ok(()),
            error => Err(Error::ListLock(error)),
        };
        // SAFETY: as above.
        let release = |list| unsafe { sync::mutex_unlock(self.handle(), lock(list)) };
        take(low)?;
        if two && let Err(e) = take(high) {
            release(low);
            return Err(e);
        }
        let r = f();
        if two {
            release(high);
        }
        release(low);
        r
    }
}

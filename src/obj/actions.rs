//! Actions: reserve now, publish together later (API contract section 11).

use std::mem::MaybeUninit;

use super::{Constructor, Oid, Pool, Request, Result};
use crate::heap::{Action, Block, Error as HeapError};

/// `POBJ_ACTION_TYPE_*`.
const HEAP: u32 = 0;
const MEM: u32 = 1;
/// Private to the library: what kind of heap action.
const RESERVED: u32 = 1;
const DEFERRED_FREE: u32 = 2;
/// Actions published without memory of their own.
const FEW: usize = 32;

/// `struct pobj_action`. In `words`: offset and usable size of a heap action,
/// then its block; address and value of a memory action.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RawAction {
    pub kind: u32,
    tag: u32,
    _data: [u32; 2],
    words: [u64; 8],
    _unused: MaybeUninit<[u64; 6]>,
}

impl RawAction {
    #[inline]
    fn new(kind: u32, tag: u32, words: [u64; 8]) -> RawAction {
        RawAction { kind, tag, _data: [0; 2], words, _unused: MaybeUninit::uninit() }
    }

    #[inline]
    fn of_block(tag: u32, b: &Block) -> RawAction {
        let [w2, w3, w4, w5, w6, w7] = b.pack();
        RawAction::new(HEAP, tag, [b.user(), b.usable(), w2, w3, w4, w5, w6, w7])
    }

    #[inline]
    fn block(&self) -> [u64; 6] {
        let [_, _, block @ ..] = self.words;
        block
    }
}

impl Pool {
    /// Reserves an object; nothing on media knows of it until publication.
    #[inline]
    pub fn reserve(&self, req: Request, ctor: Constructor) -> Result<(Oid, RawAction)> {
        let b = self.reserve_object(&req, ctor)?;
        if req.zero {
            // Zeros are durable for whoever publishes; the header is flushed
            // then, by the publishing thread.
            self.heap.region().drain();
        }
        Ok((self.oid(b.user()), RawAction::of_block(RESERVED, &b)))
    }

    /// The action that frees the object at `off`.
    #[inline]
    pub fn defer_free(&self, off: u64) -> Result<RawAction> {
        Ok(RawAction::of_block(DEFERRED_FREE, &self.heap.block_to_free(off)?))
    }

    /// The action that stores a word.
    #[inline]
    pub fn set_value(&self, ptr: *mut u64, value: u64) -> RawAction {
        RawAction::new(MEM, 0, [ptr as u64, value, 0, 0, 0, 0, 0, 0])
    }

    /// An action of the caller as one of the heap. Inlined, as large results
    /// are copied otherwise.
    #[inline(always)]
    fn action(&self, raw: &RawAction) -> Result<Action> {
        let [a, b] = [raw.words[0], raw.words[1]];
        if raw.kind == MEM {
            return Ok(self.heap.set_word(a as *mut u64, b));
        }
        let block = self.heap.unpack(raw.block()).ok_or(HeapError::NoObject(a, "not an action"))?;
        Ok(match (raw.kind, raw.tag) {
            (HEAP, RESERVED) => Action::Alloc(block),
            (HEAP, DEFERRED_FREE) => {
                // Nobody freed it meanwhile.
                self.heap.must_be_allocated(&block)?;
                Action::Free(block)
            }
            _ => return Err(HeapError::NoObject(a, "not an action").into()),
        })
    }

    /// Turns the caller's actions into the heap's and hands them to `f`.
    pub fn with_actions<R>(&self, raw: &[RawAction], f: impl FnOnce(&[Action]) -> R) -> Result<R> {
        if raw.len() <= FEW {
            let mut few = [const { MaybeUninit::uninit() }; FEW];
            for (a, raw) in few.iter_mut().zip(raw) {
                a.write(self.action(raw)?);
            }
            // SAFETY: as many were just written.
            return Ok(f(unsafe { few[..raw.len()].assume_init_ref() }));
        }
        let mut many = Vec::new();
        many.try_reserve_exact(raw.len()).map_err(|_| super::Error::OutOfMemory)?;
        for raw in raw {
            many.push(self.action(raw)?);
        }
        Ok(f(&many))
    }

    /// Carries out all actions, or none.
    ///
    /// # Safety
    /// The actions come from this pool and are used once; addresses of values
    /// are valid.
    pub unsafe fn publish(&self, raw: &[RawAction]) -> Result<()> {
        if raw.is_empty() {
            return Ok(());
        }
        let hold = self.heap.lanes.hold()?;
        self.heap.prepare(&hold, raw.len())?;
        self.with_actions(raw, |actions| {
            self.heap.flush_headers(actions);
            // Headers durable before the blocks can become allocated; the
            // content was made durable by the program.
            self.heap.region().drain();
            // SAFETY: by contract.
            unsafe { self.heap.publish(&hold, actions) }
        })
    }

    /// Gives reservations back.
    pub fn cancel(&self, raw: &[RawAction]) {
        for raw in raw.iter().filter(|r| r.kind == HEAP && r.tag == RESERVED) {
            if let Some(b) = self.heap.unpack(raw.block()) {
                self.heap.cancel(&b);
            }
        }
    }
}

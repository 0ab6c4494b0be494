//! Defragmentation (API contract section 12): objects leave sparse runs for
//! fuller ones, so that runs become empty.

use super::{Error, Oid, Pool, Result};
use crate::heap::{Action, Block, Error as HeapError, INTERNAL};

/// Actions of one failure-atomic step, about: what a lane's log holds.
const BATCH: usize = 36;

/// What became of the objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defragmented {
    /// Objects looked at.
    pub total: usize,
    /// Objects moved.
    pub relocated: usize,
}

/// An id that the caller named, and what it said at first.
#[derive(Clone, Copy)]
struct Pointer {
    off: u64,
    at: *mut Oid,
}

/// Where an object was and is.
#[derive(Clone, Copy)]
struct Move {
    old: Block,
    new: Block,
}

/// What was done so far, and the step in the making.
#[derive(Default)]
struct State {
    /// By descending offset of the old place.
    moves: Vec<Move>,
    /// The first of `moves` that is not published.
    first_open: usize,
    /// Pointers to the objects that the open step moves.
    pointers: Vec<Pointer>,
    /// An object that found no better place: those next to it of its size find
    /// none either.
    stuck: Option<Block>,
}

impl Pool {
    /// Moves objects out of sparse runs and updates the ids that refer to them.
    /// What was moved before an error stays moved.
    ///
    /// # Safety
    /// The pointers are valid; nobody else uses the objects meanwhile.
    pub unsafe fn defrag(&self, oids: &[*mut Oid], result: &mut Defragmented) -> Result<()> {
        let mut pointers = Vec::new();
        reserve(&mut pointers, oids.len())?;
        for &at in oids.iter().filter(|at| !at.is_null()) {
            // SAFETY: by contract.
            let oid = unsafe { at.read_unaligned() };
            if oid.is_null() {
                continue;
            }
            if oid.pool_uuid_lo != self.uuid_lo {
                return Err(Error::OidsOfOtherPool);
            }
            pointers.push(Pointer { off: oid.off, at });
        }
        pointers.sort_unstable_by_key(|p| std::cmp::Reverse(p.off));
        let mut state = State::default();
        for same in pointers.chunk_by(|a, b| a.off == b.off) {
            result.total += 1;
            self.consider(&mut state, same)?;
            if 2 * (state.moves.len() - state.first_open) + state.pointers.len() >= BATCH {
                self.publish_moves(&mut state, result)?;
            }
        }
        self.publish_moves(&mut state, result)
    }

    /// Moves an object if that is worth it; all its pointers are given.
    fn consider(&self, state: &mut State, same: &[Pointer]) -> Result<()> {
        let Ok(old) = self.heap.block_to_free(same[0].off) else { return Ok(()) };
        let header = self.heap.header_of(&old);
        if header.flags & INTERNAL != 0 || !self.heap.is_in_sparse_run(&old) {
            return Ok(()); // the root, or where it should be
        }
        let moved = reserve(&mut state.moves, 1).and_then(|()| reserve(&mut state.pointers, same.len()));
        if let Err(e) = moved {
            self.cancel_moves(state);
            return Err(e);
        }
        let as_before = |b: Block| (b.zone, b.chunk) == (old.zone, old.chunk) && b.size <= old.size;
        if state.stuck.is_some_and(as_before) {
            return Ok(());
        }
        let Some(mut new) = self.heap.reserve_fuller(&old) else {
            state.stuck = Some(old);
            return Ok(());
        };
        self.heap.write_header(&mut new, header.type_num, 0);
        self.heap.flush_header(&new);
        if !defect!(DefragCopyLate) {
            self.heap.region().copy_within(new.user(), old.user(), old.usable())
        }
        state.moves.push(Move { old, new });
        state.pointers.extend_from_slice(same);
        Ok(())
    }

    /// Makes the open moves take effect, all at once.
    fn publish_moves(&self, state: &mut State, result: &mut Defragmented) -> Result<()> {
        let open = state.moves.len() - state.first_open;
        if open == 0 {
            return Ok(());
        }
        let n = 2 * open + state.pointers.len();
        let mut actions = Vec::new();
        let hold = reserve(&mut actions, n).and_then(|()| Ok(self.heap.lanes.hold()?));
        let hold = match hold.and_then(|hold| Ok(self.heap.prepare(&hold, n).map(|()| hold)?)) {
            Ok(hold) => hold,
            Err(e) => {
                self.cancel_moves(state);
                return Err(e);
            }
        };
        for p in &state.pointers {
            let new = state.moves[state.first_open..].iter().find(|m| m.old.user() == p.off);
            if let Some(new) = new.map(|m| m.new.user()) {
                // SAFETY: the address of the field; the id word stays as it is.
                let at = unsafe { &raw mut (*p.at).off };
                actions.push(self.heap.set_word(self.now_at(state, at), new));
            }
        }
        for m in &state.moves[state.first_open..] {
            actions.extend([Action::Free(m.old), Action::Alloc(m.new)]);
        }
        defect!(
            DefragPointersFirst,
            actions.iter().for_each(|a| if let Action::Set { at, value } = *a {
                self.heap.region().persist_word(at, value)
            })
        );
        // Copies and their headers durable before they become objects.
        self.heap.region().drain();
        // SAFETY: words named by the caller; the new blocks were just reserved.
        unsafe { self.heap.publish(&hold, &actions) };
        defect!(
            DefragCopyLate,
            (state.moves[state.first_open..].iter()).for_each(|m| self.heap.region().copy_within(
                m.new.user(),
                m.old.user(),
                m.old.usable()
            ))
        );
        result.relocated += open;
        state.first_open = state.moves.len();
        state.pointers.clear();
        Ok(())
    }

    /// Where a word is that may have moved with the object around it.
    fn now_at(&self, state: &State, word: *mut u64) -> *mut u64 {
        let off = (word as u64).wrapping_sub(self.base as u64);
        let i = state.moves.partition_point(|m| m.old.user() > off);
        match state.moves.get(i) {
            Some(m) if off - m.old.user() < m.old.usable() => {
                self.heap.region().at(m.new.user() + (off - m.old.user()), 8).cast()
            }
            _ => word,
        }
    }

    fn cancel_moves(&self, state: &mut State) {
        for m in state.moves.drain(state.first_open..) {
            self.heap.cancel(&m.new);
        }
        state.pointers.clear();
    }
}

fn reserve<T>(v: &mut Vec<T>, n: usize) -> Result<()> {
    v.try_reserve(n).map_err(|_| HeapError::OutOfMemory.into())
}

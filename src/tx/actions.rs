//! What commit will publish: allocations, frees, words.

use super::Error;
use super::sorted::Sorted;
use crate::heap::Action;
use crate::memory::reserve_few;

/// Up to here the allocation of an object is looked for one by one.
const SCANNED: usize = 64;

pub struct Actions {
    list: Vec<Action>,
    /// Offset of each object allocated here, and the index of its action.
    own: Sorted<(u64, usize)>,
    /// Whether `own` is kept.
    indexed: bool,
}

impl Actions {
    pub const fn new() -> Actions {
        Actions { list: Vec::new(), own: Sorted::new(), indexed: false }
    }

    #[inline]
    pub fn as_slice(&self) -> &[Action] {
        &self.list
    }

    /// Makes room for `n` more actions and the one that commit adds.
    pub fn reserve(&mut self, n: usize) -> Result<(), Error> {
        reserve_few(&mut self.list, n + 1).map_err(|_| Error::OutOfMemory)
    }

    /// Adds an action; room was made. If that fails nothing is added.
    #[inline]
    pub fn push(&mut self, action: Action) -> Result<(), Error> {
        if self.list.len() >= SCANNED {
            self.index(&action)?;
        }
        self.list.push(action);
        Ok(())
    }

    /// Adds the action that commit adds.
    pub fn push_last(&mut self, action: Action) {
        self.list.push(action);
    }

    #[cold]
    fn index(&mut self, action: &Action) -> Result<(), Error> {
        if !self.indexed {
            self.own.clear();
            for (i, a) in self.list.iter().enumerate() {
                add(&mut self.own, a, i)?;
            }
            self.indexed = true;
        }
        add(&mut self.own, action, self.list.len())
    }

    /// The index of the action that allocated the object at `off`.
    pub fn allocation_of(&self, off: u64) -> Option<usize> {
        if !self.indexed {
            return self.list.iter().rposition(|a| allocates(a) == Some(off));
        }
        let found = self.own.get(self.own.find(|o| o.0 < off))?;
        (found.0 == off).then_some(found.1)
    }

    /// Removes an action; the last one takes its place.
    pub fn remove(&mut self, i: usize) {
        let removed = self.list.swap_remove(i);
        if !self.indexed {
            return;
        }
        if let Some(off) = allocates(&removed) {
            let at = self.own.find(|o| o.0 < off);
            self.own.remove(at, self.own.next(at));
        }
        if let Some(off) = self.list.get(i).and_then(allocates)
            && let Some(moved) = self.own.get_mut(self.own.find(|o| o.0 < off))
        {
            moved.1 = i;
        }
    }

    #[inline]
    pub fn clear(&mut self) {
        self.list.clear();
        self.indexed = false;
    }
}

fn allocates(a: &Action) -> Option<u64> {
    match a {
        Action::Alloc(b) => Some(b.user()),
        _ => None,
    }
}

fn add(own: &mut Sorted<(u64, usize)>, a: &Action, i: usize) -> Result<(), Error> {
    if let Some(off) = allocates(a) {
        own.reserve()?;
        own.insert(own.find(|o| o.0 < off), (off, i));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::{Block, HeaderType};
    use crate::random;

    fn alloc(start: u64) -> Action {
        let header = HeaderType::Compact;
        Action::Alloc(Block { start, size: 1, bits: 0, word: 0, zone: 0, chunk: 0, header, headed: false })
    }

    /// Against a plain list, with and without the index.
    #[test]
    fn allocations_are_found() {
        let mut rnd = random::below(5);
        let mut actions = Actions::new();
        let (mut live, mut gone, mut next) = (Vec::new(), 0, 64);
        for round in 0..random::rounds(20_000) {
            // Up to some hundreds, down to none.
            if live.is_empty() || (round / 500 % 2 == 0 && rnd(4) > 0) {
                actions.reserve(2).unwrap();
                actions.push(alloc(next)).unwrap();
                actions.push(Action::Set { at: next, value: 0 }).unwrap();
                live.push(next + HeaderType::Compact.size());
                next += 64;
            } else {
                gone = live.swap_remove(rnd(live.len()));
                let i = actions.allocation_of(gone).unwrap();
                assert_eq!(allocates(&actions.as_slice()[i]), Some(gone));
                actions.remove(i);
            }
            assert_eq!(actions.allocation_of(gone), None);
            if let Some(&off) = live.last() {
                let i = actions.allocation_of(off).unwrap();
                assert_eq!(allocates(&actions.as_slice()[i]), Some(off));
            }
            if round % 4000 == 3999 {
                actions.clear();
                live.clear();
            }
        }
    }
}

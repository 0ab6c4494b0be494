//! A sorted sequence in blocks of bounded size, so that a change in the middle
//! moves few items however many there are. Small ones are one block.

use crate::memory::reserve_few;

/// Most items of a block.
const BLOCK: usize = 256;

/// Items in ascending order of what the caller compares them by. No block is
/// empty, but for the first, which is kept when all items go.
#[derive(Debug)]
pub(super) struct Sorted<T> {
    blocks: Vec<Vec<T>>,
    /// Room for the half of a block that is split.
    spare: Vec<T>,
}

/// A place of an item, or behind the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    block: usize,
    item: usize,
}

/// There is no memory left.
#[derive(Debug)]
pub(super) struct NoMemory;

impl<T: Copy> Sorted<T> {
    pub const fn new() -> Sorted<T> {
        Sorted { blocks: Vec::new(), spare: Vec::new() }
    }

    #[inline]
    pub fn clear(&mut self) {
        self.blocks.truncate(1);
        if let Some(first) = self.blocks.first_mut() {
            first.clear();
        }
    }

    /// All items in their order, in parts.
    #[inline]
    pub fn blocks(&self) -> impl Iterator<Item = &[T]> {
        self.blocks.iter().map(Vec::as_slice)
    }

    #[inline]
    pub fn last_mut(&mut self) -> Option<&mut T> {
        self.blocks.last_mut()?.last_mut()
    }

    /// Makes room for one more item behind all others.
    #[inline]
    pub fn reserve_last(&mut self) -> Result<(), NoMemory> {
        match self.blocks.last() {
            Some(b) if b.len() < b.capacity().min(BLOCK) => Ok(()),
            _ => self.reserve(),
        }
    }

    /// Adds an item behind all others; room was made.
    #[inline]
    pub fn push(&mut self, item: T) {
        match self.blocks.last_mut() {
            Some(b) if b.len() < b.capacity().min(BLOCK) => b.push(item),
            _ => self.insert(Place { block: self.blocks.len(), item: 0 }, item),
        }
    }

    /// Makes room for one more item anywhere.
    #[inline(never)]
    pub fn reserve(&mut self) -> Result<(), NoMemory> {
        reserve_few(&mut self.blocks, 2).map_err(|_| NoMemory)?;
        if self.blocks.is_empty() {
            self.blocks.push(Vec::new());
        }
        if self.blocks.len() == 1 && self.blocks[0].len() < BLOCK {
            // Small ones stay small.
            return reserve_few(&mut self.blocks[0], 2).map_err(|_| NoMemory);
        }
        self.spare.try_reserve(BLOCK).map_err(|_| NoMemory)
    }

    /// The place of the first item for which `before` is false.
    pub fn find(&self, before: impl Fn(&T) -> bool) -> Place {
        let block = self.blocks.partition_point(|b| b.last().is_some_and(&before));
        let item = self.blocks.get(block).map_or(0, |b| b.partition_point(&before));
        Place { block, item }
    }

    pub fn get(&self, at: Place) -> Option<&T> {
        self.blocks.get(at.block)?.get(at.item)
    }

    pub fn get_mut(&mut self, at: Place) -> Option<&mut T> {
        self.blocks.get_mut(at.block)?.get_mut(at.item)
    }

    /// The place behind an item's.
    pub fn next(&self, at: Place) -> Place {
        if at.item + 1 < self.blocks[at.block].len() {
            Place { item: at.item + 1, ..at }
        } else {
            Place { block: at.block + 1, item: 0 }
        }
    }

    /// Puts an item at a place, in front of the one that is there. Room was
    /// made by [`Sorted::reserve`].
    #[inline(never)]
    pub fn insert(&mut self, mut at: Place, item: T) {
        // Behind the last item of a block rather than in a block of its own.
        if at.block == self.blocks.len() && at.block > 0 {
            at = Place { block: at.block - 1, item: self.blocks[at.block - 1].len() };
        }
        if self.blocks[at.block].len() == BLOCK {
            // What is appended in order fills its blocks.
            let behind_all = at.block + 1 == self.blocks.len() && at.item == BLOCK;
            let cut = if behind_all { BLOCK } else { BLOCK / 2 };
            let mut new = std::mem::take(&mut self.spare);
            new.extend(self.blocks[at.block].drain(cut..));
            self.blocks.insert(at.block + 1, new);
            if at.item > cut || behind_all {
                at = Place { block: at.block + 1, item: at.item - cut };
            }
        }
        self.blocks[at.block].insert(at.item, item);
    }

    /// Removes the items from one place up to another.
    pub fn remove(&mut self, from: Place, to: Place) {
        if from.block == to.block {
            if from != to {
                self.blocks[from.block].drain(from.item..to.item);
            }
        } else {
            self.blocks[from.block].truncate(from.item);
            if to.item > 0 {
                self.blocks[to.block].drain(..to.item);
            }
            self.blocks.drain(from.block + 1..to.block);
        }
        if from.block < self.blocks.len() && self.blocks[from.block].is_empty() && self.blocks.len() > 1 {
            self.blocks.remove(from.block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    /// Against a plain vector, over the sizes at which blocks are split and go.
    #[test]
    fn matches_a_vector() {
        let mut rnd = random::below(7);
        let (mut s, mut model) = (Sorted::new(), Vec::<usize>::new());
        for round in 0..random::rounds(30_000) {
            let key = rnd(5000);
            let at = s.find(|&k| k < key);
            let i = model.partition_point(|&k| k < key);
            assert_eq!(s.get(at), model.get(i));
            if round % 10_000 < 6_000 || rnd(3) > 0 {
                if i == model.len() {
                    s.reserve_last().unwrap();
                    s.push(key);
                } else {
                    s.reserve().unwrap();
                    s.insert(at, key);
                }
                model.insert(i, key);
            } else {
                let to = key + rnd(100);
                s.remove(at, s.find(|&k| k < to));
                model.drain(i..model.partition_point(|&k| k < to));
            }
            assert_eq!(s.last_mut().copied(), model.last().copied());
            if round % 100 == 0 {
                assert!(s.blocks().flatten().eq(&model));
                assert!(s.blocks.len() == 1 || s.blocks.iter().all(|b| (1..=BLOCK).contains(&b.len())));
                let mut at = s.find(|_| false);
                for k in &model {
                    assert_eq!(s.get(at), Some(k));
                    at = s.next(at);
                }
                assert_eq!(s.get(at), None);
            }
        }
        s.clear();
        assert!(s.blocks().flatten().next().is_none());
    }

    /// Ascending items fill their blocks.
    #[test]
    fn appended_items_are_dense() {
        let mut s = Sorted::new();
        for k in 0..10 * BLOCK {
            s.reserve_last().unwrap();
            s.push(k);
        }
        assert_eq!(s.blocks.len(), 10);
    }
}

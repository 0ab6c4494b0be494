//! Two lists, between which elements move.

use std::ptr::null_mut;

use super::super::abi::{self, *};
use super::World;
use super::model::{ENTRY, Kind};

const MIN_ELEMENT: usize = ENTRY + 32;

impl World<'_> {
    /// An element of a list to be next to, and where the new one comes to be.
    fn position(&mut self, i: usize) -> (Oid, i32, usize) {
        let list = &self.model.lists[i];
        let before = self.input.u8() as i32 & 1;
        if list.is_empty() || self.input.u8() & 1 == 0 {
            return (NULL, before, if before == 1 { 0 } else { list.len() });
        }
        let k = self.input.u8() as usize % list.len();
        (list[k].oid, before, if before == 1 { k } else { k + 1 })
    }

    pub(super) fn lists(&mut self) {
        let i = self.input.u8() as usize & 1;
        let kind = self.input.u8() % 4;
        if kind == 0 {
            return self.insert_new(i);
        }
        if kind == 1 {
            return self.insert_loose(i);
        }
        if self.model.lists[i].is_empty() {
            return;
        }
        let k = self.input.u8() as usize % self.model.lists[i].len();
        let oid = self.model.lists[i][k].oid;
        let head = self.model.head_at(self.pop, i);
        if kind == 2 {
            let free = self.input.u8() as i32 & 1;
            // SAFETY: an element of the list.
            let r = unsafe { pmemobj_list_remove(self.pop, ENTRY, head, oid, free) };
            assert_eq!(r, 0, "{}", abi::message());
            let o = self.model.lists[i].remove(k);
            if free == 0 {
                self.model.loose.push(o);
            }
            return;
        }
        // To the other list, or to another place of its own.
        let to = self.input.u8() as usize & 1;
        let (dest, before, mut place) = self.position(to);
        if to == i && dest == oid {
            return;
        }
        let to_head = self.model.head_at(self.pop, to);
        // SAFETY: an element of the list, and one of the other or none.
        let r = unsafe { pmemobj_list_move(self.pop, ENTRY, head, ENTRY, to_head, dest, before, oid) };
        assert_eq!(r, 0, "{}", abi::message());
        let o = self.model.lists[i].remove(k);
        if to == i && place > k {
            place -= 1;
        }
        self.model.lists[to].insert(place, o);
    }

    fn insert_new(&mut self, i: usize) {
        let (dest, before, place) = self.position(i);
        let (size, seed) = (MIN_ELEMENT + self.size().min(5000), self.seed());
        let head = self.model.head_at(self.pop, i);
        abi::set_errno(0);
        // SAFETY: a head in the root; an element of the list or none.
        let oid = unsafe {
            let type_num = seed as u64;
            pmemobj_list_insert_new(self.pop, ENTRY, head, dest, before, size, type_num, None, null_mut())
        };
        if oid.is_null() {
            assert_eq!(abi::errno(), libc::ENOMEM, "{}", abi::message());
            return;
        }
        let object = self.model.admit(oid, size, seed as u64, Kind::Element).filled(self.pop, seed);
        self.model.lists[i].insert(place, object);
    }

    fn insert_loose(&mut self, i: usize) {
        let Some(o) = self.model.loose.pop() else { return };
        let (dest, before, place) = self.position(i);
        let head = self.model.head_at(self.pop, i);
        // SAFETY: an element that is on no list.
        let r = unsafe { pmemobj_list_insert(self.pop, ENTRY, head, dest, before, o.oid) };
        assert_eq!(r, 0, "{}", abi::message());
        self.model.lists[i].insert(place, o);
    }
}

//! Transactions: all of what they did, or nothing.

use super::super::abi::{self, *};
use super::World;
use super::model::{Kind, Object};

impl World<'_> {
    pub(super) fn transaction(&mut self) {
        let before = self.model.clone();
        assert!(abi::begin(self.pop));
        if self.input.u8() & 7 == 7 {
            self.lend();
        }
        for _ in 0..1 + self.input.below(24) {
            if !abi::working() {
                break;
            }
            if self.input.u8() & 15 == 15 {
                self.inner();
            } else {
                self.change();
            }
        }
        let commit = self.input.u8() & 3 != 3;
        let committed = commit && abi::working();
        let error = abi::end(commit);
        assert_eq!(error == 0, committed, "{error}");
        if !committed {
            self.model = before;
        }
        if let Some(slot) = self.lent.take() {
            let seed = self.seed();
            let o = &mut self.model.slots[slot];
            *o = o.map(|o| o.filled(self.pop, seed));
        }
    }

    /// A level inside; if it fails, so does the one around it.
    fn inner(&mut self) {
        assert!(abi::begin(self.pop));
        for _ in 0..self.input.below(4) {
            if abi::working() {
                self.change();
            }
        }
        let commit = self.input.u8() & 7 != 7;
        let committed = commit && abi::working();
        let error = abi::end(commit);
        assert_eq!((error == 0, abi::working()), (committed, committed));
    }

    /// Lends an object's memory to a log; too little is refused.
    fn lend(&mut self) {
        let (slot, kind) = (self.slot(), self.input.u8() as i32 & 1);
        let Some(o) = self.model.slots[slot] else { return };
        // SAFETY: memory of an object.
        let r = unsafe { pmemobj_tx_xlog_append_buffer(kind, pmemobj_direct(o.oid), o.size, NO_ABORT) };
        assert!(abi::working());
        assert!(r == 0 || o.size < 256, "{}", abi::message());
        if r == 0 {
            assert!(o.size > 64);
            self.lent = Some(slot);
        }
    }

    /// Changes a place of the root inside of the transaction.
    fn set_slot(&mut self, slot: usize, object: Option<Object>) {
        let at = self.model.slot_at(self.pop, slot);
        // SAFETY: a place of the root; with a snapshot it may change.
        unsafe {
            if pmemobj_tx_xadd_range_direct(at.cast(), 16, 0) == 0 {
                at.write(object.map_or(NULL, |o| o.oid));
            }
        }
        self.model.slots[slot] = object;
    }

    fn change(&mut self) {
        let (slot, seed) = (self.slot(), self.seed());
        if self.lent == Some(slot) {
            return;
        }
        let flags = if self.input.u8() & 3 == 0 { NO_ABORT } else { 0 };
        // SAFETY: a transaction at work; objects of the pool.
        unsafe {
            match (self.input.u8() % 6, self.model.slots[slot]) {
                (0..3, None) => {
                    let (size, zero) = (self.size(), self.input.u8() as u64 & ZERO);
                    let oid = pmemobj_tx_xalloc(size, seed as u64, flags | zero);
                    if oid.is_null() {
                        assert_eq!((abi::errno(), abi::working()), (libc::ENOMEM, flags != 0));
                        return;
                    }
                    let new = self.model.admit(oid, size, seed as u64, Kind::Plain);
                    if zero != 0 {
                        new.assert_zero(self.pop, 0, new.usable);
                    }
                    self.set_slot(slot, Some(new.filled(self.pop, seed)));
                }
                (0, Some(o)) => {
                    if pmemobj_tx_xfree(o.oid, flags) == 0 {
                        self.set_slot(slot, None);
                    }
                }
                (1, Some(o)) => self.realloc_in(slot, o, seed),
                (_, Some(o)) => {
                    // New content, of which all is saved, perhaps in parts.
                    let half = o.size as u64 / 2;
                    let r = pmemobj_tx_xadd_range(o.oid, 0, half as usize, flags)
                        | if abi::working() {
                            pmemobj_tx_xadd_range(o.oid, half, o.size - half as usize, flags)
                        } else {
                            1
                        };
                    if r == 0 {
                        self.model.slots[slot] = Some(o.filled(self.pop, seed));
                    }
                }
                (_, None) => {
                    // Outside of the heap: an error, or an abort.
                    let far = Oid { off: 1 << 40, ..self.model.root.unwrap() };
                    assert_ne!(pmemobj_tx_xadd_range(far, 0, 8, flags), 0);
                    assert_eq!(abi::working(), flags != 0);
                }
            }
        }
    }

    fn realloc_in(&mut self, slot: usize, old: Object, seed: u8) {
        let size = self.size();
        let zero = self.input.u8() & 1 == 1;
        // SAFETY: a transaction at work; an object of the pool.
        let oid = unsafe {
            let f = if zero { pmemobj_tx_zrealloc } else { pmemobj_tx_realloc };
            f(old.oid, size, seed as u64)
        };
        if oid.is_null() {
            assert!(abi::errno() == libc::ENOMEM && !abi::working());
            return;
        }
        let new = self.model.admit(oid, size, seed as u64, Kind::Plain);
        old.assert_content_at(self.pop, oid, size);
        if zero && old.usable < size as u64 {
            new.assert_zero(self.pop, old.usable, size as u64);
        }
        self.set_slot(slot, Some(new.filled(self.pop, seed)));
    }
}

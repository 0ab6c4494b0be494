//! Reservations and other actions, published or cancelled.

use super::super::abi::{self, *};
use super::World;
use super::model::{Kind, Object};

impl World<'_> {
    pub(super) fn actions(&mut self) {
        let mut actions = Vec::new();
        let mut after = self.model.clone();
        let mut reserved: Vec<Object> = Vec::new();
        for _ in 0..1 + self.input.below(24) {
            let slot = self.slot();
            let taken = after.slots[slot];
            if taken.is_some() != self.model.slots[slot].is_some() {
                continue; // one change of each place
            }
            let off = match taken {
                Some(o) => {
                    let mut act = Action([0; 16]);
                    // SAFETY: an object.
                    unsafe { pmemobj_defer_free(self.pop, o.oid, &mut act) };
                    actions.push(act);
                    after.slots[slot] = None;
                    NULL
                }
                None => {
                    let Some(o) = self.reserve(&mut actions, &reserved) else { continue };
                    reserved.push(o);
                    after.slots[slot] = Some(o);
                    o.oid
                }
            };
            let at = self.model.slot_at(self.pop, slot).cast::<u64>();
            for (i, value) in [off.pool_uuid_lo, off.off].into_iter().enumerate() {
                let mut act = Action([0; 16]);
                // SAFETY: a word of the place.
                unsafe { pmemobj_set_value(self.pop, &mut act, at.add(i), value) };
                actions.push(act);
            }
        }
        // Reservations are not seen yet.
        self.model.verify(self.pop);
        if self.carry_out(&mut actions) {
            self.model = after;
        }
    }

    fn reserve(&mut self, actions: &mut Vec<Action>, reserved: &[Object]) -> Option<Object> {
        let (size, seed) = (self.size(), self.seed());
        let zero = self.input.u8() as u64 & ZERO;
        let mut act = Action([0; 16]);
        abi::set_errno(0);
        // SAFETY: an open pool.
        let oid = unsafe { pmemobj_xreserve(self.pop, &mut act, size, seed as u64, zero) };
        if oid.is_null() {
            assert_eq!(abi::errno(), libc::ENOMEM, "{}", abi::message());
            return None;
        }
        actions.push(act);
        let new = self.model.admit(oid, size, seed as u64, Kind::Plain);
        for o in reserved {
            let apart = o.oid.off + o.usable <= oid.off || oid.off + new.usable <= o.oid.off;
            assert!(apart, "{new:?} overlaps {o:?}");
        }
        if zero != 0 {
            new.assert_zero(self.pop, 0, new.usable);
        }
        Some(new.filled(self.pop, seed))
    }

    /// Whether the actions took effect.
    fn carry_out(&mut self, actions: &mut [Action]) -> bool {
        let (p, n) = (actions.as_mut_ptr(), actions.len());
        abi::set_errno(0);
        // SAFETY: actions of this pool, used once.
        unsafe {
            match self.input.u8() % 4 {
                0 => pmemobj_cancel(self.pop, p, n),
                1 | 2 => {
                    if pmemobj_publish(self.pop, p, n) == 0 {
                        return true;
                    }
                    assert_eq!(abi::errno(), libc::ENOMEM, "{}", abi::message());
                    pmemobj_cancel(self.pop, p, n);
                }
                _ => {
                    assert!(abi::begin(self.pop));
                    let r = pmemobj_tx_publish(p, n);
                    if r != 0 {
                        assert_eq!(r, libc::ENOMEM);
                        abi::end(false);
                        pmemobj_cancel(self.pop, p, n);
                        return false;
                    }
                    // An abort gives reservations back.
                    return abi::end(self.input.u8() & 3 != 3) == 0;
                }
            }
        }
        false
    }
}

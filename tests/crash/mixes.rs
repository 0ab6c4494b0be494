//! Random mixes of calls on slots of the root that hold ids of objects: what a
//! slot holds decides what can be done with it, so that a mix needs no model.

use pmem_rs::obj::{Oid, Pool};

use crate::media::NO_CONTENT;
use crate::ops::world;
use crate::rng::Rng;
use crate::world::*;

const SLOTS: u64 = 24;
const SLOT: u64 = 16;
/// The rest of the root is data.
const DATA: u64 = SLOTS * SLOT;
const DATA_LEN: u64 = 3000;
const SIZES: [u64; 8] = [40, 100, 112, 300, 900, 3000, 9000, 300_000];
const STEPS: usize = 10;

struct Mix<'a> {
    pool: &'static Pool,
    root: u64,
    rng: &'a mut Rng,
    /// Slots that actions of the open transaction set when it commits.
    busy: Vec<u64>,
    /// What the open transaction allocated.
    new: Vec<u64>,
}

pub fn mix(scenario: &'static str, nth: u64) -> History {
    let (mut w, root) = world(16);
    let mut rng = Rng::of(&[0x313, nth]);
    for i in 0..SLOTS / 2 {
        let size = SIZES[rng.below(7) as usize];
        alloc(w.pool(), slot(w.pool(), root + SLOT * i), size, i);
    }
    w.record();
    for _ in 0..STEPS {
        let elsewhere = rng.chance(4);
        let kind = rng.below(4);
        let name = ["an atomic call", "a transaction", "a transaction", "one that aborts"][kind as usize];
        w.step(name, |pool| {
            let mut step = || {
                let mut mix = Mix { pool, root, rng: &mut rng, busy: Vec::new(), new: Vec::new() };
                if kind == 0 { mix.atomic() } else { mix.transaction(kind == 3) }
            };
            if elsewhere { on_another_thread(step) } else { step() }
        });
    }
    w.finish(scenario)
}

impl Mix<'_> {
    /// A slot that is not busy, and the offset of its object or 0.
    fn slot(&mut self) -> Option<(u64, u64)> {
        let at = self.root + SLOT * self.rng.below(SLOTS);
        // SAFETY: an id in the root.
        let off = unsafe { (*slot(self.pool, at)).off };
        (!self.busy.contains(&at)).then_some((at, off))
    }

    fn size(&mut self) -> u64 {
        SIZES[self.rng.below(SIZES.len() as u64) as usize]
    }

    fn atomic(&mut self) {
        let Some((id, off)) = self.slot() else { return };
        let (size, type_num) = (self.size(), self.rng.below(1000));
        let dest = slot(self.pool, id);
        if off == 0 {
            alloc(self.pool, dest, size, type_num);
        } else if self.rng.chance(2) {
            free(self.pool, dest);
        } else {
            // SAFETY: an object whose first word is the length of its content.
            let cut = unsafe { *at(self.pool, off).cast::<u64>() } > size;
            let type_num = if cut { NO_CONTENT | type_num } else { type_num };
            // SAFETY: an id in the root.
            unsafe { self.pool.realloc(dest, size, type_num, self.rng.chance(2)) }.unwrap();
        }
    }

    fn transaction(&mut self, aborts: bool) {
        tx().begin(self.pool.target(), None).unwrap();
        let sound = self.calls(0);
        if aborts || !sound { abort() } else { commit() }
    }

    /// Calls inside of a transaction; false if an inner one aborted.
    fn calls(&mut self, depth: u32) -> bool {
        for _ in 0..1 + self.rng.below(5) {
            match self.rng.below(10) {
                0..3 => self.overwrite(),
                3..8 => self.object(),
                8 => self.publish(),
                _ if depth == 2 => {}
                _ => {
                    tx().begin(self.pool.target(), None).unwrap();
                    let sound = self.calls(depth + 1);
                    if !sound || self.rng.chance(6) {
                        abort();
                        return false;
                    }
                    commit();
                }
            }
        }
        true
    }

    fn overwrite(&mut self) {
        let most = if self.rng.chance(4) { DATA_LEN } else { 100 };
        let len = 1 + self.rng.below(most);
        let at = self.root + DATA + self.rng.below(DATA_LEN - len + 1);
        overwrite(self.pool, at, len, self.rng.next() as u8);
    }

    /// Allocates, frees, or moves.
    fn object(&mut self) {
        let Some((at, off)) = self.slot() else { return };
        let (size, type_num) = (self.size(), self.rng.below(1000));
        if off == 0 {
            let off = tx_alloc(self.pool, at, size, type_num);
            self.new.push(off);
        } else if self.rng.chance(2) {
            tx_free(self.pool, at);
        } else if let Ok(off) = tx().realloc(off, &request(size, type_num)) {
            fill(crate::world::at(self.pool, off), size, type_num);
            self.new.push(off);
            tx_set(self.pool, at, Oid { pool_uuid_lo: self.pool.uuid_lo(), off });
        }
    }

    /// An object reserved, and one freed, when the transaction commits.
    fn publish(&mut self) {
        let (Some(new), Some(old)) = (self.slot(), self.slot()) else { return };
        if new.1 != 0 || old.1 == 0 || self.new.contains(&old.1) {
            return;
        }
        let (p, size, type_num) = (self.pool, self.size(), self.rng.below(1000));
        let (oid, reserved) = p.reserve(request(size, type_num), None).unwrap();
        fill(at(p, oid.off), size, type_num);
        persist(p, at(p, oid.off), size);
        let word = |slot: u64, value| p.set_value(at(p, slot).cast(), value);
        let acts = [
            reserved,
            word(new.0, oid.pool_uuid_lo),
            word(new.0 + 8, oid.off),
            p.defer_free(old.1).unwrap(),
            word(old.0, 0),
            word(old.0 + 8, 0),
        ];
        p.with_actions(&acts, |actions| tx().publish(actions)).unwrap().unwrap();
        self.busy.extend([new.0, old.0]);
    }
}

//! A recovered pool goes on: random operations work, and do not touch what was
//! there.

use std::collections::BTreeMap;

use pmem_rs::obj::{self, List, Oid, Pool, Position};

use crate::media::{self, Logical, NO_CONTENT};
use crate::recover::difference;
use crate::rng::Rng;
use crate::world::{self, SNAPSHOT, at, fill, request, tx};

const SIZES: [u64; 10] = [40, 100, 300, 1500, 5000, 40_000, 140_000, 300_000, 1_100_000, 2_700_000];
/// Bytes of an object that are filled and compared.
const FILLED: u64 = 4096;
const MAX_ELEMENTS: usize = 6;

/// An object of ours.
#[derive(Clone, Copy)]
struct Own {
    type_num: u64,
    size: u64,
    /// Of its content.
    seed: u64,
}

impl Own {
    fn filled(&self) -> u64 {
        self.size.min(FILLED)
    }

    fn content(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.filled() as usize];
        fill(bytes.as_mut_ptr(), self.filled(), self.seed);
        bytes
    }
}

/// Why an operation did not happen as it should.
enum Trouble {
    Refused(obj::Error),
    Wrong(String),
}

impl From<obj::Error> for Trouble {
    fn from(e: obj::Error) -> Trouble {
        Trouble::Refused(e)
    }
}

type Done = Result<(), Trouble>;

struct Afterlife<'a> {
    pool: &'static Pool,
    rng: &'a mut Rng,
    before: &'a Logical,
    /// Own objects by offset, but for those of the list.
    own: BTreeMap<u64, Own>,
    /// What the root held.
    root: Vec<u8>,
    list: Option<List>,
    /// The head, and the elements.
    elements: Vec<u64>,
}

/// Does `n` operations in a pool that holds `before`.
pub fn live_on(pool: &'static Pool, before: &Logical, n: usize, rng: &mut Rng) -> Result<(), String> {
    let root = root_bytes(pool, before).to_vec();
    let (own, elements) = (BTreeMap::new(), Vec::new());
    let mut life = Afterlife { pool, rng, before, own, root, list: None, elements };
    for i in 0..n {
        life.operation().map_err(|e| format!("operation {i} after recovery: {e}"))?;
    }
    life.judge().map_err(|e| format!("after {n} more operations: {e}"))
}

fn root_bytes(pool: &'static Pool, before: &Logical) -> &'static [u8] {
    let b = world::bytes(pool);
    &b[media::u64_at(b, 0x1800) as usize..][..before.root.0 as usize]
}

impl Afterlife<'_> {
    fn operation(&mut self) -> Result<(), String> {
        let result = match self.rng.below(16) {
            0..3 => self.reserve(),
            3..5 => self.alloc(),
            5..8 => self.free(),
            8..10 => self.realloc(),
            10..14 => self.transaction(),
            14 => self.change_list(),
            _ => self.grow_root(),
        };
        match result {
            // What does not fit.
            Err(Trouble::Refused(e)) if e.errno() == libc::ENOMEM => Ok(()),
            Err(Trouble::Refused(e)) => Err(e.to_string()),
            Err(Trouble::Wrong(what)) => Err(what),
            Ok(()) => Ok(()),
        }
    }

    fn draw(&mut self) -> Own {
        let type_num = self.rng.next() & !NO_CONTENT;
        Own { type_num, size: SIZES[self.rng.below(SIZES.len() as u64) as usize], seed: self.rng.next() }
    }

    fn fill(&self, off: u64, what: Own) {
        fill(at(self.pool, off), what.filled(), what.seed);
    }

    fn keep(&mut self, off: u64, what: Own) -> Done {
        self.fill(off, what);
        let known = self.own.insert(off, what).is_some() || self.elements.contains(&off);
        if known || self.before.objects.contains_key(&off) {
            return Err(Trouble::Wrong(format!("{off:#x} handed out twice")));
        }
        Ok(())
    }

    fn pick(&mut self) -> Option<u64> {
        let n = self.rng.below(self.own.len() as u64 + 1) as usize;
        self.own.keys().nth(n).copied()
    }

    fn oid(&self, off: u64) -> Oid {
        Oid { pool_uuid_lo: self.pool.uuid_lo(), off }
    }

    fn reserve(&mut self) -> Done {
        let what = self.draw();
        let (new, action) = self.pool.reserve(request(what.size, what.type_num), None)?;
        if self.rng.chance(4) {
            self.fill(new.off, what);
            self.pool.cancel(&[action]);
            return Ok(());
        }
        self.keep(new.off, what)?;
        let mut actions = vec![action];
        if let Some(off) = self.pick().filter(|&off| off != new.off) {
            actions.push(self.pool.defer_free(off)?);
            self.own.remove(&off);
        }
        // SAFETY: made by this pool, used once.
        unsafe { self.pool.publish(&actions) }?;
        Ok(())
    }

    fn alloc(&mut self) -> Done {
        let what = self.draw();
        let (mut oid, mut req) = (Oid::NULL, request(what.size, what.type_num));
        req.zero = self.rng.chance(2);
        // SAFETY: an id in volatile memory.
        unsafe { self.pool.alloc(&mut oid, req, None) }?;
        self.keep(oid.off, what)
    }

    fn free(&mut self) -> Done {
        let Some(off) = self.pick() else { return Ok(()) };
        self.own.remove(&off);
        // SAFETY: an id in volatile memory.
        unsafe { self.pool.free(&mut self.oid(off)) }?;
        Ok(())
    }

    fn realloc(&mut self) -> Done {
        let Some(off) = self.pick() else { return Ok(()) };
        let (old, new) = (self.own[&off], self.draw());
        let mut oid = self.oid(off);
        // SAFETY: an id in volatile memory.
        unsafe { self.pool.realloc(&mut oid, new.size, new.type_num, self.rng.chance(2)) }?;
        let kept = old.filled().min(new.size) as usize;
        let found = &world::bytes(self.pool)[oid.off as usize..][..kept];
        if *found != old.content()[..kept] {
            return Err(Trouble::Wrong(format!("realloc of {off:#x} to {} bytes lost content", new.size)));
        }
        self.own.remove(&off);
        // The type stays if the size does.
        self.keep(oid.off, Own { type_num: self.pool.type_num(oid.off), ..new })
    }

    /// Allocates, changes and frees.
    fn transaction(&mut self) -> Done {
        let (nested, aborts) = (self.rng.chance(3), self.rng.chance(3));
        let begin = || tx().begin(self.pool.target(), None).expect("begins");
        begin();
        if nested {
            begin();
        }
        let what = self.draw();
        let new = tx().alloc(&request(what.size, what.type_num), true).ok();
        if let Some(off) = new {
            self.fill(off, what);
        }
        let (victim, changed, seed) = (self.pick(), self.pick(), self.rng.next());
        let mut room = true;
        if let Some(off) = changed {
            let what = Own { seed, ..self.own[&off] };
            room &= tx().add_range(off, what.filled(), SNAPSHOT).is_ok();
            if room {
                self.fill(off, what);
            }
        }
        if let Some(off) = victim {
            room &= tx().free(off).is_ok();
        }
        if nested {
            world::commit();
        }
        if aborts || !room {
            world::abort();
            return Ok(());
        }
        world::commit();
        if let Some(off) = changed {
            self.own.entry(off).and_modify(|o| o.seed = seed);
        }
        victim.map(|off| self.own.remove(&off));
        new.map_or(Ok(()), |off| self.keep(off, what))
    }

    fn change_list(&mut self) -> Done {
        let list = match self.list {
            Some(list) => list,
            None => {
                let mut oid = Oid::NULL;
                let req = obj::Request { zero: true, ..request(80, NO_CONTENT) };
                // SAFETY: an id in volatile memory.
                unsafe { self.pool.alloc(&mut oid, req, None) }?;
                self.elements.push(oid.off);
                *self.list.insert(self.pool.list(at(self.pool, oid.off), 8)?)
            }
        };
        let place = Position { dest: 0, before: self.rng.chance(2) };
        if self.elements.len() <= MAX_ELEMENTS && !self.rng.chance(3) {
            let new = self.pool.list_insert_new(list, place, request(100, NO_CONTENT | 1), None)?;
            self.elements.push(new.off);
        } else if self.elements.len() > 1 {
            let i = 1 + self.rng.below(self.elements.len() as u64 - 1) as usize;
            if self.rng.chance(2) {
                self.pool.list_move(list, list, place, self.elements[i])?;
                return Ok(());
            }
            self.pool.list_remove(list, self.elements.swap_remove(i), true)?;
        }
        Ok(())
    }

    fn grow_root(&mut self) -> Done {
        let size = self.pool.root_size() + 1 + self.rng.below(3000);
        self.pool.root(size, None)?;
        Ok(())
    }

    fn judge(&self) -> Result<(), String> {
        let b = world::bytes(self.pool);
        let heap = media::heap(b)?;
        if !self.own.is_empty() && heap.chunks != media::fitting_chunks(b) {
            return Err(format!("zone of {} chunks, {} fit", heap.chunks, media::fitting_chunks(b)));
        }
        let after = media::logical_of(b, &heap)?;
        let mut rest = after.clone();
        rest.objects.retain(|off, _| !self.own.contains_key(off) && !self.elements.contains(off));
        if root_bytes(self.pool, self.before) != self.root {
            return Err("the root's content is not what it was".into());
        }
        rest.root = self.before.root;
        if rest != *self.before {
            return Err(format!("damage: {}", difference(&rest, std::slice::from_ref(self.before))));
        }
        if let Some(off) = self.elements.iter().find(|off| !after.objects.contains_key(off)) {
            return Err(format!("element at {off:#x} lost"));
        }
        for (&off, own) in &self.own {
            let object = after.objects.get(&off);
            let sound = object.is_some_and(|o| o.0 == own.type_num && o.1 >= own.size);
            if !sound || b[off as usize..][..own.filled() as usize] != own.content() {
                return Err(format!("{off:#x} of {} bytes is {object:x?}, or has other content", own.size));
            }
        }
        Ok(())
    }
}

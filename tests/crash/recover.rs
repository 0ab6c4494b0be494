//! Recovers crash states with the library and judges what it finds.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;

use pmem_rs::flush::recorder::{self, Recording, Site};
use pmem_rs::obj::{Error, Oid, Pool};
use pmem_rs::pool::OpenOptions;

use crate::media::{self, Logical};
use crate::rng::Rng;
use crate::states::{self, Budget, Id};
use crate::world::{self, History, ImageFile, unlocked};

/// Changes made to each recovered pool.
const AFTERLIFE: usize = 12;

/// Counts of what was tried.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub fences: u64,
    pub states: u64,
    /// Crashes during the recovery of a crash.
    pub second: u64,
}

/// One state that violated an invariant.
#[derive(Debug)]
pub struct Failure(pub String);

/// What else to do with some of the states.
pub trait Sample {
    fn take(&mut self, name: &str, image: &[u8], recovered: &Logical);
}

pub struct Judge<'a> {
    pub budget: Budget,
    /// One state in this many is crashed again while it is recovered.
    pub second_in: u64,
    pub sample: Option<&'a mut dyn Sample>,
    pub tally: Tally,
    /// What recorded recoveries passed.
    pub sites: BTreeSet<Site>,
    rng: Rng,
}

impl<'a> Judge<'a> {
    pub fn new(budget: Budget, second_in: u64) -> Judge<'a> {
        Judge {
            budget,
            second_in,
            sample: None,
            tally: Tally::default(),
            sites: BTreeSet::new(),
            rng: Rng::new(7),
        }
    }

    /// Tries the states of a history until one fails.
    pub fn history(&mut self, h: &History) -> Result<(), Failure> {
        self.tally.fences += h.recording.fences.len() as u64;
        let mut failure = None;
        let mut base = ImageFile::new(&h.recording.initial);
        let path = base.file.0.clone();
        states::each(&h.recording, self.budget, base.bytes(), |id, stop, image| {
            self.tally.states += 1;
            let step = &h.names[stop.mark as usize];
            let r = opened_state(image, &h.recording.initial, stop.mark as usize + 1 == h.names.len())
                .and_then(|()| self.state(&path, image, h.allowed(stop.mark), id));
            if let Err(e) = &r {
                let site = stop.site.map_or("the end".into(), |s| s.to_string());
                failure = Some(format!(
                    "{} step {} ({step}) fence {} ({site}) state {}: {e}",
                    h.scenario, stop.mark, id.fence, id.n
                ));
            }
            r.is_ok()
        });
        if failure.is_none() && media::shutdown_state(base.bytes()) != Some(false) {
            failure = Some(format!("{}: closed, but not marked so", h.scenario));
        }
        failure.map_or(Ok(()), |f| Err(Failure(f)))
    }

    /// A crash during creation: no pool, and said so, or an empty one.
    pub fn creation(&mut self, r: &Recording) -> Result<(), Failure> {
        self.tally.fences += r.fences.len() as u64;
        let (mut failure, mut pools, mut no_pools) = (None, 0, 0);
        let mut base = ImageFile::new(&r.initial);
        let path = base.file.0.clone();
        states::each(r, self.budget, base.bytes(), |id, stop, image| {
            self.tally.states += 1;
            let rng = &mut self.rng;
            let open = unlocked(|| Pool::open_with(&path, None, OpenOptions { private: true }));
            let result = match open {
                Ok(pool) => {
                    pools += 1;
                    let r = created(image)
                        .and_then(|()| judge_open(pool, &[Logical::default()]))
                        .and_then(|_| afterlife(pool, rng));
                    world::close(pool);
                    r
                }
                Err(Error::File(_) | Error::Heap(_)) if stop.mark == 0 => {
                    no_pools += 1;
                    Ok(())
                }
                Err(e) => Err(format!("open: {e}")),
            };
            failure = result.err().map(|e| format!("create: fence {} state {}: {e}", id.fence, id.n));
            failure.is_none()
        });
        if failure.is_none() && (pools == 0 || no_pools == 0) {
            failure = Some(format!("create: {pools} pools, {no_pools} that are none"));
        }
        failure.map_or(Ok(()), |f| Err(Failure(f)))
    }

    fn state(&mut self, path: &CStr, image: &[u8], allowed: &[Logical], id: Id) -> Result<(), String> {
        if self.rng.chance(8) {
            match unlocked(|| Pool::check(path, None)) {
                Ok(Ok(())) => {}
                Ok(Err(e)) => return Err(format!("check: {e}")),
                Err(e) => return Err(format!("check cannot open: {e}")),
            }
        }
        let rng = &mut self.rng;
        let found = recovered(path, allowed, |pool| afterlife(pool, rng))?;
        if let Some(sample) = &mut self.sample {
            sample.take(&format!("{}.{}", id.fence, id.n), image, &found);
        }
        if self.second_in != 0 && self.rng.chance(self.second_in) {
            return self.recovery(image, &found);
        }
        Ok(())
    }

    /// A crash during recovery ends in the same content.
    fn recovery(&mut self, image: &[u8], expected: &Logical) -> Result<(), String> {
        let mut base = ImageFile::new(image);
        let path = base.file.0.clone();
        recorder::arm();
        let pool = unlocked(|| Pool::open(&path, None)).map_err(|e| format!("open: {e}"))?;
        recorder::mark(1);
        change_root(pool);
        recorder::mark(2);
        let changed = media::logical(world::bytes(pool))?;
        world::close(pool);
        let r = recorder::finish().expect("armed");
        self.sites.extend(r.sites.keys());
        let states = [expected.clone(), changed];
        let allowed = [&states[..1], &states[..], &states[1..]];
        base.bytes().copy_from_slice(&r.initial);
        let mut failure = None;
        let budget = Budget { per_fence: self.budget.per_fence.min(8) };
        states::each(&r, budget, base.bytes(), |id, stop, _| {
            self.tally.second += 1;
            let r = recovered(&path, allowed[stop.mark as usize], |_| Ok(()));
            failure = r.err().map(|e| format!("crash in recovery, fence {} state {}: {e}", id.fence, id.n));
            failure.is_none()
        });
        failure.map_or(Ok(()), Err)
    }
}

/// What a pool has to hold from its first moment on, though this library would
/// do without some of it.
fn created(image: &[u8]) -> Result<(), String> {
    for lane in (0..1024).map(|i| media::LANES + i * media::LANE) {
        for (log, capacity) in [(0, 192), (0x100, 640), (0x3c0, 2048)] {
            let header = [0, 8, 16, 24, 32, 64].map(|f| media::u64_at(image, lane + log + f));
            if header != [0, 0, capacity, 0, 0, 0] {
                return Err(format!("the log at {:#x} has {header:x?}", lane + log));
            }
        }
    }
    let zero = |from: usize, to: usize| image[from..to].iter().all(|&b| b == 0);
    let zone = media::ZONE as usize;
    if !zero(0x1830, 0x1a20) || !zero(zone, zone + 72) {
        return Err("reserved words, or those of an unused zone, are not zero".into());
    }
    Ok(())
}

/// Changes words that may have been part of an interrupted transaction.
fn change_root(pool: &'static Pool) {
    let (root, size) = (pool.root(1, None).map(|o| o.off), pool.root_size());
    let words = [0u64, 64, 72, 104, 200, 304, 1000].into_iter().filter(|at| at + 8 <= size);
    if let (Ok(root), true) = (root, size > 8) {
        let set = |at: u64| pool.set_value(world::at(pool, root + at).cast(), 0x1234_5678);
        // SAFETY: words of the root.
        unsafe { pool.publish(&words.map(set).collect::<Vec<_>>()) }.expect("few words");
    }
}

/// A pool that changed is marked as open until it is closed.
fn opened_state(image: &[u8], initial: &[u8], closing: bool) -> Result<(), String> {
    let changed = media::u64_at(image, 0x1808) != media::u64_at(initial, 0x1808);
    match media::shutdown_state(image) {
        Some(false) if changed && !closing => Err("open, but not marked so".into()),
        _ => Ok(()),
    }
}

/// Opens a copy of a pool, judges it and then does `f`.
fn recovered(
    path: &CStr,
    allowed: &[Logical],
    f: impl FnOnce(&'static Pool) -> Result<(), String>,
) -> Result<Logical, String> {
    let pool = unlocked(|| Pool::open_with(path, None, OpenOptions { private: true }))
        .map_err(|e| format!("open: {e}"))?;
    let r = judge_open(pool, allowed).and_then(|l| f(pool).map(|()| l));
    world::close(pool);
    r
}

/// A pool that was just recovered: its heap, its logs, its content.
fn judge_open(pool: &'static Pool, allowed: &[Logical]) -> Result<Logical, String> {
    let b = world::bytes(pool);
    media::logs_are_idle(b)?;
    let heap = media::heap(b)?;
    let root = media::u64_at(b, 0x1800);
    if let Some(o) = heap.objects.iter().find(|o| o.internal && o.off != root) {
        return Err(format!("leaked: internal object at {:#x}", o.off));
    }
    let locks = heap.objects.iter().filter(|o| o.type_num == media::LOCK);
    if let Some(o) = locks.clone().find(|o| media::u64_at(b, o.off) == media::u64_at(b, 0x1808)) {
        return Err(format!("the lock at {:#x} of an earlier run looks initialised", o.off));
    }
    let found = media::logical(b)?;
    let mut seen = Vec::new();
    let mut oid = pool.first();
    while !oid.is_null() {
        seen.push(oid.off);
        oid = pool.next(oid.off);
    }
    if !seen.iter().eq(found.objects.keys()) {
        return Err(format!("iteration finds {seen:x?}, media has {:x?}", found.objects.keys()));
    }
    if !allowed.contains(&found) {
        return Err(format!("unexpected content: {}", difference(&found, allowed)));
    }
    Ok(found)
}

fn difference(found: &Logical, allowed: &[Logical]) -> String {
    let one = |want: &Logical| {
        let mut d = Vec::new();
        if want.root != found.root {
            d.push(format!("root {:x?} instead of {:x?}", found.root, want.root));
        }
        for (off, o) in &want.objects {
            match found.objects.get(off) {
                None => d.push(format!("{off:#x} lost")),
                Some(f) if f != o => d.push(format!("{off:#x} is {f:x?} instead of {o:x?}")),
                _ => {}
            }
        }
        let extra = found.objects.keys().filter(|k| !want.objects.contains_key(k));
        d.extend(extra.map(|off| format!("{off:#x} leaked")));
        d.truncate(4);
        d.join(", ")
    };
    allowed.iter().map(one).collect::<Vec<_>>().join(" | or: ")
}

/// The pool goes on: random operations must not touch what is there.
fn afterlife(pool: &'static Pool, rng: &mut Rng) -> Result<(), String> {
    let before = media::logical(world::bytes(pool))?;
    let mut own: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for _ in 0..AFTERLIFE {
        let size = [40, 100, 300, 1500, 5000, 40_000, 300_000, 2_700_000][rng.below(8) as usize];
        let type_num = rng.next() & !media::NO_CONTENT;
        let mut oid = Oid::NULL;
        match rng.below(5) {
            0 | 1 => {
                if let Ok((new, action)) = pool.reserve(world::request(size, type_num), None) {
                    world::fill(world::at(pool, new.off), size.min(4096), type_num);
                    if rng.chance(4) {
                        pool.cancel(&[action]);
                        continue;
                    }
                    // SAFETY: just reserved.
                    unsafe { pool.publish(&[action]) }.map_err(|e| format!("publish: {e}"))?;
                    oid = new;
                }
            }
            2 => {
                if let Some((&off, _)) = own.iter().nth(rng.below(own.len() as u64 + 1) as usize) {
                    oid.off = off;
                    // SAFETY: an id in volatile memory.
                    unsafe { pool.free(&mut oid) }.map_err(|e| format!("free: {e}"))?;
                    own.remove(&off);
                }
                continue;
            }
            _ => {
                world::tx().begin(pool.target(), None).map_err(|e| format!("begin: {e}"))?;
                let new = world::tx().alloc(&world::request(size, type_num), true);
                if let Ok(off) = new {
                    world::fill(world::at(pool, off), size.min(4096), type_num);
                }
                let victim = own.keys().next().copied();
                if let Some(off) = victim {
                    world::tx().add_range(off, 40, world::SNAPSHOT).map_err(|e| format!("add: {e}"))?;
                    world::fill(world::at(pool, off), 40, 1);
                    world::tx().free(off).map_err(|e| format!("tx free: {e}"))?;
                }
                if rng.chance(2) {
                    world::abort();
                    continue;
                }
                world::commit();
                if let Some(off) = victim {
                    own.remove(&off);
                }
                oid.off = new.unwrap_or(0);
            }
        }
        let taken = |off| before.objects.contains_key(&off);
        if oid.off != 0 && (taken(oid.off) || own.insert(oid.off, (type_num, size)).is_some()) {
            return Err(format!("{:#x} handed out twice", oid.off));
        }
    }
    let b = world::bytes(pool);
    let after = media::logical(b).map_err(|e| format!("after more changes: {e}"))?;
    let mut rest = after.clone();
    rest.objects.retain(|off, _| !own.contains_key(off));
    if rest != before {
        return Err(format!("more changes damaged: {}", difference(&rest, std::slice::from_ref(&before))));
    }
    for (off, (type_num, size)) in own {
        let ok = after.objects.get(&off).is_some_and(|o| o.0 == type_num && o.1 >= size);
        let len = media::u64_at(b, off);
        if !ok || (len != size.min(4096) && len != 40) {
            return Err(format!(
                "after more changes {off:#x} of {size} bytes: {:x?}",
                after.objects.get(&off)
            ));
        }
    }
    Ok(())
}

//! Recovers crash states with the library and judges what it finds.
#![allow(dead_code)] // each program takes what it needs

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;

use pmem_rs::flush::recorder::{self, Fence, Kind, Recording, Site};
use pmem_rs::obj::{Error, Pool};
use pmem_rs::pool::OpenOptions;
use pmem_rs::pool::finding::Finding;

use crate::afterlife::live_on;
use crate::media::{self, Logical};
use crate::pmdk::Pmdk;
use crate::rng::Rng;
use crate::states::{self, Budget, Choice, Id, Slice, Stop};
use crate::world::{self, History, ImageFile, unlocked};

/// Operations in each recovered pool, and in some.
const FEW: usize = 12;
const MANY: usize = 100;
/// One in so many states is used for long.
const MANY_IN: u64 = 8;
/// One in so many is checked before it is recovered.
const CHECK_IN: u64 = 8;
/// One in so many is recovered by PMDK, too.
const PMDK_IN: u64 = 16;
/// States per fence of a recovery.
const SECOND: usize = 8;

/// Counts of what was tried.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub fences: u64,
    pub states: u64,
    /// States that were crashed again during recovery, and how often.
    pub crashed_again: u64,
    pub second: u64,
    /// Used for long.
    pub used: u64,
    /// Recovered by PMDK, too.
    pub compared: u64,
}

impl Tally {
    pub fn plus(&self, t: &Tally) -> Tally {
        Tally {
            fences: self.fences + t.fences,
            states: self.states + t.states,
            crashed_again: self.crashed_again + t.crashed_again,
            second: self.second + t.second,
            used: self.used + t.used,
            compared: self.compared + t.compared,
        }
    }
}

/// One state that violated an invariant: its scenario and numbers, and why.
#[derive(Debug)]
pub struct Failure(pub String);

/// What a scenario leaves.
pub enum Recorded {
    History(History),
    /// Of the creation of a pool.
    Creation(Recording),
}

impl Recorded {
    pub fn recording(&self) -> &Recording {
        match self {
            Recorded::History(h) => &h.recording,
            Recorded::Creation(r) => r,
        }
    }
}

/// What a pool may hold after a crash.
#[derive(Clone, Copy)]
struct Allowed<'a> {
    contents: &'a [Logical],
    /// Values of the statistic.
    allocated: &'a [u64],
}

const EMPTY: &[Logical] = &[Logical { root: (0, 0), objects: BTreeMap::new() }];

/// Sees the id of a state, and what was done so far.
pub type Watch = Box<dyn FnMut(&str, &Tally)>;
/// Sees a state that is tried again.
type Show<'a> = &'a mut dyn FnMut(&Stop, &Choice, &[u8]);

pub struct Judge {
    pub budget: Budget,
    pub slice: Slice,
    /// One state in this many is crashed again while it is recovered; 0: none.
    pub second_in: u64,
    pub pmdk: Option<Pmdk>,
    /// Each state undergoes everything that is done to some of them.
    pub thorough: bool,
    pub tally: Tally,
    /// Told before each state.
    pub watch: Option<Watch>,
    /// What recorded recoveries passed.
    pub sites: BTreeSet<Site>,
    /// States that stopped at a fence, or in which a flush was undecided.
    pub coverage: BTreeMap<Site, u64>,
}

/// What happens to a state besides.
#[derive(Clone, Copy)]
enum Draw {
    Check = 1,
    Use,
    Operations,
    Compare,
    Again,
}

impl Judge {
    pub fn new(budget: Budget, second_in: u64) -> Judge {
        Judge {
            budget,
            slice: Slice::ALL,
            second_in,
            pmdk: None,
            thorough: false,
            tally: Tally::default(),
            watch: None,
            sites: BTreeSet::new(),
            coverage: BTreeMap::new(),
        }
    }

    pub fn recorded(&mut self, name: &str, r: &Recorded) -> Result<(), Failure> {
        match r {
            Recorded::History(h) => self.history(h),
            Recorded::Creation(r) => self.creation_of(name, r),
        }
    }

    /// Tries the states of a history until one fails.
    pub fn history(&mut self, h: &History) -> Result<(), Failure> {
        let end = self.each(h.scenario, &h.recording, |judge, path, id, stop, image| {
            judge.state_of(h, path, id, stop, image)
        })?;
        match media::shutdown_state(&end) {
            Some(false) => Ok(()),
            _ => Err(Failure(format!("{}: closed, but not marked so", h.scenario))),
        }
    }

    /// A crash during creation: no pool, and said so, or an empty one.
    pub fn creation(&mut self, r: &Recording) -> Result<(), Failure> {
        self.creation_of("create", r)
    }

    fn creation_of(&mut self, name: &str, r: &Recording) -> Result<(), Failure> {
        let (mut pools, mut no_pools) = (0, 0);
        self.each(name, r, |judge, path, id, stop, image| {
            let is_pool = judge.created_state(path, id, stop, image)?;
            *if is_pool { &mut pools } else { &mut no_pools } += 1;
            Ok(())
        })?;
        if self.slice.of == 1 && (pools == 0 || no_pools == 0) {
            return Err(Failure(format!("{name}: {pools} pools, {no_pools} that are none")));
        }
        Ok(())
    }

    /// Tries one state again, or one of its recovery, and everything with it.
    /// `show` sees the state first.
    pub fn replay(
        &mut self,
        name: &str,
        recorded: &Recorded,
        id: Id,
        second: Option<Id>,
        show: Show,
    ) -> Result<(), Failure> {
        self.thorough = true;
        let r = recorded.recording();
        let mut base = ImageFile::new(&r.initial);
        let path = base.file.0.clone();
        let result = states::one(r, id, base.bytes(), |stop, choice, image| {
            if let (Some(second), Recorded::History(h)) = (second, recorded) {
                let found = recovered(&path, h_allowed(h, stop.fence.mark), |_, _| Ok(()))?;
                return self.recovery(name, image, &found, id, Some((second, show)));
            }
            show(stop, choice, image);
            match recorded {
                Recorded::History(h) => self.state_of(h, &path, id, stop.fence, image),
                Recorded::Creation(_) => self.created_state(&path, id, stop.fence, image).map(|_| ()),
            }
        });
        result.map_err(|e| Failure(format!("{name}:{id}: {e}")))
    }

    /// Shows each state to `judge`; the image in the end.
    fn each(
        &mut self,
        name: &str,
        r: &Recording,
        mut judge: impl FnMut(&mut Judge, &CStr, Id, &Fence, &[u8]) -> Result<(), String>,
    ) -> Result<Vec<u8>, Failure> {
        let mut base = ImageFile::new(&r.initial);
        let path = base.file.0.clone();
        let (mut failure, mut stopped) = (None, vec![0u64; r.fences.len()]);
        states::each_of(r, self.budget, self.slice, base.bytes(), |id, stop, image| {
            if let Some(watch) = &mut self.watch {
                watch(&format!("{name}:{id}"), &self.tally);
            }
            self.tally.states += 1;
            stopped[id.fence] += 1;
            let result = judge(self, &path, id, stop, image);
            failure = result.err().map(|e| Failure(format!("{name}:{id}: {e}")));
            failure.is_none()
        });
        self.tally.fences += stopped.iter().filter(|&&n| n > 0).count() as u64;
        self.cover(r, &stopped);
        failure.map_or_else(|| Ok(base.bytes().to_vec()), Err)
    }

    /// Counts `states[i]` states that stopped at fence `i`.
    fn cover(&mut self, r: &Recording, states: &[u64]) {
        for (fence, &n) in r.fences.iter().zip(states).filter(|(_, n)| **n > 0) {
            let flushes = fence.lines.iter().flat_map(|l| &l.flushed_by).collect::<BTreeSet<_>>();
            let flushes = flushes.into_iter().map(|&site| (Kind::Flush, site));
            for site in flushes.chain(fence.site.map(|site| (Kind::Fence, site))) {
                *self.coverage.entry(site).or_default() += n;
            }
        }
    }

    fn draw(&self, what: Draw, id: Id) -> Rng {
        Rng::of(&[what as u64, id.fence as u64, id.n])
    }

    fn drawn(&self, what: Draw, id: Id, one_in: u64) -> bool {
        one_in != 0 && (self.thorough || self.draw(what, id).chance(one_in))
    }

    fn state_of(
        &mut self,
        h: &History,
        path: &CStr,
        id: Id,
        stop: &Fence,
        image: &[u8],
    ) -> Result<(), String> {
        opened_state(image, &h.recording.initial, stop.mark as usize + 1 == h.names.len())
            .and_then(|()| self.state(h.scenario, path, image, h_allowed(h, stop.mark), id))
            .map_err(|e| {
                let site = stop.site.map_or("the end".into(), |s| s.to_string());
                format!("step {} ({}) {site}: {e}", stop.mark, h.names[stop.mark as usize])
            })
    }

    /// Whether the state of a creation is a pool.
    fn created_state(&mut self, path: &CStr, id: Id, stop: &Fence, image: &[u8]) -> Result<bool, String> {
        let open = unlocked(|| Pool::open_with(path, None, OpenOptions { private: true }));
        match open {
            Ok(pool) => {
                let r = created(image)
                    .and_then(|()| judge_open(pool, Allowed { contents: EMPTY, allocated: &[0] }))
                    .and_then(|found| self.use_pool(pool, &found, id));
                world::close(pool);
                r.and_then(|()| self.compare(path, &EMPTY[0], id)).map(|()| true)
            }
            Err(Error::File(_) | Error::Heap(_)) if stop.mark == 0 => Ok(false),
            Err(e) => Err(format!("open: {e}")),
        }
    }

    fn state(
        &mut self,
        name: &str,
        path: &CStr,
        image: &[u8],
        allowed: Allowed,
        id: Id,
    ) -> Result<(), String> {
        if self.drawn(Draw::Check, id, CHECK_IN) {
            let mut first = String::new();
            let tell = &mut |f: &Finding| first = f.to_string();
            match unlocked(|| Pool::check(path, None, tell)) {
                Ok(true) => {}
                Ok(false) => return Err(format!("check: {first}")),
                Err(e) => return Err(format!("check cannot open: {e}")),
            }
        }
        let found = recovered(path, allowed, |pool, found| self.use_pool(pool, found, id))?;
        self.compare(path, &found, id)?;
        if self.drawn(Draw::Again, id, self.second_in) {
            self.tally.crashed_again += 1;
            self.recovery(name, image, &found, id, None)?;
        }
        Ok(())
    }

    fn use_pool(&mut self, pool: &'static Pool, found: &Logical, id: Id) -> Result<(), String> {
        let long = self.drawn(Draw::Use, id, MANY_IN);
        self.tally.used += long as u64;
        live_on(pool, found, if long { MANY } else { FEW }, &mut self.draw(Draw::Operations, id))
    }

    fn compare(&mut self, path: &CStr, found: &Logical, id: Id) -> Result<(), String> {
        let drawn = self.drawn(Draw::Compare, id, PMDK_IN);
        match &mut self.pmdk {
            Some(pmdk) if drawn => {
                self.tally.compared += 1;
                pmdk.compare(path, found)
            }
            _ => Ok(()),
        }
    }

    /// A crash during recovery, or in what follows, ends in the same content.
    fn recovery(
        &mut self,
        name: &str,
        image: &[u8],
        expected: &Logical,
        first: Id,
        only: Option<(Id, Show)>,
    ) -> Result<(), String> {
        let mut base = ImageFile::new(image);
        let path = base.file.0.clone();
        let (r, states) = recorded_recovery(&path, expected)?;
        self.sites.extend(r.sites.keys());
        base.bytes().copy_from_slice(&r.initial);
        let allocated = [media::u64_at(image, media::ALLOCATED)];
        let judge = |stop: &Fence| {
            let i = stop.mark as usize;
            let contents = &states[i.saturating_sub(1)..(i + 1).min(states.len())];
            recovered(&path, Allowed { contents, allocated: &allocated }, |_, _| Ok(())).map(|_| ())
        };
        let told = |id, e| format!("crash in recovery {name}:{first}:{id}: {e}");
        if let Some((id, show)) = only {
            if id.fence >= r.fences.len() {
                return Err(format!("the recovery has {} fences", r.fences.len()));
            }
            return states::one(&r, id, base.bytes(), |stop, choice, image| {
                show(stop, choice, image);
                judge(stop.fence).map_err(|e| told(id, e))
            });
        }
        let budget = Budget { per_fence: self.budget.per_fence.min(SECOND) };
        let (mut failure, mut stopped) = (None, vec![0u64; r.fences.len()]);
        states::each(&r, budget, base.bytes(), |id, stop, _| {
            if let Some(watch) = &mut self.watch {
                watch(&format!("{name}:{first}:{id}"), &self.tally);
            }
            self.tally.second += 1;
            stopped[id.fence] += 1;
            failure = judge(stop).err().map(|e| told(id, e));
            failure.is_none()
        });
        self.cover(&r, &stopped);
        failure.map_or(Ok(()), Err)
    }
}

fn h_allowed(h: &History, mark: u32) -> Allowed<'_> {
    Allowed { contents: h.allowed(mark), allocated: h.allocated(mark) }
}

/// Recovers a pool under the recorder and changes it after that; the contents
/// after each step.
fn recorded_recovery(path: &CStr, expected: &Logical) -> Result<(Recording, [Logical; 2]), String> {
    recorder::arm();
    let pool = unlocked(|| Pool::open(path, None)).map_err(|e| format!("open: {e}"))?;
    recorder::mark(1);
    // This thread gets the first lane, where the interrupted log was; a log that
    // recovery left behind there would undo what another lane changes.
    world::in_tx(pool, || {});
    world::on_another_thread(|| change_root(pool));
    recorder::mark(2);
    let changed = media::logical(world::bytes(pool))?;
    world::close(pool);
    Ok((recorder::finish().expect("armed"), [expected.clone(), changed]))
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
    allowed: Allowed,
    f: impl FnOnce(&'static Pool, &Logical) -> Result<(), String>,
) -> Result<Logical, String> {
    let pool = unlocked(|| Pool::open_with(path, None, OpenOptions { private: true }))
        .map_err(|e| format!("open: {e}"))?;
    let r = judge_open(pool, allowed).and_then(|found| f(pool, &found).map(|()| found));
    world::close(pool);
    r
}

/// A pool that was just recovered: its heap, its logs, its content.
fn judge_open(pool: &'static Pool, allowed: Allowed) -> Result<Logical, String> {
    let b = world::bytes(pool);
    media::logs_are_idle(b)?;
    let heap = media::heap(b)?;
    let root = media::u64_at(b, 0x1800);
    if let Some(o) = heap.objects.iter().find(|o| o.internal && o.off != root) {
        return Err(format!("leaked: internal object at {:#x}", o.off));
    }
    let run_id = media::u64_at(b, 0x1808);
    let mut locks = heap.objects.iter().filter(|o| o.type_num == media::LOCK);
    if let Some(o) = locks.find(|o| media::u64_at(b, o.off) == run_id) {
        return Err(format!("the lock at {:#x} of an earlier run looks initialised", o.off));
    }
    let found = media::logical_of(b, &heap)?;
    let mut seen = Vec::new();
    let mut oid = pool.first();
    while !oid.is_null() {
        seen.push(oid.off);
        oid = pool.next(oid.off);
    }
    if !seen.iter().eq(found.objects.keys()) {
        return Err(format!("iteration finds {seen:x?}, media has {:x?}", found.objects.keys()));
    }
    if !allowed.contents.contains(&found) {
        return Err(format!("unexpected content: {}", difference(&found, allowed.contents)));
    }
    let allocated = media::u64_at(b, media::ALLOCATED);
    if !allowed.allocated.contains(&allocated) {
        return Err(format!("{allocated} bytes allocated, it says, not {:?}", allowed.allocated));
    }
    Ok(found)
}

pub fn difference(found: &Logical, allowed: &[Logical]) -> String {
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

//! What the heap counts (API contract section 4.2, format 4.10).

use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use super::block::Block;
use super::{Action, Error, Heap, fill};
use crate::pool::descriptor::CURR_ALLOCATED;

/// `enum pobj_stats_enabled`; other values count nothing.
const TRANSIENT: u32 = 0;
const BOTH: u32 = 1;
const PERSISTENT: u32 = 2;

/// Volatile counters. Each lane has its own, written by whoever holds the
/// lane; threads' lanes are far enough apart that no line is shared.
pub struct Stats {
    enabled: AtomicU32,
    /// Bytes of allocated units of runs, by lane.
    run_allocated: Vec<AtomicI64>,
    /// The same, for what happens without a lane.
    run_allocated_besides: AtomicI64,
    /// Bytes of the runs that are known.
    run_active: AtomicI64,
}

impl Stats {
    pub fn new(lanes: u32) -> Result<Stats, Error> {
        let mut run_allocated = Vec::new();
        fill(&mut run_allocated, lanes as usize, |_| AtomicI64::new(0))?;
        Ok(Stats {
            enabled: AtomicU32::new(TRANSIENT),
            run_allocated,
            run_allocated_besides: AtomicI64::new(0),
            run_active: AtomicI64::new(0),
        })
    }

    fn transient(&self) -> bool {
        matches!(self.enabled.load(Relaxed), TRANSIENT | BOTH)
    }

    /// A run was found or made (bytes above 0), or became free chunks again.
    pub(super) fn count_run(&self, bytes: i64, allocated: i64) {
        if self.transient() {
            self.run_active.fetch_add(bytes, Relaxed);
            self.run_allocated_besides.fetch_add(allocated, Relaxed);
        }
    }
}

/// Bytes by which the allocated blocks grow: in runs, and all.
#[derive(Clone, Copy, Default)]
struct Change {
    run: i64,
    all: i64,
}

impl Change {
    #[inline]
    fn add(&mut self, b: &Block, sign: i64) {
        self.all += sign * b.size as i64;
        if !b.is_huge() {
            self.run += sign * b.size as i64;
        }
    }
}

impl Heap {
    /// Counts what an operation allocated and freed; `lane` is held.
    #[inline]
    pub(super) fn count(&self, lane: u32, actions: &[Action]) {
        let enabled = self.stats.enabled.load(Relaxed);
        if enabled > PERSISTENT {
            return;
        }
        let mut change = Change::default();
        for a in actions {
            match a {
                Action::Alloc(b) => change.add(b, 1),
                Action::Free(b) => change.add(b, -1),
                _ => {}
            }
        }
        self.count_change(enabled, Some(lane), change);
    }

    /// As [`Heap::count`], for an atomic call.
    #[inline]
    pub(super) fn count_few(&self, lane: Option<u32>, alloc: Option<&Block>, free: Option<&Block>) {
        let enabled = self.stats.enabled.load(Relaxed);
        if enabled > PERSISTENT {
            return;
        }
        let mut change = Change::default();
        if let Some(b) = alloc {
            change.add(b, 1);
        }
        if let Some(b) = free {
            change.add(b, -1);
        }
        self.count_change(enabled, lane, change);
    }

    #[inline]
    fn count_change(&self, enabled: u32, lane: Option<u32>, Change { run, all }: Change) {
        if enabled != PERSISTENT {
            match lane.and_then(|i| self.stats.run_allocated.get(i as usize)) {
                Some(n) => n.store(n.load(Relaxed) + run, Relaxed),
                None => _ = self.stats.run_allocated_besides.fetch_add(run, Relaxed),
            }
        }
        if enabled != TRANSIENT && all != 0 {
            self.region.word(CURR_ALLOCATED).fetch_add(all as u64, Relaxed);
            // Durable with the next operation: advisory, and never waited for.
            self.region.flush(CURR_ALLOCATED, 8);
        }
    }

    pub fn stats_enabled(&self) -> u32 {
        self.stats.enabled.load(Relaxed)
    }

    /// Any value is kept, as in PMDK.
    pub fn set_stats_enabled(&self, value: u32) {
        self.stats.enabled.store(value, Relaxed);
    }

    /// Bytes of all blocks allocated while persistent statistics were on.
    pub fn curr_allocated(&self) -> u64 {
        self.region.load(CURR_ALLOCATED)
    }

    /// Bytes of allocated units of the runs that are known.
    pub fn run_allocated(&self) -> u64 {
        self.look_at_all_runs();
        let lanes: i64 = self.stats.run_allocated.iter().map(|n| n.load(Relaxed)).sum();
        (lanes + self.stats.run_allocated_besides.load(Relaxed)) as u64
    }

    /// Bytes of the runs that are known.
    pub fn run_active(&self) -> u64 {
        self.look_at_all_runs();
        self.stats.run_active.load(Relaxed) as u64
    }
}

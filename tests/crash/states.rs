//! From a recording to the images that a power cut could have left.

use pmem_rs::flush::recorder::{Fence, LINE, Line, LineData, Recording};

use crate::rng::Rng;

/// Up to this many flushed lines all their subsets are tried.
const EXHAUSTIVE: usize = 8;

/// How many states to build.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// States per fence whose flushed lines have more subsets than that.
    pub per_fence: usize,
}

/// A state by which it can be built again: the fence and a seed or subset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    pub fence: usize,
    pub n: usize,
}

/// Calls `f` with the state's id, its fence and its image, for each state of
/// a recording, until it returns false. `image` starts as the recording does.
pub fn each(r: &Recording, budget: Budget, image: &mut [u8], mut f: impl FnMut(Id, &Fence, &[u8]) -> bool) {
    let durable = image;
    assert!(*durable == r.initial[..]);
    for (fence, stop) in r.fences.iter().enumerate() {
        let mut rng = Rng::new(fence as u64 + 1);
        let (flushed, dirty): (Vec<_>, Vec<_>) = stop.lines.iter().partition(|l| !l.flushed.is_empty());
        for (n, choice) in choices(&flushed, &dirty, budget, &mut rng).into_iter().enumerate() {
            let saved: Vec<(usize, LineData)> =
                choice.iter().map(|c| (c.at, line_of(durable, c.at))).collect();
            choice.iter().for_each(|c| c.apply(durable));
            let more = f(Id { fence, n }, stop, durable);
            for (at, data) in saved {
                durable[at..at + LINE].copy_from_slice(&data);
            }
            if !more {
                return;
            }
        }
        stop.apply(durable);
    }
}

fn line_of(image: &[u8], at: usize) -> LineData {
    let mut l = [0; LINE];
    l.copy_from_slice(&image[at..at + LINE]);
    l
}

/// A line that reached the medium, or some of its words.
struct Part {
    at: usize,
    data: LineData,
    words: u8,
}

impl Part {
    fn whole(at: usize, data: LineData) -> Part {
        Part { at, data, words: !0 }
    }

    fn apply(&self, image: &mut [u8]) {
        for i in (0..8).filter(|i| self.words >> i & 1 == 1) {
            image[self.at + 8 * i..self.at + 8 * i + 8].copy_from_slice(&self.data[8 * i..8 * i + 8]);
        }
    }
}

type Choice = Vec<Part>;

fn choices(flushed: &[&Line], dirty: &[&Line], budget: Budget, rng: &mut Rng) -> Vec<Choice> {
    let last = |l: &&Line| Part::whole(l.at, *l.flushed.last().expect("flushed"));
    let mut all = Vec::new();
    if flushed.len() <= EXHAUSTIVE && 1 << flushed.len() <= budget.per_fence.max(4) {
        for subset in 0u32..1 << flushed.len() {
            let chosen = flushed.iter().enumerate().filter(|(i, _)| subset >> i & 1 == 1);
            all.push(chosen.map(|(_, l)| last(l)).collect());
        }
        // Everything flushed and nothing else is the next fence's first state.
        all.pop();
        if all.is_empty() {
            all.push(Vec::new());
        }
    } else {
        all.push(Vec::new());
        for i in [0, flushed.len() - 1, rng.below(flushed.len() as u64) as usize] {
            all.push(vec![last(&flushed[i])]);
            all.push(flushed.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, l)| last(l)).collect());
        }
        let share = flushed.len() as u64 + 1;
        while all.len() < budget.per_fence {
            // From a few lines to nearly all of them.
            let keep = rng.below(share);
            all.push(flushed.iter().filter(|_| rng.below(share) < keep).map(last).collect());
        }
        all.truncate(budget.per_fence.max(4));
    }
    if flushed.len() + dirty.len() > 0 {
        let n = all.len().clamp(2, budget.per_fence.max(2));
        all.extend((0..n).map(|_| evict(flushed, dirty, rng)));
    }
    all
}

/// Any line may have been written back at any time: older contents, contents
/// that nobody flushed, and of one line only some of its words.
fn evict(flushed: &[&Line], dirty: &[&Line], rng: &mut Rng) -> Choice {
    let mut choice = Choice::new();
    for l in flushed {
        let versions = l.evicted.iter().chain(&l.flushed).collect::<Vec<_>>();
        match rng.below(versions.len() as u64 + 1) as usize {
            0 => {}
            i => choice.push(Part::whole(l.at, *versions[i - 1])),
        }
    }
    let mode = rng.below(3);
    for l in dirty {
        if mode == 0 || (mode == 1 && rng.chance(2)) || (mode == 2 && rng.chance(8)) {
            choice.push(Part::whole(l.at, l.evicted[rng.below(l.evicted.len() as u64) as usize]));
        }
    }
    if rng.chance(2) && !choice.is_empty() {
        let i = rng.below(choice.len() as u64) as usize;
        choice[i].words = rng.next() as u8;
    }
    choice
}

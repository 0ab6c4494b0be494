//! From a recording to the images that a power cut could have left.
//!
//! States of a fence have numbers. Those below `subsets` are subsets of the
//! lines flushed since the fence before: up to [`EXHAUSTIVE`] lines the number
//! is the subset, a bit per line; above that, subsets are drawn. Each number
//! from there on is such a subset together with what caches may do besides.
#![allow(dead_code)] // each program takes what it needs

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::str::FromStr;

use pmem_rs::flush::recorder::{Fence, LINE, Line, LineData, Recording};

use crate::rng::{Rng, mix};

/// Up to this many flushed lines all their subsets are numbered.
const EXHAUSTIVE: u32 = 10;
/// So many subsets of more lines are.
const SAMPLED: u64 = 1 << 20;
/// With so much to spend per fence all subsets of up to [`EXHAUSTIVE`] lines are
/// tried: few fences have that many, so that this adds little.
const ALL_SUBSETS_FROM: usize = 32;
/// So many numbers are looked at for a new state each.
const REDRAWN: usize = 6;

/// How many states to build.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Subsets of flushed lines per fence, and as many states of the other
    /// kind; fewer where there are not so many.
    pub per_fence: usize,
}

/// How many of a fence's subsets are tried.
pub fn subsets_tried(per_fence: usize, subsets: u64) -> u64 {
    if per_fence >= ALL_SUBSETS_FROM && subsets <= 1 << EXHAUSTIVE {
        return subsets;
    }
    subsets.min(per_fence.max(4) as u64)
}

/// The fences that are stopped at: each `of`th, from the `nth` on.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    pub nth: usize,
    pub of: usize,
}

impl Slice {
    pub const ALL: Slice = Slice { nth: 0, of: 1 };
}

/// A state of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    pub fence: usize,
    pub n: u64,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}", self.fence, self.n)
    }
}

impl FromStr for Id {
    type Err = std::num::ParseIntError;

    fn from_str(s: &str) -> Result<Id, Self::Err> {
        let (fence, n) = s.split_once(':').unwrap_or((s, ""));
        Ok(Id { fence: fence.parse()?, n: n.parse()? })
    }
}

/// A line that reached the medium, or some of its words.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub at: usize,
    data: LineData,
    /// A bit per word.
    pub words: u8,
}

impl Part {
    fn whole(at: usize, data: &LineData) -> Part {
        Part { at, data: *data, words: !0 }
    }

    fn word(&self, i: usize) -> &[u8] {
        &self.data[8 * i..8 * i + 8]
    }

    /// The words that change an image.
    fn changed(&self, image: &[u8]) -> impl Iterator<Item = usize> {
        let at = self.at;
        (0..8).filter(move |i| self.words >> i & 1 == 1 && *self.word(*i) != image[at + 8 * i..][..8])
    }

    fn apply(&self, image: &mut [u8]) {
        for i in (0..8).filter(|i| self.words >> i & 1 == 1) {
            image[self.at + 8 * i..][..8].copy_from_slice(self.word(i));
        }
    }
}

pub type Choice = Vec<Part>;

/// A fence at which the world stops.
pub struct Stop<'a> {
    nth: usize,
    pub fence: &'a Fence,
    flushed: Vec<&'a Line>,
    dirty: Vec<&'a Line>,
    /// Numbers of subsets.
    subsets: u64,
}

fn last(line: &Line) -> Part {
    Part::whole(line.at, line.flushed.last().expect("flushed"))
}

impl<'a> Stop<'a> {
    pub fn new(nth: usize, fence: &'a Fence) -> Stop<'a> {
        let (flushed, dirty): (Vec<_>, Vec<_>) = fence.lines.iter().partition(|l| !l.flushed.is_empty());
        let n = flushed.len() as u32;
        let subsets = if n <= EXHAUSTIVE { 1 << n } else { SAMPLED };
        Stop { nth, fence, flushed, dirty, subsets }
    }

    fn is_exhaustive(&self) -> bool {
        self.flushed.len() as u32 <= EXHAUSTIVE
    }

    /// A lower bound of the states that differ, up to some number.
    pub fn variety(&self, durable: &[u8]) -> (u64, u64) {
        let (mut all, mut torn) = (1u64, 0u64);
        for line in &self.fence.lines {
            let contents: BTreeSet<_> = line.flushed.iter().chain(&line.evicted).collect();
            let mut n = 1;
            for data in contents {
                let words = Part::whole(line.at, data).changed(durable).count();
                n += (words > 0) as u64;
                torn += (1 << words) - 1;
            }
            all = all.saturating_mul(n).min(1 << 40);
        }
        (self.subsets.min(all), all + if all > 1 { torn } else { 0 })
    }

    /// The numbers of subsets to try.
    fn subsets(&self, budget: Budget) -> Vec<u64> {
        let want = subsets_tried(budget.per_fence, self.subsets);
        let mut numbers: Vec<u64> = if self.subsets <= want {
            (0..self.subsets).collect()
        } else if self.is_exhaustive() {
            self.draw(want)
        } else {
            (0..want).collect()
        };
        // Everything flushed and nothing else is the next fence's first state.
        if self.subsets > 1 && self.is_exhaustive() && self.fence.site.is_some() {
            numbers.retain(|&n| n != self.subsets - 1);
        }
        numbers
    }

    /// Some of all subsets, from a few lines to nearly all of them.
    fn draw(&self, want: u64) -> Vec<u64> {
        let (n, all) = (self.flushed.len() as u64, self.subsets - 1);
        let mut rng = Rng::of(&[self.nth as u64]);
        let mut drawn = BTreeSet::from([0, 1, 1 << (n - 1), all ^ 1, all ^ 1 << (n - 1)]);
        for _ in 0..8 * want {
            if drawn.len() as u64 >= want {
                break;
            }
            let keep = rng.below(n + 1);
            drawn.insert((0..n).filter(|_| rng.below(n + 1) < keep).fold(0, |s, i| s | 1 << i));
        }
        drawn.into_iter().collect()
    }

    /// Whether each flushed line is in a subset.
    fn subset(&self, number: u64) -> Vec<bool> {
        let n = self.flushed.len();
        if self.is_exhaustive() {
            return (0..n).map(|i| number >> i & 1 == 1).collect();
        }
        let mut rng = Rng::of(&[self.nth as u64, number]);
        let keep = rng.below(n as u64 + 1);
        (0..n)
            .map(|i| match number {
                0 => false,
                1 => i == 0,
                2 => i == n - 1,
                3 => i != 0,
                4 => i != n - 1,
                _ => rng.below(n as u64 + 1) < keep,
            })
            .collect()
    }

    /// What reached the medium in a state.
    pub fn choice(&self, n: u64) -> Choice {
        let Some(more) = n.checked_sub(self.subsets) else {
            let lines = self.flushed.iter().zip(self.subset(n));
            return lines.filter(|l| l.1).map(|(l, _)| last(l)).collect();
        };
        let mut rng = Rng::of(&[self.nth as u64, n]);
        // Consecutive numbers stand for all subsets, in some order.
        let subset = match self.is_exhaustive() {
            true => more.wrapping_mul(0x9E37_79B9).wrapping_add(self.nth as u64) % self.subsets,
            false => rng.below(self.subsets),
        };
        let mut choice = Choice::new();
        for (line, taken) in self.flushed.iter().zip(self.subset(subset)) {
            let contents: Vec<_> = line.evicted.iter().chain(&line.flushed).collect();
            if contents.len() > 1 && rng.chance(3) {
                choice.push(Part::whole(line.at, contents[rng.below(contents.len() as u64) as usize]));
            } else if taken {
                choice.push(last(line));
            }
        }
        let one_in = [1, 2, 8][rng.below(3) as usize];
        for line in &self.dirty {
            if rng.chance(one_in) {
                choice
                    .push(Part::whole(line.at, &line.evicted[rng.below(line.evicted.len() as u64) as usize]));
            }
        }
        if rng.chance(2) && !choice.is_empty() {
            let i = rng.below(choice.len() as u64) as usize;
            choice[i].words = rng.next() as u8;
        }
        choice
    }

    /// The lines with what a choice does to them.
    pub fn describe(&self, choice: &Choice) -> Vec<String> {
        let describe = |line: &&Line| {
            let kind = if line.flushed.is_empty() { "not flushed" } else { "flushed" };
            let fate = match choice.iter().find(|p| p.at == line.at) {
                None => "lost".into(),
                Some(p) if p.words != !0 => format!("arrived: words {:08b}", p.words.reverse_bits()),
                Some(p) if line.flushed.last() == Some(&p.data) => "arrived".into(),
                Some(p) if line.flushed.contains(&p.data) => "arrived: an older content".into(),
                Some(_) => "arrived: a content that was not flushed".into(),
            };
            let by: Vec<_> = line.flushed_by.iter().map(|s| s.to_string()).collect();
            format!("line {:#x} {kind} {fate} {}", line.at, by.join(" "))
        };
        self.flushed.iter().chain(&self.dirty).map(describe).collect()
    }
}

/// Tells choices by what they change.
fn fingerprint(choice: &Choice, durable: &[u8]) -> u64 {
    let mut sum = 0u64;
    for part in choice {
        for i in part.changed(durable) {
            let word = u64::from_le_bytes(part.word(i).try_into().expect("a word"));
            sum = sum.wrapping_add(mix(mix((part.at + 8 * i) as u64).wrapping_add(word)));
        }
    }
    sum
}

/// Makes the state of a choice, shows it to `f`, and takes it back.
fn with_choice<R>(choice: &Choice, durable: &mut [u8], f: impl FnOnce(&[u8]) -> R) -> R {
    let line = |image: &[u8], at: usize| -> LineData { image[at..at + LINE].try_into().expect("a line") };
    let saved: Vec<(usize, LineData)> = choice.iter().map(|c| (c.at, line(durable, c.at))).collect();
    choice.iter().for_each(|c| c.apply(durable));
    let r = f(durable);
    for (at, data) in saved {
        durable[at..at + LINE].copy_from_slice(&data);
    }
    r
}

/// Calls `f` with the state's id, its fence and its image, for each state of
/// a recording, until it returns false. `image` starts as the recording does.
pub fn each(r: &Recording, budget: Budget, image: &mut [u8], f: impl FnMut(Id, &Fence, &[u8]) -> bool) {
    each_of(r, budget, Slice::ALL, image, f);
}

/// As [`each`], of some fences. No state of a fence comes twice.
pub fn each_of(
    r: &Recording,
    budget: Budget,
    slice: Slice,
    image: &mut [u8],
    mut f: impl FnMut(Id, &Fence, &[u8]) -> bool,
) {
    assert!(*image == r.initial[..]);
    for (nth, fence) in r.fences.iter().enumerate() {
        if nth % slice.of == slice.nth {
            let stop = Stop::new(nth, fence);
            let mut seen = HashSet::new();
            // Whether it was a new one, and the last.
            let mut attempt = |n| {
                let choice = stop.choice(n);
                let new = seen.insert(fingerprint(&choice, image));
                (new, new && !with_choice(&choice, image, |state| f(Id { fence: nth, n }, fence, state)))
            };
            if stop.subsets(budget).into_iter().any(|n| attempt(n).1) {
                return;
            }
            let mut left = budget.per_fence.max(2) as u64;
            for n in (stop.subsets..).take(REDRAWN * left as usize) {
                let (new, last) = attempt(n);
                left -= new as u64;
                if last {
                    return;
                }
                if left == 0 {
                    break;
                }
            }
        }
        fence.apply(image);
    }
}

/// Calls `f` with one state, as [`each`] does.
pub fn one<R>(r: &Recording, id: Id, image: &mut [u8], f: impl FnOnce(&Stop, &Choice, &[u8]) -> R) -> R {
    assert!(*image == r.initial[..]);
    r.fences[..id.fence].iter().for_each(|fence| fence.apply(image));
    let stop = Stop::new(id.fence, &r.fences[id.fence]);
    let choice = stop.choice(id.n);
    let out = with_choice(&choice, image, |state| f(&stop, &choice, state));
    r.fences[id.fence..].iter().for_each(|fence| fence.apply(image));
    out
}

/// For each fence how many different subsets and states there are at least.
pub fn varieties(r: &Recording) -> Vec<(u64, u64)> {
    let mut durable = r.initial.clone();
    let variety = |(nth, fence): (usize, &Fence)| {
        let v = Stop::new(nth, fence).variety(&durable);
        fence.apply(&mut durable);
        v
    };
    r.fences.iter().enumerate().map(variety).collect()
}

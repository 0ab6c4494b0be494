//! The redo log: value entries that take effect together (format 3.5).

use std::sync::atomic::Ordering;

use super::entry::{Op, target};
use super::{Error, HEADER, NEXT, align_up};
use crate::memory::reserve_few;
use crate::pool::{Region, checksum::Sum};

/// Words of the volatile image before the first entry: the log header.
const HEAD: usize = (HEADER / 8) as usize;
/// Words of a line: the most that pads the image.
const LINE_WORDS: usize = 8;
/// How far back an entry for the same target is looked for.
const MERGE_WINDOW: usize = 64;

/// A log that was linked to another one.
#[derive(Clone, Copy, Debug)]
pub struct Extension {
    /// As stored in the `next` field that designates it.
    pub link: u64,
    pub log: u64,
    pub capacity: u64,
    /// The application's own memory: unlinked, never freed.
    pub lent: bool,
}

/// One lane's redo log: the operation being built, and where it will go.
#[derive(Debug)]
pub struct Redo {
    log: u64,
    base: u64,
    /// Of the log and its extensions.
    capacity: u64,
    /// Extensions in chain order.
    extensions: Vec<Extension>,
    /// Buffers of the application, to be linked when they are needed: offset,
    /// capacity.
    pub lent: Vec<(u64, u64)>,
    /// The transaction that holds the lane forbade extensions.
    pub fixed: bool,
    /// Header and entries as they will stand on media, and room for more.
    image: Vec<u64>,
    /// Words of the header and of the entries that were added.
    used: usize,
}

impl Redo {
    /// The log whose header is at `log`, with room for `base` bytes in place.
    pub fn new(log: u64, base: u64) -> Redo {
        Redo {
            log,
            base,
            capacity: base,
            extensions: Vec::new(),
            lent: Vec::new(),
            fixed: false,
            image: Vec::new(),
            used: HEAD,
        }
    }

    /// The internal log of a lane, for recovery.
    pub fn internal_of(bounds: &super::Bounds, lane: u64) -> Redo {
        Redo::new(bounds.lanes.0 + lane * super::LANE_SIZE + super::INTERNAL, super::INTERNAL_CAPACITY)
    }

    /// Bytes of entries that the log and its extensions hold.
    #[inline]
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Bytes of entries that buffers not linked yet will hold.
    pub fn lent_capacity(&self) -> u64 {
        self.lent.iter().map(|b| b.1).sum()
    }

    /// Makes volatile room for `count` more entries, so that adding them and
    /// padding the image cannot fail.
    #[inline]
    pub fn reserve(&mut self, count: usize) -> Result<(), Error> {
        let words = self.used + 2 * count + LINE_WORDS;
        if words <= self.image.len() { Ok(()) } else { self.grow(words) }
    }

    #[cold]
    fn grow(&mut self, words: usize) -> Result<(), Error> {
        let more = words - self.image.len();
        reserve_few(&mut self.image, more).map_err(|_| Error::OutOfMemory)?;
        self.image.resize(words, 0);
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.used == HEAD
    }

    /// Number of entries after merging.
    pub fn len(&self) -> usize {
        (self.used - HEAD) / 2
    }

    pub fn clear(&mut self) {
        self.used = HEAD;
    }

    /// Adds an entry that has nothing to merge with. [`Redo::reserve`] made room
    /// for it.
    #[inline]
    pub fn push(&mut self, op: Op, to: u64, value: u64) {
        self.image[self.used..][..2].copy_from_slice(&[op.word(to), value]);
        self.used += 2;
    }

    /// Adds an entry, merged into the newest one for the same target if that
    /// has the same operation (3.5.6).
    #[inline(always)]
    pub fn add(&mut self, op: Op, to: u64, value: u64) {
        // Mostly that is the last one.
        let word = op.word(to);
        let last = self.used - 2;
        let i = if last >= HEAD && self.image[last] == word { last } else { self.find(op, to) };
        if i == self.used {
            return self.push(op, to, value);
        }
        match op {
            Op::And => self.image[i + 1] &= value,
            Op::Or => self.image[i + 1] |= value,
            _ => self.image[i + 1] = value,
        }
    }

    /// The entry that another one merges with, or the end of the entries.
    #[inline(never)]
    fn find(&self, op: Op, to: u64) -> usize {
        let first = HEAD.max(self.used.saturating_sub(2 * MERGE_WINDOW));
        let mut entries = self.image[first..self.used].chunks_exact(2);
        match entries.rposition(|e| target(e[0]) == to) {
            Some(i) if self.image[first + 2 * i] == op.word(to) => first + 2 * i,
            _ => self.used,
        }
    }

    /// Offset of the `next` field at the end of the chain.
    pub fn tail_link(&self) -> u64 {
        self.extensions.last().map_or(self.log, |e| e.log) + NEXT
    }

    /// Offset of the `next` field that holds the last extension's link, and
    /// that extension.
    pub fn last_extension(&self) -> Option<(u64, Extension)> {
        let n = self.extensions.len();
        let before = if n > 1 { self.extensions[n - 2].log } else { self.log };
        self.extensions.last().map(|e| (before + NEXT, *e))
    }

    /// Notes an extension that was linked on media at [`Redo::tail_link`].
    pub fn push_extension(&mut self, e: Extension) -> Result<(), Error> {
        self.reserve_extension()?;
        self.push_lent(e);
        Ok(())
    }

    /// Makes volatile room for one more extension: one that is linked on media
    /// but unknown here would be lost.
    pub fn reserve_extension(&mut self) -> Result<(), Error> {
        self.extensions.try_reserve(1 + self.lent.len()).map_err(|_| Error::OutOfMemory)
    }

    /// Keeps a buffer of the application, with volatile room to link it later.
    pub fn lend(&mut self, off: u64, capacity: u64) -> Result<(), Error> {
        self.lent.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        self.extensions.try_reserve(1 + self.lent.len()).map_err(|_| Error::OutOfMemory)?;
        self.lent.push((off, capacity));
        Ok(())
    }

    /// Notes a kept buffer that was linked on media.
    pub fn push_lent(&mut self, e: Extension) {
        self.capacity += e.capacity;
        self.extensions.push(e);
    }

    /// Forgets the last extension, which was unlinked on media.
    pub fn pop_extension(&mut self) {
        if let Some(e) = self.extensions.pop() {
            self.capacity -= e.capacity;
        }
    }

    /// Makes the operation durable and takes it out of the builder: in place
    /// if it is one entry, else through the log.
    ///
    /// What the operation refers to (object headers, data) must be durable
    /// already: a log that becomes valid is carried out by recovery.
    #[inline]
    pub fn process(&mut self, region: &Region) {
        // A copy stays in registers, whatever the stores to the pool change.
        let region = *region;
        match self.entries() {
            [] => {}
            &[[word, value]] => {
                let at = apply_one(region, word, value);
                // The only store: its durability is the commit point.
                region.persist(at, 8);
            }
            [_, _] if defect!(RedoTwoInPlace) => apply(region, self.entries()),
            _ => self.process_log(region),
        }
        self.clear();
    }

    fn entries(&self) -> &[[u64; 2]] {
        self.image[HEAD..self.used].as_chunks().0
    }

    #[inline(never)]
    fn process_log(&mut self, region: Region) {
        let next = self.extensions.first().map_or(0, |e| e.link);
        defect!(RedoTargetsFirst, apply(region, self.entries()));
        let in_lane = self.store(region, next);
        apply(region, self.entries());
        defect!(RedoNotCleared, return);
        let next = if defect!(RedoLinkCleared) { 0 } else { next };
        // Invalid, but for its link. The entries go as well: when the next log
        // is torn, words of this one in place of lost ones can have the same
        // sum, as they did for neighbours at equal distances; zeros cannot.
        let cleared = if defect!(RedoEntriesKept) { 0 } else { in_lane };
        let lane = &mut self.image[..HEAD + (cleared / 8) as usize];
        lane.fill(0);
        lane[1] = next;
        region.stream(self.log, lane);
        // The invalidation must be durable before the locks and the lane are
        // let go: another lane may change the same words next, and a log that
        // is still valid would undo that after a crash.
        region.drain();
    }

    /// Writes the entries behind a header whose checksum makes them valid.
    /// Returns the bytes of lines with entries in the lane.
    fn store(&mut self, region: Region, next: u64) -> u64 {
        self.image[self.used..][..LINE_WORDS].fill(0);
        let bytes = 8 * (self.used - HEAD) as u64;
        let in_lane = if bytes < self.base {
            align_up(bytes + 8, 64)
        } else {
            self.store_overflow(region, bytes);
            self.base
        };
        let lane = &mut self.image[..HEAD + (in_lane / 8) as usize];
        let mut sum = Sum::default();
        // The checksum itself counts as zero, as do the words behind these.
        sum.add_words(&[next, in_lane]);
        sum.add_zeros(2 * (HEAD as u32 - 3));
        sum.add_pairs(&lane[HEAD..HEAD + (bytes.min(self.base) / 8) as usize]);
        let sum = if defect!(RedoSumMissing) { 0 } else { sum.value() };
        lane[..3].copy_from_slice(&[sum, next, in_lane]);
        region.stream(self.log, lane);
        // The log must be durable before its first target changes: from here
        // on recovery redoes the whole operation.
        region.drain();
        in_lane
    }

    /// What the lane's log does not hold goes to the extensions.
    #[cold]
    fn store_overflow(&self, region: Region, bytes: u64) {
        let fills = bytes == self.capacity && !defect!(SeedFullRedo);
        let zero = if defect!(RedoTerminatorMissing) { 0 } else { 8 };
        let stored = if fills { bytes } else { align_up(bytes + zero, 64) };
        let mut rest = &self.image[HEAD..][(self.base / 8) as usize..(stored / 8) as usize];
        if rest.is_empty() {
            return;
        }
        for &Extension { log, capacity, .. } in &self.extensions {
            let take = rest.len().min((capacity / 8) as usize);
            region.stream(log + HEADER, &rest[..take]);
            rest = &rest[take..];
            if rest.is_empty() {
                break;
            }
        }
        assert!(rest.is_empty(), "pmem-rs defect: no room was made for the operation");
        defect!(RedoHeadFirst, return);
        // Entries in extensions are covered by no checksum: they must be
        // durable before the head's checksum makes the log valid.
        region.drain();
    }
}

/// Carries out the entries, durably.
#[inline(never)]
fn apply(region: Region, entries: &[[u64; 2]]) {
    let mut line = target(entries[0][0]) & !63;
    for &[word, value] in entries {
        let at = apply_one(region, word, value);
        // Neighbouring targets often share a line; it is flushed once,
        // after its last change.
        if line != at & !63 {
            region.flush_line(line);
            line = at & !63;
        }
    }
    region.flush_line(line);
    // All targets must be durable before the log that could redo them goes.
    region.drain();
}

/// Carries out an entry; not flushed. The caller holds the lock of the run
/// whose word this is, so that the word has one writer.
#[inline(always)]
fn apply_one(region: Region, word: u64, value: u64) -> u64 {
    let at = target(word);
    let w = region.word(at);
    let new = if word == at {
        value // Op::Set, which is 0
    } else {
        match Op::of_value(word) {
            Op::And => w.load(Ordering::Relaxed) & value,
            Op::Or => w.load(Ordering::Relaxed) | value,
            _ => value,
        }
    };
    w.store(new, Ordering::Release);
    at
}

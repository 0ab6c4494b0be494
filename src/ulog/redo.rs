//! The redo log: value entries that take effect together (format 3.5).

use std::sync::atomic::Ordering;

use super::entry::{Op, VALUE_SIZE, target};
use super::{CAPACITY, Error, HEADER, NEXT, align_up};
use crate::pool::{Region, checksum::Sum};

/// Words of the volatile image before the first entry: the log header.
const HEAD: usize = (HEADER / 8) as usize;
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
    /// Extensions in chain order.
    extensions: Vec<Extension>,
    /// Buffers of the application, to be linked when they are needed: offset,
    /// capacity.
    pub lent: Vec<(u64, u64)>,
    /// The transaction that holds the lane forbade extensions.
    pub fixed: bool,
    /// Header and entries as they will stand on media.
    image: Vec<u64>,
}

impl Redo {
    /// The log whose header is at `log`, with room for `base` bytes in place.
    pub fn new(log: u64, base: u64) -> Result<Redo, Error> {
        let mut image = Vec::new();
        image.try_reserve(HEAD + (base / 8) as usize + 8).map_err(|_| Error::OutOfMemory)?;
        image.resize(HEAD, 0);
        Ok(Redo { log, base, extensions: Vec::new(), lent: Vec::new(), fixed: false, image })
    }

    /// The internal log of a lane, for recovery.
    pub fn internal_of(bounds: &super::Bounds, lane: u64) -> Result<Redo, Error> {
        Redo::new(bounds.lanes.0 + lane * super::LANE_SIZE + super::INTERNAL, super::INTERNAL_CAPACITY)
    }

    /// Bytes of entries that the log and its extensions hold.
    pub fn capacity(&self) -> u64 {
        self.base + self.extensions.iter().map(|e| e.capacity).sum::<u64>()
    }

    /// Bytes of entries that buffers not linked yet will hold.
    pub fn lent_capacity(&self) -> u64 {
        self.lent.iter().map(|b| b.1).sum()
    }

    /// Makes volatile room for `count` more entries, so that adding them and
    /// padding the image cannot fail.
    pub fn reserve(&mut self, count: usize) -> Result<(), Error> {
        self.image.try_reserve(2 * count + 16).map_err(|_| Error::OutOfMemory)
    }

    pub fn is_empty(&self) -> bool {
        self.image.len() == HEAD
    }

    /// Number of entries after merging.
    pub fn len(&self) -> usize {
        (self.image.len() - HEAD) / 2
    }

    pub fn clear(&mut self) {
        self.image.truncate(HEAD);
    }

    /// Adds an entry that has nothing to merge with.
    #[inline]
    pub fn push(&mut self, op: Op, to: u64, value: u64) {
        self.image.push(op.word(to));
        self.image.push(value);
    }

    /// Adds an entry, merged into the newest one for the same target if that
    /// has the same operation (3.5.6).
    #[inline]
    pub fn add(&mut self, op: Op, to: u64, value: u64) {
        let word = op.word(to);
        let entries = &mut self.image[HEAD..];
        let first = entries.len().saturating_sub(2 * MERGE_WINDOW);
        for pair in entries[first..].chunks_exact_mut(2).rev() {
            if target(pair[0]) == to {
                if pair[0] != word {
                    break;
                }
                match op {
                    Op::And => pair[1] &= value,
                    Op::Or => pair[1] |= value,
                    _ => pair[1] = value,
                }
                return;
            }
        }
        self.push(op, to, value);
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
        self.extensions.push(e);
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
        self.extensions.push(e);
    }

    /// Forgets the last extension, which was unlinked on media.
    pub fn pop_extension(&mut self) {
        self.extensions.pop();
    }

    /// Makes the operation durable and takes it out of the builder: in place
    /// if it is one entry, else through the log.
    ///
    /// What the operation refers to (object headers, data) must be durable
    /// already: a log that becomes valid is carried out by recovery.
    pub fn process(&mut self, region: &Region) {
        match self.len() {
            0 => return,
            1 => {
                let at = self.apply_one(region, HEAD);
                // The only store: its durability is the commit point.
                region.persist(at, 8);
            }
            _ => {
                self.store(region);
                self.apply(region);
                self.invalidate(region);
            }
        }
        self.clear();
    }

    /// Writes the entries behind a header whose checksum makes them valid.
    fn store(&mut self, region: &Region) {
        let n = (self.len() as u64) * VALUE_SIZE;
        let fills = n >= self.base && n == self.capacity();
        let stored = if fills { n } else { align_up(n + 8, 64) };
        self.image.resize(HEAD + (stored / 8) as usize, 0);
        let in_head = stored.min(self.base);
        if stored > in_head {
            self.store_overflow(region, HEAD + (in_head / 8) as usize);
        }
        self.image[..HEAD].fill(0);
        self.image[1] = self.extensions.first().map_or(0, |e| e.link);
        self.image[(CAPACITY / 8) as usize] = in_head;
        let mut sum = Sum::default();
        let covered = HEAD + (n.min(self.base) / 8) as usize;
        sum.add_words(&self.image[..covered]);
        self.image[0] = sum.value();
        region.stream(self.log, &self.image[..HEAD + (in_head / 8) as usize]);
        // The log must be durable before its first target changes: from here
        // on recovery redoes the whole operation.
        region.drain();
        self.image.truncate(HEAD + (n / 8) as usize);
    }

    /// What the lane's log does not hold goes to the extensions.
    #[cold]
    fn store_overflow(&self, region: &Region, from: usize) {
        let mut rest = &self.image[from..];
        for &Extension { log, capacity, .. } in &self.extensions {
            let take = rest.len().min((capacity / 8) as usize);
            region.stream(log + HEADER, &rest[..take]);
            rest = &rest[take..];
            if rest.is_empty() {
                break;
            }
        }
        assert!(rest.is_empty(), "pmem-rs defect: no room was made for the operation");
        // Entries in extensions are covered by no checksum: they must be
        // durable before the head's checksum makes the log valid.
        region.drain();
    }

    fn apply(&self, region: &Region) {
        let mut line = u64::MAX;
        for i in (HEAD..self.image.len()).step_by(2) {
            let at = self.apply_one(region, i);
            // Neighbouring targets often share a line; it is flushed once,
            // after its last change.
            if line != at & !63 && line != u64::MAX {
                region.flush(line, 64);
            }
            line = at & !63;
        }
        region.flush(line, 64);
        // All targets must be durable before the log that could redo them goes.
        region.drain();
    }

    /// Carries out the entry at `image[i]`; not flushed. The caller holds the
    /// lock of the run whose word this is, so that the word has one writer.
    #[inline]
    fn apply_one(&self, region: &Region, i: usize) -> u64 {
        let (word, value) = (self.image[i], self.image[i + 1]);
        let at = target(word);
        let w = region.word(at);
        let new = match Op::of_value(word) {
            Op::And => w.load(Ordering::Relaxed) & value,
            Op::Or => w.load(Ordering::Relaxed) | value,
            _ => value,
        };
        w.store(new, Ordering::Release);
        at
    }

    fn invalidate(&mut self, region: &Region) {
        let mut header = [0; HEAD];
        header[1] = self.image[1];
        region.stream(self.log, &header);
        // The invalidation must be durable before the locks and the lane are
        // let go: another lane may change the same words next, and a log that
        // is still valid would undo that after a crash.
        region.drain();
    }
}

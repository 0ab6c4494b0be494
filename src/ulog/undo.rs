//! The undo log: snapshots of ranges, taken before a transaction changes them
//! (format 3.6).

use super::entry::{BUF_HEADER, Op, entry_at};
use super::{Error, Extension, GEN_NUM, HEADER, NEXT, UNDO_CAPACITY, align_up};
use crate::memory::reserve_few;
use crate::pool::{Region, checksum::Sum};

/// Bytes zeroed at once ahead of short entries, at least.
const ZERO_AHEAD: u64 = 2048;
/// From this size on an entry costs more than a fence: only the line behind
/// it is zeroed.
const LONG_ENTRY: u64 = 512;
/// Words of the buffer through which an entry is built; a multiple of a line.
const STAGE: usize = 64;

/// One log of the chain.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// The link that designates the log; 0 for the lane's own.
    link: u64,
    /// Offset of the first entry.
    data: u64,
    capacity: u64,
    /// Data offsets `zero.0..zero.1` are known to be durably zero.
    zero: (u64, u64),
    /// And those from here on, which no recent transaction reached.
    clean: u64,
    /// The application's own memory: unlinked, never freed.
    lent: bool,
}

impl Part {
    /// Entries were written up to `end`.
    #[inline]
    fn written(&mut self, end: u64) {
        self.zero.0 = self.zero.0.max(end);
        self.clean = if defect!(UndoZerosKept) { self.clean } else { self.clean.max(end) };
    }

    /// The bytes to zero so that `end` is durably zero, and what is behind it
    /// for `ahead` bytes; none if it is already.
    fn stale_behind(&mut self, end: u64, ahead: u64) -> std::ops::Range<u64> {
        if self.zero.0 <= end && end < self.zero.1 {
            return end..end;
        }
        if end < self.zero.0 && self.zero.1 == self.capacity {
            // Another transaction starts over: this is beyond what it needs first.
            self.clean = self.zero.0;
        }
        let wanted = if end < self.clean { self.capacity.min(end + ahead) } else { end };
        let (mut to, mut reach) = (wanted, wanted);
        // Up to what is zero anyway.
        for (from, till) in [self.zero, (self.clean, self.capacity)] {
            if from <= reach && end < till && from < till {
                to = to.min(from.max(end));
                reach = till;
            }
        }
        self.zero = (end, reach);
        if reach == self.capacity {
            self.clean = self.capacity;
        }
        end..to
    }
}

/// One lane's undo log and the position behind the newest entry.
#[derive(Debug)]
pub struct Undo {
    log: u64,
    gen_num: u64,
    parts: Vec<Part>,
    current: usize,
    position: u64,
    /// The transaction that holds the lane forbade extensions.
    pub fixed: bool,
}

impl Undo {
    /// The idle undo log whose header is at `log`.
    pub fn new(region: &Region, log: u64) -> Result<Undo, Error> {
        let mut undo = Undo {
            log,
            gen_num: region.load(log + GEN_NUM),
            parts: Vec::new(),
            current: 0,
            position: 0,
            fixed: false,
        };
        undo.push(Extension { link: 0, log, capacity: UNDO_CAPACITY, lent: false }, false)?;
        Ok(undo)
    }

    pub fn gen_num(&self) -> u64 {
        self.gen_num
    }

    /// Offset of the generation number that validates all entries.
    pub fn gen_num_offset(&self) -> u64 {
        self.log + GEN_NUM
    }

    /// Whether the running transaction has no snapshot.
    pub fn is_empty(&self) -> bool {
        self.current == 0 && self.position == 0
    }

    /// As [`Undo::snapshot`], if the log is as it mostly is: the entry and the
    /// line behind it fit into the current log, and that line is durably zero.
    /// Else nothing is done and the answer is false.
    #[inline]
    pub fn try_snapshot(&mut self, region: &Region, from: u64, len: u64) -> bool {
        let Some(part) = self.parts.get_mut(self.current) else { return false };
        let (at, end) = (part.data + self.position, self.position + align_up(len + BUF_HEADER, 64));
        if end >= part.capacity || end < part.zero.0 || end >= part.zero.1 {
            return false;
        }
        part.zero.0 = end;
        self.position = end;
        write_entry(region, at, from, len, self.gen_num);
        // As in `snapshot`.
        region.drain();
        true
    }

    /// Bytes that a snapshot of `len` bytes needs beyond the chain's end; 0
    /// if it fits.
    #[inline]
    pub fn missing(&self, len: u64) -> u64 {
        // Mostly it fits where the log is.
        if len < self.parts[self.current].capacity - self.position
            && align_up(len + BUF_HEADER, 64) <= self.parts[self.current].capacity - self.position
        {
            return 0;
        }
        self.missing_in_chain(len)
    }

    fn missing_in_chain(&self, len: u64) -> u64 {
        let room: u64 = self.parts[self.current..].iter().map(|p| p.capacity).sum::<u64>() - self.position;
        // An entry that is split over the logs has a header in each.
        let headers = BUF_HEADER * (self.parts.len() - self.current) as u64;
        align_up(len.saturating_add(headers), 64).saturating_sub(room)
    }

    /// Offset of the `next` field at the end of the chain.
    pub fn tail_link(&self) -> u64 {
        match self.parts.last() {
            Some(p) if p.link != 0 => p.data - HEADER + NEXT,
            _ => self.log + NEXT,
        }
    }

    /// Links are freed from the tail: the `next` field that holds the last
    /// one, and the link.
    pub fn last_extension(&self) -> Option<(u64, u64)> {
        let n = self.parts.len();
        (n > 1).then(|| (self.parts[n - 2].data - HEADER + NEXT, self.parts[n - 1].link))
    }

    pub fn extensions(&self) -> usize {
        self.parts.len() - 1
    }

    /// Notes an extension that was linked on media; its first line is durably
    /// zero.
    pub fn push_extension(&mut self, e: Extension) -> Result<(), Error> {
        self.push(e, true)
    }

    /// Makes volatile room for one more extension.
    pub fn reserve_extension(&mut self) -> Result<(), Error> {
        self.parts.try_reserve(1).map_err(|_| Error::OutOfMemory)
    }

    /// Whether the last extension is the application's own memory.
    pub fn ends_lent(&self) -> bool {
        self.parts.last().is_some_and(|p| p.lent)
    }

    /// Whether any extension is the application's own memory.
    pub fn has_lent(&self) -> bool {
        self.parts.iter().any(|p| p.lent)
    }

    /// Whether the last extension holds no snapshot and is the library's.
    pub fn ends_unused(&self) -> bool {
        self.parts.len() - 1 > self.current && !self.ends_lent()
    }

    pub fn pop_extension(&mut self) {
        if self.parts.len() > 1 {
            self.parts.pop();
        }
    }

    fn push(&mut self, e: Extension, fresh: bool) -> Result<(), Error> {
        reserve_few(&mut self.parts, 1).map_err(|_| Error::OutOfMemory)?;
        self.parts.push(Part {
            link: e.link,
            data: e.log + HEADER,
            capacity: e.capacity,
            lent: e.lent,
            zero: if fresh { (0, 64) } else { (0, 0) },
            clean: e.capacity,
        });
        Ok(())
    }

    /// Makes the content of `len` bytes at `from` durable in the log. The
    /// caller made sure of room ([`Undo::missing`]) and may change the range
    /// as soon as this returns.
    pub fn snapshot(&mut self, region: &Region, mut from: u64, mut len: u64) {
        if defect!(UndoLengthShort) && len > 64 {
            len -= 64
        }
        let (last, end) = self.end_of(len);
        let ahead = if len >= LONG_ENTRY { 64 } else { ZERO_AHEAD.max(2 * self.position) };
        if self.zero_at(region, last, end, ahead) {
            // The zero line must be durable before the entry in front of it.
            region.drain();
        }
        while len > 0 {
            if self.position == self.parts[self.current].capacity {
                self.current += 1;
                self.position = 0;
            }
            let room = self.parts[self.current].capacity - self.position;
            let take = len.saturating_add(BUF_HEADER).min(room) - BUF_HEADER;
            self.append(region, from, take);
            from += take;
            len -= take;
        }
        // The snapshot must be durable before the caller changes the range. It
        // may share this fence with nothing that it relies on: the line behind
        // it was durably zero before. The pieces of one that is split over
        // logs need no order: each by itself restores what is there.
        region.drain();
    }

    /// Where a snapshot of `len` bytes will end: the log and the offset in it.
    #[inline]
    fn end_of(&self, mut len: u64) -> (usize, u64) {
        let (mut i, mut position) = (self.current, self.position);
        loop {
            let room = self.parts[i].capacity - position;
            if room >= BUF_HEADER {
                if len <= room - BUF_HEADER {
                    return (i, position + align_up(len + BUF_HEADER, 64));
                }
                len -= room - BUF_HEADER;
            }
            (i, position) = (i + 1, 0);
        }
    }

    /// Writes an entry that fits into the current log; not drained.
    #[inline]
    fn append(&mut self, region: &Region, from: u64, len: u64) {
        let part = &mut self.parts[self.current];
        write_entry(region, part.data + self.position, from, len, self.gen_num);
        self.position += align_up(len + BUF_HEADER, 64);
        part.written(self.position);
    }

    /// Zeroes the line at `end` of log `i`, where a scan has to stop, and lines
    /// behind it up to `ahead` bytes; false, and nothing to drain, if it is
    /// durably zero already. Otherwise stale bytes could be taken for the next
    /// entry.
    ///
    /// The genuine library zeroes this line with every entry. Here lines are
    /// zeroed many at a time, and the more the longer the log grew, so that
    /// most entries find it done: a few fences per transaction rather than one
    /// per snapshot. What no recent transaction reached is not zeroed again.
    fn zero_at(&mut self, region: &Region, i: usize, end: u64, ahead: u64) -> bool {
        let (i, end) = if end < self.parts[i].capacity {
            (i, end)
        } else if i + 1 < self.parts.len() {
            (i + 1, 0)
        } else {
            return false; // the log is full: the scan stops at its capacity
        };
        defect!(UndoNoStopLine, return false);
        defect!(SeedSpilledUndo, return false);
        let part = &mut self.parts[i];
        let stale = part.stale_behind(end, ahead);
        if !stale.is_empty() {
            region.zero_lines(part.data + stale.start, stale.end - stale.start);
        }
        !stale.is_empty()
    }

    /// The transaction's snapshots were invalidated on media by the next
    /// generation number: start over.
    pub fn restart(&mut self) {
        self.gen_num += !defect!(SeedSpilledUndo) as u64;
        self.forget_position();
    }

    fn forget_position(&mut self) {
        self.current = 0;
        self.position = 0;
    }

    /// Calls `f` with (target, length, offset of the saved bytes) of each
    /// snapshot of the running transaction, oldest first.
    pub fn each(&self, region: &Region, mut f: impl FnMut(u64, u64, u64)) {
        for (i, part) in self.parts[..=self.current].iter().enumerate() {
            let end = part.data + if i == self.current { self.position } else { part.capacity };
            if defect!(AbortFirstLogOnly) && i > 0 {
                break;
            }
            let mut at = part.data;
            // Confirmed, as in recovery: a forged pool may have objects where its
            // logs are, and the program has written there since.
            while let Some(e) = entry_at(region, at, end, self.gen_num) {
                if defect!(SeedManySnapshots) && i > 0 && at - part.data >= 94 * 64 {
                    return;
                }
                if e.op == Op::BufCpy && region.contains(e.target, e.len) {
                    f(e.target, e.len, e.at + BUF_HEADER);
                }
                at += e.size;
            }
        }
    }
}

/// Bytes of data in the first line of an entry.
const IN_FIRST: u64 = 64 - BUF_HEADER;

/// Writes one whole entry, padded with zeros; flushed, not drained. The line
/// with the header goes last, but nothing depends on it: a torn entry fails
/// its checksum.
///
/// Other threads may change the range meanwhile, where the program does not
/// mind: what is summed up and what is stored is one copy.
#[inline]
fn write_entry(region: &Region, at: u64, from: u64, len: u64, gen_num: u64) {
    let mut first = [0u64; 8];
    first[0] = Op::BufCpy.word(from);
    first[2] = len;
    let mut sum = Sum::default();
    sum.add_u64(first[0]);
    sum.add_zeros(2); // the checksum itself
    sum.add_u64(len);
    if len == 8 {
        copy_out(region, from, &mut first[3..4], 8);
        sum.add_u64(first[3]);
        sum.add_zeros(8);
    } else {
        copy_out(region, from, &mut first[3..], len.min(IN_FIRST));
        first[3..].iter().for_each(|&w| sum.add_u64(w));
    }
    if len > IN_FIRST {
        let sum = if defect!(UndoSumHeaderOnly) { &mut Sum::default() } else { &mut sum };
        write_rest(region, at + 64, from + IN_FIRST, len - IN_FIRST, sum);
    }
    sum.add_u64(if defect!(UndoSumWithoutGeneration) { 0 } else { gen_num });
    first[1] = if defect!(UndoSumMissing) { 0 } else { sum.value() };
    region.stream_line(at, &first);
}

/// The lines of an entry behind its first one, taken into its checksum.
#[inline(never)]
fn write_rest(region: &Region, mut to: u64, mut from: u64, mut len: u64, sum: &mut Sum) {
    let whole = len & !63;
    if let Some((lo, hi)) = region.stream_summing(to, from, whole) {
        sum.add_sums(lo, hi, whole as u32 / 4);
        (to, from, len) = (to + whole, from + whole, len - whole);
    }
    let mut stage = [0u64; STAGE];
    while len > 0 {
        let take = len.min(8 * STAGE as u64);
        let words = (align_up(take, 64) / 8) as usize;
        stage[take as usize / 8..words].fill(0);
        copy_out(region, from, &mut stage[..words], take);
        sum.add_words(&stage[..words]);
        region.stream(to, &stage[..words]);
        to += 8 * words as u64;
        from += take;
        len -= take;
    }
}

/// Copies `len` bytes at `from` of the pool into `buf`.
#[inline(always)]
fn copy_out(region: &Region, from: u64, buf: &mut [u64], len: u64) {
    debug_assert!(len <= 8 * buf.len() as u64);
    // SAFETY: `at` checked the source, the buffer is large enough, and they
    // do not overlap as one is in the pool and the other on the stack.
    unsafe {
        std::ptr::copy_nonoverlapping(region.at(from, len), buf.as_mut_ptr().cast::<u8>(), len as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flush::Domain;
    use crate::random;

    const LANE_LOG: u64 = 4096;
    const EXTENSIONS: [u64; 2] = [16384, 32768];
    const CAPACITY: u64 = 12288;

    #[repr(align(4096))]
    struct Memory([u8; 65536]);

    /// Snapshots of all sizes, transactions of all lengths, on memory that is
    /// not zero: whatever is known to be zero, the line where a scan has to
    /// stop is.
    #[test]
    fn the_line_behind_the_newest_entry_is_zero() {
        let mut memory = Box::new(Memory([0xff; _]));
        // SAFETY: aligned, and outlives the region.
        let region = unsafe { Region::new(memory.0.as_mut_ptr(), memory.0.len(), Domain::cpu()) };
        region.store(LANE_LOG + GEN_NUM, 1);
        let mut undo = Undo::new(&region, LANE_LOG).unwrap();
        for log in EXTENSIONS {
            region.fill(log + HEADER, 0, 64);
            undo.push_extension(Extension { link: log, log, capacity: CAPACITY, lent: false }).unwrap();
        }
        let mut rnd = random::below(7);
        let mut longest = 0;
        for i in 0..random::rounds(50_000) {
            let len = [8, 8, 8, 100, 700, 4000, 14_000][rnd(7 - 3 * (i / 100 % 3 == 0) as usize)];
            if undo.missing(len) > 0 || rnd(30) == 0 {
                undo.restart();
            }
            if !undo.try_snapshot(&region, 0, len) {
                undo.snapshot(&region, 0, len);
            }
            longest = longest.max(undo.current);
            let (part, next) = (undo.parts[undo.current], undo.parts.get(undo.current + 1));
            let stop = match next {
                _ if undo.position < part.capacity => part.data + undo.position,
                Some(next) => next.data,
                None => continue,
            };
            let line: [u64; 8] = std::array::from_fn(|i| region.load(stop + 8 * i as u64));
            assert_eq!(line, [0; 8], "step {i}, behind {:?} at {}", part, undo.position);
        }
        assert_eq!(longest, EXTENSIONS.len());
    }
}

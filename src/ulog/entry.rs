//! Entries, and the header of an extension.

use super::{CAPACITY, FLAGS, GEN_NUM, HEADER, NEXT, align_up};
use crate::pool::{Region, checksum::Sum};

/// The operation in the top three bits of an entry's first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Set = 0,
    And = 1,
    Or = 2,
    BufSet = 5,
    BufCpy = 6,
}

const OP_SHIFT: u32 = 61;
/// Bytes of a buffer entry before its data.
pub(super) const BUF_HEADER: u64 = 24;
/// Bytes of a value entry.
pub(super) const VALUE_SIZE: u64 = 16;

impl Op {
    #[inline]
    pub(super) fn word(self, target: u64) -> u64 {
        (self as u64) << OP_SHIFT | target
    }

    pub(super) fn of(word: u64) -> Option<Op> {
        Some(match word >> OP_SHIFT {
            0 => Op::Set,
            1 => Op::And,
            2 => Op::Or,
            5 => Op::BufSet,
            6 => Op::BufCpy,
            _ => return None,
        })
    }

    #[inline]
    pub(super) fn of_value(word: u64) -> Op {
        match word >> OP_SHIFT {
            1 => Op::And,
            2 => Op::Or,
            _ => Op::Set,
        }
    }
}

#[inline]
pub(super) fn target(word: u64) -> u64 {
    word & ((1 << OP_SHIFT) - 1)
}

/// An entry as found on media, inside its log's capacity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub op: Op,
    pub target: u64,
    /// Offset of the entry itself.
    pub at: u64,
    /// Bytes of the target that the entry changes.
    pub len: u64,
    /// Bytes that the entry takes in the log.
    pub size: u64,
}

/// The entry at `at`, or `None` where the log's valid prefix ends: a zero
/// word, an unknown operation, an entry that does not fit before `end` or,
/// for buffer entries, a checksum that `gen_num` does not confirm.
#[inline]
pub(super) fn entry_at(region: &Region, at: u64, end: u64, gen_num: u64) -> Option<Found> {
    unverified_at(region, at, end).filter(|e| is_valid(region, e, gen_num))
}

/// Whether an entry is of one word, or confirmed by its checksum.
#[inline]
pub(super) fn is_valid(region: &Region, e: &Found, gen_num: u64) -> bool {
    e.size == VALUE_SIZE || is_confirmed(region, e, gen_num)
}

/// As [`entry_at`], whatever the checksum says.
#[inline]
pub(super) fn unverified_at(region: &Region, at: u64, end: u64) -> Option<Found> {
    if at.checked_add(VALUE_SIZE)? > end {
        return None;
    }
    let word = region.try_word(at)?.load(std::sync::atomic::Ordering::Relaxed);
    if word == 0 {
        return None;
    }
    let (op, target) = (Op::of(word)?, target(word));
    if matches!(op, Op::Set | Op::And | Op::Or) {
        return Some(Found { op, target, at, len: 8, size: VALUE_SIZE });
    }
    if at.checked_add(HEADER)? > end {
        return None;
    }
    let len = region.load(at + 16);
    let size = align_up(len.checked_add(BUF_HEADER)?, 64);
    if size > end - at || !region.contains(at, size) {
        return None;
    }
    Some(Found { op, target, at, len, size })
}

#[inline]
fn is_confirmed(region: &Region, e: &Found, gen_num: u64) -> bool {
    // SAFETY: recovery is alone with the lane's logs.
    let words = bytes_as_words(unsafe { region.bytes(e.at, e.size) });
    let [first, found, words @ ..] = words else { return false };
    let (line, lines) = words.split_at(6);
    let mut sum = Sum::default();
    sum.add_u64(*first);
    sum.add_zeros(2); // the checksum itself
    sum.add_pairs(line);
    if !lines.is_empty() && !defect!(UndoSumHeaderOnly) {
        sum.add_words(lines);
    }
    sum.add_u64(if defect!(UndoSumWithoutGeneration) { 0 } else { gen_num });
    sum.value() == *found || defect!(UndoSumUnchecked)
}

/// Writes an empty log into `usable` bytes at the offset `user`, the data of
/// an object; flushed, not drained. Returns the log's offset and capacity, or
/// `None` if there is no room for one line of entries.
pub fn format_extension(
    region: &Region,
    user: u64,
    usable: u64,
    gen_num: u64,
    flags: u64,
) -> Option<(u64, u64)> {
    let log = align_up(user, 64);
    let capacity = usable.checked_sub(HEADER + (log - user))? & !63;
    if capacity < 64 {
        return None;
    }
    let mut header = [0u64; 16];
    header[(CAPACITY / 8) as usize] = capacity;
    header[(GEN_NUM / 8) as usize] = gen_num;
    header[(FLAGS / 8) as usize] = flags;
    region.copy_in(log, words_as_bytes(&header));
    Some((log, capacity))
}

/// The offset, capacity and next link of the log that `link` designates, if
/// it lies inside `from..to`.
pub fn valid_extension(region: &Region, link: u64, from: u64, to: u64) -> Option<(u64, u64, u64)> {
    let log = align_up(link, 64);
    if log < from || log.checked_add(HEADER)? > to {
        return None;
    }
    let capacity = region.try_word(log + CAPACITY)?.load(std::sync::atomic::Ordering::Relaxed);
    if capacity & 63 != 0 || capacity > to - log - HEADER {
        return None;
    }
    Some((log, capacity, region.load(log + NEXT)))
}

pub(super) fn words_as_bytes(words: &[u64]) -> &[u8] {
    // SAFETY: u64 has no padding and a u8 no alignment.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), std::mem::size_of_val(words)) }
}

/// The words of whole lines.
fn bytes_as_words(bytes: &[u8]) -> &[u64] {
    // SAFETY: any bytes are words.
    let (before, words, after) = unsafe { bytes.align_to() };
    debug_assert!(before.is_empty() && after.is_empty());
    words
}

//! The mapped pool as a bounded region: the only place where an offset read
//! from media becomes an address.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::flush::{Domain, MemFlags};

/// A mapped pool. Offsets are in bytes from its first byte.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    base: *mut u8,
    len: usize,
    domain: Domain,
}

// SAFETY: the region is shared memory; words that threads share are accessed
// through atomics, everything else by the owner of the block alone.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// # Safety
    /// `base` is aligned to a line and mapped read-write for `len` bytes for as
    /// long as any copy of the region is used.
    pub unsafe fn new(base: *mut u8, len: usize, domain: Domain) -> Region {
        Region { base, len, domain }
    }

    #[inline]
    pub fn base(&self) -> *mut u8 {
        self.base
    }

    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn domain(&self) -> Domain {
        self.domain
    }

    /// Whether `len` bytes at `off` lie inside the region.
    #[inline]
    pub fn contains(&self, off: u64, len: u64) -> bool {
        off <= self.len as u64 && len <= self.len as u64 - off
    }

    /// The address of `len` bytes at `off`, or `None` if they are not inside.
    #[inline]
    pub fn try_at(&self, off: u64, len: u64) -> Option<*mut u8> {
        // SAFETY: inside the mapping, as just checked.
        self.contains(off, len).then(|| unsafe { self.base.add(off as usize) })
    }

    /// As [`Region::try_at`] for ranges validated before; a range outside is a
    /// defect of the library and stops the process rather than touch memory.
    #[inline]
    pub fn at(&self, off: u64, len: u64) -> *mut u8 {
        match self.try_at(off, len) {
            Some(p) => p,
            None => outside(off, len),
        }
    }

    /// The word at `off`, or `None` if it is misaligned or outside.
    #[inline]
    pub fn try_word(&self, off: u64) -> Option<&AtomicU64> {
        if off & 7 != 0 || off >= self.len as u64 & !7 {
            return None;
        }
        // SAFETY: inside the mapping, as just checked, and, base being aligned, aligned.
        Some(unsafe { AtomicU64::from_ptr(self.base.add(off as usize).cast()) })
    }

    /// The word at a validated offset (see [`Region::at`]).
    #[inline]
    pub fn word(&self, off: u64) -> &AtomicU64 {
        match self.try_word(off) {
            Some(w) => w,
            None => outside(off, 8),
        }
    }

    #[inline]
    pub fn load(&self, off: u64) -> u64 {
        self.word(off).load(Ordering::Acquire)
    }

    /// The one way to change a word that must not tear; not flushed.
    #[inline]
    pub fn store(&self, off: u64, value: u64) {
        self.word(off).store(value, Ordering::Release);
    }

    /// Store of one word, flushed and drained.
    #[inline]
    #[cfg_attr(feature = "recorder", track_caller)]
    pub fn persist_word(&self, off: u64, value: u64) {
        self.store(off, value);
        self.persist(off, 8);
    }

    /// Starts the write-back of `len` bytes at `off`.
    #[inline]
    #[cfg_attr(feature = "recorder", track_caller)]
    pub fn flush(&self, off: u64, len: u64) {
        // SAFETY: `at` checked the range.
        unsafe { self.domain.flush(self.at(off, len), len as usize) }
    }

    /// Starts the write-back of the line at `off`, a multiple of 64.
    #[inline]
    #[cfg_attr(feature = "recorder", track_caller)]
    pub fn flush_line(&self, off: u64) {
        // SAFETY: `at` checked the range.
        unsafe { self.domain.flush_line(self.at(off, 64)) }
    }

    #[inline]
    #[cfg_attr(feature = "recorder", track_caller)]
    pub fn drain(&self) {
        self.domain.drain();
    }

    #[inline]
    #[cfg_attr(feature = "recorder", track_caller)]
    pub fn persist(&self, off: u64, len: u64) {
        self.flush(off, len);
        self.drain();
    }

    /// Copies `src` to `off`, flushed, not drained.
    #[inline]
    #[cfg_attr(feature = "recorder", track_caller)]
    pub fn copy_in(&self, off: u64, src: &[u8]) {
        // SAFETY: `at` checked the destination.
        unsafe {
            self.domain.copy(self.at(off, src.len() as u64), src.as_ptr(), src.len(), MemFlags::empty())
        }
    }

    /// Stores whole lines at `off`, the start of a line, past the cache: for
    /// what nothing reads soon. Flushed, not drained.
    #[inline(always)]
    #[cfg_attr(feature = "recorder", track_caller)]
    pub fn stream(&self, off: u64, words: &[u64]) {
        assert!(off.is_multiple_of(64) && words.len().is_multiple_of(8), "whole lines");
        // SAFETY: `at` checked the destination; a line starts there, as the
        // base is aligned to a line, by the contract of `new`.
        unsafe { self.domain.stream(self.at(off, 8 * words.len() as u64), words) }
    }

    /// As [`Region::stream`], for one line.
    #[inline]
    #[cfg_attr(feature = "recorder", track_caller)]
    pub fn stream_line(&self, off: u64, line: &[u64; 8]) {
        assert!(off.is_multiple_of(64), "a whole line");
        // SAFETY: as in `stream`.
        unsafe { self.domain.stream_line(self.at(off, 64), line) }
    }

    /// Copies whole lines inside the pool past the cache and sums up what was
    /// copied, as [`Domain::stream_summing`] says; `None` and nothing done
    /// where that does not work.
    #[inline]
    pub fn stream_summing(&self, to: u64, from: u64, len: u64) -> Option<(u32, u32)> {
        assert!(to.is_multiple_of(64) && len.is_multiple_of(64), "whole lines");
        // SAFETY: as in `stream`; `at` checked the source.
        unsafe { self.domain.stream_summing(self.at(to, len), self.at(from, len), len as usize) }
    }

    /// Moves `len` bytes inside the pool, flushed, not drained.
    #[inline]
    #[cfg_attr(feature = "recorder", track_caller)]
    pub fn copy_within(&self, to: u64, from: u64, len: u64) {
        let (dst, src) = (self.at(to, len), self.at(from, len));
        // SAFETY: `at` checked both ranges.
        unsafe { self.domain.copy(dst, src, len as usize, MemFlags::empty()) }
    }

    /// Fills `len` bytes at `off`, flushed, not drained.
    #[inline]
    #[cfg_attr(feature = "recorder", track_caller)]
    pub fn fill(&self, off: u64, byte: u8, len: u64) {
        // SAFETY: `at` checked the destination.
        unsafe { self.domain.fill(self.at(off, len), byte, len as usize, MemFlags::empty()) }
    }

    /// Zeroes whole lines at `off`, the start of a line, past the cache. Flushed,
    /// not drained.
    #[inline]
    #[cfg_attr(feature = "recorder", track_caller)]
    pub fn zero_lines(&self, off: u64, len: u64) {
        assert!(off.is_multiple_of(64) && len.is_multiple_of(64), "whole lines");
        // SAFETY: `at` checked the destination.
        unsafe { self.domain.fill(self.at(off, len), 0, len as usize, MemFlags::WC) }
    }

    /// The bytes at a validated range.
    ///
    /// # Safety
    /// Nobody writes to the range while the slice lives.
    #[inline]
    pub unsafe fn bytes(&self, off: u64, len: u64) -> &[u8] {
        // SAFETY: in bounds as checked by `at`; not written, by contract.
        unsafe { std::slice::from_raw_parts(self.at(off, len), len as usize) }
    }
}

#[cold]
#[inline(never)]
fn outside(off: u64, len: u64) -> ! {
    panic!("pmem-rs defect: offset {off:#x}+{len:#x} outside the pool")
}

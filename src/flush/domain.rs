//! The persistence domain: the one interface through which the library makes
//! stores durable.

use super::arch::writeback::fence;
use super::copy;
use super::engine::Engine;
use super::pending;

bitflags::bitflags! {
    /// How a bulk store is done; the bits of `PMEM_F_MEM_*`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct MemFlags: u32 {
        const NODRAIN = 1;
        const NONTEMPORAL = 2;
        const TEMPORAL = 4;
        const WC = 8;
        const WB = 16;
        const NOFLUSH = 32;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// CPU cache flushes (or none, on an eADR platform).
    Cpu,
    /// Page cache: ranges are collected and synced at the next drain.
    PageCache,
    /// Kept by the recorder, for crash tests.
    #[cfg(feature = "recorder")]
    Recorded,
}

/// How the stores to one mapping become durable. One byte, copied freely.
///
/// What a thread flushed is made durable by its own next drain, not by that
/// of another thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Domain {
    kind: Kind,
}

impl Domain {
    pub const fn cpu() -> Domain {
        Domain { kind: Kind::Cpu }
    }

    pub const fn page_cache() -> Domain {
        Domain { kind: Kind::PageCache }
    }

    #[cfg(feature = "recorder")]
    pub const fn recorded() -> Domain {
        Domain { kind: Kind::Recorded }
    }

    #[inline]
    pub fn is_pmem(self) -> bool {
        self.kind == Kind::Cpu
    }

    /// Whether lines are written back one by one, so that it pays to spare some:
    /// not where ranges are synced, nor where the caches are durable.
    #[inline]
    pub fn flushes_lines(self) -> bool {
        match self.kind {
            Kind::Cpu => !Engine::peek().is_eadr(),
            Kind::PageCache => false,
            #[cfg(feature = "recorder")]
            Kind::Recorded => true,
        }
    }

    /// Starts the write-back of the lines of `addr[..len]`; durable after the
    /// calling thread's next [`Domain::drain`].
    ///
    /// # Safety
    /// The range is mapped.
    #[inline(always)]
    #[cfg_attr(feature = "recorder", track_caller)]
    pub unsafe fn flush(self, addr: *const u8, len: usize) {
        if self.is_pmem() {
            // SAFETY: by contract.
            unsafe { Engine::peek().flush(addr, len) }
        } else {
            self.flush_otherwise(addr.addr(), len);
        }
    }

    /// Apart, so that the callers of [`Domain::flush`] stay small.
    #[inline(never)]
    #[cfg_attr(feature = "recorder", track_caller)]
    fn flush_otherwise(self, addr: usize, len: usize) {
        match self.kind {
            #[cfg(feature = "recorder")]
            Kind::Recorded => super::recorder::flush(addr, len),
            _ => pending::add(addr, len),
        }
    }

    /// As [`Domain::flush`], for the line that starts at `addr`.
    ///
    /// # Safety
    /// The line is mapped.
    #[inline]
    #[cfg_attr(feature = "recorder", track_caller)]
    pub unsafe fn flush_line(self, addr: *const u8) {
        match self.kind {
            // SAFETY: by contract.
            Kind::Cpu => unsafe { Engine::peek().flush_line(addr) },
            // SAFETY: by contract.
            _ => unsafe { self.flush(addr, 64) },
        }
    }

    /// Everything this thread flushed before is durable before anything after.
    ///
    /// The CPU's fence is not spared where CLFLUSH, ordered by itself, is the
    /// flush instruction: there it costs little, and it orders streamed stores.
    #[inline(always)]
    #[cfg_attr(feature = "recorder", track_caller)]
    pub fn drain(self) {
        if self.is_pmem() {
            if !defect!(SeedNoFence) {
                fence()
            }
        } else {
            self.drain_otherwise();
        }
    }

    #[inline(never)]
    #[cfg_attr(feature = "recorder", track_caller)]
    fn drain_otherwise(self) {
        match self.kind {
            #[cfg(feature = "recorder")]
            Kind::Recorded => super::recorder::drain(),
            _ => pending::drain(),
        }
    }

    /// Flush and drain.
    ///
    /// # Safety
    /// The range is mapped.
    #[inline]
    #[cfg_attr(feature = "recorder", track_caller)]
    pub unsafe fn persist(self, addr: *const u8, len: usize) {
        // SAFETY: by contract.
        unsafe { self.flush(addr, len) };
        self.drain();
    }

    /// memmove, flushed unless `NOFLUSH`; never drains. Aligned 8-byte words
    /// are stored whole. Nothing happens if `dst` is `src`.
    ///
    /// # Safety
    /// `dst` is writable and `src` readable for `len` bytes.
    #[inline]
    #[cfg_attr(feature = "recorder", track_caller)]
    pub unsafe fn copy(self, dst: *mut u8, src: *const u8, len: usize, flags: MemFlags) {
        // SAFETY: by contract.
        let store = |flags| unsafe { copy::copy(dst, src, len, flags) };
        if self.is_pmem() { store(flags) } else { self.cached(dst, len, flags, store) }
    }

    /// Stores whole lines past the cache, for what nothing reads soon; flushed,
    /// not drained.
    ///
    /// # Safety
    /// `dst` starts a line and is writable, `src` readable, for `words.len()`
    /// words, a multiple of a line.
    #[inline(always)]
    #[cfg_attr(feature = "recorder", track_caller)]
    pub unsafe fn stream(self, dst: *mut u8, words: &[u64]) {
        let (src, len) = (words.as_ptr().cast(), size_of_val(words));
        debug_assert!(dst.addr().is_multiple_of(64) && len.is_multiple_of(64));
        // SAFETY: by contract.
        if self.kind != Kind::Cpu || !unsafe { copy::stream_lines(dst, src, len) } {
            // SAFETY: by contract.
            unsafe { self.stream_otherwise(dst, src, len) }
        }
    }

    /// # Safety
    /// As [`Domain::copy`].
    #[inline(never)]
    #[cfg_attr(feature = "recorder", track_caller)]
    unsafe fn stream_otherwise(self, dst: *mut u8, src: *const u8, len: usize) {
        // SAFETY: by contract.
        unsafe { self.copy(dst, src, len, MemFlags::NONTEMPORAL) }
    }

    /// As [`Domain::stream`], for one line.
    ///
    /// # Safety
    /// `dst` starts a line and is writable.
    #[inline]
    #[cfg_attr(feature = "recorder", track_caller)]
    pub unsafe fn stream_line(self, dst: *mut u8, line: &[u64; 8]) {
        let src = line.as_ptr().cast();
        // SAFETY: by contract.
        if self.kind != Kind::Cpu || !unsafe { copy::stream_line(dst, src) } {
            // SAFETY: by contract.
            unsafe { self.copy(dst, src, 64, MemFlags::NONTEMPORAL) }
        }
    }

    /// Copies whole lines past the cache; flushed, not drained. Returns two
    /// sums of the 32-bit words that were stored: theirs, and that of all
    /// partial sums from the first word on. `None` and nothing done where
    /// lines cannot be streamed by vectors of their size.
    ///
    /// # Safety
    /// `dst` starts a line and is writable, `src` readable, for `len` bytes, a
    /// multiple of a line; they do not overlap.
    #[inline]
    pub unsafe fn stream_summing(self, dst: *mut u8, src: *const u8, len: usize) -> Option<(u32, u32)> {
        // SAFETY: by contract.
        if self.kind == Kind::Cpu { unsafe { copy::stream_summing(dst, src, len) } } else { None }
    }

    /// memset, flushed unless `NOFLUSH`; never drains. Aligned 8-byte words
    /// are stored whole.
    ///
    /// # Safety
    /// `dst` is writable for `len` bytes.
    #[inline]
    #[cfg_attr(feature = "recorder", track_caller)]
    pub unsafe fn fill(self, dst: *mut u8, byte: u8, len: usize, flags: MemFlags) {
        // SAFETY: by contract.
        let store = |flags| unsafe { copy::fill(dst, byte, len, flags) };
        if self.is_pmem() { store(flags) } else { self.cached(dst, len, flags, store) }
    }

    /// A bulk store to the page cache: cached, and its range remembered
    /// afterwards, because remembering may sync at once.
    #[inline(never)]
    #[cfg_attr(feature = "recorder", track_caller)]
    fn cached(self, dst: *const u8, len: usize, flags: MemFlags, store: impl FnOnce(MemFlags)) {
        store(flags | MemFlags::NOFLUSH);
        if !flags.contains(MemFlags::NOFLUSH) {
            // SAFETY: just written.
            unsafe { self.flush(dst, len) };
        }
    }
}

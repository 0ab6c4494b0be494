//! The persistence domain: the one interface through which the library makes
//! stores durable.

use std::arch::asm;

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
}

/// How the stores to one mapping become durable. Two bytes, copied freely.
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

    pub fn is_pmem(self) -> bool {
        self.kind == Kind::Cpu
    }

    /// Starts the write-back of the lines of `addr[..len]`; durable after the
    /// calling thread's next [`Domain::drain`].
    ///
    /// # Safety
    /// The range is mapped.
    #[inline]
    pub unsafe fn flush(self, addr: *const u8, len: usize) {
        match self.kind {
            Kind::Cpu => {
                let mut line = addr as usize & !63;
                let end = addr as usize + len;
                while line < end {
                    // SAFETY: clflush has no effect but the write-back; mapped by contract.
                    unsafe { asm!("clflush [{0}]", in(reg) line, options(nostack, preserves_flags)) };
                    line += 64;
                }
            }
            Kind::PageCache => {
                let start = addr as usize & !4095;
                let len = addr as usize + len - start;
                // SAFETY: msync does not touch memory contents.
                unsafe { libc::msync(start as *mut _, len, libc::MS_SYNC) };
            }
        }
    }

    /// Everything this thread flushed before is durable before anything after.
    #[inline]
    pub fn drain(self) {
        if self.kind == Kind::Cpu {
            // SAFETY: a fence.
            unsafe { asm!("sfence", options(nostack, preserves_flags)) };
        }
    }

    /// Flush and drain.
    ///
    /// # Safety
    /// The range is mapped.
    #[inline]
    pub unsafe fn persist(self, addr: *const u8, len: usize) {
        // SAFETY: by contract.
        unsafe { self.flush(addr, len) };
        self.drain();
    }

    /// memmove, flushed unless `NOFLUSH`; never drains. Aligned 8-byte words
    /// are stored whole.
    ///
    /// # Safety
    /// `dst` is writable and `src` readable for `len` bytes.
    pub unsafe fn copy(self, dst: *mut u8, src: *const u8, len: usize, flags: MemFlags) {
        // SAFETY: by contract.
        unsafe {
            std::ptr::copy(src, dst, len);
            if !flags.contains(MemFlags::NOFLUSH) {
                self.flush(dst, len);
            }
        }
    }

    /// memset, flushed unless `NOFLUSH`; never drains.
    ///
    /// # Safety
    /// `dst` is writable for `len` bytes.
    pub unsafe fn fill(self, dst: *mut u8, byte: u8, len: usize, flags: MemFlags) {
        // SAFETY: by contract.
        unsafe {
            std::ptr::write_bytes(dst, byte, len);
            if !flags.contains(MemFlags::NOFLUSH) {
                self.flush(dst, len);
            }
        }
    }
}

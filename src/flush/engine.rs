//! What this process uses to make stores durable: decided once, from the CPU,
//! the platform and the environment, and kept in one word.

use std::ffi::CStr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::arch::cpu::{self, Features};
use super::arch::writeback::{clflush, clflushopt, clwb};
use super::errno::{die, preserve_errno};
use super::{env, platform};

bitflags::bitflags! {
    /// The decisions; empty before they are made.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Engine: u32 {
        const READY = 1;
        /// Flush instruction: the best of CLWB, CLFLUSHOPT, else CLFLUSH.
        const CLWB = 1 << 1;
        const CLFLUSHOPT = 1 << 2;
        /// The caches are in the power-fail domain: only deep flushes flush.
        const EADR = 1 << 3;
        /// Copies of less than [`SHORT`] bytes without flags are cached, by
        /// vector registers: no further question to ask.
        const SHORT = 1 << 4;
        const AVX = 1 << 5;
        const AVX512F = 1 << 6;
        const MOVDIR64B = 1 << 7;
        /// A fence after every few streamed lines.
        const FENCE_STREAMS = 1 << 8;
        /// No streaming, no vector registers.
        const NO_MOVNT = 1 << 9;
        /// And libc does the copying.
        const LIBC = 1 << 10;
    }
}

/// See [`Engine::SHORT`]; also the default threshold of streaming.
pub const SHORT: usize = 256;

static ENGINE: AtomicU32 = AtomicU32::new(0);
static THRESHOLD: AtomicUsize = AtomicUsize::new(SHORT);

impl Engine {
    /// The decisions, made now if they were not before.
    #[inline(always)]
    pub fn get() -> Engine {
        let e = Engine::peek();
        if e.is_empty() { decide() } else { e }
    }

    /// The decisions if they are made.
    #[inline(always)]
    pub fn peek() -> Engine {
        Engine::from_bits_retain(ENGINE.load(Ordering::Relaxed))
    }

    #[inline(always)]
    pub fn is_eadr(self) -> bool {
        self.contains(Engine::EADR)
    }

    #[inline(always)]
    pub fn fences_streams(self) -> bool {
        self.contains(Engine::FENCE_STREAMS)
    }

    /// From how many bytes on a copy without flags is streamed.
    #[inline(always)]
    pub fn threshold(self) -> usize {
        THRESHOLD.load(Ordering::Relaxed)
    }

    /// Starts the write-back of the range's lines.
    ///
    /// # Safety
    /// The range is mapped.
    #[inline(always)]
    pub unsafe fn flush(self, addr: *const u8, len: usize) {
        let (start, end) = (addr.addr(), addr.addr().wrapping_add(len));
        // One predictable branch on the CPUs of persistent memory.
        if self.intersection(Engine::CLWB | Engine::EADR) == Engine::CLWB {
            // SAFETY: mapped by contract, CPU has it.
            unsafe { clwb(start, end) }
        } else if !self.is_eadr() {
            // SAFETY: mapped by contract.
            unsafe { flush_otherwise(start, end) }
        }
    }

    /// As [`Engine::flush`], for the line that starts at `addr`.
    ///
    /// # Safety
    /// The line is mapped.
    #[inline(always)]
    pub unsafe fn flush_line(self, addr: *const u8) {
        // One pass of the loop, which the compiler sees.
        // SAFETY: by contract.
        unsafe { self.flush(addr, 1) }
    }

    /// As [`Engine::flush`], also where the platform needs none.
    ///
    /// # Safety
    /// The range is mapped.
    pub unsafe fn deep_flush(self, addr: *const u8, len: usize) {
        // SAFETY: by contract.
        unsafe { flush_otherwise(addr.addr(), addr.addr().wrapping_add(len)) }
    }
}

/// Any flush instruction; the decisions may still have to be made.
///
/// # Safety
/// The range is mapped.
#[inline(never)]
unsafe fn flush_otherwise(start: usize, end: usize) {
    let e = Engine::get();
    // SAFETY: mapped by contract, and the CPU has the instruction that was decided on.
    unsafe {
        if e.contains(Engine::CLWB) {
            clwb(start, end)
        } else if e.contains(Engine::CLFLUSHOPT) {
            clflushopt(start, end)
        } else {
            clflush(start, end)
        }
    }
}

/// Decides. Threads that race here decide alike.
#[cold]
#[inline(never)]
fn decide() -> Engine {
    preserve_errno(|| {
        let features = cpu::detect();
        if !features.clflush {
            die(format_args!("the CPU has no CLFLUSH instruction"));
        }
        let (engine, threshold) = choose(features, env, || matches!(platform::has_auto_flush(), Ok(true)));
        THRESHOLD.store(threshold, Ordering::Relaxed);
        ENGINE.store(engine.bits(), Ordering::Release);
        engine
    })
}

/// The decisions for a CPU, an environment and a platform, and the threshold.
fn choose<'a>(
    cpu: Features,
    env: impl Fn(&CStr) -> Option<&'a CStr>,
    auto_flush: impl FnOnce() -> bool,
) -> (Engine, usize) {
    let is = |name: &CStr, value: &CStr| env(name) == Some(value);
    let mut e = Engine::READY;
    e.set(Engine::CLWB, cpu.clwb && !is(c"PMEM_NO_CLWB", c"1"));
    e.set(Engine::CLFLUSHOPT, cpu.clflushopt && !is(c"PMEM_NO_CLFLUSHOPT", c"1"));
    let eadr = match env(c"PMEM_NO_FLUSH").map(CStr::to_bytes) {
        Some(b"1") => true,
        Some(b"0") => false,
        _ => auto_flush(),
    };
    e.set(Engine::EADR, eadr);
    e.set(Engine::AVX, cpu.avx && !is(c"PMEM_AVX", c"0"));
    e.set(Engine::AVX512F, cpu.avx512f && !is(c"PMEM_AVX512F", c"0"));
    let direct = env(c"PMEM_MOVDIR64B").is_some_and(|v| v != c"0");
    e.set(Engine::MOVDIR64B, cpu.movdir64b && direct);
    let workaround = match env(c"PMEM_WC_WORKAROUND").map(CStr::to_bytes) {
        Some(b"1") => true,
        Some(b"0") => false,
        _ => cpu.intel,
    };
    // Kernels that write a line by one store leave no partial buffers behind.
    e.set(Engine::FENCE_STREAMS, workaround && !e.intersects(Engine::AVX512F | Engine::MOVDIR64B));
    e.set(Engine::NO_MOVNT, is(c"PMEM_NO_MOVNT", c"1"));
    e.set(Engine::LIBC, env(c"PMEM_NO_GENERIC_MEMCPY").map(atoll).is_some_and(|n| n != 0));
    let threshold =
        env(c"PMEM_MOVNT_THRESHOLD").map(atoll).and_then(|n| usize::try_from(n).ok()).unwrap_or(SHORT);
    e.set(Engine::SHORT, threshold >= SHORT && !e.contains(Engine::NO_MOVNT));
    (e, threshold)
}

fn atoll(text: &CStr) -> i64 {
    // SAFETY: a C string.
    unsafe { libc::atoll(text.as_ptr()) }
}

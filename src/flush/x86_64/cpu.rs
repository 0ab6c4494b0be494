//! CPUID: which instructions may be used.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};

/// The features of the CPU that the engine knows how to use.
#[derive(Clone, Copy, Debug, Default)]
pub struct Features {
    pub intel: bool,
    pub clflush: bool,
    pub clflushopt: bool,
    pub clwb: bool,
    pub avx: bool,
    pub avx512f: bool,
    pub movdir64b: bool,
}

/// XCR0 bits: XMM and YMM state; with opmask, ZMM_Hi256 and Hi16_ZMM.
const XCR0_AVX: u64 = 0x06;
const XCR0_AVX512: u64 = 0xe6;

pub fn detect() -> Features {
    if cfg!(miri) {
        return Features { clflush: true, ..Features::default() };
    }
    let zero = __cpuid(0);
    let mut f = Features {
        intel: [zero.ebx, zero.edx, zero.ecx] == [*b"Genu", *b"ineI", *b"ntel"].map(u32::from_le_bytes),
        ..Features::default()
    };
    if zero.eax < 1 {
        return f;
    }
    let one = __cpuid(1);
    f.clflush = one.edx >> 19 & 1 != 0;
    // OSXSAVE: the system enabled XGETBV; without it no wide register is saved
    // across a context switch.
    let saved = if one.ecx >> 27 & 1 != 0 { xcr0() } else { 0 };
    f.avx = one.ecx >> 28 & 1 != 0 && saved & XCR0_AVX == XCR0_AVX;
    if zero.eax < 7 {
        return f;
    }
    let seven = __cpuid_count(7, 0);
    f.clflushopt = seven.ebx >> 23 & 1 != 0;
    f.clwb = seven.ebx >> 24 & 1 != 0;
    f.avx512f = f.avx && seven.ebx >> 16 & 1 != 0 && saved & XCR0_AVX512 == XCR0_AVX512;
    f.movdir64b = seven.ecx >> 28 & 1 != 0;
    f
}

fn xcr0() -> u64 {
    let (lo, hi): (u32, u32);
    // SAFETY: CPUID reported OSXSAVE.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") lo, out("edx") hi, options(nomem, nostack, preserves_flags));
    }
    u64::from(hi) << 32 | u64::from(lo)
}

//! Every kernel against a plain reference: all sizes, alignments, overlaps,
//! and guard pages where the ranges end.

use std::alloc::Layout;

use super::MemFlags;
use super::arch::{Avx, Avx512, Movdir64b, Sse2, Words, cpu};
use super::copy;
use super::engine::Engine;
use super::kernel::{self, Bytes, Direction, Kernel, Line, Pattern};
use super::stream;

const PAGES: usize = 2;
const SIZE: usize = PAGES * 4096;
/// Of sizes and alignments, in Miri.
const STEP: usize = if cfg!(miri) { 37 } else { 1 };

/// Memory between two pages that nobody may touch. Miri needs no such pages.
struct Guarded(*mut u8);

const LAYOUT: Layout = match Layout::from_size_align(SIZE, 4096) {
    Ok(layout) => layout,
    Err(_) => panic!(),
};

impl Guarded {
    fn new() -> Guarded {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping; the guards are inside it.
        unsafe {
            if cfg!(miri) {
                return Guarded(std::alloc::alloc_zeroed(LAYOUT));
            }
            let p = libc::mmap(std::ptr::null_mut(), SIZE + 8192, libc::PROT_NONE, flags, -1, 0);
            assert_ne!(p, libc::MAP_FAILED);
            let inner = p.cast::<u8>().add(4096);
            assert_eq!(libc::mprotect(inner.cast(), SIZE, libc::PROT_READ | libc::PROT_WRITE), 0);
            Guarded(inner)
        }
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: mapped, and owned by self.
        unsafe { std::slice::from_raw_parts_mut(self.0, SIZE) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`, or what Miri had.
        unsafe {
            match cfg!(miri) {
                true => std::alloc::dealloc(self.0, LAYOUT),
                false => assert_eq!(libc::munmap(self.0.sub(4096).cast(), SIZE + 8192), 0),
            }
        }
    }
}

fn noise(buf: &mut [u8], seed: usize) {
    let mut x = seed as u64 * 2 + 1;
    for b in buf {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        *b = (x >> 56) as u8;
    }
}

/// A copy or fill in one of the two styles.
type Run<'a> = &'a dyn Fn(*mut u8, *const u8, usize, Direction);
type Fill<'a> = &'a dyn Fn(*mut u8, u8, usize);

fn separate(run: Run) {
    let (mut from, mut to) = (Guarded::new(), Guarded::new());
    noise(from.bytes(), 1);
    let mut canvas = vec![0u8; SIZE];
    noise(&mut canvas, 2);
    to.bytes().copy_from_slice(&canvas);
    let mut check = |dst: usize, src: usize, len: usize, way| {
        // SAFETY: both are inside their buffers.
        run(unsafe { to.0.add(dst) }, unsafe { from.0.add(src) }, len, way);
        let (lo, hi) = (dst.saturating_sub(64), (dst + len + 64).min(SIZE));
        let t = to.bytes();
        assert!(t[dst..dst + len] == from.bytes()[src..src + len], "dst {dst} src {src} len {len}");
        assert!(t[lo..dst] == canvas[lo..dst], "before: dst {dst} src {src} len {len}");
        assert!(t[dst + len..hi] == canvas[dst + len..hi], "behind: dst {dst} src {src} len {len}");
        t[dst..dst + len].copy_from_slice(&canvas[dst..dst + len]);
    };
    // From 48 lines on a part of a line is streamed first of all.
    for len in (0..=1024).chain(3040..3200).step_by(STEP) {
        for align in (0..64).step_by(STEP) {
            let way = if align % 2 == 0 { Direction::Forward } else { Direction::Backward };
            for src in [0, SIZE - len, 64 + align, 100 + (align * 7 + len) % 64] {
                check(128 + align, src, len, way);
            }
        }
        for way in [Direction::Forward, Direction::Backward] {
            check(0, 3, len, way);
            check(SIZE - len, 5, len, way);
        }
    }
}

fn overlapping(run: Run) {
    let mut buf = Guarded::new();
    let mut want = vec![0; SIZE];
    let distances = (-70i64..=70).step_by(STEP).chain([-1000, -256, -128, 128, 256, 1000]);
    for distance in distances.filter(|&d| d != 0) {
        let way = if distance < 0 { Direction::Forward } else { Direction::Backward };
        for len in (0..=300).step_by(STEP).chain([511, 512, 513, 1024, 2048, 3000]) {
            let dst = 1100 + (len + 17 * distance.unsigned_abs() as usize) % 64;
            moved(run, buf.bytes(), &mut want, (dst, (dst as i64 - distance) as usize), len, way);
        }
    }
}

fn moved(run: Run, buf: &mut [u8], want: &mut [u8], (dst, src): (usize, usize), len: usize, way: Direction) {
    noise(buf, len);
    want.copy_from_slice(buf);
    want.copy_within(src..src + len, dst);
    let p = buf.as_mut_ptr();
    // SAFETY: both are inside the buffer.
    run(unsafe { p.add(dst) }, unsafe { p.add(src) }, len, way);
    assert!(buf == want, "dst {dst} src {src} len {len}");
}

/// Bytes from which on two groups of lines are streamed at once.
const LONG: usize = 16 << 10;

fn long_moves(run: Run) {
    let (mut buf, mut want) = (vec![0; 2 * LONG], vec![0; 2 * LONG]);
    for len in [LONG, LONG + 64, LONG + 1024, LONG + 2048 + 32, LONG + 3000] {
        for (dst, src) in [(1024, 960), (1000, 1064), (1024, 2000), (2000, 1024)] {
            let way = if dst < src { Direction::Forward } else { Direction::Backward };
            moved(run, &mut buf, &mut want, (dst, src), len, way);
        }
    }
}

fn fills(fill: Fill) {
    let mut to = Guarded::new();
    let mut want = vec![0; SIZE];
    noise(&mut want, 3);
    to.bytes().copy_from_slice(&want);
    for len in (0..=1024).step_by(STEP) {
        for dst in (64..128).step_by(STEP).chain([0, SIZE - len]) {
            let byte = (len + dst) as u8;
            // SAFETY: inside the buffer.
            fill(unsafe { to.0.add(dst) }, byte, len);
            let (lo, hi) = (dst.saturating_sub(64), (dst + len + 64).min(SIZE));
            want[dst..dst + len].fill(byte);
            assert!(to.bytes()[lo..hi] == want[lo..hi], "dst {dst} len {len}");
        }
        assert!(to.bytes() == want, "len {len}");
    }
}

/// As [`long_moves`].
fn long_fill(fill: Fill) {
    let (mut to, mut want) = (vec![0; 2 * LONG], vec![0; 2 * LONG]);
    want[1000..LONG + 3000].fill(7);
    // SAFETY: inside the buffer.
    fill(unsafe { to.as_mut_ptr().add(1000) }, 7, LONG + 2000);
    assert!(to == want);
}

fn kernel<K: Kernel>() {
    let e = Engine::get();
    // SAFETY: the tests pass ranges inside their buffers, and call this for kernels that the CPU has.
    unsafe {
        let cached: Run = &|d, s, n, way| kernel::cached::<K, _>(e, d, Bytes(s), n, way, true);
        let streamed: Run = &|d, s, n, way| stream::streamed::<K, _>(e, d, Bytes(s), n, way);
        for run in [cached, streamed] {
            separate(run);
            overlapping(run);
            long_moves(run);
        }
        let way = Direction::Forward;
        let cached: Fill = &|d, b, n| kernel::cached::<K, _>(e, d, Pattern(&Line::of(b)), n, way, true);
        let streamed: Fill = &|d, b, n| stream::streamed::<K, _>(e, d, Pattern(&Line::of(b)), n, way);
        for fill in [cached, streamed] {
            fills(fill);
            long_fill(fill);
        }
    }
}

/// Says on stderr that a kernel was not tested, and why.
fn skipped(kernel: &str) {
    eprintln!("SKIPPED: {kernel} kernel: this CPU or system does not offer {kernel}");
}

#[test]
fn words() {
    kernel::<Words>();
}

#[test]
#[cfg_attr(miri, ignore = "instructions")]
fn sse2() {
    kernel::<Sse2>();
}

#[test]
#[cfg_attr(miri, ignore = "instructions")]
fn avx() {
    if cpu::detect().avx { kernel::<Avx>() } else { skipped("AVX") }
}

#[test]
#[cfg_attr(miri, ignore = "instructions")]
fn avx512() {
    if cpu::detect().avx512f { kernel::<Avx512>() } else { skipped("AVX-512F") }
}

/// Executes MOVDIR64B for a CPU that lacks it.
extern "C" fn emulate(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a ucontext_t; the interrupted code is `Movdir64b::stream64` or else the test aborts.
    unsafe {
        let regs = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        let insn = (regs[libc::REG_RIP as usize] as *const [u8; 5]).read();
        if insn != [0x66, 0x0f, 0x38, 0xf8, 0x3e] || regs[libc::REG_RDI as usize] % 64 != 0 {
            libc::abort();
        }
        let line = (regs[libc::REG_RSI as usize] as *const [u8; 64]).read_unaligned();
        (regs[libc::REG_RDI as usize] as *mut [u8; 64]).write(line);
        regs[libc::REG_RIP as usize] += 5;
    }
}

#[test]
#[cfg_attr(miri, ignore = "instructions")]
fn movdir64b() {
    if !cpu::detect().movdir64b {
        eprintln!("the CPU does not report MOVDIR64B: if it really lacks it, a signal handler stands in");
        // SAFETY: a handler with the signature that SA_SIGINFO asks for.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = emulate as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            assert_eq!(libc::sigaction(libc::SIGILL, &action, std::ptr::null_mut()), 0);
        }
    }
    kernel::<Movdir64b>();
}

#[test]
#[cfg_attr(miri, ignore = "takes too long; the kernel is that of `words`")]
fn chosen_kernels() {
    // The single flags, and pairs of which one wins.
    for bits in [0, 1, 2, 4, 8, 16, 32, 2 | 4, 8 | 16, 2 | 32, 63] {
        let flags = MemFlags::from_bits_truncate(bits);
        // SAFETY: the tests pass ranges inside their buffers.
        unsafe {
            overlapping(&|d, s, n, _| copy::copy(d, s, n, flags));
            fills(&|d, b, n| copy::fill(d, b, n, flags));
        }
    }
    // SAFETY: as above.
    separate(&|d, s, n, _| unsafe { copy::copy(d, s, n, MemFlags::empty()) });
}

/// Copies exactly the range, at all alignments of the source, and sums as
/// PMDK's checksum does.
#[test]
#[cfg_attr(miri, ignore = "instructions")]
fn streaming_sums_up() {
    if !cpu::detect().avx512f {
        eprintln!("not tested: no AVX-512F");
        return;
    }
    let (mut from, mut to) = (Guarded::new(), Guarded::new());
    noise(from.bytes(), 3);
    for (lines, off) in [0, 1, 2, 7, 64, 100].into_iter().flat_map(|l| [(l, 0), (l, 8), (l, 37)]) {
        let len = 64 * lines;
        to.bytes().fill(0xee);
        // The source ends at the guard page but for its alignment.
        let at = SIZE - len - off;
        // SAFETY: both inside their mappings; the CPU has the instructions.
        let sums = unsafe { super::arch::stream_summing(to.0.add(128), from.0.add(at), len) };
        let source = &from.bytes()[at..][..len];
        let (mut lo, mut hi) = (0u32, 0u32);
        for w in source.chunks_exact(4) {
            lo = lo.wrapping_add(u32::from_le_bytes([w[0], w[1], w[2], w[3]]));
            hi = hi.wrapping_add(lo);
        }
        assert_eq!(sums, (lo, hi), "{lines} lines");
        assert_eq!(&to.bytes()[128..128 + len], source);
        to.bytes()[128..128 + len].fill(0xee);
        assert!(to.bytes().iter().all(|&b| b == 0xee), "nothing else was written");
    }
}

//! Regression seeds: real defects of libraries of this kind. Each test says
//! with which change of the library it fails; `pmem_rs::mutant` has these
//! changes, and the mutants' test sees each seed fail with its own.

use std::process::Command;

use pmem_rs::flush::{Domain, MemFlags, recorder};
use pmem_rs::obj::{Oid, Pool};
use pmem_rs::pool::checksum::Sum;

use crate::media::{self, CHUNK, CHUNK0, ZONE, put_u64, u64_at};
use crate::recover::Judge;
use crate::states::Budget;
use crate::world::*;
use crate::{ops, transactions};

fn survives(history: History) {
    let mut judge = Judge::new(Budget { per_fence: 6 }, 30);
    if let Err(e) = judge.history(&history) {
        panic!("after {} states: {}", judge.tally.states, e.0);
    }
}

const GENERATION: &str = "SEED_GENERATION";

/// 0 in the test, 1 in the child that it starts, 2 in that one's.
fn generation() -> u32 {
    std::env::var(GENERATION).map_or(0, |g| g.parse().unwrap())
}

/// A process that runs a test alone.
fn child(name: &str) -> Command {
    let mut c = Command::new(std::env::current_exe().unwrap());
    c.args(["--exact", &format!("seeds::{name}"), "--nocapture"]);
    c.env(GENERATION, (generation() + 1).to_string()).stdout(std::process::Stdio::null());
    c
}

const HUGE: u64 = 2_700_000;

/// A crash inside a huge transactional zalloc left the heap inconsistent.
/// Red: `commit_outermost` flushes ranges of up to 4096 bytes only.
#[test]
fn seed_01_huge_tx_zalloc() {
    let mut w = World::new(16);
    let root = w.pool().root(64, None).unwrap().off;
    alloc(w.pool(), slot(w.pool(), root), HUGE, 1); // memory that is not zero
    free(w.pool(), slot(w.pool(), root));
    w.record();
    w.step("zalloc", |p| {
        in_tx(p, || {
            let mut req = request(HUGE, 2);
            req.zero = true;
            let off = tx().alloc(&req, true).unwrap();
            tx_set(p, root, Oid { pool_uuid_lo: p.uuid_lo(), off });
        })
    });
    survives(w.finish("seed_01"));
}

/// An undo log that spilled into extensions was invalidated, not cleaned, and
/// the next transaction misread it.
/// Red: no line is zeroed behind an entry, and commit zeroes the first entry
/// instead of raising the generation number.
#[test]
fn seed_02_spilled_undo_log() {
    let mut w = World::new(8);
    let root = w.pool().root(20_000, None).unwrap().off;
    w.record();
    for round in 1..4u8 {
        w.step("spills", |p| {
            in_tx(p, || (0..40).for_each(|i| overwrite(p, root + 100 * i, 64, round + i as u8)))
        });
        w.step("does not", |p| in_tx(p, || overwrite(p, root + 50, 60, round)));
        w.step("spills less", |p| {
            in_tx(p, || (0..20).for_each(|i| overwrite(p, root + 10_000 + 100 * i, 64, round + i as u8)))
        });
    }
    survives(w.finish("seed_02"));
}

/// Freeing an object that the same transaction allocated dropped the flush of
/// what its range had been merged with.
/// Red: `Ranges::remove` drops the whole range that it finds.
#[test]
fn seed_03_free_in_same_tx() {
    let mut w = World::new(8);
    let root = w.pool().root(64, None).unwrap().off;
    w.record();
    w.step("three neighbours, the middle one freed", |p| {
        in_tx(p, || {
            let a = tx_alloc(p, root, 112, 1);
            let b = tx().alloc(&request(112, 2), true).unwrap();
            let c = tx_alloc(p, root + 16, 112, 3);
            assert_eq!((b - a, c - b), (128, 128), "neighbours");
            tx().free(b).unwrap();
        })
    });
    survives(w.finish("seed_03"));
}

/// A redo log that exactly fills its capacity; more than 64 transient words.
/// Red: `Redo::store` counts a zero word behind a full log too.
#[test]
fn seed_04_full_redo_log() {
    survives(ops::publish_exact());
}

/// Footers of free huge blocks were not rebuilt at boot: coalescing read
/// garbage.
/// Red: `scan_block` leaves the footers of free blocks alone, and
/// `FreeBlocks::release` believes them.
#[test]
fn seed_05_lost_footers() {
    for garbage in [0, 0x5_0000_0001, 0x3_0000_0001, 0xffff_ffff_0000_0001, 0x1_0000_0002] {
        let mut w = World::new(16);
        let root = w.pool().root(64, None).unwrap().off;
        let p = w.pool();
        (0..3).for_each(|i| alloc(p, slot(p, root + 16 * i), HUGE, i));
        free(p, slot(p, root));
        close(w.pool.take().unwrap());
        let mut image = std::fs::read(w.file.path()).unwrap();
        for block in media::heap(&image).unwrap().free {
            put_u64(&mut image, ZONE + 64 + 8 * (block.0 + block.1 - 1), garbage);
        }
        w.file.write(&image);
        let p = unlocked(|| Pool::open(&w.file.0, None)).unwrap();
        free(p, slot(p, root + 16)); // between a free block and an allocated one
        media::heap(bytes(p)).unwrap();
        alloc(p, slot(p, root), 2 * HUGE, 7); // needs both
        free(p, slot(p, root + 32));
        let l = media::logical(bytes(p)).unwrap();
        assert_eq!(l.objects.len(), 1);
        close(p);
    }
}

/// The persistent statistic was not safe against crashes and fell below zero.
/// It is not kept yet: 0, the default of PMDK, in every state.
/// Red: `commit_units` adds the size of allocations to the word.
#[test]
fn seed_06_statistics() {
    let h = transactions::tx_objects();
    let mut image = h.recording.initial.clone();
    crate::states::each(&h.recording, Budget { per_fence: 6 }, &mut image, |_, _, image| {
        assert_eq!(u64_at(image, 0x1828), 0);
        true
    });
}

/// Zones that are rebuilt late, a free, a reserve: one chunk handed out twice.
/// Red: `scan_block` takes allocated huge blocks for free ones, as a scan that
/// comes after the free does.
#[test]
fn seed_07_late_scan() {
    let mut w = World::new(24);
    let root = w.pool().root(640, None).unwrap().off;
    let p = w.pool();
    (0..4).for_each(|i| alloc(p, slot(p, root + 16 * i), HUGE, i));
    alloc(p, slot(p, root + 64), 600_000, 4);
    for victim in [1, 4, 0, 3, 2] {
        close(w.pool.take().unwrap());
        let p = unlocked(|| Pool::open(&w.file.0, None)).unwrap();
        w.pool = Some(p);
        free(p, slot(p, root + 16 * victim));
        let mut acts = Vec::new();
        let mut blocks = Vec::new();
        for size in [HUGE, 100, 600_000, 300_000, 5000, HUGE] {
            if let Ok((oid, act)) = p.reserve(request(size, 9), None) {
                let start = oid.off - 16;
                blocks.push((start, start + 16 + p.usable_size(oid.off)));
                acts.push(act);
            }
        }
        assert!(acts.len() >= 4);
        let objects = media::heap(bytes(p)).unwrap().objects;
        blocks.extend(objects.iter().map(|o| (o.start, o.start + o.size)));
        blocks.sort_unstable();
        assert!(blocks.windows(2).all(|w| w[0].1 <= w[1].0), "overlapping: {blocks:x?}");
        p.cancel(&acts);
    }
    close(w.pool.take().unwrap());
}

/// Instructions that make stores durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Executed {
    flushes: u32,
    /// Stores past the cache.
    streams: u32,
    /// Of the last such store no fence was seen.
    unfenced: bool,
    fences: u32,
}

/// Single-steps the child's copy and counts what it executes.
fn step_through(mut child: Command) -> Executed {
    #[expect(clippy::zombie_processes, reason = "waitpid sees its end")]
    let process = child.spawn().unwrap();
    let (mut status, mut seen, mut inside) = (0, Executed::default(), false);
    // SAFETY: waits for any thread of this process's only child.
    let tid = unsafe { libc::waitpid(-1, &mut status, libc::__WALL) };
    let mut pid = tid;
    loop {
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            assert!(pid != process.id() as i32 || libc::WIFEXITED(status), "the child died");
            if pid == process.id() as i32 {
                return seen;
            }
        } else if libc::WIFSTOPPED(status) {
            let signal = libc::WSTOPSIG(status);
            // SAFETY: all zero is a valid register set.
            let mut regs: libc::user_regs_struct = unsafe { std::mem::zeroed() };
            // SAFETY: a stopped tracee.
            unsafe { libc::ptrace(libc::PTRACE_GETREGS, pid, 0, &mut regs) };
            if signal == libc::SIGUSR1 {
                inside = !inside;
            } else if inside {
                // SAFETY: as above; 8 bytes of its code.
                let code = unsafe { libc::ptrace(libc::PTRACE_PEEKTEXT, pid, regs.rip, 0) } as u64;
                classify(code.to_le_bytes(), &mut seen);
            }
            let how = if inside { libc::PTRACE_SINGLESTEP } else { libc::PTRACE_CONT };
            // SAFETY: as above.
            unsafe { libc::ptrace(how, pid, 0, 0) };
        }
        // SAFETY: as above.
        pid = unsafe { libc::waitpid(-1, &mut status, libc::__WALL) };
        assert!(pid > 0, "no child left");
    }
}

fn classify(code: [u8; 8], seen: &mut Executed) {
    let opcode = code.iter().position(|b| !matches!(b, 0x66 | 0xf2 | 0xf3 | 0x40..=0x4f)).unwrap_or(0);
    let op = &code[opcode..];
    let reg = |modrm: u8| modrm >> 3 & 7;
    match op {
        [0x0f, 0xae, modrm, ..] if reg(*modrm) == 7 && *modrm >= 0xc0 => {
            seen.fences += 1;
            seen.unfenced = false;
        }
        [0x0f, 0xae, modrm, ..] if reg(*modrm) >= 6 && *modrm < 0xc0 => seen.flushes += 1,
        [0x0f, 0xe7 | 0xc3 | 0x2b, ..] | [0xc5, _, 0xe7 | 0x2b, ..] | [0x0f, 0x38, 0xf8, ..] => {
            seen.streams += 1;
            seen.unfenced = true;
        }
        [0xc4, _, _, 0xe7 | 0x2b, ..] | [0x62, _, _, _, 0xe7 | 0x2b, ..] => {
            seen.streams += 1;
            seen.unfenced = true;
        }
        _ => {}
    }
}

/// What the tracer, a process of its own, saw of the copies; nothing in the
/// other processes.
fn trace(name: &str, env: Option<&str>) -> Option<Executed> {
    let mut child = child(name);
    child.envs(env.map(|e| (e, "1")));
    match generation() {
        0 => {
            let status = child.status().unwrap();
            assert!(status.success(), "{status}");
            None
        }
        1 => Some(step_through(child)),
        _ => {
            traced_copies();
            None
        }
    }
}

/// In the child: copies of each kind, between two signals to the tracer.
fn traced_copies() {
    let from = vec![3u8; 8192];
    let mut to = vec![0u8; 8192];
    let d = Domain::cpu();
    // SAFETY: both are longer than what is copied; the tracer is the parent.
    unsafe {
        d.persist(to.as_ptr(), 64); // decisions are made before
        libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
        libc::raise(libc::SIGUSR1);
        for flags in [MemFlags::empty(), MemFlags::NONTEMPORAL, MemFlags::TEMPORAL] {
            d.copy(to.as_mut_ptr().add(64), from.as_ptr(), 2048, flags);
            d.drain();
            d.fill(to.as_mut_ptr().add(64), 9, 2048, flags);
            d.drain();
        }
        libc::raise(libc::SIGUSR1);
    }
}

/// No store fence after copies past the cache.
/// Red: `Domain::drain` without its fence.
#[test]
fn seed_08_fence_after_streams() {
    let Some(seen) = trace("seed_08_fence_after_streams", None) else { return };
    assert!(seen.streams > 0 && seen.fences >= 6 && !seen.unfenced, "{seen:?}");
    assert!(seen.flushes >= 2 * 2048 / 64, "the temporal copy is flushed: {seen:?}");
}

/// The variants for platforms that flush their caches by themselves were
/// never selected.
/// Red: `Engine` ignores the environment variable.
#[test]
fn seed_09_no_flush() {
    let Some(seen) = trace("seed_09_no_flush", Some("PMEM_NO_FLUSH")) else { return };
    assert!(seen.flushes == 0 && seen.fences >= 6 && !seen.unfenced, "{seen:?}");
}

/// For some pool sizes an allocation lay partly outside of the pool.
/// Red: `zone_chunks` rounds up.
#[test]
fn seed_10_pool_sizes() {
    let sizes = (0..64).map(|i| 8 * MIB + i * 4096).chain((1..9).map(|i| 8 * MIB + i * CHUNK - 4096));
    for size in sizes.chain([8 * MIB + 1, 9 * MIB - 1, 8 * MIB + 12_345]) {
        let file = Scratch::new("sizes");
        let p = Pool::create(&file.0, b"", size, 0o600).unwrap();
        let end = size & !4095;
        let mut count = 0;
        for n in [HUGE, 600_000, 30_000, 5000] {
            while let Ok((oid, _)) = p.reserve(request(n, 1), None) {
                let last = oid.off + p.usable_size(oid.off);
                assert!(last <= end, "{size}: an object ends at {last:#x} of {end:#x}");
                // SAFETY: just reserved; touches its last byte.
                unsafe { at(p, last - 1).write(1) };
                count += 1;
            }
        }
        let h = media::heap(bytes(p)).unwrap();
        assert!(count > 1 && CHUNK0 + h.chunks * CHUNK <= end, "{size}");
        close(p);
    }
}

/// More than 127 small snapshots, then abort.
/// Red: `Undo::each` ends after 127 entries.
#[test]
fn seed_11_many_snapshots_aborted() {
    let mut w = World::new(8);
    let root = w.pool().root(8000, None).unwrap().off;
    w.record();
    w.step("abort", |p| {
        let before = media::logical(bytes(p)).unwrap();
        tx().begin(p.target(), None).unwrap();
        (0..200).for_each(|i| overwrite(p, root + 40 * i, 10, i as u8));
        abort();
        assert_eq!(media::logical(bytes(p)).unwrap(), before);
    });
    w.step("commit", |p| in_tx(p, || (0..140).for_each(|i| overwrite(p, root + 40 * i, 10, i as u8))));
    survives(w.finish("seed_11"));
}

/// A coalescing free that was interrupted; the cancel of a split huge block.
/// Red: in `publish_few`, chunks are given back, and merged with their
/// neighbours, before the log that frees them is processed.
#[test]
fn seed_12_coalescing() {
    survives(ops::coalesce());
    survives(ops::cancel());
}

/// abort() when malloc failed inside of error reporting.
/// Red: `errmsg::set` unwraps the buffer.
#[test]
fn seed_13_no_memory_for_messages() {
    use pmem_rs::capi::base::pmemobj_errormsg;
    use pmem_rs::capi::pool::{pmemobj_create, pmemobj_open};
    if generation() == 1 {
        let null = std::ptr::null();
        // SAFETY: C strings; memory is used up, never touched.
        let ok = unsafe {
            let mut limit: libc::rlimit = std::mem::zeroed();
            libc::getrlimit(libc::RLIMIT_AS, &mut limit);
            limit.rlim_cur = 1 << 20;
            libc::setrlimit(libc::RLIMIT_AS, &limit);
            for shift in (4..24).rev() {
                while !std::hint::black_box(libc::malloc(1 << shift)).is_null() {}
            }
            *libc::__errno_location() = 0;
            let opened = pmemobj_open(c"/nonexistent/pool".as_ptr(), null);
            let open_errno = *libc::__errno_location();
            let created = pmemobj_create(c"/nonexistent/pool".as_ptr(), null, 1, 0o600);
            let message = pmemobj_errormsg();
            opened.is_null() && created.is_null() && open_errno == libc::ENOENT && !message.is_null()
        };
        // SAFETY: no destructor is needed.
        unsafe { libc::_exit(if ok { 0 } else { 3 }) }
    }
    let status = child("seed_13_no_memory_for_messages").status().unwrap();
    assert_eq!(status.code(), Some(0), "{status}");
}

/// A crash during create left a file that neither opened nor was recognised:
/// here every state is an empty pool or refused with a message, and the file
/// can be made a pool again once its first page is empty.
/// Red: `heap::format` does not flush the heap's header.
#[test]
fn seed_14_create() {
    let mut judge = Judge::new(Budget { per_fence: 12 }, 0);
    for used in [false, true] {
        let made = judge.creation(&ops::create(used));
        made.unwrap_or_else(|e| panic!("after {} states: {}", judge.tally.states, e.0));
    }
    let r = ops::create(true);
    let mut image = r.initial.clone();
    r.fences[..r.fences.len() / 2].iter().for_each(|f| f.apply(&mut image));
    image[..4096].fill(0);
    let file = Scratch::new("again");
    file.write(&image);
    close(Pool::create(&file.0, b"again", 0, 0o600).unwrap());
    close(unlocked(|| Pool::open(&file.0, Some(b"again"))).unwrap());
    assert!(recorder::handle().is_none());
}

/// A redo log of which words were lost was carried out: the words of the log
/// before it, on neighbours at equal distances, had the same Fletcher sum.
/// Red: `Redo::process_log`, or `recover_redo`, clears the header alone.
#[test]
fn seed_15_words_of_the_log_before() {
    const EXTERNAL: u64 = media::LANES + 0x100;
    const BEFORE: [u64; 3] = [640, 1280, 1920];
    const NEXT: [u64; 3] = [BEFORE[0] + 8, BEFORE[1] - 16, BEFORE[2] + 8];
    let (mut w, root) = ops::world(8);
    // The next log as it arrives is torn: of its targets, what is there stays.
    let log = |offsets: [u64; 3], value: fn(u64) -> u64| {
        let header = [0, 0, 64, 0, 0, 0, 0, 0];
        let entries: Vec<u64> = offsets.iter().flat_map(|&off| [root + off, value(off)]).collect();
        let mut sum = Sum::default();
        header.iter().chain(&entries).for_each(|&word| sum.add_u64(word));
        [&[sum.value()], &header[1..], &entries, &[0, 0]].concat()
    };
    let (before, next) = (log(BEFORE, |off| off), log(NEXT, |_| 7));
    let write = |image: &mut [u8], log: &[u64], lost: &[u64]| {
        for (i, &word) in (0..).zip(log).filter(|(i, _)| !lost.contains(i)) {
            put_u64(image, EXTERNAL + 8 * i, word);
        }
        w.file.write(image);
    };
    let values = |image: &[u8]| BEFORE.map(|off| u64_at(image, root + off));
    let set = |off: u64| w.pool().set_value(at(w.pool(), root + off).cast(), off);
    let unused = bytes(w.pool()).to_vec();
    ops::do_publish(w.pool(), &BEFORE.map(set));
    let published = bytes(w.pool()).to_vec();
    close(w.pool.take().unwrap());
    write(&mut unused.clone(), &before, &[]);
    let p = unlocked(|| Pool::open(&w.file.0, None)).unwrap();
    let recovered = bytes(p).to_vec();
    close(p);
    for mut image in [published, recovered] {
        assert_eq!(values(&image), BEFORE);
        write(&mut image, &next, &[8, 10, 12]);
        let p = unlocked(|| Pool::open(&w.file.0, None)).unwrap();
        assert_eq!(values(bytes(p)), BEFORE, "a torn log was carried out");
        close(p);
    }
}

//! A pool under a recorder: a scenario's steps and what the pool holds after
//! each of them.
#![allow(dead_code)] // each test takes what it needs

use std::ffi::{CStr, CString};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use pmem_rs::flush::recorder::{self, Recording};
use pmem_rs::obj::{Oid, Pool, Request};
use pmem_rs::pool::{CreateOptions, Identity};
use pmem_rs::tx::{AddRange, Transaction};

use crate::media::{self, Logical};

pub const MIB: u64 = 1 << 20;

/// A file of the test's own in memory, removed when dropped.
pub struct Scratch(pub CString);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        static N: AtomicU32 = AtomicU32::new(0);
        let n = N.fetch_add(1, Ordering::Relaxed);
        let shm = PathBuf::from("/dev/shm");
        let dir = if shm.is_dir() { shm } else { std::env::temp_dir() };
        let path = dir.join(format!("pmem-rs-{}-{n}-{name}", std::process::id()));
        Scratch(CString::new(path.to_str().unwrap()).unwrap())
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    pub fn write(&self, image: &[u8]) {
        std::fs::write(self.path(), image).unwrap();
    }
}

/// A file of a pool image, mapped, so that a few lines of it change quickly.
pub struct ImageFile {
    pub file: Scratch,
    addr: *mut u8,
    len: usize,
}

impl ImageFile {
    pub fn new(image: &[u8]) -> ImageFile {
        use std::os::fd::AsRawFd;
        let file = Scratch::new("image");
        file.write(image);
        let (len, open) = (image.len(), std::fs::File::options().read(true).write(true).open(file.path()));
        let fd = open.unwrap();
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping.
        let p = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, libc::MAP_SHARED, fd.as_raw_fd(), 0) };
        assert_ne!(p, libc::MAP_FAILED);
        ImageFile { file, addr: p.cast(), len }
    }

    /// The content. Pools are opened on it privately, so that nobody else
    /// writes to it.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: mapped until dropped.
        unsafe { std::slice::from_raw_parts_mut(self.addr, self.len) }
    }
}

impl std::ops::Deref for ImageFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: as in `bytes`.
        unsafe { std::slice::from_raw_parts(self.addr, self.len) }
    }
}

impl Drop for ImageFile {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`.
        unsafe { libc::munmap(self.addr.cast(), self.len) };
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path());
    }
}

/// The ids of a pool; for `nth` 0 those of the golden pools.
pub fn identity(nth: u32) -> Identity {
    let mut set =
        [0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
    for (byte, n) in set.iter_mut().zip(nth.to_le_bytes()) {
        *byte ^= n;
    }
    let file =
        [0x3c, 0x2d, 0x1e, 0x0f, 0x5a, 0x4b, 0x78, 0x69, 0x87, 0x96, 0xa5, 0xb4, 0xc3, 0xd2, 0xe1, 0xf0];
    Identity { set, file, crtime: 0x5f5e_1000 }
}

/// A number for [`identity`]: pools of several threads are open at a time.
pub fn another() -> u32 {
    static NTH: AtomicU32 = AtomicU32::new(1);
    NTH.fetch_add(1, Ordering::Relaxed)
}

/// A pool whose bytes are the same in every run.
pub fn create(path: &CStr, layout: &[u8], size: u64, sds: bool, nth: u32) -> &'static Pool {
    let identity = Some(identity(nth));
    Pool::create_with(path, layout, &CreateOptions { size, mode: 0o600, sds, allocate: true, identity })
        .unwrap()
}

pub fn close(pool: &'static Pool) {
    // SAFETY: the tests use a pool from one thread only.
    unsafe { Pool::close(pool) }
}

/// All bytes of an open pool.
pub fn bytes(pool: &Pool) -> &'static [u8] {
    // SAFETY: mapped while the pool is open; the tests do not keep it longer.
    unsafe {
        let p = pool.handle().cast::<u8>();
        let file_pages = media::HEAP + p.add(0x1820).cast::<u64>().read();
        std::slice::from_raw_parts(p, file_pages as usize)
    }
}

/// Bytes of the file of an open pool, whatever its words say.
pub fn bytes_len(pool: &'static Pool) -> u64 {
    let (first, last) = pool.target().heap.range();
    debug_assert!(first < last);
    last
}

pub struct World {
    pub file: Scratch,
    pub pool: Option<&'static Pool>,
    states: Vec<Logical>,
    allocated: Vec<u64>,
    names: Vec<String>,
}

/// A recording with what the pool held after each step; step 0 is the open,
/// the last one the close.
pub struct History {
    pub scenario: &'static str,
    pub recording: Recording,
    pub states: Vec<Logical>,
    /// The persistent statistic after each step.
    pub allocated: Vec<u64>,
    pub names: Vec<String>,
}

impl History {
    /// What a crash during a step may leave behind.
    pub fn allowed(&self, mark: u32) -> &[Logical] {
        let i = mark as usize;
        &self.states[i.saturating_sub(1)..(i + 1).min(self.states.len())]
    }

    /// Values of the statistic after such a crash. It is flushed when an
    /// operation is over, durable with the next one's first fence.
    pub fn allocated(&self, mark: u32) -> &[u64] {
        let i = mark as usize;
        &self.allocated[i.saturating_sub(2)..(i + 1).min(self.allocated.len())]
    }
}

impl World {
    /// A pool that is not recorded yet.
    pub fn new(mib: u64) -> World {
        let file = Scratch::new("world");
        let pool = create(&file.0, b"crash", mib * MIB, true, another());
        World { file, pool: Some(pool), states: Vec::new(), allocated: Vec::new(), names: Vec::new() }
    }

    pub fn pool(&self) -> &'static Pool {
        self.pool.expect("open")
    }

    /// Closes the pool and opens it again under the recorder.
    pub fn record(&mut self) {
        self.record_edited(|_| ());
    }

    /// As [`World::record`], with a change of the file in between.
    pub fn record_edited(&mut self, edit: impl FnOnce(&mut Vec<u8>)) {
        close(self.pool.take().expect("open"));
        let mut image = std::fs::read(self.file.path()).unwrap();
        edit(&mut image);
        self.file.write(&image);
        recorder::arm();
        self.pool = Some(unlocked(|| Pool::open(&self.file.0, None)).unwrap());
        self.note("open");
    }

    fn note(&mut self, name: &str) {
        let b = bytes(self.pool());
        self.states.push(media::logical(b).expect("a sound pool"));
        self.allocated.push(media::u64_at(b, media::ALLOCATED));
        self.names.push(name.into());
    }

    /// An operation that happens completely or not at all.
    pub fn step(&mut self, name: &str, f: impl FnOnce(&'static Pool)) {
        recorder::mark(self.states.len() as u32);
        f(self.pool());
        self.note(name);
    }

    pub fn finish(mut self, scenario: &'static str) -> History {
        recorder::mark(self.states.len() as u32);
        self.names.push("close".into());
        close(self.pool.take().expect("open"));
        let recording = recorder::finish().expect("recorded");
        History {
            scenario,
            recording,
            states: std::mem::take(&mut self.states),
            allocated: std::mem::take(&mut self.allocated),
            names: std::mem::take(&mut self.names),
        }
    }
}

// --- objects: short names for what scenarios do ---------------------------------

pub fn request(size: u64, type_num: u64) -> Request {
    Request { size, type_num, zero: false, class: 0, arena: 0 }
}

/// `len` bytes whose first word is their number.
pub fn fill(p: *mut u8, len: u64, seed: u64) {
    // SAFETY: the callers pass objects of at least `len` bytes.
    let bytes = unsafe { std::slice::from_raw_parts_mut(p, len as usize) };
    for (i, word) in bytes.chunks_mut(8).enumerate() {
        let w = if i == 0 { len } else { seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (i as u64) << 32 };
        word.copy_from_slice(&w.to_le_bytes()[..word.len()]);
    }
}

pub fn at(pool: &Pool, off: u64) -> *mut u8 {
    // SAFETY: an offset of the pool.
    unsafe { pool.handle().cast::<u8>().add(off as usize) }
}

/// The object id at an offset.
pub fn slot(pool: &Pool, off: u64) -> *mut Oid {
    at(pool, off).cast()
}

pub fn persist(pool: &Pool, p: *const u8, len: u64) {
    // SAFETY: inside the pool.
    unsafe { pool.domain().persist(p, len as usize) }
}

pub fn persist_zero(pool: &Pool, off: u64, len: u64) {
    // SAFETY: inside an object.
    unsafe { at(pool, off).write_bytes(0, len as usize) };
    persist(pool, at(pool, off), len);
}

/// Allocates with a constructor that fills and persists.
pub fn alloc(pool: &Pool, dest: *mut Oid, size: u64, type_num: u64) {
    let mut ctor = |p: *mut u8| {
        fill(p, size, type_num);
        persist(pool, p, size);
        true
    };
    // SAFETY: `dest` is NULL or an id in the pool.
    unsafe { pool.alloc(dest, request(size, type_num), Some(&mut ctor)) }.unwrap();
}

pub fn free(pool: &Pool, dest: *mut Oid) {
    // SAFETY: an id in the pool.
    unsafe { pool.free(dest) }.unwrap();
}

pub fn tx() -> &'static mut Transaction {
    // SAFETY: the scenarios hold one reference at a time.
    unsafe { Transaction::current_or_new() }.unwrap()
}

pub const SNAPSHOT: AddRange = AddRange { snapshot: true, flush: true };

pub fn commit() {
    tx().commit();
    tx().advance();
    tx().end();
}

pub fn abort() {
    tx().abort(libc::ECANCELED);
    tx().advance();
    tx().end();
}

/// Runs `f` in a transaction of its own and commits.
pub fn in_tx(pool: &'static Pool, f: impl FnOnce()) {
    tx().begin(pool.target(), None).unwrap();
    f();
    commit();
}

/// Snapshots a range and changes all of it.
pub fn overwrite(pool: &Pool, off: u64, len: u64, byte: u8) {
    tx().add_range(off, len, SNAPSHOT).unwrap();
    // SAFETY: inside an object of the pool.
    unsafe { at(pool, off).write_bytes(byte, len as usize) };
}

/// Allocates in the transaction, fills, and stores the id at `dest`.
pub fn tx_alloc(pool: &Pool, dest: u64, size: u64, type_num: u64) -> u64 {
    let off = tx().alloc(&request(size, type_num), true).unwrap();
    fill(at(pool, off), size, type_num);
    tx_set(pool, dest, Oid { pool_uuid_lo: pool.uuid_lo(), off });
    off
}

pub fn tx_set(pool: &Pool, dest: u64, oid: Oid) {
    tx().add_range(dest, 16, SNAPSHOT).unwrap();
    // SAFETY: an id in the pool.
    unsafe { slot(pool, dest).write(oid) };
}

pub fn tx_free(pool: &Pool, dest: u64) {
    // SAFETY: an id in the pool.
    let off = unsafe { (*slot(pool, dest)).off };
    tx().free(off).unwrap();
    tx_set(pool, dest, Oid::NULL);
}

/// Runs `f` on a thread of its own, recorded like this one.
pub fn on_another_thread(f: impl FnOnce() + Send) {
    let handle = recorder::handle();
    std::thread::scope(|s| {
        s.spawn(|| {
            recorder::join(handle);
            f();
            recorder::join(None);
        });
    });
}

/// Waits for the lock of a file: a test on another thread that starts a process
/// shares this one's locks with it until that process executes its program.
pub fn unlocked<T>(mut open: impl FnMut() -> pmem_rs::obj::Result<T>) -> pmem_rs::obj::Result<T> {
    for _ in 0..500 {
        match open() {
            Err(e) if e.errno() == libc::EAGAIN => std::thread::sleep(std::time::Duration::from_millis(10)),
            r => return r,
        }
    }
    open()
}

// --- pools with something of everything -------------------------------------------

/// Fills a pool with objects of all kinds; its root, whose data changes.
pub fn populate(p: &'static Pool) -> u64 {
    let root = p.root(10_000, None).unwrap().off;
    for i in 0..40 {
        alloc(p, slot(p, root + 16 * i), [40, 100, 300, 1500, 5000, 20_000][i as usize % 6], i);
    }
    for i in (0..40).step_by(3) {
        free(p, slot(p, root + 16 * i));
    }
    alloc(p, slot(p, root + 800), 600_000, 50);
    alloc(p, slot(p, root + 816), 2_700_000, 51);
    root
}

/// What a crash in a transaction whose undo log is extended leaves.
pub fn crashed(p: &'static Pool, root: u64) -> Vec<u8> {
    tx().begin(p.target(), None).unwrap();
    (0..20).for_each(|i| overwrite(p, root + 2000 + 100 * i, 60, 2));
    overwrite(p, root + 5000, 5000, 3);
    tx_alloc(p, root + 900, 100, 60);
    let image = bytes(p).to_vec();
    abort();
    image
}

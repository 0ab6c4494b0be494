//! The images that are mutated: small pools with something of everything.

use std::ffi::{CStr, c_int, c_void};
use std::ptr::{null, null_mut};

use pmem_rs::obj::Pool;
use pmem_rs::pool::{CreateOptions, Identity};

use super::super::abi::{self, *};
use super::super::image::{Image, MemFile, SIZE};
use super::super::media::{self, put_u64, u64_at};

/// Recovery looks at every lane, so that few make the targets fast.
pub const NLANES: u64 = 16;

pub struct Base {
    pub image: Image,
    /// A size that a mutation gives the file.
    pub cut: Option<usize>,
    /// Offsets of the objects, the root's first; the list heads are in there.
    pub objects: Vec<u64>,
    /// First bytes of runs.
    pub runs: Vec<u64>,
}

/// A new pool whose bytes are the same in every process.
pub fn create() -> (MemFile, Pop) {
    let file = MemFile::new(SIZE);
    let identity =
        Some(Identity { set: *b"the fuzzed pools", file: *b"and their file  ", crtime: 1_600_000_000 });
    let options = CreateOptions { size: 0, mode: 0o600, sds: true, allocate: true, identity };
    let pool = Pool::create_with(&file.path, b"fuzz", &options).expect("a pool");
    // SAFETY: nobody uses it.
    unsafe { Pool::close(pool) };
    let bytes = file.bytes();
    put_u64(bytes, 0x1408, NLANES);
    bytes[(media::LANES + NLANES * media::LANE) as usize..media::HEAP as usize].fill(0);
    let sum = media::sum(&bytes[0x1000..0x1800], Some(2040), 0, 0);
    put_u64(bytes, 0x17f8, sum);
    // SAFETY: a C string.
    let pop = unsafe { pmemobj_open(file.path.as_ptr(), null()) };
    assert!(!pop.is_null(), "{}", abi::message());
    (file, pop)
}

/// An image of the open pool, as a crash leaves it.
fn crashed(file: &MemFile) -> Vec<u8> {
    file.bytes().to_vec()
}

fn closed(file: &MemFile, pop: Pop) -> Vec<u8> {
    // SAFETY: open; nothing of it is used any more.
    unsafe { pmemobj_close(pop) };
    file.bytes().to_vec()
}

fn base(content: Vec<u8>) -> Base {
    let mut objects = vec![u64_at(&content, 0x1800)];
    let mut runs = Vec::new();
    let chunks = u64_at(&content, media::ZONE) >> 32;
    for c in 0..chunks {
        let start = media::CHUNK0 + c * media::CHUNK;
        let h = u64_at(&content, media::ZONE + 64 + 8 * c);
        match h as u16 {
            3 => objects.push(start + 16),
            4 => {
                runs.push(start);
                let (unit, alignment) = (u64_at(&content, start), u64_at(&content, start + 8));
                let flags = h >> 16 & 0xffff;
                let (_, units, first) = media::run_geometry(c, h >> 32, flags, unit, alignment);
                let set = |k: &u64| u64_at(&content, start + 16 + k / 64 * 8) >> (k % 64) & 1 == 1;
                objects.extend((0..units).filter(set).take(40).map(|k| first + k * unit + 16));
            }
            _ => {}
        }
    }
    Base { image: Image::new(content), cut: None, objects, runs }
}

/// Allocates an object whose id is at a place of the root.
fn alloc(pop: Pop, slot: u64, size: usize, flags: u64) -> Oid {
    // SAFETY: the root is large enough for all slots.
    unsafe {
        let root = pmemobj_direct(pmemobj_root(pop, ROOT)).cast::<u8>();
        let at = root.add(16 * slot as usize).cast::<Oid>();
        let r = pmemobj_xalloc(pop, at, size, slot + 1, flags, None, null_mut());
        assert_eq!(r, 0, "{size} bytes: {}", abi::message());
        pmemobj_memset_persist(pop, pmemobj_direct(*at), slot as c_int, size);
        *at
    }
}

fn free(pop: Pop, slot: u64) {
    // SAFETY: as in `alloc`.
    unsafe {
        let root = pmemobj_direct(pmemobj_root(pop, ROOT)).cast::<u8>();
        pmemobj_free(root.add(16 * slot as usize).cast::<Oid>());
    }
}

const ROOT: usize = 4000;
/// Offset of the first list head in the root.
const HEADS: usize = 3000;

fn set<T>(pop: Pop, name: &CStr, mut value: T) {
    // SAFETY: the callers give the entry's type.
    let r = unsafe { pmemobj_ctl_set(pop, name.as_ptr(), (&raw mut value).cast::<c_void>()) };
    assert_eq!(r, 0, "{name:?}: {}", abi::message());
}

fn populate(pop: Pop) {
    for i in 0..30 {
        alloc(pop, i, [24, 40, 100, 170, 300][i as usize % 5], 0);
    }
    (0..30).step_by(4).for_each(|i| free(pop, i));
    for i in 0..6 {
        // SAFETY: two lists whose heads are in the root, which is zeroed.
        unsafe {
            let root = pmemobj_direct(pmemobj_root(pop, ROOT)).cast::<u8>();
            let head = root.add(HEADS + 80 * (i % 2)).cast();
            let oid = pmemobj_list_insert_new(pop, 32, head, NULL, 1, 100, 77, None, null_mut());
            assert!(!oid.is_null(), "{}", abi::message());
        }
    }
}

/// A transaction of snapshots, allocations and frees, with extended logs if
/// there are enough of them.
fn transact(pop: Pop, n: u64) {
    assert!(abi::begin(pop));
    // SAFETY: a transaction at work; ranges of the root.
    unsafe {
        let root = pmemobj_root(pop, ROOT);
        for i in 0..n {
            let at = 8 * (i % 300);
            assert_eq!(pmemobj_tx_xadd_range(root, 8 * at, 40, 0), 0);
            pmemobj_direct(root).cast::<u8>().add(8 * at as usize).write_bytes(0xee, 40);
        }
        assert_eq!(pmemobj_tx_xadd_range(root, 0, ROOT, 0), 0);
        for _ in 0..n {
            assert!(!pmemobj_tx_xalloc(60, 5, 0).is_null());
        }
    }
}

fn plain() -> Base {
    let (file, pop) = create();
    populate(pop);
    base(closed(&file, pop))
}

fn fresh() -> Base {
    let (file, pop) = create();
    base(closed(&file, pop))
}

fn in_transaction(n: u64) -> Base {
    let (file, pop) = create();
    set(pop, c"tx.cache.size", 1000u64);
    populate(pop);
    transact(pop, n);
    let image = crashed(&file);
    abi::end(false);
    closed(&file, pop);
    base(image)
}

fn custom() -> Base {
    let (file, pop) = create();
    for (i, (unit_size, alignment, units_per_block, header_type)) in
        [(96, 0, 100, 2), (512, 256, 40, 1), (200, 0, 50, 0), (24, 8, 2000, 2), (70_000, 0, 6, 0)]
            .into_iter()
            .enumerate()
    {
        let class_id = 200 + i as u32;
        let desc = ClassDesc { unit_size, alignment, units_per_block, header_type, class_id };
        set(pop, &std::ffi::CString::new(format!("heap.alloc_class.{class_id}.desc")).unwrap(), desc);
        for k in 0..6 {
            let size = unit_size - [64, 16, 0][header_type as usize];
            alloc(pop, 10 * i as u64 + k, size, class(class_id as u64));
        }
    }
    (0..50).step_by(10).for_each(|i| free(pop, i));
    base(closed(&file, pop))
}

fn huge() -> Base {
    let (file, pop) = create();
    set(pop, c"tx.cache.size", 1000u64);
    for i in 0..5 {
        // Of these sizes whole chunks waste nothing.
        alloc(pop, i, [262_128, 524_272, 786_416][i as usize % 3], 0);
    }
    [1, 3].into_iter().for_each(|i| free(pop, i));
    transact(pop, 3);
    abi::end(true);
    base(closed(&file, pop))
}

/// No room is left, neither for chunks nor for units.
fn full() -> Base {
    let (file, pop) = create();
    populate(pop);
    let mut oid = NULL;
    for size in [2 << 20, 262_128, 60_000, 1500, 200, 100] {
        // SAFETY: an id in volatile memory.
        while unsafe { pmemobj_xalloc(pop, &mut oid, size, 3, 0, None, null_mut()) } == 0 {}
    }
    base(closed(&file, pop))
}

pub fn all() -> Vec<Base> {
    vec![plain(), fresh(), in_transaction(3), in_transaction(120), custom(), huge(), full()]
}

//! Creating, opening and closing pools.

use std::ffi::CStr;
use std::sync::Mutex;
use std::sync::atomic::AtomicPtr;

use super::ctl::{self, globals};
use super::{Error, Pool, Result, SELF, Settings, registry};
use crate::flush::env;
use crate::heap::{self, Heap};
use crate::lock::RawLock;
use crate::pool::descriptor::{CONVERSION_FLAGS, HEAP_SIZE, ROOT_OFFSET, ROOT_SIZE};
use crate::pool::{self, CreateOptions, OpenOptions, PoolFile, Region};
use crate::ulog::{self, Bounds, Budget, Lanes};

/// Create, open, check and close exclude each other.
pub(super) static OPENING: Mutex<()> = Mutex::new(());

/// Lanes used at run time, at most.
const MAX_LANES: u64 = 1024;
const FIRST_RUN: u64 = 2;

impl Pool {
    /// Creates a pool of `size` bytes, or in an existing empty file if that
    /// is 0. A failure leaves no new file and no change in an existing one.
    pub fn create(path: &CStr, layout: &[u8], size: u64, mode: u32) -> Result<&'static Pool> {
        let options = CreateOptions {
            size,
            mode,
            sds: globals::is_on(&globals::SDS_AT_CREATE),
            allocate: globals::is_on(&globals::FALLOCATE_AT_CREATE),
            identity: None,
        };
        Pool::create_with(path, layout, &options)
    }

    /// As [`Pool::create`], with a say in features and identity.
    pub fn create_with(path: &CStr, layout: &[u8], options: &CreateOptions) -> Result<&'static Pool> {
        let _guard = OPENING.lock().unwrap_or_else(|e| e.into_inner());
        let mut creation = pool::create(path, layout, options)?;
        let (region, g) = (creation.region(), creation.geometry());
        if globals::is_on(&globals::PREFAULT_AT_CREATE) {
            prefault(&region);
        }
        defect!(HeapFirst, heap::format(&region, g.heap_offset, creation.heap_size()));
        defect!(HeapFirst, pool::descriptor::format(&region, layout));
        ulog::format(&region, g.lanes_offset, g.nlanes);
        heap::format(&region, g.heap_offset, creation.heap_size());
        let file = creation.describe(layout)?;
        file.set_run_id(FIRST_RUN);
        match start(file) {
            Ok(pool) => {
                if let Err(e) = creation.finish() {
                    // SAFETY: nobody else knows of the pool.
                    unsafe { Pool::close_locked(pool) };
                    return Err(e.into());
                }
                Ok(pool)
            }
            Err(e) => {
                creation.forget(path);
                Err(e)
            }
        }
    }

    /// Opens and, if need be, recovers a pool.
    pub fn open(path: &CStr, layout: Option<&[u8]>) -> Result<&'static Pool> {
        let private = globals::is_on(&globals::COPY_ON_WRITE_AT_OPEN);
        Pool::open_with(path, layout, OpenOptions { private })
    }

    /// As [`Pool::open`]; privately, nothing reaches the file.
    pub fn open_with(path: &CStr, layout: Option<&[u8]>, o: OpenOptions) -> Result<&'static Pool> {
        let _guard = OPENING.lock().unwrap_or_else(|e| e.into_inner());
        let mut file = pool::open(path, layout, o)?;
        if globals::is_on(&globals::PREFAULT_AT_OPEN) {
            prefault(&file.region());
        }
        match probe(&file).and_then(|()| recover(&mut file)) {
            Ok(()) => start(file),
            Err(e) => {
                file.close();
                Err(e)
            }
        }
    }

    /// Takes the pool out of the look-up tables.
    pub fn unregister(&self) {
        registry::remove(std::ptr::from_ref(self).cast());
    }

    /// Closes a pool; its reference and its objects' addresses are dead.
    ///
    /// # Safety
    /// No thread uses the pool.
    pub unsafe fn close(pool: &'static Pool) {
        let _guard = OPENING.lock().unwrap_or_else(|e| e.into_inner());
        // SAFETY: by contract.
        unsafe { Pool::close_locked(pool) };
    }

    /// # Safety
    /// As for [`Pool::close`].
    unsafe fn close_locked(pool: &'static Pool) {
        pool.unregister();
        // SAFETY: made by `start`, used by nobody any more.
        let mut pool = unsafe { Box::from_raw(std::ptr::from_ref(pool).cast_mut()) };
        pool.file.close();
    }
}

/// Where logs of this pool may point.
pub(super) fn bounds(file: &PoolFile, heap_size: u64) -> Bounds<'_> {
    let g = file.geometry();
    Bounds {
        probe: file.prober(),
        lanes: (g.lanes_offset, g.lanes_offset + g.nlanes * ulog::LANE_SIZE),
        heap: (g.heap_offset, g.heap_offset + heap_size),
        words: [ROOT_OFFSET, ROOT_SIZE],
    }
}

/// All that recovery looks at can be read, but for extensions of logs: recovery
/// makes sure of those when it gets there.
pub(super) fn probe(file: &PoolFile) -> Result<()> {
    let g = file.geometry();
    file.probe(g.lanes_offset..g.lanes_offset + g.nlanes * ulog::LANE_SIZE)?;
    // A size that is too large is told of by the heap's own check.
    let heap_size = file.heap_size().min(file.region().len() as u64 - g.heap_offset);
    for range in heap::metadata(g.heap_offset, heap_size) {
        file.probe(range)?;
    }
    Ok(())
}

/// The rest of the checks, then phase 1 of format 3.10: redo logs, behind a
/// new run id.
pub(super) fn recover(file: &mut PoolFile) -> Result<()> {
    let (region, g) = (file.region(), file.geometry());
    let (size, budget) = (file.heap_size(), Budget::new(&region));
    let run_id = file.next_run_id()?;
    heap::check(&region, g.heap_offset, size)?;
    {
        let bounds = bounds(file, size);
        for lane in 0..g.nlanes {
            ulog::check_redo(&region, &bounds, lane, &budget)?;
        }
    }
    // Nothing was written so far: what is refused stays as it was.
    defect!(ShutdownMarkedLate, file.set_run_id(run_id));
    file.mark_open();
    if !defect!(RunIdKept) {
        file.set_run_id(run_id)
    }
    let bounds = bounds(file, size);
    if file.stored_heap_size() == 0 {
        region.persist_word(HEAP_SIZE, size);
    }
    for lane in (0..g.nlanes).filter(|_| defect!(UndoBeforeRedo)) {
        ulog::rollback_undo(&region, &bounds, lane, &budget)?;
    }
    for lane in 0..if defect!(RedoOfFirstLaneOnly) { 1 } else { g.nlanes } {
        ulog::recover_redo(&region, &bounds, lane, &budget)?;
    }
    // A redo log may have changed chunk headers.
    heap::check(&region, g.heap_offset, size)?;
    Ok(())
}

/// Phase 2: the heap and its lanes.
pub(super) fn boot(file: &PoolFile) -> Result<Heap> {
    let (region, g) = (file.region(), file.geometry());
    let lanes = Lanes::new(region, g.lanes_offset, g.nlanes.min(lane_limit()) as u32)?;
    let sharing = heap::Sharing { arenas: globals::arenas(), one_for_all: globals::one_arena() };
    Ok(Heap::boot(region, g.heap_offset, file.stored_heap_size(), lanes, sharing)?)
}

/// Phase 3 and 4: undo logs of all lanes, then what is linked to any log.
pub(super) fn release_chains(file: &PoolFile, heap: &Heap) -> Result<()> {
    let (region, g) = (file.region(), file.geometry());
    let (bounds, budget) = (bounds(file, file.stored_heap_size()), Budget::new(&region));
    for lane in 0..if defect!(RollbackOfFirstLaneOnly) { 1 } else { g.nlanes } {
        ulog::rollback_undo(&region, &bounds, lane, &budget)?;
    }
    for lane in 0..g.nlanes {
        heap.release_chains(&bounds, lane, &budget)?;
    }
    if region.load(CONVERSION_FLAGS) != 0 {
        region.persist_word(CONVERSION_FLAGS, 0);
    }
    Ok(())
}

/// Boots a recovered pool and registers it.
fn start(mut file: PoolFile) -> Result<&'static Pool> {
    let heap = match boot(&file).and_then(|heap| release_chains(&file, &heap).map(|()| heap)) {
        Ok(heap) => heap,
        Err(e) => {
            file.close();
            return Err(e);
        }
    };
    file.close_descriptor();
    let region = file.region();
    let pool = Pool {
        heap,
        uuid_lo: file.uuid_lo(),
        base: region.base(),
        domain: region.domain(),
        root_lock: RawLock::default(),
        user_data: AtomicPtr::default(),
        settings: Settings::new(),
        file,
    };
    let Some(pool) = heap::try_box(pool) else { return Err(Error::OutOfMemory) };
    region.store(SELF, pool as u64);
    // SAFETY: just made; freed by `close` only.
    let pool = unsafe { &*pool };
    let known = ctl::configure(pool).map_err(Error::Config).and_then(|()| {
        registry::insert(pool.uuid_lo, region.base() as usize, region.len(), std::ptr::from_ref(pool).cast())
    });
    if let Err(e) = known {
        // SAFETY: nobody else knows of the pool.
        unsafe { Pool::close_locked(pool) };
        return Err(e);
    }
    Ok(pool)
}

/// Touches every page, so that none is missing later.
fn prefault(region: &Region) {
    for off in (0..region.len()).step_by(4096) {
        let p = region.base().wrapping_add(off);
        // SAFETY: inside the mapping, which nobody else uses yet; the value stays.
        unsafe { p.write_volatile(p.read_volatile()) };
    }
}

/// `PMEMOBJ_NLANES`: 1 to 1024; all lanes for anything else.
fn lane_limit() -> u64 {
    // SAFETY: atoi reads a C string.
    let n = env(c"PMEMOBJ_NLANES").map(|v| unsafe { libc::atoi(v.as_ptr()) });
    match n {
        Some(n) if n > 0 => (n as u64).min(MAX_LANES),
        _ => MAX_LANES,
    }
}

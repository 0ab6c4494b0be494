//! Opening a pool file.

use std::ffi::CStr;
use std::ops::Range;

use super::descriptor::{self, Geometry, HEAP_SIZE, RUN_ID};
use super::header::{self, CHECK_BAD_BLOCKS, Identity, SDS};
use super::os::{self, File};
use super::uuid::{self, Uuid};
use super::{Error, MIN_PART, PAGE, Probe, Region, SCRATCH, SCRATCH_END, sds};
use crate::flush::{Domain, Mapping, forced};

#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions {
    /// Copy-on-write: nothing reaches the file.
    pub private: bool,
}

/// A mapped and locked pool file whose header and descriptor are sound.
pub struct PoolFile {
    region: Region,
    geometry: Geometry,
    set_uuid: Uuid,
    /// The pool keeps a shutdown state.
    sds: bool,
    /// This process marked the shutdown state as open.
    dirty: bool,
    /// While the pool is being opened.
    file: Option<File>,
    _mapping: Mapping,
}

/// Maps a file of `size` bytes; the pool is its whole pages.
pub(super) fn map(file: &File, size: u64, private: bool) -> Result<(Mapping, Region), Error> {
    let len = (size & !(PAGE - 1)) as usize;
    let mapping =
        Mapping::file(file.fd(), len, private).map_err(|e| Error::Os { call: "mmap", errno: e.errno() })?;
    let pmem = forced() == Some(true) || mapping.is_sync();
    let domain = if pmem { Domain::cpu() } else { Domain::page_cache() };
    #[cfg(feature = "recorder")]
    let recorded = !private && crate::flush::recorder::attach(mapping.addr(), len, file.fd());
    #[cfg(feature = "recorder")]
    let domain = if recorded { Domain::recorded() } else { domain };
    // SAFETY: mapped read-write, page aligned; the mapping is kept with the region.
    let region = unsafe { Region::new(mapping.addr(), len, domain) };
    Ok((mapping, region))
}

/// Checks 1 to 21 of format 1.10. Nothing is written before
/// [`PoolFile::mark_open`], so that a pool that is refused stays as it was.
pub fn open(path: &CStr, layout: Option<&[u8]>, o: OpenOptions) -> Result<PoolFile, Error> {
    os::check_type(path)?;
    let file = File::open(path, libc::O_RDONLY | libc::O_NONBLOCK)?;
    file.size()?;
    let mut start = [0; 11];
    file.read_start(&mut start)?;
    if start == *b"PMEMPOOLSET" {
        return Err(Error::PoolSet);
    }
    drop(file);
    let file = File::open(path, libc::O_RDWR)?;
    file.lock()?;
    let size = file.size()?;
    if size < MIN_PART {
        return Err(Error::PartTooSmall(size));
    }
    let (mapping, region) = map(&file, size, o.private)?;
    file.probe(0..2 * PAGE)?;
    let Identity { compat, incompat, set_uuid } = header::identify(&region)?;
    if compat & CHECK_BAD_BLOCKS != 0 {
        check_recovery_file(path)?;
    }
    let sds = incompat & SDS != 0;
    if sds {
        sds::check(&region)?;
    }
    let geometry = descriptor::validate(&region, layout)?;
    let file = Some(file);
    Ok(PoolFile { region, geometry, set_uuid, sds, dirty: false, file, _mapping: mapping })
}

/// A file of this name marks a bad block recovery that was interrupted (1.4).
#[inline(never)] // a path on the stack
fn check_recovery_file(path: &CStr) -> Result<(), Error> {
    const SUFFIX: &[u8] = b"_r0_p0_badblocks.txt\0";
    let mut name = [0u8; libc::PATH_MAX as usize + SUFFIX.len()];
    let p = path.to_bytes();
    let Some(dst) = name.get_mut(..p.len() + SUFFIX.len()) else { return Ok(()) };
    dst[..p.len()].copy_from_slice(p);
    dst[p.len()..].copy_from_slice(SUFFIX);
    match CStr::from_bytes_until_nul(&name).map(os::exists) {
        Ok(Ok(true)) => Err(Error::BadBlocks("_r0_p0")),
        _ => Ok(()),
    }
}

impl PoolFile {
    pub(super) fn new(
        mapping: Mapping,
        region: Region,
        geometry: Geometry,
        set: Uuid,
        sds: bool,
    ) -> PoolFile {
        PoolFile { region, geometry, set_uuid: set, sds, dirty: sds, file: None, _mapping: mapping }
    }

    /// Makes sure that a range which is about to be looked at, within the
    /// pool, can be read (see [`File::probe`]).
    pub fn probe(&self, range: Range<u64>) -> Result<(), Error> {
        self.file.as_ref().map_or(Ok(()), |file| Ok(file.probe(range)?))
    }

    /// The same for ranges that overlap.
    pub fn prober(&self) -> Probe<'_> {
        Probe::new(self.file.as_ref())
    }

    /// No more ranges are to be probed: an open pool holds no descriptor.
    pub fn close_descriptor(&mut self) {
        self.file = None;
    }

    /// Marks a pool that passed all checks as open: from here on it changes.
    pub fn mark_open(&mut self) {
        if self.sds && !defect!(ShutdownNotMarked) {
            sds::open(&self.region);
            self.dirty = true;
        }
        self.claim_scratch();
    }

    /// Clears the process-private area. Its first word is the address of the
    /// mapping, which a known client reads (API contract 20.1).
    pub(super) fn claim_scratch(&self) {
        let p = self.region.at(SCRATCH, SCRATCH_END - SCRATCH);
        // SAFETY: in bounds; never persisted, private to this process.
        unsafe { p.write_bytes(0, (SCRATCH_END - SCRATCH) as usize) };
        self.region.store(SCRATCH, self.region.base() as u64);
    }

    pub fn region(&self) -> Region {
        self.region
    }

    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    pub fn uuid_lo(&self) -> u64 {
        uuid::lo(&self.set_uuid)
    }

    /// The id of the run that starts now: even, and nobody's who wrote the file
    /// before. Locks and volatile variables that carry it were initialised in
    /// this run, and are no content of theirs. PMDK adds 2, and takes any.
    pub fn next_run_id(&self) -> Result<u64, Error> {
        let old = self.region.load(RUN_ID);
        if !old.is_multiple_of(2) {
            return Err(Error::RunId(old));
        }
        let id = uuid::random_word()? & !1;
        Ok(if id == 0 || id == old { old.checked_add(2).unwrap_or(2) } else { id })
    }

    /// Makes stale what locks and volatile variables remember of earlier runs.
    /// Before anything else but the shutdown state changes in the pool.
    pub fn set_run_id(&self, id: u64) {
        self.region.persist_word(RUN_ID, id);
    }

    /// heap_size as stored; 0 if it never was.
    pub fn stored_heap_size(&self) -> u64 {
        self.region.load(HEAP_SIZE)
    }

    /// Bytes of the heap: as stored, or the rest of the file.
    pub fn heap_size(&self) -> u64 {
        match self.stored_heap_size() {
            0 => self.region.len() as u64 - self.geometry.heap_offset,
            size => size,
        }
    }

    /// Marks the pool as closed, if this process marked it as open.
    pub fn close(&mut self) {
        if self.dirty {
            // Everything before is durable: the shutdown state says so.
            self.region.drain();
            sds::close(&self.region);
            self.dirty = false;
        }
    }
}

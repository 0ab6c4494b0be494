//! Creating a pool file (format 1.8).

use std::ffi::CStr;

use super::descriptor::{
    self, DEFAULT_HEAP_OFFSET, DEFAULT_LANES_OFFSET, DEFAULT_NLANES, Geometry, HEAP_SIZE,
};
use super::header::Header;
use super::open::{PoolFile, map};
use super::os::{self, File};
use super::uuid::{self, Uuid};
use super::{Error, MIN_POOL, PAGE, Region};
use crate::flush::Mapping;

/// Fixed identity, for tests that compare bytes.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    pub set: Uuid,
    pub file: Uuid,
    pub crtime: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct CreateOptions {
    /// Bytes of the new file; 0 to use an existing one.
    pub size: u64,
    pub mode: u32,
    /// Maintain the shutdown state.
    pub sds: bool,
    /// Allocate the blocks of an existing file; those of a new one always are.
    pub allocate: bool,
    pub identity: Option<Identity>,
}

/// A pool file in the making. Dropped before [`Creation::finish`] it leaves
/// nothing behind.
pub struct Creation<'a> {
    path: &'a CStr,
    file: File,
    mode: u32,
    set: Uuid,
    sds: bool,
    mapped: Option<(Mapping, Region)>,
    /// Ours to remove on failure.
    made: bool,
}

/// Steps 1 to 6: the file with its header. Lanes and heap come next, then
/// [`Creation::describe`].
pub fn create<'a>(path: &'a CStr, layout: &[u8], o: &CreateOptions) -> Result<Creation<'a>, Error> {
    if layout.len() > descriptor::MAX_LAYOUT {
        return Err(Error::LayoutTooLong(layout.len()));
    }
    let exists = os::exists(path)?;
    if o.size == 0 {
        os::check_type(path)?;
    }
    let mut c = if o.size > 0 { new_file(path, exists, o)? } else { existing_file(path, o)? };
    let size = c.file.size()?;
    let (mapping, region) = map(&c.file, size, false)?;
    let id = match o.identity {
        Some(id) => id,
        None => Identity { set: uuid::random()?, file: uuid::random()?, crtime: c.file.ctime()? },
    };
    c.set = id.set;
    write_header(&region, &id, o.sds);
    c.mapped = Some((mapping, region));
    Ok(c)
}

#[inline(never)] // a page on the stack
fn write_header(region: &Region, id: &Identity, sds: bool) {
    let header = Header::new(&id.set, &id.file, id.crtime, sds);
    region.copy_in(0, header.bytes());
}

fn new_file<'a>(path: &'a CStr, exists: bool, o: &CreateOptions) -> Result<Creation<'a>, Error> {
    if exists {
        return Err(Error::Exists);
    }
    let pages = o.size & !(PAGE - 1);
    if pages < MIN_POOL {
        return Err(Error::SizeTooSmall(pages));
    }
    if i64::try_from(o.size).is_err() {
        return Err(Error::SizeTooLarge(o.size));
    }
    let file = File::open(path, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL)?;
    let c = Creation { path, file, mode: o.mode, set: [0; 16], sds: o.sds, mapped: None, made: true };
    c.file.lock()?;
    c.file.allocate(o.size)?;
    Ok(c)
}

#[inline(never)] // a page on the stack
fn existing_file<'a>(path: &'a CStr, o: &CreateOptions) -> Result<Creation<'a>, Error> {
    // As PMDK: a directory, too, is opened, and then has no size.
    File::open(path, libc::O_RDONLY | libc::O_NONBLOCK)?.size()?;
    let file = File::open(path, libc::O_RDWR)?;
    let size = file.size()?;
    let mut page = [0; PAGE as usize];
    file.read_start(&mut page)?;
    if page[..11] == *b"PMEMPOOLSET" {
        return Err(Error::PoolSet);
    }
    if size < MIN_POOL {
        return Err(Error::FileTooSmall(size));
    }
    file.lock()?;
    // Read again, as only the lock keeps others from making a pool of it.
    file.read_start(&mut page)?;
    if page.iter().any(|&b| b != 0) {
        return Err(Error::NotEmpty);
    }
    if o.allocate {
        file.allocate(size)?;
    }
    Ok(Creation { path, file, mode: o.mode, set: [0; 16], sds: o.sds, mapped: None, made: false })
}

impl Creation<'_> {
    pub fn region(&self) -> Region {
        match &self.mapped {
            Some((_, region)) => *region,
            None => unreachable!("create maps the file"),
        }
    }

    pub fn geometry(&self) -> Geometry {
        Geometry {
            lanes_offset: DEFAULT_LANES_OFFSET,
            nlanes: DEFAULT_NLANES,
            heap_offset: DEFAULT_HEAP_OFFSET,
        }
    }

    /// Bytes of the heap.
    pub fn heap_size(&self) -> u64 {
        self.region().len() as u64 - DEFAULT_HEAP_OFFSET
    }

    /// Steps 9 to 11: the descriptor that makes the file a pool. Lanes and
    /// heap are formatted and flushed: its first fence is for all of them.
    /// It is durable itself once the run id is.
    pub fn describe(&mut self, layout: &[u8]) -> Result<PoolFile, Error> {
        let region = self.region();
        region.store(HEAP_SIZE, self.heap_size());
        descriptor::format(&region, layout);
        let geometry = self.geometry();
        let Some((mapping, region)) = self.mapped.take() else { unreachable!("create maps the file") };
        let pool = PoolFile::new(mapping, region, geometry, self.set, self.sds);
        pool.claim_scratch();
        Ok(pool)
    }

    /// Step 12: the pool is complete, others may open it.
    pub fn finish(mut self) -> Result<(), Error> {
        if self.made {
            self.file.set_mode(self.mode)?;
        }
        self.made = false;
        Ok(())
    }

    /// Gives up on a pool that was described already: a new file is removed,
    /// the first page of an existing one becomes zero again, so that another
    /// attempt can use it.
    pub fn forget(self, path: &CStr) {
        if !self.made
            && let Ok(file) = File::open(path, libc::O_RDWR)
        {
            file.write_start(&[0; PAGE as usize]);
        }
    }
}

impl Drop for Creation<'_> {
    fn drop(&mut self) {
        if self.made {
            os::unlink(self.path);
        } else if let Some((_, region)) = &self.mapped {
            // Failed before the descriptor: the existing file is empty again.
            region.fill(0, 0, PAGE);
            region.drain();
        }
    }
}

//! Pool images in memory: mutated and restored quickly, and mapped where a
//! stray access hits nothing.

use std::ffi::CString;
use std::ptr::null_mut;
use std::sync::Once;

use super::media;

pub const PAGE: usize = 4096;
/// Bytes of each pool.
pub const SIZE: usize = 8 << 20;
/// Where pools are mapped: far from everything else.
const HOLE: usize = 0x2000_0000_0000;
/// Bytes that fault, on both sides.
const GUARD: usize = 64 << 30;

/// Makes room for one pool between guards that fault on every access, and has
/// the library map pools there. To be called before any pool is opened.
pub fn guard() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
        let start = (HOLE - GUARD) as *mut _;
        // SAFETY: nothing is replaced; the hole is part of what was just mapped.
        unsafe {
            let p = libc::mmap(start, 2 * GUARD + SIZE, libc::PROT_NONE, flags, -1, 0);
            assert_eq!(p, start, "room for the guards");
            libc::munmap(HOLE as *mut _, SIZE);
            // Only the targets run, on one thread.
            std::env::set_var("PMEM_MMAP_HINT", format!("{HOLE:x}"));
            std::env::set_var("PMEM_IS_PMEM_FORCE", "1");
        }
    });
}

/// Whether a pool is where it should be.
pub fn is_guarded(pop: *mut std::ffi::c_void) -> bool {
    pop.addr() == HOLE
}

/// A file that lives in memory and has no name but its path under `/proc`.
pub struct MemFile {
    fd: i32,
    pub path: CString,
    map: *mut u8,
}

impl MemFile {
    pub fn new(size: usize) -> MemFile {
        assert!(size <= SIZE);
        // SAFETY: a new file and a new mapping of it.
        unsafe {
            let fd = libc::memfd_create(c"pool".as_ptr(), libc::MFD_CLOEXEC);
            assert!(fd >= 0 && libc::ftruncate(fd, size as i64) == 0);
            let prot = libc::PROT_READ | libc::PROT_WRITE;
            let map = libc::mmap(null_mut(), SIZE, prot, libc::MAP_SHARED, fd, 0);
            assert_ne!(map, libc::MAP_FAILED);
            let path = CString::new(format!("/proc/self/fd/{fd}")).unwrap();
            MemFile { fd, path, map: map.cast() }
        }
    }

    pub fn resize(&self, size: usize) {
        // SAFETY: the file's own descriptor; the mapping is as long as the largest.
        assert_eq!(unsafe { libc::ftruncate(self.fd, size.min(SIZE) as i64) }, 0);
    }

    /// Gives all pages back: they read as zeros.
    pub fn clear(&self) {
        let flags = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: as above.
        assert_eq!(unsafe { libc::fallocate(self.fd, flags, 0, SIZE as i64) }, 0);
    }

    /// The content, of a file that has its full size; pools are never open
    /// meanwhile, or are so privately.
    #[allow(clippy::mut_from_ref)]
    pub fn bytes(&self) -> &mut [u8] {
        // SAFETY: mapped until dropped; the targets hold one reference at a time.
        unsafe { std::slice::from_raw_parts_mut(self.map, SIZE) }
    }
}

impl Drop for MemFile {
    fn drop(&mut self) {
        // SAFETY: made in `new`.
        unsafe {
            libc::munmap(self.map.cast(), SIZE);
            libc::close(self.fd);
        }
    }
}

/// An image to be mutated, and what it was.
pub struct Image {
    pub file: MemFile,
    pristine: Vec<u8>,
    touched: Vec<usize>,
}

impl Image {
    pub fn new(content: Vec<u8>) -> Image {
        assert_eq!(content.len(), SIZE);
        let file = MemFile::new(SIZE);
        file.bytes().copy_from_slice(&content);
        Image { file, pristine: content, touched: Vec::new() }
    }

    pub fn bytes(&self) -> &[u8] {
        self.file.bytes()
    }

    /// Changes bytes; what is outside of the image is ignored.
    pub fn put(&mut self, at: u64, bytes: &[u8]) {
        let end = at.saturating_add(bytes.len() as u64);
        if bytes.is_empty() || end > SIZE as u64 {
            return;
        }
        self.touched.extend(at as usize / PAGE..=(end as usize - 1) / PAGE);
        self.file.bytes()[at as usize..end as usize].copy_from_slice(bytes);
    }

    pub fn put_u64(&mut self, at: u64, value: u64) {
        self.put(at, &value.to_le_bytes());
    }

    /// The word at an offset; 0 outside of the image.
    pub fn u64_at(&self, at: u64) -> u64 {
        if at > SIZE as u64 - 8 { 0 } else { media::u64_at(self.bytes(), at) }
    }

    /// Makes the file shorter, until it is restored.
    pub fn cut(&mut self, size: usize) {
        self.touched.extend(size / PAGE..SIZE / PAGE);
        self.file.resize(size);
    }

    /// Undoes all changes.
    pub fn restore(&mut self) {
        self.file.resize(SIZE);
        let bytes = self.file.bytes();
        for page in self.touched.drain(..) {
            let range = page * PAGE..(page + 1) * PAGE;
            bytes[range.clone()].copy_from_slice(&self.pristine[range]);
        }
    }
}

/// A file that is restored whatever happened to it.
pub struct Sparse {
    pub file: MemFile,
    /// The pages that are not all zero.
    pages: Vec<(usize, Box<[u8]>)>,
}

impl Sparse {
    /// Restores the file to what it is now.
    pub fn new(file: MemFile) -> Sparse {
        let pages = file.bytes().chunks(PAGE).enumerate();
        let pages = pages.filter(|(_, p)| p.iter().any(|&b| b != 0)).map(|(i, p)| (i, p.into())).collect();
        Sparse { file, pages }
    }

    pub fn restore(&self) {
        self.file.clear();
        let bytes = self.file.bytes();
        for (i, page) in &self.pages {
            bytes[i * PAGE..(i + 1) * PAGE].copy_from_slice(page);
        }
    }
}

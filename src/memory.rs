//! The library's volatile memory, from the functions that the program chose
//! (`pmemobj_set_funcs`, API contract section 17), or from libc.
//!
//! A block goes back to the partner of the function that made it, whatever was
//! set since. One of the program's has a header that remembers who that is;
//! libc's, which are many and small, do without: their addresses tell.

use std::alloc::{GlobalAlloc, Layout};
use std::collections::TryReserveError;
use std::ffi::c_void;
use std::sync::atomic::{AtomicPtr, Ordering};

pub type Malloc = unsafe extern "C" fn(usize) -> *mut c_void;
pub type Free = unsafe extern "C" fn(*mut c_void);

/// The program's functions; null stands for libc's.
static MALLOC: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());
static FREE: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

/// In front of a block that is not simply libc's.
struct Header {
    /// What the allocating function returned.
    start: *mut c_void,
    /// The value of `FREE` at that time.
    free: *mut (),
}

const HEADER: usize = size_of::<Header>();
/// What malloc aligns to.
const ALIGNMENT: usize = 16;

/// Chooses the functions for blocks made from now on; `None` is libc's.
pub fn set_functions(malloc: Option<Malloc>, free: Option<Free>) {
    MALLOC.store(malloc.map_or(std::ptr::null_mut(), |f| f as *mut ()), Ordering::Release);
    FREE.store(free.map_or(std::ptr::null_mut(), |f| f as *mut ()), Ordering::Release);
}

/// Makes room for `n` more items: at first for no more, as each thread has such
/// a vector and most stay as small, later by doubling.
pub fn reserve_few<T>(v: &mut Vec<T>, n: usize) -> Result<(), TryReserveError> {
    if v.capacity() == 0 { v.try_reserve_exact(n) } else { v.try_reserve(n) }
}

struct Chosen;

// Miri knows its own allocator to be the owner of a `Box`, and no other one.
#[cfg_attr(not(miri), global_allocator)]
#[cfg_attr(all(miri, not(test)), expect(dead_code))]
static ALLOCATOR: Chosen = Chosen;

/// Whether a block of this layout is what malloc returns, when that is libc's.
/// It starts at a multiple of [`ALIGNMENT`], others of such a layout never do.
fn can_be_plain(layout: Layout) -> bool {
    layout.align() < ALIGNMENT
}

/// Whether this block is what libc's malloc returned.
fn is_plain(block: *mut u8, layout: Layout) -> bool {
    can_be_plain(layout) && block.addr().is_multiple_of(ALIGNMENT)
}

/// A block without a header, if `malloc`, libc's or what the process has in its
/// place, aligns as it should: some do not if less than [`ALIGNMENT`] is wanted.
#[inline]
fn plain(layout: Layout, malloc: impl FnOnce(usize) -> *mut c_void) -> Option<*mut u8> {
    if !can_be_plain(layout) {
        return None;
    }
    let block = malloc(layout.size().max(ALIGNMENT)).cast();
    if is_plain(block, layout) {
        return Some(block);
    }
    // SAFETY: just made.
    unsafe { libc::free(block.cast()) };
    None
}

/// Bytes to ask for so that header and block fit wherever they start.
fn total(layout: Layout) -> Option<usize> {
    layout.size().checked_add(HEADER + layout.align().max(ALIGNMENT))
}

/// Puts the header in front of the block in `start`'s memory.
///
/// # Safety
/// `start` is null or has [`total`] bytes, aligned for words.
unsafe fn place(start: *mut c_void, layout: Layout) -> *mut u8 {
    if start.is_null() {
        return std::ptr::null_mut();
    }
    let (align, apart) = match can_be_plain(layout) {
        true => (ALIGNMENT, ALIGNMENT / 2),
        false => (layout.align(), 0),
    };
    let skip = (start as usize + HEADER + apart).next_multiple_of(align) - apart - start as usize;
    // SAFETY: `total` left room for the header and the alignment.
    unsafe {
        let block = start.cast::<u8>().add(skip);
        block.cast::<Header>().sub(1).write(Header { start, free: FREE.load(Ordering::Acquire) });
        block
    }
}

// SAFETY: blocks are disjoint, aligned and as large as asked for, as far as
// the program's functions keep malloc's contract.
unsafe impl GlobalAlloc for Chosen {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let malloc = MALLOC.load(Ordering::Acquire);
        if malloc.is_null()
            && let Some(block) = plain(layout, |size| {
                // SAFETY: any size may be asked for.
                unsafe { libc::malloc(size) }
            })
        {
            return block;
        }
        let Some(total) = total(layout) else { return std::ptr::null_mut() };
        // SAFETY: only `set_functions` stores there; `total` bytes are asked for.
        unsafe {
            let start = if malloc.is_null() {
                libc::malloc(total)
            } else {
                std::mem::transmute::<*mut (), Malloc>(malloc)(total)
            };
            place(start, layout)
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if MALLOC.load(Ordering::Acquire).is_null() {
            // Large tables stay untouched pages until they are used.
            let zeroed = |size| {
                // SAFETY: any size may be asked for.
                unsafe { libc::calloc(1, size) }
            };
            if let Some(block) = plain(layout, zeroed) {
                return block;
            }
            let Some(total) = total(layout) else { return std::ptr::null_mut() };
            // SAFETY: `total` bytes are asked for.
            return unsafe { place(libc::calloc(1, total), layout) };
        }
        // SAFETY: by contract; zeroed if there is a block.
        unsafe {
            let block = self.alloc(layout);
            if !block.is_null() {
                block.write_bytes(0, layout.size());
            }
            block
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if is_plain(block, layout) {
            // SAFETY: what libc returned.
            return unsafe { libc::free(block.cast()) };
        }
        // SAFETY: the header that `place` wrote; only `set_functions` stores to `FREE`.
        unsafe {
            let Header { start, free } = block.cast::<Header>().sub(1).read();
            if free.is_null() {
                libc::free(start);
            } else {
                std::mem::transmute::<*mut (), Free>(free)(start);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignments() {
        for align in [1, 8, 16, 64, 4096] {
            let layout = Layout::from_size_align(100, align).unwrap();
            // SAFETY: the size is not zero; freed with the same layout.
            unsafe {
                let p = ALLOCATOR.alloc_zeroed(layout);
                assert_eq!(p as usize % align, 0);
                assert_eq!(is_plain(p, layout), align < ALIGNMENT);
                assert!((0..100).all(|i| *p.add(i) == 0));
                p.write_bytes(0xff, 100);
                ALLOCATOR.dealloc(p, layout);
            }
        }
    }

    /// Wherever the memory starts, its block is known for what it is.
    #[test]
    fn blocks_with_headers_are_not_plain() {
        let mut memory = [0u64; 64];
        for align in [1, 8, 16, 64] {
            let layout = Layout::from_size_align(100, align).unwrap();
            for word in 0..8 {
                let start: *mut c_void = memory[word..].as_mut_ptr().cast();
                // SAFETY: `total` bytes of the array.
                let block = unsafe { place(start, layout) };
                assert!(block.addr().is_multiple_of(align) && !is_plain(block, layout));
                let room = start.addr() + total(layout).unwrap() - block.addr();
                assert!(block.addr() - start.addr() >= HEADER && room >= 100);
                // SAFETY: `place` wrote it.
                assert_eq!(unsafe { block.cast::<Header>().sub(1).read() }.start, start);
            }
        }
    }
}

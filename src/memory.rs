//! The library's volatile memory, from the functions that the program chose
//! (`pmemobj_set_funcs`, API contract section 17), or from libc.
//!
//! Each block remembers who made it: it goes back to that function's partner,
//! whatever was set since.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_void;
use std::sync::atomic::{AtomicPtr, Ordering};

pub type Malloc = unsafe extern "C" fn(usize) -> *mut c_void;
pub type Free = unsafe extern "C" fn(*mut c_void);

/// The program's functions; null stands for libc's.
static MALLOC: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());
static FREE: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

/// In front of each block.
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

struct Chosen;

#[global_allocator]
static ALLOCATOR: Chosen = Chosen;

/// Bytes to ask for so that header and block fit wherever they start.
fn total(layout: Layout) -> Option<usize> {
    let slack = if layout.align() > ALIGNMENT { layout.align() } else { 0 };
    layout.size().checked_add(HEADER + slack)
}

/// Puts the header in front of the block in `start`'s memory.
///
/// # Safety
/// `start` is null or has [`total`] bytes, aligned as by malloc.
unsafe fn place(start: *mut c_void, layout: Layout) -> *mut u8 {
    if start.is_null() {
        return std::ptr::null_mut();
    }
    let align = layout.align().max(ALIGNMENT);
    let skip = (start as usize + HEADER).next_multiple_of(align) - start as usize;
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
        let Some(total) = total(layout) else { return std::ptr::null_mut() };
        let malloc = MALLOC.load(Ordering::Acquire);
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

    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
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
        for align in [1, 16, 64, 4096] {
            let layout = Layout::from_size_align(100, align).unwrap();
            // SAFETY: the size is not zero; freed with the same layout.
            unsafe {
                let p = std::alloc::alloc_zeroed(layout);
                assert_eq!(p as usize % align, 0);
                assert!((0..100).all(|i| *p.add(i) == 0));
                p.write_bytes(0xff, 100);
                std::alloc::dealloc(p, layout);
            }
        }
    }
}

//! The thread's last error message.

use std::cell::Cell;
use std::ffi::c_char;
use std::fmt::{self, Write};

const SIZE: usize = 8192;

thread_local! {
    static BUFFER: Cell<*mut u8> = const { Cell::new(std::ptr::null_mut()) };
}

struct Cursor {
    at: *mut u8,
    left: usize,
}

impl Write for Cursor {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let n = s.len().min(self.left);
        // SAFETY: `left` bytes of the buffer are left.
        unsafe { std::ptr::copy_nonoverlapping(s.as_ptr(), self.at, n) };
        self.at = self.at.wrapping_add(n);
        self.left -= n;
        Ok(())
    }
}

/// Replaces the calling thread's message.
pub fn set(message: fmt::Arguments) {
    let mut p = BUFFER.get();
    if p.is_null() {
        // SAFETY: plain allocation.
        p = unsafe { libc::malloc(SIZE) }.cast();
        if p.is_null() {
            return;
        }
        BUFFER.set(p);
    }
    let mut c = Cursor { at: p, left: SIZE - 1 };
    let _ = c.write_fmt(message);
    // SAFETY: one byte was kept for the NUL.
    unsafe { *c.at = 0 };
}

/// The message as a C string, never NULL.
pub fn get() -> *const c_char {
    let p = BUFFER.get();
    if p.is_null() { c"".as_ptr() } else { p.cast() }
}

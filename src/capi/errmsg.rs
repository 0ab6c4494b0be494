//! The thread's last error message: a buffer per library and thread, at the
//! same address for the life of the thread.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt::{self, Write};
use std::panic::Location;
use std::ptr::null_mut;

use super::logger::{self, Level};
use crate::flush::preserve_errno;
use crate::thread_end::AtThreadEnd;

const SIZE: usize = 8192;

/// Shown when there is no memory for a buffer.
const NO_MEMORY: &CStr = c"out of memory: the message of this error was lost";

thread_local! {
    /// Null until the thread asks for its message or sets one.
    static BUFFER: Cell<*mut u8> = const { Cell::new(null_mut()) };
    /// A message was lost for want of a buffer.
    static LOST: Cell<bool> = const { Cell::new(false) };
    /// A message that is written when it is asked for: text, error number.
    static LATER: Cell<Option<(&'static str, c_int)>> = const { Cell::new(None) };
}

/// If the system has no key to spare, buffers are never freed.
static AT_THREAD_END: AtThreadEnd = AtThreadEnd::new(free);

/// The thread's buffer, made now if there is none, with what is known of a
/// message that was lost; null if out of memory.
fn buffer() -> *mut u8 {
    let mut p = BUFFER.get();
    if p.is_null() {
        // SAFETY: plain allocation.
        p = unsafe { libc::malloc(SIZE) }.cast();
        if !p.is_null() {
            let text = if LOST.get() { NO_MEMORY } else { c"" }.to_bytes_with_nul();
            // SAFETY: just allocated, and larger than either text.
            unsafe { p.copy_from_nonoverlapping(text.as_ptr(), text.len()) };
            BUFFER.set(p);
            AT_THREAD_END.set(p.cast());
        }
    }
    p
}

/// The end of a thread. Whoever reports an error still later makes a new
/// buffer, and the system calls this again.
unsafe extern "C" fn free(p: *mut c_void) {
    BUFFER.set(null_mut());
    // SAFETY: the thread's buffer, which nobody refers to any more.
    unsafe { libc::free(p) };
}

/// Writes text, cut to what is left.
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

/// Replaces the calling thread's message, and logs it. errno stays.
#[cold]
#[track_caller]
pub fn set(message: fmt::Arguments) {
    let place = Location::caller();
    preserve_errno(|| {
        LATER.set(None);
        let p = buffer();
        LOST.set(p.is_null());
        if p.is_null() {
            defect!(SeedMessages, std::process::abort());
            logger::log(Level::Error, NO_MEMORY, place);
            return;
        }
        let mut c = Cursor { at: p, left: SIZE - 1 };
        // The cursor takes everything; a Display that fails leaves what it wrote.
        let _ = c.write_fmt(message);
        // SAFETY: one byte was kept for the NUL, which ends the string.
        let text = unsafe {
            *c.at = 0;
            CStr::from_ptr(p.cast())
        };
        logger::log(Level::Error, text, place);
    });
}

/// Adds a line to the calling thread's message, as far as there is room, and
/// logs it. errno stays.
#[cold]
#[track_caller]
pub fn add(line: fmt::Arguments) {
    let p = buffer();
    if !p.is_null() {
        // SAFETY: the buffer holds a C string.
        let used = unsafe { CStr::from_ptr(p.cast()) }.count_bytes();
        let mut c = Cursor { at: p.wrapping_add(used), left: SIZE - 1 - used };
        let _ = writeln!(c);
        let _ = c.write_fmt(line);
        // SAFETY: one byte was kept for the NUL.
        unsafe { *c.at = 0 };
    }
    log(Level::Error, line);
}

/// Logs a message, cut to what a small stack has room for, and leaves the
/// thread's as it is.
#[cold]
#[track_caller]
pub fn log(level: Level, message: fmt::Arguments) {
    let place = Location::caller();
    if !logger::listens(level) {
        return;
    }
    let mut text = [0u8; 512];
    let _ = Cursor { at: text.as_mut_ptr(), left: text.len() - 1 }.write_fmt(message);
    if let Ok(text) = CStr::from_bytes_until_nul(&text) {
        preserve_errno(|| logger::log(level, text, place));
    }
}

/// As [`set`] with the text and that of an error number, for what is no defect
/// of the program and not worth the time if nobody reads it.
#[track_caller]
pub fn set_later(text: &'static str, error: c_int) {
    if logger::listens(Level::Error) {
        set(format_args!("{text}: {}", super::StrError(error)));
    } else {
        LATER.set(Some((text, error)));
    }
}

/// The message as a C string, never NULL; empty before the first error.
pub fn get() -> *const c_char {
    if let Some((text, error)) = LATER.get() {
        set(format_args!("{text}: {}", super::StrError(error)));
    }
    match preserve_errno(buffer) {
        p if !p.is_null() => p.cast(),
        _ if LOST.get() => NO_MEMORY.as_ptr(),
        _ => c"".as_ptr(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flush::{errno, set_errno};

    fn text() -> String {
        // SAFETY: a C string that lives until the next message.
        unsafe { CStr::from_ptr(get()) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn one_per_thread_and_never_cleared() {
        assert_eq!(text(), "");
        let here = get();
        set_errno(77);
        set(format_args!("number {}", 5));
        assert_eq!((text().as_str(), errno(), get()), ("number 5", 77, here));
        std::thread::spawn(|| {
            assert_eq!(text(), "");
            set(format_args!("other"));
        })
        .join()
        .unwrap();
        assert_eq!(text(), "number 5");
    }

    #[test]
    #[cfg_attr(miri, ignore = "the texts of strerror")]
    fn the_last_message_counts() {
        set_later("first", libc::EINVAL);
        set(format_args!("second"));
        assert_eq!(text(), "second");
        set_later("third", libc::EINVAL);
        set_errno(77);
        for _ in 0..2 {
            assert_eq!((text().as_str(), errno()), ("third: Invalid argument", 77));
        }
    }

    #[test]
    fn long_messages_are_cut() {
        set(format_args!("{}{}", "x".repeat(SIZE - 2), "yz"));
        assert_eq!(text().len(), SIZE - 1);
        assert!(text().ends_with("xy"));
    }
}

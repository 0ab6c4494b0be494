//! errno: kept where a function must not change it, and shown as text.

use std::ffi::{CStr, c_int};
use std::fmt;

pub fn errno() -> c_int {
    // SAFETY: the calling thread's errno.
    unsafe { *libc::__errno_location() }
}

pub fn set_errno(e: c_int) {
    // SAFETY: the calling thread's errno.
    unsafe { *libc::__errno_location() = e }
}

/// Runs `f`; errno is afterwards what it was before.
pub fn preserve_errno<R>(f: impl FnOnce() -> R) -> R {
    let saved = errno();
    let r = f();
    set_errno(saved);
    r
}

/// Bytes shown as text.
pub struct Lossy<'a>(pub &'a [u8]);

impl fmt::Display for Lossy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{fffd}")?;
            }
        }
        Ok(())
    }
}

/// An errno shown as libc's text.
pub struct StrError(pub c_int);

impl fmt::Display for StrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buf = [0u8; 128];
        // SAFETY: the buffer is as long as said.
        unsafe { libc::strerror_r(self.0, buf.as_mut_ptr().cast(), buf.len()) };
        let text = CStr::from_bytes_until_nul(&buf).map_or(&b"unknown error"[..], CStr::to_bytes);
        Lossy(text).fmt(f)
    }
}

/// Reports on stderr why the process cannot go on, and ends it.
#[cold]
pub fn die(why: fmt::Arguments) -> ! {
    use std::io::Write;
    // A broken stderr changes nothing.
    let _ = writeln!(std::io::stderr(), "pmem-rs: {why}");
    std::process::abort()
}

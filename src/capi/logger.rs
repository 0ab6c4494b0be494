//! Where messages go besides the thread's buffer: the log of the 2.x API, one
//! per library. Silent unless the program sets a function or the auxiliary
//! threshold, as the 1.x releases were.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::panic::Location;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use crate::flush::{Lossy, preserve_errno, set_errno};

/// The levels of `enum pmem_log_level` that the library itself uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// About the library; always delivered.
    Hark = 0,
    Error = 2,
}

const WARNING: u32 = 3;
const DEBUG: u32 = 6;

/// Main and auxiliary threshold: `enum pmem_log_threshold`.
static THRESHOLDS: [AtomicU32; 2] = [AtomicU32::new(WARNING), AtomicU32::new(Level::Hark as u32)];

/// `pmem_log_function`: level, file, line, function, message.
pub type Function = unsafe extern "C" fn(c_uint, *const c_char, c_uint, *const c_char, *const c_char);

/// The program's [`Function`], or null for the default.
static FUNCTION: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

/// Whether anybody listens to messages of the level.
pub fn listens(level: Level) -> bool {
    let to = |i: usize| level as u32 <= THRESHOLDS[i].load(Ordering::Relaxed);
    to(0) && (to(1) || !FUNCTION.load(Ordering::Relaxed).is_null())
}

/// Delivers a message to whoever listens.
pub fn log(level: Level, message: &CStr, place: &Location) {
    if level as u32 > THRESHOLDS[0].load(Ordering::Relaxed) {
        return;
    }
    let function = FUNCTION.load(Ordering::Acquire);
    if !function.is_null() {
        // SAFETY: only `set_function` stores here.
        let function = unsafe { std::mem::transmute::<*mut (), Function>(function) };
        let (file, name) = (place.file_as_c_str(), c"pmem-rs");
        // SAFETY: C strings that live during the call.
        unsafe { function(level as u32, file.as_ptr(), place.line(), name.as_ptr(), message.as_ptr()) };
    } else if level != Level::Hark && level as u32 <= THRESHOLDS[1].load(Ordering::Relaxed) {
        use std::io::Write;
        // A broken stderr is no reason to fail.
        let _ = writeln!(std::io::stderr(), "pmem-rs: {place}: {}", Lossy(message.to_bytes()));
    }
}

/// The protocol of the log functions: 0, or 1 with errno.
fn refuse(errno: c_int) -> c_int {
    set_errno(errno);
    1
}

pub fn set_threshold(threshold: c_uint, level: c_uint) -> c_int {
    let Some(t) = THRESHOLDS.get(threshold as usize).filter(|_| level <= DEBUG) else {
        return refuse(libc::EINVAL);
    };
    let before = t.load(Ordering::Relaxed);
    match t.compare_exchange(before, level, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => 0,
        Err(_) => refuse(libc::EAGAIN),
    }
}

/// # Safety
/// `level` is null or points to a writable `enum pmem_log_level`.
pub unsafe fn get_threshold(threshold: c_uint, level: *mut c_uint) -> c_int {
    match THRESHOLDS.get(threshold as usize) {
        Some(t) if !level.is_null() => {
            // SAFETY: writable, by contract.
            unsafe { *level = t.load(Ordering::Relaxed) };
            0
        }
        _ => refuse(libc::EINVAL),
    }
}

/// Sets the function that gets the messages, and introduces the library to it.
#[track_caller]
pub fn set_function(function: Option<Function>, library: &CStr) -> c_int {
    let new = function.map_or(std::ptr::null_mut(), |f| f as *mut ());
    let before = FUNCTION.load(Ordering::Relaxed);
    if FUNCTION.compare_exchange(before, new, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        return refuse(libc::EAGAIN);
    }
    preserve_errno(|| log(Level::Hark, library, Location::caller()));
    0
}

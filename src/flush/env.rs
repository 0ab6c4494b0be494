//! The environment, as far as set-uid processes may trust it: not at all.

use std::ffi::{CStr, c_char};
use std::sync::atomic::{AtomicU8, Ordering};

unsafe extern "C" {
    fn secure_getenv(name: *const c_char) -> *const c_char;
}

/// The value of an environment variable; none in set-uid processes.
pub fn env(name: &CStr) -> Option<&'static CStr> {
    // SAFETY: the name is a C string.
    let p = unsafe { if cfg!(miri) { libc::getenv(name.as_ptr()) } else { secure_getenv(name.as_ptr()) } };
    // SAFETY: a non-null result is a C string of the environment, which lives
    // as long as the process unless the program changes that very variable.
    (!p.is_null()).then(|| unsafe { CStr::from_ptr(p) })
}

/// What `PMEM_IS_PMEM_FORCE` says, read once: all memory is persistent, none
/// is, or nothing.
pub fn forced() -> Option<bool> {
    const UNREAD: u8 = 0;
    const SILENT: u8 = 1;
    const NO: u8 = 2;
    const YES: u8 = 3;
    static LATCH: AtomicU8 = AtomicU8::new(UNREAD);
    let latched = match LATCH.load(Ordering::Relaxed) {
        UNREAD => {
            // SAFETY: atoi reads a C string.
            let n = env(c"PMEM_IS_PMEM_FORCE").map(|v| unsafe { libc::atoi(v.as_ptr()) });
            let latched = match n {
                Some(0) => NO,
                Some(1) => YES,
                _ => SILENT,
            };
            LATCH.store(latched, Ordering::Relaxed);
            latched
        }
        latched => latched,
    };
    match latched {
        NO => Some(false),
        YES => Some(true),
        _ => None,
    }
}

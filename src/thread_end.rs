//! What is left to do when a thread ends.
//!
//! The library is linked so that dlclose never unmaps it (`-z nodelete`):
//! threads may end later than that, and are cleaned up after all the same.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};

/// A value per thread that is given to a function when the thread ends: a
/// pthread key, made at its first use.
pub struct AtThreadEnd {
    /// The key plus one; 0 before it was made.
    key: AtomicU32,
    end: unsafe extern "C" fn(*mut c_void),
}

impl AtThreadEnd {
    /// `end` gets what is not null. If it sets a value again, it is called again.
    pub const fn new(end: unsafe extern "C" fn(*mut c_void)) -> AtThreadEnd {
        AtThreadEnd { key: AtomicU32::new(0), end }
    }

    /// The calling thread's value; null if it set none.
    pub fn get(&self) -> *mut c_void {
        match self.key.load(Ordering::Acquire) {
            0 => null_mut(),
            // SAFETY: the key exists for good.
            key => unsafe { libc::pthread_getspecific(key - 1) },
        }
    }

    /// Sets the calling thread's value. False when there are no keys or no
    /// memory.
    pub fn set(&self, value: *mut c_void) -> bool {
        let key = match self.key.load(Ordering::Acquire) {
            0 => self.make(),
            key => key,
        };
        // SAFETY: the key exists for good.
        key != 0 && unsafe { libc::pthread_setspecific(key - 1, value) == 0 }
    }

    #[cold]
    fn make(&self) -> u32 {
        let mut new = 0;
        // SAFETY: a key to fill in; `end` is valid for what this thread's user sets.
        if unsafe { libc::pthread_key_create(&mut new, Some(self.end)) } != 0 {
            return 0;
        }
        match self.key.compare_exchange(0, new + 1, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => new + 1,
            Err(first) => {
                // SAFETY: made above, used by nobody.
                unsafe { libc::pthread_key_delete(new) };
                first
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static ENDED: AtomicU32 = AtomicU32::new(0);
    static AT_END: AtThreadEnd = AtThreadEnd::new(end);

    unsafe extern "C" fn end(value: *mut c_void) {
        ENDED.fetch_add(value as u32, Ordering::Relaxed);
    }

    #[test]
    fn each_thread_has_its_own() {
        for i in 1..=3 {
            std::thread::spawn(move || {
                assert!(AT_END.get().is_null());
                assert!(AT_END.set(i as *mut c_void));
                assert_eq!(AT_END.get() as usize, i);
            })
            .join()
            .unwrap();
        }
        assert_eq!(ENDED.load(Ordering::Relaxed), 1 + 2 + 3);
    }
}

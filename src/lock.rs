//! A lock of four bytes that needs no guard: redo operations take several at
//! once, in address order, and hold them until their log is invalidated.

use std::sync::atomic::{AtomicU32, Ordering};

/// 0 free, 1 held, 2 held with waiters.
#[derive(Debug, Default)]
pub struct RawLock(AtomicU32);

impl RawLock {
    pub const fn new() -> RawLock {
        RawLock(AtomicU32::new(0))
    }

    #[inline]
    pub fn lock(&self) {
        if self.0.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.lock_slow();
        }
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> bool {
        self.0.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[cold]
    fn lock_slow(&self) {
        for _ in 0..200 {
            if self.0.load(Ordering::Relaxed) == 0
                && self.0.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                return;
            }
            std::hint::spin_loop();
        }
        while self.0.swap(2, Ordering::Acquire) != 0 {
            self.futex(libc::FUTEX_WAIT, 2);
        }
    }

    #[inline]
    pub fn unlock(&self) {
        if self.0.swap(0, Ordering::Release) == 2 {
            self.futex(libc::FUTEX_WAKE, 1);
        }
    }

    /// Runs `f` with the lock held.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce() -> R) -> R {
        self.lock();
        let r = f();
        self.unlock();
        r
    }

    #[cold]
    fn futex(&self, op: libc::c_int, value: u32) {
        // SAFETY: the word lives as long as self; spurious returns are handled by the callers' loops.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.0.as_ptr(),
                op | libc::FUTEX_PRIVATE_FLAG,
                value,
                std::ptr::null::<libc::timespec>(),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::rounds;
    use std::cell::UnsafeCell;

    struct Shared(RawLock, UnsafeCell<u64>);
    // SAFETY: the cell is only touched with the lock held.
    unsafe impl Sync for Shared {}

    impl Shared {
        fn bump(&self) {
            // SAFETY: lock held.
            self.0.with(|| unsafe { *self.1.get() += 1 });
        }
    }

    #[test]
    fn excludes() {
        let s = Shared(RawLock::default(), UnsafeCell::new(0));
        std::thread::scope(|t| {
            for _ in 0..4 {
                t.spawn(|| (0..rounds(50_000)).for_each(|_| s.bump()));
            }
        });
        assert_eq!(s.1.into_inner(), 4 * rounds(50_000) as u64);
    }
}

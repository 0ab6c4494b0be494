//! Locks in persistent memory (API contract section 14, format 8.4): 64
//! bytes, the run id under which the lock was initialised, then a pthread
//! object. A lock of an earlier run is initialised again at its first use.

use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::pool::descriptor::RUN_ID;

/// Bytes of a persistent lock behind its run id.
const OBJECT: usize = 8;

/// The run of an open pool, read from its descriptor at the time of the call.
///
/// # Safety
/// `pool` is the handle of an open pool.
#[inline]
unsafe fn run_id(pool: *mut c_void) -> u64 {
    // SAFETY: the descriptor of a mapped pool.
    unsafe { pool.cast::<u8>().add(RUN_ID as usize).cast::<u64>().read() }
}

/// The initialised object of a lock; the error number of `init` if that fails.
///
/// # Safety
/// `pool` is the handle of an open pool, `lock` an aligned lock of 64 bytes,
/// `init` initialises the object behind its first word.
#[inline]
pub unsafe fn object(
    pool: *mut c_void,
    lock: *mut c_void,
    init: unsafe fn(*mut c_void) -> i32,
) -> Result<*mut c_void, i32> {
    // SAFETY: by contract.
    unsafe {
        let object = lock.cast::<u8>().add(OBJECT).cast();
        once_per_run(pool, lock, move || init(object))?;
        Ok(object)
    }
}

/// Calls `init` unless that was done in this run of the pool already.
///
/// # Safety
/// `pool` is the handle of an open pool, `id` an aligned run id.
#[inline]
pub unsafe fn once_per_run(
    pool: *mut c_void,
    id: *mut c_void,
    init: impl FnOnce() -> i32,
) -> Result<(), i32> {
    // SAFETY: by contract.
    let (run, id) = unsafe { (run_id(pool), AtomicU64::from_ptr(id.cast())) };
    if id.load(Ordering::Acquire) == run { Ok(()) } else { initialize(id, run, init) }
}

/// Apart, so that what calls this seldom keeps no registers for it.
#[cold]
#[inline(never)]
fn initialize(id: &AtomicU64, run: u64, init: impl FnOnce() -> i32) -> Result<(), i32> {
    loop {
        let seen = id.load(Ordering::Acquire);
        if seen == run {
            return Ok(());
        }
        if seen == run - 1 {
            std::hint::spin_loop(); // another thread is at it
            continue;
        }
        if id.compare_exchange(seen, run - 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            break;
        }
    }
    let error = init();
    id.store(if error == 0 { run } else { 0 }, Ordering::Release);
    if error == 0 { Ok(()) } else { Err(error) }
}

/// # Safety
/// `m` has room for a pthread mutex.
pub unsafe fn init_mutex(m: *mut c_void) -> i32 {
    // SAFETY: by contract.
    unsafe { libc::pthread_mutex_init(m.cast(), std::ptr::null()) }
}

/// # Safety
/// `l` has room for a pthread rwlock.
pub unsafe fn init_rwlock(l: *mut c_void) -> i32 {
    // SAFETY: by contract.
    unsafe { libc::pthread_rwlock_init(l.cast(), std::ptr::null()) }
}

/// # Safety
/// `c` has room for a pthread condition variable.
pub unsafe fn init_cond(c: *mut c_void) -> i32 {
    // SAFETY: by contract.
    unsafe { libc::pthread_cond_init(c.cast(), std::ptr::null()) }
}

/// An error number, as of all functions here.
///
/// # Safety
/// `pool` is the handle of an open pool, `m` a persistent mutex.
#[inline]
pub unsafe fn mutex_lock(pool: *mut c_void, m: *mut c_void) -> i32 {
    // SAFETY: by contract; the object is initialised.
    unsafe { object(pool, m, init_mutex).map_or_else(|e| e, |m| libc::pthread_mutex_lock(m.cast())) }
}

/// # Safety
/// As for [`mutex_lock`].
#[inline]
pub unsafe fn mutex_unlock(pool: *mut c_void, m: *mut c_void) -> i32 {
    // SAFETY: by contract; the object is initialised.
    unsafe { object(pool, m, init_mutex).map_or_else(|e| e, |m| libc::pthread_mutex_unlock(m.cast())) }
}

/// # Safety
/// `pool` is the handle of an open pool, `l` a persistent rwlock.
#[inline]
pub unsafe fn rwlock_wrlock(pool: *mut c_void, l: *mut c_void) -> i32 {
    // SAFETY: by contract; the object is initialised.
    unsafe { object(pool, l, init_rwlock).map_or_else(|e| e, |l| libc::pthread_rwlock_wrlock(l.cast())) }
}

/// # Safety
/// As for [`rwlock_wrlock`].
#[inline]
pub unsafe fn rwlock_unlock(pool: *mut c_void, l: *mut c_void) -> i32 {
    // SAFETY: by contract; the object is initialised.
    unsafe { object(pool, l, init_rwlock).map_or_else(|e| e, |l| libc::pthread_rwlock_unlock(l.cast())) }
}

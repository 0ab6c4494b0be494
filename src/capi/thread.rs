//! `libpmemobj/thread.h`: locks in persistent memory. Results are error
//! numbers; errno stays as it is.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicU64, Ordering};

use libc::timespec;

use super::base::PMEMobjpool;
use crate::obj::{Pool, sync};

// 64 bytes whose use `sync` knows.
pub type PMEMmutex = c_void;
pub type PMEMrwlock = c_void;
pub type PMEMcond = c_void;

// What libc's crate leaves out.
unsafe extern "C" {
    fn pthread_mutex_timedlock(m: *mut libc::pthread_mutex_t, t: *const timespec) -> c_int;
    fn pthread_rwlock_timedrdlock(l: *mut libc::pthread_rwlock_t, t: *const timespec) -> c_int;
    fn pthread_rwlock_timedwrlock(l: *mut libc::pthread_rwlock_t, t: *const timespec) -> c_int;
}

/// Calls `f` on the initialised pthread object of a lock.
///
/// # Safety
/// The C contract; `init` initialises what `f` works on.
#[inline]
unsafe fn with<T>(
    pop: *mut c_void,
    lock: *mut c_void,
    init: unsafe fn(*mut c_void) -> c_int,
    f: impl FnOnce(*mut T) -> c_int,
) -> c_int {
    if pop.is_null() || lock.is_null() {
        return libc::EINVAL;
    }
    // SAFETY: the C contract.
    unsafe { sync::object(pop, lock, init) }.map_or_else(|e| e, |object| f(object.cast()))
}

/// Forgets the state of a lock, durably.
///
/// # Safety
/// The C contract.
unsafe fn zero(pop: *mut c_void, lock: *mut c_void) {
    // SAFETY: the C contract.
    unsafe {
        AtomicU64::from_ptr(lock.cast()).store(0, Ordering::Release);
        if let Some(pool) = Pool::from_handle(pop) {
            pool.domain().persist(lock.cast(), 8);
        }
    }
}

/// Makes the lock unlocked, as zeroed memory is.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_mutex_zero(pop: *mut PMEMobjpool, mutexp: *mut PMEMmutex) {
    // SAFETY: the C contract.
    unsafe { zero(pop, mutexp) }
}

/// pthread_mutex_lock(3): 0 or an error number.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_mutex_lock(pop: *mut PMEMobjpool, mutexp: *mut PMEMmutex) -> c_int {
    // SAFETY: the C contract; the object is initialised.
    unsafe { with(pop, mutexp, sync::init_mutex, |x| libc::pthread_mutex_lock(x)) }
}

/// pthread_mutex_trylock(3).
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_mutex_trylock(pop: *mut PMEMobjpool, mutexp: *mut PMEMmutex) -> c_int {
    // SAFETY: the C contract; the object is initialised.
    unsafe { with(pop, mutexp, sync::init_mutex, |x| libc::pthread_mutex_trylock(x)) }
}

/// pthread_mutex_unlock(3).
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_mutex_unlock(pop: *mut PMEMobjpool, mutexp: *mut PMEMmutex) -> c_int {
    // SAFETY: the C contract; the object is initialised.
    unsafe { with(pop, mutexp, sync::init_mutex, |x| libc::pthread_mutex_unlock(x)) }
}

/// Makes the lock unlocked, as zeroed memory is.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_rwlock_zero(pop: *mut PMEMobjpool, rwlockp: *mut PMEMrwlock) {
    // SAFETY: the C contract.
    unsafe { zero(pop, rwlockp) }
}

/// pthread_rwlock_rdlock(3): 0 or an error number.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_rwlock_rdlock(pop: *mut PMEMobjpool, rwlockp: *mut PMEMrwlock) -> c_int {
    // SAFETY: the C contract; the object is initialised.
    unsafe { with(pop, rwlockp, sync::init_rwlock, |x| libc::pthread_rwlock_rdlock(x)) }
}

/// pthread_rwlock_wrlock(3).
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_rwlock_wrlock(pop: *mut PMEMobjpool, rwlockp: *mut PMEMrwlock) -> c_int {
    // SAFETY: the C contract; the object is initialised.
    unsafe { with(pop, rwlockp, sync::init_rwlock, |x| libc::pthread_rwlock_wrlock(x)) }
}

/// pthread_rwlock_tryrdlock(3).
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_rwlock_tryrdlock(pop: *mut PMEMobjpool, rwlockp: *mut PMEMrwlock) -> c_int {
    // SAFETY: the C contract; the object is initialised.
    unsafe { with(pop, rwlockp, sync::init_rwlock, |x| libc::pthread_rwlock_tryrdlock(x)) }
}

/// pthread_rwlock_trywrlock(3).
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_rwlock_trywrlock(pop: *mut PMEMobjpool, rwlockp: *mut PMEMrwlock) -> c_int {
    // SAFETY: the C contract; the object is initialised.
    unsafe { with(pop, rwlockp, sync::init_rwlock, |x| libc::pthread_rwlock_trywrlock(x)) }
}

/// pthread_rwlock_unlock(3).
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_rwlock_unlock(pop: *mut PMEMobjpool, rwlockp: *mut PMEMrwlock) -> c_int {
    // SAFETY: the C contract; the object is initialised.
    unsafe { with(pop, rwlockp, sync::init_rwlock, |x| libc::pthread_rwlock_unlock(x)) }
}

/// Makes the condition one that nobody waits for, as zeroed memory is.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_cond_zero(pop: *mut PMEMobjpool, condp: *mut PMEMcond) {
    // SAFETY: the C contract.
    unsafe { zero(pop, condp) }
}

/// pthread_cond_broadcast(3): 0 or an error number.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_cond_broadcast(pop: *mut PMEMobjpool, condp: *mut PMEMcond) -> c_int {
    // SAFETY: the C contract; the object is initialised.
    unsafe { with(pop, condp, sync::init_cond, |x| libc::pthread_cond_broadcast(x)) }
}

/// pthread_cond_signal(3).
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_cond_signal(pop: *mut PMEMobjpool, condp: *mut PMEMcond) -> c_int {
    // SAFETY: the C contract; the object is initialised.
    unsafe { with(pop, condp, sync::init_cond, |x| libc::pthread_cond_signal(x)) }
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_mutex_timedlock(
    pop: *mut PMEMobjpool,
    mutexp: *mut PMEMmutex,
    abs_timeout: *const timespec,
) -> c_int {
    // SAFETY: the C contract; the object is initialised.
    unsafe { with(pop, mutexp, sync::init_mutex, |x| pthread_mutex_timedlock(x, abs_timeout)) }
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_rwlock_timedrdlock(
    pop: *mut PMEMobjpool,
    rwlockp: *mut PMEMrwlock,
    abs_timeout: *const timespec,
) -> c_int {
    // SAFETY: the C contract; the object is initialised.
    unsafe { with(pop, rwlockp, sync::init_rwlock, |x| pthread_rwlock_timedrdlock(x, abs_timeout)) }
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_rwlock_timedwrlock(
    pop: *mut PMEMobjpool,
    rwlockp: *mut PMEMrwlock,
    abs_timeout: *const timespec,
) -> c_int {
    // SAFETY: the C contract; the object is initialised.
    unsafe { with(pop, rwlockp, sync::init_rwlock, |x| pthread_rwlock_timedwrlock(x, abs_timeout)) }
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_cond_wait(
    pop: *mut PMEMobjpool,
    condp: *mut PMEMcond,
    mutexp: *mut PMEMmutex,
) -> c_int {
    // SAFETY: the C contract; both objects are initialised.
    unsafe {
        with(pop, mutexp, sync::init_mutex, |m| {
            with(pop, condp, sync::init_cond, |c| libc::pthread_cond_wait(c, m))
        })
    }
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_cond_timedwait(
    pop: *mut PMEMobjpool,
    condp: *mut PMEMcond,
    mutexp: *mut PMEMmutex,
    abs_timeout: *const timespec,
) -> c_int {
    // SAFETY: the C contract; both objects are initialised.
    unsafe {
        with(pop, mutexp, sync::init_mutex, |m| {
            with(pop, condp, sync::init_cond, |c| libc::pthread_cond_timedwait(c, m, abs_timeout))
        })
    }
}

/// A volatile variable, constructed once per run of the pool.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_volatile(
    pop: *mut PMEMobjpool,
    vlt: *mut c_void,
    ptr: *mut c_void,
    _size: usize,
    constr: Option<unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int>,
    arg: *mut c_void,
) -> *mut c_void {
    // SAFETY: the C contract.
    let made = unsafe { sync::once_per_run(pop, vlt, || constr.map_or(0, |constr| constr(ptr, arg))) };
    if made.is_err() {
        super::errmsg::set(format_args!("error initializing lock"));
        return std::ptr::null_mut();
    }
    ptr
}

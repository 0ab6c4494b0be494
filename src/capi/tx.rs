//! `libpmemobj/tx_base.h`. A transactional call may have to continue at the
//! environment of its level instead of returning. No Rust frame is skipped by
//! that: the functions here fill in a [`Step`] and return, and the exported
//! functions in `shim.c`, which called them, do what it says.

use std::ffi::{c_char, c_int, c_void};

use super::atomic::{XALLOC_FLAGS, pool_arg, request};
use super::{fail, set_errno};
use crate::obj::{Oid, Pool, RawAction, Request, sync};
use crate::tx::{AddRange, Callback, Ended, Env, Error, FAILURE_RETURN, Lock, LockKind, Stage, Transaction};

/// What the shim does when Rust has returned: call back, then jump.
#[repr(C)]
pub struct Step {
    /// 0: nothing.
    act: c_int,
    stage: c_int,
    callback: Option<Callback>,
    pop: *mut c_void,
    arg: *mut c_void,
    env: *const Env,
    error: c_int,
}

impl Step {
    fn call_back(&mut self, callback: Option<(Callback, *mut c_void)>, pop: *mut c_void, stage: Stage) {
        self.env = std::ptr::null();
        self.callback = None;
        if let Some((callback, arg)) = callback {
            self.act = 1;
            self.callback = Some(callback);
            (self.pop, self.arg, self.stage) = (pop, arg, stage as c_int);
        }
    }

    fn jump(&mut self, env: Option<&Env>, error: c_int) {
        if let Some(env) = env {
            self.act = 1;
            self.env = env;
            self.error = error;
        }
    }
}

/// `POBJ_XADD_*`; the other families use `NO_ABORT` alone.
const NO_FLUSH: u64 = 1 << 1;
const NO_SNAPSHOT: u64 = 1 << 2;
const ASSUME_INITIALIZED: u64 = 1 << 3;
const NO_ABORT: u64 = 1 << 4;
const XADD_FLAGS: u64 = NO_FLUSH | NO_SNAPSHOT | ASSUME_INITIALIZED | NO_ABORT;

/// `enum pobj_tx_param`.
const PARAM_MUTEX: c_int = 1;
const PARAM_RWLOCK: c_int = 2;

/// Ends the process, silently as PMDK does, when a transactional function is
/// called in a stage that does not allow it.
#[cold]
fn wrong_stage() -> ! {
    // SAFETY: no return.
    unsafe { libc::abort() }
}

/// The calling thread's transaction, in stage `Work`.
#[inline]
fn working() -> &'static mut Transaction {
    // SAFETY: exports do not nest in each other while they use it.
    match unsafe { Transaction::current() } {
        Some(t) if t.stage() == Stage::Work => t,
        _ => wrong_stage(),
    }
}

/// The calling thread's transaction, open.
fn open() -> &'static mut Transaction {
    // SAFETY: as in `working`.
    match unsafe { Transaction::current() } {
        Some(t) if !t.is_idle() => t,
        _ => wrong_stage(),
    }
}

/// Aborts the current level.
fn abort(step: &mut Step, t: &mut Transaction, error: c_int) {
    let pop = t.target().map_or(std::ptr::null_mut(), |t| t.handle);
    t.abort(error);
    set_errno(error);
    step.call_back(t.outermost_callback(), pop, Stage::OnAbort);
    step.jump(t.env(), error);
}

/// A failing call returns its error number, and aborts unless told otherwise.
#[cold]
fn failed(step: &mut Step, t: &mut Transaction, flags: u64, error: c_int) -> c_int {
    if flags & NO_ABORT == 0 && t.failure() != FAILURE_RETURN {
        abort(step, t, error);
    }
    set_errno(error);
    error
}

fn finish(step: &mut Step, t: &mut Transaction, flags: u64, r: Result<(), Error>) -> c_int {
    match r {
        Ok(()) => 0,
        Err(e) => {
            super::errmsg::set(format_args!("{e}"));
            failed(step, t, flags, e.errno())
        }
    }
}

fn unknown_flags(step: &mut Step, t: &mut Transaction, flags: u64, valid: u64) -> c_int {
    fail(libc::EINVAL, format_args!("unknown flags {:#x}", flags & !valid));
    failed(step, t, flags, libc::EINVAL)
}

/// # Safety
/// The C contract; `env` is NULL or a `jmp_buf`.
#[unsafe(no_mangle)]
unsafe extern "C" fn pmem_rs_tx_begin(step: &mut Step, pop: *mut c_void, env: *const Env) -> c_int {
    // SAFETY: the C contract; a pool stays open during its transactions.
    let Some(pool) = (unsafe { pool_arg::<'static>(pop) }) else { return libc::EINVAL };
    // SAFETY: as in `working`.
    let t = match unsafe { Transaction::current_or_new() } {
        Ok(t) => t,
        Err(e) => {
            fail(e.errno(), format_args!("{e}"));
            return e.errno();
        }
    };
    if !matches!(t.stage(), Stage::None | Stage::Work) || (t.stage() == Stage::None && !t.is_idle()) {
        wrong_stage();
    }
    // SAFETY: the C contract. An environment of zeros is none.
    let env = unsafe { env.as_ref() }.filter(|e| e.iter().any(|&w| w != 0)).copied();
    match t.begin(pool.target(), env) {
        Ok(()) => 0,
        Err(e) => {
            fail(e.errno(), format_args!("{e}"));
            if !t.is_idle() {
                abort(step, t, e.errno());
            }
            e.errno()
        }
    }
}

/// Takes a lock named in `pmemobj_tx_begin`.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
unsafe extern "C" fn pmem_rs_tx_begin_lock(step: &mut Step, kind: c_int, lock: *mut c_void) -> c_int {
    let t = working();
    // SAFETY: the C contract.
    let error = unsafe { take_lock(t, kind, lock) };
    if error != 0 {
        abort(step, t, error);
    }
    error
}

/// Sets the callback named in `pmemobj_tx_begin`.
#[unsafe(no_mangle)]
extern "C" fn pmem_rs_tx_begin_callback(callback: Option<Callback>, arg: *mut c_void) {
    if let Some(callback) = callback
        && !working().set_callback(callback, arg)
    {
        wrong_stage();
    }
}

/// A parameter of `pmemobj_tx_begin` that is not known.
#[unsafe(no_mangle)]
extern "C" fn pmem_rs_tx_begin_unknown(step: &mut Step, kind: c_int) -> c_int {
    fail(libc::EINVAL, format_args!("unknown transaction parameter {kind}"));
    abort(step, working(), libc::EINVAL);
    libc::EINVAL
}

/// Takes a lock unless the transaction holds it; an error number.
unsafe fn take_lock(t: &mut Transaction, kind: c_int, at: *mut c_void) -> c_int {
    let kind = match kind {
        PARAM_MUTEX => LockKind::Mutex,
        PARAM_RWLOCK => LockKind::RwLock,
        _ => {
            super::errmsg::set(format_args!("Unrecognized lock type {kind}"));
            return libc::EINVAL;
        }
    };
    let lock = Lock { kind, at };
    let Some(target) = t.target() else { return libc::EINVAL };
    if t.holds(lock) {
        return 0;
    }
    if t.reserve_lock().is_err() {
        return libc::ENOMEM;
    }
    // SAFETY: the C contract.
    let error = unsafe {
        match kind {
            LockKind::Mutex => sync::mutex_lock(target.handle, at),
            LockKind::RwLock => sync::rwlock_wrlock(target.handle, at),
        }
    };
    if error == 0 {
        t.push_lock(lock);
    } else {
        let name = if kind == LockKind::Mutex { "pmemobj_mutex_lock" } else { "pmemobj_rwlock_wrlock" };
        super::errmsg::set(format_args!("{name}: {}", super::StrError(error)));
    }
    error
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
unsafe extern "C" fn pmem_rs_tx_xlock(step: &mut Step, kind: c_int, lock: *mut c_void, flags: u64) -> c_int {
    let t = working();
    if flags & !NO_ABORT != 0 {
        return unknown_flags(step, t, flags, NO_ABORT);
    }
    // SAFETY: the C contract.
    match unsafe { take_lock(t, kind, lock) } {
        0 => 0,
        error => failed(step, t, flags, error),
    }
}

#[unsafe(no_mangle)]
extern "C" fn pmem_rs_tx_commit_begin(step: &mut Step) {
    let t = working();
    let pop = t.target().map_or(std::ptr::null_mut(), |t| t.handle);
    step.call_back(t.outermost_callback(), pop, Stage::Work);
}

#[unsafe(no_mangle)]
extern "C" fn pmem_rs_tx_commit(step: &mut Step) {
    let t = open();
    if t.stage() != Stage::Work {
        return; // the callback aborted
    }
    let pop = t.target().map_or(std::ptr::null_mut(), |t| t.handle);
    t.commit();
    step.call_back(t.outermost_callback(), pop, Stage::OnCommit);
}

#[unsafe(no_mangle)]
extern "C" fn pmem_rs_tx_abort(step: &mut Step, error: c_int) {
    let t = working();
    let error = if error == 0 { libc::ECANCELED } else { error };
    super::errmsg::set(format_args!("explicit transaction abort: {}", super::StrError(error)));
    abort(step, t, error);
}

/// Advances the stage; true if the transaction is to be committed.
#[unsafe(no_mangle)]
extern "C" fn pmem_rs_tx_process(step: &mut Step) -> c_int {
    let t = open();
    match t.stage() {
        Stage::None => wrong_stage(),
        Stage::Work => return 1,
        Stage::OnCommit | Stage::OnAbort => enter_finally(step, t),
        Stage::Finally => t.advance(),
    }
    0
}

fn enter_finally(step: &mut Step, t: &mut Transaction) {
    let pop = t.target().map_or(std::ptr::null_mut(), |t| t.handle);
    t.advance();
    step.call_back(t.outermost_callback(), pop, Stage::Finally);
}

/// Passes through `Finally` if the program did not.
#[unsafe(no_mangle)]
extern "C" fn pmem_rs_tx_end_begin(step: &mut Step) {
    let t = open();
    match t.stage() {
        Stage::Work => wrong_stage(),
        Stage::OnCommit | Stage::OnAbort if t.outermost_callback().is_some() => enter_finally(step, t),
        _ => {}
    }
}

#[unsafe(no_mangle)]
extern "C" fn pmem_rs_tx_end(step: &mut Step) -> c_int {
    let t = open();
    let pop = t.target().map_or(std::ptr::null_mut(), |t| t.handle);
    match t.end() {
        Ended::Inner => 0,
        Ended::AbortParent(error) => {
            abort(step, t, error);
            error
        }
        Ended::Outermost { error, callback } => {
            while let Some(lock) = t.pop_lock() {
                // SAFETY: taken by this transaction, on this pool.
                unsafe {
                    match lock.kind {
                        LockKind::Mutex => sync::mutex_unlock(pop, lock.at),
                        LockKind::RwLock => sync::rwlock_unlock(pop, lock.at),
                    }
                };
            }
            step.call_back(callback, std::ptr::null_mut(), Stage::None);
            error
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn pmemobj_tx_stage() -> c_int {
    // SAFETY: as in `working`.
    unsafe { Transaction::current() }.map_or(Stage::None, |t| t.stage()) as c_int
}

#[unsafe(no_mangle)]
extern "C" fn pmemobj_tx_errno() -> c_int {
    // SAFETY: as in `working`.
    unsafe { Transaction::current() }.map_or(0, |t| t.error())
}

/// The transaction in any stage but `None`.
fn staged() -> &'static mut Transaction {
    let t = open();
    if t.stage() == Stage::None {
        wrong_stage();
    }
    t
}

#[unsafe(no_mangle)]
extern "C" fn pmemobj_tx_set_user_data(data: *mut c_void) {
    staged().set_user_data(data);
}

#[unsafe(no_mangle)]
extern "C" fn pmemobj_tx_get_user_data() -> *mut c_void {
    staged().user_data()
}

#[unsafe(no_mangle)]
extern "C" fn pmemobj_tx_set_failure_behavior(behavior: c_int) {
    working().set_failure(behavior);
}

#[unsafe(no_mangle)]
extern "C" fn pmemobj_tx_get_failure_behavior() -> c_int {
    working().failure()
}

fn how(flags: u64) -> AddRange {
    AddRange { snapshot: flags & NO_SNAPSHOT == 0, flush: flags & NO_FLUSH == 0 }
}

#[unsafe(no_mangle)]
extern "C" fn pmem_rs_tx_add_range(step: &mut Step, oid: Oid, off: u64, size: usize, flags: u64) -> c_int {
    let t = working();
    if flags & !XADD_FLAGS != 0 {
        return unknown_flags(step, t, flags, XADD_FLAGS);
    }
    let r = match t.target() {
        Some(target) if target.uuid_lo == oid.pool_uuid_lo && oid.off != 0 => {
            t.add_range(oid.off.saturating_add(off), size as u64, how(flags))
        }
        _ => Err(Error::PoolUuid),
    };
    finish(step, t, flags, r)
}

#[unsafe(no_mangle)]
extern "C" fn pmem_rs_tx_add_range_direct(
    step: &mut Step,
    ptr: *const c_void,
    size: usize,
    flags: u64,
) -> c_int {
    let t = working();
    if flags & !XADD_FLAGS != 0 {
        return unknown_flags(step, t, flags, XADD_FLAGS);
    }
    let r = t.add_range_direct(ptr as usize, size as u64, how(flags));
    finish(step, t, flags, r)
}

/// The id of a new object, or null with errno; failures of the heap to find
/// room are reported as PMDK does.
fn new_object(step: &mut Step, t: &mut Transaction, flags: u64, r: Result<u64, Error>) -> Oid {
    match r {
        Ok(off) => Oid { pool_uuid_lo: t.target().map_or(0, |t| t.uuid_lo), off },
        Err(e) => {
            super::errmsg::set(format_args!("{e}"));
            failed(step, t, flags, e.errno());
            Oid::NULL
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn pmem_rs_tx_alloc(step: &mut Step, size: usize, type_num: u64, flags: u64) -> Oid {
    let t = working();
    match request(size, type_num, flags, XALLOC_FLAGS) {
        Ok(req) => {
            let r = t.alloc(&req, flags & NO_FLUSH == 0);
            new_object(step, t, flags, r)
        }
        Err(_) => {
            unknown_flags(step, t, flags, XALLOC_FLAGS);
            Oid::NULL
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn pmem_rs_tx_realloc(step: &mut Step, oid: Oid, size: usize, type_num: u64, zero: c_int) -> Oid {
    let t = working();
    let req = Request { size: size as u64, type_num, zero: zero != 0, class: 0, arena: 0 };
    if oid.is_null() {
        if size == 0 {
            return Oid::NULL;
        }
        let r = t.alloc(&req, true);
        return new_object(step, t, 0, r);
    }
    if t.target().is_none_or(|target| target.uuid_lo != oid.pool_uuid_lo) {
        finish(step, t, 0, Err(Error::PoolUuid));
        return Oid::NULL;
    }
    if size == 0 {
        let r = t.free(oid.off);
        finish(step, t, 0, r);
        return Oid::NULL;
    }
    let r = t.realloc(oid.off, &req);
    new_object(step, t, 0, r)
}

/// Allocates a copy of `len` bytes.
///
/// # Safety
/// The C contract.
unsafe fn duplicate(
    step: &mut Step,
    src: *const c_void,
    len: impl FnOnce() -> usize,
    type_num: u64,
    flags: u64,
) -> Oid {
    let t = working();
    if src.is_null() {
        fail(libc::EINVAL, format_args!("cannot duplicate NULL string"));
        failed(step, t, flags, libc::EINVAL);
        return Oid::NULL;
    }
    let len = len();
    let oid = pmem_rs_tx_alloc(step, len, type_num, flags);
    if !oid.is_null()
        && let Some(target) = t.target()
    {
        let to = target.heap.region().at(oid.off, len as u64);
        // SAFETY: the new object has `len` bytes and is the transaction's own;
        // the string has as many by the C contract. Commit flushes it.
        unsafe { std::ptr::copy_nonoverlapping(src.cast(), to, len) };
    }
    oid
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
unsafe extern "C" fn pmem_rs_tx_strdup(step: &mut Step, s: *const c_char, type_num: u64, flags: u64) -> Oid {
    // SAFETY: the C contract.
    unsafe { duplicate(step, s.cast(), || libc::strlen(s) + 1, type_num, flags) }
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
unsafe extern "C" fn pmem_rs_tx_wcsdup(
    step: &mut Step,
    s: *const libc::wchar_t,
    type_num: u64,
    flags: u64,
) -> Oid {
    // SAFETY: the C contract; called for a string that is not NULL.
    let len = || (unsafe { libc::wcslen(s) } + 1) * size_of::<libc::wchar_t>();
    // SAFETY: the C contract.
    unsafe { duplicate(step, s.cast(), len, type_num, flags) }
}

#[unsafe(no_mangle)]
extern "C" fn pmem_rs_tx_free(step: &mut Step, oid: Oid, flags: u64) -> c_int {
    let t = working();
    if flags & !NO_ABORT != 0 {
        return unknown_flags(step, t, flags, NO_ABORT);
    }
    if oid.is_null() {
        return 0;
    }
    let r = match t.target() {
        Some(target) if target.uuid_lo == oid.pool_uuid_lo => t.free(oid.off),
        _ => Err(Error::PoolUuid),
    };
    finish(step, t, flags, r)
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
unsafe extern "C" fn pmem_rs_tx_publish(
    step: &mut Step,
    actv: *const RawAction,
    n: usize,
    flags: u64,
) -> c_int {
    let t = working();
    if flags & !NO_ABORT != 0 {
        return unknown_flags(step, t, flags, NO_ABORT);
    }
    // SAFETY: the C contract.
    let raw = if n == 0 { &[] } else { unsafe { std::slice::from_raw_parts(actv, n) } };
    // SAFETY: the pool of an open transaction.
    let pool = t.target().and_then(|t| unsafe { Pool::from_handle(t.handle) });
    let error = match pool.map(|p| p.with_actions(raw, |actions| t.publish(actions))) {
        Some(Ok(Ok(()))) => return 0,
        Some(Ok(Err(e))) => {
            super::errmsg::set(format_args!("{e}"));
            e.errno()
        }
        Some(Err(e)) => {
            super::errmsg::set(format_args!("{e}"));
            e.errno()
        }
        None => libc::EINVAL,
    };
    failed(step, t, flags, error)
}

//! `libpmemobj/tx_base.h`. A transactional call may have to continue at the
//! environment of its level instead of returning. No Rust frame is skipped by
//! that: the functions here fill in the thread's step (`tx_step.rs`) and return, and the
//! exported functions in `shim.c`, which called them, do what it says.

use std::ffi::{c_char, c_int, c_void};

use libc::wchar_t;

use super::atomic::pool_arg;
use super::base::{
    POBJ_FLAG_ASSUME_INITIALIZED, POBJ_FLAG_NO_FLUSH, POBJ_FLAG_NO_SNAPSHOT, POBJ_FLAG_TX_NO_ABORT,
    POBJ_XALLOC_ARENA_MASK, POBJ_XALLOC_CLASS_MASK, POBJ_XALLOC_NO_ABORT, POBJ_XALLOC_NO_FLUSH,
    POBJ_XALLOC_ZERO,
};
use super::tx_step::{CALL_BACK, END_AGAIN, LEFT, LEFT_COMMIT, leave, leave_pending};
use super::{fail, set_errno};
use crate::obj::{Oid, sync};
use crate::tx::{
    Callback, Ended, Env, Error, FAILURE_RETURN, Lock, LockKind, LogKind, Stage, Transaction,
    intents_max_size, snapshots_max_size,
};

/// Flags of pmemobj_tx_xalloc.
pub const POBJ_TX_XALLOC_VALID_FLAGS: u64 = POBJ_XALLOC_ZERO
    | POBJ_XALLOC_NO_FLUSH
    | POBJ_XALLOC_ARENA_MASK
    | POBJ_XALLOC_CLASS_MASK
    | POBJ_XALLOC_NO_ABORT;

/// Flags of pmemobj_tx_xadd_range and pmemobj_tx_xadd_range_direct.
pub const POBJ_XADD_NO_FLUSH: u64 = POBJ_FLAG_NO_FLUSH;
pub const POBJ_XADD_NO_SNAPSHOT: u64 = POBJ_FLAG_NO_SNAPSHOT;
pub const POBJ_XADD_ASSUME_INITIALIZED: u64 = POBJ_FLAG_ASSUME_INITIALIZED;
pub const POBJ_XADD_NO_ABORT: u64 = POBJ_FLAG_TX_NO_ABORT;
pub const POBJ_XADD_VALID_FLAGS: u64 =
    POBJ_XADD_NO_FLUSH | POBJ_XADD_NO_SNAPSHOT | POBJ_XADD_ASSUME_INITIALIZED | POBJ_XADD_NO_ABORT;

/// Flags of the other pmemobj_tx_x functions: fail without aborting.
pub const POBJ_XLOCK_NO_ABORT: u64 = POBJ_FLAG_TX_NO_ABORT;
pub const POBJ_XLOCK_VALID_FLAGS: u64 = POBJ_XLOCK_NO_ABORT;
pub const POBJ_XFREE_NO_ABORT: u64 = POBJ_FLAG_TX_NO_ABORT;
pub const POBJ_XFREE_VALID_FLAGS: u64 = POBJ_XFREE_NO_ABORT;
pub const POBJ_XPUBLISH_NO_ABORT: u64 = POBJ_FLAG_TX_NO_ABORT;
pub const POBJ_XPUBLISH_VALID_FLAGS: u64 = POBJ_XPUBLISH_NO_ABORT;
pub const POBJ_XLOG_APPEND_BUFFER_NO_ABORT: u64 = POBJ_FLAG_TX_NO_ABORT;
pub const POBJ_XLOG_APPEND_BUFFER_VALID_FLAGS: u64 = POBJ_XLOG_APPEND_BUFFER_NO_ABORT;

// Their short names here.
pub(super) const NO_FLUSH: u64 = POBJ_FLAG_NO_FLUSH;
pub(super) const NO_SNAPSHOT: u64 = POBJ_FLAG_NO_SNAPSHOT;
pub(super) const NO_ABORT: u64 = POBJ_FLAG_TX_NO_ABORT;
pub(super) const XADD_FLAGS: u64 = POBJ_XADD_VALID_FLAGS;

/// Where the calling thread's transaction is.
#[repr(C)]
pub enum pobj_tx_stage {
    /// no transaction
    TX_STAGE_NONE,
    /// in progress
    TX_STAGE_WORK,
    /// committed
    TX_STAGE_ONCOMMIT,
    /// aborted, or failed to begin
    TX_STAGE_ONABORT,
    /// about to end, either way
    TX_STAGE_FINALLY,
    MAX_TX_STAGE,
}

/// Parameters of pmemobj_tx_begin, each followed by what it names.
#[repr(C)]
pub enum pobj_tx_param {
    /// end of the parameters
    TX_PARAM_NONE,
    /// PMEMmutex *
    TX_PARAM_MUTEX,
    /// PMEMrwlock *
    TX_PARAM_RWLOCK,
    /// pmemobj_tx_callback, void *
    TX_PARAM_CB,
}

/// The logs of a transaction.
#[repr(C)]
pub enum pobj_log_type {
    /// of snapshots: the undo log
    TX_LOG_TYPE_SNAPSHOT,
    /// of allocations and other actions: the redo log
    TX_LOG_TYPE_INTENT,
}

/// What a failing function of a transaction does.
#[repr(C)]
pub enum pobj_tx_failure_behavior {
    /// aborts
    POBJ_TX_FAILURE_ABORT,
    /// returns an error
    POBJ_TX_FAILURE_RETURN,
}

// The enums as C passes them: any value.
type TxStage = c_int;
type TxParam = c_int;
type LogType = c_int;
type FailureBehavior = c_int;

const PARAM_MUTEX: c_int = pobj_tx_param::TX_PARAM_MUTEX as c_int;
const PARAM_RWLOCK: c_int = pobj_tx_param::TX_PARAM_RWLOCK as c_int;

// In shim.c. A function that fails aborts the transaction, and continues where
// pmemobj_tx_begin's environment says, unless it is told to return an error.
unsafe extern "C" {
    /// Takes a lock until the end of the outermost transaction; 0 or an error number.
    pub fn pmemobj_tx_lock(r#type: TxParam, lockp: *mut c_void) -> c_int;
    /// pmemobj_tx_lock with POBJ_XLOCK_NO_ABORT.
    pub fn pmemobj_tx_xlock(r#type: TxParam, lockp: *mut c_void, flags: u64) -> c_int;
    /// Aborts the current transaction: everything is as before it.
    pub fn pmemobj_tx_abort(errnum: c_int);
    /// Commits the current transaction.
    pub fn pmemobj_tx_commit();
    /// Ends the current transaction after its last stage; 0 or the error number that aborted it.
    pub fn pmemobj_tx_end() -> c_int;
    /// Goes on to the next stage; commits if that is what comes next.
    pub fn pmemobj_tx_process();
    /// Snapshots size bytes of an object from off on; 0 or an error number.
    pub fn pmemobj_tx_add_range(oid: Oid, off: u64, size: usize) -> c_int;
    /// pmemobj_tx_add_range with POBJ_XADD_* flags.
    pub fn pmemobj_tx_xadd_range(oid: Oid, off: u64, size: usize, flags: u64) -> c_int;
    /// Snapshots size bytes at an address; 0 or an error number.
    pub fn pmemobj_tx_add_range_direct(ptr: *const c_void, size: usize) -> c_int;
    /// pmemobj_tx_add_range_direct with POBJ_XADD_* flags.
    pub fn pmemobj_tx_xadd_range_direct(ptr: *const c_void, size: usize, flags: u64) -> c_int;
    /// Allocates an object; OID_NULL with errno on failure.
    pub fn pmemobj_tx_alloc(size: usize, type_num: u64) -> Oid;
    /// pmemobj_tx_alloc with POBJ_XALLOC_* flags, POBJ_CLASS_ID and POBJ_ARENA_ID.
    pub fn pmemobj_tx_xalloc(size: usize, type_num: u64, flags: u64) -> Oid;
    /// Allocates a zeroed object.
    pub fn pmemobj_tx_zalloc(size: usize, type_num: u64) -> Oid;
    /// Resizes an object, which may move; OID_NULL with errno on failure.
    pub fn pmemobj_tx_realloc(oid: Oid, size: usize, type_num: u64) -> Oid;
    /// pmemobj_tx_realloc that zeroes the bytes gained.
    pub fn pmemobj_tx_zrealloc(oid: Oid, size: usize, type_num: u64) -> Oid;
    /// Allocates a copy of a string.
    pub fn pmemobj_tx_strdup(s: *const c_char, type_num: u64) -> Oid;
    /// pmemobj_tx_strdup with POBJ_XALLOC_* flags.
    pub fn pmemobj_tx_xstrdup(s: *const c_char, type_num: u64, flags: u64) -> Oid;
    /// Allocates a copy of a wide string.
    pub fn pmemobj_tx_wcsdup(s: *const wchar_t, type_num: u64) -> Oid;
    /// pmemobj_tx_wcsdup with POBJ_XALLOC_* flags.
    pub fn pmemobj_tx_xwcsdup(s: *const wchar_t, type_num: u64, flags: u64) -> Oid;
    /// Frees an object when the transaction commits; 0 or an error number.
    pub fn pmemobj_tx_free(oid: Oid) -> c_int;
    /// pmemobj_tx_free with POBJ_XFREE_NO_ABORT.
    pub fn pmemobj_tx_xfree(oid: Oid, flags: u64) -> c_int;
    /// Gives a log memory of the pool to grow into; 0 or an error number.
    pub fn pmemobj_tx_log_append_buffer(r#type: LogType, addr: *mut c_void, size: usize) -> c_int;
    /// pmemobj_tx_log_append_buffer with POBJ_XLOG_APPEND_BUFFER_NO_ABORT.
    pub fn pmemobj_tx_xlog_append_buffer(
        r#type: LogType,
        addr: *mut c_void,
        size: usize,
        flags: u64,
    ) -> c_int;
}

/// Ends the process, silently as PMDK does, when a transactional function is
/// called in a stage that does not allow it.
#[cold]
fn wrong_stage() -> ! {
    // SAFETY: no return.
    unsafe { libc::abort() }
}

/// The calling thread's transaction, in stage `Work`.
#[inline]
pub(super) fn working() -> &'static mut Transaction {
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

/// Aborts the current level; returns the error.
#[cold]
fn abort(t: &mut Transaction, error: c_int) -> c_int {
    t.abort(error);
    set_errno(error);
    leave(t, t.outermost_callback(), Stage::OnAbort, error);
    error
}

/// A failing call returns its error number, and aborts unless told otherwise.
#[cold]
pub(super) fn failed(t: &mut Transaction, flags: u64, error: c_int) -> c_int {
    if flags & NO_ABORT == 0 && t.failure() != FAILURE_RETURN {
        return abort(t, error);
    }
    set_errno(error);
    error
}

#[inline]
pub(super) fn finish(t: &mut Transaction, flags: u64, r: Result<(), Error>) -> c_int {
    match r {
        Ok(()) => 0,
        Err(e) => failed_with(t, flags, e),
    }
}

#[cold]
#[inline(never)]
pub(super) fn failed_with(t: &mut Transaction, flags: u64, e: Error) -> c_int {
    super::errmsg::set(format_args!("{e}"));
    failed(t, flags, e.errno())
}

#[cold]
pub(super) fn unknown_flags(t: &mut Transaction, flags: u64, valid: u64) -> c_int {
    fail(libc::EINVAL, format_args!("unknown flags {:#x}", flags & !valid));
    failed(t, flags, libc::EINVAL)
}

/// # Safety
/// The C contract; `env` is NULL or a `jmp_buf`.
#[unsafe(no_mangle)]
unsafe extern "C" fn pmem_rs_tx_begin(pop: *mut c_void, env: *const Env) -> c_int {
    // SAFETY: the C contract; a pool stays open during its transactions.
    let Some(pool) = (unsafe { pool_arg::<'static>(pop) }) else { return libc::EINVAL };
    // SAFETY: as in `working`.
    let t = match unsafe { Transaction::current() } {
        Some(t) => t,
        None => match first() {
            Ok(t) => t,
            Err(error) => return error,
        },
    };
    // SAFETY: the C contract.
    let env = unsafe { env.as_ref() };
    match t.stage() {
        Stage::None if t.is_idle() => {}
        Stage::Work => {}
        _ => wrong_stage(),
    }
    match t.begin(pool.target(), env) {
        Ok(()) => 0,
        Err(e) => begin_failed(t, e),
    }
}

/// The calling thread's transaction, made now; an error number.
#[cold]
fn first() -> Result<&'static mut Transaction, c_int> {
    // SAFETY: as in `working`.
    unsafe { Transaction::current_or_new() }.map_err(|e| {
        fail(e.errno(), format_args!("{e}"));
        e.errno()
    })
}

#[cold]
fn begin_failed(t: &mut Transaction, e: Error) -> c_int {
    fail(e.errno(), format_args!("{e}"));
    abort(t, e.errno())
}

/// Takes a lock named in `pmemobj_tx_begin`.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
unsafe extern "C" fn pmem_rs_tx_begin_lock(kind: c_int, lock: *mut c_void) -> c_int {
    let t = working();
    // SAFETY: the C contract.
    match unsafe { take_lock(t, kind, lock) } {
        0 => 0,
        error => abort(t, error),
    }
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
extern "C" fn pmem_rs_tx_begin_unknown(kind: c_int) -> c_int {
    fail(libc::EINVAL, format_args!("unknown transaction parameter {kind}"));
    abort(working(), libc::EINVAL)
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
    if let Err(e) = t.reserve_lock() {
        super::errmsg::set(format_args!("{e}"));
        return e.errno();
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
unsafe extern "C" fn pmem_rs_tx_xlock(kind: c_int, lock: *mut c_void, flags: u64) -> c_int {
    let t = working();
    if flags & !NO_ABORT != 0 {
        return unknown_flags(t, flags, NO_ABORT);
    }
    // SAFETY: the C contract.
    match unsafe { take_lock(t, kind, lock) } {
        0 => 0,
        error => failed(t, flags, error),
    }
}

/// Commits; if there is a callback, only that is left to do.
#[unsafe(no_mangle)]
extern "C" fn pmem_rs_tx_commit() -> c_int {
    commit(working())
}

#[inline]
fn commit(t: &mut Transaction) -> c_int {
    if let callback @ Some(_) = t.outermost_callback() {
        leave(t, callback, Stage::Work, 0);
        return LEFT_COMMIT;
    }
    t.commit();
    0
}

/// Commits once the callback before that was called.
#[unsafe(no_mangle)]
extern "C" fn pmem_rs_tx_commit_called_back() -> c_int {
    let t = open();
    if t.stage() != Stage::Work {
        return 0; // the callback aborted
    }
    t.commit();
    leave(t, t.outermost_callback(), Stage::OnCommit, 0);
    LEFT
}

#[unsafe(no_mangle)]
extern "C" fn pmem_rs_tx_abort(error: c_int) -> c_int {
    let t = working();
    let error = if error == 0 { libc::ECANCELED } else { error };
    super::errmsg::set_later("explicit transaction abort", error);
    abort(t, error)
}

/// Advances the stage, or commits.
#[unsafe(no_mangle)]
extern "C" fn pmem_rs_tx_process() -> c_int {
    let t = open();
    match t.stage() {
        Stage::Work => return commit(t),
        Stage::OnCommit | Stage::OnAbort => return enter_finally(t, CALL_BACK),
        Stage::Finally => t.advance(),
        Stage::None => wrong_stage(),
    }
    0
}

/// Leaves the callback to do, if there is one, as `pending`.
#[inline]
fn enter_finally(t: &mut Transaction, pending: c_int) -> c_int {
    t.advance();
    match t.outermost_callback() {
        None => 0,
        callback => {
            leave(t, callback, Stage::Finally, 0);
            leave_pending(pending);
            LEFT
        }
    }
}

/// Ends the current level; passes through `Finally` if the program did not.
#[unsafe(no_mangle)]
extern "C" fn pmem_rs_tx_end() -> c_int {
    let t = open();
    match t.stage() {
        Stage::Work => wrong_stage(),
        Stage::OnCommit | Stage::OnAbort if t.outermost_callback().is_some() => {
            return enter_finally(t, END_AGAIN);
        }
        _ => {}
    }
    let pop = t.target().map_or(std::ptr::null_mut(), |t| t.handle);
    match t.end() {
        Ended::Inner => 0,
        Ended::AbortParent(error) => abort(t, error),
        Ended::Outermost { error, busy: false } => error,
        Ended::Outermost { error, busy: true } => end_outermost(t, pop, error),
    }
}

/// What is left when the outermost level has ended: locks, and a callback.
#[cold]
fn end_outermost(t: &mut Transaction, pop: *mut c_void, error: c_int) -> c_int {
    while let Some(lock) = t.pop_lock() {
        // SAFETY: taken by this transaction, on this pool.
        unsafe {
            match lock.kind {
                LockKind::Mutex => sync::mutex_unlock(pop, lock.at),
                LockKind::RwLock => sync::rwlock_unlock(pop, lock.at),
            }
        };
    }
    t.let_go();
    match t.take_callback() {
        None => error,
        callback => {
            leave(t, callback, Stage::None, error);
            LEFT
        }
    }
}

/// The stage of the calling thread's transaction.
#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_tx_stage() -> TxStage {
    // SAFETY: as in `working`.
    unsafe { Transaction::current() }.map_or(Stage::None, |t| t.stage()) as c_int
}

/// The error number of the calling thread's last transaction.
#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_tx_errno() -> c_int {
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

/// Keeps a pointer with the current transaction.
#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_tx_set_user_data(data: *mut c_void) {
    staged().set_user_data(data);
}

/// The pointer kept with the current transaction; NULL at first.
#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_tx_get_user_data() -> *mut c_void {
    staged().user_data()
}

/// What failing functions do in the current and nested transactions from here on.
#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_tx_set_failure_behavior(behavior: FailureBehavior) {
    working().set_failure(behavior);
}

/// What failing functions do in the current transaction.
#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_tx_get_failure_behavior() -> FailureBehavior {
    working().failure()
}

/// What a [`pobj_log_type`] names.
fn log_kind(kind: LogType) -> Option<LogKind> {
    match kind {
        0 => Some(LogKind::Snapshot),
        1 => Some(LogKind::Intent),
        _ => None,
    }
}

#[unsafe(no_mangle)]
extern "C" fn pmem_rs_tx_log_append_buffer(kind: c_int, addr: *mut c_void, size: usize, flags: u64) -> c_int {
    let t = working();
    if flags & !NO_ABORT != 0 {
        return unknown_flags(t, flags, NO_ABORT);
    }
    let r = match log_kind(kind) {
        Some(kind) => t.lend(kind, addr as usize, size as u64),
        None => Err(Error::Heap(crate::heap::Error::Buffer("unknown log type"))),
    };
    finish(t, flags, r)
}

/// Lets a log grow by itself (the default) or not; 0 or an error number.
#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_tx_log_auto_alloc(r#type: LogType, on_off: c_int) -> c_int {
    let t = working();
    if let Some(kind) = log_kind(r#type) {
        t.set_auto_alloc(kind, on_off != 0);
    }
    0
}

/// The size, or `SIZE_MAX` with ERANGE.
fn size_or_range(size: Option<u64>) -> usize {
    size.map_or_else(
        || {
            set_errno(libc::ERANGE);
            usize::MAX
        },
        |size| size as usize,
    )
}

/// Bytes of buffers that snapshots of these sizes need; SIZE_MAX with errno on failure.
///
/// # Safety
/// The C contract: `sizes` has `nsizes` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_tx_log_snapshots_max_size(sizes: *mut usize, nsizes: usize) -> usize {
    // SAFETY: the C contract.
    let sizes = if nsizes == 0 { &[] } else { unsafe { std::slice::from_raw_parts(sizes, nsizes) } };
    size_or_range(snapshots_max_size(sizes.iter().map(|&s| s as u64)))
}

/// Bytes of buffers that so many allocations and frees need; SIZE_MAX with errno on failure.
#[unsafe(no_mangle)]
pub extern "C" fn pmemobj_tx_log_intents_max_size(nintents: usize) -> usize {
    size_or_range(intents_max_size(nintents as u64))
}

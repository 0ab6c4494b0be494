//! The transaction engine: per thread at most one tree of nested
//! transactions, on one pool, in one lane (API contract section 15, format
//! section 7).
//!
//! The room knows stages, levels, snapshots and actions. It never jumps and
//! never calls back: a failing call returns, and the C ABI continues at the
//! environment of the level that [`Transaction::abort`] names.

mod actions;
mod buffers;
mod error;
mod levels;
mod lifecycle;
mod ranges;
mod sorted;
mod work;

use std::cell::UnsafeCell;
use std::ffi::c_void;

pub use buffers::{LogKind, intents_max_size, snapshots_max_size};
pub use error::Error;
pub use lifecycle::{Ended, Lock, LockKind};
pub use work::AddRange;

use crate::heap::{Buffer, Heap};
use crate::lock::RawLock;
use crate::thread;
use crate::thread_end::AtThreadEnd;
use crate::ulog::Hold;
use actions::Actions;
use levels::Levels;
use ranges::Ranges;

/// Where the C ABI continues after an abort; opaque here. glibc's `jmp_buf`.
pub type Env = [u64; 25];

/// Called by the C ABI at the stages of the outermost transaction.
pub type Callback = unsafe extern "C" fn(*mut c_void, i32, *mut c_void);

/// `enum pobj_tx_stage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Stage {
    None = 0,
    Work = 1,
    OnCommit = 2,
    OnAbort = 3,
    Finally = 4,
}

/// What a failing call does: `enum pobj_tx_failure_behavior`, any int is kept.
pub const FAILURE_ABORT: i32 = 0;
pub const FAILURE_RETURN: i32 = 1;

/// The pool of a transaction. The program keeps it open meanwhile, by the
/// contract of the C API.
#[derive(Clone, Copy)]
pub struct Target {
    pub heap: &'static Heap,
    /// The mapping's base, `PMEMobjpool *`.
    pub handle: *mut c_void,
    pub uuid_lo: u64,
}

/// The calling thread's transaction, or the idle state between transactions;
/// its buffers are kept for the next one.
pub struct Transaction {
    stage: Stage,
    /// Error of the last transaction of this thread.
    error: i32,
    target: Option<Target>,
    hold: Option<Hold<'static>>,
    levels: Levels,
    locks: Vec<Lock>,
    callback: Option<(Callback, *mut c_void)>,
    user_data: *mut c_void,
    /// There may be something to commit or to roll back.
    touched: bool,
    ranges: Ranges,
    actions: Actions,
    /// Log space that the application lent.
    buffers: Vec<Buffer>,
    /// Something about the logs must be undone at the end.
    special_logs: bool,
}

impl Transaction {
    const fn idle() -> Transaction {
        Transaction {
            stage: Stage::None,
            error: 0,
            target: None,
            hold: None,
            levels: Levels::new(),
            locks: Vec::new(),
            callback: None,
            user_data: std::ptr::null_mut(),
            touched: false,
            ranges: Ranges::new(),
            actions: Actions::new(),
            buffers: Vec::new(),
            special_logs: false,
        }
    }

    /// The calling thread's transaction, if it ever began one.
    ///
    /// # Safety
    /// At most one reference at a time: no caller keeps it while calling
    /// anything that may come back here.
    #[inline]
    pub unsafe fn current() -> Option<&'static mut Transaction> {
        // SAFETY: the thread's own, freed when the thread ends; unique by contract.
        unsafe { thread::transaction().cast::<Transaction>().as_mut() }
    }

    /// As [`Transaction::current`], made at the thread's first use. Without
    /// memory for it a spare one, in which no more can be done than to begin
    /// in vain, abort and end.
    ///
    /// # Safety
    /// As there.
    pub unsafe fn current_or_new() -> Result<&'static mut Transaction, Error> {
        // SAFETY: by contract.
        if let Some(t) = unsafe { Transaction::current() } {
            return Ok(t);
        }
        let t = match crate::heap::try_box(Transaction::idle()) {
            Some(t) => {
                // Without a key to spare it is simply never freed.
                AT_THREAD_END.set(t.cast());
                t
            }
            None => Spare::take().transaction.get(),
        };
        thread::set_transaction(t.cast());
        // SAFETY: not null, and known to this thread alone.
        unsafe { t.as_mut() }.ok_or(Error::OutOfMemory)
    }

    #[inline]
    fn is_spare(&self) -> bool {
        SPARES.as_ptr_range().contains(&std::ptr::from_ref(self).cast())
    }

    /// After the end of the outermost level: a spare one is there for others.
    pub fn let_go(&mut self) {
        if self.is_spare()
            && let Some(spare) = SPARES.iter().find(|s| std::ptr::eq(self, s.transaction.get()))
        {
            thread::set_transaction(std::ptr::null_mut());
            spare.lock.unlock();
        }
    }

    #[inline]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    pub fn error(&self) -> i32 {
        self.error
    }

    /// Whether no transaction is open, not even an ended level's.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.levels.is_empty()
    }

    #[inline]
    pub fn target(&self) -> Option<Target> {
        self.target
    }

    pub fn user_data(&self) -> *mut c_void {
        self.user_data
    }

    pub fn set_user_data(&mut self, p: *mut c_void) {
        self.user_data = p;
    }

    /// Failure behaviour of the current level.
    pub fn failure(&self) -> i32 {
        self.levels.last().map_or(FAILURE_ABORT, |l| l.failure)
    }

    pub fn set_failure(&mut self, behavior: i32) {
        if let Some(l) = self.levels.last_mut() {
            l.failure = behavior;
        }
    }

    /// The callback and its argument, if this is the outermost level.
    #[inline]
    pub fn outermost_callback(&self) -> Option<(Callback, *mut c_void)> {
        if self.levels.is_outermost() { self.callback } else { None }
    }

    /// The callback, which is called for the last time.
    pub fn take_callback(&mut self) -> Option<(Callback, *mut c_void)> {
        self.callback.take()
    }

    /// Where to continue after an abort of the current level.
    pub fn env(&self) -> Option<&Env> {
        self.levels.last()?.env()
    }
}

/// Carries the failure of a thread's first transaction that found no memory.
struct Spare {
    lock: RawLock,
    transaction: UnsafeCell<Transaction>,
}

// SAFETY: whoever holds the lock uses the transaction.
unsafe impl Sync for Spare {}

static SPARES: [Spare; 16] =
    [const { Spare { lock: RawLock::new(), transaction: UnsafeCell::new(Transaction::idle()) } }; 16];

impl Spare {
    /// One that no other thread has; the first when that is free, if none is.
    #[cold]
    fn take() -> &'static Spare {
        SPARES.iter().find(|s| s.lock.try_lock()).unwrap_or_else(|| {
            SPARES[0].lock.lock();
            &SPARES[0]
        })
    }
}

static AT_THREAD_END: AtThreadEnd = AtThreadEnd::new(free_current);

/// # Safety
/// `t` is what [`Transaction::current_or_new`] registered, of the ending thread.
unsafe extern "C" fn free_current(t: *mut c_void) {
    thread::set_transaction(std::ptr::null_mut());
    // SAFETY: made by `try_box`; the thread ends.
    drop(unsafe { Box::from_raw(t.cast::<Transaction>()) });
}

//! What a transactional call leaves to the shim: see `tx.rs`.

use std::ffi::{c_int, c_void};

use crate::tx::{Callback, Env, Stage, Transaction};

/// What the shim does when Rust has returned: call back, then jump, or return
/// `error`. The shim looks at it only if a function of Rust returns other than
/// 0 or an object.
#[repr(C)]
struct Step {
    pending: c_int,
    stage: c_int,
    callback: Option<Callback>,
    pop: *mut c_void,
    arg: *mut c_void,
    env: *const Env,
    error: c_int,
}

unsafe extern "C" {
    /// The calling thread's step, which only C can keep at no cost.
    fn pmem_rs_step() -> *mut Step;
}

/// Leaves it to the shim to call back at this stage, then to jump; what then
/// is returned, if anything, is `error`.
#[cold]
pub fn leave(t: &Transaction, callback: Option<(Callback, *mut c_void)>, stage: Stage, error: c_int) {
    let pop = match stage {
        Stage::None => std::ptr::null_mut(),
        _ => t.target().map_or(std::ptr::null_mut(), |t| t.handle),
    };
    let env = if stage == Stage::OnAbort { t.env() } else { None };
    let (callback, arg) = callback.map_or((None, std::ptr::null_mut()), |(f, arg)| (Some(f), arg));
    let step = Step {
        pending: (callback.is_some() || env.is_some()) as c_int,
        stage: stage as c_int,
        callback,
        pop,
        arg,
        env: env.map_or(std::ptr::null(), std::ptr::from_ref),
        error,
    };
    // SAFETY: the thread's own, and nobody else refers to it.
    unsafe { pmem_rs_step().write(step) };
}

/// Returned to the shim: something is left to do.
pub const LEFT: c_int = 1;
/// Returned to the shim: the callback before the commit is left, and then that.
pub const LEFT_COMMIT: c_int = 2;
/// In [`Step::pending`]: that is all.
pub const CALL_BACK: c_int = 1;
/// In [`Step::pending`]: `pmem_rs_tx_end` is to be called again afterwards.
pub const END_AGAIN: c_int = 2;

/// Says how the callback just left is to be taken.
pub fn leave_pending(pending: c_int) {
    // SAFETY: as in `leave`.
    unsafe { (*pmem_rs_step()).pending = pending };
}

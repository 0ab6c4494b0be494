//! `libpmemobj/ctl.h`.

use std::ffi::{CStr, c_char, c_int, c_void};

use crate::obj::Pool;
use crate::obj::ctl::{self, ClassDesc, Error, Op, Type, Value};

/// # Safety
/// `arg` is readable as `kind`.
unsafe fn read(arg: *const c_void, kind: Type) -> Value {
    // SAFETY: by contract.
    unsafe {
        match kind {
            Type::None => Value::None,
            Type::Int => Value::Int(arg.cast::<u32>().read_unaligned()),
            Type::Long => Value::Long(arg.cast::<u64>().read_unaligned()),
            Type::Class => Value::Class(arg.cast::<ClassDesc>().read_unaligned()),
        }
    }
}

/// # Safety
/// `arg` is writable for the value.
unsafe fn write(arg: *mut c_void, value: Value) {
    // SAFETY: by contract.
    unsafe {
        match value {
            Value::None => {}
            Value::Int(v) => arg.cast::<u32>().write_unaligned(v),
            Value::Long(v) => arg.cast::<u64>().write_unaligned(v),
            Value::Class(v) => arg.cast::<ClassDesc>().write_unaligned(v),
        }
    }
}

/// # Safety
/// The C contract.
unsafe fn query(pop: *mut c_void, name: *const c_char, arg: *mut c_void, op: Op) -> Result<(), Error> {
    if name.is_null() {
        return Err(Error::NoName);
    }
    // SAFETY: the C contract.
    let (pool, name) = unsafe { (Pool::from_handle(pop), CStr::from_ptr(name)) };
    if arg.is_null() && op != Op::Exec {
        return Err(Error::NoArgument(if op == Op::Get { "read" } else { "write" }));
    }
    let q = ctl::find(pool, name.to_bytes(), op)?;
    if arg.is_null() && q.argument != Type::None {
        return Err(Error::NoArgument("run"));
    }
    // SAFETY: the C contract; not NULL.
    let given = if op == Op::Get { Value::None } else { unsafe { read(arg, q.argument) } };
    let value = q.run(given)?;
    // SAFETY: the C contract: of the type of this entry point.
    unsafe { write(arg, value) };
    Ok(())
}

fn status(r: Result<(), Error>) -> c_int {
    let Err(e) = r else { return 0 };
    super::errmsg::set(format_args!("{e}"));
    if let Some(errno) = e.errno() {
        super::set_errno(errno);
    }
    -1
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_ctl_get(pop: *mut c_void, name: *const c_char, arg: *mut c_void) -> c_int {
    // SAFETY: the C contract.
    status(unsafe { query(pop, name, arg, Op::Get) })
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_ctl_set(pop: *mut c_void, name: *const c_char, arg: *mut c_void) -> c_int {
    // SAFETY: the C contract.
    status(unsafe { query(pop, name, arg, Op::Set) })
}

/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_ctl_exec(pop: *mut c_void, name: *const c_char, arg: *mut c_void) -> c_int {
    // SAFETY: the C contract.
    status(unsafe { query(pop, name, arg, Op::Exec) })
}

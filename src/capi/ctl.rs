//! `libpmemobj/ctl.h`.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

use super::base::PMEMobjpool;
use crate::obj::Pool;
use crate::obj::ctl::{self, ClassDesc, Error, Op, Type, Value};

/// What precedes an object's data in memory.
#[repr(C)]
pub enum pobj_header_type {
    /// 64 bytes, with type number
    POBJ_HEADER_LEGACY,
    /// 16 bytes, with type number
    POBJ_HEADER_COMPACT,
    /// nothing: all objects have the size of the class, and type 0
    POBJ_HEADER_NONE,
    MAX_POBJ_HEADER_TYPES,
}

/// As C passes it: any value of the enum's size.
type HeaderType = c_uint;

/// An allocation class, for heap.alloc_class.[class_id].desc.
#[repr(C)]
pub struct pobj_alloc_class_desc {
    /// bytes that one unit takes
    pub unit_size: usize,
    /// of objects, in bytes; 0 or a power of two that divides unit_size
    pub alignment: usize,
    /// at least so many units are allocated from the heap at a time
    pub units_per_block: c_uint,
    pub header_type: HeaderType,
    /// out: the number, for POBJ_CLASS_ID
    pub class_id: c_uint,
}

/// Which statistics are kept, for stats.enabled.
#[repr(C)]
pub enum pobj_stats_enabled {
    POBJ_STATS_ENABLED_TRANSIENT,
    POBJ_STATS_ENABLED_BOTH,
    POBJ_STATS_ENABLED_PERSISTENT,
    POBJ_STATS_DISABLED,
}

/// How threads get their arenas, for heap.arenas_assignment_type.
#[repr(C)]
pub enum pobj_arenas_assignment_type {
    POBJ_ARENAS_ASSIGNMENT_THREAD_KEY,
    POBJ_ARENAS_ASSIGNMENT_GLOBAL,
}

impl From<pobj_alloc_class_desc> for ClassDesc {
    fn from(c: pobj_alloc_class_desc) -> ClassDesc {
        ClassDesc {
            unit_size: c.unit_size as u64,
            alignment: c.alignment as u64,
            units_per_block: c.units_per_block,
            header_type: c.header_type,
            class_id: c.class_id,
        }
    }
}

impl From<ClassDesc> for pobj_alloc_class_desc {
    fn from(c: ClassDesc) -> pobj_alloc_class_desc {
        pobj_alloc_class_desc {
            unit_size: c.unit_size as usize,
            alignment: c.alignment as usize,
            units_per_block: c.units_per_block,
            header_type: c.header_type,
            class_id: c.class_id,
        }
    }
}

/// # Safety
/// `arg` is readable as `kind`.
unsafe fn read(arg: *const c_void, kind: Type) -> Value {
    // SAFETY: by contract.
    unsafe {
        match kind {
            Type::None => Value::None,
            Type::Int => Value::Int(arg.cast::<u32>().read_unaligned()),
            Type::Long => Value::Long(arg.cast::<u64>().read_unaligned()),
            Type::Class => Value::Class(arg.cast::<pobj_alloc_class_desc>().read_unaligned().into()),
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
            Value::Class(v) => arg.cast::<pobj_alloc_class_desc>().write_unaligned(v.into()),
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

/// Reads an entry by name into an argument of its type; 0, or -1 with errno.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_ctl_get(
    pop: *mut PMEMobjpool,
    name: *const c_char,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the C contract.
    status(unsafe { query(pop, name, arg, Op::Get) })
}

/// Sets an entry by name; 0, or -1 with errno.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_ctl_set(
    pop: *mut PMEMobjpool,
    name: *const c_char,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the C contract.
    status(unsafe { query(pop, name, arg, Op::Set) })
}

/// Runs an entry by name; 0, or -1 with errno.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_ctl_exec(
    pop: *mut PMEMobjpool,
    name: *const c_char,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the C contract.
    status(unsafe { query(pop, name, arg, Op::Exec) })
}

//! Settings of the process; they act on pools that are opened later.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::config::Syntax;
use super::{At, ENTRY, Entry, Error, Result, Type, Value};

pub static PREFAULT_AT_CREATE: AtomicU32 = AtomicU32::new(0);
pub static PREFAULT_AT_OPEN: AtomicU32 = AtomicU32::new(0);
pub static SDS_AT_CREATE: AtomicU32 = AtomicU32::new(1);
pub static FALLOCATE_AT_CREATE: AtomicU32 = AtomicU32::new(1);
pub static COPY_ON_WRITE_AT_OPEN: AtomicU32 = AtomicU32::new(0);
static ARENAS_ASSIGNMENT: AtomicU32 = AtomicU32::new(0);
/// 0 until it was set: the number of CPUs.
static ARENAS_DEFAULT_MAX: AtomicU32 = AtomicU32::new(0);

/// Whether a setting is on.
pub fn is_on(setting: &AtomicU32) -> bool {
    setting.load(Relaxed) != 0
}

/// Arenas of a new pool.
pub fn arenas() -> u32 {
    match ARENAS_DEFAULT_MAX.load(Relaxed) {
        // SAFETY: plain query.
        0 => unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }.clamp(1, 1024) as u32,
        n => n,
    }
}

/// Whether all threads share one arena.
pub fn one_arena() -> bool {
    ARENAS_ASSIGNMENT.load(Relaxed) == 1
}

/// The entry of a setting that any int may be stored in.
macro_rules! stored {
    ($name:literal, $setting:expr) => {
        Entry {
            name: $name,
            get: Some((Type::Int, |_, _| Ok(Value::Int($setting.load(Relaxed))))),
            set: Some((Type::Int, |_, v| {
                $setting.store(v.int()?, Relaxed);
                Ok(Value::None)
            })),
            syntax: Syntax::Bool,
            ..ENTRY
        }
    };
}

fn set_default_arenas(_: &At, v: Value) -> Result<Value> {
    match v.int()? {
        0 => Err(Error::Refused("number of default arenas can't be 0")),
        n => {
            ARENAS_DEFAULT_MAX.store(n, Relaxed);
            Ok(Value::None)
        }
    }
}

fn set_assignment(_: &At, v: Value) -> Result<Value> {
    match v.int()? {
        n @ 0..=1 => {
            ARENAS_ASSIGNMENT.store(n, Relaxed);
            Ok(Value::None)
        }
        _ => Err(Error::Invalid("invalid arenas assignment type")),
    }
}

pub(super) static TABLE: &[Entry] = &[
    stored!("prefault.at_create", PREFAULT_AT_CREATE),
    stored!("prefault.at_open", PREFAULT_AT_OPEN),
    stored!("sds.at_create", SDS_AT_CREATE),
    stored!("fallocate.at_create", FALLOCATE_AT_CREATE),
    stored!("copy_on_write.at_open", COPY_ON_WRITE_AT_OPEN),
    Entry {
        name: "heap.arenas_assignment_type",
        get: Some((Type::Int, |_, _| Ok(Value::Int(ARENAS_ASSIGNMENT.load(Relaxed))))),
        set: Some((Type::Int, set_assignment)),
        syntax: Syntax::Words(&[("thread", 0), ("global", 1)]),
        ..ENTRY
    },
    Entry {
        name: "heap.arenas_default_max",
        get: Some((Type::Int, |_, _| Ok(Value::Int(arenas())))),
        set: Some((Type::Int, set_default_arenas)),
        syntax: Syntax::Long,
        ..ENTRY
    },
];

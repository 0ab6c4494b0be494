//! Settings and figures of a pool.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use super::config::Syntax;
use super::{At, ClassDesc, ENTRY, Entry, Error, Result, Type, Value};
use crate::heap::{ClassInfo, HeaderType, MAX_ALLOC};

/// Least growth of a pool: the smallest part of a pool set.
const MIN_GROWTH: u64 = 2 << 20;
/// Ids 0 to 254 are classes.
const MAX_CLASS: i64 = 254;

fn store(setting: &AtomicU32, v: Value) -> Result<Value> {
    setting.store(v.int()?, Relaxed);
    Ok(Value::None)
}

fn set_cache_size(at: &At, v: Value) -> Result<Value> {
    match v.long()? {
        n if n <= MAX_ALLOC => {
            at.pool()?.heap.set_undo_extension(n);
            Ok(Value::None)
        }
        _ => Err(Error::Invalid("invalid cache size, must be between 0 and max alloc size")),
    }
}

fn set_max_arenas(at: &At, v: Value) -> Result<Value> {
    match at.pool()?.heap.set_max_arenas(v.int()?) {
        true => Ok(Value::None),
        false => Err(Error::Refused("cannot change max arena number: there are more arenas")),
    }
}

fn set_automatic(at: &At, v: Value) -> Result<Value> {
    let heap = &at.pool()?.heap;
    heap.arena_automatic(at.index as u64)?;
    let on = match v.int()? {
        0 => false,
        1 => true,
        _ => return Err(Error::Refused("incorrect arena state, must be 0 or 1")),
    };
    match heap.set_arena_automatic(at.index as u64, on)? {
        true => Ok(Value::None),
        false => Err(Error::Refused("at least one automatic arena must exist")),
    }
}

fn thread_arena(at: &At, _: Value) -> Result<Value> {
    let shared = Error::Invalid("invalid query entry point heap.thread.arena_id: all threads share an arena");
    at.pool()?.heap.thread_arena().map(Value::Int).ok_or(shared)
}

fn set_thread_arena(at: &At, v: Value) -> Result<Value> {
    thread_arena(at, Value::None)?;
    at.pool()?.heap.set_thread_arena(v.int()? as u64)?;
    Ok(Value::None)
}

fn class_id(index: i64) -> Result<u8> {
    match index {
        0..=MAX_CLASS => Ok(index as u8),
        _ => Err(Error::Range("class id outside of the allowed range")),
    }
}

fn class(at: &At, _: Value) -> Result<Value> {
    let c = at.pool()?.heap.class_info(class_id(at.index)?).ok_or(Error::NoClass)?;
    Ok(Value::Class(ClassDesc {
        unit_size: c.unit,
        alignment: c.alignment,
        units_per_block: c.units as u32,
        header_type: match c.header {
            HeaderType::Legacy => 0,
            HeaderType::Compact => 1,
            HeaderType::None => 2,
        },
        class_id: at.index as u32,
    }))
}

fn define(at: &At, id: Option<u8>, v: Value) -> Result<Value> {
    let d = v.class()?;
    let header = match d.header_type {
        0 => HeaderType::Legacy,
        1 => HeaderType::Compact,
        2 => HeaderType::None,
        _ => return Err(Error::Invalid("invalid header type")),
    };
    let c = ClassInfo { unit: d.unit_size, alignment: d.alignment, units: d.units_per_block as u64, header };
    let (id, units) = at.pool()?.heap.add_class(id, &c)?;
    Ok(Value::Class(ClassDesc { units_per_block: units as u32, class_id: id as u32, ..d }))
}

fn set_granularity(at: &At, v: Value) -> Result<Value> {
    match v.long()? {
        1..MIN_GROWTH => Err(Error::Refused("incorrect grow size, must be 0 or larger than 2097152")),
        n => {
            at.pool()?.settings.granularity.store(n, Relaxed);
            Ok(Value::None)
        }
    }
}

fn extend(_: &At, v: Value) -> Result<Value> {
    Err(Error::Refused(match v.long()? {
        0..MIN_GROWTH => "incorrect size for extend, must be larger than 2097152",
        _ => "extending the pool by appending parts with headers is not supported!",
    }))
}

pub(super) static TABLE: &[Entry] = &[
    Entry {
        name: "tx.cache.size",
        get: Some((Type::Long, |at, _| Ok(Value::Long(at.pool()?.heap.undo_extension())))),
        set: Some((Type::Long, set_cache_size)),
        syntax: Syntax::Long,
        ..ENTRY
    },
    Entry {
        name: "tx.cache.threshold",
        get: Some((Type::None, |_, _| Ok(Value::None))),
        set: Some((Type::None, |_, _| Ok(Value::None))),
        syntax: Syntax::Long,
        ..ENTRY
    },
    Entry {
        name: "tx.debug.skip_expensive_checks",
        get: Some((Type::Int, |at, _| Ok(Value::Int(at.pool()?.settings.skip_checks.load(Relaxed))))),
        set: Some((Type::Int, |at, v| store(&at.pool()?.settings.skip_checks, v))),
        syntax: Syntax::Bool,
        ..ENTRY
    },
    Entry {
        name: "tx.debug.verify_user_buffers",
        get: Some((Type::Int, |at, _| Ok(Value::Int(at.pool()?.settings.verify_buffers.load(Relaxed))))),
        set: Some((Type::Int, |at, v| store(&at.pool()?.settings.verify_buffers, v))),
        syntax: Syntax::Bool,
        ..ENTRY
    },
    Entry {
        name: "tx.post_commit.queue_depth",
        get: Some((Type::None, |_, _| Ok(Value::None))),
        set: Some((Type::None, |_, _| Ok(Value::None))),
        syntax: Syntax::Int,
        ..ENTRY
    },
    Entry { name: "tx.post_commit.worker", get: Some((Type::None, |_, _| Ok(Value::None))), ..ENTRY },
    Entry { name: "tx.post_commit.stop", get: Some((Type::None, |_, _| Ok(Value::None))), ..ENTRY },
    Entry {
        name: "heap.narenas.automatic",
        get: Some((Type::Int, |at, _| Ok(Value::Int(at.pool()?.heap.automatic_arenas())))),
        ..ENTRY
    },
    Entry {
        name: "heap.narenas.total",
        get: Some((Type::Int, |at, _| Ok(Value::Int(at.pool()?.heap.arena_count())))),
        ..ENTRY
    },
    Entry {
        name: "heap.narenas.max",
        get: Some((Type::Int, |at, _| Ok(Value::Int(at.pool()?.heap.max_arenas())))),
        set: Some((Type::Int, set_max_arenas)),
        syntax: Syntax::Long,
        ..ENTRY
    },
    Entry {
        name: "heap.arena.#.size",
        get: Some((Type::Long, |at, _| Ok(Value::Long(at.pool()?.heap.arena_size(at.index as u64)?)))),
        ..ENTRY
    },
    Entry {
        name: "heap.arena.#.automatic",
        get: Some((Type::Int, |at, _| {
            Ok(Value::Int(at.pool()?.heap.arena_automatic(at.index as u64)? as u32))
        })),
        set: Some((Type::Int, set_automatic)),
        syntax: Syntax::Bool,
        ..ENTRY
    },
    Entry {
        name: "heap.arena.create",
        exec: Some((Type::Int, |at, _| Ok(Value::Int(at.pool()?.heap.create_arena()?)))),
        ..ENTRY
    },
    Entry {
        name: "heap.thread.arena_id",
        get: Some((Type::Int, thread_arena)),
        set: Some((Type::Int, set_thread_arena)),
        syntax: Syntax::Long,
        ..ENTRY
    },
    Entry {
        name: "heap.alloc_class.#.desc",
        get: Some((Type::Class, class)),
        set: Some((Type::Class, |at, v| define(at, Some(class_id(at.index)?), v))),
        syntax: Syntax::Class,
        ..ENTRY
    },
    Entry {
        name: "heap.alloc_class.new.desc",
        set: Some((Type::Class, |at, v| define(at, None, v))),
        syntax: Syntax::Class,
        ..ENTRY
    },
    Entry {
        name: "heap.size.granularity",
        get: Some((Type::Long, |at, _| Ok(Value::Long(at.pool()?.settings.granularity.load(Relaxed))))),
        set: Some((Type::Long, set_granularity)),
        syntax: Syntax::Long,
        ..ENTRY
    },
    Entry { name: "heap.size.extend", exec: Some((Type::Long, extend)), ..ENTRY },
    Entry {
        name: "stats.enabled",
        get: Some((Type::Int, |at, _| Ok(Value::Int(at.pool()?.heap.stats_enabled())))),
        set: Some((Type::Int, |at, v| {
            at.pool()?.heap.set_stats_enabled(v.int()?);
            Ok(Value::None)
        })),
        syntax: Syntax::BoolOrWords(
            [3, 1],
            &[("transient", 0), ("both", 1), ("persistent", 2), ("disabled", 3)],
        ),
        ..ENTRY
    },
    Entry {
        name: "stats.heap.curr_allocated",
        get: Some((Type::Long, |at, _| Ok(Value::Long(at.pool()?.heap.curr_allocated())))),
        ..ENTRY
    },
    Entry {
        name: "stats.heap.run_allocated",
        get: Some((Type::Long, |at, _| Ok(Value::Long(at.pool()?.heap.run_allocated())))),
        ..ENTRY
    },
    Entry {
        name: "stats.heap.run_active",
        get: Some((Type::Long, |at, _| Ok(Value::Long(at.pool()?.heap.run_active())))),
        ..ENTRY
    },
    Entry {
        name: "debug.heap.alloc_pattern",
        get: Some((Type::Int, |at, _| Ok(Value::Int(at.pool()?.heap.pattern() as u32)))),
        set: Some((Type::Int, |at, v| {
            at.pool()?.heap.set_pattern(v.int()? as i32);
            Ok(Value::None)
        })),
        syntax: Syntax::Long,
        ..ENTRY
    },
];

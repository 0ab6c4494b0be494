//! Settings and figures by name (API contract section 4): `heap.size.extend`,
//! `stats.enabled` and so on, of the process or of one pool.
//!
//! All names stand in two tables of entries, [`globals`] and [`entries`].

mod config;
mod entries;
mod error;
pub mod globals;
mod value;

pub use config::{configure, load};
pub use error::Error;
pub use value::{ClassDesc, Type, Value};

use super::Pool;
use config::Syntax;

pub type Result<T> = core::result::Result<T, Error>;

/// What is done with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Get,
    Set,
    Exec,
}

/// Where an entry is used: the pool, and the number in the name, if any.
#[derive(Clone, Copy)]
struct At<'a> {
    pool: Option<&'a Pool>,
    index: i64,
}

impl<'a> At<'a> {
    fn pool(&self) -> Result<&'a Pool> {
        self.pool.ok_or(Error::NoPool)
    }
}

/// An operation: the type of its argument, and what it does. The value that
/// comes back is for the caller.
type Action = Option<(Type, fn(&At, Value) -> Result<Value>)>;

/// A name, and what can be done with it.
struct Entry {
    /// `#` stands for a number.
    name: &'static str,
    get: Action,
    set: Action,
    exec: Action,
    /// How a configuration string says the value to set.
    syntax: Syntax,
}

const ENTRY: Entry = Entry { name: "", get: None, set: None, exec: None, syntax: Syntax::None };

/// An entry's operation that was found.
pub struct Query<'a> {
    at: At<'a>,
    action: fn(&At, Value) -> Result<Value>,
    /// Type of the argument.
    pub argument: Type,
    syntax: Syntax,
}

impl Query<'_> {
    /// Carries the operation out; the result is for the caller's argument.
    pub fn run(&self, argument: Value) -> Result<Value> {
        (self.action)(&self.at, argument)
    }
}

/// The process's entries, then the pool's.
pub fn find<'a>(pool: Option<&'a Pool>, name: &[u8], op: Op) -> Result<Query<'a>> {
    let local: &[Entry] = if pool.is_some() { entries::TABLE } else { &[] };
    for entry in globals::TABLE.iter().chain(local) {
        if let Some(index) = matches(entry.name, name) {
            let action = match op {
                Op::Get => entry.get,
                Op::Set => entry.set,
                Op::Exec => entry.exec,
            };
            let (argument, action) = action.ok_or_else(|| Error::op(name, op))?;
            return Ok(Query { at: At { pool, index }, action, argument, syntax: entry.syntax });
        }
    }
    Err(Error::entry(name, unknown_component(name)))
}

fn components(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    name.split(|&b| b == b'.').filter(|c| !c.is_empty())
}

/// Whether a name is the entry's; its number, or 0 if it has none.
fn matches(entry: &str, name: &[u8]) -> Option<i64> {
    let (mut index, mut given) = (0, components(name));
    for want in components(entry.as_bytes()) {
        let c = given.next()?;
        if want == b"#" {
            index = integer(c)?;
        } else if c != want {
            return None;
        }
    }
    given.next().is_none().then_some(index)
}

/// The first component that no entry continues with, for the message.
fn unknown_component(name: &[u8]) -> Option<&[u8]> {
    let all = || globals::TABLE.iter().chain(entries::TABLE);
    let fits = |n: usize| {
        all().any(|e| {
            let mut want = components(e.name.as_bytes());
            components(name).take(n).all(|c| match want.next() {
                Some(b"#") => integer(c).is_some(),
                want => want == Some(c),
            })
        })
    };
    (1..=components(name).count()).find(|&n| !fits(n)).and_then(|n| components(name).nth(n - 1))
}

/// The integer that a text starts with, as C's `strtoll` reads it with base 0;
/// `None` if it starts with none or with too large a one.
fn integer(text: &[u8]) -> Option<i64> {
    let skip = text.iter().take_while(|b| b.is_ascii_whitespace()).count();
    let text = &text[skip..];
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let hex = |b: &u8| b.is_ascii_hexdigit();
    let (radix, digits) = match digits {
        [b'0', b'x' | b'X', rest @ ..] if rest.first().is_some_and(hex) => (16, rest),
        [b'0', ..] => (8, digits),
        _ => (10, digits),
    };
    let mut value = None;
    for d in digits.iter().map_while(|&b| (b as char).to_digit(radix)) {
        let shifted = value.unwrap_or(0i64).checked_mul(radix as i64)?;
        value = Some(if negative { shifted.checked_sub(d as i64) } else { shifted.checked_add(d as i64) }?);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers() {
        let cases = [
            ("10k", Some(10)),
            ("010", Some(8)),
            ("0x1F.", Some(31)),
            ("0x", Some(0)),
            (" -5", Some(-5)),
            ("", None),
            ("x1", None),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
        ];
        for (text, want) in cases {
            assert_eq!(integer(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn names() {
        assert_eq!(matches("heap.arena.#.size", b"heap..arena.0x10.size"), Some(16));
        assert_eq!(matches("heap.arena.#.size", b"heap.arena.#.size"), None);
        assert_eq!(matches("heap.narenas.max", b"heap.narenas.max.more"), None);
        assert_eq!(matches("heap.narenas.max", b"heap.narenas"), None);
        assert_eq!(unknown_component(b"heap.arena.one.size"), Some(&b"one"[..]));
        assert_eq!(unknown_component(b"heap.arena"), None);
    }
}

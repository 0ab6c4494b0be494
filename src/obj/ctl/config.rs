//! Configuration strings and files (API contract section 4.3): queries that
//! set something, between semicolons.

use std::ffi::CStr;

use super::{ClassDesc, Error, Op, Result, Value, find, integer};
use crate::flush::{Fd, env};
use crate::obj::Pool;
use crate::pool::Text;

/// Largest configuration file.
const MAX_FILE: usize = 1 << 20;

/// How a configuration string says a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Syntax {
    /// Cannot be set that way.
    None,
    Bool,
    Int,
    Long,
    /// One of these words.
    Words(&'static [(&'static str, u32)]),
    /// A boolean, false and true meaning these values, or a word.
    BoolOrWords([u32; 2], &'static [(&'static str, u32)]),
    /// Unit size, alignment, units per block, header type.
    Class,
}

const HEADERS: &[(&str, u32)] = &[("legacy", 0), ("compact", 1), ("none", 2)];

fn boolean(text: &[u8]) -> Option<bool> {
    match text.first()? {
        b'1' | b'y' | b'Y' => Some(true),
        b'0' | b'n' | b'N' => Some(false),
        _ => None,
    }
}

fn word(text: &[u8], words: &[(&str, u32)]) -> Option<u32> {
    words.iter().find(|(w, _)| w.as_bytes() == text).map(|(_, value)| *value)
}

impl Syntax {
    /// The value that a text says; fields beyond the last are ignored.
    fn parse(self, text: &[u8]) -> Option<Value> {
        let mut fields = text.split(|&b| b == b',').filter(|f| !f.is_empty());
        let int = |f| integer(f).and_then(|i| i32::try_from(i).ok()).map(|i| i as u32);
        let first = fields.next()?;
        Some(match self {
            Syntax::None => return None,
            Syntax::Bool => Value::Int(boolean(first)? as u32),
            Syntax::Int => Value::Int(int(first)?),
            Syntax::Long => Value::Long(integer(first)? as u64),
            Syntax::Words(words) => Value::Int(word(first, words)?),
            Syntax::BoolOrWords(values, words) => {
                let of_bool = boolean(first).map(|b| values[b as usize]);
                Value::Int(of_bool.or_else(|| word(first, words))?)
            }
            Syntax::Class => Value::Class(ClassDesc {
                unit_size: integer(first)? as u64,
                alignment: integer(fields.next()?)? as u64,
                units_per_block: int(fields.next()?)?,
                header_type: word(fields.next()?, HEADERS)?,
                class_id: 0,
            }),
        })
    }
}

/// What to do with queries of a string.
#[derive(Clone, Copy)]
enum Mode<'a> {
    /// Only a wrong syntax matters.
    Load,
    Pool(&'a Pool),
}

fn apply(text: &[u8], mode: Mode) -> Result<()> {
    for query in text.split(|&b| b == b';').filter(|q| !q.is_empty()) {
        let mut sides = query.split(|&b| b == b'=').filter(|s| !s.is_empty());
        let (Some(name), Some(value), None) = (sides.next(), sides.next(), sides.next()) else {
            return Err(Error::Syntax(Text::new(query)));
        };
        let pool = match mode {
            Mode::Load => None,
            Mode::Pool(pool) => Some(pool),
        };
        let set = || {
            let q = find(pool, name, Op::Set)?;
            let wrong = Error::Value { name: Text::new(name), value: Text::new(value) };
            q.run(q.syntax.parse(value).ok_or(wrong)?)
        };
        // At load, a query may be a pool's, and what is wrong changes nothing.
        if let (Err(e), Mode::Pool(_)) = (set(), mode) {
            return Err(e);
        }
    }
    Ok(())
}

/// A file without comments and white space. By libc's calls: std's would end
/// the process when there is no memory for a copy of the path.
fn read(path: &CStr) -> Result<Vec<u8>> {
    let cannot =
        Error::Invalid("the file that PMEMOBJ_CONF_FILE names cannot be read, or is larger than 1 MiB");
    let file = Fd::open(path, libc::O_RDONLY, 0).map_err(|_| cannot)?;
    let (mut text, mut buf) = (Vec::new(), [0; 1024]);
    loop {
        match file.read(&mut buf) {
            Ok([]) => break,
            Ok(part) if part.len() <= MAX_FILE - text.len() => {
                text.try_reserve(part.len()).map_err(|_| crate::heap::Error::OutOfMemory)?;
                text.extend_from_slice(part);
            }
            Err(libc::EINTR) => {}
            _ => return Err(cannot),
        }
    }
    let mut comment = false;
    text.retain(|&b| {
        comment = b == b'#' || comment && b != b'\n';
        !comment && !b.is_ascii_whitespace() && b != 0x0b
    });
    Ok(text)
}

fn environment(mode: Mode) -> Result<()> {
    let set = |name| env(name).filter(|v| !v.is_empty());
    if let Some(text) = set(c"PMEMOBJ_CONF") {
        apply(text.to_bytes(), mode)?;
    }
    match set(c"PMEMOBJ_CONF_FILE") {
        Some(path) => apply(&read(path)?, mode),
        None => Ok(()),
    }
}

/// Applies the environment's settings of the process, when the library is
/// loaded. Only what cannot be parsed or read is an error.
pub fn load() -> Result<()> {
    environment(Mode::Load)
}

/// Applies the environment's settings to a pool that is being opened.
pub fn configure(pool: &Pool) -> Result<()> {
    environment(Mode::Pool(pool))
}

//! What can be wrong with a query.

use thiserror::Error;

use super::Op;
use crate::pool::Text;

#[derive(Clone, Copy, Debug, Error)]
pub enum Error {
    #[error("invalid query")]
    NoName,
    #[error("invalid query entry point {name}{}", Component(.component))]
    Entry { name: Text, component: Option<Text> },
    #[error("invalid query entry point {name}: it cannot be {verb}")]
    Op { name: Text, verb: &'static str },
    #[error("invalid query entry point: it needs a pool")]
    NoPool,
    #[error("{0} queries require non-NULL argument")]
    NoArgument(&'static str),
    #[error("failed to parse query {0}: expected NAME=VALUE")]
    Syntax(Text),
    #[error("invalid value {value} of {name}")]
    Value { name: Text, value: Text },
    #[error("{0}")]
    Invalid(&'static str),
    /// PMDK leaves errno as it is.
    #[error("{0}")]
    Refused(&'static str),
    #[error("class with the given id does not exist")]
    NoClass,
    #[error("{0}")]
    Range(&'static str),
    #[error(transparent)]
    Heap(#[from] crate::heap::Error),
}

struct Component<'a>(&'a Option<Text>);

impl std::fmt::Display for Component<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(c) => write!(f, ": there is no {c} there"),
            None => Ok(()),
        }
    }
}

impl Error {
    pub(super) fn entry(name: &[u8], component: Option<&[u8]>) -> Error {
        Error::Entry { name: Text::new(name), component: component.map(Text::new) }
    }

    pub(super) fn op(name: &[u8], op: Op) -> Error {
        let verb = match op {
            Op::Get => "read",
            Op::Set => "written",
            Op::Exec => "run",
        };
        Error::Op { name: Text::new(name), verb }
    }

    /// `None` leaves errno as it is.
    pub fn errno(&self) -> Option<i32> {
        Some(match self {
            Error::Refused(_) => return None,
            Error::NoClass => libc::ENOENT,
            Error::Range(_) | Error::Heap(crate::heap::Error::NoArena(_)) => libc::ERANGE,
            Error::Heap(e) => e.errno(),
            _ => libc::EINVAL,
        })
    }
}

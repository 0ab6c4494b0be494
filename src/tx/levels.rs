//! The stack of nested transactions of a thread. The outermost one has its
//! place in advance, so that beginning it cannot fail for want of memory: a
//! begin that fails must still leave something to abort and end.

use super::{Env, Error};

/// One level of nesting.
pub(super) struct Level {
    pub env: Option<Env>,
    pub failure: i32,
}

pub(super) struct Levels {
    outermost: Option<Level>,
    inner: Vec<Level>,
}

impl Levels {
    pub const fn new() -> Levels {
        Levels { outermost: None, inner: Vec::new() }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.outermost.is_none()
    }

    #[inline]
    pub fn is_outermost(&self) -> bool {
        self.inner.is_empty() && self.outermost.is_some()
    }

    #[inline]
    pub fn last(&self) -> Option<&Level> {
        self.inner.last().or(self.outermost.as_ref())
    }

    pub fn last_mut(&mut self) -> Option<&mut Level> {
        self.inner.last_mut().or(self.outermost.as_mut())
    }

    /// Never fails for the outermost level.
    #[inline]
    pub fn push(&mut self, env: Option<&Env>, failure: i32) -> Result<(), Error> {
        let level = Level { env: env.copied(), failure };
        if self.outermost.is_none() {
            self.outermost = Some(level);
        } else {
            self.inner.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
            self.inner.push(level);
        }
        Ok(())
    }

    #[inline]
    pub fn pop(&mut self) {
        if self.inner.pop().is_none() {
            self.outermost = None;
        }
    }
}

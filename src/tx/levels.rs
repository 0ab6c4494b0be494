//! The stack of nested transactions of a thread. The outermost one has its
//! place in advance, so that beginning it cannot fail for want of memory: a
//! begin that fails must still leave something to abort and end.

use super::{Env, Error};

/// One level of nesting.
pub(super) struct Level {
    /// Where to continue after an abort; zeros are nowhere.
    env: Env,
    pub failure: i32,
}

pub(super) struct Levels {
    depth: usize,
    outermost: Level,
    /// As many as there ever were at once.
    inner: Vec<Level>,
}

/// Words of an environment that matter if no signal mask was saved: registers,
/// and whether there is a mask.
const REGISTERS: usize = if cfg!(target_arch = "x86_64") { 9 } else { size_of::<Env>() / 8 };

impl Level {
    const EMPTY: Level = Level { env: [0; _], failure: super::FAILURE_ABORT };

    #[inline]
    fn enter(&mut self, env: Option<&Env>, failure: i32) {
        self.failure = failure;
        let Some(env) = env else {
            self.env[..REGISTERS].fill(0);
            return;
        };
        self.env[..REGISTERS].copy_from_slice(&env[..REGISTERS]);
        // `int __mask_was_saved`, and padding.
        if env[REGISTERS - 1] as u32 != 0 {
            self.env = *env;
        }
    }

    pub fn env(&self) -> Option<&Env> {
        self.env[..REGISTERS].iter().any(|&w| w != 0).then_some(&self.env)
    }
}

impl Levels {
    pub const fn new() -> Levels {
        Levels { depth: 0, outermost: Level::EMPTY, inner: Vec::new() }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.depth == 0
    }

    #[inline]
    pub fn is_outermost(&self) -> bool {
        self.depth == 1
    }

    #[inline]
    pub fn last(&self) -> Option<&Level> {
        match self.depth {
            0 => None,
            1 => Some(&self.outermost),
            n => self.inner.get(n - 2),
        }
    }

    pub fn last_mut(&mut self) -> Option<&mut Level> {
        match self.depth {
            0 => None,
            1 => Some(&mut self.outermost),
            n => self.inner.get_mut(n - 2),
        }
    }

    /// The first level.
    #[inline]
    pub fn push_outermost(&mut self, env: Option<&Env>, failure: i32) {
        self.outermost.enter(env, failure);
        self.depth = 1;
    }

    /// One more level.
    pub fn push_inner(&mut self, env: Option<&Env>, failure: i32) -> Result<(), Error> {
        if self.inner.len() < self.depth {
            self.inner.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
            self.inner.push(Level::EMPTY);
        }
        self.inner[self.depth - 1].enter(env, failure);
        self.depth += 1;
        Ok(())
    }

    /// Leaves the innermost level; there is one.
    #[inline]
    pub fn pop(&mut self) {
        self.depth -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_kept_whole() {
        let mut env: Env = std::array::from_fn(|i| i as u64);
        for (mask_saved, kept) in [(0, REGISTERS), (1, env.len())] {
            let mut level = Level::EMPTY;
            env[REGISTERS - 1] = mask_saved;
            level.enter(Some(&env), 3);
            assert_eq!(level.env().unwrap()[..kept], env[..kept]);
            assert_eq!(level.failure, 3);
            level.enter(None, 0);
            assert!(level.env().is_none());
        }
        let mut level = Level::EMPTY;
        level.enter(Some(&[0; _]), 0);
        assert!(level.env().is_none(), "zeros are none");
    }

    #[test]
    fn levels_nest() {
        let mut levels = Levels::new();
        assert!(levels.is_empty() && levels.last().is_none());
        for _ in 0..2 {
            levels.push_outermost(None, 1);
            levels.push_inner(None, 2).unwrap();
            levels.push_inner(None, 3).unwrap();
            for failure in [3, 2, 1] {
                assert_eq!(levels.is_outermost(), failure == 1);
                assert_eq!(levels.last_mut().map(|l| l.failure), Some(failure));
                assert_eq!(levels.last().map(|l| l.failure), Some(failure));
                levels.pop();
            }
            assert!(levels.is_empty());
        }
    }
}

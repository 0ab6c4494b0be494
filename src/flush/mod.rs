//! The flush engine: how stores reach persistence.

mod domain;
mod map;

pub use domain::{Domain, MemFlags};
pub use map::{Mapping, env, forced};

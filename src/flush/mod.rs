//! The flush engine: how stores reach persistence.

mod domain;
pub use domain::{Domain, MemFlags};

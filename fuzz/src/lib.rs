//! The fuzz targets, free of libFuzzer: `cargo fuzz` runs them on inputs that
//! it invents, `cargo test --test regressions` on those of the repository.
//!
//! An input is a program of bytes (see [`bytes`]), so that any input means
//! something and a small change of it is a small change of what happens.

pub mod abi;
pub mod api;
pub mod bytes;
pub mod ctl;
pub mod image;
#[path = "../../tests/crash/media.rs"]
mod media;
pub mod pool;

//! pmem-rs: PMDK's libpmem and libpmemobj, behind the same C ABI and on the
//! same pool files. The map of the house; imports go down this list, never up.
//!
//! * [`capi`]: the C ABI and nothing else.
//! * [`obj`]: libpmemobj's pools: create, open, objects, root, lanes' holders.
//! * [`tx`]: the transaction engine.
//! * [`heap`]: zones, chunks, runs; arenas and allocation classes.
//! * [`ulog`]: the redo and undo logs on media, and their recovery.
//! * [`pool`]: what a pool file is: header, checksums, descriptor, locking.
//! * [`flush`]: what the CPU can do, flush and fence, copy kernels, mappings.

#[macro_use]
pub mod mutant;

pub mod capi;
pub mod flush;
pub mod heap;
mod lock;
mod memory;
pub mod obj;
pub mod pool;
#[cfg(test)]
mod random;
mod thread;
mod thread_end;
pub mod tx;
pub mod ulog;

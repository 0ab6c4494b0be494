//! The shutdown state (format 1.6): whether the pool was open when power was
//! lost. Storage without unsafe-shutdown counters counts 0.

use super::{Error, Region};
use crate::pool::checksum::Sum;

/// Offset of the 64 bytes.
pub const OFFSET: u64 = 0xfb8;
const DIRTY: usize = 2;
const CHECKSUM: usize = 7;

type Words = [u64; 8];

/// The state of storage without counters: usc and uid sum are 0.
fn state(dirty: bool) -> Words {
    let mut w = [0; 8];
    w[DIRTY] = dirty as u64;
    w[CHECKSUM] = checksum(&w);
    w
}

fn checksum(w: &Words) -> u64 {
    let mut sum = Sum::default();
    w[..CHECKSUM].iter().for_each(|&w| sum.add_u64(w));
    sum.add_u64(0);
    sum.value()
}

#[cfg_attr(feature = "recorder", track_caller)]
fn store(region: &Region, w: &Words) {
    for (i, &w) in w.iter().enumerate() {
        region.store(OFFSET + 8 * i as u64, w);
    }
    // Durable before the pool changes (dirty), or after its last change was
    // made durable (clean). A torn state fails its checksum and is reset.
    region.persist(OFFSET, 64);
}

/// Whether what was in flight when power failed may be lost.
pub fn check(region: &Region) -> Result<(), Error> {
    let mut old = [0; 8];
    for (i, w) in old.iter_mut().enumerate() {
        *w = region.load(OFFSET + 8 * i as u64);
    }
    let valid = old[CHECKSUM] == checksum(&old);
    let same = old[0] == 0 && old[1] == 0;
    if valid && !same && old[DIRTY] & 0xff != 0 {
        return Err(Error::Adr { usc: old[0], uid: old[1] });
    }
    Ok(())
}

/// Marks the pool as open.
pub fn open(region: &Region) {
    store(region, &state(true));
}

/// Marks the pool as closed.
pub fn close(region: &Region) {
    store(region, &state(false));
}

/// The state of a pool that is being created: open.
pub fn initial() -> Words {
    state(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_states() {
        assert_eq!(state(false), [0; 8]);
        assert_eq!(state(true)[CHECKSUM], 0x0000_000C_0000_0001);
    }
}

//! The pool descriptor (format section 2): layout name and where lanes and
//! heap are, checksummed and never changed; behind it words that change.

use super::checksum::Sum;
use super::error::Text;
use super::{Error, PAGE, Region};

const START: u64 = 0x1000;
const SIZE: usize = 2048;
const LANES_OFFSET: u64 = 0x1400;
const NLANES: u64 = 0x1408;
const HEAP_OFFSET: u64 = 0x1410;

pub const ROOT_OFFSET: u64 = 0x1800;
pub const RUN_ID: u64 = 0x1808;
pub const ROOT_SIZE: u64 = 0x1810;
pub const CONVERSION_FLAGS: u64 = 0x1818;
pub const HEAP_SIZE: u64 = 0x1820;
pub const CURR_ALLOCATED: u64 = 0x1828;
pub(super) const RESERVED: u64 = 0x1830;

/// Largest layout name, without its NUL.
pub const MAX_LAYOUT: usize = 1023;
/// Geometry of new pools.
pub const DEFAULT_LANES_OFFSET: u64 = 0x2000;
pub const DEFAULT_NLANES: u64 = 1024;
pub const DEFAULT_HEAP_OFFSET: u64 = 0x30_2000;
const LANE_SIZE: u64 = 3072;
const MAX_NLANES: u64 = 1 << 20;

/// Where things are, as the descriptor says, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    pub lanes_offset: u64,
    pub nlanes: u64,
    pub heap_offset: u64,
}

/// Writes the descriptor of a new pool, behind a fence for all that it vouches
/// for and with the words behind it, heap_size included; flushed, not drained.
pub fn format(region: &Region, layout: &[u8]) {
    let mut bytes = [0u8; SIZE];
    bytes[..layout.len()].copy_from_slice(layout);
    for (at, v) in
        [(LANES_OFFSET, DEFAULT_LANES_OFFSET), (NLANES, DEFAULT_NLANES), (HEAP_OFFSET, DEFAULT_HEAP_OFFSET)]
    {
        let at = (at - START) as usize;
        bytes[at..at + 8].copy_from_slice(&v.to_le_bytes());
    }
    let sum = if defect!(DescriptorSumMissing) { 0 } else { checksum(&bytes) };
    bytes[SIZE - 8..].copy_from_slice(&sum.to_le_bytes());
    for word in [RUN_ID, ROOT_OFFSET, ROOT_SIZE, CONVERSION_FLAGS, CURR_ALLOCATED] {
        region.store(word, 0);
    }
    // Its flush takes the words in front, which share its first line.
    region.fill(RESERVED, 0, super::SCRATCH - RESERVED);
    // Header, lanes, heap and these words, before the descriptor that makes
    // them a pool.
    region.drain();
    region.copy_in(START, &bytes);
}

fn checksum(bytes: &[u8; SIZE]) -> u64 {
    let mut sum = Sum::default();
    sum.add(&bytes[..SIZE - 8]);
    sum.add_u64(0);
    sum.value()
}

/// Checks 19 to 21 of format 1.10.
#[inline(never)] // half a page on the stack
pub fn validate(region: &Region, layout: Option<&[u8]>) -> Result<Geometry, Error> {
    let mut bytes = [0u8; SIZE];
    // SAFETY: the pool was just mapped and its file is locked.
    bytes.copy_from_slice(unsafe { region.bytes(START, SIZE as u64) });
    let (found, expected) = (region.load(START + SIZE as u64 - 8), checksum(&bytes));
    if found != expected {
        return Err(Error::DescriptorChecksum { found, expected });
    }
    if let Some(given) = layout {
        let stored = &bytes[..MAX_LAYOUT + 1];
        let stored = &stored[..stored.iter().position(|&b| b == 0).unwrap_or(stored.len())];
        if given != stored {
            return Err(Error::Layout { given: Text::new(given), stored: Text::new(stored) });
        }
    }
    let g = Geometry {
        lanes_offset: region.load(LANES_OFFSET),
        nlanes: region.load(NLANES),
        heap_offset: region.load(HEAP_OFFSET),
    };
    let len = region.len() as u64;
    let wrong = |field, at, found| Err(Error::Descriptor { field, at, found, len });
    if !g.heap_offset.is_multiple_of(PAGE) || g.heap_offset == 0 || g.heap_offset >= len {
        return wrong("heap_offset", HEAP_OFFSET, g.heap_offset);
    }
    if g.nlanes == 0 || g.nlanes > MAX_NLANES {
        return wrong("nlanes", NLANES, g.nlanes);
    }
    let end = g.lanes_offset.checked_add(g.nlanes * LANE_SIZE);
    if g.lanes_offset < super::SCRATCH_END
        || !g.lanes_offset.is_multiple_of(64)
        || end.is_none_or(|e| e > g.heap_offset)
    {
        return wrong("lanes_offset", LANES_OFFSET, g.lanes_offset);
    }
    Ok(g)
}

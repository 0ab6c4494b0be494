//! Scenarios that begin with a pool as others leave it: of an older release,
//! in the middle of a growth, with logs that we never write.

use pmem_rs::pool::checksum::Sum;

use crate::media::{self, CHUNK, put_u64, u64_at};
use crate::ops::world;
use crate::world::*;

const CONVERSION_FLAGS: u64 = 0x1818;
const HEAP_SIZE: u64 = 0x1820;
/// The undo log of lane 0.
const UNDO: u64 = media::LANES + 0x3c0;
const GEN_NUM: u64 = UNDO + 24;

/// An entry of an undo log that covers its line, with the sum of format 3.6.
pub fn entry(op: u64, target: u64, len: u64, data: &[u64], gen_num: u64) -> [u64; 8] {
    let mut entry = [0; 8];
    entry[..3].copy_from_slice(&[op << 61 | target, 0, len]);
    entry[3..3 + data.len()].copy_from_slice(data);
    let mut sum = Sum::default();
    entry.iter().for_each(|&w| sum.add_u64(w));
    sum.add_u64(gen_num);
    entry[1] = sum.value();
    entry
}

fn put_entry(image: &mut [u8], at: u64, entry: [u64; 8]) {
    entry.iter().enumerate().for_each(|(i, &w)| put_u64(image, at + 8 * i as u64, w));
}

/// A snapshot of memory that held one byte's value only, and one of a word.
pub fn fill_entry() -> History {
    let (mut w, root) = world(8);
    w.record_edited(|image| {
        let gen_num = u64_at(image, GEN_NUM);
        put_entry(image, UNDO + 64, entry(5, root + 100, 40, &[0x5a], gen_num));
        put_entry(image, UNDO + 128, entry(6, root + 1000, 8, &[77], gen_num));
    });
    w.step("goes on", |p| in_tx(p, || overwrite(p, root + 64, 500, 3)));
    w.finish("fill_entry")
}

/// Undo logs of a pool that was converted have no capacity yet, and what is
/// behind their headers is no entry.
pub fn converted() -> History {
    let (mut w, root) = world(8);
    w.record_edited(|image| {
        put_u64(image, CONVERSION_FLAGS, 1);
        for log in [UNDO, UNDO + media::LANE] {
            put_u64(image, log + 16, 0);
            let gen_num = u64_at(image, log + 24);
            put_entry(image, log + 64, entry(6, root + 1000, 8, &[77], gen_num));
        }
    });
    w.step("goes on", |p| in_tx(p, || overwrite(p, root + 64, 500, 3)));
    w.finish("converted")
}

/// The size of the heap was never stored.
pub fn unsized_heap() -> History {
    let (mut w, root) = world(8);
    w.record_edited(|image| put_u64(image, HEAP_SIZE, 0));
    w.step("goes on", |p| alloc(p, slot(p, root), 100, 1));
    w.finish("unsized_heap")
}

/// The heap grew, its zone does not know yet.
pub fn grown() -> History {
    let (mut w, root) = world(8);
    w.record_edited(|image| {
        image.resize(image.len() + 12 * CHUNK as usize, 0);
        let size = u64_at(image, HEAP_SIZE);
        put_u64(image, HEAP_SIZE, size + 12 * CHUNK);
    });
    w.step("finds the zone", |p| alloc(p, slot(p, root), 100, 1));
    w.step("uses the new part", |p| alloc(p, slot(p, root + 16), 7_000_000, 2));
    w.finish("grown")
}

/// The first use of a heap, in memory that is not zero.
pub fn first_use() -> History {
    let mut w = World::new(8);
    w.record_edited(|image| image[media::ZONE as usize + 8..media::ZONE as usize + 4096].fill(0xb5));
    w.step("a huge object", |p| alloc(p, std::ptr::null_mut(), 2_700_000, 1));
    w.finish("first_use")
}

//! What may be wrong in an opened pool's header page and descriptor beside
//! what keeps it from being opened (format 1.1, 1.6, 2.1).

use std::fmt::Arguments;

use super::descriptor::{CONVERSION_FLAGS, CURR_ALLOCATED, HEAP_SIZE, RESERVED, RUN_ID};
use super::finding::{Advice, Finding, Findings, Gravity};
use super::header::SDS;
use super::{Region, SCRATCH, sds};

/// Tells of words that change and of areas that are reserved. `min_heap` and
/// `heap_offset` bound the heap's size.
pub fn inspect(region: &Region, heap_offset: u64, min_heap: u64, findings: &mut Findings) {
    let run_id = region.load(RUN_ID);
    if !run_id.is_multiple_of(2) {
        findings.tell(&defect("run_id", RUN_ID, run_id, format_args!("an even number")));
    }
    let (size, max) = (region.load(HEAP_SIZE), region.len() as u64 - heap_offset);
    if size != 0 && (size < min_heap || size > max) {
        let expected = format_args!("{min_heap:#x} to {max:#x}, the rest of the file");
        findings.tell(&defect("heap_size", HEAP_SIZE, size, expected));
    }
    let allocated = region.load(CURR_ALLOCATED);
    if allocated > size {
        let finding = Finding {
            what: "descriptor: invalid statistics",
            ..remark("curr_allocated", CURR_ALLOCATED, allocated)
        };
        findings.tell(&Finding { expected: format_args!("at most heap_size, {size:#x}"), ..finding });
    }
    let flags = region.load(CONVERSION_FLAGS);
    if flags != 0 {
        findings.tell(&remark("conversion_flags", CONVERSION_FLAGS, flags));
    }
    zeros(region, format_args!("pool header"), "unused", (0x90, 0x800), findings);
    zeros(region, format_args!("pool header"), "unused2", (0x800, sds::OFFSET), findings);
    zeros(region, format_args!("descriptor"), "unused", (0x1418, 0x17f8), findings);
    zeros(region, format_args!("descriptor"), "reserved", (RESERVED, SCRATCH), findings);
    if region.load(0x10) as u32 & SDS == 0 {
        zeros(
            region,
            format_args!("shutdown state"),
            "not in use",
            (sds::OFFSET, sds::OFFSET + 64),
            findings,
        );
    }
}

fn defect<'a>(field: &'a str, at: u64, found: u64, expected: Arguments<'a>) -> Finding<'a> {
    Finding {
        gravity: Gravity::Defect,
        what: "invalid pool descriptor",
        place: format_args!("descriptor"),
        field,
        at,
        found,
        expected,
        advice: Advice::Restore,
    }
}

fn remark(field: &str, at: u64, found: u64) -> Finding<'_> {
    Finding {
        gravity: Gravity::Remark,
        what: "reserved area in use",
        place: format_args!("descriptor"),
        field,
        at,
        found,
        expected: format_args!("0"),
        advice: Advice::Nothing,
    }
}

/// The first word of a reserved area that is not zero.
pub fn zeros(
    region: &Region,
    place: Arguments,
    field: &str,
    (from, to): (u64, u64),
    findings: &mut Findings,
) {
    if let Some(at) = (from..to).step_by(8).find(|&at| region.load(at) != 0) {
        findings.tell(&Finding { place, ..remark(field, at, region.load(at)) });
    }
}

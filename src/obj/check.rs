//! Checking a pool: what is wrong in it, and whether it can be recovered, on a
//! private copy of which nothing reaches the file (format 1.10).

use std::ffi::CStr;

use super::open::{OPENING, boot, bounds, probe, recover, release_chains};
use super::{Error, Pool, Result};
use crate::heap::{self, Root};
use crate::pool::descriptor::{ROOT_OFFSET, ROOT_SIZE};
use crate::pool::finding::{Advice, Finding, Findings, Gravity};
use crate::pool::{self, OpenOptions, PoolFile};
use crate::ulog;

impl Pool {
    /// Whether a pool is consistent. All that is found is told, remarks on what
    /// does no harm too; an error is a pool that cannot be checked.
    pub fn check(path: &CStr, layout: Option<&[u8]>, tell: &mut dyn FnMut(&Finding)) -> Result<bool> {
        let _guard = OPENING.lock().unwrap_or_else(|e| e.into_inner());
        let mut file = pool::open(path, layout, OpenOptions { private: true })?;
        let mut findings = Findings::new(tell);
        inspect(&mut file, &mut findings)?;
        Ok(findings.defects == 0)
    }
}

/// Looks at the pool as it is, recovers it, and looks at what becomes of it.
fn inspect(file: &mut PoolFile, findings: &mut Findings) -> Result<()> {
    let (region, g) = (file.region(), file.geometry());
    probe(file)?;
    pool::check::inspect(&region, g.heap_offset, heap::MIN_HEAP, findings);
    let (size, max) = (file.heap_size(), region.len() as u64 - g.heap_offset);
    if size < heap::MIN_HEAP || size > max {
        if findings.defects == 0 {
            tell_failure(&heap::Error::Size { found: size, min: heap::MIN_HEAP, max }.into(), findings);
        }
        return Ok(()); // where anything is, is not known
    }
    ulog::inspect_redo(&region, &bounds(file, file.heap_size()), g.nlanes, findings);
    let recovered = recover(file).and_then(|()| after_redo(file, findings));
    if let Err(e) = &recovered
        && (matches!(e, Error::File(pool::Error::Os { .. })) || matches!(e.errno(), libc::ENOMEM | libc::EIO))
    {
        return recovered;
    }
    let root = Root { off: region.load(ROOT_OFFSET), size: region.load(ROOT_SIZE) };
    let root = recovered.is_ok().then_some(root);
    heap::inspect(&region, g.heap_offset, file.heap_size(), root, findings);
    match recovered {
        Err(e) if findings.defects == 0 => tell_failure(&e, findings),
        _ => {}
    }
    Ok(())
}

/// Looks at logs once their redo part is done, then recovers the rest.
fn after_redo(file: &PoolFile, findings: &mut Findings) -> Result<()> {
    let (region, lanes) = (file.region(), file.geometry().nlanes);
    let bounds = bounds(file, file.heap_size());
    ulog::inspect_undo(&region, &bounds, lanes, findings);
    let heap = boot(file)?;
    heap.inspect_links(&bounds, lanes, findings)?;
    release_chains(file, &heap)
}

/// Recovery failed for a reason that nothing of the above gave.
fn tell_failure(e: &Error, findings: &mut Findings) {
    findings.tell(&Finding {
        gravity: Gravity::Defect,
        what: "recovery fails",
        place: format_args!("{e}"),
        field: "errno",
        at: 0,
        found: e.errno() as u64,
        expected: format_args!("0"),
        advice: Advice::Restore,
    });
}

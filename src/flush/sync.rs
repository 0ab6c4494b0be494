//! Beyond the power-fail domain's promise: msync, and deep flushes down to
//! the medium (libpmem contract section 9).

use super::engine::Engine;
use super::sysfs::{Fd, Path};
use super::track::{self, Kind};
use super::{Domain, Error};

const PAGE: usize = 4096;

/// msync of the pages from the one that holds `addr` to the end of the range.
pub fn msync(addr: usize, len: usize) -> Result<(), Error<'static>> {
    let start = addr & !(PAGE - 1);
    // SAFETY: does not touch memory contents.
    match unsafe { libc::msync(start as *mut _, len.wrapping_add(addr - start), libc::MS_SYNC) } {
        0 => Ok(()),
        _ => Err(Error::os("msync")),
    }
}

/// Starts the write-back of the range's lines even where power failure would
/// do it.
///
/// # Safety
/// The range is mapped.
pub unsafe fn deep_flush(addr: *const u8, len: usize) {
    // SAFETY: by contract.
    unsafe { Engine::get().deep_flush(addr, len) }
}

/// Makes what was flushed of the range durable by the strongest means that
/// its memory has, piece by piece.
pub fn deep_drain(addr: usize, len: usize) -> Result<(), Error<'static>> {
    let mut rest = addr..addr.saturating_add(len);
    while !rest.is_empty() {
        let first = track::first_in(rest.clone());
        rest.start = match first {
            None => {
                msync(rest.start, rest.len())?;
                rest.end
            }
            Some(t) if t.range.start > rest.start => {
                msync(rest.start, t.range.start - rest.start)?;
                t.range.start
            }
            Some(t) => {
                let end = t.range.end.min(rest.end);
                match t.kind {
                    Kind::File => msync(rest.start, end - rest.start)?,
                    Kind::Device { region } => deep_flush_region(region),
                }
                end
            }
        };
    }
    Ok(())
}

/// Asks the region's controller to write its queues to the medium. That it
/// has nothing to ask for is no error.
fn deep_flush_region(region: Option<u32>) {
    // What was flushed must have reached the controller before it is asked.
    Domain::cpu().drain();
    let Some(n) = region else { return };
    let Some(path) = Path::new(format_args!("/sys/bus/nd/devices/region{n}/deep_flush")) else { return };
    let mut buf = [0; 8];
    if let Ok(file) = Fd::open(path.as_c_str(), libc::O_RDONLY, 0)
        && matches!(file.read(&mut buf), Ok([b'0', ..]))
    {
        return;
    }
    if let Ok(file) = Fd::open(path.as_c_str(), libc::O_WRONLY, 0) {
        // SAFETY: a byte of static memory.
        unsafe { libc::write(file.0, c"1".as_ptr().cast(), 1) };
    }
}

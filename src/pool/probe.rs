//! Finding out whether pages of a file can be read before they are loaded from
//! its mapping, where a bad one is SIGBUS.

use std::cell::RefCell;
use std::ops::Range;

use thiserror::Error;

use super::PAGE;
use super::os::File;
use crate::flush::StrError;

/// A part of a file that cannot be read, as media says or because the file
/// ends: the offset of its first byte, or somewhat before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("pread at offset {offset:#x}: {}", StrError(*errno))]
pub struct Unreadable {
    pub offset: u64,
    pub errno: i32,
}

/// The pages of a pool which is being opened that turned out to be readable.
pub struct Probe<'a> {
    /// Without one, everything is taken for readable.
    file: Option<&'a File>,
    /// A bit per page; as long as was needed so far.
    known: RefCell<Vec<u64>>,
}

impl<'a> Probe<'a> {
    pub fn new(file: Option<&'a File>) -> Probe<'a> {
        Probe { file, known: RefCell::new(Vec::new()) }
    }

    /// Makes sure that a range, within the pool, can be loaded.
    pub fn check(&self, range: Range<u64>) -> Result<(), Unreadable> {
        let Some(file) = self.file else { return Ok(()) };
        let pages = range.start / PAGE..range.end.div_ceil(PAGE);
        let mut known = self.known.borrow_mut();
        let is_known = |page: u64| known.get(page as usize / 64).is_some_and(|w| w >> (page % 64) & 1 != 0);
        if pages.clone().all(is_known) {
            return Ok(());
        }
        file.probe(pages.start * PAGE..pages.end * PAGE)?;
        let words = pages.end.div_ceil(64) as usize;
        let more = words.saturating_sub(known.len());
        if known.try_reserve(more).is_ok() {
            let len = words.max(known.len());
            known.resize(len, 0);
            pages.for_each(|page| known[page as usize / 64] |= 1 << (page % 64));
        } // else they are read again next time
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::*;

    #[test]
    fn what_is_behind_the_end_of_a_file_cannot_be_read() {
        let path = std::env::temp_dir().join(format!("probe.{}", std::process::id()));
        std::fs::write(&path, vec![1; 100 * PAGE as usize]).unwrap();
        let name = CString::new(path.to_str().unwrap()).unwrap();
        let file = File::open(&name, libc::O_RDWR).unwrap();
        let probe = Probe::new(Some(&file));
        let end = 100 * PAGE;
        assert_eq!(probe.check(end - 8..end), Ok(()));
        assert_eq!(probe.check(end - 8..end + 8), Err(Unreadable { offset: end, errno: libc::EIO }));
        assert_eq!(probe.check(end + 8..end + 16), Err(Unreadable { offset: end, errno: libc::EIO }));
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(PAGE).unwrap();
        // What is known is not read again.
        assert_eq!(probe.check(end - PAGE..end), Ok(()));
        assert_eq!(
            probe.check(end - PAGE - 1..end),
            Err(Unreadable { offset: end - 2 * PAGE, errno: libc::EIO })
        );
        assert_eq!(probe.check(0..PAGE), Ok(()));
        assert_eq!(Probe::new(None).check(0..end), Ok(()));
        std::fs::remove_file(&path).unwrap();
    }
}

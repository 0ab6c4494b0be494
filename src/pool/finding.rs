//! What a check of a pool has to tell: one thing on media that is not as the
//! format says, where it is, and what can be done about it.

use std::fmt;

/// What a finding means for who uses the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gravity {
    /// Data, or space, is lost or in danger: the pool is inconsistent.
    Defect,
    /// No writer leaves that behind, but nothing depends on it.
    Remark,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// The pool will not open.
    Restore,
    /// The pool may open, but not all that is in it can be relied on.
    Copy,
    /// Space that nobody can reach any more.
    Leak,
    /// For remarks.
    Nothing,
}

/// One thing found. Texts are put together only if somebody reads them.
#[derive(Clone, Copy)]
pub struct Finding<'a> {
    pub gravity: Gravity,
    /// In PMDK's words, where it has some.
    pub what: &'a str,
    /// The structure, with its number.
    pub place: fmt::Arguments<'a>,
    pub field: &'a str,
    /// Offset of the field in the pool.
    pub at: u64,
    pub found: u64,
    pub expected: fmt::Arguments<'a>,
    pub advice: Advice,
}

impl fmt::Display for Finding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { what, place, field, at, found, expected, advice, .. } = self;
        let advice = match advice {
            Advice::Restore => "restore the pool from a backup",
            Advice::Copy => "copy what is needed to a new pool, or restore the pool from a backup",
            Advice::Leak => {
                "its space is lost, nothing else: a new pool with a copy of the objects has it back"
            }
            Advice::Nothing => "harmless, nothing needs to be done",
        };
        write!(f, "{what}: {place}: {field} at offset {at:#x} is {found:#x}, expected {expected}; {advice}")
    }
}

/// Who is told, and how much was wrong so far.
pub struct Findings<'a> {
    tell: &'a mut dyn FnMut(&Finding),
    pub defects: u64,
}

impl<'a> Findings<'a> {
    pub fn new(tell: &'a mut dyn FnMut(&Finding)) -> Findings<'a> {
        Findings { tell, defects: 0 }
    }

    pub fn tell(&mut self, finding: &Finding) {
        self.defects += (finding.gravity == Gravity::Defect) as u64;
        (self.tell)(finding);
    }
}

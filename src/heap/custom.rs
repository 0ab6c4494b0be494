//! Allocation classes that the program defines (API contract section 8.3,
//! format 5.5).

use super::class::{AddError, HUGE, NO_CLASS};
use super::layout::{ALIGNED, CHUNK, FLEX_BITMAP, HeaderType, MAX_ALLOC, RUN_HEADER, RunGeometry};
use super::run;
use super::zone::SlotState;
use super::{Error, Heap};
use crate::ulog::align_up;

const MAX_ALIGNMENT: u64 = 2 << 20;

/// A class as programs describe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassInfo {
    pub unit: u64,
    /// Of the user's data, 0 for none.
    pub alignment: u64,
    /// Units of a run: at least, and then exactly. 0 for huge blocks.
    pub units: u64,
    pub header: HeaderType,
}

impl Heap {
    /// The class with this id.
    pub fn class_info(&self, id: u8) -> Option<ClassInfo> {
        if id == HUGE {
            return Some(ClassInfo { unit: CHUNK, alignment: 0, units: 0, header: HeaderType::Compact });
        }
        let g = &self.classes.get(id)?.run;
        let (unit, alignment) = (g.unit, g.alignment);
        Some(ClassInfo { unit, alignment, units: g.units as u64, header: g.header() })
    }

    /// Defines a class: its id and the units of its runs.
    pub fn add_class(&self, id: Option<u8>, c: &ClassInfo) -> Result<(u8, u64), Error> {
        if c.unit == 0 || c.unit > MAX_ALLOC || c.units == 0 {
            return Err(Error::Class("unit size and units per block must be larger than 0"));
        }
        if c.alignment != 0 && !c.unit.is_multiple_of(c.alignment) {
            return Err(Error::Class("unit size must be evenly divisible by alignment"));
        }
        if c.alignment > MAX_ALIGNMENT {
            return Err(Error::Class("alignment cannot be larger than 2 megabytes"));
        }
        let run = geometry(c).ok_or(Error::Class("unable to register allocation class"))?;
        let id = self.classes.add(id, run).map_err(|e| match e {
            AddError::Taken => Error::ClassTaken,
            AddError::NoId => Error::Class("no available free allocation class identifier"),
            AddError::Same => Error::Class("unable to register allocation class"),
        })?;
        self.adopt_runs(id, &run);
        Ok((id, run.units as u64))
    }

    /// Runs of an earlier process become usable again when their class is
    /// defined after their zone was scanned.
    fn adopt_runs(&self, id: u8, g: &RunGeometry) {
        for zone in self.zones.iter().filter(|z| z.is_ready()) {
            for c in 0..zone.chunks {
                let Some(slot) = zone.slot(c).filter(|s| s.state() == SlotState::Full) else { continue };
                slot.lock.with(|| {
                    let unknown = slot.state() == SlotState::Full && slot.class() == NO_CLASS;
                    let h = zone.header(&self.region, c);
                    if unknown && run::read_geometry(&self.region, zone, c, h).as_ref() == Some(g) {
                        slot.set_class(id);
                        self.list_scanned(zone, c, slot);
                    }
                });
            }
        }
    }
}

/// The smallest run that holds the units, which then holds as many as fit.
fn geometry(c: &ClassInfo) -> Option<RunGeometry> {
    let bytes = c.unit.checked_mul(c.units)?.checked_add(RUN_HEADER)?;
    let chunks = align_up(bytes, CHUNK).checked_add(c.alignment)? / CHUNK;
    let aligned = if c.alignment != 0 { ALIGNED } else { 0 };
    let chunks = u32::try_from(chunks).ok().filter(|&n| n as u64 <= super::layout::MAX_CHUNKS)?;
    RunGeometry::new(c.unit, c.alignment, chunks, c.header.flags() | FLEX_BITMAP | aligned)
}

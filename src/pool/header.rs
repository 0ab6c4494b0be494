//! The pool header, the first page of the file (format 1.1 to 1.7).

use super::checksum::Sum;
use super::error::{Link, Text};
use super::uuid::Uuid;
use super::{Error, PAGE, Region, sds};

pub const SIGNATURE: &[u8; 8] = b"PMEMOBJ\0";
pub const MAJOR: u32 = 6;

/// compat: look for bad blocks before mapping.
pub const CHECK_BAD_BLOCKS: u32 = 1;
/// incompat bits.
pub const SINGLEHDR: u32 = 1;
pub const CKSUM_2K: u32 = 2;
pub const SDS: u32 = 4;

const ARCH_AT: usize = 0x80;
const CHECKSUM_AT: usize = 0xff8;
/// x86-64: alignments of C types, 64-bit, little endian, machine 62.
const ARCH: [u8; 16] = [0x10, 0x73, 0x77, 0x37, 0xf7, 0x07, 0, 0, 2, 1, 0, 0, 0, 0, 62, 0];

/// What the rest of the room needs of a sound header.
pub struct Identity {
    pub compat: u32,
    pub incompat: u32,
    pub set_uuid: Uuid,
}

/// Checks the header of a pool.
#[inline(never)] // a page on the stack
pub fn identify(region: &Region) -> Result<Identity, Error> {
    let h = Header::read(region);
    h.validate()?;
    Ok(Identity { compat: h.u32(0xc), incompat: h.incompat(), set_uuid: h.uuid(0x18) })
}

/// A copy of the header page.
pub struct Header {
    bytes: [u8; PAGE as usize],
}

impl Header {
    /// The header of a new single-file pool, without its checksum.
    pub fn new(set: &Uuid, file: &Uuid, crtime: u64, sds_enabled: bool) -> Header {
        let mut h = Header { bytes: [0; PAGE as usize] };
        h.put(0, SIGNATURE);
        h.put(8, &MAJOR.to_le_bytes());
        h.put(0xc, &CHECK_BAD_BLOCKS.to_le_bytes());
        let incompat = CKSUM_2K | if sds_enabled { SDS } else { 0 };
        h.put(0x10, &incompat.to_le_bytes());
        h.put(0x18, set);
        for at in (0x28..0x78).step_by(16) {
            h.put(at, file);
        }
        h.put(0x78, &crtime.to_le_bytes());
        h.put(ARCH_AT, &ARCH);
        if sds_enabled {
            for (i, w) in sds::initial().iter().enumerate() {
                h.put(sds::OFFSET as usize + 8 * i, &w.to_le_bytes());
            }
        }
        let sum = if defect!(HeaderSumMissing) { 0 } else { h.checksum() };
        h.put(CHECKSUM_AT, &sum.to_le_bytes());
        h
    }

    fn read(region: &Region) -> Header {
        let mut h = Header { bytes: [0; PAGE as usize] };
        // SAFETY: the pool was just mapped and its file is locked.
        h.bytes.copy_from_slice(unsafe { region.bytes(0, PAGE) });
        h
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn put(&mut self, at: usize, b: &[u8]) {
        self.bytes[at..at + b.len()].copy_from_slice(b);
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes([0, 1, 2, 3].map(|i| self.bytes[at + i]))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| self.bytes[at + i]))
    }

    fn uuid(&self, at: usize) -> Uuid {
        let mut u = [0; 16];
        u.copy_from_slice(&self.bytes[at..at + 16]);
        u
    }

    fn incompat(&self) -> u32 {
        self.u32(0x10)
    }

    /// The sum over what the header's own features say it covers.
    fn checksum(&self) -> u64 {
        let covered = if self.incompat() & CKSUM_2K != 0 { 0x800 } else { CHECKSUM_AT };
        let mut sum = Sum::default();
        sum.add(&self.bytes[..covered]);
        // What is skipped counts as zeros.
        (covered..PAGE as usize).step_by(4).for_each(|_| sum.add_word(0));
        sum.value()
    }

    /// A link that is not the file's own uuid.
    fn link(&self, field: &'static str, at: usize) -> Option<Link> {
        let (found, expected) = (self.uuid(at), self.uuid(0x28));
        (found != expected).then_some(Link { field, at, found, expected })
    }

    /// Checks 6 to 16 of format 1.10, in PMDK's order.
    pub fn validate(&self) -> Result<(), Error> {
        let major = self.u32(8);
        if major == 0 {
            return Err(Error::NoMajor);
        }
        if self.bytes[..8] != *SIGNATURE {
            return Err(Error::Type(Text::new(&self.bytes[..8])));
        }
        match major {
            MAJOR => {}
            0..MAJOR => return Err(Error::OldMajor(major)),
            _ => return Err(Error::NewMajor(major)),
        }
        let unknown = self.incompat() & !(SINGLEHDR | CKSUM_2K | SDS);
        if unknown != 0 {
            return Err(Error::Incompat(unknown));
        }
        let (found, expected) = (self.u64(CHECKSUM_AT), self.checksum());
        if found != expected {
            return Err(Error::HeaderChecksum { found, expected });
        }
        for (i, half) in ARCH.as_chunks::<8>().0.iter().enumerate() {
            let at = ARCH_AT + 8 * i;
            let (found, expected) = (self.u64(at), u64::from_le_bytes(*half));
            if found != expected {
                return Err(Error::Arch { at, found, expected });
            }
        }
        self.link("prev_part_uuid", 0x38).map_or(Ok(()), |l| Err(Error::PartUuid(l)))?;
        self.link("next_part_uuid", 0x48).map_or(Ok(()), |l| Err(Error::PartUuid(l)))?;
        if self.incompat() & SINGLEHDR != 0 {
            return Err(Error::SingleHeader(self.incompat()));
        }
        self.link("prev_repl_uuid", 0x58).map_or(Ok(()), |l| Err(Error::ReplicaUuid(l)))?;
        self.link("next_repl_uuid", 0x68).map_or(Ok(()), |l| Err(Error::ReplicaUuid(l)))?;
        let ro_compat = self.u32(0x14);
        if ro_compat != 0 {
            return Err(Error::ReadOnly(ro_compat));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden values of format A.1.
    #[test]
    fn checksums_by_features() {
        let set =
            [0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
        let file =
            [0x3c, 0x2d, 0x1e, 0x0f, 0x5a, 0x4b, 0x78, 0x69, 0x87, 0x96, 0xa5, 0xb4, 0xc3, 0xd2, 0xe1, 0xf0];
        let mut h = Header::new(&set, &file, 0x5f5e_1000, true);
        assert_eq!(h.u64(CHECKSUM_AT), 0xC8DF_B649_9D5A_62F1);
        h.validate().unwrap();
        for (compat, incompat, want) in [
            (0u32, 2u32, 0xC8DF_A25C_9D5A_62ECu64),
            (1, 2, 0xC8DF_A659_9D5A_62ED),
            (0, 0, 0xC8DF_9A64_9D5A_62EA),
        ] {
            h.put(0xc, &compat.to_le_bytes());
            h.put(0x10, &incompat.to_le_bytes());
            h.put(sds::OFFSET as usize, &[0; 64]);
            assert_eq!(h.checksum(), want, "{compat} {incompat}");
        }
    }
}

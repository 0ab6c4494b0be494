//! UUIDs of pools and files (format 1.2, 1.5).

use super::Error;

pub type Uuid = [u8; 16];

/// A random (version 4) UUID in the byte order of the format.
pub fn random() -> Result<Uuid, Error> {
    let mut u = [0u8; 16];
    // SAFETY: the buffer is 16 bytes long.
    if unsafe { libc::getrandom(u.as_mut_ptr().cast(), u.len(), 0) } != 16 {
        return Err(Error::os("getrandom"));
    }
    u[7] = u[7] & 0x0f | 0x40; // version: high byte of the little-endian third field
    u[8] = u[8] & 0x3f | 0x80; // variant
    Ok(u)
}

/// The pool's part of its object ids: the two halves of the UUID xored.
pub fn lo(u: &Uuid) -> u64 {
    (0..8).fold(0, |acc, i| acc << 8 | (u[i] ^ u[8 + i]) as u64)
}

#[cfg(test)]
mod tests {
    #[test]
    fn lo_of_the_example() {
        let u =
            [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
        assert_eq!(super::lo(&u), 0xBBBB_BBBB_9999_9999);
    }
}

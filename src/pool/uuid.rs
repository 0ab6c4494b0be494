//! UUIDs of pools and files (format 1.2, 1.5).

use super::Error;

pub type Uuid = [u8; 16];

/// A random (version 4) UUID in the byte order of the format.
pub fn random() -> Result<Uuid, Error> {
    let mut u: Uuid = random_bytes()?;
    u[7] = u[7] & 0x0f | 0x40; // version: high byte of the little-endian third field
    u[8] = u[8] & 0x3f | 0x80; // variant
    Ok(u)
}

pub fn random_word() -> Result<u64, Error> {
    random_bytes().map(u64::from_ne_bytes)
}

fn random_bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0u8; N];
    // SAFETY: the buffer is N bytes long.
    if unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), N, 0) } != N as isize {
        return Err(Error::os("getrandom"));
    }
    Ok(bytes)
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

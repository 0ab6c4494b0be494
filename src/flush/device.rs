//! Files, directories and Device DAX: what a path leads to.

use std::ffi::CStr;

use super::Error;
use super::errno::errno;
use super::sysfs::{self, Path};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// A regular file or a directory, or nothing yet.
    Normal,
    Device(DeviceDax),
}

/// A DAX character device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceDax {
    major: u32,
    minor: u32,
}

impl FileType {
    /// What `path` is. Only files, directories and Device DAX are accepted.
    pub fn of(path: &CStr) -> Result<FileType, Error<'_>> {
        // SAFETY: a C string; F_OK only looks.
        if unsafe { libc::access(path.as_ptr(), libc::F_OK) } != 0 {
            return match errno() {
                libc::ENOENT => Ok(FileType::Normal),
                errno => Err(Error::Access { path, errno }),
            };
        }
        // SAFETY: all zero bytes are a valid stat.
        let mut st: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: a C string and a stat to fill.
        if unsafe { libc::stat(path.as_ptr(), &mut st) } != 0 {
            return Err(Error::Path { call: "stat", path, errno: errno() });
        }
        match st.st_mode & libc::S_IFMT {
            libc::S_IFREG | libc::S_IFDIR => Ok(FileType::Normal),
            libc::S_IFCHR => {
                DeviceDax::new(libc::major(st.st_rdev), libc::minor(st.st_rdev)).map(FileType::Device)
            }
            other => Err(Error::FileType(other)),
        }
    }
}

impl DeviceDax {
    /// The device, if it belongs to the dax subsystem.
    fn new(major: u32, minor: u32) -> Result<DeviceDax, Error<'static>> {
        let device = DeviceDax { major, minor };
        let link = device.attribute("/subsystem");
        let mut buf = [0; libc::PATH_MAX as usize];
        let target =
            resolve(link.as_c_str(), &mut buf).map_err(|errno| Error::Subsystem { major, minor, errno })?;
        if target.to_bytes().rsplit(|&b| b == b'/').next() == Some(b"dax") {
            Ok(device)
        } else {
            Err(Error::NotDax)
        }
    }

    fn attribute(&self, name: &str) -> Path {
        let text = format_args!("/sys/dev/char/{}:{}{name}", self.major, self.minor);
        Path::new(text).unwrap_or_default()
    }

    pub fn size(&self) -> Result<usize, Error<'static>> {
        let size = sysfs::read_number(self.attribute("/size").as_c_str());
        size.and_then(|n| usize::try_from(n).ok()).filter(|&n| n != 0).ok_or(Error::DeviceSize)
    }

    /// The alignment that mappings of the device need.
    pub fn align(&self) -> usize {
        let read = |name| sysfs::read_number(self.attribute(name).as_c_str());
        let align = read("/align").or_else(|| read("/device/align")).unwrap_or(1) as usize;
        if align.is_power_of_two() { align } else { 1 }
    }

    /// The number of the NVDIMM region that the device is a part of.
    pub fn region(&self) -> Option<u32> {
        let mut buf = [0; libc::PATH_MAX as usize];
        let path = resolve(self.attribute("").as_c_str(), &mut buf).ok()?;
        region_in(path.to_bytes())
    }
}

/// The number of the `region<N>` in a path of sysfs.
fn region_in(path: &[u8]) -> Option<u32> {
    let number = path.split(|&b| b == b'/').find_map(|name| name.strip_prefix(b"region"))?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// realpath into `buf`, or errno.
fn resolve<'b>(path: &CStr, buf: &'b mut [u8; libc::PATH_MAX as usize]) -> Result<&'b CStr, i32> {
    // SAFETY: a C string, and room for any result.
    if unsafe { libc::realpath(path.as_ptr(), buf.as_mut_ptr().cast()) }.is_null() {
        return Err(errno());
    }
    CStr::from_bytes_until_nul(buf).map_err(|_| libc::ENAMETOOLONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "asks the system for devices")]
    fn kinds() {
        assert_eq!(FileType::of(c"/tmp"), Ok(FileType::Normal));
        assert_eq!(FileType::of(c"/nowhere"), Ok(FileType::Normal));
        assert_eq!(FileType::of(c"/dev/null"), Err(Error::NotDax));
        let e = FileType::of(c"/dev/null/x").unwrap_err();
        assert_eq!(
            (e.errno(), e.to_string().as_str()),
            (libc::ENOTDIR, "os_access \"/dev/null/x\": Not a directory")
        );
        let e = DeviceDax::new(4000, 7).unwrap_err();
        let text = "realpath \"/sys/dev/char/4000:7/subsystem\": No such file or directory";
        assert_eq!((e.errno(), e.to_string().as_str()), (libc::ENOENT, text));
        assert_eq!(Error::FileType(libc::S_IFIFO).to_string(), "file type 010000 not supported");
    }

    #[test]
    #[cfg_attr(miri, ignore = "asks the system for devices")]
    fn regions() {
        let path = b"/sys/devices/LNXSYSTM:00/ndbus0/region12/dax12.0/dax/dax12.0";
        assert_eq!(region_in(path), Some(12));
        assert_eq!(region_in(b"/sys/devices/platform/hmem.0/dax0.0"), None);
    }
}

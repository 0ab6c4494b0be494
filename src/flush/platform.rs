//! Whether the platform flushes the CPU caches itself when power fails
//! (libpmem contract section 12).

use std::ffi::CStr;

use super::Error;
use super::errno::Lossy;
use super::sysfs::{Dir, Fd, Path};

const BUS: &CStr = c"/sys/bus/nd/devices";

/// Whether all regions of persistent memory have their caches in the
/// power-fail domain. Asks sysfs on every call.
pub fn has_auto_flush() -> Result<bool, Error<'static>> {
    on_bus(BUS)
}

fn on_bus(bus: &CStr) -> Result<bool, Error<'static>> {
    let mut dir = match Dir::open(bus) {
        Ok(dir) => dir,
        Err(libc::ENOENT | libc::ENOTDIR) => return Ok(false),
        Err(errno) => return Err(Error::Os { call: "opendir", errno }),
    };
    let mut all = false;
    while let Some((name, kind)) = dir.next() {
        if kind != libc::DT_LNK || !name.to_bytes().windows(6).any(|w| w == b"region") {
            continue;
        }
        let (bus, name) = (Lossy(bus.to_bytes()), Lossy(name.to_bytes()));
        let Some(path) = Path::new(format_args!("{bus}/{name}/persistence_domain")) else { return Ok(false) };
        all = region(path.as_c_str())?;
        if !all {
            break;
        }
    }
    Ok(all)
}

/// Whether the region's `persistence_domain` says so.
fn region(path: &CStr) -> Result<bool, Error<'static>> {
    let Ok(file) = Fd::open(path, libc::O_RDONLY, 0) else { return Ok(false) };
    let mut buf = [0; 64];
    match file.read(&mut buf) {
        Err(errno) => Err(Error::Os { call: "read(persistence_domain)", errno }),
        Ok(b"") => Err(Error::Os { call: "read(persistence_domain): empty", errno: libc::EIO }),
        Ok([text @ .., b'\n']) => Ok(text == b"cpu_cache"),
        Ok(_) => Err(Error::Os { call: "read(persistence_domain): no newline", errno: libc::EIO }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::fs;

    /// A bus of regions with these persistence domains.
    fn bus(name: &str, regions: &[Option<&str>]) -> CString {
        let root = std::env::temp_dir().join(format!("pmem-rs-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("bus")).unwrap();
        for (i, text) in regions.iter().enumerate() {
            let target = root.join(format!("r{i}"));
            fs::create_dir(&target).unwrap();
            if let Some(text) = text {
                fs::write(target.join("persistence_domain"), text).unwrap();
            }
            std::os::unix::fs::symlink(target, root.join(format!("bus/region{i}"))).unwrap();
        }
        CString::new(root.join("bus").to_str().unwrap()).unwrap()
    }

    #[test]
    #[cfg_attr(miri, ignore = "links in a directory")]
    fn all_regions_decide() {
        let ask = |name, r: &[Option<&str>]| on_bus(&bus(name, r)).map_err(|e| e.errno());
        assert_eq!(on_bus(c"/nowhere"), Ok(false));
        assert_eq!(ask("none", &[]), Ok(false));
        assert_eq!(ask("one", &[Some("cpu_cache\n")]), Ok(true));
        assert_eq!(ask("two", &[Some("cpu_cache\n"), Some("cpu_cache\n")]), Ok(true));
        assert_eq!(ask("mixed", &[Some("memory_controller\n"), Some("memory_controller\n")]), Ok(false));
        assert_eq!(ask("missing", &[None]), Ok(false));
        assert_eq!(ask("empty", &[Some("")]), Err(libc::EIO));
        assert_eq!(ask("text", &[Some("cpu_cache")]), Err(libc::EIO));
    }

    #[test]
    fn what_is_no_link_is_no_region() {
        let b = bus("file", &[]);
        fs::create_dir(format!("{}/region0", b.to_str().unwrap())).unwrap();
        fs::write(format!("{}/region0/persistence_domain", b.to_str().unwrap()), "cpu_cache\n").unwrap();
        assert_eq!(on_bus(&b), Ok(false));
    }
}

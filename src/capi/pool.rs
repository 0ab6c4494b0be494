//! `libpmemobj/pool_base.h`.

use std::ffi::{CStr, c_char, c_int, c_void};

use super::base::PMEMobjpool;
use super::logger::Level;
use super::{Lossy, errmsg, fail, fail_file, oid_or_null, set_errno};
use crate::obj::{Oid, Pool};
use crate::pool::finding::Gravity;

/// Smallest pool, in bytes.
pub const PMEMOBJ_MIN_POOL: usize = (8 as usize) << 20;
/// Smallest part of a pool set, in bytes.
pub const PMEMOBJ_MIN_PART: usize = (2 as usize) << 20;

/// A C string; NULL is EINVAL with PMDK's message.
unsafe fn path_arg<'a>(path: *const c_char) -> Option<&'a CStr> {
    if path.is_null() {
        fail(libc::EINVAL, format_args!("invalid (NULL) path"));
        return None;
    }
    // SAFETY: the C contract.
    Some(unsafe { CStr::from_ptr(path) })
}

/// The bytes of a C string; `None` for NULL.
unsafe fn bytes_arg<'a>(s: *const c_char) -> Option<&'a [u8]> {
    // SAFETY: the C contract.
    (!s.is_null()).then(|| unsafe { CStr::from_ptr(s) }.to_bytes())
}

/// Creates a pool; poolsize in bytes, 0 if the file exists with its size. NULL with errno on failure.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_create(
    path: *const c_char,
    layout: *const c_char,
    poolsize: usize,
    mode: libc::mode_t,
) -> *mut PMEMobjpool {
    if path.is_null() {
        fail(libc::EFAULT, format_args!("os_access \"\": {}", super::StrError(libc::EFAULT)));
        return std::ptr::null_mut();
    }
    // SAFETY: the C contract; not NULL.
    let (path, layout) = unsafe { (CStr::from_ptr(path), bytes_arg(layout).unwrap_or(b"")) };
    match Pool::create(path, layout, poolsize as u64, mode) {
        Ok(pool) => opened(pool),
        Err(e) => {
            fail_file(path, &e);
            std::ptr::null_mut()
        }
    }
}

/// Opens a pool, whatever its layout if that is NULL. NULL with errno on failure.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_open(path: *const c_char, layout: *const c_char) -> *mut PMEMobjpool {
    // SAFETY: the C contract.
    let (path, layout) = unsafe { (path_arg(path), bytes_arg(layout)) };
    let Some(path) = path else { return std::ptr::null_mut() };
    match Pool::open(path, layout) {
        Ok(pool) => opened(pool),
        Err(e) => {
            fail_file(path, &e);
            std::ptr::null_mut()
        }
    }
}

/// As PMDK, without an errno left over: programs print it for failures of their own.
fn opened(pool: &Pool) -> *mut c_void {
    set_errno(0);
    pool.handle()
}

unsafe extern "C" {
    /// Counts closes; programs' inline code compares it (API contract 1).
    static mut _pobj_cache_invalidate: c_int;
}

/// Closes a pool.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_close(pop: *mut PMEMobjpool) {
    // SAFETY: the C contract.
    let Some(pool) = (unsafe { Pool::from_handle(pop) }) else { return };
    let (saved, uuid_lo) = (std::io::Error::last_os_error().raw_os_error().unwrap_or(0), pool.uuid_lo());
    pool.unregister();
    // SAFETY: the counter is the library's, changed atomically; the cache is
    // the calling thread's.
    unsafe {
        std::sync::atomic::AtomicI32::from_ptr(&raw mut _pobj_cache_invalidate)
            .fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let cache = super::base::cached_pool();
        if (*cache).uuid_lo == uuid_lo {
            (*cache).pop = std::ptr::null_mut();
            (*cache).uuid_lo = 0;
        }
        Pool::close(pool);
    }
    super::set_errno(saved);
}

/// 1 if the pool is consistent, 0 if it is not, -1 if it cannot be checked.
///
/// The error message has the first defects, a line for each; the log has all,
/// and at level NOTICE what is odd but does no harm.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_check(path: *const c_char, layout: *const c_char) -> c_int {
    // SAFETY: the C contract.
    let (path, layout) = unsafe { (path_arg(path), bytes_arg(layout)) };
    let Some(path) = path else { return -1 };
    let mut first = true;
    let checked = Pool::check(path, layout, &mut |finding| match finding.gravity {
        Gravity::Defect if first => {
            first = false;
            errmsg::set(format_args!("{finding} (file \"{}\")", Lossy(path.to_bytes())));
        }
        Gravity::Defect => errmsg::add(format_args!("{finding}")),
        Gravity::Remark => errmsg::log(Level::Notice, format_args!("{finding}")),
    });
    match checked {
        Ok(true) => {
            set_errno(0);
            1
        }
        Ok(false) => {
            set_errno(libc::EINVAL);
            0
        }
        Err(e) => {
            fail_file(path, &e);
            -1
        }
    }
}

/// The root object, allocated or grown to size as needed; OID_NULL with errno on failure.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_root(pop: *mut PMEMobjpool, size: usize) -> Oid {
    // SAFETY: the C contract.
    unsafe { pmemobj_root_construct(pop, size, None, std::ptr::null_mut()) }
}

/// pmemobj_root with a constructor for what is new.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_root_construct(
    pop: *mut PMEMobjpool,
    size: usize,
    constructor: super::atomic::CConstructor,
    arg: *mut c_void,
) -> Oid {
    // SAFETY: the C contract.
    let Some(pool) = (unsafe { Pool::from_handle(pop) }) else {
        fail(libc::EINVAL, format_args!("invalid (NULL) pool"));
        return Oid::NULL;
    };
    // SAFETY: the C contract.
    oid_or_null(unsafe {
        super::atomic::with_constructor(pop, constructor, arg, |c| pool.root(size as u64, c))
    })
}

/// The size of the root object in bytes; 0 if there is none.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_root_size(pop: *mut PMEMobjpool) -> usize {
    // SAFETY: the C contract.
    unsafe { Pool::from_handle(pop) }.map_or(0, |pool| pool.root_size() as usize)
}

/// Keeps a volatile pointer with an open pool.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_set_user_data(pop: *mut PMEMobjpool, data: *mut c_void) {
    // SAFETY: the C contract.
    if let Some(pool) = unsafe { Pool::from_handle(pop) } {
        pool.set_user_data(data);
    }
}

/// The pointer kept with an open pool; NULL at first.
///
/// # Safety
/// The C contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pmemobj_get_user_data(pop: *mut PMEMobjpool) -> *mut c_void {
    // SAFETY: the C contract.
    unsafe { Pool::from_handle(pop) }.map_or(std::ptr::null_mut(), Pool::user_data)
}

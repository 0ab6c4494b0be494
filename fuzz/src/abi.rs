//! What the targets use of the C ABI, as a C program sees it.

use std::ffi::{c_char, c_int, c_void};

use pmem_rs as _;

pub type Pop = *mut c_void;

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oid {
    pub pool_uuid_lo: u64,
    pub off: u64,
}

pub const NULL: Oid = Oid { pool_uuid_lo: 0, off: 0 };

impl Oid {
    pub fn is_null(&self) -> bool {
        self.off == 0
    }
}

/// `struct pobj_action`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Action(pub [u64; 16]);

/// `struct pobj_alloc_class_desc`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ClassDesc {
    pub unit_size: usize,
    pub alignment: usize,
    pub units_per_block: u32,
    pub header_type: u32,
    pub class_id: u32,
}

/// `struct pobj_defrag_result`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct DefragResult {
    pub total: usize,
    pub relocated: usize,
}

pub type Constructor = Option<unsafe extern "C" fn(Pop, *mut c_void, *mut c_void) -> c_int>;

pub const ZERO: u64 = 1;
pub const WORK: c_int = 1;
/// `POBJ_XALLOC_NO_ABORT` and its siblings.
pub const NO_ABORT: u64 = 1 << 4;

pub fn class(id: u64) -> u64 {
    id << 48
}

unsafe extern "C" {
    pub fn pmemobj_open(path: *const c_char, layout: *const c_char) -> Pop;
    pub fn pmemobj_close(pop: Pop);
    pub fn pmemobj_check(path: *const c_char, layout: *const c_char) -> c_int;
    pub fn pmemobj_errormsg() -> *const c_char;
    pub fn pmemobj_root(pop: Pop, size: usize) -> Oid;
    pub fn pmemobj_root_size(pop: Pop) -> usize;
    pub fn pmemobj_first(pop: Pop) -> Oid;
    pub fn pmemobj_next(oid: Oid) -> Oid;
    pub fn pmemobj_type_num(oid: Oid) -> u64;
    pub fn pmemobj_alloc_usable_size(oid: Oid) -> usize;
    pub fn pmemobj_direct(oid: Oid) -> *mut c_void;
    pub fn pmemobj_oid(addr: *const c_void) -> Oid;
    pub fn pmemobj_pool_by_oid(oid: Oid) -> Pop;
    pub fn pmemobj_persist(pop: Pop, addr: *const c_void, len: usize);
    pub fn pmemobj_memset_persist(pop: Pop, addr: *mut c_void, byte: c_int, len: usize) -> *mut c_void;
    pub fn pmemobj_xalloc(
        pop: Pop,
        oid: *mut Oid,
        size: usize,
        type_num: u64,
        flags: u64,
        constructor: Constructor,
        arg: *mut c_void,
    ) -> c_int;
    pub fn pmemobj_realloc(pop: Pop, oid: *mut Oid, size: usize, type_num: u64) -> c_int;
    pub fn pmemobj_zrealloc(pop: Pop, oid: *mut Oid, size: usize, type_num: u64) -> c_int;
    pub fn pmemobj_free(oid: *mut Oid);
    pub fn pmemobj_defrag(pop: Pop, oids: *mut *mut Oid, n: usize, result: *mut DefragResult) -> c_int;
    pub fn pmemobj_xreserve(pop: Pop, act: *mut Action, size: usize, type_num: u64, flags: u64) -> Oid;
    pub fn pmemobj_set_value(pop: Pop, act: *mut Action, ptr: *mut u64, value: u64);
    pub fn pmemobj_defer_free(pop: Pop, oid: Oid, act: *mut Action);
    pub fn pmemobj_publish(pop: Pop, actions: *mut Action, n: usize) -> c_int;
    pub fn pmemobj_cancel(pop: Pop, actions: *mut Action, n: usize);
    pub fn pmemobj_list_insert(
        pop: Pop,
        entry: usize,
        head: *mut c_void,
        dest: Oid,
        before: c_int,
        oid: Oid,
    ) -> c_int;
    pub fn pmemobj_list_insert_new(
        pop: Pop,
        entry: usize,
        head: *mut c_void,
        dest: Oid,
        before: c_int,
        size: usize,
        type_num: u64,
        constructor: Constructor,
        arg: *mut c_void,
    ) -> Oid;
    pub fn pmemobj_list_remove(pop: Pop, entry: usize, head: *mut c_void, oid: Oid, free: c_int) -> c_int;
    pub fn pmemobj_list_move(
        pop: Pop,
        from_entry: usize,
        from: *mut c_void,
        to_entry: usize,
        to: *mut c_void,
        dest: Oid,
        before: c_int,
        oid: Oid,
    ) -> c_int;
    pub fn pmemobj_ctl_get(pop: Pop, name: *const c_char, arg: *mut c_void) -> c_int;
    pub fn pmemobj_ctl_set(pop: Pop, name: *const c_char, arg: *mut c_void) -> c_int;
    pub fn pmemobj_ctl_exec(pop: Pop, name: *const c_char, arg: *mut c_void) -> c_int;
    pub fn pmemobj_tx_begin(pop: Pop, env: *mut c_void, ...) -> c_int;
    pub fn pmemobj_tx_stage() -> c_int;
    pub fn pmemobj_tx_commit();
    pub fn pmemobj_tx_abort(error: c_int);
    pub fn pmemobj_tx_end() -> c_int;
    pub fn pmemobj_tx_xadd_range(oid: Oid, off: u64, size: usize, flags: u64) -> c_int;
    pub fn pmemobj_tx_xadd_range_direct(ptr: *const c_void, size: usize, flags: u64) -> c_int;
    pub fn pmemobj_tx_xalloc(size: usize, type_num: u64, flags: u64) -> Oid;
    pub fn pmemobj_tx_realloc(oid: Oid, size: usize, type_num: u64) -> Oid;
    pub fn pmemobj_tx_zrealloc(oid: Oid, size: usize, type_num: u64) -> Oid;
    pub fn pmemobj_tx_xfree(oid: Oid, flags: u64) -> c_int;
    pub fn pmemobj_tx_publish(actions: *mut Action, n: usize) -> c_int;
    pub fn pmemobj_tx_xlog_append_buffer(kind: c_int, addr: *mut c_void, size: usize, flags: u64) -> c_int;
}

pub fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

pub fn set_errno(errno: i32) {
    // SAFETY: the thread's own.
    unsafe { *libc::__errno_location() = errno };
}

/// The last error's message.
pub fn message() -> String {
    // SAFETY: a C string that lives as long as the thread.
    unsafe { std::ffi::CStr::from_ptr(pmemobj_errormsg()) }.to_string_lossy().into_owned()
}

/// The transaction is still at work: anything else may not be called.
pub fn working() -> bool {
    // SAFETY: a plain query.
    unsafe { pmemobj_tx_stage() == WORK }
}

/// Whether pools are opened so that nothing reaches their files.
pub fn copy_on_write(on: bool) {
    let (name, mut value) = (c"copy_on_write.at_open", on as c_int);
    // SAFETY: an int, as the entry wants it.
    let r = unsafe { pmemobj_ctl_set(std::ptr::null_mut(), name.as_ptr(), (&raw mut value).cast()) };
    assert_eq!(r, 0);
}

/// Begins a transaction; true if it is at work.
pub fn begin(pop: Pop) -> bool {
    // SAFETY: an open pool, no environment, no parameters.
    unsafe { pmemobj_tx_begin(pop, std::ptr::null_mut(), 0 as c_int) };
    working()
}

/// Ends the current level: commits it, or aborts it, unless it is aborted already.
pub fn end(commit: bool) -> c_int {
    // SAFETY: a transaction is open.
    unsafe {
        if working() {
            if commit { pmemobj_tx_commit() } else { pmemobj_tx_abort(0) }
        }
        pmemobj_tx_end()
    }
}

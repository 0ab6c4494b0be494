//! `ctl`: names and arguments, configuration strings and files, integers.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_int, c_void};
use std::ptr::{null, null_mut};

use super::abi::{self, *};
use super::bytes::Bytes;
use super::image::{self, Sparse};
use super::pool::create;

const MAX_STEPS: usize = 24;
/// Room for a configuration string in the environment.
const MAX_TEXT: usize = 1024;
/// As large as the largest argument.
const ARGUMENT: usize = size_of::<ClassDesc>();
/// Classes of a pool whose program defined none: 0 to this one.
const LAST_CLASS: i64 = 53;

const WORDS: &[&str] = &[
    "heap",
    "arena",
    "arenas_assignment_type",
    "arenas_default_max",
    "alloc_class",
    "narenas",
    "thread",
    "arena_id",
    "automatic",
    "total",
    "max",
    "size",
    "granularity",
    "extend",
    "create",
    "new",
    "desc",
    "tx",
    "cache",
    "threshold",
    "debug",
    "skip_expensive_checks",
    "verify_user_buffers",
    "post_commit",
    "queue_depth",
    "worker",
    "stop",
    "stats",
    "enabled",
    "curr_allocated",
    "run_allocated",
    "run_active",
    "alloc_pattern",
    "prefault",
    "at_create",
    "at_open",
    "sds",
    "fallocate",
    "copy_on_write",
    "0",
    "1",
    "53",
    "254",
    "255",
    "-1",
    "0x10",
    "010",
    "18446744073709551615",
];

/// Settings of the process: what one input did is undone for the next.
const GLOBALS: &[(&CStr, c_int)] = &[
    (c"prefault.at_create", 0),
    (c"prefault.at_open", 0),
    (c"sds.at_create", 1),
    (c"fallocate.at_create", 1),
    (c"copy_on_write.at_open", 1),
    (c"heap.arenas_assignment_type", 0),
    (c"heap.arenas_default_max", 2),
];

struct World {
    /// The file of the pool, and what it was.
    pool: Sparse,
    /// `PMEMOBJ_CONF=...` in the environment, which is changed in place:
    /// setenv would keep every text for ever.
    conf: Variable,
    conf_file: Variable,
    file: image::MemFile,
}

/// A variable of the environment in memory of its own.
struct Variable {
    name: &'static CStr,
    text: Vec<u8>,
}

impl Variable {
    fn new(name: &'static CStr) -> Variable {
        Variable { name, text: vec![0; name.count_bytes() + MAX_TEXT + 2] }
    }

    /// Up to the first NUL.
    fn set(&mut self, value: &[u8]) {
        let (name, value) = (self.name.to_bytes(), &value[..value.len().min(MAX_TEXT)]);
        self.text.fill(0);
        self.text[..name.len()].copy_from_slice(name);
        self.text[name.len()] = b'=';
        self.text[name.len() + 1..][..value.len()].copy_from_slice(value);
        // SAFETY: lives until `unset`; the targets run on one thread.
        assert_eq!(unsafe { libc::putenv(self.text.as_mut_ptr().cast()) }, 0);
    }

    fn unset(&self) {
        // SAFETY: a C string.
        unsafe { libc::unsetenv(self.name.as_ptr()) };
    }
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new({
        image::guard();
        abi::copy_on_write(false);
        let (file, pop) = create();
        // SAFETY: open, and used by nobody.
        unsafe { pmemobj_close(pop) };
        World {
            pool: Sparse::new(file),
            conf: Variable::new(c"PMEMOBJ_CONF"),
            conf_file: Variable::new(c"PMEMOBJ_CONF_FILE"),
            file: image::MemFile::new(0),
        }
    });
}

pub fn run(input: &[u8]) {
    WORLD.with_borrow_mut(|world| {
        for &(name, mut value) in GLOBALS {
            // SAFETY: ints.
            let r = unsafe { pmemobj_ctl_set(null_mut(), name.as_ptr(), (&raw mut value).cast()) };
            assert_eq!(r, 0, "{name:?}");
        }
        let mut input = Bytes::new(input);
        let mut pop = open(world);
        assert!(!pop.is_null(), "{}", abi::message());
        for _ in 0..MAX_STEPS {
            if input.is_empty() {
                break;
            }
            match input.u8() % 8 {
                0..=2 => {
                    let name = composed(&mut input);
                    query(pop, &name, &mut input);
                }
                3 => {
                    let name = raw(&mut input, 64);
                    query(pop, &name, &mut input);
                }
                4 => integer(pop, &number(&mut input)),
                5 => round_trip(pop, &mut input),
                kind => pop = configured(world, pop, kind == 6, &mut input),
            }
        }
        if !pop.is_null() {
            // SAFETY: open.
            unsafe { pmemobj_close(pop) };
        }
        world.pool.restore();
    });
}

fn open(world: &World) -> Pop {
    // Touching every page is no matter of parsing, and slow.
    let mut off: c_int = 0;
    // SAFETY: an int; a C string.
    unsafe {
        pmemobj_ctl_set(null_mut(), c"prefault.at_open".as_ptr(), (&raw mut off).cast());
        pmemobj_open(world.pool.file.path.as_ptr(), null())
    }
}

/// Bytes up to the first NUL.
fn raw(input: &mut Bytes, max: u64) -> CString {
    let n = input.below(max) as usize;
    let text = input.slice(n);
    let end = text.iter().position(|&b| b == 0).unwrap_or(n.min(text.len()));
    CString::new(&text[..end]).unwrap()
}

/// Mostly what numbers are made of.
fn number(input: &mut Bytes) -> CString {
    const PARTS: &[u8] = b"00112345678999abcfFxX+- \t\n";
    let text: Vec<u8> = (0..input.below(24))
        .map(|_| match input.u8() {
            b @ 0..0xe0 => PARTS[b as usize % PARTS.len()],
            b => (b & 0x1f) + b'G',
        })
        .collect();
    CString::new(text).unwrap()
}

fn composed(input: &mut Bytes) -> CString {
    let words: Vec<_> = (0..1 + input.below(5)).map(|_| input.pick(WORDS)).collect();
    CString::new(words.join(".")).unwrap()
}

/// Whatever the name is: done, or an error with its reason.
fn query(pop: Pop, name: &CStr, input: &mut Bytes) {
    let pop = if input.u8() & 1 == 1 { null_mut() } else { pop };
    // On the heap, so that writing too much is noticed.
    let mut argument = Box::new([0u64; ARGUMENT / 8 + 1]);
    argument.iter_mut().for_each(|w| *w = if input.u8() & 1 == 1 { input.u8() as u64 } else { input.u64() });
    let at = if input.u8() & 15 == 15 { null_mut() } else { argument.as_mut_ptr().cast::<c_void>() };
    abi::set_errno(0);
    // SAFETY: an open pool or none, a C string, an argument as large as any.
    let r = unsafe {
        match input.u8() % 3 {
            0 => pmemobj_ctl_get(pop, name.as_ptr(), at),
            1 => pmemobj_ctl_set(pop, name.as_ptr(), at),
            _ => pmemobj_ctl_exec(pop, name.as_ptr(), at),
        }
    };
    assert!(r == 0 || r == -1 && !abi::message().is_empty(), "{r}");
}

/// A number in a name is what C's `strtoll` makes of it.
fn integer(pop: Pop, text: &CStr) {
    if pop.is_null() || text.is_empty() || text.to_bytes().contains(&b'.') {
        return;
    }
    let mut end = null_mut();
    abi::set_errno(0);
    // SAFETY: a C string.
    let number = unsafe { libc::strtoll(text.as_ptr(), &mut end, 0) };
    let valid = end.cast_const() != text.as_ptr() && abi::errno() != libc::ERANGE;
    let name = [b"heap.alloc_class.", text.to_bytes(), b".desc"].concat();
    let mut desc = ClassDesc::default();
    // SAFETY: the entry's type.
    let r = unsafe {
        let name = CString::new(name).unwrap();
        pmemobj_ctl_get(pop, name.as_ptr(), (&raw mut desc).cast())
    };
    if valid && (0..=LAST_CLASS).contains(&number) {
        assert!(r == 0 && desc.class_id as i64 == number && desc.unit_size > 0, "{text:?}: {desc:?}");
    } else if !valid || !(0..=254).contains(&number) {
        assert_eq!(r, -1, "{text:?}");
    }
}

/// What was set is what is read.
fn round_trip(pop: Pop, input: &mut Bytes) {
    let name = input.pick(&[
        c"prefault.at_create",
        c"sds.at_create",
        c"tx.cache.size",
        c"tx.debug.skip_expensive_checks",
        c"heap.size.granularity",
        c"debug.heap.alloc_pattern",
        c"stats.enabled",
        c"heap.narenas.max",
    ]);
    let long = matches!(name.to_bytes(), b"tx.cache.size" | b"heap.size.granularity");
    let mut value = if long { input.u64() } else { input.u32() as u64 };
    let mut found = 0u64;
    // SAFETY: of the entries' types, or larger.
    unsafe {
        if pop.is_null() || pmemobj_ctl_set(pop, name.as_ptr(), (&raw mut value).cast()) != 0 {
            return;
        }
        assert_eq!(pmemobj_ctl_get(pop, name.as_ptr(), (&raw mut found).cast()), 0, "{}", abi::message());
    }
    assert_eq!(found, value, "{name:?}");
}

/// Opens the pool again with a configuration from the environment. The pool
/// opens, or the configuration is an error.
fn configured(world: &mut World, pop: Pop, by_file: bool, input: &mut Bytes) -> Pop {
    let text = config(input);
    if by_file {
        world.file.resize(text.len());
        world.file.bytes()[..text.len()].copy_from_slice(&text);
        world.conf_file.set(world.file.path.as_bytes());
    } else {
        world.conf.set(&text);
    }
    if !pop.is_null() {
        // SAFETY: open.
        unsafe { pmemobj_close(pop) };
    }
    let loaded = pmem_rs::obj::ctl::load();
    let pop = open(world);
    if pop.is_null() {
        assert!(!abi::message().is_empty());
    } else {
        assert!(loaded.is_ok(), "what a pool accepts the process does, too: {loaded:?}");
    }
    world.conf.unset();
    world.conf_file.unset();
    pop
}

/// A configuration: queries of known words, with raw text between them.
fn config(input: &mut Bytes) -> Vec<u8> {
    let mut text = Vec::new();
    while text.len() < MAX_TEXT - 128 && input.u8() & 7 != 0 {
        match input.u8() % 4 {
            0 => {
                text.extend_from_slice(composed(input).to_bytes());
                text.push(b'=');
                text.extend_from_slice(input.pick(WORDS).as_bytes());
                text.push(b';');
            }
            1 => {
                let n = input.below(40) as usize;
                text.extend_from_slice(input.slice(n));
            }
            2 => text.extend_from_slice(input.pick(&[
                &b"heap.alloc_class.new.desc=128,0,1000,compact;"[..],
                b"heap.alloc_class.128.desc = 100,0,500,none;",
                b"prefault.at_open=1;",
                b"heap.arenas_assignment_type=global;",
                b"stats.enabled=both;",
                b"# comment\n",
                b"tx.cache.size=0x1000;",
            ])),
            _ => text.push(input.u8()),
        }
    }
    text.truncate(MAX_TEXT);
    text
}

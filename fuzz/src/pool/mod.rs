//! A mutated pool file: checked, opened, walked and used. Whatever is in it,
//! the process lives, and touches nothing outside of the mapping.
//!
//! An input names one of the base images, then mutations, then what a program
//! does with the pool.

mod bases;
mod mutate;
mod program;

use std::cell::RefCell;
use std::ptr::null;

use super::abi::{self, pmemobj_check, pmemobj_close, pmemobj_open};
use super::bytes::Bytes;
use super::image;
use bases::Base;
pub use bases::{NLANES, create};

const MAX_MUTATIONS: u64 = 16;
thread_local! {
    static BASES: RefCell<Vec<Base>> = RefCell::new(first());
}

fn first() -> Vec<Base> {
    image::guard();
    abi::copy_on_write(false);
    bases::all()
}

pub fn run(input: &[u8]) {
    BASES.with_borrow_mut(|bases| {
        // The pool's own writes vanish, as it opens privately.
        abi::copy_on_write(true);
        let mut input = Bytes::new(input);
        let n = bases.len();
        let base = &mut bases[input.u8() as usize % n];
        for _ in 0..input.below(MAX_MUTATIONS) {
            mutate::mutate(base, &mut input);
        }
        if let Some(size) = base.cut.take() {
            base.image.cut(size);
        }
        // A program checks a pool or does not.
        let checked = input.u8() & 1 == 0;
        let path = base.image.file.path.clone();
        let mut sound = None;
        if checked {
            // SAFETY: a C string.
            sound = Some(unsafe { pmemobj_check(path.as_ptr(), null()) });
            assert!(sound == Some(1) || !abi::message().is_empty(), "a reason");
        }
        // SAFETY: as above.
        let pop = unsafe { pmemobj_open(path.as_ptr(), null()) };
        if pop.is_null() {
            assert!(abi::errno() > 0 && !abi::message().is_empty(), "a reason");
            assert_ne!(sound, Some(1), "a sound pool opens: {}", abi::message());
        } else {
            assert!(image::is_guarded(pop));
            assert_ne!(sound, Some(-1), "a pool that cannot be checked does not open");
            program::run(pop, base, &mut input);
            // SAFETY: open, and nothing of it is used any more.
            unsafe { pmemobj_close(pop) };
        }
        base.image.restore();
    });
}

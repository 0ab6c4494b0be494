//! Which arenas a thread was given, so that they lose a thread when it ends.
//!
//! Each thread knows its seats, one per heap. A heap may be closed long before
//! the thread ends: a seat's counter is only touched while its heap is known
//! to be open.

use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};

use super::Error;
use crate::memory::reserve_few;
use crate::thread_end::AtThreadEnd;

struct Seat {
    /// Id of the heap.
    heap: u64,
    /// Index of the arena.
    arena: u32,
    /// Threads of the arena.
    threads: *const AtomicU32,
}

/// Ids of the heaps that are open.
static OPEN: Mutex<Vec<u64>> = Mutex::new(Vec::new());

/// The calling thread's seats, a boxed `Vec<Seat>`.
static SEATS: AtThreadEnd = AtThreadEnd::new(leave_all);

fn open_heaps() -> MutexGuard<'static, Vec<u64>> {
    super::lock(&OPEN)
}

/// A heap opens: until [`close`] its arenas stay where they are.
pub fn open(heap: u64) -> Result<(), Error> {
    let mut open = open_heaps();
    open.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
    open.push(heap);
    Ok(())
}

pub fn close(heap: u64) {
    let mut open = open_heaps();
    open.retain(|&id| id != heap);
    if open.is_empty() {
        *open = Vec::new(); // memory goes back to whoever it came from
    }
}

/// The arena that the calling thread sits in; `choose` gives it one if it has
/// none yet, or if it `moves`.
#[cold]
pub fn take(heap: u64, moves: bool, choose: impl FnOnce() -> (u32, *const AtomicU32)) -> u32 {
    let open = open_heaps();
    let mut seats = of_thread();
    let mut old = None;
    if let Some(seats) = &mut seats {
        seats.retain(|s| open.contains(&s.heap));
        old = seats.iter().position(|s| s.heap == heap);
        if let Some(i) = old.filter(|_| !moves) {
            return seats[i].arena;
        }
    }
    let (arena, threads) = choose();
    let add = |threads: *const AtomicU32, n| {
        // SAFETY: a counter of an open heap's arena, and `open` is locked.
        unsafe { (*threads).fetch_add(n, Relaxed) };
    };
    add(threads, 1);
    let seat = Seat { heap, arena, threads };
    if let Some(seats) = seats {
        if let Some(i) = old {
            add(seats[i].threads, u32::MAX); // one less
            seats[i] = seat;
        } else if reserve_few(seats, 1).is_ok() {
            seats.push(seat);
        }
    } // without memory the thread is counted for good
    arena
}

/// `None` without memory.
fn of_thread() -> Option<&'static mut Vec<Seat>> {
    let mut seats: *mut Vec<Seat> = SEATS.get().cast();
    if seats.is_null() {
        seats = super::try_box(Vec::new())?;
        if !SEATS.set(seats.cast()) {
            // SAFETY: just made, known to nobody else.
            drop(unsafe { Box::from_raw(seats) });
            return None;
        }
    }
    // SAFETY: this thread's own until it ends; `take` does not re-enter.
    Some(unsafe { &mut *seats })
}

/// The end of a thread.
unsafe extern "C" fn leave_all(seats: *mut c_void) {
    // SAFETY: what `of_thread` set, of the ending thread.
    let seats = unsafe { Box::from_raw(seats.cast::<Vec<Seat>>()) };
    let open = open_heaps();
    for s in seats.iter().filter(|s| open.contains(&s.heap)) {
        // SAFETY: the heap is open, and stays so while `open` is locked.
        unsafe { (*s.threads).fetch_sub(1, Relaxed) };
    }
}

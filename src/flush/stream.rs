//! How a range is streamed: whole lines past the cache, and what is left of lines
//! at either end.

use super::arch::writeback::{LINE, fence};
use super::arch::{fetch, is_part, stream_part};
use super::engine::Engine;
use super::kernel::{Direction, Kernel, Lines, store};

/// Lines streamed between two fences where the CPU wants its write-combining
/// buffers emptied in order: 768 bytes.
const FENCED: usize = 12;

/// Whole lines past the cache; partial ones at either end are cached and
/// flushed, but for a last one that is streamed, too. Ordered by the next fence.
///
/// # Safety
/// As [`kernel::cached`](super::kernel::cached).
#[inline(always)]
pub unsafe fn streamed<K: Kernel, S: Lines>(
    engine: Engine,
    dst: *mut u8,
    src: S,
    len: usize,
    way: Direction,
) {
    let head = len.min(dst.addr().wrapping_neg() % LINE);
    // SAFETY: by contract.
    unsafe {
        if head == 0 && len.is_multiple_of(LINE) {
            lines_of::<K, S>(engine, dst, src, (0, len / LINE), way);
            K::end();
        } else {
            ragged::<K, S>(engine, dst, src, len, way, head);
        }
    }
}

/// As [`streamed`], with a partial line: the first `head` bytes, or the last.
///
/// # Safety
/// As [`kernel::cached`](super::kernel::cached).
#[inline(never)]
unsafe fn ragged<K: Kernel, S: Lines>(
    engine: Engine,
    dst: *mut u8,
    src: S,
    len: usize,
    way: Direction,
    head: usize,
) {
    let lines = (len - head) / LINE;
    let tail = head + lines * LINE;
    let edges = match way {
        Direction::Forward => [(0, head), (tail, len - tail)],
        Direction::Backward => [(tail, len - tail), (0, head)],
    };
    let apart = src.is_apart(dst, len);
    // A head within a line may start anywhere, and its words with it.
    let within = tail == len && !dst.addr().wrapping_add(head).is_multiple_of(LINE);
    // SAFETY: by contract; edges and lines make up the range, and what overlaps is
    // written in the order of `way`.
    unsafe {
        if is_part(edges[1].1) && !within {
            streamed_edge::<K, S>(engine, dst, src, edges, (head, lines), way, apart);
        } else {
            flushed_edges::<K, S>(engine, dst, src, edges, (head, lines), way, apart);
        }
        K::end();
    }
}

/// The edges are stored first, where the source allows that, and flushed last:
/// their lines are fetched while the others are streamed.
///
/// # Safety
/// As [`ragged`].
#[inline(always)]
unsafe fn flushed_edges<K: Kernel, S: Lines>(
    engine: Engine,
    dst: *mut u8,
    src: S,
    edges: [(usize, usize); 2],
    lines: (usize, usize),
    way: Direction,
    apart: bool,
) {
    // SAFETY: by contract.
    unsafe {
        store::<K, S>(dst, src, edges[0], way);
        if apart {
            store::<K, S>(dst, src, edges[1], way);
        }
        lines_of::<K, S>(engine, dst, src, lines, way);
        if !apart {
            store::<K, S>(dst, src, edges[1], way);
        }
        for (off, len) in edges {
            if len != 0 {
                engine.flush(dst.wrapping_add(off), len);
            }
        }
    }
}

/// Lines that are streamed while one that is streamed in part is fetched.
const FETCHED: usize = 8;

/// From so many lines on they hide the time that the part of one takes.
const LONG: usize = 48;

/// The last edge, a part, is streamed, too, as PMDK does it: a flush less. Its
/// write-combining buffer is never full, and takes long to be written; less, if
/// the line is in the cache.
///
/// # Safety
/// As [`ragged`].
#[inline(always)]
unsafe fn streamed_edge<K: Kernel, S: Lines>(
    engine: Engine,
    dst: *mut u8,
    src: S,
    [(start, len), (off, part)]: [(usize, usize); 2],
    (first, lines): (usize, usize),
    way: Direction,
    apart: bool,
) {
    // A move backward is one of ranges that overlap.
    let early = match lines {
        _ if !apart => lines,
        ..LONG => lines.min(FETCHED),
        _ => 0,
    };
    // SAFETY: by contract.
    unsafe {
        if early > 0 {
            fetch(dst.add(off));
        }
        store::<K, S>(dst, src, (start, len), way);
        lines_of::<K, S>(engine, dst, src, (first, early), way);
        stream_part(dst.add(off), src.at(off), part);
        lines_of::<K, S>(engine, dst, src, (first + early * LINE, lines - early), way);
        if len != 0 {
            engine.flush(dst.wrapping_add(start), len);
        }
    }
}

/// Streams `lines` whole lines from the offset `first` on, in groups.
///
/// # Safety
/// As [`kernel::cached`](super::kernel::cached); a line starts at `first`.
#[inline(always)]
unsafe fn lines_of<K: Kernel, S: Lines>(
    engine: Engine,
    dst: *mut u8,
    src: S,
    (first, lines): (usize, usize),
    way: Direction,
) {
    let fences = engine.fences_streams();
    // SAFETY: by contract.
    unsafe {
        match way {
            Direction::Forward => grouped::<K, S, false>(dst, src, first, lines, fences),
            Direction::Backward => grouped::<K, S, true>(dst, src, first, lines, fences),
        }
    }
}

/// # Safety
/// As [`lines_of`].
#[inline(always)]
unsafe fn grouped<K: Kernel, S: Lines, const BACKWARD: bool>(
    dst: *mut u8,
    src: S,
    first: usize,
    lines: usize,
    fences: bool,
) {
    // The offset of the `nth` piece of `len` lines.
    let offset = |nth: usize, len: usize| first + LINE * if BACKWARD { lines - nth - len } else { nth };
    let (mut nth, mut unfenced) = (0, 0);
    // SAFETY: by contract; the lines are of the range.
    unsafe {
        while lines >= K::MANY && lines - nth >= 2 * K::GROUP {
            let off = offset(nth, 2 * K::GROUP);
            src.stream_groups::<K>(dst.add(off), off);
            nth += 2 * K::GROUP;
        }
        while lines - nth >= K::GROUP {
            let off = offset(nth, K::GROUP);
            src.stream_group::<K>(dst.add(off), off);
            nth += K::GROUP;
            unfenced += K::GROUP;
            if fences && unfenced >= FENCED {
                // Orders nothing that anyone relies on; see FENCED.
                fence();
                unfenced = 0;
            }
        }
        for nth in nth..lines {
            let off = offset(nth, 1);
            src.stream64::<K>(dst.add(off), off);
        }
    }
}

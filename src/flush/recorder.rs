//! A domain for tests: beside the pool it keeps the image that would survive
//! a power cut. What was flushed reaches the image at the next fence; from a
//! recording the state after a crash at any fence can be rebuilt.
//!
//! A recording belongs to the thread that made it, and to threads that joined
//! it, and follows one pool. No store is instrumented: at each fence the pool
//! is compared with the image, and what differs without having been flushed is
//! dirty: the cache may have written it back, then or at any fence since.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::ThreadId;

/// Bytes that become durable together, or not at all.
pub const LINE: usize = 64;
const PAGE: usize = 4096;

pub type LineData = [u8; LINE];

/// A line whose content may differ from the image.
#[derive(Clone, Debug)]
pub struct Line {
    /// Offset in the pool.
    pub at: usize,
    /// Contents that the draining thread flushed, oldest first; the last one
    /// is durable after the fence.
    pub flushed: Vec<LineData>,
    /// Who flushed it.
    pub flushed_by: Vec<&'static Location<'static>>,
    /// Other contents since the line was last durable, oldest first: never
    /// flushed, or by another thread that has not drained.
    pub evicted: Vec<LineData>,
}

/// A moment at which the world can stop: before the fence took effect.
#[derive(Clone, Debug)]
pub struct Fence {
    /// Who drained; `None` for the end of the recording.
    pub site: Option<&'static Location<'static>>,
    /// What the test said last.
    pub mark: u32,
    pub lines: Vec<Line>,
}

/// The history of one pool.
#[derive(Debug)]
pub struct Recording {
    /// Durable when the pool was mapped.
    pub initial: Vec<u8>,
    pub fences: Vec<Fence>,
    /// Calls by what they do and who made them.
    pub sites: BTreeMap<Site, u64>,
    /// Those of them that flushed several lines at once.
    pub long: BTreeSet<Site>,
    /// Fences before the first fault.
    pub sound: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Flush,
    Fence,
}

/// A place in the library that flushes or drains.
pub type Site = (Kind, &'static Location<'static>);

/// What a site does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does nothing.
    Omitted,
    /// A flush of several lines leaves out the first one.
    FirstLine,
    /// Or the last one.
    LastLine,
    /// A fence comes after the thread's next one: what was flushed in front of
    /// it becomes durable after what was flushed behind it.
    Late,
}

/// The one site that does something wrong.
#[derive(Clone, Debug)]
pub struct Faulty {
    pub fault: Fault,
    pub kind: Kind,
    pub file: String,
    pub line: u32,
    pub column: u32,
}

impl Faulty {
    fn is(&self, (kind, at): Site) -> bool {
        (kind, at.line(), at.column()) == (self.kind, self.line, self.column) && at.file() == self.file
    }
}

/// The file as this process sees it, mapped a second time, so that it can be
/// looked at after the pool was closed.
struct View {
    addr: *const u8,
    len: usize,
}

impl View {
    fn new(fd: i32, len: usize) -> View {
        // SAFETY: a new read-only mapping.
        let p = unsafe { libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ, libc::MAP_SHARED, fd, 0) };
        assert_ne!(p, libc::MAP_FAILED, "the recorder cannot map the pool");
        View { addr: p.cast(), len }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: mapped; only this thread changes the pool that it records.
        unsafe { std::slice::from_raw_parts(self.addr, self.len) }
    }

    fn line(&self, at: usize) -> LineData {
        let mut data = [0; LINE];
        data.copy_from_slice(&self.bytes()[at..at + LINE]);
        data
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`.
        unsafe { libc::munmap(self.addr.cast_mut().cast(), self.len) };
    }
}

type Versions = BTreeMap<usize, Vec<LineData>>;

/// A content of a line, and who flushed it from where.
#[derive(PartialEq, Eq)]
struct Flushed {
    thread: ThreadId,
    content: LineData,
    site: &'static Location<'static>,
}

struct Session {
    base: usize,
    view: View,
    image: Vec<u8>,
    /// Flushed, not yet drained, oldest first.
    pending: BTreeMap<usize, Vec<Flushed>>,
    /// What late fences keep waiting.
    held: BTreeMap<usize, Vec<Flushed>>,
    /// Contents that were dirty at some fence.
    dirty: Versions,
    mark: u32,
    faulty: Option<Faulty>,
    recording: Recording,
}

// SAFETY: the view is read-only memory.
unsafe impl Send for Session {}

/// A recording that another thread may join.
#[derive(Clone)]
pub struct Handle(Arc<Mutex<Option<Session>>>);

#[derive(Default)]
struct State {
    armed: bool,
    session: Option<Handle>,
    /// For the next recording.
    faulty: Option<Faulty>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Contents kept of a dirty line.
const MAX_VERSIONS: usize = 4;

fn with<R>(f: impl FnOnce(&mut State) -> R) -> R {
    STATE.with(|s| f(&mut s.borrow_mut()))
}

fn with_session<R>(f: impl FnOnce(&mut Session) -> R) -> Option<R> {
    let handle = with(|s| s.session.clone())?;
    handle.lock().as_mut().map(f)
}

impl Handle {
    fn lock(&self) -> MutexGuard<'_, Option<Session>> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// The calling thread's recording.
pub fn handle() -> Option<Handle> {
    with(|s| s.session.clone())
}

/// Makes the calling thread part of a recording.
pub fn join(handle: Option<Handle>) {
    with(|s| s.session = handle)
}

/// The next pool that this thread maps is recorded.
pub fn arm() {
    with(|s| s.armed = true)
}

/// In the next recordings of this thread this site has a fault.
pub fn set_fault(faulty: Option<Faulty>) {
    with(|s| s.faulty = faulty)
}

/// Notes in the following fences what the test is doing.
pub fn mark(mark: u32) {
    with_session(|s| s.mark = mark);
}

/// Ends the recording.
pub fn finish() -> Option<Recording> {
    let handle = with(|s| {
        s.armed = false;
        s.session.take()
    })?;
    let mut session = handle.lock().take()?;
    session.note_fence(None);
    Some(session.recording)
}

/// Called for each shared mapping of a pool; whether it is recorded.
pub(crate) fn attach(addr: *const u8, len: usize, fd: i32) -> bool {
    with(|s| {
        if !std::mem::take(&mut s.armed) {
            return false;
        }
        let view = View::new(fd, len);
        let initial = view.bytes().to_vec();
        let recording = Recording {
            initial: initial.clone(),
            fences: Vec::new(),
            sites: BTreeMap::new(),
            long: BTreeSet::new(),
            sound: None,
        };
        let (base, pending, held) = (addr.addr(), BTreeMap::new(), BTreeMap::new());
        let (dirty, faulty) = (BTreeMap::new(), s.faulty.clone());
        let session =
            Session { base, view, image: initial, pending, held, dirty, mark: 0, faulty, recording };
        s.session = Some(Handle(Arc::new(Mutex::new(Some(session)))));
        true
    })
}

#[track_caller]
pub(super) fn flush(addr: usize, len: usize) {
    let site = (Kind::Flush, Location::caller());
    let first = LINE - addr % LINE; // bytes in the first line
    let last = (addr + len - 1) % LINE + 1;
    let long = len > first;
    let (addr, len) = match fault(site) {
        None => (addr, len),
        Some(Fault::FirstLine) if long => (addr + first, len - first),
        Some(Fault::LastLine) if long => (addr, len - last),
        Some(Fault::FirstLine | Fault::LastLine) => (addr, len),
        Some(_) => return,
    };
    with_session(|s| {
        s.count(site);
        if long {
            s.recording.long.insert(site);
        }
        s.flush(addr, len, site.1);
    });
}

#[track_caller]
pub(super) fn drain() {
    let site = (Kind::Fence, Location::caller());
    let fault = fault(site);
    if fault.is_none_or(|f| f == Fault::Late) {
        with_session(|s| {
            s.count(site);
            s.fence(site.1, fault.is_some());
        });
    }
}

fn fault(site: Site) -> Option<Fault> {
    with_session(|s| {
        let fault = s.faulty.as_ref().filter(|f| f.is(site))?.fault;
        s.recording.sound.get_or_insert(s.recording.fences.len());
        Some(fault)
    })
    .flatten()
}

impl Session {
    fn count(&mut self, site: Site) {
        *self.recording.sites.entry(site).or_default() += 1;
    }

    fn flush(&mut self, addr: usize, len: usize, site: &'static Location<'static>) {
        let start = addr.wrapping_sub(self.base);
        if len == 0 || start >= self.view.len {
            return; // not this pool
        }
        let end = (start + len).min(self.view.len);
        let thread = std::thread::current().id();
        for at in (start / LINE * LINE..end).step_by(LINE) {
            let now = Flushed { thread, content: self.view.line(at), site };
            match self.pending.get_mut(&at) {
                Some(versions) if versions.last() != Some(&now) => versions.push(now),
                None if self.image[at..at + LINE] != now.content || self.dirty.contains_key(&at) => {
                    self.pending.insert(at, vec![now]);
                }
                _ => {}
            }
        }
    }

    /// Records what would survive a power cut now.
    fn note_fence(&mut self, site: Option<&'static Location<'static>>) {
        self.note_dirty();
        let thread = std::thread::current().id();
        let mut lines: BTreeMap<usize, Line> = BTreeMap::new();
        let empty = |at| Line { at, flushed: Vec::new(), flushed_by: Vec::new(), evicted: Vec::new() };
        for (&at, contents) in &self.dirty {
            lines.entry(at).or_insert_with(|| empty(at)).evicted.extend(contents);
        }
        for (&at, versions) in &self.held {
            lines.entry(at).or_insert_with(|| empty(at)).evicted.extend(versions.iter().map(|v| v.content));
        }
        for (&at, versions) in &self.pending {
            let line = lines.entry(at).or_insert_with(|| empty(at));
            for v in versions {
                let own = v.thread == thread;
                let list = if own { &mut line.flushed } else { &mut line.evicted };
                if list.last() != Some(&v.content) {
                    list.push(v.content);
                }
                if own && !line.flushed_by.contains(&v.site) {
                    line.flushed_by.push(v.site);
                }
            }
        }
        let lines = lines.into_values().collect();
        self.recording.fences.push(Fence { site, mark: self.mark, lines });
    }

    /// Finds lines that differ both from the image and from what was flushed.
    fn note_dirty(&mut self) {
        let (now, image) = (self.view.bytes(), &self.image);
        for page in (0..now.len()).step_by(PAGE) {
            let end = now.len().min(page + PAGE);
            if now[page..end] == image[page..end] {
                continue;
            }
            for at in (page..end).step_by(LINE) {
                let data = self.view.line(at);
                let flushed = self.pending.get(&at).and_then(|v| v.last());
                if flushed.map_or(image[at..at + LINE] != data, |f| f.content != data) {
                    let seen = self.dirty.entry(at).or_default();
                    if seen.last() != Some(&data) {
                        seen.push(data);
                        if seen.len() > MAX_VERSIONS {
                            seen.remove(0);
                        }
                    }
                }
            }
        }
    }

    /// A late fence keeps what was flushed, which takes effect with the next one:
    /// before that it is as durable as what nobody flushed.
    fn fence(&mut self, site: &'static Location<'static>, late: bool) {
        if late {
            std::mem::swap(&mut self.held, &mut self.pending);
        }
        self.note_fence(Some(site));
        self.make_durable();
        if !late {
            for (at, versions) in std::mem::take(&mut self.held) {
                self.pending.entry(at).or_insert(versions);
            }
        }
    }

    /// What the thread flushed is durable; what was there before is not.
    fn make_durable(&mut self) {
        let thread = std::thread::current().id();
        let (view, dirty, image) = (&self.view, &mut self.dirty, &mut self.image);
        self.pending.retain(|&at, versions| {
            let Some(i) = versions.iter().rposition(|v| v.thread == thread) else { return true };
            let content = versions[i].content;
            image[at..at + LINE].copy_from_slice(&content);
            dirty.remove(&at);
            if view.line(at) != content {
                dirty.insert(at, vec![view.line(at)]);
            }
            versions.drain(..=i);
            !versions.is_empty()
        });
    }
}

impl Fence {
    /// Lets the fence take effect on an image.
    pub fn apply(&self, image: &mut [u8]) {
        for line in &self.lines {
            if let Some(last) = line.flushed.last() {
                image[line.at..line.at + LINE].copy_from_slice(last);
            }
        }
    }
}

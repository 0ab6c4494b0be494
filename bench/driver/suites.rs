//! What is run: programs, their arguments, and where their files lie.

/// Where the pool file of a run lies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In memory, treated as persistent memory.
    Memory,
    /// In memory, an ordinary file of the page cache.
    Cache,
    /// On the disk file system of the build directory, an ordinary file.
    Disk,
}

/// One start of a program. `@` in the arguments stands for the pool file, `%` for
/// our libpmem: the program, linked with PMDK's, measures both and is started once.
pub struct Step {
    pub args: &'static [&'static str],
    pub place: Place,
    /// In front of the names of its rows.
    pub prefix: &'static str,
    /// Only in the first round: it makes what later steps use.
    pub once: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Values of both, and how they compare.
    Ratios,
    /// Exact counts, which one round tells.
    Counts,
    /// What the machine can do; of the library only shares of that.
    Machine,
}

pub struct Suite {
    pub name: &'static str,
    pub title: &'static str,
    pub kind: Kind,
    pub steps: &'static [Step],
    /// Prefixes of the rows that the geometric mean is taken over.
    pub mean_of: &'static [&'static str],
}

impl Step {
    /// Whether one start measures both libraries.
    pub fn is_pair(&self) -> bool {
        self.args.contains(&"%")
    }
}

const fn memory(args: &'static [&'static str]) -> Step {
    Step { args, place: Place::Memory, prefix: "", once: false }
}

const OBJECTS: &[&str] = &["alloc", "zalloc", "realloc", "reserve", "tx_", "list_", "iterate", "map_"];
const SYNCED: &[&str] =
    &["bench", "-m", "100", "@", "tx_add/8", "tx_add_many/16", "alloc_free/64", "list_insert_remove"];

pub const ALL: &[Suite] = &[
    Suite {
        name: "floor",
        title: "What the machine can do",
        kind: Kind::Machine,
        steps: &[memory(&["floor", "@"])],
        mean_of: &[],
    },
    Suite {
        name: "counts",
        title: "Exact counts per operation",
        kind: Kind::Counts,
        steps: &[
            memory(&["bench", "-c", "@"]),
            memory(&["bench", "-c", "-g", "maps", "@"]),
            memory(&["bench", "-c", "-g", "primitives", "@"]),
            memory(&["bench", "-c", "-g", "copies", "@"]),
        ],
        mean_of: OBJECTS,
    },
    Suite {
        name: "objects",
        title: "Objects, one thread",
        kind: Kind::Ratios,
        steps: &[memory(&["bench", "@"]), memory(&["bench", "-g", "maps", "@"])],
        mean_of: OBJECTS,
    },
    Suite {
        name: "threads",
        title: "Objects, two threads",
        kind: Kind::Ratios,
        steps: &[memory(&["bench", "-t", "2", "@"]), memory(&["bench", "-t", "2", "-g", "maps", "@"])],
        mean_of: OBJECTS,
    },
    Suite {
        name: "primitives",
        title: "Locks and look-ups",
        kind: Kind::Ratios,
        steps: &[memory(&["bench", "-g", "primitives", "@"])],
        mean_of: &[""],
    },
    Suite {
        name: "copies",
        title: "libpmem: copies, sets, flushes",
        kind: Kind::Ratios,
        steps: &[memory(&["bench", "-p", "%", "-g", "copies", "@"])],
        mean_of: &[""],
    },
    Suite {
        name: "shared",
        title: "Threads that get in each other's way",
        kind: Kind::Ratios,
        steps: &[memory(&["bench", "-g", "shared", "@"])],
        mean_of: &[""],
    },
    Suite {
        name: "huge",
        title: "Large transactions",
        kind: Kind::Ratios,
        steps: &[memory(&["bench", "-g", "huge", "@"])],
        mean_of: &[""],
    },
    Suite {
        name: "worst",
        title: "A full heap, and the slowest operations",
        kind: Kind::Ratios,
        steps: &[memory(&["worst", "@"])],
        mean_of: &[],
    },
    Suite {
        name: "opening",
        title: "Opening, recovery, volatile memory",
        kind: Kind::Ratios,
        steps: &[
            Step { args: &["opening", "fill", "@.100k", "100000"], once: true, ..memory(&[]) },
            Step { args: &["opening", "fill", "@.1m", "1000000"], once: true, ..memory(&[]) },
            memory(&["opening", "open", "@.100k", "100000"]),
            memory(&["opening", "open", "@.1m", "1000000"]),
            memory(&["opening", "crash", "@.crash", "100000"]),
            memory(&["opening", "recover", "@.crash", "100000"]),
            memory(&["opening", "memory", "@"]),
        ],
        mean_of: &[],
    },
    Suite {
        name: "files",
        title: "Ordinary files",
        kind: Kind::Ratios,
        steps: &[
            Step { args: SYNCED, place: Place::Cache, prefix: "tmpfs: ", once: false },
            Step { args: SYNCED, place: Place::Disk, prefix: "disk: ", once: false },
        ],
        mean_of: &[],
    },
];

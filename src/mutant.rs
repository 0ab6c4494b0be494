//! Defects that can be put into the library on purpose, one at a time, so that
//! its tests can be seen to fail. They exist with the feature `recorder` alone:
//! without it `defect!` is the constant `false`, and no library has them.

/// Whether a defect of the list below is switched on; what is done then.
#[cfg(feature = "recorder")]
macro_rules! defect {
    ($name:ident) => {
        $crate::mutant::is_on($crate::mutant::Defect::$name)
    };
    ($name:ident, $then:expr) => {
        if defect!($name) {
            $then
        }
    };
}

/// No defect is.
#[cfg(not(feature = "recorder"))]
macro_rules! defect {
    ($name:ident) => {
        false
    };
    ($name:ident, $then:expr) => {};
}

/// Names the defect of this process.
#[cfg(feature = "recorder")]
pub const VARIABLE: &std::ffi::CStr = c"CRASH_DEFECT";

/// Asked in the middle of operations, also where there is no memory.
#[cfg(feature = "recorder")]
pub(crate) fn is_on(defect: Defect) -> bool {
    use std::sync::LazyLock;
    static ON: LazyLock<Option<Defect>> = LazyLock::new(|| {
        let name = crate::flush::env(VARIABLE)?.to_bytes();
        let found = Defect::ALL.iter().find(|d| d.name().as_bytes() == name);
        Some(*found.unwrap_or_else(|| panic!("no such defect: {:?}", VARIABLE)))
    });
    *ON == Some(defect)
}

#[cfg(feature = "recorder")]
macro_rules! defects {
    ($($name:ident: $what:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Defect {
            $(#[doc = $what] $name,)*
        }

        impl Defect {
            pub const ALL: &[Defect] = &[$(Defect::$name,)*];

            pub fn name(self) -> &'static str {
                match self {
                    $(Defect::$name => stringify!($name),)*
                }
            }

            /// What is wrong then.
            pub fn what(self) -> &'static str {
                match self {
                    $(Defect::$name => $what,)*
                }
            }
        }
    };
}

#[cfg(feature = "recorder")]
defects! {
    // Redo logs.
    RedoSumMissing: "redo log: checksum not computed",
    RedoSumUnchecked: "redo log: checksum not checked by recovery",
    RedoHeadFirst: "redo log: header written before the entries in extensions are durable",
    RedoTargetsFirst: "redo log: targets stored before the log is durable",
    RedoNotCleared: "redo log: header not cleared",
    RedoEntriesKept: "redo log: header cleared, entries kept",
    RedoLinkCleared: "redo log: clearing the header takes the link, too",
    RedoTwoInPlace: "redo log: an operation of two entries is stored in place as one of one is",
    RedoTerminatorMissing: "redo log: no zero word behind entries that end with a line",
    RecoveryClearsFirst: "recovery: redo log invalidated before its targets are durable",
    RecoveryKeepsEntries: "recovery: redo log's header cleared, its entries kept",
    RecoveryClearsLink: "recovery: clearing a redo log takes the link, too",
    ChainNotFollowed: "recovery: entries in extensions ignored",
    RedoOfFirstLaneOnly: "recovery: redo logs of the first lane only",
    UndoBeforeRedo: "recovery: undo logs before redo logs",
    RollbackOfFirstLaneOnly: "recovery: undo log of the first lane only",
    RollbackKeepsGeneration: "recovery: generation number not bumped after a rollback",
    ExtensionsFreedFromHead: "recovery: extensions freed from the head of the chain",
    LentBufferFreed: "recovery: frees a log that is the application's own memory",
    // Undo logs.
    UndoSumMissing: "undo log: checksum not computed",
    UndoSumUnchecked: "undo log: checksum not checked",
    UndoSumHeaderOnly: "undo log: checksum over the entry's first line only",
    UndoSumWithoutGeneration: "undo log: checksum without the generation number",
    UndoLengthShort: "undo log: snapshot short by one line",
    UndoNoStopLine: "undo log: the line behind the newest entry not zeroed",
    UndoZerosKept: "undo log: what a snapshot wrote over counts as zero",
    // Transactions.
    CommitKeepsGeneration: "commit: generation number not bumped",
    CommitLogWithoutGeneration: "commit: generation number not part of the redo log",
    CommitInTwoSteps: "commit: generation number stored before the redo log",
    CommitRangeShort: "commit: a range flushed short by its last line",
    AbortKeepsGeneration: "abort: generation number not bumped",
    AbortGenerationFirst: "abort: generation number bumped before the data is restored",
    AbortFirstLogOnly: "abort: snapshots in extensions not restored",
    UncommittedKept: "transaction: object allocated on media before commit",
    TxFreeAtOnce: "transaction: object freed on media before commit",
    TxPublishedHeader: "transaction: header of a published reservation not flushed",
    RangesLoseFlush: "transaction: a range merged with one that needs no flush is not flushed",
    // Heap.
    ValuesBeforeBlocks: "publish: words stored before the log",
    AllocBitsFirst: "allocation: bitmap changed before the log",
    AllocBitsShort: "allocation: one unit of several not marked",
    FreeBitsFirst: "free: bitmap changed before the log",
    ExtensionLinkedSeparately: "log extension: allocated and linked in two steps",
    ExtensionUnlinkedFirst: "log extension: unlinked before it is freed",
    ExtensionNotInternal: "log extension: not marked as the library's object",
    LentRedoKept: "lent redo log: not unlinked when the transaction ends",
    LentUndoKept: "lent undo log: not unlinked when the transaction ends",
    SplitLeftFirst: "split of a free block: left part first",
    MergeAtBlock: "merge of free blocks: stored at the right one",
    RunHeaderFirst: "new run: header before its bitmap",
    RunPartsMissing: "new run: headers of its other chunks not written",
    RunTailFree: "new run: bits behind the last unit are clear",
    EmptyRunKept: "empty run: reused without a free header",
    ZoneMagicFirst: "new zone: magic before the free block",
    GrowSizeFirst: "zone that grows: size before the new free block",
    // Objects.
    HeaderLate: "allocation: object header after publication",
    HeaderForgotten: "allocation: object header neither in the log nor flushed",
    HeaderNotCompared: "allocation: whatever durable header is there is kept",
    HeaderOfCancelled: "allocation: the header of a cancelled reservation taken for durable",
    HeadersAheadNotDrained: "headers made ahead: not durable for another thread that publishes",
    HeadersAheadOverOthers: "headers made ahead: over units that are in use, too",
    HeaderInside: "allocation: what lies inside a freed object taken for a header",
    BesideHeaderForgotten: "allocation: zeros and copies beside a durable header not flushed",
    AllocDestinationLate: "allocation: destination stored after publication",
    FreeDestinationLate: "free: destination cleared afterwards",
    ReallocCopyLate: "reallocation: content copied after publication",
    ReallocFreeLate: "reallocation: old block freed afterwards",
    RootSizeFirst: "root: size stored before the object",
    ListInHalves: "list: links changed by two logs",
    ListElementLate: "list: new element allocated after it is linked",
    DefragCopyLate: "defragmentation: content copied after publication",
    DefragPointersFirst: "defragmentation: pointers stored before the log",
    // The pool.
    HeaderSumMissing: "pool header: checksum not computed",
    DescriptorSumMissing: "pool descriptor: checksum not computed",
    HeapSumMissing: "heap header: checksum not computed",
    HeapFirst: "create: heap and descriptor before the lanes",
    LastLaneUnformatted: "create: one lane short",
    RunIdKept: "open: run id not bumped",
    ShutdownNotMarked: "open: shutdown state not marked as open",
    ShutdownMarkedLate: "open: shutdown state marked after the first change",
    // Defects that libraries of this kind have had.
    SeedHugeZalloc: "seed 1: large ranges not flushed at commit",
    SeedSpilledUndo: "seed 2: undo log invalidated by its first entry, not cleaned",
    SeedFreeInSameTx: "seed 3: freeing a new object forgets what its range was merged with",
    SeedFullRedo: "seed 4: a zero word behind a redo log that is full",
    SeedFooters: "seed 5: footers not rebuilt, and believed",
    SeedStatistics: "seed 6: statistic on media counted outside of the log",
    SeedLateScan: "seed 7: a late scan takes allocated blocks for free ones",
    SeedNoFence: "seed 8: no fence after stores past the cache",
    SeedNoAutoFlush: "seed 9: caches that flush themselves are flushed all the same",
    SeedZoneChunks: "seed 10: one chunk more than fits",
    SeedManySnapshots: "seed 11: abort ends after 127 snapshots",
    SeedCoalescing: "seed 12: freed chunks merged before the log that frees them",
    SeedMessages: "seed 13: no memory for an error's message ends the process",
    SeedCreate: "seed 14: heap header of a new pool not flushed",
}

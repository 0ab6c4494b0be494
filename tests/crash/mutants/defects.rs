//! Defects put into the library by hand (`pmem_rs::mutant`) and who notices.

use pmem_rs::mutant::Defect::{self, *};

use super::{CREATE, Change, Check, Mutant};

pub fn mutants() -> Vec<Mutant> {
    let mutant = |d: &Defect| Mutant {
        change: Change::Defect(d.name()),
        name: d.name().into(),
        what: d.what().into(),
        check: check(*d),
        excuse: None,
    };
    Defect::ALL.iter().map(mutant).collect()
}

fn check(d: Defect) -> Check {
    match test_of(d) {
        Some(name) => Check::Test(name),
        None => Check::Scenarios(scenarios_of(d).to_vec()),
    }
}

/// Defects that a test of its own is about.
fn test_of(d: Defect) -> Option<&'static str> {
    Some(match d {
        SeedHugeZalloc => "seeds::seed_01_huge_tx_zalloc",
        SeedSpilledUndo => "seeds::seed_02_spilled_undo_log",
        SeedFreeInSameTx => "seeds::seed_03_free_in_same_tx",
        SeedFullRedo => "seeds::seed_04_full_redo_log",
        SeedFooters => "seeds::seed_05_lost_footers",
        SeedStatistics => "seeds::seed_06_statistics",
        SeedLateScan => "seeds::seed_07_late_scan",
        SeedNoFence => "seeds::seed_08_fence_after_streams",
        SeedNoAutoFlush => "seeds::seed_09_no_flush",
        SeedZoneChunks => "seeds::seed_10_pool_sizes",
        SeedManySnapshots | AbortFirstLogOnly => "seeds::seed_11_many_snapshots_aborted",
        SeedCoalescing => "seeds::seed_12_coalescing",
        SeedMessages => "seeds::seed_13_no_memory_for_messages",
        SeedCreate => "seeds::seed_14_create",
        RedoEntriesKept | RecoveryKeepsEntries => "seeds::seed_15_words_of_the_log_before",
        _ => return None,
    })
}

/// Scenarios that notice a defect, the likeliest first.
fn scenarios_of(d: Defect) -> &'static [&'static str] {
    match d {
        RedoSumMissing | RedoTargetsFirst => &["small", "publish"],
        AllocDestinationLate | FreeDestinationLate | AllocBitsFirst | FreeBitsFirst => &["small"],
        ShutdownNotMarked | ShutdownMarkedLate | RecoveryClearsFirst | HeaderLate => &["small"],
        RedoSumUnchecked => &["small", "classes", "publish_many"],
        RedoHeadFirst | RedoTwoInPlace | RedoLinkCleared | RecoveryClearsLink => &["publish_many"],
        ChainNotFollowed | ExtensionsFreedFromHead => &["publish_many", "tx_large_snapshots"],
        ExtensionLinkedSeparately | ExtensionUnlinkedFirst => &["publish_many"],
        ExtensionNotInternal => &["tx_large_snapshots"],
        RedoTerminatorMissing => &["publish_again"],
        RedoNotCleared | RedoOfFirstLaneOnly => &["two_lanes"],
        RollbackOfFirstLaneOnly => &["second_lane"],
        UndoBeforeRedo | CommitLogWithoutGeneration | CommitInTwoSteps => &["tx_objects"],
        UncommittedKept | TxFreeAtOnce => &["tx_objects"],
        RollbackKeepsGeneration | UndoSumMissing | UndoSumWithoutGeneration => &["tx_snapshots"],
        UndoLengthShort | CommitKeepsGeneration | CommitRangeShort => &["tx_snapshots"],
        UndoSumUnchecked | UndoSumHeaderOnly => &["tx_snapshots", "tx_stale_log"],
        UndoZerosKept => &["tx_forged_far"],
        UndoNoStopLine => &["tx_forged_log", "tx_stale_log"],
        AbortKeepsGeneration | AbortGenerationFirst => &["tx_abort"],
        TxPublishedHeader => &["tx_publish"],
        RangesLoseFlush => &["tx_no_flush"],
        LentBufferFreed | LentRedoKept | LentUndoKept => &["buffers"],
        ValuesBeforeBlocks => &["publish"],
        HeaderNotCompared | HeaderOfCancelled => &["reused_headers"],
        HeadersAheadNotDrained | HeadersAheadOverOthers | HeaderForgotten => &["headers_ahead"],
        HeaderInside | BesideHeaderForgotten => &["reused_headers"],
        AllocBitsShort => &["multi_unit"],
        SplitLeftFirst => &["huge"],
        MergeAtBlock => &["coalesce"],
        RunHeaderFirst | RunPartsMissing | RunTailFree => &["classes"],
        EmptyRunKept => &["reclaimed_chunks"],
        ZoneMagicFirst => &["new_zone"],
        GrowSizeFirst => &["growth"],
        ReallocCopyLate | ReallocFreeLate => &["realloc"],
        RootSizeFirst => &["root"],
        ListInHalves | ListElementLate => &["lists"],
        DefragCopyLate | DefragPointersFirst => &["defrag"],
        RunIdKept => &["locks"],
        _ => &[CREATE],
    }
}

/// The sources of the library, without white space.
fn sources(dir: &std::path::Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &sources(&path);
        } else {
            text.extend(std::fs::read_to_string(path).unwrap().split_whitespace());
        }
    }
    text
}

/// A defect whose place went would be noticed by nobody: it is sound.
#[test]
fn every_defect_has_a_place() {
    let src = sources(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let placed =
        |d: &Defect| [')', ','].iter().any(|end| src.contains(&format!("defect!({}{end}", d.name())));
    let lost: Vec<_> = Defect::ALL.iter().filter(|d| !placed(d)).collect();
    assert!(lost.is_empty(), "no `defect!` in the library for {lost:?}");
}

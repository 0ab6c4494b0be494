//! The table of mutants: docs/mutants.md.

use std::fmt::Write;

use super::{Change, Mutant, Verdict};

/// Parts of the messages of judge and scenarios, and which check says so. The
/// first that is found counts.
const CHECKS: &[(&str, &str)] = &[
    ("crash in recovery", "a second crash, in recovery"),
    ("unexpected content", "content is neither that before nor that after"),
    ("leaked: internal", "heap: a log is leaked"),
    ("not idle", "logs idle after recovery"),
    ("looks initialised", "locks of an earlier run"),
    ("not marked so", "shutdown state"),
    ("marked as closed", "shutdown state"),
    ("check", "pmemobj_check"),
    ("iteration finds", "iteration"),
    ("handed out twice", "operations after recovery"),
    ("more changes", "operations after recovery"),
    ("reserved words", "format of a new pool"),
    ("the log at", "format of a new pool"),
    ("that are none", "a complete pool opens"),
    ("open:", "recovery refuses the pool"),
    ("zone header", "heap: reader"),
    ("chunk", "heap: reader"),
    ("object at", "heap: reader"),
    ("root at", "heap: reader"),
    ("died", "the scenario itself fails"),
];

fn check(message: &str) -> &'static str {
    // What is in front says where, and may contain any of the words.
    let what = message.split(" state ").nth(1).and_then(|t| t.split_once(": ")).map_or(message, |t| t.1);
    let found = CHECKS.iter().find(|c| what.contains(c.0));
    found.map_or("the test's own assertion", |c| c.1)
}

pub fn markdown(rows: &[(&Mutant, &Verdict)]) -> String {
    let mut t = String::from(HEAD);
    let noticed = rows.iter().filter(|r| r.1.noticed).count();
    writeln!(t, "{} mutants: {noticed} noticed, {} as expected not.\n", rows.len(), rows.len() - noticed)
        .unwrap();
    section(&mut t, "Defects put in by hand", rows, |m| matches!(m.change, Change::Defect(_)));
    section(&mut t, "Flushes and fences", rows, |m| {
        matches!(m.change, Change::Site(_)) && m.excuse.is_none()
    });
    t.push_str("## Not noticed, and why not\n\n| mutant | reason | states |\n|---|---|---|\n");
    for (m, v) in rows.iter().filter(|r| r.0.excuse.is_some()) {
        writeln!(t, "| {} | {} | {} |", m.what, m.excuse.unwrap_or(""), v.states).unwrap();
    }
    t
}

fn section(t: &mut String, title: &str, rows: &[(&Mutant, &Verdict)], wanted: impl Fn(&Mutant) -> bool) {
    write!(t, "## {title}\n\n| mutant | noticed by | check | states |\n|---|---|---|---|\n").unwrap();
    for (m, v) in rows.iter().filter(|r| wanted(r.0)) {
        let states = if v.states > 0 { v.states.to_string() } else { "–".into() };
        writeln!(t, "| {} | `{}` | {} | {states} |", m.what, v.by, check(&v.message)).unwrap();
    }
    t.push('\n');
}

const HEAD: &str = "\
# Mutants

Written by `make mutants`: the library with one defect at a time, the scenario
or test that noticed it, the check that failed, and after how many crash states
(– where no state was needed, or a test of its own notices).

";

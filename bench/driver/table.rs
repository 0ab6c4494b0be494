//! Tables in Markdown.

use std::fmt::Write;

use crate::run::Row;

fn mean(ratios: impl Iterator<Item = f64>) -> f64 {
    let logs: Vec<f64> = ratios.filter(|r| r.is_finite() && *r > 0.0).map(f64::ln).collect();
    (logs.iter().sum::<f64>() / logs.len() as f64).exp()
}

/// Three digits that matter.
fn number(v: f64) -> String {
    match v.abs() {
        a if a >= 100.0 => format!("{v:.0}"),
        a if a >= 10.0 => format!("{v:.1}"),
        a if a >= 1.0 || a == 0.0 => format!("{v:.2}"),
        _ => format!("{v:.3}"),
    }
}

fn ratio(r: f64) -> String {
    if r.is_finite() { format!("{r:.2}") } else { "–".into() }
}

/// Values of both, ratios, and their geometric mean over the rows whose name
/// starts with one of `mean_of`.
pub fn ratios(rows: &[Row], mean_of: &[&str]) -> String {
    let mut text = String::from("| | PMDK | pmem-rs | unit | ratio |\n|---|---|---|---|---|\n");
    for r in rows {
        let (a, b) = (number(r.median(0)), number(r.median(1)));
        let _ = writeln!(text, "| {} | {a} | {b} | {} | {} |", r.name, r.unit, ratio(r.ratio()));
    }
    if !mean_of.is_empty() {
        let counted = rows.iter().filter(|r| counts_in(&r.name, mean_of));
        let _ = writeln!(text, "| **geometric mean** | | | | **{}** |", ratio(mean(counted.map(Row::ratio))));
    }
    text
}

/// Whether a row is one that a mean is taken over.
fn counts_in(name: &str, mean_of: &[&str]) -> bool {
    mean_of.iter().any(|prefix| name.starts_with(prefix))
}

/// Pairs "PMDK → pmem-rs" of each count of a scenario, and the mean of the
/// instructions over the rows whose name starts with one of `mean_of`.
pub fn counts(rows: &[Row], mean_of: &[&str]) -> String {
    const COUNTS: [&str; 5] = ["instructions", "flushes", "streamed", "fences", "locked"];
    let mut text = String::from(
        "| | instructions | ratio | flushed lines | streamed lines | fences | locked instructions |\n\
         |---|---|---|---|---|---|---|\n",
    );
    let mut counted = Vec::new();
    for first in rows.iter().filter(|r| r.name.ends_with(" instructions")) {
        let scenario = first.name.trim_end_matches(" instructions");
        let _ = write!(text, "| {scenario} ");
        for what in COUNTS {
            let Some(r) = rows.iter().find(|r| r.name == format!("{scenario} {what}")) else { continue };
            let lines = if what == "streamed" { 64.0 } else { 1.0 };
            let (a, b) = (r.median(0) / lines, r.median(1) / lines);
            let _ = write!(text, "| {} → {} ", short(a), short(b));
            if what == "instructions" {
                let _ = write!(text, "| {} ", ratio(b / a));
                counted.extend(counts_in(scenario, mean_of).then_some(b / a));
            }
        }
        text.push_str("|\n");
    }
    let _ = writeln!(text, "| **geometric mean** | | **{}** | | | | |", ratio(mean(counted.into_iter())));
    text
}

fn short(v: f64) -> String {
    if v >= 100.0 || v.fract() == 0.0 { format!("{v:.0}") } else { format!("{v:.1}") }
}

/// Both sides' rounds measured the same machine; shares of its bandwidth are
/// the library's own.
pub fn machine(rows: &[Row]) -> String {
    let mut text = String::from("| | | unit |\n|---|---|---|\n");
    for r in rows {
        let value = if r.unit.starts_with('%') {
            format!("PMDK {}, pmem-rs {}", number(r.median(0)), number(r.median(1)))
        } else {
            number(r.values.iter().flatten().copied().fold(f64::NAN, |a, b| match r.unit.as_str() {
                "ns" => a.min(b),
                _ => a.max(b),
            }))
        };
        let _ = writeln!(text, "| {} | {value} | {} |", r.name, r.unit);
    }
    text
}

//! Exact counts of key scenarios, compared with the committed table.

use std::fmt::Write;
use std::path::Path;

use crate::run::{self, Scratch};
use crate::{Result, top};

/// Groups of the program, and their scenarios.
const SCENARIOS: [(&str, &[&str]); 2] = [
    (
        "objects",
        &[
            "tx_empty",
            "tx_add/8",
            "tx_add_many/16",
            "tx_alloc_free/64",
            "alloc_free/64",
            "reserve_publish8/64",
            "reserve_fill8/64",
            "alloc_fill/64",
            "list_insert_remove",
        ],
    ),
    (
        "copies",
        &["pmem_memcpy_odd/1032", "pmem_memcpy_odd/4104", "pmem_memcpy_ends/256", "pmem_memmove_ends/256"],
    ),
];
const COUNTS: [&str; 4] = ["flushes", "fences", "streamed", "instructions"];

/// Instructions may differ by this share: compilers and C libraries do.
const MARGIN: f64 = 0.03;

/// What every x86-64 has, and what CPUs of persistent memory have: name, what
/// the CPU needs, environment.
type Variant = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);
const VARIANTS: [Variant; 2] = [
    (
        "portable",
        &[],
        &[
            ("PMEM_NO_CLWB", "1"),
            ("PMEM_NO_CLFLUSHOPT", "1"),
            ("PMEM_AVX", "0"),
            ("PMEM_AVX512F", "0"),
            ("PMEM_WC_WORKAROUND", "0"),
            ("PMEM_NO_FLUSH", "0"),
        ],
    ),
    ("clwb-avx512", &["clwb", "avx512f"], &[("PMEM_NO_FLUSH", "0")]),
];

/// (variant, scenario, counts in the order of [`COUNTS`]).
type Line = (String, String, Vec<f64>);

fn measure() -> Result<Vec<Line>> {
    let scratch = Scratch::new(Path::new("/dev/shm"))?;
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut lines = Vec::new();
    for (variant, needs, env) in VARIANTS {
        if needs.iter().any(|flag| !info.split_whitespace().any(|f| f == *flag)) {
            println!("counts: this CPU lacks {}: {variant} is left as it is", needs.join(" or "));
            continue;
        }
        let env: Vec<_> = env.iter().copied().chain([("PMEM_IS_PMEM_FORCE", "1")]).collect();
        for (group, scenarios) in SCENARIOS {
            let pool = scratch.file("pool");
            let args = [&["bench", "-c", "-g", group, &pool], scenarios].concat();
            let args: Vec<_> = args.into_iter().map(String::from).collect();
            let rows = run::program(&args, &run::libraries()[1], &env)?;
            for &scenario in scenarios {
                let value = |what| {
                    let name = format!("{scenario} {what}");
                    let row = rows.iter().find(|r| r.name == name);
                    row.map(|r| r.value).ok_or_else(|| format!("bench counted no {name}"))
                };
                let values = COUNTS.into_iter().map(value).collect::<Result<Vec<f64>>>()?;
                lines.push((variant.to_owned(), scenario.to_owned(), values));
            }
        }
    }
    Ok(lines)
}

fn parse(text: &str) -> Result<Vec<Line>> {
    let lines = text.lines().filter(|l| !l.starts_with('#'));
    let lines = lines.map(|line| {
        let parts: Vec<_> = line.split('\t').collect();
        let values: Option<Vec<f64>> = parts.iter().skip(2).map(|v| v.parse().ok()).collect();
        match values {
            Some(values) if values.len() == COUNTS.len() => Ok((parts[0].into(), parts[1].into(), values)),
            _ => Err(format!("bench/counts.tsv: a strange line: {line}")),
        }
    });
    lines.collect()
}

fn committed() -> Result<Vec<Line>> {
    let path = top().join("bench/counts.tsv");
    parse(&std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?)
}

/// What differs between the committed and the measured counts.
fn differences(expected: &[Line], found: &[Line]) -> Vec<String> {
    let mut all = Vec::new();
    for (variant, scenario, values) in found {
        let Some((.., want)) = expected.iter().find(|(v, s, _)| v == variant && s == scenario) else {
            all.push(format!("{scenario} ({variant}) is not in the table"));
            continue;
        };
        for ((what, want), got) in COUNTS.iter().zip(want).zip(values) {
            let margin = if *what == "instructions" { MARGIN * want } else { 0.001 };
            if (got - want).abs() > margin {
                all.push(format!("{scenario} ({variant}): {want} {what} per operation, now {got}"));
            }
        }
    }
    all
}

/// Fails if a scenario needs another number of flushes or fences than the
/// table says, or clearly more or fewer instructions.
pub fn check() -> Result<()> {
    let found = measure()?;
    let all = differences(&committed()?, &found);
    if all.is_empty() {
        println!("counts: {} scenarios cost what bench/counts.tsv says", found.len());
        return Ok(());
    }
    Err(format!(
        "the cost of operations changed:\n  {}\n\
         More is a regression. Fewer fences or flushes need a proof that none of them was\n\
         needed (docs/crash-consistency.md). If the change is meant: make bench-counts, and commit.",
        all.join("\n  ")
    ))
}

/// Writes the table; what this CPU cannot count stays as it was.
pub fn update() -> Result<()> {
    let mut lines = measure()?;
    let old = committed().unwrap_or_default();
    lines.extend(old.into_iter().filter(|(v, ..)| VARIANTS.iter().any(|(name, ..)| name == v)));
    let mut text = format!("# make bench-counts. Per operation: variant, scenario, {}\n", COUNTS.join(", "));
    for (variant, ..) in VARIANTS {
        for &scenario in SCENARIOS.iter().flat_map(|(_, scenarios)| *scenarios) {
            if let Some((.., values)) = lines.iter().find(|(v, s, _)| v == variant && s == scenario) {
                let values: Vec<_> = values.iter().map(f64::to_string).collect();
                let _ = writeln!(text, "{variant}\t{scenario}\t{}", values.join("\t"));
            }
        }
    }
    let path = top().join("bench/counts.tsv");
    std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))
}

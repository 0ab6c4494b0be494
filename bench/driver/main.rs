//! Compares pmem-rs with the genuine PMDK: `cargo run --example bench -- COMMAND`.
//!
//! - `report [--rounds N] [--document] [SUITE...]` runs the suites on both
//!   libraries in turn, prints the tables, and draws them into `target/bench`;
//!   with `--document` the tables also go into `docs/performance.md`.
//! - `counts [--update]` compares exact counts of a few key scenarios with the
//!   committed `bench/counts.tsv`, or writes it.
//!
//! The programs are `bench/*.c`; `make` builds them.

mod chart;
mod counts;
mod document;
mod machine;
mod run;
mod suites;
mod table;

use std::path::Path;
use std::process::ExitCode;

type Result<T> = std::result::Result<T, String>;

/// The repository.
fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.split_first().map(|(c, rest)| (c.as_str(), rest)) {
        Some(("report", rest)) => report(rest),
        Some(("counts", [])) => counts::check(),
        Some(("counts", [update])) if update == "--update" => counts::update(),
        _ => Err("usage: bench report [--rounds N] [--document] [SUITE...] | counts [--update]".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("bench: {e}");
            ExitCode::FAILURE
        }
    }
}

fn report(args: &[String]) -> Result<()> {
    let (mut rounds, mut document, mut names) = (5, false, Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => {
                let n = args.next().and_then(|n| n.parse().ok()).filter(|&n| n > 0);
                rounds = n.ok_or("--rounds wants a number")?;
            }
            "--document" => document = true,
            name => names.push(name),
        }
    }
    let out = top().join("target/bench");
    std::fs::create_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    let machine = machine::describe();
    println!("{machine}");
    if document {
        document::replace("machine", &machine)?;
    }
    for suite in suites::ALL.iter().filter(|s| names.is_empty() || names.contains(&s.name)) {
        let rows = run::suite(suite, rounds)?;
        let text = match suite.kind {
            suites::Kind::Counts => table::counts(&rows, suite.mean_of),
            suites::Kind::Machine => table::machine(&rows),
            suites::Kind::Ratios => table::ratios(&rows, suite.mean_of),
        };
        println!("\n## {}\n\n{text}", suite.title);
        chart::draw(suite, &rows, &out.join(format!("{}.svg", suite.name)))?;
        if document {
            document::replace(suite.name, &text)?;
        }
    }
    println!("\nCharts: {}/*.svg", out.display());
    Ok(())
}

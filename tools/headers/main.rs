//! Generates the public headers: `cargo run --example headers [DIRECTORY]`
//! (default `include`).
//!
//! A template of this directory is the header with what cbindgen cannot
//! express, written by hand, and marks where the rest goes:
//!
//! - `@types FILE@`: constants, enums and structs of `src/capi/FILE`;
//! - `@functions FILE@`: its exported functions, those of `shim.c` that it
//!   declares included, less those that a template declares by hand.
//!
//! A header without a template is written by hand.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use cbindgen::{Builder, Config, ItemType};

const TYPES: [ItemType; 5] =
    [ItemType::Constants, ItemType::Enums, ItemType::Structs, ItemType::Unions, ItemType::Typedefs];

fn main() {
    let out = PathBuf::from(env::args().nth(1).unwrap_or_else(|| "include".into()));
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = Config::from_file(top.join("tools/headers/cbindgen.toml")).expect("cbindgen.toml");
    let templates = templates(&top.join("tools/headers"));
    let by_hand: HashSet<&str> = templates.iter().flat_map(|(_, text)| declared(text)).collect();
    for (name, template) in &templates {
        let header: String = template
            .split_inclusive('\n')
            .map(|line| match line.trim().strip_prefix('@').and_then(|l| l.strip_suffix('@')) {
                Some(marker) => {
                    let (what, file) = marker.split_once(' ').expect("@WHAT FILE@");
                    generate(&config, &top.join("src/capi").join(file), what, &by_hand)
                }
                None => line.to_owned(),
            })
            .collect();
        let path = out.join(name);
        fs::create_dir_all(path.parent().expect("a file in a directory")).expect("the output directory");
        fs::write(path, header).expect("writing a header");
    }
}

/// Names of headers and their templates.
fn templates(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for sub in ["", "libpmemobj"] {
        for entry in fs::read_dir(dir.join(sub)).expect("the templates") {
            let path = entry.expect("a template").path();
            if path.extension().is_some_and(|e| e == "in") {
                let name = path.strip_prefix(dir).expect("inside").with_extension("");
                found.push((name, fs::read_to_string(&path).expect("a template")));
            }
        }
    }
    found.sort();
    found
}

/// The functions that a template declares: a name before `(`, in a line that
/// starts a declaration.
fn declared(template: &str) -> impl Iterator<Item = &str> {
    template
        .lines()
        .filter(|l| l.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
        .filter_map(|l| l.split_once('(')?.0.rsplit([' ', '*']).next())
}

/// The functions in Rust source that are no part of the API.
fn internal(source: &str) -> impl Iterator<Item = &str> {
    source
        .split("fn ")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(rest))
        .filter(|name| {
            let public = ["pmem_", "pmemobj_", "_pobj_"].iter().any(|p| name.starts_with(p));
            !public || name.contains("_rs_")
        })
}

fn generate(config: &Config, file: &Path, what: &str, by_hand: &HashSet<&str>) -> String {
    let mut config = config.clone();
    match what {
        "types" => config.export.item_types = TYPES.to_vec(),
        "functions" => {
            let source = fs::read_to_string(file).expect("a source");
            let others = internal(&source).chain(by_hand.iter().copied()).map(str::to_owned);
            config.export.exclude.extend(others);
            config.export.item_types = vec![ItemType::Functions];
        }
        _ => panic!("@{what}@"),
    }
    let mut text = Vec::new();
    let bindings = Builder::new().with_config(config).with_src(file).generate();
    bindings.unwrap_or_else(|e| panic!("{}: {e}", file.display())).write(&mut text);
    style(&String::from_utf8(text).expect("UTF-8"))
}

/// The text as one writes C: comments of one line, tabs, `unsigned`, `1U` (which
/// bindgen can evaluate, unlike a cast), and constants one below the other.
fn style(text: &str) -> String {
    let text = text
        .replace("unsigned int", "unsigned")
        .replace("(unsigned)1 ", "1U ")
        .replace("        ", "\t")
        .replace("\nextern ", "\n");
    let lines: Vec<&str> = text.trim().lines().collect();
    let mut out: Vec<String> = Vec::new();
    let mut rest = lines.as_slice();
    while let Some((line, tail)) = rest.split_first() {
        rest = tail;
        let indent = &line[..line.len() - line.trim_start().len()];
        match (line.trim(), tail) {
            ("/**", [comment, end, after @ ..]) if end.trim() == "*/" => {
                out.push(format!("{indent}/* {} */", comment.trim().trim_start_matches("* ")));
                rest = after;
            }
            ("", [next, ..])
                if next.starts_with("#define") && out.last().is_some_and(|l| l.starts_with("#define")) => {}
            _ => out.push((*line).to_owned()),
        }
    }
    out.join("\n") + "\n"
}

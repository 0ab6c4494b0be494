//! The public headers, item by item, against those of Debian's PMDK: each type
//! with its size, alignment and field offsets, each enumerator, each constant
//! that libclang can evaluate, each function's signature.
//!
//! Macros that are no plain constants are compared by capi-tests/headers.

use std::collections::BTreeMap;
use std::path::Path;

use quote::ToTokens;
use syn::visit_mut::{self, VisitMut};

const ALL: &str = "#include <libpmem.h>\n#include <libpmemobj.h>\n";

/// What the headers declare, by kind and name.
type Items = BTreeMap<String, String>;

fn items(include: &Path) -> Items {
    let code = bindgen::Builder::default()
        .header_contents("all.h", ALL)
        .clang_arg(format!("-I{}", include.display()))
        .clang_arg("-DPMEMOBJ_DIRECT_NON_INLINE")
        .allowlist_item("_?(pmem|pobj|PMEM|POBJ|TX_|OID_|D_R|MAX_).*")
        .generate_comments(false)
        .layout_tests(true)
        .formatter(bindgen::Formatter::None)
        .generate()
        .expect("headers that compile")
        .to_string();
    let mut file = syn::parse_file(&code).expect("bindgen's Rust");
    Nameless.visit_file_mut(&mut file);
    let mut found = Items::new();
    for item in file.items {
        match item {
            syn::Item::ForeignMod(block) => {
                for item in block.items {
                    insert(&mut found, &item);
                }
            }
            // Of the traits that bindgen derives: nothing of the header.
            syn::Item::Impl(_) => {}
            item => insert(&mut found, &item),
        }
    }
    found
}

/// Keyed by kind and name, of a layout's checks by the type that they are of.
fn insert(items: &mut Items, item: &impl ToTokens) {
    let text = item.to_token_stream().to_string();
    let key = match text.split_once("\"Size of ") {
        Some((_, rest)) => format!("layout of {}", rest.split('"').next().unwrap_or(rest)),
        None => {
            let words = text.split_whitespace().skip_while(|w| *w != "pub").filter(|w| *w != "mut");
            words.take(3).collect::<Vec<_>>().join(" ")
        }
    };
    let clash = items.insert(key, text);
    assert_eq!(clash, None, "two items of one name");
}

/// Removes the names of parameters, which are no part of the contract.
struct Nameless;

impl VisitMut for Nameless {
    fn visit_fn_arg_mut(&mut self, arg: &mut syn::FnArg) {
        if let syn::FnArg::Typed(arg) = arg {
            *arg.pat = syn::parse_quote!(_);
        }
        visit_mut::visit_fn_arg_mut(self, arg);
    }

    fn visit_bare_fn_arg_mut(&mut self, arg: &mut syn::BareFnArg) {
        arg.name = None;
        visit_mut::visit_bare_fn_arg_mut(self, arg);
    }
}

/// The log of the 2.x releases, which 1.12.1 does not have.
fn newer(key: &str) -> bool {
    ["pmem_log_", "pmemobj_log_", "PMEM_LOG_", "PMEMOBJ_LOG_"].iter().any(|name| key.contains(name))
}

/// In CI everything is there.
fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{why}");
    println!("skipped: {why}");
}

#[test]
fn equal_to_debians() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let debian = top.join("target/pmdk/root/usr/include");
    if !debian.join("libpmemobj.h").exists() {
        return skip("PMDK's headers are not here (tools/fetch-pmdk)");
    }
    // bindgen panics if there is no libclang.
    if std::panic::catch_unwind(bindgen::clang_version).is_err() {
        return skip("libclang is not here (apt-get install libclang-dev)");
    }
    let (want, got) = (items(&debian), items(&top.join("include")));
    let mut differences = Vec::new();
    for (key, want) in &want {
        match got.get(key) {
            None => differences.push(format!("missing: {want}")),
            Some(got) if got != want => differences.push(format!("{want}\n   ours: {got}")),
            Some(_) => {}
        }
    }
    for (key, got) in &got {
        if !want.contains_key(key) && !newer(key) {
            differences.push(format!("only ours: {got}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let functions = want.keys().filter(|key| key.starts_with("pub fn")).count();
    assert!(functions > 100, "only {functions} functions were compared");
}

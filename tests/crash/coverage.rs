//! Which flushes and fences of the library the states stopped at. What there
//! is to stop at is found in the source: the recorder's file and all functions
//! that pass their caller on to it, `track_caller`, are primitives, and calls of
//! them by other functions are the sites.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// What no crash of a pool passes, and why: the start of `FILE FUNCTION`.
const ELSEWHERE: &[(&str, &str)] = &[
    ("src/flush/", "beneath the recorder"),
    ("src/capi/libpmem.rs ", "libpmem has no pools"),
    ("src/pool/create.rs Creation::drop", "no step between mapping and describing a pool fails"),
];

/// A function by name, number of arguments without `self`, and its file if it
/// has no `self`: such primitives are private.
type Name = (String, usize, String);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Does {
    flush: bool,
    fence: bool,
}

impl Does {
    fn both(self, other: Does) -> Does {
        Does { flush: self.flush || other.flush, fence: self.fence || other.fence }
    }
}

struct Call {
    name: Name,
    /// `line:column` as the compiler gives it to the callee.
    at: (usize, usize),
}

/// A function and the calls in it.
struct Function {
    name: Name,
    /// With its type.
    full_name: String,
    file: String,
    /// It passes its caller on.
    tracks: bool,
    does: Does,
    calls: Vec<Call>,
}

/// Collects the functions of a file.
struct Reader {
    file: String,
    of_type: String,
    functions: Vec<Function>,
}

fn has(attributes: &[syn::Attribute], text: &str) -> bool {
    let is = |a: &syn::Attribute| {
        let tokens = match &a.meta {
            syn::Meta::List(l) => format!("{} {}", quote::quote!(#l), l.tokens),
            m => quote::quote!(#m).to_string(),
        };
        tokens.contains(text)
    };
    attributes.iter().any(is)
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    has(attributes, "cfg (test)")
}

impl Reader {
    fn function(&mut self, attributes: &[syn::Attribute], sig: &syn::Signature, body: &syn::Block) {
        if is_test(attributes) {
            return;
        }
        let of_self = sig.receiver().is_some();
        let place = if of_self { String::new() } else { self.file.clone() };
        let name = (sig.ident.to_string(), sig.inputs.len() - of_self as usize, place);
        let full_name =
            if self.of_type.is_empty() { name.0.clone() } else { format!("{}::{}", self.of_type, name.0) };
        let tracks = has(attributes, "feature = \"recorder\" , track_caller");
        let (file, does) = (self.file.clone(), Does::default());
        self.functions.push(Function { name, full_name, file, tracks, does, calls: Vec::new() });
        let this = self.functions.len() - 1;
        let mut calls = Calls { function: &mut self.functions[this] };
        calls.visit_block(body);
    }
}

impl<'a> Visit<'a> for Reader {
    fn visit_item_mod(&mut self, m: &'a syn::ItemMod) {
        if !is_test(&m.attrs) {
            visit::visit_item_mod(self, m);
        }
    }

    fn visit_item_impl(&mut self, i: &'a syn::ItemImpl) {
        let ty = &i.self_ty;
        self.of_type = quote::quote!(#ty).to_string().split(' ').next().unwrap_or("").to_string();
        visit::visit_item_impl(self, i);
        self.of_type.clear();
    }

    fn visit_item_fn(&mut self, f: &'a syn::ItemFn) {
        self.function(&f.attrs, &f.sig, &f.block);
    }

    fn visit_impl_item_fn(&mut self, f: &'a syn::ImplItemFn) {
        self.function(&f.attrs, &f.sig, &f.block);
    }
}

struct Calls<'a> {
    function: &'a mut Function,
}

impl<'a> Visit<'a> for Calls<'_> {
    fn visit_expr_method_call(&mut self, c: &'a syn::ExprMethodCall) {
        let at = c.method.span().start();
        let name = (c.method.to_string(), c.args.len(), String::new());
        self.function.calls.push(Call { name, at: (at.line, at.column + 1) });
        visit::visit_expr_method_call(self, c);
    }

    fn visit_expr_call(&mut self, c: &'a syn::ExprCall) {
        if let syn::Expr::Path(p) = &*c.func {
            let path: Vec<_> = p.path.segments.iter().map(|s| s.ident.to_string()).collect();
            let at = c.span().start();
            match path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                [.., "recorder", "flush"] => self.function.does.flush = true,
                [.., "recorder", "drain"] => self.function.does.fence = true,
                [.., name] => {
                    let name = (name.to_string(), c.args.len(), self.function.file.clone());
                    self.function.calls.push(Call { name, at: (at.line, at.column + 1) });
                }
                [] => {}
            }
        }
        visit::visit_expr_call(self, c);
    }
}

fn read(dir: &Path, functions: &mut Vec<Function>) {
    let mut entries: Vec<_> = std::fs::read_dir(dir).expect("a directory").flatten().collect();
    entries.sort_by_key(|e| e.path());
    for path in entries.iter().map(|e| e.path()) {
        if path.is_dir() {
            read(&path, functions);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source file");
            let file = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("beneath").display().to_string();
            if file.ends_with("_tests.rs") {
                continue;
            }
            let parsed = syn::parse_file(&text).unwrap_or_else(|e| panic!("{file}: {e}"));
            let mut reader = Reader { file, of_type: String::new(), functions: Vec::new() };
            reader.visit_file(&parsed);
            functions.append(&mut reader.functions);
        }
    }
}

/// A call that flushes or fences, or both.
struct Site {
    file: String,
    function: String,
    at: (usize, usize),
    text: String,
    does: Does,
    elsewhere: Option<&'static str>,
}

impl Site {
    fn place(&self) -> String {
        format!("{}:{}:{}", self.file, self.at.0, self.at.1)
    }
}

/// All sites, in order.
fn sites() -> Vec<Site> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut functions = Vec::new();
    read(&root.join("src"), &mut functions);
    let mut primitives: BTreeMap<Name, Does> = BTreeMap::new();
    loop {
        let before = primitives.clone();
        for f in functions.iter().filter(|f| f.tracks) {
            let called = f.calls.iter().filter_map(|c| before.get(&c.name));
            let does = called.fold(f.does, |sum, does| sum.both(*does));
            let entry = primitives.entry(f.name.clone()).or_default();
            *entry = entry.both(does);
        }
        if primitives == before {
            break;
        }
    }
    let mut sites = Vec::new();
    for f in functions.iter().filter(|f| !f.tracks) {
        let text = std::fs::read_to_string(root.join(&f.file)).expect("just read");
        let known = |c: &&Call| primitives.contains_key(&c.name);
        for call in f.calls.iter().filter(known) {
            let id = format!("{} {}", f.file, f.full_name);
            sites.push(Site {
                file: f.file.clone(),
                function: f.full_name.clone(),
                at: call.at,
                text: text.lines().nth(call.at.0 - 1).unwrap_or("").trim().to_string(),
                does: primitives[&call.name],
                elsewhere: ELSEWHERE.iter().find(|e| id.starts_with(e.0)).map(|e| e.1),
            });
        }
    }
    sites
}

pub struct Coverage {
    sites: Vec<Site>,
    /// By `Flush FILE:LINE:COLUMN`, or `Fence`.
    states: BTreeMap<String, u64>,
}

impl Coverage {
    /// Of what a run counted.
    pub fn new(states: BTreeMap<String, u64>) -> Coverage {
        Coverage { sites: sites(), states }
    }

    fn count(&self, kind: &str, site: &Site) -> u64 {
        self.states.get(&format!("{kind} {}", site.place())).copied().unwrap_or(0)
    }

    /// Flushes and fences that no state stopped at, and those that were passed
    /// but not found in the source.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for s in self.sites.iter().filter(|s| s.elsewhere.is_none()) {
            for (kind, does) in [("Flush", s.does.flush), ("Fence", s.does.fence)] {
                if does && self.count(kind, s) == 0 {
                    missing.push(format!("{kind} {} in {}: `{}`: no state", s.place(), s.function, s.text));
                }
            }
        }
        let known: BTreeSet<String> = self.sites.iter().map(Site::place).collect();
        for passed in self.states.keys() {
            let place = passed.split(' ').nth(1).unwrap_or("");
            if place.starts_with("src/") && !known.contains(place) {
                missing.push(format!("{passed} was passed, but is not found in the source"));
            }
        }
        missing
    }

    /// Flushes and fences of pools.
    pub fn counts(&self) -> (usize, usize) {
        let ours = || self.sites.iter().filter(|s| s.elsewhere.is_none());
        (ours().filter(|s| s.does.flush).count(), ours().filter(|s| s.does.fence).count())
    }

    /// The table, as Markdown, without line numbers, which change often.
    pub fn table(&self) -> String {
        let mut t = String::from(
            "| file | function | call | states: flush | states: fence |\n|---|---|---|--:|--:|\n",
        );
        for s in self.sites.iter().filter(|s| s.elsewhere.is_none()) {
            let cell = |does, kind| if does { self.count(kind, s).to_string() } else { String::new() };
            let (flush, fence) = (cell(s.does.flush, "Flush"), cell(s.does.fence, "Fence"));
            let text = s.text.replace('|', "\\|");
            let _ = writeln!(t, "| {} | {} | `{text}` | {flush} | {fence} |", s.file, s.function);
        }
        t
    }

    /// What is not in the table, and why.
    pub fn elsewhere(&self) -> String {
        let mut t = String::new();
        for (start, why) in ELSEWHERE {
            let n = self.sites.iter().filter(|s| s.elsewhere == Some(why)).count();
            let _ = writeln!(t, "* `{}`, {n} calls: {why}", start.trim_end());
        }
        t
    }
}

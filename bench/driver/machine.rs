//! On what the figures were measured.

use std::fmt::Write;

/// A list of the machine's properties that matter here.
pub fn describe() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|l| l.starts_with(name));
        line.and_then(|l| l.split_once(": ")).map_or("unknown", |(_, v)| v)
    };
    let has = |flag: &str| field("flags").split(' ').any(|f| f == flag);
    let known = ["clflush", "clflushopt", "clwb", "avx", "avx512f", "movdir64b"];
    let found: Vec<_> = known.into_iter().filter(|f| has(f)).collect();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let mut text = String::new();
    let _ = writeln!(
        text,
        "* CPU: {} (family {}, model {}), {cores} cores",
        field("model name"),
        field("cpu family"),
        // "model name" starts alike.
        info.lines()
            .find(|l| l.starts_with("model\t"))
            .and_then(|l| l.split_once(": "))
            .map_or("?", |(_, v)| v)
    );
    let _ = writeln!(text, "* of its instructions, these matter here: {}", found.join(", "));
    let _ = writeln!(text, "* Linux {}", kernel.trim());
    text
}

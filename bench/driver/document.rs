//! Puts tables into `docs/performance.md`, between the marks
//! `<!-- begin NAME -->` and `<!-- end NAME -->`.

use crate::{Result, top};

pub fn replace(name: &str, text: &str) -> Result<()> {
    let path = top().join("docs/performance.md");
    let file = path.display();
    let old = std::fs::read_to_string(&path).map_err(|e| format!("{file}: {e}"))?;
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let (before, rest) = old.split_once(&begin).ok_or_else(|| format!("{file}: no {begin}"))?;
    let (_, after) = rest.split_once(&end).ok_or_else(|| format!("{file}: no {end}"))?;
    let new = format!("{before}{begin}\n{}\n\n{end}{after}", text.trim());
    std::fs::write(&path, new).map_err(|e| format!("{file}: {e}"))
}

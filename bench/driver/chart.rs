//! Bar charts of ratios, in SVG.

use std::path::Path;

use plotters::prelude::*;

use crate::Result;
use crate::run::Row;
use crate::suites::{Kind, Suite};

const BAR: i32 = 22;
const NAMES: i32 = 330;
const WIDTH: i32 = 900;
const TOP: i32 = 50;
/// Ratios up to this one are drawn to scale.
const MOST: f64 = 2.0;

/// A bar for each row: what pmem-rs needs where PMDK needs 1.
pub fn draw(suite: &Suite, rows: &[Row], path: &Path) -> Result<()> {
    let bars: Vec<(&str, f64)> = rows
        .iter()
        .filter(|r| suite.kind == Kind::Ratios || r.name.ends_with(" instructions"))
        .map(|r| (r.name.as_str(), r.ratio()))
        .filter(|(_, r)| r.is_finite())
        .collect();
    if bars.is_empty() {
        return Ok(());
    }
    render(suite.title, &bars, path).map_err(|e| format!("{}: {e}", path.display()))
}

fn render(
    title: &str,
    bars: &[(&str, f64)],
    path: &Path,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let height = TOP + BAR * bars.len() as i32 + 20;
    let area = SVGBackend::new(path, (WIDTH as u32, height as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let text = |size: i32| ("sans-serif", size).into_font().color(&BLACK);
    area.draw(&Text::new(format!("{title}: pmem-rs / PMDK, less is better"), (10, 8), text(17)))?;
    let x = |ratio: f64| NAMES + (ratio.min(MOST) / MOST * (WIDTH - NAMES - 60) as f64) as i32;
    for (i, (name, ratio)) in bars.iter().enumerate() {
        let y = TOP + BAR * i as i32;
        let color = match ratio {
            r if *r <= 0.5 => RGBColor(38, 140, 90),
            r if *r <= 1.0 => RGBColor(110, 170, 220),
            _ => RGBColor(200, 70, 60),
        };
        area.draw(&Text::new((*name).to_owned(), (10, y + 3), text(13)))?;
        area.draw(&Rectangle::new([(NAMES, y + 2), (x(*ratio), y + BAR - 2)], color.filled()))?;
        area.draw(&Text::new(format!("{ratio:.2}"), (x(*ratio) + 5, y + 3), text(13)))?;
    }
    for mark in [0.5, 1.0] {
        let line = vec![(x(mark), TOP - 14), (x(mark), height - 15)];
        area.draw(&PathElement::new(line, BLACK.stroke_width(1)))?;
        area.draw(&Text::new(mark.to_string(), (x(mark) + 3, TOP - 18), text(12)))?;
    }
    area.present()?;
    Ok(())
}

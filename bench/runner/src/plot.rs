//! The table as a picture: a panel per row, a bar per stack, as an SVG with a background of its own, so that it can be
//! read on a light page and on a dark one.

use std::fmt::{Result, Write};

use crate::{
    measure::Sample,
    plan::{BASE, Row, STACKS, Stack},
    table::{Line, digits},
};

/// Draws every row that has figures.
pub(crate) fn svg(rows: &[&'static Row], samples: &[Sample]) -> String {
    let panels: Vec<Panel> = rows
        .iter()
        .map(|row| Panel::new(row, samples))
        .filter(|panel| panel.bars.iter().any(|bar| bar.value.is_some()))
        .collect();
    let mut out = String::new();
    draw(&mut out, &panels).expect("a string takes everything");
    out
}

struct Panel {
    row: &'static Row,
    bars: Vec<Bar>,
}

struct Bar {
    stack: &'static Stack,
    value: Option<f64>,
    /// How many times better than rust-libp2p.
    times: Option<f64>,
}

impl Panel {
    fn new(row: &'static Row, samples: &[Sample]) -> Self {
        let of_row = || samples.iter().filter(|sample| sample.row == row.name);
        let stack = |name: &&str| STACKS.iter().find(|stack| stack.name == *name);
        let ran = |stack: &&Stack| of_row().any(|sample| sample.stack == stack.name);
        let bar = |stack: &'static Stack| {
            let line = Line::new(row, stack, samples);
            let times = (stack.name != BASE).then(|| line.against(BASE)).flatten();
            Bar {
                stack,
                value: line.figure(),
                times: times.map(|times| times.median),
            }
        };
        let bars = row.stacks.iter().filter_map(stack).filter(ran).map(bar);
        Self {
            row,
            bars: bars.collect(),
        }
    }

    fn height(&self) -> usize {
        PANEL_HEAD + self.bars.len() * BAR_STEP + PANEL_GAP
    }

    fn draw(&self, out: &mut String, left: usize, top: usize) -> Result {
        let figure = self.row.figure;
        let better = if figure.more_is_better {
            "more"
        } else {
            "less"
        };
        let title = escape(self.row.title);
        writeln!(out, r#"<g transform="translate({left} {top})">"#)?;
        writeln!(out, r#"<text class="title" y="14">{title}</text>"#)?;
        let unit = match figure.unit {
            "/s" => "per second",
            unit => unit,
        };
        let over = self.row.over_title();
        writeln!(
            out,
            r#"<text class="small" y="30">{over} · {unit}, {better} is better</text>"#
        )?;
        let longest = self
            .bars
            .iter()
            .filter_map(|bar| bar.value)
            .fold(0.0, f64::max);
        for (at, bar) in self.bars.iter().enumerate() {
            bar.draw(out, PANEL_HEAD + at * BAR_STEP, longest)?;
        }
        writeln!(out, "</g>")
    }
}

impl Bar {
    fn draw(&self, out: &mut String, top: usize, longest: f64) -> Result {
        let name = escape(self.stack.title.trim_start_matches("limit: "));
        let text = top + BAR_HEIGHT - 3;
        let strong = if self.stack.name == "carrick" {
            " strong"
        } else {
            ""
        };
        let end = NAME_WIDTH - 8;
        write!(
            out,
            r#"<text class="name{strong}" x="{end}" y="{text}">{name}</text>"#
        )?;
        let Some(value) = self.value else {
            return writeln!(
                out,
                r#"<text class="small" x="{NAME_WIDTH}" y="{text}">failed</text>"#
            );
        };
        let width = (value / longest * BAR_WIDTH as f64).max(1.0);
        let colour = colour(self.stack);
        write!(
            out,
            r#"<rect x="{NAME_WIDTH}" y="{top}" width="{width:.1}" height="{BAR_HEIGHT}" rx="2" fill="{colour}"/>"#
        )?;
        let x = NAME_WIDTH as f64 + width + 6.0;
        let times = self
            .times
            .map_or_else(String::new, |times| format!(" · {times:.1}×"));
        let value = digits(value);
        writeln!(
            out,
            r#"<text class="value{strong}" x="{x:.1}" y="{text}">{value}{times}</text>"#
        )
    }
}

fn draw(out: &mut String, panels: &[Panel]) -> Result {
    let lines: Vec<&[Panel]> = panels.chunks(COLUMNS).collect();
    let tall = |line: &&[Panel]| line.iter().map(Panel::height).max().unwrap_or(0);
    let width = 2 * MARGIN + COLUMNS * PANEL_WIDTH;
    let height = HEAD + lines.iter().map(tall).sum::<usize>() + MARGIN;
    writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">"#
    )?;
    writeln!(out, "<style>{STYLE}</style>")?;
    let (inner_width, inner_height) = (width - 1, height - 1);
    writeln!(
        out,
        r##"<rect x="0.5" y="0.5" width="{inner_width}" height="{inner_height}" rx="8" fill="#ffffff" stroke="#d0d7de"/>"##
    )?;
    writeln!(
        out,
        r#"<text class="small" x="{MARGIN}" y="26">Medians of one interleaved run; ×: how many times better than rust-libp2p in the same round.</text>"#
    )?;
    let mut top = HEAD;
    for line in lines {
        for (column, panel) in line.iter().enumerate() {
            panel.draw(out, MARGIN + column * PANEL_WIDTH, top)?;
        }
        top += tall(&line);
    }
    writeln!(out, "</svg>")
}

/// Carrick stands out, the limits step back.
fn colour(stack: &Stack) -> &'static str {
    match stack.name {
        "carrick" => "#e8590c",
        BASE => "#4c6ef5",
        "go" => "#15aabf",
        "litep2p" => "#845ef7",
        "carrick-tcp" => "#ffc078",
        name if name.starts_with("streams-") || name.starts_with("connections-") => "#e8590c",
        _ => "#adb5bd",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

const COLUMNS: usize = 2;
const MARGIN: usize = 20;
const HEAD: usize = 48;
const PANEL_WIDTH: usize = 470;
const PANEL_HEAD: usize = 38;
const PANEL_GAP: usize = 22;
const NAME_WIDTH: usize = 145;
const BAR_WIDTH: usize = 205;
const BAR_HEIGHT: usize = 14;
const BAR_STEP: usize = 19;
const STYLE: &str = "text{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#24292f}\
    .title{font-size:14px;font-weight:700}.small{fill:#57606a}.name{text-anchor:end}.strong{font-weight:700}";

#[cfg(test)]
mod tests;

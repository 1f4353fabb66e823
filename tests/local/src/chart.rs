//! A dashboard drawn as one SVG, on its own white ground.

use std::fmt::Write;

/// Width and height of one of the grid's cells, in pixels.
const CELL: (f64, f64) = (44.0, 42.0);
/// What is left free around a card's content.
const PADDING: f64 = 14.0;
/// Around and between cards.
const GAP: f64 = 10.0;
const TEXT: &str = "#1f2937";
const FAINT: &str = "#6b7280";
const GRID: &str = "#e5e7eb";
/// How wide a character of 12 pixels is, about: text is never to touch what follows.
const CHARACTER: f64 = 6.6;
/// How wide one of 11 pixels is.
const SMALL_CHARACTER: f64 = 6.0;
/// Height of a row of a table.
const ROW: f64 = 26.0;

/// A part of the picture: a title, and where it is on the grid.
#[derive(Clone, Debug)]
pub struct Card {
    /// Its title.
    pub title: String,
    /// `x`, `y`, `width` and `height`, in cells.
    pub place: [u32; 4],
    /// What is on it.
    pub content: Content,
}

/// What is on a card.
#[derive(Clone, Debug)]
pub enum Content {
    /// Names, each with whether it rings; `None` if that is not known.
    Alarms(Vec<(String, Option<bool>)>),
    /// Curves over time.
    Plot(Plot),
    /// Rows of text below their headings, each with the share of the width that it has.
    Table(Vec<(String, f64)>, Vec<Vec<String>>),
}

/// Curves over time.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Whether one stands upon the other.
    pub is_stacked: bool,
    /// The curves; each has a value, or none, for each period.
    pub curves: Vec<Curve>,
    /// Lines across: name, value, colour.
    pub lines: Vec<(String, f64, String)>,
}

/// One curve.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Its name.
    pub label: String,
    /// Its colour.
    pub color: String,
    /// Its values.
    pub values: Vec<Option<f64>>,
}

/// Draws the cards. `times` name the ends of the periods; an empty one is not written. The `note` stands below.
pub fn draw(cards: &[Card], times: &[String], note: &str) -> String {
    let rows = cards.iter().map(|card| card.place[1] + card.place[3]).max().unwrap_or_default();
    let (width, bottom) = (24.0 * CELL.0 + GAP, f64::from(rows) * CELL.1 + GAP);
    let height = bottom + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    for card in cards {
        let [x, y, width, height] = card.place.map(f64::from);
        let area = Area {
            left: x * CELL.0 + GAP,
            top: y * CELL.1 + GAP,
            width: width * CELL.0 - GAP,
            height: height * CELL.1 - GAP,
        };
        let Area { left, top, width, height } = area;
        let _ = writeln!(
            svg,
            "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" rx=\"6\" fill=\"#fff\" stroke=\"#d1d5db\"/>"
        );
        let title = (left + PADDING, top + 22.0);
        words(&mut svg, title, &card.title, &format!("fill=\"{TEXT}\" font-size=\"13\" font-weight=\"600\""));
        let inner = Area {
            left: left + PADDING,
            top: top + 34.0,
            width: width - 2.0 * PADDING,
            height: height - 34.0 - PADDING,
        };
        match &card.content {
            Content::Alarms(alarms) => chips(&mut svg, inner, alarms),
            Content::Plot(plot) => curves(&mut svg, inner, plot, times),
            Content::Table(columns, rows) => table(&mut svg, inner, columns, rows),
        }
    }
    words(&mut svg, (GAP + PADDING, bottom + 19.0), note, &format!("fill=\"{FAINT}\""));
    svg.push_str("</svg>\n");
    svg
}

#[derive(Clone, Copy)]
struct Area {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

/// The alarms in columns, each with its state.
fn chips(svg: &mut String, area: Area, alarms: &[(String, Option<bool>)]) {
    const COLUMNS: usize = 6;
    let (width, height) = (area.width / f64::from(6_u8), area.height / f64::from(3_u8));
    for (index, (name, rings)) in alarms.iter().enumerate() {
        let (x, y) = (area.left + number(index % COLUMNS) * width, area.top + number(index / COLUMNS) * height);
        let (fill, stroke, state) = match rings {
            Some(true) => ("#fee2e2", "#d62728", "ALARM"),
            Some(false) => ("#f0fdf4", "#2ca02c", "OK"),
            None => ("#f9fafb", "#9ca3af", "no data"),
        };
        let (inner, middle) = (width - 8.0, y + height / 2.0 + 1.5);
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{inner:.1}\" height=\"{:.1}\" rx=\"4\" fill=\"{fill}\"/>\
             <rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"4\" height=\"{:.1}\" rx=\"2\" fill=\"{stroke}\"/>",
            height - 5.0,
            height - 5.0,
        );
        words(svg, (x + 12.0, middle), name, &format!("fill=\"{TEXT}\" font-size=\"11\""));
        let end = format!("fill=\"{stroke}\" font-weight=\"600\" font-size=\"10\" text-anchor=\"end\"");
        words(svg, (x + inner - 8.0, middle), state, &end);
    }
}

/// Curves with their grid, and below them their names with the last value of each.
fn curves(svg: &mut String, area: Area, plot: &Plot, times: &[String]) {
    let legend = legend(plot, area.width);
    let rows = legend.iter().map(|(row, ..)| row + 1).max().unwrap_or_default();
    let axis = 40.0;
    let frame = Area {
        left: area.left + axis,
        top: area.top + 4.0,
        width: area.width - axis - 4.0,
        height: area.height - 4.0 - 22.0 - 16.0 * number(rows),
    };
    let periods = times.len().max(2);
    let layers = layers(plot, periods);
    let most = layers.iter().flatten().filter_map(|(_, span)| Some(span.as_ref()?.1)).fold(0.0, f64::max);
    // A line that lies far above would press all else to the ground: it is named instead.
    let near = |value: f64| value <= most.max(1.0) * 4.0;
    let most = plot.lines.iter().map(|line| line.1 * 1.05).filter(|value| near(*value)).fold(most, f64::max);
    let step = step(most);
    let top = (most / step).ceil().max(1.0) * step;
    let height_of = |value: f64| frame.top + frame.height * (1.0 - value / top);
    let along = |index: usize| frame.left + frame.width * number(index) / number(periods - 1);

    let mut value = 0.0;
    while value <= top + step / 2.0 {
        let y = height_of(value);
        let (left, right) = (frame.left, frame.left + frame.width);
        let _ = write!(svg, "<path d=\"M{left:.1} {y:.1}H{right:.1}\" stroke=\"{GRID}\"/>");
        words(svg, (left - 7.0, y + 4.0), &figure(value), &format!("fill=\"{FAINT}\" text-anchor=\"end\""));
        value += step;
    }
    for (index, time) in times.iter().enumerate().filter(|(_, time)| !time.is_empty()) {
        let (x, y) = (along(index), frame.top + frame.height);
        let _ = write!(svg, "<path d=\"M{x:.1} {y:.1}v4\" stroke=\"#9ca3af\"/>");
        words(svg, (x, y + 16.0), time, &format!("fill=\"{FAINT}\" text-anchor=\"middle\""));
    }
    for (curve, layer) in plot.curves.iter().zip(&layers) {
        let color = &curve.color;
        for run in layer.split(|point| point.1.is_none()) {
            let points: Vec<(f64, f64, f64)> = run
                .iter()
                .filter_map(|(index, span)| span.map(|(low, high)| (along(*index), height_of(low), height_of(high))))
                .collect();
            if plot.is_stacked && points.iter().all(|(_, low, high)| low - high < 0.05) {
                continue;
            }
            let upper = points.iter().map(|(x, _, y)| format!("{x:.1} {y:.1}")).collect::<Vec<_>>().join("L");
            if plot.is_stacked {
                let lower = points.iter().rev().map(|(x, y, _)| format!("{x:.1} {y:.1}")).collect::<Vec<_>>().join("L");
                let _ = writeln!(svg, "<path d=\"M{upper}L{lower}Z\" fill=\"{color}\" fill-opacity=\".82\"/>");
            } else if let [(x, _, y)] = points[..] {
                let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\" fill=\"{color}\"/>");
            } else {
                let _ = writeln!(
                    svg,
                    "<path d=\"M{upper}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.8\" stroke-linejoin=\"round\"/>"
                );
            }
        }
    }
    for (label, value, color) in &plot.lines {
        let right = frame.left + frame.width;
        let anchor = format!("fill=\"{color}\" text-anchor=\"end\"");
        if near(*value) {
            let y = height_of(*value);
            let _ = writeln!(
                svg,
                "<path d=\"M{:.1} {y:.1}H{right:.1}\" stroke=\"{color}\" stroke-width=\"1.2\" stroke-dasharray=\"5 3\"/>",
                frame.left
            );
            words(svg, (right - 2.0, y - 5.0), &format!("{label}: {}", figure(*value)), &anchor);
        } else {
            words(svg, (right - 2.0, area.top - 12.0), &format!("{label}: {} ↑", figure(*value)), &anchor);
        }
    }
    let below = area.top + area.height - 16.0 * number(rows) + 14.0;
    for ((row, x, text), curve) in legend.iter().zip(&plot.curves) {
        let (x, y) = (area.left + x, below + 16.0 * number(*row));
        let _ = write!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"9\" height=\"9\" rx=\"2\" fill=\"{}\"/>",
            y - 8.5,
            curve.color
        );
        words(svg, (x + 14.0, y), text, &format!("fill=\"{TEXT}\""));
    }
}

/// A curve's periods, each with its span.
type Layer = Vec<(usize, Option<(f64, f64)>)>;

/// From where to where each curve reaches in each period: from the ground, or from the curve below.
fn layers(plot: &Plot, periods: usize) -> Vec<Layer> {
    let mut ground = vec![0.0; periods];
    let layer = |curve: &Curve| {
        let layer = |(index, low): (usize, &mut f64)| {
            let value = curve.values.get(index).copied().flatten();
            if !plot.is_stacked {
                return (index, value.map(|value| (0.0, value)));
            }
            let span = (*low, *low + value.unwrap_or_default());
            *low = span.1;
            (index, Some(span))
        };
        ground.iter_mut().enumerate().map(layer).collect()
    };
    plot.curves.iter().map(layer).collect()
}

/// Each curve's name with its last value: in which row, how far from the left, and what.
fn legend(plot: &Plot, width: f64) -> Vec<(usize, f64, String)> {
    let (mut row, mut x) = (0, 0.0);
    let mut legend = Vec::new();
    for curve in &plot.curves {
        let last = curve.values.iter().rev().flatten().next();
        let text = format!("{} {}", curve.label, last.map_or("–".to_owned(), |last| figure(*last)));
        let needs = 14.0 + number(text.chars().count()) * CHARACTER + 12.0;
        if x > 0.0 && x + needs > width {
            (row, x) = (row + 1, 0.0);
        }
        legend.push((row, x, text));
        x += needs;
    }
    legend
}

fn table(svg: &mut String, area: Area, columns: &[(String, f64)], rows: &[Vec<String>]) {
    let mut line = |y: f64, cells: &[String], style: &str| {
        let mut x = area.left;
        for ((_, share), cell) in columns.iter().zip(cells) {
            let room = share * area.width;
            let most = std::iter::successors(Some(1_usize), |n| Some(n + 1));
            let most = most.take_while(|n| number(n + 2) * SMALL_CHARACTER <= room).count();
            let text: String = match cell.char_indices().nth(most) {
                Some((end, _)) => format!("{}…", cell.get(..end).unwrap_or_default().trim_end()),
                None => cell.clone(),
            };
            words(svg, (x, y), &text, style);
            x += room;
        }
    };
    let heads: Vec<String> = columns.iter().map(|(head, _)| head.clone()).collect();
    line(area.top + 10.0, &heads, &format!("fill=\"{FAINT}\" font-size=\"11\" font-weight=\"600\""));
    let room = area.height - 22.0;
    let fits = |(index, _): &(usize, &Vec<String>)| number(index + 1) * ROW <= room;
    for (index, row) in rows.iter().enumerate().take_while(fits) {
        line(area.top + 35.0 + ROW * number(index), row, &format!("fill=\"{TEXT}\" font-size=\"11\""));
    }
    for (index, _) in rows.iter().enumerate().take_while(fits) {
        let y = area.top + 18.0 + ROW * number(index);
        let _ = writeln!(svg, "<path d=\"M{:.1} {y:.1}h{:.1}\" stroke=\"{GRID}\"/>", area.left, area.width);
    }
}

fn words(svg: &mut String, (x, y): (f64, f64), text: &str, style: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{text}</text>");
}

/// The distance of the grid's lines: 1, 2 or 5 times a power of ten, so that there are three to six of them.
fn step(most: f64) -> f64 {
    let rough = most.max(1.0) / 4.0;
    let power = 10_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let step = steps.into_iter().find(|step| *step >= rough).unwrap_or(power * 10.0);
    if step < 1.0 && most >= 1.0 { 1.0 } else { step }
}

/// A number for a person.
fn figure(value: f64) -> String {
    let digits = usize::from(value < 10.0 && value.fract() > 0.04);
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if rest.is_empty() { grouped } else { format!("{grouped}.{rest}") }
}

#[expect(clippy::cast_precision_loss, reason = "counts of what is drawn")]
fn number(count: usize) -> f64 {
    count as f64
}

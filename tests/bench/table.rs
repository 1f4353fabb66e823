//! What is shown of the samples: least, median and spread, in one table and in `target/bench.json`.

use std::io;

use serde_json::{Value, json};

/// One number of a part.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// In what.
    pub unit: &'static str,
    /// How much.
    pub value: f64,
    /// The share by which it may grow, if it does not depend on the machine's speed.
    pub margin: Option<f64>,
}

impl Figure {
    /// One that depends on the machine.
    pub fn new(name: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self { name: name.into(), unit, value, margin: None }
    }

    /// One that does not, and the share by which it may grow.
    pub fn counted(name: impl Into<String>, unit: &'static str, value: f64, margin: f64) -> Self {
        Self { name: name.into(), unit, value, margin: Some(margin) }
    }
}

/// All samples of one figure.
pub struct Row {
    /// Its part.
    pub part: &'static str,
    /// The figure, as it was at first.
    pub figure: Figure,
    /// Its samples.
    pub samples: Vec<f64>,
    /// Those of the other binary, in pairs with them.
    pub others: Vec<f64>,
}

impl Row {
    /// Part and figure.
    pub fn name(&self) -> String {
        format!("{}: {}", self.part, self.figure.name)
    }

    /// The samples as shares of the other binary's, pair by pair; none where there is no meaning in that.
    fn ratios(&self) -> Vec<f64> {
        let pairs = self.samples.iter().zip(&self.others);
        pairs.filter(|(sample, other)| **sample > 0.0 && **other > 0.0).map(|(sample, other)| sample / other).collect()
    }

    fn json(&self) -> Value {
        let mut row = json!({
            "part": self.part, "figure": self.figure.name, "unit": self.figure.unit, "samples": self.samples,
            "least": least(&self.samples), "median": median(&self.samples), "spread": spread(&self.samples),
        });
        if let (Some(fields), false) = (row.as_object_mut(), self.others.is_empty()) {
            let ratios = self.ratios();
            fields.insert("others".to_owned(), json!(self.others));
            fields.insert("ratio".to_owned(), json!({"median": median(&ratios), "spread": spread(&ratios)}));
        }
        row
    }
}

/// Adds a part's figures to the samples so far.
pub fn add(rows: &mut Vec<Row>, part: &'static str, figures: Vec<Figure>, is_other: bool) {
    for figure in figures {
        let value = figure.value;
        let index = rows.iter().position(|row| row.part == part && row.figure.name == figure.name);
        let index = index.unwrap_or_else(|| {
            rows.push(Row { part, figure, samples: Vec::new(), others: Vec::new() });
            rows.len() - 1
        });
        if let Some(row) = rows.get_mut(index) {
            let samples = if is_other { &mut row.others } else { &mut row.samples };
            samples.push(value);
        }
    }
}

/// The table's first lines.
pub fn head(compares: bool) -> String {
    let other = if compares { "      other  ratio  spread" } else { "" };
    format!("{:<74}{:>10}{:>11}{:>10}{other}", "", "least", "median", "spread")
}

/// A row of the table.
pub fn line(row: &Row) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), short);
    let (least, median_, spread_) = (least(&row.samples), middle(&row.samples), spread(&row.samples));
    let name = format!("{:<69}{:>5}", row.name(), row.figure.unit);
    let line = format!("{name}{:>10}{:>11}{:>10}", number(least), number(median_), number(spread_));
    if row.others.is_empty() {
        return line;
    }
    let ratios = row.ratios();
    let share = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    format!("{line}{:>11}{:>7}{:>8}", number(middle(&row.others)), share(middle(&ratios)), share(spread(&ratios)))
}

/// All of it, for other programs.
pub fn write(rows: &[Row], about: &Value) -> io::Result<()> {
    let rows: Vec<Value> = rows.iter().map(Row::json).collect();
    let text = format!("{:#}\n", json!({"about": about, "rows": rows}));
    std::fs::write(local::top().join("target/bench.json"), text)
}

/// With as many digits as say something.
pub fn short(value: f64) -> String {
    let digits = match value.abs() {
        1000.0.. => 0,
        100.0.. => 1,
        _ if value.fract() == 0.0 => 0,
        10.0.. => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

/// The middle value; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    middle(values).unwrap_or_default()
}

fn middle(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some(f64::midpoint(*values.get(last / 2)?, *values.get(last.div_ceil(2))?))
}

fn least(values: &[f64]) -> Option<f64> {
    values.iter().copied().min_by(f64::total_cmp)
}

/// The median of the distances from the median, if there are two or more.
fn spread(values: &[f64]) -> Option<f64> {
    let middle = middle(values).filter(|_| values.len() > 1)?;
    self::middle(&values.iter().map(|value| (value - middle).abs()).collect::<Vec<_>>())
}

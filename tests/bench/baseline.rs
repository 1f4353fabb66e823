//! Whether what does not depend on the machine's speed has grown: the counts, against those that were accepted.

use std::{collections::BTreeMap, env::consts::ARCH, io};

use serde_json::{Value, json};

use crate::{
    machine::VALGRIND,
    table::{Row, median, short},
};

const FILE: &str = "tests/bench/baseline.json";

/// A count as it was accepted, and the share by which it may be more.
struct Accepted {
    value: f64,
    margin: f64,
}

fn read() -> io::Result<BTreeMap<String, Value>> {
    match std::fs::read_to_string(local::top().join(FILE)) {
        Ok(text) => serde_json::from_str(&text).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error),
    }
}

/// The counts that were accepted for this kind of processor.
fn accepted(file: &BTreeMap<String, Value>) -> BTreeMap<String, Accepted> {
    let counts = file.get(ARCH).and_then(Value::as_object).into_iter().flatten();
    let number = |count: &Value, name| count.get(name).and_then(Value::as_f64);
    counts
        .filter_map(|(name, count)| {
            let accepted = Accepted { value: number(count, "value")?, margin: number(count, "margin")? };
            Some((name.clone(), accepted))
        })
        .collect()
}

fn counted(rows: &[Row]) -> impl Iterator<Item = (String, f64, f64)> {
    rows.iter().filter_map(|row| Some((row.name(), median(&row.samples), row.figure.margin?)))
}

/// Compares, and gives a line for each count that is too high, or is not known, or was not counted.
pub fn check(rows: &[Row]) -> io::Result<Vec<String>> {
    let file = read()?;
    if !file.contains_key(ARCH) {
        println!("nothing was compared: {FILE} has no counts for {ARCH}; cargo bench -- --accept puts them there");
        return Ok(Vec::new());
    }
    let mut accepted = accepted(&file);
    let mut wrong = Vec::new();
    for (name, value, _) in counted(rows) {
        let Some(Accepted { value: before, margin }) = accepted.remove(&name) else {
            wrong.push(format!("{name}: {} is not in {FILE} for {ARCH}: cargo bench -- --accept", short(value)));
            continue;
        };
        let (most, least) = (before * (1.0 + margin), before * (1.0 - margin));
        let is = format!("{name}: {}, and {} was accepted", short(value), short(before));
        // A number that went through a text and back need not be the same in its last digit.
        if value > most + 1e-3 {
            wrong.push(format!("{is}, with a margin of {} %: {} at the most", short(margin * 100.0), short(most)));
        } else if value < least - 1e-3 {
            println!("{is}: cargo bench -- --accept keeps it there");
        }
    }
    for name in accepted.into_keys() {
        if name.contains("instructions") && VALGRIND.is_none() {
            println!("{name}: not compared, since valgrind is missing");
        } else {
            wrong.push(format!("{name}: was not counted"));
        }
    }
    Ok(wrong)
}

/// Accepts the counts; a margin that stands in the file is kept.
pub fn accept(rows: &[Row]) -> io::Result<()> {
    let mut file = read()?;
    let before = accepted(&file);
    let mut counts: BTreeMap<String, Value> = counted(rows)
        .map(|(name, value, margin)| {
            let margin = before.get(&name).map_or(margin, |before| before.margin);
            (name, json!({"value": (value * 1e3).round() / 1e3, "margin": margin}))
        })
        .collect();
    if VALGRIND.is_none() {
        // What cannot be counted here stands as it was.
        let uncounted = before.iter().filter(|(name, _)| name.contains("instructions"));
        counts.extend(
            uncounted.map(|(name, count)| (name.clone(), json!({"value": count.value, "margin": count.margin}))),
        );
    }
    file.insert(ARCH.to_owned(), json!(counts));
    let text = serde_json::to_string_pretty(&file).map_err(io::Error::other)?;
    std::fs::write(local::top().join(FILE), text + "\n")
}

//! A CloudWatch dashboard, as its JSON has it.
//!
//! By AWS's "Dashboard body structure and syntax", as far as our template uses it; anything else is an error.

use serde_json::{Map, Value};

use crate::emf::Metric;

/// One widget.
#[derive(Clone, Debug)]
pub struct Widget {
    /// Its title.
    pub title: String,
    /// Where it is on the grid of 24 columns: `x`, `y`, `width` and `height`.
    pub place: [u32; 4],
    /// What it shows.
    pub shows: Shows,
}

/// What a widget shows.
#[derive(Clone, Debug)]
pub enum Shows {
    /// The states of alarms, by their ARNs.
    Alarms(Vec<String>),
    /// A graph of metrics.
    Graph(Graph),
    /// What a query finds in the log.
    Log(String),
}

/// A graph of metrics.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Whether one series stands upon the other.
    pub is_stacked: bool,
    /// The length of a period, in seconds.
    pub period: u64,
    /// What it draws.
    pub series: Vec<Series>,
    /// Lines across it.
    pub lines: Vec<Line>,
}

/// A line across a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What it is.
    pub label: String,
    /// At which value.
    pub value: f64,
    /// Its colour.
    pub color: String,
}

/// One metric of a graph, or many that an expression finds.
#[derive(Clone, Debug)]
pub struct Series {
    /// What is drawn.
    pub source: Source,
    /// The statistic, such as `Sum` or `p90`.
    pub statistic: String,
    /// What an expression calls it.
    pub id: String,
    /// Its name, if it is not the metric's.
    pub label: Option<String>,
    /// Its colour, if it is not to be chosen for it.
    pub color: Option<String>,
    /// Whether it is drawn.
    pub is_visible: bool,
}

/// Where a series comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A metric.
    Metric(Metric),
    /// `id / PERIOD(id)`: how many a second there are of another series.
    PerSecond(String),
    /// `SEARCH`: the metrics that have these dimensions, the last of which has any value.
    Search {
        /// Their namespace.
        namespace: String,
        /// Their name.
        name: String,
        /// The dimensions whose values are given.
        given: Vec<(String, String)>,
        /// The dimension that tells them apart.
        apart: String,
    },
}

/// Reads a dashboard's body.
///
/// # Errors
/// With what cannot be read.
pub fn read(body: &str) -> Result<Vec<Widget>, String> {
    let body: Value = serde_json::from_str(body).map_err(|error| format!("the dashboard is no JSON: {error}"))?;
    array(&body, "widgets")?.iter().map(widget).collect()
}

fn widget(widget: &Value) -> Result<Widget, String> {
    let properties = widget.get("properties").cloned().unwrap_or_default();
    let number = |name: &str| {
        let number = widget.get(name).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| format!("{name} is missing: {widget}"))
    };
    let shows = match text(widget, "type")? {
        "alarm" => {
            let arns = array(&properties, "alarms")?.iter().filter_map(|arn| arn.as_str().map(str::to_owned));
            Shows::Alarms(arns.collect())
        }
        "metric" => Shows::Graph(graph(&properties)?),
        "log" => Shows::Log(text(&properties, "query")?.to_owned()),
        other => return Err(format!("a widget of type {other}, of which we know nothing")),
    };
    let place = [number("x")?, number("y")?, number("width")?, number("height")?];
    Ok(Widget { title: text(&properties, "title")?.to_owned(), place, shows })
}

fn graph(properties: &Value) -> Result<Graph, String> {
    let mut last: Vec<String> = Vec::new();
    let mut series = Vec::new();
    for entry in array(properties, "metrics")? {
        let mut entry = entry.as_array().cloned().unwrap_or_default();
        let options = match entry.pop() {
            Some(Value::Object(options)) => options,
            other => {
                entry.extend(other);
                Map::new()
            }
        };
        let option = |name: &str| options.get(name).and_then(Value::as_str).map(str::to_owned);
        let source = if let Some(text) = option("expression") {
            expression(&text)?
        } else {
            last = filled(&entry, &last)?;
            Source::Metric(metric(&last)?)
        };
        let statistic = option("stat").or_else(|| Some(properties.get("stat")?.as_str()?.to_owned()));
        series.push(Series {
            source,
            statistic: statistic.unwrap_or_else(|| "Average".to_owned()),
            id: option("id").unwrap_or_default(),
            label: option("label"),
            color: option("color"),
            is_visible: options.get("visible") != Some(&Value::Bool(false)),
        });
    }
    let lines = properties.pointer("/annotations/horizontal").and_then(Value::as_array).into_iter().flatten();
    let line = |line: &Value| {
        let value = line.get("value").and_then(Value::as_f64).ok_or("a line without a value")?;
        let color = line.get("color").and_then(Value::as_str).unwrap_or("#d62728").to_owned();
        Ok::<_, String>(Line { label: text(line, "label")?.to_owned(), value, color })
    };
    Ok(Graph {
        is_stacked: properties.get("stacked") == Some(&Value::Bool(true)),
        period: properties.get("period").and_then(Value::as_u64).ok_or("a graph without a period")?,
        series,
        lines: lines.map(line).collect::<Result<_, _>>()?,
    })
}

/// Puts in what a dot leaves out (as in the line above), or three of them (all that was there, up to what follows).
fn filled(entry: &[Value], last: &[String]) -> Result<Vec<String>, String> {
    let mut filled: Vec<String> = Vec::new();
    for (index, part) in entry.iter().enumerate() {
        match part.as_str() {
            Some("...") => {
                let most = (last.len() + index + 1).saturating_sub(entry.len());
                filled.extend(last.iter().take(most).cloned());
            }
            Some(".") => filled.push(last.get(filled.len()).cloned().ok_or("a dot with nothing above it")?),
            Some(text) => filled.push(text.to_owned()),
            None => return Err(format!("a metric with a part that is no text: {part}")),
        }
    }
    Ok(filled)
}

fn metric(parts: &[String]) -> Result<Metric, String> {
    let [namespace, name, dimensions @ ..] = parts else { return Err(format!("a metric without a name: {parts:?}")) };
    let pairs = dimensions.chunks(2).map(|pair| match pair {
        [name, value] => Ok((name.clone(), value.clone())),
        _ => Err(format!("a dimension without a value: {parts:?}")),
    });
    let dimensions = pairs.collect::<Result<_, _>>()?;
    Ok(Metric { namespace: namespace.clone(), name: name.clone(), dimensions })
}

/// Reads an expression of one of the two kinds that there are.
fn expression(text: &str) -> Result<Source, String> {
    let unknown = || format!("an expression of which we know nothing: {text}");
    if let Some((id, period)) = text.split_once(" / ")
        && period == format!("PERIOD({id})")
    {
        return Ok(Source::PerSecond(id.to_owned()));
    }
    let search = text.strip_prefix("SEARCH('{").and_then(|text| text.split_once("} "));
    let (schema, rest) = search.ok_or_else(unknown)?;
    let (filters, _) = rest.split_once("', 'Sum'").ok_or_else(unknown)?;
    let mut given: Vec<(String, String)> = Vec::new();
    for filter in filters.split(' ') {
        let (name, value) = filter.split_once('=').ok_or_else(unknown)?;
        given.push((name.to_owned(), value.trim_matches('"').to_owned()));
    }
    let mut schema = schema.split(',').map(str::to_owned);
    let namespace = schema.next().ok_or_else(unknown)?;
    let is_name = |(name, _): &(String, String)| name == "MetricName";
    let name = given.iter().find(|pair| is_name(pair)).map(|(_, value)| value.clone()).ok_or_else(unknown)?;
    given.retain(|pair| !is_name(pair));
    let mut apart = schema.filter(|dimension| given.iter().all(|(name, _)| name != dimension));
    let (Some(apart), None) = (apart.next(), apart.next()) else { return Err(unknown()) };
    Ok(Source::Search { namespace, name, given, apart })
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str, String> {
    value.get(name).and_then(Value::as_str).ok_or_else(|| format!("{name} is missing: {value}"))
}

fn array<'a>(value: &'a Value, name: &str) -> Result<&'a [Value], String> {
    let array = value.get(name).and_then(Value::as_array).map(Vec::as_slice);
    array.ok_or_else(|| format!("{name} is missing: {value}"))
}

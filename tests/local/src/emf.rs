//! What CloudWatch reads out of a log line in its embedded metric format.
//!
//! By AWS's "Specification: Embedded metric format". CloudWatch drops in silence what breaks a rule; here it is an error.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Every unit there is (CloudWatch's `MetricDatum`).
const UNITS: [&str; 27] = [
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
    "Percent",
    "Count",
    "Bytes/Second",
    "Kilobytes/Second",
    "Megabytes/Second",
    "Gigabytes/Second",
    "Terabytes/Second",
    "Bits/Second",
    "Kilobits/Second",
    "Megabits/Second",
    "Gigabits/Second",
    "Terabits/Second",
    "Count/Second",
    "None",
];
/// Most bytes of a document.
const MAX_DOCUMENT: usize = 1 << 20;
/// Most metrics of a directive, and most values of a metric.
const MAX_METRICS: usize = 100;
/// Most dimensions of a set.
const MAX_DIMENSIONS: usize = 30;
/// Most bytes of a namespace, a name, or a dimension's value.
const MAX_TEXT: usize = 1024;

/// Which metric it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its dimensions: the same name with others is another metric.
    pub dimensions: BTreeMap<String, String>,
}

impl Metric {
    /// The metric of this namespace and name that has these dimensions.
    pub fn new(namespace: &str, name: &str, dimensions: &[(&str, &str)]) -> Self {
        let dimensions = dimensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { namespace: namespace.to_owned(), name: name.to_owned(), dimensions }
    }
}

/// The dimensions that an answer of CloudWatch's tells, of an alarm or a metric.
pub fn dimensions(told: &Value) -> BTreeMap<String, String> {
    let text = |dimension: &Value, name: &str| Some(dimension.get(name)?.as_str()?.to_owned());
    let pair = |dimension: &Value| Some((text(dimension, "Name")?, text(dimension, "Value")?));
    let told = told.get("Dimensions").and_then(Value::as_array);
    told.into_iter().flatten().filter_map(pair).collect()
}

/// Values of a metric, of one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Datum {
    /// Of which metric.
    pub metric: Metric,
    /// One of CloudWatch's units.
    pub unit: String,
    /// When, in milliseconds since 1970.
    pub millis: u64,
    /// The values.
    pub values: Vec<f64>,
}

/// Reads all metrics of a log line; none if the line is no document of this format.
///
/// # Errors
/// With the rule that the document breaks.
pub fn read(line: &Value) -> Result<Vec<Datum>, String> {
    let Some(root) = line.as_object().filter(|root| root.contains_key("_aws")) else { return Ok(Vec::new()) };
    require(line.to_string().len() <= MAX_DOCUMENT, || "the document is longer than 1 MiB".to_owned())?;
    let about = object(root.get("_aws"), "_aws")?;
    let millis = about.get("Timestamp").and_then(Value::as_u64);
    // In milliseconds; 100,000,000,000 of them went by until 1973, and of seconds will have until 5138.
    let millis = millis.filter(|millis| *millis >= 100_000_000_000).ok_or("Timestamp must be in milliseconds")?;
    let mut data = Vec::new();
    for directive in array(about.get("CloudWatchMetrics"), "CloudWatchMetrics")? {
        let directive = object(Some(directive), "a directive")?;
        let namespace = text(directive.get("Namespace"), "Namespace")?;
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || ".-_/#:".contains(c);
        require(namespace.chars().all(is_allowed), || {
            format!("Namespace has a character that must not be: {namespace}")
        })?;
        let metrics = array(directive.get("Metrics"), "Metrics")?;
        require(metrics.len() <= MAX_METRICS, || format!("{} metrics: 100 are allowed", metrics.len()))?;
        let sets = array(directive.get("Dimensions"), "Dimensions")?;
        for set in sets {
            let dimensions = named(root, array(Some(set), "a set of dimensions")?)?;
            for metric in metrics {
                let (name, unit, values) = values(root, object(Some(metric), "a metric")?)?;
                let metric = Metric { namespace: namespace.to_owned(), name, dimensions: dimensions.clone() };
                let is_new = data.iter().all(|datum: &Datum| datum.metric != metric);
                require(is_new, || format!("{} stands twice", metric.name))?;
                data.push(Datum { metric, unit, millis, values });
            }
        }
    }
    require(!data.is_empty(), || "a document without metrics".to_owned())?;
    Ok(data)
}

/// The values that the root has for the dimensions of a set.
fn named(root: &Map<String, Value>, set: &[Value]) -> Result<BTreeMap<String, String>, String> {
    require(set.len() <= MAX_DIMENSIONS, || format!("{} dimensions: 30 are allowed", set.len()))?;
    let named = set.iter().map(|name| {
        let name = text(Some(name), "a dimension's name")?;
        Ok((name.to_owned(), text(root.get(name), name)?.to_owned()))
    });
    named.collect()
}

/// The name and unit of a metric, and the values that the root has for it.
fn values(root: &Map<String, Value>, metric: &Map<String, Value>) -> Result<(String, String, Vec<f64>), String> {
    let name = text(metric.get("Name"), "Name")?.to_owned();
    let unit = metric.get("Unit").map_or(Ok("None"), |unit| text(Some(unit), "Unit"))?.to_owned();
    require(UNITS.contains(&unit.as_str()), || format!("{name} has a unit that is none: {unit}"))?;
    if let Some(other) = metric.keys().find(|key| !["Name", "Unit"].contains(&key.as_str())) {
        return Err(format!("{name} has {other}, of which we know nothing"));
    }
    let number = |value: &Value| value.as_f64().ok_or_else(|| format!("{name} has a value that is no number: {value}"));
    let values = match root.get(&name) {
        None => return Err(format!("{name} has no value")),
        Some(Value::Array(values)) => values.iter().map(number).collect::<Result<Vec<_>, _>>()?,
        Some(value) => vec![number(value)?],
    };
    require((1..=MAX_METRICS).contains(&values.len()), || format!("{name} has {} values: 1 to 100", values.len()))?;
    Ok((name, unit, values))
}

fn require(is_so: bool, rule: impl FnOnce() -> String) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(rule()) }
}

fn object<'a>(value: Option<&'a Value>, what: &str) -> Result<&'a Map<String, Value>, String> {
    value.and_then(Value::as_object).ok_or_else(|| format!("{what} must be an object"))
}

fn array<'a>(value: Option<&'a Value>, what: &str) -> Result<&'a [Value], String> {
    value.and_then(Value::as_array).map(Vec::as_slice).ok_or_else(|| format!("{what} must be an array"))
}

fn text<'a>(value: Option<&'a Value>, what: &str) -> Result<&'a str, String> {
    let text = value.and_then(Value::as_str).ok_or_else(|| format!("{what} must be a string"))?;
    require((1..=MAX_TEXT).contains(&text.len()), || format!("{what} has {} bytes: 1 to 1024", text.len()))?;
    Ok(text)
}

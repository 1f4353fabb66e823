//! What is counted: one invocation's numbers, in CloudWatch's embedded metric format.

use std::{
    collections::BTreeMap,
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_smithy_types::date_time::{DateTime, Format};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    import::Attempt,
    outcome::{Outcome, Trouble},
    user_id::UserId,
};

/// The CloudWatch namespace of all metrics.
pub const NAMESPACE: &str = "ChatSignupImport";
/// Most values of one metric in one document (embedded metric format).
const MAX_VALUES: usize = 100;
/// Room for the documents of most invocations, in bytes.
const ROOM: usize = 3 * 1024;

/// The numbers of one invocation.
#[derive(Default)]
pub struct Tally {
    outcomes: BTreeMap<&'static str, u64>,
    codes: BTreeMap<String, u64>,
    troubles: BTreeMap<Trouble, u64>,
    /// Of each sign-up that was called for: how long that took, in milliseconds, and whether it was one call too many.
    calls: Vec<(u64, bool)>,
    oldest_unfinished: Duration,
    fitted: u64,
    odd_user_ids: u64,
}

impl Tally {
    /// Counts what came of a sign-up, or of a message without any.
    pub fn count(&mut self, Attempt { user, fitted, outcome, latency }: &Attempt) {
        *self.outcomes.entry(outcome.label()).or_default() += 1;
        let cause = outcome.cause();
        let trouble = cause.and_then(|cause| cause.trouble);
        if let Some(cause) = cause {
            *self.codes.entry(cause.code.to_string()).or_default() += 1;
        }
        if let Some(trouble) = trouble {
            *self.troubles.entry(trouble).or_default() += 1;
        }
        let millis = |latency: &Duration| u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        self.calls.extend(latency.as_ref().map(|latency| (millis(latency), trouble == Some(Trouble::RateLimited))));
        self.fitted += u64::from(!fitted.is_empty());
        self.odd_user_ids += u64::from(user.as_ref().is_some_and(UserId::is_odd));
    }

    /// Takes the age of a message that comes back: the queue's own metric leaves out what was received three times.
    pub fn comes_back(&mut self, age: Duration) {
        self.oldest_unfinished = self.oldest_unfinished.max(age);
    }

    /// How many sign-ups had the outcome of this label.
    pub fn of(&self, label: &str) -> u64 {
        self.outcomes.get(label).copied().unwrap_or_default()
    }

    /// Gives the numbers as documents, a line each.
    ///
    /// `level` is the lowest level that Lambda's log filter lets through: without it, a filter above INFO would
    /// drop the metrics, and every alarm would go blind.
    pub fn lines(&self, function: &str, level: &str, now: SystemTime, cold_start: bool) -> String {
        let timestamp = DateTime::from(now).fmt(Format::DateTime).unwrap_or_default();
        let head = Head { timestamp, now, level, function };
        let mut lines = Vec::with_capacity(ROOM);
        let outcomes = ["Imported", "Present", "Ignored", "Deferred", "Blocked", "Rejected"];
        let mut metrics: Vec<_> = outcomes.map(|name| Metric::count(name, self.of(&name.to_ascii_lowercase()))).into();
        let signups = self.outcomes.iter().filter(|(label, _)| **label != Outcome::Ignored.label());
        metrics.push(Metric::count("Signups", signups.map(|(_, count)| count).sum()));
        // Also where there are none: an alarm that hears of a zero is over.
        let troubles = Trouble::COUNTED.iter().map(|(name, trouble)| (*name, self.troubles.get(trouble).copied()));
        metrics.extend(troubles.map(|(name, of)| Metric::count(name, of.unwrap_or_default())));
        metrics.push(Metric { unit: "Seconds", ..Metric::count("OldestUnfinished", self.oldest_unfinished.as_secs()) });
        metrics.push(Metric::count("ColdStart", u64::from(cold_start)));
        metrics.push(Metric::count("FittedProfiles", self.fitted));
        metrics.push(Metric::count("OddUserIds", self.odd_user_ids));
        head.write(&mut lines, &TOTALS, &metrics, None);
        for calls in self.calls.chunks(MAX_VALUES) {
            let latencies: Vec<u64> = calls.iter().map(|(latency, _)| *latency).collect();
            // The average is the share of the calls.
            let refused: Vec<u64> = calls.iter().map(|(_, refused)| u64::from(*refused)).collect();
            let latencies = Metric { name: "CallLatency", unit: "Milliseconds", value: latencies };
            let refused = Metric { name: "RateLimited", unit: "Count", value: refused };
            head.write(&mut lines, &CALLS, &[latencies, refused], None);
        }
        for (code, failures) in &self.codes {
            head.write(&mut lines, &FAILURES, &[Metric::count("Failures", *failures)], Some(code));
        }
        // It was JSON, which is UTF-8.
        String::from_utf8(lines).unwrap_or_default()
    }
}

/// A kind of document: the names and units of its metrics are the same in all of them.
struct Kind {
    dimensions: &'static [&'static str],
    /// What each document says of its metrics, written once.
    directive: OnceLock<Box<RawValue>>,
}

static TOTALS: Kind = Kind::new(&["FunctionName"]);
static CALLS: Kind = Kind::new(&["FunctionName"]);
static FAILURES: Kind = Kind::new(&["FunctionName", "ErrorCode"]);

impl Kind {
    const fn new(dimensions: &'static [&'static str]) -> Self {
        Self { dimensions, directive: OnceLock::new() }
    }

    fn directive<V: Serialize>(&self, metrics: &[Metric<V>]) -> &RawValue {
        self.directive.get_or_init(|| {
            let directive = MetricDirective { namespace: NAMESPACE, dimensions: [self.dimensions], metrics };
            // As below: it cannot fail.
            to_raw_value(&directive).unwrap_or_else(|_| RawValue::NULL.to_owned())
        })
    }
}

/// What all documents of an invocation have in common.
struct Head<'a> {
    timestamp: String,
    now: SystemTime,
    level: &'a str,
    function: &'a str,
}

impl Head<'_> {
    fn write<V: Serialize>(&self, lines: &mut Vec<u8>, kind: &Kind, metrics: &[Metric<V>], code: Option<&str>) {
        let document = Document { head: self, directive: kind.directive(metrics), metrics, code };
        // It goes into memory, and every key of it is a text: it cannot fail.
        let _ = serde_json::to_writer(&mut *lines, &document);
        lines.push(b'\n');
    }
}

/// One metric of a document.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metric<V> {
    name: &'static str,
    unit: &'static str,
    #[serde(skip)]
    value: V,
}

impl Metric<u64> {
    fn count(name: &'static str, count: u64) -> Self {
        Self { name, unit: "Count", value: count }
    }
}

/// A line of metrics, written without a tree of it: there are some of them in every invocation.
struct Document<'a, V> {
    head: &'a Head<'a>,
    directive: &'a RawValue,
    metrics: &'a [Metric<V>],
    code: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata<'a> {
    timestamp: u128,
    cloud_watch_metrics: [&'a RawValue; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MetricDirective<'a, V> {
    namespace: &'static str,
    dimensions: [&'static [&'static str]; 1],
    metrics: &'a [Metric<V>],
}

impl<V: Serialize> Serialize for Document<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Head { timestamp: text, now, level, function } = self.head;
        let timestamp = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("timestamp", text)?;
        line.serialize_entry("level", level)?;
        line.serialize_entry("FunctionName", function)?;
        line.serialize_entry("_aws", &Metadata { timestamp, cloud_watch_metrics: [self.directive] })?;
        for metric in self.metrics {
            line.serialize_entry(metric.name, &metric.value)?;
        }
        if let Some(code) = self.code {
            line.serialize_entry("ErrorCode", code)?;
        }
        line.end()
    }
}

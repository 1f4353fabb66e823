//! What is counted: one invocation's numbers, in CloudWatch's embedded metric format.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_smithy_types::date_time::{DateTime, Format};
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{
    import::Attempt,
    outcome::{Outcome, Trouble},
    user_id::UserId,
};

/// The CloudWatch namespace of all metrics.
pub const NAMESPACE: &str = "ChatSignupImport";
/// Most values of one metric in one document (embedded metric format).
const MAX_VALUES: usize = 100;

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
        let mut lines = String::new();
        let timestamp = DateTime::from(now).fmt(Format::DateTime).unwrap_or_default();
        let mut document = |metrics: Vec<Metric>, code: Option<&str>| {
            let document = Document { timestamp: &timestamp, now, level, function, metrics: &metrics, code };
            // It goes into memory, and every key of it is a text: it cannot fail.
            lines.push_str(&serde_json::to_string(&document).unwrap_or_default());
            lines.push('\n');
        };

        let count = |name: &str, count: u64| Metric::new(name, "Count", Number::One(count));
        let mut metrics: Vec<_> = ["Imported", "Present", "Ignored", "Deferred", "Blocked", "Rejected"]
            .map(|name| count(name, self.of(&name.to_ascii_lowercase())))
            .into();
        let signups = self.outcomes.iter().filter(|(label, _)| **label != Outcome::Ignored.label());
        metrics.push(count("Signups", signups.map(|(_, count)| count).sum()));
        // Also where there are none: an alarm that hears of a zero is over.
        let troubles = Trouble::COUNTED.map(|trouble| (trouble, self.troubles.get(&trouble).copied()));
        metrics.extend(troubles.map(|(trouble, of)| count(&format!("{trouble:?}"), of.unwrap_or_default())));
        metrics.push(Metric::new("OldestUnfinished", "Seconds", Number::One(self.oldest_unfinished.as_secs())));
        metrics.push(count("ColdStart", u64::from(cold_start)));
        metrics.push(count("FittedProfiles", self.fitted));
        metrics.push(count("OddUserIds", self.odd_user_ids));
        document(metrics, None);
        for calls in self.calls.chunks(MAX_VALUES) {
            let latencies: Vec<u64> = calls.iter().map(|(latency, _)| *latency).collect();
            // The average is the share of the calls.
            let refused: Vec<u64> = calls.iter().map(|(_, refused)| u64::from(*refused)).collect();
            let latencies = Metric::new("CallLatency", "Milliseconds", Number::Many(latencies));
            document(vec![latencies, Metric::new("RateLimited", "Count", Number::Many(refused))], None);
        }
        for (code, failures) in &self.codes {
            document(vec![count("Failures", *failures)], Some(code));
        }
        lines
    }
}

/// One metric of a document.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    name: String,
    unit: &'static str,
    #[serde(skip)]
    value: Number,
}

impl Metric {
    fn new(name: &str, unit: &'static str, value: Number) -> Self {
        Self { name: name.to_owned(), unit, value }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Number {
    One(u64),
    Many(Vec<u64>),
}

/// A line of metrics, written without a tree of it: there are some of them in every invocation.
struct Document<'a> {
    timestamp: &'a str,
    now: SystemTime,
    level: &'a str,
    function: &'a str,
    metrics: &'a [Metric],
    code: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata<'a> {
    timestamp: u128,
    cloud_watch_metrics: [MetricDirective<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MetricDirective<'a> {
    namespace: &'static str,
    dimensions: [&'a [&'static str]; 1],
    metrics: &'a [Metric],
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let dimensions: &[_] = if self.code.is_some() { &["FunctionName", "ErrorCode"] } else { &["FunctionName"] };
        let directive = MetricDirective { namespace: NAMESPACE, dimensions: [dimensions], metrics: self.metrics };
        let timestamp = self.now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("timestamp", self.timestamp)?;
        line.serialize_entry("level", self.level)?;
        line.serialize_entry("FunctionName", self.function)?;
        line.serialize_entry("_aws", &Metadata { timestamp, cloud_watch_metrics: [directive] })?;
        for metric in self.metrics {
            line.serialize_entry(&metric.name, &metric.value)?;
        }
        if let Some(code) = self.code {
            line.serialize_entry("ErrorCode", code)?;
        }
        line.end()
    }
}

//! What is counted: one invocation's numbers, in CloudWatch's embedded metric format.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_smithy_types::date_time::{DateTime, Format};
use serde_json::{Map, Value, json};

use crate::{import::Attempt, user_id::UserId};

/// The CloudWatch namespace of all metrics.
pub const NAMESPACE: &str = "ChatSignupImport";
/// Most values of one metric in one document (embedded metric format).
const MAX_VALUES: usize = 100;

/// The numbers of one invocation.
#[derive(Default)]
pub struct Tally {
    outcomes: BTreeMap<&'static str, u64>,
    codes: BTreeMap<String, u64>,
    latencies: Vec<u64>,
    fitted: u64,
    odd_user_ids: u64,
}

impl Tally {
    /// Counts what came of a sign-up, or of a message without any.
    pub fn count(&mut self, Attempt { user, fitted, outcome, latency }: &Attempt) {
        *self.outcomes.entry(outcome.label()).or_default() += 1;
        if let Some(cause) = outcome.cause() {
            *self.codes.entry(cause.code.to_string()).or_default() += 1;
        }
        self.latencies.extend(latency.map(|latency| u64::try_from(latency.as_millis()).unwrap_or(u64::MAX)));
        self.fitted += u64::from(!fitted.is_empty());
        self.odd_user_ids += u64::from(user.as_ref().is_some_and(UserId::is_odd));
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
        let mut document = |dimensions: Value, unit: &str, values: Map<String, Value>, code: Option<&str>| {
            let names: Vec<Value> = values.keys().map(|name| json!({"Name": name, "Unit": unit})).collect();
            let mut line = json!({
                "timestamp": DateTime::from(now).fmt(Format::DateTime).unwrap_or_default(),
                "level": level,
                "FunctionName": function,
                "_aws": {
                    "Timestamp": now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis(),
                    "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": names}],
                },
            });
            if let Some(fields) = line.as_object_mut() {
                fields.extend(values);
                fields.extend(code.map(|code| ("ErrorCode".to_owned(), json!(code))));
            }
            lines.push_str(&line.to_string());
            lines.push('\n');
        };

        let by_function = json!([["FunctionName"]]);
        let counts = ["Imported", "Present", "Ignored", "Deferred", "Blocked", "Rejected"]
            .map(|name| (name, self.of(&name.to_ascii_lowercase())));
        let others =
            [("ColdStart", u64::from(cold_start)), ("FittedProfiles", self.fitted), ("OddUserIds", self.odd_user_ids)];
        let counts = counts.into_iter().chain(others).map(|(name, count)| (name.to_owned(), json!(count)));
        document(by_function.clone(), "Count", counts.collect(), None);
        for latencies in self.latencies.chunks(MAX_VALUES) {
            let values = Map::from_iter([("CallLatency".to_owned(), json!(latencies))]);
            document(by_function.clone(), "Milliseconds", values, None);
        }
        for (code, count) in &self.codes {
            let values = Map::from_iter([("Failures".to_owned(), json!(count))]);
            document(json!([["FunctionName", "ErrorCode"]]), "Count", values, Some(code));
        }
        lines
    }
}

//! The binary itself, behind Lambda's runtime API: what it answers, sends and writes.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod answers;
mod late;
mod limits;
mod logs;
mod parking;
mod set_up;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use local::stand_ins::World;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_chat-signup-import");
const NOTHING_FAILED: &str = r#"{"batchItemFailures":[]}"#;

/// Starts the function, to which any other event than `UserSignedUp` is none of its own.
async fn start(settings: &[(&str, &str)]) -> World {
    World::start(BINARY, &[&[("SIGNUP_DETAIL_TYPE", "UserSignedUp")], settings].concat()).await.unwrap()
}

fn record(id: &str, body: &Value) -> Value {
    json!({
        "messageId": id, "receiptHandle": format!("receipt-{id}"), "body": body.to_string(),
        "attributes": {"ApproximateReceiveCount": "2", "SentTimestamp": null}, "messageAttributes": {},
        "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-central-1:000000000000:signups",
    })
}

/// A record that was sent so many hours ago.
fn old_record(id: &str, body: &Value, hours: u64) -> Value {
    let sent = SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_hours(hours)).unwrap();
    let mut record = record(id, body);
    *record.pointer_mut("/attributes/SentTimestamp").unwrap() = json!(sent.as_millis().to_string());
    record
}

fn batch(users: &[&str]) -> String {
    let records: Vec<Value> = users.iter().map(|user| record(user, &json!({"userId": user}))).collect();
    json!({"Records": records}).to_string()
}

fn failures(ids: &[&str]) -> String {
    let items: Vec<String> = ids.iter().map(|id| format!(r#"{{"itemIdentifier":"{id}"}}"#)).collect();
    format!(r#"{{"batchItemFailures":[{}]}}"#, items.join(","))
}

/// The names of all sample events.
fn samples() -> Vec<String> {
    let entries = std::fs::read_dir(local::top().join("events")).unwrap();
    entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect()
}

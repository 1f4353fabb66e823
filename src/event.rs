//! What invoked us, and what document a message holds.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json, value::RawValue};

use crate::json;

/// Most envelopes (SNS, EventBridge) opened around one document.
const MAX_ENVELOPES: usize = 4;

/// The attribute in which a parked message tells when it was sent at first, in milliseconds since 1970.
pub const FIRST_SENT: &str = "FirstSent";

/// One message: a record of a batch, or a whole event.
#[derive(Clone)]
pub struct Message {
    /// Its ID: of the SQS message, of the bus event, or of the invocation. Never empty.
    pub id: String,
    /// The text as it came.
    pub body: String,
    /// How often it has been received, this time included.
    pub receives: u32,
    /// When it was put on its queue.
    pub sent: Option<SystemTime>,
    /// When it was put on a queue at first; a parked message that is moved back tells it in an attribute.
    pub first_sent: Option<SystemTime>,
    /// What is needed to delay its next delivery; only a record that came from a queue has one.
    pub receipt: Option<Receipt>,
    /// The group within which a FIFO queue keeps the order.
    pub group: Option<String>,
}

/// What names one delivery of one message to SQS.
#[derive(Clone)]
pub struct Receipt {
    /// ARN of the queue that delivered the message.
    pub queue_arn: String,
    /// Handle of this delivery.
    pub handle: String,
}

/// An invocation, by how it must be answered.
pub enum Invocation {
    /// Records from SQS, by its mapping or a pipe; those that failed are named in the answer.
    Batch(Vec<Message>),
    /// One event, from a bus or typed into a console; there is no partial answer.
    Event(Message),
}

/// A record without an ID could not be named in the answer, so the whole batch has to come back.
#[derive(Debug, thiserror::Error)]
#[error("record {index} of the batch has no messageId: must be that of an SQS message")]
pub struct EventError {
    /// Position in the batch, from 0.
    index: usize,
}

impl Invocation {
    /// Takes an event apart; `request_id` names it when it has no ID of its own.
    ///
    /// # Errors
    /// When a record has no ID.
    pub fn parse(event: &RawValue, request_id: &str) -> Result<Self, EventError> {
        #[derive(Deserialize)]
        struct Batch<'a> {
            #[serde(rename = "Records", borrow)]
            records: Vec<&'a RawValue>,
        }
        // Only this makes `id` an event's: in another document it may be a person's.
        #[derive(Deserialize)]
        struct BusEvent {
            id: String,
            #[serde(rename = "detail-type")]
            _detail_type: String,
            #[serde(rename = "detail")]
            _detail: IgnoredAny,
        }

        let text = event.get();
        let records = if text.starts_with('[') {
            Some(serde_json::from_str(text).map_err(|_| EventError { index: 0 })?)
        } else {
            serde_json::from_str(text).ok().map(|Batch { records }| records)
        };
        if let Some(records) = records {
            return Ok(Self::Batch(messages(records)?));
        }
        let id = serde_json::from_str(text).map_or_else(|_| String::new(), |event: BusEvent| event.id);
        Ok(Self::Event(Message {
            id: if id.is_empty() { request_id.to_owned() } else { id },
            body: text.to_owned(),
            receives: 1,
            sent: None,
            first_sent: None,
            receipt: None,
            group: None,
        }))
    }
}

/// Makes messages of records, each read field by field, so that an odd one sinks no other. One that stands twice
/// counts once.
fn messages(records: Vec<&RawValue>) -> Result<Vec<Message>, EventError> {
    /// A record in which something cannot be read: its body as it stands, to be rejected.
    #[derive(Deserialize)]
    struct Odd<'a> {
        #[serde(rename = "messageId")]
        id: String,
        #[serde(borrow)]
        body: &'a RawValue,
    }

    let mut seen = HashSet::new();
    let mut messages = Vec::with_capacity(records.len());
    for (index, record) in records.into_iter().map(RawValue::get).enumerate() {
        let odd = |Odd { id, body }| json!({"messageId": id, "body": body.get()});
        let mut record = json::read(record).or_else(|_| serde_json::from_str(record).map(odd)).unwrap_or_default();
        let record: &mut Value = &mut record;
        let text = |path: &str| json::at(record, path).and_then(Value::as_str).filter(|text| !text.is_empty());
        let id = text("/messageId").ok_or(EventError { index })?.to_owned();
        let queue_arn = text("/eventSourceARN").unwrap_or_default().to_owned();
        let receives = text("/attributes/ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1);
        let since_1970 = |millis: &str| UNIX_EPOCH.checked_add(Duration::from_millis(millis.parse().ok()?));
        let time = |path: &str| since_1970(text(path)?);
        let sent = time("/attributes/SentTimestamp");
        let attribute = json::at(record, "/messageAttributes").and_then(|attributes| attributes.get(FIRST_SENT));
        let first_sent = attribute.and_then(|it| since_1970(it.get("stringValue")?.as_str()?)).or(sent);
        // A group on a standard queue only asks for fairness; order is kept on a FIFO queue alone.
        let group = text("/attributes/MessageGroupId").filter(|_| is_fifo(&queue_arn)).map(str::to_owned);
        let receipt = text("/receiptHandle").map(|handle| Receipt { queue_arn, handle: handle.to_owned() });
        // A pipe may have been told to open the body.
        let body = match record.get_mut("body").map(Value::take) {
            Some(Value::String(body)) => body,
            body => body.unwrap_or_default().to_string(),
        };
        if seen.insert(id.clone()) {
            messages.push(Message { id, body, receives, sent, first_sent, receipt, group });
        }
    }
    Ok(messages)
}

/// The innermost document of a message.
pub struct Document {
    /// A JSON object.
    pub value: Value,
    /// The `detail-type` of the EventBridge envelope around it, if there was one.
    pub detail_type: Option<String>,
}

/// A message that holds no valid sign-up: which rule it breaks, with nothing of its content.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

impl Document {
    /// Opens the SNS and EventBridge envelopes in `body`, whichever way they are nested.
    ///
    /// # Errors
    /// When the text is not JSON, not an object, or wrapped more than four times.
    pub fn open(body: &str) -> Result<Self, Malformed> {
        let parse = |text: &str| {
            let wrong = |error: serde_json::Error| Malformed(format!("the body must be JSON: {error}"));
            json::read(text).map_err(wrong)
        };
        let mut detail_type = None;
        let mut value = parse(body)?;
        for _ in 0..=MAX_ENVELOPES {
            let Value::Object(fields) = &mut value else {
                return Err(Malformed(format!("the body must be a JSON object, not {}", kind(&value))));
            };
            let field = |name: &str| fields.get(name).and_then(Value::as_str);
            if let (Some("Notification"), Some(message)) = (field("Type"), field("Message")) {
                value = parse(message)?;
            } else if let (Some(name), true) = (field("detail-type"), fields.contains_key("detail")) {
                detail_type = Some(name.to_owned());
                value = fields.remove("detail").unwrap_or_default();
            } else {
                return Ok(Self { value, detail_type });
            }
        }
        Err(Malformed(format!("the body must have at most {MAX_ENVELOPES} envelopes around the sign-up")))
    }
}

/// Whether a queue, by its name, URL or ARN, keeps the order of a group.
pub fn is_fifo(queue: &str) -> bool {
    queue.rsplit('.').next() == Some("fifo")
}

/// Names the kind of a JSON value, for an error text that must not show it.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

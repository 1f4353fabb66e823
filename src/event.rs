//! What invoked us, and what document a message holds.

use std::collections::HashSet;

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value, value::RawValue};

/// Most envelopes (SNS, EventBridge) opened around one document.
const MAX_ENVELOPES: usize = 4;

/// One message: a record of a batch, or a whole event.
#[derive(Clone)]
pub struct Message {
    /// Its ID: of the SQS message, of the bus event, or of the invocation. Never empty.
    pub id: String,
    /// The text as it came.
    pub body: String,
    /// How often it has been received, this time included.
    pub receives: u32,
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

/// An invocation that cannot be taken apart.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// A record without an ID could not be named in the answer, so the whole batch has to come back.
    #[error("record {index} of the batch has no messageId: must be that of an SQS message")]
    NoMessageId {
        /// Position in the batch, from 0.
        index: usize,
    },
    /// The records are not those of SQS.
    #[error("the batch is not one of SQS: {0}")]
    Batch(serde_json::Error),
}

impl Invocation {
    /// Takes an event apart; `request_id` names it when it has no ID of its own.
    ///
    /// # Errors
    /// When its records are not those of SQS or one of them has no ID.
    pub fn parse(event: &RawValue, request_id: &str) -> Result<Self, EventError> {
        #[derive(Deserialize)]
        struct Shape {
            #[serde(rename = "Records")]
            records: Option<IgnoredAny>,
        }
        #[derive(Deserialize)]
        struct BusEvent {
            id: String,
            // Only this makes `id` an event's: in another document it may be a person's.
            #[serde(rename = "detail-type")]
            _detail_type: IgnoredAny,
        }

        let text = event.get();
        if text.starts_with('[') {
            return Ok(Self::Batch(messages(serde_json::from_str(text).map_err(EventError::Batch)?)?));
        }
        if serde_json::from_str(text).is_ok_and(|Shape { records }| records.is_some()) {
            let batch: SqsEvent = serde_json::from_str(text).map_err(EventError::Batch)?;
            return Ok(Self::Batch(messages(batch.records)?));
        }
        let id = serde_json::from_str(text).map_or_else(|_| String::new(), |event: BusEvent| event.id);
        Ok(Self::Event(Message {
            id: if id.is_empty() { request_id.to_owned() } else { id },
            body: text.to_owned(),
            receives: 1,
            receipt: None,
            group: None,
        }))
    }
}

/// Makes messages of records; a record that stands twice in the batch counts once.
fn messages(records: Vec<SqsMessage>) -> Result<Vec<Message>, EventError> {
    let mut seen = HashSet::new();
    let mut messages = Vec::with_capacity(records.len());
    for (index, record) in records.into_iter().enumerate() {
        let id = record.message_id.filter(|id| !id.is_empty()).ok_or(EventError::NoMessageId { index })?;
        if !seen.insert(id.clone()) {
            continue;
        }
        let queue_arn = record.event_source_arn.unwrap_or_default();
        // A group on a standard queue only asks for fairness; order is kept on a FIFO queue alone.
        let group = record.attributes.get("MessageGroupId").filter(|_| is_fifo(&queue_arn)).cloned();
        messages.push(Message {
            id,
            body: record.body.unwrap_or_default(),
            receives: record.attributes.get("ApproximateReceiveCount").and_then(|n| n.parse().ok()).unwrap_or(1),
            receipt: record.receipt_handle.map(|handle| Receipt { queue_arn, handle }),
            group,
        });
    }
    Ok(messages)
}

/// The innermost document of a message.
#[derive(Debug, PartialEq)]
pub struct Document {
    /// Its fields.
    pub fields: Map<String, Value>,
    /// The `detail-type` of the EventBridge envelope around it, if there was one.
    pub detail_type: Option<String>,
}

/// A message that holds no document. The text names the rule and never the content.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum DocumentError {
    /// The text is no JSON, or nested deeper than 127 levels.
    #[error("the body must be JSON: {0}")]
    NotJson(String),
    /// The text is JSON of another kind.
    #[error("the body must be a JSON object, not {0}")]
    NotAnObject(&'static str),
    /// Too many envelopes around the document.
    #[error("the body must have at most {MAX_ENVELOPES} envelopes around the sign-up")]
    TooDeep,
}

impl Document {
    /// Opens the SNS and EventBridge envelopes in `body`, whichever way they are nested.
    ///
    /// # Errors
    /// When the text is not JSON, not an object, or wrapped more than four times.
    pub fn open(body: &str) -> Result<Self, DocumentError> {
        let parse = |text: &str| serde_json::from_str(text).map_err(|error| DocumentError::NotJson(error.to_string()));
        let mut detail_type = None;
        let mut value = parse(body)?;
        for _ in 0..=MAX_ENVELOPES {
            let mut fields = match value {
                Value::Object(fields) => fields,
                other => return Err(DocumentError::NotAnObject(kind(&other))),
            };
            let field = |name: &str| fields.get(name).and_then(Value::as_str);
            if let (Some("Notification"), Some(message)) = (field("Type"), field("Message")) {
                value = parse(message)?;
            } else if let (Some(name), true) = (field("detail-type"), fields.contains_key("detail")) {
                detail_type = Some(name.to_owned());
                value = fields.remove("detail").unwrap_or_default();
            } else {
                return Ok(Self { fields, detail_type });
            }
        }
        Err(DocumentError::TooDeep)
    }
}

/// Whether a queue, by its name, URL or ARN, keeps the order of a group.
#[must_use]
pub fn is_fifo(queue: &str) -> bool {
    queue.rsplit('.').next() == Some("fifo")
}

/// Names the kind of a JSON value, for an error text that must not show it.
#[must_use]
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

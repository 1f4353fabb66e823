//! What invoked us, and what document a message holds.

use std::{
    borrow::Cow,
    collections::HashSet,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

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
        if let Some(records) = batch(text) {
            return Ok(Self::Batch(messages(records)?));
        }
        if let Some(records) = batch::<&RawValue>(text) {
            let records = records.into_iter().enumerate();
            let records = records.map(|(index, record)| Record::odd(record).ok_or(EventError { index }));
            return Ok(Self::Batch(messages(records.collect::<Result<_, _>>()?)?));
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

/// Takes the records out of a batch, which may be nothing but a list of them.
fn batch<'a, R: Deserialize<'a>>(text: &'a str) -> Option<Vec<R>> {
    #[derive(Deserialize)]
    struct Batch<R> {
        #[serde(rename = "Records")]
        records: Vec<R>,
    }
    if text.starts_with('[') {
        return serde_json::from_str(text).ok();
    }
    serde_json::from_str(text).ok().map(|Batch { records }| records)
}

/// A record of a batch.
#[derive(Default)]
struct Record<'a> {
    message_id: Option<String>,
    receipt_handle: Option<String>,
    body: Option<String>,
    /// In the order of [`ATTRIBUTES`].
    attributes: [Option<&'a RawValue>; 3],
    message_attributes: Option<&'a RawValue>,
    event_source_arn: Option<String>,
}

/// The fields of a record that are read.
const FIELDS: [&str; 6] = ["messageId", "receiptHandle", "body", "attributes", "messageAttributes", "eventSourceARN"];
/// The attributes of a record that are read.
const ATTRIBUTES: [&str; 3] = ["ApproximateReceiveCount", "SentTimestamp", "MessageGroupId"];

/// The name of a field of a record.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Name {
    MessageId,
    ReceiptHandle,
    Body,
    Attributes,
    MessageAttributes,
    #[serde(rename = "eventSourceARN")]
    EventSourceArn,
    #[serde(other)]
    Other,
}

impl<'a> Record<'a> {
    /// Reads one that is not as SQS makes it: whatever a field is, it is no matter of the others.
    fn odd(record: &'a RawValue) -> Option<Self> {
        let [message_id, receipt_handle, body, attributes, message_attributes, event_source_arn] =
            fields(record.get(), FIELDS)?;
        // A pipe may have been told to open the body. What is no text is taken as it stands, to be rejected.
        let body = body.map(RawValue::get).map(|body| serde_json::from_str(body).unwrap_or_else(|_| body.to_owned()));
        Some(Self {
            message_id: text(message_id),
            receipt_handle: text(receipt_handle),
            body,
            attributes: attributes.and_then(|attributes| fields(attributes.get(), ATTRIBUTES)).unwrap_or_default(),
            message_attributes,
            event_source_arn: text(event_source_arn),
        })
    }
}

/// Reads one as SQS makes it, in one pass. One that is made otherwise fails here, and is read by [`Record::odd`].
impl<'de: 'a, 'a> Deserialize<'de> for Record<'a> {
    fn deserialize<D: Deserializer<'de>>(record: D) -> Result<Self, D::Error> {
        record.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Record<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Record<'de>, A::Error> {
        let mut record = Record::default();
        while let Some(name) = entries.next_key()? {
            match name {
                Name::MessageId => record.message_id = entries.next_value()?,
                Name::ReceiptHandle => record.receipt_handle = entries.next_value()?,
                Name::Body => record.body = entries.next_value()?,
                Name::Attributes => record.attributes = entries.next_value_seed(Fields(ATTRIBUTES))?,
                Name::MessageAttributes => record.message_attributes = Some(entries.next_value()?),
                Name::EventSourceArn => record.event_source_arn = entries.next_value()?,
                Name::Other => drop(entries.next_value::<IgnoredAny>()?),
            }
        }
        Ok(record)
    }
}

/// Makes messages of records. One that stands twice counts once.
fn messages(records: Vec<Record<'_>>) -> Result<Vec<Message>, EventError> {
    let since_1970 = |millis: &str| UNIX_EPOCH.checked_add(Duration::from_millis(millis.parse().ok()?));
    let full = |text: Option<String>| text.filter(|text| !text.is_empty());
    let mut seen = HashSet::new();
    let mut messages = Vec::with_capacity(records.len());
    for (index, record) in records.into_iter().enumerate() {
        let id = full(record.message_id).ok_or(EventError { index })?;
        let queue_arn = record.event_source_arn.unwrap_or_default();
        let [receives, sent, group] = record.attributes.map(text);
        let receives = receives.and_then(|count| count.parse().ok()).unwrap_or(1);
        let sent = sent.and_then(|millis| since_1970(&millis));
        let others = record.message_attributes.and_then(|others| json::read(others.get()).ok());
        let first_sent = others.and_then(|others| since_1970(others.get(FIRST_SENT)?.get("stringValue")?.as_str()?));
        // A group on a standard queue only asks for fairness; order is kept on a FIFO queue alone.
        let group = group.filter(|_| is_fifo(&queue_arn));
        let receipt = full(record.receipt_handle).map(|handle| Receipt { queue_arn, handle });
        let body = record.body.unwrap_or_else(|| RawValue::NULL.get().to_owned());
        if seen.insert(id.clone()) {
            messages.push(Message { id, body, receives, sent, first_sent: first_sent.or(sent), receipt, group });
        }
    }
    Ok(messages)
}

/// Reads the fields of an object that have these names; none if it is no object.
fn fields<'a, const N: usize>(text: &'a str, names: [&'static str; N]) -> Option<[Option<&'a RawValue>; N]> {
    let mut object = serde_json::Deserializer::from_str(text);
    let fields = Fields(names).deserialize(&mut object).ok()?;
    object.end().ok().map(|()| fields)
}

/// The names of those fields of an object that are to be read, each as it stands: whatever it is, it is no matter of the
/// others. Of one that stands twice, the last counts.
struct Fields<const N: usize>([&'static str; N]);

impl<'de, const N: usize> DeserializeSeed<'de> for Fields<N> {
    type Value = [Option<&'de RawValue>; N];

    fn deserialize<D: Deserializer<'de>>(self, object: D) -> Result<Self::Value, D::Error> {
        object.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Fields<N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut fields = [None; N];
        while let Some(place) = entries.next_key_seed(Place(&self.0))? {
            match place.and_then(|place| fields.get_mut(place)) {
                Some(field) => *field = Some(entries.next_value()?),
                None => drop(entries.next_value::<IgnoredAny>()?),
            }
        }
        Ok(fields)
    }
}

/// Finds a name's place among those that are to be read.
struct Place<'a>(&'a [&'static str]);

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<Option<usize>, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for Place<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|wanted| *wanted == name))
    }
}

/// Reads a string that is not empty.
fn text(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(raw?.get()).ok().filter(|text: &String| !text.is_empty())
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
        let (mut text, mut detail_type) = (Cow::Borrowed(body), None);
        for _ in 0..=MAX_ENVELOPES {
            let Some((name, content)) = opened(&text) else {
                let wrong = |error: serde_json::Error| Malformed(format!("the body must be JSON: {error}"));
                return match json::read(&text).map_err(wrong)? {
                    value @ Value::Object(_) => Ok(Self { value, detail_type }),
                    other => Err(Malformed(format!("the body must be a JSON object, not {}", kind(&other)))),
                };
            };
            text = Cow::Owned(content);
            detail_type = name.or(detail_type);
        }
        Err(Malformed(format!("the body must have at most {MAX_ENVELOPES} envelopes around the sign-up")))
    }
}

/// Takes what is in an envelope out of it, with the `detail-type` if it tells one; a document is no envelope.
fn opened(envelope: &str) -> Option<(Option<String>, String)> {
    let string = |raw: Option<&RawValue>| serde_json::from_str::<String>(raw?.get()).ok();
    let [kind, message, detail_type, detail] = fields(envelope, ["Type", "Message", "detail-type", "detail"])?;
    if string(kind).as_deref() == Some("Notification")
        && let Some(message) = string(message)
    {
        return Some((None, message));
    }
    Some((Some(string(detail_type)?), detail?.get().to_owned()))
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

//! How a message is delayed, put back or parked: the only module that knows SQS.

use std::time::{Duration, UNIX_EPOCH};

use aws_sdk_sqs::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::{ChangeMessageVisibilityBatchRequestEntry as Entry, MessageAttributeValue},
};
use futures_util::{StreamExt, stream};

use crate::{
    event::{FIRST_SENT, Message, Receipt, is_fifo},
    outcome::Cause,
};

/// Most entries of one batch call (SQS).
const BATCH: usize = 10;
/// Most batch calls at once.
const CALLS: usize = 10;

/// A message that SQS has not taken. The text has no part of the message in it.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// There is no such queue.
    #[error("no queue is set")]
    NotSet,
    /// SQS refused, or could not be asked.
    #[error("SendMessage failed: {0}")]
    Failed(String),
}

/// The queues of the function.
pub struct Queue {
    sqs: Client,
    retry: Option<String>,
    parking: Option<String>,
}

impl Queue {
    /// Will send what is to be tried again to `queue_url` and what is rejected to `parking_queue_url`.
    pub fn new(sqs: Client, queue_url: Option<String>, parking_queue_url: Option<String>) -> Self {
        Self { sqs, retry: queue_url, parking: parking_queue_url }
    }

    /// Has each of these deliveries come back after its delay, by changing its visibility. They must all be of one
    /// queue, as those of an invocation are.
    ///
    /// Best effort: a delivery that it fails for comes back after the queue's own visibility timeout.
    pub async fn delay(&self, deliveries: &[(&Receipt, Duration)]) {
        stream::iter(deliveries.chunks(BATCH)).for_each_concurrent(CALLS, |batch| self.delay_batch(batch)).await;
    }

    async fn delay_batch(&self, batch: &[(&Receipt, Duration)]) {
        let entries = batch.iter().enumerate().filter_map(|(index, (receipt, delay))| {
            let entry = Entry::builder().id(index.to_string()).receipt_handle(&receipt.handle);
            entry.visibility_timeout(seconds(*delay)).build().ok()
        });
        let url = batch.first().map(|(receipt, _)| self.url_of(&receipt.queue_arn));
        let call = self.sqs.change_message_visibility_batch().set_queue_url(url).set_entries(Some(entries.collect()));
        // Its future has 5 KB, which every invocation would have with it, though few messages are delayed.
        let failed = match Box::pin(call.send()).await {
            Ok(answer) => answer.failed().first().map(|entry| (answer.failed().len(), entry.code().to_owned())),
            Err(error) => Some((batch.len(), reason(&error))),
        };
        if let Some((messages, reason)) = failed {
            tracing::warn!(messages, reason, "not delayed: they come back after the queue's visibility timeout");
        }
    }

    /// Puts an event that no queue delivered on the queue, to come back after `delay`.
    ///
    /// # Errors
    /// When there is no such queue, or SQS does not take it.
    pub async fn put_back(&self, message: &Message, delay: Duration) -> Result<(), QueueError> {
        let url = self.retry.as_ref().ok_or(QueueError::NotSet)?;
        // A FIFO queue knows no delay of a single message.
        let delay = (!is_fifo(url)).then(|| seconds(delay));
        self.send(url, message, None, delay).await
    }

    /// Whether rejected messages are kept.
    pub fn parks(&self) -> bool {
        self.parking.is_some()
    }

    /// Keeps a rejected message, with its reason, on the parking queue, if there is one.
    ///
    /// # Errors
    /// When SQS does not take it; the message must not be acknowledged then.
    pub async fn park(&self, message: &Message, cause: &Cause) -> Result<(), QueueError> {
        match &self.parking {
            Some(url) => self.send(url, message, Some(cause), None).await,
            None => Ok(()),
        }
    }

    async fn send(
        &self,
        url: &str,
        message: &Message,
        cause: Option<&Cause>,
        delay: Option<i32>,
    ) -> Result<(), QueueError> {
        let mut call = self.sqs.send_message().queue_url(url).message_body(&message.body).set_delay_seconds(delay);
        for (name, value) in cause.map(|cause| attributes(message, cause)).into_iter().flatten() {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            call = call.message_attributes(name, value.map_err(|error| QueueError::Failed(error.to_string()))?);
        }
        if is_fifo(url) {
            let group = message.group.as_deref().unwrap_or(&message.id);
            call = call.message_group_id(group).message_deduplication_id(&message.id);
        }
        // Its future has 5 KB, which every message would have with it, though few are parked.
        Box::pin(call.send()).await.map(drop).map_err(|error| QueueError::Failed(reason(&error)))
    }

    /// The URL that goes with the ARN of a queue: a record names its queue by ARN, SQS wants the URL.
    fn url_of(&self, arn: &str) -> String {
        let mut parts = arn.split(':').skip(1);
        let mut part = || parts.next().unwrap_or_default();
        let (partition, _, region, account, name) = (part(), part(), part(), part(), part());
        match &self.retry {
            Some(url) if url.rsplit('/').next() == Some(name) => url.clone(),
            _ => {
                let domain = if partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
                format!("https://sqs.{region}.{domain}/{account}/{name}")
            }
        }
    }
}

/// What a parked message is told, without what is empty: SQS takes no empty attribute.
fn attributes(message: &Message, cause: &Cause) -> impl Iterator<Item = (&'static str, String)> {
    let refusal = cause.refusal.as_ref();
    // SQS takes no other characters than those of XML.
    let printable = |text: &str| text.replace(|c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}'), " ");
    let attributes = [
        ("Reason", Some(cause.meaning.to_string())),
        ("ErrorCode", refusal.map(|refusal| refusal.code.to_string())),
        ("ErrorInfo", refusal.map(|refusal| printable(&refusal.info))),
        ("RequestId", refusal.and_then(|refusal| refusal.request_id.clone())),
        ("ReceiveCount", Some(message.receives.to_string())),
        ("SourceMessageId", Some(message.id.clone())),
        // Moved back one day, it has another time of its own.
        (
            FIRST_SENT,
            message.first_sent.and_then(|at| Some(at.duration_since(UNIX_EPOCH).ok()?.as_millis().to_string())),
        ),
    ];
    attributes.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)))
}

/// A delay as SQS takes it.
fn seconds(delay: Duration) -> i32 {
    i32::try_from(delay.as_secs()).unwrap_or(i32::MAX)
}

/// SQS's code for what went wrong, or the kind of fault: an SDK error's own text may go into detail too far.
fn reason<E: ProvideErrorMetadata>(error: &SdkError<E>) -> String {
    match error {
        SdkError::ServiceError(error) => error.err().code().unwrap_or("no error code").to_owned(),
        SdkError::TimeoutError(_) => "timeout".to_owned(),
        SdkError::DispatchFailure(_) => "no connection".to_owned(),
        _ => "no readable answer".to_owned(),
    }
}

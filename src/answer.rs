//! How an invocation is answered.

use aws_lambda_events::sqs::SqsBatchResponse;
use lambda_runtime::Diagnostic;
use serde::Serialize;

use crate::{event::EventError, outcome::Outcome, queue::QueueError};

/// What an invocation is answered with.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To SQS or a pipe: which messages must come back.
    Batch(SqsBatchResponse),
    /// To a bus or a person: what became of the event.
    Event(EventAnswer),
}

/// What became of a single event.
#[derive(Debug, PartialEq, Serialize)]
pub struct EventAnswer {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meaning: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'static str>,
}

impl EventAnswer {
    /// Says what became of an event that need not come back, or that the queue has taken.
    #[must_use]
    pub fn new(outcome: &Outcome) -> Self {
        let cause = outcome.cause();
        Self {
            outcome: outcome.label(),
            code: cause.map(|cause| cause.code.to_string()),
            meaning: cause.map(|cause| cause.meaning.to_string()),
            advice: cause.map(|cause| cause.advice),
        }
    }
}

/// An invocation that fails as a whole, so that Lambda tries it again.
#[derive(Debug, thiserror::Error)]
pub enum InvocationError {
    /// It cannot be taken apart.
    #[error(transparent)]
    Event(#[from] EventError),
    /// An event has to be tried again, and there is no queue to put it on.
    #[error("the event was {outcome} with {code} and QUEUE_URL is not set: Lambda has to try it again")]
    NoQueue {
        /// What became of it.
        outcome: &'static str,
        /// Why.
        code: String,
    },
    /// An event has to be tried again, and the queue did not take it.
    #[error("the event could not be put on QUEUE_URL: {0}")]
    NotPutBack(#[from] QueueError),
}

impl From<InvocationError> for Diagnostic {
    fn from(error: InvocationError) -> Self {
        let error_type = match error {
            InvocationError::Event(_) => "InvalidEvent",
            InvocationError::NoQueue { .. } => "NotImported",
            InvocationError::NotPutBack(_) => "NotPutBack",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}

//! How an invocation is answered.

use aws_lambda_events::sqs::SqsBatchResponse;
use lambda_runtime::Diagnostic;
use serde::Serialize;

use crate::{event::EventError, outcome::Cause, queue::QueueError};

/// What an invocation is answered with.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To SQS or a pipe: which messages must come back.
    Batch(SqsBatchResponse),
    /// To a bus or a person: what became of the event.
    Event {
        /// In one word.
        outcome: &'static str,
        /// Why, unless it was imported.
        #[serde(flatten)]
        cause: Option<Cause>,
    },
}

/// An invocation that fails as a whole, so that Lambda tries it again.
#[derive(Debug, thiserror::Error)]
pub enum InvocationError {
    /// It cannot be taken apart.
    #[error(transparent)]
    Event(#[from] EventError),
    /// An event has to be tried again, and no queue took it.
    #[error("the event failed with {code} and was not put on QUEUE_URL: {error}")]
    NotPutBack {
        /// Why it has to be tried again.
        code: String,
        /// Why no queue took it.
        error: QueueError,
    },
}

impl From<InvocationError> for Diagnostic {
    fn from(error: InvocationError) -> Self {
        let error_type = match error {
            InvocationError::Event(_) => "InvalidEvent",
            InvocationError::NotPutBack { .. } => "NotPutBack",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}

//! How one sign-up is imported.

use std::{cell::Cell, time::Duration};

use tokio::time::Instant;

use crate::{
    admin::Admin,
    chat::{Chat, Connection},
    event::Document,
    outcome::{
        Outcome,
        codes::{self, Retry},
    },
    signup::{Signup, UserId},
};

/// Least time in which a call is started: one that could not end is not worth its place in the rate.
const SHORTEST_CALL: Duration = Duration::from_millis(200);

/// Imports sign-ups.
pub struct Importer {
    /// Gives the credentials.
    pub admin: Admin,
    /// Makes the calls.
    pub chat: Chat,
    /// The `detail-type` that marks a sign-up on the bus; any, if absent.
    pub detail_type: Option<String>,
    /// Longest wait for one answer.
    pub request_timeout: Duration,
    /// Gives each call its `random`.
    pub random: fn() -> u32,
}

/// What came of trying a message.
pub struct Attempt {
    /// Whose sign-up it is, if that could be read.
    pub user: Option<UserId>,
    /// What became of it.
    pub outcome: Outcome,
    /// How long its calls took, if there were any.
    pub latency: Option<Duration>,
}

impl Attempt {
    /// An outcome that was reached without a call.
    pub fn without_call(outcome: Outcome) -> Self {
        Self { user: None, outcome, latency: None }
    }
}

impl Importer {
    /// Reads the sign-up in `body` and imports it before `deadline`, with one retry at the most.
    pub async fn import(&self, body: &str, deadline: Instant) -> Attempt {
        let signup = match Document::open(body) {
            Ok(document) if self.is_of_another_type(&document) => return Attempt::without_call(Outcome::Ignored),
            Ok(document) => Signup::read(&document),
            Err(error) => Err(error),
        };
        match signup {
            Ok(signup) => {
                let latency = Cell::new(None);
                let outcome = self.call(&signup, deadline, &latency).await;
                Attempt { user: Some(signup.user_id), outcome, latency: latency.get() }
            }
            Err(error) => Attempt::without_call(Outcome::malformed(&error)),
        }
    }

    fn is_of_another_type(&self, document: &Document) -> bool {
        self.detail_type.is_some() && document.detail_type.is_some() && document.detail_type != self.detail_type
    }

    async fn call(&self, signup: &Signup, deadline: Instant, latency: &Cell<Option<Duration>>) -> Outcome {
        let credentials = match self.admin.credentials().await {
            Ok(credentials) => credentials,
            Err(error) => return Outcome::of_secret(&error),
        };
        let call = async |credentials, connection| {
            let started = Instant::now();
            let left = deadline.saturating_duration_since(started);
            if left < SHORTEST_CALL {
                return None;
            }
            let timeout = left.min(self.request_timeout);
            let result = self.chat.account_import(credentials, signup, (self.random)(), timeout, connection).await;
            latency.set(Some(latency.get().unwrap_or_default() + started.elapsed()));
            Some(result)
        };
        let first = call(&credentials, Connection::Pooled).await;
        let retried = match first.as_ref().and_then(|result| codes::retry(result.as_ref().err()?)) {
            Some(Retry::NewConnection) => call(&credentials, Connection::New).await,
            Some(Retry::NewCredentials) => match self.admin.renew(credentials.serial).await {
                Some(newer) => call(&newer, Connection::Pooled).await,
                None => None,
            },
            None => None,
        };
        match retried.or(first) {
            Some(Ok(())) => Outcome::Imported,
            Some(Err(failure)) => Outcome::of_call(failure),
            None => Outcome::out_of_time(),
        }
    }
}

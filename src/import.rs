//! How one sign-up is imported.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    admin::Admin,
    chat::Chat,
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
    #[must_use]
    pub fn none(outcome: Outcome) -> Self {
        Self { user: None, outcome, latency: None }
    }
}

impl Importer {
    /// Reads the sign-up in `body` and imports it before `deadline`, with one retry at the most.
    pub async fn import(&self, body: &str, deadline: Instant) -> Attempt {
        let document = match Document::open(body) {
            Ok(document) => document,
            Err(error) => return Attempt::none(Outcome::malformed(error.to_string())),
        };
        if self.detail_type.is_some() && document.detail_type.is_some() && document.detail_type != self.detail_type {
            return Attempt::none(Outcome::Ignored);
        }
        let signup = match Signup::read(&document) {
            Ok(signup) => signup,
            Err(error) => return Attempt::none(Outcome::malformed(error.to_string())),
        };
        let started = Instant::now();
        let outcome = self.call(&signup, deadline).await;
        Attempt { user: Some(signup.user_id), outcome, latency: Some(started.elapsed()) }
    }

    async fn call(&self, signup: &Signup, deadline: Instant) -> Outcome {
        let credentials = match self.admin.credentials().await {
            Ok(credentials) => credentials,
            Err(error) => return Outcome::of_secret(&error),
        };
        let call = async |credentials, new| {
            let left = deadline.saturating_duration_since(Instant::now());
            if left < SHORTEST_CALL {
                return None;
            }
            let timeout = left.min(self.request_timeout);
            Some(self.chat.account_import(credentials, signup, (self.random)(), timeout, new).await)
        };
        let first = call(&credentials, false).await;
        let retried = match first.as_ref().and_then(|result| codes::retry(result.as_ref().err()?)) {
            Some(Retry::NewConnection) => call(&credentials, true).await,
            Some(Retry::NewCredentials) => match self.admin.renew(credentials.serial).await {
                Some(newer) => call(&newer, false).await,
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

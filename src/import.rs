//! How one sign-up is imported.

use std::{cell::Cell, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    admin::Admin,
    chat::{Chat, Connection},
    event::Malformed,
    outcome::{
        Outcome,
        codes::{self, Retry},
    },
    signup::{Rules, Signup},
    user_id::UserId,
};

/// Least time in which a call is started: one that could not end is not worth its place in the rate.
const SHORTEST_CALL: Duration = Duration::from_millis(200);

/// Imports sign-ups.
pub struct Importer {
    /// Gives the credentials.
    pub admin: Admin,
    /// Makes the calls.
    pub chat: Chat,
    /// How sign-ups are read.
    pub rules: Rules,
    /// One for each call that may be under way at once.
    pub slots: Semaphore,
    /// Longest wait for one answer.
    pub request_timeout: Duration,
    /// Gives each call its `random`.
    pub random: fn() -> u32,
}

/// What came of trying one sign-up, or of a message without any.
pub struct Attempt {
    /// Whose sign-up it is, if that could be read.
    pub user: Option<UserId>,
    /// What was done to make the profile fit.
    pub fitted: Vec<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// How long its calls took, if there were any.
    pub latency: Option<Duration>,
}

impl Attempt {
    /// An outcome that was reached without a call.
    pub fn without_call(outcome: Outcome) -> Self {
        Self { user: None, fitted: Vec::new(), outcome, latency: None }
    }
}

impl Importer {
    /// Imports the sign-ups in `body` before `deadline`, each with one retry at the most.
    ///
    /// Gives an attempt for each of them, in their order, and a single one if there is no sign-up.
    pub async fn import(&self, body: &str, deadline: Instant) -> Vec<Attempt> {
        let signups = self.rules.read(body);
        if signups.is_empty() {
            return vec![Attempt::without_call(Outcome::Ignored)];
        }
        let side_by_side = signups.len();
        stream::iter(signups).map(|signup| self.attempt(signup, deadline)).buffered(side_by_side).collect().await
    }

    async fn attempt(&self, signup: Result<Signup, Malformed>, deadline: Instant) -> Attempt {
        match signup {
            Ok(signup) => {
                let latency = Cell::new(None);
                let outcome = self.call(&signup, deadline, &latency).await;
                let Signup { user_id, fitted, .. } = signup;
                Attempt { user: Some(user_id), fitted, outcome, latency: latency.get() }
            }
            Err(error) => Attempt::without_call(Outcome::malformed(&error)),
        }
    }

    async fn call(&self, signup: &Signup, deadline: Instant, latency: &Cell<Option<Duration>>) -> Outcome {
        let credentials = match self.admin.credentials().await {
            Ok(credentials) => credentials,
            Err(error) => return Outcome::of_secret(&error),
        };
        let call = async |credentials, connection| {
            let _slot = self.slots.acquire().await;
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

//! How one sign-up is imported.

use std::{
    cell::Cell,
    collections::HashSet,
    time::{Duration, SystemTime},
};

use futures_util::future::join_all;
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    admin::Admin,
    breaker::{Breaker, Held, Permit},
    chat::{Call, Chat, Connection, Failure},
    check::Questions,
    event::Malformed,
    outcome::{
        Outcome, Trouble,
        codes::{self, Fate, Retry},
    },
    pace::Pace,
    signup::{Rules, Signup},
    user_id::UserId,
};

/// Least time in which a call is started: one that could not end is not worth its place in the rate.
const SHORTEST_CALL: Duration = Duration::from_millis(300);

/// What is kept free of a call's time, so that what it rejects can be parked before the invocation's work ends.
const LAST_WORD: Duration = Duration::from_millis(150);
/// How long Tencent itself tries. Who has waited so long in vain knows that it fails.
const TENCENTS_TIMEOUT: Duration = Duration::from_secs(3);

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
    /// How fast `account_import` may be called.
    pub import_pace: Pace,
    /// How fast `account_check` may be called.
    pub check_pace: Pace,
    /// Which accounts are to be looked for.
    pub questions: Questions,
    /// When nobody may be called.
    pub breaker: Breaker,
    /// Age from which on a sign-up is imported only if the account is not there.
    pub late_after: Duration,
    /// Longest wait for one answer.
    pub request_timeout: Duration,
    /// Gives each call its `random`.
    pub random: fn() -> u32,
    /// Tells wall-clock time.
    pub clock: fn() -> SystemTime,
}

/// What all calls for a sign-up have in common.
struct Try {
    deadline: Instant,
    /// How long the calls took so far, if there were any.
    latency: Cell<Option<Duration>>,
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
    /// Begins an invocation: its first call keeps its distance from those of the invocation before.
    pub fn begin(&self, now: Instant) {
        self.import_pace.begin(now);
        self.check_pace.begin(now);
    }

    /// Imports the sign-ups in `body`, which was sent at `sent`, before `deadline`, each with one retry at the most.
    ///
    /// Gives an attempt for each of them, in their order, and a single one if there is no sign-up.
    pub async fn import(&self, body: &str, sent: Option<SystemTime>, deadline: Instant) -> Vec<Attempt> {
        let signups = self.rules.read(body);
        if signups.is_empty() {
            return vec![Attempt::without_call(Outcome::Ignored)];
        }
        let is_late =
            sent.and_then(|sent| (self.clock)().duration_since(sent).ok()).is_some_and(|age| age >= self.late_after);
        join_all(signups.into_iter().map(|signup| self.attempt(signup, is_late, deadline))).await
    }

    async fn attempt(&self, signup: Result<Signup, Malformed>, is_late: bool, deadline: Instant) -> Attempt {
        match signup {
            Ok(signup) => {
                let turn = Try { deadline, latency: Cell::new(None) };
                let outcome = self.check_and_import(&signup, is_late, &turn).await.unwrap_or_else(|outcome| outcome);
                let Signup { user_id, fitted, .. } = signup;
                Attempt { user: Some(user_id), fitted, outcome, latency: turn.latency.get() }
            }
            Err(error) => Attempt::without_call(Outcome::malformed(&error)),
        }
    }

    /// A late redelivery may hold an old name: an account that is there is left alone.
    async fn check_and_import(&self, signup: &Signup, is_late: bool, turn: &Try) -> Result<Outcome, Outcome> {
        if is_late {
            let mut is_present = self.is_present(&signup.user_id, turn).await;
            if let Err(Outcome::Rejected(_)) = is_present {
                // Another of the same call may be to blame.
                let alone = || HashSet::from([signup.user_id.clone()]);
                is_present = self.find(alone, turn).await.map(|found| !found.is_empty());
            }
            match is_present {
                Ok(true) => return Ok(Outcome::Present),
                // What is wrong with the account, the import tells better.
                Ok(false) | Err(Outcome::Rejected(_)) => {}
                Err(outcome) => return Err(outcome),
            }
        }
        let import = async |call: Call<'_>| self.chat.account_import(call, signup).await;
        self.with_retry(&self.import_pace, turn, import).await.map(|()| Outcome::Imported)
    }

    /// Looks for an account, in one call with all others that are looked for by the time it is made.
    async fn is_present(&self, user_id: &UserId, turn: &Try) -> Result<bool, Outcome> {
        let mut question = self.questions.ask(user_id);
        loop {
            let round = self.questions.round().await;
            // The call of an earlier round may have answered it.
            if let Some(answer) = question.answer() {
                return answer;
            }
            let found = self.find(|| round.user_ids(), turn).await;
            round.tell(&found);
        }
    }

    /// Finds which accounts are there; they are named when the call is made.
    async fn find(&self, user_ids: impl Fn() -> HashSet<UserId>, turn: &Try) -> Result<HashSet<UserId>, Outcome> {
        let check = async |call: Call<'_>| self.chat.account_check(call, &user_ids()).await;
        self.with_retry(&self.check_pace, turn, check).await
    }

    /// Makes a call, and once more where that is worth it.
    async fn with_retry<T>(
        &self,
        pace: &Pace,
        turn: &Try,
        make: impl AsyncFn(Call<'_>) -> Result<T, Failure>,
    ) -> Result<T, Outcome> {
        let credentials = self.admin.credentials().await.map_err(|error| Outcome::of_secret(&error))?;
        let call = |credentials, connection| {
            let call = Call { credentials, random: (self.random)(), timeout: self.request_timeout, connection };
            self.once(pace, turn, call, &make)
        };
        let failure = match call(&credentials, Connection::Pooled).await? {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        let retry = codes::retry(&failure);
        let retried = match retry {
            Some(Retry::NewConnection) => call(&credentials, Connection::New).await.ok(),
            Some(Retry::NewCredentials) => match self.admin.renew(credentials.serial).await {
                Some(newer) => call(&newer, Connection::Pooled).await.ok(),
                None => None,
            },
            None => None,
        };
        // One that could not be made leaves the first to tell.
        let failure = match retried.unwrap_or(Err(failure)) {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        // The one retry is used up, but whoever comes next shall not fail by an old key.
        let is_key_left = retry == Some(Retry::NewConnection) && codes::retry(&failure) == Some(Retry::NewCredentials);
        if is_key_left && self.admin.renew(credentials.serial).await.is_some() {
            return Err(Outcome::key_renewed());
        }
        Err(Outcome::of_call(failure))
    }

    /// Makes one call as soon as it may be made, or says why it may not.
    async fn once<T>(
        &self,
        pace: &Pace,
        turn: &Try,
        call: Call<'_>,
        make: impl AsyncFn(Call<'_>) -> Result<T, Failure>,
    ) -> Result<Result<T, Failure>, Outcome> {
        let _slot = self.slots.acquire().await;
        let latest = turn.deadline.checked_sub(SHORTEST_CALL).unwrap_or(turn.deadline);
        let permit = loop {
            let permit = self.breaker.wait(self.clock).await.map_err(Outcome::held_off)?;
            if Instant::now() > latest {
                return Err(Outcome::out_of_time());
            }
            if !pace.wait(latest).await {
                return Err(Outcome::paced());
            }
            match self.breaker.admit_again(permit, (self.clock)()) {
                // The turn has to be taken anew after the probe.
                Err(Held::Probing) => {}
                other => break other.map_err(Outcome::held_off)?,
            }
        };
        let started = Instant::now();
        let left = turn.deadline.saturating_duration_since(started).saturating_sub(LAST_WORD);
        let timeout = call.timeout.min(left);
        let result = make(Call { timeout, ..call }).await;
        turn.latency.set(Some(turn.latency.get().unwrap_or_default() + started.elapsed()));
        let is_cut_short = timeout < call.timeout.min(TENCENTS_TIMEOUT);
        match &result {
            // Neither says anything about the service: a pooled connection had died, or our own time was short.
            Err(Failure::Interrupted) if call.connection == Connection::Pooled => drop(permit),
            Err(Failure::Timeout) if is_cut_short => drop(permit),
            Err(failure) => self.learn(pace, permit, failure),
            Ok(_) => {
                permit.answered();
                pace.speed_up();
            }
        }
        Ok(result)
    }

    /// Has the pace and the breaker learn from a failure.
    fn learn(&self, pace: &Pace, permit: Permit<'_>, failure: &Failure) {
        if codes::trouble(failure) == Some(Trouble::RateLimited) {
            pace.slow_down(Instant::now());
            permit.answered();
        } else if codes::meaning(failure).fate == Fate::CredentialRate {
            permit.refused_too_often((self.clock)());
        } else if codes::is_of_service(failure) {
            permit.failed((self.clock)());
        } else {
            permit.answered();
        }
    }
}

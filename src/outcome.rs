//! What follows from each failure: the only place that judges.

pub mod codes;

use std::{borrow::Cow, time::Duration};

use serde::Serialize;

use crate::{
    admin::AdminError,
    breaker::Held,
    chat::{Failure, Refusal},
    event::Malformed,
};
use codes::Fate;

/// Longest delay. Once a fault is over, all that it kept back is to be imported within 15 minutes, and for up to one of
/// them what the function knows of the fault may be out of date. SQS's limit for a sent message is 15 minutes, too.
pub const MAX_DELAY: Duration = Duration::from_mins(14);
/// Upper end of what is added to a deferred message's shortest delay, a second, at first; it doubles with every receive.
const DEFERRED: Duration = Duration::from_secs(5);
/// Shortest delay of a blocked message, and the upper end of what is added to it at first. Tencent wants a minute's
/// silence after 70050.
const BLOCKED: Duration = Duration::from_mins(1);

/// What became of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The account is there. Acknowledged.
    Imported,
    /// The account was there before a late redelivery, which might have an old name. Left alone, acknowledged.
    Present,
    /// Not a sign-up. Acknowledged and counted.
    Ignored,
    /// Time may cure it. Back to the queue.
    Deferred(Cause),
    /// An operator must act, then it heals by itself. Back to the queue for long.
    Blocked(Cause),
    /// It will never succeed as it is. Parked with the reason, then acknowledged.
    Rejected(Cause),
}

/// Why a message was not imported. Only `refusal` may have a part of the message in it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cause {
    /// A word or number for logs and metrics: Tencent's `ErrorCode`, or ours such as `timeout`.
    pub code: Cow<'static, str>,
    /// What it means.
    pub meaning: Cow<'static, str>,
    /// What an operator can do about it.
    pub advice: &'static str,
    /// Tencent's answer, for the parked message.
    #[serde(skip)]
    pub refusal: Option<Refusal>,
    /// Whether the sign-up had its turn.
    #[serde(skip)]
    pub turn: Turn,
    /// What a person has to see to, if it is more than waiting.
    #[serde(skip)]
    pub trouble: Option<Trouble>,
}

/// What a person has to see to. Each has a metric, an alarm and a section in the runbook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// The app's plan allows no more accounts (70398). Parked.
    AccountLimit,
    /// A message holds no valid sign-up. Parked.
    Malformed,
    /// Tencent refuses a sign-up for good. Parked.
    Refused,
    /// A sign-up failed for too long. Parked.
    Expired,
    /// Tencent refuses the key, or what goes with it.
    CredentialRefused,
    /// Settings, plan or rights are wrong, so that all fail alike.
    SetUpBlocked,
    /// The secret cannot be read, or has no key in it.
    SecretUnreadable,
    /// Tencent answered with a code that is not in our table.
    UnknownCode,
    /// What is rejected cannot be parked.
    NotParked,
    /// Our own code failed.
    Panicked,
    /// Tencent, or a gateway of its, finds the calls too many. It is the share of the calls that matters.
    RateLimited,
}

impl Trouble {
    /// Those that matter by their number, by the names of their metrics.
    pub const COUNTED: [(&str, Self); 10] = [
        ("AccountLimit", Self::AccountLimit),
        ("Malformed", Self::Malformed),
        ("Refused", Self::Refused),
        ("Expired", Self::Expired),
        ("CredentialRefused", Self::CredentialRefused),
        ("SetUpBlocked", Self::SetUpBlocked),
        ("SecretUnreadable", Self::SecretUnreadable),
        ("UnknownCode", Self::UnknownCode),
        ("NotParked", Self::NotParked),
        ("Panicked", Self::Panicked),
    ];
}

/// Whether a sign-up had its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It was tried and failed: it backs off, and expires one day.
    Had,
    /// Others failed, so it was not tried: it backs off, and does not expire by that.
    Held,
    /// There was no time for it, or what was in its way is gone: it comes back soon.
    Missed,
}

impl Cause {
    fn new(code: &'static str, meaning: impl Into<Cow<'static, str>>, advice: &'static str) -> Self {
        Self { code: code.into(), meaning: meaning.into(), advice, refusal: None, turn: Turn::Had, trouble: None }
    }

    fn of(self, trouble: Trouble) -> Self {
        Self { trouble: Some(trouble), ..self }
    }

    fn untried(code: &'static str, meaning: &'static str, advice: &'static str) -> Self {
        Self { turn: Turn::Missed, ..Self::new(code, meaning, advice) }
    }
}

impl Outcome {
    /// The outcome in one word, as logs and metrics have it.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Imported => "imported",
            Self::Present => "present",
            Self::Ignored => "ignored",
            Self::Deferred(_) => "deferred",
            Self::Blocked(_) => "blocked",
            Self::Rejected(_) => "rejected",
        }
    }

    /// Why the message was not imported.
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Imported | Self::Present | Self::Ignored => None,
            Self::Deferred(cause) | Self::Blocked(cause) | Self::Rejected(cause) => Some(cause),
        }
    }

    /// Why it will never succeed as it is, if so.
    pub fn rejection(&self) -> Option<&Cause> {
        if let Self::Rejected(cause) = self { Some(cause) } else { None }
    }

    /// What a message has come to by the outcomes of its sign-ups: that of one which comes back, or else of one which
    /// never will be imported, goes before the others.
    pub fn of_all<'a>(outcomes: impl Iterator<Item = &'a Self>) -> &'a Self {
        outcomes.max_by_key(|outcome| (outcome.comes_back(), outcome.cause().is_some())).unwrap_or(&Self::Ignored)
    }

    /// Whether the message has to come back.
    pub fn comes_back(&self) -> bool {
        matches!(self, Self::Deferred(_) | Self::Blocked(_))
    }

    /// How long a message that was received `receives` times stays away; `None` if it need not come back.
    ///
    /// Full jitter: `random` picks evenly, so that a backlog does not return all at once.
    pub fn delay(&self, receives: u32, random: u32) -> Option<Duration> {
        let (floor, first) = match self {
            Self::Imported | Self::Present | Self::Ignored | Self::Rejected(_) => return None,
            Self::Deferred(cause) if cause.turn == Turn::Missed => {
                return Some(jittered(Duration::from_secs(1), DEFERRED, random));
            }
            Self::Deferred(_) => (Duration::from_secs(1), DEFERRED),
            Self::Blocked(_) => (BLOCKED, BLOCKED),
        };
        let doubled = first.saturating_mul(1 << receives.saturating_sub(1).min(16));
        Some(jittered(floor, doubled.min(MAX_DELAY.saturating_sub(floor)), random))
    }

    /// Judges a failed call of `account_import` after which nothing else is tried.
    pub fn of_call(failure: Failure) -> Self {
        let meaning = codes::meaning(&failure);
        let code = match &failure {
            Failure::Refused(refusal) => refusal.code.to_string().into(),
            Failure::Status(status) => format!("http_{status}").into(),
            Failure::Unreadable(_) => "unreadable".into(),
            Failure::Timeout => "timeout".into(),
            Failure::NoConnection => "no_connection".into(),
            Failure::Interrupted => "interrupted".into(),
        };
        let (trouble, text) = (codes::trouble(&failure), meaning.text.into());
        let refusal = if let Failure::Refused(refusal) = failure { Some(refusal) } else { None };
        let cause = Cause { code, meaning: text, advice: meaning.advice, refusal, turn: Turn::Had, trouble };
        match meaning.fate {
            Fate::Transient | Fate::Rate | Fate::CredentialThenTransient => Self::Deferred(cause),
            Fate::Credential | Fate::CredentialRate | Fate::SetUp => Self::Blocked(cause),
            Fate::Permanent => Self::Rejected(cause),
        }
    }

    /// Judges that there is no key to sign with.
    pub fn of_secret(error: &AdminError) -> Self {
        let cause = |code, advice| Cause::new(code, error.to_string(), advice).of(Trouble::SecretUnreadable);
        match error {
            AdminError::Unavailable(_) => Self::Deferred(cause("secret_unavailable", codes::WAIT)),
            AdminError::Refused(_) => {
                Self::Blocked(cause("secret_refused", "check CHAT_SECRET_ID and what the function's role may read"))
            }
            AdminError::Malformed(_) => {
                Self::Blocked(cause("secret_malformed", "write the secret again as README says"))
            }
        }
    }

    /// Judges a message that holds no valid sign-up.
    pub fn malformed(error: &Malformed) -> Self {
        let advice = "correct the sender, then send the parked message again";
        Self::Rejected(Cause::new("malformed", error.to_string(), advice).of(Trouble::Malformed))
    }

    /// The invocation's time was up before the message was done.
    pub fn out_of_time() -> Self {
        let advice = "if it goes on, raise the function's timeout, or lower the batch size";
        Self::Deferred(Cause::untried("out_of_time", "the invocation had no time left for it", advice))
    }

    /// An earlier message of its FIFO group has to go first.
    pub fn out_of_turn() -> Self {
        Self::Deferred(Cause::untried("out_of_turn", "an earlier message of its group failed", codes::WAIT))
    }

    /// The rate left no place for its call in the invocation's time.
    pub fn paced() -> Self {
        let advice = "nothing: it is tried again by itself; a backlog drains at CHAT_RATE_LIMIT calls a second";
        Self::Deferred(Cause::untried("paced", "the rate left no time for its call", advice))
    }

    /// A dead connection and then an old key were in its way; the key has been read anew.
    pub fn key_renewed() -> Self {
        Self::Deferred(Cause::untried("key_renewed", "the key was refused, and has been read anew", codes::WAIT))
    }

    /// Nobody may be called now.
    pub fn held_off(held: Held) -> Self {
        match held {
            Held::Open | Held::Probing => {
                let cause = Cause::new("breaker_open", "Tencent fails; one call at a time tries it", codes::WAIT);
                Self::Deferred(Cause { turn: Turn::Held, ..cause })
            }
            Held::Silent => {
                let meaning = "no call for a minute, since the signature was refused too often";
                let cause = Cause::new("silent", meaning, codes::KEY).of(Trouble::CredentialRefused);
                Self::Blocked(Cause { turn: Turn::Held, ..cause })
            }
        }
    }

    /// It has failed for longer than is worth trying: it is `age` old. What was not tried does not expire, unless this
    /// `is_last` chance to keep it with a reason.
    #[must_use]
    pub fn expired(self, age: Duration, is_last: bool) -> Self {
        match self {
            Self::Deferred(cause) | Self::Blocked(cause) if is_last || cause.turn == Turn::Had => {
                let hours = age.as_secs() / 3600;
                let meaning = format!("{hours} hours old and still failing: {} ({})", cause.code, cause.meaning);
                let advice = "put the cause right, then redrive the parking queue";
                let expired = Cause::new("expired", meaning, advice).of(Trouble::Expired);
                Self::Rejected(Cause { refusal: cause.refusal, ..expired })
            }
            other => other,
        }
    }

    /// Our own code failed.
    pub fn panicked() -> Self {
        let advice = "report the defect with the place that the log names";
        Self::Deferred(Cause::new("panic", "the function panicked over it", advice).of(Trouble::Panicked))
    }

    /// It is to be parked, but others of its message have to come back first.
    pub fn held(cause: &Cause) -> Self {
        let meaning =
            format!("rejected with {} ({}); parked when the rest of its message is done", cause.code, cause.meaning);
        Self::Deferred(Cause::new("held", meaning, codes::WAIT))
    }

    /// It should have been parked and could not be, so it has to come back until it can.
    pub fn not_parked(cause: &Cause, error: &str) -> Self {
        let meaning = format!("rejected with {} ({}), but not parked: {error}", cause.code, cause.meaning);
        let advice = "check PARKING_QUEUE_URL and whether the role may send there";
        let not_parked = Cause::new("not_parked", meaning, advice).of(Trouble::NotParked);
        Self::Blocked(Cause { refusal: cause.refusal.clone(), ..not_parked })
    }
}

/// Full jitter: `floor` and a random part of `span`, to the second.
fn jittered(floor: Duration, span: Duration, random: u32) -> Duration {
    floor + Duration::from_secs(((span.as_secs() + 1) * u64::from(random)) >> u32::BITS)
}

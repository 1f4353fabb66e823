//! Tencent's error codes: what each means, what follows from it, and what an operator can do.
//!
//! Source: Tencent Chat's "Error Codes" and `account_import` pages; older codes from its SDKs' lists.

use super::Trouble;
use crate::chat::Failure;
use Fate::{Credential, CredentialRate, CredentialThenTransient, Permanent, Rate, SetUp, Transient};

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Time cures it.
    Transient,
    /// Too many calls: time cures it, and fewer calls.
    Rate,
    /// The credentials were refused: worth one try with new ones, then an operator must act.
    Credential,
    /// As `Credential`, but documents disagree on whether time cures it: after one try, let it.
    CredentialThenTransient,
    /// The credentials were refused too often: no try before a minute has gone by.
    CredentialRate,
    /// Our settings, plan or rights are wrong: every message fails alike until an operator acts.
    SetUp,
    /// This message fails for ever.
    Permanent,
}

/// A failure explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// What follows.
    pub fate: Fate,
    /// What it means, in words for a log.
    pub text: &'static str,
    /// What an operator can do.
    pub advice: &'static str,
}

/// The advice where nothing has to be done.
pub const WAIT: &str = "nothing: it is tried again by itself";
const TICKET: &str = "nothing at first; if it lasts, ask Tencent with the RequestId";
/// The advice where the key, or what goes with it, is wrong.
pub const KEY: &str = "check sdkAppId, identifier and secretKey in the secret; the console has a UserSig tool";
const HOST: &str = "check that CHAT_REGION or CHAT_ENDPOINT belongs to the app";
const ADMIN: &str = "set identifier in the secret to an administrator of the app";
const APP: &str = "check the app's account integration in Tencent's console, or ask Tencent";
const PLAN: &str = "buy, renew or upgrade the app's plan";
/// The plan allows no more accounts.
const ACCOUNT_LIMIT: i64 = 70398;
const UNKNOWN: &str = "a code this function does not know";
const SLOWER: &str = "lower CHAT_RATE_LIMIT; other callers of the app count too";
const DEFECT: &str = "report a defect of this function: it built a wrong request";
const USER: &str = "correct the user ID at its source, then send the parked message again";
const PROFILE: &str = "correct nickname or picture, then send the parked message again";

/// What one more call, at once, needs to be worth making.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// A connection of its own: the one from the pool had died, most likely while the environment was frozen.
    NewConnection,
    /// A key read anew and a new signature.
    NewCredentials,
}

/// Tells whether the service itself has failed, and not only this call. A code that is not known may be one user's.
pub fn is_of_service(failure: &Failure) -> bool {
    let Meaning { fate, text, .. } = meaning(failure);
    fate == Transient && text != UNKNOWN
}

/// Tells whether a first failure is worth one more call. All other retries belong to the queue.
pub fn retry(failure: &Failure) -> Option<Retry> {
    match (failure, meaning(failure).fate) {
        (Failure::Interrupted, _) => Some(Retry::NewConnection),
        (_, Credential | CredentialThenTransient) => Some(Retry::NewCredentials),
        (_, Transient | Rate | CredentialRate | SetUp | Permanent) => None,
    }
}

/// Tells what a person has to see to after a failed call, if it is more than waiting.
pub fn trouble(failure: &Failure) -> Option<Trouble> {
    let Meaning { fate, text, .. } = meaning(failure);
    match (failure, fate) {
        (Failure::Status(429), _) | (_, Rate) => Some(Trouble::RateLimited),
        (_, Transient) => (text == UNKNOWN).then_some(Trouble::UnknownCode),
        (_, Credential | CredentialThenTransient | CredentialRate) => Some(Trouble::CredentialRefused),
        (_, SetUp) => Some(Trouble::SetUpBlocked),
        (Failure::Refused(refusal), Permanent) if refusal.code == ACCOUNT_LIMIT => Some(Trouble::AccountLimit),
        (_, Permanent) => Some(Trouble::Refused),
    }
}

/// Explains a failed call.
pub fn meaning(failure: &Failure) -> Meaning {
    let (fate, text, advice) = match failure {
        Failure::Timeout => (Transient, "no answer in time", TICKET),
        Failure::NoConnection => {
            (Transient, "no connection to the host: DNS, TCP or TLS", "check VPC, NAT and the host")
        }
        Failure::Interrupted => (Transient, "the connection broke before an answer", TICKET),
        Failure::Unreadable(what) => (Transient, *what, "check that the host is Tencent's and no proxy answers for it"),
        Failure::Status(429 | 500..=599) => (Transient, "the gateway is overloaded or down", TICKET),
        Failure::Status(300..=499) => (SetUp, "the host is not Tencent's REST API", HOST),
        Failure::Status(_) => (Transient, "the host answered neither with a result nor an error", HOST),
        Failure::Refused(refusal) => of_code(refusal.code),
    };
    Meaning { fate, text, advice }
}

fn of_code(code: i64) -> (Fate, &'static str, &'static str) {
    match code {
        // Time cures it.
        40006 | 70201 | 70203 | 70207 | 70208 | 70212 | 70222 | 70225 | 70231 | 70308 | 70348 | 70401 | 70500 => {
            (Transient, "internal service error", TICKET)
        }
        60014 | 70017 | 70169 | 70202 | 70362 => (Transient, "internal service timeout", TICKET),
        60008 => (Transient, "service timeout or malformed HTTP request", TICKET),
        60013 | 70205 | 70213 => (Transient, "internal data of the service could not be read", TICKET),
        70404 => (Transient, "SDK version too old, which no server call has", TICKET),

        // Too many calls.
        60007 => (Rate, "more than 200 calls a second of this command", SLOWER),
        60011 => (Rate, "the app's calls of all commands exceed its rate", SLOWER),
        60018 | 60019 => (Rate, "too many requests", SLOWER),

        // The credentials were refused.
        60004 | 60005 => (CredentialThenTransient, "administrator or UserSig could not be checked", KEY),
        60025 => (Credential, "sdkappid, identifier, usersig or contenttype is wrong", KEY),
        70001 | 70347 => (Credential, "UserSig expired", KEY),
        70002 | 70019 => (Credential, "UserSig empty", KEY),
        70003 | 70004 => (Credential, "UserSig invalid or truncated", KEY),
        70005..=70008 | 70010 | 70236 => (Credential, "UserSig does not match the secret key", KEY),
        70009 => (Credential, "UserSig made with another app's key", KEY),
        70018 | 70214 | 70346 => (Credential, "credentials could not be verified", KEY),
        70052 | 70221 => (Credential, "UserSig no longer valid, a new one is needed", KEY),
        70050 => (CredentialRate, "UserSig refused too often: no call for a minute", KEY),

        // Settings, plan and rights.
        60002 | 60009 => (SetUp, "request URL refused", HOST),
        60006 | 60012 => (SetUp, "sdkappid missing or invalid", KEY),
        60010 | 70403 => (SetUp, "identifier is not an administrator of the app", ADMIN),
        60016 | 60017 => (SetUp, "the app or this command is disabled", "ask Tencent why"),
        60020 | 80005 => (SetUp, "no plan, an expired plan or arrears", PLAN),
        60021 => (SetUp, "source IP address not allowed", "admit the NAT gateway's address in Tencent's console"),
        60026 => (SetUp, "the host is not that of the app's region", HOST),
        60027 => (SetUp, "a push-only app may not use this command", "use an app of Tencent Chat"),
        60028 => (SetUp, "the trial plan's 24-hour quota is used up", PLAN),
        70013 | 70014 => (SetUp, "identifier or sdkappid differs from the signed one", KEY),
        70016 | 70020 => (SetUp, "the app or its key is not known at this host", HOST),
        70051 => (SetUp, "the administrator is on the blocklist", "have Tencent unblock it"),
        70107 => (SetUp, "the administrator does not exist", ADMIN),
        70115 | 70209..=70211 => (SetUp, "the caller is not accepted as the app's developer", APP),
        70015 | 70140 | 70145 | 70204 => (SetUp, "the app's account type is wrong or missing", APP),
        72000 | 72002 => (SetUp, "active users exceed the free quota", PLAN),

        // The message.
        ACCOUNT_LIMIT => (
            Permanent,
            "account limit reached: more than 100 accounts need a paid plan",
            "upgrade the app's plan, then redrive the parking queue",
        ),
        70399 => (Permanent, "user ID deleted less than three months ago", "use another user ID, or wait"),
        70402 => (Permanent, "parameter invalid: user ID, nickname or picture", USER),
        70102..=70106 => (Permanent, "user ID of a wrong type or format", USER),
        40601 => (Permanent, "nickname or picture longer than 500 bytes", PROFILE),
        40605 | 40610 => (Permanent, "nickname or picture invalid", PROFILE),
        40005 | 80001 => (Permanent, "nickname contains sensitive words", PROFILE),
        80004 => (Permanent, "picture contains sensitive content", PROFILE),
        70114 => (Permanent, "restricted for security reasons", "ask Tencent why"),
        60003 | 60015 | 70101 | 70113 | 70206 => (Permanent, "request body refused", DEFECT),

        _ => (Transient, UNKNOWN, "look it up in Tencent's error codes and report it"),
    }
}

//! Where the admin key comes from and how long it is kept: the only module that knows Secrets Manager.

use std::{
    io,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_sdk_secretsmanager::{Client, error::ProvideErrorMetadata};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::{json, usersig};

/// How long a key is used before it is read again.
pub const KEEP: Duration = Duration::from_mins(5);
/// Shortest time between two reads that a refusal by Tencent, or a failed read, brings about; without a key it is
/// [`KEYLESS`].
pub const REREAD_AFTER: Duration = Duration::from_secs(30);
/// How long an environment without a key waits until it tries to read one again. Its invocations wait with it: if they
/// failed at once, it would be free for the next batch at once, and take most of the queue from those that have a key.
pub const KEYLESS: Duration = Duration::from_secs(5);
/// How long a UserSig is valid; Tencent advises 24 h at least. It is renewed at half that age.
pub const VALID_FOR: Duration = Duration::from_hours(24);

/// What a request is signed with. It holds a signature that is valid now.
pub struct Credentials {
    /// The app's `sdkappid`.
    pub sdk_app_id: u64,
    /// The app's administrator.
    pub identifier: String,
    /// The signature; it goes into the query string of a request.
    pub user_sig: SecretString,
    /// Which signature of this environment it is, counted from 1.
    pub serial: u64,
}

/// The admin key could not be had. The text never has any of the secret in it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AdminError {
    /// Secrets Manager could not be reached or was too busy: time may cure it.
    #[error("the secret could not be read for now: {0}")]
    Unavailable(String),
    /// Secrets Manager refused: the secret's name or the role's rights are wrong.
    #[error("the secret could not be read: {0}")]
    Refused(String),
    /// The secret is not the JSON document it must be.
    #[error("the secret must be {{\"sdkAppId\":1400000000,\"identifier\":\"administrator\",\"secretKey\":\"…\"}}: {0}")]
    Malformed(String),
}

/// The secret, as it is kept in Secrets Manager. Its key does not show in `Debug`.
#[derive(Debug)]
pub struct Secret {
    sdk_app_id: u64,
    identifier: String,
    key: SecretString,
}

/// Keeps the admin key, and a signature made with it, for the life of an environment.
pub struct Admin {
    client: Client,
    secret_id: String,
    clock: fn() -> SystemTime,
    // Held across a read, so that there is one at a time and those who waited find what it brought.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    secret: Option<Secret>,
    read_at: Option<SystemTime>,
    failure: Option<(SystemTime, AdminError)>,
    forced_at: Option<SystemTime>,
    signed: Option<(SystemTime, Arc<Credentials>)>,
    serial: u64,
}

impl Admin {
    /// Will read the secret named `secret_id` when it is first asked for credentials.
    ///
    /// `clock` tells wall-clock time: a monotonic clock stands still while an environment is frozen.
    pub fn new(client: Client, secret_id: String, clock: fn() -> SystemTime) -> Self {
        Self { client, secret_id, clock, state: Mutex::default() }
    }

    /// Gives credentials whose key was read less than five minutes ago, or else the old ones for as long as
    /// reading fails for a passing reason. Without old ones, it waits for [`KEYLESS`] after such a failure.
    ///
    /// # Errors
    /// When there is no key yet, or Secrets Manager refuses to give it, or it is malformed.
    pub async fn credentials(&self) -> Result<Arc<Credentials>, AdminError> {
        let asked = (self.clock)();
        let state = &mut *self.state.lock().await;
        let mut now = (self.clock)();
        if !is_within(KEEP, state.read_at, now) {
            // A read that has just failed is not repeated for every message of a batch.
            let failed = state.failure.clone().filter(|(at, _)| is_within(REREAD_AFTER, Some(*at), now));
            let read = match failed {
                Some((at, AdminError::Unavailable(_))) if state.secret.is_none() && at < asked => {
                    let gone = now.duration_since(at).unwrap_or_default();
                    tokio::time::sleep(KEYLESS.saturating_sub(gone)).await;
                    now = (self.clock)();
                    self.read(state, now).await
                }
                Some((_, error)) => Err(error),
                None => self.read(state, now).await,
            };
            match read {
                Err(AdminError::Unavailable(_)) if state.secret.is_some() => {}
                other => other?,
            }
        }
        state.sign(now)
    }

    /// Reads the secret again and signs anew, because Tencent refused the credentials with the serial `refused`.
    ///
    /// Gives `None` when there is nothing newer to try: such a read was made less than 30 s ago, or fails now.
    pub async fn renew(&self, refused: u64) -> Option<Arc<Credentials>> {
        let state = &mut *self.state.lock().await;
        let now = (self.clock)();
        if state.serial == refused {
            if is_within(REREAD_AFTER, state.forced_at, now) {
                return None;
            }
            let read = self.read(state, now).await;
            // Only now: a read that the deadline cut off has not been made.
            state.forced_at = Some(now);
            read.ok()?;
            state.signed = None;
        }
        state.sign(now).ok()
    }

    async fn read(&self, state: &mut State, now: SystemTime) -> Result<(), AdminError> {
        // Its future has 5 KB, which every message would have with it, though few of them wait for a read.
        match Box::pin(self.fetch()).await {
            Ok(secret) => {
                if !state.secret.as_ref().is_some_and(|held| held.is(&secret)) {
                    state.signed = None;
                }
                (state.secret, state.read_at, state.failure) = (Some(secret), Some(now), None);
                Ok(())
            }
            Err(error) => {
                let serves_on = state.secret.is_some() && matches!(error, AdminError::Unavailable(_));
                tracing::warn!(serves_on, "{error}");
                state.failure = Some((now, error.clone()));
                Err(error)
            }
        }
    }

    async fn fetch(&self) -> Result<Secret, AdminError> {
        let answer = self.client.get_secret_value().secret_id(&self.secret_id).send().await.map_err(|error| {
            let status = error.raw_response().map(|response| response.status().as_u16());
            match (error.code(), status) {
                (code, Some(400..=499)) if !code.is_some_and(|code| code.contains("Throttl")) => {
                    AdminError::Refused(code.unwrap_or("no error code").to_owned())
                }
                (Some(code), _) => AdminError::Unavailable(code.to_owned()),
                (None, Some(status)) => AdminError::Unavailable(format!("HTTP {status}")),
                (None, None) => AdminError::Unavailable("no answer".to_owned()),
            }
        })?;
        Secret::parse(answer.secret_string().unwrap_or_default())
    }
}

impl State {
    /// Gives the signature there is, or a new one from its half life on.
    fn sign(&mut self, now: SystemTime) -> Result<Arc<Credentials>, AdminError> {
        if let Some((at, credentials)) = &self.signed
            && is_within(VALID_FOR / 2, Some(*at), now)
        {
            return Ok(Arc::clone(credentials));
        }
        let malformed = |error: &dyn std::fmt::Display| AdminError::Malformed(error.to_string());
        let secret = self.secret.as_ref().ok_or_else(|| malformed(&"it was never read"))?;
        let time = now.duration_since(UNIX_EPOCH).map_err(|error| malformed(&error))?.as_secs();
        let user_sig = secret.sign(time).map_err(|error| malformed(&error))?;
        self.serial += 1;
        let (sdk_app_id, identifier) = (secret.sdk_app_id, secret.identifier.clone());
        let credentials = Arc::new(Credentials { sdk_app_id, identifier, user_sig, serial: self.serial });
        self.signed = Some((now, Arc::clone(&credentials)));
        Ok(credentials)
    }
}

impl Secret {
    /// Reads the document by hand, because an error text of serde's may show the value it stumbled over.
    ///
    /// # Errors
    /// Says which rule it breaks, with nothing of the text.
    pub fn parse(text: &str) -> Result<Self, AdminError> {
        let wrong = |rule: &str| AdminError::Malformed(rule.to_owned());
        let fields = json::read(text).ok().filter(Value::is_object);
        let fields = fields.ok_or_else(|| wrong("it must be a JSON object, kept as text"))?;
        let string = |name| fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        // Secrets Manager's console writes every value as a string, numbers too.
        let number =
            |name| fields.get(name).and_then(Value::as_u64).or_else(|| string(name)?.parse().ok()).filter(|id| *id > 0);
        let key = string("secretKey").filter(|key| !key.contains(char::is_whitespace));
        Ok(Self {
            sdk_app_id: number("sdkAppId").ok_or_else(|| wrong("sdkAppId must be a positive whole number"))?,
            identifier: string("identifier").ok_or_else(|| wrong("identifier must be a string"))?.to_owned(),
            key: key.ok_or_else(|| wrong("secretKey must be a string without white space"))?.into(),
        })
    }

    /// Signs from `time` (Unix seconds) on, for [`VALID_FOR`].
    ///
    /// # Errors
    /// As of [`usersig::sign`].
    pub fn sign(&self, time: u64) -> io::Result<SecretString> {
        usersig::sign(&self.key, self.sdk_app_id, &self.identifier, time, VALID_FOR.as_secs())
    }

    fn is(&self, other: &Self) -> bool {
        self.sdk_app_id == other.sdk_app_id
            && self.identifier == other.identifier
            && self.key.expose_secret() == other.key.expose_secret()
    }
}

/// Whether `at` lies less than `window` before `now`; a clock that was put back makes everything old.
fn is_within(window: Duration, at: Option<SystemTime>, now: SystemTime) -> bool {
    at.and_then(|at| now.duration_since(at).ok()).is_some_and(|age| age < window)
}

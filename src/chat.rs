//! How Tencent is called and how a call can fail: the only module that speaks HTTP to Tencent.
//!
//! It describes a failure and does not judge it; what follows is said in [`crate::outcome`].

mod http;

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, ready},
};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, error::Category, json};

use crate::{
    admin::Credentials,
    json::Json,
    network::{Network, NetworkError},
    signup::Signup,
    user_id::UserId,
};

/// The commands, as Tencent's documentation names them.
const ACCOUNT_IMPORT: &str = "v4/im_open_login_svc/account_import";
const ACCOUNT_CHECK: &str = "v4/im_open_login_svc/account_check";
/// Most accounts of one `account_check` (its page).
pub const MAX_CHECKED: usize = 100;
/// Longest wait for a connection that is opened before it is needed: four ways there and back round the world.
const OPENING: Duration = Duration::from_secs(1);
/// Longest `ErrorInfo` that is passed on, in characters.
const MAX_INFO_CHARS: usize = 256;
/// Longest `RequestId` that is passed on, in bytes.
const MAX_REQUEST_ID_BYTES: usize = 64;

/// Tencent's answer to a call that it refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// `ErrorCode`.
    pub code: i64,
    /// `ErrorInfo`: Tencent's words, which may quote the request, so never for a log.
    pub info: String,
    /// `RequestId`, with which Tencent finds the call; newer gateways give one.
    pub request_id: Option<String>,
}

/// A call that did not import the account.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// Tencent answered and said no.
    Refused(Refusal),
    /// An HTTP status other than 200: a proxy or a wrong host, since Tencent answers every error with 200.
    Status(u16),
    /// An answer that is none of Tencent's: what is wrong with it.
    Unreadable(&'static str),
    /// No answer in the time there was.
    Timeout,
    /// No connection: name, address or TLS.
    NoConnection,
    /// The connection broke, or spoke no HTTP, before an answer began.
    Interrupted,
}

/// What carries a request to Tencent: the network, or the simulation of it in which days pass in a moment.
pub trait Carrier: Send + Sync {
    /// Posts `body`, JSON, to `url` and brings back the body of the answer. Dropped, the request is given up.
    ///
    /// # Errors
    /// Anything but HTTP 200 with a body of at most 64 KiB; never [`Failure::Refused`] or [`Failure::Timeout`].
    fn carry(&self, url: Url, body: Vec<u8>, connection: Connection) -> BoxFuture<'_, Result<Vec<u8>, Failure>>;

    /// Opens a connection that [`Self::carry`] may use; whoever knows none does nothing.
    fn open(&self, _: Url) -> BoxFuture<'_, ()> {
        ready(()).boxed()
    }
}

/// A client of one app's REST API.
pub struct Chat {
    carrier: Box<dyn Carrier>,
    endpoint: Url,
    /// For each command the last signature, and the address with all of the query but `random`: to encode that anew took
    /// an eighth of a call's instructions. A signature tells app and identifier, so that those need not be compared.
    signed: Mutex<HashMap<&'static str, (SecretString, Url)>>,
}

/// What goes with every call.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// What it is signed with.
    pub credentials: &'a Credentials,
    /// A number that must be new for every call.
    pub random: u32,
    /// Longest wait for the answer.
    pub timeout: Duration,
    /// Which connection it is made on.
    pub connection: Connection,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Import<'a> {
    #[serde(rename = "UserID")]
    user_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    nick: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    face_url: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    action_status: String,
    error_code: i64,
    // Of any kind: what only explains must not undo what is said above.
    error_info: Option<Json>,
    request_id: Option<Json>,
    result_item: Option<Json>,
}

/// Which connection a call is made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// One from the pool, if there is one; after a freeze it may be dead.
    Pooled,
    /// A new one: after a freeze all others in the pool may be dead as well.
    New,
}

impl Chat {
    /// Makes a client for the host of `endpoint`; it connects when first used.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(network: &Network, endpoint: &Url) -> Result<Self, NetworkError> {
        Ok(Self::over(Box::new(http::Http::new(network)?), endpoint))
    }

    /// Makes a client whose requests are carried by `carrier`.
    pub fn over(carrier: Box<dyn Carrier>, endpoint: &Url) -> Self {
        Self { carrier, endpoint: endpoint.clone(), signed: Mutex::default() }
    }

    /// Opens a connection, in a second at most, so that the first call need not wait for DNS, TCP and TLS.
    ///
    /// Whether that fails, the first call will tell.
    pub async fn open(&self) {
        let _ = tokio::time::timeout(OPENING, self.carrier.open(self.endpoint.clone())).await;
    }

    /// Imports one account.
    ///
    /// # Errors
    /// Anything but HTTP 200 with `ErrorCode` 0 and `ActionStatus` OK.
    pub async fn account_import(&self, call: Call<'_>, signup: &Signup) -> Result<(), Failure> {
        let request = Import {
            user_id: signup.user_id.reveal(),
            nick: signup.nickname.as_deref(),
            face_url: signup.avatar_url.as_deref(),
        };
        self.post(ACCOUNT_IMPORT, call, &request).await.map(drop)
    }

    /// Finds those of at most [`MAX_CHECKED`] accounts that are there.
    ///
    /// # Errors
    /// As of [`Chat::account_import`], and when the answer does not tell of every account.
    pub async fn account_check(&self, call: Call<'_>, user_ids: &HashSet<UserId>) -> Result<HashSet<UserId>, Failure> {
        let items: Vec<Value> = user_ids.iter().map(|user_id| json!({"UserID": user_id.reveal()})).collect();
        let answer = self.post(ACCOUNT_CHECK, call, &json!({"CheckItem": items})).await?;
        let items =
            answer.result_item.as_ref().and_then(|Json(items)| items.as_array()).map(Vec::as_slice).unwrap_or_default();
        let told = |item: &Value| {
            Some((item.get("UserID")?.as_str()?.to_owned(), item.get("AccountStatus")?.as_str()? == "Imported"))
        };
        let told: HashMap<String, bool> = items.iter().filter(|item| has_status(item)).filter_map(told).collect();
        let mut found = HashSet::new();
        for user_id in user_ids {
            match told.get(user_id.reveal()) {
                Some(true) => drop(found.insert(user_id.clone())),
                Some(false) => {}
                // To take it for absent would let an old name go over a new one.
                None => return Err(Failure::Unreadable("the answer does not tell of every account")),
            }
        }
        Ok(found)
    }

    async fn post(&self, command: &'static str, call: Call<'_>, request: &impl Serialize) -> Result<Answer, Failure> {
        let Call { credentials, random, timeout, connection } = call;
        let mut url = self.address(command, credentials);
        url.query_pairs_mut().append_pair("random", &random.to_string());
        let text = serde_json::to_vec(request).map_err(|_| Failure::Unreadable("the request cannot be written"))?;
        let answer = tokio::time::timeout(timeout, self.carrier.carry(url, text, connection)).await;
        verdict(&answer.unwrap_or(Err(Failure::Timeout))?, credentials.user_sig.expose_secret())
    }

    /// Gives a command's address with all of the query but `random`.
    fn address(&self, command: &'static str, credentials: &Credentials) -> Url {
        let user_sig = credentials.user_sig.expose_secret();
        let signed = &mut *self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, url)) = signed.get(command).filter(|(of, _)| of.expose_secret() == user_sig) {
            return url.clone();
        }
        let mut url = self.endpoint.clone();
        url.set_path(command);
        url.query_pairs_mut()
            .append_pair("sdkappid", &credentials.sdk_app_id.to_string())
            .append_pair("identifier", &credentials.identifier)
            .append_pair("usersig", user_sig)
            .append_pair("contenttype", "json");
        signed.insert(command, (credentials.user_sig.clone(), url.clone()));
        url
    }
}

/// Success is `ErrorCode` 0 and `ActionStatus` OK, both; an answer without them says nothing about the account.
///
/// Tencent's words, should they quote the request, are cut off before `user_sig`.
fn verdict(body: &[u8], user_sig: &str) -> Result<Answer, Failure> {
    // Serde would take a list of the values for the object.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(Failure::Unreadable("the answer is a list"));
    }
    let answer: Answer = serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Data => Failure::Unreadable("the answer has no ActionStatus, or no number as ErrorCode"),
        Category::Eof if body.is_empty() => Failure::Unreadable("the answer is empty"),
        Category::Io | Category::Syntax | Category::Eof => Failure::Unreadable("the answer is not JSON"),
    })?;
    match (answer.error_code, answer.action_status.as_str()) {
        (0, "OK") => Ok(answer),
        (0, _) => Err(Failure::Unreadable("the answer has ErrorCode 0 without ActionStatus OK")),
        (code, _) => {
            let info = answer.error_info.as_ref().and_then(|Json(info)| info.as_str()).unwrap_or_default();
            // Part of a signature may be left in words that were cut off, or come together where one is taken out.
            let info = info.split(user_sig).next().unwrap_or_default().split("usersig").next().unwrap_or_default();
            let info = info.chars().take(MAX_INFO_CHARS).collect();
            let request_id = answer.request_id.as_ref().and_then(|Json(id)| id.as_str()).filter(|id| is_id(id));
            Err(Failure::Refused(Refusal { code, info, request_id: request_id.map(str::to_owned) }))
        }
    }
}

/// Whether an item of `account_check` says that an account is there, or that it is not.
fn has_status(item: &Value) -> bool {
    let status = item.get("AccountStatus").and_then(Value::as_str);
    matches!(status, Some("Imported" | "NotImported")) && item.get("ResultCode").and_then(Value::as_i64) == Some(0)
}

/// Whether a text looks like an ID, so that it may be logged.
fn is_id(text: &str) -> bool {
    (1..=MAX_REQUEST_ID_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'='))
}

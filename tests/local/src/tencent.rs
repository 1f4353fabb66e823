//! A stand-in for Tencent Chat's REST API.
//!
//! It checks each signature from the far end, keeps accounts, and fails as it is told to: by a script for a user, or
//! at random by a seed. What it does, and from where we know that Tencent does so, is listed in [`behaviour`].

pub mod behaviour;
pub mod signature;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    io,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use http_body_util::Full;
use hyper::{Response, body::Bytes};
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

use crate::serve::{Place, Received, Server, Traffic, lock, serve, sleep_until};
use behaviour::Behaviour;
use signature::Claims;

/// The sample key of Tencent's public documentation: the stand-in's, unless it is told another.
pub const SAMPLE_KEY: &str = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e";

/// An app: who may call, and how much.
#[derive(Clone, Debug)]
pub struct App {
    /// `sdkappid`.
    pub sdk_app_id: u64,
    /// Its administrator.
    pub identifier: String,
    /// The key that signatures are made with.
    pub key: String,
    /// Most accounts; a paid plan has no such limit (`usize::MAX`).
    pub quota: usize,
    /// Most calls of one command a second (`usize::MAX`: any number, and none is looked up).
    pub rate: usize,
}

impl Default for App {
    /// The sample app, on the trial plan.
    fn default() -> Self {
        Self {
            sdk_app_id: 1_400_000_000,
            identifier: "administrator".to_owned(),
            key: SAMPLE_KEY.to_owned(),
            quota: 100,
            rate: 200,
        }
    }
}

impl App {
    /// The secret that an operator would write for this app.
    pub fn secret(&self) -> String {
        json!({"sdkAppId": self.sdk_app_id, "identifier": self.identifier, "secretKey": self.key}).to_string()
    }
}

/// An account as it was last imported.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// `Nick`.
    pub nick: Option<String>,
    /// `FaceUrl`.
    pub face_url: Option<String>,
}

/// A call that arrived, in the order of arrival.
#[derive(Clone, Debug)]
pub struct Call {
    /// The command: the last part of the path.
    pub command: String,
    /// `UserID` of the body, if it had one.
    pub user_id: String,
    /// `random` of the query.
    pub random: String,
    /// The body, as it came.
    pub body: String,
    /// Which connection it came on, counted from 1.
    pub connection: usize,
    /// When.
    pub at: Instant,
    /// The `ErrorCode` it was answered with, if it was answered in Tencent's form.
    pub code: Option<i64>,
}

/// What a call may be answered with instead of the truth. An account is imported by none but `Late` and `Lost`.
#[derive(Clone, Debug)]
pub enum Reply {
    /// This `ErrorCode`.
    Code(i64),
    /// This HTTP status, with a page of HTML.
    Status(u16),
    /// HTTP 200 with this body.
    Body(Vec<u8>),
    /// HTTP 200 with this body, said to be `gzip`.
    Gzip(Vec<u8>),
    /// A redirect to this address.
    Redirect(String),
    /// The truth, after this time.
    Late(Duration),
    /// The connection is cut after so many bytes of the answer; 0 is before any.
    Cut(usize),
    /// The connection breaks at this place of an answer that says the account was imported, and it was not.
    Break(Place),
    /// The connection breaks at this place of the true answer: what was asked for is done.
    Lost(Place),
    /// Bytes that are no HTTP.
    Garbage,
    /// `ErrorInfo` that quotes the whole request, with `ErrorCode` 70402.
    Echo,
}

#[derive(Default)]
struct State {
    app: App,
    accounts: BTreeMap<String, Account>,
    deleted: BTreeSet<String>,
    refused: BTreeMap<String, i64>,
    scripts: HashMap<String, VecDeque<Reply>>,
    always: Option<Reply>,
    latency: Duration,
    /// Gives each answer something more.
    jitter: Option<fastrand::Rng>,
    faults: Option<(fastrand::Rng, f64)>,
    failed: BTreeMap<String, usize>,
    /// Each that was sent, and what it says if it can be read.
    signatures: BTreeMap<String, Option<Claims>>,
    calls: Vec<Call>,
    doomed: usize,
    connections: usize,
    seen: BTreeSet<Behaviour>,
}

/// The stand-in, running.
pub struct Tencent {
    server: Server,
    scheme: &'static str,
    state: Arc<Mutex<State>>,
}

impl Tencent {
    /// Starts on any free port of `127.0.0.1`, over plain HTTP.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start(app: App) -> io::Result<Self> {
        Self::start_on(0, None, app).await
    }

    /// Starts on `port`, over TLS if `tls` is given.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn start_on(port: u16, tls: Option<TlsAcceptor>, app: App) -> io::Result<Self> {
        let state = Arc::new(Mutex::new(State { app, ..State::default() }));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Arc::clone(&state);
        let server = serve(port, tls, move |request| {
            let state = Arc::clone(&shared);
            async move {
                let due = Instant::now() + lock(&state).time();
                let answer = answer(&state, request).await;
                sleep_until(due).await;
                answer
            }
        });
        Ok(Self { server: server.await?, scheme, state })
    }

    /// The address to call: a scheme, a host and a port.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.server.address)
    }

    /// Has every answer take so long from now on, to some 0.1 ms.
    pub fn set_latency(&self, latency: Duration) {
        lock(&self.state).latency = latency;
    }

    /// What has reached it since it was asked this last.
    pub fn take_traffic(&self) -> Traffic {
        self.server.take_traffic()
    }

    /// All calls that have arrived since they were taken last.
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut lock(&self.state).calls)
    }

    /// All accounts there are.
    pub fn accounts(&self) -> BTreeMap<String, Account> {
        lock(&self.state).accounts.clone()
    }

    /// All calls that have arrived.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.state).calls.clone()
    }

    /// All calls about one user.
    pub fn calls_for(&self, user_id: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.user_id == user_id).collect()
    }

    /// Every behaviour that has shown itself.
    pub fn seen(&self) -> BTreeSet<Behaviour> {
        lock(&self.state).seen.clone()
    }

    /// The next imports of this user, or calls of this other command, are answered so; then it is the truth again.
    pub fn script(&self, user_id: &str, replies: impl IntoIterator<Item = Reply>) {
        lock(&self.state).scripts.entry(user_id.to_owned()).or_default().extend(replies);
    }

    /// Every import is answered so, until told otherwise.
    pub fn always(&self, reply: Option<Reply>) {
        lock(&self.state).always = reply;
    }

    /// Every answer takes 20 ms or more, few of them 200 ms, as `seed` has it; on this machine it would take none.
    pub fn take_time(&self, seed: u64) {
        let state = &mut *lock(&self.state);
        (state.latency, state.jitter) = (Duration::from_millis(20), Some(fastrand::Rng::with_seed(seed)));
    }

    /// From now on this user's imports are refused with this `ErrorCode`.
    pub fn refuse(&self, user_id: &str, code: i64) {
        lock(&self.state).refused.insert(user_id.to_owned(), code);
    }

    /// A share of all imports (0.0 to 1.0) fails, as `seed` has it: every way in equal parts, and of the connections
    /// that break one half when the import is done.
    ///
    /// 60007 is none of them: it comes of too many calls, and is had by [`Tencent::set_rate`].
    pub fn fail_at_random(&self, seed: u64, share: f64) {
        lock(&self.state).faults = Some((fastrand::Rng::with_seed(seed), share));
    }

    /// How often each of the [`ways`] to fail at random has shown itself, by its `Debug` text.
    pub fn failed(&self) -> BTreeMap<String, usize> {
        lock(&self.state).failed.clone()
    }

    /// Every `UserSig` that has been sent.
    pub fn signatures(&self) -> BTreeSet<String> {
        lock(&self.state).signatures.keys().cloned().collect()
    }

    /// Sets how many calls of one command there may be a second.
    pub fn set_rate(&self, rate: usize) {
        lock(&self.state).app.rate = rate;
    }

    /// From now on only signatures made with this key are good.
    pub fn set_key(&self, key: &str) {
        key.clone_into(&mut lock(&self.state).app.key);
    }

    /// Sets how many accounts there may be.
    pub fn set_quota(&self, quota: usize) {
        lock(&self.state).app.quota = quota;
    }

    /// Adds accounts that were there before: `used-1`, `used-2` and so on.
    pub fn fill(&self, accounts: usize) {
        let filled = (1..=accounts).map(|n| (format!("used-{n}"), Account::default()));
        lock(&self.state).accounts.extend(filled);
    }

    /// Every connection open now is dead, as after a freeze: the next request on it is cut before any answer.
    pub fn doom_connections(&self) {
        let mut state = lock(&self.state);
        state.doomed = state.connections;
    }
}

/// Answers one request.
async fn answer(state: &Mutex<State>, request: Received) -> Response<Full<Bytes>> {
    let command = request.head.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
    let query = request.head.uri.query().unwrap_or_default();
    let query: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let user_id = body.get("UserID").and_then(Value::as_str).unwrap_or_default().to_owned();

    let (index, reply) = {
        let mut state = lock(state);
        state.connections = state.connections.max(request.connection);
        // No call: whoever opens a connection asks for nothing.
        if request.head.method == hyper::Method::HEAD {
            return respond(404, "text/plain", Vec::new());
        }
        let doomed = request.connection <= state.doomed;
        if let Some(user_sig) = query.get("usersig").filter(|user_sig| !state.signatures.contains_key(*user_sig)) {
            state.signatures.insert(user_sig.clone(), signature::read(user_sig));
        }
        state.calls.push(Call {
            command: command.clone(),
            user_id: user_id.clone(),
            random: query.get("random").cloned().unwrap_or_default(),
            body: String::from_utf8_lossy(&request.body).into_owned(),
            connection: request.connection,
            at: Instant::now(),
            code: None,
        });
        let reply = if doomed { Some(Reply::Cut(0)) } else { state.reply(&command, &user_id) };
        (state.calls.len() - 1, reply)
    };
    if let Some(Reply::Late(delay)) = reply {
        tokio::time::sleep(delay).await;
    }

    let mut state = lock(state);
    let told = match &reply {
        Some(Reply::Code(code)) => result(*code, "scripted"),
        Some(Reply::Echo) => result(70402, &format!("{} {body}", request.head.uri)),
        Some(Reply::Late(_) | Reply::Lost(_)) | None => {
            let code = state.obey(&request, &command, &query, &body);
            code.unwrap_or_else(|code| result(code, behaviour::info(code)))
        }
        Some(other) => return broken(other, &request),
    };
    let code = told.get("ErrorCode").and_then(Value::as_i64);
    if let Some(call) = state.calls.get_mut(index) {
        call.code = code;
    }
    state.seen.insert(Behaviour::Http200ForEveryError);
    if let Some(Reply::Lost(place)) = reply {
        request.fault.break_at(place);
    }
    respond(200, "application/json", told.to_string().into_bytes())
}

impl State {
    /// How long the next answer takes.
    fn time(&mut self) -> Duration {
        self.latency
            + self
                .jitter
                .as_mut()
                .map_or(Duration::ZERO, |random| Duration::from_millis(180).mul_f64(random.f64().powi(4)))
    }

    /// What the script, or chance, wants of this call.
    fn reply(&mut self, command: &str, user_id: &str) -> Option<Reply> {
        let is_import = command == "account_import";
        let script = self.scripts.get_mut(if is_import { user_id } else { command });
        if let Some(reply) = script.and_then(VecDeque::pop_front) {
            return Some(reply);
        }
        if !is_import {
            return None;
        }
        if let Some((random, share)) = &mut self.faults
            && random.f64() < *share
        {
            let [before, after] = random.choice(ways())?;
            let fault = if random.bool() { before } else { after };
            *self.failed.entry(format!("{fault:?}")).or_default() += 1;
            return Some(fault);
        }
        self.always.clone()
    }

    /// Does what a true call asks for, or gives the `ErrorCode` that says why not.
    fn obey(
        &mut self,
        request: &Received,
        command: &str,
        query: &BTreeMap<String, String>,
        body: &Value,
    ) -> Result<Value, i64> {
        use Behaviour as B;
        if !request.head.uri.path().starts_with("/v4/im_open_login_svc/") {
            return Err(self.refuse(B::UnknownCommand));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = query.get("usersig").and_then(|user_sig| self.signatures.get(user_sig)?.as_ref());
        signature::check(&self.app, query, claims, now).map_err(|behaviour| self.refuse(behaviour))?;
        let second = Instant::now().checked_sub(Duration::from_secs(1));
        let recent = self.calls.iter().rev().take_while(|call| Some(call.at) > second);
        let rate = self.app.rate;
        if rate < usize::MAX && recent.filter(|call| call.command == command).count() > rate {
            return Err(self.refuse(B::RateLimit));
        }
        if !body.is_object() {
            return Err(self.refuse(B::BodyIsNoJson));
        }
        match command {
            "account_import" => self.import(body),
            "account_check" => {
                self.seen.insert(B::Check);
                let answer = |id: &str| {
                    let status = if self.accounts.contains_key(id) { "Imported" } else { "NotImported" };
                    json!({"UserID": id, "ResultCode": 0, "ResultInfo": "", "AccountStatus": status})
                };
                Ok(with_items(users(body, "CheckItem").iter().map(|id| answer(id)).collect()))
            }
            "account_delete" => {
                self.seen.insert(B::Delete);
                let delete = |id: String| {
                    let code = match self.accounts.remove(&id) {
                        Some(_) => 0,
                        None => self.refuse(B::DeleteUnknown),
                    };
                    self.deleted.insert(id.clone());
                    json!({"UserID": id, "ResultCode": code, "ResultInfo": behaviour::info(code)})
                };
                Ok(with_items(users(body, "DeleteItem").into_iter().map(delete).collect()))
            }
            _ => Err(self.refuse(B::UnknownCommand)),
        }
    }

    fn import(&mut self, body: &Value) -> Result<Value, i64> {
        use Behaviour as B;
        let text = |name: &str| match body.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(B::FieldIsNoString),
        };
        let (user_id, nick, face_url) = match (text("UserID"), text("Nick"), text("FaceUrl")) {
            (Ok(Some(user_id)), Ok(nick), Ok(face_url)) => (user_id, nick, face_url),
            (Ok(None), Ok(_), Ok(_)) => return Err(self.refuse(B::NoUserId)),
            _ => return Err(self.refuse(B::FieldIsNoString)),
        };
        if user_id.is_empty() || user_id.len() > 32 {
            return Err(self.refuse(B::UserIdLength));
        }
        if [&nick, &face_url].into_iter().flatten().any(|text| text.len() > 500) {
            return Err(self.refuse(B::ProfileLength));
        }
        if self.app.quota == usize::MAX && self.deleted.contains(&user_id) {
            return Err(self.refuse(B::DeletedIsBarred));
        }
        if let Some(code) = self.refused.get(&user_id) {
            return Err(*code);
        }
        if self.accounts.contains_key(&user_id) {
            self.seen.insert(B::ImportAgain);
        } else if self.accounts.len() >= self.app.quota {
            return Err(self.refuse(B::Quota));
        }
        self.seen.insert(B::Import);
        self.accounts.insert(user_id, Account { nick, face_url });
        Ok(result(0, ""))
    }

    fn refuse(&mut self, behaviour: Behaviour) -> i64 {
        self.seen.insert(behaviour);
        behaviour.code()
    }
}

/// Every way to fail by chance, before what was asked for is done and after it.
pub fn ways() -> Vec<[Reply; 2]> {
    let answers = [Reply::Code(70500), Reply::Status(502), Reply::Garbage].map(|reply| [reply.clone(), reply]);
    let places = Place::ALL.map(|place| match place {
        // An answer that arrives whole must be true.
        Place::End => [Reply::Lost(place), Reply::Lost(place)],
        _ => [Reply::Break(place), Reply::Lost(place)],
    });
    answers.into_iter().chain(places).collect()
}

/// The user IDs of a body with items.
fn users(body: &Value, items: &str) -> Vec<String> {
    let items = body.get(items).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item.get("UserID")?.as_str().map(str::to_owned)).collect()
}

fn with_items(items: Vec<Value>) -> Value {
    let mut answer = result(0, "");
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("ResultItem".to_owned(), Value::Array(items));
    }
    answer
}

fn result(code: i64, info: &str) -> Value {
    let status = if code == 0 { "OK" } else { "FAIL" };
    json!({"ActionStatus": status, "ErrorInfo": info, "ErrorCode": code, "RequestId": "Stand-In-1"})
}

/// An answer that is none of Tencent's.
fn broken(reply: &Reply, request: &Received) -> Response<Full<Bytes>> {
    const HTML: &str = "<html><body>Bad gateway</body></html>";
    match reply {
        Reply::Status(status) => respond(*status, "text/html", HTML.into()),
        Reply::Body(body) => respond(200, "application/json", body.clone()),
        Reply::Gzip(body) => {
            let mut response = respond(200, "application/json", body.clone());
            response.headers_mut().insert("content-encoding", hyper::http::HeaderValue::from_static("gzip"));
            response
        }
        Reply::Redirect(to) => {
            let mut response = respond(302, "text/html", HTML.into());
            if let Ok(to) = to.parse() {
                response.headers_mut().insert("location", to);
            }
            response
        }
        Reply::Cut(bytes) => {
            request.fault.cut_after(*bytes);
            respond(200, "application/json", result(0, "").to_string().into_bytes())
        }
        Reply::Break(place) => {
            request.fault.break_at(*place);
            respond(200, "application/json", result(0, "").to_string().into_bytes())
        }
        Reply::Garbage => {
            request.fault.write_instead(b"\x16\x03\x01 this is no HTTP\r\n\r\n");
            respond(200, "application/json", Vec::new())
        }
        Reply::Code(_) | Reply::Echo | Reply::Late(_) | Reply::Lost(_) => respond(500, "text/plain", Vec::new()),
    }
}

/// An HTTP answer.
pub fn respond(status: u16, kind: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert("content-type", hyper::http::HeaderValue::from_static(kind));
    response
}

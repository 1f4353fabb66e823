//! Secrets Manager and SQS, as far as the function calls them: for faults that a local AWS does not have on command.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use http_body_util::Full;
use hyper::{Response, body::Bytes};
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

use crate::{
    serve::{Received, Server, Traffic, lock, serve, sleep_until},
    tencent::respond,
};

/// How a call fails.
#[derive(Clone, Debug)]
pub enum Fault {
    /// With this HTTP status and error code.
    Error(u16, &'static str),
    /// Not at all: it is not answered in time.
    Slow(Duration),
}

/// A message that was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// Queue it was sent to.
    pub queue_url: String,
    /// Its body.
    pub body: String,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// `DelaySeconds`.
    pub delay: Option<i64>,
    /// `MessageGroupId`.
    pub group: Option<String>,
}

/// A delivery whose visibility was changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Delayed {
    /// Its queue.
    pub queue_url: String,
    /// Its receipt handle.
    pub receipt: String,
    /// For how many seconds it stays away.
    pub seconds: i64,
}

#[derive(Default)]
struct State {
    secret: String,
    reads: usize,
    sent: Vec<Sent>,
    delayed: Vec<Delayed>,
    faults: BTreeMap<String, Fault>,
    calls: BTreeMap<String, usize>,
    latency: Duration,
}

/// The stand-in, running.
pub struct Cloud {
    server: Server,
    scheme: &'static str,
    state: Arc<Mutex<State>>,
}

impl Cloud {
    /// Starts on any free port of `127.0.0.1`, with this secret, over plain HTTP.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start(secret: &str) -> io::Result<Self> {
        Self::start_on(None, secret).await
    }

    /// Starts on any free port of `127.0.0.1`, with this secret, over TLS if `tls` is given.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start_on(tls: Option<TlsAcceptor>, secret: &str) -> io::Result<Self> {
        let state = Arc::new(Mutex::new(State { secret: secret.to_owned(), ..State::default() }));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Arc::clone(&state);
        let server = serve(0, tls, move |request| {
            let state = Arc::clone(&shared);
            async move {
                let due = Instant::now() + lock(&state).latency;
                let answer = answer(&state, &request).await;
                sleep_until(due).await;
                answer
            }
        });
        Ok(Self { server: server.await?, scheme, state })
    }

    /// The address to call (`AWS_ENDPOINT_URL`).
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.server.address)
    }

    /// Has every answer take so long from now on.
    pub fn set_latency(&self, latency: Duration) {
        lock(&self.state).latency = latency;
    }

    /// What has reached it since it was asked this last.
    pub fn take_traffic(&self) -> Traffic {
        self.server.take_traffic()
    }

    /// Writes the secret anew.
    pub fn set_secret(&self, secret: &str) {
        secret.clone_into(&mut lock(&self.state).secret);
    }

    /// Has an operation, such as `SendMessage`, fail from now on, or no longer.
    pub fn fail(&self, operation: &str, fault: Option<Fault>) {
        let faults = &mut lock(&self.state).faults;
        match fault {
            Some(fault) => faults.insert(operation.to_owned(), fault),
            None => faults.remove(operation),
        };
    }

    /// How often the secret was read.
    pub fn reads(&self) -> usize {
        lock(&self.state).reads
    }

    /// How often an operation was called, failed calls included.
    pub fn calls(&self, operation: &str) -> usize {
        lock(&self.state).calls.get(operation).copied().unwrap_or_default()
    }

    /// All messages sent.
    pub fn sent(&self) -> Vec<Sent> {
        lock(&self.state).sent.clone()
    }

    /// All deliveries delayed.
    pub fn delayed(&self) -> Vec<Delayed> {
        lock(&self.state).delayed.clone()
    }
}

async fn answer(state: &Mutex<State>, request: &Received) -> Response<Full<Bytes>> {
    let target = request.head.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let fault = {
        let mut state = lock(state);
        *state.calls.entry(operation.clone()).or_default() += 1;
        state.faults.get(&operation).cloned()
    };
    match fault {
        Some(Fault::Error(status, code)) => return reply(status, &json!({"__type": code, "message": "as told"})),
        Some(Fault::Slow(time)) => tokio::time::sleep(time).await,
        None => {}
    }
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut state = lock(state);
    match operation.as_str() {
        "GetSecretValue" => {
            state.reads += 1;
            reply(200, &json!({"ARN": "arn", "Name": "key", "VersionId": "1", "SecretString": state.secret}))
        }
        "SendMessage" => {
            let attributes = body.get("MessageAttributes").and_then(Value::as_object).into_iter().flatten();
            let sent = Sent {
                queue_url: text(&body, "QueueUrl"),
                body: text(&body, "MessageBody"),
                attributes: attributes.map(|(name, value)| (name.clone(), text(value, "StringValue"))).collect(),
                delay: body.get("DelaySeconds").and_then(Value::as_i64),
                group: body.get("MessageGroupId").and_then(Value::as_str).map(str::to_owned),
            };
            state.sent.push(sent);
            reply(200, &json!({"MessageId": "sent"}))
        }
        "ChangeMessageVisibilityBatch" => {
            let entries = body.get("Entries").and_then(Value::as_array).cloned().unwrap_or_default();
            if entries.len() > 10 {
                return reply(400, &json!({"__type": "com.amazonaws.sqs#TooManyEntriesInBatchRequest"}));
            }
            let done: Vec<Value> = entries.iter().map(|entry| json!({"Id": entry.get("Id")})).collect();
            state.delayed.extend(entries.iter().map(|entry| Delayed {
                queue_url: text(&body, "QueueUrl"),
                receipt: text(entry, "ReceiptHandle"),
                seconds: entry.get("VisibilityTimeout").and_then(Value::as_i64).unwrap_or_default(),
            }));
            reply(200, &json!({"Successful": done, "Failed": []}))
        }
        _ => reply(400, &json!({"__type": "UnknownOperationException"})),
    }
}

fn reply(status: u16, body: &Value) -> Response<Full<Bytes>> {
    respond(status, "application/x-amz-json-1.1", body.to_string().into_bytes())
}

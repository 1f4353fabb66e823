//! The function's life in one measurement: the stand-ins around it, and what it is invoked with.

use std::{
    cell::Cell,
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use local::{
    cloud::Cloud,
    function::{Ended, Function, Times},
    serve,
    stand_ins::{PARKING, QUEUE},
    tencent::{App, Tencent},
};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::machine::Machine;

/// Longest invocation: Lambda's.
const TIME: Duration = Duration::from_mins(15);

/// How the function is set.
#[derive(Clone, Copy)]
pub struct Pace {
    /// `CHAT_RATE_LIMIT`.
    pub limit: u32,
    /// `MAX_CONCURRENCY`.
    pub concurrency: u32,
}

impl Pace {
    /// As high as it goes.
    pub const HIGH: Self = Self { limit: 10_000, concurrency: 1 };
    /// Of a function that is set to nothing else.
    pub const DEFAULT: Self = Self { limit: 200, concurrency: 5 };

    /// What lies between two calls by the settings (`src/pace.rs`).
    pub fn gap(self) -> Duration {
        let calls = self.limit / self.concurrency;
        (Duration::from_secs(1) / (calls - 1)).max(Duration::from_millis(1020) / calls)
    }
}

/// How the world of one life is.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Whether Secrets Manager and Tencent speak TLS.
    pub tls: bool,
    /// How long Secrets Manager takes to answer.
    pub secret: Duration,
    /// How long Tencent takes to answer.
    pub latency: Duration,
    /// How fast calls may go.
    pub pace: Pace,
}

/// Without latencies, over plain HTTP, as fast as may be.
pub const PLAIN: Plan = Plan { tls: false, secret: Duration::ZERO, latency: Duration::ZERO, pace: Pace::HIGH };

/// An environment of the function, and the stand-ins that it calls.
pub struct Life {
    /// The function.
    pub function: Function,
    /// Its process.
    pub process: u32,
    /// Tencent.
    pub tencent: Tencent,
    /// Secrets Manager.
    pub cloud: Cloud,
    /// What the function trusts.
    pub roots: PathBuf,
}

impl Life {
    /// Begins it: `command` starts the function.
    pub async fn begin(machine: Machine, command: Command, plan: Plan) -> io::Result<Self> {
        let (tls, roots) = serve::tls()?;
        let tls = plan.tls.then_some(tls);
        let app = App { quota: usize::MAX, rate: usize::MAX, ..App::default() };
        let cloud = Cloud::start_on(tls.clone(), &app.secret()).await?;
        let tencent = Tencent::start_on(0, tls, app).await?;
        cloud.set_latency(plan.secret);
        tencent.set_latency(plan.latency);
        let function = start(machine, command, &tencent, &cloud, &roots, plan.pace)?;
        let process = function.process().ok_or_else(|| io::Error::other("the function has ended"))?;
        Ok(Self { function, process, tencent, cloud, roots })
    }

    /// Invokes it with a batch of so many sign-ups, all of which have to be imported.
    pub async fn batch(&self, records: usize) -> io::Result<Times> {
        let times = invoke(&self.function, &event(records)).await?;
        self.function.forget_output();
        self.tencent.take_calls();
        Ok(times)
    }
}

/// Starts another environment beside the stand-ins.
pub fn start(
    machine: Machine,
    command: Command,
    tencent: &Tencent,
    cloud: &Cloud,
    roots: &Path,
    pace: Pace,
) -> io::Result<Function> {
    let settings = [
        ("CHAT_ENDPOINT", tencent.url()),
        ("CHAT_SECRET_ID", "key".to_owned()),
        ("AWS_ENDPOINT_URL", cloud.url()),
        ("QUEUE_URL", QUEUE.to_owned()),
        ("PARKING_QUEUE_URL", PARKING.to_owned()),
        ("SIGNUP_DETAIL_TYPE", "UserSignedUp".to_owned()),
        ("SSL_CERT_FILE", roots.to_string_lossy().into_owned()),
        ("CHAT_RATE_LIMIT", pace.limit.to_string()),
        ("MAX_CONCURRENCY", pace.concurrency.to_string()),
    ];
    machine.start(command, &settings.each_ref().map(|(name, value)| (*name, value.as_str())))
}

/// Invokes `function` with an event, all sign-ups of which have to be imported.
pub async fn invoke(function: &Function, event: &str) -> io::Result<Times> {
    let (ended, times) = function.invoke_timed(event, TIME).await?;
    if ended == Ended::Response(r#"{"batchItemFailures":[]}"#.to_owned()) {
        return Ok(times);
    }
    Err(io::Error::other(format!("not all was imported: {ended:?}; the function wrote:\n{}", function.output())))
}

thread_local! {
    static USERS: Cell<usize> = const { Cell::new(0) };
}

/// A batch as SQS delivers it of events that came by the bus; each user is new, and no ID longer than another.
pub fn event(records: usize) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis().to_string();
    let record = |_| {
        let user = USERS.replace(USERS.get() + 1);
        let id = format!("22222222-0000-4000-8000-{user:012}");
        let body = json!({
            "version": "0", "id": id, "detail-type": "UserSignedUp", "source": "com.example.app",
            "account": "000000000000", "time": "2026-11-23T09:30:00Z", "region": "eu-central-1", "resources": [],
            "detail": {
                "userId": format!("user-{user:012}"), "nickname": "Amazing Grace",
                "avatarUrl": format!("https://example.com/pictures/{user:012}.png"),
            },
        });
        json!({
            "messageId": id, "receiptHandle": format!("{id}{id}{id}{id}{id}"), "body": body.to_string(),
            "attributes": {
                "ApproximateReceiveCount": "1", "SentTimestamp": now, "SenderId": "AIDAEXAMPLE",
                "ApproximateFirstReceiveTimestamp": now,
            },
            "messageAttributes": {}, "md5OfBody": "00000000000000000000000000000000", "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-central-1:000000000000:signups", "awsRegion": "eu-central-1",
        })
    };
    let records: Vec<Value> = (0..records).map(record).collect();
    json!({"Records": records}).to_string()
}

/// Milliseconds from one time to another; below zero if it was earlier.
pub fn between(from: Instant, to: Instant) -> f64 {
    millis(to.saturating_duration_since(from)) - millis(from.saturating_duration_since(to))
}

/// A time in microseconds.
pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// A time in milliseconds.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

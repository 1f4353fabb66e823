//! The binary among stand-ins: Tencent, Secrets Manager and SQS as it calls them, and Lambda, which invokes it.

use std::{
    io,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use crate::{
    cloud::Cloud,
    file,
    function::{Ended, Function},
    tencent::{App, Tencent},
};

/// Where the function puts a bus event back.
pub const QUEUE: &str = "https://sqs.eu-central-1.amazonaws.com/000000000000/signups";
/// Where it keeps what is rejected.
pub const PARKING: &str = "https://sqs.eu-central-1.amazonaws.com/000000000000/parking";
/// When the records of the samples were sent, by themselves.
const SENT: &str = "1795426200000";
/// How long an invocation may take, by its deadline.
const TIME: Duration = Duration::from_mins(2);

/// A sample of `events/` whose records have just been sent: one that is days old would expire.
///
/// # Panics
/// When there is no such sample, or its records were sent at another time than those of all others.
pub fn sample(name: &str) -> String {
    let text = file(&format!("events/{name}.json"));
    assert!(!text.contains("SentTimestamp") || text.contains(SENT), "{name} was sent at another time than {SENT}");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    text.replace(SENT, &now.to_string())
}

/// The function and all that is around it.
pub struct World {
    /// Tencent.
    pub tencent: Tencent,
    /// Secrets Manager and SQS.
    pub cloud: Cloud,
    /// The function.
    pub function: Function,
}

impl World {
    /// Starts `binary` with both queues, and with a rate that holds nothing up; `settings` come last, so that they win.
    ///
    /// # Errors
    /// When something cannot be started.
    pub async fn start(binary: impl AsRef<Path>, settings: &[(&str, &str)]) -> io::Result<Self> {
        let tencent = Tencent::start(App::default()).await?;
        let cloud = Cloud::start(&App::default().secret()).await?;
        let (chat, aws) = (tencent.url(), cloud.url());
        let mut all = vec![
            ("CHAT_ENDPOINT", chat.as_str()),
            ("CHAT_SECRET_ID", "key"),
            ("AWS_ENDPOINT_URL", aws.as_str()),
            ("QUEUE_URL", QUEUE),
            ("PARKING_QUEUE_URL", PARKING),
            ("CHAT_RATE_LIMIT", "10000"),
            ("MAX_CONCURRENCY", "1"),
        ];
        all.extend_from_slice(settings);
        let function = Function::start(binary, &all).await?;
        Ok(Self { tencent, cloud, function })
    }

    /// Invokes the function; gives its answer, or `error` and its error document.
    ///
    /// # Panics
    /// When the invocation does not end.
    #[expect(clippy::panic, reason = "a test that has no answer must stop with what the function wrote")]
    pub async fn invoke(&self, event: &str) -> String {
        match self.function.invoke(event, TIME).await {
            Ok(Ended::Response(text)) => text,
            Ok(Ended::Error(text)) => format!("error {text}"),
            Err(error) => panic!("{error}"),
        }
    }

    /// The same, with a [`sample`] of `events/`.
    ///
    /// # Panics
    /// When there is no such sample, or the invocation does not end.
    pub async fn invoke_sample(&self, name: &str) -> String {
        self.invoke(&sample(name)).await
    }

    /// The lines of the log about messages: `message level outcome code`, in order of the message IDs.
    ///
    /// # Panics
    /// When a line is not JSON.
    #[expect(clippy::panic, reason = "a test of the log must stop at what is none")]
    pub fn lines(&self) -> Vec<String> {
        let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        let text = |line: &Value, name: &str| line.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
        let output = self.function.output();
        let lines =
            output.lines().map(read).filter(|line: &Value| line.get("message_id").is_some_and(Value::is_string));
        let mut lines: Vec<String> = lines
            .map(|line| ["message_id", "level", "message", "code"].map(|name| text(&line, name)).join(" "))
            .collect();
        lines.sort();
        lines
    }
}

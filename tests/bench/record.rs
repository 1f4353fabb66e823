//! What one record costs in the library itself, without network: allocations and instructions.
//!
//! It is counted in a process of its own, whose standard output is the function's log.

use std::{
    io::{self, Write},
    process::{ExitCode, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_sdk_secretsmanager::config::{self, BehaviorVersion, Region};
use chat_signup_import::{
    admin::{Credentials, Secret},
    answer::Answer,
    chat::{Call, Carrier, Chat, Connection, Failure},
    config::Config,
    event::Invocation,
    handler::{Edge, Handler},
    logs::{self, Logs},
    network::Network,
};
use futures_util::future::{BoxFuture, FutureExt, ready};
use lambda_runtime::{Context, LambdaEvent};
use local::{cloud::Cloud, tencent::App};
use reqwest::Url;
use serde_json::value::RawValue;
use tokio::process::Command;

use crate::{
    life,
    machine::{self, VALGRIND},
    table::Figure,
};

/// The argument that makes a process count.
pub const COUNT: &str = "--count";
/// Records of a batch.
const RECORDS: usize = 10;
/// What is counted, and of how many records one turn of it is.
const WORKS: [(&str, usize); 3] = [
    ("sign", 1),
    ("parse, build the request, judge the answer", RECORDS),
    ("the whole handler, log and metrics included", RECORDS),
];

/// Counts each of the works, a record.
pub async fn measure() -> io::Result<Vec<Figure>> {
    let here = std::env::current_exe()?;
    let mut figures = Vec::new();
    for (work, (name, records)) in WORKS.into_iter().enumerate() {
        let records = records as f64;
        let (work, few, many) = (work.to_string(), "20", "120");
        let output = run(Command::new(&here), &work, many).await?;
        let numbers: Vec<f64> = output.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let [allocations, bytes] = numbers[..] else {
            return Err(io::Error::other(format!("allocations were not counted:\n{output}")));
        };
        figures.push(Figure::counted(format!("{name}: allocations"), "", allocations / records, 0.01));
        figures.push(Figure::counted(format!("{name}: allocated bytes"), "", bytes / records, 0.01));
        if let Some(valgrind) = *VALGRIND {
            let count =
                async |turns| machine::instructions(&run(machine::callgrind(valgrind, &here), &work, turns).await?);
            let instructions = (count(many).await? - count(few).await?) / 100.0 / records;
            figures.push(Figure::counted(format!("{name}: instructions"), "", instructions, 0.1));
        }
    }
    Ok(figures)
}

async fn run(mut command: Command, work: &str, turns: &str) -> io::Result<String> {
    command.args([COUNT, work, turns]).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(text) } else { Err(io::Error::other(format!("it did not count:\n{text}"))) }
}

/// Does one of the works so many times, and writes the allocations of one turn and their bytes to standard error.
pub fn count(arguments: &[String]) -> io::Result<ExitCode> {
    let number = |index: usize| arguments.get(index).and_then(|text| text.parse::<usize>().ok());
    let (Some(work), Some(turns)) = (number(0), number(1)) else { return Ok(ExitCode::FAILURE) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (allocations, bytes) = match work {
        0 => {
            let secret = Secret::parse(&App::default().secret()).map_err(io::Error::other)?;
            counted(turns, || secret.sign(1_800_000_000).map(drop))
        }
        1 => {
            let record = Record::new()?;
            counted(turns, || runtime.block_on(record.turn()))
        }
        _ => {
            let (handler, event) = (runtime.block_on(handler())?, event()?);
            counted(turns, || runtime.block_on(handle(&handler, &event)))
        }
    }?;
    writeln!(io::stderr(), "{allocations} {bytes}")?;
    Ok(ExitCode::SUCCESS)
}

/// The allocations of one turn, when what is made once has been made.
fn counted(turns: usize, mut turn: impl FnMut() -> io::Result<()>) -> io::Result<(f64, f64)> {
    turn()?;
    let mut result = Ok(());
    let count = allocation_counter::measure(|| result = (0..turns).try_for_each(|_| turn()));
    let turns = turns as f64;
    result.map(|()| (count.count_total as f64 / turns, count.bytes_total as f64 / turns))
}

/// Carries nothing: Tencent has imported it, at once.
struct Nowhere;

impl Carrier for Nowhere {
    fn carry(&self, _: Url, _: Vec<u8>, _: Connection) -> BoxFuture<'_, Result<Vec<u8>, Failure>> {
        const ANSWER: &[u8] = br#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"RequestId":"Stand-In-1"}"#;
        ready(Ok(ANSWER.to_vec())).boxed()
    }
}

fn settings() -> io::Result<Config> {
    let lookup = |name: &str| match name {
        "CHAT_REGION" => Some("singapore".to_owned()),
        "CHAT_SECRET_ID" => Some("key".to_owned()),
        "SIGNUP_DETAIL_TYPE" => Some("UserSignedUp".to_owned()),
        _ => None,
    };
    Config::from_lookup(lookup).map_err(io::Error::other)
}

fn event() -> io::Result<Box<RawValue>> {
    RawValue::from_string(life::event(RECORDS)).map_err(io::Error::other)
}

/// What a record is read, sent and judged with.
struct Record {
    event: Box<RawValue>,
    config: Config,
    chat: Chat,
    credentials: Credentials,
}

impl Record {
    fn new() -> io::Result<Self> {
        let (App { sdk_app_id, identifier, .. }, config) = (App::default(), settings()?);
        let secret = Secret::parse(&App::default().secret()).map_err(io::Error::other)?;
        let credentials = Credentials { sdk_app_id, identifier, user_sig: secret.sign(1_800_000_000)?, serial: 1 };
        Ok(Self { event: event()?, chat: Chat::over(Box::new(Nowhere), &config.endpoint), config, credentials })
    }

    async fn turn(&self) -> io::Result<()> {
        let (timeout, connection) = (Duration::from_secs(5), Connection::Pooled);
        let Ok(Invocation::Batch(messages)) = Invocation::parse(&self.event, "request") else {
            return Err(io::Error::other("it is no batch"));
        };
        for signup in messages.iter().flat_map(|message| self.config.rules.read(&message.body)) {
            let signup = signup.map_err(|_| io::Error::other("it is no sign-up"))?;
            let call = Call { credentials: &self.credentials, random: 4_294_967_295, timeout, connection };
            let imported = self.chat.account_import(call, &signup).await;
            imported.map_err(|_| io::Error::other("it was not imported"))?;
        }
        Ok(())
    }
}

/// The function with its credentials, in virtual time, so that the pace takes none.
async fn handler() -> io::Result<Handler> {
    Logs { json: true, ..Logs::from_lookup(|_| None) }.init();
    let cloud = Cloud::start(&App::default().secret()).await?;
    let (config, network) = (settings()?, Network::from_lookup(|_| None).map_err(io::Error::other)?);
    let aws = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("eu-central-1"))
        .credentials_provider(config::Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(cloud.url())
        .http_client(network.for_aws())
        .build();
    let unused = aws_sdk_sqs::Config::builder().behavior_version(BehaviorVersion::latest()).build();
    let edge = Edge {
        chat: Chat::over(Box::new(Nowhere), &config.endpoint),
        secrets: aws_sdk_secretsmanager::Client::from_conf(aws),
        sqs: aws_sdk_sqs::Client::from_conf(unused),
        random: || 4_294_967_295,
        clock: SystemTime::now,
        metrics: |tally, context, cold_start| {
            logs::write(&tally.lines(&context.env_config.function_name, "INFO", SystemTime::now(), cold_start));
        },
    };
    let handler = Handler::new(config, edge);
    handler.importer.admin.credentials().await.map_err(io::Error::other)?;
    tokio::time::pause();
    Ok(handler)
}

async fn handle(handler: &Handler, event: &RawValue) -> io::Result<()> {
    let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + Duration::from_mins(1);
    let mut context = Context::default();
    context.deadline = u64::try_from(end.as_millis()).unwrap_or(u64::MAX);
    match handler.handle(LambdaEvent::new(event.to_owned(), context)).await {
        Ok(Answer::Batch(answer)) if answer.batch_item_failures.is_empty() => Ok(()),
        other => Err(io::Error::other(format!("not all was imported: {other:?}"))),
    }
}

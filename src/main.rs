//! The Lambda function: settings, clients, key, run.

use std::{process::ExitCode, time::SystemTime};

use chat_signup_import::{
    aws,
    chat::Chat,
    config::Config,
    handler::{Edge, Handler},
    logs::{self, Logs},
    metrics::Tally,
    network::Network,
};
use lambda_runtime::{Context, Error, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    Logs::from_lookup(variable).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let config = Config::from_lookup(variable)?;
    let network = Network::from_lookup(variable)?;
    let (secrets, sqs) = aws::clients(&network, variable)?;
    let edge = Edge {
        chat: Chat::new(&network, &config.endpoint)?,
        secrets,
        sqs,
        random: || fastrand::u32(..),
        clock: SystemTime::now,
        metrics,
    };
    let handler = Handler::new(config, edge);
    // Both wait for others, so both at once. What fails is logged, or told by every message.
    let _ = tokio::join!(handler.importer.admin.credentials(), open(&handler.importer.chat));
    lambda_runtime::run(service_fn(|event| handler.handle(event))).await
}

/// Opens Tencent's connection, unless the first invocation is too far off for it to live so long.
async fn open(chat: &Chat) {
    if variable("AWS_LAMBDA_INITIALIZATION_TYPE").is_none_or(|kind| kind == "on-demand") {
        chat.open().await;
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// Writes an invocation's metrics after the lines of its log, where CloudWatch finds them, and with them those that wait.
fn metrics(tally: &Tally, context: &Context, cold_start: bool) {
    let level = Logs::from_lookup(variable).level;
    logs::write(&tally.lines(&context.env_config.function_name, level.as_str(), SystemTime::now(), cold_start));
}

//! The Lambda function: settings, clients, key, run.

use std::{
    io::Write,
    process::ExitCode,
    sync::atomic::AtomicBool,
    time::{Duration, SystemTime},
};

use aws_config::{BehaviorVersion, retry::RetryConfig, timeout::TimeoutConfig};
use chat_signup_import::{
    admin::Admin,
    breaker::Breaker,
    chat::Chat,
    check::Questions,
    config::{CHECK_RATE_LIMIT, Config},
    handler::Handler,
    import::Importer,
    logs::Logs,
    metrics::Tally,
    pace::Pace,
    queue::Queue,
};
use lambda_runtime::{Context, Error, service_fn};
use tokio::sync::Semaphore;

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
    let aws = aws_config::defaults(BehaviorVersion::latest())
        // More retries are the queue's: a call that fails costs no more than a redelivery.
        .retry_config(RetryConfig::standard().with_max_attempts(2))
        .timeout_config(TimeoutConfig::builder().operation_timeout(Duration::from_secs(3)).build())
        .load()
        .await;

    let importer = Importer {
        admin: Admin::new(aws_sdk_secretsmanager::Client::new(&aws), config.secret_id, SystemTime::now),
        chat: Chat::new(&config.endpoint)?,
        rules: config.rules,
        slots: Semaphore::new(config.max_in_flight),
        import_pace: Pace::new(config.rate_limit, config.max_concurrency, random),
        check_pace: Pace::new(config.rate_limit.min(CHECK_RATE_LIMIT.into()), config.max_concurrency, random),
        questions: Questions::default(),
        breaker: Breaker::new(random),
        late_after: config.late_after,
        request_timeout: config.request_timeout,
        random,
        clock: SystemTime::now,
    };
    // Reads the key while initialisation is cheap. If it fails, the error is logged, and told again by every message.
    let _ = importer.admin.credentials().await;
    let queue = Queue::new(aws_sdk_sqs::Client::new(&aws), config.queue_url, config.parking_queue_url);
    let handler = Handler {
        importer,
        queue,
        max_in_flight: config.max_in_flight,
        max_age: config.max_age,
        random,
        clock: SystemTime::now,
        metrics,
        warm: AtomicBool::new(false),
    };
    lambda_runtime::run(service_fn(|event| handler.handle(event))).await
}

fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// Writes metrics between the lines of the log, where CloudWatch finds them.
fn metrics(tally: &Tally, context: &Context, cold_start: bool) {
    let level = Logs::from_lookup(variable).level;
    let lines = tally.lines(&context.env_config.function_name, level.as_str(), SystemTime::now(), cold_start);
    if let Err(error) = std::io::stdout().lock().write_all(lines.as_bytes()) {
        tracing::warn!(%error, "metrics not written");
    }
}

fn random() -> u32 {
    fastrand::u32(..)
}

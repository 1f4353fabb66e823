//! What may be written to the log, and when.

mod line;

use std::{
    io::Write,
    sync::{Mutex, PoisonError},
};

use tracing::Level;
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// How many bytes of lines wait to be written together. Each write wakes who reads them, on a core that may be ours.
const WAITING: usize = 8 * 1024;

/// The lines that wait. Whoever is killed with them has acknowledged nothing of what they tell.
static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// The log's settings, as Lambda's advanced logging controls hand them to a function.
#[derive(Clone, Copy, Debug)]
pub struct Logs {
    /// The lowest level that is written (`AWS_LAMBDA_LOG_LEVEL`; INFO by default).
    pub level: Level,
    /// One JSON object a line instead of text (`AWS_LAMBDA_LOG_FORMAT`).
    pub json: bool,
}

impl Logs {
    /// Reads the settings; what is not known counts as the default, since a log must not stop a function.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let level = match lookup("AWS_LAMBDA_LOG_LEVEL").unwrap_or_default().to_ascii_uppercase().as_str() {
            "TRACE" | "DEBUG" => Level::DEBUG,
            "WARN" => Level::WARN,
            "ERROR" | "FATAL" => Level::ERROR,
            _ => Level::INFO,
        };
        Self { level, json: lookup("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("json")) }
    }

    /// Writes this crate's events to standard output, at the level that is set, and a panic as its place in the code.
    ///
    /// Other crates are heard from WARN on only: below it, the HTTP clients log addresses and the runtime whole
    /// events. A panic's message may quote what it panicked over.
    pub fn init(self) {
        let ours = Targets::new()
            .with_default(LevelFilter::from_level(self.level.min(Level::WARN)))
            .with_target(env!("CARGO_CRATE_NAME"), self.level)
            // The runtime's span carries the request ID.
            .with_target("lambda_runtime::layers::trace", Level::INFO);
        let format = fmt::layer().with_target(false).with_ansi(false);
        let registry = tracing_subscriber::registry().with(ours);
        if self.json {
            registry.with(line::Json).init();
        } else {
            registry.with(format).init();
        }
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(place, advice = "report this defect", "panicked");
        }));
    }
}

/// Writes these lines, and before them all that wait: an invocation's last, after which Lambda may freeze us.
pub fn write(lines: &str) {
    append(lines.as_bytes(), true);
}

/// Has a line written: now if it `is_urgent`, else with those to come.
fn append(line: &[u8], is_urgent: bool) {
    let lines = &mut *LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.extend_from_slice(line);
    if is_urgent || lines.len() >= WAITING {
        // What is told of a failure here would be lost in the same place.
        let _ = std::io::stdout().lock().write_all(lines);
        lines.clear();
    }
}

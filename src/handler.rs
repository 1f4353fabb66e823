//! How an invocation is worked through.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashSet},
    panic::AssertUnwindSafe,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lambda_events::sqs::SqsBatchResponse;
use futures_util::{FutureExt, StreamExt, stream};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::value::RawValue;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tracing::{Instrument, Level, error_span};

use crate::{
    admin::Admin,
    answer::{Answer, InvocationError},
    breaker::Breaker,
    chat::Chat,
    check::Questions,
    config::{CHECK_RATE_LIMIT, Config},
    event::{Invocation, Message},
    import::{Attempt, Importer},
    metrics::Tally,
    outcome::Outcome,
    pace::Pace,
    queue::{Queue, QueueError},
};

/// What is kept free at the end of an invocation, to put messages back and to answer.
const CLOSING_TIME: Duration = Duration::from_millis(500);
/// What is added to that for each message, to log it and to name it in the answer.
const CLOSING_TIME_EACH: Duration = Duration::from_micros(200);
/// What is kept free for the answer alone.
const ANSWER_TIME: Duration = Duration::from_millis(150);

/// From this receive on a message is kept by us, with its reason, before its queue gives it up after 1000 (SQS's most).
const LAST_RECEIVES: u32 = 950;

/// What is taken for the time there is when the deadline lies in the past, as cargo-lambda's emulator states it.
const UNKNOWN_TIME: Duration = Duration::from_secs(30);

/// The function: it keeps what lasts for the life of an environment.
pub struct Handler {
    /// Imports a sign-up.
    pub importer: Importer,
    /// Delays, puts back and parks.
    pub queue: Queue,
    /// Most messages under way at once.
    pub max_in_flight: usize,
    /// Age from which on a message that still fails is parked: its queue would drop it one day, without a word.
    pub max_age: Duration,
    /// Gives each delay its jitter.
    pub random: fn() -> u32,
    /// Tells wall-clock time, in which a deadline is given.
    pub clock: fn() -> SystemTime,
    /// Takes each invocation's metrics, last of all; the flag says whether it is the environment's first.
    pub metrics: fn(&Tally, &Context, bool),
    /// Whether this environment has worked before.
    pub warm: AtomicBool,
}

/// What the function knows of the world but for its settings.
pub struct Edge {
    /// Tencent.
    pub chat: Chat,
    /// Secrets Manager.
    pub secrets: aws_sdk_secretsmanager::Client,
    /// SQS.
    pub sqs: aws_sdk_sqs::Client,
    /// Gives numbers, each as likely as any other.
    pub random: fn() -> u32,
    /// Tells wall-clock time.
    pub clock: fn() -> SystemTime,
    /// Takes each invocation's metrics, last of all; the flag says whether it is the environment's first.
    pub metrics: fn(&Tally, &Context, bool),
}

/// What became of one message.
struct Report<'a> {
    message: &'a Message,
    /// One for each sign-up in it.
    attempts: Vec<Attempt>,
    /// How long it stays away, if it has to come back.
    delay: Option<Duration>,
}

/// Where an invocation's reports come in.
struct Desk<'a, 'b> {
    tally: &'b mut Tally,
    /// The causes that were told as errors already.
    blocked: HashSet<String>,
    reports: Vec<Report<'a>>,
}

impl Handler {
    /// Puts the function together.
    pub fn new(config: Config, edge: Edge) -> Self {
        let Edge { chat, secrets, sqs, random, clock, metrics } = edge;
        let importer = Importer {
            admin: Admin::new(secrets, config.secret_id, clock),
            chat,
            rules: config.rules,
            slots: Semaphore::new(config.max_in_flight),
            import_pace: Pace::new(config.rate_limit, config.max_concurrency, random),
            check_pace: Pace::new(config.rate_limit.min(CHECK_RATE_LIMIT.into()), config.max_concurrency, random),
            questions: Questions::default(),
            breaker: Breaker::new(random),
            late_after: config.late_after,
            request_timeout: config.request_timeout,
            random,
            clock,
        };
        Self {
            importer,
            queue: Queue::new(sqs, config.queue_url, config.parking_queue_url),
            max_in_flight: config.max_in_flight,
            max_age: config.max_age,
            random,
            clock,
            metrics,
            warm: AtomicBool::new(false),
        }
    }

    /// Works through an invocation and answers before its deadline.
    ///
    /// # Errors
    /// When the event cannot be taken apart, or a single event has to be tried again and no queue takes it.
    pub async fn handle(&self, event: LambdaEvent<Box<RawValue>>) -> Result<Answer, InvocationError> {
        let (event, context) = event.into_parts();
        let (started, now) = (Instant::now(), (self.clock)());
        let end = UNIX_EPOCH + Duration::from_millis(context.deadline);
        let end = started + end.duration_since(now).unwrap_or(UNKNOWN_TIME);
        let mut tally = Tally::default();
        self.importer.begin(started);
        let result = match Invocation::parse(&event, &context.request_id) {
            Ok(Invocation::Batch(messages)) => Ok(Answer::Batch(self.batch(&messages, end, &mut tally).await)),
            Ok(Invocation::Event(message)) => self.event(&message, end, &mut tally).await,
            Err(error) => Err(error.into()),
        };
        let cold_start = !self.warm.swap(true, Ordering::Relaxed);
        tracing::info!(
            imported = tally.of("imported"),
            present = tally.of("present"),
            ignored = tally.of("ignored"),
            deferred = tally.of("deferred"),
            blocked = tally.of("blocked"),
            rejected = tally.of("rejected"),
            cold_start,
            duration_ms = millis(started.elapsed()),
            "invocation done"
        );
        (self.metrics)(&tally, &context, cold_start);
        result
    }

    async fn batch(&self, messages: &[Message], end: Instant, tally: &mut Tally) -> SqsBatchResponse {
        let reports = self.work(messages, end, tally).await;
        let back = || reports.iter().filter_map(|report| Some((report.message, report.delay?)));
        let delays: Vec<_> = back().filter_map(|(message, delay)| Some((message.receipt.as_ref()?, delay))).collect();
        if timeout_at(before(end, ANSWER_TIME), self.queue.delay(&delays)).await.is_err() {
            tracing::warn!("not all delayed in time: the rest comes back after the queue's visibility timeout");
        }
        let mut answer = SqsBatchResponse::default();
        answer.set_failures(back().map(|(message, _)| &message.id));
        answer
    }

    async fn event(&self, message: &Message, end: Instant, tally: &mut Tally) -> Result<Answer, InvocationError> {
        let report = self.work(std::slice::from_ref(message), end, tally).await.pop();
        let report = report.unwrap_or_else(|| Report::new(message, not_tried(Outcome::out_of_time()), 0));
        let outcome = Outcome::of_all(report.attempts.iter().map(|attempt| &attempt.outcome));
        let (outcome, cause) = (outcome.label(), outcome.cause().cloned());
        if let Some(delay) = report.delay {
            let put_back = timeout_at(before(end, ANSWER_TIME), self.queue.put_back(message, delay)).await;
            put_back.unwrap_or_else(|_| Err(QueueError::Failed("timeout".to_owned()))).map_err(|error| {
                let code = cause.as_ref().map(|cause| cause.code.to_string()).unwrap_or_default();
                InvocationError::NotPutBack { code, error }
            })?;
        }
        Ok(Answer::Event { outcome, cause })
    }

    /// Brings every message to its outcome, as far as the time goes; each gets exactly one report.
    async fn work<'a>(&'a self, messages: &'a [Message], end: Instant, tally: &mut Tally) -> Vec<Report<'a>> {
        let each = CLOSING_TIME_EACH.saturating_mul(u32::try_from(messages.len()).unwrap_or(u32::MAX));
        let deadline = before(end, CLOSING_TIME + each);
        let desk = RefCell::new(Desk { tally, blocked: HashSet::new(), reports: Vec::with_capacity(messages.len()) });
        let lanes = stream::iter(lanes(messages));
        let done = lanes.for_each_concurrent(self.max_in_flight, |lane| self.lane(lane, deadline, &desk));
        // What is not done by then had no time.
        let _ = timeout_at(deadline, done).await;
        let mut desk = desk.into_inner();
        if desk.reports.len() < messages.len() {
            let finished: HashSet<&str> = desk.reports.iter().map(|report| report.message.id.as_str()).collect();
            for message in messages.iter().filter(|message| !finished.contains(message.id.as_str())) {
                self.report(message, not_tried(Outcome::out_of_time()), &mut desk);
            }
        }
        desk.reports
    }

    /// Works through messages whose order must be kept: after one that comes back, the rest comes back too.
    async fn lane<'a>(&'a self, lane: Vec<&'a Message>, deadline: Instant, desk: &RefCell<Desk<'a, '_>>) {
        let mut stopped = false;
        for message in lane {
            let attempts = if stopped { not_tried(Outcome::out_of_turn()) } else { self.one(message, deadline).await };
            stopped |= attempts.iter().any(|attempt| attempt.outcome.comes_back());
            self.report(message, attempts, &mut desk.borrow_mut());
        }
    }

    /// Counts and logs what became of a message.
    fn report<'a>(&self, message: &'a Message, attempts: Vec<Attempt>, desk: &mut Desk<'a, '_>) {
        let report = Report::new(message, attempts, (self.random)());
        for attempt in &report.attempts {
            desk.tally.count(attempt);
            report.log(attempt, &mut desk.blocked);
        }
        if report.delay.is_some() {
            desk.tally.comes_back(self.age(message).unwrap_or_default());
        }
        desk.reports.push(report);
    }

    /// How long a message has been on its queue, if it tells.
    fn age(&self, message: &Message) -> Option<Duration> {
        message.sent.and_then(|sent| (self.clock)().duration_since(sent).ok())
    }

    /// Brings the sign-ups of one message to their outcomes; a panic is this message's failure only.
    async fn one(&self, message: &Message, deadline: Instant) -> Vec<Attempt> {
        let work = async {
            let mut attempts = self.importer.import(&message.body, message.first_sent, deadline).await;
            let age = self.age(message);
            let is_last = message.receives >= LAST_RECEIVES;
            // Without a place to keep it, the queue is the better one.
            if (is_last || age.is_some_and(|age| age >= self.max_age)) && self.queue.parks() {
                let age = age.unwrap_or_default();
                let expired = |attempt: Attempt| Attempt { outcome: attempt.outcome.expired(age, is_last), ..attempt };
                attempts = attempts.into_iter().map(expired).collect();
            }
            let mut outcomes = attempts.iter().map(|attempt| &attempt.outcome);
            let comes_back = outcomes.clone().any(Outcome::comes_back);
            // A message is parked once, with its first reason, when nothing of it has to come back.
            let not_parked = match outcomes.find_map(Outcome::rejection) {
                Some(cause) if !comes_back => self.queue.park(message, cause).await.err(),
                _ => None,
            };
            for attempt in &mut attempts {
                let Some(cause) = attempt.outcome.rejection() else { continue };
                if let Some(error) = &not_parked {
                    attempt.outcome = Outcome::not_parked(cause, &error.to_string());
                } else if comes_back {
                    attempt.outcome = Outcome::held(cause);
                }
            }
            attempts
        };
        // Whatever is logged on the way, a panic too, is tied to the message.
        let work = work.instrument(error_span!("message", message_id = message.id));
        AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| not_tried(Outcome::panicked()))
    }
}

fn not_tried(outcome: Outcome) -> Vec<Attempt> {
    vec![Attempt::without_call(outcome)]
}

/// Sorts messages into lanes: a FIFO group keeps its order in one, any other message has one of its own.
fn lanes(messages: &[Message]) -> Vec<Vec<&Message>> {
    let mut lanes = Vec::with_capacity(messages.len());
    let mut groups: BTreeMap<&str, Vec<&Message>> = BTreeMap::new();
    for message in messages {
        match &message.group {
            Some(group) => groups.entry(group).or_default().push(message),
            None => lanes.push(vec![message]),
        }
    }
    lanes.extend(groups.into_values());
    lanes
}

impl<'a> Report<'a> {
    fn new(message: &'a Message, attempts: Vec<Attempt>, random: u32) -> Self {
        let delay = attempts.iter().filter_map(|attempt| attempt.outcome.delay(message.receives, random)).max();
        Self { message, attempts, delay }
    }

    /// Writes the one line there is about a sign-up; `blocked` has the causes that were told as errors already.
    fn log(&self, attempt: &Attempt, blocked: &mut HashSet<String>) {
        let Attempt { user, fitted, outcome, latency } = attempt;
        let (cause, user) = (outcome.cause(), user.as_ref().map(ToString::to_string));
        let fitted = (!fitted.is_empty()).then(|| fitted.join("; "));
        macro_rules! tell {
            ($level:expr) => {
                tracing::event!(
                    $level,
                    message = outcome.label(),
                    message_id = self.message.id,
                    user,
                    receives = self.message.receives,
                    code = cause.map(|cause| &*cause.code),
                    meaning = cause.map(|cause| &*cause.meaning),
                    advice = cause.map(|cause| cause.advice),
                    tencent_request_id = cause.and_then(|cause| cause.refusal.as_ref()?.request_id.as_deref()),
                    fitted,
                    latency_ms = latency.map(millis),
                    back_in_s = self.delay.map(|delay| delay.as_secs())
                )
            };
        }
        match outcome {
            Outcome::Imported | Outcome::Present | Outcome::Ignored => tell!(Level::INFO),
            Outcome::Deferred(_) => tell!(Level::WARN),
            // Every message fails alike: one error is enough to wake somebody.
            Outcome::Blocked(cause) if !blocked.insert(cause.code.to_string()) => tell!(Level::WARN),
            Outcome::Blocked(_) | Outcome::Rejected(_) => tell!(Level::ERROR),
        }
    }
}

fn before(end: Instant, time: Duration) -> Instant {
    end.checked_sub(time).unwrap_or(end)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

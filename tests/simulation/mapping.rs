//! Lambda: the queue's mapping, environments that come, go and are killed, and the sender of the sign-ups.

use std::{
    cell::RefCell,
    fmt::Write,
    panic::AssertUnwindSafe,
    rc::Rc,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use chat_signup_import::{
    answer::Answer,
    chat::Chat,
    config::Config,
    handler::{Edge, Handler},
};
use futures_util::FutureExt;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::value::RawValue;
use tokio::{
    runtime::Builder,
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    task::{LocalSet, spawn_local},
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};

use crate::{
    cloud,
    figures::Figures,
    scenario::{Scenario, minutes},
    tencent::Network,
    world::{Content, User, World, begin, clock, end, epoch_millis, random, world},
};

/// As the template has it.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// How many batches Lambda takes at once when messages come, and how many more after every second in which some are
/// left: 300 in a minute (its documentation, "Configuring scaling behavior for SQS event source mappings").
pub const POLLERS: usize = 5;
/// How long Lambda lets an environment initialise.
const INIT: Duration = Duration::from_secs(10);
const FORMAT: &str = r#"{"when":[{"at":["/event"],"is":["signup"]}],"users":[{"in":["/signups"]}],"userId":["/id"],"nickname":["/name"]}"#;

thread_local! {
    /// Environments that are frozen.
    static IDLE: RefCell<Vec<Rc<Handler>>> = const { RefCell::new(Vec::new()) };
    static CHANGED: Rc<Notify> = Rc::new(Notify::new());
}

/// Lives through a scenario, as `seed` has it.
pub fn live(scenario: &Scenario, seed: u64) -> Figures {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        begin(scenario, seed);
        let sender = spawn_local(send(scenario.clone()));
        let operator = spawn_local(operate(scenario.redrives_at));
        let horizon = Instant::now() + scenario.horizon();
        let work =
            work(scenario, || sender.is_finished() && operator.is_finished() && world(|world| world.events == 0));
        let is_over = timeout_at(horizon, work).await.is_ok();
        sender.abort();
        world(|world| {
            if !is_over {
                world.find(format!("{} messages have not ended", world.queue.there));
            }
        });
    });
    IDLE.with_borrow_mut(Vec::clear);
    Figures::of(end())
}

/// Sends all sign-ups, spread at random.
async fn send(scenario: Scenario) {
    let mut all: Vec<(Duration, Content)> = Vec::new();
    world(|world| {
        let mut users = 0;
        for (from, to, messages) in &scenario.arrivals {
            for _ in 0..*messages {
                let span = u64::try_from((*to - *from).as_millis()).unwrap();
                let at = *from + Duration::from_millis(world.rng.u64(..=span));
                let content = if world.chance(scenario.malformed) {
                    Content::Malformed(all.len())
                } else if world.chance(scenario.others) {
                    Content::Other
                } else {
                    users += scenario.users_each;
                    Content::Signups(users - scenario.users_each, scenario.users_each)
                };
                all.push((at, content));
            }
        }
        world.users = vec![User::default(); users];
    });
    // Stable, so that users of a FIFO group have the order of their numbers.
    let mut times: Vec<Duration> = all.iter().map(|(at, _)| *at).collect();
    times.sort();
    let start = Instant::now();
    for (at, (_, content)) in times.into_iter().zip(all) {
        if start.elapsed() < at {
            sleep_until(start + at).await;
        }
        world(|world| {
            let now = world.now();
            let mut group = None;
            match content {
                Content::Signups(first, count) => {
                    world.users[first..first + count].iter_mut().for_each(|user| user.sent = now);
                    group = scenario.fifo_groups.map(|groups| u32::try_from(first % groups).unwrap());
                }
                Content::Malformed(_) => world.seen.malformed += 1,
                Content::Other => {}
            }
            if !scenario.by_bus {
                world.queue.send(content, now, Duration::ZERO, group);
            }
        });
        if scenario.by_bus {
            world(|world| world.events += 1);
            spawn_local(async move {
                invoke_by_bus(content).await;
                world(|world| world.events -= 1);
            });
        }
        CHANGED.with(|changed| changed.notify_one());
    }
}

/// Moves what is parked back to its queue, as an operator does once the cause is cured.
async fn operate(redrives_at: Option<Duration>) {
    let Some(at) = redrives_at else { return };
    sleep(at).await;
    world(|world| {
        let now = world.now();
        for (first, user) in world.users.clone().iter().enumerate().filter(|(_, user)| user.parked) {
            world.users[first].parked = false;
            world.queue.send_again(Content::Signups(first, 1), user.sent, now);
        }
    });
    CHANGED.with(|changed| changed.notify_one());
}

/// Delivers messages until there are none, and none to come.
async fn work(scenario: &Scenario, is_all_sent: impl Fn() -> bool) {
    const STEP: Duration = Duration::from_secs(1);
    let first = scenario.pollers.min(scenario.places);
    let (places, mut pollers, mut step) = (Arc::new(Semaphore::new(first)), first, Instant::now() + STEP);
    loop {
        let place = loop {
            let place = Arc::clone(&places).acquire_owned();
            if pollers == scenario.places {
                break place.await.unwrap();
            }
            if let Ok(place) = timeout_at(step, place).await {
                break place.unwrap();
            }
            let more = POLLERS.min(scenario.places - pollers);
            places.add_permits(more);
            (pollers, step) = (pollers + more, Instant::now() + STEP);
        };
        let batch = world(|world| {
            let now = world.now();
            let (received, given_up) = world.queue.receive(scenario.batch, now);
            for id in given_up {
                world.find("SQS gave a message up");
                world.seen.ended = now.max(world.queue.message(id).sent);
            }
            if scenario.duplicates > 0.0 {
                for id in &received {
                    if world.chance(scenario.duplicates) {
                        world.queue.show(*id, now);
                    }
                }
            }
            received
        });
        if !batch.is_empty() {
            spawn_local(async {
                if AssertUnwindSafe(invoke(batch, place)).catch_unwind().await.is_err() {
                    world(|world| world.find("an invocation panicked"));
                }
            });
            continue;
        }
        drop(place);
        let (there, next, start) = world(|world| (world.queue.there, world.queue.next(), world.start));
        if there == 0 && is_all_sent() {
            return;
        }
        // A long poll ends after 20 s.
        let changed = CHANGED.with(Rc::clone);
        let next = next.map_or(Duration::MAX, |next| next.max(start.elapsed() + Duration::from_millis(1)));
        let until = start + next.min(start.elapsed() + Duration::from_secs(20));
        let _ = timeout_at(until, changed.notified()).await;
        pollers -= places.forget_permits(pollers - first);
        step = Instant::now() + STEP;
    }
}

async fn invoke(batch: Vec<usize>, place: OwnedSemaphorePermit) {
    let _place = place;
    let (is_throttled, is_cold, kill) = world(|world| {
        let kill = world.chance(world.scenario.kills).then(|| world.between(0, 700));
        (world.chance(world.scenario.throttles), world.chance(world.scenario.cold), kill)
    });
    if is_throttled {
        // Their receives are spent; they come back after the visibility timeout.
        return;
    }
    let handler = if is_cold { start().await } else { environment().await };
    let end = world(|world| {
        world.seen.invocations += 1;
        world.now() + TIMEOUT
    });
    let mut context = Context::default();
    context.deadline = u64::try_from(epoch_millis(end)).unwrap();
    let event = world(|world| event(world, &batch));
    let work = handler.handle(LambdaEvent::new(event, context));
    let Ok(answer) = timeout(kill.unwrap_or(TIMEOUT), work).await else {
        world(|world| {
            world.seen.kills += u32::from(kill.is_some());
            if kill.is_none() {
                world.find("an invocation outran its time");
            }
        });
        return;
    };
    IDLE.with_borrow_mut(|idle| idle.push(handler));
    world(|world| match answer {
        Ok(Answer::Batch(failed)) => {
            let failed: Vec<&str> =
                failed.batch_item_failures.iter().map(|item| item.item_identifier.as_str()).collect();
            for id in batch {
                if !failed.contains(&id.to_string().as_str()) {
                    acknowledge(world, id);
                }
            }
        }
        _ => world.find("an invocation failed as a whole"),
    });
    CHANGED.with(|changed| changed.notify_one());
}

/// Invokes the function with an event as EventBridge does, and as Lambda does again if that fails.
async fn invoke_by_bus(signup: Content) {
    // After the first try and the second; there is no more than a third.
    for pause in [Some(minutes(1)), Some(minutes(2)), None] {
        let handler = environment().await;
        let mut context = Context::default();
        context.deadline = u64::try_from(epoch_millis(world(|world| world.now()) + TIMEOUT)).unwrap();
        let event = format!(r#"{{"id":"event","detail-type":"signup","detail":{}}}"#, body(signup));
        let event = LambdaEvent::new(RawValue::from_string(event).unwrap(), context);
        let answer = timeout(TIMEOUT, handler.handle(event)).await;
        IDLE.with_borrow_mut(|idle| idle.push(handler));
        match (answer, pause) {
            (Ok(Ok(Answer::Event { outcome, .. })), _) => {
                return world(|world| {
                    world.seen.ended = world.now();
                    if let ("imported", Content::Signups(first, _)) = (outcome, signup)
                        && !world.tencent.accounts.contains_key(&first)
                    {
                        world.find("an event was said to be imported and was not");
                    }
                });
            }
            (_, Some(pause)) => sleep(pause).await,
            // To the function's on-failure destination.
            (_, None) => world(|world| {
                if let Content::Signups(first, _) = signup {
                    world.users[first].parked = true;
                }
            }),
        }
    }
}

/// Any environment that is free, or else a new one.
async fn environment() -> Rc<Handler> {
    let idle = IDLE.with_borrow_mut(|idle| {
        (!idle.is_empty()).then(|| idle.swap_remove(world(|world| world.rng.usize(..idle.len()))))
    });
    match idle {
        Some(handler) => handler,
        None => start().await,
    }
}

/// Starts an environment, as `main` does.
async fn start() -> Rc<Handler> {
    let (secrets, sqs) = cloud::clients();
    let config = world(|world| {
        let scenario = &world.scenario;
        let setting = |name: &str| match name {
            "CHAT_REGION" => Some("singapore".to_owned()),
            "CHAT_SECRET_ID" => Some("key".to_owned()),
            "QUEUE_URL" => Some(cloud::QUEUE.to_owned()),
            "PARKING_QUEUE_URL" => scenario.parks.then(|| cloud::PARKING.to_owned()),
            "SIGNUP_FORMAT" => Some("custom".to_owned()),
            "SIGNUP_CUSTOM_FORMAT" => Some(FORMAT.to_owned()),
            "CHAT_RATE_LIMIT" => Some(scenario.limit.to_string()),
            "MAX_CONCURRENCY" => Some(scenario.places.to_string()),
            _ => None,
        };
        Config::from_lookup(setting).unwrap()
    });
    let edge = Edge {
        chat: Chat::over(Box::new(Network::default()), &config.endpoint),
        secrets,
        sqs,
        random,
        clock,
        metrics: |tally, _, _| {
            world(|world| {
                if tally.lines("", "", UNIX_EPOCH, false).contains("panic") {
                    world.find("the function panicked");
                }
                for label in ["imported", "present", "ignored", "deferred", "blocked", "rejected"] {
                    *world.seen.outcomes.entry(label).or_default() += tally.of(label);
                }
            });
        },
    };
    let handler = Rc::new(Handler::new(config, edge));
    sleep(world(|world| world.between(20, 200))).await;
    let _ = timeout(INIT, handler.importer.admin.credentials()).await;
    handler
}

/// What the mapping sends to Lambda.
fn event(world: &World, batch: &[usize]) -> Box<RawValue> {
    let mut text = String::from("{\"Records\":[");
    for id in batch {
        let message = world.queue.message(*id);
        let body = body(message.content).replace('"', "\\\"");
        let arn = cloud::QUEUE_ARN;
        let group = message.group.map(|group| format!(r#","MessageGroupId":"{group}""#)).unwrap_or_default();
        let suffix = if message.group.is_some() { ".fifo" } else { "" };
        let first = message
            .first_sent
            .map(|first| format!(r#""FirstSent":{{"stringValue":"{}","dataType":"String"}}"#, epoch_millis(first)));
        let (receives, sent, first) = (message.receives, epoch_millis(message.sent), first.unwrap_or_default());
        let _ = write!(
            text,
            r#"{{"messageId":"{id}","receiptHandle":"{id}","body":"{body}","eventSource":"aws:sqs","eventSourceARN":"{arn}{suffix}","attributes":{{"ApproximateReceiveCount":"{receives}","SentTimestamp":"{sent}"{group}}},"messageAttributes":{{{first}}}}},"#
        );
    }
    text.pop();
    text.push_str("]}");
    RawValue::from_string(text).unwrap()
}

/// A message's text.
fn body(content: Content) -> String {
    match content {
        Content::Signups(first, count) => {
            let users = (first..first + count).map(|user| format!(r#"{{"id":"u{user}","name":"old"}}"#));
            format!(r#"{{"event":"signup","signups":[{}]}}"#, users.collect::<Vec<_>>().join(","))
        }
        Content::Other => r#"{"event":"other"}"#.to_owned(),
        Content::Malformed(number) => format!(r#"{{"broken":{number}}}"#),
    }
}

/// Deletes a message that the function does not want back; there must be a reason for that.
fn acknowledge(world: &mut World, id: usize) {
    let content = world.queue.message(id).content;
    let is_done = match content {
        Content::Signups(first, count) => {
            (first..first + count).all(|user| world.tencent.accounts.contains_key(&user) || world.users[user].parked)
        }
        Content::Other => true,
        Content::Malformed(number) => !world.scenario.parks || world.seen.malformed_parked.contains(&number),
    };
    if !is_done {
        world.find("a message was acknowledged that was neither imported nor parked");
    }
    // SQS deletes nearly always.
    if !world.chance(world.scenario.undeleted) {
        world.queue.delete(id);
        world.seen.ended = world.now();
    }
}

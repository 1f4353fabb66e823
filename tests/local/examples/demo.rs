//! `cargo demo`: the function's main job, on local stand-ins, with every event followed to its end.
#![expect(clippy::print_stdout, reason = "it is what a person came to see")]

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use local::{
    file, hash,
    python::{Python, target},
    samples::SENDERS,
    tencent::{App, Reply},
    top,
    world::{World, build_release, is_final},
};
use serde_json::Value;

/// Longest time for all events to end.
const PATIENCE: Duration = Duration::from_mins(2);

/// An event on its way.
struct Sent {
    /// Where it is from.
    file: String,
    /// The user ID in it, if any.
    user: Option<String>,
    /// How it was sent.
    by: &'static str,
    /// How it must end.
    expected: &'static str,
    /// The ID of its message; a bus event has none before it is on the queue.
    message_id: Option<String>,
    at: Instant,
}

/// How an event ended.
struct Ended {
    outcome: String,
    why: String,
    attempts: usize,
    took: Duration,
}

#[tokio::main]
async fn main() -> ExitCode {
    let started = Instant::now();
    let ended = tokio::select! {
        ended = demo(started) => ended,
        _ = tokio::signal::ctrl_c() => Err(io::Error::other("interrupted: everything is stopped")),
    };
    match ended {
        Ok(0) => ExitCode::SUCCESS,
        Ok(wrong) => {
            println!("\n{wrong} of the events did not end as they must.");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("\n{error}");
            ExitCode::FAILURE
        }
    }
}

/// Gives how many events did not end as they must.
async fn demo(started: Instant) -> io::Result<usize> {
    let step = |text: &str| println!("{:>6.1} s  {text}", started.elapsed().as_secs_f32());
    step("building the function (cargo build --release)");
    let (python, binary) = tokio::try_join!(Python::set_up(), build_release())?;
    step("starting AWS (MiniStack, IAM enforced) and Tencent (stand-in, TLS); deploying infra/template.yaml");
    let world = World::start(&python, &binary, App::default()).await?;

    let mut events = events()?;
    let late = events.split_off(events.iter().position(|event| event.file == "over-quota").unwrap_or(events.len()));
    let mut imported: Vec<_> = events.iter().filter(|event| event.expected == "imported").map(|e| &e.user).collect();
    imported.sort();
    imported.dedup();
    world.tencent.fill(100 - imported.len());
    world.tencent.script("mary-somerville", [Reply::Code(70500), Reply::Status(502)]);

    step(&format!("sending {} events; Tencent fails twice for mary-somerville", events.len()));
    let mut sent = Vec::new();
    let mut ended: Vec<Option<Ended>> = Vec::new();
    for events in [events, late] {
        if !sent.is_empty() {
            step("the app has 100 accounts now, all that its plan allows: one more sign-up");
        }
        for event in events {
            sent.push(send(&world, event).await?);
            ended.push(None);
        }
        follow(&world, &sent, &mut ended).await;
    }
    step("all events have ended; checking them against Tencent's accounts and the parking queue\n");
    let wrong = show(&world, &sent, &ended).await?;
    world.tencent.set_quota(200);
    println!();
    step("the plan is upgraded; the same function, set to one sender after the other:\n");
    Ok(wrong + senders(&world).await?)
}

/// Sends every sender's document to the function, set for it; prints a table and gives how many did not end as they must.
async fn senders(world: &World) -> io::Result<usize> {
    println!("{:<13} {:<14} {:<13} {:<34} {:<19} outcome", "event", "SIGNUP_FORMAT", "USER_ID_RULE", "UserID", "Nick");
    let mut wrong = 0;
    for sender in &SENDERS {
        world.set(sender.settings).await?;
        world.send(&sender.text()).await?;
        let setting = |name: &str| sender.settings.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
        for (id, nick) in sender.accounts {
            let started = Instant::now();
            let is_there = || world.tencent.accounts().get(*id).is_some_and(|a| a.nick.as_deref() == Some(*nick));
            while !is_there() && started.elapsed() < PATIENCE {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let outcome = if is_there() { "imported" } else { "NOT AS IT MUST" };
            wrong += usize::from(!is_there());
            println!(
                "{:<13} {:<14} {:<13} {id:<34} {nick:<19} {outcome}",
                sender.name,
                setting("SIGNUP_FORMAT").unwrap_or_default(),
                setting("USER_ID_RULE").unwrap_or("as-is"),
            );
        }
    }
    if wrong == 0 {
        println!("\nEvery sender's users are imported.");
    }
    Ok(wrong)
}

/// An event to be sent.
struct Event {
    file: String,
    user: Option<String>,
    expected: &'static str,
    /// A bus event if its file is one; the text of a message otherwise.
    bus: Option<Value>,
    body: String,
}

/// Every event of `events/`, the records of a batch one by one; the first is sent twice.
fn events() -> io::Result<Vec<Event>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(top().join("events"))? {
        names.push(entry?.path().file_stem().unwrap_or_default().to_string_lossy().into_owned());
    }
    names.retain(|name| SENDERS.iter().all(|sender| sender.name != name));
    names.sort_by_key(|name| (name == "over-quota", name != "signup", name.clone()));
    names.insert(1, "signup".to_owned());
    let mut events = Vec::new();
    for name in names {
        let text = file(&format!("events/{name}.json"));
        let json: Value = serde_json::from_str(&text)?;
        let records = json.get("Records").unwrap_or(&json).as_array().cloned();
        let bodies = records.map_or_else(
            || vec![text.clone()],
            |records| records.iter().filter_map(|record| Some(record.get("body")?.as_str()?.to_owned())).collect(),
        );
        for body in bodies {
            let user = user(&body);
            let expected = match (name.as_str(), &user) {
                ("not-a-signup", _) => "ignored",
                ("malformed" | "over-quota", _) | (_, None) => "rejected",
                _ => "imported",
            };
            let bus = (name == "eventbridge").then(|| json.clone());
            events.push(Event { file: name.clone(), user, expected, bus, body });
        }
    }
    Ok(events)
}

/// The user ID in a body, however it is wrapped.
fn user(body: &str) -> Option<String> {
    let json: Value = serde_json::from_str(body).ok()?;
    let id = json.get("userId").or_else(|| json.pointer("/detail/userId")).and_then(Value::as_str);
    id.map(str::to_owned).or_else(|| user(json.get("Message")?.as_str()?))
}

async fn send(world: &World, event: Event) -> io::Result<Sent> {
    let Event { file, user, expected, bus, body } = event;
    let at = Instant::now();
    let (by, message_id) = match bus {
        Some(event) => {
            world.put_event(&event).await?;
            ("bus", None)
        }
        None => ("queue", Some(world.send(&body).await?)),
    };
    Ok(Sent { file, user, by, expected, message_id, at })
}

/// Waits until every event has ended, or patience has.
async fn follow(world: &World, sent: &[Sent], ended: &mut [Option<Ended>]) {
    let started = Instant::now();
    let terminal = io::stdout().is_terminal();
    let mut before = usize::MAX;
    loop {
        let told = world.told();
        for (sent, ended) in sent.iter().zip(&mut *ended) {
            *ended = ended.take().or_else(|| end(sent, &told));
        }
        let done = ended.iter().flatten().count();
        if done != before && (terminal || done == sent.len()) {
            print!("{}          {done} of {} have ended", if terminal { "\r" } else { "" }, sent.len());
            let _ = io::stdout().flush();
            before = done;
        }
        if done == sent.len() || started.elapsed() > PATIENCE {
            println!();
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// How an event ended, if the log says so.
fn end(sent: &Sent, told: &[Value]) -> Option<Ended> {
    let hash = sent.user.as_ref().map(|user| hash(user));
    let text = |line: &Value, name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
    let about = |line: &&Value| match &sent.message_id {
        Some(id) => text(line, "message_id").as_ref() == Some(id),
        None => text(line, "user") == hash,
    };
    let lines: Vec<&Value> = told.iter().filter(about).collect();
    let last = lines.iter().find(|line| is_final(line))?;
    Some(Ended {
        outcome: text(last, "message").unwrap_or_default(),
        why: text(last, "meaning").unwrap_or_default(),
        attempts: lines.len(),
        took: sent.at.elapsed(),
    })
}

/// Prints the table; gives how many events did not end as they must.
async fn show(world: &World, sent: &[Sent], ended: &[Option<Ended>]) -> io::Result<usize> {
    let (accounts, parked) = (world.tencent.accounts(), world.take_parked().await?);
    println!("{:<18} {:<34} {:<6} {:<9} {:>8} {:>7}  why", "event", "user", "by", "outcome", "attempts", "time");
    let mut wrong = 0;
    for (sent, ended) in sent.iter().zip(ended) {
        let Some(ended) = ended else {
            wrong += 1;
            println!("{:<18} {:<34} {:<6} not ended", sent.file, sent.user.as_deref().unwrap_or("-"), sent.by);
            continue;
        };
        let is_there = sent.user.as_ref().is_some_and(|user| accounts.contains_key(user));
        let is_parked = sent.message_id.is_some()
            && parked.iter().any(|parked| parked.attributes.get("SourceMessageId") == sent.message_id.as_ref());
        let holds = ended.outcome == sent.expected
            && is_there == (sent.expected == "imported")
            && is_parked == (sent.expected == "rejected");
        wrong += usize::from(!holds);
        let row = format!(
            "{:<18} {:<34} {:<6} {:<9} {:>8} {:>5.1} s  {}{}",
            sent.file,
            sent.user.as_deref().unwrap_or("-"),
            sent.by,
            ended.outcome,
            ended.attempts,
            ended.took.as_secs_f32(),
            ended.why,
            if holds { "" } else { "  <- NOT AS IT MUST" },
        );
        println!("{}", row.trim_end());
    }
    if wrong > 0 {
        let log = target().join("demo.log");
        std::fs::write(&log, world.aws.log())?;
        println!("\nThe log is in {}.", log.display());
        return Ok(wrong);
    }
    let of = |outcome: &str| ended.iter().flatten().filter(|ended| ended.outcome == outcome).count();
    println!(
        "\n{} imported, {} ignored, {} rejected and parked with the reason; none lost. Tencent has {} accounts.",
        of("imported"),
        of("ignored"),
        of("rejected"),
        accounts.len()
    );
    Ok(0)
}

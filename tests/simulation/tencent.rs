//! Tencent: accounts, limits, signatures, and the network on the way to it.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Mutex,
    time::Duration,
};

use chat_signup_import::chat::{Carrier, Connection, Failure};
use futures_util::{FutureExt, future::BoxFuture};
use local::tencent::{App, behaviour::Behaviour, signature};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    scenario::Trouble,
    world::{World, epoch_millis, world},
};

const SECOND: Duration = Duration::from_secs(1);
/// Longer than anybody waits.
const NEVER: Duration = Duration::from_hours(1);
/// The key after it was rotated.
pub const NEW_KEY: &str = "0000000000000000000000000000000000000000000000000000000000000001";
/// A key that no app has.
pub const WRONG_KEY: &str = "0000000000000000000000000000000000000000000000000000000000000002";

/// An account: what was last written to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub imported: Duration,
    /// When the user takes another name, if so.
    pub renamed: Option<Duration>,
}

/// The calls of one command.
#[derive(Debug, Default)]
pub struct Calls {
    /// Those that were done what they ask for.
    pub obeyed: u32,
    /// Most within any second.
    pub most: usize,
    last: VecDeque<Duration>,
}

impl Calls {
    fn arrive(&mut self, now: Duration) {
        self.last.push_back(now);
        while self.last.front().is_some_and(|first| now - *first >= SECOND) {
            self.last.pop_front();
        }
        self.most = self.most.max(self.last.len());
    }
}

#[derive(Default)]
pub struct Tencent {
    pub accounts: HashMap<usize, Account>,
    pub imports: Calls,
    pub checks: Calls,
    /// Calls that could not succeed: it was down, or had too many, or refused the signature.
    pub in_vain: u32,
    /// Signatures that were found good, by when and with which key.
    good: HashMap<String, (Duration, &'static str)>,
}

/// One environment's way to Tencent.
#[derive(Default)]
pub struct Network {
    /// When its connections were last used.
    used: Mutex<Option<Duration>>,
    /// When it was last asked for silence.
    silent_since: Mutex<Option<Duration>>,
}

impl Carrier for Network {
    fn carry(&self, url: Url, body: Vec<u8>, connection: Connection) -> BoxFuture<'_, Result<Vec<u8>, Failure>> {
        async move {
            let out = world(|world| {
                let (now, used) = (world.now(), self.used.lock().unwrap().replace(world.now()));
                if self.silent_since.lock().unwrap().is_some_and(|since| now - since < 59 * SECOND) {
                    world.find("a call was made within a minute of 70050");
                }
                // What was idle for long may be dead, which shows when it is used.
                let may_be_dead = connection == Connection::Pooled && used.is_some_and(|used| now - used > 60 * SECOND);
                if may_be_dead && world.chance(0.5) { Err(Failure::Interrupted) } else { Ok(world.between(1, 4)) }
            })?;
            sleep(out).await;
            let (back, answer) = world(|world| arrive(world, &url, &body));
            sleep(back).await;
            if answer.as_ref().is_ok_and(|answer| answer["ErrorCode"] == 70050) {
                *self.silent_since.lock().unwrap() = Some(world(|world| world.now()));
            }
            answer.map(|answer| answer.to_string().into_bytes())
        }
        .boxed()
    }
}

type Answer = (Duration, Result<Value, Failure>);

fn arrive(world: &mut World, url: &Url, body: &[u8]) -> Answer {
    let now = world.now();
    let is_import = url.path().ends_with("/account_import");
    let calls = if is_import { &mut world.tencent.imports } else { &mut world.tencent.checks };
    calls.arrive(now);
    let in_this_second = calls.last.len();
    let body: Value = serde_json::from_slice(body).unwrap();
    let mut key = App::default().key;
    let mut latency = world.between(world.scenario.latency.0, world.scenario.latency.1);
    let mut limit = world.scenario.limit;
    let (mut quota, mut is_answer_lost) = (usize::MAX, false);
    for trouble in world.troubles() {
        match trouble {
            Trouble::Down => {
                world.tencent.in_vain += 1;
                return down(world);
            }
            Trouble::Fails(code) => {
                world.tencent.in_vain += 1;
                return (latency, Ok(refusal(code)));
            }
            Trouble::FailsAtTimes(code, share) if world.chance(share) => return (latency, Ok(refusal(code))),
            Trouble::Brown(share) if world.chance(share) => return down(world),
            Trouble::Lies(share) if world.chance(share) => return (latency, lie(world)),
            Trouble::Forgets(share) => is_answer_lost |= world.chance(share),
            Trouble::Slow(time) => latency = latency.max(time),
            Trouble::Busy(others) => limit = limit.saturating_sub(others),
            Trouble::Quota(accounts) => quota = quota.min(accounts),
            Trouble::Rotated => NEW_KEY.clone_into(&mut key),
            Trouble::FailsAtTimes(..)
            | Trouble::Brown(_)
            | Trouble::Lies(_)
            | Trouble::Aws(..)
            | Trouble::Secret(_) => {}
        }
    }
    if in_this_second > limit {
        world.tencent.in_vain += 1;
        return (latency, Ok(refusal(60007)));
    }
    if let Err(code) = check_signature(world, url, &key) {
        world.tencent.in_vain += 1;
        return (latency, Ok(refusal(code)));
    }
    if world.scenario.odd_ids && named(&body).iter().any(|user| user % 10 == 7) {
        return (latency, Ok(refusal(70402)));
    }
    let answer = if is_import {
        world.tencent.imports.obeyed += 1;
        import(world, &body, quota)
    } else {
        check(world, &body)
    };
    if is_answer_lost { (NEVER, Err(Failure::Interrupted)) } else { (latency, Ok(answer)) }
}

/// One of the ways in which a service is down.
fn down(world: &mut World) -> Answer {
    match world.rng.u8(..6) {
        0 => (NEVER, Err(Failure::Interrupted)),
        1 => (world.between(0, 20), Err(Failure::NoConnection)),
        2 => (world.between(0, 20), Err(Failure::Interrupted)),
        3 => (world.between(1, 50), Err(Failure::Status(502))),
        4 => (world.between(1, 3000), Ok(refusal(70500))),
        _ => (world.between(1, 50), lie(world)),
    }
}

/// An answer that says nothing of the account, with HTTP 200.
fn lie(world: &mut World) -> Result<Value, Failure> {
    match world.rng.u8(..4) {
        0 => Ok(json!({"ActionStatus": "FAIL", "ErrorCode": 0, "ErrorInfo": ""})),
        1 => Ok(json!({"ErrorCode": 0})),
        2 => Ok(json!("<html>")),
        _ => Err(Failure::Unreadable("the answer was cut off")),
    }
}

fn refusal(code: i64) -> Value {
    json!({"ActionStatus": "FAIL", "ErrorCode": code, "ErrorInfo": "simulated", "RequestId": "simulated"})
}

fn check_signature(world: &mut World, url: &Url, key: &str) -> Result<(), i64> {
    let (now, query) = (world.now(), url.query_pairs().into_owned().collect::<BTreeMap<_, _>>());
    let good = query.get("usersig").and_then(|user_sig| world.tencent.good.get(user_sig));
    if good.is_some_and(|(at, with)| *with == key && now - *at < Duration::from_hours(1)) {
        return Ok(());
    }
    let app = App { key: key.to_owned(), ..App::default() };
    let seconds = u64::try_from(epoch_millis(now) / 1000).unwrap();
    let claims = query.get("usersig").and_then(|user_sig| signature::read(user_sig));
    signature::check(&app, &query, claims.as_ref(), seconds).map_err(Behaviour::code)?;
    let key = if key == NEW_KEY { NEW_KEY } else { local::tencent::SAMPLE_KEY };
    world.tencent.good.insert(query.get("usersig").unwrap().clone(), (now, key));
    Ok(())
}

fn import(world: &mut World, body: &Value, quota: usize) -> Value {
    let now = world.now();
    let user = user(body);
    world.users[user].imports += 1;
    if let Some(account) = world.tencent.accounts.get(&user) {
        // What was sent more than an hour before brings an old name; it takes a moment to get here.
        let is_late = now - world.users[user].sent > Duration::from_mins(61);
        if is_late && account.renamed.is_some_and(|at| at <= now) {
            world.find("an old name went over a new one");
        }
        return json!({"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""});
    }
    if world.tencent.accounts.len() >= quota {
        return refusal(70398);
    }
    let renamed = world.chance(0.3).then(|| now + world.between(120_000, 20_000_000));
    world.tencent.accounts.insert(user, Account { imported: now, renamed });
    in_order(world, user);
    json!({"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""})
}

/// Within a FIFO group, a user is imported when all before have ended. Groups are the users' numbers modulo so many.
fn in_order(world: &mut World, user: usize) {
    let Some(groups) = world.scenario.fifo_groups else { return };
    let before = (0..user).filter(|other| other % groups == user % groups);
    if before.into_iter().any(|other| !world.tencent.accounts.contains_key(&other) && !world.users[other].parked) {
        world.find("a FIFO group was not in order");
    }
}

fn check(world: &mut World, body: &Value) -> Value {
    let items = body["CheckItem"].as_array().unwrap();
    if items.len() > 100 {
        world.find("more than 100 accounts in one check");
    }
    let items: Vec<Value> = items
        .iter()
        .map(|item| {
            let is_there = world.tencent.accounts.contains_key(&user(item));
            json!({"UserID": item["UserID"], "ResultCode": 0, "AccountStatus": if is_there { "Imported" } else { "NotImported" }})
        })
        .collect();
    json!({"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": "", "ResultItem": items})
}

/// The users that a call is about.
fn named(body: &Value) -> Vec<usize> {
    body["CheckItem"].as_array().map_or_else(|| vec![user(body)], |items| items.iter().map(user).collect())
}

/// The number in a user ID.
fn user(item: &Value) -> usize {
    item["UserID"].as_str().and_then(|id| id.strip_prefix("u")?.parse().ok()).unwrap()
}

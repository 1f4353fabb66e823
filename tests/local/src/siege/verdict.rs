//! What must hold in the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    time::Duration,
};

use serde_json::Value;

use super::{
    load::{Fate, NICK, PICTURE, Sent, USER},
    mischief::{Saboteur, refused},
};
use crate::{
    proxy::Proxy,
    serve::Place,
    tencent::{Account, App, Call, Reply, ways},
    world::{Parked, World},
};

/// What was done, what came of it, and what is wrong with that.
#[derive(Debug, Default)]
pub struct Report {
    /// Each kind of mischief, and how often it has shown itself.
    pub mischief: Vec<(String, usize)>,
    /// What came of it.
    pub results: Vec<(String, usize)>,
    /// What is wrong; nothing, if all is well.
    pub wrong: Vec<String>,
}

impl Report {
    /// Looks into all of it, with `left` messages still on the queue.
    ///
    /// # Errors
    /// When SQS fails.
    pub async fn new(
        world: &World,
        proxy: &Proxy,
        sent: &[Sent],
        saboteur: &Saboteur<'_>,
        left: usize,
    ) -> io::Result<Self> {
        let mut report = Self::default();
        let (calls, parked, log) = (world.tencent.calls(), world.take_parked().await?, world.aws.log());
        let told = told(&log);
        report.mischief(world, proxy, &calls, &log, &told, saboteur);
        report.require(left == 0, || format!("{left} messages are still on the queue"));
        report.accounts(sent, &world.tencent.accounts());
        report.parked(sent, &parked);
        report.rate(&calls);
        report.require(told.contains_key("imported"), || "the log tells of no import".to_owned());
        for (outcome, lines) in told {
            report.tell(&format!("log: {outcome}"), lines);
        }
        for (what, secret) in secrets(world, saboteur) {
            report.require(!log.contains(&secret), || format!("the log has {what}"));
        }
        Ok(report)
    }

    fn tell(&mut self, text: &str, count: usize) {
        self.results.push((text.to_owned(), count));
    }

    fn require(&mut self, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(text());
        }
    }

    /// Counts what has shown itself. What has not, proves nothing.
    fn mischief(
        &mut self,
        world: &World,
        proxy: &Proxy,
        calls: &[Call],
        log: &str,
        told: &BTreeMap<String, usize>,
        saboteur: &Saboteur<'_>,
    ) {
        let failed = world.tencent.failed();
        let count = |way: &Reply| failed.get(&format!("{way:?}")).copied().unwrap_or_default();
        self.mischief = ways().iter().flatten().map(|way| (text(way), count(way))).collect();
        self.mischief.dedup();
        let told = |name: &str| told.get(name).copied().unwrap_or_default();
        let rows = [
            ("Tencent: 60007, others call as well", refused(calls, 60007)),
            ("Tencent: 70009, the key has changed", refused(calls, 70009)),
            ("process killed", saboteur.killed),
            ("process killed in mid-batch", log.matches("errorType=Runtime.ExitError").count()),
            ("GetSecretValue fails", proxy.failed("GetSecretValue")),
            ("an environment has no key yet", log.matches("the secret could not be read for now").count()),
            ("SendMessage fails", proxy.failed("SendMessage")),
            ("a rejected one waits for its parking (not_parked)", told("blocked not_parked")),
            ("ChangeMessageVisibilityBatch fails", proxy.failed("ChangeMessageVisibilityBatch")),
            ("a batch comes back undelayed", log.matches("not delayed: they come back").count()),
            ("an account is imported once more", imported_again(calls)),
            ("no sign-up (ignored)", told("ignored")),
        ];
        self.mischief.extend(rows.map(|(text, count)| (text.to_owned(), count)));
        let never = self.mischief.iter().filter(|(_, count)| *count == 0);
        self.wrong.extend(never.map(|(text, _)| format!("this never showed itself: {text}")).collect::<Vec<_>>());
    }

    /// Every valid sign-up's account is there as it was sent, and no other.
    fn accounts(&mut self, sent: &[Sent], accounts: &BTreeMap<String, Account>) {
        let expected = sent.iter().filter_map(|sent| match &sent.message.fate {
            Fate::Imported(user_id, account) => Some((user_id.clone(), account.clone())),
            Fate::Parked(..) | Fate::Ignored => None,
        });
        let expected: BTreeMap<String, Account> = expected.collect();
        for (user_id, account) in &expected {
            let is_there = accounts.get(user_id);
            self.require(is_there.is_some(), || format!("lost: {user_id}"));
            self.require(is_there.is_none_or(|it| it == account), || format!("another profile: {user_id}"));
        }
        for user_id in accounts.keys().filter(|user_id| !expected.contains_key(*user_id)) {
            self.wrong.push(format!("imported, and should not be: {user_id}"));
        }
        self.tell("messages sent", sent.len());
        self.tell("accounts to be imported", expected.len());
        self.tell("accounts at Tencent", accounts.len());
    }

    /// Everything that must be parked is, with its reason, and nothing else; twice if its first time was not told.
    fn parked(&mut self, sent: &[Sent], parked: &[Parked]) {
        let mut found: BTreeMap<&str, Vec<&Parked>> = BTreeMap::new();
        for parked in parked {
            let id = parked.attributes.get("SourceMessageId").map(String::as_str).unwrap_or_default();
            found.entry(id).or_default().push(parked);
        }
        let attribute = |parked: &Parked, name: &str| parked.attributes.get(name).cloned();
        let mut expected = 0;
        for Sent { id, message } in sent {
            let Fate::Parked(code, reason) = message.fate else { continue };
            expected += 1;
            let found = found.remove(id.as_str()).unwrap_or_default();
            self.require(!found.is_empty(), || format!("not parked: {id}, {:?}", message.fate));
            for parked in found {
                let is_right = parked.body == message.body
                    && attribute(parked, "Reason").is_some_and(|text| text.starts_with(reason))
                    && attribute(parked, "ErrorCode").as_deref() == code;
                self.require(is_right, || format!("parked wrongly: {parked:?}"));
            }
        }
        for parked in found.into_values().flatten() {
            self.wrong.push(format!("parked, and should not be: {parked:?}"));
        }
        self.tell("messages to be parked", expected);
        self.tell("messages parked", parked.len());
    }

    /// No second has more imports in it than Tencent allows, as they arrive.
    fn rate(&mut self, calls: &[Call]) {
        let imports: Vec<_> =
            calls.iter().filter(|call| call.command == "account_import").map(|call| call.at).collect();
        let mut most = 0;
        let mut first = imports.iter().peekable();
        let mut gone = 0;
        for (index, at) in imports.iter().enumerate() {
            while first.next_if(|first| at.duration_since(**first) >= Duration::from_secs(1)).is_some() {
                gone += 1;
            }
            most = most.max(index + 1 - gone);
        }
        let limit = App::default().rate;
        self.require(most <= limit, || format!("{most} imports arrived within a second, {limit} are allowed"));
        self.tell("calls of account_import", imports.len());
        self.tell("most of them within a second", most);
        let users: BTreeSet<&str> = calls.iter().map(|call| call.user_id.as_str()).collect();
        self.tell("calls for every 100 users", imports.len() * 100 / users.len().max(1));
    }
}

/// A way to fail, in words.
fn text(way: &Reply) -> String {
    match way {
        Reply::Code(code) => format!("Tencent: {code}"),
        Reply::Status(status) => format!("Tencent: HTTP {status}"),
        Reply::Break(place) => format!("Tencent: cut {}, not imported", words(*place)),
        Reply::Lost(place) => format!("Tencent: cut {}, imported", words(*place)),
        other => format!("Tencent: {other:?}"),
    }
}

fn words(place: Place) -> &'static str {
    match place {
        Place::Start => "before any byte",
        Place::Reset => "by a reset",
        Place::StatusLine => "in the status line",
        Place::Headers => "in the headers",
        Place::Body => "before the body",
        Place::InBody => "in the body",
        Place::End => "after the whole answer",
    }
}

/// How many accounts had more than one import done: a message was delivered again, or an answer lost.
fn imported_again(calls: &[Call]) -> usize {
    let mut imports: BTreeMap<&str, usize> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.command == "account_import" && call.code == Some(0)) {
        *imports.entry(&call.user_id).or_default() += 1;
    }
    imports.values().filter(|count| **count > 1).count()
}

/// How many lines of the log tell of each outcome, with its code if there is one.
fn told(log: &str) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    for line in lines.filter(|line| line.get("message_id").is_some()) {
        let text = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default();
        let outcome = format!("{} {}", text("message"), text("code")).trim_end().to_owned();
        *told.entry(outcome).or_default() += 1;
    }
    told
}

/// What must not be in the log.
fn secrets(world: &World, saboteur: &Saboteur<'_>) -> BTreeSet<(&'static str, String)> {
    let signatures = world.tencent.signatures().into_iter().map(|signature| ("a UserSig", signature));
    let keys = saboteur.keys.iter().map(|key| ("a key", key.clone()));
    let marks = [("a nickname", NICK), ("a picture", PICTURE), ("a user ID", USER), ("a body", "userId\"")];
    signatures.chain(keys).chain(marks.map(|(what, mark)| (what, mark.to_owned()))).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, rows) in [("what went wrong", &self.mischief), ("what came of it", &self.results)] {
            writeln!(f, "{title}")?;
            for (text, count) in rows {
                writeln!(f, "  {text:<50} {count:>6}")?;
            }
        }
        for wrong in self.wrong.iter().take(20) {
            writeln!(f, "WRONG: {wrong}")?;
        }
        match self.wrong.len() {
            0 => writeln!(f, "Nothing is lost, and nothing else is wrong."),
            count => writeln!(f, "{count} things are wrong."),
        }
    }
}

//! What is sent, and what must become of each message.

use std::io;

use aws_sdk_sqs::types::SendMessageBatchRequestEntry as Entry;
use fastrand::Rng;
use serde_json::json;

use crate::{
    tencent::{Account, Tencent},
    world::World,
};

/// What every user ID begins with, so that it is found where it must not be.
pub const USER: &str = "besieged-";
/// What every nickname begins with.
pub const NICK: &str = "Nick of ";
/// What every picture's address begins with.
pub const PICTURE: &str = "https://pictures.example/";

/// What must become of a message.
#[derive(Clone, Debug)]
pub enum Fate {
    /// The account of this user is there, as it says.
    Imported(String, Account),
    /// It is parked with an `ErrorCode`, if there is one, and a `Reason` that begins so.
    Parked(Option<&'static str>, &'static str),
    /// Nothing: it is no sign-up.
    Ignored,
}

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its body.
    pub body: String,
    /// What must become of it.
    pub fate: Fate,
}

/// A message that is on the queue.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its ID.
    pub id: String,
    /// The message.
    pub message: Message,
}

/// `count` messages, one in twelve of which is no valid sign-up.
pub fn messages(count: usize, random: &mut Rng) -> Vec<Message> {
    (0..count).map(|n| message(n, random)).collect()
}

fn message(n: usize, random: &mut Rng) -> Message {
    let (user_id, nick) = (format!("{USER}{n:06}"), format!("{NICK}{n} – 名前 {}", "é".repeat(random.usize(..200))));
    let account = Account { nick: Some(nick.clone()), face_url: Some(format!("{PICTURE}{n}.png")) };
    let signup = json!({"userId": user_id, "nickname": nick, "avatarUrl": account.face_url});
    let event = |kind: &str| json!({"id": "1", "source": "app", "detail-type": kind, "detail": signup});
    let notification = |text: String| json!({"Type": "Notification", "Message": text}).to_string();
    let (body, fate) = match random.u8(..48) {
        0 => (event("UserDeleted").to_string(), Fate::Ignored),
        1 => {
            let cut = signup.to_string().chars().take(40).collect();
            (cut, Fate::Parked(None, "the body must be JSON: EOF while parsing"))
        }
        2 => {
            let long = json!({"userId": format!("{user_id:x<33}"), "nickname": nick});
            (long.to_string(), Fate::Parked(None, "/userId has 33 bytes: must have at most 32"))
        }
        3 => (signup.to_string(), Fate::Parked(Some("70398"), "account limit reached: more than 100 accounts")),
        4..15 => (event("UserSignedUp").to_string(), Fate::Imported(user_id, account)),
        15..25 => (notification(event("UserSignedUp").to_string()), Fate::Imported(user_id, account)),
        25..35 => (notification(signup.to_string()), Fate::Imported(user_id, account)),
        _ => (signup.to_string(), Fate::Imported(user_id, account)),
    };
    Message { body, fate }
}

/// Has Tencent refuse whoever must be refused, always.
pub fn refuse(tencent: &Tencent, messages: &[Message]) {
    for message in messages {
        if let Fate::Parked(Some(code), _) = message.fate
            && let Ok(code) = code.parse()
            && let Ok(signup) = serde_json::from_str::<serde_json::Value>(&message.body)
        {
            let user_id = signup.get("userId").and_then(serde_json::Value::as_str).unwrap_or_default();
            tencent.refuse(user_id, code);
        }
    }
}

/// Sends all of them, in any order, and one in fifty twice.
///
/// # Errors
/// When SQS does not take one.
pub async fn send(world: &World, messages: Vec<Message>, random: &mut Rng) -> io::Result<Vec<Sent>> {
    let twice: Vec<_> = messages.iter().filter(|_| random.u8(..50) == 0).cloned().collect();
    let mut messages = [messages, twice].concat();
    random.shuffle(&mut messages);
    let (sqs, url) = (world.aws.sqs(), world.output("SignupQueueUrl"));
    let mut sent = Vec::new();
    for batch in messages.chunks(10) {
        let entry = |(index, message): (usize, &Message)| {
            Entry::builder().id(index.to_string()).message_body(&message.body).build().ok()
        };
        let call = sqs.send_message_batch().queue_url(url);
        let call = call.set_entries(Some(batch.iter().enumerate().filter_map(entry).collect()));
        let answer = call.send().await.map_err(io::Error::other)?;
        for entry in answer.successful() {
            let message = entry.id().parse().ok().and_then(|index: usize| batch.get(index)).cloned();
            sent.extend(message.map(|message| Sent { id: entry.message_id().to_owned(), message }));
        }
    }
    if sent.len() < messages.len() {
        return Err(io::Error::other(format!("SQS took {} of {} messages", sent.len(), messages.len())));
    }
    Ok(sent)
}

//! What must hold whatever comes in: the targets of `cargo fuzzing`, which the tests replay.
//!
//! | target | what it reads |
//! |---|---|
//! | [`event`] | a byte that chooses the settings, then an invocation's event |
//! | [`format()`] | `SIGNUP_CUSTOM_FORMAT`, a zero byte, then a message's body |
//! | [`answer`] | Tencent's answer to both commands |
//! | [`secret`] | the secret |
//!
//! A target panics where a rule is broken. That nothing hangs or takes too much memory, libFuzzer sees to.
#![expect(clippy::expect_used, clippy::missing_panics_doc, reason = "a panic is what a target has to say")]

use std::{
    collections::{BTreeMap, HashSet},
    sync::LazyLock,
    time::Duration,
};

use chat_signup_import::{
    admin::{Credentials, Secret},
    chat::{Call, Carrier, Chat, Connection, Failure},
    config,
    event::Invocation,
    formats::{self, Format},
    outcome::Outcome,
    signup::{ProfileRule, Rules, Signup},
    user_id::{UserId, UserIdRule},
};
use futures_util::future::BoxFuture;
use reqwest::Url;
use secrecy::ExposeSecret;
use serde_json::value::RawValue;

/// A name, and what must hold whatever bytes come.
pub type Target = (&'static str, fn(&[u8]));
/// All targets.
pub const TARGETS: [Target; 4] = [("event", event), ("format", format), ("answer", answer), ("secret", secret)];

/// What [`answer`] is signed with; as long as a real one.
const USER_SIG: &str = "eJwtzMEKgkAUheF3mXXIncmZUaFFi0rKTakUtBOd6mrZMI5iRO*eqctzPvh*MpyJvQnUElHCeCrIZNpbqbfA6MrIjxhZPc2UraUjR1z6gDQxMWcTfRyCDzBJR7GBDYZVGQLmDNuOwCc_";
/// The accounts that [`answer`] asks for.
const ASKED: [&str; 3] = ["ada-lovelace", "grace-hopper", "7"];
/// Most sign-ups of one message.
const MAX_USERS: usize = 100;

/// Of an event comes nothing but messages with IDs of their own, and of these nothing but valid sign-ups and error
/// texts that tell nothing.
pub fn event(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else { return };
    let Some(event) = std::str::from_utf8(text).ok().and_then(|text| serde_json::from_str::<&RawValue>(text).ok())
    else {
        return;
    };
    let rules = RULES.iter().cycle().nth(usize::from(*choice)).expect("settings");
    let messages = match Invocation::parse(event, "request") {
        Ok(Invocation::Batch(messages)) => messages,
        Ok(Invocation::Event(message)) => vec![message],
        Err(error) => return tells_nothing(&error.to_string(), text.len(), |_| false),
    };
    let ids: HashSet<&str> = messages.iter().map(|message| message.id.as_str()).collect();
    assert!(ids.len() == messages.len() && !ids.contains(""), "each message must have an ID of its own: {ids:?}");
    for message in &messages {
        read(rules, &message.body, |_| false);
    }
}

/// A format that is admitted finds nothing but valid sign-ups in any document, and its errors show nothing of it.
pub fn format(data: &[u8]) {
    let Some((text, body)) = std::str::from_utf8(data).ok().and_then(|text| text.split_once('\0')) else { return };
    let Ok(format) = Format::parse(text) else { return };
    // What the format says may show. Only texts without escapes say it in the words in which it shows.
    let shows = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') && !text.contains('\\');
    let known: HashSet<&str> = words(text).collect();
    let rules = Rules { format, detail_type: None, user_id: UserIdRule::AsIs, profile: ProfileRule::Reject };
    read(&rules, body, |word| !shows || known.contains(word));
}

/// An answer means success only if it says so, names no account that was not asked for, and its words are passed on
/// without the signature.
///
/// The bytes `$`, `<` and `>` stand for the signature, its first half and its second half.
pub fn answer(data: &[u8]) {
    let (first, second) = USER_SIG.split_at(USER_SIG.len() / 2);
    let bytes = data.iter().flat_map(|byte| match byte {
        b'$' => USER_SIG.as_bytes().to_vec(),
        b'<' => first.as_bytes().to_vec(),
        b'>' => second.as_bytes().to_vec(),
        other => vec![*other],
    });
    let body: Vec<u8> = bytes.collect();
    let chat = Chat::over(Box::new(Answering(body.clone())), &"https://example.com".parse().expect("a URL"));
    let credentials = Credentials {
        sdk_app_id: 1_400_000_000,
        identifier: "administrator".to_owned(),
        user_sig: USER_SIG.into(),
        serial: 1,
    };
    let timeout = Duration::from_secs(10);
    let call = Call { credentials: &credentials, random: 7, timeout, connection: Connection::Pooled };
    let asked = ASKED.map(|id| UserIdRule::AsIs.apply(id).expect("a user ID"));
    let [user_id, ..] = asked.clone();
    let signup = Signup { user_id, nickname: None, avatar_url: None, fitted: Vec::new() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let (imported, found) = runtime.block_on(async {
        (chat.account_import(call, &signup).await, chat.account_check(call, &HashSet::from(asked)).await)
    });

    // What is passed over may be of another encoding.
    let body = String::from_utf8_lossy(&body);
    let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&body).unwrap_or_default();
    let is_success = fields.get("ErrorCode").is_some_and(|code| code.get() == "0")
        && text(&fields, "ActionStatus").as_deref() == Some("OK");
    assert!(is_success || (imported.is_err() && found.is_err()), "it must not count as success");
    let items = fields.get("ResultItem").and_then(|items| serde_json::from_str::<Vec<&RawValue>>(items.get()).ok());
    let present: HashSet<String> = items.into_iter().flatten().filter_map(present).collect();
    for user_id in found.iter().flatten().map(UserId::reveal) {
        assert!(ASKED.contains(&user_id) && present.contains(user_id), "{user_id} must have been asked for and found");
    }
    for failure in [imported.err(), found.err()].into_iter().flatten() {
        if let Failure::Refused(refusal) = &failure {
            assert!(refusal.code != 0 && refusal.info.chars().count() <= 256, "{refusal:?}");
            assert!(!refusal.info.contains(USER_SIG) && !refusal.info.contains("usersig"), "it must not be passed on");
        }
        let outcome = Outcome::of_call(failure);
        let cause = outcome.cause().expect("a failure must have a cause");
        assert!(!cause.code.is_empty() && !cause.meaning.contains(USER_SIG), "{cause:?}");
    }
}

/// A secret that is admitted can be signed with and does not show; of another, the error shows nothing.
pub fn secret(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let secret = match Secret::parse(text) {
        Ok(secret) => secret,
        Err(error) => return tells_nothing(&error.to_string(), 0, |_| false),
    };
    let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).expect("it must be a JSON object");
    let identifier = self::text(&fields, "identifier").expect("it must be a string");
    let shown = format!("{secret:?}");
    let number = shown.strip_prefix("Secret { sdk_app_id: ");
    let number = number.and_then(|rest| {
        rest.strip_suffix(&*format!(", identifier: {identifier:?}, key: SecretBox<str>([REDACTED]) }}"))
    });
    assert!(number.and_then(|number| number.parse().ok()).is_some_and(|id: u64| id > 0), "the key must not show");
    let user_sig = secret.sign(1_795_426_200).expect("it must be signed with");
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'*' | b'-' | b'_');
    assert!(user_sig.expose_secret().bytes().all(is_plain), "a signature must fit into a URL");
}

/// Reads a body, of which must come nothing but valid sign-ups and error texts that tell nothing.
fn read(rules: &Rules, body: &str, is_known: impl Fn(&str) -> bool + Copy) {
    let signups = rules.read(body);
    assert!(signups.len() <= MAX_USERS, "{} sign-ups", signups.len());
    for signup in signups {
        match signup {
            Ok(Signup { user_id, nickname, avatar_url, fitted }) => {
                let id = user_id.reveal();
                let fits = (1..=32).contains(&id.len()) && id.bytes().all(|byte| (b' '..=b'~').contains(&byte));
                assert!(fits, "{id:?} must be 1 to 32 bytes of printable ASCII");
                for text in [nickname, avatar_url].iter().flatten() {
                    assert!((1..=500).contains(&text.len()), "{text:?} must have at most 500 bytes");
                }
                for text in fitted {
                    tells_nothing(&text, body.len(), is_known);
                }
            }
            Err(error) => tells_nothing(&error.to_string(), body.len(), is_known),
        }
    }
}

/// An error text must be made of the words of our own source, of those known otherwise, and of numbers that are no larger than a
/// size or a place in an input of `size` bytes.
fn tells_nothing(text: &str, size: usize, is_known: impl Fn(&str) -> bool + Copy) {
    for word in words(text) {
        let is_size = word.parse().is_ok_and(|number: usize| number <= size);
        assert!(OURS.contains(word) || is_known(word) || is_size, "{word:?} must not show: {text}");
    }
}

/// The words of the texts that the function's errors are made of.
static OURS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let sources = [
        include_str!("../../../src/admin.rs"),
        include_str!("../../../src/event.rs"),
        include_str!("../../../src/formats.rs"),
        include_str!("../../../src/formats.json"),
        include_str!("../../../src/signup.rs"),
        include_str!("../../../src/user_id.rs"),
        // Numbers that are limits, and serde_json's words.
        "4 32 100 500 EOF while parsing a list object string value, expected `:` `,` or `]` `}` ident value, \
         lone leading surrogate in hex escape, unexpected end of hex escape, invalid escape, invalid number, \
         control character (\\u0000-\\u001F) found while parsing a string, invalid unicode code point, \
         number out of range, key must be a string, trailing comma, trailing characters, recursion limit exceeded \
         at line 1 column 1",
    ];
    sources.into_iter().flat_map(words).collect()
});

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty())
}

/// All settings by which an event can be read: each format with each rule for user IDs and for profiles.
static RULES: LazyLock<Vec<Rules>> = LazyLock::new(|| {
    let formats = formats::presets().expect("the formats that are compiled in");
    let mut rules = Vec::new();
    for format in formats.keys() {
        for (user_id, _) in UserIdRule::ALL {
            for profile in ["fit", "reject"] {
                let lookup = |name: &str| match name {
                    "SIGNUP_FORMAT" => Some(format.as_str()),
                    "SIGNUP_CLOUDEVENT_TYPE" if format == "cloudevents" => Some("com.example.user.signed-up"),
                    "SIGNUP_DETAIL_TYPE" if format == "default" => Some("UserSignedUp"),
                    "USER_ID_RULE" => Some(user_id),
                    "PROFILE_RULE" => Some(profile),
                    _ => None,
                };
                rules.push(config::rules(|name| lookup(name).map(str::to_owned)).expect("settings that are right"));
            }
        }
    }
    rules
});

/// A carrier that always brings back the same.
struct Answering(Vec<u8>);

impl Carrier for Answering {
    fn carry(&self, _: Url, _: Vec<u8>, _: Connection) -> BoxFuture<'_, Result<Vec<u8>, Failure>> {
        Box::pin(async { Ok(self.0.clone()) })
    }
}

fn text(fields: &BTreeMap<String, Box<RawValue>>, name: &str) -> Option<String> {
    serde_json::from_str(fields.get(name)?.get()).ok()
}

/// Whose account an item of `ResultItem` says is there.
fn present(item: &RawValue) -> Option<String> {
    let fields = serde_json::from_str(item.get()).ok()?;
    text(&fields, "UserID").filter(|_| text(&fields, "AccountStatus").as_deref() == Some("Imported"))
}

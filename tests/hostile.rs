//! What comes of hostile input: the fuzzers' corpus once more, and as much of it as one invocation can hold.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{collections::BTreeSet, fmt::Write};

use local::{stand_ins::World, tencent::Reply};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_chat-signup-import");
/// Largest event of an invocation, in bytes (Lambda's quota).
const MAX_EVENT: usize = 6 * 1024 * 1024;
/// Longest body of a message, in bytes (SQS's quota).
const MAX_BODY: usize = 1024 * 1024;
/// Most memory for a batch of six megabytes, in bytes: the event, its messages, one body opened, and the program.
const MAX_MEMORY: u64 = 96 << 20;
/// The memory that the template gives the function, in bytes.
const ALL_MEMORY: u64 = 256 << 20;

/// Whose messages were parked.
fn parked(world: &World) -> BTreeSet<String> {
    world.cloud.sent().iter().filter_map(|sent| sent.attributes.get("SourceMessageId").cloned()).collect()
}

#[test]
fn holds_every_rule_for_the_whole_corpus() {
    let mut replayed = Vec::new();
    for (name, target) in fuzz::TARGETS {
        let entries = std::fs::read_dir(local::top().join("tests/fuzz/corpus").join(name)).unwrap();
        let files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        for file in &files {
            println!("{}", file.display());
            target(&std::fs::read(file).unwrap());
        }
        replayed.push((name, !files.is_empty()));
    }
    assert_eq!(replayed, fuzz::TARGETS.map(|(name, _)| (name, true)));
}

/// A text in which `serde_json`'s own key for raw JSON stands so many times within itself, 120 levels deep each time.
fn raw_within_raw(times: usize) -> String {
    let (open, close) = ("[".repeat(120), "]".repeat(120));
    let escaped = |text: &str| text.replace('\\', "\\u005c").replace('"', "\\u0022");
    (0..times).fold("0".to_owned(), |text, _| {
        format!(r#"{open}{{"$serde_json::private::RawValue":"{}"}}{close}"#, escaped(&text))
    })
}

/// A text so many times within envelopes of SNS, each as a text within the other.
fn in_envelopes(text: &str, times: usize) -> String {
    (0..times).fold(text.to_owned(), |text, _| json!({"Type": "Notification", "Message": text}).to_string())
}

/// JSON as a text in JSON, so many times.
fn quoted(text: &str, times: usize) -> String {
    (0..times).fold(text.to_owned(), |text, _| Value::String(text).to_string())
}

/// Bodies of messages that hold a sign-up in spite of all: the user, and the body.
fn sound() -> Vec<(&'static str, String)> {
    let bus = |detail: &str| format!(r#"{{"id":"1","detail-type":"x","detail":{detail}}}"#);
    vec![
        ("plain", r#"{"userId":"plain"}"#.to_owned()),
        ("twice", r#"{"userId":"once","userId":"twice"}"#.to_owned()),
        ("long-name", json!({"userId": "long-name", "nickname": "é".repeat(200_000)}).to_string()),
        ("enveloped", in_envelopes(&bus(&bus(r#"{"userId":"enveloped"}"#)), 2)),
        ("many-keys", {
            let keys = (0..40_000).fold(String::new(), |mut keys, key| {
                write!(keys, r#""{key}":{{}},"#).unwrap();
                keys
            });
            format!(r#"{{{keys}"userId":"many-keys"}}"#)
        }),
        ("zeros", format!(r#"{{"userId":"zeros","x":[0{}]}}"#, ",0".repeat(500_000))),
        ("raw-within-raw", format!(r#"{{"userId":"raw-within-raw","x":{}}}"#, raw_within_raw(220))),
    ]
}

/// Records that will never be imported: the ID, and the record's other fields as JSON.
fn hopeless() -> Vec<(String, String)> {
    let body = |text: &str| format!(r#""body":{}"#, Value::from(text));
    let deep = "[".repeat(100_000);
    let closed = format!("{deep}{}", "]".repeat(100_000));
    let records = vec![
        ("no-body", r#""body":null"#.to_owned()),
        ("nothing-but-an-id", r#""x":1"#.to_owned()),
        ("deep", body(&deep)),
        ("deep-and-closed", body(&closed)),
        ("deep-and-opened", format!(r#""body":{closed}"#)),
        ("huge-number", body(r#"{"userId":"u","x":1e400}"#)),
        ("many-digits", body(&format!(r#"{{"userId":"u","x":{}}}"#, "9".repeat(100_000)))),
        ("number-as-id", body(r#"{"userId":18446744073709551616}"#)),
        ("surrogate", r#""body":"\ud800""#.to_owned()),
        ("surrogate-within", body(r#"{"userId":"\udfff\ud800"}"#)),
        ("control", body("{\"userId\":\"\u{1}\"}")),
        ("long-id", body(&json!({"userId": "u".repeat(200_000)}).to_string())),
        ("five-envelopes", body(&in_envelopes(r#"{"userId":"u"}"#, 5))),
        ("quoted", body(&quoted(r#"{"userId":"u"}"#, 16))),
    ];
    let tiny = (0..2_000).map(|index| (format!("tiny-{index}"), r#""body":"{}""#.to_owned()));
    records.into_iter().map(|(id, fields)| (id.to_owned(), fields)).chain(tiny).collect()
}

#[tokio::test]
async fn brings_each_message_of_six_hostile_megabytes_to_its_end_in_little_memory() {
    let world = World::start(BINARY, &[]).await.unwrap();
    world.tencent.script("unlucky", [Reply::Code(70500)]);
    let (sound, hopeless) = (sound(), hopeless());
    assert!(sound.iter().all(|(_, body)| body.len() <= MAX_BODY), "SQS takes no longer bodies");

    let mut records: Vec<String> =
        hopeless.iter().map(|(id, fields)| format!(r#"{{"messageId":"{id}",{fields}}}"#)).collect();
    let signups =
        sound.iter().map(|(user, body)| (*user, body.as_str())).chain([("unlucky", r#"{"userId":"unlucky"}"#)]);
    records.extend(signups.map(|(user, body)| json!({"messageId": user, "body": body}).to_string()));
    // One that stands twice, the second time with another body.
    records.push(r#"{"messageId":"plain","body":"{}"}"#.to_owned());
    let length: usize = records.iter().map(|record| record.len() + 1).sum();
    let mut rest = (MAX_EVENT - 1_000).checked_sub(length).unwrap();
    while rest > 0 {
        let part = rest.min(MAX_BODY);
        records.push(format!(r#"{{"messageId":"filler-{rest}","body":"{}"}}"#, "x".repeat(part.saturating_sub(60))));
        rest -= part;
    }
    let event = format!(r#"{{"Records":[{}]}}"#, records.join(","));
    assert!((MAX_EVENT - 2_000..=MAX_EVENT).contains(&event.len()), "{} bytes", event.len());

    let answer = world.invoke(&event).await;
    let fillers =
        records.iter().filter_map(|record| record.strip_prefix(r#"{"messageId":"filler-"#)?.split('"').next());
    let expected: BTreeSet<String> =
        hopeless.iter().map(|(id, _)| id.clone()).chain(fillers.map(|rest| format!("filler-{rest}"))).collect();
    let users: BTreeSet<String> = sound.iter().map(|(user, _)| (*user).to_owned()).collect();
    let peak = world.function.peak_memory().unwrap();
    assert_eq!(answer, r#"{"batchItemFailures":[{"itemIdentifier":"unlucky"}]}"#);
    assert_eq!(parked(&world), expected);
    assert_eq!(world.tencent.accounts().into_keys().collect::<BTreeSet<String>>(), users);
    assert!(peak < MAX_MEMORY, "{peak} bytes: more than the event needs");
}

#[tokio::test]
async fn refuses_a_list_of_millions_within_the_functions_memory() {
    let world = World::start(BINARY, &[("SIGNUP_FORMAT", "okta")]).await.unwrap();
    let list = |element: &str| {
        let count = (MAX_EVENT - 100) / (element.len() + 1);
        format!(r#"{{"data":{{"events":[{}{element}]}}}}"#, format!("{element},").repeat(count - 1))
    };
    let mut answers = Vec::new();
    for element in ["{}", "0"] {
        let answer: Value = serde_json::from_str(&world.invoke(&list(element)).await).unwrap();
        answers.push(answer["meaning"].clone());
    }
    let peak = world.function.peak_memory().unwrap();
    assert_eq!(answers, ["there are more users in it than 100, the most there may be"; 2]);
    assert!(peak < ALL_MEMORY, "{peak} bytes: more than the template gives it");
}

//! The binary itself, behind Lambda's runtime API: what it answers, sends and writes.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use local::{
    cloud::{Delayed, Fault, Sent},
    file,
    function::{Ended, Function},
    samples::SENDERS,
    serve,
    stand_ins::{PARKING, QUEUE, World},
    tencent::{App, Reply, SAMPLE_KEY, Tencent},
};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_chat-signup-import");

/// Starts the function, to which any other event than `UserSignedUp` is none of its own.
async fn start(settings: &[(&str, &str)]) -> World {
    World::start(BINARY, &[&[("SIGNUP_DETAIL_TYPE", "UserSignedUp")], settings].concat()).await.unwrap()
}

fn record(id: &str, body: &Value) -> Value {
    json!({
        "messageId": id, "receiptHandle": format!("receipt-{id}"), "body": body.to_string(),
        "attributes": {"ApproximateReceiveCount": "2", "SentTimestamp": null}, "messageAttributes": {},
        "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-central-1:000000000000:signups",
    })
}

/// A record that was sent so many hours ago.
fn old_record(id: &str, body: &Value, hours: u64) -> Value {
    let sent = SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_hours(hours)).unwrap();
    let mut record = record(id, body);
    *record.pointer_mut("/attributes/SentTimestamp").unwrap() = json!(sent.as_millis().to_string());
    record
}

fn batch(users: &[&str]) -> String {
    let records: Vec<Value> = users.iter().map(|user| record(user, &json!({"userId": user}))).collect();
    json!({"Records": records}).to_string()
}

fn failures(ids: &[&str]) -> String {
    let items: Vec<String> = ids.iter().map(|id| format!(r#"{{"itemIdentifier":"{id}"}}"#)).collect();
    format!(r#"{{"batchItemFailures":[{}]}}"#, items.join(","))
}

/// The names of all sample events.
fn samples() -> Vec<String> {
    let entries = std::fs::read_dir(local::top().join("events")).unwrap();
    entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect()
}

const NOTHING_FAILED: &str = r#"{"batchItemFailures":[]}"#;

#[tokio::test]
async fn answers_every_sample_event() {
    let world = start(&[]).await;
    let mut answers = BTreeMap::new();
    for name in samples() {
        if SENDERS.iter().any(|sender| sender.name == name) {
            continue;
        }
        if name == "over-quota" {
            world.tencent.set_quota(0);
        }
        if name == "temporary-failure" {
            world.tencent.script("mary-somerville", [Reply::Code(70500)]);
        }
        answers.insert(name.clone(), world.invoke_sample(&name).await);
        world.tencent.set_quota(100);
    }
    let rejected = |code: &str, meaning: &str, advice: &str| {
        format!(r#"{{"outcome":"rejected","code":"{code}","meaning":"{meaning}","advice":"{advice}"}}"#)
    };
    let imported = r#"{"outcome":"imported"}"#.to_owned();
    let expected = [
        ("eventbridge", imported.clone()),
        (
            "malformed",
            rejected(
                "malformed",
                "/userId has 33 bytes: must have at most 32, unless USER_ID_RULE is uuid or sha256",
                "correct the sender, then send the parked message again",
            ),
        ),
        ("not-a-signup", r#"{"outcome":"ignored"}"#.to_owned()),
        (
            "over-quota",
            rejected(
                "70398",
                "account limit reached: more than 100 accounts need a paid plan",
                "upgrade the app's plan, then redrive the parking queue",
            ),
        ),
        ("pipe", NOTHING_FAILED.to_owned()),
        ("signup", imported),
        ("sqs", NOTHING_FAILED.to_owned()),
        ("sqs-fifo", NOTHING_FAILED.to_owned()),
        (
            "temporary-failure",
            r#"{"outcome":"deferred","code":"70500","meaning":"internal service error","advice":"nothing at first; if it lasts, ask Tencent with the RequestId"}"#.to_owned(),
        ),
    ];
    assert_eq!(answers, BTreeMap::from(expected.map(|(name, answer)| (name.to_owned(), answer))));
}

#[tokio::test]
async fn imports_the_document_of_every_sender_and_writes_nothing_personal_of_it() {
    for sender in &SENDERS {
        let mut settings = vec![("SIGNUP_DETAIL_TYPE", ""), ("AWS_LAMBDA_LOG_LEVEL", "TRACE"), ("RUST_LOG", "trace")];
        settings.extend_from_slice(sender.settings);
        let world = start(&settings).await;
        let text = sender.text();
        let answer = world.invoke(&text).await;
        let accounts: Vec<_> = world.tencent.accounts().into_iter().map(|(id, account)| (id, account.nick)).collect();
        let output = world.function.finish().await.unwrap();
        let mut personal: Vec<String> = sender.accounts.iter().map(|(id, _)| (*id).to_owned()).collect();
        collect(&serde_json::from_str(&text).unwrap(), &mut personal);
        let told: Vec<&String> = personal.iter().filter(|secret| output.contains(*secret)).collect();
        let expected = |(id, nick): &(&str, &str)| ((*id).to_owned(), Some((*nick).to_owned()));
        assert_eq!(
            (answer.as_str(), accounts, told),
            (r#"{"outcome":"imported"}"#, sender.accounts.iter().map(expected).collect(), vec![]),
            "{}: {output}",
            sender.name
        );
    }
}

#[tokio::test]
async fn has_what_the_rate_left_no_time_for_come_back_soon() {
    let world = start(&[("CHAT_RATE_LIMIT", "2")]).await;
    let users: Vec<String> = (0..10).map(|user| format!("user-{user}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    // One call a second, the first after one; half a second is kept free at the end.
    world.function.invoke(&batch(&users), Duration::from_millis(3500)).await.unwrap();
    let paced = world.lines().iter().filter(|line| line.ends_with("WARN deferred paced")).count();
    let delays: Vec<i64> = world.cloud.delayed().iter().map(|delayed| delayed.seconds).collect();
    assert_eq!((world.tencent.accounts().len(), paced, delays.len()), (2, 8, 8));
    assert!(delays.iter().all(|seconds| (1..=6).contains(seconds)), "{delays:?}");
}

#[tokio::test]
async fn calls_nobody_but_a_probe_while_the_service_fails() {
    let world = start(&[("MAX_IN_FLIGHT", "1")]).await;
    world.tencent.always(Some(Reply::Code(70500)));
    let users: Vec<String> = (0..20).map(|user| format!("user-{user}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let answer = world.invoke(&batch(&users)).await;
    let held = world.lines().iter().filter(|line| line.ends_with("WARN deferred breaker_open")).count();
    let back = answer.matches("itemIdentifier").count();
    assert_eq!((world.tencent.calls().len(), held, back, world.cloud.delayed().len()), (5, 15, 20, 20));
}

#[tokio::test]
async fn calls_nobody_after_the_signature_was_refused_too_often() {
    let world = start(&[("MAX_IN_FLIGHT", "1")]).await;
    world.tencent.script("a", [Reply::Code(70050)]);
    let answer = world.invoke(&batch(&["a", "b", "c"])).await;
    let shortest = world.cloud.delayed().iter().map(|delayed| delayed.seconds).min().unwrap();
    assert_eq!(
        (answer, world.lines(), world.tencent.calls().len(), shortest >= 60),
        (
            failures(&["a", "b", "c"]),
            vec!["a ERROR blocked 70050".into(), "b ERROR blocked silent".into(), "c WARN blocked silent".to_owned()],
            1,
            true
        )
    );
}

/// A redelivery that comes late may hold an old name.
#[tokio::test]
async fn leaves_an_account_alone_that_a_late_redelivery_finds() {
    let world = start(&[]).await;
    world.invoke(r#"{"userId":"ada","nickname":"New"}"#).await;
    let records = [
        old_record("m1", &json!({"userId": "ada", "nickname": "Old"}), 2),
        old_record("m2", &json!({"userId": "grace", "nickname": "Grace"}), 2),
        old_record("m3", &json!({"userId": "joan", "nickname": "Joan"}), 0),
    ];
    let answer = world.invoke(&json!({"Records": records}).to_string()).await;
    let names: Vec<_> = world.tencent.accounts().into_values().map(|account| account.nick.unwrap()).collect();
    let checks = world.tencent.calls().iter().filter(|call| call.command == "account_check").count();
    let lines: Vec<String> = world.lines().into_iter().filter(|line| line.starts_with('m')).collect();
    assert_eq!(
        (answer.as_str(), names, checks, lines),
        (
            NOTHING_FAILED,
            ["New", "Grace", "Joan"].map(str::to_owned).to_vec(),
            1,
            ["m1 INFO present -", "m2 INFO imported -", "m3 INFO imported -"].map(str::to_owned).to_vec()
        )
    );
}

/// Half as many checks a second are allowed as imports.
#[tokio::test]
async fn looks_for_many_late_accounts_in_one_call_and_for_each_alone_if_that_is_refused() {
    let world = start(&[("MAX_IN_FLIGHT", "200")]).await;
    let late = |n: usize| old_record(&format!("m{n}"), &json!({"userId": format!("user-{n}")}), 2);
    let batch = |users: usize| json!({"Records": (0..users).map(late).collect::<Vec<_>>()}).to_string();
    let checks = || world.tencent.calls().iter().filter(|call| call.command == "account_check").count();
    world.invoke(&batch(100)).await;
    let together = checks();
    world.invoke(&batch(101)).await;
    let two = checks();
    world.tencent.script("account_check", [Reply::Code(70402)]);
    world.invoke(&batch(3)).await;
    let imports = world.tencent.calls().len() - checks();
    assert_eq!((together, two - together, checks() - two, imports), (1, 2, 4, 101));
}

/// Neither is an account that is not there, and none that is.
#[tokio::test]
async fn defers_a_late_signup_of_which_a_check_does_not_tell() {
    let world = start(&[]).await;
    let item = |code: i64, status: &str| json!({"UserID": "ada", "ResultCode": code, "AccountStatus": status});
    let mut lines = Vec::new();
    for items in
        [json!(null), json!([]), json!([item(70107, "")]), json!([item(0, "Unknown")]), json!([item(1, "NotImported")])]
    {
        let answer = json!({"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": "", "ResultItem": items});
        world.tencent.script("account_check", [Reply::Body(answer.to_string().into_bytes())]);
        let record = old_record("m", &json!({"userId": "ada"}), 2);
        world.invoke(&json!({"Records": [record]}).to_string()).await;
        lines = world.lines();
    }
    let imports = world.tencent.calls().iter().filter(|call| call.command == "account_import").count();
    assert_eq!((lines, imports), (vec!["m WARN deferred unreadable".to_owned(); 5], 0));
}

/// A parked message that is moved back has a new time of its own.
#[tokio::test]
async fn knows_a_parked_message_by_the_time_at_which_it_was_sent_at_first() {
    let world = start(&[]).await;
    world.tencent.script("ada", [Reply::Code(70398)]);
    let record = old_record("m1", &json!({"userId": "ada", "nickname": "Old"}), 2);
    world.invoke(&json!({"Records": [record.clone()]}).to_string()).await;
    let sent = world.cloud.sent().remove(0).attributes.remove("FirstSent").unwrap();
    world.invoke(r#"{"userId":"ada","nickname":"New"}"#).await;
    let mut moved = old_record("m2", &json!({"userId": "ada", "nickname": "Old"}), 0);
    moved["messageAttributes"] = json!({"FirstSent": {"stringValue": sent, "dataType": "String"}});
    world.invoke(&json!({"Records": [moved]}).to_string()).await;
    let kept = world.tencent.accounts().remove("ada").unwrap().nick;
    let first = record.pointer("/attributes/SentTimestamp").unwrap().as_str().map(str::to_owned);
    assert_eq!((Some(sent), kept.as_deref()), (first, Some("New")));
}

/// Twenty calls a second; after a refusal ten. A call is never early, so the shortest time of all is a sound bound.
#[tokio::test]
async fn keeps_calls_apart_and_further_apart_after_a_refused_rate() {
    let world = start(&[("CHAT_RATE_LIMIT", "21")]).await;
    world.tencent.script("a", [Reply::Code(60007)]);
    world.invoke(&batch(&["a", "b", "c", "d", "e", "f"])).await;
    let calls = world.tencent.calls();
    let took = calls.last().unwrap().at - calls[0].at;
    assert!(calls.len() == 6 && took >= Duration::from_millis(490), "{} calls in {took:?}", calls.len());
}

#[tokio::test]
async fn parks_what_its_queue_would_soon_give_up() {
    let world = start(&[("MAX_IN_FLIGHT", "1")]).await;
    world.tencent.script("a", [Reply::Code(70050)]);
    let mut last = record("b", &json!({"userId": "b"}));
    last["attributes"]["ApproximateReceiveCount"] = json!("950");
    let first = record("a", &json!({"userId": "a"}));
    let answer = world.invoke(&json!({"Records": [first, last]}).to_string()).await;
    assert_eq!(
        (answer, world.lines()),
        (failures(&["a"]), vec!["a ERROR blocked 70050".to_owned(), "b ERROR rejected expired".to_owned()])
    );
}

#[tokio::test]
async fn keeps_what_has_expired_on_its_queue_where_nothing_is_parked() {
    let world = start(&[("PARKING_QUEUE_URL", "")]).await;
    world.tencent.always(Some(Reply::Code(70500)));
    let answer = world.invoke(&json!({"Records": [old_record("old", &json!({"userId": "a"}), 200)]}).to_string()).await;
    assert_eq!((answer, world.lines()), (failures(&["old"]), vec!["old WARN deferred 70500".to_owned()]));
}

#[tokio::test]
async fn parks_what_still_fails_when_it_has_expired() {
    let world = start(&[]).await;
    world.tencent.always(Some(Reply::Code(70500)));
    let old = |id: &str, hours| old_record(id, &json!({ "userId": id }), hours);
    let answer = world.invoke(&json!({"Records": [old("young", 95), old("old", 100)]}).to_string()).await;
    let parked: Vec<_> = world.cloud.sent().into_iter().map(|sent| sent.attributes["Reason"].clone()).collect();
    assert_eq!(
        (answer, parked, world.lines()),
        (
            failures(&["young"]),
            vec!["100 hours old and still failing: 70500 (internal service error)".to_owned()],
            vec!["old ERROR rejected expired".to_owned(), "young WARN deferred 70500".to_owned()]
        )
    );
}

/// Okta's hook tells of two new users, and of something else between them.
#[tokio::test]
async fn parks_a_message_of_several_users_once_and_only_when_none_comes_back() {
    let world = start(&[("SIGNUP_DETAIL_TYPE", ""), ("SIGNUP_FORMAT", "okta")]).await;
    let [first, second] = ["00uz9fj5aT69fHVro1d7", "00uz9fj5aT69fHVro1d9"];
    world.tencent.script(first, [Reply::Code(70402), Reply::Code(70402)]);
    world.tencent.script(second, [Reply::Code(70500)]);
    let event = json!({"Records": [record("m1", &serde_json::from_str(&file("events/okta-hook.json")).unwrap())]});
    let answers = [world.invoke(&event.to_string()).await, world.invoke(&event.to_string()).await];
    let parked: Vec<_> = world.cloud.sent().into_iter().map(|sent| sent.attributes["ErrorCode"].clone()).collect();
    let accounts: Vec<String> = world.tencent.accounts().into_keys().collect();
    assert_eq!(
        (answers, parked, accounts, world.lines()),
        (
            [failures(&["m1"]), NOTHING_FAILED.to_owned()],
            vec!["70402".to_owned()],
            vec![second.to_owned()],
            vec![
                "m1 ERROR rejected 70402".to_owned(),
                "m1 INFO imported -".to_owned(),
                "m1 WARN deferred 70500".to_owned(),
                "m1 WARN deferred held".to_owned(),
            ]
        )
    );
}

/// Two users of one message are rejected, and there is no place to park it.
#[tokio::test]
async fn blocks_all_that_is_rejected_of_a_message_that_could_not_be_parked() {
    let world = start(&[("SIGNUP_DETAIL_TYPE", ""), ("SIGNUP_FORMAT", "okta")]).await;
    world.cloud.fail("SendMessage", Some(Fault::Error(400, "AccessDenied")));
    for user in ["00uz9fj5aT69fHVro1d7", "00uz9fj5aT69fHVro1d9"] {
        world.tencent.script(user, [Reply::Code(70402)]);
    }
    let event = json!({"Records": [record("m1", &serde_json::from_str(&file("events/okta-hook.json")).unwrap())]});
    let answer = world.invoke(&event.to_string()).await;
    assert_eq!(
        (answer, world.lines(), world.cloud.calls("SendMessage")),
        (failures(&["m1"]), vec!["m1 ERROR blocked not_parked".to_owned(), "m1 WARN blocked not_parked".to_owned()], 1)
    );
}

#[tokio::test]
async fn keeps_the_calls_at_once_over_all_users_of_all_messages() {
    let format = r#"{"users":[{"in":["/users"]}],"userId":["/id"]}"#;
    let custom = [("SIGNUP_FORMAT", "custom"), ("SIGNUP_CUSTOM_FORMAT", format)];
    let world = start(&[&custom[..], &[("SIGNUP_DETAIL_TYPE", ""), ("MAX_IN_FLIGHT", "2")]].concat()).await;
    world.tencent.always(Some(Reply::Late(Duration::from_millis(20))));
    let message = |n: usize| {
        let users: Vec<Value> = (0..4).map(|user| json!({"id": format!("user-{n}-{user}")})).collect();
        record(&format!("m{n}"), &json!({ "users": users }))
    };
    let answer = world.invoke(&json!({"Records": [message(1), message(2), message(3)]}).to_string()).await;
    let connections = world.tencent.calls().iter().map(|call| call.connection).max();
    assert_eq!((answer.as_str(), world.tencent.accounts().len(), connections), (NOTHING_FAILED, 12, Some(2)));
}

#[tokio::test]
async fn makes_a_profile_fit_and_says_so_without_its_values() {
    let world = start(&[]).await;
    let body = json!({"userId": "ada|1", "nickname": "Ä".repeat(251), "avatarUrl": "https://example.com/".repeat(26)});
    world.invoke(&json!({"Records": [record("m1", &body)]}).to_string()).await;
    let account = world.tencent.accounts().remove("ada|1").unwrap();
    let lines: Vec<Value> = world.function.output().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = lines.iter().find_map(|line| line["fitted"].as_str());
    let counted = lines.iter().find_map(|line| Some((line["FittedProfiles"].as_u64()?, line["OddUserIds"].as_u64()?)));
    assert_eq!(
        (account.nick, account.face_url, told, counted),
        (
            Some("Ä".repeat(250)),
            None,
            Some("/nickname has 502 bytes: cut to 500; /avatarUrl has 520 bytes: left out"),
            Some((1, 1))
        )
    );
}

#[tokio::test]
async fn imports_every_signup_of_the_sample_batch_with_its_profile() {
    let world = start(&[]).await;
    world.invoke_sample("sqs").await;
    let accounts: Vec<String> = world
        .tencent
        .accounts()
        .into_iter()
        .map(|(id, account)| {
            format!("{id} {} {}", account.nick.unwrap_or_default(), account.face_url.unwrap_or_default())
        })
        .collect();
    assert_eq!(
        accounts,
        [
            "barbara-liskov Barbara https://example.com/pictures/barbara.png",
            "frances-allen  ",
            "margaret-hamilton Margaret ",
            "radia-perlman Radia ✨ ",
        ]
    );
}

#[tokio::test]
async fn names_what_must_come_back_and_nothing_else() {
    let world = start(&[]).await;
    world.tencent.script("deferred", [Reply::Code(60007)]);
    world.tencent.script("blocked", [Reply::Code(60020)]);
    world.tencent.script("rejected", [Reply::Code(70402)]);
    let answer = world.invoke(&batch(&["imported", "rejected", "deferred"])).await;
    let second = world.invoke(&batch(&["blocked", "blocked"])).await;
    assert_eq!([answer, second], [failures(&["deferred"]), failures(&["blocked"])]);
}

#[tokio::test]
async fn has_what_must_come_back_come_back_after_a_delay_of_its_own() {
    let world = start(&[]).await;
    world.tencent.always(Some(Reply::Code(70500)));
    let users: Vec<String> = (0..25).map(|user| format!("user-{user}")).collect();
    world.invoke(&batch(&users.iter().map(String::as_str).collect::<Vec<_>>())).await;
    let delayed = world.cloud.delayed();
    let mut receipts: Vec<String> = delayed.iter().map(|delayed| delayed.receipt.clone()).collect();
    receipts.sort();
    let mut expected: Vec<String> = users.iter().map(|user| format!("receipt-{user}")).collect();
    expected.sort();
    assert_eq!((receipts, world.cloud.calls("ChangeMessageVisibilityBatch")), (expected, 3));
    let sound = |delayed: &Delayed| delayed.queue_url == QUEUE && (1..=11).contains(&delayed.seconds);
    assert!(delayed.iter().all(sound), "the second receive must wait for 1 to 11 s: {delayed:?}");
    assert!(delayed.iter().any(|other| other.seconds != delayed[0].seconds), "no jitter: {delayed:?}");
}

#[tokio::test]
async fn parks_what_is_rejected_with_its_reason_and_the_body_as_it_came() {
    let world = start(&[]).await;
    world.tencent.script("over", [Reply::Code(70398)]);
    let body = json!({"userId": "over", "nickname": "Ö"});
    let event = json!({"Records": [record("m1", &body), record("m2", &json!({"nickname": "N"}))]});
    world.invoke(&event.to_string()).await;
    let mut sent = world.cloud.sent();
    sent.sort_by_key(|sent| sent.attributes["SourceMessageId"].clone());
    let parked = |body: &Value, attributes: &[(&str, &str)]| Sent {
        queue_url: PARKING.to_owned(),
        body: body.to_string(),
        attributes: attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        delay: None,
        group: None,
    };
    assert_eq!(
        sent,
        [
            parked(
                &body,
                &[
                    ("Reason", "account limit reached: more than 100 accounts need a paid plan"),
                    ("ErrorCode", "70398"),
                    ("ErrorInfo", "scripted"),
                    ("RequestId", "Stand-In-1"),
                    ("ReceiveCount", "2"),
                    ("SourceMessageId", "m1"),
                ]
            ),
            parked(
                &json!({"nickname": "N"}),
                &[
                    ("Reason", "/userId is missing: must be a string of 1 to 32 bytes"),
                    ("ReceiveCount", "2"),
                    ("SourceMessageId", "m2"),
                ]
            ),
        ]
    );
}

#[tokio::test]
async fn strikes_the_signature_out_of_what_it_parks() {
    let world = start(&[]).await;
    world.tencent.script("ada", [Reply::Echo]);
    world.invoke(&batch(&["ada"])).await;
    let info = world.cloud.sent()[0].attributes["ErrorInfo"].clone();
    assert_eq!((info.contains("identifier=administrator"), info.contains("usersig")), (true, false), "{info}");
}

#[tokio::test]
async fn acknowledges_nothing_that_could_not_be_parked() {
    let world = start(&[]).await;
    world.cloud.fail("SendMessage", Some(Fault::Error(400, "AccessDenied")));
    let answer = world.invoke_sample("pipe").await;
    assert_eq!(
        (answer, world.lines()),
        (
            failures(&["44444444-0000-4000-8000-000000000002"]),
            vec![
                "44444444-0000-4000-8000-000000000001 INFO imported -".to_owned(),
                "44444444-0000-4000-8000-000000000002 ERROR blocked not_parked".to_owned(),
            ]
        )
    );
}

#[tokio::test]
async fn acknowledges_and_logs_what_is_rejected_when_there_is_no_parking_queue() {
    let world = start(&[("PARKING_QUEUE_URL", "")]).await;
    let answer = world.invoke_sample("pipe").await;
    assert_eq!(
        (answer, world.cloud.sent(), world.lines()),
        (
            NOTHING_FAILED.to_owned(),
            vec![],
            vec![
                "44444444-0000-4000-8000-000000000001 INFO imported -".to_owned(),
                "44444444-0000-4000-8000-000000000002 ERROR rejected malformed".to_owned(),
            ]
        )
    );
}

#[tokio::test]
async fn puts_a_bus_event_on_the_queue_to_be_tried_again() {
    let world = start(&[]).await;
    world.tencent.script("grace-hopper", [Reply::Code(70500)]);
    let event = file("events/eventbridge.json");
    world.invoke(&event).await;
    let sent = world.cloud.sent();
    assert_eq!(
        (sent.len(), sent[0].queue_url.as_str(), sent[0].body.as_str(), sent[0].attributes.len()),
        (1, QUEUE, event.trim_end(), 0)
    );
    assert!((1..=6).contains(&sent[0].delay.unwrap()), "{:?}", sent[0].delay);
}

#[tokio::test]
async fn fails_the_invocation_of_a_bus_event_that_no_queue_takes() {
    let without = start(&[("QUEUE_URL", "")]).await;
    let refused = start(&[]).await;
    refused.cloud.fail("SendMessage", Some(Fault::Error(400, "AccessDenied")));
    let mut errors = Vec::new();
    for world in [&without, &refused] {
        world.tencent.script("grace-hopper", [Reply::Code(70500)]);
        errors.push(world.invoke_sample("eventbridge").await);
    }
    assert_eq!(
        errors,
        [
            r#"error {"errorType":"NotPutBack","errorMessage":"the event failed with 70500 and was not put on QUEUE_URL: no queue is set"}"#,
            r#"error {"errorType":"NotPutBack","errorMessage":"the event failed with 70500 and was not put on QUEUE_URL: SendMessage failed: AccessDenied"}"#,
        ]
    );
}

#[tokio::test]
async fn fails_a_batch_whose_record_has_no_id() {
    let world = start(&[]).await;
    let mut nameless = record("m1", &json!({"userId": "ada"}));
    nameless["messageId"] = Value::Null;
    let answer = world.invoke(&json!({"Records": [nameless]}).to_string()).await;
    assert_eq!(
        answer,
        r#"error {"errorType":"InvalidEvent","errorMessage":"record 0 of the batch has no messageId: must be that of an SQS message"}"#
    );
}

#[tokio::test]
async fn keeps_the_order_of_a_fifo_group_after_a_failure() {
    let world = start(&[]).await;
    world.tencent.script("jean-bartik", [Reply::Code(70500)]);
    let answer = world.invoke_sample("sqs-fifo").await;
    let imported: Vec<String> = world.tencent.accounts().into_keys().collect();
    assert_eq!(
        (answer, imported, world.cloud.delayed().len()),
        (
            failures(&["33333333-0000-4000-8000-000000000001", "33333333-0000-4000-8000-000000000002"]),
            vec!["hedy-lamarr".to_owned()],
            2
        )
    );
}

#[tokio::test]
async fn imports_a_fifo_group_in_order() {
    let world = start(&[]).await;
    world.tencent.script("jean-bartik", [Reply::Late(Duration::from_millis(100))]);
    world.invoke_sample("sqs-fifo").await;
    let order: Vec<String> = world.tencent.calls().into_iter().map(|call| call.user_id).collect();
    let place = |user: &str| order.iter().position(|other| other == user).unwrap();
    assert!(place("jean-bartik") < place("kay-mcnulty"), "{order:?}");
}

/// The stand-in for Lambda does not end an invocation at its deadline as Lambda would: the answer's time tells.
#[tokio::test]
async fn answers_before_the_deadline_with_all_that_is_unfinished() {
    let world = start(&[("MAX_IN_FLIGHT", "2")]).await;
    world.invoke(&batch(&["warm"])).await;
    world.tencent.always(Some(Reply::Late(Duration::from_secs(20))));
    let left = Duration::from_millis(900);
    let ended = tokio::time::timeout(left, world.function.invoke(&batch(&["a", "b", "c", "d"]), left)).await;
    let Ok(Ok(Ended::Response(answer))) = ended else { panic!("Lambda would have ended it: {ended:?}") };
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((answer["batchItemFailures"].as_array().unwrap().len(), world.tencent.accounts().len()), (4, 1));
}

#[tokio::test]
async fn reads_the_key_before_it_is_invoked() {
    let world = start(&[]).await;
    let answer = world.invoke_sample("not-a-signup").await;
    assert_eq!((answer.as_str(), world.cloud.reads()), (r#"{"outcome":"ignored"}"#, 1));
}

#[tokio::test]
async fn parks_on_a_fifo_queue_within_the_group() {
    let world = start(&[("PARKING_QUEUE_URL", &format!("{PARKING}.fifo"))]).await;
    world.tencent.script("jean-bartik", [Reply::Code(70402)]);
    let answer = world.invoke_sample("sqs-fifo").await;
    let sent: Vec<_> = world.cloud.sent().into_iter().map(|sent| (sent.group, sent.delay)).collect();
    // What is parked is out of the way: the rest of the group goes on.
    assert_eq!(
        (answer, sent, world.tencent.accounts().len()),
        (NOTHING_FAILED.to_owned(), vec![(Some("eniac".to_owned()), None)], 2)
    );
}

#[tokio::test]
async fn delays_on_the_queue_that_delivered() {
    let elsewhere = start(&[("QUEUE_URL", "https://sqs.eu-central-1.amazonaws.com/1/others")]).await;
    let local = start(&[("QUEUE_URL", "http://localhost:4566/000000000000/signups")]).await;
    let mut urls = Vec::new();
    for world in [&elsewhere, &local] {
        world.tencent.script("ada", [Reply::Code(70500)]);
        world.invoke(&batch(&["ada"])).await;
        urls.extend(world.cloud.delayed().into_iter().map(|delayed| delayed.queue_url));
    }
    assert_eq!(urls, [QUEUE, "http://localhost:4566/000000000000/signups"]);
}

#[tokio::test]
async fn takes_a_body_that_a_pipe_has_opened_and_lets_an_odd_record_sink_no_other() {
    let world = start(&[]).await;
    let mut opened = record("m1", &Value::Null);
    opened["body"] = json!({"userId": "ada"});
    let mut odd = record("m2", &Value::Null);
    odd["body"] = json!(7);
    odd["attributes"] = json!(["odd"]);
    odd["messageAttributes"] = json!({"a": {"stringListValues": null}});
    let answer = world.invoke(&json!([opened, odd]).to_string()).await;
    assert_eq!(
        (answer, world.lines()),
        (NOTHING_FAILED.to_owned(), vec!["m1 INFO imported -".to_owned(), "m2 ERROR rejected malformed".to_owned()])
    );
}

#[tokio::test]
async fn rotation_while_running_needs_no_redeploy() {
    let world = start(&[]).await;
    world.invoke(&batch(&["before"])).await;
    let key = "1".repeat(64);
    world.tencent.set_key(&key);
    world.cloud.set_secret(&App { key, ..App::default() }.secret());
    let answer = world.invoke(&batch(&["a", "b", "c"])).await;
    assert_eq!((answer, world.tencent.accounts().len()), (NOTHING_FAILED.to_owned(), 4));
}

#[tokio::test]
async fn starts_without_a_key_and_loses_nothing() {
    let world = start(&[]).await;
    world.cloud.fail("GetSecretValue", Some(Fault::Error(400, "AccessDeniedException")));
    let function = World {
        function: Function::start(
            BINARY,
            &[
                ("CHAT_ENDPOINT", world.tencent.url().as_str()),
                ("CHAT_SECRET_ID", "key"),
                ("AWS_ENDPOINT_URL", world.cloud.url().as_str()),
            ],
        )
        .await
        .unwrap(),
        ..world
    };
    let answer = function.invoke(&batch(&["a", "b"])).await;
    assert_eq!(
        (answer, function.lines()),
        (
            failures(&["a", "b"]),
            // Every message fails alike: one error is enough.
            vec!["a ERROR blocked secret_refused".to_owned(), "b WARN blocked secret_refused".to_owned()]
        )
    );
}

#[tokio::test]
async fn calls_over_tls_with_the_certificates_of_the_system() {
    let (tls, certificate) = serve::tls().unwrap();
    let tencent = Tencent::start_on(0, Some(tls), App::default()).await.unwrap();
    let (url, trusted) = (tencent.url(), certificate.to_string_lossy());
    let trusting = start(&[("CHAT_ENDPOINT", &url), ("SSL_CERT_FILE", &trusted)]).await;
    let distrusting = start(&[("CHAT_ENDPOINT", &url)]).await;
    let answers = [trusting.invoke(&batch(&["ada"])).await, distrusting.invoke(&batch(&["grace"])).await];
    let distrusted = distrusting.lines();
    assert_eq!(
        (answers, distrusted, tencent.accounts().len()),
        ([NOTHING_FAILED.to_owned(), failures(&["grace"])], vec!["grace WARN deferred no_connection".to_owned()], 1)
    );
}

#[tokio::test]
async fn stops_at_wrong_settings_and_names_them_all() {
    let settings = [("CHAT_REGION", "mars"), ("PARKING_QUEUE_URL", "parking")];
    let mut function = Function::start(BINARY, &settings).await.unwrap();
    let code = function.ended().await.unwrap();
    let line: Value = serde_json::from_str(function.output().trim()).unwrap();
    assert_eq!(
        (code, line["level"].as_str(), line["message"].as_str()),
        (
            Some(1),
            Some("ERROR"),
            Some(
                "CHAT_REGION is \"mars\": must be one of china, singapore, seoul, tokyo, frankfurt, mumbai, \
                 silicon-valley, jakarta\n\
                 CHAT_SECRET_ID is not set: must be the name or ARN of a secret\n\
                 PARKING_QUEUE_URL is \"parking\": must be the URL of an SQS queue, not its name or ARN"
            )
        )
    );
}

#[tokio::test]
async fn says_of_a_failure_what_it_means_and_what_to_do() {
    let world = start(&[]).await;
    world.tencent.script("ada", [Reply::Code(70398)]);
    world.invoke(&batch(&["ada"])).await;
    let output = world.function.output();
    let line = output.lines().find(|line| line.contains("message_id")).unwrap();
    let mut line: Value = serde_json::from_str(line).unwrap();
    for changing in ["timestamp", "latency_ms"] {
        assert!(line.as_object_mut().unwrap().remove(changing).is_some(), "{changing} is missing");
    }
    assert_eq!(
        line,
        json!({
            "level": "ERROR",
            "message": "rejected",
            "message_id": "ada",
            "user": "fdee430d40bd",
            "receives": 2,
            "code": "70398",
            "meaning": "account limit reached: more than 100 accounts need a paid plan",
            "advice": "upgrade the app's plan, then redrive the parking queue",
            "tencent_request_id": "Stand-In-1",
            "span": {"name": "Lambda runtime invoke", "requestId": "00000000-0000-0000-0000-000000000001"},
        })
    );
}

#[tokio::test]
async fn sums_up_every_invocation_in_a_line_and_in_metrics() {
    let world = start(&[("AWS_LAMBDA_LOG_LEVEL", "WARN")]).await;
    world.invoke(&batch(&["a", "b"])).await;
    world.invoke(&batch(&["c"])).await;
    let lines: Vec<Value> = world.function.output().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let counts: Vec<(u64, u64)> =
        lines.iter().filter_map(|line| Some((line["Imported"].as_u64()?, line["ColdStart"].as_u64()?))).collect();
    let latencies: usize = lines.iter().filter_map(|line| Some(line["CallLatency"].as_array()?.len())).sum();
    // At WARN no line of the log is left, and all metrics are.
    assert_eq!((counts, latencies, lines.len()), (vec![(2, 1), (1, 0)], 3, 4));
}

/// In both formats, at the finest level, over every sample event, with answers of all kinds and events of none.
#[tokio::test]
async fn writes_nothing_secret_or_personal_at_the_finest_level() {
    for format in ["JSON", "Text"] {
        let settings = [("AWS_LAMBDA_LOG_LEVEL", "TRACE"), ("RUST_LOG", "trace"), ("AWS_LAMBDA_LOG_FORMAT", format)];
        let world = start(&settings).await;
        world.tencent.set_quota(3);
        world.tencent.script("ada-lovelace", [Reply::Echo, Reply::Code(70001), Reply::Status(502), Reply::Cut(0)]);
        world.tencent.script("grace-hopper", [Reply::Garbage, Reply::Garbage, Reply::Late(Duration::from_secs(7))]);
        let mut personal = vec![SAMPLE_KEY.to_owned(), "usersig".to_owned(), "eJw".to_owned(), "eNo".to_owned()];
        for _ in 0..3 {
            for name in samples() {
                let text = file(&format!("events/{name}.json"));
                world.invoke(&text).await;
                collect(&serde_json::from_str(&text).unwrap(), &mut personal);
            }
        }
        for text in [
            r#"{"userId":"ada-lovelace","nickname":"#,
            r#"["ada-lovelace"]"#,
            r#""ada-lovelace""#,
            r#"{"Records":["ada-lovelace"]}"#,
            r#"{"Records":"ada-lovelace"}"#,
            r#"{"id":"ada-lovelace","detail-type":1,"detail":{"userId":["ada-lovelace"]}}"#,
        ] {
            world.invoke(text).await;
        }
        let output = world.function.finish().await.unwrap();
        let told: Vec<&String> = personal.iter().filter(|secret| output.contains(*secret)).collect();
        assert_eq!((told, personal.len() > 40), (Vec::<&String>::new(), true), "{output}");
        assert_eq!(output.matches("invocation done").count(), 3 * samples().len() + 5, "{output}");
    }
}

/// What a document may say of a person, and the texts that hold documents.
const PERSONAL: &[&str] = &[
    "Message",
    "alternateId",
    "avatarUrl",
    "avatar_url",
    "body",
    "client_ip",
    "displayName",
    "email",
    "email_address",
    "first",
    "first_name",
    "full_name",
    "given_name",
    "id",
    "image_url",
    "ip",
    "last",
    "last_name",
    "name",
    "nickname",
    "photoURL",
    "picture",
    "sub",
    "uid",
    "userId",
    "userName",
    "user_id",
    "user_name",
];

/// Gathers whatever is personal in a document, and in the documents within its strings.
fn collect(value: &Value, personal: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                // A bus event's own ID is in the log.
                let is_event_id = name == "id" && fields.contains_key("detail-type");
                if let (Some(text), true) = (value.as_str(), PERSONAL.contains(&name.as_str()) && !is_event_id) {
                    personal.push(text.to_owned());
                    personal.push(serde_json::to_string(text).unwrap());
                    let _ = serde_json::from_str(text).map(|inner| collect(&inner, personal));
                }
                collect(value, personal);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, personal)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

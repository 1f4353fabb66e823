//! What it answers, what it imports, and what it puts back.

use std::{collections::BTreeMap, time::Duration};

use local::{
    cloud::{Delayed, Fault},
    file,
    function::Ended,
    samples::SENDERS,
    stand_ins::QUEUE,
    tencent::Reply,
};
use serde_json::{Value, json};

use crate::{NOTHING_FAILED, batch, failures, record, samples, start};

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
async fn imports_a_fifo_group_in_order() {
    let world = start(&[]).await;
    world.tencent.script("jean-bartik", [Reply::Late(Duration::from_millis(100))]);
    world.invoke_sample("sqs-fifo").await;
    let order: Vec<String> = world.tencent.calls().into_iter().map(|call| call.user_id).collect();
    let place = |user: &str| order.iter().position(|other| other == user).unwrap();
    assert!(place("jean-bartik") < place("kay-mcnulty"), "{order:?}");
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

/// The stand-in for Lambda does not end an invocation at its deadline as Lambda would: the answer's time tells.
#[tokio::test]
async fn answers_before_the_deadline_with_all_that_is_unfinished() {
    let world = start(&[("MAX_IN_FLIGHT", "2")]).await;
    world.invoke(&batch(&["warm"])).await;
    world.tencent.always(Some(Reply::Late(Duration::from_secs(20))));
    world.tencent.script("done", [Reply::Late(Duration::ZERO)]);
    let left = Duration::from_millis(900);
    let ended = tokio::time::timeout(left, world.function.invoke(&batch(&["done", "a", "b", "c"]), left)).await;
    let Ok(Ok(Ended::Response(answer))) = ended else { panic!("Lambda would have ended it: {ended:?}") };
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let unfinished = answer["batchItemFailures"].as_array().unwrap().iter();
    let mut unfinished: Vec<_> = unfinished.map(|item| item["itemIdentifier"].as_str().unwrap()).collect();
    unfinished.sort_unstable();
    let imported: Vec<String> = world.tencent.accounts().into_keys().collect();
    assert_eq!((unfinished, imported), (vec!["a", "b", "c"], vec!["done".to_owned(), "warm".to_owned()]));
}

/// What a slow queue keeps from its end is unfinished; what is done is not.
#[tokio::test]
async fn answers_before_the_deadline_with_what_is_still_being_parked() {
    let world = start(&[]).await;
    world.invoke(&batch(&["warm"])).await;
    world.tencent.refuse("refused", 70402);
    world.cloud.set_latency(Duration::from_secs(20));
    let left = Duration::from_millis(1200);
    let ended = tokio::time::timeout(left, world.function.invoke(&batch(&["done", "refused"]), left)).await;
    let Ok(Ok(Ended::Response(answer))) = ended else { panic!("Lambda would have ended it: {ended:?}") };
    let imported: Vec<String> = world.tencent.accounts().into_keys().collect();
    assert_eq!((answer, imported), (failures(&["refused"]), vec!["done".to_owned(), "warm".to_owned()]));
}

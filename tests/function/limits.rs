//! Which calls it does not make: those over a limit, and those that would be in vain.

use std::time::Duration;

use local::tencent::Reply;
use serde_json::{Value, json};

use crate::{NOTHING_FAILED, batch, failures, record, start};

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

/// Twenty calls a second; after a refusal ten, of which each answer takes back 4 % at the most: 476 ms for five gaps. A
/// call is never early, and with one at a time none is made before the refusal is known, so that is a sound bound.
#[tokio::test]
async fn keeps_calls_apart_and_further_apart_after_a_refused_rate() {
    let world = start(&[("CHAT_RATE_LIMIT", "21"), ("MAX_IN_FLIGHT", "1")]).await;
    world.tencent.script("a", [Reply::Code(60007)]);
    world.invoke(&batch(&["a", "b", "c", "d", "e", "f"])).await;
    let calls = world.tencent.calls();
    let took = calls.last().unwrap().at - calls[0].at;
    assert!(calls.len() == 6 && took >= Duration::from_millis(476), "{} calls in {took:?}", calls.len());
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

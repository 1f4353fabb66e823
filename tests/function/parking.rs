//! What is parked, how, and what becomes of it where it cannot be.

use local::{
    cloud::{Fault, Sent},
    file,
    stand_ins::PARKING,
    tencent::Reply,
};
use serde_json::{Value, json};

use crate::{NOTHING_FAILED, batch, failures, old_record, record, start};

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

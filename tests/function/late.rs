//! What becomes of a message that comes late: an account that is there is left alone.

use local::tencent::Reply;
use serde_json::json;

use crate::{NOTHING_FAILED, old_record, start};

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
    // With many places, the first check is made a fifth of a second after the start: all have asked by then.
    let world = start(&[("MAX_IN_FLIGHT", "200"), ("MAX_CONCURRENCY", "16")]).await;
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

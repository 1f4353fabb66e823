//! What it writes: what a person needs, and nothing secret or personal.

use std::time::Duration;

use local::{
    samples::SENDERS,
    stand_ins::sample,
    tencent::{Reply, SAMPLE_KEY},
};
use serde_json::{Value, json};

use crate::{batch, record, samples, start};

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
async fn writes_a_failure_at_once_and_not_when_the_invocation_ends() {
    let world = start(&[]).await;
    world.tencent.script("late", [Reply::Late(Duration::from_secs(2))]);
    world.tencent.script("refused", [Reply::Code(70398)]);
    let event = batch(&["late", "refused"]);
    let written = async {
        while world.lines().is_empty() {
            tokio::task::yield_now().await;
        }
        world.lines()
    };
    let (written, _) = tokio::join!(written, world.invoke(&event));
    assert_eq!(
        (written, world.lines()),
        (
            vec!["refused ERROR rejected 70398".to_owned()],
            vec!["late INFO imported -".to_owned(), "refused ERROR rejected 70398".to_owned()]
        )
    );
}

#[tokio::test]
async fn writes_json_whatever_stands_in_an_id() {
    let world = start(&[]).await;
    let id = "\"\\ \n\u{1} \u{2028} é";
    world.invoke(&json!([record(id, &json!({"userId": "ada"}))]).to_string()).await;
    assert_eq!(world.lines(), vec![format!("{id} INFO imported -")]);
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
                let text = sample(&name);
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

//! The rules, without a network: settings, events, sign-ups, codes, delays, signatures and metrics.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::{Duration, UNIX_EPOCH};

use chat_signup_import::{
    breaker::Held,
    chat::{Failure, Refusal},
    config::{self, Config},
    event::{Invocation, Message},
    import::Attempt,
    metrics::Tally,
    outcome::{
        Outcome, Trouble,
        codes::{self, Fate, Retry},
    },
    usersig,
};
use local::tencent::{SAMPLE_KEY, signature};
use secrecy::ExposeSecret;
use serde_json::{Value, json, value::RawValue};

fn settings(settings: &[(&str, &str)]) -> Result<Config, String> {
    let lookup = |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Config::from_lookup(lookup).map_err(|error| error.to_string())
}

#[test]
fn tells_all_wrong_settings_at_once() {
    let error = settings(&[
        ("CHAT_ENDPOINT", "http://example.com"),
        ("QUEUE_URL", "signups"),
        ("REQUEST_TIMEOUT_MS", "5s"),
        ("MAX_IN_FLIGHT", "0"),
    ]);
    assert_eq!(
        error.unwrap_err(),
        "CHAT_ENDPOINT is \"http://example.com\": must begin with https:// (http:// only to a loopback address)\n\
         CHAT_SECRET_ID is not set: must be the name or ARN of a secret\n\
         QUEUE_URL is \"signups\": must be the URL of an SQS queue, not its name or ARN\n\
         REQUEST_TIMEOUT_MS is \"5s\": must be a whole number from 100 to 60000\n\
         MAX_IN_FLIGHT is \"0\": must be a whole number from 1 to 200"
    );
}

#[test]
fn shows_nothing_secret_of_a_wrong_endpoint() {
    let wrong = [
        "https://user:secret@example.com",
        "https://:secret@example.com",
        "https://user:sec?ret@example.com/secret",
        "https://example.com/v4?usersig=secret",
        "http://example.com/#secret",
    ]
    .map(|endpoint| settings(&[("CHAT_ENDPOINT", endpoint), ("CHAT_SECRET_ID", "key")]).unwrap_err());
    assert!(wrong.iter().all(|error| !error.contains("secret")), "{wrong:?}");
}

#[test]
fn refuses_to_park_where_messages_are_delivered_from() {
    let queue = "https://sqs.eu-central-1.amazonaws.com/000000000000/signups";
    let error = settings(&[
        ("CHAT_REGION", "tokyo"),
        ("CHAT_SECRET_ID", "key"),
        ("QUEUE_URL", queue),
        ("PARKING_QUEUE_URL", queue),
    ]);
    assert_eq!(error.unwrap_err(), format!("PARKING_QUEUE_URL is {queue:?}: must be another queue than QUEUE_URL"));
}

#[test]
fn knows_every_region() {
    let hosts = ["china", "singapore", "seoul", "tokyo", "frankfurt", "mumbai", "silicon-valley", "jakarta"]
        .map(|region| settings(&[("CHAT_REGION", region), ("CHAT_SECRET_ID", "key")]).unwrap().endpoint.to_string());
    assert_eq!(
        hosts,
        [
            "https://console.tim.qq.com/",
            "https://adminapisgp.im.qcloud.com/",
            "https://adminapikr.im.qcloud.com/",
            "https://adminapijpn.im.qcloud.com/",
            "https://adminapiger.im.qcloud.com/",
            "https://adminapiind.im.qcloud.com/",
            "https://adminapiusa.im.qcloud.com/",
            "https://adminapiidn.im.qcloud.com/",
        ]
    );
}

#[test]
fn admits_plain_http_to_loopback_only() {
    let admitted = |endpoint| settings(&[("CHAT_ENDPOINT", endpoint), ("CHAT_SECRET_ID", "key")]).is_ok();
    assert_eq!(
        [
            "https://example.com",
            "http://127.0.0.1:8080",
            "http://localhost:1",
            "http://[::1]:1",
            "http://10.0.0.1",
            "http://127.0.0.1.example.com",
            "https://user@example.com",
            "https://example.com/v4",
            "ftp://127.0.0.1",
            "example.com",
        ]
        .map(admitted),
        [true, true, true, true, false, false, false, false, false, false]
    );
}

#[test]
fn takes_an_empty_setting_for_an_absent_one_and_trims_the_others() {
    let config = [("CHAT_REGION", "tokyo"), ("CHAT_SECRET_ID", "key"), ("CHAT_ENDPOINT", ""), ("QUEUE_URL", " ")];
    let config = settings(&config).unwrap();
    assert_eq!((config.queue_url, config.request_timeout, config.max_in_flight), (None, Duration::from_secs(5), 40));
}

/// Takes an event apart and gives each message as `id receives group body`, or the error.
fn messages(event: &Value) -> Result<(&'static str, Vec<String>), String> {
    let event = RawValue::from_string(event.to_string()).unwrap();
    let show = |m: &Message| format!("{} {} {} {}", m.id, m.receives, m.group.as_deref().unwrap_or("-"), m.body);
    match Invocation::parse(&event, "request-1").map_err(|error| error.to_string())? {
        Invocation::Batch(messages) => Ok(("batch", messages.iter().map(show).collect())),
        Invocation::Event(message) => Ok(("event", vec![show(&message)])),
    }
}

fn record(id: &str, arn: &str) -> Value {
    json!({
        "messageId": id, "receiptHandle": "r", "body": "{}", "eventSource": "aws:sqs", "eventSourceARN": arn,
        "attributes": {"ApproximateReceiveCount": "3", "MessageGroupId": "g"}
    })
}

#[test]
fn takes_the_four_kinds_of_invocation() {
    let standard = record("m1", "arn:aws:sqs:eu-central-1:1:signups");
    let fifo = record("m1", "arn:aws:sqs:eu-central-1:1:signups.fifo");
    assert_eq!(
        [
            messages(&json!({"Records": [standard]})),
            messages(&json!([fifo])),
            messages(&json!({"id": "e1", "detail-type": "UserSignedUp", "detail": {"userId": "a"}})),
            messages(&json!({"userId": "a", "id": "a"})),
            messages(&json!({"Records": []})),
        ],
        [
            // A group on a standard queue asks for fairness, not for order.
            Ok(("batch", vec!["m1 3 - {}".to_owned()])),
            Ok(("batch", vec!["m1 3 g {}".to_owned()])),
            Ok((
                "event",
                vec![r#"e1 1 - {"detail":{"userId":"a"},"detail-type":"UserSignedUp","id":"e1"}"#.to_owned()]
            )),
            Ok(("event", vec![r#"request-1 1 - {"id":"a","userId":"a"}"#.to_owned()])),
            Ok(("batch", vec![])),
        ]
    );
}

#[test]
fn never_makes_an_empty_id_of_a_missing_one() {
    let mut nameless = record("", "arn");
    let empty = messages(&json!({"Records": [record("m1", "arn"), nameless.clone()]}));
    nameless["messageId"] = Value::Null;
    let absent = messages(&json!([nameless]));
    let none = messages(&json!({"Records": [record("m1", "arn"), ["m2"]]}));
    let no_id = |index| Err(format!("record {index} of the batch has no messageId: must be that of an SQS message"));
    assert_eq!([empty, absent, none], [1, 0, 1].map(no_id));
}

#[test]
fn keeps_a_record_that_cannot_be_read_apart() {
    let odd = |body: &str| format!(r#"{{"messageId":"odd","receiptHandle":"r","body":{body}}}"#);
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let kept = [deep.as_str(), r#""\ud800""#, "1e999"].map(|body| {
        let event = RawValue::from_string(format!("[{},{}]", odd(body), record("m1", "arn"))).unwrap();
        let Ok(Invocation::Batch(messages)) = Invocation::parse(&event, "request-1") else { panic!("{body}") };
        (messages.len(), messages[0].body == body, read(&messages[0].body).is_err())
    });
    assert_eq!(kept, [(2, true, true); 3]);
}

#[test]
fn takes_the_last_of_a_field_that_stands_twice() {
    let event = r#"[{"messageId":"m1","body":"1","messageId":"m2","body":"{\"userId\":\"ada\"}"}]"#;
    let event = RawValue::from_string(event.to_owned()).unwrap();
    let Ok(Invocation::Batch(messages)) = Invocation::parse(&event, "request-1") else { panic!("{event}") };
    let envelope = r#"{"detail-type":"UserSignedUp","detail":{"userId":"bob"},"detail":{"userId":"ada"}}"#;
    let user = |body: &str| read(body).map(|(user, _, _)| user);
    assert_eq!((messages[0].id.as_str(), user(&messages[0].body)), ("m2", Ok("ada".to_owned())));
    assert_eq!(user(envelope), Ok("ada".to_owned()));
}

#[test]
fn takes_a_record_that_stands_twice_once() {
    let (_, messages) = messages(&json!([record("m1", "arn"), record("m1", "arn"), record("m2", "arn")])).unwrap();
    assert_eq!(messages, ["m1 3 - {}", "m2 3 - {}"]);
}

/// Reads the one sign-up in a body: the user ID, nickname and picture, or the text of the rejection.
fn read(body: &str) -> Result<(String, Option<String>, Option<String>), String> {
    let signup = config::rules(|_| None).unwrap().read(body).pop().unwrap();
    signup.map(|s| (s.user_id.reveal().to_owned(), s.nickname, s.avatar_url)).map_err(|error| error.0)
}

fn sns(message: &Value) -> Value {
    json!({"Type": "Notification", "MessageId": "n", "TopicArn": "arn", "Message": message.to_string()})
}

fn bus(detail: &Value) -> Value {
    json!({"version": "0", "id": "e", "detail-type": "UserSignedUp", "source": "app", "detail": detail})
}

#[test]
fn opens_envelopes_in_any_order_up_to_four() {
    let signup = json!({"userId": "ada"});
    let wrapped = |times| (0..times).fold(signup.clone(), |inner, _| sns(&inner)).to_string();
    let user = |body: &str| read(body).map(|(user, _, _)| user);
    assert_eq!(
        [
            user(&bus(&signup).to_string()),
            user(&sns(&signup).to_string()),
            user(&sns(&bus(&signup)).to_string()),
            user(&bus(&sns(&signup)).to_string()),
            user(&wrapped(4)),
            user(&wrapped(5)),
        ],
        [
            Ok("ada".to_owned()),
            Ok("ada".to_owned()),
            Ok("ada".to_owned()),
            Ok("ada".to_owned()),
            Ok("ada".to_owned()),
            Err("the body must have at most 4 envelopes around the sign-up".to_owned()),
        ]
    );
}

#[test]
fn says_which_rule_a_body_breaks() {
    let texts = [
        "",
        "not JSON",
        "null",
        "[1]",
        "7",
        "\"ada\"",
        "{}",
        r#"{"userId":null}"#,
        r#"{"userId":7}"#,
        r#"{"userId":""}"#,
        r#"{"userId":"123456789012345678901234567890123"}"#,
        r#"{"userId":"用户用户用户用户用户用"}"#,
        r#"{"userId":"用户"}"#,
        "{\"userId\":\"a\\u0000b\"}",
        &format!("{}{}", "[".repeat(200), "]".repeat(200)),
        &format!("{{\"userId\":{}", "{\"a\":".repeat(200)),
        r#"{"detail-type":"x","detail":"text"}"#,
        r#"{"Type":"Notification","Message":"text"}"#,
    ]
    .map(|body| read(body).unwrap_err());
    assert_eq!(
        texts.each_ref().map(String::as_str),
        [
            "the body must be JSON: EOF while parsing a value at line 1 column 0",
            "the body must be JSON: expected ident at line 1 column 2",
            "the body must be a JSON object, not null",
            "the body must be a JSON object, not an array",
            "the body must be a JSON object, not a number",
            "the body must be a JSON object, not a string",
            "/userId is missing: must be a string of 1 to 32 bytes",
            "/userId is missing: must be a string of 1 to 32 bytes",
            "/userId is a number: must be a string",
            "/userId is missing: must be a string of 1 to 32 bytes",
            "/userId has 33 bytes: must have at most 32, unless USER_ID_RULE is uuid or sha256",
            "/userId has 33 bytes: must have at most 32, unless USER_ID_RULE is uuid or sha256",
            "/userId has a character outside printable ASCII: must have none, unless USER_ID_RULE is sha256",
            "/userId has a character outside printable ASCII: must have none, unless USER_ID_RULE is sha256",
            "the body must be JSON: recursion limit exceeded at line 1 column 128",
            "the body must be JSON: recursion limit exceeded at line 1 column 641",
            "the body must be a JSON object, not a string",
            "the body must be JSON: expected ident at line 1 column 2",
        ]
    );
}

#[test]
fn opens_no_text_under_the_key_that_serde_json_keeps_for_raw_json() {
    let bodies = ["\"[\"", "4915112345678"]
        .map(|raw| format!(r#"{{"userId":"ada","x":{{"$serde_json::private::RawValue":{raw}}}}}"#));
    assert_eq!(bodies.each_ref().map(|body| read(body)), [(); 2].map(|()| Ok(("ada".to_owned(), None, None))));
}

#[test]
fn leaves_out_profile_fields_that_are_null_or_empty() {
    let largest = json!({"userId": "u".repeat(32), "nickname": "é".repeat(250), "avatarUrl": null}).to_string();
    assert_eq!(
        [read(&largest), read(r#"{"userId":"ada","nickname":"","avatarUrl":"https://example.com/a.png"}"#)],
        [
            Ok(("u".repeat(32), Some("é".repeat(250)), None)),
            Ok(("ada".to_owned(), None, Some("https://example.com/a.png".to_owned()))),
        ]
    );
}

fn refused(code: i64) -> Failure {
    Failure::Refused(Refusal { code, info: String::new(), request_id: None })
}

/// The whole table of Tencent's codes, written down a second time.
#[test]
fn knows_what_follows_from_every_code() {
    let transient = [
        40006, 60008, 60013, 60014, 70017, 70169, 70201, 70202, 70203, 70205, 70207, 70208, 70212, 70213, 70222, 70225,
        70231, 70308, 70348, 70362, 70401, 70404, 70500,
    ];
    let credential = [
        60025, 70001, 70002, 70003, 70004, 70005, 70006, 70007, 70008, 70009, 70010, 70018, 70019, 70052, 70214, 70221,
        70236, 70346, 70347,
    ];
    let set_up = [
        60002, 60006, 60009, 60010, 60012, 60016, 60017, 60020, 60021, 60026, 60027, 60028, 70013, 70014, 70015, 70016,
        70020, 70051, 70107, 70115, 70140, 70145, 70204, 70209, 70210, 70211, 70403, 72000, 72002, 80005,
    ];
    let permanent = [
        40005, 40601, 40605, 40610, 60003, 60015, 70101, 70102, 70103, 70104, 70105, 70106, 70113, 70114, 70206, 70398,
        70399, 70402, 80001, 80004,
    ];
    let table: [(Fate, &[i64], &str, Option<Retry>); 7] = [
        (Fate::Transient, &transient, "deferred", None),
        (Fate::Rate, &[60007, 60011, 60018, 60019], "deferred", None),
        (Fate::Credential, &credential, "blocked", Some(Retry::NewCredentials)),
        (Fate::CredentialThenTransient, &[60004, 60005], "deferred", Some(Retry::NewCredentials)),
        (Fate::CredentialRate, &[70050], "blocked", None),
        (Fate::SetUp, &set_up, "blocked", None),
        (Fate::Permanent, &permanent, "rejected", None),
    ];
    let is_so = |fate: Fate, code: i64, label: &str, retry: Option<Retry>| {
        let failure = refused(code);
        let meaning = codes::meaning(&failure);
        meaning.fate == fate
            && meaning.text != UNKNOWN
            && codes::retry(&failure) == retry
            && Outcome::of_call(failure).label() == label
    };
    let wrong: Vec<i64> = table
        .iter()
        .flat_map(|(fate, codes, label, retry)| {
            codes.iter().copied().filter(|code| !is_so(*fate, *code, label, *retry))
        })
        .collect();
    assert_eq!(wrong, Vec::<i64>::new());
}

const UNKNOWN: &str = "a code this function does not know";

#[test]
fn answers_for_the_signup_of_a_message_that_is_furthest_from_done() {
    let label = |codes: &[i64]| {
        let failed = codes.iter().map(|code| Outcome::of_call(refused(*code)));
        let outcomes: Vec<Outcome> = failed.chain([Outcome::Imported]).collect();
        Outcome::of_all(outcomes.iter()).label()
    };
    assert_eq!(
        [label(&[]), label(&[70398]), label(&[70500, 70398]), label(&[70398, 60020]), label(&[70402, 70398])],
        ["imported", "rejected", "deferred", "blocked", "rejected"]
    );
}

#[test]
fn tries_a_code_again_that_it_does_not_know() {
    let outcomes = [12345, -1, i64::MAX].map(|code| Outcome::of_call(refused(code)));
    let told = outcomes.each_ref().map(|outcome| (outcome.label(), &*outcome.cause().unwrap().meaning));
    assert_eq!(told, [("deferred", UNKNOWN); 3]);
}

#[test]
fn judges_what_is_no_answer() {
    let label = |failure| Outcome::of_call(failure).label();
    assert_eq!(
        [
            label(Failure::Timeout),
            label(Failure::NoConnection),
            label(Failure::Interrupted),
            label(Failure::Unreadable("x")),
            label(Failure::Status(204)),
            label(Failure::Status(302)),
            label(Failure::Status(404)),
            label(Failure::Status(429)),
            label(Failure::Status(502)),
        ],
        ["deferred", "deferred", "deferred", "deferred", "deferred", "blocked", "blocked", "deferred", "deferred"]
    );
}

#[test]
fn delays_double_with_every_receive_up_to_fourteen_minutes() {
    let span =
        |outcome: &Outcome, receives| [0, u32::MAX].map(|random| outcome.delay(receives, random).unwrap().as_secs());
    let (deferred, blocked) = (Outcome::of_call(refused(70500)), Outcome::of_call(refused(70001)));
    assert_eq!(
        [0, 1, 2, 3, 8, 9, 1000].map(|receives| (span(&deferred, receives), span(&blocked, receives))),
        [
            ([1, 6], [60, 120]),
            ([1, 6], [60, 120]),
            ([1, 11], [60, 180]),
            ([1, 21], [60, 300]),
            ([1, 641], [60, 840]),
            ([1, 840], [60, 840]),
            ([1, 840], [60, 840]),
        ]
    );
}

#[test]
fn signs_as_the_published_vectors_have_it() {
    let claims = |identifier: &str, time, expire| {
        let user_sig = usersig::sign(&SAMPLE_KEY.into(), 1_400_000_000, identifier, time, expire).unwrap();
        signature::read(user_sig.expose_secret()).unwrap()
    };
    assert_eq!(
        [claims("0", 1_569_910_200, 15_552_000), claims("administrator", 1_700_000_000, 86_400)],
        [
            ("0", 1_569_910_200, 15_552_000, "CpjuBdQs9ZwnuGAJR8onoOeI9fweX2vIMMY94iOJWJY="),
            ("administrator", 1_700_000_000, 86_400, "yLAe+w7WUeUuqbV9h/TX78u21oTGi+i9Zp1u3PpnY60="),
        ]
        .map(|(identifier, time, expire, signature)| signature::Claims {
            identifier: identifier.to_owned(),
            sdk_app_id: 1_400_000_000,
            time,
            expire,
            signature: signature.to_owned(),
        })
    );
}

#[test]
fn writes_metrics_that_cloudwatch_reads_at_any_log_level() {
    let mut tally = Tally::default();
    let signup = config::rules(|_| None)
        .unwrap()
        .read(&json!({"userId": "a|b", "nickname": 7}).to_string())
        .pop()
        .unwrap()
        .unwrap();
    let (user, fitted) = (Some(signup.user_id), signup.fitted);
    let latency = Some(Duration::from_millis(12));
    tally.count(&Attempt { user, fitted, outcome: Outcome::Imported, latency });
    let (outcome, latency) = (Outcome::of_call(refused(70398)), Some(Duration::from_millis(34)));
    tally.count(&Attempt { latency, ..Attempt::without_call(outcome) });
    let (outcome, latency) = (Outcome::of_call(refused(60007)), Some(Duration::from_millis(5)));
    tally.count(&Attempt { latency, ..Attempt::without_call(outcome) });
    tally.count(&Attempt::without_call(Outcome::Ignored));
    tally.comes_back(Duration::from_millis(61_999));
    tally.comes_back(Duration::from_secs(9));
    // Of what is the same in every document, nothing may be the first one's alone.
    let mut first = Tally::default();
    let (outcome, latency) = (Outcome::of_call(refused(70402)), Some(Duration::from_secs(1)));
    first.count(&Attempt { latency, ..Attempt::without_call(outcome) });
    first.lines("another", "INFO", UNIX_EPOCH, false);
    let lines = tally.lines("f", "WARN", UNIX_EPOCH + Duration::from_secs(1), true);
    let mut lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = |dimensions: Value, metrics: Value, values: Value| {
        let mut line = json!({
            "timestamp": "1970-01-01T00:00:01Z", "level": "WARN", "FunctionName": "f",
            "_aws": {"Timestamp": 1000, "CloudWatchMetrics": [
                {"Namespace": "ChatSignupImport", "Dimensions": dimensions, "Metrics": metrics}
            ]},
        });
        line.as_object_mut().unwrap().extend(values.as_object().unwrap().clone());
        line
    };
    let counts = json!({
        "Imported": 1, "Present": 0, "Ignored": 1, "Deferred": 1, "Blocked": 0, "Rejected": 1, "Signups": 3,
        "AccountLimit": 1, "Malformed": 0, "Refused": 0, "Expired": 0, "CredentialRefused": 0, "SetUpBlocked": 0,
        "SecretUnreadable": 0, "UnknownCode": 0, "NotParked": 0, "Panicked": 0, "ColdStart": 1, "FittedProfiles": 1,
        "OddUserIds": 1, "OldestUnfinished": 61,
    });
    let metric = |name: &str, unit: &str| json!({"Name": name, "Unit": unit});
    let metrics = &mut lines[0]["_aws"]["CloudWatchMetrics"][0]["Metrics"];
    metrics.as_array_mut().unwrap().sort_by_key(|metric| metric["Name"].as_str().unwrap().to_owned());
    let unit = |name: &str| if name == "OldestUnfinished" { "Seconds" } else { "Count" };
    let names = counts.as_object().unwrap().keys().map(|name| metric(name, unit(name)));
    assert_eq!(
        lines,
        [
            line(json!([["FunctionName"]]), names.collect(), counts.clone()),
            line(
                json!([["FunctionName"]]),
                json!([metric("CallLatency", "Milliseconds"), metric("RateLimited", "Count")]),
                json!({"CallLatency": [12, 34, 5], "RateLimited": [0, 0, 1]})
            ),
            line(
                json!([["FunctionName", "ErrorCode"]]),
                json!([metric("Failures", "Count")]),
                json!({"Failures": 1, "ErrorCode": "60007"})
            ),
            line(
                json!([["FunctionName", "ErrorCode"]]),
                json!([metric("Failures", "Count")]),
                json!({"Failures": 1, "ErrorCode": "70398"})
            ),
        ]
    );
}

/// An alarm for each: what a person has to see to, by the failure.
#[test]
fn tells_what_a_person_has_to_see_to() {
    let of_code = |code| Outcome::of_call(refused(code)).cause().and_then(|cause| cause.trouble);
    let codes = [0, 70500, 60007, 60004, 70003, 70050, 60020, 70398, 70402, 99999].map(of_code);
    let expected = [
        Some(Trouble::UnknownCode),
        None,
        Some(Trouble::RateLimited),
        Some(Trouble::CredentialRefused),
        Some(Trouble::CredentialRefused),
        Some(Trouble::CredentialRefused),
        Some(Trouble::SetUpBlocked),
        Some(Trouble::AccountLimit),
        Some(Trouble::Refused),
        Some(Trouble::UnknownCode),
    ];
    assert_eq!(codes, expected);
    for (name, trouble) in Trouble::COUNTED {
        assert_eq!(name, format!("{trouble:?}"));
    }
    let of_status = |status| Outcome::of_call(Failure::Status(status)).cause().and_then(|cause| cause.trouble);
    assert_eq!([429, 502, 404].map(of_status), [Some(Trouble::RateLimited), None, Some(Trouble::SetUpBlocked)]);
    let rejected = Outcome::of_call(refused(70398));
    let cause = rejected.cause().unwrap();
    let others = [
        Outcome::of_call(refused(70500)).expired(Duration::ZERO, false),
        Outcome::not_parked(cause, "denied"),
        Outcome::held(cause),
        Outcome::held_off(Held::Silent),
        Outcome::held_off(Held::Open),
        Outcome::panicked(),
        Outcome::paced(),
    ];
    let others = others.map(|outcome| outcome.cause().and_then(|cause| cause.trouble));
    let expected = [
        Some(Trouble::Expired),
        Some(Trouble::NotParked),
        None,
        Some(Trouble::CredentialRefused),
        None,
        Some(Trouble::Panicked),
        None,
    ];
    assert_eq!(others, expected);
}

//! Sign-ups as they really come: every sender's document, user IDs that do not fit, names that are too long.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    io::Write,
    process::{Command, Stdio},
};

use chat_signup_import::{
    config,
    format::Format,
    signup::{Rules, Signup},
};
use local::{
    file,
    languages::Languages,
    samples::{SENDERS, Sample},
    top,
};
use serde_json::{Value, json};

/// The rules that these settings make, or all that is wrong with them.
fn rules(settings: &[(&str, &str)]) -> Result<Rules, String> {
    let lookup = |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    config::rules(lookup).map_err(|error| error.to_string())
}

/// What the sign-ups in a body come to, each by `show`, or the text of its rejection.
fn read<T>(settings: &[(&str, &str)], body: &Value, show: impl Fn(Signup) -> T) -> Vec<Result<T, String>> {
    let signups = rules(settings).unwrap().read(&body.to_string()).into_iter();
    signups.map(|signup| signup.map(&show).map_err(|error| error.0)).collect()
}

/// The user IDs that a body comes to.
fn ids(settings: &[(&str, &str)], body: &Value) -> Vec<Result<String, String>> {
    read(settings, body, |signup| signup.user_id.reveal().to_owned())
}

/// The user ID that an ID comes to by a rule.
fn id(rule: &str, id: &str) -> Result<String, String> {
    ids(&[("USER_ID_RULE", rule)], &json!({ "userId": id })).pop().unwrap()
}

fn document(sample: &Sample) -> Value {
    serde_json::from_str(&file(&format!("events/{}.json", sample.name))).unwrap()
}

/// The one place of this kind in a document where a sender's format looks for what tells a sign-up.
fn at<'a>(document: &'a mut Value, name: &str) -> &'a mut Value {
    let path = match name {
        "auth0" => "/detail/type",
        "auth0-logs" => "/detail/data/type",
        "okta" => "/detail/eventType",
        "okta-hook" => "/data/events",
        "workos" | "custom" => "/event",
        "cognito" => "/triggerSource",
        _ => "/type",
    };
    document.pointer_mut(path).unwrap()
}

#[test]
fn reads_the_document_of_every_sender() {
    let show = |signup: Signup| (signup.user_id.reveal().to_owned(), signup.nickname.unwrap_or_default());
    let read = SENDERS.map(|sample| read(sample.settings, &document(&sample), show));
    let accounts = |sample: Sample| {
        let of = |(id, nick): &(&str, &str)| Ok(((*id).to_owned(), (*nick).to_owned()));
        sample.accounts.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(read, SENDERS.map(accounts));
}

#[test]
fn takes_the_picture_where_a_sender_has_one() {
    let pictures: Vec<_> = SENDERS
        .iter()
        .flat_map(|sample| read(sample.settings, &document(sample), |signup| signup.avatar_url))
        .filter_map(|picture| picture.unwrap())
        .collect();
    let names = ["annie", "mary-keller", "lynn", "shafi", "frances"];
    assert_eq!(pictures, names.map(|name| format!("https://example.com/pictures/{name}.png")));
}

#[test]
fn ignores_what_a_sender_tells_of_other_things() {
    let read = SENDERS.map(|sample| {
        let mut document = document(&sample);
        *at(&mut document, sample.name) = if sample.name == "okta-hook" { json!([]) } else { json!("another") };
        (sample.name, ids(sample.settings, &document))
    });
    assert_eq!(read, SENDERS.map(|sample| (sample.name, vec![])));
}

/// Whoever names the wrong sender must hear of it, and lose nothing.
#[test]
fn rejects_a_document_that_does_not_say_what_it_is() {
    let stranger = json!({"hello": "world"});
    let read: Vec<Vec<_>> = SENDERS.iter().map(|sample| ids(sample.settings, &stranger)).collect();
    let told = [
        "/type is missing: must tell whether it is a sign-up",
        "/data/type is missing: must tell whether it is a sign-up",
        "/eventType is missing: must tell whether it is a sign-up",
        "/eventType is missing: must tell whether it is a sign-up",
        "/type is missing: must tell whether it is a sign-up",
        "/event is missing: must tell whether it is a sign-up",
        "/type is missing: must tell whether it is a sign-up",
        "/triggerSource is missing: must tell whether it is a sign-up",
        "/type or /eventType or /context/eventType is missing: must tell whether it is a sign-up",
        "/type is missing: must tell whether it is a sign-up",
        "/event is missing: must tell whether it is a sign-up",
    ];
    assert_eq!(read, told.map(|text| vec![Err(text.to_owned())]));
}

#[test]
fn imports_the_good_users_of_a_message_with_a_bad_one() {
    let hook = SENDERS.iter().find(|sample| sample.name == "okta-hook").unwrap();
    let mut document = document(hook);
    let events = document.pointer_mut("/data/events").unwrap().as_array_mut().unwrap();
    events[0]["target"][0]["id"] = json!(7);
    events.push(json!({"eventType": "user.lifecycle.create", "outcome": {"result": "SUCCESS"}, "target": []}));
    events.push(json!({"eventType": "user.lifecycle.create", "outcome": {"result": "FAILURE"}}));
    events.push(json!("no event"));
    assert_eq!(
        ids(hook.settings, &document),
        [
            Err("/id is a number: must be a string".to_owned()),
            Ok("00uz9fj5aT69fHVro1d9".to_owned()),
            Err("/target has no user in it: must have one".to_owned()),
            Err("/eventType is missing: must tell whether it is a sign-up".to_owned()),
        ]
    );
}

#[test]
fn takes_at_most_a_hundred_users_of_one_message() {
    let settings =
        [("SIGNUP_FORMAT", "custom"), ("SIGNUP_CUSTOM_FORMAT", r#"{"users":[{"in":["/users"]}],"userId":["/id"]}"#)];
    let of = |count: usize| json!({"users": (0..count).map(|id| json!({"id": id.to_string()})).collect::<Vec<_>>()});
    assert_eq!(
        (ids(&settings, &of(100)).len(), ids(&settings, &of(101)), ids(&settings, &of(0))),
        (100, vec![Err("there are 101 users in it: must be at most 100".to_owned())], vec![])
    );
}

#[test]
fn takes_the_first_place_with_something_in_it() {
    let format = r#"{"userId":["/a","/b"],"nickname":["/n","/first /last","/m n"],"avatarUrl":["/p","/q"]}"#;
    let settings = [("SIGNUP_FORMAT", "custom"), ("SIGNUP_CUSTOM_FORMAT", format)];
    let read = |body: Value| {
        let show =
            |s: Signup| [Some(s.user_id.reveal().to_owned()), s.nickname, s.avatar_url].map(Option::unwrap_or_default);
        read(&settings, &body, show)
    };
    let of = |texts: [&str; 3]| vec![Ok(texts.map(str::to_owned))];
    assert_eq!(
        [
            read(json!({"a": "1", "b": "2", "n": "N", "first": "F", "p": "P", "q": "Q"})),
            read(json!({"a": null, "b": "2", "first": "F", "last": "L", "p": "", "q": "Q"})),
            read(json!({"a": "", "b": "2", "last": "L", "m n": "M"})),
            read(json!({"a": "1", "m n": "M"})),
        ],
        [of(["1", "N", "P"]), of(["2", "F L", "Q"]), of(["2", "L", ""]), of(["1", "M", ""])]
    );
}

#[test]
fn takes_a_whole_number_for_an_id_where_the_format_says_so() {
    let format = r#"{"userId":["/id"],"integerIds":true}"#;
    let settings = [("SIGNUP_FORMAT", "custom"), ("SIGNUP_CUSTOM_FORMAT", format)];
    let read = |text: &str| ids(&settings, &serde_json::from_str(text).unwrap()).pop().unwrap();
    let wrong = || Err("/id is a number: must be a string".to_owned());
    assert_eq!(
        [r#"{"id":18446744073709551615}"#, r#"{"id":-7}"#, r#"{"id":1.5}"#, r#"{"id":1e2}"#].map(read),
        [Ok("18446744073709551615".to_owned()), Ok("-7".to_owned()), wrong(), wrong()]
    );
}

#[test]
fn passes_over_a_cloudevent_of_another_type() {
    let event = |name: &str| json!({"specversion": "1.0", "type": name, "data": {"userId": "ada"}});
    let [any, one] = [&[("SIGNUP_FORMAT", "cloudevents")][..], SENDERS[9].settings];
    assert_eq!(
        [ids(any, &event("x")), ids(one, &event("x")), ids(one, &event("com.example.user.signed-up"))],
        [vec![Ok("ada".to_owned())], vec![], vec![Ok("ada".to_owned())]]
    );
}

/// A user ID of 32 bytes fits; what does not is told the rules under which it would.
#[test]
fn makes_user_ids_fit_by_each_rule() {
    let uuid = "F81D4FAE-7dec-11d0-a765-00a0c91e6bf6";
    let long = Err("/userId has 36 bytes: must have at most 32, unless USER_ID_RULE is uuid or sha256".to_owned());
    let no_uuid = || {
        Err("/userId is no UUID: must be 32 hex digits, with hyphens or without, unless USER_ID_RULE is as-is or sha256"
            .to_owned())
    };
    assert_eq!(
        [
            id("as-is", "auth0|507f1f77bcf86cd799439020"),
            id("as-is", uuid),
            id("uuid", uuid),
            id("uuid", "f81d4fae7dec11d0a76500a0c91e6bf6"),
            id("uuid", "f81d4fae7dec11d0a76500a0c91e6bfg"),
            id("uuid", "f81d4fae-7dec-11d0-a765_00a0c91e6bf6"),
            id("uuid", "f81d4fae-7dec-11d0-a765-00a0c91e6bfé"),
            id("uuid", "-------------------------------f"),
            id("uuid", "ada"),
            id("sha256", "ada"),
            id("sha256", "google-oauth2|108347591997142817347"),
            id("sha256", "用户"),
        ],
        [
            Ok("auth0|507f1f77bcf86cd799439020".to_owned()),
            long,
            Ok("f81d4fae7dec11d0a76500a0c91e6bf6".to_owned()),
            Ok("f81d4fae7dec11d0a76500a0c91e6bf6".to_owned()),
            no_uuid(),
            no_uuid(),
            no_uuid(),
            no_uuid(),
            no_uuid(),
            Ok("fdee430d40bd57deeac186cd9790033d".to_owned()),
            Ok("4f0990941f6d7d927d7213108c6c9288".to_owned()),
            Ok("0d0e1a86b3aa787709b00329fcd32b5b".to_owned()),
        ]
    );
}

#[test]
fn knows_the_characters_on_which_tencents_documents_agree() {
    let plain = ["ada", "Ada_L-1", "auth0|5", "a@b", "a b", "a.b"]
        .map(|id| read(&[], &json!({ "userId": id }), |signup| signup.user_id.is_plain()).pop().unwrap());
    assert_eq!(plain, [true, true, false, false, false, false].map(Ok));
}

#[test]
fn fits_or_rejects_a_profile_that_is_too_long() {
    let profile = |rule: &str, nickname: Value, picture: Value| {
        let body = json!({"userId": "ada", "nickname": nickname, "avatarUrl": picture});
        read(&[("PROFILE_RULE", rule)], &body, |s| {
            (s.nickname.map(|n| n.len()), s.avatar_url.map(|p| p.len()), s.fitted)
        })
        .pop()
        .unwrap()
    };
    let (emoji, x) = (|count| json!("✨".repeat(count)), |count| json!("x".repeat(count)));
    assert_eq!(
        [
            profile("fit", x(500), x(500)),
            profile("reject", x(500), x(500)),
            // 167 characters of three bytes are 501; 166 are 498.
            profile("fit", emoji(167), x(501)),
            profile("fit", json!(["Ada"]), json!(7)),
            profile("reject", emoji(167), x(1)),
            profile("reject", x(1), x(501)),
            profile("reject", json!(["Ada"]), x(1)),
        ],
        [
            Ok((Some(500), Some(500), vec![])),
            Ok((Some(500), Some(500), vec![])),
            Ok((
                Some(498),
                None,
                vec!["/nickname has 501 bytes: cut to 498".to_owned(), "/avatarUrl has 501 bytes: left out".to_owned()]
            )),
            Ok((
                None,
                None,
                vec!["/nickname is an array: left out".to_owned(), "/avatarUrl is a number: left out".to_owned()]
            )),
            Err("/nickname has 501 bytes: must be a string of at most 500 bytes".to_owned()),
            Err("/avatarUrl has 501 bytes: must be a string of at most 500 bytes".to_owned()),
            Err("/nickname is an array: must be a string of at most 500 bytes".to_owned()),
        ]
    );
}

#[test]
fn tells_all_wrong_settings_of_a_signup_at_once() {
    let error = |settings: &[(&str, &str)]| rules(settings).unwrap_err();
    assert_eq!(
        [
            error(&[
                ("SIGNUP_FORMAT", "auth1"),
                ("SIGNUP_DETAIL_TYPE", "UserSignedUp"),
                ("SIGNUP_CLOUDEVENT_TYPE", "x"),
                ("USER_ID_RULE", "md5"),
                ("PROFILE_RULE", "keep"),
            ]),
            error(&[("SIGNUP_FORMAT", "custom")]),
            error(&[("SIGNUP_FORMAT", "clerk"), ("SIGNUP_CUSTOM_FORMAT", "{}")]),
        ],
        [
            "SIGNUP_FORMAT is \"auth1\": must be one of auth0, auth0-logs, clerk, cloudevents, cognito, default, \
             firebase, okta, supabase, workos, custom\n\
             USER_ID_RULE is \"md5\": must be one of as-is, uuid, sha256\n\
             PROFILE_RULE is \"keep\": must be one of fit, reject\n\
             SIGNUP_DETAIL_TYPE is \"UserSignedUp\": must be set with SIGNUP_FORMAT default, cloudevents, custom only\n\
             SIGNUP_CLOUDEVENT_TYPE is \"x\": must be set with SIGNUP_FORMAT cloudevents only",
            "SIGNUP_CUSTOM_FORMAT is not set: must be, with SIGNUP_FORMAT custom",
            "SIGNUP_CUSTOM_FORMAT is \"{}\": must be set with SIGNUP_FORMAT custom only",
        ]
    );
}

#[test]
fn says_what_is_wrong_with_a_format_of_ones_own() {
    let wrong = [
        "userId=/id",
        "[]",
        r#"{"nickname":["/n"]}"#,
        r#"{"userId":[]}"#,
        r#"{"userId":"/id"}"#,
        r#"{"userId":["id"]}"#,
        r#"{"userId":["/id"],"name":["/n"]}"#,
        r#"{"userId":["/id"],"when":[{"at":["/t"],"is":[]}]}"#,
        r#"{"userId":["/id"],"when":[{"at":[],"is":["x"]}]}"#,
        r#"{"userId":["/id"],"when":{"/t":"x"}}"#,
    ]
    .map(|text| Format::parse(text).unwrap_err());
    assert_eq!(
        wrong.each_ref().map(|text| text.split(" at line").next().unwrap()),
        [
            "expected value",
            "invalid length 0, expected an object with userId",
            "missing field `userId`",
            "a list must not be empty",
            "invalid type: string \"/id\", expected a sequence",
            "place \"id\" must be empty or begin with /",
            "unknown field `name`, expected one of `docs`, `when`, `users`, `userId`, `nickname`, `avatarUrl`, `integerIds`",
            "a list must not be empty",
            "a list must not be empty",
            "invalid type: map, expected a sequence",
        ]
    );
}

/// The blocks of this language in the senders' page.
fn blocks(language: &str) -> Vec<String> {
    let page = file("infra/senders/README.md");
    let open = format!("```{language}\n");
    page.split(&open).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn derives_the_same_user_ids_in_five_languages() {
    let ids = ["7C1F0E5E-3f0a-4b52-9d43-1a2b3c4d5e6f", "f81d4fae7dec11d0a76500a0c91e6bf6"];
    let others = ["ada", "google-oauth2|108347591997142817347", "用户 ✨", "é", "\u{7f}\t'\"$`"];
    let expected: Vec<String> =
        ids.iter().flat_map(|of| [id("uuid", of).unwrap(), id("sha256", of).unwrap()]).collect();
    let hashes = others.map(|of| id("sha256", of).unwrap());
    let languages = Languages::set_up().await.unwrap_or_else(|error| panic!("this test cannot run: {error}"));
    for name in ["js", "python", "go", "kotlin", "sql"] {
        let [example] = blocks(name).try_into().unwrap();
        let lines = languages.run(name, &example, &[&ids[..], &others].concat()).await.unwrap();
        let (both, only) = lines.split_at(expected.len());
        let only: Vec<&String> = only.iter().skip(1).step_by(2).collect();
        assert_eq!((both, only), (&expected[..], hashes.iter().collect()), "{name}");
    }
}

/// What `cargo explain` prints of an event, and how it exits.
fn explain(settings: &[(&str, &str)], arguments: &[&str], input: &str) -> (String, Option<i32>) {
    let mut explain = Command::new(env!("CARGO"));
    explain.args(["explain"]).args(arguments).envs(settings.iter().copied()).current_dir(top());
    let mut explain = explain.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    explain.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = explain.wait_with_output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

#[test]
fn explains_what_would_come_of_an_event() {
    let okta = explain(&[("SIGNUP_FORMAT", "okta")], &[], &file("events/okta-hook.json"));
    let wrong = explain(&[("SIGNUP_DETAIL_TYPE", "X")], &["events/supabase.json"], "");
    let ignored = explain(&[("SIGNUP_FORMAT", "clerk")], &[], r#"{"type":"user.updated"}"#);
    assert_eq!(
        [okta, wrong, ignored],
        [
            (
                "one event, read with SIGNUP_FORMAT=okta USER_ID_RULE=as-is PROFILE_RULE=fit\n  \
                 sign-up    /eventType is \"user.lifecycle.create\", /outcome/result is \"SUCCESS\", /type is \"User\"\n  \
                 fields     UserID from /id; Nick from /displayName; FaceUrl from nowhere\n\n\
                 message -\n  \
                 imported   UserID   00uz9fj5aT69fHVro1d7 (in the log: 906082d3cd2d)\n             \
                 Nick     Dorothy Vaughan\n             \
                 FaceUrl  none\n  \
                 imported   UserID   00uz9fj5aT69fHVro1d9 (in the log: beb98fe2cd7e)\n             \
                 Nick     Christine Darden\n             \
                 FaceUrl  none\n"
                    .to_owned(),
                Some(0)
            ),
            (
                "one event, read with SIGNUP_FORMAT=default USER_ID_RULE=as-is PROFILE_RULE=fit\n  \
                 sign-up    detail-type is \"X\", on a bus\n  \
                 fields     UserID from /userId; Nick from /nickname; FaceUrl from /avatarUrl\n\n\
                 message -\n  \
                 rejected   /userId is missing: must be a string of 1 to 32 bytes\n             \
                 it would be imported with SIGNUP_FORMAT=supabase USER_ID_RULE=uuid\n"
                    .to_owned(),
                Some(1)
            ),
            (
                "one event, read with SIGNUP_FORMAT=clerk USER_ID_RULE=as-is PROFILE_RULE=fit\n  \
                 sign-up    /type is \"user.created\"\n  \
                 fields     UserID from /data/id; Nick from /data/username or /data/first_name /data/last_name; \
                 FaceUrl from /data/image_url\n\n\
                 message -\n  \
                 ignored    it is about something else than a sign-up\n"
                    .to_owned(),
                Some(0)
            ),
        ]
    );
}

#[test]
fn gives_the_format_of_the_sample_in_the_senders_page() {
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let custom = SENDERS.iter().find(|sender| sender.name == "custom").unwrap();
    let (_, format) = custom.settings.iter().find(|(name, _)| *name == "SIGNUP_CUSTOM_FORMAT").unwrap();
    assert!(blocks("json").iter().any(|block| json(block) == json(format)));
}

#[test]
fn names_every_sample_with_its_settings_in_the_readme() {
    let readme = file("README.md");
    let untold: Vec<&str> = SENDERS
        .iter()
        .filter(|sample| {
            let short = sample.settings.iter().filter(|(name, _)| *name != "SIGNUP_CUSTOM_FORMAT");
            let settings: Vec<String> = short.map(|(name, value)| format!("{name}={value}")).collect();
            let (file, settings) = (format!("`{}.json`", sample.name), format!("`{}`", settings.join(" ")));
            !readme.lines().any(|line| line.contains(&file) && line.contains(&settings))
        })
        .map(|sample| sample.name)
        .collect();
    assert_eq!(untold, [""; 0]);
}

//! Sign-ups as they really come: every sender's document, user IDs that do not fit, names that are too long.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use chat_signup_import::{
    config,
    formats::Format,
    signup::{Rules, Signup},
};
use local::samples::{SENDERS, Sample, sender};
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
    serde_json::from_str(&sample.text()).unwrap()
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
    let read = SENDERS.each_ref().map(|sample| read(sample.settings, &document(sample), show));
    let accounts = |sample: &Sample| {
        let of = |(id, nick): &(&str, &str)| Ok(((*id).to_owned(), (*nick).to_owned()));
        sample.accounts.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(read, SENDERS.each_ref().map(accounts));
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
    let read = SENDERS.each_ref().map(|sample| {
        let mut document = document(sample);
        *at(&mut document, sample.name) = match sample.name {
            "okta-hook" => json!([]),
            "firebase" => json!("google.firebase.auth.user.v1.deleted"),
            _ => json!("another"),
        };
        (sample.name, ids(sample.settings, &document))
    });
    assert_eq!(read, SENDERS.each_ref().map(|sample| (sample.name, vec![])));
}

/// Whoever names the wrong provider must hear of it, and lose nothing. (A `CloudEvent` may be anybody's, and so may
/// what a custom format looks for.)
#[test]
fn never_ignores_the_document_of_another_sender() {
    let mut ignored = Vec::new();
    for sender in SENDERS.iter().filter(|sender| !["cloudevents", "custom"].contains(&sender.name)) {
        for other in SENDERS.iter().filter(|other| other.settings[0] != sender.settings[0]) {
            if ids(sender.settings, &document(other)).is_empty() {
                ignored.push((sender.name, other.name));
            }
        }
    }
    assert_eq!(ignored, []);
}

#[test]
fn rejects_a_document_that_does_not_say_what_it_is() {
    let of = |name: &str, body: Value| ids(sender(name).settings, &body);
    let stranger = json!({"hello": "world"});
    let told = [
        of("auth0", stranger.clone()),
        of("clerk", stranger.clone()),
        of("clerk", json!({"object": "event"})),
        of("clerk", json!({"object": "event", "type": ["user.created"]})),
        of("firebase", json!({"type": "user.created"})),
        of("cognito", stranger.clone()),
        of("custom", stranger),
    ];
    assert_eq!(
        told,
        [
            "the document is of another sender: must be one in which /a0tenant or /a0stream is there",
            "the document is of another sender: must be one in which /object is \"event\"",
            "/type is missing: must tell whether it is a sign-up",
            "/type is an array: must be a string",
            "the document is of another sender: must be one in which /type or /eventType or /context/eventType is \
             \"google.firebase.auth.user.*\" or \"providers/firebase.auth/*\"",
            "/triggerSource is missing: must tell whether it is a sign-up",
            "/event is missing: must tell whether it is a sign-up",
        ]
        .map(|text| vec![Err(text.to_owned())])
    );
}

/// What a sender's functions are handed differs from one generation to the next.
#[test]
fn reads_every_shape_of_a_sender() {
    let user = json!({"uid": "u", "displayName": "U"});
    let firebase = [
        json!({"type": "google.firebase.auth.user.v1.created", "data": user}),
        json!({"type": "google.firebase.auth.user.v2.created", "data": {"value": user}}),
        json!({"eventType": "google.firebase.auth.user.create", "data": user}),
        json!({"eventType": "providers/firebase.auth/eventTypes/user.create", "data": user}),
        json!({"context": {"eventType": "providers/firebase.auth/eventTypes/user.create"}, "data": user}),
        json!({"type": "google.firebase.auth.user.v1.deleted", "data": user}),
    ]
    .map(|body| ids(sender("firebase").settings, &body));
    let auth0 = ["user.created", "com.auth0.user.created", "com.auth0.user.user.created", "user.deleted"].map(|name| {
        let body = json!({"a0stream": "est", "type": name, "data": {"object": {"user_id": "u"}}});
        ids(&[("SIGNUP_FORMAT", "auth0")], &body)
    });
    let u = || vec![Ok("u".to_owned())];
    assert_eq!((firebase, auth0), ([u(), u(), u(), u(), u(), vec![]], [u(), u(), u(), vec![]]));
}

#[test]
fn compares_a_condition_by_its_text() {
    let format = r#"{"when":[{"at":["/n"],"is":["1","true","a*"]}],"userId":["/id"]}"#;
    let settings = [("SIGNUP_FORMAT", "custom"), ("SIGNUP_CUSTOM_FORMAT", format)];
    let imported = [json!(1), json!("1"), json!(true), json!("a"), json!("abc"), json!(2), json!("ba")]
        .map(|n| ids(&settings, &json!({"n": n, "id": "u"})).len());
    assert_eq!(imported, [1, 1, 1, 1, 1, 0, 0]);
}

/// A list without a sign-up in it is nothing to be woken for; a sign-up without a user is.
#[test]
fn ignores_a_list_without_a_signup_but_not_a_signup_without_a_user() {
    let format = r#"{"when":[{"at":["/t"],"is":["hook"]}],"users":[{"in":["/events"],"when":[{"at":["/e"],"is":["new"]}]},{"in":["/who"]}],"userId":["/id"]}"#;
    let settings = [("SIGNUP_FORMAT", "custom"), ("SIGNUP_CUSTOM_FORMAT", format)];
    let of = |events: Value| ids(&settings, &json!({"t": "hook", "events": events}));
    assert_eq!(
        [
            of(json!([])),
            of(json!([{"e": "login"}])),
            of(json!([{"e": "login"}, {"e": "new", "who": {"id": "u"}}])),
            of(json!([{"e": "new", "who": []}])),
            of(json!([{"e": "new"}])),
            of(json!(null)),
        ],
        [
            vec![],
            vec![],
            vec![Ok("u".to_owned())],
            vec![Err("/who has no user in it: must hold users".to_owned())],
            vec![Err("/who is missing: must hold users".to_owned())],
            vec![Err("/events is missing: must hold users".to_owned())],
        ]
    );
}

#[test]
fn imports_the_good_users_of_a_message_with_a_bad_one() {
    let hook = sender("okta-hook");
    let mut document = document(hook);
    let events = document.pointer_mut("/data/events").unwrap().as_array_mut().unwrap();
    events[0]["target"][0]["id"] = json!(7);
    events.push(json!({"eventType": "user.lifecycle.create", "outcome": {"result": "SUCCESS"}, "target": []}));
    events.push(json!({"eventType": "user.lifecycle.create", "outcome": {"result": "FAILURE"}}));
    events.push(json!("no event"));
    assert_eq!(
        ids(hook.settings, &document),
        [
            Err("user 1 of 4: /id is a number: must be a string".to_owned()),
            Ok("00uz9fj5aT69fHVro1d9".to_owned()),
            Err("user 3 of 4: /target has no user in it: must hold users".to_owned()),
            Err("user 4 of 4: /eventType is missing: must tell whether it is a sign-up".to_owned()),
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
        (100, vec![Err("there are more users in it than 100, the most there may be".to_owned())], vec![])
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
    let read = ["x", "com.example.user.signed-up"].map(|name| ids(sender("cloudevents").settings, &event(name)));
    assert_eq!(read, [vec![], vec![Ok("ada".to_owned())]]);
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
            id("uuid", "f81d4fae7-dec-11d0-a765-00a0c91e6bf6"),
            id("uuid", "f81d4fae-7dec-11d0a-765-00a0c91e6bf6"),
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
    let odd = ["ada", "Ada_L-1", "auth0|5", "a@b", "a b", "a.b"]
        .map(|id| read(&[], &json!({ "userId": id }), |signup| signup.user_id.is_odd()).pop().unwrap());
    assert_eq!(odd, [false, false, true, true, true, true].map(Ok));
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
            Err("/nickname has 501 bytes: must be a string of at most 500 bytes, unless PROFILE_RULE is fit".to_owned()),
            Err("/avatarUrl has 501 bytes: must be a string of at most 500 bytes, unless PROFILE_RULE is fit"
                .to_owned()),
            Err("/nickname is an array: must be a string of at most 500 bytes, unless PROFILE_RULE is fit".to_owned()),
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
                ("USER_ID_RULE", "md5"),
                ("PROFILE_RULE", "keep"),
            ]),
            error(&[("SIGNUP_FORMAT", "custom")]),
            error(&[("SIGNUP_FORMAT", "cloudevents")]),
            error(&[("SIGNUP_FORMAT", "clerk"), ("SIGNUP_CUSTOM_FORMAT", "{}")]),
            error(&[("SIGNUP_CLOUDEVENT_TYPE", "x")]),
            error(&[
                ("SIGNUP_FORMAT", "custom"),
                ("SIGNUP_CUSTOM_FORMAT", r#"{"userId":["/id"]}"#),
                ("SIGNUP_CLOUDEVENT_TYPE", "x"),
            ]),
        ],
        [
            "SIGNUP_FORMAT is \"auth1\": must be one of auth0, auth0-logs, clerk, cloudevents, cognito, default, \
             firebase, okta, supabase, workos, custom\n\
             USER_ID_RULE is \"md5\": must be one of as-is, uuid, sha256\n\
             PROFILE_RULE is \"keep\": must be one of fit, reject\n\
             SIGNUP_DETAIL_TYPE is \"UserSignedUp\": must not be set with SIGNUP_FORMAT auth1",
            "SIGNUP_CUSTOM_FORMAT is not set: must be a format, as JSON, with SIGNUP_FORMAT custom",
            "SIGNUP_CLOUDEVENT_TYPE is not set: must be the type of a sign-up, with SIGNUP_FORMAT cloudevents",
            "SIGNUP_CUSTOM_FORMAT is \"{}\": must not be set unless SIGNUP_FORMAT is custom",
            "SIGNUP_CLOUDEVENT_TYPE is \"x\": must not be set unless SIGNUP_FORMAT is cloudevents",
            "SIGNUP_CLOUDEVENT_TYPE is \"x\": must not be set unless SIGNUP_FORMAT is cloudevents",
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
        r#"{"userId":["/id"],"when":[{"at":["/t"],"is":[1]}]}"#,
        r#"{"userId":["/tenant /id"]}"#,
    ]
    .map(|text| Format::parse(text).unwrap_err().to_string());
    assert_eq!(
        wrong.each_ref().map(|text| text.split(" at line").next().unwrap()),
        [
            "expected value",
            "invalid length 4, expected an object with userId",
            "missing field `userId`",
            "a list is empty: must have an entry",
            "invalid type: string \"/id\", expected a sequence",
            "place is \"id\": must be empty or begin with /",
            "unknown field `name`, expected one of `docs`, `from`, `when`, `users`, `userId`, `nickname`, `avatarUrl`, `integerIds`",
            "a list is empty: must have an entry",
            "a list is empty: must have an entry",
            "invalid type: map, expected a sequence",
            "invalid type: integer `1`, expected a string",
            "place is \"/tenant /id\": must be a single pointer here",
        ]
    );
}

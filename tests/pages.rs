//! What the pages say, tried: the examples in five languages, the settings of the samples, `cargo explain`.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    collections::BTreeMap,
    io::Write,
    process::{Command, Stdio},
};

use chat_signup_import::user_id::UserIdRule;
use local::{
    file,
    languages::Languages,
    samples::{SENDERS, sender},
    top,
};
use serde_json::Value;

/// The blocks of this language in the senders' page.
fn blocks(language: &str) -> Vec<String> {
    let page = file("infra/senders/README.md");
    let open = format!("```{language}\n");
    page.split(&open).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// What the example in this language makes of each ID, by the rules `uuid` and `sha256`.
async fn derive(languages: &Languages, name: &str, ids: &[&str]) -> Vec<(String, String)> {
    let example = blocks(name).into_iter().find(|block| block.to_lowercase().contains("sha256")).unwrap();
    let lines = languages.run(name, &example, ids).await.unwrap();
    lines.as_chunks().0.iter().map(|[uuid, sha256]| (uuid.clone(), sha256.clone())).collect()
}

#[tokio::test]
async fn derives_the_same_user_ids_in_five_languages() {
    let uuids = ["7C1F0E5E-3f0a-4b52-9d43-1a2b3c4d5e6f", "f81d4fae7dec11d0a76500a0c91e6bf6"];
    let others = ["ada", "google-oauth2|108347591997142817347", "用户 ✨", "🦀", "é", "\u{7f}\t'\"$`"];
    let by = |rule: UserIdRule, id: &str| rule.apply(id).unwrap().reveal().to_owned();
    let of_uuids = uuids.map(|id| (by(UserIdRule::Uuid, id), by(UserIdRule::Sha256, id)));
    let of_others = others.map(|id| by(UserIdRule::Sha256, id));
    let languages = Languages::set_up().await.unwrap_or_else(|error| panic!("this test cannot run: {error}"));
    let (mut told, mut expected) = (BTreeMap::new(), BTreeMap::new());
    for name in ["js", "python", "go", "kotlin", "sql"] {
        let hashes = derive(&languages, name, &others).await.into_iter().map(|(_, hash)| hash).collect();
        told.insert(name, (derive(&languages, name, &uuids).await, hashes));
        expected.insert(name, (of_uuids.to_vec(), of_others.to_vec()));
    }
    assert_eq!(told, expected);
}

/// Supabase's own webhook is sent once; the page's trigger keeps every sign-up until it is on the queue.
#[tokio::test]
async fn keeps_every_signup_of_supabase() {
    let languages = Languages::set_up().await.unwrap_or_else(|error| panic!("this test cannot run: {error}"));
    let trigger = blocks("sql").into_iter().find(|block| block.contains("create trigger")).unwrap();
    let supabase = "create schema auth;\n\
        create table auth.users (id uuid, raw_user_meta_data jsonb, is_anonymous boolean not null default false);\n";
    let users = "insert into auth.users values\n\
        ('7c1f0e5e-3f0a-4b52-9d43-1a2b3c4d5e6f', '{\"name\": \"Lynn\"}', false),\n\
        ('7c1f0e5e-3f0a-4b52-9d43-1a2b3c4d5e70', null, false),\n\
        ('7c1f0e5e-3f0a-4b52-9d43-1a2b3c4d5e71', '{}', true);";
    let kept = languages.postgres(&[supabase, &trigger, users].concat(), "select * from signups order by id").await;
    assert_eq!(
        serde_json::from_str::<Value>(&kept.unwrap()).unwrap(),
        serde_json::json!([
            {"id": "7c1f0e5e-3f0a-4b52-9d43-1a2b3c4d5e6f", "name": "Lynn", "avatar_url": null},
            {"id": "7c1f0e5e-3f0a-4b52-9d43-1a2b3c4d5e70", "name": null, "avatar_url": null},
        ])
    );
}

/// What `cargo explain` prints of an event, and how it exits.
fn explain(settings: &[(&str, &str)], arguments: &[&str], input: &str) -> (String, Option<i32>) {
    let mut explain = Command::new(env!("CARGO"));
    for name in ["FORMAT", "CUSTOM_FORMAT", "CLOUDEVENT_TYPE", "DETAIL_TYPE"].map(|name| format!("SIGNUP_{name}")) {
        explain.env_remove(name);
    }
    explain.env_remove("USER_ID_RULE").env_remove("PROFILE_RULE").envs(settings.iter().copied());
    explain.args(["explain"]).args(arguments).current_dir(top());
    let mut explain = explain.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    explain.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = explain.wait_with_output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

#[test]
fn explains_what_would_come_of_an_event() {
    let clerk = [("SIGNUP_FORMAT", "clerk")];
    let told = [
        explain(&clerk, &[], &sender("clerk").text()),
        explain(&clerk, &[], r#"{"object":"event","type":"user.updated"}"#),
        explain(&[("SIGNUP_DETAIL_TYPE", "X")], &["events/not-a-signup.json"], ""),
        explain(&[], &["events/supabase.json"], ""),
        explain(&[], &[], r#"{"userId":"7c1f0e5e-3f0a-4b52-9d43-1a2b3c4d5e6f"}"#),
        explain(&[], &[], "no JSON"),
        explain(&[("USER_ID_RULE", "md5")], &[], "{}"),
    ];
    let head = "one event, read with SIGNUP_FORMAT=clerk USER_ID_RULE=as-is PROFILE_RULE=fit\n  \
                see        https://clerk.com/docs/guides/development/webhooks/overview\n  \
                fields     UserID from /data/id; Nick from /data/username or /data/first_name /data/last_name; \
                FaceUrl from /data/image_url\n\n";
    let default = "one event, read with SIGNUP_FORMAT=default USER_ID_RULE=as-is PROFILE_RULE=fit\n  \
                   fields     UserID from /userId; Nick from /nickname; FaceUrl from /avatarUrl\n\n";
    let expected = [
        (
            0,
            [
                head,
                "message -\n  \
                 imported   UserID   user_29w83sxmDNGwOuEthce5gg56FcC (in the log: fbbf1ad5d580)\n             \
                 Nick     Sister Mary Keller\n             \
                 FaceUrl  https://example.com/pictures/mary-keller.png\n",
            ],
        ),
        (
            0,
            [
                head,
                "message -\n  ignored    it is about something else than a sign-up, which is where /type is \
                 \"user.created\"\n",
            ],
        ),
        (
            0,
            [
                default,
                "message 11111111-0000-4000-8000-000000000002\n  ignored    its detail-type is \"UserDeleted\": a \
                 sign-up's is \"X\"\n",
            ],
        ),
        (
            1,
            [
                default,
                "message -\n  rejected   /userId is missing: must be a string of 1 to 32 bytes\n             \
                 it would be imported with SIGNUP_FORMAT supabase and USER_ID_RULE uuid\n",
            ],
        ),
        (
            1,
            [
                default,
                "message -\n  rejected   /userId has 36 bytes: must have at most 32, unless USER_ID_RULE is uuid or \
                 sha256\n             it would be imported with SIGNUP_FORMAT as it is and USER_ID_RULE uuid\n",
            ],
        ),
        (2, ["this is not JSON: expected ident at line 1 column 2\n", ""]),
        (2, ["USER_ID_RULE is \"md5\": must be one of as-is, uuid, sha256\n", ""]),
    ];
    assert_eq!(told, expected.map(|(code, text)| (text.concat(), Some(code))));
}

#[test]
fn gives_the_format_of_the_sample_in_the_senders_page() {
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let (_, format) = sender("custom").settings.iter().find(|(name, _)| *name == "SIGNUP_CUSTOM_FORMAT").unwrap();
    let formats: Vec<Value> =
        blocks("json").iter().map(|block| json(block)).filter(|j| j["userId"].is_array()).collect();
    assert_eq!(formats, [json(format)]);
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

/// Each promise in README names tests that there are.
#[test]
fn proves_every_promise_by_a_test() {
    let readme = file("README.md");
    let promises = readme.split("## What it promises").nth(1).unwrap().split("\n## ").next().unwrap();
    let files = |folder: &str| std::fs::read_dir(top().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let files = files("tests").chain(files("tests/function")).filter(|path| path.is_file());
    let tests: String = files.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let scenarios = file("tests/simulation/scenario.rs");
    let is_there = |name: &&str| tests.contains(&format!("fn {name}(")) || scenarios.contains(&format!("\"{name}\""));
    let rows: Vec<&str> = promises.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    let unproved: Vec<&str> = rows
        .iter()
        .filter(|row| {
            let proof = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
            let names: Vec<&str> = proof.split('`').skip(1).step_by(2).collect();
            names.is_empty() || !names.iter().all(is_there)
        })
        .copied()
        .collect();
    assert_eq!((rows.len(), unproved), (18, Vec::<&str>::new()));
}

/// `cargo mutate` looks for the text of each change; what is renamed must be renamed there, too.
#[test]
fn finds_the_text_of_every_mutant_once() {
    let mutants: Vec<[String; 5]> = serde_json::from_str(&file("tests/simulation/mutants.json")).unwrap();
    let scenarios = file("tests/simulation/scenario.rs");
    let lost: Vec<&str> = mutants
        .iter()
        .filter(|[_, path, from, to, scenario]| {
            file(path).matches(from.as_str()).count() != 1
                || from == to
                || !scenarios.contains(&format!("\"{scenario}"))
        })
        .map(|[what, ..]| what.as_str())
        .collect();
    assert_eq!(lost, Vec::<&str>::new());
}

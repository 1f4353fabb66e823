//! The binary in a whole AWS: the template as it stands, IAM enforced, SQS, EventBridge, Secrets Manager, Lambda.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use local::{
    aws::Aws,
    file, hash,
    python::{Python, run, start, target},
    samples::{SENDERS, sender},
    serve::{free_port, listens},
    tencent::{App, Reply},
    top,
    world::{World, is_final},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::Runtime,
};

/// One world for all tests, which take turns; it ends with the process.
static WORLD: LazyLock<(Runtime, Result<Mutex<World>, String>)> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let world = runtime.block_on(async {
        let python = Python::set_up().await.map_err(|error| error.to_string())?;
        let binary = Path::new(env!("CARGO_BIN_EXE_chat-signup-import"));
        World::start(&python, binary, App::default()).await.map(Mutex::new).map_err(|error| error.to_string())
    });
    (runtime, world)
});

/// Every test that cannot run says why.
fn world() -> (&'static Runtime, MutexGuard<'static, World>) {
    let (runtime, world) = &*WORLD;
    match world {
        Ok(world) => (runtime, world.lock().unwrap_or_else(PoisonError::into_inner)),
        Err(error) => panic!("this test cannot run: {error}"),
    }
}

/// The outcomes that the log tells of a message, in order.
fn outcomes(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line.get("message").and_then(Value::as_str).unwrap_or_default()).collect()
}

#[test]
fn a_signup_travels_from_the_bus_to_tencent_and_an_event_of_another_type_does_not() {
    let (runtime, world) = world();
    let mut other: Value = serde_json::from_str(&file("events/not-a-signup.json")).unwrap();
    other["detail"] = json!({"userId": "deleted"});
    let (before, nickname) = runtime.block_on(async {
        let before = told(&world);
        world.put_event(&other).await.unwrap();
        world.put_event(&serde_json::from_str(&file("events/eventbridge.json")).unwrap()).await.unwrap();
        (before, imported(&world, "grace-hopper").await)
    });
    assert_eq!((nickname.as_deref(), told(&world) - before), (Some("Amazing Grace"), 1));
}

#[test]
fn a_signup_that_fails_comes_back_by_itself_until_it_is_imported() {
    let (runtime, world) = world();
    world.tencent.script("patience", [Reply::Code(70500), Reply::Cut(0), Reply::Cut(0)]);
    let lines = runtime.block_on(async {
        let id = world.send(r#"{"userId":"patience"}"#).await.unwrap();
        world.follow(&id).await.unwrap()
    });
    let receives: Vec<u64> = lines.iter().map(|line| line.get("receives").and_then(Value::as_u64).unwrap()).collect();
    assert_eq!((outcomes(&lines), receives), (vec!["deferred", "deferred", "imported"], vec![1, 2, 3]));
}

#[test]
fn what_is_rejected_is_on_the_parking_queue_with_its_reason() {
    let (runtime, world) = world();
    world.tencent.script("over", [Reply::Code(70398)]);
    let body = r#"{"userId":"over","nickname":"Ö"}"#;
    let (id, parked) = runtime.block_on(async {
        world.take_parked().await.unwrap();
        let id = world.send(body).await.unwrap();
        world.follow(&id).await.unwrap();
        (id, world.take_parked().await.unwrap())
    });
    let attributes = [
        ("Reason", "account limit reached: more than 100 accounts need a paid plan"),
        ("ErrorCode", "70398"),
        ("ErrorInfo", "scripted"),
        ("RequestId", "Stand-In-1"),
        ("ReceiveCount", "1"),
        ("SourceMessageId", &id),
    ];
    let expected: BTreeMap<String, String> = attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let mut parked: Vec<_> = parked.into_iter().map(|parked| (parked.body, parked.attributes)).collect();
    let sent: Vec<_> = parked.iter_mut().filter_map(|(_, attributes)| attributes.remove("FirstSent")).collect();
    assert_eq!(sent.len(), 1);
    assert_eq!(parked, [(body.to_owned(), expected)]);
}

#[test]
fn the_key_is_rotated_without_a_redeploy() {
    let (runtime, world) = world();
    let key = "2".repeat(64);
    let lines = runtime.block_on(async {
        let before = world.send(r#"{"userId":"before-rotation"}"#).await.unwrap();
        world.follow(&before).await.unwrap();
        world.tencent.set_key(&key);
        world.write_secret(&App { key, ..App::default() }.secret()).await.unwrap();
        let after = world.send(r#"{"userId":"after-rotation"}"#).await.unwrap();
        world.follow(&after).await.unwrap()
    });
    assert_eq!(outcomes(&lines), ["imported"]);
}

/// The third way of use, as README has it, with every sample event.
#[test]
fn cargo_lambda_invokes_the_function_with_every_sample_event() {
    let (runtime, world) = world();
    world.tencent.script("mary-somerville", [Reply::Code(70500)]);
    world.tencent.script("one-too-many", [Reply::Code(70398)]);
    let mut events: Vec<String> = std::fs::read_dir(top().join("events"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    events.sort();
    let (senders, events) = events.into_iter().partition::<Vec<_>, _>(|name| SENDERS.iter().any(|s| s.name == *name));
    let answers = runtime.block_on(async {
        let mut answers = watched(&world, &[], &events).await;
        // It was put on the queue; the deployed function has it now.
        imported(&world, "mary-somerville").await;
        for sender in &SENDERS {
            answers.extend(watched(&world, sender.settings, &[sender.name.to_owned()]).await);
        }
        answers
    });
    let senders = senders.into_iter().map(|name| (name, "\"imported\"".to_owned()));
    let expected = [
        ("eventbridge", "\"imported\""),
        ("malformed", "\"rejected\""),
        ("not-a-signup", "\"ignored\""),
        ("over-quota", "\"rejected\""),
        ("pipe", "[]"),
        ("signup", "\"imported\""),
        ("sqs", "[]"),
        ("sqs-fifo", "[]"),
        ("temporary-failure", "\"deferred\""),
    ];
    let expected = expected.map(|(name, told)| (name.to_owned(), told.to_owned()));
    assert_eq!(answers, senders.chain(expected).collect());
}

/// What the function, set like this under `cargo lambda watch`, answers to `cargo lambda invoke` with these events.
async fn watched(world: &World, settings: &[(&str, &str)], events: &[String]) -> BTreeMap<String, String> {
    let env_file = target().join(format!("cargo-lambda-{}.env", std::process::id()));
    std::fs::write(&env_file, world.env_file(settings)).unwrap();
    let (python, port) = (Python::set_up().await.unwrap(), free_port().await.unwrap());
    let program = |command: &str| {
        let mut program = python.program("cargo-lambda");
        program.args(["lambda", command, "--invoke-address", "127.0.0.1", "--invoke-port", &port.to_string()]);
        program.current_dir(top()).env_remove("HTTP_PROXY").env_remove("http_proxy");
        program
    };
    let mut watch = program("watch");
    let mut watch = start(watch.args(["--ignore-changes", "--env-file"]).arg(&env_file), port).await.unwrap();
    let mut answers = BTreeMap::new();
    for event in events {
        let file = top().join(format!("events/{event}.json"));
        let mut invoke = program("invoke");
        let answer = run(invoke.args(["chat-signup-import", "--data-file"]).arg(file)).await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let told = answer.get("outcome").or(answer.get("batchItemFailures")).unwrap().to_string();
        answers.insert(event.clone(), told);
    }
    watch.kill().await.unwrap();
    std::fs::remove_file(env_file).unwrap();
    answers
}

/// Waits until the log says that a user is imported; gives the name that Tencent has.
async fn imported(world: &World, id: &str) -> Option<String> {
    let user = json!(hash(id));
    let is_theirs = |line: &Value| line.get("user") == Some(&user) && is_final(line);
    for _ in 0..300 {
        if world.told().iter().any(is_theirs) {
            return world.tencent.accounts().remove(id)?.nick;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{id} was not imported within 30 s:\n{}", world.aws.log())
}

/// How many lines the function has written about messages so far.
fn told(world: &World) -> usize {
    world.told().len()
}

#[test]
fn the_partner_bus_sends_signups_and_no_other_log_lines() {
    let (runtime, world) = world();
    runtime.block_on(async {
        let bus = "aws.partner/auth0.com/example-635d694a/signups";
        let mut parameters = vec![("EventSourceName", bus)];
        parameters.extend(["SignupQueueArn", "ParkingQueueArn"].map(|name| (name, world.output(name))));
        let template = top().join("infra/senders/partner-bus.yaml");
        world.aws.deploy_template(&template, "signups-partner-bus", &parameters).await.unwrap();
        for (name, place) in
            [("auth0", "/detail/type"), ("auth0-logs", "/detail/data/type"), ("okta", "/detail/eventType")]
        {
            let sender = sender(name);
            let mut event: Value = serde_json::from_str(&sender.text()).unwrap();
            // Nobody but the partner may name it as the source.
            event["source"] = json!("com.example.partner");
            let mut other = event.clone();
            *other.pointer_mut(place).unwrap() = json!("another");
            world.set(sender.settings).await.unwrap();
            let before = told(&world);
            for event in [&other, &event] {
                world.put_event_on(bus, event).await.unwrap();
            }
            let (id, nick) = sender.accounts[0];
            let nickname = imported(&world, id).await;
            // Event Streams pass whole, to be ignored by the function.
            let is_narrow = name == "auth0" || told(&world) - before == 1;
            assert_eq!((nickname.as_deref(), is_narrow), (Some(nick), true), "{name}");
        }
        world.set(&[]).await.unwrap();
    });
}

#[test]
fn the_cognito_forwarder_sends_a_signup_and_never_fails_one() {
    let (runtime, world) = world();
    let (answers, nickname, lines, sent, log) = runtime.block_on(async {
        let parameters = [
            ("UserPoolArn", "arn:aws:cognito-idp:eu-central-1:000000000000:userpool/eu-central-1_EXAMPLE01"),
            ("SignupQueueArn", world.output("SignupQueueArn")),
        ];
        let template = top().join("infra/senders/cognito.yaml");
        world.aws.deploy_template(&template, "signups-cognito", &parameters).await.unwrap();
        let sender = sender("cognito");
        world.set(sender.settings).await.unwrap();
        let event: Value = serde_json::from_str(&sender.text()).unwrap();
        let mut reset = event.clone();
        reset["triggerSource"] = json!("PostConfirmation_ConfirmForgotPassword");
        let invoke = async |event: &Value| world.aws.invoke("signups-cognito", event).await.unwrap();
        let before = told(&world);
        let mut answers = vec![invoke(&reset).await == reset, invoke(&event).await == event];
        let nickname = imported(&world, sender.accounts[0].0).await;
        let after = told(&world);

        // A queue that refuses, and one whose answer never ends.
        let mut settings = world.aws.settings("signups-cognito").await.unwrap();
        settings.insert("QUEUE_URL".to_owned(), world.output("SignupQueueUrl").replace("signups", "nowhere"));
        world.aws.set("signups-cognito", &settings).await.unwrap();
        answers.push(invoke(&event).await == event);
        answers.push(invoke(&json!({})).await == json!({}));
        let (address, sent) = dripping().await;
        settings.insert("AWS_ENDPOINT_URL_SQS".to_owned(), address);
        world.aws.set("signups-cognito", &settings).await.unwrap();
        answers.push(invoke(&event).await == event);
        let odd = json!({"triggerSource": "PostConfirmation_ConfirmSignUp", "request": "odd"});
        answers.push(invoke(&odd).await == odd);
        world.set(&[]).await.unwrap();
        let sent = sent.lock().unwrap().clone();
        (answers, nickname, after - before, sent, world.aws.log())
    });
    let failed: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(&line[line.find('{')?..]).ok())
        .filter(|line| line.get("message") == Some(&json!("sign-up not forwarded")))
        .map(|line| line.get("sub").cloned().unwrap())
        .collect();
    let sub = json!("3b1f0e5e-3f0a-4b52-9d43-1a2b3c4d5e6f");
    let tells = |text: &str| (sent.contains(text), log.contains(text));
    assert_eq!(
        (answers, nickname.as_deref(), lines, failed, tells("karen@example.com"), tells("3b1f0e5e")),
        (
            vec![true; 6],
            Some("Karen Spärck Jones"),
            1,
            vec![sub.clone(), Value::Null, sub, Value::Null],
            (false, false),
            (true, true)
        )
    );
}

/// A server that writes a byte now and then, for ever: its address, and what it is sent.
async fn dripping() -> (String, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, received) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(String::new())));
    let heard = Arc::clone(&received);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let heard = Arc::clone(&heard);
            let (mut reader, mut writer) = socket.into_split();
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                while let Ok(1..) = reader.read_buf(&mut bytes).await {
                    heard.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes));
                    bytes.clear();
                }
            });
            tokio::spawn(async move {
                while writer.write_all(b"H").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            });
        }
    });
    (format!("http://{address}"), received)
}

/// What is set by the template's parameters is what the function runs with.
#[test]
fn the_templates_parameters_are_the_functions_settings() {
    let (runtime, mut world) = world();
    let binary = Path::new(env!("CARGO_BIN_EXE_chat-signup-import"));
    let (provider, custom, refused) = runtime.block_on(async {
        let okta = [("SignupFormat", "okta"), ("UserIdRule", "sha256"), ("ProfileRule", "reject")];
        world.deploy(binary, &okta).await.unwrap();
        let id = world.send(&sender("okta").text()).await.unwrap();
        let provider = (signup_settings(&world).await, outcomes(&world.follow(&id).await.unwrap()).join(" "));
        let format = sender("custom").settings[1].1;
        let own = [("SignupFormat", "custom"), ("SignupCustomFormat", format), ("UserIdRule", "as-is")];
        world.deploy(binary, &own).await.unwrap();
        let id = world.send(&sender("custom").text()).await.unwrap();
        let custom = (signup_settings(&world).await, outcomes(&world.follow(&id).await.unwrap()).join(" "));
        let refused = world.deploy(binary, &[("SignupFormat", "cloudevents")]).await.is_err();
        let default = [("SignupFormat", "default"), ("ProfileRule", "fit")];
        world.deploy(binary, &default).await.unwrap();
        (provider, custom, refused)
    });
    let imported = |settings: [&str; 6]| (settings.map(str::to_owned).to_vec(), "imported".to_owned());
    assert_eq!(
        (provider, custom, refused),
        (
            imported(["reject", "-", "-", "-", "okta", "sha256"]),
            imported(["reject", "-", sender("custom").settings[1].1, "-", "custom", "as-is"]),
            true
        )
    );
}

/// The deployed function's settings that say how a sign-up is read.
async fn signup_settings(world: &World) -> Vec<String> {
    let settings = world.aws.settings(world.output("FunctionName")).await.unwrap();
    let names = [
        "PROFILE_RULE",
        "SIGNUP_CLOUDEVENT_TYPE",
        "SIGNUP_CUSTOM_FORMAT",
        "SIGNUP_DETAIL_TYPE",
        "SIGNUP_FORMAT",
        "USER_ID_RULE",
    ];
    names.map(|name| settings.get(name).map_or("-", String::as_str).to_owned()).to_vec()
}

/// The stack that is there is updated, and its queue subscribed to the topic.
#[test]
fn a_signup_travels_from_a_topic_to_tencent() {
    let (runtime, mut world) = world();
    let nickname = runtime.block_on(async {
        let topic = world.aws.cli(&["sns", "create-topic", "--name", "user-events"]).await.unwrap();
        let topic = topic.get("TopicArn").and_then(Value::as_str).unwrap().to_owned();
        let binary = Path::new(env!("CARGO_BIN_EXE_chat-signup-import"));
        world.deploy(binary, &[("SignupTopicArn", &topic)]).await.unwrap();
        let message = r#"{"userId":"annie-jump-cannon","nickname":"Annie"}"#;
        world.aws.cli(&["sns", "publish", "--topic-arn", &topic, "--message", message]).await.unwrap();
        imported(&world, "annie-jump-cannon").await
    });
    assert_eq!(nickname.as_deref(), Some("Annie"));
}

/// Whoever started it may die in any way: nothing is left of it.
#[test]
fn nothing_is_left_of_a_local_aws_that_ends() {
    Runtime::new().unwrap().block_on(async {
        let python = Python::set_up().await.unwrap_or_else(|error| panic!("this test cannot run: {error}"));
        let aws = Aws::start(&python, &[]).await.unwrap();
        let port = aws.url.rsplit(':').next().unwrap().parse::<u16>().unwrap();
        let before = listens(([127, 0, 0, 1], port).into()).await;
        drop(aws);
        let home = target().join(format!("aws-{port}"));
        assert_eq!((before, listens(([127, 0, 0, 1], port).into()).await, home.exists()), (true, false, false));
    });
}

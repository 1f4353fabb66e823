//! The operator's page, followed: every command of it does what the page says.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use local::{
    file, hash,
    python::{Python, target},
    sandbox,
    tencent::{App, Reply},
    world::{World, is_final},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    runtime::Runtime,
    sync::mpsc::unbounded_channel,
};

/// The section that every other needs.
const FIRST: &str = "Before anything else";
const REDRIVE: &str = "Redrive the parking queue";
const REPLAY: &str = "Replay one message";
const ROTATE: &str = "Rotate the key";
const STORM: &str = "A storm of 70398";

/// One world for all tests, which take turns; it ends with the process.
static WORLD: LazyLock<(Runtime, Result<Mutex<World>, String>)> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let world = runtime.block_on(async {
        let python = Python::set_up().await.map_err(|error| error.to_string())?;
        World::start(&python, binary(), App::default()).await.map(Mutex::new).map_err(|error| error.to_string())
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

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_chat-signup-import"))
}

/// The page's sections in order: heading, and what is to be pasted into a shell.
fn sections() -> Vec<(String, Vec<String>)> {
    let mut sections: Vec<(String, Vec<String>)> = Vec::new();
    let page = file("infra/README.md");
    for (index, part) in page.split("```").enumerate() {
        if index % 2 == 0 {
            let headings = part.lines().filter_map(|line| line.strip_prefix("## "));
            sections.extend(headings.map(|heading| (heading.to_owned(), Vec::new())));
        } else if let Some(block) = part.strip_prefix("sh\n") {
            sections.last_mut().unwrap().1.push(block.to_owned());
        }
    }
    sections
}

fn blocks(section: &str) -> Vec<String> {
    let found = sections().into_iter().find(|(heading, _)| heading == section);
    found.unwrap_or_else(|| panic!("the page has no section {section}")).1
}

/// A shell of an operator.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    place: PathBuf,
}

impl Shell {
    /// Opens it, in an empty directory, with nothing in its environment that leads to AWS.
    fn open(world: &World) -> Self {
        let place = target().join(format!("operator-{}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        let mut bash = Command::new("bash");
        bash.args(["--noprofile", "--norc"]).current_dir(&place).env_clear();
        let theirs = world.aws.environment().into_iter().filter(|(name, _)| !name.starts_with("AWS_"));
        bash.envs(theirs).env("PATH", "/usr/bin:/bin");
        let mut child = bash.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { input: child.stdin.take().unwrap(), output, child, place }
    }

    /// Runs a block; gives what it prints. A command that fails fails the test.
    async fn run(&mut self, block: &str) -> String {
        const END: &str = "-- end of the block --";
        let block = format!("{{ {block}\n}} </dev/null\necho '{END}'\n");
        self.input.write_all(block.as_bytes()).await.unwrap();
        let mut printed = String::new();
        while let Some(line) = self.output.next_line().await.unwrap() {
            if line == END {
                return printed;
            }
            printed.push_str(&line);
            printed.push('\n');
        }
        panic!("bash ended ({:?}) after:\n{printed}\nin:\n{block}", self.child.wait().await)
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.place);
    }
}

/// An operator, who has pasted what the page wants pasted first, and follows its sections to the end.
struct Operator {
    shell: Shell,
    /// The blocks of the sections that were opened, and whether they were run.
    open: BTreeMap<(String, usize), bool>,
}

impl Operator {
    async fn begin(world: &World) -> Self {
        let mut operator = Self::arrive(world).await;
        operator.shell.run(&world.aws.shell()).await;
        operator.shell.run(blocks(FIRST).first().unwrap()).await;
        operator
    }

    /// One whose `aws` leads nowhere yet.
    async fn arrive(world: &World) -> Self {
        let mut shell = Shell::open(world);
        shell.run("exec 2>&1\nset -eu").await;
        Self { shell, open: BTreeMap::new() }
    }

    /// Runs a block of a section; gives what it prints.
    async fn run(&mut self, section: &str, block: usize) -> String {
        self.run_with(section, block, "", "").await
    }

    /// Runs a block of a section with another value in it than the page's.
    async fn run_with(&mut self, section: &str, block: usize, theirs: &str, ours: &str) -> String {
        let blocks = blocks(section);
        for index in 0..blocks.len() {
            self.open.entry((section.to_owned(), index)).or_insert(false);
        }
        self.open.insert((section.to_owned(), block), true);
        let text = blocks.get(block).unwrap();
        assert!(text.contains(theirs), "{section} does not say {theirs}");
        self.shell.run(&text.replace(theirs, ours)).await
    }

    /// Watches a redrive until it has come to this; gives what is printed then.
    async fn redriven(&mut self, status: &str) -> String {
        let watch = blocks(REDRIVE).remove(1);
        for _ in 0..100 {
            let told = self.shell.run(&watch).await;
            if told.starts_with(status) {
                return told;
            }
        }
        panic!("the redrive has not come to {status}")
    }
}

/// Every block of every section that was opened has been run.
impl Drop for Operator {
    fn drop(&mut self) {
        let left: Vec<_> = self.open.iter().filter(|(_, run)| !**run).map(|(block, _)| block).collect();
        assert!(left.is_empty() || std::thread::panicking(), "not run: {left:?}");
    }
}

fn body(user_id: &str) -> String {
    json!({"userId": user_id}).to_string()
}

/// Sends sign-ups to the queue; gives the messages' IDs.
async fn send(world: &World, users: &[&str]) -> Vec<String> {
    let mut ids = Vec::new();
    for user in users {
        ids.push(world.send(&body(user)).await.unwrap());
    }
    ids
}

/// The lines that the function has written about a user.
fn lines(world: &World, user: &str) -> Vec<Value> {
    world.told().into_iter().filter(|line| line["user"] == hash(user)).collect()
}

/// Waits until something is so, for three minutes at most: a blocked message stays away for up to two.
async fn until(world: &World, what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..1800 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not within three minutes: {what}\n{}", world.aws.log())
}

/// Waits until a user's line with this code is in the log, as CloudWatch has it.
async fn until_told(world: &World, user: &str, code: &str) {
    until(world, &format!("{user} {code}"), || lines(world, user).iter().any(|line| line["code"] == code)).await;
    logged(world, &hash(user)).await;
}

/// Waits until a text is in the log, as CloudWatch has it: the local AWS writes it there when the invocation ends.
async fn logged(world: &World, text: &str) {
    let pattern = format!("\"{text}\"");
    let mut filter = vec!["logs", "filter-log-events", "--log-group-name", world.output("LogGroupName")];
    filter.extend(["--filter-pattern", &pattern]);
    for _ in 0..60 {
        if world.aws.cli(&filter).await.unwrap().pointer("/events/0").is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("not in the log: {text}")
}

/// Waits until users have accounts.
async fn until_imported(world: &World, users: &[&str]) {
    until(world, &format!("{users:?} imported"), || {
        let accounts = world.tencent.accounts();
        users.iter().all(|user| accounts.contains_key(*user))
    })
    .await;
}

fn has_account(world: &World, user: &str) -> bool {
    world.tencent.accounts().contains_key(user)
}

/// How many messages a queue holds, taken or not.
async fn count(world: &World, queue: &str) -> usize {
    let get = ["sqs", "get-queue-attributes", "--attribute-names", "All", "--queue-url", world.output(queue)];
    let told = world.aws.cli(&get).await.unwrap();
    let of = |name: &str| text(&told, &format!("/Attributes/{name}")).parse::<usize>().unwrap();
    of("ApproximateNumberOfMessages") + of("ApproximateNumberOfMessagesNotVisible")
}

fn text<'a>(told: &'a Value, pointer: &str) -> &'a str {
    told.pointer(pointer).and_then(Value::as_str).unwrap()
}

/// Empties both queues.
async fn purge(world: &World) {
    for queue in ["SignupQueueUrl", "ParkingQueueUrl"] {
        world.aws.cli(&["sqs", "purge-queue", "--queue-url", world.output(queue)]).await.unwrap();
    }
}

/// Writes lines into the function's log, as Lambda does.
async fn write_log(world: &World, line: &str) {
    let group = ["--log-group-name", world.output("LogGroupName"), "--log-stream-name", "written"];
    let _ = world.aws.cli(&[&["logs", "create-log-stream"], &group[..]].concat()).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let events = json!([{"timestamp": u64::try_from(now).unwrap(), "message": line}]).to_string();
    world.aws.cli(&[&["logs", "put-log-events", "--log-events", &events], &group[..]].concat()).await.unwrap();
}

/// Every other test runs all blocks of the sections that it names.
#[test]
fn no_command_of_the_page_is_left_out_by_these_tests() {
    let tests = file("tests/runbooks.rs");
    let left: Vec<String> = sections()
        .into_iter()
        .filter(|(heading, blocks)| !blocks.is_empty() && !tests.contains(&format!("\"{heading}\"")))
        .map(|(heading, _)| heading)
        .filter(|heading| heading != FIRST)
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn every_link_within_the_page_leads_somewhere() {
    let page = file("infra/README.md");
    let anchor = |heading: &str| heading.to_lowercase().replace([',', ':'], "").replace(' ', "-");
    let mut anchors: BTreeSet<String> = sections().iter().map(|(heading, _)| anchor(heading)).collect();
    anchors.insert("procedures".to_owned());
    let links = page.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned());
    let lost: Vec<String> = links.filter(|link| !anchors.contains(link)).collect();
    assert_eq!(lost, Vec::<String>::new());
}

/// What is parked by the plan's limit is all imported after an upgrade, however the redrive is interrupted.
#[test]
fn account_limit_ends_with_every_account_imported() {
    let (runtime, world) = world();
    let users: Vec<String> = (0..12).map(|n| format!("over-{n}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    runtime.block_on(async {
        purge(&world).await;
        world.tencent.set_quota(world.tencent.accounts().len());
        send(&world, &users).await;
        for user in &users {
            until_told(&world, user, "70398").await;
        }
        let mut operator = Operator::begin(&world).await;
        let told = operator.run("account-limit", 0).await;
        assert!(told.contains("\t70398\taccount limit reached"), "{told}");
        world.tencent.set_quota(usize::MAX);

        operator.run_with(REDRIVE, 0, "speed=50", "speed=1").await;
        let running = operator.run(REDRIVE, 1).await;
        operator.run(REDRIVE, 2).await;
        let left = count(&world, "ParkingQueueUrl").await;
        assert!(running.starts_with("RUNNING\t") && running.ends_with("\t12\n"), "{running}");
        assert!((1..12).contains(&left), "{left} are left");
        operator.redriven("CANCELLED").await;
        operator.run(REDRIVE, 0).await;
        let again = operator.redriven("COMPLETED").await;
        until_imported(&world, &users).await;
        assert_eq!((again, count(&world, "ParkingQueueUrl").await), (format!("COMPLETED\t{left}\t{left}\n"), 0));
    });
}

#[test]
fn parked_messages_tells_why_each_is_parked_and_nothing_of_what_is_in_it() {
    let (runtime, world) = world();
    runtime.block_on(async {
        purge(&world).await;
        world.tencent.script("parked", [Reply::Code(70399)]);
        let id = send(&world, &["parked"]).await.remove(0);
        until_told(&world, "parked", "70399").await;
        // As EventBridge does with what it cannot put on the sign-up queue.
        let attribute = |value: &str| json!({"DataType": "String", "StringValue": value});
        let attributes = json!({"ERROR_CODE": attribute("NO_PERMISSIONS"), "ERROR_MESSAGE": attribute("not allowed")});
        let queue = world.output("ParkingQueueUrl");
        let mut send = vec!["sqs", "send-message", "--queue-url", queue, "--message-body", "{}"];
        let attributes = attributes.to_string();
        send.extend(["--message-attributes", &attributes]);
        world.aws.cli(&send).await.unwrap();

        let mut operator = Operator::begin(&world).await;
        let told = operator.run("parked-messages", 0).await;
        assert!(told.starts_with("2\t0\n") && told.contains("\trejected\t70399\tuser ID deleted"), "{told}");
        let told = operator.run("parked-messages", 1).await;
        let expected = format!(
            "{id}\t70399\tuser ID deleted less than three months ago\tNone\tNone\n\
             None\tNone\tNone\tNO_PERMISSIONS\tnot allowed\n"
        );
        assert_eq!(told, expected);
    });
}

#[test]
fn malformed_shows_the_rule_and_one_message() {
    let (runtime, world) = world();
    runtime.block_on(async {
        purge(&world).await;
        let body = r#"{"user_id":"no\tuserId"}"#;
        let id = world.send(body).await.unwrap();
        world.follow(&id).await.unwrap();
        logged(&world, &id).await;
        let mut operator = Operator::begin(&world).await;
        let told = operator.run("malformed", 0).await;
        operator.run("malformed", 1).await;
        let parked = std::fs::read_to_string(operator.shell.place.join("parked.json")).unwrap();
        assert!(told.contains("\tmalformed\t/userId is missing"), "{told}");
        assert_eq!(parked, format!("{body}\n"));
    });
}

#[test]
fn a_refused_message_is_replayed_alone() {
    let (runtime, world) = world();
    let users = ["replay-1", "replay-2", "replay-3"];
    runtime.block_on(async {
        purge(&world).await;
        for user in users {
            world.tencent.script(user, [Reply::Code(70402)]);
        }
        let ids = send(&world, &users).await;
        for user in users {
            until_told(&world, user, "70402").await;
        }
        let mut operator = Operator::begin(&world).await;
        let told = operator.run("refused", 0).await;
        let of_user = told.lines().find(|line| line.contains(&hash(users[1]))).unwrap();
        assert_eq!(of_user.rsplit('\t').next(), Some(ids[1].as_str()));
        let (theirs, ours) = ("message_id=00000000-0000-0000-0000-000000000000", format!("message_id={}", ids[1]));
        operator.run_with(REPLAY, 0, theirs, &ours).await;
        until_imported(&world, &users[1..2]).await;
        let there = users.map(|user| has_account(&world, user));
        assert_eq!((there, count(&world, "ParkingQueueUrl").await), ([false, true, false], 2));
    });
}

/// The message says itself when it was sent at first, and the function takes it for as old as it is.
#[test]
fn a_replayed_message_is_as_old_as_it_was() {
    let (runtime, world) = world();
    runtime.block_on(async {
        purge(&world).await;
        world.tencent.script("long-ago", [Reply::Code(70500)]);
        let queue = world.output("SignupQueueArn");
        let day = Duration::from_hours(24 * 5);
        let sent = (std::time::SystemTime::now() - day).duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        let record = json!({
            "messageId": "11111111-2222-3333-4444-555555555555", "eventSource": "aws:sqs", "eventSourceARN": queue,
            "body": body("long-ago"), "attributes": {"SentTimestamp": sent.to_string(), "ApproximateReceiveCount": "9"},
        });
        world.aws.invoke(world.output("FunctionName"), &json!({"Records": [record]})).await.unwrap();
        until_told(&world, "long-ago", "expired").await;
        let mut operator = Operator::begin(&world).await;
        let told = operator.run("expired", 0).await;
        assert!(told.contains("\texpired\t120 hours old and still failing: 70500"), "{told}");
        let (theirs, ours) = ("00000000-0000-0000-0000-000000000000", "11111111-2222-3333-4444-555555555555");
        operator.run_with(REPLAY, 0, theirs, ours).await;
        until_imported(&world, &["long-ago"]).await;
        // Nobody asks whether a fresh sign-up has an account: both times it was late.
        let checks = world.tencent.calls().into_iter().filter(|call| call.command == "account_check");
        assert_eq!(checks.filter(|call| call.body.contains("long-ago")).count(), 2);
    });
}

#[test]
fn what_lambda_parked_is_sent_as_it_came_from_the_bus() {
    let (runtime, world) = world();
    runtime.block_on(async {
        purge(&world).await;
        let mut event: Value = serde_json::from_str(&file("events/eventbridge.json")).unwrap();
        event["detail"] = json!({"userId": "parked-by-lambda", "nickname": "it's \"quoted\"\\"});
        // As Lambda writes it.
        let record = json!({
            "version": "1.0",
            "requestContext": {"condition": "RetriesExhausted", "approximateInvokeCount": 3},
            "requestPayload": event,
            "responsePayload": {"errorMessage": "timeout"},
        });
        let queue = world.output("ParkingQueueUrl");
        for body in [record.to_string(), body("parked-by-us")] {
            let send = ["sqs", "send-message", "--queue-url", queue, "--message-body", &body];
            world.aws.cli(&send).await.unwrap();
        }
        let mut operator = Operator::begin(&world).await;
        operator.run("Send what Lambda parked", 0).await;
        until_imported(&world, &["parked-by-lambda"]).await;
        let nick = world.tencent.accounts().remove("parked-by-lambda").unwrap().nick;
        assert_eq!((nick.as_deref(), count(&world, "ParkingQueueUrl").await), (Some("it's \"quoted\"\\"), 1));
    });
}

#[test]
fn a_user_is_found_by_the_hash_of_the_id_and_nobody_else_is() {
    let (runtime, world) = world();
    runtime.block_on(async {
        world.tencent.script("ada-lovelace", [Reply::Code(70500)]);
        send(&world, &["ada-lovelace", "charles-babbage"]).await;
        until_imported(&world, &["ada-lovelace", "charles-babbage"]).await;
        until(&world, "both are told", || {
            ["ada-lovelace", "charles-babbage"].iter().all(|user| lines(&world, user).iter().any(is_final))
        })
        .await;
        for user in ["ada-lovelace", "charles-babbage"] {
            logged(&world, &hash(user)).await;
        }
        let mut operator = Operator::begin(&world).await;
        let told = operator.run("Find one user", 0).await;
        let outcomes: Vec<Option<&str>> = told.lines().map(|line| line.split('\t').nth(1)).collect();
        assert_eq!(outcomes, [Some("deferred"), Some("imported")]);
    });
}

/// While the old key is refused the sign-up waits; with the new one it is imported, and so is one with the old one back.
#[test]
fn credential_refused_ends_with_a_rotation_that_can_be_taken_back() {
    let (runtime, world) = world();
    let (old, key) = (App::default(), "3".repeat(64));
    runtime.block_on(async {
        send(&world, &["before-rotation"]).await;
        until_imported(&world, &["before-rotation"]).await;
        world.tencent.set_key(&key);
        send(&world, &["blocked-by-key"]).await;
        until(&world, "refused", || lines(&world, "blocked-by-key").iter().any(|line| line["message"] == "blocked"))
            .await;
        logged(&world, &hash("blocked-by-key")).await;
        let mut operator = Operator::begin(&world).await;
        let told = operator.run("credential-refused", 0).await;
        assert!(told.contains("\tblocked\t70003\tUserSig invalid") || told.contains("\tblocked\t700"), "{told}");

        let new = App { key, ..old.clone() }.secret();
        std::fs::write(operator.shell.place.join("key.json"), new).unwrap();
        operator.run(ROTATE, 0).await;
        until_imported(&world, &["blocked-by-key"]).await;
        let refused = operator.run(ROTATE, 1).await;
        assert_eq!((refused.lines().count(), operator.shell.place.join("key.json").exists()), (1, false), "{refused}");

        world.tencent.set_key(&old.key);
        operator.run(ROTATE, 2).await;
        // The environment that is there reads the secret in half a minute at the earliest, a new one at once.
        world.set(&[]).await.unwrap();
        send(&world, &["after-rotation"]).await;
        until_imported(&world, &["after-rotation"]).await;
    });
}

#[test]
fn set_up_blocked_tells_what_to_do() {
    let (runtime, world) = world();
    runtime.block_on(async {
        world.tencent.script("no-plan", [Reply::Code(60020)]);
        send(&world, &["no-plan"]).await;
        until_told(&world, "no-plan", "60020").await;
        let mut operator = Operator::begin(&world).await;
        let told = operator.run("set-up-blocked", 0).await;
        let expected = "\tblocked\t60020\tno plan, an expired plan or arrears\tbuy, renew or upgrade the app's plan\t";
        assert!(told.contains(expected), "{told}");
        purge(&world).await;
    });
}

#[test]
fn a_secret_that_is_being_deleted_is_found_and_restored() {
    let (runtime, world) = world();
    runtime.block_on(async {
        let secret = world.output("AdminKeySecretArn");
        let delete = ["secretsmanager", "delete-secret", "--recovery-window-in-days", "7", "--secret-id", secret];
        world.aws.cli(&delete).await.unwrap();
        // An environment that has no key yet.
        world.set(&[]).await.unwrap();
        send(&world, &["no-secret"]).await;
        until_told(&world, "no-secret", "secret_refused").await;
        let mut operator = Operator::begin(&world).await;
        let told = operator.run("secret-unreadable", 0).await;
        assert!(told.contains("\tsecret_refused\t") && !told.ends_with("None\n"), "{told}");
        operator.run("secret-unreadable", 1).await;
        let told = operator.run("secret-unreadable", 0).await;
        assert!(told.ends_with("None\n"), "{told}");
        purge(&world).await;
        world.set(&[]).await.unwrap();
        send(&world, &["secret-again"]).await;
        until_imported(&world, &["secret-again"]).await;
    });
}

#[test]
fn not_parked_shows_the_queues_policy_and_makes_a_deleted_queue_again() {
    let (runtime, world) = world();
    let deny = json!({"Version": "2012-10-17", "Statement": [
        {"Sid": "ByHand", "Effect": "Deny", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
    ]});
    runtime.block_on(async {
        let queue = world.output("ParkingQueueUrl");
        let get = ["sqs", "get-queue-attributes", "--queue-url", queue, "--attribute-names", "Policy"];
        let before = world.aws.cli(&get).await.unwrap()["Attributes"].clone();
        let set = async |attributes: &Value| {
            let attributes = attributes.to_string();
            let set = ["sqs", "set-queue-attributes", "--queue-url", queue, "--attributes", &attributes];
            world.aws.cli(&set).await.unwrap();
        };
        set(&json!({"Policy": deny.to_string()})).await;
        let id = world.send("{}").await.unwrap();
        logged(&world, &id).await;
        let mut operator = Operator::begin(&world).await;
        let told = operator.run("not-parked", 0).await;
        assert!(told.contains("\tnot_parked\trejected with malformed") && told.contains("ByHand"), "{told}");

        world.aws.cli(&["sqs", "delete-queue", "--queue-url", queue]).await.unwrap();
        operator.run("not-parked", 1).await;
        set(&before).await;
        purge(&world).await;
        world.follow(&world.send("{}").await.unwrap()).await.unwrap();
        assert_eq!(count(&world, "ParkingQueueUrl").await, 1);
    });
}

#[test]
fn what_waits_is_told_with_its_code() {
    let (runtime, world) = world();
    runtime.block_on(async {
        world.tencent.script("unknown", [Reply::Code(99999)]);
        world.tencent.script("too-many", [Reply::Code(60007)]);
        world.tencent.script("slow", [Reply::Late(Duration::from_secs(6))]);
        send(&world, &["unknown", "too-many", "slow"]).await;
        for (user, code) in [("unknown", "99999"), ("too-many", "60007"), ("slow", "timeout")] {
            until_told(&world, user, code).await;
        }
        let mut operator = Operator::begin(&world).await;
        let told = [
            operator.run("unknown-code", 0).await,
            operator.run("rate-limited", 0).await,
            operator.run("oldest-unfinished", 0).await,
            operator.run("duration", 0).await,
        ];
        for (told, expected) in told.iter().zip(["\t99999\ta code", "\t60007\t", "\ttimeout\t", "\ttimeout\t"]) {
            assert!(told.contains(expected), "{expected:?} is not in:\n{told}");
        }
    });
}

/// Nothing is imported while it is paused, and all is after.
#[test]
fn a_backlog_behind_a_paused_mapping_drains_when_it_is_resumed() {
    let (runtime, world) = world();
    let users = ["paused-1", "paused-2"];
    runtime.block_on(async {
        purge(&world).await;
        let mut operator = Operator::begin(&world).await;
        let paused = operator.run("Pause and resume", 0).await;
        let calls = world.tencent.calls().len();
        send(&world, &users).await;
        let told = operator.run("backlog", 0).await;
        let disabled = operator.run("no-signups", 0).await;
        operator.run("no-signups", 1).await;
        let called = world.tencent.calls().len() - calls;
        let resumed = operator.run("Pause and resume", 1).await;
        assert!(told.starts_with("2\t0\nDisabled\t"), "{told}");
        assert!(disabled.starts_with("ENABLED\t") && disabled.ends_with("\nDisabled\n2\n"), "{disabled}");
        assert_eq!((paused.trim(), called, resumed.trim()), ("Disabled", 0, "Enabled"));
        until_imported(&world, &users).await;
    });
}

#[test]
fn a_disabled_rule_is_found() {
    let (runtime, world) = world();
    runtime.block_on(async {
        let rule = world.output("RuleName");
        world.aws.cli(&["events", "disable-rule", "--name", rule]).await.unwrap();
        let mut operator = Operator::begin(&world).await;
        let told = operator.run("no-signups", 0).await;
        operator.run("no-signups", 1).await;
        let cured = operator.run("no-signups", 0).await;
        assert!(told.starts_with("DISABLED\t{\"detail-type\"") && cured.starts_with("ENABLED\t"), "{told}{cured}");
    });
}

#[test]
fn invocation_errors_and_panics_are_found_in_the_log() {
    let (runtime, world) = world();
    runtime.block_on(async {
        // Lambda's line, as its documentation has it, and the one of `src/logs.rs`.
        let report = |status: &str| json!({"type": "platform.report", "record": {"requestId": "1", "status": status}});
        for status in ["timeout", "success"] {
            write_log(&world, &report(status).to_string()).await;
        }
        write_log(&world, r#"{"level":"ERROR","message":"panicked","place":"src/import.rs:7:1","advice":"report"}"#)
            .await;
        let mut operator = Operator::begin(&world).await;
        let failed = operator.run("invocation-errors", 0).await;
        let panicked = operator.run("panicked", 0).await;
        assert!(failed.contains(&report("timeout").to_string()) && !failed.contains("success"), "{failed}");
        assert!(panicked.contains("\tpanicked\tsrc/import.rs:7:1\n"), "{panicked}");
    });
}

#[test]
fn throttles_shows_what_is_kept_for_the_function() {
    let (runtime, world) = world();
    runtime.block_on(async {
        let function = ["--function-name", world.output("FunctionName")];
        let put = ["lambda", "put-function-concurrency", "--reserved-concurrent-executions", "3"];
        world.aws.cli(&[&put[..], &function[..]].concat()).await.unwrap();
        let mut operator = Operator::begin(&world).await;
        let told = operator.run("throttles", 0).await;
        let delete = ["lambda", "delete-function-concurrency"];
        world.aws.cli(&[&delete[..], &function[..]].concat()).await.unwrap();
        assert!(told.contains("\"UnreservedConcurrentExecutions\": ") && told.ends_with("\n3\n"), "{told}");
    });
}

/// The version that works, and the rate that it has been told.
async fn version(world: &World) -> (u32, String) {
    let function = format!("{}:live", world.output("FunctionName"));
    let told = world.aws.cli(&["lambda", "get-function-configuration", "--function-name", &function]).await.unwrap();
    (text(&told, "/Version").parse().unwrap(), text(&told, "/Environment/Variables/CHAT_RATE_LIMIT").to_owned())
}

#[test]
fn a_parameter_is_changed_and_the_deployment_undone() {
    let (runtime, mut world) = world();
    runtime.block_on(async {
        // Whatever another test has changed by hand.
        world.deploy(binary(), &[("ChatRateLimit", "199")]).await.unwrap();
        let (before, rate) = version(&world).await;
        let mut operator = Operator::begin(&world).await;
        operator.run("Change a parameter", 0).await;
        let changed = version(&world).await;
        operator.run("Undo a deployment", 0).await;
        operator.run("Undo a deployment", 1).await;
        let undone = version(&world).await;
        operator.run("Undo a deployment", 2).await;
        assert_eq!((rate.as_str(), &changed), ("199", &(before + 1, "100".to_owned())));
        assert_eq!((undone, version(&world).await), ((before, rate), changed));
        world.deploy(binary(), &[("ChatRateLimit", "200")]).await.unwrap();
        send(&world, &["after-all"]).await;
        until_imported(&world, &["after-all"]).await;
    });
}

/// By the page alone, from an empty shell to the last account.
#[test]
fn a_storm_of_70398_rings_and_ends_with_every_account_imported() {
    let (runtime, world) = world();
    runtime.block_on(async {
        purge(&world).await;
        let before = world.tencent.accounts().len();
        world.tencent.set_quota(before + 100);
        let (enter, asked) = unbounded_channel();
        let story = async {
            let mut operator = Operator::arrive(&world).await;
            // As `cargo sandbox` writes it.
            let top = operator.shell.place.join("target/local");
            std::fs::create_dir_all(&top).unwrap();
            std::fs::write(top.join("sandbox.sh"), world.aws.shell()).unwrap();
            operator.run(STORM, 0).await;
            operator.run(FIRST, 0).await;
            operator.run(STORM, 1).await;
            let rings = operator.run(STORM, 2).await;
            let ringing = operator.run(FIRST, 1).await;
            until(&world, "20 are parked", || storm(&world, "70398").len() == 20).await;
            operator.run("account-limit", 0).await;
            let accounts = world.tencent.accounts().len() - before;
            enter.send(()).unwrap();
            operator.shell.run(&blocks(REDRIVE)[0]).await;
            let moved = operator.redriven("COMPLETED").await;
            assert_eq!(moved, "COMPLETED\t20\t20\n");
            until(&world, "all are imported", || storm(&world, "").len() == 120).await;
            // The log has it a moment later.
            let (expected, mut told) = (format!("{}\n0\n", imported(&world).len()), String::new());
            for _ in 0..20 {
                if told != expected {
                    told = operator.run(STORM, 3).await;
                }
            }
            assert_eq!(told, expected);
            (rings, ringing, accounts, world.tencent.accounts().len() - before)
        };
        let (rings, ringing, limit, accounts) = tokio::select! {
            ended = sandbox::live(&world, asked, |_| ()) => panic!("the sandbox ended: {ended:?}"),
            told = story => told,
        };
        assert!(rings.contains("Runbook: infra/README.md#account-limit"), "{rings}");
        assert!(ringing.contains("chat-signup-import-account-limit\t"), "{ringing}");
        assert_eq!((limit, accounts), (100, 120));
    });
}

/// The users of the storm whom the log has with this code, or as imported.
fn storm(world: &World, code: &str) -> BTreeSet<String> {
    let users = (1..=12).flat_map(|ten| (1..=10).map(move |n| hash(&format!("user-{ten}-{n}"))));
    let met = if code.is_empty() { imported(world) } else { told_of(world, |line| line["code"] == code) };
    users.filter(|user| met.contains(user)).collect()
}

/// Everybody whom the log has as imported.
fn imported(world: &World) -> BTreeSet<String> {
    told_of(world, |line| line["message"] == "imported")
}

fn told_of(world: &World, is_so: impl Fn(&Value) -> bool) -> BTreeSet<String> {
    let lines = world.told().into_iter().filter(|line| is_so(line));
    lines.filter_map(|line| Some(line.get("user")?.as_str()?.to_owned())).collect()
}

/// Who writes where the key is used: the queues' policies name them, and CloudWatch Logs keeps the log.
#[test]
fn the_policy_of_a_customer_key_admits_every_service_that_writes() {
    let page = file("infra/README.md");
    let policy = page.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let policy: Value = serde_json::from_str(policy).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    let services = statements.iter().flat_map(|statement| match &statement["Principal"]["Service"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::String(name) => vec![name.replace(".eu-central-1", "")],
        _ => Vec::new(),
    });
    let template = file("infra/template.yaml");
    let policies = template.split("Type: AWS::SQS::QueuePolicy").skip(1);
    let senders = policies.flat_map(|policy| policy.split("Service: ").skip(1).take(2));
    let senders = senders.map(|rest| rest.split_whitespace().next().unwrap().to_owned());
    let writers: BTreeSet<String> = senders.chain(["logs.amazonaws.com".to_owned()]).collect();
    assert_eq!(services.collect::<BTreeSet<_>>(), writers);
}

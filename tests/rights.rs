//! Least privilege: what stops without each right of the function's role, and whom its queue refuses.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::Path,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use aws_sdk_sqs::error::ProvideErrorMetadata;
use futures_util::future::join_all;
use local::{
    aws::{Outputs, STACK},
    file,
    python::Python,
    tencent::{App, Reply},
    world::World,
};
use serde_json::{Value, json};
use tokio::{
    runtime::Runtime,
    sync::{Mutex, OnceCell},
};

const BINARY: &str = env!("CARGO_BIN_EXE_chat-signup-import");

/// What fails without a right. The last is none of the role's: it is added, so that a right that nothing needs is seen
/// to be told. Without it the role is whole, and nothing fails.
const MISSED: [(&str, &[&str]); 14] = [
    ("ReadAdminKey secretsmanager:GetSecretValue", &["a sign-up is imported", "what failed comes back soon"]),
    ("TakeSignups sqs:ReceiveMessage", &["the stack is deployed, with ReceiveMessage"]),
    ("TakeSignups sqs:DeleteMessage", &["the stack is deployed, with DeleteMessage"]),
    ("TakeSignups sqs:GetQueueAttributes", &["the stack is deployed, with GetQueueAttributes"]),
    ("PutSignupsBack sqs:ChangeMessageVisibility", &["what failed comes back soon"]),
    ("PutSignupsBack sqs:SendMessage", &["what was invoked directly and failed is put on the queue"]),
    ("Park sqs:SendMessage", &["what is rejected is parked"]),
    ("Log logs:CreateLogStream", &["there is a log"]),
    ("Log logs:PutLogEvents", &["there is a log"]),
    (
        "UseKmsKey kms:Decrypt",
        &[
            "a sign-up is imported",
            "what failed comes back soon",
            "what is rejected is parked",
            "what was invoked directly and failed is put on the queue",
        ],
    ),
    (
        "UseKmsKey kms:GenerateDataKey",
        &["what is rejected is parked", "what was invoked directly and failed is put on the queue"],
    ),
    ("Trace xray:PutTraceSegments", &["the stack is deployed, with PutTraceSegments"]),
    ("Trace xray:PutTelemetryRecords", &["the stack is deployed, with PutTelemetryRecords"]),
    ("Superfluous sqs:PurgeQueue", &[]),
];

/// Rights that a deployment has only when a parameter asks for them.
const OPTIONAL: [&str; 4] = [
    "UseKmsKey kms:Decrypt",
    "UseKmsKey kms:GenerateDataKey",
    "Trace xray:PutTraceSegments",
    "Trace xray:PutTelemetryRecords",
];

/// A right of the role, as the template has it.
struct Right {
    /// The statement's name, and the action.
    name: String,
    /// The lines that grant it and nothing else.
    lines: Range<usize>,
}

/// The rights of the function's role.
fn rights(template: &str) -> Vec<Right> {
    let lines: Vec<&str> = template.lines().collect();
    let start = lines.iter().position(|line| *line == "  FunctionRole:").unwrap();
    let end = (start + 1..lines.len()).find(|at| indent(lines[*at]) == 2).unwrap();
    let block = |at: usize| at..(at + 1..end).find(|next| indent(lines[*next]) <= indent(lines[at])).unwrap_or(end);
    let value = |at: usize| lines[at].split(" #").next().unwrap_or_default().trim();
    let statements = (start..end).filter(|at| value(*at).starts_with("- Sid: "));
    statements
        .flat_map(|at| {
            let (sid, statement) = (value(at).trim_start_matches("- Sid: "), block(at));
            let action = statement.clone().find(|at| value(*at).starts_with("Action:")).unwrap();
            let right = |text: &str, lines| Right { name: format!("{sid} {}", text.trim_start_matches("- ")), lines };
            match (value(action).trim_start_matches("Action:").trim(), block(action).skip(1)) {
                ("", list) if list.len() > 1 => list.map(|at| right(value(at), at..at + 1)).collect(),
                ("", mut list) => vec![right(value(list.next().unwrap()), statement)],
                (single, _) => vec![right(single, statement)],
            }
        })
        .collect()
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The template without these lines, else byte for byte as it stands.
fn without(template: &str, lines: &Range<usize>) -> String {
    let rest = template.split_inclusive('\n').enumerate().filter(|(at, _)| !lines.contains(at));
    rest.map(|(_, line)| line).collect()
}

/// The template with a statement that nothing needs.
fn with_too_much(template: &str) -> String {
    let first = "              - Sid: ReadAdminKey\n";
    let more = "              - Sid: Superfluous\n                Effect: Allow\n                Action: sqs:PurgeQueue\n                \
                Resource: !GetAtt SignupQueue.Arn\n";
    template.replace(first, &format!("{more}{first}"))
}

/// What the world lives in; it ends with the process.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// One world for all tests, with a stack as everybody deploys it; each test has others of its own.
async fn world() -> &'static World {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    let start = async || {
        let python = Python::set_up().await.unwrap_or_else(|error| panic!("this test cannot run: {error}"));
        World::start(&python, Path::new(BINARY), App::default()).await.unwrap()
    };
    WORLD.get_or_init(start).await
}

/// Deploys a template under a name of its own; one after the other, since they share their zip.
async fn deploy(template: &str, stack: &str, parameters: &[(&str, &str)]) -> std::io::Result<Outputs> {
    static TURN: Mutex<()> = Mutex::const_new(());
    let (world, _turn) = (world().await, TURN.lock().await);
    let chat = world.tencent.url();
    let parameters = [parameters, &[("ChatEndpoint", &chat)]].concat();
    world.aws.deploy_text(template, stack, Path::new(BINARY), &parameters).await
}

#[test]
fn each_right_of_the_role_is_missed_when_it_is_gone() {
    let template = with_too_much(&file("infra/template.yaml"));
    let missed = rights(&template).into_iter().enumerate().map(|(at, right)| {
        let less = without(&template, &right.lines);
        async move {
            let key = key().await;
            let asked: &[_] = if OPTIONAL.contains(&right.name.as_str()) { &asked_for(&key) } else { &[] };
            (right.name, Box::pin(failures(&less, &format!("without-{at}"), asked)).await)
        }
    });
    let missed: BTreeMap<String, Vec<String>> = RUNTIME.block_on(join_all(missed)).into_iter().collect();
    let expected = MISSED.map(|(right, failed)| (right.to_owned(), failed.iter().map(ToString::to_string).collect()));
    assert_eq!(missed, BTreeMap::from(expected));
}

#[test]
fn the_role_has_the_rights_for_a_key_and_for_tracing_only_when_it_is_asked_for() {
    let template = file("infra/template.yaml");
    let named: BTreeSet<String> = rights(&template).into_iter().map(|right| right.name).collect();
    let always: BTreeSet<String> = named.into_iter().filter(|name| !OPTIONAL.contains(&name.as_str())).collect();
    // By the list, not by the template: one that is gone from there is missed.
    let all = always.iter().cloned().chain(OPTIONAL.map(str::to_owned)).collect();
    let granted = RUNTIME.block_on(async {
        deploy(&template, "asked-for", &asked_for(&key().await)).await.unwrap();
        (granted(STACK).await, granted("asked-for").await)
    });
    assert_eq!(granted, (always, all));
}

/// A customer's key.
async fn key() -> String {
    let key = world().await.aws.cli(&["kms", "create-key"]).await.unwrap();
    key.pointer("/KeyMetadata/Arn").and_then(Value::as_str).unwrap().to_owned()
}

/// The parameters with which the role has all rights there are.
fn asked_for(key: &str) -> [(&str, &str); 2] {
    [("KmsKeyArn", key), ("Tracing", "Active")]
}

/// The rights that the role of a stack was given.
async fn granted(stack: &str) -> BTreeSet<String> {
    let cli = async |command: &str| world().await.aws.cli(&command.split(' ').collect::<Vec<_>>()).await.unwrap();
    let command = "cloudformation describe-stack-resource --logical-resource-id FunctionRole --stack-name";
    let role = cli(&format!("{command} {stack}")).await;
    let role = role.pointer("/StackResourceDetail/PhysicalResourceId").and_then(Value::as_str).unwrap();
    let policy = cli(&format!("iam get-role-policy --policy-name import-signups --role-name {role}")).await;
    let statements = policy.pointer("/PolicyDocument/Statement").and_then(Value::as_array).unwrap();
    let names = statements.iter().flat_map(|statement| {
        let actions = statement["Action"].as_array().cloned().unwrap_or_else(|| vec![statement["Action"].clone()]);
        let name = |action: Value| format!("{} {}", statement["Sid"].as_str().unwrap(), action.as_str().unwrap());
        actions.into_iter().map(name).collect::<Vec<_>>()
    });
    names.collect()
}

/// What the strangers send arrives on a queue that is open to everybody, and there only.
#[test]
fn the_queue_takes_nothing_from_whom_its_policy_does_not_name() {
    let told = RUNTIME.block_on(async {
        let world = world().await;
        let cli = async |arguments: &[&str]| world.aws.cli(arguments).await.unwrap();
        let (url, arn) = (world.output("SignupQueueUrl"), world.output("SignupQueueArn"));
        world.aws.pause(true).await.unwrap();

        let policy = json!({"Statement": {"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": "*"}});
        let attributes = json!({"Policy": policy.to_string()}).to_string();
        let open = cli(&["sqs", "create-queue", "--queue-name", "open", "--attributes", &attributes]).await;
        let open = open["QueueUrl"].as_str().unwrap();
        let open_arn = arn.replace(&format!("{STACK}-signups"), "open");

        let targets = json!([{"Id": "closed", "Arn": arn}, {"Id": "open", "Arn": open_arn}]).to_string();
        let pattern = r#"{"detail-type":["Stranger"]}"#;
        cli(&["events", "put-rule", "--name", "stranger", "--event-pattern", pattern]).await;
        cli(&["events", "put-targets", "--rule", "stranger", "--targets", &targets]).await;
        let stranger = json!({"source": "s", "detail-type": "Stranger", "detail": {"userId": "of-a-rule"}});
        world.put_event(&stranger).await.unwrap();
        arrived(open, 1).await;

        let topic = cli(&["sns", "create-topic", "--name", "stranger"]).await;
        let topic = topic["TopicArn"].as_str().unwrap();
        for endpoint in [arn, &open_arn] {
            let to = ["--topic-arn", topic, "--protocol", "sqs", "--notification-endpoint", endpoint];
            cli(&[&["sns", "subscribe"], &to[..]].concat()).await;
        }
        cli(&["sns", "publish", "--topic-arn", topic, "--message", r#"{"userId":"of-a-topic"}"#]).await;
        arrived(open, 2).await;

        cli(&["iam", "create-user", "--user-name", "stranger"]).await;
        let key = cli(&["iam", "create-access-key", "--user-name", "stranger"]).await;
        let part = |name: &str| key.pointer(&format!("/AccessKey/{name}")).and_then(Value::as_str).unwrap();
        let theirs = world.aws.sqs_of(part("AccessKeyId"), part("SecretAccessKey"));
        let refused = theirs.send_message().queue_url(url).message_body(r#"{"userId":"of-a-user"}"#).send().await;
        let refused = refused.err().and_then(|error| error.code().map(str::to_owned));

        let strangers = (waiting(url).await, waiting(world.output("ParkingQueueUrl")).await);
        world.put_event(&serde_json::from_str(&file("events/eventbridge.json")).unwrap()).await.unwrap();
        arrived(url, 1).await;
        world.aws.pause(false).await.unwrap();
        (refused, strangers)
    });
    assert_eq!(told, (Some("AccessDenied".to_owned()), (0, 0)));
}

/// How many messages are on a queue to be taken.
async fn waiting(url: &str) -> usize {
    let attributes = ["--queue-url", url, "--attribute-names", "ApproximateNumberOfMessages"];
    let answer = world().await.aws.cli(&[&["sqs", "get-queue-attributes"], &attributes[..]].concat()).await.unwrap();
    answer.pointer("/Attributes/ApproximateNumberOfMessages").and_then(Value::as_str).unwrap().parse().unwrap()
}

/// Waits until so many messages are on a queue.
async fn arrived(url: &str, messages: usize) {
    for _ in 0..60 {
        if waiting(url).await >= messages {
            return;
        }
    }
    panic!("{url} did not get {messages} messages");
}

/// What of these does not hold of a stack of this template.
async fn failures(template: &str, stack: &str, parameters: &[(&str, &str)]) -> Vec<String> {
    let Ok(outputs) = deploy(template, stack, parameters).await else {
        return vec![format!("the stack is deployed, with {}", refused(stack).await)];
    };
    let (world, secret) = (world().await, App::default().secret());
    let key = ["--secret-id", &outputs["AdminKeySecretArn"], "--secret-string", &secret];
    world.aws.cli(&[&["secretsmanager", "put-secret-value"], &key[..]].concat()).await.unwrap();
    let queue = &outputs["SignupQueueUrl"];
    let direct = async {
        let is_put_back = holds(stack, async |user| puts_back(&outputs["FunctionName"], user).await).await;
        // The log is written before the caller is answered.
        (is_put_back, has_log(stack).await)
    };
    let (imports, comes_back, parks, (puts_back, has_log)) = tokio::join!(
        holds(stack, async |user| imports(queue, user).await),
        holds(stack, async |user| comes_back(queue, user).await),
        holds(stack, async |_| parks(queue, &outputs["ParkingQueueUrl"]).await),
        direct
    );
    let held = [
        ("a sign-up is imported", imports),
        ("there is a log", has_log),
        ("what failed comes back soon", comes_back),
        ("what is rejected is parked", parks),
        ("what was invoked directly and failed is put on the queue", puts_back),
    ];
    held.into_iter().filter(|(_, holds)| !holds).map(|(scenario, _)| scenario.to_owned()).collect()
}

/// Whether a scenario holds once in three times, each with a user of its own: what a busy machine hinders is no right.
async fn holds(stack: &str, scenario: impl AsyncFn(&str) -> bool) -> bool {
    static USERS: AtomicU32 = AtomicU32::new(0);
    for _ in 0..3 {
        if scenario(&format!("{stack}-{}", USERS.fetch_add(1, Ordering::Relaxed))).await {
            return true;
        }
    }
    false
}

/// The action that Lambda missed when it refused to make the mapping, or the function.
async fn refused(stack: &str) -> String {
    let events = ["cloudformation", "describe-stack-events", "--stack-name", stack];
    let events = world().await.aws.cli(&events).await.unwrap().to_string();
    let (before, after) = ("execution role does not have permissions to call ", " on ");
    let reason = events.split(before).nth(1).and_then(|rest| rest.split(after).next());
    reason.unwrap_or_else(|| panic!("{stack} was not deployed for another reason:\n{events}")).to_owned()
}

async fn imports(queue: &str, user: &str) -> bool {
    let id = world().await.send_to(queue, &json!({"userId": user}).to_string()).await.unwrap();
    says(&line(&id, |_| true).await, "imported")
}

/// Without the right it comes back, too, but only when the queue's own visibility timeout is over: the log says so.
async fn comes_back(queue: &str, user: &str) -> bool {
    let world = world().await;
    world.tencent.script(user, [Reply::Code(70500)]);
    let id = world.send_to(queue, &json!({"userId": user}).to_string()).await.unwrap();
    let first = line(&id, |_| true).await;
    let request = first.pointer("/span/requestId").and_then(Value::as_str).unwrap();
    let last = line(request, |line| says(line, "invocation done") || says(line, "not delayed")).await;
    if !says(&first, "deferred") || says(&last, "not delayed") {
        return false;
    }
    let second = line(&id, |line| line.get("receives") == Some(&json!(2))).await;
    says(&second, "imported")
}

async fn parks(queue: &str, parking_queue: &str) -> bool {
    let world = world().await;
    let id = world.send_to(queue, "{}").await.unwrap();
    let is_rejected = says(&line(&id, |_| true).await, "rejected");
    let parked = world.aws.sqs().receive_message().queue_url(parking_queue).send().await.unwrap();
    is_rejected && parked.messages().iter().any(|message| message.body() == Some("{}"))
}

async fn puts_back(function: &str, user: &str) -> bool {
    let world = world().await;
    world.tencent.script(user, [Reply::Code(70500)]);
    match world.aws.invoke(&format!("{function}:live"), &json!({"userId": user})).await {
        Ok(_) => true,
        Err(error) if error.to_string().contains("NotPutBack") => false,
        Err(error) => panic!("{function} failed for another reason: {error}"),
    }
}

async fn has_log(stack: &str) -> bool {
    let group = format!("/aws/lambda/{stack}");
    let events = world().await.aws.cli(&["logs", "filter-log-events", "--log-group-name", &group]).await.unwrap();
    events.to_string().contains("invocation done")
}

/// Waits for a line of the function's with this text in it, and more about it.
async fn line(text: &str, is: impl Fn(&Value) -> bool) -> Value {
    let world = world().await;
    for _ in 0..600 {
        let log = world.aws.log();
        let lines = log.lines().filter(|line| line.contains(text));
        let mut lines = lines.filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object);
        if let Some(line) = lines.find(&is) {
            return line;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("there was no such line about {text} within two minutes:\n{}", world.aws.log());
}

fn says(line: &Value, message: &str) -> bool {
    line.get("message").and_then(Value::as_str).is_some_and(|text| text.starts_with(message))
}

//! What a deployment makes of its parameters, what an update in place keeps, and what a deletion leaves.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use local::{
    aws::{Aws, Outputs},
    file,
    python::Python,
    serve,
    tencent::{Account, App, Reply, Tencent},
    world::World,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const BINARY: &str = env!("CARGO_BIN_EXE_chat-signup-import");

/// One world for all tests, which take turns; it ends with the process.
static WORLD: LazyLock<(Runtime, Mutex<World>)> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let world = runtime.block_on(async {
        let python = Python::set_up().await.unwrap_or_else(|error| panic!("this test cannot run: {error}"));
        World::start(&python, Path::new(BINARY), App::default()).await.unwrap()
    });
    (runtime, Mutex::new(world))
});

fn world() -> (&'static Runtime, MutexGuard<'static, World>) {
    (&WORLD.0, WORLD.1.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Whatever a stack makes that has a name, and how it is listed.
const LISTS: [(&str, &str); 10] = [
    ("alarms", "cloudwatch describe-alarms --query MetricAlarms[].AlarmName"),
    ("dashboards", "cloudwatch list-dashboards --query DashboardEntries[].DashboardName"),
    ("functions", "lambda list-functions --query Functions[].FunctionName"),
    ("log groups", "logs describe-log-groups --query logGroups[].logGroupName"),
    ("mappings", "lambda list-event-source-mappings --query EventSourceMappings[].UUID"),
    ("queues", "sqs list-queues --query QueueUrls"),
    ("roles", "iam list-roles --query Roles[].RoleName"),
    ("rules", "events list-rules --query Rules[].Name"),
    ("secrets", "secretsmanager list-secrets --query SecretList[].Name"),
    ("subscriptions", "sns list-subscriptions --query Subscriptions[].Endpoint"),
];

/// What there is of each.
async fn there(world: &World) -> BTreeMap<&'static str, BTreeSet<String>> {
    let mut there = BTreeMap::new();
    for (what, command) in LISTS {
        let names = cli(world, command).await;
        let names = names.as_array().into_iter().flatten().filter_map(Value::as_str);
        there.insert(what, names.map(str::to_owned).collect());
    }
    there
}

/// Runs AWS's command line; words are parted by single spaces.
async fn cli(world: &World, command: &str) -> Value {
    world.aws.cli(&command.split(' ').collect::<Vec<_>>()).await.unwrap()
}

/// The bus invokes the function itself while the queue waits, with the concurrency that is kept for it; what fails
/// goes to the queue. All that was sent before the updates is imported after them.
#[test]
fn updates_in_place_lose_no_message_and_the_bus_may_invoke_the_function_itself() {
    let (runtime, mut world) = world();
    let told = runtime.block_on(async {
        let (before, others) = (facts(&world).await, world.tencent.accounts());
        world.aws.pause(true).await.unwrap();
        let mut sent = Vec::new();
        for user in 0..10 {
            sent.push(world.send(&json!({"userId": format!("waits-{user}")}).to_string()).await.unwrap());
        }
        let binary = Path::new(BINARY);
        let change = [("ChatRateLimit", "100"), ("SignupFormat", "okta"), ("BatchSize", "3"), ("MaxConcurrency", "3")];
        world.deploy(binary, &change).await.unwrap();
        world.deploy(binary, &[("SignupFormat", "default"), ("EventDelivery", "function")]).await.unwrap();
        let during = facts(&world).await;

        world.tencent.script("fails-once", [Reply::Code(70500)]);
        for user in ["at-once", "fails-once"] {
            let event = json!({"source": "app", "detail-type": "UserSignedUp", "detail": {"userId": user}});
            world.put_event(&event).await.unwrap();
        }
        let is_there = || world.tencent.accounts().contains_key("at-once");
        until(|| is_there() && !world.tencent.calls_for("fails-once").is_empty(), &world).await;
        let imported = new_accounts(&world, &others);

        let back = [("EventDelivery", "queue"), ("BatchSize", "10"), ("ChatRateLimit", "200"), ("MaxConcurrency", "5")];
        world.deploy(binary, &back).await.unwrap();
        let after = facts(&world).await;
        world.aws.pause(false).await.unwrap();
        for id in &sent {
            world.follow(id).await.unwrap();
        }
        until(|| world.tencent.accounts().contains_key("fails-once"), &world).await;
        (before == after, during, imported, new_accounts(&world, &others).len())
    });
    let queue = world.output("SignupQueueUrl");
    let during = [queue, "3", "3", "3", "100"].map(str::to_owned);
    assert_eq!(told, (true, during, vec!["at-once".to_owned()], 12));
}

fn new_accounts(world: &World, others: &BTreeMap<String, Account>) -> Vec<String> {
    world.tencent.accounts().into_keys().filter(|user| !others.contains_key(user)).collect()
}

/// Waits until it is so.
async fn until(is_so: impl Fn() -> bool, world: &World) {
    for _ in 0..300 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("it was not so within a minute:\n{}", world.aws.log())
}

/// The queue, the mapping's batch size and concurrency, the function's own, and the rate.
async fn facts(world: &World) -> [String; 5] {
    let name = world.output("FunctionName");
    let mapping = cli(world, "lambda list-event-source-mappings").await;
    let mapping = mapping.pointer("/EventSourceMappings/0").unwrap();
    let reserved = cli(world, &format!("lambda get-function-concurrency --function-name {name}")).await;
    let settings = world.aws.settings(&format!("{name}:live")).await.unwrap();
    [
        world.output("SignupQueueUrl").to_owned(),
        mapping["BatchSize"].to_string().trim_matches('"').to_owned(),
        mapping["ScalingConfig"]["MaximumConcurrency"].to_string().trim_matches('"').to_owned(),
        reserved.get("ReservedConcurrentExecutions").map_or("none".to_owned(), Value::to_string),
        settings["CHAT_RATE_LIMIT"].clone(),
    ]
}

#[test]
fn a_secret_that_is_given_is_read_and_none_is_made() {
    let (runtime, world) = world();
    let (is_theirs, outcome, made) = runtime.block_on(async {
        let key = App::default().secret();
        let create = ["secretsmanager", "create-secret", "--name", "theirs", "--secret-string", &key];
        let secret = world.aws.cli(&create).await.unwrap();
        let secret = secret["ARN"].as_str().unwrap();
        let before = there(&world).await;
        let outputs = deploy(&world, "given", &[("AdminKeySecretArn", secret)]).await;
        let id = world.send_to(&outputs["SignupQueueUrl"], r#"{"userId":"of-theirs"}"#).await.unwrap();
        let outcome = world.follow(&id).await.unwrap().remove(0)["message"].clone();
        let during = there(&world).await;
        delete(&world, "given").await;
        let secrets = (before["secrets"] == during["secrets"], before == there(&world).await);
        (outputs["AdminKeySecretArn"] == secret, outcome, secrets)
    });
    assert_eq!((is_theirs, outcome, made), (true, json!("imported"), (true, true)));
}

#[test]
fn a_stack_with_everything_names_its_key_and_leaves_nothing_behind() {
    let (runtime, world) = world();
    let (key, named, not_made, left) = runtime.block_on(async {
        let key = cli(&world, "kms create-key --query KeyMetadata.Arn").await;
        let topic = cli(&world, "sns create-topic --name everything --query TopicArn").await;
        let (key, topic) = (key.as_str().unwrap(), topic.as_str().unwrap());
        let before = there(&world).await;
        let parameters = [
            ("KmsKeyArn", key),
            ("SignupTopicArn", topic),
            ("AlarmTopicArn", topic),
            ("EventDelivery", "function"),
            ("Tracing", "Active"),
        ];
        let outputs = deploy(&world, "everything", &parameters).await;
        let during = there(&world).await;
        let named = keys(&world, "everything", &outputs).await;
        delete(&world, "everything").await;
        let not_made: Vec<&str> =
            LISTS.map(|(what, _)| what).into_iter().filter(|what| before[what] == during[what]).collect();
        (json!(key), named, not_made, there(&world).await == before)
    });
    assert_eq!((named, not_made, left), (vec![key; 4], vec![], true));
}

/// The keys that queues, log and secret of a stack are encrypted with.
async fn keys(world: &World, stack: &str, outputs: &Outputs) -> Vec<Value> {
    let mut keys = Vec::new();
    for queue in ["SignupQueueUrl", "ParkingQueueUrl"] {
        let query = "--attribute-names KmsMasterKeyId --query Attributes.KmsMasterKeyId";
        keys.push(cli(world, &format!("sqs get-queue-attributes --queue-url {} {query}", outputs[queue])).await);
    }
    let group = format!("--log-group-name-prefix /aws/lambda/{stack} --query logGroups[0].kmsKeyId");
    keys.push(cli(world, &format!("logs describe-log-groups {group}")).await);
    let secret = &outputs["AdminKeySecretArn"];
    keys.push(cli(world, &format!("secretsmanager describe-secret --secret-id {secret} --query KmsKeyId")).await);
    keys
}

/// Every command of README's section, in an AWS in which there is nothing yet; SAM's questions are answered in turn.
#[test]
fn a_new_user_deploys_it_by_the_readme() {
    WORLD.0.block_on(async {
        let (python, sam) = (Python::set_up().await.unwrap(), Python::sam().await.unwrap());
        let (tls, certificate) = serve::tls().unwrap();
        let app = App::default();
        let key = app.secret();
        let tencent = Tencent::start_on(0, Some(tls), app).await.unwrap();
        let aws = Aws::start(&python, &[("SSL_CERT_FILE", &certificate.to_string_lossy())]).await.unwrap();
        for name in ["infra/template.yaml", "infra/samconfig.toml", "events/signup.json"] {
            aws.write(name, &file(name)).unwrap();
        }
        aws.write("key.json", &key).unwrap();
        aws.write("answers", &answers(&tencent.url())).unwrap();
        // What `cargo release` makes is there.
        aws.release(Path::new(BINARY)).await.unwrap();
        let sam = sam.bin.join("sam");
        let sam = format!(
            "cargo() {{ [ \"$*\" = 'release arm64' ]; }}\nexport SAM_CLI_TELEMETRY=0\n\
             sam() {{ if [ $1 = deploy ]; then '{0}' \"$@\" < ../answers; else '{0}' \"$@\"; fi; }}\n",
            sam.display()
        );
        let page = file("README.md");
        let section = page.split("\n## Deploy it\n").nth(1).unwrap().split("\n## ").next().unwrap();
        let blocks = section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let script = blocks.fold(sam, |script, block| script + block);
        aws.bash(&script).await.unwrap();
        for _ in 0..300 {
            if tencent.accounts().contains_key("ada-lovelace") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("the first sign-up was not imported within a minute:\n{}", aws.log());
    });
}

/// What is typed when `sam deploy --guided` asks: a line for the stack's name, the region, each parameter, and six
/// settings of SAM's own, all as they are proposed but for what the local AWS needs; then that it may begin.
fn answers(chat: &str) -> String {
    let template = file("infra/template.yaml");
    let parameters = template.split("\nParameters:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = parameters.lines().filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
    let answer = |name| match name {
        "ChatEndpoint" => chat,
        "Architecture" if cfg!(target_arch = "x86_64") => "x86_64",
        // MiniStack has no CodeDeploy.
        "GradualDeployment" => "false",
        _ => "",
    };
    let answers = ["", ""].into_iter().chain(names.filter(|name| !name.starts_with(' ')).map(answer));
    answers.chain([""; 6]).chain(["y", ""]).collect::<Vec<_>>().join("\n")
}

async fn deploy(world: &World, stack: &str, parameters: &[(&str, &str)]) -> Outputs {
    let chat = world.tencent.url();
    let parameters = [parameters, &[("ChatEndpoint", &chat)]].concat();
    world.aws.deploy_text(&file("infra/template.yaml"), stack, Path::new(BINARY), &parameters).await.unwrap()
}

async fn delete(world: &World, stack: &str) {
    cli(world, &format!("cloudformation delete-stack --stack-name {stack}")).await;
    cli(world, &format!("cloudformation wait stack-delete-complete --stack-name {stack}")).await;
}

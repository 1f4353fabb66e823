//! What AWS answers the function, whose own AWS clients ask it without a network.

use aws_sdk_sqs::config::{
    BehaviorVersion, Credentials, Region, SharedHttpClient,
    retry::{RetryConfig, RetryPartition},
    timeout::TimeoutConfig,
};
use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
        orchestrator::{HttpRequest, HttpResponse},
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use local::tencent::App;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::sleep;

use crate::{
    scenario::{Fault, Trouble},
    tencent::NEW_KEY,
    world::{Content, World, world},
};

/// Where the messages are.
pub const QUEUE: &str = "https://sqs.eu-central-1.amazonaws.com/000000000000/signups";
pub const QUEUE_ARN: &str = "arn:aws:sqs:eu-central-1:000000000000:signups";
/// Where the rejected ones are.
pub const PARKING: &str = "https://sqs.eu-central-1.amazonaws.com/000000000000/parked";

/// Connects to the world of this thread.
#[derive(Debug)]
struct Connector;

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(async move {
            let target = request.headers().get("x-amz-target").unwrap_or_default();
            let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
            let body: Value = serde_json::from_slice(request.body().bytes().unwrap_or_default()).unwrap_or_default();
            sleep(world(|world| world.between(2, 20))).await;
            let fault = world(|world| fault(world, &operation));
            let (status, answer) = match fault {
                Some(Fault::Hangs) => {
                    sleep(Duration::from_hours(1)).await;
                    (500, json!({}))
                }
                Some(Fault::Fails) => (500, json!({"__type": "InternalError"})),
                Some(Fault::Refuses) => (400, json!({"__type": "AccessDeniedException"})),
                None => world(|world| answer(world, &operation, &body)),
            };
            let status = StatusCode::try_from(status).unwrap();
            Ok(HttpResponse::new(status, SdkBody::from(answer.to_string())))
        })
    }
}

fn client() -> SharedHttpClient {
    http_client_fn(|_, _| SharedHttpConnector::new(Connector))
}

/// Both clients, with the settings of `main`.
pub fn clients() -> (aws_sdk_secretsmanager::Client, aws_sdk_sqs::Client) {
    let credentials = Credentials::new("test", "test", None, None, "test");
    let (retry, region) = (RetryConfig::standard().with_max_attempts(2), Region::new("eu-central-1"));
    // Its own, since all clients of a process share the one that they have by default: a run must not know of another.
    let partition = RetryPartition::custom("of-one-environment").build();
    let timeout = TimeoutConfig::builder().operation_timeout(Duration::from_secs(3)).build();
    let secrets = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(client())
        .region(region.clone())
        .retry_config(retry.clone())
        .retry_partition(partition.clone())
        .timeout_config(timeout.clone())
        .credentials_provider(credentials.clone());
    let sqs = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(client())
        .region(region)
        .retry_config(retry)
        .retry_partition(partition)
        .timeout_config(timeout)
        .credentials_provider(credentials);
    (aws_sdk_secretsmanager::Client::from_conf(secrets.build()), aws_sdk_sqs::Client::from_conf(sqs.build()))
}

fn fault(world: &mut World, operation: &str) -> Option<Fault> {
    let is_meant = |trouble: Trouble| match trouble {
        Trouble::Aws(name, fault) if name == operation => Some(fault),
        _ => None,
    };
    world.troubles().into_iter().find_map(is_meant)
}

fn answer(world: &mut World, operation: &str, body: &Value) -> (u16, Value) {
    match operation {
        "GetSecretValue" => {
            let mut app = App::default();
            for trouble in world.troubles() {
                if let Trouble::Secret(key) = trouble {
                    key.clone_into(&mut app.key);
                }
            }
            if world.troubles().contains(&Trouble::Rotated) && app.key == App::default().key {
                NEW_KEY.clone_into(&mut app.key);
            }
            (200, json!({"ARN": "arn", "Name": "key", "VersionId": "1", "SecretString": app.secret()}))
        }
        "ChangeMessageVisibilityBatch" => {
            let (now, entries) = (world.now(), body["Entries"].as_array().unwrap());
            if entries.len() > 10 {
                world.find("more than 10 entries in a batch");
            }
            for entry in entries {
                let seconds = entry["VisibilityTimeout"].as_u64().unwrap();
                if seconds > 43_200 {
                    world.find("a delay over SQS's limit");
                }
                let id = entry["ReceiptHandle"].as_str().and_then(|handle| handle.parse().ok()).unwrap();
                world.queue.hide(id, now + Duration::from_secs(seconds));
            }
            let done: Vec<Value> = entries.iter().map(|entry| json!({"Id": entry["Id"]})).collect();
            (200, json!({"Successful": done, "Failed": []}))
        }
        "SendMessage" if body["QueueUrl"] == PARKING => {
            park(world, body);
            (200, json!({"MessageId": "parked"}))
        }
        "SendMessage" => {
            let delay = Duration::from_secs(body["DelaySeconds"].as_u64().unwrap_or_default());
            if delay > Duration::from_mins(15) {
                world.find("a delay over SQS's limit");
            }
            let now = world.now();
            world.queue.send(content(body), now, delay, None);
            (200, json!({"MessageId": "sent"}))
        }
        _ => (400, json!({"__type": "UnknownOperationException"})),
    }
}

/// What a body that the function sends holds.
fn content(body: &Value) -> Content {
    let body: Value = serde_json::from_str(body["MessageBody"].as_str().unwrap()).unwrap();
    match body.get("detail").unwrap_or(&body).get("signups").and_then(Value::as_array) {
        Some(users) => Content::Signups(number(&users[0]), users.len()),
        None => Content::Malformed(usize::try_from(body["broken"].as_u64().unwrap()).unwrap()),
    }
}

fn number(user: &Value) -> usize {
    user["id"].as_str().and_then(|id| id.strip_prefix("u")?.parse().ok()).unwrap()
}

fn park(world: &mut World, body: &Value) {
    let attribute = |name: &str| body["MessageAttributes"][name]["StringValue"].as_str().unwrap_or_default().to_owned();
    let (reason, code) = (attribute("Reason"), attribute("ErrorCode"));
    if reason.is_empty() {
        world.find("a message was parked without a reason");
    }
    match content(body) {
        Content::Malformed(number) => drop(world.seen.malformed_parked.insert(number)),
        Content::Other => world.find("a message without a sign-up was parked"),
        Content::Signups(first, count) => {
            let first_sent = attribute("FirstSent").parse::<u64>().map(Duration::from_millis).unwrap_or_default();
            if !world.scenario.by_bus
                && u128::from(u64::try_from(first_sent.as_millis()).unwrap())
                    != crate::world::epoch_millis(world.users[first].sent)
            {
                world.find("a parked message does not tell when it was sent at first");
            }
            // What a kill or a second delivery parks twice counts once.
            if !world.users[first].parked {
                let code =
                    if code.is_empty() { reason.split([' ', ':']).take(4).collect::<Vec<_>>().join(" ") } else { code };
                *world.seen.parked.entry(code).or_default() += u32::try_from(count).unwrap();
            }
            for user in first..first + count {
                world.users[user].parked = true;
            }
        }
    }
}

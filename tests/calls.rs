//! The library over real sockets: how calls fail, what is tried again, and how the key is kept.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    sync::{LazyLock, atomic::AtomicBool},
    time::{Duration, Instant, SystemTime},
};

use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};
use chat_signup_import::{
    admin::{Admin, KEYLESS},
    answer::Answer,
    breaker::Breaker,
    chat::Chat,
    check::Questions,
    config,
    handler::Handler,
    import::Importer,
    network::Network,
    pace::Pace,
    queue::Queue,
};
use futures_util::future::{join, join_all};
use lambda_runtime::{Context, LambdaEvent};
use local::{
    cloud::{Cloud, Fault},
    serve::Place,
    tencent::{App, Reply, SAMPLE_KEY, Tencent, signature},
};
use secrecy::ExposeSecret;
use serde_json::{Value, json, value::RawValue};
use tokio::sync::Semaphore;

thread_local! {
    /// How far this test's clock has been put forward.
    static FORWARD: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    /// How many more numbers this test's randomness gives before it panics.
    static NUMBERS: Cell<usize> = const { Cell::new(usize::MAX) };
    /// What this test has logged.
    static LOG: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Hears every test for as long as the process lives: a subscriber of one thread, set while another thread meets
/// the same line for the first time, may never hear of it.
static LISTENING: LazyLock<()> = LazyLock::new(|| {
    tracing_subscriber::fmt().with_writer(|| Log).with_ansi(false).init();
});

/// Writes to the log of the test that runs on this thread.
struct Log;

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.with_borrow_mut(|log| log.push_str(&String::from_utf8_lossy(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Stands still but for [`forward`]: a test may take its time between two looks at it.
fn clock() -> SystemTime {
    static START: LazyLock<SystemTime> = LazyLock::new(SystemTime::now);
    *START + FORWARD.get()
}

fn forward(time: Duration) {
    FORWARD.set(FORWARD.get() + time);
}

fn random() -> u32 {
    NUMBERS.set(NUMBERS.get().checked_sub(1).expect("a panic that a test asked for"));
    fastrand::u32(..)
}

fn setting(name: &str) -> Option<String> {
    (name == "SIGNUP_DETAIL_TYPE").then(|| "UserSignedUp".to_owned())
}

struct World {
    tencent: Tencent,
    cloud: Cloud,
    importer: Importer,
}

impl World {
    async fn start() -> Self {
        LazyLock::force(&LISTENING);
        let tencent = Tencent::start(App::default()).await.unwrap();
        let cloud = Cloud::start(&App::default().secret()).await.unwrap();
        let importer = Importer {
            admin: Admin::new(secrets(&cloud), "key".to_owned(), clock),
            chat: Chat::new(&network(), &tencent.url().parse().unwrap()).unwrap(),
            rules: config::rules(setting).unwrap(),
            slots: Semaphore::new(10),
            import_pace: Pace::new(10_000, 1, || 0),
            check_pace: Pace::new(10_000, 1, || 0),
            questions: Questions::default(),
            breaker: Breaker::new(|| 0),
            late_after: Duration::from_hours(1),
            request_timeout: Duration::from_millis(400),
            random,
            clock,
        };
        Self { tencent, cloud, importer }
    }

    /// Imports a sign-up of `user`; gives the outcome and the code of its cause, if any.
    async fn import(&self, user: &str) -> (&'static str, String) {
        let body = json!({"userId": user, "nickname": "Nick"}).to_string();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        let attempt = self.importer.import(&body, None, deadline).await.pop().unwrap();
        let code = attempt.outcome.cause().map(|cause| cause.code.to_string()).unwrap_or_default();
        (attempt.outcome.label(), code)
    }

    fn handler(self, queue_url: Option<&str>) -> (Tencent, Cloud, Handler) {
        let sqs = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(self.cloud.url())
            .http_client(network().for_aws())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .build();
        let queue = Queue::new(aws_sdk_sqs::Client::from_conf(sqs), queue_url.map(str::to_owned), None);
        let handler = Handler {
            importer: self.importer,
            queue,
            max_in_flight: 10,
            max_age: Duration::from_hours(96),
            random: || 0,
            clock: SystemTime::now,
            metrics: |_, _, _| {},
            warm: AtomicBool::new(false),
        };
        (self.tencent, self.cloud, handler)
    }
}

fn network() -> Network {
    Network::from_lookup(|_| None).unwrap()
}

fn secrets(cloud: &Cloud) -> aws_sdk_secretsmanager::Client {
    let config = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(cloud.url())
        .http_client(network().for_aws())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .retry_config(aws_sdk_secretsmanager::config::retry::RetryConfig::disabled());
    aws_sdk_secretsmanager::Client::from_conf(config.build())
}

const IMPORTED: (&str, String) = ("imported", String::new());

fn outcome(label: &'static str, code: &str) -> (&'static str, String) {
    (label, code.to_owned())
}

#[tokio::test]
async fn sends_what_there_is_and_leaves_out_what_is_absent() {
    let world = World::start().await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    for body in [
        r#"{"userId":"ada","nickname":"Ada","avatarUrl":"https://example.com/ada.png"}"#,
        r#"{"userId":"grace","nickname":null,"avatarUrl":""}"#,
    ] {
        world.importer.import(body, None, deadline).await;
    }
    let bodies: Vec<String> = world.tencent.calls().into_iter().map(|call| call.body).collect();
    assert_eq!(
        bodies,
        [r#"{"UserID":"ada","Nick":"Ada","FaceUrl":"https://example.com/ada.png"}"#, r#"{"UserID":"grace"}"#]
    );
}

#[tokio::test]
async fn gives_every_call_a_random_of_its_own() {
    let world = World::start().await;
    for _ in 0..20 {
        world.import("ada").await;
    }
    let randoms: BTreeSet<String> = world.tencent.calls().into_iter().map(|call| call.random).collect();
    assert_eq!(randoms.len(), 20);
}

#[tokio::test]
async fn has_an_outcome_for_every_broken_answer() {
    let world = World::start().await;
    let ok = br#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#.to_vec();
    // A success in all but its length.
    let huge = [vec![b' '; 65_536], ok.clone()].concat();
    let cases = [
        ("slow", Reply::Late(Duration::from_secs(2)), "deferred timeout"),
        ("cut-in-head", Reply::Cut(20), "deferred interrupted"),
        ("cut-in-body", Reply::Cut(150), "deferred unreadable"),
        ("garbage", Reply::Garbage, "deferred interrupted"),
        ("empty", Reply::Body(vec![]), "deferred unreadable"),
        ("html", Reply::Body(b"<html>".to_vec()), "deferred unreadable"),
        ("null", Reply::Body(b"null".to_vec()), "deferred unreadable"),
        ("list", Reply::Body(br#"["OK",0,null,null,null]"#.to_vec()), "deferred unreadable"),
        ("gzip", Reply::Gzip(vec![0x1f, 0x8b, 8, 0]), "deferred unreadable"),
        ("huge", Reply::Body(huge), "deferred unreadable"),
        ("redirect", Reply::Redirect(format!("{}/elsewhere", world.tencent.url())), "blocked http_302"),
        ("bad-gateway", Reply::Status(502), "deferred http_502"),
        ("forbidden", Reply::Status(403), "blocked http_403"),
        ("created", Reply::Status(201), "deferred http_201"),
        ("code-is-text", Reply::Body(br#"{"ActionStatus":"OK","ErrorCode":"0"}"#.to_vec()), "deferred unreadable"),
        ("no-code", Reply::Body(br#"{"ActionStatus":"OK"}"#.to_vec()), "deferred unreadable"),
        ("no-status", Reply::Body(br#"{"ErrorCode":0}"#.to_vec()), "deferred unreadable"),
        ("failed-with-0", Reply::Body(br#"{"ActionStatus":"FAIL","ErrorCode":0}"#.to_vec()), "deferred unreadable"),
        ("ok-with-code", Reply::Body(br#"{"ActionStatus":"OK","ErrorCode":70500}"#.to_vec()), "deferred 70500"),
        (
            "odd-extras",
            Reply::Body(br#"{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":7,"RequestId":7}"#.to_vec()),
            "imported ",
        ),
        ("sound", Reply::Body(ok), "imported "),
    ];
    let mut outcomes = Vec::new();
    for (user, reply, _) in &cases {
        // Twice, so that the one retry meets it too.
        world.tencent.script(user, [reply.clone(), reply.clone()]);
        // Each call may be a probe.
        forward(Duration::from_secs(11));
        let (label, code) = world.import(user).await;
        outcomes.push(format!("{user}: {label} {code}"));
    }
    let expected = cases.each_ref().map(|(user, _, outcome)| format!("{user}: {outcome}"));
    assert_eq!(outcomes, expected);
}

/// Tencent has done it each time, and only one answer says so.
#[tokio::test]
async fn believes_no_answer_that_is_not_whole() {
    let world = World::start().await;
    let mut outcomes = Vec::new();
    for place in Place::ALL {
        let user = format!("{place:?}");
        // Twice, so that the one retry meets it too.
        world.tencent.script(&user, [Reply::Lost(place), Reply::Lost(place)]);
        forward(Duration::from_secs(11));
        let (label, code) = world.import(&user).await;
        outcomes.push(format!("{user}: {label} {code}, {} calls", world.tencent.calls_for(&user).len()));
    }
    let expected = [
        "Start: deferred interrupted, 2 calls",
        "Reset: deferred interrupted, 2 calls",
        "StatusLine: deferred interrupted, 2 calls",
        "Headers: deferred interrupted, 2 calls",
        "Body: deferred unreadable, 1 calls",
        "InBody: deferred unreadable, 1 calls",
        "End: imported , 1 calls",
    ];
    assert_eq!((outcomes, world.tencent.accounts().len()), (expected.map(str::to_owned).to_vec(), 7));
}

#[tokio::test]
async fn follows_no_redirect_with_the_signature() {
    let (world, other) = (World::start().await, Tencent::start(App::default()).await.unwrap());
    world.tencent.always(Some(Reply::Redirect(format!("{}/v4/im_open_login_svc/account_import", other.url()))));
    world.import("ada").await;
    assert_eq!(other.calls().len(), 0);
}

#[tokio::test]
async fn defers_when_nobody_listens() {
    let mut world = World::start().await;
    let port = local::serve::free_port().await.unwrap();
    world.importer.chat = Chat::new(&network(), &format!("http://127.0.0.1:{port}").parse().unwrap()).unwrap();
    assert_eq!(world.import("ada").await, outcome("deferred", "no_connection"));
}

/// After a freeze all pooled connections are dead: whoever takes one from the pool must not lose the import.
#[tokio::test]
async fn imports_although_every_pooled_connection_has_died() {
    let world = World::start().await;
    for user in 0..10 {
        world.tencent.script(&format!("first-{user}"), [Reply::Late(Duration::from_millis(50))]);
    }
    join_all((0..10).map(async |user| world.import(&format!("first-{user}")).await)).await;
    let opened = world.tencent.calls().iter().map(|call| call.connection).max();
    world.tencent.doom_connections();
    // One alone: nine more dead connections wait in the pool for its retry.
    let alone = world.import("second").await;
    let others = join_all((0..10).map(async |user| world.import(&format!("third-{user}")).await)).await;
    assert_eq!((opened, alone, others), (Some(10), IMPORTED, vec![IMPORTED; 10]));
}

#[tokio::test]
async fn retries_a_broken_connection_once_and_no_more() {
    let world = World::start().await;
    world.tencent.script("ada", [const { Reply::Cut(0) }; 5]);
    let outcome_of_ada = world.import("ada").await;
    assert_eq!((outcome_of_ada, world.tencent.calls().len()), (outcome("deferred", "interrupted"), 2));
}

#[tokio::test]
async fn makes_one_call_for_a_failure_that_tencent_tells() {
    let world = World::start().await;
    for code in [70500, 60007, 70398, 70050, 60026, 99999] {
        let user = format!("user-{code}");
        world.tencent.script(&user, [Reply::Code(code)]);
        world.import(&user).await;
        // 70050 asks for a minute's silence.
        forward(Duration::from_secs(61));
    }
    assert_eq!(world.tencent.calls().len(), 6);
}

#[tokio::test]
async fn loses_nothing_when_half_of_all_calls_fail_at_random() {
    let mut tries = Vec::new();
    for seed in [7, 7, 8] {
        let world = World::start().await;
        world.tencent.fail_at_random(seed, 0.5);
        let mut counts = Vec::new();
        for user in 0..30 {
            let mut count = 1;
            while world.import(&format!("user-{user}")).await != IMPORTED {
                count += 1;
                forward(Duration::from_secs(11));
            }
            counts.push(count);
        }
        tries.push((world.tencent.accounts().len(), counts));
    }
    assert_eq!((tries[0].0, &tries[0]), (30, &tries[1]), "the same seed must bring the same faults");
    assert_ne!(tries[0], tries[2], "another seed must bring others");
}

#[tokio::test]
async fn goes_on_as_before_once_a_probe_is_answered() {
    let world = World::start().await;
    world.tencent.always(Some(Reply::Code(70500)));
    let mut codes = Vec::new();
    for _ in 0..6 {
        codes.push(world.import("ada").await.1);
    }
    forward(Duration::from_secs(11));
    // A probe that fails keeps it open; one that is answered closes it.
    codes.extend([world.import("ada").await.1, world.import("ada").await.1]);
    forward(Duration::from_secs(11));
    world.tencent.always(None);
    let after = [world.import("ada").await, world.import("grace").await];
    let told = ["70500", "70500", "70500", "70500", "70500", "breaker_open", "70500", "breaker_open"];
    assert_eq!((codes, after), (told.map(str::to_owned).to_vec(), [IMPORTED, IMPORTED]));
}

/// They asked when the breaker was closed still, and their turn comes while the probe is under way.
#[tokio::test]
async fn has_those_whose_turn_comes_during_a_probe_wait_for_its_answer() {
    let mut world = World::start().await;
    // Four calls a second; and whenever the time is asked for, a probe is due.
    world.importer.import_pace = Pace::new(5, 1, || 0);
    world.importer.request_timeout = Duration::from_secs(8);
    world.importer.clock = || {
        forward(Duration::from_secs(11));
        clock()
    };
    world.tencent.script("ada", vec![Reply::Code(70500); 5]);
    world.tencent.script("grace", [Reply::Late(Duration::from_secs(1))]);
    for _ in 0..4 {
        world.import("ada").await;
    }
    let outcomes = join_all(["ada", "grace", "joan"].map(|user| world.import(user))).await;
    assert_eq!(outcomes, [outcome("deferred", "70500"), IMPORTED, IMPORTED]);
}

/// A new code may be one user's: it must not keep the others from being imported.
#[tokio::test]
async fn holds_off_for_no_code_that_it_does_not_know() {
    let world = World::start().await;
    world.tencent.always(Some(Reply::Code(99_999)));
    let mut codes = Vec::new();
    for _ in 0..10 {
        codes.push(world.import("ada").await.1);
    }
    assert_eq!(codes, ["99999"; 10]);
}

#[tokio::test]
async fn ignores_another_detail_type() {
    let world = World::start().await;
    let body = json!({"detail-type": "UserDeleted", "detail": {"userId": "ada"}}).to_string();
    let attempts = world.importer.import(&body, None, tokio::time::Instant::now() + Duration::from_secs(1)).await;
    let labels: Vec<&str> = attempts.iter().map(|attempt| attempt.outcome.label()).collect();
    assert_eq!((labels, world.tencent.calls().len()), (vec!["ignored"], 0));
}

#[tokio::test]
async fn reads_the_secret_once_for_many_imports_at_once() {
    let world = World::start().await;
    world.cloud.fail("GetSecretValue", Some(Fault::Slow(Duration::from_millis(100))));
    let users: Vec<String> = (0..50).map(|user| format!("user-{user}")).collect();
    let outcomes = join_all(users.iter().map(|user| world.import(user))).await;
    assert_eq!((outcomes, world.cloud.reads()), (vec![IMPORTED; 50], 1));
}

#[tokio::test]
async fn keeps_the_key_for_five_minutes_by_the_wall_clock() {
    let world = World::start().await;
    world.import("ada").await;
    forward(Duration::from_secs(299));
    world.import("ada").await;
    let before = world.cloud.reads();
    forward(Duration::from_secs(1));
    world.import("ada").await;
    assert_eq!((before, world.cloud.reads()), (1, 2));
}

#[tokio::test]
async fn renews_the_signature_at_half_its_life() {
    let world = World::start().await;
    let first = world.importer.admin.credentials().await.unwrap();
    forward(Duration::from_secs(12 * 3600 - 1));
    let same = world.importer.admin.credentials().await.unwrap();
    forward(Duration::from_secs(1));
    let renewed = world.importer.admin.credentials().await.unwrap();
    let life = |sig: &secrecy::SecretString| signature::read(sig.expose_secret()).unwrap();
    let (old, new) = (life(&first.user_sig), life(&renewed.user_sig));
    assert_eq!((first.serial, same.serial, renewed.serial, old.expire, new.time - old.time), (1, 1, 2, 86_400, 43_200));
}

#[tokio::test]
async fn serves_the_old_key_on_while_secrets_manager_is_down() {
    let world = World::start().await;
    world.import("ada").await;
    forward(Duration::from_secs(301));
    world.cloud.fail("GetSecretValue", Some(Fault::Error(500, "InternalServiceError")));
    let during = [world.import("ada").await, world.import("grace").await];
    let tries = world.cloud.calls("GetSecretValue");
    world.cloud.fail("GetSecretValue", None);
    forward(Duration::from_secs(31));
    world.import("ada").await;
    // One failed read in 30 s, not one for each message; then the key is read again.
    assert_eq!((during, tries, world.cloud.calls("GetSecretValue")), ([IMPORTED, IMPORTED], 2, 3));
    let log = LOG.take();
    assert!(log.contains("WARN") && log.contains("serves_on=true"), "{log:?}");
}

#[tokio::test]
async fn says_what_is_wrong_with_the_secret() {
    let world = World::start().await;
    let mut outcomes = Vec::new();
    for (fault, secret) in [
        (Some(Fault::Error(500, "InternalServiceError")), ""),
        (Some(Fault::Error(400, "ThrottlingException")), ""),
        (Some(Fault::Error(400, "AccessDeniedException")), ""),
        (Some(Fault::Error(400, "ResourceNotFoundException")), ""),
        (None, ""),
        (None, SAMPLE_KEY),
        (None, r#"{"sdkAppId":"x","identifier":"a","secretKey":"k"}"#),
        (None, r#"{"sdkAppId":0,"identifier":"a","secretKey":"k"}"#),
        (None, r#"{"sdkAppId":1,"identifier":7,"secretKey":"k"}"#),
        (None, r#"{"sdkAppId":1,"identifier":"a","secretKey":"k\n"}"#),
    ] {
        world.cloud.fail("GetSecretValue", fault);
        world.cloud.set_secret(secret);
        forward(Duration::from_secs(31));
        let (error, (label, code)) = join(world.importer.admin.credentials(), world.import("ada")).await;
        let error = error.err().unwrap().to_string();
        outcomes.push(format!("{label} {code} {}", error.rsplit(": ").next().unwrap()));
    }
    assert_eq!(
        outcomes,
        [
            "deferred secret_unavailable InternalServiceError",
            "deferred secret_unavailable ThrottlingException",
            "blocked secret_refused AccessDeniedException",
            "blocked secret_refused ResourceNotFoundException",
            "blocked secret_malformed it must be a JSON object, kept as text",
            "blocked secret_malformed it must be a JSON object, kept as text",
            "blocked secret_malformed sdkAppId must be a positive whole number",
            "blocked secret_malformed sdkAppId must be a positive whole number",
            "blocked secret_malformed identifier must be a string",
            "blocked secret_malformed secretKey must be a string without white space",
        ]
    );
}

/// One that failed at once would be free for the next batch at once, and take most of the queue.
#[tokio::test]
async fn waits_for_a_key_as_long_as_it_has_none() {
    let world = World::start().await;
    world.cloud.fail("GetSecretValue", Some(Fault::Error(500, "InternalServiceError")));
    let started = Instant::now();
    let first = world.import("ada").await;
    forward(Duration::from_nanos(1));
    world.cloud.fail("GetSecretValue", None);
    let others = join_all([world.import("ada"), world.import("grace")]).await;
    let is_late = started.elapsed() >= KEYLESS;
    assert_eq!(
        (first, others, is_late, world.cloud.calls("GetSecretValue")),
        (("deferred", "secret_unavailable".to_owned()), vec![IMPORTED; 2], true, 2)
    );
}

#[tokio::test]
async fn takes_numbers_that_the_console_wrote_as_text() {
    let world = World::start().await;
    let secret = json!({"sdkAppId": "1400000000", "identifier": "administrator", "secretKey": SAMPLE_KEY});
    world.cloud.set_secret(&secret.to_string());
    assert_eq!(world.import("ada").await, IMPORTED);
}

const NEW_KEY: &str = "0000000000000000000000000000000000000000000000000000000000000000";

#[tokio::test]
async fn rotation_costs_one_read_and_no_import() {
    let world = World::start().await;
    world.import("before").await;
    world.tencent.set_key(NEW_KEY);
    world.cloud.set_secret(&App { key: NEW_KEY.to_owned(), ..App::default() }.secret());
    let users: Vec<String> = (0..20).map(|user| format!("user-{user}")).collect();
    let outcomes = join_all(users.iter().map(|user| world.import(user))).await;
    assert_eq!((outcomes, world.cloud.reads()), (vec![IMPORTED; 20], 2));
}

/// The one retry goes to the dead connection; found by the simulation, where such a sign-up was late by minutes.
#[tokio::test]
async fn comes_back_soon_if_a_dead_connection_and_an_old_key_were_in_its_way() {
    let world = World::start().await;
    world.import("before").await;
    world.tencent.set_key(NEW_KEY);
    world.cloud.set_secret(&App { key: NEW_KEY.to_owned(), ..App::default() }.secret());
    world.tencent.doom_connections();
    let outcomes = [world.import("ada").await, world.import("ada").await];
    assert_eq!(outcomes, [("deferred", "key_renewed".to_owned()), IMPORTED]);
}

#[tokio::test]
async fn a_wrong_key_is_read_again_twice_a_minute_and_heals_by_itself() {
    let world = World::start().await;
    world.import("before").await;
    world.tencent.set_key(NEW_KEY);
    let mut refused = Vec::new();
    for _ in 0..5 {
        refused.push(world.import("ada").await);
    }
    let reads = world.cloud.reads();
    world.cloud.set_secret(&App { key: NEW_KEY.to_owned(), ..App::default() }.secret());
    forward(Duration::from_secs(30));
    let healed = world.import("ada").await;
    assert_eq!((refused, reads, healed), (vec![outcome("blocked", "70009"); 5], 2, IMPORTED));
}

#[tokio::test]
async fn a_signature_voided_at_tencent_is_replaced_by_a_fresh_one() {
    let world = World::start().await;
    world.tencent.script("ada", [Reply::Code(70052)]);
    let imported = world.import("ada").await;
    let credentials = world.importer.admin.credentials().await.unwrap();
    assert_eq!((imported, credentials.serial), (IMPORTED, 2));
}

/// Invokes the handler as Lambda does, which ends it after `left`; gives the IDs that failed.
async fn invoke(handler: &Handler, event: &Value, left: Duration) -> Vec<String> {
    let mut context = Context::default();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    context.deadline = u64::try_from((now + left).as_millis()).unwrap();
    let event = RawValue::from_string(event.to_string()).unwrap();
    let answer = tokio::time::timeout(left, handler.handle(LambdaEvent::new(event, context))).await;
    let Ok(Ok(Answer::Batch(answer))) = answer else { panic!("not answered in time: {answer:?}") };
    let mut failed: Vec<_> = answer.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
    failed.sort();
    failed
}

fn batch(users: &[&str]) -> Value {
    let record = |user: &&str| {
        json!({
            "messageId": format!("message-{user}"), "receiptHandle": "r", "body": json!({"userId": user}).to_string(),
            "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-central-1:000000000000:signups",
        })
    };
    json!({"Records": users.iter().map(record).collect::<Vec<_>>()})
}

#[tokio::test]
async fn a_panic_is_one_records_failure() {
    let mut world = World::start().await;
    // To write the panic's backtrace takes a while, in which nothing else is done.
    world.importer.request_timeout = Duration::from_secs(8);
    let (tencent, _cloud, handler) = world.handler(None);
    // Three numbers for three calls; the fourth record's call finds none.
    NUMBERS.set(3);
    let failed = invoke(&handler, &batch(&["a", "b", "c", "d"]), Duration::from_secs(10)).await;
    assert_eq!((failed.len(), tencent.accounts().len()), (1, 3));
}

#[tokio::test]
async fn an_invocation_returns_in_time_with_all_that_is_unfinished() {
    let mut world = World::start().await;
    world.importer.request_timeout = Duration::from_secs(5);
    world.tencent.script("slow-1", [Reply::Late(Duration::from_secs(8))]);
    world.tencent.script("slow-2", [Reply::Late(Duration::from_secs(8))]);
    let (_tencent, cloud, handler) = world.handler(None);
    let failed = invoke(&handler, &batch(&["slow-1", "quick", "slow-2"]), Duration::from_millis(900)).await;
    let delayed = cloud.delayed().len();
    assert_eq!((failed, delayed), (vec!["message-slow-1".to_owned(), "message-slow-2".to_owned()], 2));
}

/// cargo-lambda's emulator states a deadline of 10 minutes after 1970.
#[tokio::test]
async fn a_deadline_that_lies_in_the_past_is_not_believed() {
    let (tencent, _cloud, handler) = World::start().await.handler(None);
    let mut context = Context::default();
    context.deadline = 600_000;
    let event = RawValue::from_string(batch(&["ada"]).to_string()).unwrap();
    let answer = handler.handle(LambdaEvent::new(event, context)).await.unwrap();
    assert_eq!(
        (serde_json::to_string(&answer).unwrap(), tencent.accounts().len()),
        (r#"{"batchItemFailures":[]}"#.to_owned(), 1)
    );
}

#[tokio::test]
async fn starts_no_call_when_no_time_is_left() {
    let (tencent, _cloud, handler) = World::start().await.handler(None);
    let failed = invoke(&handler, &batch(&["a", "b"]), Duration::from_millis(100)).await;
    assert_eq!((failed.len(), tencent.calls().len()), (2, 0));
}

#[tokio::test]
async fn a_queue_that_does_not_answer_turns_no_retry_into_a_success() {
    let world = World::start().await;
    world.tencent.always(Some(Reply::Code(70500)));
    world.cloud.fail("ChangeMessageVisibilityBatch", Some(Fault::Slow(Duration::from_secs(9))));
    let (_tencent, _cloud, handler) = world.handler(None);
    let failed = invoke(&handler, &batch(&["a"]), Duration::from_millis(1500)).await;
    assert_eq!(failed, ["message-a"]);
}

//! How it starts, and where its key and its trust come from.

use local::{
    cloud::Fault,
    function::Function,
    serve,
    stand_ins::World,
    tencent::{App, Tencent},
};
use serde_json::Value;

use crate::{BINARY, NOTHING_FAILED, batch, failures, start};

#[tokio::test]
async fn stops_at_wrong_settings_and_names_them_all() {
    let settings = [("CHAT_REGION", "mars"), ("PARKING_QUEUE_URL", "parking")];
    let mut function = Function::start(BINARY, &settings).await.unwrap();
    let code = function.ended().await.unwrap();
    let line: Value = serde_json::from_str(function.output().trim()).unwrap();
    assert_eq!(
        (code, line["level"].as_str(), line["message"].as_str()),
        (
            Some(1),
            Some("ERROR"),
            Some(
                "CHAT_REGION is \"mars\": must be one of china, singapore, seoul, tokyo, frankfurt, mumbai, \
                 silicon-valley, jakarta\n\
                 CHAT_SECRET_ID is not set: must be the name or ARN of a secret\n\
                 PARKING_QUEUE_URL is \"parking\": must be the URL of an SQS queue, not its name or ARN"
            )
        )
    );
}

#[tokio::test]
async fn starts_without_a_key_and_loses_nothing() {
    let world = start(&[]).await;
    world.cloud.fail("GetSecretValue", Some(Fault::Error(400, "AccessDeniedException")));
    let function = World {
        function: Function::start(
            BINARY,
            &[
                ("CHAT_ENDPOINT", world.tencent.url().as_str()),
                ("CHAT_SECRET_ID", "key"),
                ("AWS_ENDPOINT_URL", world.cloud.url().as_str()),
            ],
        )
        .await
        .unwrap(),
        ..world
    };
    let answer = function.invoke(&batch(&["a", "b"])).await;
    assert_eq!(
        (answer, function.lines()),
        (
            failures(&["a", "b"]),
            // Every message fails alike: one error is enough.
            vec!["a ERROR blocked secret_refused".to_owned(), "b WARN blocked secret_refused".to_owned()]
        )
    );
}

#[tokio::test]
async fn reads_the_key_before_it_is_invoked() {
    let world = start(&[]).await;
    let answer = world.invoke_sample("not-a-signup").await;
    assert_eq!((answer.as_str(), world.cloud.reads()), (r#"{"outcome":"ignored"}"#, 1));
}

#[tokio::test]
async fn rotation_while_running_needs_no_redeploy() {
    let world = start(&[]).await;
    world.invoke(&batch(&["before"])).await;
    let key = "1".repeat(64);
    world.tencent.set_key(&key);
    world.cloud.set_secret(&App { key, ..App::default() }.secret());
    let answer = world.invoke(&batch(&["a", "b", "c"])).await;
    assert_eq!((answer, world.tencent.accounts().len()), (NOTHING_FAILED.to_owned(), 4));
}

#[tokio::test]
async fn opens_tencents_connection_before_it_is_invoked_if_that_is_soon() {
    let mut connections = Vec::new();
    for kind in ["on-demand", "provisioned-concurrency"] {
        let world = start(&[("AWS_LAMBDA_INITIALIZATION_TYPE", kind)]).await;
        world.invoke_sample("not-a-signup").await;
        // What is open now is of no use any more.
        world.tencent.doom_connections();
        world.invoke(&batch(&["ada"])).await;
        let calls = world.tencent.calls();
        connections.push(calls.iter().map(|call| (call.user_id.clone(), call.connection)).collect::<Vec<_>>());
    }
    let ada = |connection| ("ada".to_owned(), connection);
    assert_eq!(connections, [vec![ada(1), ada(2)], vec![ada(1)]]);
}

#[tokio::test]
async fn starts_while_tencent_is_silent() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let world = start(&[("CHAT_ENDPOINT", &url)]).await;
    let answer = world.invoke_sample("not-a-signup").await;
    assert_eq!((answer.as_str(), world.function.output().contains("ERROR")), (r#"{"outcome":"ignored"}"#, false));
}

#[tokio::test]
async fn stops_at_certificates_that_are_none() {
    let file = local::top().join("README.md").to_string_lossy().into_owned();
    let settings = [("CHAT_REGION", "tokyo"), ("CHAT_SECRET_ID", "key"), ("SSL_CERT_FILE", file.as_str())];
    let mut function = Function::start(BINARY, &settings).await.unwrap();
    let code = function.ended().await.unwrap();
    let line: Value = serde_json::from_str(function.output().trim()).unwrap();
    let message = format!("SSL_CERT_FILE is {file:?}: must be a file with certificates in PEM");
    assert_eq!((code, line["message"].as_str()), (Some(1), Some(message.as_str())));
}

#[tokio::test]
async fn calls_over_tls_with_the_certificates_that_are_set() {
    let (tls, certificate) = serve::tls().unwrap();
    let tencent = Tencent::start_on(0, Some(tls), App::default()).await.unwrap();
    let (url, trusted) = (tencent.url(), certificate.to_string_lossy());
    let trusting = start(&[("CHAT_ENDPOINT", &url), ("SSL_CERT_FILE", &trusted)]).await;
    let distrusting = start(&[("CHAT_ENDPOINT", &url)]).await;
    let answers = [trusting.invoke(&batch(&["ada"])).await, distrusting.invoke(&batch(&["grace"])).await];
    let distrusted = distrusting.lines();
    assert_eq!(
        (answers, distrusted, tencent.accounts().len()),
        ([NOTHING_FAILED.to_owned(), failures(&["grace"])], vec!["grace WARN deferred no_connection".to_owned()], 1)
    );
}

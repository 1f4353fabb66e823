//! The official tools: Tencent's signing library, and AWS's runtime interface emulator.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::PathBuf;

use chat_signup_import::usersig;
use local::{
    cloud::Cloud,
    python::{Python, run, start},
    serve::free_port,
    stand_ins::sample,
    tencent::{App, SAMPLE_KEY, Tencent, signature},
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_chat-signup-import");

/// The official tools; a test that has none says why it cannot run.
async fn python() -> Python {
    Python::set_up().await.unwrap_or_else(|error| panic!("this test cannot run: {error}"))
}

/// Runs a script with Tencent's library; `argument` is its one argument.
async fn official(script: &str, argument: &str) -> String {
    let python = python().await;
    let script = format!("import sys, json, zlib, TLSSigAPIv2 as tencent\n{script}");
    run(python.program("python").args(["-c", &script, argument])).await.unwrap().trim().to_owned()
}

/// The library has no call that reads, but the two parts of one: its decoder, and the signing of what was read.
#[tokio::test]
async fn tencents_library_reads_our_signature() {
    let ours = usersig::sign(&SAMPLE_KEY.into(), 1_400_000_000, "administrator", 1_700_000_000, 86_400).unwrap();
    let script = format!(
        "fields = json.loads(zlib.decompress(tencent.base64_decode_url(sys.argv[1].encode())))\n\
         api = tencent.TLSSigAPIv2(fields['TLS.sdkappid'], '{SAMPLE_KEY}')\n\
         sign = api._TLSSigAPIv2__hmacsha256(fields['TLS.identifier'], fields['TLS.time'], fields['TLS.expire'])\n\
         print(json.dumps([fields, sign.decode() == fields['TLS.sig']]))"
    );
    let read: Value = serde_json::from_str(&official(&script, ours.expose_secret()).await).unwrap();
    let fields = json!({
        "TLS.ver": "2.0", "TLS.identifier": "administrator", "TLS.sdkappid": 1_400_000_000,
        "TLS.time": 1_700_000_000, "TLS.expire": 86_400, "TLS.sig": "yLAe+w7WUeUuqbV9h/TX78u21oTGi+i9Zp1u3PpnY60=",
    });
    assert_eq!(read, json!([fields, true]));
}

#[tokio::test]
async fn the_stand_in_reads_the_signature_of_tencents_library() {
    let script = format!("print(tencent.TLSSigAPIv2(1400000000, '{SAMPLE_KEY}').gen_sig(sys.argv[1], 86400))");
    let claims = signature::read(&official(&script, "administrator").await).unwrap();
    let by = |key: &str| signature::is_signed_with(&claims, key);
    assert_eq!(
        (claims.identifier.as_str(), claims.sdk_app_id, claims.expire, by(SAMPLE_KEY), by("another")),
        ("administrator", 1_400_000_000, 86_400, true, false)
    );
}

#[tokio::test]
async fn runs_behind_the_official_runtime_interface_emulator() {
    let python = python().await;
    let tencent = Tencent::start(App::default()).await.unwrap();
    let cloud = Cloud::start(&App::default().secret()).await.unwrap();
    let settings = [
        ("CHAT_ENDPOINT", tencent.url()),
        ("CHAT_SECRET_ID", "key".to_owned()),
        ("AWS_ENDPOINT_URL", cloud.url()),
        ("AWS_REGION", "eu-central-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ("AWS_LAMBDA_FUNCTION_TIMEOUT", "30".to_owned()),
    ];
    let (port, api) = (free_port().await.unwrap(), free_port().await.unwrap());
    let mut emulator = Command::new(emulator(&python));
    emulator
        .arg("--runtime-interface-emulator-address")
        .arg(format!("127.0.0.1:{port}"))
        .arg("--runtime-api-address")
        .arg(format!("127.0.0.1:{api}"))
        .arg(BINARY)
        .env_clear()
        .envs(settings);
    let _emulator = start(&mut emulator, port).await.unwrap();
    let url = format!("http://127.0.0.1:{port}/2015-03-31/functions/function/invocations");
    // Reqwest asks for one, TLS or not.
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let answer =
        reqwest::Client::builder().no_proxy().build().unwrap().post(url).body(sample("sqs")).send().await.unwrap();
    assert_eq!((answer.text().await.unwrap().as_str(), tencent.accounts().len()), (r#"{"batchItemFailures":[]}"#, 4));
}

fn emulator(python: &Python) -> PathBuf {
    let name = if cfg!(target_arch = "aarch64") { "aws-lambda-rie-arm64" } else { "aws-lambda-rie-x86_64" };
    let packages = python.bin.join("../lib").read_dir().unwrap().next().unwrap().unwrap().path();
    packages.join("site-packages/samcli/local/rapid").join(name)
}

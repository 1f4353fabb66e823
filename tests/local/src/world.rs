//! All of it together: AWS here, Tencent there, the function deployed between them.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use aws_sdk_sqs::types::MessageSystemAttributeName;
use serde_json::Value;
use tokio::process::Command;

use crate::{
    aws::{Aws, Outputs, STACK},
    python::Python,
    serve,
    tencent::{App, Tencent},
    top,
};

/// The local world, running.
pub struct World {
    /// Tencent, over TLS.
    pub tencent: Tencent,
    /// AWS, with the template deployed.
    pub aws: Aws,
    /// The template's outputs.
    pub outputs: Outputs,
    /// The certificate that whoever calls Tencent must trust (`SSL_CERT_FILE`).
    pub certificate: PathBuf,
    /// The function's settings, as the template makes them.
    deployed: BTreeMap<String, String>,
}

/// A message that was found on the parking queue.
#[derive(Clone, Debug)]
pub struct Parked {
    /// Its body.
    pub body: String,
    /// The reason it was given.
    pub attributes: BTreeMap<String, String>,
}

impl World {
    /// Starts all of it, with `binary` as the function and the admin key in its secret.
    ///
    /// # Errors
    /// Says what is missing, or which step failed.
    pub async fn start(python: &Python, binary: &Path, app: App) -> io::Result<Self> {
        let (tls, certificate) = serve::tls()?;
        let secret = app.secret();
        let tencent = Tencent::start_on(0, Some(tls), app).await?;
        let trusted = certificate.to_string_lossy().into_owned();
        let aws = Aws::start(python, &[("SSL_CERT_FILE", &trusted)]).await?;
        let mut world = Self { tencent, aws, outputs: Outputs::new(), certificate, deployed: BTreeMap::new() };
        world.deploy(binary, &[]).await?;
        world.write_secret(&secret).await?;
        Ok(world)
    }

    /// Deploys the template, anew or once more, with `binary` as the function and these parameters.
    ///
    /// # Errors
    /// Says which step failed.
    pub async fn deploy(&mut self, binary: &Path, parameters: &[(&str, &str)]) -> io::Result<()> {
        let chat = self.tencent.url();
        let parameters = [parameters, &[("ChatEndpoint", &chat)]].concat();
        self.outputs = self.aws.deploy(binary, &parameters).await?;
        self.deployed = self.aws.settings(self.output("FunctionName")).await?;
        Ok(())
    }

    /// Gives the deployed function these settings besides those of the template; with none, the template's again.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn set(&self, settings: &[(&str, &str)]) -> io::Result<()> {
        self.aws.set(self.output("FunctionName"), &self.with(settings)).await
    }

    /// The function's settings with these in addition.
    fn with(&self, settings: &[(&str, &str)]) -> BTreeMap<String, String> {
        let mut all = self.deployed.clone();
        // As the template has it.
        if settings.iter().any(|(name, format)| *name == "SIGNUP_FORMAT" && *format != "default") {
            all.remove("SIGNUP_DETAIL_TYPE");
        }
        all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        all
    }

    /// The settings with which the function runs outside of this AWS and yet in this world, with these in addition:
    /// the text of a file for `cargo lambda watch --env-file`.
    pub fn env_file(&self, settings: &[(&str, &str)]) -> String {
        let trusted = self.certificate.to_string_lossy().into_owned();
        let aws = self.aws.environment().into_iter().filter(|(name, _)| name.starts_with("AWS_"));
        let all = aws.chain(self.with(settings)).chain([("SSL_CERT_FILE".to_owned(), trusted)]);
        let lines: Vec<String> = all.map(|(name, value)| format!("{name}='{value}'\n")).collect();
        lines.concat()
    }

    /// Writes the secret, as an operator does.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn write_secret(&self, secret: &str) -> io::Result<()> {
        let id = self.output("AdminKeySecretArn");
        let arguments = ["secretsmanager", "put-secret-value", "--secret-id", id, "--secret-string", secret];
        self.aws.cli(&arguments).await.map(drop)
    }

    /// One of the template's outputs; empty if there is none of this name.
    pub fn output(&self, name: &str) -> &str {
        self.outputs.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Sends a message to the sign-up queue, as an app does; gives its ID.
    ///
    /// # Errors
    /// When SQS refuses.
    pub async fn send(&self, body: &str) -> io::Result<String> {
        self.send_to(self.output("SignupQueueUrl"), body).await
    }

    /// Sends a message to the queue of this URL; gives its ID.
    ///
    /// # Errors
    /// When SQS refuses.
    pub async fn send_to(&self, queue_url: &str, body: &str) -> io::Result<String> {
        let call = self.aws.sqs().send_message().queue_url(queue_url).message_body(body);
        let sent = call.send().await.map_err(io::Error::other)?;
        Ok(sent.message_id().unwrap_or_default().to_owned())
    }

    /// Puts an event, given as EventBridge would deliver it, on the default bus, as an app does.
    ///
    /// # Errors
    /// When EventBridge refuses.
    pub async fn put_event(&self, event: &Value) -> io::Result<()> {
        self.put_event_on("default", event).await
    }

    /// Puts an event on the bus of this name, as an app or a partner does.
    ///
    /// # Errors
    /// When EventBridge refuses.
    pub async fn put_event_on(&self, bus: &str, event: &Value) -> io::Result<()> {
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        let detail = event.get("detail").map(Value::to_string).unwrap_or_default();
        let (source, detail_type) = (text("source"), text("detail-type"));
        let entry = serde_json::json!([
            {"EventBusName": bus, "Source": source, "DetailType": detail_type, "Detail": detail}
        ]);
        let answer = self.aws.cli(&["events", "put-events", "--entries", &entry.to_string()]).await?;
        if answer.get("FailedEntryCount").and_then(Value::as_u64) == Some(0) {
            return Ok(());
        }
        Err(io::Error::other(format!("the bus refused the event: {answer}")))
    }

    /// Takes all that is on the parking queue now.
    ///
    /// # Errors
    /// When SQS refuses.
    pub async fn take_parked(&self) -> io::Result<Vec<Parked>> {
        let (sqs, url) = (self.aws.sqs(), self.output("ParkingQueueUrl"));
        let mut parked = Vec::new();
        loop {
            let call = sqs.receive_message().queue_url(url).max_number_of_messages(10).message_attribute_names("All");
            let call = call.message_system_attribute_names(MessageSystemAttributeName::All);
            let answer = call.send().await.map_err(io::Error::other)?;
            if answer.messages().is_empty() {
                return Ok(parked);
            }
            for message in answer.messages() {
                let attributes = message.message_attributes().into_iter().flatten();
                parked.push(Parked {
                    body: message.body().unwrap_or_default().to_owned(),
                    attributes: attributes
                        .filter_map(|(name, value)| Some((name.clone(), value.string_value()?.to_owned())))
                        .collect(),
                });
                let handle = message.receipt_handle().unwrap_or_default();
                sqs.delete_message().queue_url(url).receipt_handle(handle).send().await.map_err(io::Error::other)?;
            }
        }
    }

    /// What the function's log says of its messages so far: a line for each time it tried one.
    pub fn told(&self) -> Vec<Value> {
        self.aws.function_lines().into_iter().filter(|line| line.get("message_id").is_some()).collect()
    }

    /// Waits until the log says of the message that it is done; gives all lines about it.
    ///
    /// # Errors
    /// When that takes longer than a minute.
    pub async fn follow(&self, message_id: &str) -> io::Result<Vec<Value>> {
        for _ in 0..600 {
            let lines: Vec<Value> = self.told().into_iter().filter(|line| line["message_id"] == message_id).collect();
            if lines.iter().any(is_final) {
                return Ok(lines);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(io::Error::other(format!("message {message_id} was not done within a minute:\n{}", self.aws.log())))
    }
}

/// Whether a line of the log says that its message will not come back.
pub fn is_final(line: &Value) -> bool {
    matches!(line.get("message").and_then(Value::as_str), Some("imported" | "ignored" | "rejected"))
}

/// Builds the function as it is deployed, on this machine's architecture; gives where it is.
///
/// # Errors
/// When it does not build: cargo has said why.
pub async fn build_release() -> io::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    // The target is named, so that it is known where the binary is.
    let target = top().join("target");
    build.args(["rustc", "--release", "--package", STACK, "--bin", STACK, "--target-dir"]).arg(&target);
    // As cargo-lambda strips it. Cargo itself would not: it forgets how, where a package has an opt-level of its own.
    build.args(["--", "-C", "strip=symbols"]);
    build.current_dir(top()).env_remove("CARGO_BUILD_TARGET");
    let status = build.stdin(Stdio::null()).kill_on_drop(true).status().await?;
    if !status.success() {
        return Err(io::Error::other("the function did not build"));
    }
    Ok(target.join("release").join(STACK))
}

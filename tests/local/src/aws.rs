//! AWS on this machine: MiniStack, with IAM enforced and the real template in it.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use aws_sdk_sqs::{
    Client as Sqs,
    config::{BehaviorVersion, Credentials, Region},
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{
    client::Client,
    file,
    python::{Python, run, target},
    serve::free_port,
    top,
};

/// Name of the stack that is deployed.
pub const STACK: &str = "chat-signup-import";

/// A local AWS, running. It ends when it is dropped, or its owner dies, and what it runs ends with it.
pub struct Aws {
    /// The address of all its services (`AWS_ENDPOINT_URL`).
    pub url: String,
    python: Python,
    home: PathBuf,
    child: Child,
}

/// The alias of the function that its mapping and its rule invoke.
const ALIAS: &str = "live";
const REGION: &str = "eu-central-1";

/// What the template's outputs say.
pub type Outputs = BTreeMap<String, String>;

impl Aws {
    /// Starts it on any free port of `127.0.0.1`; `settings` are handed to the functions that it runs.
    ///
    /// # Errors
    /// When Python or a package is missing, or it does not start.
    pub async fn start(python: &Python, settings: &[(&str, &str)]) -> io::Result<Self> {
        let port = free_port().await?;
        let url = format!("http://127.0.0.1:{port}");
        let home = target().join(format!("aws-{port}"));
        std::fs::create_dir_all(home.join("tmp"))?;
        let mut child = python
            .program("python")
            .arg(top().join("tests/local/python/aws.py"))
            .arg(&home)
            .env_clear()
            .envs(environment(&url, &home))
            .env(
                "PATH",
                std::env::join_paths([&python.bin, Path::new("/usr/bin"), Path::new("/bin")]).unwrap_or_default(),
            )
            .env("GATEWAY_PORT", port.to_string())
            .env("BIND_HOST", "127.0.0.1")
            .env("MINISTACK_HOST", "127.0.0.1")
            .env("AUTH", "true")
            .env("LAMBDA_EXECUTOR", "local")
            .env("IOT_MTLS_ENABLED", "0")
            .env("DOCKER_HOST", "unix:///nonexistent")
            .env("CLOUDWATCH_AHEAD", ahead(&home))
            .env("STATE_DIR", home.join("state"))
            .env("S3_DATA_DIR", home.join("s3"))
            // On AWS these come from the template's LoggingConfig.
            .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
            .envs(settings.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("MiniStack has no output"))?;
        let mut lines = BufReader::new(stdout).lines();
        let mut said = lines.next_line().await?.unwrap_or_default();
        if said == "ready" {
            return Ok(Self { url, python: python.clone(), home, child });
        }
        while let Some(line) = lines.next_line().await? {
            said = format!("{said}\n{line}");
        }
        Err(io::Error::other(format!("MiniStack did not start:\n{said}")))
    }

    /// What someone who calls it must have in the environment.
    pub fn environment(&self) -> Vec<(String, String)> {
        environment(&self.url, &self.home)
    }

    /// All that it, and the functions it runs, have written.
    pub fn log(&self) -> String {
        std::fs::read(self.home.join("log")).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// The JSON lines that the function has written.
    pub fn function_lines(&self) -> Vec<Value> {
        self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect()
    }

    /// The processes that it runs the function in.
    pub fn environments(&self) -> Vec<String> {
        // Of an empty path, every process would be one.
        let Ok(home) = self.home.canonicalize() else { return Vec::new() };
        let runs = |process: &Path| std::fs::read_link(process.join("exe")).is_ok_and(|exe| exe.starts_with(&home));
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let ours = processes.filter(|process| runs(&process.path()));
        ours.map(|process| process.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Kills processes, in the middle of whatever they do. One that has ended already is no fault.
    pub async fn kill(&self, processes: &[String]) {
        let _ = run(Command::new("sh").args(["-c", "kill -KILL \"$@\"", "sh"]).args(processes)).await;
    }

    /// Leaves the function's processes no memory for the stack of another thread.
    ///
    /// # Errors
    /// When their limits cannot be set.
    pub async fn allow_no_thread(&self) -> io::Result<()> {
        const SCRIPT: &str = "import resource, sys\n\
            for process in map(int, sys.argv[1:]):\n\
            \x20   pages = int(open(f'/proc/{process}/statm').read().split()[0])\n\
            \x20   limit = pages * resource.getpagesize() + (1 << 20)\n\
            \x20   resource.prlimit(process, resource.RLIMIT_AS, (limit, limit))";
        run(self.python.program("python").args(["-c", SCRIPT]).args(self.environments())).await.map(drop)
    }

    /// Runs AWS's own command line; gives what it prints, as JSON.
    ///
    /// # Errors
    /// When the command fails, with what it says.
    pub async fn cli(&self, arguments: &[&str]) -> io::Result<Value> {
        let text = run(self.command().args(arguments)).await?;
        Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// What makes `aws` call it from a shell that reads this.
    pub fn shell(&self) -> String {
        let ours = self.environment().into_iter().filter(|(name, _)| name.starts_with("AWS_"));
        let exports = ours.map(|(name, value)| format!("export {name}='{value}'\n"));
        let program = self.python.bin.join("aws");
        // Said twice, since version 1's `sqs` does not listen to the environment.
        let function = format!("aws() {{ '{}' --endpoint-url '{}' \"$@\"; }}\n", program.display(), self.url);
        exports.chain([function]).collect()
    }

    /// A client of its SQS, with its owner's rights.
    pub fn sqs(&self) -> Sqs {
        self.sqs_of("test", "test")
    }

    /// A client of its SQS, with the rights of this access key.
    pub fn sqs_of(&self, access_key_id: &str, secret_access_key: &str) -> Sqs {
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&self.url)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new(access_key_id, secret_access_key, None, None, "local"));
        Sqs::from_conf(config.build())
    }

    /// AWS's own client, for many calls.
    ///
    /// # Errors
    /// When it does not start.
    pub fn client(&self) -> io::Result<Client> {
        let mut program = self.python.program("python");
        Client::start(program.arg(top().join("tests/local/python/client.py")).env_clear().envs(self.environment()))
    }

    /// Puts the clock of its CloudWatch, and of nothing else, so far ahead of ours.
    ///
    /// # Errors
    /// When the file cannot be written that says so.
    pub fn put_forward(&self, time: Duration) -> io::Result<()> {
        // It is read at any time, and always whole.
        let (ahead, next) = (ahead(&self.home), self.home.join("ahead.next"));
        std::fs::write(&next, time.as_secs().to_string())?;
        std::fs::rename(next, ahead)
    }

    /// How far ahead that clock is.
    ///
    /// # Errors
    /// When the file says no number.
    pub fn ahead(&self) -> io::Result<Duration> {
        match std::fs::read_to_string(ahead(&self.home)) {
            Ok(seconds) => Ok(Duration::from_secs(seconds.parse().map_err(io::Error::other)?)),
            Err(_) => Ok(Duration::ZERO),
        }
    }

    fn command(&self) -> Command {
        let mut command = self.python.program("aws");
        // Said twice, since its `sqs` does not listen to the environment.
        command.args(["--endpoint-url", &self.url]).env_clear().envs(self.environment()).current_dir(&self.home);
        command
    }

    /// Deploys `infra/template.yaml`, byte for byte as it stands, with `binary` as the function.
    ///
    /// # Errors
    /// When a step of the deployment fails, with what it says.
    pub async fn deploy(&self, binary: &Path, parameters: &[(&str, &str)]) -> io::Result<Outputs> {
        self.deploy_text(&file("infra/template.yaml"), STACK, binary, parameters).await
    }

    /// Deploys a text of `infra/template.yaml`, such as an edited one, as the stack of this name.
    ///
    /// # Errors
    /// When a step of the deployment fails, with what it says.
    pub async fn deploy_text(
        &self,
        text: &str,
        stack: &str,
        binary: &Path,
        parameters: &[(&str, &str)],
    ) -> io::Result<Outputs> {
        self.release(binary).await?;
        let (template, packaged) = (format!("infra/{stack}.yaml"), format!("{stack}-packaged.yaml"));
        self.write(&template, text)?;

        if self.cli(&["s3api", "head-bucket", "--bucket", "artifacts"]).await.is_err() {
            self.cli(&["s3", "mb", "s3://artifacts"]).await?;
        }
        let package = ["cloudformation", "package", "--s3-bucket", "artifacts"];
        let files = ["--template-file", &template, "--output-template-file", &packaged];
        self.cli(&[&package[..], &files].concat()).await?;
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
        // MiniStack has no CodeDeploy.
        let parameters = [parameters, &[("Architecture", architecture), ("GradualDeployment", "false")]].concat();
        self.deploy_template(&self.home.join(packaged), stack, &parameters).await
    }

    /// Has `binary` where a release of the project would be, if the project were the folder that commands are run in.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn release(&self, binary: &Path) -> io::Result<()> {
        self.zip(binary, &self.home.join("target/lambda").join(STACK).join("bootstrap.zip")).await
    }

    /// Writes a file into the folder that commands are run in.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let path = self.home.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(&self.home))?;
        std::fs::write(path, text)
    }

    /// Runs what a person types, in a shell that knows this AWS and nothing of this machine's owner.
    ///
    /// # Errors
    /// When a line of it fails, with what it says.
    pub async fn bash(&self, script: &str) -> io::Result<String> {
        let script = format!("set -euo pipefail\n{}{script}", self.shell());
        let mut bash = Command::new("bash");
        bash.args(["-c", &script]).env_clear().envs(self.environment()).env("PATH", "/usr/bin:/bin");
        run(bash.current_dir(&self.home)).await
    }

    /// Deploys a template that needs nothing but itself.
    ///
    /// # Errors
    /// When the deployment fails, with what it says.
    pub async fn deploy_template(
        &self,
        template: &Path,
        stack: &str,
        parameters: &[(&str, &str)],
    ) -> io::Result<Outputs> {
        let template = template.to_string_lossy();
        let mut deploy = vec!["cloudformation", "deploy", "--no-fail-on-empty-changeset", "--stack-name", stack];
        deploy.extend(["--template-file", &template, "--capabilities", "CAPABILITY_IAM"]);
        let overrides: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        deploy.extend(overrides.first().map(|_| "--parameter-overrides"));
        deploy.extend(overrides.iter().map(String::as_str));
        self.cli(&deploy).await?;
        let stacks = self.cli(&["cloudformation", "describe-stacks", "--stack-name", stack]).await?;
        let outputs = stacks.pointer("/Stacks/0/Outputs").and_then(Value::as_array).cloned().unwrap_or_default();
        let text = |output: &Value, name: &str| Some(output.get(name)?.as_str()?.to_owned());
        let named = |output: &Value| Some((text(output, "OutputKey")?, text(output, "OutputValue")?));
        Ok(outputs.iter().filter_map(named).collect())
    }

    /// The settings of a function.
    ///
    /// # Errors
    /// When there is no such function.
    pub async fn settings(&self, function: &str) -> io::Result<BTreeMap<String, String>> {
        let told = self.cli(&["lambda", "get-function-configuration", "--function-name", function]).await?;
        let settings = told.pointer("/Environment/Variables").cloned().unwrap_or_default();
        serde_json::from_value(settings).map_err(io::Error::other)
    }

    /// Invokes a function with `event`; gives its answer.
    ///
    /// # Errors
    /// When it cannot be invoked, or fails.
    pub async fn invoke(&self, function: &str, event: &Value) -> io::Result<Value> {
        let (payload, answer) = (event.to_string(), self.home.join(format!("{function}.answer")));
        let answer_file = answer.to_string_lossy();
        let invoke = ["lambda", "invoke", "--function-name", function];
        let told = self.cli(&[&invoke[..], &["--payload", &payload, &answer_file]].concat()).await?;
        let text = std::fs::read_to_string(&answer)?;
        if told.get("FunctionError").is_some() {
            return Err(io::Error::other(format!("{function} failed: {text}")));
        }
        serde_json::from_str(&text).map_err(io::Error::other)
    }

    /// Gives a function these settings, and no others; what its alias names, if it has one, has them too.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn set(&self, function: &str, settings: &BTreeMap<String, String>) -> io::Result<()> {
        let environment = serde_json::json!({"Variables": settings}).to_string();
        let of = async |command: &str, options: &[&str]| {
            self.cli(&[&["lambda", command, "--function-name", function], options].concat()).await
        };
        of("update-function-configuration", &["--environment", &environment]).await?;
        if of("get-alias", &["--name", ALIAS]).await.is_ok() {
            let version = of("publish-version", &[]).await?;
            let version = version.get("Version").and_then(Value::as_str).unwrap_or_default();
            of("update-alias", &["--name", ALIAS, "--function-version", version]).await?;
        }
        Ok(())
    }

    /// Has the function's queue wait, or not.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn pause(&self, waits: bool) -> io::Result<()> {
        let enabled = if waits { "--no-enabled" } else { "--enabled" };
        self.update_mapping(&self.mapping().await?, &[enabled]).await
    }

    async fn mapping(&self) -> io::Result<Value> {
        let mappings = self.cli(&["lambda", "list-event-source-mappings"]).await?;
        let mut mappings = mappings.get("EventSourceMappings").and_then(Value::as_array).into_iter().flatten();
        let queue = format!(":{STACK}-signups");
        let is_ours = |mapping: &&Value| {
            mapping.get("EventSourceArn").and_then(Value::as_str).is_some_and(|arn| arn.ends_with(&queue))
        };
        mappings.find(is_ours).cloned().ok_or_else(|| io::Error::other(format!("{STACK} has no mapping")))
    }

    async fn update_mapping(&self, mapping: &Value, change: &[&str]) -> io::Result<()> {
        let id = mapping.get("UUID").and_then(Value::as_str).unwrap_or_default();
        let update = ["lambda", "update-event-source-mapping", "--uuid", id];
        self.cli(&[&update[..], change].concat()).await.map(drop)
    }

    async fn zip(&self, binary: &Path, zip: &Path) -> io::Result<()> {
        const SCRIPT: &str = "import os, sys, zipfile\n\
            os.makedirs(os.path.dirname(sys.argv[2]), exist_ok=True)\n\
            entry = zipfile.ZipInfo('bootstrap')\n\
            entry.external_attr = 0o755 << 16\n\
            entry.compress_type = zipfile.ZIP_STORED\n\
            zipfile.ZipFile(sys.argv[2], 'w').writestr(entry, open(sys.argv[1], 'rb').read())";
        run(self.python.program("python").args(["-c", SCRIPT]).arg(binary).arg(zip)).await.map(drop)
    }
}

impl Drop for Aws {
    /// Ends it, and waits until nothing of it is left.
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The file that says how far ahead the clock of CloudWatch is, in seconds.
fn ahead(home: &Path) -> PathBuf {
    home.join("ahead")
}

/// Credentials that are none, and nothing that could lead to an AWS elsewhere.
fn environment(url: &str, home: &Path) -> Vec<(String, String)> {
    let path = |name: &str| home.join(name).to_string_lossy().into_owned();
    [
        ("AWS_ENDPOINT_URL", url.to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_DEFAULT_REGION", REGION.to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ("AWS_CONFIG_FILE", path("none")),
        ("AWS_SHARED_CREDENTIALS_FILE", path("none")),
        ("AWS_PAGER", String::new()),
        ("HOME", path("home")),
        ("TMPDIR", path("tmp")),
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

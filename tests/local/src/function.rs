//! Lambda, for one environment: the runtime API, with the real binary behind it.

use std::{
    collections::{HashMap, VecDeque},
    io,
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use hyper::http::HeaderValue;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::Notify,
    task::JoinHandle,
};

use crate::{
    serve::{Received, Server, lock, serve},
    tencent::respond,
};

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// With this answer.
    Response(String),
    /// With this error document.
    Error(String),
}

/// When an invocation was worked through.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// When it was handed out.
    pub begun: Instant,
    /// When its answer had arrived.
    pub ended: Instant,
}

#[derive(Default)]
struct Api {
    next: Mutex<VecDeque<(String, String, Duration)>>,
    /// When the function first asked for an invocation.
    ready: Mutex<Option<Instant>>,
    begun: Mutex<HashMap<String, Instant>>,
    ended: Mutex<HashMap<String, (Ended, Times)>>,
    changed: Notify,
}

/// An environment of the function, running.
pub struct Function {
    /// When it was about to be started.
    pub started: Instant,
    child: Child,
    api: Arc<Api>,
    output: Arc<Mutex<String>>,
    readers: [Option<JoinHandle<()>>; 2],
    invocations: Mutex<usize>,
    _server: Server,
}

impl Function {
    /// Starts `binary` with nothing in its environment but Lambda's variables and `settings`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start(binary: impl AsRef<Path>, settings: &[(&str, &str)]) -> io::Result<Self> {
        Self::start_command(Command::new(binary.as_ref()), settings).await
    }

    /// Starts what `command` starts in the same way.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start_command(mut command: Command, settings: &[(&str, &str)]) -> io::Result<Self> {
        let api = Arc::new(Api::default());
        let shared = Arc::clone(&api);
        let server = serve(0, None, move |request| {
            let api = Arc::clone(&shared);
            async move { api.answer(request).await }
        });
        let server = server.await?;
        let started = Instant::now();
        let mut child = command
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", server.address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "chat-signup-import")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
            .env("AWS_REGION", "eu-central-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = Arc::default();
        let readers = [
            child.stdout.take().map(|stdout| collect(stdout, &output)),
            child.stderr.take().map(|stderr| collect(stderr, &output)),
        ];
        Ok(Self { started, child, api, output, readers, invocations: Mutex::default(), _server: server })
    }

    /// Its process.
    pub fn process(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until its initialisation has ended, with the first question for an invocation; gives when that came.
    ///
    /// # Errors
    /// When it does not end within a minute, with all that it has written.
    pub async fn ready(&self) -> io::Result<Instant> {
        let ready = async {
            loop {
                let changed = self.api.changed.notified();
                if let Some(ready) = *lock(&self.api.ready) {
                    return ready;
                }
                changed.await;
            }
        };
        let ready = tokio::time::timeout(Duration::from_mins(1), ready).await;
        ready.map_err(|_| io::Error::other(format!("it did not get ready; the function wrote:\n{}", self.output())))
    }

    /// Invokes it with `event` and waits for the end, for as long as `time` says and five seconds more.
    ///
    /// # Errors
    /// When it does not end, with all that it has written.
    pub async fn invoke(&self, event: &str, time: Duration) -> io::Result<Ended> {
        Ok(self.invoke_timed(event, time).await?.0)
    }

    /// The same, and tells when it was.
    ///
    /// # Errors
    /// As of [`Function::invoke`].
    pub async fn invoke_timed(&self, event: &str, time: Duration) -> io::Result<(Ended, Times)> {
        let id = {
            let mut count = lock(&self.invocations);
            *count += 1;
            format!("00000000-0000-0000-0000-{:012}", *count)
        };
        lock(&self.api.next).push_back((id.clone(), event.to_owned(), time));
        self.api.changed.notify_waiters();
        let end = async {
            loop {
                let changed = self.api.changed.notified();
                if let Some(ended) = lock(&self.api.ended).remove(&id) {
                    return ended;
                }
                changed.await;
            }
        };
        let ended = tokio::time::timeout(time + Duration::from_secs(5), end).await;
        ended.map_err(|_| {
            io::Error::other(format!("the invocation did not end; the function wrote:\n{}", self.output()))
        })
    }

    /// All that it has written so far, to standard output and standard error.
    pub fn output(&self) -> String {
        lock(&self.output).clone()
    }

    /// Forgets what it has written so far.
    pub fn forget_output(&self) {
        lock(&self.output).clear();
    }

    /// The most memory that it has had at once, in bytes.
    ///
    /// # Errors
    /// When Linux does not tell.
    pub fn peak_memory(&self) -> io::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap_or_default()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        let kilobytes: Option<u64> = line.and_then(|kilobytes| kilobytes.parse().ok());
        kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| io::Error::other("no VmHWM in its status"))
    }

    /// Waits until it has ended by itself, and all that it wrote has been read; gives its exit code.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn ended(&mut self) -> io::Result<Option<i32>> {
        let status = tokio::time::timeout(Duration::from_secs(10), self.child.wait()).await??;
        for reader in self.readers.iter_mut().flatten() {
            reader.await?;
        }
        Ok(status.code())
    }

    /// Kills it, in the middle of whatever it does; gives all that it has written.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn finish(mut self) -> io::Result<String> {
        self.child.kill().await?;
        for reader in self.readers.iter_mut().flatten() {
            reader.await?;
        }
        Ok(self.output())
    }
}

impl Api {
    async fn answer(&self, request: Received) -> hyper::Response<http_body_util::Full<hyper::body::Bytes>> {
        let path = request.head.uri.path().strip_prefix("/2018-06-01/runtime/").unwrap_or_default();
        let body = || String::from_utf8_lossy(&request.body).into_owned();
        match path.split('/').collect::<Vec<_>>().as_slice() {
            ["invocation", "next"] => {
                lock(&self.ready).get_or_insert_with(Instant::now);
                self.changed.notify_waiters();
                let (id, event, time) = loop {
                    let changed = self.changed.notified();
                    if let Some(next) = lock(&self.next).pop_front() {
                        break next;
                    }
                    changed.await;
                };
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                lock(&self.begun).insert(id.clone(), Instant::now());
                let mut response = respond(200, "application/json", event.into_bytes());
                let arn = "arn:aws:lambda:eu-central-1:000000000000:function:chat-signup-import".to_owned();
                for (name, value) in [
                    ("lambda-runtime-aws-request-id", id),
                    ("lambda-runtime-deadline-ms", (now + time).as_millis().to_string()),
                    ("lambda-runtime-invoked-function-arn", arn),
                ] {
                    response.headers_mut().extend(
                        HeaderValue::from_str(&value).map(|value| (hyper::http::HeaderName::from_static(name), value)),
                    );
                }
                response
            }
            ["invocation", id, "response"] => self.end(id, Ended::Response(body())),
            ["invocation", id, "error"] => self.end(id, Ended::Error(body())),
            _ => respond(404, "application/json", Vec::new()),
        }
    }

    fn end(&self, id: &str, ended: Ended) -> hyper::Response<http_body_util::Full<hyper::body::Bytes>> {
        let now = Instant::now();
        let begun = lock(&self.begun).remove(id).unwrap_or(now);
        lock(&self.ended).insert(id.to_owned(), (ended, Times { begun, ended: now }));
        self.changed.notify_waiters();
        respond(202, "application/json", Vec::new())
    }
}

fn collect(stream: impl AsyncRead + Unpin + Send + 'static, output: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let output = Arc::clone(output);
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut output = lock(&output);
            output.push_str(&line);
            output.push('\n');
        }
    })
}

//! A proxy between the function and a local AWS, which cannot fail on command.
//!
//! It passes every byte through but for the operations that it is told to fail.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use crate::{cloud::Fault, serve::lock};

#[derive(Default)]
struct State {
    faults: BTreeMap<String, Fault>,
    failed: BTreeMap<String, usize>,
}

/// The proxy, running; it ends when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts on any free port of `127.0.0.1`, in front of the AWS at the address `url`.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start(url: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (address, state) = (listener.local_addr()?, Arc::new(Mutex::new(State::default())));
        let (shared, aws) = (Arc::clone(&state), url.trim_start_matches("http://").to_owned());
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (state, aws) = (Arc::clone(&shared), aws.clone());
                // An error here is a connection that broke: its other side is closed with it.
                connections.spawn(async move { pass(client, &aws, &state).await.unwrap_or_default() });
            }
        });
        Ok(Self { address, state, task })
    }

    /// The address to call (`AWS_ENDPOINT_URL_…`).
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Has an operation, such as `SendMessage`, fail from now on, or no longer.
    pub fn fail(&self, operation: &str, fault: Option<Fault>) {
        let faults = &mut lock(&self.state).faults;
        match fault {
            Some(fault) => faults.insert(operation.to_owned(), fault),
            None => faults.remove(operation),
        };
    }

    /// How many calls of an operation have failed.
    pub fn failed(&self, operation: &str) -> usize {
        lock(&self.state).failed.get(operation).copied().unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes the requests of one connection, and their answers.
async fn pass(client: TcpStream, aws: &str, state: &Mutex<State>) -> io::Result<()> {
    let aws = TcpStream::connect(aws).await?;
    client.set_nodelay(true)?;
    aws.set_nodelay(true)?;
    let (mut client, mut aws) = (BufReader::new(client), BufReader::new(aws));
    loop {
        let request = tokio::select! {
            request = message(&mut client) => request?,
            // What AWS closes is closed for the client, too.
            _ = aws.fill_buf() => return Ok(()),
        };
        let operation =
            field(&request, "x-amz-target").and_then(|target| target.rsplit('.').next()).unwrap_or_default();
        let fault = {
            let mut state = lock(state);
            let fault = state.faults.get(operation).cloned();
            if fault.is_some() {
                *state.failed.entry(operation.to_owned()).or_default() += 1;
            }
            fault
        };
        match fault {
            Some(Fault::Error(status, code)) => {
                let body = format!(r#"{{"__type":"{code}","message":"as told"}}"#);
                let head = format!("HTTP/1.1 {status} As-Told\r\ncontent-type: application/x-amz-json-1.0\r\n");
                client.write_all(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
                continue;
            }
            Some(Fault::Slow(time)) => tokio::time::sleep(time).await,
            None => {}
        }
        aws.write_all(&request).await?;
        let answer = message(&mut aws).await?;
        client.write_all(&answer).await?;
    }
}

/// Reads a request or an answer, as it comes: both say how long their bodies are.
async fn message(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read_until(b'\n', &mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let body: usize = field(&bytes, "content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
    let head = bytes.len();
    bytes.resize(head + body, 0);
    stream.read_exact(bytes.get_mut(head..).unwrap_or_default()).await?;
    Ok(bytes)
}

/// A header of a message.
fn field<'a>(message: &'a [u8], name: &str) -> Option<&'a str> {
    let lines = message.split(|byte| *byte == b'\n').take_while(|line| *line != b"\r");
    let mut fields = lines.filter_map(|line| std::str::from_utf8(line).ok()?.split_once(':'));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

//! AWS's own client (botocore), kept running: a call costs no start of a program.

use std::{io, process::Stdio};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// The client, running; it ends when it is dropped.
pub struct Client {
    calls: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Client {
    /// Starts it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(program: &mut Command) -> io::Result<Self> {
        let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let none = || io::Error::other("AWS's client has no input or output");
        let calls = child.stdin.take().ok_or_else(none)?;
        let answers = BufReader::new(child.stdout.take().ok_or_else(none)?).lines();
        Ok(Self { calls, answers, _child: child })
    }

    /// Calls an operation, once, with botocore's names (`sqs`, `purge_queue`); gives its answer.
    ///
    /// # Errors
    /// When AWS refuses, with what it says.
    pub async fn call(&mut self, service: &str, operation: &str, parameters: Value) -> io::Result<Value> {
        let call = format!("{}\n", json!([service, operation, parameters]));
        self.calls.write_all(call.as_bytes()).await?;
        let answer = self.answers.next_line().await?.ok_or_else(|| io::Error::other("AWS's client has ended"))?;
        let answer: Value = serde_json::from_str(&answer).map_err(io::Error::other)?;
        match answer.get("Error").and_then(Value::as_str) {
            Some(error) => Err(io::Error::other(error.to_owned())),
            None => Ok(answer),
        }
    }
}

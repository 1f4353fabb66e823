//! What a cold start costs, with its parts as they show from outside.

use std::{io, path::Path, time::Duration};

use tokio::process::Command;

use crate::{
    life::{Life, PLAIN, Plan, between, millis},
    machine::{self, Machine, cpu_at_rest},
    table::Figure,
};

/// From the start of the process to its first question for an invocation.
pub async fn init(machine: Machine, binary: &Path) -> io::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (tls, secret) in [(true, 0), (true, 20), (false, 0), (false, 20)] {
        let secret = Duration::from_millis(secret);
        let life = Life::begin(machine, Command::new(binary), Plan { tls, secret, ..PLAIN }).await?;
        let waiting = if secret.is_zero() { None } else { Some(cpu_while_waiting(&life, secret).await?) };
        let ready = life.function.ready().await?;
        let cpu = millis(cpu_at_rest(life.process).await?);
        let (aws, tencent) = (life.cloud.take_traffic(), life.tencent.take_traffic());
        let started = life.function.started;
        let what = format!("{}, secret {} ms", if tls { "TLS" } else { "HTTP" }, secret.as_millis());
        let mut tell = |name: &str, value| figures.push(Figure::new(format!("{what}: {name}"), "ms", value));
        tell("wall", between(started, ready));
        tell("wall beyond the secret's latency", between(started, ready) - millis(secret));
        tell("own CPU", cpu);
        if let Some(waiting) = waiting {
            tell("own CPU before the secret's answer", millis(waiting));
        }
        if let (Some(connection), Some(request)) = (aws.connections.first(), aws.requests.first()) {
            tell("until the secret's connection is begun", between(started, connection.at));
            tell("secret's handshake", between(connection.at, connection.ready));
            tell("until the secret is asked for", between(started, request.at));
            tell("from the secret's answer to the end", between(request.answered, ready));
        }
        if let Some(connection) = tencent.connections.first() {
            tell("until Tencent's connection is begun", between(started, connection.at));
            tell("Tencent's handshake", between(connection.at, connection.ready));
        }
    }
    Ok(figures)
}

/// The time on a core that a function has had when it has waited for its secret for half of the latency.
async fn cpu_while_waiting(life: &Life, latency: Duration) -> io::Result<Duration> {
    for _ in 0..60_000 {
        if life.cloud.calls("GetSecretValue") > 0 {
            tokio::time::sleep(latency / 2).await;
            return machine::cpu(life.process);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Err(io::Error::other("the function did not ask for its secret"))
}

/// A cold start for one sign-up, over TLS.
pub async fn first_import(machine: Machine, binary: &Path) -> io::Result<Vec<Figure>> {
    let latency = Duration::from_millis(50);
    let life = Life::begin(machine, Command::new(binary), Plan { tls: true, latency, ..PLAIN }).await?;
    // It waits for the function, as it does on Lambda.
    let times = life.batch(1).await?;
    let cpu = millis(cpu_at_rest(life.process).await?);
    let tencent = life.tencent.take_traffic();
    let Some(connection) = tencent.connections.first() else {
        return Err(io::Error::other("the function did not connect"));
    };
    Ok(vec![
        Figure::new("beyond Tencent's latency", "ms", between(times.begun, times.ended) - millis(latency)),
        Figure::new("connection begun, from the invocation on", "ms", between(times.begun, connection.at)),
        Figure::new("handshake", "ms", between(connection.at, connection.ready)),
        Figure::new("with init: wall", "ms", between(life.function.started, times.ended) - millis(latency)),
        Figure::new("with init: own CPU", "ms", cpu),
    ])
}

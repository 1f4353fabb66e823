//! What does not depend on how fast the machine is: sizes, calls, connections, instructions.

use std::{io, path::Path, time::Duration};

use local::release::zip;
use tokio::process::Command;

use crate::{
    life::{Life, PLAIN, Plan},
    machine::{self, MIB, Machine, VALGRIND, cpu_at_rest},
    table::Figure,
};

/// How large the binary is, and its archive.
pub fn size(binary: &Path) -> io::Result<Vec<Figure>> {
    let bytes = std::fs::read(binary)?;
    let zip = zip(&bytes)?.len();
    Ok(vec![
        Figure::counted("binary", "MiB", bytes.len() as f64 / MIB, 0.02),
        Figure::counted("zip", "MiB", zip as f64 / MIB, 0.02),
    ])
}

/// What is opened and called: over TLS and three batches of ten that are under way together.
pub async fn calls(machine: Machine, binary: &Path) -> io::Result<Vec<Figure>> {
    let plan = Plan { tls: true, latency: Duration::from_millis(300), ..PLAIN };
    let life = Life::begin(machine, Command::new(binary), plan).await?;
    life.batch(10).await?;
    let cold = life.tencent.take_traffic();
    life.batch(10).await?;
    life.batch(10).await?;
    let (warm, aws) = (life.tencent.take_traffic(), life.cloud.take_traffic());
    let exact = |name: &str, count: f64| Figure::counted(name, "", count, 0.0);
    Ok(vec![
        exact("connections to Tencent of a first batch of 10", cold.connections.len() as f64),
        exact("connections to Tencent of the next two", warm.connections.len() as f64),
        exact("requests to Tencent of a first batch of 10", cold.requests.len() as f64),
        exact("requests to Tencent of the next two", warm.requests.len() as f64),
        exact("connections to Secrets Manager", aws.connections.len() as f64),
        exact("requests to Secrets Manager", aws.requests.len() as f64),
    ])
}

/// Instructions of the whole process, TLS, logs and metrics included, as callgrind counts them.
pub async fn instructions(machine: Machine, binary: &Path) -> io::Result<Vec<Figure>> {
    let Some(valgrind) = *VALGRIND else { return Ok(Vec::new()) };
    let count = async |batches: usize, records: usize| {
        let plan = Plan { tls: true, latency: Duration::from_millis(20), ..PLAIN };
        let mut life = Life::begin(machine, machine::callgrind(valgrind, binary), plan).await?;
        life.function.ready().await?;
        for _ in 0..batches {
            life.batch(records).await?;
        }
        cpu_at_rest(life.process).await?;
        machine::terminate(life.process)?;
        life.function.ended().await?;
        machine::instructions(&life.function.output())
    };
    let each = async |records: usize| io::Result::Ok((count(42, records).await? - count(2, records).await?) / 40.0);
    let (init, one, ten) = (count(0, 0).await?, each(1).await?, each(10).await?);
    // On a busy machine it wakes up more or less often; and what a processor can do, some libraries do otherwise.
    Ok(vec![
        Figure::counted("init", "M", init / 1e6, 0.1),
        Figure::counted("a batch of 1", "k", one / 1e3, 0.1),
        Figure::counted("a record in a batch of 10", "k", ten / 10.0 / 1e3, 0.1),
    ])
}

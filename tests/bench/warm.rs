//! What an environment costs that works: batches one after the other, and many sign-ups at once.

use std::{io, path::Path, time::Duration};

use local::serve::Traffic;
use tokio::process::Command;

use crate::{
    life::{Life, PLAIN, Pace, Plan, between, micros, millis},
    machine::{self, MIB, Machine, cpu_at_rest},
    table::{Figure, median},
};

/// `MAX_IN_FLIGHT`'s default.
const IN_FLIGHT: usize = 40;

/// Batches of an environment that has worked before, so many of each size at each of these latencies.
pub async fn warm(
    machine: Machine,
    binary: &Path,
    pace: Pace,
    latencies: &[u64],
    repeats: u32,
) -> io::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let life = Life::begin(machine, Command::new(binary), Plan { pace, ..PLAIN }).await?;
    // As many connections as are ever wanted, and more.
    life.tencent.set_latency(Duration::from_millis(400));
    life.batch(100).await?;
    life.tencent.take_traffic();
    let (ours, mut all) = (machine::own_cpu(), 0.0);
    for latency in latencies.iter().copied().map(Duration::from_millis) {
        life.tencent.set_latency(latency);
        for records in [1, 10, 100] {
            let cpu = cpu_at_rest(life.process).await?;
            let mut walls = Vec::new();
            for _ in 0..repeats {
                let times = life.batch(records).await?;
                walls.push(between(times.begun, times.ended));
            }
            let cpu = micros(cpu_at_rest(life.process).await? - cpu);
            let (wall, count) = (median(&walls), f64::from(repeats) * records as f64);
            let gaps = millis(pace.gap()) * records as f64;
            let what = format!("{records} at {} ms, {gaps:.1} ms of gaps", latency.as_millis());
            all += count;
            figures.extend([
                Figure::new(format!("{what}: wall"), "ms", wall),
                Figure::new(format!("{what}: beyond both"), "ms", wall - ideal(records, latency, pace)),
                Figure::new(format!("{what}: CPU a record"), "µs", cpu / count),
            ]);
        }
    }
    figures.push(Figure::new("stand-ins' CPU a record", "µs", micros(machine::own_cpu() - ours) / all));
    figures.push(Figure::new("new connections", "", life.tencent.take_traffic().connections.len() as f64));
    Ok(figures)
}

/// Least time that a batch can take: calls a gap apart, and so many at once; which of the two is the longer way.
fn ideal(records: usize, latency: Duration, pace: Pace) -> f64 {
    let paced = millis(pace.gap()) * records as f64 + millis(latency);
    paced.max(millis(latency) * records.div_ceil(IN_FLIGHT) as f64)
}

/// A thousand sign-ups at once, as the first that an environment gets.
pub async fn burst(machine: Machine, binary: &Path) -> io::Result<Vec<Figure>> {
    const RECORDS: usize = 1000;
    let latency = Duration::from_millis(50);
    let ideal = ideal(RECORDS, latency, Pace::HIGH);
    let mut figures = Vec::new();
    for (what, tls) in [("HTTP", false), ("TLS", true)] {
        let life = Life::begin(machine, Command::new(binary), Plan { tls, latency, ..PLAIN }).await?;
        life.function.ready().await?;
        let cpu = cpu_at_rest(life.process).await?;
        let times = life.batch(RECORDS).await?;
        let cpu = cpu_at_rest(life.process).await? - cpu;
        let wall = between(times.begun, times.ended);
        let Traffic { connections, requests } = life.tencent.take_traffic();
        let latencies: Vec<f64> = requests.iter().map(|request| between(request.at, request.answered)).collect();
        figures.extend([
            Figure::new(format!("{what}: wall"), "ms", wall),
            Figure::new(format!("{what}: wall to the ideal of {ideal:.0} ms"), "x", wall / ideal),
            Figure::new(format!("{what}: CPU a record"), "µs", micros(cpu) / RECORDS as f64),
            Figure::new(format!("{what}: connections"), "", connections.len() as f64),
            Figure::new(format!("{what}: Tencent's latency as it was"), "ms", median(&latencies)),
            Figure::new(format!("{what}: peak memory"), "MiB", machine::memory(life.process, "VmHWM")? / MIB),
        ]);
    }
    Ok(figures)
}

/// The most memory with ten calls under way.
pub async fn memory(machine: Machine, binary: &Path) -> io::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (what, tls) in [("HTTP", false), ("TLS", true)] {
        let plan = Plan { tls, latency: Duration::from_millis(50), ..PLAIN };
        let life = Life::begin(machine, Command::new(binary), plan).await?;
        life.function.ready().await?;
        let init = machine::memory(life.process, "VmHWM")? / MIB;
        for _ in 0..5 {
            life.batch(10).await?;
        }
        let peak = machine::memory(life.process, "VmHWM")? / MIB;
        figures.push(Figure::new(format!("{what}: peak after init"), "MiB", init));
        figures.push(Figure::new(format!("{what}: peak with 10 in flight"), "MiB", peak));
    }
    Ok(figures)
}

//! What takes minutes: a whole fleet against Tencent's limit, and an environment that grows old.

use std::{
    cell::{Cell, RefCell},
    io,
    path::Path,
    time::{Duration, Instant},
};

use futures_util::future::try_join;
use tokio::process::Command;

use crate::{
    life::{Life, PLAIN, Pace, Plan, between, event, invoke, micros, millis, start},
    machine::{MIB, Machine, cpu_at_rest, memory},
    table::Figure,
};

/// Imports a second that the fleet is set to.
const FLEET: Pace = Pace { limit: 200, concurrency: 2 };
/// How long it works.
const MINUTE: Duration = Duration::from_mins(1);
/// The template's `BatchSize`, and the most that it may be.
const BATCHES: [usize; 2] = [10, LARGEST];
const LARGEST: usize = 1000;
/// Imports a second that the largest batches have to hold.
const LEAST: f64 = 190.0;

/// Two environments that are never without a batch, for a minute each: some five minutes.
pub async fn fleet(machine: Machine, binary: &Path) -> io::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for batch in BATCHES {
        for latency in [50, 250].map(Duration::from_millis) {
            let life = Life::begin(machine, Command::new(binary), Plan { latency, pace: FLEET, ..PLAIN }).await?;
            let (tencent, cloud) = (&life.tencent, &life.cloud);
            let other = start(machine, Command::new(binary), tencent, cloud, &life.roots, FLEET)?;
            // Made before: while a batch is made here, nobody would see when calls come in.
            let enough = (FLEET.limit as usize * 60).div_ceil(batch);
            let batches: Vec<String> = (0..enough).map(|_| event(batch)).collect();
            let (batches, begun) = (RefCell::new(batches), Instant::now());
            let work = async |function| {
                while begun.elapsed() < MINUTE {
                    let batch = batches.borrow_mut().pop().ok_or_else(|| io::Error::other("too few batches"))?;
                    invoke(function, &batch).await?;
                }
                io::Result::Ok(())
            };
            let stood_still = Cell::new(Duration::ZERO);
            tokio::select! {
                done = try_join(work(&life.function), work(&other)) => drop(done?),
                never = watch(&stood_still) => never,
            }
            let calls: Vec<Instant> = tencent.take_calls().iter().map(|call| call.at).collect();
            let what = format!("batches of {batch} at {} ms", latency.as_millis());
            let (held, most, still) = (held(&calls), most(&calls), millis(stood_still.get()));
            // One gap and one latency are lost with every batch: small ones cannot hold the rate.
            if most > FLEET.limit as usize || (batch == LARGEST && held < LEAST) {
                let counts = format!("{held:.1} imports a second, {most} in one of them");
                // The pace allows for calls that are held up for 10 ms.
                return Err(io::Error::other(format!("{what}: {counts}; Tencent stood still for up to {still:.1} ms")));
            }
            figures.extend([
                Figure::new(format!("{what}: imports a second"), "/s", held),
                Figure::new(format!("{what}: most in any second"), "", most as f64),
                Figure::new(format!("{what}: longest that Tencent stood still"), "ms", still),
            ]);
        }
    }
    Ok(figures)
}

/// Notes the longest time in which nobody here took a call, since the machine did something else: those that were held
/// up by it come together.
async fn watch(longest: &Cell<Duration>) -> ! {
    const TICK: Duration = Duration::from_millis(1);
    loop {
        let asleep = Instant::now();
        tokio::time::sleep(TICK).await;
        longest.set(longest.get().max(asleep.elapsed().saturating_sub(TICK)));
    }
}

/// Calls a second in the minute from the first one on; they come in order.
fn held(calls: &[Instant]) -> f64 {
    let in_time = calls.iter().take_while(|at| calls.first().is_some_and(|first| at.duration_since(*first) < MINUTE));
    in_time.count() as f64 / MINUTE.as_secs_f64()
}

/// Most calls in any second, wherever it begins.
fn most(calls: &[Instant]) -> usize {
    let mut first = calls.iter().peekable();
    let within = |last: &Instant, first: &Instant| last.duration_since(*first) < Duration::from_secs(1);
    let mut count = 0;
    let counts = calls.iter().map(|last| {
        count += 1;
        while first.next_if(|first| !within(last, first)).is_some() {
            count -= 1;
        }
        count
    });
    counts.max().unwrap_or_default()
}

/// By how much a time on the core may be longer than one that it should equal: these machines are noisy.
const NOISE: f64 = 1.5;
/// Memory that an environment may come to need in a hundred thousand invocations.
const GROWTH: f64 = 1.0;

/// Whether a record's cost grows with the batch, and an environment with its age: a minute or two.
pub async fn long(machine: Machine, binary: &Path) -> io::Result<Vec<Figure>> {
    const INVOCATIONS: usize = 100_000;
    const SOME: usize = 2_000;
    let (mut figures, mut costs) = (Vec::new(), Vec::new());
    for records in [1, 10, 100, 1_000, 10_000] {
        // Of its own each: what one has left behind is not the next one's.
        let life = Life::begin(machine, Command::new(binary), PLAIN).await?;
        life.batch(records).await?;
        let cpu = cpu_at_rest(life.process).await?;
        let repeats = 1_000_usize.div_ceil(records).max(2);
        let mut wall = 0.0;
        for _ in 0..repeats {
            let times = life.batch(records).await?;
            wall += between(times.begun, times.ended);
        }
        let count = (repeats * records) as f64;
        let cost = micros(cpu_at_rest(life.process).await? - cpu) / count;
        costs.push(cost);
        figures.extend([
            Figure::new(format!("batch of {records}: CPU a record"), "µs", cost),
            Figure::new(format!("batch of {records}: wall a record"), "ms", wall / count),
            Figure::new(format!("batch of {records}: peak memory"), "MiB", memory(life.process, "VmHWM")? / MIB),
        ]);
    }
    let life = Life::begin(machine, Command::new(binary), PLAIN).await?;
    let (mut worked, mut ages, mut memories) = (0, Vec::new(), Vec::new());
    for age in [SOME, INVOCATIONS / 10, INVOCATIONS / 2, INVOCATIONS] {
        for _ in worked..age - SOME {
            life.batch(1).await?;
        }
        let cpu = cpu_at_rest(life.process).await?;
        for _ in 0..SOME {
            life.batch(1).await?;
        }
        worked = age;
        let cost = micros(cpu_at_rest(life.process).await? - cpu) / SOME as f64;
        let memory = memory(life.process, "VmRSS")? / MIB;
        ages.push(cost);
        memories.push(memory);
        figures.extend([
            Figure::new(format!("after {age} invocations: memory"), "MiB", memory),
            Figure::new(format!("after {age} invocations: CPU of one"), "µs", cost),
        ]);
    }
    // The first is of batches of one, in which each record bears a whole invocation.
    flat("CPU of a record, by batch", costs.get(1..).unwrap_or_default(), |first| first * NOISE)?;
    flat("CPU of an invocation, by age", &ages, |first| first * NOISE)?;
    flat("memory, by age", &memories, |first| first + GROWTH)?;
    figures.push(Figure::new("connections of all these", "", life.tencent.take_traffic().connections.len() as f64));
    Ok(figures)
}

/// Refuses values of which one is more than there may be by the first.
fn flat(what: &str, values: &[f64], most: impl Fn(f64) -> f64) -> io::Result<()> {
    let most = most(values.first().copied().unwrap_or_default());
    if values.iter().any(|value| *value > most) {
        return Err(io::Error::other(format!("{what} grows beyond {most:.1}: {values:.1?}")));
    }
    Ok(())
}

//! What the function costs: the release binary, run as Lambda runs it, with stand-ins for all that it calls.
//!
//! ```text
//! cargo bench                       all parts but those that take minutes
//! cargo bench -- warm               those whose names have this in them; with fleet or long, five minutes and one
//! cargo bench -- --against OTHER    the same of another binary too, in turns, and how the two compare
//! cargo bench -- --repeats 30       so many times each
//! cargo bench -- --check            the counts only, against those accepted in tests/bench/baseline.json
//! cargo bench -- --accept           accepts the counts
//! ```
//!
//! The binary is that of `cargo build --release`, stripped, not that of cargo's bench profile: it shares no feature of
//! any crate with the tests. All numbers but those of a check are also in `target/bench.json`. The file is not
//! `main.rs`, or cargo would also take it for a test.
#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::unchecked_time_subtraction,
    reason = "a table is what it is for; its numbers are small, and its clocks go forward"
)]

mod baseline;
mod cold;
mod counts;
mod life;
mod long;
mod machine;
mod parts;
mod record;
mod table;
mod warm;

use std::{io, path::PathBuf, process::ExitCode};

use local::world::build_release;
use machine::{Machine, VALGRIND};
use parts::{Part, When};
use serde_json::json;
use table::Row;

/// What was asked for.
#[derive(Default)]
struct Wanted {
    names: Vec<String>,
    against: Option<PathBuf>,
    repeats: Option<usize>,
    checks: bool,
    accepts: bool,
}

impl Wanted {
    fn read(arguments: Vec<String>) -> Result<Self, String> {
        let mut wanted = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // Cargo says so to every benchmark.
                "--bench" => {}
                "--against" => wanted.against = Some(arguments.next().ok_or("--against needs a binary")?.into()),
                "--repeats" => {
                    let number = arguments.next().and_then(|number| number.parse().ok()).filter(|number| *number > 0);
                    wanted.repeats = Some(number.ok_or("--repeats needs a number")?);
                }
                "--check" => wanted.checks = true,
                "--accept" => wanted.accepts = true,
                option if option.starts_with('-') => return Err(format!("there is no {option}")),
                _ => wanted.names.push(argument),
            }
        }
        Ok(wanted)
    }

    /// Whether a part is to be run.
    fn wants(&self, part: &Part) -> bool {
        if self.checks || self.accepts {
            return matches!(part.when, When::Counted | When::OfLibrary);
        }
        match self.names.as_slice() {
            [] => part.when != When::Named,
            names => names.iter().any(|name| part.name.contains(name.as_str())),
        }
    }
}

fn main() -> io::Result<ExitCode> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == record::COUNT) {
        return record::count(&arguments.split_off(1));
    }
    let wanted = match Wanted::read(arguments) {
        Ok(wanted) if parts::ALL.iter().any(|part| wanted.wants(part)) => wanted,
        Ok(wanted) => return Ok(refuse(&format!("there is no part with {} in its name", wanted.names.join(" or ")))),
        Err(error) => return Ok(refuse(&error)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let binary = runtime.block_on(build_release())?;
    let machine = Machine::divide()?;
    let load = machine::load();
    println!("{}; {load} processes want a core.", machine.told());
    if load > 0.5 {
        println!("It is busy with other things: compare counts, and ratios of many repeats, but believe no time.");
    }
    if VALGRIND.is_none() {
        println!("valgrind is missing: instructions are not counted.");
    }
    let rows = runtime.block_on(run(machine, &binary, &wanted))?;
    let about = json!({"arch": std::env::consts::ARCH, "machine": machine.told(), "load": [load, machine::load()]});
    if wanted.accepts {
        baseline::accept(&rows)?;
    } else if wanted.checks {
        let wrong = baseline::check(&rows)?;
        for line in &wrong {
            println!("FAILED {line}");
        }
        return Ok(u8::from(!wrong.is_empty()).into());
    } else {
        table::write(&rows, &about)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn refuse(error: &str) -> ExitCode {
    println!("{error}");
    ExitCode::FAILURE
}

/// Runs all parts that are wanted; with two binaries, in turns.
async fn run(machine: Machine, binary: &std::path::Path, wanted: &Wanted) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    println!("\n{}", table::head(wanted.against.is_some()));
    for part in parts::ALL.iter().filter(|part| wanted.wants(part)) {
        let first = rows.len();
        for _ in 0..wanted.repeats.unwrap_or(part.repeats) {
            table::add(&mut rows, part.name, (part.measure)(machine, binary).await?, false);
            if let Some(other) = wanted.against.as_ref().filter(|_| part.when != When::OfLibrary) {
                table::add(&mut rows, part.name, (part.measure)(machine, other).await?, true);
            }
        }
        for row in rows.iter().skip(first) {
            println!("{}", table::line(row));
        }
    }
    Ok(rows)
}

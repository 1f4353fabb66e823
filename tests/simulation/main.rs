//! Days in moments: the function's own code in virtual time, against models of SQS, of Lambda's mapping, of Secrets
//! Manager and of Tencent. Every scenario is lived through under many seeds; a seed that fails is named, and fails
//! again when it is asked for.
//!
//! ```text
//! cargo test --test simulation                all scenarios but the longest, one seed each
//! cargo simulate                              all scenarios, 2000 seeds each
//! cargo simulate --seeds 100                  the same, with fewer
//! cargo simulate outage_of_72_hours           those whose names have this in them
//! cargo simulate outage_of_72_hours --seed 7  one seed, with the function's log
//! ```
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::unchecked_time_subtraction,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "a test stops at the first surprise, and says what it saw; its numbers are small"
)]

mod cloud;
mod figures;
mod mapping;
mod scenario;
mod sqs;
mod tencent;
mod world;

use std::{
    process::ExitCode,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use figures::{Figures, Worst};
use scenario::{LONGEST, Scenario};

/// Seeds of each scenario: without optimisation, a run takes some ten times as long.
const SEEDS: u64 = if cfg!(debug_assertions) { 1 } else { 2000 };
/// Most failing seeds of a scenario that are told.
const TOLD: usize = 3;

fn main() -> ExitCode {
    let (mut names, mut seeds, mut seed) = (Vec::new(), SEEDS, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|number| number.parse().ok());
        match argument.as_str() {
            "--seeds" => seeds = number().unwrap_or(seeds),
            "--seed" => seed = number(),
            // Those of other tests mean nothing here.
            option if option.starts_with('-') => {}
            _ => names.push(argument),
        }
    }
    sqs::assert_as_in_the_template();
    let is_meant = |scenario: &Scenario| match names.as_slice() {
        [] => !cfg!(debug_assertions) || scenario.one_in < LONGEST,
        names => names.iter().any(|name| scenario.name.contains(name)),
    };
    let scenarios: Vec<Scenario> = scenario::all().into_iter().filter(is_meant).collect();
    if scenarios.is_empty() && !cfg!(debug_assertions) {
        println!("there is no scenario with {} in its name", names.join(" or "));
        return ExitCode::FAILURE;
    }
    let failed = match seed {
        Some(seed) => scenarios.iter().filter(|scenario| !replay(scenario, seed)).count(),
        None => run(&scenarios, seeds),
    };
    println!("\n{} scenarios, {failed} failed", scenarios.len());
    u8::from(failed > 0).into()
}

/// Lives through one seed, with the function's log; tells whether all was well.
fn replay(scenario: &Scenario, seed: u64) -> bool {
    // The first of several is enough to hear them all.
    let _ = tracing_subscriber::fmt().with_timer(world::Timer).with_ansi(false).try_init();
    let figures = mapping::live(scenario, seed);
    println!("{} {seed}: {figures:#?}", scenario.name);
    figures.findings.is_empty()
}

/// Lives through all scenarios under so many seeds each, on all cores; gives how many failed.
fn run(scenarios: &[Scenario], seeds: u64) -> usize {
    let runs = scenarios.iter().enumerate();
    let runs = runs.flat_map(|(index, scenario)| (0..seeds.div_ceil(scenario.one_in)).map(move |seed| (index, seed)));
    let (runs, next): (Vec<_>, _) = (runs.collect(), AtomicUsize::new(0));
    let (tell, told) = mpsc::channel();
    println!("{}", Worst::HEAD);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            let (tell, runs, next) = (tell.clone(), &runs, &next);
            scope.spawn(move || {
                while let Some((index, seed)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let scenario = &scenarios[*index];
                    let figures = std::panic::catch_unwind(|| mapping::live(scenario, *seed));
                    let figures = figures.unwrap_or_else(|_| panic!("cargo simulate {} --seed {seed}", scenario.name));
                    tell.send((*index, *seed, figures)).unwrap();
                }
            });
        }
        drop(tell);
        let mut missing: Vec<u64> = scenarios.iter().map(|scenario| seeds.div_ceil(scenario.one_in)).collect();
        let mut lived: Vec<Vec<(u64, Figures)>> = scenarios.iter().map(|_| Vec::new()).collect();
        let (mut failed, mut shown) = (0, 0);
        for (index, seed, figures) in told {
            lived[index].push((seed, figures));
            missing[index] -= 1;
            // In their order, as soon as one is complete.
            while missing.get(shown) == Some(&0) {
                failed += usize::from(!holds(&scenarios[shown], std::mem::take(&mut lived[shown])));
                shown += 1;
            }
        }
        failed
    })
}

/// Prints what came of a scenario; tells whether its bands hold under all seeds.
fn holds(scenario: &Scenario, mut lived: Vec<(u64, Figures)>) -> bool {
    lived.sort_by_key(|(seed, _)| *seed);
    println!("{}", Worst::of(scenario, lived.iter().map(|(_, figures)| figures)));
    let failed: Vec<_> = lived.iter().filter(|(_, figures)| !figures.findings.is_empty()).collect();
    for (seed, figures) in failed.iter().take(TOLD) {
        for (finding, times) in &figures.findings {
            println!("    {finding} ({times}): cargo simulate {} --seed {seed}", scenario.name);
        }
    }
    if failed.len() > TOLD {
        println!("    and {} seeds more", failed.len() - TOLD);
    }
    failed.is_empty()
}

//! `cargo siege`: the function under load, while everything around it fails, and every account re-read in the end.
#![expect(clippy::print_stdout, reason = "it is what a person came to see")]

use std::{io, process::ExitCode, time::Instant};

use local::{
    python::Python,
    siege::Siege,
    world::{World, build_release},
};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ended = tokio::select! {
        ended = siege(&arguments) => ended,
        _ = tokio::signal::ctrl_c() => Err(io::Error::other("interrupted: everything is stopped")),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("\n{error}");
            ExitCode::FAILURE
        }
    }
}

/// Gives whether all is well.
async fn siege(arguments: &[String]) -> io::Result<bool> {
    let siege = read(arguments)?;
    let started = Instant::now();
    let step = |text: &str| println!("{:>6.1} s  {text}", started.elapsed().as_secs_f32());
    step("building the function (cargo build --release)");
    let (python, binary) = tokio::try_join!(Python::set_up(), build_release())?;
    step("starting AWS (MiniStack, IAM enforced) and Tencent (stand-in, TLS); deploying infra/template.yaml");
    let world = World::start(&python, &binary, Siege::app()).await?;
    let report = siege.lay(&world, step).await?;
    println!("\n{report}");
    Ok(report.wrong.is_empty())
}

/// `[messages] [--seed number] [--brief]`
fn read(arguments: &[String]) -> io::Result<Siege> {
    let mut siege = Siege { messages: 10_000, seed: fastrand::u16(..).into(), is_brief: false };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let wrong = |_| io::Error::other(format!("{argument:?}: must be [messages] [--seed number] [--brief]"));
        match argument.as_str() {
            "--brief" => siege.is_brief = true,
            "--seed" => siege.seed = arguments.next().map(String::as_str).unwrap_or_default().parse().map_err(wrong)?,
            messages => siege.messages = messages.parse().map_err(wrong)?,
        }
    }
    Ok(siege)
}

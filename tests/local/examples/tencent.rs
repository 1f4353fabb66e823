//! `cargo tencent`: the stand-in for Tencent Chat's REST API as a program of its own.
#![expect(clippy::print_stdout, reason = "it is what a person came to see")]

use std::{io, process::ExitCode};

use local::{
    serve,
    tencent::{
        App, Tencent,
        behaviour::{ALL, Origin, counts},
    },
};

const USAGE: &str = "cargo tencent [--behaviours] [--https] [--port N] [--quota N] [--fail-share 0.2] [--seed N]

Stands in for Tencent Chat's REST API on 127.0.0.1. --behaviours lists what it does, and from where we know it.";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}\n\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[String]) -> io::Result<()> {
    let (mut app, mut port, mut tls, mut seed, mut share) = (App::default(), 0, None, 1, 0.0);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| io::Error::other(format!("{argument} needs a value")));
        match argument.as_str() {
            "--behaviours" => {
                behaviours();
                return Ok(());
            }
            "--https" => tls = Some(serve::tls()?),
            "--port" => port = number(argument, value()?)?,
            "--quota" => app.quota = number(argument, value()?)?,
            "--fail-share" => share = number(argument, value()?)?,
            "--seed" => seed = number(argument, value()?)?,
            _ => return Err(io::Error::other(format!("{argument} is not known"))),
        }
    }
    let secret = app.secret();
    let (acceptor, certificate) = tls.unzip();
    let tencent = Tencent::start_on(port, acceptor, app).await?;
    tencent.fail_at_random(seed, share);
    println!("CHAT_ENDPOINT={}", tencent.url());
    if let Some(certificate) = certificate {
        println!("SSL_CERT_FILE={}", certificate.display());
    }
    println!("secret: {secret}\nCtrl-C ends it.");
    tokio::signal::ctrl_c().await
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> io::Result<T> {
    value.parse().map_err(|_| io::Error::other(format!("{name} is {value:?}: must be a number")))
}

fn behaviours() {
    for behaviour in ALL {
        let origin = match behaviour.origin() {
            Origin::Documented(page) => format!("documented: {page}"),
            Origin::Recorded(when) => format!("recorded: {when}"),
            Origin::Assumed => "assumed".to_owned(),
        };
        println!("{:>6}  {} ({origin})", behaviour.code(), behaviour.text());
    }
    let [documented, recorded, assumed] = counts();
    println!("\n{documented} documented, {recorded} recorded, {assumed} assumed");
}

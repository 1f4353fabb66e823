//! `cargo sandbox`: keeps the local world up, for `cargo lambda watch` and `cargo lambda invoke`.
#![expect(clippy::print_stdout, reason = "it is what a person came to see")]

use std::{io, process::ExitCode};

use local::{
    python::{Python, target},
    sandbox,
    tencent::{App, Reply},
    world::{World, build_release},
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// For `cargo lambda watch`, and for a shell.
const FILES: [&str; 2] = ["sandbox.env", "sandbox.sh"];

#[tokio::main]
async fn main() -> ExitCode {
    let ended = tokio::select! {
        ended = sandbox() => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    for name in FILES {
        let _ = std::fs::remove_file(target().join(name));
    }
    match ended {
        Ok(()) => {
            println!("\nEverything is stopped.");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("\n{error}");
            ExitCode::FAILURE
        }
    }
}

async fn sandbox() -> io::Result<()> {
    println!("Building the function and starting AWS and Tencent on this machine ...");
    let (python, binary) = tokio::try_join!(Python::set_up(), build_release())?;
    let world = World::start(&python, &binary, App::default()).await?;
    // Whose sign-ups they are is set as for the function itself.
    let names = ["SIGNUP_FORMAT", "SIGNUP_CUSTOM_FORMAT", "SIGNUP_CLOUDEVENT_TYPE", "USER_ID_RULE", "PROFILE_RULE"];
    let settings: Vec<_> = names.into_iter().filter_map(|name| Some((name, std::env::var(name).ok()?))).collect();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    world.set(&settings).await?;
    // What the sample events of these names are about.
    world.tencent.script("mary-somerville", [Reply::Code(70500)]);
    world.tencent.script("one-too-many", vec![Reply::Code(70398); 1000]);

    for (name, text) in FILES.into_iter().zip([world.env_file(&settings), world.aws.shell()]) {
        std::fs::write(target().join(name), text)?;
    }
    println!(
        "\nThe local world is up. In a second terminal:\n\n    \
         cargo lambda watch --env-file target/local/sandbox.env --invoke-address ::1\n\nand in a third:\n\n    \
         cargo lambda invoke chat-signup-import --data-file events/signup.json\n\n\
         The function is deployed here, too: {}\nis its queue, and after\n\n    . target/local/sandbox.sh\n\n\
         `aws` calls this AWS. Tencent's calls show below. Enter upgrades the app's plan; Ctrl-C ends it all.\n",
        world.output("SignupQueueUrl"),
    );
    sandbox::live(&world, enter(), |line| println!("{line}")).await
}

/// Each time that somebody presses Enter. The thread is of the system, so that nobody waits for its end.
fn enter() -> UnboundedReceiver<()> {
    let (pressed, asked) = unbounded_channel();
    std::thread::spawn(move || io::stdin().lines().map_while(Result::ok).try_for_each(|_| pressed.send(())));
    asked
}

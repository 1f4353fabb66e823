//! `cargo sandbox`: keeps the local world up, for `cargo lambda watch` and `cargo lambda invoke`.
#![expect(clippy::print_stdout, reason = "it is what a person came to see")]

use std::{io, process::ExitCode, time::Duration};

use local::{
    python::{Python, target},
    tencent::{App, Reply},
    world::{World, build_release},
};

#[tokio::main]
async fn main() -> ExitCode {
    let ended = tokio::select! {
        ended = sandbox() => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    let _ = std::fs::remove_file(target().join("sandbox.env"));
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

    let file = target().join("sandbox.env");
    std::fs::write(&file, world.env_file(&settings))?;
    println!(
        "\nThe local world is up. In a second terminal:\n\n    \
         cargo lambda watch --env-file target/local/sandbox.env --invoke-address ::1\n\nand in a third:\n\n    \
         cargo lambda invoke chat-signup-import --data-file events/signup.json\n\n\
         The function is deployed here, too: {}\nis its queue. Tencent's accounts and calls show below. Ctrl-C ends it all.\n",
        world.output("SignupQueueUrl"),
    );
    let mut shown = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        for call in world.tencent.calls().iter().skip(shown) {
            // A call shows once it is answered; the last one may not be yet.
            let Some(code) = call.code else { break };
            println!("Tencent: {} {} -> {code}", call.command, call.user_id);
            shown += 1;
        }
    }
}

//! The binary in a whole AWS, under load, while everything around it fails: `cargo siege` in brief.

use std::{path::Path, time::Instant};

use local::{python::Python, siege::Siege, world::World};

#[tokio::test(flavor = "multi_thread")]
async fn a_siege_loses_nothing() {
    let python = Python::set_up().await.unwrap_or_else(|error| panic!("this test cannot run: {error}"));
    let binary = Path::new(env!("CARGO_BIN_EXE_chat-signup-import"));
    let world = World::start(&python, binary, Siege::app()).await.unwrap();
    let started = Instant::now();
    let siege = Siege { messages: 2_000, seed: 1, is_brief: true };
    let say = |text: &str| println!("{:>6.1} s  {text}", started.elapsed().as_secs_f32());
    let report = siege.lay(&world, say).await.unwrap();
    assert!(report.wrong.is_empty(), "\n{report}");
    println!("{report}");
}

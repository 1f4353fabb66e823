//! The program that `cargo fuzzing` instruments and runs: libFuzzer, with the target that `FUZZ_TARGET` names.
#![no_main]
#![expect(clippy::expect_used, reason = "a panic is what a target has to say")]

use std::sync::LazyLock;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET must name a target");
    fuzz::TARGETS.iter().find(|(target, _)| *target == name).expect("FUZZ_TARGET must name a target").1
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));

//! `cargo release`: builds the zips, each with the bill of what is in it, so that whoever builds them gets the same bytes.
#![expect(clippy::print_stdout, reason = "it is what a person came to see")]

use std::{collections::BTreeSet, fs, io, process::ExitCode};

use local::{
    bill::bill,
    python::Python,
    release::{Architecture, NAME, Place, zip},
    sha256,
};
use serde_json::Value;

const USAGE: &str = "cargo release [arm64] [x86_64] [--again]

Builds the zip for both architectures, or for those that are named, into target/zips, each with its CycloneDX bill, and
SHA256SUMS. The last of them, normally arm64's, is put where infra/template.yaml has it deployed from, too.

--again  builds each once more, from a clean copy in another folder, and fails unless the bytes are the same";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let known = |name: &String| name == "--again" || Architecture::ALL.iter().any(|each| each.name() == name);
    if !arguments.iter().all(known) {
        println!("{USAGE}");
        return ExitCode::FAILURE;
    }
    match release(&arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Gives whether all were the same when they were built again.
async fn release(arguments: &[String]) -> io::Result<bool> {
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let mut architectures = Architecture::ALL.to_vec();
    if architectures.iter().any(|each| has(each.name())) {
        architectures.retain(|each| has(each.name()));
    }
    let python = Python::with(&[("cargo-lambda.txt", &["--no-deps"]), ("zig.txt", &[])]).await?;
    let here = Place::here()?;
    let sums = build(&python, &here, &architectures).await?;
    println!("\n{sums}");
    if !has("--again") {
        return Ok(true);
    }
    let there = Place::elsewhere()?;
    println!("once more, in {}", there.tree.display());
    let again = build(&python, &there, &architectures).await?;
    let verdict = if sums == again { "the same" } else { "NOT THE SAME" };
    println!("\n{again}\n{verdict} in {} and {}", here.target.display(), there.target.display());
    Ok(sums == again)
}

/// The components of a bill, each as `name@version`.
fn listed(bill: &Value) -> BTreeSet<String> {
    let components = bill.get("components").and_then(Value::as_array).into_iter().flatten();
    let text = |component: &Value, key: &str| Some(component.get(key)?.as_str()?.to_owned());
    components.filter_map(|each| Some(format!("{}@{}", text(each, "name")?, text(each, "version")?))).collect()
}

/// Gives the sums of what it has built.
async fn build(python: &Python, place: &Place, architectures: &[Architecture]) -> io::Result<String> {
    let zips = place.target.join("zips");
    if zips.exists() {
        fs::remove_dir_all(&zips)?;
    }
    fs::create_dir_all(&zips)?;
    let mut sums = Vec::new();
    for architecture in architectures {
        let built = place.build(python, *architecture).await?;
        let zip = zip(&built.binary)?;
        let bill = bill(place, *architecture, &zip).await?;
        let billed = listed(&bill);
        if billed != built.linked {
            let odd: Vec<_> = billed.symmetric_difference(&built.linked).collect();
            return Err(io::Error::other(format!("either the bill or the binary has them, not both: {odd:?}")));
        }
        let bill = format!("{bill:#}\n");
        let name = format!("{NAME}-{}", architecture.name());
        for (ending, bytes) in [("zip", &zip[..]), ("cdx.json", bill.as_bytes())] {
            let name = format!("{name}.{ending}");
            fs::write(zips.join(&name), bytes)?;
            sums.push(format!("{}  {name}\n", sha256(bytes)));
        }
        let deployed = place.target.join("lambda").join(NAME);
        fs::create_dir_all(&deployed)?;
        fs::write(deployed.join("bootstrap.zip"), zip)?;
    }
    let sums = sums.concat();
    fs::write(zips.join("SHA256SUMS"), &sums)?;
    Ok(sums)
}

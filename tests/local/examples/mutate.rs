//! `cargo mutate`: breaks the function in one way after the other, each time in a copy of it, and sees to it that the
//! simulation notices.
#![expect(clippy::print_stdout, reason = "it is what a person came to see")]

use std::{
    collections::BTreeSet,
    fs, io,
    path::PathBuf,
    process::{Command, ExitCode},
};

use local::{copy, file, top};

const USAGE: &str = "cargo mutate [WORD...]

Makes each change of tests/simulation/mutants.json, or those whose description has a word in it, and runs the scenario
that must notice it. The copy is below target/mutants.";
/// Seeds of a run. One that fails is enough.
const SEEDS: &str = "10";

/// A change, in what file, and which scenario must fail by it.
struct Mutant {
    what: String,
    path: String,
    from: String,
    to: String,
    scenario: String,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word.starts_with('-')) {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match run(&words) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(survivors) => {
            println!("\n{survivors} went unnoticed");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Gives how many went unnoticed.
fn run(words: &[String]) -> io::Result<usize> {
    let mut mutants: Vec<Mutant> = serde_json::from_str::<Vec<[String; 5]>>(&file("tests/simulation/mutants.json"))?
        .into_iter()
        .map(|[what, path, from, to, scenario]| Mutant { what, path, from, to, scenario })
        .collect();
    mutants.retain(|mutant| words.is_empty() || words.iter().any(|word| mutant.what.contains(word.as_str())));
    let copy = Copy::make()?;
    let scenarios: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.scenario.as_str()).collect();
    for scenario in scenarios {
        if let Err(finding) = copy.simulate(scenario)? {
            return Err(io::Error::other(format!("{scenario} fails without any change: {finding}")));
        }
    }
    let mut survivors = 0;
    for mutant in &mutants {
        let text = file(&mutant.path);
        if text.matches(&mutant.from).count() != 1 {
            return Err(io::Error::other(format!("{}: {:?} must stand there once", mutant.path, mutant.from)));
        }
        fs::write(copy.tree.join(&mutant.path), text.replace(&mutant.from, &mutant.to))?;
        let noticed = copy.simulate(&mutant.scenario);
        fs::write(copy.tree.join(&mutant.path), text)?;
        let (is_noticed, verdict) = match noticed {
            Ok(Ok(())) => (false, "WENT UNNOTICED".to_owned()),
            Ok(Err(finding)) => (true, finding),
            Err(error) => (false, error.to_string()),
        };
        survivors += usize::from(!is_noticed);
        println!("{:<58} {:<34} {verdict}", mutant.what, mutant.scenario);
    }
    println!("\n{} changes made", mutants.len());
    Ok(survivors)
}

/// A copy of this package.
struct Copy {
    tree: PathBuf,
}

impl Copy {
    fn make() -> io::Result<Self> {
        let tree = top().join("target/mutants/tree");
        fs::create_dir_all(&tree)?;
        for part in ["Cargo.toml", "Cargo.lock", "src", "tests", "infra", "events"] {
            copy(&top().join(part), &tree.join(part))?;
        }
        Ok(Self { tree })
    }

    /// Runs a scenario; gives its first finding, if there is one.
    fn simulate(&self, scenario: &str) -> io::Result<Result<(), String>> {
        let cargo = |arguments: &[&str]| {
            let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            cargo.args(["test", "--quiet", "--profile", "simulation", "--test", "simulation"]).args(arguments);
            // What both need is built once; of the copy, what a change leaves as it is.
            cargo.env("CARGO_TARGET_DIR", top().join("target")).env("CARGO_INCREMENTAL", "1");
            cargo.current_dir(&self.tree).output()
        };
        let built = cargo(&["--no-run"])?;
        if !built.status.success() {
            return Err(io::Error::other(format!("it does not build:\n{}", String::from_utf8_lossy(&built.stderr))));
        }
        let run = cargo(&["--", scenario, "--seeds", SEEDS])?;
        let said = String::from_utf8_lossy(&run.stdout).into_owned();
        if run.status.success() {
            let is_run = said.contains(scenario);
            return if is_run { Ok(Ok(())) } else { Err(io::Error::other(format!("there is no scenario {scenario}"))) };
        }
        let finding = said.lines().find_map(|line| Some(line.split_once(": cargo simulate")?.0.trim()));
        Ok(Err(finding.unwrap_or("the simulation broke down").to_owned()))
    }
}

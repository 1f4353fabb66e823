//! `cargo fuzzing`: runs each target for a while on inputs that grow out of the corpus.
#![expect(clippy::print_stdout, reason = "it is what a person came to see")]

use std::{
    collections::BTreeSet,
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output},
};

const USAGE: &str = "usage: cargo fuzzing [SECONDS] [TARGET] [--keep]\n\n\
    Runs TARGET, or else all of them in turn, for SECONDS each, 20 if not said. What it finds is kept in target/fuzz;\n\
    with --keep, what of it reaches new code goes into tests/fuzz/corpus, and what has become superfluous leaves it.";
/// Longest input: what is longer is rarely of another kind.
const MAX_LEN: &str = "-max_len=4096";
/// Longest time for one input, in seconds, and largest memory of a run, in MB.
const LIMITS: [&str; 2] = ["-timeout=10", "-rss_limit_mb=512"];

fn main() -> ExitCode {
    let (options, arguments): (Vec<String>, Vec<String>) = env::args().skip(1).partition(|word| word.starts_with("--"));
    let seconds = arguments.first().map_or(Ok(20), |text| text.parse::<u32>());
    let named = |(name, _): &&fuzz::Target| arguments.get(1).is_none_or(|argument| argument == name);
    let targets: Vec<&str> = fuzz::TARGETS.iter().filter(named).map(|(name, _)| *name).collect();
    let keep = options.iter().any(|option| option == "--keep");
    let (Ok(seconds @ 1..), false, 0..=2, true) =
        (seconds, targets.is_empty(), arguments.len(), options.len() == usize::from(keep))
    else {
        println!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(seconds, &targets, keep) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(seconds: u32, targets: &[&str], keep: bool) -> io::Result<()> {
    let fuzzer = Fuzzer::build()?;
    println!("target     runs   new  corpus   peak  covered");
    for target in targets {
        fuzzer.fuzz(target, seconds)?;
    }
    for target in targets.iter().filter(|_| keep) {
        fuzzer.keep(target)?;
    }
    Ok(())
}

/// The instrumented program.
struct Fuzzer {
    program: PathBuf,
    /// The project's top level.
    top: PathBuf,
}

impl Fuzzer {
    fn build() -> io::Result<Self> {
        let compiler = env::var("CXX").unwrap_or("c++".to_owned());
        if Command::new(&compiler).arg("--version").output().is_err() {
            return Err(io::Error::other(format!(
                "there is no C++ compiler {compiler}, of which libFuzzer is built: install g++ or clang, or set CXX"
            )));
        }
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let top = here.ancestors().nth(2).unwrap_or(here).to_owned();
        let mut build = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
        // The target is named, so that it is known where the program is.
        build.args(["build", "--quiet", "--package", "fuzz", "--example", "target", "--target-dir", "target"]);
        build.env("RUSTC_WORKSPACE_WRAPPER", here.join("rustc")).env_remove("CARGO_BUILD_TARGET");
        if !build.current_dir(&top).status()?.success() {
            return Err(io::Error::other("the targets did not build"));
        }
        // A copy: the next ordinary build puts a program without counters in its place.
        fs::create_dir_all(top.join("target/fuzz"))?;
        let program = top.join("target/fuzz/program");
        fs::copy(top.join("target/debug/examples/target"), &program)?;
        Ok(Self { program, top })
    }

    fn command(&self, target: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.top).env("FUZZ_TARGET", target).args(LIMITS);
        command.arg(format!("-artifact_prefix=target/fuzz/{target}-"));
        command
    }

    /// Runs a target and prints what came of it.
    fn fuzz(&self, target: &str, seconds: u32) -> io::Result<()> {
        let found = self.top.join("target/fuzz").join(target);
        fs::create_dir_all(&found)?;
        let dictionary = self.top.join("target/fuzz/dictionary");
        fs::write(&dictionary, self.dictionary()?)?;
        let mut command = self.command(target);
        command.args([MAX_LEN, "-print_final_stats=1", &format!("-max_total_time={seconds}")]);
        command.arg(format!("-dict={}", dictionary.display())).arg(&found).args(self.seeds(target)?);
        let text = checked(&command.output()?, target)?;
        let last = |name: &str| {
            let rest = text.rsplit(name).next().filter(|_| text.contains(name)).unwrap_or_default();
            rest.split_whitespace().next().unwrap_or("-").to_owned()
        };
        println!(
            "{target:7} {:>7} {:>5} {:>7} {:>3} MB {:>8}",
            last("number_of_executed_units:"),
            last("new_units_added:"),
            last(" corp: ").split('/').next().unwrap_or("-"),
            last("peak_rss_mb:"),
            last(" cov: "),
        );
        Ok(())
    }

    /// Puts the smallest set of inputs that reaches all that is reached into the corpus.
    fn keep(&self, target: &str) -> io::Result<()> {
        let (fresh, corpus) = (self.top.join("target/fuzz").join(format!("{target}-kept")), self.corpus(target));
        let _ = fs::remove_dir_all(&fresh);
        fs::create_dir_all(&fresh)?;
        let mut command = self.command(target);
        command.args(["-set_cover_merge=1", MAX_LEN]).arg(&fresh).args(self.seeds(target)?);
        checked(&command.arg(self.top.join("target/fuzz").join(target)).output()?, target)?;
        // Those with a name were put there by a person.
        for file in files(&corpus)?.iter().filter(|file| is_hash(file)) {
            fs::remove_file(file)?;
        }
        for file in files(&fresh)? {
            fs::copy(&file, corpus.join(file.file_name().unwrap_or_default()))?;
        }
        println!("{target:7} has {} inputs in {}", files(&corpus)?.len(), corpus.display());
        Ok(())
    }

    fn corpus(&self, target: &str) -> PathBuf {
        self.top.join("tests/fuzz/corpus").join(target)
    }

    /// Where the inputs are that a target starts with.
    fn seeds(&self, target: &str) -> io::Result<Vec<PathBuf>> {
        let events = self.top.join("target/fuzz/events");
        fs::create_dir_all(&events)?;
        // Every sample event under all settings: the first byte chooses them.
        for file in files(&self.top.join("events"))? {
            let text = fs::read(&file)?;
            for choice in 0..=u8::MAX {
                let name = format!("{choice}-{}", file.file_name().unwrap_or_default().to_string_lossy());
                fs::write(events.join(name), [&[choice], text.as_slice()].concat())?;
            }
        }
        let of_events = (target == "event").then_some(events);
        Ok([self.corpus(target)].into_iter().chain(of_events).collect())
    }

    /// The short texts in the sample events and the formats: what no chance would put together.
    fn dictionary(&self) -> io::Result<String> {
        let formats = self.top.join("src/formats.json");
        let mut words = BTreeSet::new();
        for file in files(&self.top.join("events"))?.into_iter().chain([formats]) {
            let text = fs::read_to_string(file)?;
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-./|:".contains(c);
            words.extend(text.split(|c| !plain(c)).filter(|word| (3..40).contains(&word.len())).map(str::to_owned));
        }
        let lines: Vec<String> = words.into_iter().map(|word| format!("\"{word}\"\n")).collect();
        Ok(lines.concat())
    }
}

/// Gives what a run has written, or says which input it failed on.
fn checked(output: &Output, target: &str) -> io::Result<String> {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let path = text.rsplit("Test unit written to ").next().and_then(|rest| rest.lines().next()).unwrap_or_default();
    let lines: Vec<&str> =
        text.lines().skip_while(|line| !line.contains("panicked") && !line.contains("ERROR")).collect();
    let lines = if lines.is_empty() { text.lines().collect() } else { lines };
    let shown = lines.into_iter().take(12).collect::<Vec<_>>().join("\n");
    Err(io::Error::other(format!(
        "{shown}\n\n{target} failed on {path}; once more:\n    FUZZ_TARGET={target} target/fuzz/program {path}"
    )))
}

/// Whether libFuzzer named it, by its SHA-1.
fn is_hash(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.len() == 40)
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.sort();
    Ok(files)
}

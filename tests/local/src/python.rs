//! Python packages, below `target/`: MiniStack, the AWS command line, and what else is not Rust.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::{Child, Command};

use crate::{file, hash, serve::listens, top};

/// A list of packages and how it is installed; all versions and hashes are pinned.
type List = (&'static str, &'static [&'static str]);

/// The lists that the local world needs.
const LISTS: [List; 3] = [
    ("requirements.txt", &[]),
    ("cargo-lambda.txt", &["--no-deps"]),
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
        Self::with(&LISTS).await
    }

    /// Finds the environment of AWS's SAM, or makes it; it wants other packages than the rest.
    ///
    /// # Errors
    /// As of [`Python::set_up`].
    pub async fn sam() -> io::Result<Self> {
        Self::with(&[("sam.txt", &["--no-deps"])]).await
    }

    /// Finds an environment with these lists, or makes it.
    ///
    /// # Errors
    /// As of [`Python::set_up`].
    pub async fn with(lists: &[List]) -> io::Result<Self> {
        let text: String = lists.iter().map(|(name, _)| file(&format!("tests/local/python/{name}"))).collect();
        // An environment knows its own place, so a moved one is made anew.
        let home = target().join(format!("python-{}", hash(&format!("{text}{}", target().display()))));
        let python = Self { bin: home.join("bin") };
        let complete = home.join("complete");
        std::fs::create_dir_all(target())?;
        let _lock = locked("python").await?;
        if complete.exists() {
            return Ok(python);
        }
        say("setting up Python packages below target/local, once");
        let system = system_python().await?;
        run(Command::new(system).args(["-m", "venv", "--clear"]).arg(&home)).await?;
        for (list, options) in lists {
            let list = top().join("tests/local/python").join(list);
            let mut pip = Command::new(python.bin.join("python"));
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]);
            run(pip.args(*options).arg("-r").arg(list)).await?;
        }
        File::create(complete)?;
        Ok(python)
    }

    /// A program of the environment.
    pub fn program(&self, name: &str) -> Command {
        Command::new(self.bin.join(name))
    }
}

/// Where everything local is kept.
pub fn target() -> PathBuf {
    top().join("target/local")
}

/// Waits until no other test has this; it is had until the file is dropped.
///
/// # Errors
/// When the file cannot be made.
pub async fn locked(name: &str) -> io::Result<File> {
    std::fs::create_dir_all(target())?;
    let lock = File::create(target().join(name).with_extension("lock"))?;
    while lock.try_lock().is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(lock)
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
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let last: Vec<&str> = text.lines().rev().take(12).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    let arguments: Vec<_> = command.as_std().get_args().map(|argument| argument.to_string_lossy()).collect();
    Err(io::Error::other(format!("`{name} {}` failed ({}):\n{}", arguments.join(" "), output.status, last.join("\n"))))
}

/// Starts a program that serves on `port` of loopback, and waits until it does.
///
/// # Errors
/// With all that it has written, if it does not within a minute.
pub async fn start(command: &mut Command, port: u16) -> io::Result<Child> {
    std::fs::create_dir_all(target())?;
    let path = target().join(format!("server-{port}.log"));
    let log = File::create(&path)?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    let mut child = command.spawn()?;
    let mut listening = false;
    for _ in 0..600 {
        listening = listens(([127, 0, 0, 1], port).into()).await;
        if listening || child.try_wait()?.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // What the program has open stays open; nobody else needs the name.
    let text = std::fs::read_to_string(&path)?;
    std::fs::remove_file(&path)?;
    if listening { Ok(child) } else { Err(io::Error::other(format!("nothing serves on port {port}:\n{text}"))) }
}

/// The Python of the system, if it is new enough.
async fn system_python() -> io::Result<&'static str> {
    for name in ["python3", "python"] {
        let check = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))";
        if run(Command::new(name).args(["-c", check])).await.is_ok() {
            return Ok(name);
        }
    }
    Err(io::Error::other(
        "the local world needs Python 3.10 or newer, with venv (on Debian: python3-venv), as `python3`: it was not found",
    ))
}

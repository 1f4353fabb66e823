//! The function as it is released: the same bytes from the same sources, wherever and whenever they are built.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Stdio,
};

use flate2::{Compression, Crc, write::DeflateEncoder};
use serde_json::Value;
use tokio::process::Command;

use crate::{
    copy,
    python::{Python, run},
    top,
};

/// The function's package, and its binary.
pub const NAME: &str = "chat-signup-import";

/// What Lambda runs it on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Architecture {
    /// Graviton.
    Arm64,
    /// Intel and AMD.
    X86,
}

impl Architecture {
    /// All of them: last the one that the template takes unless it is told otherwise.
    pub const ALL: [Self; 2] = [Self::X86, Self::Arm64];

    /// As the template's parameter has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::X86 => "x86_64",
        }
    }

    /// As rustc has it.
    pub fn target(self) -> &'static str {
        match self {
            Self::Arm64 => "aarch64-unknown-linux-gnu",
            Self::X86 => "x86_64-unknown-linux-gnu",
        }
    }
}

/// What a build has made.
#[derive(Debug)]
pub struct Built {
    /// The program.
    pub binary: Vec<u8>,
    /// The packages that were compiled into it, each as `name@version`.
    pub linked: BTreeSet<String>,
}

/// Where it is built.
#[derive(Debug)]
pub struct Place {
    /// Its sources.
    pub tree: PathBuf,
    /// What comes of them.
    pub target: PathBuf,
    /// The dependencies.
    cargo_home: PathBuf,
}

impl Place {
    /// The project itself.
    ///
    /// # Errors
    /// When nothing says where Cargo keeps the dependencies.
    pub fn here() -> io::Result<Self> {
        let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let cargo_home = cargo_home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
        let cargo_home = cargo_home.ok_or_else(|| io::Error::other("CARGO_HOME is not set, nor HOME"))?;
        Ok(Self { tree: top(), target: top().join("target"), cargo_home })
    }

    /// Another one, where nothing is built yet: a copy of the project, with all dependencies unpacked anew.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn elsewhere() -> io::Result<Self> {
        let here = Self::here()?;
        let again = here.target.join("again");
        if again.exists() {
            fs::remove_dir_all(&again)?;
        }
        let there =
            Self { tree: again.join("a/copy"), target: again.join("out"), cargo_home: again.join("dependencies") };
        fs::create_dir_all(&there.tree)?;
        for part in ["Cargo.toml", "Cargo.lock", "src", "tests"] {
            copy(&here.tree.join(part), &there.tree.join(part))?;
        }
        fs::create_dir_all(there.cargo_home.join("registry"))?;
        // What was downloaded need not be so again.
        for part in ["config.toml", "registry/cache", "registry/index"] {
            let part_here = here.cargo_home.join(part);
            if part_here.exists() {
                std::os::unix::fs::symlink(part_here, there.cargo_home.join(part))?;
            }
        }
        Ok(there)
    }

    /// Builds the function.
    ///
    /// # Errors
    /// When it does not build: cargo has said why. When it names a folder of this machine.
    pub async fn build(&self, python: &Python, architecture: Architecture) -> io::Result<Built> {
        let [arm64, x86] = [Architecture::Arm64, Architecture::X86].map(Architecture::target);
        run(self.cargo().args(["fetch", "--locked", "--target", arm64, "--target", x86])).await?;
        let mut build = python.program("cargo-lambda");
        // Nothing of the caller's reaches the compilers but where things are.
        let keeps = |name: &str| {
            let is_place = ["PATH", "HOME", "TMPDIR"].contains(&name) || name.starts_with("RUSTUP_");
            is_place || name.to_ascii_lowercase().ends_with("_proxy") || name.starts_with("SSL_CERT_")
        };
        build.env_clear().envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(keeps)));
        build.env("CARGO_HOME", &self.cargo_home).env("CARGO_ZIGBUILD_PYTHON_PATH", python.bin.join("python"));
        for cache in ["CARGO_ZIGBUILD_CACHE_DIR", "ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"] {
            build.env(cache, self.target.join("zig"));
        }
        let rustflags = format!("build.rustflags={}", serde_json::to_string(&self.remaps()?)?);
        // Its zip tells the time, so that another is made; but with it, it leaves the binary where Cargo has put it.
        build.args(["lambda", "build", "--release", "--frozen", "--output-format", "zip", "--config", &rustflags]);
        build.env("CARGO_TARGET_DIR", &self.target).arg(match architecture {
            Architecture::Arm64 => "--arm64",
            Architecture::X86 => "--x86-64",
        });
        build.args(["--message-format", "json-render-diagnostics"]).current_dir(&self.tree).kill_on_drop(true);
        build.stdin(Stdio::null()).stdout(Stdio::piped());
        let output = build.spawn()?.wait_with_output().await?;
        if !output.status.success() {
            return Err(io::Error::other(format!("the function did not build for {}", architecture.name())));
        }
        let folder = self.target.join(architecture.target()).join("release");
        let linked = String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| linked(line, &folder)).collect();
        let binary = fs::read(folder.join(NAME))?;
        for place in [&self.tree, &self.target, &self.cargo_home] {
            let place = place.as_os_str().as_encoded_bytes();
            if binary.windows(place.len()).any(|bytes| bytes == place) {
                let place = String::from_utf8_lossy(place);
                return Err(io::Error::other(format!("the binary names {place}: it would be another one elsewhere")));
            }
        }
        Ok(Built { binary, linked })
    }

    /// A call of Cargo here.
    pub fn cargo(&self) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").as_deref().unwrap_or(OsStr::new("cargo")));
        cargo.current_dir(&self.tree).env("CARGO_HOME", &self.cargo_home);
        cargo
    }

    /// What makes a binary forget where it was built. Of two folders that a file is in, the compiler takes the later.
    fn remaps(&self) -> io::Result<Vec<String>> {
        let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
        let mut remaps = vec![remap(&self.tree, "."), remap(&self.target, "target")];
        // One for each registry. Its folder's name tells it, and it may be a mirror.
        for registry in fs::read_dir(self.cargo_home.join("registry/src"))? {
            remaps.push(remap(&registry?.path(), "crates"));
        }
        Ok(remaps)
    }
}

/// The package that a line of Cargo's tells of, if it is somebody else's, and compiled for this target's folder: macros
/// and build scripts are compiled for the machine that builds.
fn linked(line: &str, folder: &Path) -> Option<String> {
    let message: Value = serde_json::from_str(line).ok()?;
    let file = Path::new(message.get("filenames")?.get(0)?.as_str()?);
    let (source, package) = message.get("package_id")?.as_str()?.rsplit_once('#')?;
    (file.starts_with(folder) && !source.starts_with("path+")).then(|| package.to_owned())
}

/// A zip with the binary in it, as Lambda wants it: `bootstrap`, executable, at the top.
///
/// # Errors
/// When the binary is too big for one.
pub fn zip(binary: &[u8]) -> io::Result<Vec<u8>> {
    const ENTRY: &[u8; 9] = b"bootstrap";
    let too_big = |_| io::Error::other("a zip's file must have less than 4 GiB");
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).map(u32::to_le_bytes).map_err(too_big);
    let mut deflate = DeflateEncoder::new(Vec::new(), Compression::best());
    deflate.write_all(binary)?;
    let deflated = deflate.finish()?;
    let mut crc = Crc::new();
    crc.update(binary);

    // Version 2.0, no flags, deflated, 1980-01-01 00:00 (the first time there is), sizes, a name of 9 bytes.
    let mut entry = vec![20, 0, 0, 0, 8, 0, 0, 0, 0x21, 0];
    entry.extend(crc.sum().to_le_bytes());
    entry.extend(size(&deflated)?);
    entry.extend(size(binary)?);
    entry.extend([9, 0, 0, 0]);
    let mut zip = [b"PK\x03\x04", &entry[..], ENTRY, &deflated].concat();

    let offset = size(&zip)?;
    // Made on Unix: a file that all may read and execute.
    let mode = (0o100_755_u32 << 16).to_le_bytes();
    let directory = [b"PK\x01\x02\x14\x03", &entry[..], &[0; 6], &mode, &[0; 4], ENTRY].concat();
    zip.extend_from_slice(&directory);
    zip.extend([b"PK\x05\x06", &[0, 0, 0, 0, 1, 0, 1, 0][..], &size(&directory)?, &offset, &[0; 2]].concat());
    Ok(zip)
}

//! The local world: stand-ins for Tencent and for AWS, for the tests and the demo. No part of the function.
//!
//! | module | what it stands in for |
//! |---|---|
//! | [`serve`] | (HTTP on loopback, whole or broken) |
//! | [`tencent`] | Tencent Chat's REST API |
//! | [`cloud`] | Secrets Manager and SQS, as far as the function calls them, failing on command |
//! | [`function`] | Lambda: the runtime API, with the real binary behind it |
//! | [`stand_ins`] | these three together |
//! | [`python`] | (the Python packages, below `target/`) |
//! | [`languages`] | (what runs the documentation's examples in other languages) |
//! | [`samples`] | (the senders' documents in `events/`, and what comes of them) |
//! | [`aws`] | AWS as a whole: MiniStack, with the real template in it |
//! | [`proxy`] | (between the function and that AWS, failing on command) |
//! | [`world`] | all of it together: AWS here, Tencent there, the function deployed between them |
//! | [`client`] | (AWS's own client, for many calls) |
//! | [`emf`] | CloudWatch, where it reads metrics out of a log |
//! | [`alarm`] | CloudWatch's alarms, by the rules that AWS documents |
//! | [`cloudwatch`] | (metrics and alarms of the local AWS, and its clock) |
//! | [`dashboard`] | CloudWatch's dashboards, as far as their JSON goes |
//! | [`chart`] | (a dashboard as a picture) |
//! | [`faults`] | (what goes wrong so that an alarm rings, and its cure) |
//! | [`sandbox`] | (that world as a person sees it) |
//! | [`siege`] | (a load on that world, with all that can go wrong, and what came of it) |
//! | [`release`] | (the zips, built to the same bytes anywhere) |
//! | [`bill`] | (what is linked into them) |

use std::{ffi::OsStr, fs, io, path::Path};

use sha2::{Digest, Sha256};

pub mod alarm;
pub mod aws;
pub mod bill;
pub mod chart;
pub mod client;
pub mod cloud;
pub mod cloudwatch;
pub mod dashboard;
pub mod emf;
pub mod faults;
pub mod function;
pub mod languages;
pub mod proxy;
pub mod python;
pub mod release;
pub mod samples;
pub mod sandbox;
pub mod serve;
pub mod siege;
pub mod stand_ins;
pub mod tencent;
pub mod world;

/// Text of one of the project's own files: `path` counts from its top level.
///
/// # Panics
/// When it cannot be read.
#[expect(clippy::panic, reason = "a test without its file must stop with the file's name")]
pub fn file(path: &str) -> String {
    let path = top().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The first 12 hex digits of the SHA-256 of `text`: how the function's log names a user.
pub fn hash(text: &str) -> String {
    sha256(text.as_bytes()).chars().take(12).collect()
}

/// The SHA-256 of `bytes`, in hex.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |hash, byte| format!("{hash}{byte:02x}"))
}

/// The project's top level.
pub fn top() -> std::path::PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Copies a file or a folder; a file that has not changed is left alone, so that it need not be built anew.
///
/// # Errors
/// When something cannot be read or written.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        let text = fs::read(from)?;
        return if fs::read(to).is_ok_and(|old| old == text) { Ok(()) } else { fs::write(to, text) };
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        if name != OsStr::new("target") {
            copy(&from.join(&name), &to.join(&name))?;
        }
    }
    Ok(())
}

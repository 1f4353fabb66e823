//! The local world: stand-ins for Tencent and for AWS, for the tests and the demo. No part of the function.
//!
//! | module | what it stands in for |
//! |---|---|
//! | [`serve`] | (HTTP on loopback, whole or broken) |
//! | [`tencent`] | Tencent Chat's REST API |
//! | [`cloud`] | Secrets Manager and SQS, as far as the function calls them, failing on command |
//! | [`function`] | Lambda: the runtime API, with the real binary behind it |
//! | [`python`] | (the Python packages, below `target/`) |
//! | [`aws`] | AWS as a whole: MiniStack, with the real template in it |

pub mod cloud;
pub mod function;
pub mod serve;
pub mod tencent;

/// Text of one of the project's own files: `path` counts from its top level.
///
/// # Panics
/// When it cannot be read.
#[must_use]
#[expect(clippy::panic, reason = "a test without its file must stop with the file's name")]
pub fn file(path: &str) -> String {
    let path = top().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The project's top level.
#[must_use]
pub fn top() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

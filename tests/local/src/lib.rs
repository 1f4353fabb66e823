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
//! | [`siege`] | (a load on that world, with all that can go wrong, and what came of it) |

use sha2::{Digest, Sha256};

pub mod aws;
pub mod cloud;
pub mod function;
pub mod languages;
pub mod proxy;
pub mod python;
pub mod samples;
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
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The first 12 hex digits of the SHA-256 of `text`: how the function's log names a user.
pub fn hash(text: &str) -> String {
    let bytes = Sha256::digest(text.as_bytes());
    bytes.iter().take(6).fold(String::new(), |hash, byte| format!("{hash}{byte:02x}"))
}

/// The project's top level.
pub fn top() -> std::path::PathBuf {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

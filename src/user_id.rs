//! How a sender's user ID becomes Tencent's.

use std::fmt;

use sha2::{Digest, Sha256};

/// Longest `UserID`, in bytes (Tencent's `account_import` page).
pub const MAX_USER_ID_BYTES: usize = 32;

/// The ID of a user in Tencent Chat: 1 to 32 bytes of printable ASCII.
///
/// It shows itself as a short hash, so that it cannot get into a log.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UserId(String);

impl UserId {
    /// The ID itself, for the request and nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether it has another character than letters, digits, `_` and `-`: Tencent's documents disagree on those.
    pub fn is_odd(&self) -> bool {
        !self.0.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    }
}

impl fmt::Display for UserId {
    /// The first 12 hex digits of the ID's SHA-256.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sha256(&self.0, 6))
    }
}

/// The rule by which a user ID is made to fit. The app's own servers must follow the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserIdRule {
    /// As it is; it must fit.
    AsIs,
    /// A UUID as its 32 hex digits, in lower case.
    Uuid,
    /// The first 32 hex digits of the SHA-256 of its UTF-8 bytes.
    Sha256,
}

impl UserIdRule {
    /// All rules, by the words that name them in a setting.
    pub const ALL: [(&str, Self); 3] = [("as-is", Self::AsIs), ("uuid", Self::Uuid), ("sha256", Self::Sha256)];

    /// Makes an ID, which must not be empty, fit.
    ///
    /// # Errors
    /// Says what is wrong with the ID, without showing it, and which other rule would admit it.
    pub fn apply(self, id: &str) -> Result<UserId, String> {
        match self {
            Self::AsIs if id.len() > MAX_USER_ID_BYTES => Err(format!(
                "has {} bytes: must have at most {MAX_USER_ID_BYTES}, unless USER_ID_RULE is uuid or sha256",
                id.len()
            )),
            Self::AsIs if !id.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') => {
                Err("has a character outside printable ASCII: must have none, unless USER_ID_RULE is sha256".to_owned())
            }
            Self::AsIs => Ok(UserId(id.to_owned())),
            Self::Uuid => {
                let has_hyphens =
                    id.len() == 36 && [8, 13, 18, 23].iter().all(|&at| id.as_bytes().get(at) == Some(&b'-'));
                let digits = if has_hyphens { id.replace('-', "") } else { id.to_owned() };
                if digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return Ok(UserId(digits.to_ascii_lowercase()));
                }
                Err("is no UUID: must be 32 hex digits, with hyphens or without, unless USER_ID_RULE is as-is or sha256"
                    .to_owned())
            }
            Self::Sha256 => Ok(UserId(sha256(id, MAX_USER_ID_BYTES / 2))),
        }
    }
}

/// The first `bytes` bytes of a text's SHA-256, in hex.
fn sha256(text: &str, bytes: usize) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or_default();
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(bytes).flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

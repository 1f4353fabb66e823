//! What a valid sign-up is.

use std::fmt;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::event::{Document, kind};

/// Longest `UserID`, in bytes (Tencent's `account_import` page).
pub const MAX_USER_ID_BYTES: usize = 32;
/// Longest `Nick` or `FaceUrl`, in bytes; Tencent answers 40601 to a longer one.
pub const MAX_PROFILE_BYTES: usize = 500;

/// The ID of a user in Tencent Chat: 1 to 32 bytes of printable ASCII.
///
/// It shows itself as a short hash, so that it cannot get into a log.
#[derive(Clone, PartialEq, Eq)]
pub struct UserId(String);

impl UserId {
    /// The ID itself, for the request and nothing else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    /// The first 12 hex digits of the ID's SHA-256.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Sha256::digest(self.0.as_bytes()).iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A sign-up that may be imported: all its fields keep Tencent's limits.
pub struct Signup {
    /// Who signed up.
    pub user_id: UserId,
    /// The name others see, at most 500 bytes.
    pub nickname: Option<String>,
    /// Address of a picture, at most 500 bytes.
    pub avatar_url: Option<String>,
}

/// A document that is no valid sign-up. The text names the field and the rule, and the size or kind of the value only.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum SignupError {
    /// There is no user ID.
    #[error("userId is missing: must be a string of 1 to {MAX_USER_ID_BYTES} bytes")]
    NoUserId,
    /// A field is of another type.
    #[error("{field} is {kind}: must be a string")]
    NotAString {
        /// Name of the field.
        field: &'static str,
        /// What it is instead.
        kind: &'static str,
    },
    /// A field is longer than Tencent takes.
    #[error("{field} has {bytes} bytes: must have at most {most}")]
    TooLong {
        /// Name of the field.
        field: &'static str,
        /// Its length in bytes.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// The user ID has characters that Tencent does not take.
    #[error("userId has a character outside printable ASCII: must have none")]
    NotAscii,
}

impl Signup {
    /// Reads the fields `userId`, `nickname` and `avatarUrl`; the last two may be absent, null or empty.
    ///
    /// # Errors
    /// Tells the first rule that the document breaks.
    pub fn read(document: &Document) -> Result<Self, SignupError> {
        let text = |field: &'static str, most: usize| match document.fields.get(field) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= most => Ok(Some(text.clone())),
            Some(Value::String(text)) => Err(SignupError::TooLong { field, bytes: text.len(), most }),
            Some(other) => Err(SignupError::NotAString { field, kind: kind(other) }),
        };
        // What Tencent makes of an empty string is not documented: such a field is left out.
        let profile = |field: &'static str| match text(field, MAX_PROFILE_BYTES) {
            Err(SignupError::NotAString { kind: "null", .. }) => Ok(None),
            other => other.map(|text| text.filter(|text| !text.is_empty())),
        };

        let user_id = text("userId", MAX_USER_ID_BYTES)?.filter(|id| !id.is_empty()).ok_or(SignupError::NoUserId)?;
        if !user_id.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return Err(SignupError::NotAscii);
        }
        Ok(Self { user_id: UserId(user_id), nickname: profile("nickname")?, avatar_url: profile("avatarUrl")? })
    }
}

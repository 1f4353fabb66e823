//! What a valid sign-up is.

use std::fmt;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::event::{Document, Malformed, kind};

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

impl Signup {
    /// Reads the fields `userId`, `nickname` and `avatarUrl`; the last two may be absent, null or empty.
    ///
    /// # Errors
    /// Tells the first rule that the document breaks, with the size or kind of a value only.
    pub fn read(document: &Document) -> Result<Self, Malformed> {
        let text = |field: &str, most: usize| match document.fields.get(field) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= most => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(Value::String(text)) => Err(format!("{field} has {} bytes: must have at most {most}", text.len())),
            Some(other) => Err(format!("{field} is {}: must be a string", kind(other))),
        };
        // What Tencent makes of an empty string is not documented, so such a field is left out, as a null is.
        let profile = |field: &str| match document.fields.get(field) {
            Some(Value::Null) => Ok(None),
            _ => text(field, MAX_PROFILE_BYTES).map_err(Malformed),
        };

        let missing = || format!("userId is missing: must be a string of 1 to {MAX_USER_ID_BYTES} bytes");
        let user_id = text("userId", MAX_USER_ID_BYTES).and_then(|id| id.ok_or_else(missing)).map_err(Malformed)?;
        if !user_id.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return Err(Malformed("userId has a character outside printable ASCII: must have none".to_owned()));
        }
        Ok(Self { user_id: UserId(user_id), nickname: profile("nickname")?, avatar_url: profile("avatarUrl")? })
    }
}

//! What a valid sign-up is, and what is made of values that do not fit Tencent's limits.

use std::fmt::{self, Write};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    event::{Document, Malformed},
    format::{self, Format},
};

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

    /// Whether it has none but letters, digits, `_` and `-`: Tencent's documents disagree on other characters.
    pub fn is_plain(&self) -> bool {
        self.0.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    }
}

impl fmt::Display for UserId {
    /// The first 12 hex digits of the ID's SHA-256.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sha256(&self.0, 6))
    }
}

/// How a sender's user ID becomes Tencent's. The app's own servers must follow the same rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserIdRule {
    /// As it is; it must fit.
    AsIs,
    /// A UUID as its 32 hex digits, in lower case.
    Uuid,
    /// The first 32 hex digits of its SHA-256.
    Sha256,
}

/// What becomes of a name or picture that is longer than Tencent takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileRule {
    /// The name is cut, the picture left out.
    Fit,
    /// The sign-up is rejected.
    Reject,
}

/// How sign-ups are read out of a message.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Where the fields are.
    pub format: Format,
    /// The `detail-type` that marks a sign-up on the bus; any, if absent.
    pub detail_type: Option<String>,
    /// How a user ID is made to fit.
    pub user_id: UserIdRule,
    /// What becomes of a profile that does not fit.
    pub profile: ProfileRule,
}

/// A sign-up that may be imported: all its fields keep Tencent's limits.
pub struct Signup {
    /// Who signed up.
    pub user_id: UserId,
    /// The name others see, at most 500 bytes.
    pub nickname: Option<String>,
    /// Address of a picture, at most 500 bytes.
    pub avatar_url: Option<String>,
    /// What was done to make the profile fit, without its values.
    pub fitted: Vec<String>,
}

impl Rules {
    /// Reads the sign-ups in the body of a message, mostly one; none if it tells of something else.
    ///
    /// An error tells the first rule that is broken, with the size or kind of a value only.
    pub fn read(&self, body: &str) -> Vec<Result<Signup, Malformed>> {
        let Document { value, detail_type } = match Document::open(body) {
            Ok(document) => document,
            Err(error) => return vec![Err(error)],
        };
        if self.detail_type.is_some() && detail_type.is_some() && self.detail_type != detail_type {
            return Vec::new();
        }
        self.format.users(&value).into_iter().map(|user| self.signup(user?).map_err(Malformed)).collect()
    }

    fn signup(&self, user: &Value) -> Result<Signup, String> {
        let places = &self.format.user_id;
        let missing =
            || format!("{} is missing: must be a string of 1 to {MAX_USER_ID_BYTES} bytes", format::any(places));
        let (place, id) = format::text(places, user, self.format.integer_ids).ok_or_else(missing)?;
        let id = id.map_err(|kind| format!("{place} is {kind}: must be a string"))?;
        let user_id = UserId(self.user_id.apply(&id).map_err(|error| format!("{place} {error}"))?);

        let mut fitted = Vec::new();
        let mut profile = |places, fit: fn(String) -> (Option<String>, String)| -> Result<Option<String>, String> {
            let (place, problem, (kept, done)) = match format::text(places, user, false) {
                None => return Ok(None),
                Some((_, Ok(text))) if text.len() <= MAX_PROFILE_BYTES => return Ok(Some(text)),
                Some((place, Ok(text))) => (place, format!("has {} bytes", text.len()), fit(text)),
                Some((place, Err(kind))) => (place, format!("is {kind}"), leave_out(String::new())),
            };
            match self.profile {
                ProfileRule::Fit => fitted.push(format!("{place} {problem}: {done}")),
                ProfileRule::Reject => {
                    return Err(format!("{place} {problem}: must be a string of at most {MAX_PROFILE_BYTES} bytes"));
                }
            }
            Ok(kept)
        };
        let nickname = profile(&self.format.nickname, cut)?;
        let avatar_url = profile(&self.format.avatar_url, leave_out)?;
        Ok(Signup { user_id, nickname, avatar_url, fitted })
    }
}

/// Cuts a name that is too long, between two characters.
fn cut(mut text: String) -> (Option<String>, String) {
    text.truncate(text.floor_char_boundary(MAX_PROFILE_BYTES));
    let done = format!("cut to {}", text.len());
    (Some(text), done)
}

/// Leaves out an address that is too long: half of one leads nowhere.
fn leave_out(_: String) -> (Option<String>, String) {
    (None, "left out".to_owned())
}

impl UserIdRule {
    /// Makes an ID fit; an error says which rule the ID breaks, and which other rule would admit it.
    fn apply(self, id: &str) -> Result<String, String> {
        match self {
            Self::AsIs if id.len() > MAX_USER_ID_BYTES => {
                let most = MAX_USER_ID_BYTES;
                Err(format!("has {} bytes: must have at most {most}, unless USER_ID_RULE is uuid or sha256", id.len()))
            }
            Self::AsIs if !id.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') => {
                Err("has a character outside printable ASCII: must have none, unless USER_ID_RULE is sha256".to_owned())
            }
            Self::AsIs => Ok(id.to_owned()),
            Self::Uuid => {
                let is_sound = id.char_indices().all(|(index, c)| match id.len() {
                    36 if matches!(index, 8 | 13 | 18 | 23) => c == '-',
                    _ => c.is_ascii_hexdigit(),
                });
                let wrong = "is no UUID: must be 32 hex digits, with hyphens or without, unless USER_ID_RULE is as-is or sha256";
                let is_long = matches!(id.len(), 32 | 36);
                if is_sound && is_long { Ok(id.replace('-', "").to_ascii_lowercase()) } else { Err(wrong.to_owned()) }
            }
            Self::Sha256 => Ok(sha256(id, MAX_USER_ID_BYTES / 2)),
        }
    }
}

/// The first `bytes` bytes of a text's SHA-256, in hex.
fn sha256(text: &str, bytes: usize) -> String {
    Sha256::digest(text.as_bytes()).iter().take(bytes).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

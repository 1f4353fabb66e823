//! What a valid sign-up is, and how one is read.

use serde_json::Value;

use crate::{
    event::{Document, Malformed},
    formats::{self, Format, Place},
    user_id::{MAX_USER_ID_BYTES, UserId, UserIdRule},
};

/// Longest `Nick` or `FaceUrl`, in bytes; Tencent answers 40601 to a longer one.
pub const MAX_PROFILE_BYTES: usize = 500;

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

/// What becomes of a name or picture that Tencent would not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileRule {
    /// A name that is too long is cut, anything else left out.
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
        let users = self.format.users(&value);
        let count = users.len();
        let signups = users.into_iter().map(|user| self.signup(user?).map_err(Malformed)).enumerate();
        let signups = signups.map(|(index, signup)| match signup {
            Err(Malformed(error)) if count > 1 => Err(Malformed(format!("user {} of {count}: {error}", index + 1))),
            signup => signup,
        });
        signups.collect()
    }

    fn signup(&self, user: &Value) -> Result<Signup, String> {
        let Format { user_id, nickname, avatar_url, integer_ids, .. } = &self.format;
        let missing = || {
            let places = formats::alternatives(user_id);
            format!("{places} is missing: must be a string of 1 to {MAX_USER_ID_BYTES} bytes")
        };
        let (place, id) = formats::text(user_id, user, *integer_ids).ok_or_else(missing)?;
        let id = id.map_err(|kind| format!("{place} is {kind}: must be a string"))?;
        let user_id = self.user_id.apply(&id).map_err(|error| format!("{place} {error}"))?;
        let mut fitted = Vec::new();
        let nickname = self.profile(nickname, user, true, &mut fitted)?;
        let avatar_url = self.profile(avatar_url, user, false, &mut fitted)?;
        Ok(Signup { user_id, nickname, avatar_url, fitted })
    }

    /// Reads a field of the profile. One that does not fit is cut if `may_be_cut`: half an address leads nowhere.
    fn profile(
        &self,
        places: &[Place],
        user: &Value,
        may_be_cut: bool,
        fitted: &mut Vec<String>,
    ) -> Result<Option<String>, String> {
        let Some((place, text)) = formats::text(places, user, false) else { return Ok(None) };
        let (problem, kept) = match text {
            Ok(text) if text.len() <= MAX_PROFILE_BYTES => return Ok(Some(text)),
            Ok(mut text) => {
                let problem = format!("has {} bytes", text.len());
                text.truncate(text.floor_char_boundary(MAX_PROFILE_BYTES));
                (problem, Some(text).filter(|_| may_be_cut))
            }
            Err(kind) => (format!("is {kind}"), None),
        };
        if self.profile == ProfileRule::Reject {
            let most = MAX_PROFILE_BYTES;
            return Err(format!(
                "{place} {problem}: must be a string of at most {most} bytes, unless PROFILE_RULE is fit"
            ));
        }
        let done = kept.as_ref().map_or("left out".to_owned(), |text| format!("cut to {}", text.len()));
        fitted.push(format!("{place} {problem}: {done}"));
        Ok(kept)
    }
}

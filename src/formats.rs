//! Where the fields of a sign-up are in a sender's document, and what tells that it is one.

use std::{borrow::Cow, collections::BTreeMap, fmt, slice};

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

use crate::{
    event::{Malformed, kind},
    json,
};

/// The formats that have a name: data, each with the pages of the sender that it follows.
const PRESETS: &str = include_str!("formats.json");
/// Most users in one message: it is done only when all of them are, within one invocation.
const MAX_USERS: usize = 100;

/// How a sender tells of a sign-up.
///
/// Of a list of places, the first counts at which there is something other than null or an empty string.
///
/// ```
/// use chat_signup_import::formats::Format;
///
/// let text = r#"{"when": [{"at": ["/event"], "is": ["registered"]}], "userId": ["/user/id"]}"#;
/// assert!(Format::parse(text).is_ok());
/// assert_eq!(
///     Format::parse(r#"{"userId": ["user/id"]}"#).unwrap_err().to_string(),
///     "place is \"user/id\": must be empty or begin with / at line 1 column 22"
/// );
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with userId", rename_all = "camelCase")]
pub struct Format {
    /// The sender's pages about its documents.
    #[serde(default)]
    pub docs: Vec<String>,
    /// What every document of the sender has, whatever it tells of. One without it is rejected.
    #[serde(default)]
    pub from: Vec<Condition>,
    /// What a document of a sign-up has. One in which something else stands is ignored, one in which nothing stands
    /// is rejected.
    #[serde(default)]
    pub when: Vec<Condition>,
    /// The way to the users in a document that may hold several; empty if the document is about one.
    #[serde(default)]
    pub users: Vec<Step>,
    /// Where the user ID is.
    #[serde(deserialize_with = "single_places")]
    pub user_id: Vec<Place>,
    /// Where the name is that others see.
    #[serde(default)]
    pub nickname: Vec<Place>,
    /// Where the address of a picture is.
    #[serde(default, deserialize_with = "single_places")]
    pub avatar_url: Vec<Place>,
    /// Whether a whole number is a user ID too, by its digits.
    #[serde(default)]
    pub integer_ids: bool,
}

/// What a document must have at a place.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Where to look.
    #[serde(deserialize_with = "single_places")]
    pub at: Vec<Place>,
    /// Any one of these texts, of which a `*` at the end stands for any ending; whatever there is, if absent. A number
    /// or a boolean counts by its JSON text.
    #[serde(default, deserialize_with = "not_empty")]
    pub is: Vec<String>,
}

/// One step on the way to the users: into the elements of a list, or into the one thing that stands there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Where the list is.
    #[serde(rename = "in", deserialize_with = "single_places")]
    pub list: Vec<Place>,
    /// What the elements have that lead to a user; others are passed over.
    #[serde(default)]
    pub when: Vec<Condition>,
}

/// A JSON pointer (RFC 6901), or several with a space between them, whose texts are joined by a space.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Place(Vec<String>);

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if !text.is_empty() && !text.starts_with('/') {
            return Err(format!("place is {text:?}: must be empty or begin with /"));
        }
        // A name in a pointer may have a space in it, but not one before a slash.
        let mut pointers = text.split(" /");
        let first = pointers.next().unwrap_or_default().to_owned();
        Ok(Self(std::iter::once(first).chain(pointers.map(|rest| format!("/{rest}"))).collect()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

impl Place {
    /// Gives what stands there, without nulls and empty strings.
    fn values<'a>(&self, document: &'a Value) -> impl Iterator<Item = &'a Value> {
        let found = self.0.iter().filter_map(|pointer| json::at(document, pointer));
        found.filter(|value| !value.is_null() && value.as_str() != Some(""))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.is.iter().map(|text| format!("{text:?}")).collect();
        let texts = if texts.is_empty() { "there".to_owned() } else { texts.join(" or ") };
        write!(f, "{} is {texts}", alternatives(&self.at))
    }
}

impl Condition {
    /// Asks for this text at this pointer.
    pub fn new(pointer: &str, text: String) -> Self {
        Self { at: vec![Place(vec![pointer.to_owned()])], is: vec![text] }
    }

    /// Tells whether it holds.
    ///
    /// # Errors
    /// When it cannot be told, since nothing stands there or no text.
    pub fn holds(&self, document: &Value) -> Result<bool, Malformed> {
        let at = || alternatives(&self.at);
        let text = match first(&self.at, document) {
            None => return Err(Malformed(format!("{} is missing: must tell whether it is a sign-up", at()))),
            Some(_) if self.is.is_empty() => return Ok(true),
            Some(Value::String(text)) => Cow::Borrowed(text.as_str()),
            Some(value @ (Value::Bool(_) | Value::Number(_))) => Cow::Owned(value.to_string()),
            Some(other) => return Err(Malformed(format!("{} is {}: must be a string", at(), kind(other)))),
        };
        Ok(self.is.iter().any(|is| is.strip_suffix('*').map_or(text == *is, |beginning| text.starts_with(beginning))))
    }
}

impl Format {
    /// Reads a format as a person has written it.
    ///
    /// # Errors
    /// Says what is wrong with it, and where.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// Gives the parts of a document that are about one user each; none if it does not tell of a sign-up.
    ///
    /// An error stands for a part, or the whole, of which it cannot be told: a sign-up must not be lost because the
    /// wrong sender is named, or a document is not as it was expected.
    pub fn users<'a>(&self, document: &'a Value) -> Vec<Result<&'a Value, Malformed>> {
        if let Some(condition) = self.from.iter().find(|condition| !condition.holds(document).unwrap_or(false)) {
            return vec![Err(Malformed(format!(
                "the document is of another sender: must be one in which {condition}"
            )))];
        }
        let users = match all_hold(&self.when, document) {
            Ok(true) => users_in(document, &self.users, false),
            Ok(false) => Vec::new(),
            Err(error) => vec![Err(error)],
        };
        if users.len() > MAX_USERS {
            return vec![Err(Malformed(format!("there are more users in it than {MAX_USERS}, the most there may be")))];
        }
        users
    }
}

/// Goes the rest of the way to the users; once a condition has found a sign-up, there must be one.
fn users_in<'a>(value: &'a Value, steps: &[Step], is_signup: bool) -> Vec<Result<&'a Value, Malformed>> {
    let Some((Step { list, when }, rest)) = steps.split_first() else { return vec![Ok(value)] };
    let wrong = |what: &str| vec![Err(Malformed(format!("{} {what}: must hold users", alternatives(list))))];
    let elements = match first(list, value) {
        None => return wrong("is missing"),
        Some(Value::Array(elements)) => elements.as_slice(),
        Some(element) => slice::from_ref(element),
    };
    let mut users = Vec::new();
    for element in elements {
        match all_hold(when, element) {
            Ok(true) => users.extend(users_in(element, rest, is_signup || !when.is_empty())),
            Ok(false) => {}
            Err(error) => users.push(Err(error)),
        }
        // A list may have millions, each with an error text: too many for the function's memory.
        if users.len() > MAX_USERS {
            break;
        }
    }
    if users.is_empty() && is_signup { wrong("has no user in it") } else { users }
}

/// Tells whether all conditions hold. After one that does not, the others no longer matter.
fn all_hold(conditions: &[Condition], value: &Value) -> Result<bool, Malformed> {
    for condition in conditions {
        if !condition.holds(value)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Text that was found, or the kind of what is there instead.
pub type Found = Result<String, &'static str>;

/// Gives the text at the first of `places` where there is something, and that place; with `integers`, a whole number
/// counts as its digits.
pub fn text<'a>(places: &'a [Place], document: &Value, integers: bool) -> Option<(&'a Place, Found)> {
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) if integers && !number.is_f64() => Ok(number.to_string()),
        other => Err(kind(other)),
    };
    places.iter().find_map(|place| {
        let texts = place.values(document).map(text);
        Some((place, texts.reduce(|all, text| Ok(all? + " " + &text?))?))
    })
}

/// Names places in an error text.
pub fn alternatives(places: &[Place]) -> String {
    places.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

/// Gives the formats that have a name.
///
/// # Errors
/// When `formats.json`, which is compiled in, is not well formed.
pub fn presets() -> serde_json::Result<BTreeMap<String, Format>> {
    serde_json::from_str(PRESETS)
}

fn first<'a>(places: &[Place], document: &'a Value) -> Option<&'a Value> {
    places.iter().find_map(|place| place.values(document).next())
}

/// Reads a list that must not be empty if it is there: nothing could ever be in it.
fn not_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let list = Vec::deserialize(deserializer)?;
    if list.is_empty() { Err(D::Error::custom("a list is empty: must have an entry")) } else { Ok(list) }
}

/// Reads places of which each is one pointer: joined by a space, parts of an ID could make another user's.
fn single_places<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Place>, D::Error> {
    let places: Vec<Place> = not_empty(deserializer)?;
    match places.iter().find(|place| place.0.len() > 1) {
        Some(place) => Err(D::Error::custom(format!("place is \"{place}\": must be a single pointer here"))),
        None => Ok(places),
    }
}

//! Where the fields of a sign-up are in a sender's document, and what tells that it is one.

use std::{collections::BTreeMap, fmt, slice};

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

use crate::event::{Malformed, kind};

/// The formats that have a name: data, each with the page of the sender that it follows.
const PRESETS: &str = include_str!("formats.json");
/// Most users in one message: as many calls, one after the other, fit into an invocation.
const MAX_USERS: usize = 100;

/// How a sender tells of a sign-up.
///
/// A place is a JSON pointer (RFC 6901). Where a list of places stands, the first counts at which there is
/// something other than null or an empty string.
///
/// ```
/// use chat_signup_import::format::Format;
///
/// let text = r#"{"when": [{"at": ["/event"], "is": ["registered"]}], "userId": ["/user/id"]}"#;
/// assert!(Format::parse(text).is_ok());
/// assert_eq!(
///     Format::parse(r#"{"userId": ["user/id"]}"#).unwrap_err(),
///     "place \"user/id\" must be empty or begin with / at line 1 column 22"
/// );
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with userId", rename_all = "camelCase")]
pub struct Format {
    /// The sender's page about the document.
    pub docs: Option<String>,
    /// What a document of a sign-up has; any document is one if this is empty.
    #[serde(default)]
    pub when: Vec<Condition>,
    /// The way to the users in a document that may hold several; empty if the document is about one.
    #[serde(default)]
    users: Vec<Step>,
    /// Where the user ID is.
    #[serde(deserialize_with = "some")]
    pub user_id: Vec<Place>,
    /// Where the name is that others see.
    #[serde(default)]
    pub nickname: Vec<Place>,
    /// Where the address of a picture is.
    #[serde(default)]
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
    #[serde(deserialize_with = "some")]
    pub at: Vec<Place>,
    /// Any one of these.
    #[serde(deserialize_with = "some")]
    pub is: Vec<Value>,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<String> = self.is.iter().map(ToString::to_string).collect();
        write!(f, "{} is {}", any(&self.at), values.join(" or "))
    }
}

impl Condition {
    /// Asks for this text at this pointer.
    pub fn new(pointer: &str, text: String) -> Self {
        Self { at: vec![Place(vec![pointer.to_owned()])], is: vec![Value::String(text)] }
    }
}

/// One step on the way to the users: into the elements of a list, or into the one thing that stands there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    #[serde(rename = "in", deserialize_with = "some")]
    list: Vec<Place>,
    #[serde(default)]
    when: Vec<Condition>,
}

/// A JSON pointer, or several with a space between them, whose texts are joined by a space.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Place(Vec<String>);

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if !text.is_empty() && !text.starts_with('/') {
            return Err(format!("place {text:?} must be empty or begin with /"));
        }
        // Only a space before a slash parts two pointers: a name may have a space in it.
        let marked = text.replace(" /", "\0/");
        Ok(Self(marked.split('\0').map(str::to_owned).collect()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

impl Place {
    /// Gives what stands there, without nulls and empty strings.
    fn values<'a>(&self, document: &'a Value) -> Vec<&'a Value> {
        let found = self.0.iter().filter_map(|pointer| document.pointer(pointer));
        found.filter(|value| !value.is_null() && value.as_str() != Some("")).collect()
    }
}

impl Format {
    /// Reads a format as a person has written it.
    ///
    /// # Errors
    /// Says what is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// Gives all conditions of a sign-up, those on the way to its users included.
    pub fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.when.iter().chain(self.users.iter().flat_map(|step| &step.when))
    }

    /// Gives the parts of a document that are about one user each; none if it does not tell of a sign-up.
    ///
    /// What a condition looks at has to be there: a document without it is of another format, and its sender
    /// would lose a sign-up if it were taken for an event of another type.
    pub fn users<'a>(&self, document: &'a Value) -> Vec<Result<&'a Value, Malformed>> {
        let mut users = matching(slice::from_ref(document), &self.when);
        let mut is_signup = !self.when.is_empty();
        for step in &self.users {
            let inner = |user: Result<&'a Value, Malformed>| match user.and_then(|user| step.elements(user)) {
                Ok(none) if none.is_empty() && is_signup => {
                    vec![Err(Malformed(format!("{} has no user in it: must have one", any(&step.list))))]
                }
                Ok(elements) => elements,
                Err(error) => vec![Err(error)],
            };
            users = users.into_iter().flat_map(inner).collect();
            is_signup |= !step.when.is_empty();
        }
        if users.len() > MAX_USERS {
            return vec![Err(Malformed(format!("there are {} users in it: must be at most {MAX_USERS}", users.len())))];
        }
        users
    }
}

impl Step {
    fn elements<'a>(&self, value: &'a Value) -> Result<Vec<Result<&'a Value, Malformed>>, Malformed> {
        let missing = || Malformed(format!("{} is missing: must hold what the sign-up is about", any(&self.list)));
        match first(&self.list, value).ok_or_else(missing)? {
            Value::Array(elements) => Ok(matching(elements, &self.when)),
            element => Ok(matching(slice::from_ref(element), &self.when)),
        }
    }
}

/// Gives the text at the first of `places` where there is one; its place, and the kind of what is there instead.
pub fn text<'a>(
    places: &'a [Place],
    document: &Value,
    integers: bool,
) -> Option<(&'a Place, Result<String, &'static str>)> {
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) if integers && !number.is_f64() => Ok(number.to_string()),
        other => Err(kind(other)),
    };
    places.iter().find_map(|place| {
        let values = place.values(document);
        let texts: Result<Vec<String>, _> = values.iter().copied().map(text).collect();
        (!values.is_empty()).then_some((place, texts.map(|texts| texts.join(" "))))
    })
}

/// Names places in an error text.
pub fn any(places: &[Place]) -> String {
    places.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

/// Gives the formats that have a name.
///
/// # Errors
/// None, as long as the tests of this crate pass.
pub fn presets() -> Result<BTreeMap<String, Format>, String> {
    serde_json::from_str(PRESETS).map_err(|error| error.to_string())
}

fn first<'a>(places: &[Place], document: &'a Value) -> Option<&'a Value> {
    places.iter().find_map(|place| place.values(document).first().copied())
}

/// Gives the values for which all conditions hold, and an error for each of which it cannot be said.
fn matching<'a>(values: &'a [Value], conditions: &[Condition]) -> Vec<Result<&'a Value, Malformed>> {
    let hold = |value: &Value| {
        for Condition { at, is } in conditions {
            let missing = || Malformed(format!("{} is missing: must tell whether it is a sign-up", any(at)));
            if !is.contains(first(at, value).ok_or_else(missing)?) {
                return Ok(false);
            }
        }
        Ok(true)
    };
    values.iter().filter_map(|value| hold(value).map(|holds| holds.then_some(value)).transpose()).collect()
}

/// Reads a list that must not be empty: an empty one could never be met, and no sign-up would be imported.
fn some<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let list = Vec::deserialize(deserializer)?;
    if list.is_empty() { Err(D::Error::custom("a list must not be empty")) } else { Ok(list) }
}

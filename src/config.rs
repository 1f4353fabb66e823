//! Which settings there are, and what each may be.

use std::{net::IpAddr, ops::RangeInclusive, time::Duration};

use reqwest::Url;

use crate::{
    format::{self, Condition, Format},
    signup::{ProfileRule, Rules, UserIdRule},
};

/// Tencent's hosts by region, from its list of server API domains; the list moves, so `CHAT_ENDPOINT` admits any other.
const REGIONS: [(&str, &str); 8] = [
    ("china", "https://console.tim.qq.com"),
    ("singapore", "https://adminapisgp.im.qcloud.com"),
    ("seoul", "https://adminapikr.im.qcloud.com"),
    ("tokyo", "https://adminapijpn.im.qcloud.com"),
    ("frankfurt", "https://adminapiger.im.qcloud.com"),
    ("mumbai", "https://adminapiind.im.qcloud.com"),
    ("silicon-valley", "https://adminapiusa.im.qcloud.com"),
    ("jakarta", "https://adminapiidn.im.qcloud.com"),
];

/// All settings of the function, each of them checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where Tencent Chat's REST API is: a scheme, a host and perhaps a port (`CHAT_REGION` or `CHAT_ENDPOINT`).
    pub endpoint: Url,
    /// Name or ARN of the secret that holds the admin key (`CHAT_SECRET_ID`).
    pub secret_id: String,
    /// Queue that a bus event goes to when it is to be tried again (`QUEUE_URL`).
    pub queue_url: Option<String>,
    /// Queue that rejected messages are kept on, each with its reason (`PARKING_QUEUE_URL`).
    pub parking_queue_url: Option<String>,
    /// Longest wait for one answer (`REQUEST_TIMEOUT_MS`). Tencent's own timeout is 3 s, so the default is 5 s.
    pub request_timeout: Duration,
    /// Most calls under way at once in this environment (`MAX_IN_FLIGHT`).
    pub max_in_flight: usize,
    /// How sign-ups are read (`SIGNUP_FORMAT`, `SIGNUP_CUSTOM_FORMAT`, `SIGNUP_DETAIL_TYPE`, `SIGNUP_CLOUDEVENT_TYPE`,
    /// `USER_ID_RULE`, `PROFILE_RULE`).
    pub rules: Rules,
}

/// Settings that are wrong: all of them, a line each.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

impl Config {
    /// Reads all settings through `lookup`; an empty value counts as absent.
    ///
    /// # Errors
    /// Lists every setting that is missing or wrong, with its name, its value and the rule.
    ///
    /// ```
    /// use chat_signup_import::config::Config;
    ///
    /// let error = Config::from_lookup(|name| (name == "CHAT_REGION").then(|| "mars".into())).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "CHAT_REGION is \"mars\": must be one of china, singapore, seoul, tokyo, frankfurt, mumbai, \
    ///      silicon-valley, jakarta\nCHAT_SECRET_ID is not set: must be the name or ARN of a secret"
    /// );
    /// ```
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let get = |name: &str| get(&lookup, name);
        let mut wrong = Vec::new();

        let endpoint = keep(&mut wrong, endpoint(get("CHAT_REGION"), get("CHAT_ENDPOINT")));
        let missing = || "CHAT_SECRET_ID is not set: must be the name or ARN of a secret".to_owned();
        let secret_id = keep(&mut wrong, get("CHAT_SECRET_ID").ok_or_else(missing));
        let mut queue = |name| keep(&mut wrong, get(name).map(|value| queue(name, value)).transpose());
        let (queue_url, parking_queue_url) = (queue("QUEUE_URL"), queue("PARKING_QUEUE_URL"));
        let mut number = |name, default, allowed| keep(&mut wrong, number(name, get(name), default, allowed));
        let request_timeout = number("REQUEST_TIMEOUT_MS", 5_000, 100..=60_000);
        let max_in_flight = number("MAX_IN_FLIGHT", 10, 1..=200);
        let rules = rules(&lookup).map_err(|ConfigError(errors)| wrong.extend(errors)).ok();

        if let (Some(Some(queue)), Some(Some(parking))) = (&queue_url, &parking_queue_url)
            && queue == parking
        {
            wrong.push(format!("PARKING_QUEUE_URL is {parking:?}: must be another queue than QUEUE_URL"));
        }
        let config = || {
            Some(Self {
                endpoint: endpoint?,
                secret_id: secret_id?,
                queue_url: queue_url?,
                parking_queue_url: parking_queue_url?,
                request_timeout: Duration::from_millis(request_timeout?.into()),
                max_in_flight: max_in_flight?.into(),
                rules: rules?,
            })
        };
        config().filter(|_| wrong.is_empty()).ok_or(ConfigError(wrong))
    }
}

/// Reads the settings that say how a sign-up is read, through `lookup`.
///
/// # Errors
/// Lists every one of them that is wrong, with its name, its value and the rule.
pub fn rules(lookup: impl Fn(&str) -> Option<String>) -> Result<Rules, ConfigError> {
    let get = |name: &str| get(&lookup, name);
    let mut wrong = Vec::new();
    let name = get("SIGNUP_FORMAT").unwrap_or_else(|| "default".to_owned());
    let format = keep(&mut wrong, format(&name, get("SIGNUP_CUSTOM_FORMAT")));
    let user_id = [("as-is", UserIdRule::AsIs), ("uuid", UserIdRule::Uuid), ("sha256", UserIdRule::Sha256)];
    let user_id = keep(&mut wrong, choice("USER_ID_RULE", get("USER_ID_RULE"), user_id));
    let profile = [("fit", ProfileRule::Fit), ("reject", ProfileRule::Reject)];
    let profile = keep(&mut wrong, choice("PROFILE_RULE", get("PROFILE_RULE"), profile));
    // A format that knows its sender's sign-ups must not be told of another mark: it would ignore them all.
    let mut mark = |setting, formats: &[&str]| {
        let error =
            |value| format!("{setting} is {value:?}: must be set with SIGNUP_FORMAT {} only", formats.join(", "));
        let fits = formats.contains(&name.as_str());
        let value = get(setting).map(|value| if fits { Ok(value) } else { Err(error(value)) });
        keep(&mut wrong, value.transpose()).flatten()
    };
    let detail_type = mark("SIGNUP_DETAIL_TYPE", &["default", "cloudevents", "custom"]);
    let event_type = mark("SIGNUP_CLOUDEVENT_TYPE", &["cloudevents"]);
    let rules = || {
        let mut format = format?;
        format.when.extend(event_type.map(|name| Condition::new("/type", name)));
        Some(Rules { format, detail_type, user_id: user_id?, profile: profile? })
    };
    rules().filter(|_| wrong.is_empty()).ok_or(ConfigError(wrong))
}

fn format(name: &str, custom: Option<String>) -> Result<Format, String> {
    match (name, custom) {
        ("custom", Some(text)) => {
            Format::parse(&text).map_err(|error| format!("SIGNUP_CUSTOM_FORMAT is {text:?}: must be a format: {error}"))
        }
        ("custom", None) => Err("SIGNUP_CUSTOM_FORMAT is not set: must be, with SIGNUP_FORMAT custom".to_owned()),
        (name, None) => {
            let mut formats = format::presets()?;
            let names = || formats.keys().cloned().collect::<Vec<_>>().join(", ");
            let unknown = format!("SIGNUP_FORMAT is {name:?}: must be one of {}, custom", names());
            formats.remove(name).ok_or(unknown)
        }
        (_, Some(text)) => Err(format!("SIGNUP_CUSTOM_FORMAT is {text:?}: must be set with SIGNUP_FORMAT custom only")),
    }
}

/// Reads a setting that is one of a few words, the first of them by default.
fn choice<T: Copy, const N: usize>(name: &str, value: Option<String>, words: [(&str, T); N]) -> Result<T, String> {
    let value = value.unwrap_or_else(|| words[0].0.to_owned());
    let chosen = words.iter().find(|(word, _)| *word == value).map(|(_, choice)| *choice);
    chosen.ok_or_else(|| format!("{name} is {value:?}: must be one of {}", words.map(|(word, _)| word).join(", ")))
}

/// Looks a setting up, trimmed; an empty one counts as absent.
fn get(lookup: impl Fn(&str) -> Option<String>, name: &str) -> Option<String> {
    lookup(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Puts an error on the list, so that all of them are told at once.
fn keep<T>(wrong: &mut Vec<String>, value: Result<T, String>) -> Option<T> {
    value.map_err(|error| wrong.push(error)).ok()
}

fn endpoint(region: Option<String>, endpoint: Option<String>) -> Result<Url, String> {
    match (region, endpoint) {
        (Some(region), None) => {
            let known = REGIONS.iter().find(|(name, _)| *name == region).and_then(|(_, host)| Url::parse(host).ok());
            let names = || REGIONS.map(|(name, _)| name).join(", ");
            known.ok_or_else(|| format!("CHAT_REGION is {region:?}: must be one of {}", names()))
        }
        (None, Some(value)) => {
            // A pasted address may have a password or a signature in it: these are not shown.
            let shown = value.split(['?', '#']).next().filter(|_| !value.contains('@')).unwrap_or_default();
            let wrong = |rule: &str| format!("CHAT_ENDPOINT is {shown:?}: must {rule}");
            let url = Url::parse(&value).map_err(|_| wrong("be a URL such as https://console.tim.qq.com"))?;
            match url.scheme() {
                "https" => {}
                "http" if is_loopback(&url) => {}
                _ => return Err(wrong("begin with https:// (http:// only to a loopback address)")),
            }
            let user = !url.username().is_empty() || url.password().is_some();
            if user || url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
                return Err(wrong("be a scheme and a host only, without user, path or query"));
            }
            Ok(url)
        }
        (None, None) => Err("CHAT_REGION is not set: set it, or else CHAT_ENDPOINT".to_owned()),
        (Some(region), Some(_)) => Err(format!("CHAT_REGION is {region:?}: must not be set when CHAT_ENDPOINT is")),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn queue(name: &str, value: String) -> Result<String, String> {
    match Url::parse(&value) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.path().len() > 1 => Ok(value),
        _ => Err(format!("{name} is {value:?}: must be the URL of an SQS queue, not its name or ARN")),
    }
}

fn number(name: &str, value: Option<String>, default: u16, allowed: RangeInclusive<u16>) -> Result<u16, String> {
    let Some(value) = value else { return Ok(default) };
    value.trim().parse().ok().filter(|number| allowed.contains(number)).ok_or_else(|| {
        format!("{name} is {value:?}: must be a whole number from {} to {}", allowed.start(), allowed.end())
    })
}

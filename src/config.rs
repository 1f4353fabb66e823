//! Which settings there are, and what each may be.

use std::{net::IpAddr, ops::RangeInclusive, time::Duration};

use reqwest::Url;

use crate::{
    formats::{self, Condition, Format},
    signup::{ProfileRule, Rules},
    user_id::UserIdRule,
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

/// Checks of accounts a second that Tencent allows an app (its `account_check` page).
pub const CHECK_RATE_LIMIT: u16 = 100;

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
    /// Imports a second that this function may make (`CHAT_RATE_LIMIT`).
    pub rate_limit: u32,
    /// Most invocations at once, over all environments (`MAX_CONCURRENCY`).
    pub max_concurrency: u32,
    /// Age from which on a sign-up is imported only if the account is not there (`LATE_AFTER_MINUTES`).
    pub late_after: Duration,
    /// Age from which on a message that still fails is parked (`MAX_AGE_HOURS`).
    pub max_age: Duration,
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
        let max_in_flight = number("MAX_IN_FLIGHT", 40, 1..=200);
        let rate_limit = number("CHAT_RATE_LIMIT", 200, 2..=10_000);
        let max_concurrency = number("MAX_CONCURRENCY", 5, 1..=1_000);
        let late_after = number("LATE_AFTER_MINUTES", 60, 1..=20_160);
        let max_age = number("MAX_AGE_HOURS", 96, 1..=330);
        if let (Some(limit), Some(concurrency)) = (rate_limit, max_concurrency)
            && concurrency > (limit / 2).min(CHECK_RATE_LIMIT)
        {
            let most = (limit / 2).min(CHECK_RATE_LIMIT);
            wrong
                .push(format!("MAX_CONCURRENCY is {concurrency}: must be at most {most} with CHAT_RATE_LIMIT {limit}"));
        }
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
                rate_limit: rate_limit?.into(),
                max_concurrency: max_concurrency?.into(),
                late_after: Duration::from_mins(late_after?.into()),
                max_age: Duration::from_hours(max_age?.into()),
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
    let format = keep(&mut wrong, format(&name, get("SIGNUP_CUSTOM_FORMAT"), get("SIGNUP_CLOUDEVENT_TYPE")));
    let user_id = choice("USER_ID_RULE", get("USER_ID_RULE"), UserIdRule::AsIs, &UserIdRule::ALL);
    let user_id = keep(&mut wrong, user_id);
    let profile = [("fit", ProfileRule::Fit), ("reject", ProfileRule::Reject)];
    let profile = keep(&mut wrong, choice("PROFILE_RULE", get("PROFILE_RULE"), ProfileRule::Fit, &profile));
    // A provider's format tells a sign-up by itself; another mark could only make it ignore them all.
    let detail_type = match get("SIGNUP_DETAIL_TYPE") {
        Some(value) if !matches!(name.as_str(), "default" | "cloudevents" | "custom") => {
            Err(format!("SIGNUP_DETAIL_TYPE is {value:?}: must not be set with SIGNUP_FORMAT {name}"))
        }
        value => Ok(value),
    };
    let detail_type = keep(&mut wrong, detail_type);
    let rules = || Some(Rules { format: format?, detail_type: detail_type?, user_id: user_id?, profile: profile? });
    rules().filter(|_| wrong.is_empty()).ok_or(ConfigError(wrong))
}

fn format(name: &str, custom: Option<String>, event_type: Option<String>) -> Result<Format, String> {
    let only = |setting: &str, value: String, with: &str| {
        Err(format!("{setting} is {value:?}: must not be set unless SIGNUP_FORMAT is {with}"))
    };
    let missing =
        |setting: &str, what: &str| Err(format!("{setting} is not set: must be {what}, with SIGNUP_FORMAT {name}"));
    match (name, custom, event_type) {
        (_, _, Some(value)) if name != "cloudevents" => only("SIGNUP_CLOUDEVENT_TYPE", value, "cloudevents"),
        ("custom", Some(text), _) => {
            Format::parse(&text).map_err(|error| format!("SIGNUP_CUSTOM_FORMAT is {text:?}: must be a format: {error}"))
        }
        ("custom", None, _) => missing("SIGNUP_CUSTOM_FORMAT", "a format, as JSON"),
        ("cloudevents", _, None) => missing("SIGNUP_CLOUDEVENT_TYPE", "the type of a sign-up"),
        (_, Some(text), _) => only("SIGNUP_CUSTOM_FORMAT", text, "custom"),
        (name, None, event_type) => {
            let mut presets = formats::presets().map_err(|error| error.to_string())?;
            let names = presets.keys().cloned().collect::<Vec<_>>().join(", ");
            let unknown = || format!("SIGNUP_FORMAT is {name:?}: must be one of {names}, custom");
            let mut format = presets.remove(name).ok_or_else(unknown)?;
            format.when.extend(event_type.map(|text| Condition::new("/type", text)));
            Ok(format)
        }
    }
}

/// Reads a setting that is one of a few words.
fn choice<T: Copy>(name: &str, value: Option<String>, default: T, words: &[(&str, T)]) -> Result<T, String> {
    let Some(value) = value else { return Ok(default) };
    let chosen = words.iter().find(|(word, _)| *word == value).map(|(_, choice)| *choice);
    let names = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    chosen.ok_or_else(|| format!("{name} is {value:?}: must be one of {}", names()))
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
    value.parse().ok().filter(|number| allowed.contains(number)).ok_or_else(|| {
        format!("{name} is {value:?}: must be a whole number from {} to {}", allowed.start(), allowed.end())
    })
}

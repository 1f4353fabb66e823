//! Which settings there are, and what each may be.

use std::{net::IpAddr, ops::RangeInclusive, time::Duration};

use reqwest::Url;

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
    /// The `detail-type` that marks a sign-up on the bus; any, if absent (`SIGNUP_DETAIL_TYPE`).
    pub detail_type: Option<String>,
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
        let get = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let mut wrong = Vec::new();

        let endpoint = keep(&mut wrong, endpoint(get("CHAT_REGION"), get("CHAT_ENDPOINT")));
        let missing = || "CHAT_SECRET_ID is not set: must be the name or ARN of a secret".to_owned();
        let secret_id = keep(&mut wrong, get("CHAT_SECRET_ID").ok_or_else(missing));
        let mut queue = |name| keep(&mut wrong, get(name).map(|value| queue(name, value)).transpose());
        let (queue_url, parking_queue_url) = (queue("QUEUE_URL"), queue("PARKING_QUEUE_URL"));
        let mut number = |name, default, allowed| keep(&mut wrong, number(name, get(name), default, allowed));
        let request_timeout = number("REQUEST_TIMEOUT_MS", 5_000, 100..=60_000);
        let max_in_flight = number("MAX_IN_FLIGHT", 10, 1..=200);

        match (endpoint, secret_id, queue_url, parking_queue_url, request_timeout, max_in_flight) {
            (Some(endpoint), Some(secret_id), Some(queue_url), Some(parking_queue_url), Some(timeout), Some(most)) => {
                Ok(Self {
                    endpoint,
                    secret_id,
                    queue_url,
                    parking_queue_url,
                    request_timeout: Duration::from_millis(timeout.into()),
                    max_in_flight: most.into(),
                    detail_type: get("SIGNUP_DETAIL_TYPE"),
                })
            }
            _ => Err(ConfigError(wrong)),
        }
    }
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
            let wrong = |rule: &str| format!("CHAT_ENDPOINT is {value:?}: must {rule}");
            let url = Url::parse(&value).map_err(|_| wrong("be a URL such as https://console.tim.qq.com"))?;
            match url.scheme() {
                "https" => {}
                "http" if is_loopback(&url) => {}
                _ => return Err(wrong("begin with https:// (http:// only to a loopback address)")),
            }
            if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
                return Err(wrong("be a scheme and a host only, without user, path or query"));
            }
            Ok(url)
        }
        (None, None) => Err("CHAT_REGION is not set: set it, or else CHAT_ENDPOINT".to_owned()),
        (Some(region), Some(endpoint)) => {
            Err(format!("CHAT_REGION is {region:?} and CHAT_ENDPOINT is {endpoint:?}: only one of them must be set"))
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)]) -> Result<Config, String> {
        let lookup = |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Config::from_lookup(lookup).map_err(|error| error.to_string())
    }

    #[test]
    fn tells_all_wrong_settings_at_once() {
        let error = read(&[
            ("CHAT_ENDPOINT", "http://example.com"),
            ("QUEUE_URL", "signups"),
            ("REQUEST_TIMEOUT_MS", "5s"),
            ("MAX_IN_FLIGHT", "0"),
        ]);
        assert_eq!(
            error.unwrap_err(),
            "CHAT_ENDPOINT is \"http://example.com\": must begin with https:// (http:// only to a loopback address)\n\
             CHAT_SECRET_ID is not set: must be the name or ARN of a secret\n\
             QUEUE_URL is \"signups\": must be the URL of an SQS queue, not its name or ARN\n\
             REQUEST_TIMEOUT_MS is \"5s\": must be a whole number from 100 to 60000\n\
             MAX_IN_FLIGHT is \"0\": must be a whole number from 1 to 200"
        );
    }

    #[test]
    fn knows_every_region() {
        let hosts = REGIONS.map(|(region, _)| {
            let config = read(&[("CHAT_REGION", region), ("CHAT_SECRET_ID", "key")]).unwrap();
            config.endpoint.as_str().to_owned()
        });
        assert_eq!(hosts.map(|url| url.trim_end_matches('/').to_owned()), REGIONS.map(|(_, host)| host.to_owned()));
    }

    #[test]
    fn admits_plain_http_to_loopback_only() {
        let admitted = |endpoint| read(&[("CHAT_ENDPOINT", endpoint), ("CHAT_SECRET_ID", "key")]).is_ok();
        assert_eq!(
            [
                "https://example.com",
                "http://127.0.0.1:8080",
                "http://localhost:1",
                "http://[::1]:1",
                "http://10.0.0.1",
                "http://127.0.0.1.example.com",
                "https://user@example.com",
                "https://example.com/v4",
                "ftp://127.0.0.1",
                "example.com",
            ]
            .map(admitted),
            [true, true, true, true, false, false, false, false, false, false]
        );
    }

    #[test]
    fn takes_an_empty_value_for_absent_and_has_defaults() {
        let config =
            read(&[("CHAT_REGION", "tokyo"), ("CHAT_SECRET_ID", "key"), ("CHAT_ENDPOINT", ""), ("QUEUE_URL", " ")]);
        let config = config.unwrap();
        assert_eq!(
            (config.queue_url, config.request_timeout, config.max_in_flight),
            (None, Duration::from_secs(5), 10)
        );
    }
}

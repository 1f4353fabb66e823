//! What the stand-in for Tencent promises; the same tests hold for the real service.
//!
//! They run against the stand-in, or against a test app of yours on the trial plan if all of `CHAT_TEST_ENDPOINT`,
//! `CHAT_TEST_SDK_APP_ID`, `CHAT_TEST_IDENTIFIER` and `CHAT_TEST_SECRET_KEY` are set. They import accounts named
//! `contract-…`, at most 103 of them, and delete them before and after.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise, and says whom it called"
)]

use std::{
    collections::BTreeSet,
    time::{SystemTime, UNIX_EPOCH},
};

use chat_signup_import::{network::Network, usersig};
use futures_util::future::join_all;
use local::tencent::{
    App, Tencent,
    behaviour::{ALL, Behaviour},
};
use reqwest::{Client, Url};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

/// Who is called, and as whom.
struct Service {
    http: Client,
    url: String,
    app: App,
}

/// What a request says of itself; a test changes what it is about.
struct Signed {
    sdk_app_id: String,
    identifier: String,
    user_sig: String,
}

fn client() -> Client {
    Network::from_lookup(|name| std::env::var(name).ok()).unwrap().pooled()
}

impl Service {
    /// The real service, if there are credentials for it.
    fn real() -> Option<Self> {
        let names = ["ENDPOINT", "SDK_APP_ID", "IDENTIFIER", "SECRET_KEY"].map(|name| format!("CHAT_TEST_{name}"));
        let values = names.each_ref().map(|name| std::env::var(name).ok());
        let [Some(url), Some(id), Some(identifier), Some(key)] = values.clone() else {
            // With one of them misspelt, the stand-in must not be taken for the real service.
            assert!(values.iter().all(Option::is_none), "set all of {names:?}, or none");
            return None;
        };
        println!("the real service is called: {url}");
        let app = App { sdk_app_id: id.parse().unwrap(), identifier, key, ..App::default() };
        Some(Self { http: client(), url, app })
    }

    fn stand_in(tencent: &Tencent, app: App) -> Self {
        Self { http: client(), url: tencent.url(), app }
    }

    /// A signature by `key` for `identifier` of app `id`, made `age` seconds ago and valid for an hour.
    fn sign(&self, key: &str, id: u64, identifier: &str, age: u64) -> Signed {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let user_sig = usersig::sign(&key.into(), id, identifier, now - age, 3600).unwrap();
        Signed {
            sdk_app_id: self.app.sdk_app_id.to_string(),
            identifier: self.app.identifier.clone(),
            user_sig: user_sig.expose_secret().to_owned(),
        }
    }

    fn signed(&self) -> Signed {
        self.sign(&self.app.key, self.app.sdk_app_id, &self.app.identifier, 0)
    }

    /// Calls a command with this text as its body; gives the HTTP status and the answer.
    async fn post(&self, command: &str, signed: &Signed, body: String) -> (u16, Value) {
        let mut url = Url::parse(&self.url).unwrap().join(&format!("/v4/im_open_login_svc/{command}")).unwrap();
        let pairs = [
            ("sdkappid", signed.sdk_app_id.as_str()),
            ("identifier", &signed.identifier),
            ("usersig", &signed.user_sig),
            ("random", "7"),
            ("contenttype", "json"),
        ];
        url.query_pairs_mut().extend_pairs(pairs.into_iter().filter(|(_, value)| !value.is_empty()));
        let response = self.http.post(url).body(body).send().await.map_err(reqwest::Error::without_url).unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
    }

    async fn import_as(&self, signed: &Signed, body: &Value) -> (u16, i64) {
        let (status, answer) = self.post("account_import", signed, body.to_string()).await;
        (status, answer.get("ErrorCode").and_then(Value::as_i64).unwrap())
    }

    async fn import(&self, body: Value) -> (u16, i64) {
        self.import_as(&self.signed(), &body).await
    }

    /// Whether these accounts are there.
    async fn check(&self, users: &[&str]) -> Vec<String> {
        let items: Vec<Value> = users.iter().map(|user| json!({"UserID": user})).collect();
        let (_, answer) = self.post("account_check", &self.signed(), json!({"CheckItem": items}).to_string()).await;
        let items = answer.get("ResultItem").and_then(Value::as_array).unwrap().clone();
        items.iter().map(|item| item.get("AccountStatus").unwrap().as_str().unwrap().to_owned()).collect()
    }

    /// Deletes accounts; gives the `ResultCode` of each.
    async fn delete(&self, users: &[String]) -> Vec<i64> {
        let mut codes = Vec::new();
        for users in users.chunks(100) {
            let items: Vec<Value> = users.iter().map(|user| json!({"UserID": user})).collect();
            let body = json!({"DeleteItem": items}).to_string();
            let (_, answer) = self.post("account_delete", &self.signed(), body).await;
            assert_eq!(answer.get("ErrorCode"), Some(&json!(0)), "the accounts must be deleted: {answer}");
            let items = answer.get("ResultItem").and_then(Value::as_array).unwrap();
            codes.extend(items.iter().map(|item| item.get("ResultCode").and_then(Value::as_i64).unwrap()));
        }
        codes
    }

    /// Everything that holds for both, case by case: what it is about, the answer, and what it must be.
    async fn cases(&self) -> Vec<(&'static str, (u16, i64), (u16, i64))> {
        use Behaviour as B;
        let (id, identifier, key) = (self.app.sdk_app_id, self.app.identifier.as_str(), self.app.key.as_str());
        let ada = json!({"UserID": "contract-ada", "Nick": "Ada", "FaceUrl": "https://example.com/ada.png"});
        let as_ada = async |signed: Signed| self.import_as(&signed, &ada).await;
        let refused = |behaviour: B| (200, behaviour.code());
        let unknown_app = Signed { sdk_app_id: "1".to_owned(), ..self.signed() };
        let no_app = Signed { sdk_app_id: String::new(), ..self.signed() };
        let no_signature = Signed { user_sig: String::new(), ..self.signed() };
        let unreadable = Signed { user_sig: "eJw-".to_owned(), ..self.signed() };
        let nobody = Signed { identifier: "nobody".to_owned(), ..self.sign(key, id, "nobody", 0) };
        let post_text = async |command: &str, body: &str| {
            let (status, answer) = self.post(command, &self.signed(), body.to_owned()).await;
            (status, answer.get("ErrorCode").and_then(Value::as_i64).unwrap())
        };
        vec![
            ("a new account", self.import(ada.clone()).await, (200, 0)),
            ("the same again", self.import(ada.clone()).await, (200, 0)),
            (
                "an ID of 32 bytes",
                self.import(json!({"UserID": format!("contract-{}", "x".repeat(23))})).await,
                (200, 0),
            ),
            ("an ID of 33 bytes", self.import(json!({"UserID": "x".repeat(33)})).await, refused(B::UserIdLength)),
            ("no ID", self.import(json!({"Nick": "Ada"})).await, refused(B::NoUserId)),
            ("a number as ID", self.import(json!({"UserID": 7})).await, refused(B::FieldIsNoString)),
            (
                "a nickname of 501 bytes",
                self.import(json!({"UserID": "contract-ada", "Nick": "x".repeat(501)})).await,
                refused(B::ProfileLength),
            ),
            ("a body that is no JSON", post_text("account_import", "UserID=ada").await, refused(B::BodyIsNoJson)),
            ("an unknown command", post_text("account_export", "{}").await, refused(B::UnknownCommand)),
            ("another app", as_ada(unknown_app).await, refused(B::UnknownApp)),
            ("no app", as_ada(no_app).await, refused(B::NoAppId)),
            ("no signature", as_ada(no_signature).await, refused(B::NoSignature)),
            ("an unreadable signature", as_ada(unreadable).await, refused(B::UnreadableSignature)),
            (
                "a signature by another key",
                as_ada(self.sign(&"0".repeat(64), id, identifier, 0)).await,
                refused(B::SignedWithAnotherKey),
            ),
            ("one for another app", as_ada(self.sign(key, 1, identifier, 0)).await, refused(B::SignedForAnotherApp)),
            (
                "one for another identifier",
                as_ada(self.sign(key, id, "nobody", 0)).await,
                refused(B::SignedForAnotherIdentifier),
            ),
            ("one past its time", as_ada(self.sign(key, id, identifier, 3601)).await, refused(B::Expired)),
            ("a caller that is no administrator", as_ada(nobody).await, refused(B::NotAnAdministrator)),
        ]
    }

    /// Imports accounts until the plan's limit is reached; gives the code that says so.
    async fn fill(&self) -> i64 {
        for user in names() {
            let (_, code) = self.import(json!({"UserID": user})).await;
            if code != 0 {
                return code;
            }
        }
        0
    }
}

/// All accounts that these tests may make.
fn names() -> Vec<String> {
    let filling = (1..=101).map(|user| format!("contract-{user}"));
    ["contract-ada".to_owned(), format!("contract-{}", "x".repeat(23))].into_iter().chain(filling).collect()
}

#[tokio::test]
async fn answers_as_it_is_written_down() {
    let tencent = Tencent::start(App::default()).await.unwrap();
    let service = Service::real().unwrap_or_else(|| Service::stand_in(&tencent, App::default()));
    service.delete(&names()).await;
    let cases = service.cases().await;
    let there = service.check(&["contract-ada", "contract-nobody"]).await;
    let over_quota = service.fill().await;
    service.delete(&names()).await;
    let left = service.check(&["contract-ada", "contract-1"]).await;
    let deleted_again = service.delete(&["contract-ada".to_owned()]).await;
    let wrong: Vec<_> = cases.into_iter().filter(|(_, answer, expected)| answer != expected).collect();
    assert_eq!(
        (wrong, there, over_quota, left, deleted_again),
        (
            vec![],
            vec!["Imported".to_owned(), "NotImported".to_owned()],
            Behaviour::Quota.code(),
            vec!["NotImported".to_owned(), "NotImported".to_owned()],
            vec![Behaviour::DeleteUnknown.code()],
        )
    );
}

/// Every behaviour of the stand-in is met by a contract test, those included that nobody should try on the real service.
#[tokio::test]
async fn every_behaviour_of_the_stand_in_shows_itself() {
    let trial = Tencent::start(App::default()).await.unwrap();
    let service = Service::stand_in(&trial, App::default());
    service.cases().await;
    service.check(&["contract-ada"]).await;
    service.fill().await;

    let app = App { quota: usize::MAX, rate: 5, ..App::default() };
    let paid = Tencent::start(app.clone()).await.unwrap();
    let service = Service::stand_in(&paid, app);
    service.import(json!({"UserID": "ada"})).await;
    service.delete(&["ada".to_owned(), "nobody".to_owned()]).await;
    let barred = service.import(json!({"UserID": "ada"})).await;
    let codes = join_all((0..20).map(|_| service.import(json!({"UserID": "grace"})))).await;
    let limited = codes.contains(&(200, Behaviour::RateLimit.code()));

    let seen: BTreeSet<Behaviour> = trial.seen().union(&paid.seen()).copied().collect();
    let unseen: Vec<&Behaviour> = ALL.iter().filter(|behaviour| !seen.contains(behaviour)).collect();
    assert_eq!((barred, limited, unseen), ((200, Behaviour::DeletedIsBarred.code()), true, Vec::<&Behaviour>::new()));
}

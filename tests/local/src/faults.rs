//! What goes wrong so that somebody has to be told: every kind of fault that an alarm is for, and some that none is for.

use std::{
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use crate::{
    cloudwatch::CloudWatch,
    tencent::{App, Reply},
    world::World,
};

/// How long a fault has lasted when it shows itself once more.
pub const PERIOD: Duration = Duration::from_mins(5);
/// How often a fault shows itself.
pub const PERIODS: u32 = 3;
/// How many sign-ups take 24.6 s of the 30 that a batch has, 25.6 ms apart.
const LARGE: u32 = 960;
/// How long nobody has taken a message when that begins to show itself: `BacklogAlarmSeconds`, and a little.
const UNTAKEN: Duration = Duration::from_mins(31);

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The plan allows no more accounts.
    NoMoreAccounts,
    /// A message is no JSON.
    NoJson,
    /// Tencent refuses a nickname.
    BadNickname,
    /// A message still fails after more than four days.
    FailsForDays,
    /// Tencent knows another key.
    WrongKey,
    /// The app has no plan.
    NoPlan,
    /// The secret has no key in it.
    SecretWithoutKey,
    /// The role may not read the secret.
    NoRightToSecret,
    /// The role may not send to the parking queue, and there is something to be parked.
    NoRightToPark,
    /// Tencent answers with a code that nobody has heard of.
    NewCode,
    /// The function panics: the system gives it no thread for a look-up of a name.
    NoThread,
    /// Tencent finds one call in ten too many.
    ManyTooMany,
    /// Tencent finds one call in thirty too many.
    FewTooMany,
    /// A message that is two hours old fails once more.
    FailsForHours,
    /// New messages fail, once each.
    Outage,
    /// The queue's mapping is paused, and a message has come in half an hour ago.
    Paused,
    /// The function is killed at its work.
    Killed,
    /// There is no concurrency for the function.
    NoConcurrency,
    /// Batches have nearly more sign-ups than there is time for, at the pace that the function keeps.
    LargeBatches,
    /// For more than a day, nothing comes but events of other types.
    NoSignups,
    /// Events of other types come.
    OtherEvents,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::NoMoreAccounts,
        Self::NoJson,
        Self::BadNickname,
        Self::FailsForDays,
        Self::WrongKey,
        Self::NoPlan,
        Self::SecretWithoutKey,
        Self::NoRightToSecret,
        Self::NoRightToPark,
        Self::NewCode,
        Self::NoThread,
        Self::ManyTooMany,
        Self::FewTooMany,
        Self::FailsForHours,
        Self::Outage,
        Self::Paused,
        Self::Killed,
        Self::NoConcurrency,
        Self::LargeBatches,
        Self::NoSignups,
        Self::OtherEvents,
    ];

    /// The metric that shows it, of those that the function counts.
    fn sign(self) -> &'static str {
        match self {
            Self::NoMoreAccounts => "AccountLimit",
            Self::NoJson => "Malformed",
            Self::BadNickname => "Refused",
            Self::FailsForDays => "Expired",
            Self::WrongKey => "CredentialRefused",
            Self::NoPlan => "SetUpBlocked",
            Self::SecretWithoutKey | Self::NoRightToSecret => "SecretUnreadable",
            Self::NoRightToPark => "NotParked",
            Self::NewCode => "UnknownCode",
            Self::NoThread => "Panicked",
            Self::ManyTooMany | Self::FewTooMany => "RateLimited",
            Self::FailsForHours | Self::Outage => "Deferred",
            Self::NoSignups | Self::OtherEvents => "Ignored",
            // The function itself tells nothing of these.
            Self::Paused | Self::Killed | Self::NoConcurrency | Self::LargeBatches => "",
        }
    }
}

/// Who makes the faults, in a world that CloudWatch watches.
pub struct Faults<'a> {
    world: &'a World,
    /// What watches.
    pub watch: CloudWatch<'a>,
    users: u32,
    /// The name of the function's role, and what it may, as the template has it.
    role: Option<(String, Value)>,
}

impl<'a> Faults<'a> {
    /// Has done nothing yet.
    ///
    /// # Errors
    /// When AWS's client does not start.
    pub fn new(world: &'a World) -> io::Result<Self> {
        Ok(Self { world, watch: CloudWatch::watch(world)?, users: 0, role: None })
    }

    /// A sign-up is imported, an hour after whatever was before.
    ///
    /// # Errors
    /// When it is not.
    pub async fn all_is_well(&mut self) -> io::Result<()> {
        self.watch.pass(Duration::from_hours(1)).await?;
        self.watch.forget();
        let user = self.user();
        self.send(&user).await?;
        self.watch.until("Imported", 1).await?;
        self.watch.put().await
    }

    /// Has it begin, a while after all was well.
    ///
    /// # Errors
    /// When the world fails.
    pub async fn begin(&mut self, fault: Fault) -> io::Result<()> {
        self.watch.pass(PERIOD).await?;
        self.watch.forget();
        match fault {
            Fault::WrongKey => self.world.tencent.set_key(&"3".repeat(64)),
            Fault::SecretWithoutKey => {
                self.world.write_secret(r#"{"sdkAppId":1400000000,"identifier":"administrator"}"#).await?;
                self.new_environments(&[]).await?;
            }
            Fault::NoRightToSecret => {
                self.set_role(Some("ReadAdminKey")).await?;
                self.new_environments(&[]).await?;
            }
            Fault::NoRightToPark => self.set_role(Some("Park")).await?,
            Fault::NoThread => {
                let url = self.world.tencent.url().replace("127.0.0.1", "localhost");
                self.new_environments(&[("CHAT_ENDPOINT", &url)]).await?;
                self.world.send(OTHER).await?;
                self.watch.until("Ignored", 1).await?;
                // What initialisation has opened needs no look-up, and the thread of its own look-up waits for 10 s.
                self.world.tencent.doom_connections();
                tokio::time::sleep(Duration::from_secs(11)).await;
                self.world.aws.allow_no_thread().await?;
            }
            Fault::Paused => {
                self.world.aws.pause(true).await?;
                let user = self.user();
                self.send(&user).await?;
                self.watch.pass(UNTAKEN).await?;
            }
            Fault::NoConcurrency => {
                let call = json!({"FunctionName": self.function(), "ReservedConcurrentExecutions": 0});
                self.watch.client.call("lambda", "put_function_concurrency", call).await?;
            }
            Fault::NoSignups => self.watch.pass(Duration::from_hours(27)).await?,
            _ => {}
        }
        Ok(())
    }

    /// Has it show itself, for the `n`th time from 1.
    ///
    /// # Errors
    /// When it does not.
    pub async fn strike(&mut self, fault: Fault, n: u32) -> io::Result<()> {
        let user = self.user();
        let script = |code: i64| self.world.tencent.script(&user, [Reply::Code(code)]);
        match fault {
            Fault::NoMoreAccounts => script(70398),
            Fault::BadNickname => script(80001),
            Fault::NoPlan => script(60020),
            Fault::NewCode => script(99999),
            Fault::FailsForDays | Fault::FailsForHours | Fault::Outage => script(70500),
            Fault::ManyTooMany | Fault::FewTooMany => script(60007),
            Fault::Killed => self.world.tencent.script(&user, [Reply::Late(Duration::from_secs(20))]),
            _ => {}
        }
        match fault {
            Fault::FailsForDays => self.invoke_with(&[user], Duration::from_hours(97)).await?,
            Fault::FailsForHours => self.invoke_with(&[user], Duration::from_hours(2)).await?,
            Fault::LargeBatches => {
                let users: Vec<String> = (0..LARGE).map(|_| self.user()).collect();
                self.invoke_with(&users, Duration::ZERO).await?;
                self.watch.until("Imported", n * LARGE).await?;
            }
            Fault::NoJson | Fault::NoRightToPark => drop(self.world.send("{").await?),
            Fault::NoSignups | Fault::OtherEvents => drop(self.world.send(OTHER).await?),
            Fault::ManyTooMany | Fault::FewTooMany => {
                let others = if fault == Fault::ManyTooMany { 9 } else { 29 };
                for _ in 0..others {
                    let user = self.user();
                    self.send(&user).await?;
                }
                self.send(&user).await?;
                self.watch.until("Imported", n * (others + 1)).await?;
            }
            Fault::Killed => {
                self.send(&user).await?;
                while self.world.tencent.calls_for(&user).is_empty() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                self.world.aws.kill(&self.world.aws.environments()).await;
                self.watch.until_lambda("Errors", n).await?;
            }
            Fault::NoConcurrency => {
                let call = json!({"FunctionName": self.function(), "Payload": "{}"});
                let told = self.watch.client.call("lambda", "invoke", call).await;
                if told.is_ok() {
                    return Err(io::Error::other("it is invoked without concurrency"));
                }
            }
            Fault::Paused => {}
            _ => self.send(&user).await?,
        }
        if !fault.sign().is_empty() {
            self.watch.until(fault.sign(), n).await?;
        }
        self.watch.put().await
    }

    /// Cures it, as a person would.
    ///
    /// # Errors
    /// When the world fails.
    pub async fn cure(&mut self, fault: Fault) -> io::Result<()> {
        match fault {
            Fault::WrongKey => self.world.tencent.set_key(&App::default().key),
            Fault::SecretWithoutKey => {
                self.world.write_secret(&App::default().secret()).await?;
                self.new_environments(&[]).await?;
            }
            Fault::NoRightToSecret => {
                self.set_role(None).await?;
                self.new_environments(&[]).await?;
            }
            Fault::NoRightToPark => self.set_role(None).await?,
            Fault::NoThread => self.new_environments(&[]).await?,
            Fault::Paused => {
                self.world.aws.pause(false).await?;
                self.watch.until("Imported", 1).await?;
            }
            Fault::NoConcurrency => {
                let call = json!({"FunctionName": self.function()});
                self.watch.client.call("lambda", "delete_function_concurrency", call).await?;
            }
            _ => {}
        }
        // What is parked is taken care of; what would come back in minutes is not waited for.
        self.world.take_parked().await?;
        let call = json!({"QueueUrl": self.world.output("SignupQueueUrl")});
        self.watch.client.call("sqs", "purge_queue", call).await.map(drop)
    }

    fn user(&mut self) -> String {
        self.users += 1;
        format!("alarmed-{}", self.users)
    }

    fn function(&self) -> &str {
        self.world.output("FunctionName")
    }

    async fn send(&self, user: &str) -> io::Result<()> {
        self.world.send(&signup(user)).await.map(drop)
    }

    /// The function starts anew, with these settings besides its own.
    async fn new_environments(&self, settings: &[(&str, &str)]) -> io::Result<()> {
        self.world.set(settings).await
    }

    /// Invokes the function with messages that have been on its queue for so long.
    async fn invoke_with(&mut self, users: &[String], age: Duration) -> io::Result<()> {
        let sent = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(age).as_millis();
        let attributes = json!({"SentTimestamp": sent.to_string(), "ApproximateReceiveCount": "9"});
        let arn = self.world.output("SignupQueueArn");
        let record = |user: &String| json!({"messageId": user, "body": signup(user), "attributes": attributes, "eventSourceARN": arn});
        let records: Vec<Value> = users.iter().map(record).collect();
        let payload = json!({"Records": records}).to_string();
        let call = json!({"FunctionName": self.function(), "Payload": payload});
        self.watch.client.call("lambda", "invoke", call).await.map(drop)
    }

    /// Gives the role its rights, but for a statement.
    async fn set_role(&mut self, without: Option<&str>) -> io::Result<()> {
        const POLICY: &str = "import-signups";
        let (role, mut rights) = if let Some(role) = &self.role {
            role.clone()
        } else {
            let call = json!({"FunctionName": self.function()});
            let function = self.watch.client.call("lambda", "get_function_configuration", call).await?;
            let arn = function.get("Role").and_then(Value::as_str).unwrap_or_default();
            let role = arn.rsplit('/').next().unwrap_or_default().to_owned();
            let call = json!({"RoleName": role, "PolicyName": POLICY});
            let policy = self.watch.client.call("iam", "get_role_policy", call).await?;
            self.role.insert((role, policy.get("PolicyDocument").cloned().unwrap_or_default())).clone()
        };
        if let Some(statements) = rights.get_mut("Statement").and_then(Value::as_array_mut) {
            statements.retain(|statement| without.is_none() || statement.get("Sid").and_then(Value::as_str) != without);
        }
        let call = json!({"RoleName": role, "PolicyName": POLICY, "PolicyDocument": rights.to_string()});
        self.watch.client.call("iam", "put_role_policy", call).await.map(drop)
    }
}

/// An event that is no sign-up.
const OTHER: &str = r#"{"detail-type":"UserDeleted","detail":{"userId":"deleted"}}"#;

fn signup(user: &str) -> String {
    json!({"userId": user}).to_string()
}

//! What goes wrong while the load runs, besides Tencent's answers.

use std::{
    io,
    time::{Duration, Instant},
};

use fastrand::Rng;

use crate::{
    cloud::Fault,
    proxy::Proxy,
    tencent::{App, Call},
    world::World,
};

/// Longest time that one mischief is made for.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it has to show itself before it ends.
const ENOUGH: usize = 4;

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mischief {
    /// The function's processes are killed, one after the other.
    Kill,
    /// SQS takes no message: what is rejected cannot be parked.
    NoParking,
    /// SQS changes no visibility: what comes back is not delayed.
    NoDelay,
    /// Secrets Manager fails, then throttles, while new environments start.
    NoSecret,
    /// The key is rotated: Tencent knows the new one as soon as it is in the secret.
    NewKey,
    /// The key is rotated, and is in the secret seconds after Tencent knows it.
    LateKey,
    /// Others of the app call as well, and there is no place for all of ours.
    OtherCallers,
}

impl Mischief {
    /// What is done, and in which order. First comes what holds messages back for minutes.
    pub fn plan(random: &mut Rng, is_brief: bool) -> Vec<Self> {
        let mut plan = vec![Self::NoParking];
        plan.extend((!is_brief).then_some(Self::LateKey));
        random.shuffle(&mut plan);
        for _ in 0..if is_brief { 1 } else { 4 } {
            let mut round = [Self::Kill, Self::NoDelay, Self::NoSecret, Self::NewKey, Self::OtherCallers];
            random.shuffle(&mut round);
            plan.extend(round);
        }
        plan
    }
}

/// Who makes the mischief.
pub struct Saboteur<'a> {
    world: &'a World,
    proxy: &'a Proxy,
    random: Rng,
    /// Every key there has been.
    pub keys: Vec<String>,
    /// How many processes were killed.
    pub killed: usize,
}

impl<'a> Saboteur<'a> {
    /// Has done nothing yet.
    pub fn new(world: &'a World, proxy: &'a Proxy, random: Rng) -> Self {
        Self { world, proxy, random, keys: vec![App::default().key], killed: 0 }
    }

    /// Makes it, until it has shown itself, and puts it right again.
    ///
    /// # Errors
    /// When the world fails.
    pub async fn make(&mut self, mischief: Mischief) -> io::Result<()> {
        match mischief {
            Mischief::Kill => {
                for _ in 0..3 {
                    let process = self.random.choice(self.world.aws.environments());
                    self.kill(process.into_iter().collect()).await;
                    self.pause(500..1500).await;
                }
            }
            Mischief::NoParking => {
                self.fail("SendMessage", Fault::Error(500, "InternalFailure")).await;
            }
            Mischief::NoDelay => {
                self.fail("ChangeMessageVisibilityBatch", Fault::Error(503, "ServiceUnavailable")).await;
            }
            Mischief::NoSecret => {
                for fault in [Fault::Error(500, "InternalServiceError"), Fault::Error(400, "ThrottlingException")] {
                    self.kill(self.world.aws.environments()).await;
                    self.fail("GetSecretValue", fault).await;
                }
            }
            Mischief::NewKey => {
                let secret = self.next_key();
                self.world.write_secret(&secret.secret()).await?;
                self.world.tencent.set_key(&secret.key);
                self.until_refused(70009).await;
            }
            Mischief::LateKey => {
                let secret = self.next_key();
                self.world.tencent.set_key(&secret.key);
                self.until_refused(70009).await;
                self.pause(1000..3000).await;
                self.world.write_secret(&secret.secret()).await?;
            }
            Mischief::OtherCallers => {
                self.world.tencent.set_rate(20);
                self.until_refused(60007).await;
                self.world.tencent.set_rate(App::default().rate);
            }
        }
        self.pause(200..1000).await;
        Ok(())
    }

    fn next_key(&mut self) -> App {
        let key: String = std::iter::repeat_with(|| self.random.digit(16)).take(64).collect();
        self.keys.push(key.clone());
        App { key, ..App::default() }
    }

    async fn kill(&mut self, processes: Vec<String>) {
        self.killed += processes.len();
        self.world.aws.kill(&processes).await;
    }

    /// Has an operation of AWS fail for a while.
    async fn fail(&mut self, operation: &str, fault: Fault) {
        let before = self.proxy.failed(operation);
        self.proxy.fail(operation, Some(fault));
        until(|| self.proxy.failed(operation) >= before + ENOUGH).await;
        self.pause(200..1000).await;
        self.proxy.fail(operation, None);
    }

    /// Waits until Tencent has refused some calls so.
    async fn until_refused(&self, code: i64) {
        let count = || refused(&self.world.tencent.calls(), code);
        let before = count();
        until(|| count() >= before + ENOUGH).await;
    }

    async fn pause(&mut self, millis: std::ops::Range<u64>) {
        tokio::time::sleep(Duration::from_millis(self.random.u64(millis))).await;
    }
}

/// How many calls were answered with this `ErrorCode`.
pub fn refused(calls: &[Call], code: i64) -> usize {
    calls.iter().filter(|call| call.code == Some(code)).count()
}

/// Waits for that, not for ever: what has not shown itself is told in the end.
async fn until(is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() && started.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

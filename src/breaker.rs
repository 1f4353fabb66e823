//! When to call nobody.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::sync::Notify;

/// How many service failures in a row open the breaker.
const FAILURES: u32 = 5;
/// Shortest time between two probes while it is open; as much again is added at random.
const PROBE_AFTER: Duration = Duration::from_secs(5);
/// How long nobody is called after the signature was refused too often (Tencent's 70050 asks for a minute).
const SILENCE: Duration = Duration::from_mins(1);

/// Tells whether a call may be made by this environment.
///
/// It goes by wall-clock time, which does not stand still while an environment is frozen.
pub struct Breaker {
    random: fn() -> u32,
    state: Mutex<State>,
    probed: Notify,
}

#[derive(Default)]
struct State {
    /// Service failures since the last sound answer.
    failures: u32,
    probing: bool,
    /// When the last call failed, and how long after it no probe is made.
    failed: Option<(SystemTime, Duration)>,
    silent_since: Option<SystemTime>,
}

/// Why no call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The service has failed time and again, the last time just now.
    Open,
    /// The same, and whether it still does is being tried by another call.
    Probing,
    /// The signature was refused too often.
    Silent,
}

/// The right to make a call. Dropped without a word, it says nothing about the service.
pub struct Permit<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
}

impl Breaker {
    /// Starts closed: calls may be made.
    pub fn new(random: fn() -> u32) -> Self {
        Self { random, state: Mutex::default(), probed: Notify::new() }
    }

    /// Asks for a call, and waits for the answer of a probe that is under way: what is turned away may stay away for
    /// long, though the service is back.
    ///
    /// # Errors
    /// When nobody may be called now.
    pub async fn wait(&self, clock: fn() -> SystemTime) -> Result<Permit<'_>, Held> {
        loop {
            let probed = self.probed.notified();
            match self.admit(clock()) {
                Err(Held::Probing) => probed.await,
                other => return other,
            }
        }
    }

    /// Asks for a call.
    ///
    /// # Errors
    /// When nobody may be called now.
    pub fn admit(&self, now: SystemTime) -> Result<Permit<'_>, Held> {
        let state = &mut *self.state();
        if state.is_silent(now) {
            return Err(Held::Silent);
        }
        let is_probe = state.failures >= FAILURES;
        if is_probe {
            if state.probing {
                return Err(Held::Probing);
            }
            if state.failed.is_some_and(|(at, wait)| is_within(wait, at, now)) {
                return Err(Held::Open);
            }
            state.probing = true;
        }
        Ok(Permit { breaker: self, is_probe })
    }

    /// Asks once more, after a wait in which others may have failed; a probe stays one.
    ///
    /// # Errors
    /// As of [`Breaker::admit`].
    pub fn admit_again<'a>(&'a self, permit: Permit<'a>, now: SystemTime) -> Result<Permit<'a>, Held> {
        if permit.is_probe {
            return if self.state().is_silent(now) { Err(Held::Silent) } else { Ok(permit) };
        }
        self.admit(now)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_silent(&self, now: SystemTime) -> bool {
        self.silent_since.is_some_and(|since| is_within(SILENCE, since, now))
    }
}

/// Whether `since` lies less than `wait` before `now`; a clock that was put back ends every wait.
fn is_within(wait: Duration, since: SystemTime, now: SystemTime) -> bool {
    now.duration_since(since).is_ok_and(|gone| gone < wait)
}

impl Permit<'_> {
    /// The service answered, whatever it said.
    pub fn answered(self) {
        self.breaker.state().failures = 0;
    }

    /// The service failed.
    pub fn failed(self, now: SystemTime) {
        let state = &mut *self.breaker.state();
        state.failures = state.failures.saturating_add(1);
        let jitter = PROBE_AFTER.mul_f64(f64::from((self.breaker.random)()) / f64::from(u32::MAX));
        state.failed = Some((now, PROBE_AFTER + jitter));
    }

    /// The signature was refused too often.
    pub fn refused_too_often(self, now: SystemTime) {
        let state = &mut *self.breaker.state();
        state.failures = 0;
        state.silent_since = Some(now);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            self.breaker.state().probing = false;
            self.breaker.probed.notify_waiters();
        }
    }
}

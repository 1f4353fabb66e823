//! How fast calls may go.
//!
//! Tencent's limit is the app's, over all environments. A queue's mapping lets so many invocations run at once, each in
//! one of so many places; whichever environment an invocation gets, it makes its calls one gap apart, the first of them
//! one gap after its start. So the calls of one place are a gap apart, across cold starts, freezes and kills.
//!
//! A call may be made late, be held up on its way, and come close to the next one. So a place makes one call less in a
//! second than its share, or as many as its share in a second and `HELD_UP`: the limit holds as long as none is held
//! up for longer than half a gap, or 10 ms where gaps are short, less the millisecond that it may be early by.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync, time::Instant};

/// Longest gap: an invocation has to have time for some calls, or it would never see the rate recover.
const LONGEST_GAP: Duration = Duration::from_secs(4);
/// How long without a refusal ends all widening.
const FORGOTTEN: Duration = Duration::from_mins(5);
/// How long one widening stands for all refusals: they are of calls that were under way together.
const ONE_REFUSAL: Duration = Duration::from_secs(1);
/// What a call that was answered takes back of the widening, on average: 35 calls undo one refusal, so that a refusal
/// now and then, for whatever reason, costs little.
const RECOVERY: f64 = 0.02;

/// Longest delay that brings no place a call too many into a second: some of it by timers, the rest on the way.
const HELD_UP: Duration = Duration::from_millis(20);
/// What Tokio's timers do not tell apart: what is due so soon is due.
const TICK: Duration = Duration::from_millis(1);
/// What a timer may be late by, that no call is lost where gaps are shorter.
const LATE: Duration = Duration::from_millis(2);

/// Tells when the next call of this environment may be made.
pub struct Pace {
    gap: Duration,
    random: fn() -> u32,
    state: Mutex<State>,
    /// Whoever has it is the next to call: those that wait go in order, and only one of them has a timer.
    turnstile: sync::Mutex<()>,
}

struct State {
    /// The earliest time of the next call.
    next: Option<Instant>,
    /// How much wider than it need be the gap is, since Tencent refused the rate.
    widening: f64,
    refused_at: Option<Instant>,
}

impl Pace {
    /// Keeps to a share of `limit` calls a second while at most `concurrency` invocations run at once, which must be no
    /// more than the limit.
    pub fn new(limit: u32, concurrency: u32, random: fn() -> u32) -> Self {
        let gap = match limit / concurrency.max(1) {
            // No place could have two calls in a second.
            0 | 1 => Duration::from_secs(2),
            calls => {
                // Rounded up: a second with a nanosecond more than three gaps in it can have a fourth call.
                let gap = |time: Duration, gaps: u32| (time + Duration::from_nanos((gaps - 1).into())) / gaps;
                let second = Duration::from_secs(1);
                gap(second, calls - 1).max(gap(second + HELD_UP, calls))
            }
        };
        let state = Mutex::new(State { next: None, widening: 1.0, refused_at: None });
        Self { gap, random, state, turnstile: sync::Mutex::default() }
    }

    /// Begins an invocation: another environment may have called just before, in the same place.
    pub fn begin(&self, now: Instant) {
        let state = &mut *self.state();
        if state.refused_at.is_some_and(|at| now.saturating_duration_since(at) >= FORGOTTEN) {
            state.widening = 1.0;
        }
        let first = now + self.gap(state);
        state.next = Some(state.next.map_or(first, |next| next.max(first)));
    }

    fn gap(&self, state: &State) -> Duration {
        self.gap.mul_f64(state.widening)
    }

    /// Waits until a call may be made, which then has to be made at once; `false` if that is after `latest`.
    pub async fn wait(&self, latest: Instant) -> bool {
        let _turn = self.turnstile.lock().await;
        loop {
            match self.take(Instant::now()) {
                Ok(()) => return true,
                Err(at) if at > latest => return false,
                Err(at) => tokio::time::sleep_until(at).await,
            }
        }
    }

    /// Takes the right to a call at `now`, or tells when it can be had.
    ///
    /// # Errors
    /// The time of the next call, if it is still to come.
    pub fn take(&self, now: Instant) -> Result<(), Instant> {
        let state = &mut *self.state();
        let gap = self.gap(state);
        let due = match state.next {
            Some(next) if next > now + TICK => return Err(next),
            // A timer is never early but often late: what it is late by is not added to every gap.
            Some(next) if now.duration_since(next) < LATE.max(gap / 2) => next,
            _ => now,
        };
        state.next = Some(due + gap);
        Ok(())
    }

    /// Tencent refused the rate: somebody else calls too, or its clock differs. Half as fast from now on.
    pub fn slow_down(&self, now: Instant) {
        let state = &mut *self.state();
        if state.refused_at.is_none_or(|at| now.saturating_duration_since(at) >= ONE_REFUSAL) {
            state.refused_at = Some(now);
            let widest = LONGEST_GAP.as_secs_f64() / self.gap.as_secs_f64();
            state.widening = (state.widening * 2.0).min(widest).max(1.0);
            let next = now + self.gap(state);
            state.next = Some(state.next.map_or(next, |other| other.max(next)));
        }
    }

    /// Tencent took a call: a little faster, and not all environments in step.
    pub fn speed_up(&self) {
        let share = 2.0 * RECOVERY * f64::from((self.random)()) / f64::from(u32::MAX);
        let state = &mut *self.state();
        state.widening = (state.widening * (1.0 - share)).max(1.0);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

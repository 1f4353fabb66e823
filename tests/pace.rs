//! The rate, the breaker and the rounds of `account_check` by themselves, in time that is only counted.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, SystemTime},
};

use chat_signup_import::{
    breaker::{Breaker, Held},
    check::Questions,
    pace::Pace,
    user_id::UserIdRule,
};
use fastrand::Rng;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// A fleet: so many places in which an invocation can run, each in any environment that is free.
struct Fleet {
    limit: u32,
    places: u32,
    /// Most calls of an invocation.
    batch: u32,
    /// How many invocations in a hundred get an environment of their own, and how many are killed half-way.
    cold: u32,
    killed: u32,
}

impl Fleet {
    /// Runs for some seconds; gives the most calls that were made in any second, and how many a second on average.
    fn run(&self, seed: u64) -> (usize, usize) {
        const SECONDS: u32 = 20;
        let (mut rng, start) = (Rng::with_seed(seed), Instant::now());
        let end = start + SECOND * SECONDS;
        let new = || Pace::new(self.limit, self.places, || 0);
        let mut free: Vec<Pace> = Vec::new();
        let mut calls: Vec<Instant> = Vec::new();
        // When each place is free again, with the environment that then is, too.
        let mut places: Vec<(Instant, Option<Pace>)> = (0..self.places).map(|_| (start, None)).collect();
        loop {
            let place = places.iter_mut().min_by_key(|(at, _)| *at).unwrap();
            let (now, environment) = (place.0, place.1.take());
            if now >= end {
                break;
            }
            free.extend(environment);
            let environment = if free.is_empty() || rng.u32(..100) < self.cold {
                new()
            } else {
                free.swap_remove(rng.usize(..free.len()))
            };
            environment.begin(now);
            let (mut mine, mut at) = (Vec::new(), now);
            for _ in 0..rng.u32(1..=self.batch) {
                while let Err(next) = environment.take(at) {
                    // A timer is late now and then.
                    at = next + Duration::from_micros(rng.u64(..=1500));
                }
                mine.push(at);
            }
            let last = at;
            let latency = Duration::from_millis(rng.u64(1..300));
            // On its way a call is held up, by less than a gap; by more where gaps are short.
            let gap = SECOND.mul_f64(0.99 / f64::from((self.limit / self.places).max(1)));
            let most_held_up = gap.max(Duration::from_millis(17));
            let killed = (rng.u32(..100) < self.killed).then(|| now + (last - now).mul_f64(rng.f64()));
            let pause = Duration::from_millis(rng.u64(..30));
            let mut arrive = |at: Instant| at + most_held_up.mul_f64(rng.f64());
            if let Some(killed) = killed {
                calls.extend(mine.into_iter().filter(|at| *at <= killed).map(&mut arrive));
                *place = (killed, None);
            } else {
                calls.extend(mine.into_iter().map(&mut arrive));
                *place = (last + latency + pause, Some(environment));
            }
        }
        calls.sort();
        let mut window = VecDeque::new();
        let mut most = 0;
        for at in &calls {
            window.push_back(*at);
            while window.front().is_some_and(|first| *at - *first >= SECOND) {
                window.pop_front();
            }
            most = most.max(window.len());
        }
        (most, calls.iter().filter(|at| **at < end).count() / SECONDS as usize)
    }
}

/// Whatever the number of environments, cold starts and kills.
#[test]
fn never_makes_more_calls_in_a_second_than_the_limit() {
    let mut over = Vec::new();
    for (limit, places) in [(200, 1), (200, 2), (200, 5), (200, 7), (200, 64), (200, 100), (200, 150), (7, 3), (10, 9)]
    {
        for seed in 0..200 {
            let mut rng = Rng::with_seed(seed);
            let (batch, cold, killed) = (rng.u32(1..=100), rng.u32(..=100), rng.u32(..=50));
            let (most, _) = Fleet { limit, places, batch, cold, killed }.run(seed);
            if most > limit as usize {
                over.push((limit, places, seed, most));
            }
        }
    }
    assert_eq!(over, []);
}

/// Where gaps are shorter than a timer is late, what it is late by is made up for.
#[test]
fn uses_nearly_all_of_a_high_limit_and_no_more() {
    let shares = [(1_000, 2), (10_000, 2), (10_000, 20)].map(|(limit, places)| {
        let (most, rate) = Fleet { limit, places, batch: 100_000, cold: 0, killed: 0 }.run(1);
        (most <= limit as usize, rate * 100 / limit as usize)
    });
    assert!(shares.iter().all(|(holds, share)| *holds && *share >= 90), "{shares:?}");
}

#[test]
fn uses_nearly_all_of_the_limit_when_there_is_much_to_do() {
    let rates = [1, 2, 5].map(|places| Fleet { limit: 200, places, batch: 1000, cold: 0, killed: 0 }.run(1).1);
    assert!(rates.iter().all(|rate| *rate >= 180), "{rates:?}");
}

#[test]
fn slows_down_once_for_refusals_of_one_moment_and_recovers_bit_by_bit() {
    let pace = Pace::new(100, 1, || u32::MAX / 2);
    let now = Instant::now();
    let gap = |at: Instant| {
        let first = pace.take(at).err().unwrap_or(at);
        let _ = pace.take(first);
        (pace.take(first).unwrap_err() - first).as_millis()
    };
    let before = gap(now);
    for _ in 0..10 {
        pace.slow_down(now);
    }
    let once = gap(now + SECOND);
    pace.slow_down(now + SECOND * 2);
    let twice = gap(now + SECOND * 3);
    for _ in 0..30 {
        pace.speed_up();
    }
    let recovering = gap(now + SECOND * 4);
    for _ in 0..500 {
        pace.speed_up();
    }
    let recovered = gap(now + SECOND * 5);
    assert_eq!([before, once, twice, recovering, recovered], [10, 20, 40, 22, 10]);
}

/// An invocation always has time for some calls, and five minutes without a refusal end all of it.
#[test]
fn is_never_slowed_down_for_good() {
    let pace = Pace::new(2, 1, || 0);
    let mut now = Instant::now();
    for _ in 0..20 {
        pace.slow_down(now);
        now += SECOND * 2;
    }
    let longest = |now: Instant| {
        pace.begin(now);
        pace.take(now).unwrap_err() - now
    };
    assert_eq!([longest(now), longest(now + SECOND * 300)], [SECOND * 4, SECOND]);
}

#[tokio::test(start_paused = true)]
async fn waits_for_no_call_that_would_be_after_the_deadline() {
    let pace = Pace::new(2, 1, || 0);
    let start = Instant::now();
    pace.begin(start);
    let mut waited = Vec::new();
    for latest in [500, 1000, 1500, 2000] {
        let admitted = pace.wait(start + Duration::from_millis(latest)).await;
        waited.push((admitted, start.elapsed().as_millis()));
    }
    assert_eq!(waited, [(false, 0), (true, 1000), (false, 1000), (true, 2000)]);
}

/// Those that wait already feel it too.
#[tokio::test(start_paused = true)]
async fn a_refusal_slows_down_whoever_still_waits() {
    let pace = Pace::new(11, 1, || 0);
    let start = Instant::now();
    let far = start + SECOND * 3600;
    let waits = (0..4).map(async |call| {
        let _ = pace.wait(far).await;
        if call == 0 {
            pace.slow_down(Instant::now());
        }
        start.elapsed().as_millis()
    });
    assert_eq!(futures_util::future::join_all(waits).await, [0, 200, 400, 600]);
}

/// Makes calls that fail; gives how many were admitted.
fn fail(breaker: &Breaker, now: SystemTime, calls: usize) -> usize {
    (0..calls).filter_map(|_| breaker.admit(now).ok()).map(|permit| permit.failed(now)).count()
}

#[test]
fn calls_nobody_but_one_probe_at_a_time_after_five_failures() {
    let breaker = Breaker::new(|| 0);
    let now = SystemTime::now();
    let (first, soon) = (fail(&breaker, now, 20), fail(&breaker, now + Duration::from_secs(4), 20));
    let due = now + Duration::from_secs(5);
    let probe = breaker.admit(due).unwrap();
    let meanwhile = breaker.admit(due).err();
    drop(probe);
    let again = breaker.admit(due).unwrap();
    again.answered();
    let after = (0..20).filter(|_| breaker.admit(due).is_ok()).count();
    assert_eq!((first, soon, meanwhile, after), (5, 0, Some(Held::Probing), 20));
}

/// Who is turned away may stay away for a quarter of an hour, though the service is back.
#[tokio::test]
async fn waits_for_the_answer_of_the_probe() {
    let opened = SystemTime::UNIX_EPOCH;
    let clock = || SystemTime::UNIX_EPOCH + Duration::from_secs(10);
    let breaker = Breaker::new(|| 0);
    let mut told = Vec::new();
    for is_back in [false, true] {
        fail(&breaker, opened, 5);
        let probe = breaker.wait(clock).await.unwrap();
        let mut others = std::pin::pin!(futures_util::future::join_all([breaker.wait(clock), breaker.wait(clock)]));
        let early = futures_util::poll!(&mut others).is_ready();
        if is_back {
            probe.answered();
        } else {
            probe.failed(clock());
        }
        told.push((early, others.await.into_iter().map(Result::err).collect::<Vec<_>>()));
        // As if a day had gone by.
        breaker.admit(clock() + Duration::from_hours(24)).unwrap().answered();
    }
    assert_eq!(told, [(false, vec![Some(Held::Open); 2]), (false, vec![None; 2])]);
}

#[test]
fn stays_closed_while_answers_come_between_the_failures() {
    let breaker = Breaker::new(|| 0);
    let now = SystemTime::now();
    let admitted: usize = (0..10)
        .map(|_| {
            let failed = fail(&breaker, now, 4);
            breaker.admit(now).unwrap().answered();
            failed
        })
        .sum();
    assert_eq!(admitted, 40);
}

#[test]
fn is_silent_for_a_minute_after_the_signature_was_refused_too_often() {
    let breaker = Breaker::new(|| 0);
    let now = SystemTime::now();
    breaker.admit(now).unwrap().refused_too_often(now);
    let held = [0, 59, 60].map(|seconds| breaker.admit(now + Duration::from_secs(seconds)).err());
    let put_back = breaker.admit(now.checked_sub(Duration::from_hours(1)).unwrap()).err();
    assert_eq!((held, put_back), ([Some(Held::Silent), Some(Held::Silent), None], None));
}

/// Whoever makes a call for all may panic over it.
#[tokio::test]
async fn asks_again_if_whoever_should_have_answered_is_gone() {
    let (questions, ada) = (Questions::default(), UserIdRule::AsIs.apply("ada").unwrap());
    let mut question = questions.ask(&ada);
    let first = questions.round().await;
    let asked_first = first.user_ids().contains(&ada);
    drop(first);
    let early = question.answer().is_none();
    let second = questions.round().await;
    let asked_again = second.user_ids().contains(&ada);
    second.tell(&Ok(HashSet::from([ada.clone()])));
    assert_eq!((asked_first, early, asked_again, question.answer()), (true, true, true, Some(Ok(true))));
}

/// An invocation that has ended leaves its questions behind.
#[tokio::test]
async fn looks_for_no_account_that_nobody_waits_for() {
    let (questions, rule) = (Questions::default(), UserIdRule::AsIs);
    let (ada, grace) = (rule.apply("ada").unwrap(), rule.apply("grace").unwrap());
    drop(questions.ask(&ada));
    let _waiting = questions.ask(&grace);
    let asked: Vec<String> = questions.round().await.user_ids().iter().map(|id| id.reveal().to_owned()).collect();
    assert_eq!(asked, ["grace"]);
}

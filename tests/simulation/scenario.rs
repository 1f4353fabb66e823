//! What happens in each scenario, and within which bands everything must stay.

use std::{ops::RangeInclusive, time::Duration};

use crate::{mapping::POLLERS, tencent::WRONG_KEY};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    /// Tencent: every call fails, in one way or another.
    Down,
    /// Tencent: every call is refused with this code.
    Fails(i64),
    /// Tencent: this share of the calls is refused with this code.
    FailsAtTimes(i64, f64),
    /// Tencent: this share of the calls fails, in one way or another.
    Brown(f64),
    /// Tencent: this share of the answers has HTTP 200 and says nothing, and nothing is done.
    Lies(f64),
    /// Tencent: this share of the calls is obeyed, and not answered.
    Forgets(f64),
    /// Tencent: answers take so much longer.
    Slow(Duration),
    /// Tencent: others of the app make so many calls a second.
    Busy(usize),
    /// Tencent: so many accounts there may be.
    Quota(usize),
    /// The app has a new key, and the secret has it, too.
    Rotated,
    /// The secret holds this key.
    Secret(&'static str),
    /// AWS: this operation fails.
    Aws(&'static str, Fault),
}

/// How an operation of AWS fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    Fails,
    Refuses,
    Hangs,
}

/// A trouble and when it is.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub from: Duration,
    pub to: Duration,
    /// So long it lasts at a time, and so long it pauses.
    pub flaps: Option<Duration>,
    pub trouble: Trouble,
}

impl Span {
    pub fn is_up(&self, now: Duration) -> bool {
        self.flaps.is_none_or(|time| ((now - self.from).as_millis() / time.as_millis()).is_multiple_of(2))
    }
}

/// From which part of the seeds on a scenario is too long for a run without optimisation.
pub const LONGEST: u64 = 1000;

/// A scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: &'static str,
    /// From when to when how many messages are sent.
    pub arrivals: Vec<(Duration, Duration, usize)>,
    pub users_each: usize,
    pub malformed: f64,
    pub others: f64,
    /// Whether Tencent refuses every tenth user ID, and with it every call that names it.
    pub odd_ids: bool,
    pub troubles: Vec<Span>,
    /// Shortest and longest time for an answer, in milliseconds.
    pub latency: (u64, u64),
    /// `CHAT_RATE_LIMIT`, and Tencent's.
    pub limit: usize,
    /// `MAX_CONCURRENCY`, and the mapping's.
    pub places: usize,
    /// How many batches the mapping takes at once at first.
    pub pollers: usize,
    /// Most messages of a batch.
    pub batch: usize,
    pub parks: bool,
    pub fifo_groups: Option<usize>,
    /// Whether the bus invokes the function with each sign-up, and its queue brings back only what failed.
    pub by_bus: bool,
    /// Shares of the invocations that are killed, throttled, and begin cold; of the messages that are delivered twice
    /// at once, and that are not deleted.
    pub kills: f64,
    pub throttles: f64,
    pub cold: f64,
    pub duplicates: f64,
    pub undeleted: f64,
    /// When an operator moves what is parked back.
    pub redrives_at: Option<Duration>,
    /// How many sign-ups of a thousand may be parked in the end.
    pub parked: RangeInclusive<u32>,
    /// Most calls of `account_import` for a thousand sign-ups, but for those in vain.
    pub calls: u32,
    /// Longest time from the end of all trouble, and of all arrivals, to the last sign-up's end.
    pub lag: Duration,
    /// Longest time from a sign-up to its import.
    pub slowest: Duration,
    /// Least imports a second, from the first to the last, where there is a backlog.
    pub drain: u32,
    /// Most calls an hour while Tencent was down.
    pub in_vain: u32,
    /// Most deliveries for a thousand sign-ups.
    pub deliveries: u32,
    /// Which part of the seeds it is run with, since it takes long.
    pub one_in: u64,
}

impl Scenario {
    /// When all trouble and all arrivals are over.
    pub fn cured(&self) -> Duration {
        let troubles = self.troubles.iter().map(|span| span.to);
        troubles.chain(self.arrivals.iter().map(|(_, to, _)| *to)).chain(self.redrives_at).max().unwrap_or_default()
    }

    /// When a run that has not ended is given up.
    pub fn horizon(&self) -> Duration {
        self.cured() + hours(400)
    }
}

const ZERO: Duration = Duration::ZERO;

pub const fn minutes(minutes: u64) -> Duration {
    Duration::from_mins(minutes)
}

pub const fn hours(hours: u64) -> Duration {
    Duration::from_hours(hours)
}

/// A trouble over this time.
fn span(from: Duration, to: Duration, trouble: Trouble) -> Span {
    Span { from, to, flaps: None, trouble }
}

/// A trouble that comes and goes, so many seconds each.
fn flapping(seconds: u64, from: Duration, to: Duration, trouble: Trouble) -> Span {
    Span { from, to, flaps: Some(Duration::from_secs(seconds)), trouble }
}

/// Forty sign-ups in two hours, with no trouble; nothing is parked, and each is imported by one call, nearly.
fn quiet(name: &'static str) -> Scenario {
    Scenario {
        name,
        arrivals: vec![(ZERO, hours(2), 40)],
        users_each: 1,
        malformed: 0.0,
        others: 0.0,
        odd_ids: false,
        troubles: Vec::new(),
        latency: (20, 80),
        limit: 200,
        places: 5,
        pollers: POLLERS,
        batch: 10,
        parks: true,
        fifo_groups: None,
        by_bus: false,
        kills: 0.0,
        throttles: 0.0,
        cold: 0.0,
        duplicates: 0.0,
        undeleted: 0.0,
        redrives_at: None,
        parked: 0..=0,
        calls: 1000,
        lag: minutes(15),
        slowest: Duration::MAX,
        drain: 0,
        in_vain: 0,
        deliveries: u32::MAX,
        one_in: 1,
    }
}

/// All at once, so many.
fn backlog(messages: usize) -> Vec<(Duration, Duration, usize)> {
    vec![(ZERO, Duration::from_millis(1), messages)]
}

/// Something is wrong for six hours, in which five sign-ups come.
fn six_hours(name: &'static str, trouble: Trouble) -> Scenario {
    let base = quiet(name);
    Scenario { arrivals: vec![(ZERO, hours(6), 5)], troubles: vec![span(ZERO, hours(6), trouble)], calls: 1100, ..base }
}

/// Five messages of a hundred sign-ups each come back together, since none is delayed, while Tencent does not answer.
fn together(name: &'static str, time: Duration) -> Scenario {
    let fault = Trouble::Aws("ChangeMessageVisibilityBatch", Fault::Fails);
    let troubles = vec![span(ZERO, time, Trouble::Slow(hours(1))), span(ZERO, time, fault)];
    Scenario { arrivals: backlog(5), users_each: 100, troubles, ..quiet(name) }
}

/// All scenarios, by what they are about.
pub fn all() -> Vec<Scenario> {
    [no_trouble(), outages(), brown_outs(), limits(), set_up(), aws(), messages(), everything()].concat()
}

fn no_trouble() -> Vec<Scenario> {
    let (minute, slowest) = (minutes(1), Duration::from_secs(1));
    vec![
        Scenario { slowest, ..quiet("quiet") },
        Scenario { slowest, cold: 1.0, ..quiet("cold_starts") },
        Scenario { slowest, by_bus: true, ..quiet("by_bus") },
        Scenario { arrivals: backlog(1000), lag: minute, drain: 100, ..quiet("burst_of_1000") },
        Scenario { arrivals: backlog(1000), lag: minute, drain: 100, places: 10, ..quiet("ten_places") },
        Scenario {
            arrivals: backlog(1000),
            lag: minute,
            drain: 100,
            places: 10,
            pollers: 10,
            ..quiet("ten_places_at_once")
        },
        Scenario { arrivals: backlog(1000), lag: minute, drain: 100, places: 2, batch: 100, ..quiet("two_places") },
        Scenario { arrivals: backlog(100), limit: 4, places: 2, batch: 100, ..quiet("four_a_second") },
        Scenario { arrivals: backlog(300), lag: minute, drain: 15, limit: 20, places: 2, ..quiet("twenty_a_second") },
        Scenario { arrivals: backlog(1000), lag: minute, drain: 150, batch: 100, ..quiet("batches_of_100") },
        Scenario { arrivals: backlog(10_000), lag: minutes(2), drain: 120, one_in: 40, ..quiet("backlog_of_10_000") },
        Scenario {
            arrivals: backlog(1_000_000),
            lag: minutes(150),
            drain: 120,
            one_in: 2 * LONGEST,
            ..quiet("backlog_of_a_million")
        },
    ]
}

fn outages() -> Vec<Scenario> {
    let outage = |time| vec![span(ZERO, time, Trouble::Down)];
    let steady = |time, messages| vec![(ZERO, time, messages)];
    let flaps = |seconds| vec![flapping(seconds, ZERO, hours(2), Trouble::Down)];
    vec![
        Scenario { troubles: outage(minutes(1)), in_vain: 1200, ..quiet("outage_of_a_minute") },
        Scenario { troubles: outage(hours(1)), in_vain: 370, ..quiet("outage_of_an_hour") },
        Scenario {
            arrivals: backlog(60),
            troubles: outage(minutes(5)),
            in_vain: 2500,
            deliveries: 14_000,
            ..quiet("outage_of_five_minutes")
        },
        Scenario {
            arrivals: steady(hours(72), 4),
            troubles: outage(hours(72)),
            in_vain: 45,
            one_in: 2,
            ..quiet("outage_of_72_hours")
        },
        Scenario {
            arrivals: backlog(60),
            troubles: outage(hours(3)),
            in_vain: 600,
            one_in: 4,
            ..quiet("outage_with_a_backlog")
        },
        Scenario {
            arrivals: backlog(5000),
            troubles: outage(hours(1)),
            lag: minutes(17),
            in_vain: 4000,
            one_in: LONGEST,
            ..quiet("outage_with_a_backlog_of_5000")
        },
        Scenario {
            arrivals: backlog(150),
            batch: 100,
            troubles: outage(hours(2)),
            in_vain: 1600,
            one_in: 8,
            ..quiet("batches_of_100_and_an_outage")
        },
        Scenario { calls: 1500, lag: minutes(5), ..together("all_come_back_together", minutes(52)) },
        Scenario { calls: 1500, lag: minutes(5), ..together("all_come_back_together_and_late", minutes(72)) },
        Scenario { troubles: flaps(10), in_vain: 150, ..quiet("flapping_every_10_s") },
        Scenario { troubles: flaps(300), in_vain: 250, ..quiet("flapping_every_5_min") },
        Scenario { calls: 18_000, ..six_hours("silent_service", Trouble::Slow(hours(1))) },
        Scenario { calls: 18_000, ..six_hours("answers_lost", Trouble::Forgets(1.0)) },
        Scenario { in_vain: 65, ..six_hours("unknown_error", Trouble::Fails(99_999)) },
        Scenario {
            arrivals: steady(hours(20), 2),
            troubles: outage(hours(24 * 6)),
            parked: 1000..=1000,
            in_vain: 100,
            one_in: 8,
            ..quiet("outage_of_six_days")
        },
        Scenario {
            arrivals: steady(hours(20), 2),
            troubles: outage(hours(24 * 6)),
            redrives_at: Some(hours(24 * 6 + 1)),
            in_vain: 100,
            one_in: 8,
            ..quiet("redrive_after_six_days")
        },
        Scenario {
            arrivals: steady(hours(20), 2),
            troubles: outage(hours(24 * 6)),
            parks: false,
            in_vain: 150,
            one_in: 8,
            ..quiet("six_days_with_no_parking_queue")
        },
    ]
}

fn brown_outs() -> Vec<Scenario> {
    use Trouble as T;
    let two = |trouble| vec![span(ZERO, hours(2), trouble)];
    vec![
        Scenario { troubles: two(T::Brown(0.2)), ..quiet("brown_out_of_20_percent") },
        Scenario { troubles: two(T::Brown(0.7)), ..quiet("brown_out_of_70_percent") },
        Scenario { troubles: two(T::Lies(0.5)), ..quiet("lies") },
        Scenario { troubles: two(T::Forgets(0.3)), calls: 2000, ..quiet("answers_lost_now_and_then") },
        Scenario { troubles: two(T::Slow(Duration::from_secs(4))), ..quiet("slow") },
        Scenario {
            arrivals: backlog(500),
            troubles: vec![span(ZERO, minutes(5), T::Slow(Duration::from_secs(4)))],
            ..quiet("slow_with_a_backlog")
        },
        Scenario { latency: (1, 4500), ..quiet("erratic") },
    ]
}

fn limits() -> Vec<Scenario> {
    use Trouble as T;
    let ten_minutes = |trouble| vec![span(ZERO, minutes(10), trouble)];
    vec![
        Scenario {
            arrivals: backlog(600),
            troubles: ten_minutes(T::Busy(150)),
            in_vain: 1500,
            ..quiet("others_take_most_of_the_rate")
        },
        Scenario {
            arrivals: backlog(300),
            troubles: ten_minutes(T::Busy(200)),
            in_vain: 7500,
            ..quiet("others_take_all")
        },
        Scenario {
            arrivals: backlog(2000),
            troubles: vec![span(ZERO, minutes(5), T::FailsAtTimes(60007, 0.02))],
            drain: 35,
            ..quiet("rate_refused_at_times")
        },
        Scenario {
            arrivals: backlog(80),
            troubles: vec![span(ZERO, minutes(10), T::Fails(60011))],
            in_vain: 5500,
            ..quiet("rate_of_the_app")
        },
        Scenario {
            arrivals: backlog(60),
            troubles: vec![span(ZERO, minutes(10), T::Fails(70050))],
            in_vain: 480,
            ..quiet("signature_refused_too_often")
        },
        Scenario {
            troubles: vec![span(hours(1), hours(3), T::Quota(16))],
            parked: 150..=850,
            calls: 1600,
            ..quiet("account_limit")
        },
        Scenario {
            troubles: vec![span(hours(1), hours(3), T::Quota(16))],
            redrives_at: Some(hours(4)),
            calls: 1700,
            ..quiet("redrive_after_an_upgrade")
        },
        Scenario {
            arrivals: backlog(300),
            batch: 100,
            latency: (200, 300),
            troubles: vec![span(ZERO, hours(1), T::Quota(0))],
            redrives_at: Some(hours(2)),
            calls: 2000,
            lag: Duration::from_secs(10),
            ..quiet("redrive_of_300")
        },
    ]
}

fn set_up() -> Vec<Scenario> {
    use Trouble as T;
    let refused = |name, code| Scenario { in_vain: 55, ..six_hours(name, T::Fails(code)) };
    vec![
        Scenario { in_vain: 100, ..six_hours("wrong_key", T::Secret(WRONG_KEY)) },
        refused("wrong_region", 60026),
        refused("wrong_app", 70020),
        refused("expired_plan", 60020),
        refused("no_administrator", 70107),
        Scenario {
            arrivals: vec![(ZERO, hours(2), 120)],
            troubles: vec![flapping(600, ZERO, hours(2), T::Rotated)],
            in_vain: 20,
            slowest: Duration::from_secs(15),
            ..quiet("rotation_back_and_forth")
        },
        Scenario {
            troubles: vec![span(minutes(60), minutes(80), T::Secret(WRONG_KEY))],
            in_vain: 350,
            ..quiet("secret_spoilt_while_warm")
        },
        six_hours("secret_not_readable", T::Aws("GetSecretValue", Fault::Fails)),
        six_hours("secret_refused", T::Aws("GetSecretValue", Fault::Refuses)),
        Scenario {
            troubles: vec![span(minutes(30), minutes(90), T::Aws("GetSecretValue", Fault::Fails))],
            slowest: Duration::from_secs(10),
            places: 1,
            ..quiet("secret_not_readable_while_warm")
        },
        Scenario {
            arrivals: vec![(ZERO, ZERO, 1), (minutes(2), minutes(2), 1000)],
            troubles: vec![span(minutes(1), hours(1), T::Aws("GetSecretValue", Fault::Fails))],
            deliveries: 2000,
            ..quiet("one_environment_with_a_key")
        },
        Scenario { cold: 0.3, ..six_hours("secret_hangs", T::Aws("GetSecretValue", Fault::Hangs)) },
    ]
}

fn aws() -> Vec<Scenario> {
    use Trouble as T;
    let few = || vec![(ZERO, hours(2), 12)];
    let two = |trouble| vec![span(ZERO, hours(2), T::Brown(0.3)), span(ZERO, hours(2), trouble)];
    // Each kill, throttle and lost deletion costs a visibility timeout, and of these there is no cure.
    let unlucky = minutes(30);
    vec![
        Scenario {
            arrivals: backlog(600),
            batch: 1,
            latency: (1, 3),
            cold: 0.05,
            drain: 60,
            ..quiet("environments_that_take_turns")
        },
        Scenario { kills: 0.3, calls: 1300, lag: unlucky, ..quiet("kills") },
        Scenario { arrivals: backlog(1000), kills: 0.3, calls: 1400, lag: unlucky, ..quiet("kills_at_load") },
        Scenario { throttles: 0.3, lag: unlucky, ..quiet("throttles") },
        Scenario { duplicates: 0.3, calls: 2500, ..quiet("delivered_twice") },
        Scenario { undeleted: 0.3, calls: 2500, lag: unlucky, ..quiet("not_deleted") },
        Scenario {
            troubles: two(T::Aws("ChangeMessageVisibilityBatch", Fault::Fails)),
            ..quiet("no_delay_of_a_delivery")
        },
        Scenario {
            troubles: two(T::Aws("ChangeMessageVisibilityBatch", Fault::Hangs)),
            ..quiet("delay_of_a_delivery_hangs")
        },
        Scenario {
            arrivals: few(),
            malformed: 0.3,
            troubles: two(T::Aws("SendMessage", Fault::Refuses)),
            ..quiet("no_parking")
        },
        Scenario {
            arrivals: few(),
            malformed: 0.3,
            troubles: two(T::Aws("SendMessage", Fault::Hangs)),
            ..quiet("parking_hangs")
        },
    ]
}

fn messages() -> Vec<Scenario> {
    use Trouble as T;
    vec![
        Scenario { malformed: 0.4, others: 0.3, ..quiet("malformed_and_others") },
        Scenario { malformed: 0.4, parks: false, ..quiet("malformed_with_no_parking_queue") },
        Scenario {
            arrivals: vec![(ZERO, hours(1), 20)],
            users_each: 100,
            lag: minutes(15),
            ..quiet("a_hundred_users_each")
        },
        Scenario {
            arrivals: vec![(ZERO, hours(1), 10)],
            users_each: 100,
            troubles: vec![span(ZERO, hours(1), T::Brown(0.01))],
            calls: 5500,
            ..quiet("a_hundred_users_each_and_faults")
        },
        Scenario {
            arrivals: vec![(ZERO, hours(1), 5)],
            users_each: 100,
            troubles: vec![span(ZERO, hours(2), T::Down)],
            in_vain: 120,
            ..quiet("a_hundred_users_each_and_an_outage")
        },
        Scenario {
            by_bus: true,
            troubles: vec![span(ZERO, hours(2), T::Brown(0.5)), span(minutes(30), minutes(60), T::Down)],
            in_vain: 80,
            ..quiet("by_bus_with_faults")
        },
        Scenario {
            by_bus: true,
            troubles: vec![
                span(ZERO, hours(2), T::Brown(0.5)),
                flapping(20, ZERO, hours(2), T::Aws("SendMessage", Fault::Fails)),
            ],
            parked: 0..=100,
            ..quiet("by_bus_with_faults_of_the_queue")
        },
        Scenario {
            arrivals: backlog(60),
            fifo_groups: Some(5),
            troubles: vec![span(ZERO, hours(2), T::Brown(0.3))],
            lag: minutes(60),
            ..quiet("fifo")
        },
        Scenario {
            arrivals: vec![(ZERO, hours(2), 30)],
            troubles: vec![flapping(4000, ZERO, hours(4), T::Forgets(1.0))],
            undeleted: 0.3,
            duplicates: 0.2,
            calls: 14_000,
            ..quiet("new_names")
        },
        Scenario {
            arrivals: vec![(ZERO, hours(1), 6)],
            users_each: 10,
            odd_ids: true,
            troubles: vec![span(ZERO, hours(2), T::Forgets(1.0))],
            parked: 100..=100,
            calls: 3500,
            ..quiet("new_names_and_odd_ids")
        },
    ]
}

fn everything() -> Vec<Scenario> {
    use Trouble as T;
    vec![Scenario {
        arrivals: vec![(ZERO, hours(4), 80)],
        malformed: 0.05,
        others: 0.05,
        troubles: vec![
            span(ZERO, hours(4), T::Brown(0.1)),
            span(ZERO, hours(4), T::Forgets(0.05)),
            span(minutes(20), minutes(50), T::Down),
            span(minutes(40), minutes(70), T::Aws("GetSecretValue", Fault::Fails)),
            span(minutes(60), minutes(90), T::Rotated),
            span(minutes(80), minutes(110), T::Aws("ChangeMessageVisibilityBatch", Fault::Fails)),
            span(minutes(100), minutes(130), T::Secret(WRONG_KEY)),
            span(minutes(120), minutes(150), T::Aws("SendMessage", Fault::Fails)),
            span(minutes(140), minutes(200), T::Busy(190)),
            span(minutes(200), minutes(230), T::Fails(60020)),
        ],
        kills: 0.05,
        throttles: 0.05,
        cold: 0.1,
        duplicates: 0.05,
        undeleted: 0.05,
        calls: 2000,
        // As of kills and throttles alone.
        lag: minutes(30),
        in_vain: 60,
        ..quiet("everything_at_once")
    }]
}

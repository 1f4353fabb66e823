//! What there is in one run: time, chance, the sign-ups, the queue, Tencent, AWS, and what was seen of them.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fastrand::Rng;
use tokio::time::Instant;
use tracing_subscriber::fmt::{format::Writer, time::FormatTime};

use crate::{
    scenario::{Scenario, Trouble},
    sqs::Queue,
    tencent::Tencent,
};

/// What a message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// So many sign-ups, from this user on.
    Signups(usize, usize),
    /// An event of another type.
    Other,
    /// No sign-up can be read from it; its number.
    Malformed(usize),
}

/// A user who signed up.
#[derive(Clone, Copy, Debug, Default)]
pub struct User {
    pub sent: Duration,
    pub parked: bool,
    /// Calls of `account_import`.
    pub imports: u32,
}

/// What was seen in a run that must not be, and how often.
pub type Findings = BTreeMap<String, u32>;

pub struct World {
    pub scenario: Scenario,
    pub rng: Rng,
    pub start: Instant,
    pub users: Vec<User>,
    pub queue: Queue,
    /// Events that the bus has still to do with.
    pub events: usize,
    pub tencent: Tencent,
    pub findings: Findings,
    pub seen: Seen,
}

/// What was counted in a run.
#[derive(Debug, Default)]
pub struct Seen {
    /// By the code of its reason.
    pub parked: BTreeMap<String, u32>,
    pub malformed_parked: BTreeSet<usize>,
    pub malformed: usize,
    pub invocations: u32,
    pub kills: u32,
    /// When the last message ended.
    pub ended: Duration,
    /// By label, over all deliveries.
    pub outcomes: BTreeMap<&'static str, u64>,
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// Makes a world for this thread.
pub fn begin(scenario: &Scenario, seed: u64) {
    fastrand::seed(seed);
    let world = World {
        rng: Rng::with_seed(seed),
        start: Instant::now(),
        users: Vec::new(),
        queue: Queue::new(scenario.parks),
        events: 0,
        tencent: Tencent::default(),
        findings: Findings::new(),
        seen: Seen::default(),
        scenario: scenario.clone(),
    };
    WORLD.set(Some(world));
}

/// Ends it.
pub fn end() -> World {
    WORLD.take().unwrap()
}

/// Looks at, or changes, what there is.
pub fn world<T>(act: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(|world| act(world.as_mut().unwrap()))
}

/// When the simulation begins, by the wall clock.
const BEGINNING: Duration = Duration::from_hours(490_000);

/// What the function takes for wall-clock time.
pub fn clock() -> SystemTime {
    UNIX_EPOCH + BEGINNING + world(|world| world.now())
}

/// What the function takes for chance.
pub fn random() -> u32 {
    world(|world| world.rng.u32(..))
}

/// A time as the function sees it, in milliseconds since 1970.
pub fn epoch_millis(time: Duration) -> u128 {
    (BEGINNING + time).as_millis()
}

impl World {
    /// The time since the beginning.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.rng.f64() < share
    }

    /// A time between these two.
    pub fn between(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_micros(self.rng.u64(least * 1000..=most * 1000))
    }

    pub fn find(&mut self, what: impl Into<String>) {
        *self.findings.entry(what.into()).or_default() += 1;
    }

    /// The troubles there are now.
    pub fn troubles(&self) -> Vec<Trouble> {
        let now = self.now();
        let now = |span: &&crate::scenario::Span| span.from <= now && now < span.to && span.is_up(now);
        self.scenario.troubles.iter().filter(now).map(|span| span.trouble).collect()
    }
}

/// Gives each line of the log its time.
pub struct Timer;

impl FormatTime for Timer {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(
            writer,
            "{:>12.3}",
            WORLD.with_borrow(|world| world.as_ref().map(World::now)).unwrap_or_default().as_secs_f64()
        )
    }
}

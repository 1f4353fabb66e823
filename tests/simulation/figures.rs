//! What came of a run, and whether it stays within its scenario's bands.

use std::{fmt, time::Duration};

use crate::{
    scenario::Scenario,
    world::{Findings, Seen, World},
};

/// What came of a run.
#[derive(Debug)]
pub struct Figures {
    /// What must not be; empty if all is well.
    pub findings: Findings,
    pub signups: u32,
    /// Of a thousand sign-ups, how many are parked in the end.
    pub parked: u32,
    /// Most calls in any second.
    pub imports_a_second: usize,
    pub checks_a_second: usize,
    /// Calls of `account_import` for a thousand sign-ups, without those in vain.
    pub calls: u32,
    /// Deliveries for a thousand sign-ups.
    pub deliveries: u32,
    /// Calls that a service which is down was asked to answer, an hour.
    pub in_vain: u32,
    /// From the end of all trouble, and of all arrivals, to the last message's end.
    pub lag: Duration,
    /// From a sign-up to its import.
    pub slowest: Duration,
    /// Imports a second from the first sign-up to the end.
    pub drain: u32,
    pub seen: Seen,
}

impl Figures {
    /// Looks at a world that has come to its end.
    pub fn of(mut world: World) -> Self {
        let scenario = world.scenario.clone();
        let tencent = &world.tencent;
        let is_imported = |user: usize| tencent.accounts.contains_key(&user);
        let signups = world.users.len();
        let imported = (0..signups).filter(|user| is_imported(*user)).count();
        let parked = world.users.iter().enumerate().filter(|(user, told)| told.parked && !is_imported(*user)).count();
        let lost = signups - imported - parked;

        let trouble: Duration = scenario.troubles.iter().map(|span| span.to - span.from).sum();
        let first = scenario.arrivals.iter().map(|(from, _, _)| *from).min().unwrap_or_default();
        let (in_vain, ended) = (f64::from(tencent.in_vain), world.seen.ended);
        let figures = Self {
            signups: whole(signups as f64),
            parked: whole(parked as f64 * 1000.0 / signups as f64),
            imports_a_second: tencent.imports.most,
            checks_a_second: tencent.checks.most,
            calls: whole(f64::from(tencent.imports.obeyed) * 1000.0 / signups as f64),
            deliveries: whole(world.seen.outcomes.values().sum::<u64>() as f64 * 1000.0 / signups as f64),
            in_vain: whole(in_vain / (trouble.as_secs_f64() / 3600.0).max(f64::MIN_POSITIVE)),
            lag: ended.saturating_sub(scenario.cured()),
            slowest: tencent
                .accounts
                .iter()
                .map(|(user, account)| account.imported - world.users[*user].sent)
                .max()
                .unwrap_or_default(),
            drain: whole(imported as f64 / ended.saturating_sub(first).as_secs_f64().max(1.0)),
            seen: std::mem::take(&mut world.seen),
            findings: std::mem::take(&mut world.findings),
        };
        figures.judged(&scenario, lost)
    }

    fn judged(mut self, scenario: &Scenario, lost: usize) -> Self {
        let mut find = |is_wrong: bool, what: String| {
            if is_wrong {
                *self.findings.entry(what).or_default() += 1;
            }
        };
        let Scenario { limit, parks, .. } = *scenario;
        find(lost > 0, format!("{lost} sign-ups were lost"));
        let unparked = self.seen.malformed - self.seen.malformed_parked.len();
        find(parks && unparked > 0, format!("{unparked} malformed messages were not parked"));
        let (imports, checks) = (self.imports_a_second, self.checks_a_second);
        find(imports > limit, format!("{imports} imports in a second: must be at most {limit}"));
        find(checks > limit.min(100), format!("{checks} checks in a second: must be at most {}", limit.min(100)));
        let (is, may) = (self.parked, &scenario.parked);
        find(!may.contains(&is), format!("{is} of a thousand are parked: must be {} to {}", may.start(), may.end()));
        let (is, may) = (self.calls, scenario.calls);
        find(is > may, format!("{is} calls for a thousand sign-ups: must be at most {may}"));
        let (is, may) = (self.lag, scenario.lag);
        find(is > may, format!("the last ended {is:?} after the cure: must be at most {may:?}"));
        let (is, may) = (self.slowest, scenario.slowest);
        find(is > may, format!("a sign-up took {is:?}: must take at most {may:?}"));
        let (is, may) = (self.drain, scenario.drain);
        find(is < may, format!("{is} imports a second: must be at least {may}"));
        let (is, may) = (self.deliveries, scenario.deliveries);
        find(is > may, format!("{is} deliveries for a thousand sign-ups: must be at most {may}"));
        let (is, may) = (self.in_vain, scenario.in_vain);
        find(is > may, format!("{is} calls in vain an hour: must be at most {may}"));
        self
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
fn whole(number: f64) -> u32 {
    number.round() as u32
}

/// The worst of all runs of a scenario, a line of the table; in brackets, where there is one, the band.
pub struct Worst<'a> {
    scenario: &'a Scenario,
    seeds: usize,
    runs: Vec<&'a Figures>,
}

impl<'a> Worst<'a> {
    pub const HEAD: &'static str = concat!(
        "scenario                            seeds  sign-ups  parked  calls for 1000  in vain an hour",
        "  most a second  last after cure     drained at\n",
        "                                                   of 1000"
    );

    pub fn of(scenario: &'a Scenario, runs: impl Iterator<Item = &'a Figures>) -> Self {
        let runs: Vec<_> = runs.collect();
        Self { scenario, seeds: runs.len(), runs }
    }

    fn most<T: Ord + Default>(&self, of: impl Fn(&Figures) -> T) -> T {
        self.runs.iter().map(|figures| of(figures)).max().unwrap_or_default()
    }
}

impl fmt::Display for Worst<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, seeds, .. } = self;
        let (signups, parked) = (self.most(|run| run.signups), self.most(|run| run.parked));
        let (calls, in_vain) = (self.most(|run| run.calls), self.most(|run| run.in_vain));
        let rate = self.most(|run| run.imports_a_second);
        let lag = self.most(|run| run.lag).as_secs_f64() / 60.0;
        let drain = self.runs.iter().map(|run| run.drain).min().unwrap_or_default();
        let drain = if scenario.drain > 0 { format!("{drain}/s [{}]", scenario.drain) } else { String::new() };
        write!(
            f,
            "{:<34} {seeds:>6}  {signups:>8}  {parked:>6}  {:>14}  {:>15}  {:>13}  {:>15}  {drain:>13}",
            scenario.name,
            format!("{calls} [{}]", scenario.calls),
            format!("{in_vain} [{}]", scenario.in_vain),
            format!("{rate} [{}]", scenario.limit),
            format!("{lag:.1} min [{}]", scenario.lag.as_secs() / 60),
        )
    }
}

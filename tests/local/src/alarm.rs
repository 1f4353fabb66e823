//! Whether a CloudWatch alarm rings, by the rules that AWS documents; the local AWS has simpler ones.
//!
//! By "Using Amazon CloudWatch alarms" and "Configuring how CloudWatch alarms treat missing data".

use std::collections::BTreeMap;

use serde_json::Value;

use crate::emf::{Metric, dimensions};

/// How many periods CloudWatch looks at besides those that are to be evaluated. How many it really are is not
/// documented; in the documentation's examples it is two.
const MORE_PERIODS: u64 = 2;

/// What a metric has come to within some time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// How many values.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// The least of them.
    pub minimum: f64,
    /// The greatest.
    pub maximum: f64,
}

/// A metric's statistics by the minute: the seconds since 1970 at which each begins.
pub type Minutes = BTreeMap<u64, Statistics>;

/// An alarm, as it is deployed.
#[derive(Clone, Debug)]
pub struct Alarm {
    /// Its name, without the stack's.
    pub name: String,
    /// What it watches.
    pub metric: Metric,
    statistic: String,
    comparison: String,
    threshold: f64,
    /// In seconds.
    period: u64,
    periods: u64,
    breaching: u64,
    missing: String,
}

impl Alarm {
    /// Reads what `DescribeAlarms` says of it.
    ///
    /// # Errors
    /// With what is missing.
    pub fn read(alarm: &Value, stack: &str) -> Result<Self, String> {
        let field = |name: &str| alarm.get(name).ok_or_else(|| format!("an alarm without {name}: {alarm}"));
        let text = |name: &str| Ok::<_, String>(field(name)?.as_str().unwrap_or_default().to_owned());
        let whole = |name: &str| field(name)?.as_u64().ok_or_else(|| format!("{name} is no whole number: {alarm}"));
        let name = text("AlarmName")?;
        let periods = whole("EvaluationPeriods")?;
        Ok(Self {
            name: name.strip_prefix(stack).and_then(|name| name.strip_prefix('-')).unwrap_or(&name).to_owned(),
            metric: Metric { namespace: text("Namespace")?, name: text("MetricName")?, dimensions: dimensions(alarm) },
            statistic: text("Statistic")?,
            comparison: text("ComparisonOperator")?,
            threshold: field("Threshold")?.as_f64().unwrap_or(f64::NAN),
            period: whole("Period")?,
            periods,
            breaching: alarm.get("DatapointsToAlarm").and_then(Value::as_u64).unwrap_or(periods),
            missing: text("TreatMissingData")?,
        })
    }

    /// For how many seconds back it looks.
    pub fn range(&self) -> u64 {
        self.period * (self.periods + MORE_PERIODS)
    }

    /// Tells whether it rings when the minute `end` begins.
    ///
    /// # Errors
    /// When it uses what our templates do not.
    pub fn rings(&self, minutes: &Minutes, end: u64) -> Result<bool, String> {
        let treated = match self.missing.as_str() {
            "breaching" => true,
            "notBreaching" => false,
            other => return Err(format!("{} treats what is missing as {other:?}, which we do not know", self.name)),
        };
        let mut points = Vec::new();
        for back in 1..=self.periods + MORE_PERIODS {
            let start = end.saturating_sub(back * self.period);
            points.extend(self.breaches(minutes.range(start..start + self.period).map(|(_, statistics)| *statistics))?);
        }
        let wanted = usize::try_from(self.periods).unwrap_or(usize::MAX);
        // The latest that there are, and as many as are lacking then as they are to be treated.
        points.truncate(wanted);
        points.resize(wanted, treated);
        Ok(points.iter().filter(|is_breaching| **is_breaching).count() as u64 >= self.breaching)
    }

    /// Whether a period is on the wrong side of the threshold, if there is anything of it.
    fn breaches(&self, minutes: impl Iterator<Item = Statistics>) -> Result<Option<bool>, String> {
        let Some(all) = minutes.reduce(|one, other| Statistics {
            count: one.count + other.count,
            sum: one.sum + other.sum,
            minimum: one.minimum.min(other.minimum),
            maximum: one.maximum.max(other.maximum),
        }) else {
            return Ok(None);
        };
        let value = match self.statistic.as_str() {
            "Sum" => all.sum,
            "Average" => all.sum / all.count,
            "Minimum" => all.minimum,
            "Maximum" => all.maximum,
            other => return Err(format!("{} has the statistic {other:?}, which we do not know", self.name)),
        };
        Ok(Some(match self.comparison.as_str() {
            "GreaterThanThreshold" => value > self.threshold,
            "GreaterThanOrEqualToThreshold" => value >= self.threshold,
            "LessThanThreshold" => value < self.threshold,
            "LessThanOrEqualToThreshold" => value <= self.threshold,
            other => return Err(format!("{} compares by {other:?}, which we do not know", self.name)),
        }))
    }
}

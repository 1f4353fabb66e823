//! The local AWS's CloudWatch: what AWS itself puts into it is put here, its alarms, and its clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Range,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};

use crate::{
    alarm::{Alarm, Minutes, Statistics},
    aws::STACK,
    client::Client,
    dashboard::{self, Widget},
    emf::{self, Datum, Metric, dimensions},
    world::World,
};

/// Most data of a call of `PutMetricData`.
const MAX_DATA: usize = 1000;
/// How often something is looked for that must come, and how long between.
const PATIENCE: usize = 1200;
const PAUSE: Duration = Duration::from_millis(50);
/// Where the function counts.
pub const NAMESPACE: &str = "ChatSignupImport";

/// What is watched, and how.
pub struct CloudWatch<'a> {
    world: &'a World,
    /// AWS's own client.
    pub client: Client,
    ahead: Duration,
    /// How many lines of the log have been read.
    read: usize,
    /// All that the function has counted since [`CloudWatch::forget`].
    counted: Vec<Datum>,
    /// How many sign-ups were called for since then, by the lines that tell of each.
    called: usize,
    /// When that was, by its clock.
    since: Duration,
    /// What is yet to be put.
    waiting: Vec<Datum>,
    /// Since when there have been messages to be taken, by the queue's name.
    visible: BTreeMap<String, Duration>,
}

impl<'a> CloudWatch<'a> {
    /// Watches what the function does from now on.
    ///
    /// # Errors
    /// When AWS's client does not start.
    pub fn watch(world: &'a World) -> io::Result<Self> {
        let (client, read) = (world.aws.client()?, world.aws.function_lines().len());
        let ahead = world.aws.ahead()?;
        let (counted, waiting, visible) = (Vec::new(), Vec::new(), BTreeMap::new());
        Ok(Self { world, client, ahead, read, counted, called: 0, since: now(ahead), waiting, visible })
    }

    /// Puts its clock forward. What has been counted so far has been before.
    ///
    /// # Errors
    /// When a line of metrics breaks a rule, or AWS refuses.
    pub async fn pass(&mut self, time: Duration) -> io::Result<()> {
        self.put().await?;
        self.ahead += time;
        self.world.aws.put_forward(self.ahead)
    }

    /// How many the function has counted of a metric since the last [`CloudWatch::forget`].
    pub fn sum(&self, name: &str) -> f64 {
        self.of(name).sum()
    }

    fn of<'b>(&'b self, name: &'b str) -> impl Iterator<Item = f64> + 'b {
        self.counted
            .iter()
            .filter(move |datum| datum.metric.name == name)
            .flat_map(|datum| datum.values.iter().copied())
    }

    /// Counts anew.
    pub fn forget(&mut self) {
        self.counted.clear();
        self.called = 0;
        self.since = now(self.ahead);
    }

    /// All that the function has counted since then.
    pub fn counted(&self) -> &[Datum] {
        &self.counted
    }

    /// Waits until the function has counted so many of a metric, and all of an invocation is there: each document of
    /// its own, and what Lambda counts.
    ///
    /// # Errors
    /// When a document breaks a rule of its format, or a minute goes by.
    pub async fn until(&mut self, name: &str, count: u32) -> io::Result<()> {
        for _ in 0..PATIENCE {
            self.read()?;
            let failed: f64 = ["Deferred", "Blocked", "Rejected"].into_iter().map(|name| self.sum(name)).sum();
            // These come last; the log tells of each sign-up before.
            let is_whole = self.sum("Failures") >= failed && self.of("CallLatency").count() >= self.called;
            if is_whole && self.sum(name) >= f64::from(count) {
                let done = u32::try_from(self.of("ColdStart").count()).unwrap_or(u32::MAX);
                return self.until_lambda("Invocations", done).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
        let counted = self.sum(name);
        Err(io::Error::other(format!("{counted} of {count} {name} within a minute:\n{}", self.world.aws.log())))
    }

    /// Waits until Lambda has counted so many of a metric of its own.
    ///
    /// # Errors
    /// When a minute goes by.
    pub async fn until_lambda(&mut self, name: &str, count: u32) -> io::Result<()> {
        let dimensions = json!([{"Name": "FunctionName", "Value": self.world.output("FunctionName")}]);
        let mut counted = 0.0;
        for _ in 0..PATIENCE {
            let call = json!({
                "Namespace": "AWS/Lambda",
                "MetricName": name,
                "Dimensions": dimensions,
                "StartTime": self.since.as_secs_f64(),
                "EndTime": now(self.ahead).as_secs_f64() + 1.0,
                "Period": 60,
                "Statistics": ["Sum"],
            });
            let answer = self.client.call("cloudwatch", "get_metric_statistics", call).await?;
            let points = answer.get("Datapoints").and_then(Value::as_array).into_iter().flatten();
            counted = points.filter_map(|point| point.get("Sum")?.as_f64()).sum();
            if counted >= f64::from(count) {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(io::Error::other(format!("{counted} of {count} {name} of Lambda's within a minute")))
    }

    /// Reads what is new in the log.
    fn read(&mut self) -> io::Result<()> {
        let lines = self.world.aws.function_lines();
        for line in lines.iter().skip(self.read) {
            self.called += usize::from(line.get("message_id").is_some() && line.get("latency_ms").is_some());
            let data = emf::read(line).map_err(|rule| io::Error::other(format!("{rule}: {line}")))?;
            self.counted.extend(data.iter().cloned());
            self.waiting.extend(data);
        }
        self.read = lines.len();
        Ok(())
    }

    /// Puts what CloudWatch would have by now: the function's metrics out of its log, and those of both queues.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn put(&mut self) -> io::Result<()> {
        self.read()?;
        let ahead = u64::try_from(self.ahead.as_millis()).unwrap_or_default();
        let mut data = std::mem::take(&mut self.waiting);
        for datum in &mut data {
            datum.millis += ahead;
        }
        data.extend(self.queues().await?);
        let mut by_namespace: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for Datum { metric, unit, millis, values } in &data {
            let datum = json!({
                "MetricName": metric.name,
                "Dimensions": named(metric),
                "Timestamp": Duration::from_millis(*millis).as_secs_f64(),
                "Unit": unit,
                "Values": values,
            });
            by_namespace.entry(&metric.namespace).or_default().push(datum);
        }
        for (namespace, data) in by_namespace {
            for data in data.chunks(MAX_DATA) {
                let call = json!({"Namespace": namespace, "MetricData": data});
                self.client.call("cloudwatch", "put_metric_data", call).await?;
            }
        }
        Ok(())
    }

    /// What SQS would tell of both queues now.
    async fn queues(&mut self) -> io::Result<Vec<Datum>> {
        let now = now(self.ahead);
        let millis = u64::try_from(now.as_millis()).unwrap_or_default();
        let mut data = Vec::new();
        for output in ["SignupQueueUrl", "ParkingQueueUrl"] {
            let url = self.world.output(output);
            let queue = url.rsplit('/').next().unwrap_or_default();
            let names = [
                (QueueAttributeName::ApproximateNumberOfMessages, "ApproximateNumberOfMessagesVisible"),
                (QueueAttributeName::ApproximateNumberOfMessagesNotVisible, "ApproximateNumberOfMessagesNotVisible"),
            ];
            let call = self.world.aws.sqs().get_queue_attributes().queue_url(url);
            let call = call.set_attribute_names(Some(names.iter().map(|(attribute, _)| attribute.clone()).collect()));
            let answer = call.send().await.map_err(io::Error::other)?;
            let mut put = |name: &str, unit: &str, value: f64| {
                let metric = Metric::new("AWS/SQS", name, &[("QueueName", queue)]);
                data.push(Datum { metric, unit: unit.to_owned(), millis, values: vec![value] });
            };
            for (attribute, name) in names {
                let count = answer.attributes().and_then(|attributes| attributes.get(&attribute));
                let count = count.and_then(|count| count.parse().ok());
                let count = count.ok_or_else(|| io::Error::other(format!("SQS tells no {attribute} of {queue}")))?;
                put(name, "Count", count);
                if attribute == QueueAttributeName::ApproximateNumberOfMessages && count == 0.0 {
                    self.visible.remove(queue);
                } else if attribute == QueueAttributeName::ApproximateNumberOfMessages {
                    self.visible.entry(queue.to_owned()).or_insert(now);
                }
            }
            // SQS alone knows its messages' ages; none is older than the time for which there have been any.
            let age = self.visible.get(queue).map_or(Duration::ZERO, |since| now.saturating_sub(*since));
            put("ApproximateAgeOfOldestMessage", "Seconds", age.as_secs_f64());
        }
        Ok(data)
    }

    /// The stack's alarms as they are deployed, each with its state.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn alarms(&mut self) -> io::Result<Vec<(Alarm, String)>> {
        let call = json!({"AlarmNamePrefix": STACK, "MaxRecords": 100});
        let answer = self.client.call("cloudwatch", "describe_alarms", call).await?;
        let alarms = answer.get("MetricAlarms").and_then(Value::as_array).into_iter().flatten();
        let read = |alarm: &Value| {
            let state = alarm.get("StateValue").and_then(Value::as_str).unwrap_or_default().to_owned();
            Ok((Alarm::read(alarm, STACK).map_err(io::Error::other)?, state))
        };
        alarms.map(read).collect()
    }

    /// The alarms that ring now, by the local AWS.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn ringing(&mut self) -> io::Result<BTreeSet<String>> {
        let alarms = self.alarms().await?.into_iter();
        Ok(alarms.filter(|(_, state)| state == "ALARM").map(|(alarm, _)| alarm.name).collect())
    }

    /// The alarms that must ring now, by the rules that AWS documents and what the local AWS has of their metrics.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn must_ring(&mut self) -> io::Result<BTreeSet<String>> {
        const STATISTICS: [&str; 4] = ["SampleCount", "Sum", "Minimum", "Maximum"];
        let alarms: Vec<Alarm> = self.alarms().await?.into_iter().map(|(alarm, _)| alarm).collect();
        let end = (now(self.ahead).as_secs() / 60 + 1) * 60;
        let start = end.saturating_sub(alarms.iter().map(Alarm::range).max().unwrap_or_default());
        let of = |alarm: &Alarm| STATISTICS.map(|statistic| (alarm.metric.clone(), statistic.to_owned()));
        let asked: Vec<_> = alarms.iter().flat_map(of).collect();
        let values = self.values(&asked, 60, start..end).await?;
        let mut ringing = BTreeSet::new();
        for (alarm, values) in alarms.iter().zip(values.chunks(STATISTICS.len())) {
            let [counts, sums, minima, maxima] = values else { continue };
            let minutes: Minutes = counts
                .iter()
                .filter_map(|(at, count)| {
                    let of = |points: &BTreeMap<u64, f64>| points.get(at).copied();
                    let (sum, minimum, maximum) = (of(sums)?, of(minima)?, of(maxima)?);
                    Some((*at, Statistics { count: *count, sum, minimum, maximum }))
                })
                .collect();
            if alarm.rings(&minutes, end).map_err(io::Error::other)? {
                ringing.insert(alarm.name.clone());
            }
        }
        Ok(ringing)
    }

    /// What these metrics' statistics were in each period of this many seconds, by the time at which it begins.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn values(
        &mut self,
        asked: &[(Metric, String)],
        period: u64,
        time: Range<u64>,
    ) -> io::Result<Vec<BTreeMap<u64, f64>>> {
        let query = |(index, (metric, statistic)): (usize, &(Metric, String))| {
            let Metric { namespace, name, .. } = metric;
            let metric = json!({"Namespace": namespace, "MetricName": name, "Dimensions": named(metric)});
            let stat = json!({"Metric": metric, "Period": period, "Stat": statistic});
            json!({"Id": format!("m{index}"), "MetricStat": stat})
        };
        let queries: Vec<Value> = asked.iter().enumerate().map(query).collect();
        let call = json!({"MetricDataQueries": queries, "StartTime": time.start, "EndTime": time.end});
        let answer = self.client.call("cloudwatch", "get_metric_data", call).await?;
        let results = answer.get("MetricDataResults").and_then(Value::as_array).cloned().unwrap_or_default();
        if results.len() != asked.len() {
            return Err(io::Error::other(format!("{} answers to {} questions", results.len(), asked.len())));
        }
        Ok(results.iter().map(points).collect())
    }

    /// The metrics of this name that there are.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn named(&mut self, namespace: &str, name: &str) -> io::Result<Vec<Metric>> {
        let call = json!({"Namespace": namespace, "MetricName": name});
        let answer = self.client.call("cloudwatch", "list_metrics", call).await?;
        let metrics = answer.get("Metrics").and_then(Value::as_array).into_iter().flatten();
        Ok(metrics
            .map(|metric| Metric { dimensions: dimensions(metric), ..Metric::new(namespace, name, &[]) })
            .collect())
    }

    /// The widgets of the stack's dashboard.
    ///
    /// # Errors
    /// When AWS refuses, or it cannot be read.
    pub async fn dashboard(&mut self) -> io::Result<Vec<Widget>> {
        let answer = self.client.call("cloudwatch", "get_dashboard", json!({"DashboardName": STACK})).await?;
        let body = answer.get("DashboardBody").and_then(Value::as_str).unwrap_or_default();
        dashboard::read(body).map_err(io::Error::other)
    }
}

/// Its time, since 1970.
fn now(ahead: Duration) -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + ahead
}

/// A metric's dimensions, as CloudWatch's calls have them.
fn named(metric: &Metric) -> Vec<Value> {
    metric.dimensions.iter().map(|(name, value)| json!({"Name": name, "Value": value})).collect()
}

/// The values of a result by their times.
fn points(result: &Value) -> BTreeMap<u64, f64> {
    let numbers = |name: &str| -> Vec<f64> {
        let values = result.get(name).and_then(Value::as_array);
        values.into_iter().flatten().filter_map(Value::as_f64).collect()
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds since 1970, and whole")]
    let times = numbers("Timestamps").into_iter().map(|at| at as u64);
    times.zip(numbers("Values")).collect()
}

//! Every alarm and every widget of the template, in a whole AWS: fault, metrics, alarm, cure.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chat_signup_import::{breaker::Held, outcome::Outcome};
use local::{
    alarm::{Alarm, Minutes, Statistics},
    dashboard::{Graph, Series, Shows, Source},
    emf::{self, Metric},
    faults::{Fault, Faults, PERIOD, PERIODS},
    python::Python,
    siege::Siege,
    world::World,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// One world for all tests, which take turns; it ends with the process.
static WORLD: LazyLock<(Runtime, Result<Mutex<World>, String>)> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let world = runtime.block_on(async {
        let python = Python::set_up().await?;
        let binary = Path::new(env!("CARGO_BIN_EXE_chat-signup-import"));
        let mut world = World::start(&python, binary, Siege::app()).await?;
        world.deploy(binary, &[]).await?;
        Ok::<_, std::io::Error>(Mutex::new(world))
    });
    (runtime, world.map_err(|error| error.to_string()))
});

/// Every test that cannot run says why.
fn world() -> (&'static Runtime, MutexGuard<'static, World>) {
    let (runtime, world) = &*WORLD;
    match world {
        Ok(world) => (runtime, world.lock().unwrap_or_else(PoisonError::into_inner)),
        Err(error) => panic!("this test cannot run: {error}"),
    }
}

/// The alarms that ring by a fault: when it has shown itself once, and when it has done so for a quarter of an hour.
fn alarms(fault: Fault) -> [&'static [&'static str]; 2] {
    match fault {
        Fault::NoMoreAccounts => [&["account-limit", "parked-messages"]; 2],
        Fault::NoJson => [&["malformed", "parked-messages"]; 2],
        Fault::BadNickname => [&["parked-messages", "refused"]; 2],
        Fault::FailsForDays => [&["expired", "parked-messages"]; 2],
        Fault::WrongKey => [&[], &["credential-refused"]],
        Fault::NoPlan => [&["set-up-blocked"]; 2],
        Fault::SecretWithoutKey | Fault::NoRightToSecret => [&[], &["secret-unreadable"]],
        Fault::NoRightToPark => [&["not-parked"]; 2],
        Fault::NewCode => [&["unknown-code"]; 2],
        Fault::NoThread => [&["panicked"]; 2],
        Fault::ManyTooMany => [&[], &["rate-limited"]],
        Fault::FewTooMany | Fault::Outage | Fault::OtherEvents => [&[]; 2],
        Fault::FailsForHours => [&["oldest-unfinished"]; 2],
        Fault::Paused => [&[], &["backlog"]],
        Fault::Killed => [&["invocation-errors"]; 2],
        Fault::NoConcurrency => [&[], &["throttles"]],
        Fault::LargeBatches => [&[], &["duration"]],
        Fault::NoSignups => [&["no-signups"]; 2],
    }
}

#[test]
fn each_fault_rings_its_alarms_and_no_others_until_it_is_cured() {
    let (runtime, world) = world();
    let none = BTreeSet::new();
    let (states, rung) = runtime.block_on(async {
        let mut faults = Faults::new(&world).unwrap();
        faults.all_is_well().await.unwrap();
        let states = faults.watch.alarms().await.unwrap();
        let mut rung = BTreeMap::new();
        for fault in Fault::ALL {
            let begun = std::time::Instant::now();
            faults.begin(fault).await.unwrap();
            faults.strike(fault, 1).await.unwrap();
            let first = faults.watch.must_ring().await.unwrap();
            for n in 2..=PERIODS {
                faults.watch.pass(PERIOD).await.unwrap();
                faults.strike(fault, n).await.unwrap();
            }
            let last = (faults.watch.ringing().await.unwrap(), faults.watch.must_ring().await.unwrap());
            faults.cure(fault).await.unwrap();
            faults.all_is_well().await.unwrap();
            let cured = (faults.watch.ringing().await.unwrap(), faults.watch.must_ring().await.unwrap());
            println!("{:>5.1} s  {fault:?}: {first:?}, {last:?}, {cured:?}", begun.elapsed().as_secs_f32());
            rung.insert(fault, (first, last, cured));
        }
        (states, rung)
    });
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let expected = Fault::ALL.map(|fault| {
        let [first, last] = alarms(fault).map(set);
        (fault, (first, (last.clone(), last), (none.clone(), none.clone())))
    });
    let all: BTreeMap<String, &str> = states.iter().map(|(alarm, state)| (alarm.name.clone(), &**state)).collect();
    let ever = Fault::ALL.into_iter().flat_map(|fault| set(alarms(fault)[1]));
    assert_eq!((rung, all), (expected.into(), ever.map(|alarm| (alarm, "OK")).collect()));
}

/// The local AWS leaves an alarm as it is where there is nothing to judge.
#[test]
fn a_day_without_any_data_rings_the_alarm_for_it_and_no_other() {
    let (runtime, world) = world();
    let [before, after] = runtime.block_on(async {
        let mut faults = Faults::new(&world).unwrap();
        faults.all_is_well().await.unwrap();
        let before = faults.watch.must_ring().await.unwrap();
        faults.watch.pass(Duration::from_hours(27)).await.unwrap();
        [before, faults.watch.must_ring().await.unwrap()]
    });
    assert_eq!((before, after), (BTreeSet::new(), ["no-signups".to_owned()].into()));
}

/// The alarms of what may last for minutes while somebody puts it right, and of what always waits for a person.
const PATIENT: [&str; 2] = ["credential-refused", "secret-unreadable"];
const WAITING: [&str; 4] = ["credential-refused", "not-parked", "secret-unreadable", "set-up-blocked"];

/// These of the alarms as they are deployed.
fn deployed(names: &[&str]) -> Vec<Alarm> {
    let (runtime, world) = world();
    let alarms = runtime.block_on(async { Faults::new(&world).unwrap().watch.alarms().await.unwrap() });
    let alarms = alarms.into_iter().map(|(alarm, _)| alarm);
    let mut alarms: Vec<_> = alarms.filter(|alarm| names.contains(&alarm.name.as_str())).collect();
    alarms.sort_by(|one, other| one.name.cmp(&other.name));
    alarms
}

/// The minutes of some hours in which an alarm rings, if something has happened in these. CloudWatch looks every minute.
fn ringing(alarm: &Alarm, happened: &BTreeSet<u64>, hours: u64) -> Vec<u64> {
    let one = Statistics { count: 1.0, sum: 1.0, minimum: 1.0, maximum: 1.0 };
    // Long after 1970, so that there is a time before.
    let start = 1_000_000 * 60;
    let minutes: Minutes = happened.iter().map(|minute| (start + minute * 60, one)).collect();
    (1..hours * 60).filter(|minute| alarm.rings(&minutes, start + minute * 60).unwrap()).collect()
}

#[test]
fn five_minutes_without_a_good_key_ring_nothing() {
    let rung = deployed(&PATIENT).into_iter().map(|alarm| (ringing(&alarm, &(0..5).collect(), 2), alarm.name));
    assert_eq!(rung.collect::<Vec<_>>(), PATIENT.map(|name| (Vec::new(), name.to_owned())));
}

/// It comes back after up to 14 minutes: an alarm that forgets it meanwhile would wake somebody time and again.
#[test]
fn a_lone_signup_that_waits_for_a_person_rings_within_20_minutes_and_goes_on_ringing() {
    let outcome = Outcome::held_off(Held::Silent);
    let alarms = deployed(&WAITING);
    let mut wrong = Vec::new();
    for (alarm, seed) in alarms.iter().flat_map(|alarm| (0..200).map(move |seed| (alarm, seed))) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut at, mut tries) = (Duration::ZERO, BTreeSet::new());
        for receives in 1.. {
            tries.insert(at.as_secs() / 60);
            at += outcome.delay(receives, random.u32(..)).unwrap();
            if at > Duration::from_hours(8) {
                break;
            }
        }
        let rung = ringing(alarm, &tries, 8);
        let since = rung.first().copied().unwrap_or(u64::MAX);
        if since > 20 || rung.len() < 8 * 60 - 20 - 30 {
            wrong.push((alarm.name.clone(), seed, since, rung.len()));
        }
    }
    assert_eq!((alarms.len(), wrong), (WAITING.len(), Vec::new()));
}

/// "Configuring how CloudWatch alarms treat missing data", both tables: 3 of 3 and 2 of 3, five periods looked at.
#[test]
fn an_alarm_is_judged_as_the_documentation_of_aws_has_it() {
    let rings = |points: &str, to_alarm: u64, missing: &str| {
        let alarm = json!({
            "AlarmName": "stack-one",
            "Namespace": "N",
            "MetricName": "M",
            "Dimensions": [],
            "Statistic": "Sum",
            "Period": 60,
            "EvaluationPeriods": 3,
            "DatapointsToAlarm": to_alarm,
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": 0.0,
            "TreatMissingData": missing,
        });
        let point = |sum: f64| Statistics { count: 1.0, sum, minimum: sum, maximum: sum };
        let there = (0..).step_by(60).zip(points.split(' ')).filter(|(_, point)| *point != "-");
        let minutes: Minutes = there.map(|(at, is)| (at, point(f64::from(u8::from(is == "X"))))).collect();
        Alarm::read(&alarm, "stack").unwrap().rings(&minutes, 300).unwrap()
    };
    let documented = [
        ("0 - X - X", 3, [false, false]),
        ("- - - - 0", 3, [false, false]),
        ("- - - - -", 3, [true, false]),
        ("0 X X - X", 3, [true, true]),
        ("- - X - -", 3, [true, false]),
        ("0 - X - X", 2, [true, true]),
        ("0 0 X 0 X", 2, [true, true]),
        ("0 - X - -", 2, [true, false]),
        ("- - - - 0", 2, [true, false]),
        ("- - - - X", 2, [true, false]),
    ];
    let judged = documented.map(|(points, to_alarm, _)| {
        (points, to_alarm, ["breaching", "notBreaching"].map(|missing| rings(points, to_alarm, missing)))
    });
    assert_eq!(judged, documented);
}

#[test]
fn metrics_that_cloudwatch_would_drop_are_told() {
    let good = json!({
        "_aws": {"Timestamp": 1_700_000_000_000_u64, "CloudWatchMetrics": [{
            "Namespace": "N",
            "Dimensions": [["FunctionName"]],
            "Metrics": [{"Name": "Calls", "Unit": "Count"}, {"Name": "Latency", "Unit": "Milliseconds"}],
        }]},
        "FunctionName": "f",
        "Calls": 2,
        "Latency": [1, 2.5],
    });
    let read: Vec<_> = emf::read(&good).unwrap().into_iter().map(|datum| (datum.metric.name, datum.values)).collect();
    let directive = "/_aws/CloudWatchMetrics/0";
    let told = [
        ("/_aws/Timestamp", json!(1_700_000_000)),
        ("/_aws/Timestamp", json!("2026-01-01T00:00:00Z")),
        ("/_aws/CloudWatchMetrics", json!({})),
        (&format!("{directive}/Namespace"), json!("")),
        (&format!("{directive}/Namespace"), json!("Sign ups")),
        (&format!("{directive}/Dimensions"), json!(["FunctionName"])),
        (&format!("{directive}/Dimensions/0/0"), json!("ErrorCode")),
        (&format!("{directive}/Metrics/0/Unit"), json!("Counts")),
        (&format!("{directive}/Metrics/0/Name"), json!("Missing")),
        (&format!("{directive}/Metrics/0/Name"), json!("Latency")),
        (&format!("{directive}/Metrics"), json!([])),
        ("/FunctionName", json!(1)),
        ("/FunctionName", json!("")),
        ("/Calls", json!("2")),
        ("/Calls", json!(null)),
        ("/Latency", json!([])),
        ("/Latency", json!([1, "2"])),
        ("/Latency", json!(vec![1; 101])),
    ]
    .map(|(place, value)| {
        let mut bad = good.clone();
        *bad.pointer_mut(place).unwrap() = value;
        emf::read(&bad).unwrap_err()
    });
    assert_eq!(
        (read, told.map(|rule| rule.len() > 10), emf::read(&json!({"level": "INFO"}))),
        (vec![("Calls".to_owned(), vec![2.0]), ("Latency".to_owned(), vec![1.0, 2.5])], [true; 18], Ok(Vec::new()))
    );
}

#[test]
fn the_dashboard_shows_what_there_is() {
    let (runtime, world) = world();
    let (widgets, emitted, alarms, configured) = runtime.block_on(async {
        let mut faults = Faults::new(&world).unwrap();
        faults.all_is_well().await.unwrap();
        faults.strike(Fault::NoMoreAccounts, 1).await.unwrap();
        let emitted: BTreeSet<Metric> = faults.watch.counted().iter().map(|datum| datum.metric.clone()).collect();
        let alarms = faults.watch.client.call("cloudwatch", "describe_alarms", json!({})).await.unwrap();
        let call = json!({"FunctionName": world.output("FunctionName")});
        let function = faults.watch.client.call("lambda", "get_function_configuration", call).await.unwrap();
        let widgets = faults.watch.dashboard().await.unwrap();
        faults.cure(Fault::NoMoreAccounts).await.unwrap();
        (widgets, emitted, alarms["MetricAlarms"].as_array().unwrap().clone(), function)
    });
    let arns: BTreeSet<String> = alarms.iter().map(|alarm| alarm["AlarmArn"].as_str().unwrap().to_owned()).collect();
    let is_oldest = |alarm: &&Value| alarm["MetricName"] == "OldestUnfinished";
    let too_old = alarms.iter().find(is_oldest).unwrap()["Threshold"].as_f64().unwrap().to_string();
    let queue = |output: &str| world.output(output).rsplit('/').next().unwrap().to_owned();
    let (function, queues) = (world.output("FunctionName"), ["SignupQueueUrl", "ParkingQueueUrl"].map(queue));
    // Of "Lambda metrics" and "Available CloudWatch metrics for Amazon SQS".
    let of_aws = |Metric { namespace, name, dimensions }: &Metric| {
        let pairs: Vec<_> = dimensions.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        match (namespace.as_str(), &pairs[..]) {
            ("AWS/Lambda", [("FunctionName", of)]) => {
                *of == function && ["Duration", "Errors", "Invocations", "Throttles"].contains(&name.as_str())
            }
            ("AWS/SQS", [("QueueName", of)]) => {
                let names = ["ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesVisible"];
                queues.iter().any(|queue| queue == of) && names.contains(&name.as_str())
            }
            _ => false,
        }
    };
    let exists = |graph: &Graph, series: &Series| match &series.source {
        Source::Metric(metric) => emitted.contains(metric) || of_aws(metric),
        Source::PerSecond(id) => graph.series.iter().any(|other| other.id == *id && !other.is_visible),
        Source::Search { namespace, name, given, apart } => emitted.iter().any(|metric| {
            let others = metric.dimensions.iter().filter(|(name, _)| *name != apart);
            let others: Vec<_> = others.map(|(name, value)| (name.clone(), value.clone())).collect();
            (&metric.namespace, &metric.name) == (namespace, name)
                && metric.dimensions.contains_key(apart)
                && others == *given
        }),
    };
    let (mut shown, mut missing, mut lines, mut logs) = (BTreeSet::new(), Vec::new(), Vec::new(), Vec::new());
    for widget in &widgets {
        match &widget.shows {
            Shows::Alarms(arns) => shown.extend(arns.iter().cloned()),
            Shows::Log(query) => logs.push(query.split_once(" | ").unwrap().0.to_owned()),
            Shows::Graph(graph) => {
                missing.extend(graph.series.iter().filter(|series| !exists(graph, series)).cloned());
                lines.extend(graph.lines.iter().map(|line| (line.label.clone(), line.value.to_string())));
            }
        }
    }
    let told = |place: &str| configured.pointer(place).unwrap().as_str().unwrap().to_owned();
    let limit = told("/Environment/Variables/CHAT_RATE_LIMIT");
    let lines_there_are = vec![("alarm".to_owned(), too_old), ("ChatRateLimit".to_owned(), limit)];
    let log = vec![format!("SOURCE '{}'", told("/LoggingConfig/LogGroup"))];
    assert_eq!((format!("{missing:?}"), shown, lines, logs), ("[]".to_owned(), arns, lines_there_are, log));
}

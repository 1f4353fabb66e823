//! `cargo dashboard`: a short story in the local world, and what the template's dashboard shows of it, as one picture.
#![expect(clippy::print_stdout, reason = "it is what a person came to see")]

use std::{
    collections::BTreeMap,
    io,
    process::ExitCode,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use local::{
    chart::{Card, Content, Curve, Plot, draw},
    cloudwatch::CloudWatch,
    dashboard::{Graph, Shows, Source},
    emf::Metric,
    python::Python,
    tencent::{App, Reply},
    top,
    world::{World, build_release},
};
use serde_json::{Value, json};

/// How long the story is, in seconds, and how long a period of the picture; the dashboard's own are of 60 s.
const STORY: u64 = 180;
const PERIOD: u64 = 10;
/// Imports a second that the function may make: so few that the picture shows it keep to them.
const RATE_LIMIT: &str = "60";
const SEED: u64 = 1;
/// What a series is drawn in that has no colour of its own.
const COLORS: [&str; 8] = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#17becf"];

#[tokio::main]
async fn main() -> ExitCode {
    let ended = tokio::select! {
        ended = dashboard() => ended,
        _ = tokio::signal::ctrl_c() => Err(io::Error::other("interrupted: everything is stopped")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("\n{error}");
            ExitCode::FAILURE
        }
    }
}

async fn dashboard() -> io::Result<()> {
    let started = Instant::now();
    let step = |text: &str| println!("{:>6.1} s  {text}", started.elapsed().as_secs_f32());
    step("building the function (cargo build --release)");
    let (python, binary) = tokio::try_join!(Python::set_up(), build_release())?;
    step("starting AWS (MiniStack, IAM enforced) and Tencent (stand-in, TLS); deploying infra/template.yaml");
    let app = App { quota: usize::MAX, ..App::default() };
    let mut world = World::start(&python, &binary, app).await?;
    world.deploy(&binary, &[("ChatRateLimit", RATE_LIMIT)]).await?;
    world.tencent.take_time(SEED);
    let mut watch = CloudWatch::watch(&world)?;
    let mut senders = Senders { random: fastrand::Rng::with_seed(SEED), users: 0 };
    step("the first sign-ups, which find everything cold");
    for _ in 0..50 {
        senders.send(&world).await?;
    }
    // The first period of the picture is a whole one.
    while !seconds().is_multiple_of(PERIOD) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let begun = seconds();
    Box::pin(tell(&world, &mut watch, &mut senders, step)).await?;
    step("drawing infra/dashboard.svg");
    let cards = cards(&world, &mut watch, begun).await?;
    let times: Vec<String> = (0..STORY / PERIOD)
        .map(|n| n * PERIOD)
        .map(|at| if at % 30 == 0 { format!("{}:{:02}", at / 60, at % 60) } else { String::new() })
        .collect();
    let note = "Drawn by cargo dashboard from three minutes of the release binary in the local AWS. \
                Periods are of 10 s here, and of 60 s on the real dashboard.";
    let path = top().join("infra/dashboard.svg");
    std::fs::write(&path, draw(&cards, &times, note))?;
    step(&format!("{} bytes", std::fs::metadata(&path)?.len()));
    Ok(())
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// What happens, and when, in seconds from the beginning.
const EVENTS: [(u64, &str); 7] = [
    (0, "sign-ups come in, some of them invalid"),
    (45, "Tencent fails: 70500"),
    (57, "Tencent fails: HTTP 502"),
    (70, "Tencent is back"),
    (105, "the plan allows no more accounts: 70398"),
    (120, "the plan is upgraded"),
    (135, "what was parked by 70398 is sent once more"),
];

/// Has it all happen; what is counted is put every two seconds.
async fn tell(world: &World, watch: &mut CloudWatch<'_>, senders: &mut Senders, step: impl Fn(&str)) -> io::Result<()> {
    let started = Instant::now();
    let is_over = || started.elapsed() >= Duration::from_secs(STORY);
    let events = async {
        for (at, event) in EVENTS {
            tokio::time::sleep(Duration::from_secs(at).saturating_sub(started.elapsed())).await;
            step(event);
            match event {
                "Tencent fails: 70500" => world.tencent.always(Some(Reply::Code(70500))),
                "Tencent fails: HTTP 502" => world.tencent.always(Some(Reply::Status(502))),
                "Tencent is back" => world.tencent.always(None),
                "the plan allows no more accounts: 70398" => world.tencent.set_quota(world.tencent.accounts().len()),
                "the plan is upgraded" => world.tencent.set_quota(usize::MAX),
                "what was parked by 70398 is sent once more" => {
                    for parked in world.take_parked().await? {
                        if parked.attributes.get("ErrorCode").is_some_and(|code| code == "70398") {
                            world.send(&parked.body).await?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    };
    let signups = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(250));
        while !is_over() {
            ticks.tick().await;
            // More and less in turn, as in a day of 90 s.
            let phase = started.elapsed().as_secs_f64() / 90.0;
            let wanted = 4.0 + 2.0 * (phase * std::f64::consts::TAU).sin() + senders.random.f64() * 1.5;
            let mut sent = 0.5;
            while sent < wanted {
                senders.send(world).await?;
                sent += 1.0;
            }
        }
        Ok(())
    };
    let metrics = async {
        let mut ticks = tokio::time::interval(Duration::from_secs(2));
        while !is_over() {
            ticks.tick().await;
            watch.put().await?;
        }
        watch.put().await
    };
    tokio::try_join!(events, signups, metrics).map(drop)
}

/// Who sends: nearly all of it good.
struct Senders {
    random: fastrand::Rng,
    users: usize,
}

impl Senders {
    async fn send(&mut self, world: &World) -> io::Result<()> {
        self.users += 1;
        let body = match self.random.u8(..200) {
            0 => json!({"userId": "x".repeat(33)}),
            1 => json!({"nickname": "nobody"}),
            2..6 => json!({"detail-type": "UserDeleted", "detail": {}}),
            _ => json!({"userId": format!("user-{}", self.users)}),
        };
        world.send(&body.to_string()).await.map(drop)
    }
}

/// What each widget of the dashboard shows of the story.
async fn cards(world: &World, watch: &mut CloudWatch<'_>, start: u64) -> io::Result<Vec<Card>> {
    let mut cards = Vec::new();
    for widget in watch.dashboard().await? {
        let content = match &widget.shows {
            Shows::Alarms(arns) => Content::Alarms(states(watch, arns).await?),
            Shows::Graph(graph) => Content::Plot(plot(watch, graph, start).await?),
            Shows::Log(_) => log(world),
        };
        cards.push(Card { title: widget.title.clone(), place: widget.place, content });
    }
    Ok(cards)
}

async fn states(watch: &mut CloudWatch<'_>, arns: &[String]) -> io::Result<Vec<(String, Option<bool>)>> {
    let alarms = watch.alarms().await?;
    let state = |arn: &String| {
        let (alarm, state) = alarms.iter().find(|(alarm, _)| arn.ends_with(&format!("-{}", alarm.name)))?;
        Some((alarm.name.clone(), ["OK", "ALARM"].iter().position(|other| other == state).map(|rings| rings == 1)))
    };
    Ok(arns.iter().filter_map(state).collect())
}

async fn plot(watch: &mut CloudWatch<'_>, graph: &Graph, start: u64) -> io::Result<Plot> {
    let (mut drawn, mut asked) = (Vec::new(), Vec::new());
    for series in &graph.series {
        let mut add = |label: String, metric: &Metric, statistic: &str, divisor: f64| {
            let color = series.color.clone();
            drawn.push((label, color, divisor));
            asked.push((metric.clone(), statistic.to_owned()));
        };
        let label = series.label.clone().filter(|label| !label.is_empty());
        match &series.source {
            Source::Metric(metric) if series.is_visible => {
                add(label.unwrap_or_else(|| metric.name.clone()), metric, &series.statistic, 1.0);
            }
            Source::Metric(_) => {}
            Source::PerSecond(id) => {
                let of = graph.series.iter().find(|other| other.id == *id);
                if let Some((other, Source::Metric(metric))) = of.map(|other| (other, &other.source)) {
                    #[expect(clippy::cast_precision_loss, reason = "ten")]
                    add(label.unwrap_or_default(), metric, &other.statistic, PERIOD as f64);
                }
            }
            Source::Search { namespace, name, apart, .. } => {
                for metric in watch.named(namespace, name).await? {
                    if let Some(value) = metric.dimensions.get(apart) {
                        add(value.clone(), &metric, "Sum", 1.0);
                    }
                }
            }
        }
    }
    let values = watch.values(&asked, PERIOD, start..start + STORY).await?;
    let taken: Vec<&str> = graph.series.iter().filter_map(|series| series.color.as_deref()).collect();
    let mut colors = COLORS.iter().filter(|color| !taken.contains(*color));
    let mut curve = |((label, color, divisor), values): ((String, Option<String>, f64), BTreeMap<u64, f64>)| Curve {
        label,
        color: color.unwrap_or_else(|| (*colors.next().unwrap_or(&"#7f7f7f")).to_owned()),
        values: (0..STORY / PERIOD).map(|n| values.get(&(start + n * PERIOD)).map(|value| value / divisor)).collect(),
    };
    Ok(Plot {
        is_stacked: graph.is_stacked,
        curves: drawn.into_iter().zip(values).map(&mut curve).collect(),
        lines: graph.lines.iter().map(|line| (line.label.clone(), line.value, line.color.clone())).collect(),
    })
}

/// The latest errors of the log.
fn log(world: &World) -> Content {
    let columns = [
        ("@timestamp", 0.08),
        ("message", 0.065),
        ("code", 0.07),
        ("meaning", 0.375),
        ("advice", 0.325),
        ("user", 0.085),
    ];
    let lines = world.aws.function_lines();
    let errors = lines.iter().rev().filter(|line| text(line, "level") == "ERROR");
    let cell = |line: &Value, name: &str| match name {
        // Without the day.
        "@timestamp" => text(line, "timestamp").get(11..19).unwrap_or_default().to_owned(),
        _ => text(line, name).to_owned(),
    };
    let row = |line: &Value| columns.iter().map(|(name, _)| cell(line, name)).collect::<Vec<_>>();
    let rows: Vec<_> = errors.filter(|line| line.get("message_id").is_some()).map(row).take(10).collect();
    Content::Table(columns.map(|(name, share)| (name.to_owned(), share)).into(), rows)
}

fn text<'a>(line: &'a Value, name: &str) -> &'a str {
    line.get(name).and_then(Value::as_str).unwrap_or_default()
}

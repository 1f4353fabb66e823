//! A load on the local world, with all that can go wrong while it runs, and what came of it.
//!
//! The release binary, real clocks, the template as it stands. What goes wrong is said by [`mischief`], what is sent by
//! [`load`], and what must hold in the end by [`verdict`].

pub mod load;
pub mod mischief;
pub mod verdict;

use std::{
    io,
    time::{Duration, Instant},
};

use aws_sdk_sqs::types::QueueAttributeName;
use fastrand::Rng;

use crate::{proxy::Proxy, python::target, tencent::App, world::World};
use mischief::{Mischief, Saboteur};
use verdict::Report;

/// Share of Tencent's answers that are faulty.
const FAULTS: f64 = 0.2;

/// How long and how hard.
#[derive(Clone, Copy, Debug)]
pub struct Siege {
    /// How many messages are sent, not counting those that are sent twice.
    pub messages: usize,
    /// Gives the order of things, the faults and the messages.
    pub seed: u64,
    /// In some two minutes: no mischief that is followed by a wait of minutes, and a shorter visibility timeout.
    pub is_brief: bool,
}

impl Siege {
    /// The app that the world must be started with: on a paid plan.
    pub fn app() -> App {
        App { quota: usize::MAX, ..App::default() }
    }

    /// Besieges the world until its queue is empty, and looks into what has come of it; tells `say` how it goes.
    ///
    /// # Errors
    /// When the world itself fails, and not only the function in it.
    pub async fn lay(self, world: &World, say: impl Fn(&str)) -> io::Result<Report> {
        let mut random = Rng::with_seed(self.seed);
        let proxy = Proxy::start(&world.aws.url).await?;
        let url = proxy.url();
        // MiniStack sets AWS_ENDPOINT_URL itself.
        world.set(&[("AWS_ENDPOINT_URL_SQS", &url), ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &url)]).await?;
        if self.is_brief {
            // What a killed process had comes back after it: in the template that is three minutes.
            let call = world.aws.sqs().set_queue_attributes().queue_url(world.output("SignupQueueUrl"));
            let call = call.attributes(QueueAttributeName::VisibilityTimeout, "30");
            call.send().await.map_err(io::Error::other)?;
        }
        let messages = load::messages(self.messages, &mut random);
        load::refuse(&world.tencent, &messages);
        world.tencent.fail_at_random(random.u64(..), FAULTS);
        let plan = Mischief::plan(&mut random, self.is_brief);

        // MiniStack 1.5 loses what is sent while a batch of the same queue is deleted: it does so in another thread,
        // and puts a list without the batch in the place of the one that the message was appended to.
        world.aws.pause(true).await?;
        let sent = load::send(world, messages, &mut random).await?;
        say(&format!("{} messages are on the queue (seed {}); in this order: {plan:?}", sent.len(), self.seed));
        let started = Instant::now();
        world.aws.pause(false).await?;
        let mut saboteur = Saboteur::new(world, &proxy, random);
        for mischief in plan {
            say(&format!("{mischief:?}; {} messages are left", left(world).await?));
            saboteur.make(mischief).await?;
        }
        say(&format!("no more mischief but Tencent's; {} messages are left", left(world).await?));
        let patience = if self.is_brief { Duration::from_mins(4) } else { Duration::from_mins(40) };
        let mut told = Instant::now();
        let left = loop {
            let left = left(world).await?;
            if left == 0 || started.elapsed() > patience {
                break left;
            }
            if self.is_brief && left < self.messages / 50 {
                // The last ones have failed time and again, and would wait for minutes after another failure.
                world.tencent.fail_at_random(0, 0.0);
            }
            if told.elapsed() > Duration::from_secs(30) {
                say(&format!("{left} messages are left"));
                told = Instant::now();
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        let report = Report::new(world, &proxy, &sent, &saboteur, left).await?;
        if !report.wrong.is_empty() {
            let log = target().join("siege.log");
            std::fs::write(&log, world.aws.log())?;
            say(&format!("something is wrong; the log is in {}", log.display()));
        }
        Ok(report)
    }
}

/// How many messages are on the sign-up queue: visible, in flight or delayed.
async fn left(world: &World) -> io::Result<usize> {
    let names = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    ];
    let call = world.aws.sqs().get_queue_attributes().queue_url(world.output("SignupQueueUrl"));
    let answer = call.set_attribute_names(Some(names.to_vec())).send().await.map_err(io::Error::other)?;
    let counts = answer.attributes().into_iter().flat_map(|attributes| attributes.values());
    counts.map(|count| count.parse::<usize>().map_err(io::Error::other)).sum()
}

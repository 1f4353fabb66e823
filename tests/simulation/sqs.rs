//! SQS: visibility, receive counts, redrive, retention, at-least-once, FIFO groups. Source: AWS's SQS guide.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    time::Duration,
};

use crate::{mapping, world::Content};

/// As the template has them.
pub const VISIBILITY: Duration = Duration::from_secs(200);
pub const MAX_RECEIVES: u32 = 1000;
pub const RETENTION: Duration = Duration::from_hours(14 * 24);

/// Stops if the template has other numbers.
pub fn assert_as_in_the_template() {
    let template = local::file("infra/template.yaml");
    let number = |name: &str| {
        let value = template.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "));
        value.and_then(|value| value.split(' ').next()?.parse::<u64>().ok())
    };
    let is = ["VisibilityTimeout", "maxReceiveCount", "MessageRetentionPeriod", "Timeout"].map(number);
    let modelled = [VISIBILITY.as_secs(), MAX_RECEIVES.into(), RETENTION.as_secs(), mapping::TIMEOUT.as_secs()];
    let batches = template.contains("  BatchSize:\n    Type: Number\n    Default: 10\n");
    assert_eq!((is, batches), (modelled.map(Some), true), "the simulation is not of infra/template.yaml");
}

/// Most messages in flight of a standard queue.
const MAX_IN_FLIGHT: usize = 120_000;

/// A message, there or not.
#[derive(Clone, Debug)]
pub struct Message {
    pub content: Content,
    pub sent: Duration,
    /// What its `FirstSent` attribute says.
    pub first_sent: Option<Duration>,
    pub receives: u32,
    pub group: Option<u32>,
    visible: Duration,
    is_there: bool,
}

/// One queue.
#[derive(Default)]
pub struct Queue {
    messages: Vec<Message>,
    /// When which message becomes visible; what is out of date is passed over.
    order: BinaryHeap<Reverse<(Duration, usize)>>,
    /// Of a FIFO queue, the messages of each group that are there.
    groups: BTreeMap<u32, VecDeque<usize>>,
    pub there: usize,
    /// Whether it has a dead-letter queue, and so a last receive.
    has_last_receive: bool,
    in_flight: BinaryHeap<Reverse<(Duration, usize)>>,
}

impl Queue {
    pub fn new(has_last_receive: bool) -> Self {
        Self { has_last_receive, ..Self::default() }
    }

    pub fn send(&mut self, content: Content, now: Duration, delay: Duration, group: Option<u32>) -> usize {
        let id = self.messages.len();
        let visible = now + delay;
        let message = Message { content, sent: now, first_sent: None, receives: 0, group, visible, is_there: true };
        self.messages.push(message);
        self.there += 1;
        match group {
            Some(group) => self.groups.entry(group).or_default().push_back(id),
            None => self.order.push(Reverse((visible, id))),
        }
        id
    }

    /// As an operator's redrive does it: attributes stay, the time of sending and the count do not.
    pub fn send_again(&mut self, content: Content, first_sent: Duration, now: Duration) {
        let id = self.send(content, now, Duration::ZERO, None);
        self.messages[id].first_sent = Some(first_sent);
    }

    pub fn message(&self, id: usize) -> &Message {
        &self.messages[id]
    }

    /// When the next message may become visible.
    pub fn next(&self) -> Option<Duration> {
        let next = self.order.peek().map(|Reverse((at, _))| *at);
        let fronts = self.groups.values().filter_map(|group| Some(self.messages[*group.front()?].visible));
        next.into_iter().chain(fronts).min()
    }

    /// Receives up to `most` messages. With them come those that SQS gives up: received or kept too often or long.
    pub fn receive(&mut self, most: usize, now: Duration) -> (Vec<usize>, Vec<usize>) {
        let (mut received, mut given_up) = (Vec::new(), Vec::new());
        while self.in_flight.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            self.in_flight.pop();
        }
        let most = most.min(MAX_IN_FLIGHT.saturating_sub(self.in_flight.len()));
        while received.len() < most
            && let Some(Reverse((at, id))) = self.order.peek().copied()
            && at <= now
        {
            self.order.pop();
            let message = &self.messages[id];
            if message.is_there && message.visible == at {
                self.deliver(id, now, &mut received, &mut given_up);
            }
        }
        let free = |group: &&VecDeque<usize>| group.iter().all(|id| self.messages[*id].visible <= now);
        let ids: Vec<usize> = self.groups.values().filter(free).flatten().copied().collect();
        for id in ids {
            if received.len() < most {
                self.deliver(id, now, &mut received, &mut given_up);
            }
        }
        (received, given_up)
    }

    fn deliver(&mut self, id: usize, now: Duration, received: &mut Vec<usize>, given_up: &mut Vec<usize>) {
        let message = &mut self.messages[id];
        message.receives += 1;
        if self.has_last_receive && message.receives > MAX_RECEIVES || now - message.sent >= RETENTION {
            given_up.push(id);
            self.delete(id);
        } else {
            received.push(id);
            self.hide(id, now + VISIBILITY);
        }
    }

    /// `ChangeMessageVisibility`.
    pub fn hide(&mut self, id: usize, until: Duration) {
        let message = &mut self.messages[id];
        if message.is_there {
            message.visible = until;
            if message.group.is_none() {
                self.order.push(Reverse((until, id)));
                self.in_flight.push(Reverse((until, id)));
            }
        }
    }

    /// Has a message delivered twice, as a standard queue may.
    pub fn show(&mut self, id: usize, now: Duration) {
        let message = &mut self.messages[id];
        if message.group.is_none() {
            message.visible = now;
            self.order.push(Reverse((now, id)));
        }
    }

    pub fn delete(&mut self, id: usize) {
        let message = &mut self.messages[id];
        if message.is_there {
            message.is_there = false;
            self.there -= 1;
            if let Some(group) = message.group.and_then(|group| self.groups.get_mut(&group)) {
                group.retain(|other| *other != id);
            }
        }
    }
}

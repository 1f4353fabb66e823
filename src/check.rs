//! Which accounts are looked for in one call.
//!
//! After an outage every message is late, and `account_check` may be called half as often as `account_import`, but
//! 100 accounts at a time: all that are waiting when a call's turn comes go into it.

use std::{
    cell::OnceCell,
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{self, oneshot};

use crate::{chat::MAX_CHECKED, outcome::Outcome, user_id::UserId};

type Answer = Result<bool, Outcome>;
type Waiting = Vec<(UserId, oneshot::Sender<Answer>)>;

/// The accounts that are waiting to be looked for.
#[derive(Default)]
pub struct Questions {
    waiting: Mutex<Waiting>,
    /// Whoever has it makes the next call.
    next: sync::Mutex<()>,
}

/// One that is asked.
pub struct Question<'a> {
    questions: &'a Questions,
    user_id: &'a UserId,
    answer: oneshot::Receiver<Answer>,
}

/// One call's questions, which are gathered when the call is made.
pub struct Round<'a> {
    questions: &'a Questions,
    asked: OnceCell<Waiting>,
    _next: sync::MutexGuard<'a, ()>,
}

impl Questions {
    /// Asks whether an account is there.
    pub fn ask<'a>(&'a self, user_id: &'a UserId) -> Question<'a> {
        Question { questions: self, user_id, answer: self.wait_for(user_id) }
    }

    /// Begins a call's round when the one before has ended.
    pub async fn round(&self) -> Round<'_> {
        let next = self.next.lock().await;
        Round { questions: self, asked: OnceCell::new(), _next: next }
    }

    fn wait_for(&self, user_id: &UserId) -> oneshot::Receiver<Answer> {
        let (tell, answer) = oneshot::channel();
        self.waiting().push((user_id.clone(), tell));
        answer
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Question<'_> {
    /// Gives the answer, if there is one, and asks again if there will be none.
    pub fn answer(&mut self) -> Option<Answer> {
        match self.answer.try_recv() {
            Ok(answer) => Some(answer),
            Err(oneshot::error::TryRecvError::Empty) => None,
            // Whoever should have answered is gone.
            Err(oneshot::error::TryRecvError::Closed) => {
                self.answer = self.questions.wait_for(self.user_id);
                None
            }
        }
    }
}

impl Round<'_> {
    /// The accounts to look for: those that were waiting when this was first called, [`MAX_CHECKED`] at the most.
    pub fn user_ids(&self) -> HashSet<UserId> {
        self.asked.get_or_init(|| self.take()).iter().map(|(user_id, _)| user_id.clone()).collect()
    }

    /// Tells all that asked what was found, or why nothing was.
    pub fn tell(mut self, found: &Result<HashSet<UserId>, Outcome>) {
        for (user_id, tell) in self.asked.take().unwrap_or_else(|| self.take()) {
            // Who was given up meanwhile need not know.
            let _ = tell.send(found.as_ref().map(|found| found.contains(&user_id)).map_err(Clone::clone));
        }
    }

    fn take(&self) -> Waiting {
        let waiting = &mut *self.questions.waiting();
        waiting.retain(|(_, tell)| !tell.is_closed());
        waiting.drain(..waiting.len().min(MAX_CHECKED)).collect()
    }
}

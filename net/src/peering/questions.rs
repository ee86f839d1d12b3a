//! The questions that are open on one connection, in one direction.
//!
//! A node that asked waits for the peer until the last answer has come or its patience ends; while
//! it waits, [`keepalive`](super::keepalive) is strict.

use std::collections::BTreeMap;

use roles::contract::id::RequestId;
use roles::contract::limits::QUESTIONS_PER_PEER_MAX;
use roles::contract::time::Time;

/// Open questions: those without their last answer, each until its asker's patience ends.
#[derive(Debug, Default)]
pub struct Questions(BTreeMap<RequestId, Time>);

impl Questions {
    /// Adds a question.
    pub fn open(&mut self, id: RequestId, until: Time) {
        self.0.insert(id, until);
    }

    /// Removes a question whose last answer has been received or queued.
    pub fn close(&mut self, id: RequestId) {
        self.0.remove(&id);
    }

    /// Whether the question `id` is open.
    pub fn holds(&self, id: RequestId) -> bool {
        self.0.contains_key(&id)
    }

    /// Whether `QUESTIONS_PER_PEER_MAX` questions are open. Expired ones are removed first.
    pub fn is_full(&mut self, now: Time) -> bool {
        if self.0.len() >= QUESTIONS_PER_PEER_MAX {
            self.expire(now);
        }
        self.0.len() >= QUESTIONS_PER_PEER_MAX
    }

    /// Removes the questions whose asker has stopped waiting.
    pub fn expire(&mut self, now: Time) {
        self.0.retain(|_, until| *until > now);
    }

    /// Whether no question is open.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many questions are open.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer that never comes keeps its connection under suspicion only while somebody waits.
    #[test]
    fn a_question_is_open_until_its_answer_or_the_end_of_patience() {
        let mut questions = Questions::default();
        questions.open(RequestId(1), Time::from_secs(5));
        questions.open(RequestId(2), Time::from_secs(9));
        questions.close(RequestId(2));
        questions.expire(Time::from_secs(4));
        assert!(questions.holds(RequestId(1)));
        questions.expire(Time::from_secs(5));
        assert!(questions.is_empty());
    }

    /// Expired questions make room before a further one is refused.
    #[test]
    fn a_full_list_is_full_of_open_questions() {
        let mut questions = Questions::default();
        for id in 0..QUESTIONS_PER_PEER_MAX as u64 {
            questions.open(RequestId(id), Time::from_secs(5));
        }
        assert!(questions.is_full(Time::from_secs(4)));
        assert!(!questions.is_full(Time::from_secs(5)));
    }
}

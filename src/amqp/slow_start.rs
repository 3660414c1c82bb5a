//! Slow start: how many jobs may be in flight after a session was lost.
//!
//! The broker counts a delivery for each message that was in flight, and one of them may have ended the session: a message that cannot
//! be delivered ends every session before anything of it arrives. With a full prefetch in each new session, it would take the other
//! messages to the delivery limit, too. So a session that follows a lost one begins with one job in flight and takes more as jobs end.
//!
//! Where only the consuming connection ended, a message is the likely cause. Then the jobs that were in flight are taken one at a time.
//! The broker delivers returned messages before all others, so the first message that it delivers for the first time shows that all of
//! them are through.

use std::time::Duration;

/// A session that ends so soon after a delivery, or after room for one, may have been ended by it.
pub(super) const SOON: Duration = Duration::from_secs(10);

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Nothing had been delivered for a while.
    Idle,
    /// Within [`SOON`] of a delivery.
    Busy,
    /// The consuming connection alone ended or fell silent, while the broker answers on the publishing one.
    Cut,
}

/// How many jobs may be in flight, from session to session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlowStart {
    full: u16,
    window: u16,
    /// Jobs that are taken one at a time before the window grows.
    singly: u64,
    /// Jobs that have ended since the window changed.
    since_change: u64,
    /// Jobs that have ended in this session.
    ended: u64,
}

impl SlowStart {
    /// At first `full` jobs.
    pub(super) fn over(full: u16) -> Self {
        Self { full, window: full, singly: 0, since_change: 0, ended: 0 }
    }

    /// How many may be in flight now; at least 1 where `full` is.
    pub(super) fn window(&self) -> u16 {
        self.window
    }

    /// The most that may ever be in flight.
    pub(super) fn full(&self) -> u16 {
        self.full
    }

    /// True while jobs are taken one at a time, because one of them may have ended a session.
    pub(super) fn singly(&self) -> bool {
        self.singly > 0
    }

    /// The session is lost, with so many in flight.
    pub(super) fn lost(&mut self, loss: Loss, in_flight: usize) {
        let in_vain = self.ended == 0 && self.window < self.full;
        self.ended = 0;
        self.since_change = 0;
        match loss {
            Loss::Idle if self.singly == 0 => self.window = self.full,
            Loss::Idle => {}
            Loss::Busy if !in_vain => self.window = self.full.min(1),
            Loss::Busy | Loss::Cut => {
                self.window = self.full.min(1);
                // The delivery that was under way when the connection ended was never seen.
                self.singly = self.singly.max(in_flight as u64 + 1);
            }
        }
    }

    /// A message was delivered for the first time.
    pub(super) fn fresh(&mut self) {
        self.singly = 0;
    }

    /// So many jobs have ended in this session. True when more may be in flight now.
    pub(super) fn ended(&mut self, in_session: u64) -> bool {
        let more = in_session.saturating_sub(self.ended);
        self.ended = in_session;
        let singly = more.min(self.singly);
        self.singly -= singly;
        self.since_change += more - singly;
        if self.window >= self.full || self.singly > 0 || self.since_change < u64::from(self.window) {
            return false;
        }
        self.since_change = 0;
        self.window = self.window.saturating_mul(2).min(self.full);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_loss_it_grows_as_jobs_end() {
        let mut start = SlowStart::over(16);
        assert!(!start.ended(40), "it is full already");
        start.lost(Loss::Busy, 16);
        let windows: Vec<u16> = (1..=16).map(|ended| (start.ended(ended), start.window()).1).collect();
        assert_eq!(windows, [2, 2, 4, 4, 4, 4, 8, 8, 8, 8, 8, 8, 8, 8, 16, 16]);
        start.lost(Loss::Idle, 0);
        assert_eq!(start.window(), 16, "nothing was delivered that could have ended it");
    }

    #[test]
    fn what_was_in_hand_when_the_consuming_connection_ended_is_taken_singly() {
        let mut start = SlowStart::over(16);
        start.lost(Loss::Cut, 3);
        for ended in 1..=4 {
            assert!(!start.ended(ended), "{ended}");
            assert_eq!(start.window(), 1);
        }
        assert!(start.ended(5));
        assert_eq!(start.window(), 2);
        // It dies again and again at its first delivery; the neighbours are still to come.
        for _ in 0..20 {
            start.lost(Loss::Cut, 0);
            assert_eq!(start.window(), 1);
        }
        assert!(!start.ended(1), "singly");
        assert!(start.ended(2));
    }

    #[test]
    fn a_session_in_which_nothing_happened_is_no_proof() {
        let mut start = SlowStart::over(16);
        start.lost(Loss::Cut, 3);
        start.lost(Loss::Idle, 0);
        assert_eq!(start.window(), 1, "what may have ended the one before is still to come");
        start.fresh();
        start.lost(Loss::Idle, 0);
        assert_eq!(start.window(), 16);
    }

    #[test]
    fn a_message_that_is_delivered_for_the_first_time_says_that_the_others_are_through() {
        let mut start = SlowStart::over(16);
        start.lost(Loss::Cut, 16);
        assert!(!start.ended(1));
        start.fresh();
        assert!(start.ended(2));
        assert_eq!(start.window(), 2);
    }

    #[test]
    fn two_losses_without_an_end_between_them_are_no_coincidence() {
        let mut start = SlowStart::over(16);
        start.lost(Loss::Busy, 16);
        start.lost(Loss::Busy, 1);
        assert!(!start.ended(1) && !start.ended(2));
        assert!(start.ended(3));
    }

    #[test]
    fn one_at_a_time_is_all_there_is_for_some() {
        let mut start = SlowStart::over(1);
        start.lost(Loss::Cut, 1);
        assert_eq!(start.window(), 1);
        assert!(!start.ended(1) && !start.ended(2) && !start.ended(3));
        assert_eq!(start.window(), 1);
    }
}

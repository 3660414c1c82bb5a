//! While nothing is consumed, the log says so once a minute: what is wrong, since when, and how many jobs wait.

use super::consuming::{Consuming as _, ConsumingPorts};
use crate::gate::{Closed, Gate};
use crate::pipeline::Pipeline;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

const EVERY: Duration = Duration::from_mins(1);

/// Calls `say` once a minute while the gate is closed. Does not end by itself.
pub(super) async fn remind(gate: &Gate, say: impl Fn(&Closed)) {
    let mut closed_since = None;
    let mut due = Instant::now();
    loop {
        let changed = gate.changed();
        let since = gate.read(|state| state.closed().map(|closed| closed.since));
        if since != closed_since {
            closed_since = since;
            due = Instant::now() + EVERY;
        }
        let reminding = async {
            match closed_since {
                Some(_) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = reminding => {
                due += EVERY;
                gate.read(|state| state.closed().map(&say));
            }
            () = changed => {}
        }
    }
}

/// What is known without asking anybody.
pub(super) fn say<P: ConsumingPorts>(pipeline: &Pipeline<P>, closed: &Closed) {
    let (reason, message, seconds) = (closed.reason, &closed.message, closed.since.elapsed().as_secs());
    let in_hand = pipeline.log.metrics().in_flight.get();
    let queued = pipeline.broker.waiting();
    let waiting = queued.map_or_else(|| "an unknown number".to_owned(), |queued| queued.to_string());
    tracing::warn!(
        reason = reason.label(),
        seconds,
        in_hand,
        queued,
        "nothing has been consumed for {seconds} s, {reason} is not over: {message} ({in_hand} in hand, {waiting} in the queue)"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{Policy, Reason};
    use antispoof_core::failure::Stage;
    use antispoof_core::retry::Backoff;
    use std::cell::RefCell;
    use tokio::time::{advance, timeout};

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_said_once_a_minute_for_as_long_as_it_lasts() {
        let probe = Backoff::try_new(Duration::from_secs(5), Duration::from_mins(1)).expect("sound");
        let gate = Gate::new(Policy { concurrency: 16, rejection_streak: 0, probe, roll: || 0.5 });
        let said = RefCell::new(Vec::new());
        let outage = async {
            advance(Duration::from_mins(5)).await;
            let probe = gate.close(Reason::Outage(Stage::Call), "it is away").expect("the first");
            for _ in 0..290 {
                // A gate that is probed all the time.
                gate.pass("a job").failed(&antispoof_core::failure::Failure::new(
                    antispoof_core::failure::Code::ApiUnavailable,
                    "still",
                ));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            gate.proof(Stage::Call);
            drop(probe);
            tokio::time::sleep(Duration::from_mins(5)).await;
        };
        let reminding = remind(&gate, |closed| said.borrow_mut().push(closed.since.elapsed().as_secs()));
        assert!(
            timeout(Duration::from_mins(20), futures_util::future::select(Box::pin(reminding), Box::pin(outage)))
                .await
                .is_ok()
        );
        assert_eq!(*said.borrow(), [60, 120, 180, 240]);
    }
}

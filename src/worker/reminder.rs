//! While nothing is consumed, the log says so once a minute: what is wrong, since when, and how many jobs wait.

use super::Consuming;
use crate::pipeline::Pipeline;
use antispoof_core::ports::{Detector, ImageStore, Ledger};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

const EVERY: Duration = Duration::from_mins(1);

/// Does not end by itself.
pub(super) async fn remind<S, D, L, B>(pipeline: Arc<Pipeline<S, D, L, B>>)
where
    S: ImageStore,
    D: Detector,
    L: Ledger,
    B: Consuming,
{
    let mut states = pipeline.gate.watch();
    let mut closed_since = None;
    let mut due = Instant::now();
    loop {
        let since = states.borrow_and_update().closed().map(|closed| closed.since);
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
            changed = states.changed() => if changed.is_err() { return },
            () = reminding => {
                due += EVERY;
                say(&pipeline);
            }
        }
    }
}

fn say<S, D, L, B: Consuming>(pipeline: &Pipeline<S, D, L, B>) {
    let states = pipeline.gate.watch();
    let state = states.borrow();
    let Some(closed) = state.closed() else { return };
    let (reason, message) = (closed.reason, &closed.message);
    let seconds = closed.since.elapsed().as_secs();
    let in_hand = pipeline.journal.metrics().in_flight.get();
    let queued = pipeline.broker.waiting();
    let waiting = queued.map_or_else(|| "?".to_owned(), |queued| queued.to_string());
    tracing::warn!(
        reason = reason.label(),
        seconds,
        in_hand,
        queued,
        "nothing has been consumed for {seconds} s, {reason} is not over: {message} ({in_hand} in hand, {waiting} in the queue)"
    );
}

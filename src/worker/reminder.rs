//! While nothing is consumed, the log says so once a minute: what is wrong, since when, and how many jobs wait.

use super::Consuming;
use crate::gate::State;
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
    let mut closed_since = None;
    let mut due = Instant::now();
    loop {
        let changed = pipeline.gate.changed();
        let since = pipeline.gate.look(|state| state.closed().map(|closed| closed.since));
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
            () = changed => {}
            () = reminding => {
                due += EVERY;
                say(&pipeline);
            }
        }
    }
}

fn say<S, D, L, B: Consuming>(pipeline: &Pipeline<S, D, L, B>) {
    let closed = |state: &State| {
        let closed = state.closed()?;
        Some((closed.reason, closed.message.clone(), closed.since.elapsed().as_secs()))
    };
    let Some((reason, message, seconds)) = pipeline.gate.look(closed) else { return };
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

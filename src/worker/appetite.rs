//! How much is consumed: as much as both the gate and the caution about suspects allow.

use super::Consuming;
use crate::amqp::Demand;
use crate::gate::State;
use crate::pipeline::Pipeline;
use antispoof_core::ports::{Detector, ImageStore, Ledger};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// What suspects demand of everybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caution {
    /// Nothing.
    None,
    /// One at a time until then: more of them are on their way.
    OneUntil(Instant),
    /// Nothing may be in hand beside the one.
    Nobody,
}

impl Caution {
    fn demand(self) -> Demand {
        match self {
            Self::None => Demand::Full,
            Self::OneUntil(_) => Demand::One,
            Self::Nobody => Demand::Paused,
        }
    }
}

/// Passes on what may be consumed: nothing while the gate is closed, and one job to find the next probe.
pub(super) async fn follow<S, D, L, B>(pipeline: Arc<Pipeline<S, D, L, B>>, caution: watch::Sender<Caution>)
where
    S: ImageStore,
    D: Detector,
    L: Ledger,
    B: Consuming,
{
    let mut states = pipeline.gate.watch();
    let mut cautions = caution.subscribe();
    loop {
        let state = *states.borrow_and_update();
        let careful = *cautions.borrow_and_update();
        pipeline.journal.metrics().gate_open.set((state == State::Open).into());
        let demand = match state {
            State::Open => Demand::Full,
            State::Closed(_) => Demand::Paused,
            State::Handover(_) => Demand::One,
        };
        // The worker pauses when it drains; that must not be undone.
        if pipeline.stop.soft().is_cancelled() {
            return;
        }
        pipeline.broker.demand(demand.min(careful.demand()));
        let over = async {
            match careful {
                Caution::OneUntil(end) => sleep_until(end).await,
                Caution::None | Caution::Nobody => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = states.changed() => if changed.is_err() { return },
            changed = cautions.changed() => if changed.is_err() { return },
            () = over => {
                // Unless a suspect has come in this very moment.
                caution.send_if_modified(|now| {
                    let is_over = *now == careful;
                    if is_over {
                        *now = Caution::None;
                    }
                    is_over
                });
            }
        }
    }
}

//! How much is consumed: as much as the gate, the caution about suspects and the limiter allow.

use super::consuming::{Consuming as _, ConsumingPorts};
use crate::amqp::ConsumeMode;
use crate::gate::Flow;
use crate::pipeline::Pipeline;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until};

/// How often the limiter looks at the jobs in hand: while more of them might be of use, or fewer do; and while there are few jobs.
const LOOKS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));

/// How many jobs may be in hand beside a suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caution {
    /// As many as the gate allows.
    None,
    /// One at a time until then: more of them are on their way.
    OneUntil(Instant),
    /// None beside the suspect.
    Alone,
}

impl Caution {
    /// What it is after a suspect: those that were put off come `back`, or others still do that had been put off before. A producer that marks
    /// its messages as suspects slows nothing down by that alone.
    pub(super) fn or_until(self, back: Option<Instant>, now: Instant) -> Self {
        match (back, self) {
            (Some(end), _) => Self::OneUntil(end),
            (None, Self::OneUntil(end)) if end > now => self,
            (None, _) => Self::None,
        }
    }

    fn consume_mode(self) -> ConsumeMode {
        match self {
            Self::None => ConsumeMode::Full,
            Self::OneUntil(_) => ConsumeMode::AtMost(1),
            Self::Alone => ConsumeMode::Paused,
        }
    }
}

/// Passes on what may be consumed: nothing while the gate is closed, one job to find the next probe, and few when it has just opened; and no more than
/// the limiter has use for. `permits` are those of the jobs that are not in hand, of `concurrency`.
pub(super) async fn follow<P: ConsumingPorts>(
    pipeline: Arc<Pipeline<P>>,
    caution: watch::Sender<Caution>,
    permits: Arc<Semaphore>,
    concurrency: u16,
) {
    let mut cautions = caution.subscribe();
    let look = || pipeline.limiter.look(usize::from(concurrency).saturating_sub(permits.available_permits()));
    loop {
        let load = look();
        if let Some(load) = load {
            pipeline.log.metrics().limits(load.limit, load.pace);
        }
        let gate_changed = pipeline.gate.changed();
        let flow = pipeline.gate.read(|state| state.flow(Instant::now()));
        let careful = *cautions.borrow_and_update();
        let mode = match flow {
            Flow::Full => ConsumeMode::Full,
            Flow::AtMost(most) => ConsumeMode::AtMost(most),
            Flow::Nothing(_) => ConsumeMode::Paused,
        };
        // The worker pauses when it drains; that must not be undone.
        if pipeline.stop.soft().is_cancelled() {
            return;
        }
        let hands = load.map_or(ConsumeMode::Full, |load| ConsumeMode::AtMost(load.hands));
        pipeline.broker.set_consume_mode(mode.min(careful.consume_mode()).min(hands));
        let over = async {
            match careful {
                Caution::OneUntil(end) => sleep_until(end).await,
                Caution::None | Caution::Alone => std::future::pending().await,
            }
        };
        let probe_due = async {
            match flow {
                Flow::Nothing(Some(due)) => sleep_until(due).await,
                Flow::Full | Flow::AtMost(_) | Flow::Nothing(None) => std::future::pending().await,
            }
        };
        let looks_again = async {
            match load {
                Some(load) => sleep(if load.settled { LOOKS.1 } else { LOOKS.0 }).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = gate_changed => {}
            () = looks_again => {}
            changed = cautions.changed() => if changed.is_err() { return },
            () = probe_due => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_suspects_that_are_expected_back_slow_the_others_down() {
        let now = Instant::now();
        let (sooner, later) = (now + Duration::from_secs(1), now + Duration::from_secs(15));
        assert_eq!(Caution::None.or_until(None, now), Caution::None);
        assert_eq!(Caution::None.or_until(Some(later), now), Caution::OneUntil(later));
        assert_eq!(Caution::OneUntil(sooner).or_until(None, now), Caution::OneUntil(sooner), "others are on their way");
        assert_eq!(Caution::OneUntil(sooner).or_until(Some(later), now), Caution::OneUntil(later));
        assert_eq!(Caution::OneUntil(now).or_until(None, now), Caution::None, "that is over");
    }
}

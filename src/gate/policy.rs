//! What the settings say, for the gate.

use antispoof_core::retry::Backoff;

/// What the settings say, for the gate.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Jobs that run at once when everything is well.
    pub concurrency: u16,
    /// So many different jobs rejected in a row close the gate; 0 = off.
    pub rejection_streak: usize,
    /// The waits between probes of what does not pass by itself, and after those that may have been paid for.
    pub probe: Backoff,
    /// A number in `0.0..1.0`.
    pub roll: fn() -> f64,
}

//! Integration tests: the daemon as a process, against a real broker, a real object store and a real Redis.
//!
//! `make test` starts the services and runs everything. By hand: `scripts/services up`, `eval "$(scripts/services env)"`, `cargo test --test it`.
//! Without services every test that needs one fails.
//!
//! A scenario is an async test that makes a `World`: a virtual host, a prefix in the bucket, a simulator of the vendor and a cuttable
//! link in front of each service, all its own, so tests run in parallel. It starts a daemon with `world.daemon()` (settings by
//! `.set("section.key", value)`), submits jobs, does something nasty, waits for terminal events, and ends with what must hold.
//!
//! ```text
//! #[tokio::test]
//! async fn a_cut_to_the_vendor_before_the_answer_is_paid_for_once() {
//!     let world = World::new("cut_before_the_answer").await;
//!     let daemon = world.daemon().set("api.in_doubt", "park").start_ready().await;
//!     let bytes = jpeg::tiny(1);
//!     let stored = world.upload("face.jpg", bytes.clone()).await;
//!     world.api_link.drop_after(1, Direction::ToDaemon);      // the first byte of the answer is the last one
//!     let job = world.submit(&stored.key).await;
//!     assert_eq!(world.event_for(&job).await.failure_code(), Some("api_in_doubt"));
//!     assert_eq!(world.simulator.billed(&sha256(&bytes)).await, 1);
//!     daemon.term();
//!     assert!(daemon.wait_exit(STARTED).await.success());
//!     world.assert_drained().await;
//! }
//! ```
//!
//! Rules: no sleeps, only `wait::eventually` and its kin with a named limit; count what the simulator billed, not only what the daemon said; an event may come
//! twice, so compare `events_for(job)` by id. What comes after an event is waited for, and not looked at once: the copy of a failed job, the ack, the
//! figures of the delivery, the lines of the log (`Daemon::wait_logged`). Declare the daemon after the world, so that it goes first. A failed test prints the
//! logs of its processes.

#![expect(clippy::disallowed_methods, reason = "a test looks at every answer itself")]

#[expect(dead_code, reason = "the harness offers more than the scenarios of a day use")]
mod harness;
#[expect(dead_code, reason = "what only the samples example uses of it")]
mod images;

#[expect(dead_code, reason = "figures for a machine are what only the chaos example prints")]
mod chaos;

mod batch;
mod check;
mod client;
mod codes;
mod conformance;
mod contract;
mod conversion;
mod dead;
mod delays;
mod drain;
mod edge;
mod happy;
mod harness_tests;
mod hostile;
mod inspection;
mod intake;
mod ledger;
mod log;
mod money;
mod observability;
mod outages;
mod overload;
mod parked;
mod policies;
mod privacy;
mod readme;
mod recovery;
mod rights;
mod rollout;
mod rotation;
mod seen;
mod soak;
mod status;
mod stores;
mod suspects;
mod topology;
mod traces;
mod unread;
mod versions;

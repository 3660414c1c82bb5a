//! The connections to RabbitMQ: the only place that names lapin.
//!
//! ```text
//!   supervisor ── builds ──> session { two connections, consumer, outbox }   watched, closed, built again, for ever
//!        │ leases                      ▲
//!        ▼                             │ publishes
//!      Inbox ──> worker ──> Amqp (ports::Broker) ──> outbox
//!        ▲
//!        │ leases
//!      dead ───── opens ──> a connection of its own, which reads what the broker took off the job queue
//! ```
//!
//! There are two connections, because an alarm of the broker blocks everything on a connection that publishes, acks included. The
//! third is there because a message that ends each connection that it is delivered to must not end those of the jobs.

mod acks;
mod client;
mod connect;
mod consume_mode;
mod dead;
mod definitions;
mod depths;
mod frame_budget;
mod headers;
mod inbox;
mod inspect;
mod management;
mod messages;
mod observer;
mod outbox;
mod parked;
mod reply;
mod sanitizer;
mod session;
mod session_failure;
mod session_loop;
mod shared;
mod slow_start;
mod socket;
mod subscription;
mod supervisor;
mod tool;
mod topology;
mod version;
mod watchdog;

pub use client::{Amqp, Started};
pub use connect::{ConnectError, Link, Refusal, Role, connect};
pub use consume_mode::ConsumeMode;
pub use definitions::definitions;
pub use depths::Depth;
pub use inbox::{Inbox, JobLease};
pub use inspect::{Difference, Found, State, inspect};
pub use management::{Compared, Effect, Management, ManagementError, Policies, PolicyFinding, PolicyName};
pub use messages::job_message;
pub use observer::{Consumed, Observer};
pub use outbox::{Outbox, Receipt};
pub use parked::{
    Destination, Entry, ExportedError, Fingerprint, Held, NotPublished, ParkedMessage, Pass, Publisher, exported,
    imported,
};
pub use tool::{Keep, NotTaken, Tail, ToolError, close, missing, takes_messages};
pub use topology::{Names, TopologyError, declare, declare_over};
pub use version::{Compatibility, Product};

//! What the pipeline relies on in a broker. The one in memory and RabbitMQ both go through it: that is what the model's word is worth.

use antispoof_core::event::{Event, FailureResult, Report};
use antispoof_core::failure::{Code, Failure};
use antispoof_core::job::{Admission, Intake, Origin, Properties};
use antispoof_core::ports::{Broker, Lease, LeaseLost, PublishError, Spent};
use antispoof_core::retry::Attempt;
use antispoofd::amqp::ConsumeMode;
use antispoofd::worker::Consuming;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::time::timeout;

/// For what happens without a delay queue, reconnecting included.
const SOON: Duration = Duration::from_mins(1);

/// Longer than any scenario takes.
pub(crate) const WHOLE: Duration = Duration::from_mins(5);

/// Nothing has happened when nothing has happened for so long.
const QUIET: Duration = Duration::from_secs(2);

/// What [`ConsumeMode::Full`] is on every bench.
pub(crate) const PREFETCH: u16 = 3;

const BODY: &[u8] = b"{\"key\": \"a\"}";

/// A broker, and the hands of somebody outside.
pub(crate) trait Bench {
    /// The one that is looked at.
    type Broker: Consuming;

    fn broker(&self) -> &Self::Broker;
    /// The next message that is delivered.
    async fn next(&mut self) -> Option<LeaseOf<Self>>;
    /// Publishes a message into the job queue.
    async fn submit(&self, body: &[u8], properties: &Properties);
    /// Whether a queue is bound for the results.
    async fn bind(&self, bound: bool);
    /// Routing keys of all events that anybody got.
    async fn events(&self) -> Vec<String>;
    /// Body, attempts and code of what is parked.
    async fn parked(&self) -> Vec<(Vec<u8>, u32, String)>;
    /// Breaks every connection. They can be made again.
    async fn break_connections(&self);
}

pub(crate) type LeaseOf<B> = <<B as Bench>::Broker as Broker>::Lease;

/// An event is confirmed where somebody gets it, and only there.
pub(crate) async fn an_event_is_confirmed_or_comes_back(bench: &mut impl Bench) {
    ready(bench, ConsumeMode::Paused).await;
    let event = event();
    assert!(bench.broker().publish_event(&event).await.is_ok());
    assert_eq!(bench.events().await, ["failure.api_rejected"]);
    bench.bind(false).await;
    for _ in 0..3 {
        let returned = bench.broker().publish_event(&event).await.err().expect("no queue gets it");
        assert!(matches!(returned, PublishError::Unroutable { .. }), "{returned}");
    }
    bench.bind(true).await;
    assert!(bench.broker().publish_event(&event).await.is_ok(), "as before");
}

/// A deferred copy is the same message with other attempts, after its delay. The original is gone with its ack.
pub(crate) async fn a_deferred_copy_comes_back(bench: &mut impl Bench) {
    ready(bench, ConsumeMode::Full).await;
    bench.submit(BODY, &properties()).await;
    let failure = Failure::new(Code::ApiUnavailable, "the API answered 503").with_status(503);
    for (attempts, spent, why) in [(0, 1, Some(&failure)), (1, 1, None), (1, 2, Some(&failure))] {
        let lease = taken(bench).await;
        assert_eq!((lease.body(), lease.properties()), (BODY, &properties()));
        // A copy is a new message to the broker; what it was charged with before stands on it.
        let delivered = if attempts == 0 { 0 } else { 2 };
        assert_eq!((lease.attempt(), lease.replay(), lease.deliveries()), (Attempt::spent(attempts), 0, delivered));
        let receipt = bench
            .broker()
            .defer(&lease, 0, Spent { attempts: Attempt::spent(spent), in_doubt: 0, deliveries: 2 }, why)
            .await
            .expect("it is taken");
        assert!(lease.usable());
        bench.broker().ack(lease, receipt).await.expect("it is acked");
    }
    let last = taken(bench).await;
    assert_eq!(last.attempt(), Attempt::spent(2));
    nothing(bench).await;
}

/// A parked copy stays, and says why.
pub(crate) async fn a_parked_copy_stays(bench: &mut impl Bench) {
    ready(bench, ConsumeMode::Full).await;
    bench.submit(BODY, &properties()).await;
    let lease = taken(bench).await;
    let failure = Failure::new(Code::NotAnImage, "the first bytes are of no known image format");
    let receipt = bench
        .broker()
        .park(&lease, Spent { attempts: Attempt::spent(3), in_doubt: 2, deliveries: 0 }, &failure)
        .await
        .expect("it is taken");
    bench.broker().ack(lease, receipt).await.expect("it is acked");
    assert_eq!(bench.parked().await, [(BODY.to_vec(), 3, "not_an_image".to_owned())]);
    nothing(bench).await;
}

/// A message can be replaced by others, which have its properties and not its name; and one that asks for nothing by nothing.
pub(crate) async fn a_message_is_divided_or_dismissed(bench: &mut impl Bench) {
    ready(bench, ConsumeMode::Full).await;
    let notification = |keys: &[&str]| {
        let records: Vec<_> = keys.iter().map(|key| record(key)).collect();
        format!("{{\"Records\":[{}]}}", records.join(","))
    };
    bench.submit(notification(&["a", "b"]).as_bytes(), &properties()).await;
    let whole = taken(bench).await;
    let Ok(Intake::Several(bodies)) = Intake::read(whole.body(), whole.properties(), &Admission::default()) else {
        panic!("two jobs")
    };
    let mut last = None;
    for body in &bodies {
        last = Some(bench.broker().fan_out(&whole, body).await.expect("it is taken"));
    }
    bench.broker().ack(whole, last.expect("a receipt")).await.expect("it is acked");
    let mut keys = Vec::new();
    for _ in 0..2 {
        let part = taken(bench).await;
        assert_eq!(part.properties(), &Properties { message_id: None, ..properties() });
        assert_eq!((part.attempt(), part.deliveries(), part.seen_before(i64::MAX)), (Attempt::spent(0), 0, true));
        let Ok(Intake::Job(job)) = Intake::read(part.body(), part.properties(), &Admission::default()) else {
            panic!("a job")
        };
        keys.push(job.image().key.clone());
        let receipt = bench.broker().publish_event(&event()).await.expect("it is taken");
        bench.broker().ack(part, receipt).await.expect("it is acked");
    }
    keys.sort();
    assert_eq!(keys, ["a", "b"]);
    bench.submit(br#"{"Event":"s3:TestEvent"}"#, &properties()).await;
    let test = taken(bench).await;
    let Ok(Intake::Nothing(nothing)) = Intake::read(test.body(), test.properties(), &Admission::default()) else {
        panic!("nothing")
    };
    bench.broker().discard(test, nothing).await.expect("it is acked");
    // As below: with this answer the ack has been read.
    bench.broker().set_consume_mode(ConsumeMode::AtMost(1));
    bench.submit(BODY, &properties()).await;
    let after = taken(bench).await;
    assert_eq!(after.body(), BODY);
    bench.break_connections().await;
    let again = taken(bench).await;
    assert_eq!(again.body(), BODY);
    self::nothing(bench).await;
}

/// What was acked does not come again, whatever happens to the connections.
pub(crate) async fn what_is_acked_is_gone(bench: &mut impl Bench) {
    ready(bench, ConsumeMode::Full).await;
    bench.submit(BODY, &properties()).await;
    let lease = taken(bench).await;
    let receipt = bench.broker().publish_event(&event()).await.expect("it is taken");
    bench.broker().ack(lease, receipt).await.expect("it is acked");
    // One answer later the ack has been read: it was written first, on the connection that is now to be cancelled on.
    bench.broker().set_consume_mode(ConsumeMode::AtMost(1));
    bench.submit(b"after", &properties()).await;
    let after = taken(bench).await;
    assert_eq!(after.body(), b"after");
    bench.break_connections().await;
    let again = taken(bench).await;
    assert_eq!(again.body(), b"after");
    nothing(bench).await;
}

/// With its session a lease ends: it cannot be acked, and its message comes again, counted.
pub(crate) async fn a_lease_ends_with_its_session(bench: &mut impl Bench) {
    ready(bench, ConsumeMode::Full).await;
    bench.submit(BODY, &properties()).await;
    let lease = taken(bench).await;
    let receipt = bench.broker().publish_event(&event()).await.expect("it is taken");
    bench.break_connections().await;
    let again = taken(bench).await;
    assert!(!lease.usable());
    assert_eq!(bench.broker().ack(lease, receipt).await, Err(LeaseLost));
    assert_eq!((again.body(), again.properties(), again.deliveries()), (BODY, &properties(), 1));
    assert!(again.usable());
    timeout(SOON, bench.broker().until_publishable()).await.expect("it can publish again");
    assert!(bench.broker().can_publish());
    let receipt = bench.broker().publish_event(&event()).await.expect("it is taken");
    bench.broker().ack(again, receipt).await.expect("it is acked");
    nothing(bench).await;
}

/// Handed back or dropped, a message comes again at once.
pub(crate) async fn what_is_handed_back_comes_again(bench: &mut impl Bench) {
    ready(bench, ConsumeMode::Full).await;
    bench.submit(BODY, &properties()).await;
    let lease = taken(bench).await;
    bench.broker().requeue(lease).await;
    let again = taken(bench).await;
    assert_eq!((again.body(), again.properties()), (BODY, &properties()));
    drop(again);
    let again = taken(bench).await;
    assert_eq!(again.body(), BODY);
    // What is handed back counts up to RabbitMQ 4.2; what is dropped counts with every version, or a job that panics would come for ever.
    assert!((1..=2).contains(&again.deliveries()), "{}", again.deliveries());
    nothing(bench).await;
}

/// As many as are wanted are in hand, and no more.
pub(crate) async fn no_more_is_delivered_than_is_wanted(bench: &mut impl Bench) {
    ready(bench, ConsumeMode::Paused).await;
    for _ in 0..=PREFETCH {
        bench.submit(BODY, &properties()).await;
    }
    nothing(bench).await;
    bench.broker().set_consume_mode(ConsumeMode::AtMost(1));
    let first = taken(bench).await;
    nothing(bench).await;
    bench.broker().set_consume_mode(ConsumeMode::Paused);
    assert!(first.usable(), "what is in hand stays in hand");
    let receipt = bench.broker().publish_event(&event()).await.expect("it is taken");
    bench.broker().ack(first, receipt).await.expect("it is acked, without a consumer");
    nothing(bench).await;
    bench.broker().set_consume_mode(ConsumeMode::Full);
    let mut leases = Vec::new();
    for _ in 0..PREFETCH {
        leases.push(taken(bench).await);
    }
    bench.submit(BODY, &properties()).await;
    nothing(bench).await;
    drop(leases.pop());
    taken(bench).await;
}

/// Without a session nothing is confirmed; with the next one it goes on.
pub(crate) async fn publishing_outlives_its_session(bench: &mut impl Bench) {
    ready(bench, ConsumeMode::Full).await;
    bench.break_connections().await;
    let event = event();
    let told = async {
        while let Err(error) = bench.broker().publish_event(&event).await {
            assert!(matches!(error, PublishError::Unavailable(_)), "{error}");
            tokio::task::yield_now().await;
            bench.broker().until_publishable().await;
        }
    };
    timeout(SOON, told).await.expect("a new session takes it");
    assert!(!bench.events().await.is_empty());
}

async fn ready(bench: &mut impl Bench, mode: ConsumeMode) {
    bench.broker().set_consume_mode(mode);
    timeout(SOON, bench.broker().until_publishable()).await.expect("a session");
    assert!(bench.broker().can_publish());
}

async fn taken<B: Bench>(bench: &mut B) -> LeaseOf<B> {
    timeout(SOON, bench.next()).await.expect("a delivery in time").expect("a delivery")
}

async fn nothing(bench: &mut impl Bench) {
    if let Ok(Some(lease)) = timeout(QUIET, bench.next()).await {
        panic!("there is another delivery: {}", lease.body().escape_ascii());
    }
}

fn record(key: &str) -> String {
    format!(
        r#"{{"eventName":"ObjectCreated:Put","eventSource":"aws:s3","s3":{{"bucket":{{"name":"kyc-uploads"}},"object":{{"key":"{key}"}}}}}}"#
    )
}

fn properties() -> Properties {
    Properties {
        content_type: Some("application/json".to_owned()),
        message_id: Some("job-0".to_owned()),
        correlation_id: Some("c-1".to_owned()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        ..Properties::default()
    }
}

fn event() -> Event {
    let origin = Origin::of_message(BODY, &properties());
    let failure = Failure::new(Code::ApiRejected, "the API answered 422").with_status(422);
    let report = Report::new(None, Attempt::spent(1), OffsetDateTime::UNIX_EPOCH, 0);
    let result = FailureResult::new(&failure, report);
    Event::failure("antispoofd/conformance", &origin, &result).expect("an event")
}

/// A test for every behaviour, on the bench that the expression makes.
macro_rules! conforms {
    (#[$test:meta] $bench:expr) => {
        conforms!(@each #[$test] $bench;
            an_event_is_confirmed_or_comes_back
            a_deferred_copy_comes_back
            a_parked_copy_stays
            a_message_is_divided_or_dismissed
            what_is_acked_is_gone
            a_lease_ends_with_its_session
            what_is_handed_back_comes_again
            no_more_is_delivered_than_is_wanted
            publishing_outlives_its_session
        );
    };
    (@each #[$test:meta] $bench:expr; $($name:ident)+) => {
        $(
            #[$test]
            async fn $name() {
                let mut bench = $bench(stringify!($name)).await;
                let scenario = conformance::$name(&mut bench);
                tokio::time::timeout(conformance::WHOLE, scenario).await.expect("it does not hang");
            }
        )+
    };
}
pub(crate) use conforms;

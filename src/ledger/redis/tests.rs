//! Against a real server.

use super::*;
use crate::ledger::conformance::{Hand, Lives, Place, conformance, verdict};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const PATIENCE: Duration = Duration::from_secs(10);

struct Server {
    url: String,
    prefix: String,
    lives: Lives,
    limit: u64,
    hand: Hand,
    ledger: Arc<Redis>,
}

impl Server {
    fn at(url: String, lives: Lives, limit: u64) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("unit-{}-{number}-{:08x}", std::process::id(), fastrand::u32(..));
        let hand = Hand::default();
        let ledger = Arc::new(connect(&url, &prefix, lives, &hand).counting(limit));
        Self { url, prefix, lives, limit, hand, ledger }
    }

    fn fresh(&self) -> Redis {
        connect(&self.url, &self.prefix, self.lives, &self.hand).counting(self.limit)
    }

    fn count(&self) -> String {
        format!("{{{}}}:ledger:calls", self.prefix)
    }
}

fn connect(url: &str, prefix: &str, lives: Lives, hand: &Hand) -> Redis {
    let options = RedisOptions { url, prefix, ttl: lives.ttl, claim_life: lives.claim, patience: PATIENCE };
    Redis::new(&options, hand.clock()).expect("a URL")
}

fn test_server() -> String {
    std::env::var("ANTISPOOF_TEST_REDIS_URL")
        .expect("ANTISPOOF_TEST_REDIS_URL is not set: run make test, or: eval \"$(scripts/services env)\"")
}

impl Place for Server {
    type Ledger = Redis;

    async fn limited(lives: Lives, limit: u64) -> Self {
        Self::at(test_server(), lives, limit)
    }

    fn worker(&self) -> Arc<Redis> {
        self.ledger.clone()
    }

    async fn stranger(&self) -> Option<Arc<Redis>> {
        Some(Arc::new(self.fresh()))
    }

    /// The server has its own clock, which no client can set.
    fn pass(&self, _: Duration) {}

    /// What is counted becomes yesterday's.
    async fn next_day(&self) {
        let written: String = raw(self, &["GET", &self.count()]).await;
        let (day, counted) = written.split_once(' ').expect("a day and a number");
        let yesterday = day.parse::<u64>().expect("a day") - 1;
        let _: String = raw(self, &["SET", &self.count(), &format!("{yesterday} {counted}")]).await;
    }

    async fn after_a_crash(self) -> Option<Self> {
        let ledger = Arc::new(self.fresh());
        Some(Self { ledger, ..self })
    }
}

conformance!(Server);
conformance!(Server: a_claim_that_was_taken_over_is_lost what_was_counted_outlives_the_worker);

#[tokio::test]
async fn the_count_goes_by_the_server_s_day_and_is_bounded_in_time() {
    let server = Server::limited(long(), 5).await;
    // A worker whose clock is three days ahead counts on the same day.
    server.hand.pass(Duration::from_hours(72));
    server.ledger.begin("a").await.expect("begin");
    let Ok(Intent::Recorded(Some(today))) = server.ledger.intent("a").await else { panic!("counted") };
    let time: Vec<u64> = raw(&server, &["TIME"]).await;
    assert_eq!((today.day, today.counted, today.limit), (time[0] / 86_400, 1, 5));
    let life: u64 = raw(&server, &["PTTL", &server.count()]).await;
    assert!((86_400_000..=2 * 86_400_000).contains(&life), "it is kept for a day more than it counts: {life}");
    // Of another type, or written by another program: the ledger's failure, or a day that begins anew.
    let _: i64 = raw(&server, &["DEL", &server.count()]).await;
    let _: i64 = raw(&server, &["LPUSH", &server.count(), "x"]).await;
    let error = server.ledger.intent("a").await.expect_err("it cannot be counted").to_string();
    assert!(error.contains("WRONGTYPE"), "{error}");
    let _: String = raw(&server, &["SET", &server.count(), "x"]).await;
    assert!(matches!(server.ledger.intent("a").await, Ok(Intent::Recorded(Some(DailyCalls { counted: 1, .. })))));
}

#[tokio::test]
async fn a_call_is_taken_off_once_or_not_at_all() {
    let server = Server::limited(long(), 5).await;
    server.ledger.begin("a").await.expect("begin");
    let Ok(Intent::Recorded(Some(today))) = server.ledger.intent("a").await else { panic!("counted") };
    server.ledger.link.cut().await;
    server.ledger.unsent(today).await.expect_err("the server is gone");
    server.ledger.link.mend().await;
    assert_eq!(server.ledger.begin("b").await, Ok(ClaimOutcome::Fresh));
    let counted = server.ledger.daily_calls().await.expect("an answer").expect("counted").counted;
    assert_eq!(counted, 1, "too many rather than too few: it is not made up for");
}

fn long() -> Lives {
    Lives { ttl: Duration::from_mins(10), claim: Duration::from_mins(1) }
}

async fn raw<T: redis::FromRedisValue>(server: &Server, command: &[&str]) -> T {
    let client = redis::Client::open(server.url.as_str()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("the server");
    let mut query = redis::cmd(command[0]);
    for argument in &command[1..] {
        query.arg(*argument);
    }
    query.query_async(&mut connection).await.expect("an answer")
}

#[tokio::test]
async fn what_was_recorded_outlives_the_worker() {
    let lives = Lives { ttl: Duration::from_mins(10), claim: Duration::from_millis(200) };
    let server = Server::new(lives).await;
    server.ledger.begin("claimed").await.expect("begin");
    server.ledger.begin("intended").await.expect("begin");
    assert_eq!(server.ledger.intent("intended").await, Ok(Intent::Recorded(None)));
    server.ledger.conclude("ended", None, &verdict(0.5), None).await.expect("conclude");
    let server = server.after_a_crash().await.expect("it lasts");
    assert_eq!(server.ledger.begin("ended").await, Ok(ClaimOutcome::Concluded(Box::new(verdict(0.5)))));
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let known = server.ledger.begin("intended").await.expect("begin");
        if known == (ClaimOutcome::InDoubt { calls: 1 }) {
            break;
        }
        assert_eq!(known, ClaimOutcome::Busy);
        assert!(tokio::time::Instant::now() < deadline, "the claim of a dead worker does not run out");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn keys_share_a_slot_and_records_are_readable_and_bounded_in_time() {
    let server = Server::new(long()).await;
    let key = format!("{{{}}}:ledger:job:a", server.prefix);
    server.ledger.begin("a").await.expect("begin");
    let claimed: String = raw(&server, &["GET", &key]).await;
    assert!(claimed.starts_with(r#"{"state":"claimed","by":""#), "{claimed}");
    let life: i64 = raw(&server, &["PTTL", &key]).await;
    assert!((1..=60_000).contains(&life), "a claim that is not renewed goes by itself: {life}");

    assert_eq!(server.ledger.intent("a").await, Ok(Intent::Recorded(None)));
    let until = |record: &str| {
        let record: serde_json::Value = serde_json::from_str(record).expect("JSON");
        assert_eq!((&record["state"], &record["calls"]), (&"intent".into(), &1.into()));
        record["until"].as_u64().expect("a time")
    };
    let first = until(&raw::<String>(&server, &["GET", &key]).await);
    let life: i64 = raw(&server, &["PTTL", &key]).await;
    assert!((500_000..=600_000).contains(&life), "an intent lasts as long as an end: {life}");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        assert_eq!(server.ledger.intent("a").await, Ok(Intent::Recorded(None)));
        if until(&raw::<String>(&server, &["GET", &key]).await) > first {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "an intent renews the claim");
    }

    server.ledger.conclude("a", Some("o"), &verdict(0.5), None).await.expect("conclude");
    server.ledger.published("a", true).await.expect("published");
    let record: String = raw(&server, &["GET", &key]).await;
    assert!(
        record.starts_with(r#"{"state":"verdict","announced":false,"end":{"#),
        "a publish that is confirmed costs no round trip: {record}"
    );
    let object = format!("{{{}}}:ledger:object:o", server.prefix);
    for key in [key, object] {
        let life: i64 = raw(&server, &["PTTL", &key]).await;
        assert!((500_000..=600_000).contains(&life), "{key}: {life}");
    }
}

#[tokio::test]
async fn an_intent_lasts_at_least_as_long_as_its_claim() {
    let server = Server::new(Lives { ttl: Duration::from_millis(1), ..long() }).await;
    server.ledger.begin("a").await.expect("begin");
    assert_eq!(server.ledger.intent("a").await, Ok(Intent::Recorded(None)));
    let life: i64 = raw(&server, &["PTTL", &format!("{{{}}}:ledger:job:a", server.prefix)]).await;
    assert!((50_000..=60_000).contains(&life), "a call can take longer than ledger.ttl: {life}");
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_is_told_again() {
    let server = Server::new(long()).await;
    assert_eq!(server.ledger.begin("a").await, Ok(ClaimOutcome::Fresh));
    let _: String = raw(&server, &["SCRIPT", "FLUSH"]).await;
    assert_eq!(server.ledger.begin("b").await, Ok(ClaimOutcome::Fresh));
}

#[tokio::test]
async fn a_release_that_was_not_heard_is_made_up_for() {
    let server = Server::new(long()).await;
    server.ledger.begin("a").await.expect("begin");
    assert_eq!(server.ledger.intent("a").await, Ok(Intent::Recorded(None)));
    server.ledger.begin("c").await.expect("begin");
    server.ledger.link.cut().await;
    server.ledger.release("a", false).await.expect_err("the server is gone");
    server.ledger.conclude("c", None, &verdict(0.5), None).await.expect_err("the server is gone");
    server.ledger.begin("b").await.expect_err("nothing is begun before that is told");
    server.ledger.link.mend().await;
    assert_eq!(server.ledger.begin("b").await, Ok(ClaimOutcome::Fresh));
    assert_eq!(server.fresh().begin("c").await, Ok(ClaimOutcome::Concluded(Box::new(verdict(0.5)))));
    assert_eq!(server.ledger.begin("a").await, Ok(ClaimOutcome::Fresh), "no call was made");
}

#[tokio::test]
async fn nobody_there_is_an_error_in_time_and_the_next_steps_fail_at_once() {
    // Accepts and never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let connections = || std::iter::from_fn(|| listener.accept().ok()).count();
    let url = format!("redis://user:hush@{}/3", listener.local_addr().expect("an address"));
    let options = RedisOptions {
        url: &url,
        prefix: "unit",
        ttl: PATIENCE,
        claim_life: PATIENCE,
        patience: Duration::from_millis(100),
    };
    let ledger = Redis::new(&options, Hand::default().clock()).expect("a URL");
    let error = ledger.begin("a").await.expect_err("no server answers").to_string();
    assert!(error.contains("100ms") && error.contains("127.0.0.1") && !error.contains("hush"), "{error}");
    assert!(connections() > 0, "it was tried");
    let error = ledger.begin("a").await.expect_err("no server answers").to_string();
    assert_eq!(connections(), 0, "it was tried a moment ago");
    assert!(error.contains("no answer within") && !error.contains("hush"), "{error}");
}

#[test]
fn a_url_that_cannot_be_used_is_refused_without_repeating_it() {
    let options =
        RedisOptions { url: "redis://:hush@h:x", prefix: "p", ttl: PATIENCE, claim_life: PATIENCE, patience: PATIENCE };
    let error = Redis::new(&options, Clock::system()).expect_err("no port").to_string();
    assert!(!error.contains("hush"), "{error}");
}

#[tokio::test]
async fn what_somebody_else_wrote_is_a_call_in_doubt_and_holds_up_no_other_job() {
    let forged = crate::ledger::record::write_end(&verdict(55.0), false).expect("JSON");
    for (number, wrong) in
        ["garbage", r#"{"state":"claimed","by":"nobody"}"#, r#"{"state":"intent","calls":"x"}"#, &forged]
            .into_iter()
            .enumerate()
    {
        let server = Server::new(long()).await;
        let (job, key) = (format!("a{number}"), format!("{{{}}}:ledger:job:a{number}", server.prefix));
        let _: String = raw(&server, &["SET", &key, wrong]).await;
        let ledger = &server.ledger;
        assert_eq!(ledger.begin(&job).await, Ok(ClaimOutcome::InDoubt { calls: 1 }), "{wrong}");
        assert_eq!(ledger.begin("another").await, Ok(ClaimOutcome::Fresh));
        assert_eq!(ledger.intent(&job).await, Ok(Intent::Recorded(None)));
        // Once more, during the call, and of another type.
        let _: i64 = raw(&server, &["DEL", &key]).await;
        let _: i64 = raw(&server, &["LPUSH", &key, "x"]).await;
        assert_eq!(ledger.begin(&job).await, Ok(ClaimOutcome::Busy));
        assert_eq!(ledger.conclude(&job, None, &verdict(0.5), None).await, Ok(None));
        assert_eq!(ledger.begin(&job).await, Ok(ClaimOutcome::Concluded(Box::new(verdict(0.5)))));
        let _: i64 = raw(&server, &["DEL", &key]).await;
        let _: i64 = raw(&server, &["LPUSH", &key, "x"]).await;
        assert_eq!(ledger.begin(&job).await, Ok(ClaimOutcome::InDoubt { calls: 1 }), "of another type");
        ledger.release(&job, false).await.expect("release");
    }
}

use super::*;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;
use tokio::time::advance;

/// Gives what it is told to, the last one for ever.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Result<Keys, String>>>,
    file: Mutex<Seen>,
    asked: AtomicUsize,
    /// Where there is one, no search ends before it is told to.
    held: Option<Notify>,
}

struct Fake(Arc<Script>);

impl Source for Fake {
    fn search(&self) -> std::pin::Pin<Box<dyn Future<Output = Result<Keys, String>> + Send + '_>> {
        Box::pin(async {
            self.0.asked.fetch_add(1, Ordering::Relaxed);
            if let Some(held) = &self.0.held {
                held.notified().await;
            }
            let mut answers = self.0.answers.lock().unwrap();
            if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() }
        })
    }

    fn look(&self) -> std::pin::Pin<Box<dyn Future<Output = Seen> + Send + '_>> {
        let seen = self.0.file.lock().unwrap().clone();
        Box::pin(async move { seen })
    }

    fn name(&self) -> &'static str {
        "the AWS chain"
    }
}

fn keys(name: &str, life: Option<Duration>) -> Keys {
    Keys::new(name, "secret", None, life.map(|life| SystemTime::now() + life), "test")
}

fn script(answers: impl IntoIterator<Item = Result<Keys, &'static str>>) -> Script {
    let answers = answers.into_iter().map(|answer| answer.map_err(str::to_owned)).collect();
    Script { answers: Mutex::new(answers), ..Script::default() }
}

fn credentials(script: Script) -> (Credentials, Arc<Script>) {
    let script = Arc::new(script);
    (Credentials::of(Box::new(Fake(script.clone())), MOST_PATIENCE), script)
}

fn name(current: &Current) -> String {
    current.identity.data::<Keys>().expect("keys").access_key_id().to_owned()
}

/// Lets what was begun in the background come to its end.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn they_are_searched_for_once_and_kept() {
    let (credentials, script) = credentials(script([Ok(keys("one", None))]));
    for _ in 0..3 {
        assert_eq!(name(&credentials.get().await.unwrap()), "one");
        advance(Duration::from_hours(1)).await;
        settle().await;
    }
    assert_eq!(script.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn all_that_need_them_wait_for_one_search() {
    let (credentials, script) = credentials(Script { held: Some(Notify::new()), ..script([Ok(keys("one", None))]) });
    let credentials = Arc::new(credentials);
    let jobs: Vec<_> = (0..16)
        .map(|_| {
            let credentials = credentials.clone();
            tokio::spawn(async move { credentials.get().await.map(|current| name(&current)) })
        })
        .collect();
    settle().await;
    // The task that began it may go: the others still have it.
    jobs[0].abort();
    settle().await;
    script.held.as_ref().unwrap().notify_one();
    for job in jobs.into_iter().skip(1) {
        assert_eq!(job.await.unwrap().unwrap(), "one");
    }
    assert_eq!(script.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_search_that_hangs_is_blamed_before_the_store_is() {
    let (credentials, _script) = credentials(Script { held: Some(Notify::new()), ..script([Ok(keys("one", None))]) });
    let begun = Instant::now();
    let failure = credentials.get().await.unwrap_err();
    assert_eq!(begun.elapsed(), Duration::from_secs(10), "the pipeline waits 20 s");
    assert_eq!(failure.code(), Code::StoreUnauthorized);
    assert!(
        failure.message().starts_with("no AWS credentials: the AWS chain gave no answer within 10s; "),
        "{failure}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_still_good_is_used_while_no_others_are_to_be_had() {
    let quarter = Duration::from_mins(3);
    let (credentials, script) = credentials(script([
        Ok(keys("one", Some(quarter))),
        Err("STS is away"),
        Err("STS is away"),
        Ok(keys("two", None)),
    ]));
    assert_eq!(name(&credentials.get().await.unwrap()), "one");
    // Not yet: three quarters of their life are to come.
    advance(ASK_EVERY).await;
    credentials.get().await.unwrap();
    settle().await;
    assert_eq!(script.asked.load(Ordering::Relaxed), 1);
    // As if the time were nearly over: the clock of their end cannot be moved.
    credentials.keeper.state.write().unwrap().held.as_mut().unwrap().replace_from = Some(SystemTime::now());
    for (round, expected) in [(2, "one"), (3, "one"), (4, "two")] {
        advance(ASK_EVERY).await;
        assert_eq!(name(&credentials.get().await.unwrap()), "one", "no task waits");
        assert_eq!(name(&credentials.get().await.unwrap()), "one", "nor asks twice");
        settle().await;
        assert_eq!(script.asked.load(Ordering::Relaxed), round);
        assert_eq!(name(&credentials.get().await.unwrap()), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn those_that_are_over_are_not_used_and_the_reason_is_told() {
    let (credentials, script) =
        credentials(script([Ok(keys("one", Some(Duration::from_mins(3)))), Err("STS is away")]));
    credentials.get().await.unwrap();
    credentials.keeper.state.write().unwrap().held.as_mut().unwrap().good_until = Some(SystemTime::now());
    // Not so soon after the last search.
    let failure = credentials.get().await.unwrap_err();
    assert!(failure.message().contains("have expired"), "{failure}");
    advance(ASK_EVERY).await;
    for _ in 0..3 {
        let failure = credentials.get().await.unwrap_err();
        assert!(failure.message().contains("STS is away"), "{failure}");
    }
    assert_eq!(script.asked.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn refused_ones_are_replaced_once_in_a_while() {
    let (credentials, script) =
        credentials(script([Ok(keys("one", None)), Ok(keys("one", None)), Ok(keys("two", None))]));
    let one = credentials.get().await.unwrap();
    assert!(matches!(credentials.renew(&one).await, Renewal::Same), "asked a moment ago");
    assert_eq!(script.asked.load(Ordering::Relaxed), 1);
    advance(ASK_EVERY).await;
    assert!(matches!(credentials.renew(&one).await, Renewal::Same), "asked, and the same again");
    advance(ASK_EVERY).await;
    let renewals = futures_util::future::join_all((0..16).map(|_| credentials.renew(&one))).await;
    for renewal in renewals {
        let Renewal::Others(two) = renewal else { panic!("there are others") };
        assert_eq!(name(&two), "two");
    }
    assert_eq!(script.asked.load(Ordering::Relaxed), 3, "one search for all");
    assert_eq!(name(&credentials.get().await.unwrap()), "two");
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_is_noticed_without_a_failure_and_at_once_after_one() {
    let (credentials, script) =
        credentials(script([Ok(keys("one", None)), Ok(keys("two", None)), Ok(keys("three", None))]));
    let one = credentials.get().await.unwrap();
    let change = |at: u64| *script.file.lock().unwrap() = vec![Some((SystemTime::UNIX_EPOCH, at, 1))];
    change(1);
    // A refusal a moment after a search: the file says that it is worth another.
    let Renewal::Others(two) = credentials.renew(&one).await else { panic!("there are others") };
    assert_eq!((name(&two), script.asked.load(Ordering::Relaxed)), ("two".to_owned(), 2));
    change(2);
    advance(LOOK_EVERY).await;
    assert_eq!(name(&credentials.get().await.unwrap()), "two");
    settle().await;
    assert_eq!(name(&credentials.get().await.unwrap()), "three");
    advance(LOOK_EVERY).await;
    credentials.get().await.unwrap();
    settle().await;
    assert_eq!(script.asked.load(Ordering::Relaxed), 3, "what has not changed is not read");
}

#[tokio::test(start_paused = true)]
async fn half_a_file_costs_nothing() {
    let (credentials, script) =
        credentials(script([Ok(keys("one", None)), Err("no secret key in the file"), Ok(keys("two", None))]));
    credentials.get().await.unwrap();
    for (length, expected) in [(1, "one"), (2, "two")] {
        *script.file.lock().unwrap() = vec![Some((SystemTime::UNIX_EPOCH, length, 1))];
        advance(LOOK_EVERY).await;
        assert_eq!(name(&credentials.get().await.unwrap()), "one");
        settle().await;
        assert_eq!(name(&credentials.get().await.unwrap()), expected);
    }
}

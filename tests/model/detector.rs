//! The vendor: what it does when it has the whole image, and what when it has not.

use crate::ledger::day;
use crate::life::Life;
use crate::plan::Fault;
use crate::records::{Kind, answer};
use crate::store::number_in;
use crate::world::State;
use antispoof_core::failure::{Code, Failure};
use antispoof_core::image::Verify;
use antispoof_core::ports::{Answer, Inspected, SpoofDetector};
use antispoof_core::stream_digest::{DigestKind, StreamDigest};
use antispoof_core::verdict::Verdict;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

/// The timeout of a call.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Below this the verdict is for a person.
pub(crate) const REVIEW_BELOW: f64 = 0.3;

pub(crate) struct ModelDetector(pub(crate) Arc<Life>);

/// What the vendor makes of a whole image.
enum Doing {
    Judges,
    Refuses(Code, u16, Option<Duration>, bool),
    /// Without an answer: does it break the connection, or hang until the timeout?
    Silent {
        hangs: bool,
    },
    Babbles(&'static str),
}

impl SpoofDetector for ModelDetector {
    async fn detect<S>(&self, image: Inspected<S>, _identity: &str) -> Result<Answer, Failure>
    where
        S: Stream<Item = Result<Bytes, Failure>> + Send + Sync + Unpin + 'static,
    {
        let life = &self.0;
        life.enter(|| "detect".to_owned()).await;
        let _busy = Busy::new(life);
        life.with(|state| patient(state, life));
        life.with(|state| state.calls.of_vendor += u64::from(!state.calm));
        if life.with(|state| !state.services.vendor || state.fails(Fault::Weather) && state.dice.u8(0..4) == 0) {
            life.leave().await;
            return Err(Failure::new(Code::ApiUnavailable, "no connection"));
        }
        let bytes = received(image).await?;
        life.with(within_the_limit);
        life.leave().await;
        if let Some(number) = number_in(&bytes) {
            life.with(|state| alone(state, life, number));
            if life.with(|state| state.records.jobs.get(number).is_some_and(|job| job.kind == Kind::Deadly)) {
                life.die();
                std::future::pending::<()>().await;
            }
        }

        let (number, doing) = life.with(|state| {
            let number = number_in(&bytes).filter(|&number| number < state.records.jobs.len());
            let Some(number) = number else {
                state.wrong(|| "the vendor was sent something that is no image".to_owned());
                return (0, Doing::Refuses(Code::ApiRejected, 400, None, false));
            };
            let doing = doing(state, number);
            let billed = match doing {
                Doing::Judges | Doing::Babbles(_) => true,
                Doing::Silent { .. } => state.dice.u8(0..4) > 0,
                Doing::Refuses(..) => false,
            };
            if billed {
                state.records.bill(life.number, number, &bytes);
                state.note(|| format!("vendor: has judged job-{number}, which costs"));
            }
            (number, doing)
        });
        let thinks = life.with(|state| state.plan.thinks.mul_f64(state.dice.f64()));
        sleep(if matches!(doing, Doing::Silent { hangs: true }) { TIMEOUT } else { thinks }).await;
        life.leave().await;
        life.with(|state| said(state, life, number, &doing))
    }
}

/// Who was asked to wait waits. What was on its way to its call then may still make it.
fn patient(state: &mut State, life: &Life) {
    const ON_ITS_WAY: Duration = Duration::from_secs(3);

    let now = state.elapsed();
    if let Some(&(since, until)) = state.records.held.get(&life.number)
        && since + ON_ITS_WAY < now
        && now < until
    {
        state.wrong(|| format!("worker {} calls, and was asked at {since:?} to wait until {until:?}", life.number));
    }
}

/// A whole request may be billed. Counted by the day on which they were begun, there are never more than a day may have.
fn within_the_limit(state: &mut State) {
    state.calls.whole += 1;
    let (whole, limit, days) = (state.calls.whole, state.plan.daily_limit, day(state.elapsed()) + 1);
    if limit > 0 && whole > limit * days {
        state.wrong(|| format!("{whole} calls in {days} days, where {limit} a day are allowed"));
    }
}

/// What may be what ends the process ends nothing else.
fn alone(state: &mut State, life: &Life, number: usize) {
    if let Some((in_hand, deliveries)) = state.queues.in_hand_with(life.number, number)
        && deliveries >= 3
        && in_hand > 1
    {
        state.wrong(|| {
            format!("job-{number} was delivered {deliveries} times before, and {in_hand} are in hand at its call")
        });
    }
}

fn doing(state: &mut State, number: usize) -> Doing {
    if state.services.silent {
        return Doing::Silent { hangs: false };
    }
    if let Some(status) = state.services.refused {
        let code = if status == 401 { Code::ApiUnauthorized } else { Code::ApiForbidden };
        return Doing::Refuses(code, status, None, false);
    }
    if let Some(wait) = state.services.full_until.map(|until| until.saturating_sub(state.elapsed()))
        && !wait.is_zero()
    {
        return Doing::Refuses(Code::ApiRateLimited, 429, Some(wait), false);
    }
    if state.services.rejects || state.records.jobs[number].kind == Kind::Rejected {
        return Doing::Refuses(Code::ApiRejected, 422, None, false);
    }
    if state.fails(Fault::Account) {
        return Doing::Refuses(Code::ApiUnauthorized, 401, None, state.dice.bool());
    }
    if state.fails(Fault::Weather) {
        // Rarely long: nothing else happens meanwhile.
        let waits = [None, None, Some(1), Some(2), Some(2), Some(30), Some(4000)];
        let wait = *state.dice.choice(&waits).expect("one of seven");
        let wait = wait.map(Duration::from_secs);
        return if state.dice.bool() {
            Doing::Refuses(Code::ApiRateLimited, 429, wait, false)
        } else {
            Doing::Refuses(Code::ApiUnavailable, 503, wait, false)
        };
    }
    if state.fails(Fault::Doubt) {
        let babble = [
            "<html>live</html>",
            r#"{"spoof_detected":"false","accuracy":0.9}"#,
            r#"{"spoof_detected":fal"#,
            "[false,0.9]",
            r#"{"spoof_detected":false,"accuracy":98.9}"#,
        ];
        return match state.dice.u8(0..3) {
            0 => Doing::Babbles(state.dice.choice(&babble).expect("one of them")),
            hangs => Doing::Silent { hangs: hangs == 1 },
        };
    }
    Doing::Judges
}

fn said(state: &mut State, life: &Life, number: usize, doing: &Doing) -> Result<Answer, Failure> {
    match *doing {
        Doing::Judges => read(state, life, number, &answer(number)),
        Doing::Babbles(body) => read(state, life, number, body),
        Doing::Refuses(code, status, wait, repeat_at_once) => {
            if let Some(wait) = wait {
                let now = state.elapsed();
                let until = now + wait.min(Duration::from_hours(1));
                let held = state.records.held.entry(life.number).or_insert((now, until));
                // Two that ask at once ask for the longer of the two.
                *held = if held.1 > now { (held.0, held.1.max(until)) } else { (now, until) };
            }
            if code == Code::ApiRejected {
                state.records.rejected.entry(life.number).or_default().entry(number).or_insert(false);
            }
            let failure = Failure::new(code, format!("the API answered {status}"));
            Err(failure
                .with_status(status)
                .with_retry_after(wait)
                .with_request_sent(true)
                .repeatable_at_once(repeat_at_once))
        }
        Doing::Silent { .. } => {
            state.records.doubt(life.number, number);
            Err(Failure::new(Code::ApiInDoubt, "no answer").with_request_sent(true))
        }
    }
}

fn read(state: &mut State, life: &Life, number: usize, body: &str) -> Result<Answer, Failure> {
    match Verdict::read(body.as_bytes()) {
        Ok(verdict) => {
            state.records.answered(number, verdict.outcome(REVIEW_BELOW));
            state.records.rejected.remove(&life.number);
            Ok(Answer { verdict, http_status: 200, request_id: None, digest: None })
        }
        Err(error) => {
            state.records.doubt(life.number, number);
            let failure = Failure::new(Code::ApiBadResponse, error.to_string()).with_status(200);
            Err(failure.with_request_sent(true))
        }
    }
}

async fn received<S>(image: Inspected<S>) -> Result<Vec<u8>, Failure>
where
    S: Stream<Item = Result<Bytes, Failure>> + Send + Sync + Unpin + 'static,
{
    let mut digest = StreamDigest::new(DigestKind::Off, Verify::Structure, &image.facts);
    let mut bytes = image.head.concat();
    digest.chunk(&bytes);
    let mut rest = image.rest.expect("nothing is converted in the model");
    while let Some(chunk) = rest.next().await {
        let chunk = chunk?;
        digest.chunk(&chunk);
        bytes.extend_from_slice(&chunk);
    }
    digest.finish(image.bytes)?;
    Ok(bytes)
}

/// Counts the calls that are under way.
struct Busy<'a>(&'a Life);

impl<'a> Busy<'a> {
    fn new(life: &'a Life) -> Self {
        let now = life.calling.fetch_add(1, Ordering::Relaxed) + 1;
        let most = life.with(|state| state.plan.concurrency);
        if now > most {
            life.with(|state| state.wrong(|| format!("{now} calls at once in one worker, where {most} are allowed")));
        }
        Self(life)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.calling.fetch_sub(1, Ordering::Relaxed);
    }
}

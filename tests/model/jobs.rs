//! The jobs: how they come to be, what becomes of their objects, and the operator who replays them.

use crate::drama::world_with;
use crate::life::{BUCKET, admission, key_of, now};
use crate::plan::Fault;
use crate::queues::Message;
use crate::records::{JobRecord, Kind};
use crate::store::Object;
use crate::world::{State, World};
use antispoof_core::job::{Job, Properties};
use std::time::Duration;
use time::format_description::well_known::Rfc3339;
use tokio::time::sleep;

/// When all is over: enough good jobs at once for every worker to get one, to see that all is as before.
pub(crate) fn curtain_call(world: &World) {
    let count = world_with(world, |state| state.plan.workers * usize::from(state.plan.concurrency));
    at_once(world, count, Kind::Last);
}

/// So many jobs of a kind, all at once.
pub(crate) fn at_once(world: &World, count: usize, kind: Kind) {
    world_with(world, |state| {
        let from = state.records.jobs.len();
        for number in from..from + count {
            state.records.jobs.push(JobRecord::new(number, kind));
            store(state, number, kind, 0);
            let message = message(state, number, kind);
            state.queues.jobs.push_back(message);
        }
        state.records.messages += count as u64;
        state.deliver();
    });
    world.tell();
}

/// Writes the jobs down, and submits them in the first half of the trouble.
pub(crate) fn submit(world: &World) {
    let count = world.lock().plan.seed.jobs;
    for _ in 0..count {
        let (at, message) = world_with(world, |state| {
            let (number, kind) = (state.records.jobs.len(), kind(state.dice.u8(0..100)));
            state.records.jobs.push(JobRecord::new(number, kind));
            store(state, number, kind, 0);
            let half = state.plan.trouble.as_secs_f64() / 2.0;
            (Duration::from_secs_f64(half * state.dice.f64() * state.dice.f64()), message(state, number, kind))
        });
        let world = world.clone();
        tokio::spawn(async move {
            sleep(at).await;
            for _ in 0..3 {
                put(&world, message.clone());
                let again = world_with(&world, |state| {
                    state.fails(Fault::Duplicate).then(|| Duration::from_millis(state.dice.u64(0..=60_000)))
                });
                let Some(again) = again else { break };
                sleep(again).await;
            }
        });
    }
}

fn kind(roll: u8) -> Kind {
    match roll {
        0..=49 => Kind::Good,
        50..=56 => Kind::Several,
        57 => Kind::Nothing,
        58..=59 => Kind::Deadly,
        60..=67 => Kind::Late,
        68..=77 => Kind::Changing,
        78..=80 => Kind::Missing,
        81..=84 => Kind::NoImage,
        85..=87 => Kind::CutOff,
        88..=91 => Kind::Rejected,
        92..=94 => Kind::Malformed,
        95..=97 => Kind::Expired,
        _ => Kind::Foreign,
    }
}

fn store(state: &mut State, number: usize, kind: Kind, version: u32) {
    let there = match kind {
        Kind::Missing | Kind::Several | Kind::Nothing => false,
        Kind::Late => version > 0,
        _ => true,
    };
    if there {
        let key = state.records.jobs[number].key.clone();
        state.objects.insert(key, Object::of(number, kind, version));
    }
}

fn message(state: &mut State, number: usize, kind: Kind) -> Message {
    let JobRecord { id, key, .. } = &state.records.jobs[number];
    let bucket = if kind == Kind::Foreign { "somebody-elses" } else { BUCKET };
    let mut job = serde_json::json!({ "id": id, "bucket": bucket, "key": key });
    if kind == Kind::Expired {
        let past = now() - Duration::from_hours(1);
        job["expires_at"] = past.format(&Rfc3339).expect("a time").into();
    }
    let body = match kind {
        Kind::Malformed => "no job".to_owned(),
        Kind::Nothing => r#"{"Service":"Amazon S3","Event":"s3:TestEvent"}"#.to_owned(),
        Kind::Several => return notification(state, number),
        _ => job.to_string(),
    };
    let properties = Properties { message_id: Some(id.clone()), ..Properties::default() };
    if let Ok(job) = Job::decode(body.as_bytes(), &properties, &admission()) {
        state.records.keys.insert(key_of(&job), number);
    }
    fresh(number, body.into_bytes(), properties)
}

/// A notification about some uploads, each of which becomes a job.
fn notification(state: &mut State, whole: usize) -> Message {
    let first = state.records.jobs.len();
    let parts: Vec<usize> = (first..first + state.dice.usize(2..=3)).collect();
    let mut records = Vec::new();
    for &number in &parts {
        let mut part = JobRecord { whole: Some(whole), ..JobRecord::new(number, Kind::Good) };
        let record = serde_json::json!({ "eventName": "s3:ObjectCreated:Put", "eventSource": "minio:s3",
            "s3": { "bucket": { "name": BUCKET }, "object": { "key": part.key.replace('/', "%2F") } } });
        let alone = serde_json::json!({ "Records": [record] }).to_string();
        let job = Job::decode(alone.as_bytes(), &Properties::default(), &admission()).expect("a job");
        job.id().clone_into(&mut part.id);
        state.records.keys.insert(key_of(&job), number);
        state.records.jobs.push(part);
        store(state, number, Kind::Good, 0);
        records.push(record);
    }
    let body = serde_json::json!({ "Records": records }).to_string();
    let record = &mut state.records.jobs[whole];
    record.parts = parts;
    let properties = Properties { message_id: Some(record.id.clone()), ..Properties::default() };
    fresh(whole, body.into_bytes(), properties)
}

fn fresh(job: usize, body: Vec<u8>, properties: Properties) -> Message {
    Message {
        job,
        body: body.into(),
        properties: properties.into(),
        attempt: 0,
        replay: 0,
        first_seen_ms: None,
        in_doubt: 0,
        code: None,
        deliveries: 0,
        carried: 0,
        dropped: None,
    }
}

fn put(world: &World, message: Message) {
    world_with(world, |state| {
        state.note(|| format!("job-{} is submitted, replay {}", message.job, message.replay));
        state.records.messages += 1;
        state.records.jobs[message.job].submitted += u32::from(message.replay == 0);
        state.queues.jobs.push_back(message);
        state.deliver();
    });
    world.tell();
}

/// Objects arrive late and are overwritten.
pub(crate) async fn uploads(world: World) {
    for version in 1.. {
        let pause = world_with(&world, |state| state.dice.u64(100..=20_000));
        sleep(Duration::from_millis(pause)).await;
        let done = world_with(&world, |state| {
            for number in 0..state.records.jobs.len() {
                let kind = state.records.jobs[number].kind;
                if matches!(kind, Kind::Late | Kind::Changing) && (state.calm || state.dice.bool()) {
                    store(state, number, kind, if kind == Kind::Late { 1 } else { version });
                    state.note(|| format!("job-{number} has another object"));
                }
            }
            state.calm
        });
        if done {
            return;
        }
    }
}

/// Now and then a parked job is put back, all copies of it.
pub(crate) async fn operator(world: World) {
    if !world.lock().plan.seed.has(Fault::Replay) {
        return;
    }
    loop {
        let pause = world_with(&world, |state| state.dice.u64(1_000..=120_000));
        sleep(Duration::from_millis(pause)).await;
        if world.lock().calm {
            return;
        }
        let again = world_with(&world, |state| {
            let Some(number) = state.dice.choice(state.queues.parked.iter()).map(|message| message.job) else {
                return Vec::new();
            };
            let (replayed, left) =
                state.queues.parked.drain(..).partition::<Vec<_>, _>(|message| message.job == number);
            state.queues.parked = left;
            let job = &mut state.records.jobs[number];
            job.parked.clear();
            job.replays += 1;
            let replay = job.replays;
            let mut again: Vec<_> = replayed
                .into_iter()
                .map(|message| Message {
                    replay,
                    attempt: 0,
                    deliveries: 0,
                    carried: 0,
                    first_seen_ms: None,
                    dropped: None,
                    ..message
                })
                .collect();
            if state.fails(Fault::Duplicate) {
                // A confirm was lost, and it was put back twice.
                again.push(again[0].clone());
            }
            again
        });
        for message in again {
            put(&world, message);
        }
    }
}

//! The broker in memory, put through what RabbitMQ has to do as well.

use crate::broker::ModelBroker;
use crate::conformance::{self, Bench, PREFETCH, conforms};
use crate::inbox::{ModelInbox, ModelLease};
use crate::life::{self, set_ambient};
use crate::plan::{Plan, Seed};
use crate::queues::Message;
use crate::records::{JobRecord, Kind};
use crate::world::World;
use antispoof_core::job::{Admission, Intake, Job, Properties};
use antispoofd::worker::Arrivals as _;

struct ModelBench {
    world: World,
    broker: ModelBroker,
    inbox: ModelInbox,
}

conforms!(
    #[tokio::test(start_paused = true)]
    ModelBench::new
);

impl ModelBench {
    #[expect(
        clippy::unused_async,
        reason = "making a world around a real broker takes its time, and the tests are the same"
    )]
    async fn new(_test: &str) -> Self {
        let seed = Seed { faults: 0, ..Seed::new(0) };
        set_ambient(seed.number);
        let mut plan = Plan::new(seed);
        plan.concurrency = PREFETCH;
        plan.max_attempts = 8;
        let world = World::new(plan, false);
        world.lock().records.jobs.push(JobRecord::new(0, Kind::Rejected));
        let (life, inbox, _dead) = life::connected(&world, 0);
        Self { world, broker: ModelBroker(life), inbox }
    }
}

fn part(body: &[u8]) -> JobRecord {
    let job = Job::decode(body, &Properties::default(), &Admission::default()).expect("a job");
    JobRecord { id: job.id().to_owned(), ..JobRecord::new(0, Kind::Rejected) }
}

impl Bench for ModelBench {
    type Broker = ModelBroker;

    fn broker(&self) -> &ModelBroker {
        &self.broker
    }

    async fn next(&mut self) -> Option<ModelLease> {
        self.inbox.next().await
    }

    async fn submit(&self, body: &[u8], properties: &Properties) {
        let message = Message {
            job: 0,
            body: body.into(),
            properties: properties.clone().into(),
            attempt: 0,
            replay: 0,
            first_seen_ms: None,
            in_doubt: 0,
            code: None,
            deliveries: 0,
            carried: 0,
            dropped: None,
        };
        let mut state = self.world.lock();
        match Intake::read(body, properties, &Admission::default()) {
            Ok(Intake::Several(bodies)) => bodies.iter().for_each(|body| state.records.jobs.push(part(body))),
            Ok(Intake::Nothing(_)) => state.records.jobs[0].kind = Kind::Nothing,
            Ok(Intake::Job(_)) | Err(_) => {}
        }
        // What may be acked is looked at in the schedules; here events stand for any replacement.
        for job in &mut state.records.jobs {
            job.confirmed.extend(["verdict.live", "failure.not_an_image"].map(ToOwned::to_owned));
        }
        state.queues.jobs.push_back(message);
        state.deliver();
    }

    async fn bind(&self, bound: bool) {
        self.world.lock().services.bound = bound;
    }

    async fn events(&self) -> Vec<String> {
        self.world.lock().records.jobs[0].events.iter().map(|(_, key)| key.clone()).collect()
    }

    async fn parked(&self) -> Vec<(Vec<u8>, u32, String)> {
        let state = self.world.lock();
        let parked = state.queues.parked.iter();
        parked.map(|m| (m.body.to_vec(), m.attempt, m.code.unwrap_or_default().to_owned())).collect()
    }

    async fn break_connections(&self) {
        {
            let mut state = self.world.lock();
            let sessions: Vec<u64> = state.queues.sessions.keys().copied().collect();
            for session in sessions {
                state.disconnect(session, "broken");
            }
        }
        self.world.tell();
    }
}

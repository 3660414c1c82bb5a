//! Replays that are killed, interrupted, cut off and refused.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::fixture::{Parked, command, park, pickled};
use crate::harness::broker::{JOBS, Message, PARKED};
use crate::harness::wait::{EVENTUALLY, SOON, STARTED, eventually, eventually_equals};
use crate::harness::world::World;
use crate::images::jpeg;

const CODES: [&str; 5] = ["object_not_found", "api_in_doubt", "not_an_image", "store_timeout", "job_expired"];

/// Parks so many of each code, and returns those of the first.
async fn park_five_kinds(world: &World, of_each: u32) -> HashSet<String> {
    let mut keys = Vec::new();
    for number in 0..8 {
        keys.push(world.upload(&format!("{number}.jpg"), jpeg::tiny(number)).await.key);
    }
    let job = |number: u32| Parked::new(number, CODES[number as usize % 5], &keys[number as usize % keys.len()]);
    let chosen = (0..of_each * 5).filter(|number| number % 5 == 0).map(|number| job(number).id).collect();
    park(world, (0..of_each * 5).map(job)).await;
    chosen
}

/// Ids of verdicts by job; each job has to have one.
fn verdicts(events: &[Message]) -> HashMap<String, HashSet<String>> {
    let mut ids: HashMap<_, HashSet<_>> = HashMap::new();
    for event in events {
        assert!(event.outcome().is_some(), "{}", event.json);
        let job = event.job_id().expect("of a job").to_owned();
        ids.entry(job).or_default().insert(event.message_id().to_owned());
    }
    ids
}

#[tokio::test]
async fn a_replay_that_is_killed_twice_has_each_chosen_job_judged_once_and_touches_no_other() {
    const OF_EACH: u32 = 2_000;

    let world = World::new("replay_killed").await;
    let daemons = [
        world.daemon_with_redis().start_ready().await,
        world.daemon_with_redis().set("worker.instance", "second").start_ready().await,
    ];
    let chosen = park_five_kinds(&world, OF_EACH).await;
    let others: Vec<_> =
        pickled(&world).await.into_iter().filter(|(_, headers)| headers["as-code"] != "object_not_found").collect();

    let replay = ["parked", "replay", "--code", "object_not_found", "--yes"];
    for until in [300, 900] {
        // No faster than workers judge on a busy machine: it must not be over when so many are judged.
        let process = world.daemon().command(&[&replay[..], &["--rate", "60"]].concat());
        eventually("some to be judged", EVENTUALLY, async || {
            let judged = world.simulator.count("billed").await;
            if judged >= until { Ok(()) } else { Err(format!("{judged} calls: {:?}", process.stderr())) }
        })
        .await;
        assert_eq!(process.status(), None, "it is on its way: {:?}", process.stderr());
        process.signal(rustix::process::Signal::KILL);
        process.wait_exit(SOON).await;
    }
    let last = command(&world, &replay[1..], 0).await;
    let said = last.stderr().join("\n");
    assert!(said.contains(" calls will be paid for at most") && said.contains(" jobs replayed"), "{said}");

    let jobs: Vec<_> = chosen.iter().cloned().collect();
    let events = world.events_for_all(&jobs).await;
    for daemon in daemons {
        daemon.term();
        assert!(daemon.wait_exit(STARTED).await.success());
    }
    world.assert_drained().await;
    let ids = verdicts(&events);
    assert_eq!(ids.keys().cloned().collect::<HashSet<_>>(), chosen, "no other was replayed");
    assert!(ids.values().all(|ids| ids.len() == 1), "one verdict each");
    assert_eq!(world.simulator.count("billed").await, u64::from(OF_EACH), "one call each");
    assert_eq!(pickled(&world).await, others, "the others are as they were");
}

#[tokio::test]
async fn a_replayed_job_keeps_what_is_its_own_and_begins_anew() {
    let world = World::new("replay_headers").await;
    world.declare().await;
    let chosen = park_five_kinds(&world, 3).await;
    // More than are replayed without asking would need --yes; a dry run does nothing.
    let dry = command(&world, &["replay", "--dry-run"], 0).await;
    assert!(
        dry.stdout().last().unwrap().starts_with(
            "15 of 15 jobs in antispoof.parked would be replayed; 15 calls will be paid for at most (3 jobs had a call"
        ),
        "{:?}",
        dry.stdout()
    );
    assert_eq!(world.broker.depth(JOBS).await, Some(0));
    command(&world, &["replay", "--limit", "7"], 64).await;
    command(&world, &["replay", "--limit", "7", "--yes"], 0).await;

    let replayed = world.broker.browse(JOBS).await;
    let ids: Vec<_> = replayed.iter().map(|message| message.json["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, (0..7).map(|number| format!("parked-{number}")).collect::<Vec<_>>(), "in their order");
    for message in &replayed {
        assert_eq!(message.message_id(), message.json["id"]);
        assert_eq!(message.properties.delivery_mode(), &Some(2));
        let mut headers = message.headers.as_object().expect("headers").clone();
        headers.retain(|name, _| !name.starts_with("x-"));
        let mut expected = json!({ "as-replay": 1, "as-first-seen": 1_764_000_000_000_i64, "tenant": 7 });
        if message.json["id"] == "parked-1" || message.json["id"] == "parked-6" {
            expected["as-in-doubt"] = json!(1);
        }
        assert_eq!(Value::Object(headers), expected);
    }
    assert_eq!(pickled(&world).await.len(), 8);
    assert_eq!(chosen.len(), 3);
}

#[tokio::test]
async fn a_replay_asks_goes_on_after_a_cut_and_stops_at_a_signal() {
    let world = World::new("replay_cut").await;
    world.declare().await;
    park_five_kinds(&world, 200).await;
    let refused = command(&world, &["replay"], 64).await;
    assert!(refused.said("1000 of 1000 jobs in antispoof.parked would be replayed"), "{:?}", refused.stderr());
    assert!(refused.said("then add --yes"), "{:?}", refused.stderr());

    let out = async || world.broker.depth(JOBS).await.unwrap_or_default();
    let replay = world.daemon().command(&["parked", "replay", "--yes", "--rate", "100"]);
    eventually("some to be out", EVENTUALLY, async || match out().await {
        100.. => Ok(()),
        few => Err(format!("{few}: {:?}", replay.stderr())),
    })
    .await;
    world.amqp_link.cut().await;
    eventually("it to notice", EVENTUALLY, async || {
        if replay.said("connecting again") { Ok(()) } else { Err(format!("{:?}", replay.stderr())) }
    })
    .await;
    world.amqp_link.restore().await;
    let before = out().await;
    eventually("more to be out", EVENTUALLY, async || match out().await {
        now if now > before + 100 => Ok(()),
        now => Err(format!("{now} after {before}: {:?}", replay.stderr())),
    })
    .await;
    replay.signal(rustix::process::Signal::INT);
    assert_eq!(replay.wait_output(SOON).await.code(), Some(1));
    assert!(replay.said("interrupted: ") && replay.said("the same command replays the rest"), "{:?}", replay.stderr());
    command(&world, &["replay", "--yes"], 0).await;
    eventually_equals("none left", SOON, Some(0), async || world.broker.depth(PARKED).await).await;
    let jobs = world.broker.browse(JOBS).await;
    let ids: HashSet<_> = jobs.iter().map(|message| message.json["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 1000, "none is lost");
    // Of those whose confirm the cut took away, the broker may have some: the same generation, which a ledger pays for once.
    assert!(jobs.len() <= 1000 + 64, "{}", jobs.len());
    assert!(jobs.iter().all(|message| message.headers["as-replay"] == 1));
}

#[tokio::test]
async fn a_full_job_queue_ends_a_replay_and_the_rest_stays_parked() {
    let world = World::new("replay_full").await;
    world.declare().await;
    park_five_kinds(&world, 60).await;
    world.broker.put_policy_in_effect("^antispoof\\.jobs$", json!({ "max-length": 50 })).await;
    let replay = command(&world, &["replay", "--yes"], 69).await;
    let said = replay.stderr().join("\n");
    assert!(said.contains("is a queue there full?") && said.contains("still in antispoof.parked"), "{said}");
    world.broker.clear_policy().await;
    command(&world, &["replay", "--yes"], 0).await;
    eventually_equals("none left", SOON, Some(0), async || world.broker.depth(PARKED).await).await;
    let jobs = world.broker.browse(JOBS).await;
    let ids: HashSet<_> = jobs.iter().map(|message| message.json["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 300, "none is lost");
    assert!(jobs.len() <= 300 + 64, "{}", jobs.len());
}

#[tokio::test]
async fn jobs_are_replayed_while_the_gate_is_closed_and_judged_when_it_opens() {
    let world = World::new("replay_closed").await;
    let daemon = world.daemon().set("api.probe_interval", "1s").start_ready().await;
    world.simulator.configure(json!({ "faults": "401=100%" })).await;
    let face = world.upload("face.jpg", jpeg::tiny(1)).await;
    let first = world.submit(&face.key).await;
    eventually_equals("the gate to close", SOON, Some(0.0), async || daemon.metric("antispoofd_gate_open").await).await;
    let chosen = park_five_kinds(&world, 2).await;
    command(&world, &["replay", "--code", "object_not_found"], 0).await;
    world.simulator.configure(json!({ "faults": "" })).await;
    let jobs: Vec<_> = chosen.into_iter().chain([first]).collect();
    let ids = verdicts(&world.events_for_all(&jobs).await);
    assert_eq!(ids.len(), 3);
    // Those that were only looked at come back when the broker has seen the end of the command.
    eventually_equals("the others to be parked", SOON, Some(8), async || world.broker.depth(PARKED).await).await;
    daemon.term();
    assert!(daemon.wait_exit(STARTED).await.success());
}

#[tokio::test]
async fn a_replay_that_is_cut_again_and_again_comes_to_its_end() {
    let world = World::new("replay_cuts").await;
    world.declare().await;
    park_five_kinds(&world, 400).await;
    let replay = world.daemon().command(&["parked", "replay", "--yes", "--rate", "1000"]);
    let mut out = 0;
    for cut in 0..8 {
        out = eventually("more to be out", EVENTUALLY, async || {
            match world.broker.depth(JOBS).await.unwrap_or_default() {
                now if now > out + 60 || replay.status().is_some() => Ok(now),
                now => Err(format!("{now} after {out} and {cut} cuts: {:?}", replay.stderr())),
            }
        })
        .await;
        world.amqp_link.cut().await;
        world.amqp_link.restore().await;
    }
    // After many losses in a row it gives up; it does not hang.
    replay.wait_output(EVENTUALLY).await;
    command(&world, &["replay", "--yes"], 0).await;
    eventually_equals("none left", SOON, Some(0), async || world.broker.depth(PARKED).await).await;
    let jobs = world.broker.browse(JOBS).await;
    let ids: HashSet<_> = jobs.iter().map(|message| message.json["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 2000, "none is lost");
    assert!(jobs.len() <= 2000 + 9 * 64, "{}", jobs.len());
}

//! `antispoofd parked` on a real parked queue: what a look changes, and that whatever ends a replay loses and doubles nothing.

mod fixture;
mod replay;

use std::time::Instant;

use lapin::types::ShortString;
use serde_json::{Value, json};

use self::fixture::{Parked, command, dropped_by_the_broker, park, pickled};
use crate::harness::broker::{JOBS, PARKED};
use crate::harness::wait::{EVENTUALLY, SOON, STARTED, eventually, eventually_equals};
use crate::harness::world::World;
use crate::images::{jpeg, sample};

#[tokio::test]
async fn what_workers_park_is_counted_shown_exported_and_put_back_as_it_was() {
    let world = World::new("parked_look").await;
    let daemon = world
        .daemon()
        .set("retry.max_attempts", "1")
        .set("retry.quick_attempts", "1")
        .set("api.in_doubt", "park")
        .start_ready()
        .await;
    world.simulator.configure(json!({ "faults": "reset-after=x1" })).await;
    let doubtful = world.upload("doubtful.jpg", jpeg::tiny(1)).await;
    // The copy is made after the event, and the order of the copies is what the rest is about.
    let parked = async |count: u32| {
        eventually_equals("it to be parked", SOON, Some(count), async || world.broker.depth(PARKED).await).await;
    };
    let doubtful = world.submit(&doubtful.key).await;
    world.event_for(&doubtful).await;
    parked(1).await;
    let notes = world.upload("notes.jpg", sample("notes.jpg").bytes()).await;
    let notes =
        world.submit_job(json!({ "id": "kyc-notes", "key": notes.key, "metadata": { "applicant": "42" } })).await;
    world.event_for(&notes).await;
    parked(2).await;
    let gone = world.submit(&world.store.key("gone.jpg")).await;
    world.event_for(&gone).await;
    parked(3).await;
    assert!(world.broker.try_publish(JOBS, b"{\"key\": 7}").await);
    parked(4).await;
    let before = pickled(&world).await;

    let list = command(&world, &["list"], 0).await.stdout();
    assert!(list[0].starts_with("CODE ") && list[5] == "4 jobs in antispoof.parked", "{list:#?}");
    for code in ["api_in_doubt", "not_an_image", "object_not_found", "malformed_job"] {
        let row = list.iter().find(|line| line.starts_with(code)).unwrap_or_else(|| panic!("{code}: {list:#?}"));
        let in_doubt = if code == "api_in_doubt" { "1" } else { "0" };
        assert_eq!(row.split_whitespace().skip(1).take(2).collect::<Vec<_>>(), ["1", in_doubt], "{row}");
    }
    let doubts = command(&world, &["list", "--in-doubt", "--min-attempts", "1"], 0).await.stdout();
    assert!(doubts.last().unwrap() == "1 of 4 jobs in antispoof.parked match", "{doubts:#?}");
    assert_eq!(
        command(&world, &["list", "--since", "1s", "--until", "2h"], 0).await.stdout(),
        ["0 of 4 jobs in antispoof.parked match"]
    );

    let lines = command(&world, &["list", "--code", "not_an_image", "--json"], 0).await.stdout();
    let line: Value = serde_json::from_str(&lines[0]).expect("a line is JSON");
    let parked = before.iter().find(|(id, _)| *id == notes).expect("it is parked").1.clone();
    let parked_at = parked["as-parked-at"].as_i64().expect("a time");
    assert_eq!(line["job_id"], "kyc-notes");
    for (field, header) in
        [("code", "as-code"), ("stage", "as-stage"), ("message", "as-error"), ("worker", "as-worker")]
    {
        assert_eq!(line[field], parked[header], "{field}");
    }
    assert_eq!((&line["attempts"], &line["in_doubt"], &line["replay"]), (&json!(1), &json!(0), &json!(0)));
    let year_and_millis = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(parked_at) * 1_000_000).unwrap();
    let shown = line["parked_at"].as_str().expect("a time");
    let shown = time::OffsetDateTime::parse(shown, &time::format_description::well_known::Rfc3339).expect("RFC 3339");
    assert_eq!(shown, year_and_millis);

    let show = command(&world, &["show", &notes], 0).await.stdout().join("\n");
    for part in ["kyc-notes\n", "failed with  not_an_image (inspect)", "in doubt     none", "\"applicant\": \"42\""] {
        assert!(show.contains(part), "{part}: {show}");
    }
    let missing = command(&world, &["show", &notes, "kyc-unknown"], 1).await;
    assert!(missing.said("not in antispoof.parked: kyc-unknown"), "{:?}", missing.stderr());

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("parked.jsonl");
    let file = file.to_str().unwrap();
    command(&world, &["export", "--output", file], 0).await;
    command(&world, &["export", "--output", file], 64).await;
    assert_eq!(pickled(&world).await, before, "to look changes neither a message nor the order");

    // Removed, only what was meant; and put back, as it was.
    let refused = command(&world, &["purge", "--code", "malformed_job"], 64).await;
    assert!(refused.said("add --yes"), "{:?}", refused.stderr());
    command(&world, &["purge", "--code", "malformed_job", "--yes"], 0).await;
    assert_eq!(pickled(&world).await, before[..3]);
    command(&world, &["purge", "--yes"], 0).await;
    assert_eq!(world.broker.depth(PARKED).await, Some(0));
    command(&world, &["import", file], 0).await;
    assert_eq!(pickled(&world).await, before, "what is imported is what was exported");

    // A line that is no export is found before anything is published.
    let text = std::fs::read_to_string(file).unwrap() + "{\"job_id\": \"a line of `list`\"}\n";
    let broken = folder.path().join("broken.jsonl");
    std::fs::write(&broken, text).unwrap();
    let refused = command(&world, &["import", broken.to_str().unwrap()], 1).await;
    assert!(refused.said("line 5: there is no \"amqp\""), "{:?}", refused.stderr());
    assert_eq!(pickled(&world).await, before);
    daemon.term();
    assert!(daemon.wait_exit(STARTED).await.success());
}

#[tokio::test]
async fn a_message_that_the_broker_parked_is_listed_and_replayed_under_its_name() {
    let world = World::new("parked_by_broker").await;
    let daemon = world.daemon().start_ready().await;
    let face = world.upload("face.jpg", jpeg::tiny(3)).await;
    dropped_by_the_broker(&world, &face.key, "kyc-dropped").await;

    let lines = command(&world, &["list", "--code", "none", "--json"], 0).await.stdout();
    let line: Value = serde_json::from_str(&lines[0]).expect("a line is JSON");
    assert_eq!(
        (&line["job_id"], &line["code"], &line["parked_at"]),
        (&json!("kyc-dropped"), &Value::Null, &Value::Null)
    );
    assert!(
        line["message"].as_str().is_some_and(|message| message.contains("moved here by the broker (delivery_limit)"))
    );
    command(&world, &["replay", "--code", "none"], 0).await;
    let event = world.event_for("kyc-dropped").await;
    assert!(event.outcome().is_some(), "{}", event.json);
    assert_eq!(event.properties.correlation_id().as_ref().map(ShortString::as_str), Some("the-correlation"));
    assert_eq!(world.broker.depth(PARKED).await, Some(0));
    daemon.term();
    assert!(daemon.wait_exit(STARTED).await.success());
    world.assert_drained().await;
}

/// A broker that reaches no leader of a quorum queue says that it is empty: findings/rabbitmq-quorum-declare-says-empty.sh.
#[tokio::test]
async fn a_queue_that_is_only_said_to_be_empty_is_not_taken_for_it() {
    let world = World::new("parked_hollow").await;
    world.declare().await;
    assert_eq!(command(&world, &["list"], 0).await.stdout().last().unwrap(), "0 jobs in antispoof.parked");
    park(&world, (0..5).map(|number| Parked::new(number, "object_not_found", "k"))).await;
    world.amqp_link.hollow(Some(PARKED));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("parked.jsonl").display().to_string();
    for arguments in [&["list"][..], &["export", "-o", &file], &["replay", "--yes"], &["purge", "--yes"]] {
        let command = command(&world, arguments, 69).await;
        assert!(command.said("cannot say what is in queue antispoof.parked"), "{arguments:?}: {:?}", command.stderr());
        assert!(command.said("quorum_status") && command.stdout().is_empty(), "{:?}", command.stdout());
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "no export that looks whole");
    world.amqp_link.hollow(None);
    assert_eq!(command(&world, &["list"], 0).await.stdout().last().unwrap(), "5 jobs in antispoof.parked");
}

#[tokio::test]
async fn a_message_that_ends_each_connection_ends_a_look_with_words() {
    let world = World::new("parked_poison").await;
    world.declare().await;
    park(&world, (0..5).map(|number| Parked::new(number, "object_not_found", "k"))).await;
    world.amqp_link.poison(Some(b"parked-3"));
    let list = command(&world, &["list"], 69).await;
    assert!(list.said("of 5 messages of antispoof.parked"), "{:?}", list.stderr());
    world.amqp_link.poison(None);
    // What it had in hand comes back when the broker has seen the end of its connection.
    eventually_equals("the messages to be back", EVENTUALLY, Some(5), async || world.broker.depth(PARKED).await).await;
    assert_eq!(command(&world, &["list"], 0).await.stdout().last().unwrap(), "5 jobs in antispoof.parked");
}

#[tokio::test]
async fn without_a_queue_or_a_right_the_error_says_what_to_do() {
    let world = World::new("parked_none").await;
    let list = command(&world, &["list"], 69).await;
    assert!(list.said("find queue antispoof.parked"), "{:?}", list.stderr());
    assert!(list.said("amqp.topology"), "{:?}", list.stderr());
    let wrong = command(&world, &["list", "--code", "object_notfound"], 64).await;
    assert!(wrong.said("did you mean object_not_found?"), "{:?}", wrong.stderr());
}

#[tokio::test]
async fn ten_thousand_are_counted_in_seconds() {
    const PER_CODE: u32 = 2_000;

    let world = World::new("parked_many").await;
    world.declare().await;
    let codes = ["object_not_found", "api_in_doubt", "not_an_image", "store_timeout", "job_expired"];
    let jobs = (0..PER_CODE * 5).map(|number| Parked::new(number, codes[number as usize % 5], "k"));
    park(&world, jobs).await;
    let started = Instant::now();
    let list = command(&world, &["list"], 0).await;
    let took = started.elapsed();
    let lines = list.stdout();
    assert_eq!(lines.last().unwrap(), "10000 jobs in antispoof.parked");
    for code in codes {
        let row = lines.iter().find(|line| line.starts_with(code)).unwrap_or_else(|| panic!("{code}: {lines:#?}"));
        assert_eq!(row.split_whitespace().nth(1), Some("2000"), "{row}");
    }
    assert!(took < SOON, "{took:?}");
    eventually("the messages to be back", EVENTUALLY, async || match world.broker.depth(PARKED).await {
        Some(10_000) => Ok(()),
        depth => Err(format!("{depth:?}")),
    })
    .await;
}

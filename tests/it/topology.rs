//! `topology` against a real broker: what is printed can be imported, what is there is compared, what is missing is declared.

use crate::check::OTHER_TYPE;
use crate::harness::broker::{DEAD, JOBS, PARKED};
use crate::harness::daemon::DaemonBuilder;
use crate::harness::own_broker::OwnBroker;
use crate::harness::store::BUCKET;
use crate::harness::wait::{EVENTUALLY, STARTED, eventually};
use crate::harness::world::World;

const QUEUES: [&str; 5] = [DEAD, JOBS, PARKED, "antispoof.retry.1s", "antispoof.retry.2s"];

/// Exit code, stdout and stderr of `topology WHAT`.
async fn topology(settings: DaemonBuilder, what: &str) -> (Option<i32>, String, String) {
    run(settings, &["topology", what]).await
}

async fn run(settings: DaemonBuilder, arguments: &[&str]) -> (Option<i32>, String, String) {
    let process = settings.command(arguments);
    let code = process.wait_output(STARTED).await.code();
    (code, process.stdout().join("\n"), process.stderr().join("\n"))
}

#[tokio::test]
async fn what_is_printed_can_be_imported_and_a_worker_finds_it_as_it_should_be() {
    let broker = OwnBroker::start("definitions").await;
    let world = World::with("topology_print", broker.services()).await;
    let (code, definitions, said) = topology(world.daemon(), "print").await;
    assert_eq!(code, Some(0), "{said}");
    assert!(!definitions.contains("guest"), "{definitions}");
    broker.import_definitions(&definitions).await;

    let checked = eventually("the definitions to be imported", EVENTUALLY, async || {
        let (code, compared, said) = topology(world.daemon(), "check").await;
        if code == Some(0) { Ok(compared) } else { Err(format!("{compared}\n{said}")) }
    })
    .await;
    assert_eq!(checked.lines().count(), 8, "{checked}");
    assert!(checked.lines().all(|line| line.starts_with("ok ")), "{checked}");

    // The bindings, too: a job goes from the exchange to the queue, and after a failure through a delay queue back to it.
    let daemon = world.daemon().set("amqp.topology", "check").set("retry.max_attempts", "2").start_ready().await;
    let job = world.submit("nowhere.jpg").await;
    assert_eq!(world.event_for(&job).await.failure_code(), Some("object_not_found"));
    eventually("it to be parked", EVENTUALLY, async || match world.broker.parked().await.len() {
        1 => Ok(()),
        parked => Err(format!("{parked} are")),
    })
    .await;
    daemon.term();
    assert!(daemon.wait_exit(STARTED).await.success());
    world.assert_drained().await;
}

#[tokio::test]
async fn what_is_missing_is_named_and_declared() {
    let world = World::new("topology_apply").await;
    let (code, compared, said) = topology(world.daemon(), "check").await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        compared.contains("missing  queue antispoof.jobs") && said.contains("`antispoofd topology apply`"),
        "{said}"
    );
    assert_eq!(world.broker.queues().await, Vec::<String>::new(), "a check declares nothing");

    let (code, applied, said) = topology(world.daemon(), "apply").await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        applied.contains("declared  queue antispoof.jobs") && applied.contains("there     exchange antispoof.results")
    );
    let mut queues = world.broker.queues().await;
    queues.sort();
    assert_eq!(queues, QUEUES);
    assert_eq!(topology(world.daemon(), "check").await.0, Some(0));
    assert_eq!(topology(world.daemon(), "apply").await.0, Some(0), "it can be repeated");

    // A worker that only looks takes jobs from what was declared: it is bound.
    let daemon = world.daemon().set("amqp.topology", "check").start_ready().await;
    let job = world.submit("nowhere.jpg").await;
    eventually("the job to be in a delay queue, or past it", EVENTUALLY, async || {
        if daemon.metric("antispoofd_settlements_total{kind=\"deferred\"}").await > Some(0.0) {
            Ok(())
        } else {
            Err(format!("job {job} was not deferred"))
        }
    })
    .await;
}

#[tokio::test]
async fn nothing_is_declared_beside_what_differs() {
    let world = World::new("topology_differs").await;
    world.broker.declare_otherwise(JOBS).await;
    let (code, compared, said) = topology(world.daemon(), "check").await;
    assert_eq!(code, Some(1), "{said}");
    let differs = compared.lines().find(|line| line.starts_with("differs  queue antispoof.jobs: ")).expect("a line");
    assert!(OTHER_TYPE.iter().any(|part| differs.contains(part)), "{differs}");
    for argument in ["x-dead-letter-exchange", "x-dead-letter-routing-key", "x-overflow"] {
        assert!(differs.contains(&format!("{argument} = none (should be ")), "{argument}: {differs}");
    }
    let (code, applied, said) = topology(world.daemon(), "apply").await;
    assert_eq!((code, applied.as_str()), (Some(1), ""), "{said}");
    assert!(
        said.contains("queue antispoof.jobs is there with ") && said.contains("hint: this cannot be changed"),
        "{said}"
    );
    assert_eq!(world.broker.queues().await, [JOBS]);
}

#[tokio::test]
async fn who_may_not_configure_is_told() {
    let world = World::new("topology_rights").await;
    world.broker.set_permissions("^$", ".*", ".*").await;
    let (code, _, said) = topology(world.daemon(), "apply").await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("ACCESS_REFUSED") && said.contains("configure, write and read"), "{said}");
}

#[tokio::test]
async fn the_management_api_tells_without_rights_and_with_the_bindings() {
    let world = World::new("topology_management").await;
    let management = ["--management", world.services.management.as_str()];
    let check = [&["topology", "check"], &management[..]].concat();
    let connect = [&["check", "--connect"], &management[..]].concat();
    let settings = || world.daemon().set("s3.buckets", BUCKET);

    assert_eq!(topology(settings(), "apply").await.0, Some(0));
    world.broker.set_permissions("^$", ".*", ".*").await;
    let (code, compared, said) = run(settings(), &check).await;
    assert_eq!(code, Some(0), "{compared}\n{said}");
    assert_eq!(compared.lines().count(), 8 + 6, "{compared}");
    assert!(compared.contains("ok       binding antispoof.parked to antispoof.internal"), "{compared}");
    assert!(said.contains("a queue is bound to antispoof.results"), "{said}");
    let (code, lines, said) = run(settings(), &connect).await;
    assert_eq!(code, Some(0), "{lines}\n{said}");
    assert!(lines.contains("ok      topology  14 objects are as they should be"), "{lines}");
    assert!(lines.contains("ok      results   antispoof.results has a binding"), "{lines}");

    world.broker.set_permissions(".*", ".*", ".*").await;
    world.broker.unbind_results().await;
    world.broker.delete_queue(PARKED).await;
    world.broker.declare_otherwise(PARKED).await;
    let (code, compared, said) = run(settings(), &check).await;
    assert_eq!(code, Some(1), "{said}");
    let differs = "differs  queue antispoof.parked: x-delivery-limit = none (should be 100000), x-overflow = none (should be reject-publish), ";
    assert!(OTHER_TYPE.iter().any(|part| compared.contains(&format!("{differs}{part}"))), "{compared}");
    assert!(compared.contains("missing  binding antispoof.parked to antispoof.internal"), "{compared}");
    let (code, lines, _) = run(settings(), &connect).await;
    assert_eq!(code, Some(78), "{lines}");
    assert!(lines.contains("failed  results   nothing is bound to antispoof.results"), "{lines}");
}

#[tokio::test]
async fn a_management_api_that_does_not_tell_is_named() {
    let world = World::new("topology_no_management").await;
    let check = ["topology", "check", "--management"];
    let away = format!("http://{}", crate::harness::ports::reserve());
    let (code, _, said) = run(world.daemon(), &[&check[..], &[away.as_str()]].concat()).await;
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("rabbitmq-plugins enable rabbitmq_management"), "{said}");
    let url = world.services.amqp_url(&world.services.amqp_address(), world.broker.vhost());
    let nobody = world.daemon().set("amqp.url", url.replacen("guest:guest@", "nobody:hunter2@", 1));
    let (code, _, said) = run(nobody, &[&check[..], &[world.services.management.as_str()]].concat()).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("it answered 401") && !said.contains("hunter2"), "{said}");
    let (code, _, said) = run(world.daemon(), &[&check[..], &["http://guest:hunter2@127.0.0.1:15672"]].concat()).await;
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("without user and password") && !said.contains("hunter2"), "{said}");
}

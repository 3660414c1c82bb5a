//! Traces over OTLP: what is sent, what a message carries on, and that a collector never costs a job.

use std::collections::BTreeSet;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::batch::Batch;
use crate::harness::broker::Message;
use crate::harness::collector::{Answer, Collector, Span};
use crate::harness::daemon::{Daemon, DaemonBuilder};
use crate::harness::wait::{EVENTUALLY, SOON, STARTED, eventually, eventually_equals, holds};
use crate::harness::world::World;
use crate::harness::{http, ports};
use crate::images::jpeg;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// A daemon that sends its spans to `endpoint` as soon as there are some.
fn traced(world: &World, endpoint: &str) -> DaemonBuilder {
    let daemon = world.daemon().env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    daemon.env("OTEL_BSP_SCHEDULE_DELAY", "50")
}

/// Publishes a job for `key` with these headers, and returns its id.
async fn submit(world: &World, key: &str, headers: &[(&str, &str)]) -> String {
    let (id, body) = world.job(json!({ "key": key }));
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert((*name).into(), AMQPValue::LongString((*value).into()));
    }
    let properties = BasicProperties::default().with_content_type("application/json".into()).with_headers(table);
    world.broker.publish_job(&body, properties.with_message_id(id.as_str().into())).await;
    id
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn the<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    match named(spans, name).as_slice() {
        [span] => span,
        _ => panic!("one span {name} among {spans:?}"),
    }
}

fn published(spans: &[Span]) -> &Span {
    let found: Vec<_> = spans.iter().filter(|span| span.kind == SpanKind::Producer).collect();
    match found.as_slice() {
        [span] => span,
        _ => panic!("one publish among {spans:?}"),
    }
}

/// The context that consumers find in the event: the same in its body and in its headers.
fn context(event: &Message) -> (String, Value) {
    assert_eq!(event.headers["traceparent"], event.json["traceparent"]);
    assert_eq!(event.headers.get("tracestate"), event.json.get("tracestate"));
    let traceparent = event.json["traceparent"].as_str().expect("a context").to_owned();
    (traceparent, event.json["tracestate"].clone())
}

/// It ends, and all that it said has been read.
async fn ends(daemon: &Daemon) {
    daemon.term();
    assert!(daemon.wait_output(STARTED).await.success());
}

#[tokio::test]
async fn one_trace_goes_from_the_producer_to_the_consumer() {
    let world = World::new("one_trace").await;
    let collector = Collector::start().await;
    let daemon = traced(&world, &collector.endpoint())
        .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=a%20test,service.name=other")
        .env("OTEL_SERVICE_NAME", "kyc-antispoof")
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=t%2C42,authorization=Bearer%20s3cret")
        .env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        .set("worker.instance", "one")
        .set("log.object_keys", "hash")
        .start_ready()
        .await;
    let stored = world.upload("selfie.jpg", jpeg::tiny(1)).await;
    let headers = [("traceparent", &*format!("00-{TRACE}-{PARENT}-01")), ("tracestate", "portal=1,b=2")];
    let job = submit(&world, &stored.key, &headers).await;
    let event = world.event_for(&job).await;
    let spans = collector.spans_of(&job, 1).await;
    assert_eq!(spans.len(), 4, "{spans:?}");

    let process = the(&spans, "process antispoof.jobs");
    let publish = published(&spans);
    assert_eq!((process.trace.as_str(), process.parent.as_str()), (TRACE, PARENT));
    for span in &spans {
        assert_eq!((span.trace.as_str(), span.state.as_str(), span.failed), (TRACE, "portal=1,b=2", false));
        assert!(span.start <= span.end && process.start <= span.start && span.end <= process.end, "{spans:?}");
        if span.id != process.id {
            assert_eq!(span.parent, process.id, "{span:?}");
        }
    }
    assert_eq!(context(&event), (publish.traceparent(), json!("portal=1,b=2")));

    let (broker_host, broker_port) = (json!("127.0.0.1"), json!(world.amqp_link.addr().port()));
    let outcome = event.json["data"]["outcome"].clone();
    let size = process.attribute("messaging.message.body.size");
    assert!(size.as_u64() > Some(50), "{size}");
    assert_eq!(process.kind, SpanKind::Consumer);
    assert_eq!(
        json!(process.attributes),
        json!({
            "messaging.system": "rabbitmq", "messaging.operation.name": "process",
            "messaging.operation.type": "process", "messaging.destination.name": "antispoof.jobs",
            "messaging.message.id": job, "messaging.message.body.size": size,
            "server.address": broker_host, "server.port": broker_port,
            "antispoofd.job.id": job, "antispoofd.job.attempt": 1, "antispoofd.outcome": outcome,
        })
    );
    let get = the(&spans, "S3.GetObject");
    assert_eq!(get.kind, SpanKind::Client);
    assert_eq!(
        json!(get.attributes),
        json!({
            "rpc.system.name": "aws-api", "rpc.system": "aws-api", "rpc.method": "GetObject",
            "aws.s3.bucket": event.json["data"]["image"]["bucket"], "cloud.region": "us-east-1",
            "server.address": "127.0.0.1", "server.port": world.s3_link.addr().port(),
            "antispoofd.object.bytes": event.json["data"]["image"]["bytes"],
        }),
        "no key"
    );
    let post = the(&spans, "POST");
    let api = world.api_link.addr();
    assert_eq!(post.kind, SpanKind::Client);
    assert_eq!(
        json!(post.attributes),
        json!({
            "http.request.method": "POST", "http.response.status_code": 200,
            "url.full": format!("http://{api}/ai/v1/face-verification/detect-spoof"),
            "server.address": "127.0.0.1", "server.port": api.port(),
            "antispoofd.api.request_id": event.json["data"]["check"]["request_id"],
        })
    );
    let destination = format!("antispoof.results:{}", event.routing_key);
    assert_eq!(publish.name, format!("publish {destination}"));
    assert_eq!(
        json!(publish.attributes),
        json!({
            "messaging.system": "rabbitmq", "messaging.operation.name": "publish",
            "messaging.operation.type": "send", "messaging.destination.name": destination,
            "messaging.rabbitmq.destination.routing_key": event.routing_key,
            "messaging.message.id": event.json["id"], "messaging.message.conversation_id": job,
            "messaging.message.body.size": event.body.len(), "cloudevents.event_type": event.json["type"],
            "server.address": broker_host, "server.port": broker_port,
        })
    );
    let resource = &process.resource;
    let resource = |name: &str| resource.get(name).and_then(Value::as_str).unwrap_or_default();
    assert_eq!(resource("service.name"), "kyc-antispoof");
    assert_eq!(resource("service.instance.id"), "one");
    assert_eq!(resource("deployment.environment.name"), "a test");
    assert!(!resource("service.version").is_empty() && resource("telemetry.sdk.language") == "rust");

    let asked = collector.requests().remove(0);
    let header = |name: &str| asked.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert_eq!(asked.path, "/v1/traces");
    assert_eq!((header("content-type"), header("content-encoding")), ("application/x-protobuf", "gzip"));
    assert_eq!((header("x-tenant"), header("authorization")), ("t,42", "Bearer s3cret"));

    ends(&daemon).await;
    let lines: Vec<Value> =
        daemon.logs().iter().map(|line| serde_json::from_str(line).expect("a line is an object")).collect();
    let of_job: Vec<_> = lines.iter().filter(|line| line["job.id"] == json!(job)).collect();
    assert!(!of_job.is_empty());
    for line in of_job {
        assert_eq!((&line["trace_id"], &line["span_id"]), (&json!(TRACE), &json!(process.id)), "{line}");
    }
    assert!(!daemon.logs_contain("s3cret"), "no header is logged");
}

#[tokio::test]
async fn every_call_is_a_span_and_every_attempt_is_in_the_trace() {
    let world = World::new("attempts_in_a_trace").await;
    let collector = Collector::start().await;
    let daemon = traced(&world, &collector.endpoint()).set("retry.quick_attempts", "2");
    let _daemon = daemon.set("retry.max_attempts", "2").start_ready().await;
    // The first delivery makes two calls, the second one.
    world.simulator.configure(json!({ "faults": "503=x2" })).await;
    let stored = world.upload("selfie.jpg", jpeg::tiny(2)).await;
    // What cannot be read begins a new trace, and the state goes with it.
    let job = submit(&world, &stored.key, &[("traceparent", "00-nonsense"), ("tracestate", "portal=1")]).await;
    let event = world.event_for(&job).await;
    assert_eq!(event.json["data"]["check"]["attempts"], 2);
    let spans = collector.spans_of(&job, 2).await;
    let processes = named(&spans, "process antispoof.jobs");
    let [first, second] = processes.as_slice() else { panic!("{spans:?}") };
    assert_eq!((first.trace.as_str(), first.parent.as_str()), (second.trace.as_str(), ""));
    assert_eq!(second.parent, first.id, "the copy in the delay queue carries it");
    let ends = |span: &Span| (span.failed, span.attribute("error.type"), span.attribute("antispoofd.outcome"));
    assert_eq!(ends(first), (true, json!("api_unavailable"), json!("deferred")));
    assert_eq!(ends(second), (false, Value::Null, event.json["data"]["outcome"].clone()));
    let calls = named(&spans, "POST");
    let call = |span: &&Span| {
        let [status, error, resent] =
            ["http.response.status_code", "error.type", "http.request.resend_count"].map(|name| span.attribute(name));
        (span.parent.clone(), status, error, resent)
    };
    assert_eq!(
        calls.iter().map(call).collect::<Vec<_>>(),
        [
            (first.id.clone(), json!(503), json!("503"), Value::Null),
            (first.id.clone(), json!(503), json!("503"), json!(1)),
            (second.id.clone(), json!(200), Value::Null, Value::Null),
        ]
    );
    let publish = published(&spans);
    assert_eq!(context(&event), (publish.traceparent(), Value::Null));
    assert_eq!(publish.parent, second.id);
}

#[tokio::test]
async fn a_job_that_fails_is_parked_with_the_trace_that_it_came_with() {
    let world = World::new("parked_with_its_trace").await;
    let collector = Collector::start().await;
    let daemon = traced(&world, &collector.endpoint()).set("retry.max_attempts", "1");
    let _daemon = daemon.set("retry.quick_attempts", "1").start_ready().await;
    let (with, without) = (format!("00-{TRACE}-{PARENT}-01"), world.store.key("missing"));
    let jobs = [submit(&world, &without, &[("traceparent", &with)]).await, submit(&world, &without, &[]).await];
    for (job, brought) in jobs.iter().zip([true, false]) {
        let event = world.event_for(job).await;
        let spans = collector.spans_of(job, 1).await;
        let process = the(&spans, "process antispoof.jobs");
        assert_eq!(process.attribute("error.type"), json!("object_not_found"));
        let get = the(&spans, "S3.GetObject");
        assert_eq!((get.failed, get.attribute("error.type")), (true, json!("404")));
        assert_eq!(get.attribute("antispoofd.failure.code"), json!("object_not_found"));
        assert_eq!(get.attribute("aws.s3.key"), json!(without), "log.object_keys is plain");
        assert_eq!(context(&event).0, published(&spans).traceparent());
        let parked = eventually("the parked message", SOON, async || {
            let mut parked = world.broker.parked().await;
            parked.retain(|message| message.json["id"] == json!(job));
            parked.pop().ok_or_else(|| "not there".to_owned())
        })
        .await;
        let expected = if brought { with.clone() } else { process.traceparent() };
        assert_eq!(parked.headers["traceparent"], json!(expected));
        assert_eq!(process.parent, if brought { PARENT } else { "" });
    }
}

#[tokio::test]
async fn the_producers_decision_not_to_sample_holds_and_is_passed_on() {
    let world = World::new("unsampled").await;
    let collector = Collector::start().await;
    let daemon = traced(&world, &collector.endpoint()).start_ready().await;
    let stored = world.upload("selfie.jpg", jpeg::tiny(3)).await;
    let headers = [("traceparent", &*format!("00-{TRACE}-{PARENT}-00")), ("tracestate", "portal=1")];
    let unsampled = submit(&world, &stored.key, &headers).await;
    let event = world.event_for(&unsampled).await;
    let (traceparent, state) = context(&event);
    let fields: Vec<_> = traceparent.split('-').collect();
    assert_eq!((fields[1], fields[3], state), (TRACE, "00", json!("portal=1")));
    assert_ne!(fields[2], PARENT, "the publish is a step of its own");
    let sampled = submit(&world, &stored.key, &[]).await;
    world.event_for(&sampled).await;
    ends(&daemon).await;
    let spans = collector.spans_of(&sampled, 1).await;
    let traces: BTreeSet<_> = collector.spans().into_iter().map(|span| span.trace).collect();
    assert_eq!(traces, BTreeSet::from([spans[0].trace.clone()]), "and of the other nothing");
    let line = daemon.logs().into_iter().find(|line| line.contains(&unsampled) && line.contains("outcome"));
    assert!(line.is_some_and(|line| line.contains(TRACE) && line.contains("span_id")), "the log has the ids");
}

#[tokio::test]
async fn a_sampler_that_is_off_records_nothing_and_still_passes_the_trace_on() {
    let world = World::new("sampler_off").await;
    let collector = Collector::start().await;
    let daemon = traced(&world, &collector.endpoint()).env("OTEL_TRACES_SAMPLER", "always_off").start_ready().await;
    let stored = world.upload("selfie.jpg", jpeg::tiny(4)).await;
    let job = submit(&world, &stored.key, &[("traceparent", &format!("00-{TRACE}-{PARENT}-01"))]).await;
    let (traceparent, _) = context(&world.event_for(&job).await);
    assert!(traceparent.starts_with(&format!("00-{TRACE}-")) && traceparent.ends_with("-00"), "{traceparent}");
    ends(&daemon).await;
    assert!(collector.requests().is_empty(), "{:?}", collector.requests());
}

#[tokio::test]
async fn the_parts_of_a_notification_are_in_its_trace() {
    let world = World::new("parts_in_a_trace").await;
    let collector = Collector::start().await;
    let _daemon = traced(&world, &collector.endpoint()).start_ready().await;
    let mut records = Vec::new();
    for number in 0..2 {
        let stored = world.upload(&format!("{number}.jpg"), jpeg::tiny(5 + number)).await;
        let bucket = world.job(json!({})).1;
        let bucket: Value = serde_json::from_slice(&bucket).expect("a job");
        records.push(json!({ "eventName": "ObjectCreated:Put", "eventSource": "aws:s3", "eventVersion": "2.1",
            "s3": { "bucket": { "name": bucket["bucket"] }, "object": { "key": stored.key, "size": 10, "sequencer": "1" } } }));
    }
    let body = json!({ "Records": records }).to_string().into_bytes();
    world.broker.publish_job(&body, BasicProperties::default().with_content_type("application/json".into())).await;
    let spans = eventually("three deliveries", EVENTUALLY, async || {
        let spans = collector.spans();
        let count = named(&spans, "process antispoof.jobs").len();
        if count == 3 { Ok(spans) } else { Err(format!("{count}")) }
    })
    .await;
    let processes = named(&spans, "process antispoof.jobs");
    let whole = processes.iter().find(|span| span.attribute("antispoofd.outcome") == "divided").expect("the whole");
    for part in processes.iter().filter(|span| span.id != whole.id) {
        assert_eq!((&part.trace, &part.parent), (&whole.trace, &whole.id));
    }
}

#[tokio::test]
async fn without_an_endpoint_nothing_changes() {
    let world = World::new("traces_off").await;
    let collector = Collector::start().await;
    let stored = world.upload("selfie.jpg", jpeg::tiny(7)).await;
    let given = format!("00-{TRACE}-{PARENT}-01");
    let off: [&[(&str, &str)]; 4] = [
        &[],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()), ("OTEL_SDK_DISABLED", "true")],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()), ("OTEL_TRACES_EXPORTER", "none")],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
    ];
    for (number, variables) in off.into_iter().enumerate() {
        let builder = variables.iter().fold(world.daemon(), |daemon, (name, value)| daemon.env(name, *value));
        let daemon = builder.start_ready().await;
        let job = submit(&world, &stored.key, &[("traceparent", &given), ("tracestate", "portal=1")]).await;
        assert_eq!(context(&world.event_for(&job).await), (given.clone(), json!("portal=1")), "passed on untouched");
        let other = submit(&world, &stored.key, &[]).await;
        let event = world.event_for(&other).await;
        assert_eq!((event.json.get("traceparent"), event.headers.get("traceparent")), (None, None));
        ends(&daemon).await;
        assert!(!daemon.logs_contain("span_id") && daemon.logs_contain(TRACE));
        let warning = "OTEL_EXPORTER_OTLP_PROTOCOL: is \\\"grpc\\\", which is not spoken here: no trace is sent";
        assert_eq!(daemon.logs_contain(warning), number == 3, "{:?}", daemon.logs());
    }
    assert!(collector.requests().is_empty());
}

/// How long twenty jobs take, and what the log says of the collector.
async fn with_collector(test: &str, endpoint: &str) -> (World, Daemon, Duration) {
    let world = World::new(test).await;
    let daemon =
        traced(&world, endpoint).env("OTEL_BSP_MAX_QUEUE_SIZE", "10").env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5");
    let daemon = daemon.start_ready().await;
    let mut batch = Batch::stored(&world, 20).await;
    let started = Instant::now();
    batch.submit(&world).await;
    batch.verdicts(&world).await;
    (world, daemon, started.elapsed())
}

#[tokio::test]
async fn a_collector_that_is_away_or_hangs_or_refuses_costs_spans_and_no_job() {
    let gone = format!("http://{}", ports::reserve());
    let (hanging, refusing, broken) = (Collector::start().await, Collector::start().await, Collector::start().await);
    hanging.answer(Answer::Hang);
    refusing.answer(Answer::Status(400));
    broken.answer(Answer::Status(503));
    for (test, endpoint) in [
        ("collector_gone", gone),
        ("collector_hanging", hanging.endpoint()),
        ("collector_refusing", refusing.endpoint()),
        ("collector_broken", broken.endpoint()),
    ] {
        let (_world, daemon, took) = with_collector(test, &endpoint).await;
        assert!(took < SOON, "{test}: {took:?}");
        eventually(&format!("{test}: the spans to be counted"), SOON, async || {
            let full = daemon.metric("antispoofd_spans_total{result=\"queue_full\"}").await.unwrap_or_default();
            let failed = daemon.metric("antispoofd_spans_total{result=\"failed\"}").await.unwrap_or_default();
            let lost = if test == "collector_refusing" { failed } else { full };
            if lost > 0.0 { Ok(()) } else { Err(format!("{full} dropped, {failed} failed")) }
        })
        .await;
        assert_eq!(daemon.metric("antispoofd_spans_total{result=\"exported\"}").await, Some(0.0));
        let stopping = Instant::now();
        ends(&daemon).await;
        let took = stopping.elapsed();
        assert!(took < Duration::from_secs(8), "{test}: it is not waited for: {took:?}");
        let warnings = daemon.logs().iter().filter(|line| line.contains("does not take traces")).count();
        // One that hangs may not have been given up yet.
        let least = usize::from(test != "collector_hanging");
        assert!((least..=1).contains(&warnings), "{test}: {warnings} of {:?}", daemon.logs());
    }
}

#[tokio::test]
async fn a_collector_that_comes_back_gets_what_waited() {
    let world = World::new("collector_back").await;
    let collector = Collector::start().await;
    collector.answer(Answer::Status(503));
    let daemon = traced(&world, &collector.endpoint()).start_ready().await;
    let stored = world.upload("selfie.jpg", jpeg::tiny(8)).await;
    let job = submit(&world, &stored.key, &[]).await;
    world.event_for(&job).await;
    eventually_equals("the warning", SOON, true, async || daemon.logs_contain("does not take traces")).await;
    collector.answer(Answer::Take);
    let spans = collector.spans_of(&job, 1).await;
    assert_eq!(spans.len(), 4);
    eventually_equals("the word of it", SOON, true, async || daemon.logs_contain("takes traces again")).await;
    collector.answer(Answer::TakeBut(3));
    let job = submit(&world, &stored.key, &[]).await;
    world.event_for(&job).await;
    eventually_equals("the refused ones to be counted", SOON, Some(3.0), async || {
        daemon.metric("antispoofd_spans_total{result=\"failed\"}").await
    })
    .await;
    daemon.wait_logged("it refuses spans: too old").await;
}

#[tokio::test]
async fn the_last_spans_go_out_before_the_end() {
    let world = World::new("last_spans").await;
    let collector = Collector::start().await;
    // Longer than the test waits.
    let daemon = traced(&world, &collector.endpoint()).env("OTEL_BSP_SCHEDULE_DELAY", "600000").start_ready().await;
    let batch = Batch::submitted(&world, 5).await;
    batch.verdicts(&world).await;
    holds("nothing to be sent", Duration::from_millis(200), async || match collector.requests().len() {
        0 => Ok(()),
        count => Err(format!("{count} requests")),
    })
    .await;
    ends(&daemon).await;
    let spans = collector.spans();
    assert_eq!((named(&spans, "process antispoof.jobs").len(), named(&spans, "POST").len()), (5, 5), "{spans:?}");
}

#[tokio::test]
async fn a_call_to_the_vendor_carries_no_trace() {
    let world = World::new("vendor_untold").await;
    let (collector, vendor) = (Collector::start().await, Collector::start().await);
    vendor.answer(Answer::Status(400));
    let daemon = traced(&world, &collector.endpoint()).set("api.url", format!("{}/v1/detect", vendor.endpoint()));
    let _daemon = daemon.start_ready().await;
    let stored = world.upload("selfie.jpg", jpeg::tiny(9)).await;
    let job = submit(&world, &stored.key, &[("traceparent", &format!("00-{TRACE}-{PARENT}-01"))]).await;
    world.event_for(&job).await;
    let asked = vendor.requests();
    assert!(!asked.is_empty());
    for request in asked {
        let names: Vec<_> = request.headers.keys().map(|name| name.as_str().to_owned()).collect();
        assert!(!names.iter().any(|name| name.starts_with("trace") || name == "baggage"), "{names:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_variable_is_a_warning() {
    let world = World::new("traces_warnings").await;
    let collector = Collector::start().await;
    let daemon = traced(&world, &collector.endpoint())
        .env("OTEL_TRACES_SAMPLER", "sometimes")
        .env("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")
        .env("OTEL_EXPORTER_OTLP_HEADERS", "a s3cret")
        .start_ready()
        .await;
    for said in [
        "OTEL_TRACES_SAMPLER: is \\\"sometimes\\\", which is not known here: parentbased_always_on holds",
        "OTEL_EXPORTER_OTLP_TIMEOUT: is \\\"soon\\\": 10000 holds",
        "OTEL_EXPORTER_OTLP_HEADERS: is no list of headers, and none of them is sent",
    ] {
        daemon.wait_logged(said).await;
    }
    assert!(!daemon.logs_contain("s3cret"));
    let page = http::get(&http::client(), &format!("http://{}/metrics", daemon.admin())).await.expect("a page").1;
    assert!(page.contains("antispoofd_spans_total{result=\"exported\"} 0"), "{page}");
}

//! The variables of OpenTelemetry: what they mean, and that nothing wrong with them is more than a warning.

use std::time::Duration;

use super::super::{Batch, Sampler, Traces};
use super::Given;

const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

fn given(variables: &[(&str, &str)]) -> Given {
    variables.iter().fold(Given::least(), |given, (name, value)| given.env(name, value))
}

/// Traces with these variables besides the endpoint, and no warning.
#[track_caller]
fn traces(variables: &[(&str, &str)]) -> Traces {
    let given = given(&[&[ENDPOINT], variables].concat());
    assert_eq!(given.warnings(), [""; 0]);
    given.settings().traces.expect("traces")
}

/// Whether there are traces with these variables besides the endpoint, and what is said.
#[track_caller]
fn warned(variables: &[(&str, &str)]) -> (Option<Traces>, Vec<String>) {
    let given = given(&[&[ENDPOINT], variables].concat());
    (given.settings().traces, given.warnings())
}

#[test]
fn an_endpoint_is_all_that_is_needed() {
    let traces = traces(&[]);
    assert_eq!(traces.endpoint, "http://collector:4318/v1/traces");
    assert_eq!((traces.gzip, traces.timeout, traces.headers.len()), (false, Duration::from_secs(10), 0));
    assert_eq!(traces.sampler, Sampler { parent_based: true, ratio: 1.0 });
    assert_eq!((traces.service_name, traces.resource), (None, Vec::new()));
    let (delay, limit) = (Duration::from_secs(5), Duration::from_secs(30));
    assert_eq!(traces.batch, Batch { max_queue: 2048, max_batch: 512, delay, limit });
}

#[test]
fn without_an_endpoint_or_where_they_are_switched_off_there_are_none() {
    for off in [
        vec![],
        vec![("OTEL_EXPORTER_OTLP_ENDPOINT", " ")],
        vec![("OTEL_SERVICE_NAME", "kyc"), ("OTEL_TRACES_SAMPLER", "nonsense")],
        vec![ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")],
        vec![ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")],
    ] {
        let given = given(&off);
        assert!(given.settings().traces.is_none(), "{off:?}");
        assert_eq!(given.warnings(), [""; 0], "{off:?}");
    }
    let client = given(&[ENDPOINT, ("OTEL_TRACES_SAMPLER", "nonsense")]).client().expect("settings");
    assert!(client.settings.traces.is_none() && client.warnings.is_empty(), "a command sends none");
}

#[test]
fn an_endpoint_for_traces_is_taken_as_it_is() {
    let of = |variables: &[(&str, &str)]| traces(variables).endpoint;
    let name = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    assert_eq!(of(&[(name, "https://traces.example")]), "https://traces.example/");
    assert_eq!(of(&[(name, "http://127.0.0.1:9/ingest/otlp")]), "http://127.0.0.1:9/ingest/otlp");
    assert_eq!(of(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "https://h/otlp/")]), "https://h/otlp/v1/traces");
}

#[test]
fn the_variables_of_traces_come_before_those_of_all_signals() {
    let traces = traces(&[
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=1"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "Authorization=Basic%20dTpw,x-scope=a%2Cb"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2000"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
    ]);
    assert_eq!((traces.gzip, traces.timeout, traces.headers.len()), (true, Duration::from_secs(2), 2));
    assert_eq!(traces.headers["authorization"], "Basic dTpw");
    assert_eq!(traces.headers["x-scope"], "a,b");
    assert!(!format!("{traces:?}").contains("dTpw"), "{traces:?}");
}

#[test]
fn every_sampler_of_the_specification() {
    let half = ("OTEL_TRACES_SAMPLER_ARG", "0.5");
    for (name, parent_based, ratio) in [
        ("always_on", false, 1.0),
        ("always_off", false, 0.0),
        ("traceidratio", false, 0.5),
        ("parentbased_always_on", true, 1.0),
        ("parentbased_always_off", true, 0.0),
        ("parentbased_traceidratio", true, 0.5),
    ] {
        let sampler = traces(&[("OTEL_TRACES_SAMPLER", name), half]).sampler;
        assert_eq!(sampler, Sampler { parent_based, ratio }, "{name}");
    }
    assert_eq!(traces(&[("OTEL_TRACES_SAMPLER", "traceidratio")]).sampler, Sampler { parent_based: false, ratio: 1.0 });
}

#[test]
fn resource_attributes_and_limits() {
    let traces = traces(&[
        ("OTEL_SERVICE_NAME", "kyc"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=a%20b, zone = eu ,team=c"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "10"),
        ("OTEL_BSP_SCHEDULE_DELAY", "1"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "600000"),
    ]);
    assert_eq!(traces.service_name.as_deref(), Some("kyc"));
    assert_eq!(traces.resource, [("zone".to_owned(), "eu".to_owned()), ("team".to_owned(), "c".to_owned())]);
    assert_eq!((traces.batch.max_queue, traces.batch.max_batch), (10, 10), "no batch is larger than the queue");
    assert_eq!((traces.batch.delay, traces.batch.limit), (Duration::from_millis(1), Duration::from_mins(10)));
}

#[test]
fn what_cannot_be_used_is_a_warning_and_counts_as_unset() {
    let default = traces(&[]);
    for (name, value, said) in [
        (
            "OTEL_TRACES_SAMPLER",
            "allways_on",
            "is \"allways_on\", which is not known here: parentbased_always_on holds",
        ),
        (
            "OTEL_TRACES_SAMPLER",
            "jaeger_remote",
            "is \"jaeger_remote\", which is not known here: parentbased_always_on holds",
        ),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "is \"10s\": 10000 holds"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "is \"zstd\": nothing is compressed"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret", "is no list of headers, and none of them is sent"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a b=s3cret", "is no list of headers, and none of them is sent"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=s3%0Acret", "is no list of headers, and none of them is sent"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=1,b", "is no list of attributes, and none of them is sent"),
        ("OTEL_RESOURCE_ATTRIBUTES", "=1", "is no list of attributes, and none of them is sent"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "is \"0\": 2048 holds"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100001", "is \"100001\": 2048 holds"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1", "is \"-1\": 5000 holds"),
        ("OTEL_SDK_DISABLED", "yes", "is neither true nor false, and taken for false"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem", "is not read"),
        ("OTEL_TRACES_EXPORTER", "otlp,console", "names the exporter \"console\", which there is not"),
    ] {
        let (traces, warnings) = warned(&[(name, value)]);
        assert_eq!(warnings, [format!("{name}: {said}")]);
        assert_eq!(format!("{:?}", traces.expect("all the same")), format!("{default:?}"), "{name}={value}");
    }
    let ratio = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "10%")];
    let (_, warnings) = warned(&ratio);
    assert_eq!(warnings, ["OTEL_TRACES_SAMPLER_ARG: is \"10%\": every trace is recorded"]);
}

#[test]
fn what_cannot_be_sent_there_is_not_sent() {
    for (name, value, said) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "is \"grpc\", which is not spoken here: no trace is sent"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "is \"http/json\", which is not spoken here: no trace is sent"),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "collector:4318",
            "is neither an http:// nor an https:// URL: no trace is sent",
        ),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:s3cret@h", "holds a user name or password: no trace is sent"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "names the exporter \"zipkin\", which there is not"),
    ] {
        let (traces, warnings) = warned(&[(name, value)]);
        assert!(traces.is_none(), "{name}={value}");
        assert_eq!(warnings, [format!("{name}: {said}")]);
    }
    let given = given(&[("OTEL_TRACES_EXPORTER", "otlp")]);
    let said = "OTEL_TRACES_EXPORTER: is otlp, and OTEL_EXPORTER_OTLP_ENDPOINT is not set: no trace is sent";
    assert_eq!(given.warnings(), [said]);
}

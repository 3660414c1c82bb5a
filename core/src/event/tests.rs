use super::*;
use crate::failure::{Code, Failure};
use crate::retry::Attempt;
use crate::verdict::Verdict;
use serde_json::{Value, json};

fn origin() -> Origin {
    Origin {
        job_id: "kyc-7f3a".to_owned(),
        correlation_id: Some("c-1".to_owned()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        tracestate: None,
        metadata: Some(RawValue::from_string(r#"{"applicant":"42","n":1.50}"#.to_owned()).expect("JSON")),
        refused: None,
    }
}

fn verdict() -> JobResult {
    let verdict = Verdict { spoof_detected: false, accuracy: 0.989_906_817_674_636_8 };
    let report = Report {
        image: Some(ImageReport {
            bucket: "kyc-uploads".to_owned(),
            key: "a.jpg".to_owned(),
            etag: Some("abc".to_owned()),
            format: Some("jpeg".to_owned()),
            bytes: Some(200_436),
            width: Some(1080),
            height: Some(1440),
            digest: Some("sha256:00".to_owned()),
            ..ImageReport::default()
        }),
        check: Check { attempts: 1, api_duration_ms: Some(214), http_status: Some(200), ..Check::default() },
        at_ms: 1_795_384_799_123,
        replay: 0,
        after_ms: None,
    };
    JobResult::Verdict(VerdictResult { outcome: Outcome::Live, verdict, report })
}

#[test]
fn a_verdict_event_has_the_shape_of_the_contract() {
    let event = Event::new("antispoofd/test", &origin(), &verdict()).expect("serialises");
    assert_eq!(event.routing_key, "verdict.live");
    assert!(String::from_utf8_lossy(&event.body).contains(r#""metadata":{"applicant":"42","n":1.50}"#));
    let body: Value = serde_json::from_slice(&event.body).expect("JSON");
    assert_eq!(
        body,
        json!({
            "specversion": "1.0", "id": event.id, "source": "antispoofd/test", "type": "antispoofd.verdict.v1",
            "subject": "kyc-7f3a", "time": "2026-11-22T21:59:59.123Z",
            "datacontenttype": "application/json", "correlationid": "c-1",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "data": {
                "job_id": "kyc-7f3a", "outcome": "live", "spoof_detected": false, "accuracy": 0.989_906_817_674_636_8,
                "image": {"bucket": "kyc-uploads", "key": "a.jpg", "etag": "abc", "format": "jpeg", "bytes": 200_436,
                          "width": 1080, "height": 1440, "digest": "sha256:00"},
                "check": {"attempts": 1, "api_duration_ms": 214, "http_status": 200, "reused": false},
                "metadata": {"applicant": "42", "n": 1.50}
            }
        })
    );
}

#[test]
fn a_failure_event_names_code_stage_and_class() {
    let failure = Failure::new(Code::ApiRejected, "the API answered 422").with_status(422);
    let failure = failure.with_request_id(Some("req-1".to_owned()));
    let report = Report::new(None, Attempt::spent(2), OffsetDateTime::UNIX_EPOCH, 0);
    let result = FailureResult::new(&failure, report);
    let event = Event::failure("antispoofd/test", &origin(), &result).expect("serialises");
    assert_eq!((event.routing_key.as_str(), event.kind), ("failure.api_rejected", "antispoofd.failure.v1"));
    let body: Value = serde_json::from_slice(&event.body).expect("JSON");
    assert_eq!(
        body["data"]["failure"],
        json!({"code": "api_rejected", "stage": "call", "class": "permanent", "message": "the API answered 422", "http_status": 422})
    );
    assert_eq!(
        body["data"]["check"],
        json!({"attempts": 2, "http_status": 422, "request_id": "req-1", "reused": false})
    );
    assert!(body["data"].get("outcome").is_none() && body["data"].get("spoof_detected").is_none());
}

#[test]
fn repetitions_share_an_id_and_replays_do_not() {
    let id = |result: &JobResult| Event::new("antispoofd/a", &origin(), result).expect("serialises").id;
    let first = id(&verdict());
    let mut again = verdict();
    again.report_mut().check.attempts = 5;
    again.report_mut().check.reused = true;
    again.report_mut().at_ms += 1;
    assert_eq!(first, id(&again));
    let mut other = again.clone();
    if let Some(image) = &mut other.report_mut().image {
        image.etag = Some("other".to_owned());
    }
    assert_ne!(first, id(&other), "other content is another end");
    let mut later = again.clone();
    later.report_mut().after_ms = Some(1);
    assert_ne!(first, id(&later), "sent once more after a failure");
    again.report_mut().replay = 1;
    assert_ne!(first, id(&again));
}

#[test]
fn calls_in_doubt_are_said_only_where_there_are_any() {
    let check = |in_doubt| {
        let mut result = verdict();
        result.report_mut().check.in_doubt = in_doubt;
        let event = Event::new("antispoofd/test", &origin(), &result).expect("serialises");
        serde_json::from_slice::<Value>(&event.body).expect("JSON")["data"]["check"].clone()
    };
    assert_eq!(check(2)["in_doubt"], 2);
    assert!(check(0).get("in_doubt").is_none());
}

#[test]
fn a_result_is_stored_in_the_form_of_earlier_versions() {
    let stored = serde_json::to_value(verdict()).expect("serialises");
    assert_eq!(
        stored["ending"],
        json!({"verdict": {"outcome": "live", "verdict": {"spoof_detected": false, "accuracy": 0.989_906_817_674_636_8}}})
    );
    assert_eq!(serde_json::from_value::<JobResult>(stored).expect("reads"), verdict());

    let failure = Failure::new(Code::ObjectNotFound, "gone").with_status(404);
    let report = Report::new(None, Attempt::spent(8), OffsetDateTime::UNIX_EPOCH, 1);
    let failed = JobResult::Failure(FailureResult::new(&failure, report));
    let stored = r#"{"ending":{"failure":{"code":"object_not_found","message":"gone","http_status":404}},"image":null,"check":{"attempts":8,"http_status":404,"reused":false},"at_ms":0,"replay":1}"#;
    assert_eq!(serde_json::to_string(&failed).expect("serialises"), stored);
    assert_eq!(serde_json::from_str::<JobResult>(stored).expect("reads"), failed);
}

#[test]
fn a_code_of_another_version_is_an_error_of_the_record() {
    let stored = r#"{"ending":{"failure":{"code":"moon_phase","message":"full","http_status":null}},"image":null,"check":{"attempts":1,"reused":false},"at_ms":0,"replay":0}"#;
    let error = serde_json::from_str::<JobResult>(stored).expect_err("unknown").to_string();
    assert!(error.contains("moon_phase is no failure code of this version"), "{error}");
}

use super::*;
use serde_json::{Value, json};

fn read(body: &Value) -> Result<Intake, Box<Refused>> {
    Intake::read(body.to_string().as_bytes(), &Properties::default(), &Admission::default())
}

fn job(body: &Value) -> Job {
    Job::decode(body.to_string().as_bytes(), &Properties::default(), &Admission::default()).expect("a job")
}

fn nothing(body: &Value) -> String {
    match read(body) {
        Ok(Intake::Nothing(nothing)) => nothing.what().to_owned(),
        other => panic!("{body}: {other:?}"),
    }
}

/// As AWS writes it.
fn aws(event: &str, key: &str) -> Value {
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-central-1", "eventTime": "2026-11-22T21:57:07.123Z", "eventName": event,
        "userIdentity": { "principalId": "AWS:AIDA" }, "requestParameters": { "sourceIPAddress": "127.0.0.1" },
        "responseElements": { "x-amz-request-id": "C3D1", "x-amz-id-2": "EXAMPLE" },
        "s3": { "s3SchemaVersion": "1.0", "configurationId": "selfies",
                "bucket": { "name": "kyc-uploads", "ownerIdentity": { "principalId": "A3NL" }, "arn": "arn:aws:s3:::kyc-uploads" },
                "object": { "key": key, "size": 200_436, "eTag": "d41d8cd98f00b204e9800998ecf8427e", "versionId": "v1", "sequencer": "0055" } },
    })
}

fn records(records: &[Value]) -> Value {
    json!({ "Records": records })
}

#[test]
fn an_upload_is_a_job_for_what_was_uploaded() {
    let job = job(&records(&[aws("ObjectCreated:Put", "users/red+flower%2Bleaf.jpg")]));
    let image = job.image();
    assert_eq!((image.bucket.as_str(), image.key.as_str()), ("kyc-uploads", "users/red flower+leaf.jpg"));
    assert_eq!(
        (image.version_id.as_deref(), image.etag.as_deref()),
        (Some("v1"), Some("d41d8cd98f00b204e9800998ecf8427e"))
    );
    assert!(job.id().starts_with("obj-"));
    let plain = format!(r#"{{"bucket":"kyc-uploads","key":"{}","version_id":"v1"}}"#, image.key);
    let plain = Job::decode(plain.as_bytes(), &Properties::default(), &Admission::default()).expect("a job");
    assert_eq!(job.id(), plain.id(), "the same object is the same job");
    let properties = Properties { message_id: Some("relay-7".to_owned()), ..Properties::default() };
    let body = records(&[aws("ObjectCreated:Post", "a")]).to_string();
    assert_eq!(Job::decode(body.as_bytes(), &properties, &Admission::default()).expect("a job").id(), "relay-7");
}

#[test]
fn the_body_of_minio_is_read_by_its_record() {
    let mut record = aws("s3:ObjectCreated:CompleteMultipartUpload", "users%2Fred+flower.jpg");
    record["eventSource"] = "minio:s3".into();
    record["eventVersion"] = "2.0".into();
    record["s3"]["object"].as_object_mut().expect("an object").remove("versionId");
    record["source"] = json!({ "host": "127.0.0.1" });
    let body = json!({ "EventName": "s3:ObjectCreated:Put", "Key": "kyc-uploads/other.jpg", "Records": [record] });
    let job = job(&body);
    assert_eq!(job.image().key, "users/red flower.jpg");
    assert_eq!(job.image().version_id, None);
}

#[test]
fn a_version_that_names_no_content_is_no_pin() {
    for version in ["null", ""] {
        let mut record = aws("ObjectCreated:Copy", "a");
        record["s3"]["object"]["versionId"] = version.into();
        assert_eq!(job(&records(&[record])).image().version_id, None);
    }
}

#[test]
fn what_is_no_new_content_asks_for_nothing() {
    for event in [
        "ObjectRemoved:Delete",
        "s3:ObjectCreated:PutTagging",
        "s3:ObjectCreated:DeleteTagging",
        "s3:ObjectCreated:PutRetention",
        "s3:ObjectCreated:PutLegalHold",
        "s3:ObjectAccessed:Get",
        "ObjectTagging:Put",
        "LifecycleExpiration:Delete",
        "ObjectRestore:Completed",
        "ObjectAcl:Put",
        "s3:Replication:OperationFailedReplication",
        "ReducedRedundancyLostObject",
        "IntelligentTiering",
    ] {
        let said = nothing(&records(&[aws(event, "a"), aws(event, "b")]));
        assert_eq!(said, format!("a notification of {event}"));
    }
    let test = json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-11-22T21:57:07.123Z", "Bucket": "kyc-uploads",
                       "RequestId": "5582815E1AEA5ADF", "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR" });
    assert_eq!(nothing(&test), "s3:TestEvent");
    for key in ["users/", "users%2F"] {
        let mut folder = aws("ObjectCreated:Put", key);
        folder["s3"]["object"]["size"] = 0.into();
        nothing(&records(&[folder]));
        job(&records(&[aws("ObjectCreated:Put", key)]));
        // MinIO leaves the size out where it is 0.
        let mut folder = aws("s3:ObjectCreated:Put", key);
        folder["s3"]["object"].as_object_mut().expect("an object").remove("size");
        nothing(&records(&[folder]));
    }
    let mut file = aws("ObjectCreated:Put", "a");
    file["s3"]["object"].as_object_mut().expect("an object").remove("size");
    job(&records(&[file]));
}

#[test]
fn only_the_tag_of_content_is_a_pin() {
    let of = |etag: &str, version: &str| {
        let mut record = aws("s3:ObjectCreated:Post", "a");
        (record["s3"]["object"]["eTag"], record["s3"]["object"]["versionId"]) = (etag.into(), version.into());
        let image = job(&records(&[record])).image().clone();
        (image.version_id, image.etag)
    };
    let md5 = "d41d8cd98f00b204e9800998ecf8427e";
    let pin = |etag: &str| Some(etag.to_owned());
    assert_eq!(of(md5, ""), (None, pin(md5)));
    assert_eq!(of(&format!("\"{md5}\""), ""), (None, pin(md5)), "as versitygw writes it");
    assert_eq!(of(&format!("{md5}-12"), ""), (None, pin(&format!("{md5}-12"))), "of several parts");
    // MinIO RELEASE.2025-09-07, a form upload into a bucket with default SSE-S3.
    let sealed = "20000f00a1d0c5f5b0f6bd3ce3a3f0d4d41d8cd98f00b204e9800998ecf8427ed41d8cd98f00b204e9800998ecf8427e";
    for other in [
        sealed,
        "",
        "0x8DC1234567890AB",
        "D41D8CD98F00B204E9800998ECF8427E",
        &format!("{md5}-"),
        &format!("{md5}-1a"),
        "two words",
    ] {
        assert_eq!(of(other, "v1"), (pin("v1"), None), "{other}");
        assert_eq!(of(other, "null"), (None, None), "{other}");
    }
    let given = format!(r#"{{"bucket":"abc","key":"k","etag":"{sealed}"}}"#);
    let given = Job::decode(given.as_bytes(), &Properties::default(), &Admission::default()).expect("a job");
    assert_eq!(given.image().etag.as_deref(), Some(sealed), "a producer knows what it writes");
}

/// versitygw 1.8.0 over AMQP, shortened: `aws:s3` 2.2 like AWS, quoted tags, and keys that are not encoded.
fn versitygw(key: &str) -> Value {
    let mut record = aws("s3:ObjectCreated:Put", key);
    record["eventVersion"] = "2.2".into();
    record["userIdentity"] = json!({ "PrincipalId": "root" });
    record["s3"]["configurationId"] = "rabbitmq-global".into();
    record["s3"]["object"]["versionId"] = Value::Null;
    record["s3"]["object"]["eTag"] = "\"31aa0970927cba6b652adfee1d6c1837\"".into();
    record
}

#[test]
fn a_key_is_read_as_its_writer_writes_keys_and_the_other_way_where_a_pin_can_tell() {
    let keys = |record: &Value| {
        let image = job(&records(std::slice::from_ref(record))).image().clone();
        (image.key, image.other_key)
    };
    let two = |first: &str, other: &str| (first.to_owned(), Some(other.to_owned()));
    let one = |key: &str| (key.to_owned(), None);
    assert_eq!(keys(&aws("ObjectCreated:Put", "a+b%2Bc.jpg")), two("a b+c.jpg", "a+b%2Bc.jpg"));
    assert_eq!(keys(&versitygw("a+b%2Bc.jpg")), two("a+b%2Bc.jpg", "a b+c.jpg"));
    for key in ["plain.jpg", "2026/é.jpg"] {
        assert_eq!((keys(&aws("ObjectCreated:Put", key)), keys(&versitygw(key))), (one(key), one(key)));
    }
    // No key at all by the other reading.
    assert_eq!(keys(&versitygw("100%.jpg")), one("100%.jpg"));
    assert_eq!(keys(&versitygw("a%2F..%2Fb")), one("a%2F..%2Fb"));
    assert_eq!(keys(&versitygw("a b+c.jpg")), two("a b+c.jpg", "a b c.jpg"));
    let mut ceph = aws("ObjectCreated:Put", "a+b");
    ceph["eventSource"] = "ceph:s3".into();
    assert_eq!(keys(&ceph), two("a+b", "a b"));
    // Without a pin nothing could tell the two objects from each other.
    for mut record in [aws("ObjectCreated:Put", "a+b"), versitygw("a+b")] {
        let first = keys(&record).0;
        (record["s3"]["object"]["eTag"], record["s3"]["object"]["versionId"]) = (Value::Null, Value::Null);
        assert_eq!(keys(&record), (first, None));
    }
}

#[test]
fn several_uploads_are_several_messages_and_each_ends_by_itself() {
    let bodies = [
        aws("ObjectCreated:Put", "a"),
        aws("ObjectRemoved:Delete", "b"),
        aws("ObjectCreated:Put", "c"),
        aws("ObjectCreated:Put", "%zz"),
    ];
    let Ok(Intake::Several(parts)) = read(&records(&bodies)) else { panic!("several") };
    let keys = parts.iter().map(|part| {
        let read = Intake::read(part, &Properties::default(), &Admission::default());
        read.map(|intake| match intake {
            Intake::Job(job) => job.image().key.clone(),
            other => panic!("{other:?}"),
        })
    });
    let keys: Vec<_> = keys.map(|key| key.map_err(|refused| refused.failure.code())).collect();
    assert_eq!(keys, [Ok("a".to_owned()), Ok("c".to_owned()), Err(Code::MalformedJob)]);
    let twice = [aws("ObjectCreated:Put", "a"), aws("ObjectRemoved:Delete", "b")];
    assert_eq!(job(&records(&twice)).image().key, "a", "one is left, and goes on at once");
    let refused = Job::decode(records(&bodies).to_string().as_bytes(), &Properties::default(), &Admission::default());
    assert_eq!(refused.expect_err("more than one").code(), Code::UnsupportedMessage);
}

#[test]
fn what_is_not_known_is_not_dismissed() {
    let test = |more: Value| {
        let mut body = json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "kyc-uploads" });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    let of = |event: &str, version: &str, source: &str| {
        let mut record = aws(event, "a");
        (record["eventVersion"], record["eventSource"]) = (version.into(), source.into());
        records(&[record])
    };
    for body in [
        test(records(&[aws("ObjectCreated:Put", "a")])),
        test(records(&[aws("ObjectRemoved:Delete", "a")])),
        test(json!({ "detail-type": "Object Deleted", "source": "aws.s3" })),
        of("objectCreated:Put", "2.1", "aws:s3"),
        of("OBJECTREMOVED:Delete", "2.1", "aws:s3"),
        of("ObjectPainted:Blue", "2.1", "aws:s3"),
        of("ReducedRedundancy", "2.1", "aws:s3"),
        of("ObjectRemoved:Delete", "3.0", "aws:s3"),
        of("ObjectRemoved:Delete", "2.1", "aws:sqs"),
        json!({ "detail-type": "Object Painted", "source": "aws.s3" }),
    ] {
        let refused = read(&body).expect_err("a producer may wait for it");
        assert_eq!(refused.failure.code(), Code::UnsupportedMessage, "{body}");
    }
}

#[test]
fn a_message_has_a_thousand_records_at_most() {
    let of = |count: usize| json!({ "Records": vec![7; count] });
    assert!(matches!(read(&of(1000)), Ok(Intake::Several(parts)) if parts.len() == 1000));
    let refused = read(&of(1001)).expect_err("too many");
    assert_eq!(refused.failure.code(), Code::MalformedJob);
    assert!(refused.failure.message().contains("1001 records; at most 1000"), "{}", refused.failure);
}

#[test]
fn envelopes_of_aws_are_opened() {
    let inner = records(&[aws("ObjectCreated:Put", "a+b")]);
    let sns = json!({ "Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:x", "Subject": "Amazon S3 Notification",
                      "Message": inner.to_string(), "Timestamp": "2026-11-22T21:57:07.123Z" });
    assert_eq!(job(&sns).image().key, "a b");
    let test = json!({ "Type": "Notification", "TopicArn": "t", "Message": r#"{"Service":"Amazon S3","Event":"s3:TestEvent"}"# });
    assert_eq!(nothing(&test), "s3:TestEvent");
    for other in [
        json!({ "Type": "SubscriptionConfirmation", "TopicArn": "t", "Message": "x", "SubscribeURL": "u" }),
        json!({ "Type": "Notification", "TopicArn": "t", "Message": "disk full" }),
        json!({ "Type": "Notification", "TopicArn": "t", "Message": sns.to_string() }),
    ] {
        assert_eq!(read(&other).expect_err("no notification").failure.code(), Code::UnsupportedMessage, "{other}");
    }
    let bridge = |kind: &str| {
        json!({ "version": "0", "id": "17793124-05d4", "detail-type": kind, "source": "aws.s3", "account": "1", "time": "2026-11-22T21:57:07Z",
                "region": "eu-central-1", "resources": ["arn:aws:s3:::kyc-uploads"],
                "detail": { "version": "0", "bucket": { "name": "kyc-uploads" }, "reason": "PutObject",
                            "object": { "key": "a+b%20c.jpg", "size": 5, "etag": "b1946ac92492d2347c6235b4d2611184", "version-id": "v2", "sequencer": "0" } } })
    };
    let job = job(&bridge("Object Created"));
    assert_eq!(
        (job.image().key.as_str(), job.image().version_id.as_deref()),
        ("a+b%20c.jpg", Some("v2")),
        "not encoded"
    );
    assert_eq!(nothing(&bridge("Object Tags Added")), "an EventBridge event ObjectTagsAdded");
    assert_eq!(read(&bridge("Weather")).expect_err("no").failure.code(), Code::UnsupportedMessage);
}

#[test]
fn what_is_wrong_with_a_notification_is_named() {
    let change = |change: fn(&mut Value)| {
        let mut record = aws("ObjectCreated:Put", "a");
        change(&mut record);
        records(&[record])
    };
    for (body, code, words) in [
        (json!({ "Records": [] }), Code::MalformedJob, "Records is empty"),
        (json!({ "Records": {} }), Code::MalformedJob, "Records: an array"),
        (json!({ "Records": [7] }), Code::MalformedJob, "the record is not as S3 writes it"),
        (change(|record| record["eventSource"] = "aws:sqs".into()), Code::UnsupportedMessage, "eventSource"),
        (change(|record| record["eventVersion"] = "3.0".into()), Code::UnsupportedMessage, "eventVersion"),
        (change(|record| record["eventName"] = "ObjectCreated:Teleport".into()), Code::UnsupportedMessage, "eventName"),
        (change(|record| record["eventName"] = "upload".into()), Code::UnsupportedMessage, "eventName"),
        (change(|record| record["s3"] = Value::Null), Code::MalformedJob, "has no s3"),
        (change(|record| record["s3"]["object"]["key"] = "jane%".into()), Code::MalformedJob, "URL-encoded"),
        (change(|record| record["s3"]["object"]["key"] = "jane/%2e%2e/b".into()), Code::MalformedJob, "path segment"),
        (change(|record| record["s3"]["object"]["key"] = "jane%0A".into()), Code::MalformedJob, "control"),
        (change(|record| record["s3"]["object"]["key"] = json!(["jane"])), Code::MalformedJob, "wrong type"),
        (change(|record| record["s3"]["bucket"]["name"] = "Jane".into()), Code::MalformedJob, "bucket:"),
    ] {
        let refused = read(&body).expect_err("no job");
        assert_eq!(refused.failure.code(), code, "{body}");
        assert!(refused.failure.message().contains(words), "{body}: {}", refused.failure);
        assert!(!refused.failure.message().to_lowercase().contains("jane"), "{}", refused.failure);
        assert!(refused.origin.job_id.starts_with("msg-"));
    }
}

fn encoded(key: &str, slash_too: bool) -> String {
    use std::fmt::Write as _;

    key.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b' ' => out.push('+'),
            b'/' if !slash_too => out.push('/'),
            _ if byte.is_ascii_alphanumeric() || b"-._*".contains(&byte) => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").expect("writing to a String cannot fail"),
        }
        out
    })
}

proptest! {
    #[test]
    fn bucket_and_key_survive(bucket in "[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", key in r"[^\p{C}]{1,200}", of_minio: bool, others in 0..3_usize) {
        let mut record = aws("ObjectCreated:Put", &encoded(&key, of_minio));
        record["s3"]["bucket"]["name"] = bucket.clone().into();
        let mut bodies = vec![record];
        bodies.resize(1 + others, aws("ObjectCreated:Put", "another"));
        let parts = match read(&records(&bodies)) {
            Ok(Intake::Several(parts)) => parts,
            _ => vec![records(&bodies).to_string().into_bytes()],
        };
        prop_assert_eq!(parts.len(), bodies.len());
        match Job::decode(&parts[0], &Properties::default(), &Admission::default()) {
            Ok(job) => {
                prop_assert_eq!(&job.image().bucket, &bucket);
                prop_assert_eq!(&job.image().key, &key);
            }
            Err(_) => prop_assert!(key.len() > 1024 || key.split('/').any(|segment| segment == "." || segment == "..")),
        }
    }

    #[test]
    fn reading_noisy_notifications_never_panics(name in ".*", source in ".*", key in ".*", version in ".*", etag in ".*", size: i64) {
        let record = json!({ "eventName": name, "eventSource": source, "s3": { "bucket": { "name": "abc" },
                             "object": { "key": key, "versionId": version, "eTag": etag, "size": size } } });
        if let Ok(Intake::Job(job)) = read(&records(&[record])) {
            prop_assert!(is_id(job.id()) && is_bucket(&job.image().bucket));
        }
    }
}

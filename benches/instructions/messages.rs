//! Reading a message.

use crate::Part;
use antispoof_core::job::{Admission, Intake, Properties};
use std::hint::black_box;

const ITERATIONS: u64 = 200;

/// Our own JSON.
pub(crate) fn job() -> Part {
    read("decode_job", include_bytes!("../../contract/examples/job.json"), Properties::default())
}

/// A structured CloudEvent.
pub(crate) fn cloud_event() -> Part {
    let properties =
        Properties { content_type: Some("application/cloudevents+json".to_owned()), ..Properties::default() };
    read("decode_cloud_event", include_bytes!("../../contract/examples/event.job.json"), properties)
}

/// A notification of S3 about two objects.
pub(crate) fn notification() -> Part {
    read("decode_notification", include_bytes!("../../contract/examples/notification.aws.json"), Properties::default())
}

fn read(name: &'static str, body: &'static [u8], properties: Properties) -> Part {
    let admission = Admission::default();
    let read = move |body| Intake::read(black_box(body), &properties, &admission).expect("it is accepted");
    Part::new(name, ITERATIONS, move |_| body, move |body| drop(black_box(read(body))))
}

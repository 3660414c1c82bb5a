//! A line of the JSON log: one flat object. The fields of our spans around an event are the line's own, so that a query for a job's id finds every line of the
//! job; the library's JSON format keeps them in an object beside.

use super::filter::is_ours;
use std::fmt;
use std::time::SystemTime;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

/// `timestamp`, `level`, the fields of our spans from the outermost on, those of the event, `target`. No event repeats a field of its spans.
pub(super) struct JsonLine;

impl<S> FormatEvent<S, JsonFields> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, JsonFields>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let now = humantime::format_rfc3339_micros(SystemTime::now());
        let metadata = event.metadata();
        write!(out, r#"{{"timestamp":"{now}","level":"{}""#, metadata.level())?;
        for span in ctx.event_scope().into_iter().flat_map(Scope::from_root) {
            // Fields of the libraries' spans could be named like ours.
            if !is_ours(span.metadata()) {
                continue;
            }
            if let Some(fields) = span.extensions().get::<FormattedFields<JsonFields>>() {
                members(&mut out, &fields.fields)?;
            }
        }
        let mut fields = String::new();
        ctx.field_format().format_fields(Writer::new(&mut fields), event)?;
        members(&mut out, &fields)?;
        writeln!(out, r#","target":"{}"}}"#, metadata.target())
    }
}

/// Writes what is in an object, without its braces.
fn members(out: &mut Writer<'_>, object: &str) -> fmt::Result {
    match object.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(members) if !members.is_empty() => write!(out, ",{members}"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::sync::{Arc, Mutex};
    use tracing::{error_span, info};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn lines(log: impl FnOnce()) -> Vec<String> {
        let sink = Sink::default();
        let writer = sink.clone();
        let lines = tracing_subscriber::fmt().fmt_fields(JsonFields::new()).event_format(JsonLine);
        tracing::subscriber::with_default(lines.with_writer(move || writer.clone()).finish(), log);
        let bytes = sink.0.lock().expect("not poisoned").clone();
        String::from_utf8(bytes).expect("text").lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_fields_of_spans_and_of_the_event_are_members_of_one_object() {
        let lines = lines(|| {
            info!(bytes = 7_u64, "alone");
            let outer = error_span!("job", job.id = "a\n\"b\"", trace_id = None::<&str>).entered();
            let inner = error_span!("part", part = 2).entered();
            info!(ok = true, error = %std::fmt::Error, "in both");
            error_span!(target: "aws_sdk_s3", "theirs", part = "another").in_scope(|| info!("in one of a library"));
            drop(inner);
            error_span!("without fields").in_scope(|| info!("in one"));
            drop(outer);
            info!("alone again");
        });
        let read = |line: &String| -> Value {
            let mut value: Value = serde_json::from_str(line).expect("an object on one line");
            let members = value.as_object_mut().expect("an object");
            assert_eq!(members.remove("timestamp").and_then(|at| at.as_str().map(str::len)), Some(27), "{line}");
            assert_eq!(members.remove("level"), Some(json!("INFO")), "{line}");
            assert_eq!(members.remove("target"), Some(json!(module_path!())), "{line}");
            value
        };
        let expected = [
            json!({ "message": "alone", "bytes": 7 }),
            json!({ "message": "in both", "job.id": "a\n\"b\"", "part": 2, "ok": true, "error": std::fmt::Error.to_string() }),
            json!({ "message": "in one of a library", "job.id": "a\n\"b\"", "part": 2 }),
            json!({ "message": "in one", "job.id": "a\n\"b\"" }),
            json!({ "message": "alone again" }),
        ];
        assert_eq!(lines.iter().map(read).collect::<Vec<_>>(), expected);
    }
}

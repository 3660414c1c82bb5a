//! A line of the JSON log: one flat object. The fields of our spans around an event are the line's own, so that a query for a job's id finds every line of the
//! job; the library's JSON format keeps them in an object beside.

use super::filter::is_ours;
use serde::Serialize;
use std::fmt::{self, Debug};
use std::io;
use std::time::SystemTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

/// `timestamp`, `level`, the fields of our spans from the outermost on, those of the event, `target`. No event repeats a field of its spans.
pub(super) struct JsonLine;

/// Fields as members of an object, each with a comma before it.
pub(super) struct JsonMembers;

struct Members<'a> {
    out: Writer<'a>,
    written: fmt::Result,
}

impl<S> FormatEvent<S, JsonMembers> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, JsonMembers>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let now = humantime::format_rfc3339_micros(SystemTime::now());
        let metadata = event.metadata();
        write!(out, r#"{{"timestamp":"{now}","level":"{}""#, metadata.level())?;
        for span in ctx.event_scope().into_iter().flat_map(Scope::from_root) {
            // Fields of the libraries' spans could be named like ours.
            if is_ours(span.metadata())
                && let Some(members) = span.extensions().get::<FormattedFields<JsonMembers>>()
            {
                out.write_str(&members.fields)?;
            }
        }
        ctx.field_format().format_fields(out.by_ref(), event)?;
        writeln!(out, r#","target":"{}"}}"#, metadata.target())
    }
}

impl<'writer> FormatFields<'writer> for JsonMembers {
    fn format_fields<R: RecordFields>(&self, out: Writer<'writer>, fields: R) -> fmt::Result {
        let mut members = Members { out, written: Ok(()) };
        fields.record(&mut members);
        members.written
    }
}

impl Members<'_> {
    fn member(&mut self, field: &Field, value: impl Serialize) {
        let written = write!(self.out, r#","{}":"#, field.name());
        let written = written.and_then(|()| serde_json::to_writer(&mut *self, &value).map_err(|_| fmt::Error));
        self.written = self.written.and(written);
    }
}

impl Visit for Members<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.member(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.member(field, format_args!("{value:?}"));
    }
}

/// What `serde_json` writes is text, piece by piece.
impl io::Write for Members<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        self.out.write_str(text).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::captured::Captured;
    use super::*;
    use serde_json::{Value, json};
    use tracing::{error_span, field, info};

    fn lines(log: impl FnOnce()) -> Vec<String> {
        let captured = Captured::default();
        let sink = captured.clone();
        let lines = tracing_subscriber::fmt().fmt_fields(JsonMembers).event_format(JsonLine);
        tracing::subscriber::with_default(lines.with_writer(move || sink.clone()).finish(), log);
        captured.text().lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_fields_of_spans_and_of_the_event_are_members_of_one_object() {
        let lines = lines(|| {
            info!(bytes = 7_u64, "alone");
            let outer =
                error_span!("job", job.id = "a\n\"b\"", trace_id = None::<&str>, later = field::Empty).entered();
            outer.record("later", "x");
            let inner = error_span!("part", part = 2, ratio = 0.5, names = ?["a", "\"b"]).entered();
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
            json!({ "message": "in both", "job.id": "a\n\"b\"", "later": "x", "part": 2, "ratio": 0.5, "names": r#"["a", "\"b"]"#, "ok": true, "error": std::fmt::Error.to_string() }),
            json!({ "message": "in one of a library", "job.id": "a\n\"b\"", "later": "x", "part": 2, "ratio": 0.5, "names": r#"["a", "\"b"]"# }),
            json!({ "message": "in one", "job.id": "a\n\"b\"", "later": "x" }),
            json!({ "message": "alone again" }),
        ];
        assert_eq!(lines.iter().map(read).collect::<Vec<_>>(), expected);
    }
}

//! W3C Trace Context, as messages carry it.

use antispoof_core::job::Origin;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// The context that a message came with, where it is sound. A `tracestate` that is not is as good as none.
pub(super) fn of(origin: &Origin) -> Option<SpanContext> {
    // Checks the form of the whole.
    let trace = origin.trace_id()?;
    let mut fields = origin.traceparent.as_deref()?.split('-').skip(2);
    let span = SpanId::from_hex(fields.next()?).ok()?;
    let flags = TraceFlags::new(u8::from_str_radix(fields.next()?, 16).ok()?) & TraceFlags::SAMPLED;
    let state = origin.tracestate.as_deref().and_then(|state| state.parse::<TraceState>().ok()).unwrap_or_default();
    Some(SpanContext::new(TraceId::from_hex(trace).ok()?, span, flags, true, state)).filter(SpanContext::is_valid)
}

/// The value of `traceparent`.
pub(super) fn traceparent(context: &SpanContext) -> String {
    let flags = context.trace_flags() & TraceFlags::SAMPLED;
    format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id())
}

/// The value of `tracestate`.
pub(super) fn tracestate(context: &SpanContext) -> Option<String> {
    Some(context.trace_state().header()).filter(|state| !state.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use antispoof_core::job::Properties;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn origin(traceparent: &str, tracestate: Option<&str>) -> Origin {
        let properties = Properties {
            traceparent: Some(traceparent.to_owned()),
            tracestate: tracestate.map(str::to_owned),
            ..Properties::default()
        };
        Origin::of_message(b"", &properties)
    }

    #[test]
    fn a_sound_context_comes_through_with_its_state_and_its_decision() {
        for flags in ["00", "01"] {
            let given = format!("00-{TRACE}-b7ad6b7169203331-{flags}");
            let context = of(&origin(&given, Some("portal=1,other=a b"))).expect("sound");
            assert_eq!(traceparent(&context), given);
            assert_eq!(tracestate(&context).as_deref(), Some("portal=1,other=a b"));
        }
        let context = of(&origin(&format!("00-{TRACE}-b7ad6b7169203331-ff"), None)).expect("with flags of later times");
        assert_eq!(traceparent(&context), format!("00-{TRACE}-b7ad6b7169203331-01"));
    }

    #[test]
    fn what_is_not_sound_is_none() {
        let zero = format!("00-{TRACE}-0000000000000000-01");
        for unsound in ["", "00-a", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", zero.as_str()] {
            assert!(of(&origin(unsound, None)).is_none(), "{unsound}");
        }
        let context = of(&origin(&format!("00-{TRACE}-b7ad6b7169203331-01"), Some("no state"))).expect("sound");
        assert_eq!(tracestate(&context), None);
    }
}

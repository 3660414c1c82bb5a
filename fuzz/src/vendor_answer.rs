//! An answer is a verdict, or it is not and says so without repeating itself.

use antispoof_core::verdict::{Outcome, Verdict};
use serde_json::Value;

/// All bytes are the answer.
pub fn vendor_answer(data: &[u8]) {
    match Verdict::read(data) {
        Ok(verdict) => {
            assert!((0.0..=1.0).contains(&verdict.accuracy));
            // Read by another way: nothing but an object with exactly these two is a verdict.
            // (What it skips may be JSON that no `Value` can hold: a number of 400 digits, half a surrogate pair, too deep a nest.)
            let text = std::str::from_utf8(data).expect("JSON is text");
            // A server may put a byte order mark before it.
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            assert!(text.trim_ascii_start().starts_with('{'), "a verdict is an object");
            if let Ok(value) = serde_json::from_str::<Value>(text) {
                assert_eq!(value["spoof_detected"].as_bool(), Some(verdict.spoof_detected));
                assert!(value["accuracy"].is_number());
                assert!(value["success"] != false && value["error"] != true, "an error beside it");
            }
            let written = serde_json::to_vec(&verdict).expect("serialises");
            assert_eq!(Verdict::read(&written), Ok(verdict));
            assert!(verdict.outcome(0.0) != Outcome::Live || !verdict.spoof_detected);
            assert!(verdict.accuracy >= 1.0 || verdict.outcome(1.0) == Outcome::Review);
        }
        Err(error) => {
            let said: String = error.to_string().chars().filter(|c| !c.is_ascii_digit()).collect();
            let known = [
                "the answer is not a verdict (not JSON at byte  of )",
                "the answer is not a verdict (cut off at byte  of )",
                "the answer is not a verdict (a field is missing, doubled or of another type at byte  of )",
                "the answer is not a verdict (not an object at byte  of )",
                "the answer's accuracy is outside  to ",
                "the answer has a verdict and says in \"success\" that something went wrong",
                "the answer has a verdict and says in \"error\" that something went wrong",
                "the answer has a verdict and says in \"errors\" that something went wrong",
            ];
            assert!(known.contains(&said.as_str()), "{error}");
        }
    }
}

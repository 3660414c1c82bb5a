//! The vendor's server, without a call.

use super::report::Line;
use crate::api::reach;
use crate::settings::Api;

const API: &str = "api";

pub(super) async fn probe(settings: &Api) -> Line {
    match reach(settings).await {
        Ok(reached) => match reached.skew {
            None => Line::ok(API, format!("{} answers; no call was made", reached.origin)),
            Some(skew) => Line::note(
                API,
                format!("{} answers, and its clock differs from ours by {} s", reached.origin, skew.as_secs()),
            )
            .help("set this machine's clock, and keep it set (NTP): a token may be expired or not yet valid there"),
        },
        Err(error) if error.systemic => {
            Line::wrong(API, error.to_string(), "until then nothing is consumed (api_unreachable)")
        }
        Err(error) => Line::unreachable(
            API,
            error.to_string(),
            match proxy() {
                None => "is api.url right, and is there a way out: DNS, firewall, HTTPS_PROXY?".to_owned(),
                Some(name) => format!(
                    "calls go by way of the proxy that {name} names (NO_PROXY excepts hosts): is that there, and does it let them through?"
                ),
            },
        ),
    }
}

/// The variable that names the proxy for the vendor, which is reached over TLS. Its value may hold a password.
fn proxy() -> Option<&'static str> {
    ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        .into_iter()
        .find(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

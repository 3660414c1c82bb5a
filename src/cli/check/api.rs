//! The vendor's server, without a call.

use super::report::Line;
use crate::api::{Reached, reach};
use crate::settings::Api;
use std::time::{Duration, SystemTime};

const API: &str = "api";

/// A certificate that ends so soon should have been renewed: most are, 30 days before.
const SOON: Duration = Duration::from_hours(21 * 24);

pub(super) async fn probe(settings: &Api) -> Vec<Line> {
    let line = match reach(settings).await {
        Ok(reached) => return answered(&reached, SystemTime::now()),
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
    };
    vec![line]
}

fn answered(reached: &Reached, now: SystemTime) -> Vec<Line> {
    let line = match reached.skew {
        None => Line::ok(API, format!("{} answers; no call was made", reached.origin)),
        Some(skew) => Line::note(
            API,
            format!("{} answers, and its clock differs from ours by {} s", reached.origin, skew.as_secs()),
        )
        .help("set this machine's clock, and keep it set (NTP): a token may be expired or not yet valid there"),
    };
    // One that has ended is refused in the handshake.
    let left = reached.certificate_ends.map(|end| end.duration_since(now).unwrap_or_default());
    let ends = left.filter(|left| *left < SOON).map(|left| {
        let days = left.as_secs() / (24 * 60 * 60);
        Line::note(API, format!("the certificate of {} ends in {days} days", reached.origin)).help(
            "when it has ended nothing is consumed (api_unreachable): tell who runs that server, or the proxy between",
        )
    });
    [line].into_iter().chain(ends).collect()
}

/// The variable that names the proxy for the vendor, which is reached over TLS. Its value may hold a password.
fn proxy() -> Option<&'static str> {
    ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        .into_iter()
        .find(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn a_certificate_that_ends_soon_is_told() {
        let said = |days: u64| {
            let certificate_ends = Some(UNIX_EPOCH + Duration::from_hours(days * 24 + 1));
            let reached = Reached { origin: "https://api".to_owned(), skew: None, certificate_ends };
            answered(&reached, UNIX_EPOCH).iter().skip(1).map(ToString::to_string).collect::<String>()
        };
        assert_eq!(said(21), "");
        assert!(
            said(20).starts_with("note    api       the certificate of https://api ends in 20 days"),
            "{}",
            said(20)
        );
    }
}

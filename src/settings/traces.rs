//! Where traces go, from the variables that OpenTelemetry has for that (`OTEL_*`), and from nowhere else.
//!
//! A value that cannot be used is a warning and counts as unset, as the specification has it: these variables are often set for a whole
//! cluster, and what is wrong with them must keep no job from being checked.

mod pairs;

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::findings::Findings;
use super::http_url::http_url;
use super::invalid::{nearest_to, quoted};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const TIMEOUTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
const COMPRESSIONS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"];
const DISABLED: &str = "OTEL_SDK_DISABLED";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";
const QUEUE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
const BATCH: &str = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
const DELAY: &str = "OTEL_BSP_SCHEDULE_DELAY";
const LIMIT: &str = "OTEL_BSP_EXPORT_TIMEOUT";

/// What a collector's own certificate would be checked with, or ours; none of them is read.
const CERTIFICATES: [&str; 6] = [
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
];

/// Where the receiver of OTLP over HTTP takes traces, below the address that all signals share.
const PATH: &str = "v1/traces";

const PROTOCOL: &str = "http/protobuf";

const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// Of spans that wait: each has about a kilobyte.
const MOST_SPANS: u64 = 100_000;

/// In milliseconds. A longer time says that a unit was mistaken.
const LONGEST: u64 = 600_000;

/// Where traces go, and which of them.
#[derive(Clone, Debug)]
pub struct Traces {
    /// The URL that batches are posted to, without credentials, query or fragment.
    pub endpoint: String,
    /// Headers of each request. `Debug` does not show their values.
    pub headers: HeaderMap,
    /// Whether the requests are compressed.
    pub gzip: bool,
    /// The limit for one request.
    pub timeout: Duration,
    /// Which traces are recorded.
    pub sampler: Sampler,
    /// `OTEL_SERVICE_NAME`.
    pub service_name: Option<String>,
    /// `OTEL_RESOURCE_ATTRIBUTES`, each name once.
    pub resource: Vec<(String, String)>,
    /// How spans wait, and how many go out together.
    pub batch: Batch,
}

/// Which traces are recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// A job whose producer has decided is recorded as that says.
    pub parent_based: bool,
    /// The part of the others that is recorded: 0.0 to 1.0.
    pub ratio: f64,
}

/// How spans wait, and how many go out together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Most spans that wait: at least 1.
    pub max_queue: usize,
    /// Most spans in a request: at least 1 and at most `max_queue`.
    pub max_batch: usize,
    /// After so long what waits goes out, however little it is.
    pub delay: Duration,
    /// The limit for a batch with all its repetitions.
    pub limit: Duration,
}

impl Traces {
    /// Nothing where no endpoint is set, or traces are switched off.
    pub(super) fn read(findings: &mut Findings<'_>) -> Option<Self> {
        if !Self::wanted(findings) {
            return None;
        }
        let endpoint = Self::endpoint(findings)?;
        if !speaks_protobuf(findings) {
            return None;
        }
        if let Some(name) = CERTIFICATES.into_iter().find(|name| value(findings, name).is_some()) {
            let remedy = "name the collector's authority in SSL_CERT_FILE beside the others; a client certificate is for a collector beside this process";
            findings.warn_of_variable(name, "is not read", remedy);
        }
        Some(Self {
            endpoint,
            headers: headers(findings),
            gzip: gzip(findings),
            timeout: millis(findings, first_set(findings, TIMEOUTS), 10_000),
            sampler: sampler(findings),
            service_name: value(findings, SERVICE_NAME),
            resource: resource(findings),
            batch: batch(findings),
        })
    }

    fn wanted(findings: &mut Findings<'_>) -> bool {
        match value(findings, DISABLED).map(|text| text.to_ascii_lowercase()).as_deref() {
            Some("true") => return false,
            None | Some("false") => {}
            Some(_) => findings.warn_of_variable(
                DISABLED,
                "is neither true nor false, and taken for false",
                "write true to switch traces off",
            ),
        }
        let Some(exporters) = value(findings, EXPORTER) else { return true };
        let mut exporters = exporters.split(',').map(str::trim);
        let wanted = exporters.clone().any(|exporter| exporter == "otlp");
        let unknown = exporters.find(|exporter| !["otlp", "none"].contains(exporter)).map(quoted);
        if let Some(unknown) = unknown {
            let what = format!("names the exporter {unknown}, which there is not");
            findings.warn_of_variable(EXPORTER, what, "write otlp, or none to switch traces off");
        } else if wanted && [TRACES_ENDPOINT, ENDPOINT].iter().all(|name| value(findings, name).is_none()) {
            let what = format!("is otlp, and {ENDPOINT} is not set: no trace is sent");
            findings.warn_of_variable(EXPORTER, what, "name the collector, as http://collector:4318");
        }
        wanted
    }

    fn endpoint(findings: &mut Findings<'_>) -> Option<String> {
        let (name, text) =
            [TRACES_ENDPOINT, ENDPOINT].into_iter().find_map(|name| Some((name, value(findings, name)?)))?;
        match http_url(&text) {
            Ok(url) => Some(if name == ENDPOINT { below(url) } else { url.into() }),
            Err(invalid) => {
                let remedy = "write it as http://collector:4318; credentials go into OTEL_EXPORTER_OTLP_HEADERS";
                findings.warn_of_variable(name, format!("{}: no trace is sent", invalid.what), remedy);
                None
            }
        }
    }
}

fn below(mut url: Url) -> String {
    let path = format!("{}/{PATH}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.into()
}

/// The value of a variable. An empty one is as good as none.
fn value(findings: &Findings<'_>, name: &str) -> Option<String> {
    findings.env.get(name).map(|text| text.trim()).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The first of these that is set: that of traces comes before that of all signals.
fn first_set(findings: &Findings<'_>, names: [&'static str; 2]) -> &'static str {
    if value(findings, names[0]).is_some() { names[0] } else { names[1] }
}

fn speaks_protobuf(findings: &mut Findings<'_>) -> bool {
    let name = first_set(findings, PROTOCOLS);
    let Some(text) = value(findings, name).filter(|text| text != PROTOCOL) else { return true };
    let what = format!("is {}, which is not spoken here: no trace is sent", quoted(&text));
    let remedy =
        format!("set it to {PROTOCOL}, and the endpoint to the collector's port for that, which is usually 4318");
    findings.warn_of_variable(name, what, remedy);
    false
}

fn headers(findings: &mut Findings<'_>) -> HeaderMap {
    let name = first_set(findings, HEADERS);
    let text = value(findings, name).unwrap_or_default();
    let read = |text: &str| -> Option<HeaderMap> {
        let pairs = pairs::read(text)?.into_iter().map(|(name, value)| {
            let mut value = HeaderValue::from_str(&value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
        });
        pairs.collect()
    };
    read(&text).unwrap_or_else(|| {
        let remedy = "write name=value,name=value with %20 for a space, %2C for a comma and %3D for an equals sign";
        findings.warn_of_variable(name, "is no list of headers, and none of them is sent", remedy);
        HeaderMap::new()
    })
}

fn gzip(findings: &mut Findings<'_>) -> bool {
    let name = first_set(findings, COMPRESSIONS);
    match value(findings, name).as_deref() {
        Some("gzip") => true,
        None | Some("none") => false,
        Some(other) => {
            let what = format!("is {}: nothing is compressed", quoted(other));
            findings.warn_of_variable(name, what, "write gzip or none");
            false
        }
    }
}

fn sampler(findings: &mut Findings<'_>) -> Sampler {
    let default = Sampler { parent_based: true, ratio: 1.0 };
    let Some(text) = value(findings, SAMPLER) else { return default };
    let parent_based = text.starts_with("parentbased_");
    match text.trim_start_matches("parentbased_") {
        "always_on" => Sampler { parent_based, ratio: 1.0 },
        "always_off" => Sampler { parent_based, ratio: 0.0 },
        "traceidratio" => Sampler { parent_based, ratio: ratio(findings) },
        _ => {
            let what = format!("is {}, which is not known here: parentbased_always_on holds", quoted(&text));
            let remedy = format!("{}write one of {}", nearest_to(&text, &SAMPLERS), SAMPLERS.join(", "));
            findings.warn_of_variable(SAMPLER, what, remedy);
            default
        }
    }
}

fn ratio(findings: &mut Findings<'_>) -> f64 {
    let text = value(findings, SAMPLER_ARG);
    match text.as_ref().map(|text| text.parse()) {
        Some(Ok(ratio)) if (0.0..=1.0).contains(&ratio) => ratio,
        None => 1.0,
        Some(_) => {
            let what = format!("is {}: every trace is recorded", quoted(&text.unwrap_or_default()));
            findings.warn_of_variable(SAMPLER_ARG, what, "write the part of the traces that is recorded, as 0.1");
            1.0
        }
    }
}

fn resource(findings: &mut Findings<'_>) -> Vec<(String, String)> {
    let text = value(findings, RESOURCE).unwrap_or_default();
    pairs::read(&text).unwrap_or_else(|| {
        let remedy = "write name=value,name=value with %2C for a comma and %3D for an equals sign in a value";
        findings.warn_of_variable(RESOURCE, "is no list of attributes, and none of them is sent", remedy);
        Vec::new()
    })
}

fn batch(findings: &mut Findings<'_>) -> Batch {
    let spans = |number| usize::try_from(number).unwrap_or(usize::MAX);
    let max_queue = spans(number(findings, QUEUE, 1, MOST_SPANS, 2048));
    let max_batch = spans(number(findings, BATCH, 1, MOST_SPANS, 512)).min(max_queue);
    Batch { max_queue, max_batch, delay: millis(findings, DELAY, 5_000), limit: millis(findings, LIMIT, 30_000) }
}

fn millis(findings: &mut Findings<'_>, name: &'static str, default: u64) -> Duration {
    Duration::from_millis(number(findings, name, 1, LONGEST, default))
}

fn number(findings: &mut Findings<'_>, name: &'static str, least: u64, most: u64, default: u64) -> u64 {
    let Some(text) = value(findings, name) else { return default };
    match text.parse() {
        Ok(number) if (least..=most).contains(&number) => number,
        _ => {
            let what = format!("is {}: {default} holds", quoted(&text));
            let unit = if most == LONGEST { " of milliseconds" } else { "" };
            findings.warn_of_variable(name, what, format!("write a whole number{unit} from {least} to {most}"));
            default
        }
    }
}

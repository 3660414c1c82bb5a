//! Everything that can be set.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use serde_path_to_error::Segment;
use toml::{Table, Value};

use super::admin::Admin;
use super::amqp::Amqp;
use super::api::{Api, ApiAuth};
use super::cross_check;
use super::findings::Findings;
use super::image::Image;
use super::invalid::InvalidValue;
use super::ledger::{Ledger, LedgerBackend};
use super::log::Log;
use super::retry::Retry;
use super::s3::S3;
use super::secrets::rotating::RotatingSecret;
use super::sources::Needs;
use super::traces::Traces;
use super::worker::Worker;

/// Everything that can be set. Only [`super::load`] makes one; its `Debug` shows no secret.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The broker.
    pub amqp: Amqp,
    /// The process.
    pub worker: Worker,
    /// Where the images are.
    pub s3: S3,
    /// What is inspected before a call is paid for.
    pub image: Image,
    /// The paid endpoint.
    pub api: Api,
    /// When a job is tried again.
    pub retry: Retry,
    /// Which results are remembered.
    pub ledger: Ledger,
    /// The port for probes and metrics.
    pub admin: Admin,
    /// What is logged, and how.
    pub log: Log,
    /// Where traces go, if anywhere: what the variables of OpenTelemetry say.
    #[serde(skip)]
    pub traces: Option<Traces>,
}

impl Settings {
    /// A value that cannot be used is noted and gives way to its default, so that all the others are still looked at.
    pub(super) fn read(mut values: Table, defaults: &Table, findings: &mut Findings<'_>) -> Self {
        loop {
            let error = match serde_path_to_error::deserialize::<_, Self>(Value::Table(values.clone())) {
                Ok(settings) => return settings,
                Err(error) => error,
            };
            let mut names = error.path().iter().filter_map(|segment| match segment {
                Segment::Map { key } => Some(key.as_str()),
                _ => None,
            });
            // Sections and fields are those of the compiled-in default, so an error is one of a field; a test reads the default.
            let (Some(section), Some(field)) = (names.next(), names.next()) else { panic!("the settings: {error}") };
            let key = format!("{section}.{field}");
            for mut invalid in InvalidValue::from_error(error.inner().message()) {
                // Of a list the item is marked; an entry of a table has a key of its own.
                let entry = invalid.part.take_if(|_| values[section][field].is_table());
                findings.invalid(&[&entry.map_or_else(|| key.clone(), |entry| format!("{key}.{entry}"))], invalid);
            }
            assert!(values[section][field] != defaults[section][field], "the compiled-in default of {key} is wrong");
            values[section][field] = defaults[section][field].clone();
        }
    }

    /// Completes what depends on several values, and notes what does not fit together.
    pub(super) fn validate(&mut self, findings: &mut Findings<'_>) {
        self.amqp.validate(findings);
        self.worker.validate(findings);
        self.s3.validate(findings);
        self.image.validate(findings);
        self.api.validate(findings);
        self.retry.validate(findings);
        self.ledger.validate(&self.amqp.prefix, findings);
        self.log.validate(findings);
        if findings.needs == Needs::Worker {
            self.traces = Traces::read(findings);
        }
        cross_check::connecting(&self.s3, &self.api, findings);
        cross_check::stopping(&self.worker, &self.api, findings);
        cross_check::hold(&self.s3, &self.api, &self.retry, findings);
        cross_check::entries(&self.worker, &self.ledger, findings);
        cross_check::memory(&self.retry, &self.ledger, findings);
        cross_check::records(&self.s3, &self.ledger, findings);
        cross_check::daily_limit(&self.api, &self.ledger, findings);
    }

    /// The JSON Schema of the types. Nothing in it is required: there is a default for everything.
    pub(super) fn schema() -> Json {
        let generator = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        let mut root: Json = generator.into_generator().into_root_schema_for::<Self>().into();
        let sections = root["properties"].as_object_mut().into_iter().flatten().map(|(_, section)| section);
        for section in sections.filter_map(Json::as_object_mut) {
            section.retain(|name, _| ["additionalProperties", "properties", "type"].contains(&name.as_str()));
            let Some(fields) = section.get_mut("properties").and_then(Json::as_object_mut) else { continue };
            let secrets = fields.iter().filter(|(_, field)| field.get("writeOnly").is_some());
            let files: Vec<String> = secrets.map(|(name, _)| format!("{name}_file")).collect();
            fields.extend(files.into_iter().map(|name| (name, json!({ "type": "string", "$comment": "path" }))));
        }
        root
    }

    /// The secrets that were read from files which can be read again.
    pub fn rotating(&self) -> Vec<RotatingSecret> {
        let ledger = match &self.ledger.backend {
            LedgerBackend::Redis(url) => Some(url.secret()),
            LedgerBackend::None | LedgerBackend::Memory | LedgerBackend::File(_) | LedgerBackend::S3 { .. } => None,
        };
        let api = match &self.api.auth {
            ApiAuth::Keys { api_key, secret } => vec![api_key, secret],
            ApiAuth::Token(token) => vec![token],
        };
        let all = [self.amqp.url.secret()].into_iter().chain(ledger).chain(api);
        all.filter(|secret| secret.path().is_some()).cloned().collect()
    }
}

//! The values in effect: with the secrets read from where they are, for the types and for people.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use config::{Value, ValueKind};
use toml::{Table, Value as Toml};

use super::api::CREDENTIALS;
use super::findings::Findings;
use super::keys::file_key;
use super::layers::Layers;
use super::origin::Origin;
use super::root::Settings;
use super::row::Row;
use super::secrets::file;
use super::sources::Needs;
use super::toml_values::toml;
use super::values::not_text;

/// Reads each secret from where it is: its file, the key itself or, where neither is set, the vendor's variable.
pub(super) fn read_secrets(layers: &mut Layers<'_>, findings: &mut Findings<'_>) {
    let keys = layers.keys;
    // A token makes the vendor's own variables mean nothing: they may be there for another program. So it comes first.
    let (token, _) = CREDENTIALS[0];
    for secret in [token].into_iter().chain(keys.secrets().filter(|secret| *secret != token)) {
        let credential = CREDENTIALS.iter().find(|(key, _)| *key == secret);
        if findings.needs == Needs::Client && credential.is_some() {
            layers.values.insert(secret.to_owned(), keys.defaults()[secret].clone());
            continue;
        }
        let has_token = !text(layers, token).is_empty();
        let variable = credential.and_then(|(_, variable)| *variable).filter(|_| !has_token);
        read_secret(layers, secret, variable, findings);
    }
}

/// A secret that cannot be read is noted, and is the default.
fn read_secret(layers: &mut Layers<'_>, secret: &str, variable: Option<&str>, findings: &mut Findings<'_>) {
    let (named, default) = (file_key(secret), layers.keys.defaults()[secret].kind.clone());
    for key in [&named, secret] {
        if let Some(value) = layers.values.get(key).filter(|value| !matches!(value.kind, ValueKind::String(_))) {
            findings.invalid(&[key], not_text(&toml(value)));
            layers.values.entry(secret.to_owned()).and_modify(|value| value.kind = default.clone());
        }
    }
    if !findings.valid(&[secret]) {
        return;
    }
    let path = PathBuf::from(text(layers, &named));
    let fallback = variable.and_then(|name| Some((name, findings.env.get(name)?.trim())));
    if path.as_os_str().is_empty() {
        if let Some((name, fallback)) = fallback.filter(|_| text(layers, secret).is_empty()) {
            layers.set(secret, fallback, Origin::Env { name: name.to_owned() });
        }
        return;
    }
    let origin = Origin::SecretFile { path: path.clone() };
    match file::text(&path) {
        Ok(text) => {
            layers.set(secret, text, origin);
            if let Some(warning) = file::readable_by_all(&path) {
                findings.warn(&[secret], warning.what, warning.remedy);
            }
        }
        Err(invalid) => {
            layers.set(secret, default, origin);
            findings.invalid(&[secret, &named], invalid);
        }
    }
}

/// What the types read: tables of sections, and a secret together with its file.
pub(super) fn tables(layers: &Layers<'_>, values: &BTreeMap<String, Value>) -> Table {
    let files: BTreeSet<String> = layers.keys.secrets().map(file_key).collect();
    let mut root = Table::new();
    for (key, value) in values.iter().filter(|(key, _)| !files.contains(*key)) {
        let mut value = toml(value);
        if layers.keys.is_secret(key) {
            let text = value.as_str().unwrap_or_default().trim().to_owned();
            value = Toml::Table(Table::from_iter([("text".to_owned(), Toml::from(text))]));
            if let (Origin::SecretFile { path }, Some(secret)) = (layers.origin(key), value.as_table_mut()) {
                let path = Toml::from(path.to_string_lossy().into_owned());
                let file = [("key".to_owned(), Toml::from(file_key(key))), ("path".to_owned(), path)];
                secret.insert("file".to_owned(), Toml::Table(Table::from_iter(file)));
            }
        }
        let (tables, name) = key.rsplit_once('.').unwrap_or_default();
        let mut table = &mut root;
        for name in tables.split('.') {
            let inner = table.entry(name).or_insert_with(|| Toml::Table(Table::new()));
            let Toml::Table(inner) = inner else { unreachable!("{key} is below a value") };
            table = inner;
        }
        table.insert(name.to_owned(), value);
    }
    root
}

/// A row for every key that there is or that was set.
pub(super) fn rows(settings: &Settings, layers: &Layers<'_>) -> Vec<Row> {
    let row = |(key, value): (&String, &Value)| {
        let value = match key.as_str() {
            "amqp.url" => Toml::from(settings.amqp.url.to_string()),
            "ledger.url" => Toml::from(settings.ledger.shown_url()),
            "worker.instance" => Toml::from(settings.worker.instance.as_str()),
            _ if layers.keys.is_secret(key) => Toml::from(if text(layers, key).is_empty() { "" } else { "***" }),
            _ => toml(value),
        };
        Row { key: key.clone(), value: value.to_string(), origin: layers.place(key, None).origin }
    };
    layers.values.iter().map(row).collect()
}

fn text(layers: &Layers<'_>, key: &str) -> String {
    match layers.values.get(key).map(|value| &value.kind) {
        Some(ValueKind::String(text)) => text.trim().to_owned(),
        _ => String::new(),
    }
}

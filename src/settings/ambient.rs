//! The environment and the flags as layers.

use std::collections::BTreeMap;

use super::entry::{Entry, Layer, Value};
use super::file::{unknown, unknown_variable};
use super::keys::{Keys, variable};
use super::origin::{Origin, Place};
use super::problem::Problem;

/// Two underscores: Kubernetes puts `ANTISPOOFD_PORT`, `ANTISPOOFD_SERVICE_HOST` and more into every pod beside a service of this name.
const PREFIX: &str = "ANTISPOOFD__";

/// The credentials, which must not stand where every user of the machine can read them. The URLs may: not all hold a password.
const NEVER_AS_FLAG: [&str; 4] = ["api.api_key", "api.secret", "api.token", "log.hash_key"];

/// What the variables `ANTISPOOFD__…` set.
pub(super) fn environment(
    env: &BTreeMap<String, String>,
    keys: &Keys,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) -> Layer {
    let mut layer = Layer::new();
    for (name, value) in env {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            warnings.extend(near_miss(name, keys));
            continue;
        };
        let key = rest.to_lowercase().replace("__", ".");
        if !keys.contains(&key) || variable(&key) != *name {
            problems.push(unknown_variable(name, &key, keys));
            continue;
        }
        let place = Place::new(&key, Origin::Env { name: name.clone() });
        if value.contains(char::REPLACEMENT_CHARACTER) {
            problems.push(Problem::error(place, "is not UTF-8 text", format!("set {name} to UTF-8 text")));
            continue;
        }
        layer.insert(key, Entry { value: Value::Raw(value.clone()), place });
    }
    layer
}

/// What the flags `--set key=value` set; the last of a key wins.
pub(super) fn flags(
    overrides: &[(String, String)],
    keys: &Keys,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) -> Layer {
    let mut layer = Layer::new();
    for (key, value) in overrides {
        let key = key.trim();
        let place = Place::new(key, Origin::Flag { key: key.to_owned() });
        if !keys.contains(key) {
            problems.push(unknown(place, keys, str::to_owned));
            continue;
        }
        if NEVER_AS_FLAG.contains(&key) && !value.trim().is_empty() {
            problems.push(Problem::error(
                place,
                "is a secret, and flags can be read by every user of the machine",
                format!("set {key}_file to the path of a file that holds it, or {} in the environment", variable(key)),
            ));
            continue;
        }
        if keys.is_secret(key) && value.contains('@') {
            warnings.push(Problem::warning(
                place.clone(),
                "holds credentials, and flags can be read by every user of the machine",
                format!("set {key}_file or {} instead", variable(key)),
            ));
        }
        layer.insert(key.to_owned(), Entry { value: Value::Raw(value.clone()), place });
    }
    layer
}

/// `ANTISPOOFD_API_TOKEN` is no setting, and whoever wrote it does not know that yet.
fn near_miss(name: &str, keys: &Keys) -> Option<Problem> {
    let single = |name: &str| name.to_uppercase().replace("__", "_");
    let meant = keys
        .iter()
        .map(variable)
        .find(|known| single(name).starts_with("ANTISPOOFD_") && single(known) == single(name))?;
    Some(Problem::warning(
        Place::new("", Origin::Env { name: name.to_owned() }),
        format!("{name} is not read"),
        format!("rename it to {meant}, in capitals and with two underscores, or remove it"),
    ))
}

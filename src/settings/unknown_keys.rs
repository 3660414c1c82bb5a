//! Keys that there are not, and which was probably meant.

use config::Value;

use super::invalid::nearest;
use super::keys::{Keys, STATUSES, variable};
use super::origin::{Origin, Place};
use super::problem::Problem;
use super::toml_values::toml;
use super::values::kind;

/// What a document sets that is no setting, or not in the place of one.
pub(super) fn misplaced(place: Place, value: &Value, keys: &Keys) -> Problem {
    let what = |wanted: &str| format!("is a {wanted}, not {}", kind(&toml(value)));
    let remedy = |of: &str| format!("write [{}] and its {of} below it", place.key);
    match place.key.as_str() {
        STATUSES => {
            let remedy = remedy("entries");
            Problem::error(place, what("table"), remedy)
        }
        key if keys.is_section(key) => {
            let remedy = remedy("keys");
            Problem::error(place, what("section"), remedy)
        }
        key if key.contains('.') => unknown_key(place, keys, str::to_owned),
        _ => unknown_section(place, keys),
    }
}

/// A key that does not exist. `spell` turns the key that was probably meant into what would be written here.
pub(super) fn unknown_key(place: Place, keys: &Keys, spell: impl Fn(&str) -> String) -> Problem {
    if let Some(status) = place.key.strip_prefix(STATUSES).and_then(|rest| rest.strip_prefix('.')) {
        let what = format!("{status:?} is not an HTTP status that can be set");
        return Problem::error(place, what, "use a status from 200 to 299 or from 400 to 599");
    }
    let remedy = match keys.nearest(&place.key) {
        Some(near) => format!("did you mean {}?", spell(near)),
        None => "remove it; config/default.toml has every key".to_owned(),
    };
    Problem::error(place, "there is no such key", remedy)
}

/// A table of a file that is no section.
fn unknown_section(place: Place, keys: &Keys) -> Problem {
    let remedy = match (keys.nearest_section(&place.key), keys.nearest(&place.key)) {
        (Some(near), _) => format!("did you mean [{near}]?"),
        (None, Some(near)) => {
            let section = near.split('.').next().unwrap_or(near);
            format!("did you mean {near}? keys stand in their section, as [{section}]")
        }
        (None, None) => "remove it; config/default.toml has every section".to_owned(),
    };
    Problem::error(place, "there is no such section", remedy)
}

/// A variable that names no key.
pub(super) fn unknown_variable(name: &str, key: &str, keys: &Keys) -> Problem {
    let place = Place::new(key, Origin::Env { name: name.to_owned() });
    let all: Vec<String> = keys.iter().map(variable).collect();
    match nearest(name, all.iter().map(String::as_str)) {
        Some(near) => Problem::error(place, "there is no such key", format!("did you mean {near}?")),
        None => unknown_key(place, keys, variable),
    }
}

/// `ANTISPOOFD_API_TOKEN` is no setting, and its author does not know that yet.
pub(super) fn near_miss(name: &str, keys: &Keys) -> Option<Problem> {
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

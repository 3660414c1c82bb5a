//! Compares definitions with what the API lists.

use crate::amqp::inspect::{Difference, Found, State};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Every object of `wanted`, looked up by its name in `there`.
pub(super) fn objects(kind: &str, wanted: &Value, there: &[Value]) -> Vec<Found> {
    let compared = items(wanted).map(|wanted| {
        let state = match there.iter().find(|object| object["name"] == wanted["name"]) {
            None => State::Missing,
            Some(found) => state(differences(wanted, found)),
        };
        Found { object: format!("{kind} {}", text(&wanted["name"])), state }
    });
    compared.collect()
}

/// Every binding of `wanted`, as its ends and its key. Other bindings do not matter here.
pub(super) fn bindings(wanted: &Value, there: &[Value]) -> Vec<Found> {
    const ENDS: [&str; 4] = ["source", "destination", "destination_type", "routing_key"];

    let compared = items(wanted).map(|wanted| {
        let bound = there.iter().any(|binding| ENDS.iter().all(|end| binding[*end] == wanted[*end]));
        Found {
            object: format!("binding {} to {}", text(&wanted["destination"]), text(&wanted["source"])),
            state: if bound { State::AsItShould } else { State::Missing },
        }
    });
    compared.collect()
}

pub(super) fn items(list: &Value) -> impl Iterator<Item = &Map<String, Value>> {
    list.as_array().into_iter().flatten().filter_map(Value::as_object)
}

fn differences(wanted: &Map<String, Value>, found: &Value) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (field, should) in wanted.iter().filter(|(field, _)| !["name", "vhost", "arguments"].contains(&field.as_str()))
    {
        if found[field] != *should {
            differences.push(difference(field, should, &found[field]));
        }
    }
    let (none, should) = (Map::new(), &wanted["arguments"]);
    let (should, is) = (should.as_object().unwrap_or(&none), found["arguments"].as_object().unwrap_or(&none));
    let names: BTreeSet<&String> = should.keys().chain(is.keys()).collect();
    for name in names {
        let (should, is) = (should.get(name).unwrap_or(&Value::Null), is.get(name).unwrap_or(&Value::Null));
        if should != is {
            differences.push(difference(name, should, is));
        }
    }
    differences
}

fn state(differences: Vec<Difference>) -> State {
    if differences.is_empty() { State::AsItShould } else { State::Differs(differences) }
}

fn difference(argument: &str, wanted: &Value, found: &Value) -> Difference {
    Difference { argument: argument.to_owned(), wanted: text(wanted), found: text(found) }
}

pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) if !text.is_empty() => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn everything_that_differs_is_named() {
        let wanted = json!([
            { "name": "q", "vhost": "", "durable": true, "arguments": { "x-queue-type": "quorum", "x-delivery-limit": 20 } },
            { "name": "r", "vhost": "", "durable": true, "arguments": {} },
            { "name": "s", "vhost": "", "durable": true, "arguments": { "x-overflow": "" } },
        ]);
        let there = [
            json!({ "name": "q", "vhost": "/", "durable": false, "arguments": { "x-queue-type": "quorum", "x-expires": 5 } }),
            json!({ "name": "s", "vhost": "/", "durable": true, "messages": 3, "arguments": { "x-overflow": "" } }),
        ];
        let found = objects("queue", &wanted, &there);
        let State::Differs(differences) = &found[0].state else { panic!("{found:?}") };
        let said: Vec<String> = differences
            .iter()
            .map(|difference| format!("{} {} {}", difference.argument, difference.wanted, difference.found))
            .collect();
        assert_eq!(said, ["durable true false", "x-delivery-limit 20 none", "x-expires none 5"]);
        assert_eq!((found[1].object.as_str(), &found[1].state), ("queue r", &State::Missing));
        assert_eq!(found[2].state, State::AsItShould);
    }

    #[test]
    fn a_binding_is_its_ends_and_its_key() {
        let wanted = json!([{ "source": "e", "destination": "q", "destination_type": "queue", "routing_key": "q", "arguments": {} }]);
        let other = json!({ "source": "e", "destination": "q", "destination_type": "queue", "routing_key": "k", "arguments": {} });
        assert_eq!(bindings(&wanted, &[other])[0].state, State::Missing);
        let bound = bindings(&wanted, &[wanted[0].clone()]);
        assert_eq!((bound[0].object.as_str(), &bound[0].state), ("binding q to e", &State::AsItShould));
    }
}

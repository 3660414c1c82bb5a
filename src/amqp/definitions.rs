//! The topology as definitions of RabbitMQ, which `rabbitmqctl import_definitions` and the management API take.

use super::topology::Names;
use lapin::ExchangeKind;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Map, Value, json};

/// Exchanges, queues and bindings in `vhost`. The broker's operator defines the vhost, users and permissions.
pub fn definitions(names: &Names, vhost: &str) -> Value {
    let exchanges = names.exchanges().map(|(name, kind)| {
        json!({
            "name": name, "vhost": vhost, "type": kind_name(&kind), "durable": true, "auto_delete": false, "internal": false, "arguments": {},
        })
    });
    let queues = names.queues().into_iter().map(|(name, arguments)| {
        json!({ "name": name, "vhost": vhost, "durable": true, "auto_delete": false, "arguments": as_json(&arguments) })
    });
    let bindings = names.bindings().into_iter().map(|(exchange, queue)| {
        json!({
            "source": exchange, "vhost": vhost, "destination": queue, "destination_type": "queue", "routing_key": queue, "arguments": {},
        })
    });
    json!({
        "exchanges": exchanges.into_iter().collect::<Vec<_>>(),
        "queues": queues.collect::<Vec<_>>(),
        "bindings": bindings.collect::<Vec<_>>(),
    })
}

fn kind_name(kind: &ExchangeKind) -> &str {
    match kind {
        ExchangeKind::Custom(name) => name,
        ExchangeKind::Direct => "direct",
        ExchangeKind::Fanout => "fanout",
        ExchangeKind::Headers => "headers",
        ExchangeKind::Topic => "topic",
    }
}

fn as_json(arguments: &FieldTable) -> Map<String, Value> {
    let value = |value: &AMQPValue| match value {
        AMQPValue::LongString(text) => Value::from(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::LongLongInt(number) => Value::from(*number),
        AMQPValue::Boolean(flag) => Value::from(*flag),
        // The topology has no others; the test that imports the definitions would find a new one missing.
        _ => Value::Null,
    };
    arguments.inner().iter().map(|(name, found)| (name.as_str().to_owned(), value(found))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Delay;
    use std::time::Duration;

    #[test]
    fn arguments_keep_their_types() {
        let delay = Delay { name: "10s".to_owned(), duration: Duration::from_secs(10) };
        let all = definitions(&Names::new("kyc", &[delay]), "/");
        let retry = &all["queues"][3];
        assert_eq!((retry["name"].as_str(), retry["vhost"].as_str()), (Some("kyc.retry.10s"), Some("/")));
        assert_eq!(retry["arguments"]["x-message-ttl"], 10_000);
        assert_eq!(retry["arguments"]["x-dead-letter-routing-key"], "kyc.jobs");
        assert_eq!(all["bindings"].as_array().map(Vec::len), Some(5));
        assert_eq!(all["exchanges"][2]["type"], "topic");
        assert!(!all.to_string().contains("null"), "{all}");
    }
}

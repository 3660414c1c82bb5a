//! An object as it should be declared, and how to declare it so that the broker accepts.

use super::refusal::{Inequivalent, Value};
use crate::amqp::topology::Names;
use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Error, ExchangeKind};

/// Flags and arguments of one exchange or queue.
#[expect(clippy::struct_excessive_bools, reason = "they are the flags of the protocol")]
pub(super) struct Declaration {
    name: String,
    /// None: a queue.
    kind: Option<ExchangeKind>,
    durable: bool,
    auto_delete: bool,
    exclusive: bool,
    internal: bool,
    arguments: FieldTable,
}

impl Declaration {
    /// All of the topology, exchanges first.
    pub(super) fn all(names: &Names) -> Vec<Self> {
        let of = |name: &str, kind, arguments| Self {
            name: name.to_owned(),
            kind,
            durable: true,
            auto_delete: false,
            exclusive: false,
            internal: false,
            arguments,
        };
        let exchanges = names.exchanges().map(|(name, kind)| of(name, Some(kind), FieldTable::default()));
        let queues = names.queues().into_iter().map(|(name, arguments)| of(name, None, arguments));
        exchanges.into_iter().chain(queues).collect()
    }

    /// `queue antispoof.jobs`
    pub(super) fn object(&self) -> String {
        let kind = if self.kind.is_some() { "exchange" } else { "queue" };
        format!("{kind} {}", self.name)
    }

    pub(super) async fn declare(&self, channel: &Channel, passive: bool) -> Result<(), Error> {
        let arguments = self.arguments.clone();
        let name = self.name.as_str().into();
        if let Some(kind) = &self.kind {
            let options = ExchangeDeclareOptions {
                passive,
                durable: self.durable,
                auto_delete: self.auto_delete,
                internal: self.internal,
                nowait: false,
            };
            return channel.exchange_declare(name, kind.clone(), options, arguments).await;
        }
        let options = QueueDeclareOptions {
            passive,
            durable: self.durable,
            exclusive: self.exclusive,
            auto_delete: self.auto_delete,
            nowait: false,
        };
        channel.queue_declare(name, options, arguments).await.map(drop)
    }

    /// Takes over the broker's value of an argument. False when that cannot be done.
    pub(super) fn adopt(&mut self, unlike: &Inequivalent) -> bool {
        let flag = match unlike.argument.as_str() {
            "durable" => &mut self.durable,
            "auto_delete" => &mut self.auto_delete,
            "exclusive" => &mut self.exclusive,
            "internal" => &mut self.internal,
            "type" => {
                let Value::Text(kind) = &unlike.found else { return false };
                self.kind = Some(match kind.as_str() {
                    "direct" => ExchangeKind::Direct,
                    "topic" => ExchangeKind::Topic,
                    "fanout" => ExchangeKind::Fanout,
                    "headers" => ExchangeKind::Headers,
                    other => ExchangeKind::Custom(other.to_owned()),
                });
                return true;
            }
            argument => return set(&mut self.arguments, argument, &unlike.found),
        };
        let Value::Text(found) = &unlike.found else { return false };
        *flag = found == "true";
        true
    }
}

fn set(arguments: &mut FieldTable, argument: &str, found: &Value) -> bool {
    let value = match found {
        Value::Text(text) => AMQPValue::LongString(text.as_str().into()),
        Value::Number(number) => AMQPValue::LongLongInt(*number),
        Value::Flag(flag) => AMQPValue::Boolean(*flag),
        Value::Unread(_) => return false,
        Value::None => {
            let kept = arguments.inner().iter().filter(|(name, _)| name.as_str() != argument);
            *arguments = kept
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect::<std::collections::BTreeMap<_, _>>()
                .into();
            return true;
        }
    };
    arguments.insert(argument.into(), value);
    true
}

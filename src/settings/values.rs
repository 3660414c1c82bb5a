//! The kinds of values that settings have. A field names its kind with its bounds in `#[serde(with = "…")]`; the check, the JSON Schema
//! and the reference page follow from that.

use std::cell::Cell;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::de::{DeserializeOwned, IntoDeserializer as _, Visitor, value};
use serde::{Deserialize, Deserializer, de, forward_to_deserialize_any};
use toml::Value;

use super::inline_schema::inline_schema;
use super::invalid::{InvalidValue, nearest_to, quoted};
use super::toml_values::unsettable;
use super::units::{bounds, parse_duration, plain, plain_size};

/// A number with a unit; which units there are is checked when it is read.
const DURATION: &str = r"^\s*[0-9][0-9.]*\s*[A-Za-z].*$";
const DURATION_OR_EMPTY: &str = r"^\s*([0-9][0-9.]*\s*[A-Za-z].*)?$";
const SIZE: &str = r"^\s*[0-9][0-9.]*\s*[A-Za-z]*\s*$";

/// `true` or `false`.
pub(super) struct Flag;

/// A whole number.
pub(super) struct Int<const MIN: i64, const MAX: i64>;

/// A number, maybe with a fraction.
pub(super) struct Number<const MIN: i32, const MAX: i32>;

/// A number of bytes, as `"10MiB"` or as a whole number.
pub(super) struct Size<const MIN: u64, const MAX: u64>;

/// A [`Duration`], as `"30s"`. The bounds are milliseconds.
pub(super) struct Time<const MIN: u64, const MAX: u64>;

/// A [`Time`] that need not be set.
pub(super) struct OptionalTime<const MIN: u64, const MAX: u64>;

/// The path of a file. None: not set.
pub(super) struct File;

/// A variant of `T`, by the name that serde knows it under.
pub(super) struct Choice<T>(PhantomData<T>);

impl Flag {
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
        read(deserializer, |value| {
            let what = || format!("is {}, not a boolean", described(value));
            value.as_bool().ok_or_else(|| InvalidValue::new(what(), "write true or false, without quotes"))
        })
    }
}

impl<const MIN: i64, const MAX: i64> Int<MIN, MAX> {
    pub(super) fn deserialize<'de, D: Deserializer<'de>, T: TryFrom<i64>>(deserializer: D) -> Result<T, D::Error> {
        read(deserializer, Self::parse)
    }

    pub(super) fn parse<T: TryFrom<i64>>(value: &Value) -> Result<T, InvalidValue> {
        let what = match value.as_integer() {
            None => format!("is {}, not a whole number", described(value)),
            Some(number) => match T::try_from(number) {
                Ok(fitting) if (MIN..=MAX).contains(&number) => return Ok(fitting),
                _ => format!("{number} is out of bounds"),
            },
        };
        Err(InvalidValue::new(what, format!("write a whole number from {MIN} to {MAX}")))
    }
}

impl<const MIN: i32, const MAX: i32> Number<MIN, MAX> {
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        read(deserializer, |value| {
            #[expect(clippy::cast_precision_loss, reason = "the bounds of every such key are far below 2^53")]
            let number = value.as_float().or(value.as_integer().map(|number| number as f64));
            let what = match number {
                Some(number) if (f64::from(MIN)..=f64::from(MAX)).contains(&number) => return Ok(number),
                Some(number) => format!("{number} is out of bounds"),
                None => format!("is {}, not a number", described(value)),
            };
            Err(InvalidValue::new(what, format!("write a number from {MIN} to {MAX}")))
        })
    }
}

impl<const MIN: u64, const MAX: u64> Size<MIN, MAX> {
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        read(deserializer, |value| {
            let size = match value {
                Value::Integer(number) => u64::try_from(*number).ok(),
                Value::String(text) => text.trim().parse::<ByteSize>().ok().map(|size| size.as_u64()),
                _ => None,
            };
            match size {
                None => Err(InvalidValue::new(
                    format!("is {}, not a size", described(value)),
                    "write a number with its unit in double quotes, as \"512KiB\" or \"10MiB\", or a number of bytes",
                )),
                Some(size) if (MIN..=MAX).contains(&size) => Ok(size),
                Some(size) => Err(InvalidValue::new(
                    format!("{} is out of bounds", plain_size(size)),
                    format!("write a size from {} to {}", plain_size(MIN), plain_size(MAX)),
                )),
            }
        })
    }
}

impl<const MIN: u64, const MAX: u64> Time<MIN, MAX> {
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        read(deserializer, Self::parse)
    }

    fn parse(value: &Value) -> Result<Duration, InvalidValue> {
        match value.as_str().and_then(parse_duration) {
            None => Err(InvalidValue::new(
                format!("is {}, not a duration", described(value)),
                "write a number with its unit in double quotes, as \"250ms\", \"30s\", \"10m\" or \"1h\"",
            )),
            Some(time) if (Duration::from_millis(MIN)..=Duration::from_millis(MAX)).contains(&time) => Ok(time),
            Some(time) => Err(InvalidValue::new(
                format!("{} is out of bounds", plain(time)),
                format!("write a duration from {}", bounds(MIN, MAX)),
            )),
        }
    }
}

impl<const MIN: u64, const MAX: u64> OptionalTime<MIN, MAX> {
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        read(deserializer, |value| if is_empty(value) { Ok(None) } else { Time::<MIN, MAX>::parse(value).map(Some) })
    }
}

impl File {
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
        optional(deserializer, |text| Ok(PathBuf::from(text)))
    }
}

impl<T: DeserializeOwned> Choice<T> {
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        text(deserializer, |text| {
            T::deserialize(text.into_deserializer()).map_err(|_: value::Error| {
                let names = variants::<T>();
                let remedy = format!("{}write one of {}", nearest_to(text, names), names.join(", "));
                InvalidValue::new(format!("{} is not a choice", quoted(text)), remedy)
            })
        })
    }
}

impl JsonSchema for Flag {
    inline_schema!({ "type": "boolean" });
}

impl JsonSchema for File {
    inline_schema!({ "type": "string", "$comment": "path" });
}

impl<const MIN: i64, const MAX: i64> JsonSchema for Int<MIN, MAX> {
    inline_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX });
}

impl<const MIN: i32, const MAX: i32> JsonSchema for Number<MIN, MAX> {
    inline_schema!({ "type": "number", "minimum": f64::from(MIN), "maximum": f64::from(MAX) });
}

impl<const MIN: u64, const MAX: u64> JsonSchema for Size<MIN, MAX> {
    inline_schema!({
        "type": ["integer", "string"],
        "minimum": MIN,
        "maximum": MAX,
        "pattern": SIZE,
        "$comment": format!("{} to {}", plain_size(MIN), plain_size(MAX)),
    });
}

impl<const MIN: u64, const MAX: u64> JsonSchema for Time<MIN, MAX> {
    inline_schema!({ "type": "string", "pattern": DURATION, "$comment": bounds(MIN, MAX) });
}

impl<const MIN: u64, const MAX: u64> JsonSchema for OptionalTime<MIN, MAX> {
    inline_schema!({ "type": "string", "pattern": DURATION_OR_EMPTY, "$comment": bounds(MIN, MAX) });
}

impl<T: DeserializeOwned> JsonSchema for Choice<T> {
    inline_schema!({ "enum": variants::<T>() });
}

/// A text as `parse` understands it, without the white space around it.
pub(super) fn text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    parse: impl Fn(&str) -> Result<T, InvalidValue>,
) -> Result<T, D::Error> {
    read(deserializer, |value| match value.as_str() {
        Some(text) => parse(text.trim()),
        None => Err(not_text(value)),
    })
}

/// Whether a text is 1 to `most` ASCII letters, digits and `others`.
pub(super) fn is_word(text: &str, most: usize, others: &[u8]) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || others.contains(&b))
}

/// A text that need not be set.
pub(super) fn optional<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    parse: impl Fn(&str) -> Result<T, InvalidValue>,
) -> Result<Option<T>, D::Error> {
    text(deserializer, |text| if text.is_empty() { Ok(None) } else { parse(text).map(Some) })
}

/// A list of texts. Every item that `parse` refuses is reported.
pub(super) fn list<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    parse: impl Fn(&str) -> Result<T, InvalidValue>,
) -> Result<Vec<T>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let Some(items) = value.as_array() else {
        let what = format!("is {}, not a list", kind(&value));
        return Err(InvalidValue::error(&[InvalidValue::new(what, "write a list in brackets, as [\"a\", \"b\"]")]));
    };
    let (mut parsed, mut refused) = (Vec::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        match item.as_str().map_or_else(|| Err(not_text(item)), |text| parse(text.trim())) {
            Ok(item) => parsed.push(item),
            Err(invalid) => refused.push(invalid.part(index.to_string())),
        }
    }
    if refused.is_empty() { Ok(parsed) } else { Err(InvalidValue::error(&refused)) }
}

fn read<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    parse: impl Fn(&Value) -> Result<T, InvalidValue>,
) -> Result<T, D::Error> {
    parse(&Value::deserialize(deserializer)?).map_err(|invalid| InvalidValue::error(&[invalid]))
}

pub(super) fn not_text(value: &Value) -> InvalidValue {
    InvalidValue::new(format!("is {}, not a string in double quotes", kind(value)), "write a string in double quotes")
}

/// A value of a key that is no secret, as a message shows it.
fn described(value: &Value) -> String {
    match value {
        value if is_empty(value) => "empty".to_owned(),
        Value::String(text) => quoted(text),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(flag) => flag.to_string(),
        _ => kind(value).to_owned(),
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.trim().is_empty())
}

/// What a value is, for messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "a number",
        Value::Float(_) => "a number with a fraction",
        Value::Boolean(_) => "a boolean",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(table) => unsettable(table),
    }
}

/// The names under which serde knows the variants of an enum: it hands them to whatever deserializer it asks for one.
pub(super) fn variants<T: DeserializeOwned>() -> &'static [&'static str] {
    struct Names<'a>(&'a Cell<&'static [&'static str]>);

    impl<'de> Deserializer<'de> for Names<'_> {
        type Error = value::Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(de::Error::custom("only the names are wanted"))
        }

        fn deserialize_enum<V: Visitor<'de>>(
            self,
            _: &'static str,
            variants: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Self::Error> {
            self.0.set(variants);
            self.deserialize_any(visitor)
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
        }
    }

    let names = Cell::new(&[][..]);
    let _no_value = T::deserialize(Names(&names));
    names.get()
}

//! The JSON Schema of a type whose values are all of one form.

/// The body of an `impl JsonSchema`, from the schema as `json_schema!` takes it.
macro_rules! inline_schema {
    ($schema:tt) => {
        fn inline_schema() -> bool {
            true
        }

        fn schema_name() -> std::borrow::Cow<'static, str> {
            "value".into()
        }

        fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
            schemars::json_schema!($schema)
        }
    };
}

pub(super) use inline_schema;

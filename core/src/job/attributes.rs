//! What a CloudEvent says of itself, from its fields or from the headers of a message.

use super::fields::Fields;

/// The attributes of a CloudEvent that mean something here. Any other is ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `specversion`
    pub specversion: Option<String>,
    /// `id`
    pub id: Option<String>,
    /// `source`
    pub source: Option<String>,
    /// `type`
    pub kind: Option<String>,
    /// `datacontenttype`; in binary mode it is the message's `content_type`.
    pub datacontenttype: Option<String>,
    /// Extension `correlationid`.
    pub correlationid: Option<String>,
    /// Extension `traceparent`.
    pub traceparent: Option<String>,
    /// Extension `tracestate`.
    pub tracestate: Option<String>,
}

impl Attributes {
    /// Sets the attribute of that name, in whatever case it is written, if it is not set and means something here. Empty stands for what is no text.
    pub fn set(&mut self, name: &str, value: String) {
        let attribute = match name.to_ascii_lowercase().as_str() {
            "specversion" => &mut self.specversion,
            "id" => &mut self.id,
            "source" => &mut self.source,
            "type" => &mut self.kind,
            "correlationid" => &mut self.correlationid,
            "traceparent" => &mut self.traceparent,
            "tracestate" => &mut self.tracestate,
            _ => return,
        };
        attribute.get_or_insert(value);
    }

    /// Those that are there once, as texts.
    pub(super) fn of(fields: &Fields<'_>) -> Self {
        Self {
            specversion: fields.text("specversion"),
            id: fields.text("id"),
            source: fields.text("source"),
            kind: fields.text("type"),
            datacontenttype: fields.text("datacontenttype"),
            correlationid: fields.text("correlationid"),
            traceparent: fields.text("traceparent"),
            tracestate: fields.text("tracestate"),
        }
    }

    /// True for a message in binary mode. Its `specversion` says so, whatever else is missing: as a plain job it would have another id.
    pub(super) fn is_there(&self) -> bool {
        self.specversion.is_some()
    }
}

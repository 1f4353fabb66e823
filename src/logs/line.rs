//! How an event becomes a line of JSON.

use std::{fmt::Debug, time::SystemTime};

use aws_smithy_types::date_time::{DateTime, Format};
use serde::Serialize;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    layer::{Context, Layer},
    registry::LookupSpan,
};

/// Room for most lines, in bytes.
const ROOM: usize = 512;

/// Writes each event as one object: its time, its level, its fields, and the span that it is in.
///
/// An object has the members that `tracing_subscriber`'s own JSON format gives it, with its fields flattened. That one
/// reads a span's fields anew, and writes them anew, for every line; here they are those that the span was made with.
pub struct Json;

impl<S> Layer<S> for Json
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut object = Object::default();
        object.text("name", span.name());
        attributes.record(&mut object);
        span.extensions_mut().insert(object.end());
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let level = event.metadata().level();
        let mut line = Object(Vec::with_capacity(ROOM));
        line.text("timestamp", &DateTime::from(SystemTime::now()).fmt(Format::DateTime).unwrap_or_default());
        line.text("level", level.as_str());
        event.record(&mut line);
        if let Some(span) = context.event_span(event)
            && let Some(Written(span)) = span.extensions().get()
        {
            line.name("span");
            line.0.extend_from_slice(span);
        }
        let Written(mut line) = line.end();
        line.push(b'\n');
        super::append(&line, *level <= Level::WARN);
    }
}

/// A JSON object that is being written: each of its members has a comma before it.
#[derive(Default)]
struct Object(Vec<u8>);

/// An object that was written.
struct Written(Vec<u8>);

impl Object {
    fn name(&mut self, name: &str) {
        self.0.push(b',');
        self.value(name);
        self.0.push(b':');
    }

    fn value(&mut self, value: impl Serialize) {
        // A text or a number, into memory: it cannot fail.
        let _ = serde_json::to_writer(&mut self.0, &value);
    }

    fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        self.value(text);
    }

    fn end(mut self) -> Written {
        // The first comma is where the brace belongs.
        if let Some(first) = self.0.first_mut() {
            *first = b'{';
        }
        self.0.push(b'}');
        Written(self.0)
    }
}

impl Visit for Object {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.name(field.name());
        self.value(value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.name(field.name());
        self.value(value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.name(field.name());
        self.value(value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.name(field.name());
        self.value(value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field.name(), &format!("{value:?}"));
    }
}

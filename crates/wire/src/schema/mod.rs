//! JSON Schema (2020-12) of all messages, generated from the types of this crate.
//!
//! They say what the service accepts and sends, as far as JSON Schema can. A request has no other fields,
//! because the service refuses them (except on the exchange of the first clients); replies and events may get
//! more, which a reader must ignore. What no schema can say (that a name appears once, how long a text is in
//! bytes, that a transfer needs two wallets) is in the descriptions, and all kinds of it are listed in
//! `tests/schema/requests.rs`, which holds the decoder against the schemas. No feature hides them: the
//! library that generates them is small.

mod examples;
mod replies;
mod requests;

use std::collections::BTreeSet;

use florin_ledger::Operation;
use schemars::generate::SchemaSettings;
use schemars::transform::{RemoveRefSiblings, Transform};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::event::Events;
use crate::names::BATCH;

/// Name of the schema of an event message.
pub const EVENTS: &str = "events";
/// Name of the schema of a refusal of any request.
pub const REFUSAL: &str = "refusal";

/// Where referenced schemas are kept.
const DEFINITIONS: &str = "#/$defs/";

/// All schemas: `<operation>.request`, `<operation>.reply` and `<operation>.body` (what the string `body` of
/// the reply holds) of each operation, `refusal` and `events`.
#[derive(Debug, Clone)]
pub struct Schemas {
    names: Vec<String>,
    definitions: Map<String, Value>,
}

impl Default for Schemas {
    fn default() -> Self {
        Self::new()
    }
}

impl Schemas {
    /// Generates all schemas.
    #[must_use]
    pub fn new() -> Self {
        let mut generator = SchemaSettings::draft2020_12().into_generator();
        let mut named = Vec::new();
        for operation in operations() {
            let request = requests::of(operation, &mut generator);
            let body = replies::body_of(operation, &mut generator);
            let reply = replies::of(operation, &mut generator);
            named.extend(
                [("request", request), ("body", body), ("reply", reply)]
                    .map(|(what, schema)| (format!("{}.{what}", name_of(operation)), schema)),
            );
        }
        named.push((REFUSAL.to_owned(), replies::refusal(&mut generator)));
        named.push((EVENTS.to_owned(), definition_of::<Events>(&mut generator)));
        let names = named.iter().map(|(name, _)| name.clone()).collect();
        let mut definitions = generator.take_definitions(true);
        for (name, mut schema) in named {
            schema["examples"] = examples::of(&name).into();
            definitions.insert(name, schema);
        }
        definitions.values_mut().for_each(unwrap_descriptions);
        Self { names, definitions }
    }

    /// The names, by operation: request, body, reply.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The schema with this name, with everything that it refers to.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value> {
        self.names.iter().find(|known| *known == name)?;
        let schema = self.definitions.get(name)?;
        let mut complete = Map::from_iter([
            ("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into()),
            ("title".to_owned(), name.into()),
        ]);
        complete.extend(schema.as_object().cloned().unwrap_or_default());
        let needed: Map<String, Value> = self.needed_by(schema).into_iter().collect();
        complete.insert("$defs".to_owned(), needed.into());
        Some(complete.into())
    }

    /// All schemas by name, with everything that they refer to, for a document that keeps them at this place,
    /// such as `#/components/schemas/`. They are valid as draft 7 too: no keywords stand beside a `$ref`.
    #[must_use]
    pub fn definitions_at(&self, place: &str) -> Map<String, Value> {
        let all: Value = self.names.iter().map(|name| reference(name)).collect();
        let mut needed = self.needed_by(&all);
        for (_, definition) in &mut needed {
            if let Ok(schema) = <&mut Schema>::try_from(&mut *definition) {
                RemoveRefSiblings::default().transform(schema);
            }
            move_references(definition, place);
        }
        needed.into_iter().collect()
    }

    /// What this schema refers to, transitively.
    fn needed_by(&self, schema: &Value) -> Vec<(String, Value)> {
        let mut names = BTreeSet::new();
        let mut open = vec![schema];
        while let Some(schema) = open.pop() {
            for name in references(schema) {
                if let Some((name, definition)) = self.definitions.get_key_value(name)
                    && names.insert(name)
                {
                    open.push(definition);
                }
            }
        }
        names.into_iter().map(|name| (name.clone(), self.definitions[name].clone())).collect()
    }
}

/// An operation, or none for `batch`.
type OperationOrBatch = Option<Operation>;

/// All operations, and `batch`.
fn operations() -> impl Iterator<Item = OperationOrBatch> {
    Operation::ALL.into_iter().map(Some).chain([None])
}

fn name_of(operation: OperationOrBatch) -> &'static str {
    operation.map_or(BATCH, Operation::as_str)
}

/// The names that this schema refers to, at any depth.
fn references(schema: &Value) -> Vec<&str> {
    match schema {
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix(DEFINITIONS));
            own.into_iter().chain(fields.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// Joins the lines of descriptions: they are wrapped in the source only.
fn unwrap_descriptions(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            fields.values_mut().for_each(unwrap_descriptions);
        }
        Value::Array(items) => items.iter_mut().for_each(unwrap_descriptions),
        _ => {}
    }
}

fn move_references(schema: &mut Value, place: &str) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(to)) = fields.get_mut("$ref") {
                *to = to.replace(DEFINITIONS, place);
            }
            fields.values_mut().for_each(|value| move_references(value, place));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| move_references(item, place)),
        _ => {}
    }
}

/// The schema of a type, not a reference to it.
fn definition_of<T: schemars::JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    T::json_schema(generator).to_value()
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("{DEFINITIONS}{name}")})
}

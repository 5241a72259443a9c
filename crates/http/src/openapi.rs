//! The OpenAPI 3.1 document, made from the wire types and the table of endpoints that makes the router.

use std::sync::LazyLock;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use florin_ledger::{ErrorCode, Operation};
use florin_wire::Guide;
use florin_wire::schema::Schemas;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::App;
use super::catalog::{CreatedWallets, NewWallets, Ticker, TickerList, Wallets};
use super::problem::{Document, Fault};
use super::response::json;
use super::routes::{self, Kind, Method, Route};

const SCHEMAS: &str = "#/components/schemas/";
const PROBLEM: &str = "problem";

const ABOUT: &str = "\
Wallet transactions, applied exactly once in PostgreSQL.

Send an API key as `Authorization: Bearer florin_...`. Send an `Idempotency-Key` with every request that changes \
something: a retry under the same key is applied once and gets the first answer again, with `Idempotent-Replayed: true`. \
The key is the identity of the request over AMQP as well (`message_id`), and if it is a UUID it is the transaction's id.

The `code` of a response is its HTTP status. An error is `application/problem+json` with a stable `error`; all of them are \
in `x-errors`. A 504 `outcome_unknown` means that the request may have been applied: read the transaction, or send the \
request again under the same key. An `X-Request-Id` is returned as it was sent, or made up, and logged.";

/// `GET /openapi.json`.
pub(super) async fn openapi() -> Response {
    json(StatusCode::OK, document())
}

/// `GET /asyncapi.json`.
pub(super) async fn asyncapi(State(app): State<App>) -> Response {
    json(StatusCode::OK, app.asyncapi)
}

/// Built once.
#[must_use]
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(build);
    &DOCUMENT
}

fn build() -> Value {
    let wire = Schemas::new();
    let mut paths: Map<String, Value> = Map::new();
    for route in routes::all() {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        let method = match route.method {
            Method::Get => "get",
            Method::Post => "post",
        };
        path[method] = operation(&route, &wire);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Florin",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": env!("CARGO_PKG_LICENSE")},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas(&wire),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "florin_<id>_<secret>"}},
        },
        "x-errors": errors(),
    })
}

fn operation(route: &Route, wire: &Schemas) -> Value {
    let mut responses = Map::new();
    for (status, what, schema) in successes(route.kind) {
        let mut response = response(what, schema);
        if opens(route.kind) {
            response["links"] = links();
        }
        responses.insert(status.to_owned(), response);
    }
    for status in refusals(route) {
        let what = StatusCode::from_u16(status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or_default();
        let problem = json!({"schema": reference(PROBLEM)});
        let response = json!({"description": what, "content": {"application/problem+json": problem}});
        responses.insert(status.to_string(), response);
    }
    let mut operation = json!({
        "operationId": route.name,
        "summary": route.summary,
        "tags": [tag(route.kind)],
        "responses": responses,
    });
    if let Some(role) = route.role {
        operation["security"] = json!([{"key": []}]);
        operation["x-role"] = role.as_str().into();
    }
    let parameters = parameters(route);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(name) = request(route.kind) {
        let content =
            json!({"application/json": {"schema": reference(&name), "examples": examples(&name, wire)}});
        operation["requestBody"] = json!({"required": true, "content": content});
    }
    operation
}

const fn tag(kind: Kind) -> &'static str {
    match kind {
        Kind::Change(_) => "Changes",
        Kind::Query(_) | Kind::Resource(..) => "Queries",
        Kind::ListWallets | Kind::CreateWallets | Kind::ListTickers | Kind::AddTicker => {
            "Wallets and tickers"
        }
        Kind::Page(_) => "About the service",
    }
}

fn request(kind: Kind) -> Option<String> {
    match kind {
        Kind::Change(name) => Some(format!("{name}.request")),
        Kind::Query(operation) => Some(format!("{operation}.request")),
        Kind::CreateWallets => Some("new_wallets".to_owned()),
        Kind::AddTicker => Some("ticker".to_owned()),
        Kind::Resource(..) | Kind::ListWallets | Kind::ListTickers | Kind::Page(_) => None,
    }
}

/// Status, description and content of each successful response.
fn successes(kind: Kind) -> Vec<(&'static str, &'static str, (&'static str, Value))> {
    let object = |schema| ("application/json", schema);
    match kind {
        Kind::Change(name) => {
            let mut answers = vec![("200", "Done.", object(reply(name)))];
            if opens(kind) {
                answers.push(("202", "Pending: to be settled or cancelled.", object(reply(name))));
            }
            answers
        }
        Kind::Query(operation) | Kind::Resource(operation, _) => {
            vec![("200", "The result.", object(reply(operation.as_str())))]
        }
        Kind::ListWallets => vec![("200", "A page of wallets.", object(reference("wallets")))],
        Kind::CreateWallets => {
            let schema = || object(reference("created_wallets"));
            vec![("201", "At least one was created.", schema()), ("200", "All existed already.", schema())]
        }
        Kind::ListTickers => vec![("200", "All tickers.", object(reference("tickers")))],
        Kind::AddTicker => {
            let schema = || object(reference("ticker"));
            vec![("201", "Added.", schema()), ("200", "It existed already.", schema())]
        }
        Kind::Page(content_type) => vec![("200", "The page.", (content_type, json!({})))],
    }
}

/// Whether it opens a transaction.
fn opens(kind: Kind) -> bool {
    let openers = [Operation::Invoice, Operation::Withdraw, Operation::Transfer].map(Operation::as_str);
    matches!(kind, Kind::Change(name) if openers.contains(&name))
}

/// What can be done with the transaction in the response.
fn links() -> Value {
    const ID: &str = "$response.body#/body/transaction_id";
    json!({
        "transaction": {"operationId": "transaction", "parameters": {"transaction_id": ID}},
        "settle": {"operationId": "settle", "requestBody": {"transaction_id": ID}},
        "cancel": {"operationId": "cancel", "requestBody": {"transaction_id": ID}},
    })
}

fn reply(operation: &str) -> Value {
    json!({
        "type": "object",
        "required": ["operation", "code", "body"],
        "properties": {
            "operation": {"const": operation},
            "code": {"type": "integer"},
            "body": reference(&format!("{operation}.body")),
        },
    })
}

fn response(what: &str, (content_type, schema): (&str, Value)) -> Value {
    json!({"description": what, "content": {content_type: {"schema": schema}}})
}

fn refusals(route: &Route) -> Vec<u16> {
    if route.role.is_none() {
        return if route.name == "readyz" { vec![503] } else { Vec::new() };
    }
    let mut statuses = vec![400, 401, 403, 429, 503];
    match route.kind {
        Kind::Change(_) => statuses.extend([404, 408, 409, 413, 415, 504]),
        Kind::Query(_) => statuses.extend([408, 413, 415]),
        Kind::CreateWallets => statuses.extend([408, 413, 415, 504]),
        Kind::AddTicker => statuses.extend([408, 409, 413, 415, 504]),
        Kind::Resource(..) => statuses.push(404),
        Kind::ListWallets | Kind::ListTickers | Kind::Page(_) => {}
    }
    statuses.sort_unstable();
    statuses
}

fn parameters(route: &Route) -> Vec<Value> {
    let mut parameters = Vec::new();
    for name in ["wallet_id", "transaction_id"] {
        if route.path.contains(&format!("{{{name}}}")) {
            let schema = parameter_schema(name);
            parameters.push(json!({"name": name, "in": "path", "required": true, "schema": schema}));
        }
    }
    let query: &[&str] = match route.kind {
        Kind::Resource(_, parameters) => parameters,
        Kind::ListWallets => &["after", "limit"],
        _ => &[],
    };
    for name in query {
        parameters.push(json!({"name": name, "in": "query", "schema": parameter_schema(name)}));
    }
    if matches!(route.kind, Kind::Change(_)) {
        parameters.push(json!({
            "name": "Idempotency-Key",
            "in": "header",
            "description": "The identity of the request: a retry under the same key is applied once. In quotes it is the same key.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        }));
    }
    parameters
}

fn parameter_schema(name: &str) -> Value {
    match name {
        "wallet_id" => json!({"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX}),
        "transaction_id" => json!({"type": "string", "format": "uuid"}),
        "ticker" => json!({"type": "string", "minLength": 1}),
        "status" => json!({"enum": ["Created", "Success", "Error"]}),
        "at" | "from" | "until" => {
            json!({"type": "string", "format": "date-time", "example": "2026-01-31T08:15:30Z"})
        }
        "before" => json!({"type": "string", "pattern": "^[0-9a-f]{40}$"}),
        "after" => json!({"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX}),
        _ => json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
    }
}

/// The wire's schemas, and those that only HTTP has.
fn schemas(wire: &Schemas) -> Map<String, Value> {
    let mut schemas = wire.definitions_at(SCHEMAS);
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = SCHEMAS[1..].into());
    let mut generator = settings.into_generator();
    let own = [
        generator.root_schema_for::<NewWallets>(),
        generator.root_schema_for::<CreatedWallets>(),
        generator.root_schema_for::<Wallets>(),
        generator.root_schema_for::<Ticker>(),
        generator.root_schema_for::<TickerList>(),
        generator.root_schema_for::<Document>(),
    ];
    for schema in own {
        let mut schema = schema.to_value();
        let Some(fields) = schema.as_object_mut() else { continue };
        fields.remove("$schema");
        fields.remove("components");
        let name = fields.get("title").and_then(Value::as_str).unwrap_or_default().to_owned();
        schemas.insert(name, schema);
    }
    schemas.extend(generator.take_definitions(true));
    schemas
}

fn examples(name: &str, wire: &Schemas) -> Value {
    let own = match name {
        "new_wallets" => json!([{"from": 1, "to": 9}]),
        "ticker" => json!([{"name": "USD", "scale": 2}]),
        _ => wire.get(name).map_or(Value::Null, |schema| schema["examples"].clone()),
    };
    let examples = own.as_array().cloned().unwrap_or_default();
    let named = examples.into_iter().enumerate();
    named
        .map(|(index, example)| (format!("{}", index + 1), json!({"value": example})))
        .collect::<Map<_, _>>()
        .into()
}

/// The wire's error codes, and those that only HTTP has.
fn errors() -> Vec<Value> {
    let of_wire = ErrorCode::ALL.map(Guide::document);
    let of_http = Fault::ALL.map(|fault| {
        let (error, status, meaning) = fault.parts();
        json!({"error": error, "code": status.as_u16(), "meaning": meaning})
    });
    of_wire.into_iter().chain(of_http).collect()
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("{SCHEMAS}{name}")})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let text = document.to_string();
        let references: Vec<_> =
            text.split("\"$ref\":\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(references.len() > 50);
        for to in references {
            let pointer = to.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{to}");
        }
        assert!(document["paths"]["/batch"]["post"].is_object());
    }
}

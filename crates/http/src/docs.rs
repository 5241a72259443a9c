//! The OpenAPI document as a page for people: every endpoint and every error.

use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::{Map, Value};

use super::console::open_page;
use super::openapi::document;

const TAGS: [&str; 4] = ["Changes", "Queries", "Wallets and tickers", "About the service"];

/// `GET /docs`.
pub(super) async fn docs() -> Response {
    let document = document();
    let content = html! {
        div.docs {
            nav.contents aria-label="On this page" { (contents(document)) }
            article {
                h1 { "Florin HTTP API" }
                @for paragraph in text(&document["info"]["description"]).split("\n\n") {
                    p { (code(paragraph)) }
                }
                p {
                    "For programs: " a href="/openapi.json" { "openapi.json" }
                    ". The same API over RabbitMQ: " a href="/asyncapi.json" { "asyncapi.json" } "."
                }
                @for tag in TAGS {
                    h2 id=(anchor(tag)) { (tag) }
                    @for (path, method, operation) in operations(document, tag) {
                        (section(document, path, method, operation))
                    }
                }
                h2 #errors { "Errors" }
                p { "Every error has a stable name in " code { "error" } ". The " code { "type" } " of a problem document links here." }
                (errors(document))
            }
        }
    };
    open_page(StatusCode::OK, "API", &content)
}

fn operations<'a>(document: &'a Value, tag: &'a str) -> impl Iterator<Item = (&'a str, &'a str, &'a Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let all = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().into_iter().flatten();
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    });
    all.filter(move |(_, _, operation)| operation["tags"][0] == tag)
}

fn contents(document: &Value) -> Markup {
    html! {
        @for tag in TAGS {
            p { a href=(format!("#{}", anchor(tag))) { (tag) } }
            ul { @for (path, method, operation) in operations(document, tag) {
                li { a href=(format!("#{}", operation_anchor(operation))) { (method.to_uppercase()) " " (path) } }
            } }
        }
        p { a href="#errors" { "Errors" } }
    }
}

fn section(document: &Value, path: &str, method: &str, operation: &Value) -> Markup {
    let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    let examples = examples(operation);
    html! {
        section.operation id=(operation_anchor(operation)) {
            h3 { span.method { (method.to_uppercase()) } " " code { (path) } }
            p { (text(&operation["summary"])) @if let Some(role) = operation["x-role"].as_str() {
                " " span.quiet { "Role: " (role) "." }
            } @else { " " span.quiet { "No key needed." } } }
            @if !parameters.is_empty() { (parameter_table(parameters)) }
            @if let Some(fields) = fields(document, operation) { (field_table(fields, document)) }
            pre tabindex="0" aria-label="Example" { code { (curl(path, method, operation, examples.first().copied())) } }
            @if examples.len() > 1 {
                details {
                    summary { "More examples" }
                    @for example in &examples[1..] { pre tabindex="0" { code { (example.to_string()) } } }
                }
            }
            (responses(&operation["responses"]))
        }
    }
}

fn parameter_table(parameters: &[Value]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Parameters" { table {
            thead { tr { th scope="col" { "Parameter" } th scope="col" { "In" } th scope="col" { "Value" } } }
            tbody { @for parameter in parameters { tr {
                td { code { (text(&parameter["name"])) } @if parameter["required"] == true { span.quiet { " required" } } }
                td { (text(&parameter["in"])) }
                td.long { (kind(&parameter["schema"])) @if let Some(what) = parameter["description"].as_str() { ". " (what) } }
            } } }
        } }
    }
}

/// The schema of the body, if it is an object.
fn fields<'a>(document: &'a Value, operation: &Value) -> Option<&'a Value> {
    let reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str()?;
    let schema = document.pointer(reference.strip_prefix('#')?)?;
    schema["properties"].is_object().then_some(schema)
}

fn field_table(schema: &Value, document: &Value) -> Markup {
    let is_required = |name: &str| {
        schema["required"].as_array().is_some_and(|required| required.iter().any(|required| required == name))
    };
    html! {
        div.scroll tabindex="0" role="region" aria-label="Fields of the body" { table {
            thead { tr { th scope="col" { "Field" } th scope="col" { "Value" } th scope="col" { "Description" } } }
            tbody { @for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                tr {
                    td { code { (name) } @if is_required(name) { span.quiet { " required" } } }
                    td { (kind(resolved(document, field))) }
                    td.long { (code(described(document, field))) }
                }
            } }
        } }
    }
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    target.and_then(|pointer| document.pointer(pointer)).unwrap_or(schema)
}

fn described<'a>(document: &'a Value, schema: &'a Value) -> &'a str {
    schema["description"].as_str().unwrap_or_else(|| text(&resolved(document, schema)["description"]))
}

fn kind(schema: &Value) -> String {
    let words = |values: &Value| {
        let values = values.as_array().into_iter().flatten();
        values
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            .collect::<Vec<_>>()
    };
    if let Some(choices) = ["anyOf", "oneOf"].into_iter().find_map(|name| schema[name].as_array()) {
        return choices.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    let mut kind = match (&schema["type"], &schema["enum"], &schema["const"]) {
        (_, values @ Value::Array(_), _) => format!("one of {}", words(values).join(", ")),
        (_, _, value) if !value.is_null() => value.to_string(),
        (Value::String(one), _, _) => one.clone(),
        (several @ Value::Array(_), _, _) => words(several).join(" or "),
        _ => "any".to_owned(),
    };
    if let Some(format) = schema["format"].as_str() {
        kind.push_str(&format!(" ({format})"));
    }
    if !schema["default"].is_null() {
        kind.push_str(&format!(", default {}", schema["default"]));
    }
    kind
}

fn examples(operation: &Value) -> Vec<&Value> {
    let examples = operation["requestBody"]["content"]["application/json"]["examples"].as_object();
    examples.into_iter().flat_map(Map::values).map(|example| &example["value"]).collect()
}

/// A command to copy.
fn curl(path: &str, method: &str, operation: &Value, body: Option<&Value>) -> String {
    let path =
        path.replace("{wallet_id}", "1").replace("{transaction_id}", "0190a5b0-7c1e-7d3c-8c3e-0123456789ab");
    let mut line = format!("curl \"$FLORIN{path}\"");
    if !operation["x-role"].is_null() {
        line.push_str(" \\\n  -H \"Authorization: Bearer $KEY\"");
    }
    if text(&operation["tags"][0]) == TAGS[0] {
        line.push_str(" \\\n  -H \"Idempotency-Key: $(uuidgen)\"");
    }
    match body {
        Some(body) => {
            let quoted = body.to_string().replace('\'', "'\\''");
            line.push_str(&format!(" \\\n  -H 'Content-Type: application/json' \\\n  -d '{quoted}'"));
        }
        None if method == "post" => line.push_str(" -X POST"),
        None => {}
    }
    line
}

fn responses(responses: &Value) -> Markup {
    html! {
        ul.responses aria-label="Answers" { @for (status, response) in responses.as_object().into_iter().flatten() {
            li { strong { (status) } " " (text(&response["description"])) }
        } }
    }
}

fn errors(document: &Value) -> Markup {
    html! {
        dl.errors { @for error in document["x-errors"].as_array().into_iter().flatten() {
            @let name = text(&error["error"]);
            div id=(name) {
                dt { code { (name) } " " span.quiet { (error["code"]) } }
                dd {
                    p { (code(text(&error["meaning"]))) }
                    @if let Some(advice) = error["advice"].as_str() { p { (code(advice)) } }
                    @if let Some(retry) = error["retry"].as_str() { p.quiet { "Retry? " (code(retry)) "." } }
                    @if let Some(operations) = error["operations"].as_str() { p.quiet { "Returned by: " (operations) "." } }
                }
            }
        } }
    }
}

fn code(text: &str) -> Markup {
    html! { @for (index, part) in text.split('`').enumerate() {
        @if index % 2 == 1 { code { (part) } } @else { (part) }
    } }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn anchor(tag: &str) -> String {
    format!("group-{}", tag.to_lowercase().replace(' ', "-"))
}

/// Differs from the anchors of errors.
fn operation_anchor(operation: &Value) -> String {
    format!("operation-{}", text(&operation["operationId"]))
}

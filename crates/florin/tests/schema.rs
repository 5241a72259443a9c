//! What `florin schema` prints: it is what the checked-in copies hold, and what the standards ask for.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use florin_ledger::ErrorCode;
use jsonschema::Validator;
use serde_json::{Value, json};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_florin")).arg("schema").args(arguments).output().unwrap()
}

fn printed(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = run(arguments);
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(name)).unwrap()
}

fn asyncapi() -> Value {
    serde_json::from_str(&printed(&["asyncapi"])).unwrap()
}

/// All values of fields with this name, wherever they stand.
fn all<'a>(name: &str, value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get(name));
            fields.values().for_each(|field| all(name, field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| all(name, item, found)),
        _ => {}
    }
}

#[test]
fn the_checked_in_document_is_the_printed_one() {
    let same = file("docs/asyncapi.json") == printed(&["asyncapi"]);
    assert!(same, "run: florin schema asyncapi > docs/asyncapi.json");
}

#[test]
fn the_checked_in_reference_is_the_printed_one() {
    for topic in ["cli", "settings", "metrics"] {
        let page = format!("docs/reference/{topic}.md");
        assert!(file(&page) == printed(&[topic]), "run: florin schema {topic} > {page}");
    }
}

#[test]
fn yaml_says_the_same() {
    let yaml: Value = yaml_serde::from_str(&printed(&["asyncapi", "--format", "yaml"])).unwrap();
    assert_eq!(yaml, asyncapi());
}

#[test]
fn the_document_is_asyncapi_3() {
    let schema = serde_json::from_str(&file("crates/florin/tests/data/asyncapi/3.0.0.json")).unwrap();
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let mut document = asyncapi();
    let errors: Vec<String> = validator
        .iter_errors(&document)
        .map(|error| format!("{}: {error:.300}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    // The check is one: it finds what is wrong.
    document["channels"]["work"]["bindings"]["amqp"]["is"] = json!("pipe");
    assert!(!validator.is_valid(&document));
}

#[test]
fn every_reference_in_it_leads_somewhere() {
    let document = asyncapi();
    let mut references = Vec::new();
    all("$ref", &document, &mut references);
    assert!(references.len() > 100);
    for reference in references {
        let target = reference.as_str().unwrap().strip_prefix('#').unwrap();
        assert!(document.pointer(target).is_some(), "{target}");
    }
    for (name, operation) in document["operations"].as_object().unwrap() {
        let channel = operation["channel"]["$ref"].as_str().unwrap();
        let messages = operation["messages"].as_array().unwrap();
        let own = messages.iter().all(|message| {
            message["$ref"].as_str().unwrap().strip_prefix(channel).unwrap().starts_with("/messages/")
        });
        assert!(own, "{name} has messages of another channel");
    }
}

/// Its schemas are read as draft 7, as AsyncAPI's own ones are.
#[test]
fn the_examples_of_its_messages_are_valid() {
    let document = asyncapi();
    let validator = |schema: &Value| -> Validator {
        let root = json!({"components": document["components"], "allOf": [schema]});
        jsonschema::options().with_draft(jsonschema::Draft::Draft7).build(&root).unwrap()
    };
    for (name, message) in document["components"]["messages"].as_object().unwrap() {
        let examples = message["examples"].as_array().into_iter().flatten();
        assert!(examples.clone().count() > 0 || name == "deadLetter", "{name}");
        let (headers, payload) = (validator(&message["headers"]), validator(&message["payload"]));
        for example in examples {
            headers.validate(&example["headers"]).unwrap();
            payload.validate(&example["payload"]).unwrap();
        }
        if let Some(operation) = name.strip_suffix(".request") {
            assert!(!payload.is_valid(&json!({})), "{name} says nothing");
            assert_eq!(message["bindings"]["amqp"]["messageType"], operation);
        }
    }
}

#[test]
fn every_listed_schema_is_shown_and_no_other() {
    let list = printed(&["list"]);
    assert_eq!(list.lines().count(), 32);
    let json: Value = serde_json::from_str(&printed(&["list", "--json"])).unwrap();
    assert_eq!(json["schemas"], list.lines().collect::<Value>());
    for name in list.lines() {
        let schema: Value = serde_json::from_str(&printed(&["show", name])).unwrap();
        assert_eq!(schema["title"], name);
        jsonschema::meta::validate(&schema).unwrap();
    }
    let unknown = run(&["show", "invoices"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("florin schema list"));
}

#[test]
fn the_page_of_errors_has_the_printed_table() {
    let table = printed(&["errors"]);
    assert!(
        file("docs/errors.md").contains(&table),
        "put what `florin schema errors` prints into docs/errors.md"
    );
    let rows: Vec<String> =
        table.lines().skip(2).map(|row| row.split(" | ").take(2).collect::<String>()).collect();
    let expected = ErrorCode::ALL.map(|code| format!("| `{code}`{}", code.status()));
    assert_eq!(rows, expected);
}

/// The errors of the Rust client have no names that travel: their texts are in the page.
#[test]
fn the_page_of_errors_has_those_of_the_client() {
    let source = file("crates/client/src/error.rs");
    let variants = source.lines().filter_map(|line| {
        let name = line.strip_prefix("    ")?.split(|letter: char| !letter.is_alphanumeric()).next()?;
        name.starts_with(|letter: char| letter.is_ascii_uppercase()).then_some(name)
    });
    let page = file("docs/errors.md");
    let variants: Vec<&str> = variants.collect();
    assert!(variants.contains(&"OutcomeUnknown"), "{variants:?}");
    for variant in variants {
        assert!(page.contains(&format!("`{variant}`")), "{variant}");
    }
}

/// The errors that only HTTP has, too.
#[test]
fn the_page_of_errors_has_those_of_http() {
    let document: Value = serde_json::from_str(&printed(&["openapi"])).unwrap();
    let page = file("docs/errors.md");
    let errors = document["x-errors"].as_array().unwrap();
    assert!(errors.len() > ErrorCode::ALL.len(), "{errors:?}");
    for error in errors {
        let (name, code) = (error["error"].as_str().unwrap(), &error["code"]);
        assert!(page.contains(&format!("| `{name}` | {code} |")), "{name} {code}");
    }
}

#[test]
fn the_sample_event_is_valid() {
    let schema: Value = serde_json::from_str(&printed(&["show", "events"])).unwrap();
    let event: Value = serde_json::from_str(&file("docs/examples/event.json")).unwrap();
    jsonschema::validator_for(&schema).unwrap().validate(&event).unwrap();
}

//! Examples, all of them checked against their schemas and read by the code that reads the real ones.

use florin_ledger::ErrorCode;
use serde_json::{Map, Value, json};

use super::REFUSAL;
use crate::names::BATCH;

/// The examples of this schema. Those of a reply are composed from those of its body and of refusals.
pub(super) fn of(name: &str) -> Vec<Value> {
    let all: Map<String, Value> =
        serde_json::from_str(include_str!("examples.json")).expect("the examples are JSON");
    let listed = |name: &str| all.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(operation) = name.strip_suffix(".reply") else { return listed(name) };
    let done = listed(&format!("{operation}.body")).into_iter().map(|body| {
        let code = if body["status"] == "Created" && operation != "transaction" { 202 } else { 200 };
        json!({"operation": operation, "code": code, "body": body.to_string()})
    });
    let refused = listed(REFUSAL).into_iter().filter(|reply| reply["operation"] == operation);
    let failed = if operation == BATCH { listed("batch.failed") } else { Vec::new() };
    done.chain(refused).chain(failed.iter().map(failed_reply)).collect()
}

/// The reply to an atomic batch that was refused.
fn failed_reply(body: &Value) -> Value {
    let code = ErrorCode::BatchFailed;
    json!({
        "operation": BATCH,
        "code": code.status(),
        "reason": body["results"][0]["reason"],
        "error": code.as_str(),
        "body": body.to_string(),
    })
}

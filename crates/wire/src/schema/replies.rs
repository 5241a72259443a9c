//! What the service sends.

use florin_ledger::{ErrorCode, Operation};
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::{OperationOrBatch, definition_of, name_of, operations, reference};
use crate::bodies::{BalanceBody, BatchBody, HistoryBody, Receipt, ResultBody, TransactionBody};
use crate::guide::{Givers, Guide};
use crate::reply::Reply;
use crate::values::answered;

/// The schema of what the string `body` of a reply holds.
pub(super) fn body_of(operation: OperationOrBatch, generator: &mut SchemaGenerator) -> Value {
    let mut receipt = |status: &[&str], more: &[(&str, Value)]| {
        let receipt = definition_of::<Receipt>(generator);
        let own = [("transaction_id", json!({})), ("status", json!({"enum": status}))];
        narrowed(&receipt, &[&own, more].concat(), &[])
    };
    let released = |error: ErrorCode| [("error", json!({"const": error.as_str()}))];
    let mut schema = match operation {
        Some(Operation::Invoice | Operation::Withdraw | Operation::Transfer) => {
            receipt(&["Success", "Created"], &[])
        }
        Some(Operation::Settle) => receipt(&["Success"], &[("settled_amount", json!({}))]),
        Some(Operation::Cancel) => receipt(&["Error"], &released(ErrorCode::Cancelled)),
        Some(Operation::Expire) => receipt(&["Error"], &released(ErrorCode::Expired)),
        Some(Operation::Balance) => definition_of::<BalanceBody>(generator),
        Some(Operation::Transaction) => definition_of::<TransactionBody>(generator),
        Some(Operation::History) => definition_of::<HistoryBody>(generator),
        None => batch_body(generator),
    };
    schema["description"] = format!("What `body` of the reply to `{}` holds.", name_of(operation)).into();
    schema
}

/// The schema of a reply.
pub(super) fn of(operation: OperationOrBatch, generator: &mut SchemaGenerator) -> Value {
    let name = name_of(operation);
    let reply = definition_of::<Reply>(generator);
    let body =
        json!({"contentMediaType": "application/json", "contentSchema": reference(&format!("{name}.body"))});
    let named = json!({"const": name});
    let done = [("operation", named.clone()), ("code", done_codes(operation)), ("body", body.clone())];
    let mut variants = vec![
        titled("done", narrowed(&reply, &done, &[])),
        titled("refused", refused(&reply, &named, &codes_of(operation), recorded(operation))),
    ];
    if operation.is_none() {
        let mut failed = refusal_properties(&named, &[ErrorCode::BatchFailed]);
        failed.push(("body", body));
        variants.push(titled("failed", narrowed(&reply, &failed, &[])));
    }
    json!({"description": format!("The reply to `{name}`."), "type": "object", "oneOf": variants})
}

/// The schema of a refusal of any request.
pub(super) fn refusal(generator: &mut SchemaGenerator) -> Value {
    let reply = definition_of::<Reply>(generator);
    let codes: Vec<ErrorCode> = answered().collect();
    let mut schema = refused(&reply, &json!({}), &codes, true);
    schema["description"] =
        "The reply to a request that was refused. `operation` is what the client wrote, also \
                             when there is no such operation."
            .into();
    schema
}

fn batch_body(generator: &mut SchemaGenerator) -> Value {
    let result = definition_of::<ResultBody>(generator);
    let replayed = ("replayed", json!({"const": true}));
    let mut variants: Vec<Value> = operations()
        .flatten()
        .map(|operation| {
            let name = operation.as_str();
            let own = [
                ("operation", json!({"const": name})),
                ("code", done_codes(Some(operation))),
                ("body", reference(&format!("{name}.body"))),
            ];
            titled(name, narrowed(&result, &own, std::slice::from_ref(&replayed)))
        })
        .collect();
    let codes: Vec<ErrorCode> = answered().filter(|code| *code != ErrorCode::TooLarge).collect();
    let optional = [("transaction_id", json!({})), replayed];
    variants.push(titled("refused", narrowed(&result, &refusal_properties(&json!({}), &codes), &optional)));
    let mut schema = definition_of::<BatchBody>(generator);
    schema["properties"]["results"]["items"] = json!({"oneOf": variants});
    schema
}

fn refused(reply: &Value, operation: &Value, codes: &[ErrorCode], recorded: bool) -> Value {
    let optional = recorded.then(|| ("transaction_id", json!({})));
    narrowed(reply, &refusal_properties(operation, codes), optional.as_slice())
}

fn refusal_properties(operation: &Value, errors: &[ErrorCode]) -> Vec<(&'static str, Value)> {
    let names: Vec<&str> = errors.iter().map(|code| code.as_str()).collect();
    let mut codes: Vec<u16> = errors.iter().map(|code| code.status()).collect();
    codes.sort_unstable();
    codes.dedup();
    vec![
        ("operation", operation.clone()),
        ("code", json!({"enum": codes})),
        ("reason", json!({})),
        ("error", json!({"enum": names})),
    ]
}

fn done_codes(operation: OperationOrBatch) -> Value {
    json!({"enum": if opens(operation) { vec![200, 202] } else { vec![200] }})
}

/// Whether its refusal may be recorded as a transaction.
fn recorded(operation: OperationOrBatch) -> bool {
    opens(operation)
}

fn opens(operation: OperationOrBatch) -> bool {
    matches!(operation, Some(Operation::Invoice | Operation::Withdraw | Operation::Transfer))
}

/// The errors that a single request can be refused with.
fn codes_of(operation: OperationOrBatch) -> Vec<ErrorCode> {
    let gives = |code: &ErrorCode| match (Guide::of(*code).givers, operation) {
        (givers, Some(operation)) => givers.include(operation),
        (givers, None) => givers == Givers::All,
    };
    ErrorCode::ALL.into_iter().filter(gives).collect()
}

/// An object with these properties of another, each of them narrowed: the first ones required, the others
/// optional.
fn narrowed(object: &Value, required: &[(&str, Value)], optional: &[(&str, Value)]) -> Value {
    let property = |(name, narrower): &(&str, Value)| {
        let property =
            object["properties"].get(name).expect("only properties that there are can be narrowed");
        let mut property = property.as_object().cloned().unwrap_or_default();
        property.extend(narrower.as_object().cloned().unwrap_or_default());
        ((*name).to_owned(), Value::Object(property))
    };
    let properties: Map<String, Value> = required.iter().chain(optional).map(property).collect();
    let required: Vec<&str> = required.iter().map(|(name, _)| *name).collect();
    json!({"type": "object", "properties": properties, "required": required})
}

fn titled(title: &str, mut schema: Value) -> Value {
    schema["title"] = title.into();
    schema
}

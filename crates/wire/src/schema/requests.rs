//! What the service takes.

use florin_ledger::Operation;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::{Asked, GivenIdentity, GivenRequester, definition_of};
use crate::batch::{BATCH, MAX_BATCH_OPERATIONS};
use crate::request::{BalanceQueryBody, HistoryQueryBody, MovementBody, NamedBody, SettleBody, TransferBody};

/// The schema of a request.
pub(super) fn of(operation: Asked, generator: &mut SchemaGenerator) -> Value {
    let mut schema = match operation {
        Some(Operation::Invoice | Operation::Withdraw) => definition_of::<MovementBody>(generator),
        Some(Operation::Transfer) => definition_of::<TransferBody>(generator),
        Some(Operation::Settle) => definition_of::<SettleBody>(generator),
        Some(Operation::Cancel | Operation::Expire | Operation::Transaction) => {
            definition_of::<NamedBody>(generator)
        }
        Some(Operation::Balance) => definition_of::<BalanceQueryBody>(generator),
        Some(Operation::History) => definition_of::<HistoryQueryBody>(generator),
        None => batch(generator),
    };
    schema["description"] = about(operation).into();
    schema["additionalProperties"] = false.into();
    schema
}

/// What an operation does.
pub(super) const fn about(operation: Asked) -> &'static str {
    match operation {
        Some(Operation::Invoice) => {
            "Credits a wallet. When it waits, the amount is frozen until it is settled."
        }
        Some(Operation::Withdraw) => {
            "Debits a wallet. When it waits, the amount is frozen until it is settled."
        }
        Some(Operation::Transfer) => {
            "Debits one wallet and credits another. When it waits, the amount is frozen at the payer until it is \
             settled. The two wallets must differ."
        }
        Some(Operation::Settle) => {
            "Ends a transaction that waits: it is done, all of it or the amount given; the rest is released."
        }
        Some(Operation::Cancel) => {
            "Ends a transaction that waits: it is not done, and all of it is released."
        }
        Some(Operation::Expire) => {
            "Ends a transaction that waits and whose time is over. The service asks itself for it; anybody may."
        }
        Some(Operation::Balance) => "Reads the balances of a wallet, now or as they were at a time.",
        Some(Operation::Transaction) => "Reads a transaction.",
        Some(Operation::History) => "Reads the postings of a wallet, newest first, in pages.",
        None => {
            "Up to 1,000 operations in one message. Each is decided by itself, in their order; with `atomic` all of \
             them are done, or none."
        }
    }
}

/// A timeout is refused without `"pending": true`. One that is `null` is not given.
pub(crate) fn timeout_needs_pending(schema: &mut Schema) {
    let given = json!({"properties": {"timeout": {"not": {"type": "null"}}}, "required": ["timeout"]});
    schema.insert("if".to_owned(), given);
    schema.insert(
        "then".to_owned(),
        json!({"properties": {"pending": {"const": true}}, "required": ["pending"]}),
    );
}

fn batch(generator: &mut SchemaGenerator) -> Value {
    let operations: Vec<Value> =
        Operation::ALL.into_iter().map(|operation| element(operation, generator)).collect();
    json!({
        "type": "object",
        "properties": {
            "operations": {
                "description": "What is asked for, in the order in which it is decided. One that cannot be read is \
                                refused alone, unless the batch is atomic.",
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_BATCH_OPERATIONS,
                "items": {"oneOf": operations},
            },
            "atomic": {
                "description": "Whether all of them are to be done, or none.",
                "type": ["boolean", "null"],
            },
        },
        "required": ["operations"],
    })
}

/// A request with its operation, an identity of its own, and for whom it is asked. It does not refer to the schema of
/// the request: that one takes no further fields.
fn element(operation: Operation, generator: &mut SchemaGenerator) -> Value {
    let name = operation.as_str();
    let mut schema = of(Some(operation), generator);
    schema["title"] = format!("{BATCH}: {name}").into();
    let own = [
        ("operation", json!({"description": "The operation.", "const": name})),
        ("id", generator.subschema_for::<Option<GivenIdentity>>().to_value()),
        ("on_behalf_of", generator.subschema_for::<Option<GivenRequester>>().to_value()),
    ];
    for (field, value) in own {
        schema["properties"][field] = value;
    }
    if let Some(required) = schema["required"].as_array_mut() {
        required.push("operation".into());
    }
    schema
}

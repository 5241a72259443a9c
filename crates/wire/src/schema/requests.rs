//! What the service accepts.

use florin_ledger::Operation;
use schemars::SchemaGenerator;
use serde_json::{Value, json};

use super::{OperationOrBatch, definition_of};
use crate::batch::MAX_BATCH_OPERATIONS;
use crate::names::BATCH;
use crate::request::{BalanceQueryBody, HistoryQueryBody, MovementBody, NamedBody, SettleBody, TransferBody};
use crate::values::{GivenIdentity, GivenRequester};

/// The schema of a request.
pub(super) fn of(operation: OperationOrBatch, generator: &mut SchemaGenerator) -> Value {
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

/// What an operation does, for the documents.
pub(super) const fn about(operation: OperationOrBatch) -> &'static str {
    match operation {
        Some(Operation::Invoice) => {
            "Credits a wallet. With `pending`, the amount is held until it is settled, cancelled or expires."
        }
        Some(Operation::Withdraw) => {
            "Debits a wallet. With `pending`, the amount is held until it is settled, cancelled or expires."
        }
        Some(Operation::Transfer) => {
            "Debits one wallet and credits another. With `pending`, the amount is held in the payer's wallet until it is \
             settled, cancelled or expires. The two wallets must differ."
        }
        Some(Operation::Settle) => "Captures a hold, in full or the given amount; the rest is released.",
        Some(Operation::Cancel) => "Releases a hold: no money moves.",
        Some(Operation::Expire) => {
            "Releases a hold whose expiry time has passed. The service does so by itself; clients may too."
        }
        Some(Operation::Balance) => "Reads the balances of a wallet, now or at a time.",
        Some(Operation::Transaction) => "Reads a transaction.",
        Some(Operation::History) => "Reads the postings of a wallet, newest first, in pages.",
        None => {
            "Up to 1,000 operations in one message. Each is decided by itself, in order; with `atomic`, all are applied or \
             none."
        }
    }
}

fn batch(generator: &mut SchemaGenerator) -> Value {
    let operations: Vec<Value> =
        Operation::ALL.into_iter().map(|operation| element(operation, generator)).collect();
    json!({
        "type": "object",
        "properties": {
            "operations": {
                "description": "The operations, in the order in which they are decided. One that cannot be decoded is \
                                refused alone, unless the batch is atomic.",
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_BATCH_OPERATIONS,
                "items": {"oneOf": operations},
            },
            "atomic": {
                "description": "Whether all operations are applied, or none.",
                "type": ["boolean", "null"],
            },
        },
        "required": ["operations"],
    })
}

/// A request with its operation, an identity of its own, and on whose behalf it is requested. It cannot refer
/// to the schema of the single request, which allows no further fields.
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

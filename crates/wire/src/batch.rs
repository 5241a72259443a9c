//! Several operations in one message.

use std::borrow::Cow;

use florin_ledger::{Command, ErrorCode, Identity, Operation, RequestHash, WalletId};
use serde_json::value::RawValue;

use crate::command::{MAX_PAGE, command, fields_of, operation};
use crate::envelope::{Envelope, UnknownFields};
use crate::fields::{Field, Fields, flag};
use crate::identity::BatchIdentities;
use crate::json::string;
use crate::names::BATCH;
use crate::refusal::Refusal;
use crate::requester::Requester;

/// Maximum number of operations in a batch.
pub const MAX_BATCH_OPERATIONS: usize = 1000;

/// Maximum number of postings that the history queries of a batch may return together, as many as a single
/// one may: so the reply fits into a message, and the time that others wait is bounded.
pub(crate) const MAX_BATCH_POSTINGS: u16 = MAX_PAGE;
/// A history query counts as at least this many postings, because it may read more than it returns.
const LEAST_POSTINGS: u16 = 100;

/// AMQP's limit for a routing key or a `message_id`, in bytes.
const LONGEST_NAME: usize = 255;

/// The fields of an operation of a batch beside those of a request.
const OF_AN_OPERATION: &[Field] = &[Field::Operation, Field::Id, Field::OnBehalfOf];

/// The operations of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Whether all operations are applied, or none.
    pub atomic: bool,
    /// The operations, in order: 1 to [`MAX_BATCH_OPERATIONS`].
    pub items: Vec<Item>,
}

/// One operation of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The name as the client wrote it; empty if it cannot be read.
    pub operation: Cow<'static, str>,
    /// The command, or why it is refused without asking the rules.
    pub command: Result<Command, Refusal>,
}

impl Batch {
    /// Whether the batch is refused without asking the database: it is atomic, and one operation cannot be
    /// decoded.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.atomic && self.items.iter().any(|item| item.command.is_err())
    }

    pub(crate) fn decode(
        envelope: &Envelope<'_>,
        requester: &Requester,
        body: &str,
    ) -> Result<Self, Refusal> {
        let fields = Fields::read(body)?;
        let unknown = envelope.unknown_fields();
        let fields = fields.check(&[&[Field::Operations, Field::Atomic]], unknown)?;
        let operations = fields.required(Field::Operations, "a list of operations", |raw| {
            serde_json::from_str::<Vec<&RawValue>>(raw.get()).ok()
        })?;
        let atomic = fields.optional(Field::Atomic, "true or false", flag)?.unwrap_or_default();
        match operations.len() {
            0 => return Err(Refusal::malformed("a batch needs at least one operation")),
            1..=MAX_BATCH_OPERATIONS => {}
            given => {
                let reason = format!("the batch has {given} operations; the limit is {MAX_BATCH_OPERATIONS}");
                return Err(Refusal::too_large(reason));
            }
        }
        let identities = BatchIdentities::new(envelope, body);
        let items = operations.into_iter().enumerate();
        let mut postings: u16 = 0;
        let items = items.map(|(index, raw)| {
            let identify =
                |id: Option<&str>, wallet_id, request_hash| identities.at(index, id, wallet_id, request_hash);
            Item::decode(raw.get(), unknown, requester, identify).within(&mut postings)
        });
        Ok(Self { atomic, items: items.collect() })
    }
}

impl Item {
    /// Refused if the history queries before it have used up what a batch may read.
    fn within(self, postings: &mut u16) -> Self {
        let Ok(Command::History(query)) = &self.command else { return self };
        *postings = postings.saturating_add(query.limit.max(LEAST_POSTINGS));
        if *postings <= MAX_BATCH_POSTINGS {
            return self;
        }
        let reason = format!(
            "the history queries of a batch may return {MAX_BATCH_POSTINGS} postings in all, and each counts as at \
             least {LEAST_POSTINGS}"
        );
        Self { command: Err(Refusal::too_large(reason)), ..self }
    }

    fn decode(
        json: &str,
        unknown: UnknownFields,
        requester: &Requester,
        identify: impl FnOnce(Option<&str>, WalletId, RequestHash) -> Identity,
    ) -> Self {
        let named = Fields::read(json).and_then(|fields| {
            let name = fields.required(Field::Operation, NAME, short_text)?;
            Ok((fields, name))
        });
        let (fields, name) = match named {
            Ok(named) => named,
            Err(refusal) => return Self { operation: Cow::Borrowed(""), command: Err(refusal) },
        };
        let operation = match known(&name) {
            Ok(operation) => operation,
            Err(refusal) => return Self { operation: Cow::Owned(name.into_owned()), command: Err(refusal) },
        };
        let command = || {
            let fields = fields.check(&[fields_of(operation), OF_AN_OPERATION], unknown)?;
            let id = fields.optional(Field::Id, NAME, short_text)?;
            let requested_by = requester.of_operation(fields)?;
            let identify = |wallet_id, request_hash| identify(id.as_deref(), wallet_id, request_hash);
            command(operation, fields, requested_by, identify)
        };
        Self { operation: Cow::Borrowed(operation.as_str()), command: command() }
    }
}

fn known(name: &str) -> Result<Operation, Refusal> {
    if name == BATCH {
        let reason = "a batch cannot contain a batch".to_owned();
        return Err(Refusal { code: ErrorCode::UnknownOperation, reason });
    }
    operation(name)
}

const NAME: &str = "a string of 1 to 255 bytes";

fn short_text(raw: &RawValue) -> Option<Cow<'_, str>> {
    string(raw).filter(|name| (1..=LONGEST_NAME).contains(&name.len()))
}

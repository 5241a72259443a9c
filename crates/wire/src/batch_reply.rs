//! The reply to a batch: one result per operation.

use std::borrow::Cow;

use florin_ledger::{Command, ErrorCode, Outcome};
use serde::{Serialize, Serializer};

use crate::bodies::ResultBody;
use crate::names::BATCH;
use crate::refusal::Refusal;
use crate::reply::{Reply, Verdict, to_text};

/// One operation of a batch with its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The name as the client wrote it.
    pub operation: Cow<'static, str>,
    /// The command and its outcome; no outcome if it was not executed, because the batch is atomic and
    /// another operation cannot be decoded.
    pub result: Result<(Command, Option<Outcome>), Refusal>,
}

/// The reply to a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchReply {
    /// The reply to send.
    pub reply: Reply,
    /// Whether all results repeat earlier ones.
    pub replayed: bool,
}

impl ResultBody {
    /// The reply that a single request would have got, and whether it repeats an earlier one.
    #[must_use]
    pub fn into_reply(self) -> (Reply, bool) {
        let reply = Reply {
            operation: self.operation,
            code: self.code,
            body: self.body.map(String::from),
            reason: self.reason,
            error: self.error,
            transaction_id: self.transaction_id,
        };
        (reply, self.replayed)
    }
}

impl BatchReply {
    /// The reply to a batch. An `atomic` one is refused as soon as one operation was refused.
    #[must_use]
    pub fn new(atomic: bool, answered: &[Answered]) -> Self {
        let failure = if atomic { Failure::of(answered) } else { None };
        let body = Some(to_text(&Body { results: Results { answered, failure: failure.as_ref() } }));
        let replayed = answered.iter().all(Answered::is_replayed);
        let done = Reply {
            operation: BATCH.to_owned(),
            code: 200,
            body: None,
            reason: None,
            error: None,
            transaction_id: None,
        };
        let reply = match failure {
            Some(Failure { reason, .. }) => {
                Reply::refused(BATCH, &Refusal { code: ErrorCode::BatchFailed, reason })
            }
            None => done,
        };
        Self { reply: Reply { body, ..reply }, replayed }
    }
}

impl Answered {
    /// The `code` of the result, as in a reply.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match &self.result {
            Ok((_, Some(outcome))) => outcome.code(),
            Ok((_, None)) => ErrorCode::BatchFailed.status(),
            Err(refusal) => refusal.code.status(),
        }
    }

    /// The error of the result.
    fn refusal(&self) -> Option<ErrorCode> {
        match &self.result {
            Ok((_, Some(outcome))) => outcome.refusal(),
            Ok((_, None)) => Some(ErrorCode::BatchFailed),
            Err(refusal) => Some(refusal.code),
        }
    }

    fn is_replayed(&self) -> bool {
        matches!(&self.result, Ok((_, Some(Outcome { replayed: true, .. }))))
    }

    fn verdict(&self) -> Verdict<'_> {
        match &self.result {
            Ok((command, Some(outcome))) => Verdict::on(command, outcome),
            Ok((command, None)) => Verdict::on(command, &Outcome::refused(ErrorCode::BatchFailed)),
            Err(refusal) => Verdict::refused(&self.operation, refusal.code, Cow::Borrowed(&refusal.reason)),
        }
    }
}

/// Why an atomic batch was refused.
struct Failure {
    /// Index of the operation that is named as the cause.
    index: usize,
    /// The reason of the batch, and of all operations that were refused only because of it.
    reason: String,
}

impl Failure {
    /// Names the first operation that was refused for a reason of its own. There is none if only replays of
    /// an older failed batch were refused; then the first refused one is named.
    fn of(answered: &[Answered]) -> Option<Self> {
        let refused = || answered.iter().enumerate().filter(|(_, answered)| answered.refusal().is_some());
        let mut own = refused().filter(|(_, answered)| answered.refusal() != Some(ErrorCode::BatchFailed));
        let (index, named) = own.next().or_else(|| refused().next())?;
        let (operation, why) = (&named.operation, named.verdict().into_reason());
        let reason = format!(
            "operation {index} ({operation}) was refused: {why}; no operation of this batch was applied"
        );
        Some(Self { index, reason })
    }
}

/// The body, serialized in one go: with a thousand results it pays not to build them first.
#[derive(Serialize)]
struct Body<'a> {
    results: Results<'a>,
}

struct Results<'a> {
    answered: &'a [Answered],
    failure: Option<&'a Failure>,
}

impl<'a> Results<'a> {
    fn verdict(&self, index: usize, answered: &'a Answered) -> Verdict<'a> {
        match self.failure {
            Some(failure) if index != failure.index && answered.refusal() == Some(ErrorCode::BatchFailed) => {
                answered.verdict().because(&failure.reason)
            }
            _ => answered.verdict(),
        }
    }
}

impl Serialize for Results<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let verdicts =
            self.answered.iter().enumerate().map(|(index, answered)| self.verdict(index, answered));
        serializer.collect_seq(verdicts)
    }
}

//! The log lines of single requests: one at INFO for each that is refused or dead-lettered, one at DEBUG
//! for each.
//!
//! Fields hold names and codes, never bodies or amounts. Texts that a client chose are cut and escaped. A
//! line that is switched off costs nothing.

use std::fmt;

use florin_ledger::{Answer, Outcome};
use florin_wire::Reply;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, ShortString};
use tracing::Level;
use tracing::field::display;
use uuid::Uuid;

use crate::dead_letter::Reason;

/// How much of a client's text is shown.
const SHOWN_CHARS: usize = 64;
/// The header of W3C Trace Context.
const TRACEPARENT: &str = "traceparent";

/// What is logged of a request.
#[derive(Debug, Default)]
pub(crate) struct Context {
    message_id: Option<ShortString>,
    trace_id: Option<u128>,
}

impl Context {
    /// Of a delivered message.
    pub(crate) fn of(properties: &BasicProperties) -> Self {
        if !tracing::enabled!(Level::ERROR) {
            return Self::default();
        }
        Self { message_id: properties.message_id().clone(), trace_id: trace_id(properties) }
    }
}

/// The trace id of `00-<trace id>-<parent id>-<flags>`.
fn trace_id(properties: &BasicProperties) -> Option<u128> {
    const HEX_DIGITS: usize = 32;
    let AMQPValue::LongString(traceparent) = properties.headers().as_ref()?.inner().get(TRACEPARENT)? else {
        return None;
    };
    let traceparent = std::str::from_utf8(traceparent.as_bytes()).ok()?;
    let trace_id = traceparent.split('-').nth(1).filter(|digits| digits.len() == HEX_DIGITS)?;
    u128::from_str_radix(trace_id, 16).ok().filter(|trace_id| *trace_id != 0)
}

/// Text that a client chose.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, rest) = match self.0.char_indices().nth(SHOWN_CHARS) {
            Some((end, _)) => (&self.0[..end], "..."),
            None => (self.0, ""),
        };
        write!(f, "{}{rest}", shown.escape_debug())
    }
}

/// Logs a reply. `outcome` is the rules' decision, if the request reached them.
pub(crate) fn replied(operation: &str, context: &Context, reply: &Reply, outcome: Option<&Outcome>) {
    macro_rules! line {
        ($level:expr, $text:literal) => {
            tracing::event!(
                $level,
                operation = %Shown(operation),
                message_id = message_id(context),
                transaction_id = transaction_id(reply, outcome).map(display),
                trace_id = hex(context),
                code = reply.code,
                error = reply.error.as_deref(),
                replayed = outcome.is_some_and(|outcome| outcome.replayed),
                $text
            )
        };
    }
    if reply.is_done() {
        line!(Level::DEBUG, "request executed");
    } else {
        line!(Level::INFO, "request refused");
    }
}

/// Logs a dead-lettered request, which gets no reply.
pub(crate) fn dead_lettered(operation: &str, context: &Context, Reason { error, reason }: &Reason) {
    tracing::info!(
        operation = %Shown(operation),
        message_id = message_id(context),
        trace_id = hex(context),
        error,
        reason,
        "request dead-lettered"
    );
}

/// Logs a request that is requeued, to be dead-lettered when it is redelivered.
pub(crate) fn requeued(operation: &str, context: &Context, reason: &Reason) {
    tracing::debug!(
        operation = %Shown(operation),
        message_id = message_id(context),
        trace_id = hex(context),
        error = reason.error,
        "request requeued, to be dead-lettered when it is delivered again"
    );
}

fn message_id(context: &Context) -> Option<tracing::field::DisplayValue<Shown<'_>>> {
    context.message_id.as_ref().map(|message_id| display(Shown(message_id.as_str())))
}

fn hex(context: &Context) -> Option<tracing::field::DisplayValue<String>> {
    context.trace_id.map(|trace_id| display(format!("{trace_id:032x}")))
}

fn transaction_id(reply: &Reply, outcome: Option<&Outcome>) -> Option<Uuid> {
    match outcome.map(|outcome| &outcome.answer) {
        Some(Answer::Opened { transaction_id, .. } | Answer::Resolved { transaction_id, .. }) => {
            Some(*transaction_id)
        }
        Some(Answer::Transaction(transaction)) => Some(transaction.id),
        _ => reply.transaction_id,
    }
}

#[cfg(test)]
mod tests {
    use lapin::types::FieldTable;

    use super::*;

    #[test]
    fn a_clients_text_is_cut_and_escaped() {
        assert_eq!(Shown("order-17").to_string(), "order-17");
        assert_eq!(Shown("a\nb\u{1b}[2J\u{202e}").to_string(), r"a\nb\u{1b}[2J\u{202e}");
        assert_eq!(Shown(&"é".repeat(255)).to_string(), format!("{}...", "é".repeat(64)));
    }

    #[test]
    fn trace_ids_are_read_from_traceparent() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let cases = [
            (format!("00-{id}-00f067aa0ba902b7-01"), Some(id.to_owned())),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), None),
            ("00-xyz-1-01".to_owned(), None),
            (String::new(), None),
        ];
        for (traceparent, expected) in cases {
            let mut headers = FieldTable::default();
            headers.insert(TRACEPARENT.into(), AMQPValue::LongString(traceparent.as_str().into()));
            let properties = BasicProperties::default().with_headers(headers);
            let read = trace_id(&properties).map(|trace_id| format!("{trace_id:032x}"));
            assert_eq!(read, expected, "{traceparent}");
        }
    }
}

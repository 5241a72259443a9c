//! What is asked and answered without a service: the decoder, the rules, and the encoder.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use florin_ledger::{Change, Command, ErrorCode, Group, Outcome, Page, Scale, State, Ticker, Tickers, apply};
use florin_wire::{Answered, BATCH, Batch, BatchReply, Decoded, Envelope, Event, Limits, Refusal, Reply};

const LIMITS: Limits = Limits { max_body_bytes: 64 * 1024, max_batch_body_bytes: 1024 * 1024 };

/// The body of a request for this operation, decoded.
pub(crate) fn decode(operation: &str, message_id: Option<&str>, body: &str) -> Result<Decoded, Refusal> {
    // The schemas say what one may write who is believed.
    let envelope = Envelope { operation, message_id, speaks_for_others: true, ..Envelope::default() };
    florin_wire::decode(&envelope, body.as_bytes(), &LIMITS)
}

/// Why a request is refused whatever the wallets, tickers and transactions are.
pub(crate) fn refusal_by_itself(command: &Command) -> Option<ErrorCode> {
    let group = [Group::One(command.clone())];
    let applied = apply(&mut State::default(), SystemTime::UNIX_EPOCH, &group).unwrap();
    // When nothing is known, this is what a sound request is refused for.
    let nothing_known = [ErrorCode::UnknownWallet, ErrorCode::UnknownTransaction];
    applied.outcomes[0].refusal().filter(|code| !nothing_known.contains(code))
}

/// Wallets 1 to 3, two tickers, and what was done so far.
pub(crate) struct World {
    state: State,
    now: SystemTime,
    /// All changes, in place of the store: for the pages of a history.
    changes: Vec<Change>,
}

impl World {
    pub(crate) fn new() -> Self {
        let ticker =
            |(id, name, places)| Ticker { id, name: Arc::from(name), scale: Scale::new(places).unwrap() };
        let tickers: Tickers = [(1, "USD", 2), (2, "JPY", 0)].map(ticker).into_iter().collect();
        let wallets = (1..=3).map(|wallet_id| (wallet_id, BTreeMap::new())).collect();
        let state = State { tickers: Arc::new(tickers), wallets, ..State::default() };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_769_847_330);
        Self { state, now, changes: Vec::new() }
    }

    pub(crate) fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// The reply to a request, and the events.
    pub(crate) fn ask(&mut self, operation: &str, message_id: &str, body: &str) -> (Reply, Vec<Event>) {
        match decode(operation, Some(message_id), body) {
            Err(refusal) => (Reply::refused(operation, &refusal), vec![]),
            Ok(Decoded::One(command)) => {
                let (outcomes, events) = self.apply(&[Group::One(command.clone())]);
                (Reply::to_command(&command, &outcomes[0]), events)
            }
            Ok(Decoded::Batch(batch)) => self.ask_batch(batch),
        }
    }

    /// As the service does: an atomic batch with an operation that cannot be read is not tried.
    fn ask_batch(&mut self, batch: Batch) -> (Reply, Vec<Event>) {
        let is_refused = batch.is_refused();
        let commands = batch.items.iter().filter_map(|item| item.command.clone().ok());
        let groups: Vec<Group> = match batch.atomic {
            _ if is_refused => vec![],
            true => vec![Group::AllOrNone(commands.collect())],
            false => commands.map(Group::One).collect(),
        };
        let (outcomes, events) = self.apply(&groups);
        let mut outcomes = outcomes.into_iter();
        let answered = batch.items.into_iter().map(|item| {
            let result = item.command.map(|command| (command, outcomes.next()));
            Answered { operation: item.operation, result }
        });
        let answered: Vec<Answered> = answered.collect();
        let reply = BatchReply::new(batch.atomic, &answered).reply;
        assert_eq!(reply.operation, BATCH);
        (reply, events)
    }

    fn apply(&mut self, groups: &[Group]) -> (Vec<Outcome>, Vec<Event>) {
        for query in groups.iter().flat_map(Group::commands).filter_map(Command::queried_page) {
            self.state.pages.insert(query.clone(), query.extend(Page::default(), &self.changes));
        }
        let applied = apply(&mut self.state, self.now, groups).unwrap();
        self.changes.extend(applied.changes.iter().cloned());
        (applied.outcomes, applied.changes.iter().map(Event::new).collect())
    }
}

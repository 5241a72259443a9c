//! From a request to groups of commands, and from their outcomes to what happens to the request.
//!
//! A message carries one command or many. The engine executes a flat list of groups; a [`Form`] knows how the
//! outcomes of one message's groups make up its answer.

use std::borrow::Cow;

use florin_broker::{Completion, Rejection};
use florin_ledger::{Command, Group, Outcome};
use florin_wire::{Answered, Batch, Decoded, Item};

/// How a message is answered when its groups are executed.
#[allow(
    clippy::large_enum_variant,
    reason = "the large one is what nearly all are: a box for each would cost more"
)]
#[derive(Debug)]
pub(crate) enum Form {
    /// One command.
    One,
    /// Many commands, each a group of its own.
    Each(Vec<Slot>),
    /// Many commands that are one group; these are their operations.
    Whole(Vec<Cow<'static, str>>),
    /// Nothing to execute.
    Known(Completion),
}

/// A place in a batch.
#[allow(
    clippy::large_enum_variant,
    reason = "the large one is what nearly all are: a box for each would cost more"
)]
#[derive(Debug)]
pub(crate) enum Slot {
    /// The next command; this is its operation, as the client wrote it.
    Next(Cow<'static, str>),
    /// Refused before the rules see it.
    Refused(Answered),
}

impl Form {
    /// Moves the commands of a request into `groups`.
    pub(crate) fn take_groups(request: Result<Decoded, Rejection>, groups: &mut Vec<Group>) -> Self {
        match request {
            Err(rejection) => Self::Known(Completion::Rejected(rejection)),
            Ok(Decoded::One(command)) => {
                groups.push(Group::One(command));
                Self::One
            }
            Ok(Decoded::Batch(batch)) if batch.is_refused() => {
                let items = batch.items.into_iter().map(not_executed).collect();
                Self::Known(Completion::Batch { atomic: true, items })
            }
            Ok(Decoded::Batch(Batch { atomic: true, items })) => Self::whole(items, groups),
            Ok(Decoded::Batch(Batch { atomic: false, items })) => {
                Self::Each(items.into_iter().map(|item| Slot::take_group(item, groups)).collect())
            }
        }
    }

    fn whole(items: Vec<Item>, groups: &mut Vec<Group>) -> Self {
        let (names, commands) =
            items.into_iter().filter_map(|item| Some((item.operation, item.command.ok()?))).unzip();
        groups.push(Group::AllOrNone(commands));
        Self::Whole(names)
    }

    /// How many groups of this message are executed.
    pub(crate) fn groups(&self) -> usize {
        match self {
            Self::One | Self::Whole(_) => 1,
            Self::Each(slots) => slots.iter().filter(|slot| matches!(slot, Slot::Next(_))).count(),
            Self::Known(_) => 0,
        }
    }

    /// What happens to the request. The outcomes of its commands come next in `decided`.
    pub(crate) fn completion(self, decided: &mut impl Iterator<Item = (Command, Outcome)>) -> Completion {
        let mut next = || decided.next().expect("every command has an outcome");
        let mut answered = |operation| {
            let (command, outcome) = next();
            Answered { operation, result: Ok((command, Some(outcome))) }
        };
        match self {
            Self::Known(completion) => completion,
            Self::One => {
                let (command, outcome) = next();
                Completion::Decided(command, outcome)
            }
            Self::Whole(names) => {
                Completion::Batch { atomic: true, items: names.into_iter().map(answered).collect() }
            }
            Self::Each(slots) => {
                let items = slots.into_iter().map(|slot| match slot {
                    Slot::Next(operation) => answered(operation),
                    Slot::Refused(answered) => answered,
                });
                Completion::Batch { atomic: false, items: items.collect() }
            }
        }
    }
}

impl Slot {
    fn take_group(item: Item, groups: &mut Vec<Group>) -> Self {
        match item.command {
            Ok(command) => {
                groups.push(Group::One(command));
                Self::Next(item.operation)
            }
            Err(refusal) => Self::Refused(Answered { operation: item.operation, result: Err(refusal) }),
        }
    }
}

/// One malformed command is enough to refuse an atomic batch as a whole.
fn not_executed(item: Item) -> Answered {
    Answered { operation: item.operation, result: item.command.map(|command| (command, None)) }
}

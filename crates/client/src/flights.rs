//! Messages on their way, and who waits for their answers.

use std::collections::HashMap;

use crate::queue::Waiting;

/// Messages on their way, by correlation id.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    by_correlation_id: HashMap<u64, Flight>,
    /// How many of them hold room.
    holding_room: usize,
}

#[derive(Debug)]
struct Flight {
    /// In the order of their calls. None is one who turned away.
    callers: Vec<Option<Waiting>>,
    holds_room: bool,
}

impl Flights {
    /// How many messages hold room.
    pub(crate) const fn holding_room(&self) -> usize {
        self.holding_room
    }

    pub(crate) fn insert(&mut self, correlation_id: u64, callers: Vec<Waiting>, holds_room: bool) {
        self.holding_room += usize::from(holds_room);
        let callers = callers.into_iter().map(Some).collect();
        self.by_correlation_id.insert(correlation_id, Flight { callers, holds_room });
    }

    /// The callers of a message, in the order of their calls. None is one who turned away.
    pub(crate) fn remove(&mut self, correlation_id: u64) -> Option<Vec<Option<Waiting>>> {
        let flight = self.by_correlation_id.remove(&correlation_id)?;
        self.holding_room -= usize::from(flight.holds_room);
        Some(flight.callers)
    }

    /// Gives the places of those back who turned away, and forgets messages that nobody waits for any more: those
    /// hold no room. No caller waits for ever, so a message that is never answered does not hold it for ever.
    pub(crate) fn sweep(&mut self) {
        let holding_room = &mut self.holding_room;
        self.by_correlation_id.retain(|_, flight| {
            for caller in &mut flight.callers {
                drop(caller.take_if(|waiting| waiting.is_gone()));
            }
            let waited_for = flight.callers.iter().any(Option::is_some);
            *holding_room -= usize::from(flight.holds_room && !waited_for);
            waited_for
        });
    }

    /// All who wait.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Waiting> {
        self.holding_room = 0;
        self.by_correlation_id.drain().flat_map(|(_, flight)| flight.callers).flatten()
    }
}

//! Messages in flight, and the callers who wait for their answers.

use std::collections::HashMap;

use crate::queue::Waiting;

/// Messages in flight, by correlation id.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    by_correlation_id: HashMap<u64, Flight>,
    /// How many of them count toward
    /// [`Coalescing::messages_in_flight`](crate::Coalescing::messages_in_flight).
    counted: usize,
}

#[derive(Debug)]
struct Flight {
    /// In the order of their calls. None: the caller stopped waiting.
    callers: Vec<Option<Waiting>>,
    is_counted: bool,
}

impl Flights {
    /// How many messages calls have to wait for, when coalescing.
    pub(crate) const fn counted(&self) -> usize {
        self.counted
    }

    pub(crate) fn insert(&mut self, correlation_id: u64, callers: Vec<Waiting>, is_counted: bool) {
        self.counted += usize::from(is_counted);
        let callers = callers.into_iter().map(Some).collect();
        self.by_correlation_id.insert(correlation_id, Flight { callers, is_counted });
    }

    /// Removes a message and returns its callers, in the order of their calls. None: the caller stopped
    /// waiting.
    pub(crate) fn remove(&mut self, correlation_id: u64) -> Option<Vec<Option<Waiting>>> {
        let flight = self.by_correlation_id.remove(&correlation_id)?;
        self.counted -= usize::from(flight.is_counted);
        Some(flight.callers)
    }

    /// Releases the places of callers who stopped waiting, and drops messages without any caller. Every
    /// caller has a time limit, so a message that is never answered does not stay for ever.
    pub(crate) fn sweep(&mut self) {
        let counted = &mut self.counted;
        self.by_correlation_id.retain(|_, flight| {
            for caller in &mut flight.callers {
                drop(caller.take_if(|waiting| waiting.gave_up()));
            }
            let waited_for = flight.callers.iter().any(Option::is_some);
            *counted -= usize::from(flight.is_counted && !waited_for);
            waited_for
        });
    }

    /// Removes all messages and returns their callers.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Waiting> {
        self.counted = 0;
        self.by_correlation_id.drain().flat_map(|(_, flight)| flight.callers).flatten()
    }
}

//! Requests waiting to be executed, and when they make a batch.
//!
//! The first request starts a batch, and all that are ready join it: there is no timer. While earlier
//! requests are not acked yet, a batch waits until it has as many requests as they are; it would have to
//! wait for their acks after the commit anyway. So under load a batch grows to half of the requests in the
//! service, because a commit and a confirm cost much the same whatever their size; and an idle service
//! executes a request at once.

use florin_broker::Job;
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;

/// The limits of a batch.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// No further request joins once it has this many commands.
    pub commands: usize,
    /// No further request joins once it has this many bytes.
    pub bytes: usize,
}

/// Where the engine takes its requests from.
#[derive(Debug)]
pub struct Inbox<T> {
    jobs: Receiver<Job<T>>,
    /// How many requests were acked, in all.
    acked: watch::Receiver<u64>,
    limits: BatchLimits,
    /// How many requests were taken, in all.
    taken: u64,
    /// The next batch, as far as it is gathered.
    next: Vec<Job<T>>,
    commands: usize,
    bytes: usize,
}

impl<T> Inbox<T> {
    /// Requests come through `jobs`; `acked` says how many of them have been acked by now.
    #[must_use]
    pub const fn new(jobs: Receiver<Job<T>>, acked: watch::Receiver<u64>, limits: BatchLimits) -> Self {
        Self { jobs, acked, limits, taken: 0, next: Vec::new(), commands: 0, bytes: 0 }
    }

    /// The next batch; none when no request is left and none will come.
    pub(super) async fn next_batch(&mut self) -> Option<Vec<Job<T>>> {
        loop {
            self.take_ready();
            if self.is_full() || self.is_worth_a_commit() {
                return Some(self.take());
            }
            let goes_on = tokio::select! {
                job = self.jobs.recv() => job.map(|job| self.add(job)).is_some(),
                changed = self.acked.changed(), if !self.next.is_empty() => changed.is_ok(),
            };
            if !goes_on {
                return (!self.next.is_empty()).then(|| self.take());
            }
        }
    }

    /// The next batch if it cannot grow any more: then there is nothing to wait for.
    pub(super) fn full_batch(&mut self) -> Option<Vec<Job<T>>> {
        self.take_ready();
        self.is_full().then(|| self.take())
    }

    fn take_ready(&mut self) {
        while !self.is_full()
            && let Ok(job) = self.jobs.try_recv()
        {
            self.add(job);
        }
    }

    fn add(&mut self, job: Job<T>) {
        self.commands += job.commands();
        self.bytes += job.size_bytes;
        self.next.push(job);
    }

    const fn is_full(&self) -> bool {
        self.commands >= self.limits.commands || self.bytes >= self.limits.bytes
    }

    fn is_worth_a_commit(&mut self) -> bool {
        let unacked = self.taken - *self.acked.borrow_and_update();
        !self.next.is_empty() && self.next.len() as u64 >= unacked
    }

    fn take(&mut self) -> Vec<Job<T>> {
        (self.commands, self.bytes) = (0, 0);
        self.taken += self.next.len() as u64;
        std::mem::take(&mut self.next)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures_util::FutureExt;
    use tokio::sync::mpsc::{self, Sender};

    use florin_broker::Rejection;
    use florin_ledger::Command;
    use florin_wire::Decoded;

    use super::*;

    const LIMITS: BatchLimits = BatchLimits { commands: 4, bytes: 1000 };

    /// An inbox, where its requests come from, and where they are acked.
    fn inbox() -> (Inbox<u32>, Sender<Job<u32>>, watch::Sender<u64>) {
        let (jobs_in, jobs_out) = mpsc::channel(100);
        let (acked_in, acked_out) = watch::channel(0);
        (Inbox::new(jobs_out, acked_out, LIMITS), jobs_in, acked_in)
    }

    /// A request of one command.
    fn send(jobs: &Sender<Job<u32>>, tickets: impl IntoIterator<Item = u32>) {
        for ticket in tickets {
            let command = Command::Transaction { transaction_id: uuid::Uuid::nil() };
            let job = Job {
                request: Ok(Decoded::One(command)),
                received_at: Instant::now(),
                size_bytes: 10,
                ticket,
            };
            jobs.try_send(job).unwrap();
        }
    }

    /// The tickets of the next batch; none while it is waited for.
    fn next(inbox: &mut Inbox<u32>) -> Option<Vec<u32>> {
        let batch = inbox.next_batch().now_or_never()?;
        Some(batch.unwrap_or_default().into_iter().map(|job| job.ticket).collect())
    }

    #[test]
    fn an_idle_service_executes_a_request_at_once() {
        let (mut inbox, jobs, acked) = inbox();
        assert_eq!(next(&mut inbox), None);
        send(&jobs, [1]);
        assert_eq!(next(&mut inbox), Some(vec![1]));
        acked.send_replace(1);
        send(&jobs, [2, 3]);
        assert_eq!(next(&mut inbox), Some(vec![2, 3]));
    }

    #[test]
    fn a_batch_grows_to_what_is_not_acked() {
        let (mut inbox, jobs, acked) = inbox();
        send(&jobs, [1, 2, 3]);
        assert_eq!(next(&mut inbox), Some(vec![1, 2, 3]));
        send(&jobs, [4, 5]);
        assert_eq!(next(&mut inbox), None);
        send(&jobs, [6]);
        assert_eq!(next(&mut inbox), Some(vec![4, 5, 6]));
        send(&jobs, [7, 8]);
        acked.send_replace(3);
        assert_eq!(next(&mut inbox), None);
        acked.send_replace(4);
        assert_eq!(next(&mut inbox), Some(vec![7, 8]));
    }

    #[tokio::test]
    async fn an_ack_wakes_the_inbox() {
        let (mut inbox, jobs, acked) = inbox();
        send(&jobs, [1, 2]);
        assert_eq!(next(&mut inbox), Some(vec![1, 2]));
        send(&jobs, [3]);
        let (batch, ()) = tokio::join!(inbox.next_batch(), async {
            tokio::task::yield_now().await;
            acked.send_replace(2);
        });
        assert_eq!(batch.unwrap().len(), 1);
    }

    #[test]
    fn a_full_batch_does_not_wait() {
        let (mut inbox, jobs, _acked) = inbox();
        send(&jobs, 1..=7);
        assert_eq!(next(&mut inbox), Some(vec![1, 2, 3, 4]));
        assert!(inbox.full_batch().is_none(), "three are no full batch");
        send(&jobs, [8, 9]);
        let full = inbox.full_batch().unwrap();
        assert_eq!(full.iter().map(|job| job.ticket).collect::<Vec<_>>(), [5, 6, 7, 8]);
    }

    #[test]
    fn a_batch_is_full_by_its_bytes_as_well() {
        let (mut inbox, jobs, _acked) = inbox();
        send(&jobs, [1, 2]);
        assert_eq!(next(&mut inbox), Some(vec![1, 2]));
        let refusal =
            florin_wire::Refusal { code: florin_ledger::ErrorCode::TooLarge, reason: String::new() };
        let request = Err(Rejection::Refused(refusal));
        jobs.try_send(Job { request, received_at: Instant::now(), size_bytes: 1000, ticket: 3 }).unwrap();
        assert_eq!(next(&mut inbox), Some(vec![3]));
    }

    #[test]
    fn at_the_end_the_rest_comes() {
        let (mut inbox, jobs, acked) = inbox();
        send(&jobs, [1, 2]);
        assert_eq!(next(&mut inbox), Some(vec![1, 2]));
        send(&jobs, [3]);
        drop(jobs);
        assert_eq!(next(&mut inbox), Some(vec![3]));
        assert_eq!(next(&mut inbox), Some(vec![]));
        drop(acked);
    }
}

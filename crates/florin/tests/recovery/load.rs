//! A load of clients that insist: each call is sent again under its identity until it is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use florin_client::{CallOptions, Client, ClientOptions};
use florin_ledger::{Decimal, Scale};
use florin_wire::{MovementBody, Request};
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::common::World;

/// What the clients were answered.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub answers: u64,
    pub invoiced_cents: i128,
    pub withdrawn_cents: i128,
}

/// Concurrent clients that invoice and withdraw.
pub(crate) struct Load {
    stop: Arc<watch::Sender<bool>>,
    clients: JoinSet<Tally>,
    answered: watch::Receiver<u64>,
}

impl Load {
    /// `callers` at a time, on wallets 1 to `wallets`.
    pub(crate) async fn start(world: &World, callers: u64, wallets: u64) -> Self {
        let options = ClientOptions {
            timeout: Duration::from_secs(120),
            attempt_timeout: Duration::from_secs(3),
            ..ClientOptions::default()
        };
        let client = Client::connect(&world.amqp_url, options).await.unwrap();
        let stop = Arc::new(watch::channel(false).0);
        let (count, answered) = watch::channel(0);
        let count = Arc::new(count);
        let turns = Arc::new(AtomicU64::new(0));
        let mut clients = JoinSet::new();
        for _ in 0..callers {
            let caller = Caller { client: client.clone(), turns: Arc::clone(&turns), wallets };
            clients.spawn(caller.run(stop.subscribe(), Arc::clone(&count)));
        }
        Self { stop, clients, answered }
    }

    /// How many calls were answered by now.
    pub(crate) fn answered(&self) -> u64 {
        *self.answered.borrow()
    }

    /// Waits until so many more calls are answered.
    pub(crate) async fn answers(&mut self, more: u64) {
        let target = self.answered() + more;
        let reached = self.answered.wait_for(|answered| *answered >= target);
        tokio::time::timeout(Duration::from_secs(90), reached).await.expect("answers in time").unwrap();
    }

    /// Lets every call be answered, makes no new ones, and compares the answers with the tables.
    pub(crate) async fn finish(self, world: &World) -> Tally {
        self.stop.send_replace(true);
        let mut all = Tally::default();
        for tally in self.clients.join_all().await {
            all.answers += tally.answers;
            all.invoiced_cents += tally.invoiced_cents;
            all.withdrawn_cents += tally.withdrawn_cents;
        }
        let ledger = world.ledger().await;
        ledger.assert_sound().await;
        let transactions = ledger.number("SELECT count(*) FROM transactions").await;
        assert_eq!(transactions, i64::try_from(all.answers).unwrap(), "one transaction for each answer");
        let cents = ledger.number("SELECT (sum(actual) * 100)::bigint FROM balances").await;
        assert_eq!(
            i128::from(cents),
            all.invoiced_cents - all.withdrawn_cents,
            "what was answered is what is there"
        );
        all
    }
}

struct Caller {
    client: Client,
    turns: Arc<AtomicU64>,
    wallets: u64,
}

impl Caller {
    async fn run(self, stop: watch::Receiver<bool>, count: Arc<watch::Sender<u64>>) -> Tally {
        let mut tally = Tally::default();
        while !*stop.borrow() {
            let turn = self.turns.fetch_add(1, Ordering::Relaxed);
            let cents = i128::from(1 + turn % 500);
            let amount = Decimal::from_minor(cents, Scale::new(2).unwrap());
            let wallet_id = i64::try_from(1 + turn % self.wallets).unwrap();
            let body = MovementBody::new(wallet_id, "USD", amount);
            let credit = turn.is_multiple_of(2);
            let request = if credit { Request::Invoice(body) } else { Request::Withdraw(body) };
            let options =
                CallOptions { message_id: Some(Uuid::now_v7().to_string()), ..CallOptions::default() };
            let reply = self.client.call(&request, options).await.expect("an answer in the end").reply;
            match (credit, reply.code) {
                (true, 200) => tally.invoiced_cents += cents,
                (false, 200) => tally.withdrawn_cents += cents,
                _ => assert_eq!(reply.error.as_deref(), Some("insufficient_funds"), "{reply:?}"),
            }
            tally.answers += 1;
            count.send_modify(|answered| *answered += 1);
        }
        tally
    }
}

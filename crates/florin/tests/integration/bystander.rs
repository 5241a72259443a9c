//! What one client sends costs the others next to nothing: a bystander's calls are answered, with and without
//! poison.
//!
//! The numbers are printed and not demanded, for the machine is shared (`cargo test bystander --
//! --nocapture`).

use std::time::{Duration, Instant};

use florin_client::{CallOptions, Client};
use florin_ledger::{Decimal, Scale};
use florin_wire::{BalanceQueryBody, MovementBody, Request};
use futures_util::future::join_all;

use crate::common::{RawAmqp, RawProperties, SeedClient, Service, World, nested_headers, unknown_node};
use crate::dead::{DEAD, READ, await_ready, list};

/// Poison: four a second.
const EVERY: Duration = Duration::from_millis(250);
/// Poison flows for so long, and none does for as long, in turn, so that whatever else the machine does
/// weighs on both.
const PHASE: Duration = Duration::from_millis(500);
const PHASES: usize = 4;
const CALLERS: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Poison {
    /// A direct reply address that RabbitMQ never issued.
    BadAddress,
    /// One of a node that is not of the cluster: RabbitMQ 3.10 closes the connection over it.
    UnknownNode,
    /// One of the right form, of a client that is gone.
    GoneClient,
    BinaryCorrelationId,
    UnreadableHeaders,
    /// Many arrays in one another, and a reply address that is not allowed.
    DeepHeaders,
}

const ALL: [Poison; 6] = [
    Poison::BadAddress,
    Poison::UnknownNode,
    Poison::GoneClient,
    Poison::BinaryCorrelationId,
    Poison::UnreadableHeaders,
    Poison::DeepHeaders,
];

struct Poisoner {
    raw: RawAmqp,
    gone_client: String,
    sent: u32,
    /// Of those, how many get no answer.
    dead: u32,
}

impl Poisoner {
    async fn send(&mut self, poison: Poison) {
        self.sent += 1;
        self.dead += u32::from(poison != Poison::GoneClient);
        let unknown_node = unknown_node(self.sent);
        let deep = nested_headers(20_000);
        let plain = RawProperties { correlation_id: b"c", ..RawProperties::default() };
        let properties = match poison {
            Poison::BadAddress => RawProperties { reply_to: b"amq.rabbitmq.reply-to.a.b", ..plain },
            Poison::UnknownNode => RawProperties { reply_to: unknown_node.as_bytes(), ..plain },
            Poison::GoneClient => RawProperties { reply_to: self.gone_client.as_bytes(), ..plain },
            Poison::BinaryCorrelationId => RawProperties { correlation_id: b"\xff\xfe", ..plain },
            Poison::UnreadableHeaders => RawProperties { headers: b"\x01\xffV", ..plain },
            Poison::DeepHeaders => RawProperties { headers: &deep, reply_to: b"florin.work", ..plain },
        };
        self.raw.publish("florin.requests", "balance", &properties, READ).await;
    }
}

/// The address of a client that has hung up.
async fn gone_client(world: &World) -> String {
    let client = SeedClient::connect(&world.amqp_url).await;
    client.direct_address().await
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    answers: u32,
    longest: Duration,
}

/// One of several callers: balances and invoices in turn, until the time is over. Every call is answered.
async fn call(client: &Client, until: Instant) -> Seen {
    let mut seen = Seen::default();
    while Instant::now() < until {
        let amount = Decimal::from_minor(1, Scale::new(2).unwrap());
        let request = match seen.answers % 2 {
            0 => Request::Balance(BalanceQueryBody::new(2)),
            _ => Request::Invoice(MovementBody::new(2, "USD", amount)),
        };
        let started = Instant::now();
        let answer = client.call(&request, CallOptions::default()).await.expect("an answer");
        assert_eq!(answer.reply.code, 200);
        seen.longest = seen.longest.max(started.elapsed());
        seen.answers += 1;
    }
    seen
}

impl Seen {
    fn add(self, other: Self) -> Self {
        Self { answers: self.answers + other.answers, longest: self.longest.max(other.longest) }
    }
}

async fn bystander(client: &Client) -> Seen {
    let until = Instant::now() + PHASE;
    let callers = join_all((0..CALLERS).map(|_| call(client, until))).await;
    callers.into_iter().fold(Seen::default(), Seen::add)
}

async fn poisoned(poisoner: &mut Poisoner, poisons: &[Poison], client: &Client) -> Seen {
    let flowing = async {
        let mut due = tokio::time::interval(EVERY);
        loop {
            due.tick().await;
            let poison = poisons[poisoner.sent as usize % poisons.len()];
            poisoner.send(poison).await;
        }
    };
    tokio::select! {
        seen = bystander(client) => seen,
        () = flowing => unreachable!("it never ends"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_costs_a_bystander_next_to_nothing() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let gone_client = gone_client(&world).await;
    let raw = RawAmqp::connect(&world.amqp_url).await;
    let mut poisoner = Poisoner { raw, gone_client, sent: 0, dead: 0 };
    let client = world.client().await;
    bystander(&client).await;
    for poisons in ALL.iter().map(std::slice::from_ref).chain([&ALL[..]]) {
        let (mut without, mut with) = (Seen::default(), Seen::default());
        for _ in 0..PHASES {
            without = without.add(bystander(&client).await);
            with = with.add(poisoned(&mut poisoner, poisons, &client).await);
        }
        println!(
            "{poisons:?}: {:.0} % of the answers ({} of {}), the longest wait {} ms ({} ms without)",
            100.0 * f64::from(with.answers) / f64::from(without.answers),
            with.answers,
            without.answers,
            with.longest.as_millis(),
            without.longest.as_millis(),
        );
    }
    let watch = SeedClient::connect(&world.amqp_url).await;
    await_ready(&watch, DEAD, poisoner.dead).await;
    let mut errors: Vec<_> = list(&world).await.into_iter().map(|letter| letter["error"].clone()).collect();
    errors.sort_by_key(ToString::to_string);
    errors.dedup();
    assert_eq!(errors, ["reply_to_not_allowed", "reply_to_refused", "undecodable"]);
    service.metric("florin_broker_reconnects_total{connection=\"consumer\"} 0").await;
    service.metric("florin_broker_reconnects_total{connection=\"publisher\"} 0").await;
    service.metric("florin_in_flight_requests 0").await;
}

//! Two writers on one database: transfers within each writer's own wallets, of which some cross to the other's.
//!
//! ```text
//! florin dev --ready-file ready.json   # prints the address of its database
//! cargo run --release -p florin-store --example two_writers -- DATABASE_URL SECONDS TRANSFERS_PER_BATCH CROSSING_PERCENT
//! ```
//!
//! Prints what each writer committed per second, and the longest time that each waited for a commit: a writer
//! that starves shows there. Both retry at once, as instances of the service do after a conflict.

use std::error::Error;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use florin_ledger::{Command, Group, Identity, Movement, OnExisting};
use florin_store::{Executed, Planner, Store, execute};
use uuid::Uuid;

const WALLETS_EACH: i64 = 1000;
const FUNDS: &str = "1000000000000";

struct Writer {
    number: i64,
    planner: Planner,
    store: Store,
    transfers: usize,
    crossing_percent: i64,
    random: i64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, seconds, transfers, crossing] = &arguments[..] else {
        return Err("usage: two_writers DATABASE_URL SECONDS TRANSFERS_PER_BATCH CROSSING_PERCENT".into());
    };
    let duration = Duration::from_secs(seconds.parse()?);
    let mut writers = Vec::new();
    for number in 0..2 {
        let store = Store::new(url, 2)?;
        let cached_wallets = NonZeroUsize::new(100_000).ok_or("no wallets")?;
        let planner = Planner::new(store.clone(), cached_wallets, false);
        let (transfers, crossing_percent) = (transfers.parse()?, crossing.parse()?);
        let random = number + 1;
        writers.push(Writer { number, planner, store, transfers, crossing_percent, random });
    }
    for writer in &mut writers {
        writer.fund().await?;
    }
    let end = Instant::now() + duration;
    let runs = writers.into_iter().map(|writer| tokio::spawn(writer.run(end)));
    for run in runs.collect::<Vec<_>>() {
        println!("{}", run.await??);
    }
    Ok(())
}

impl Writer {
    async fn fund(&mut self) -> Result<(), florin_store::Error> {
        let wallet_ids = self.first_wallet()..self.first_wallet() + WALLETS_EACH;
        self.store.create_wallets(wallet_ids.start..=wallet_ids.end - 1).await?;
        let invoice = |wallet_id| Group::One(Command::Invoice(movement(wallet_id, FUNDS)));
        let mut groups: Vec<Group> = wallet_ids.map(invoice).collect();
        execute(&mut self.planner, &mut groups).await?;
        self.planner.end_batch();
        Ok(())
    }

    async fn run(mut self, end: Instant) -> Result<String, florin_store::Error> {
        let (mut committed, mut longest) = (0, Duration::ZERO);
        let (started, mut last) = (Instant::now(), Instant::now());
        let mut next = None;
        while Instant::now() < end {
            let (mut groups, plan) = next.take().unwrap_or_else(|| (self.batch(), None));
            let mut executed;
            (executed, next) = self.commit_and_plan_ahead(&mut groups, plan).await;
            loop {
                match executed {
                    Ok(_) => break,
                    Err(florin_store::Error::Conflict | florin_store::Error::Contended) => {}
                    Err(error) => return Err(error),
                }
                executed = execute(&mut self.planner, &mut groups).await;
            }
            self.planner.end_batch();
            committed += groups.len();
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        let per_second = committed as u128 * 1000 / started.elapsed().as_millis().max(1);
        let (number, conflicts) = (self.number, self.planner.conflicts());
        Ok(format!(
            "writer {number}: {per_second} transfers a second, longest wait {longest:?}, {conflicts} conflicts"
        ))
    }

    async fn commit_and_plan_ahead(
        &mut self,
        groups: &mut [Group],
        plan: Option<florin_store::Plan>,
    ) -> (Result<Executed, florin_store::Error>, Option<(Vec<Group>, Option<florin_store::Plan>)>) {
        let plan = match plan {
            Some(plan) => plan,
            None => match self.planner.plan(groups).await {
                Ok(plan) => plan,
                Err(error) => return (Err(error), None),
            },
        };
        let store = self.store.clone();
        let plan_ahead = async {
            tokio::task::yield_now().await;
            let mut next = self.batch();
            let plan = self.planner.plan_from_cache(&mut next);
            (next, plan)
        };
        let (committed, (next, next_plan)) = tokio::join!(store.commit(&plan), plan_ahead);
        match committed {
            Ok(()) => (Ok(self.planner.committed(plan)), Some((next, next_plan))),
            Err(error) => {
                self.planner.void(&plan, &error);
                if let Some(void) = &next_plan {
                    self.planner.void_ahead(void);
                }
                (Err(error), Some((next, None)))
            }
        }
    }

    fn batch(&mut self) -> Vec<Group> {
        (0..self.transfers)
            .map(|_| {
                let from = self.first_wallet() + self.below(WALLETS_EACH - 1);
                let crosses = self.below(100) < self.crossing_percent;
                let to = if crosses { (1 - self.number) * WALLETS_EACH + 1 } else { self.first_wallet() }
                    + self.below(WALLETS_EACH);
                let to_wallet_id = if to == from { from + 1 } else { to };
                Group::One(Command::Transfer { movement: movement(from, "1"), to_wallet_id })
            })
            .collect()
    }

    const fn first_wallet(&self) -> i64 {
        self.number * WALLETS_EACH + 1
    }

    /// A linear congruential generator: which wallets it names does not matter.
    const fn below(&mut self, limit: i64) -> i64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33).rem_euclid(limit)
    }
}

fn movement(wallet_id: i64, amount: &str) -> Movement {
    let transaction_id = Uuid::now_v7();
    let identity = Identity {
        transaction_id,
        request_hash: *transaction_id.as_bytes(),
        redelivered: false,
        on_existing: OnExisting::Replay,
    };
    Movement {
        identity,
        wallet_id,
        ticker: "USD".to_owned(),
        amount: amount.parse().expect("an amount"),
        pending: None,
        metadata: None,
        requested_by: None,
    }
}

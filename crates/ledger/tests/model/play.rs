//! Turns plans into commands, and lets the model answer them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use florin_ledger::{
    Answer, BalanceQuery, Command, Cursor, Decimal, Group, HistoryQuery, Movement, Operation, Outcome,
    Repeated, Resolve, TickerId, Tickers, WalletId,
};
use uuid::Uuid;

use super::naive::{Balance, Model};
use super::plan::{GroupPlan, Id, RoundPlan, Step};
use super::request::{identity, sealed};

/// Where a plan is played.
#[derive(Debug, Clone)]
pub(crate) struct World {
    /// Two of them count.
    pub(crate) tickers: Arc<Tickers>,
    /// Three that exist, and one that does not.
    pub(crate) wallets: [WalletId; 4],
    /// The first half of every identity.
    pub(crate) identities: u64,
    /// Where the clock starts.
    pub(crate) start: SystemTime,
}

impl World {
    /// The wallets that exist.
    pub(crate) fn existing(&self) -> Vec<WalletId> {
        self.wallets[..3].to_vec()
    }
}

/// What is asked for at one time, and what the model makes of it.
#[derive(Debug, Clone)]
pub(crate) struct Round {
    pub(crate) now: SystemTime,
    pub(crate) groups: Vec<Group>,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) repeated: Vec<Repeated>,
    /// All balances afterwards.
    pub(crate) balances: BTreeMap<(WalletId, TickerId), Balance>,
}

/// Plays a plan round by round.
pub(crate) struct Player {
    world: World,
    model: Model,
    now: SystemTime,
    identities: u64,
    made: Vec<Command>,
    /// Those that were to wait.
    waiting: Vec<Uuid>,
    /// The `next` of all pages so far.
    nexts: Vec<Cursor>,
}

impl Player {
    pub(crate) fn new(world: World) -> Self {
        let model = Model::new(Arc::clone(&world.tickers), world.existing());
        let now = world.start;
        Self { world, model, now, identities: 0, made: Vec::new(), waiting: Vec::new(), nexts: Vec::new() }
    }

    pub(crate) fn round(&mut self, plan: &RoundPlan) -> Round {
        self.now = moved(self.now, plan.clock);
        self.model.repeated.clear();
        let (mut groups, mut outcomes) = (Vec::new(), Vec::new());
        for plan in &plan.groups {
            let group = match plan {
                GroupPlan::One(step) => Group::One(self.make(step)),
                GroupPlan::AllOrNone(steps) => {
                    Group::AllOrNone(steps.iter().map(|step| self.make(step)).collect())
                }
            };
            let answers = self.model.run(self.now, &group);
            self.nexts.extend(answers.iter().filter_map(|outcome| match &outcome.answer {
                Answer::History(page) => page.next,
                _ => None,
            }));
            groups.push(group);
            outcomes.extend(answers);
        }
        let (repeated, balances) = (self.model.repeated.clone(), self.model.balances());
        Round { now: self.now, groups, outcomes, repeated, balances }
    }

    fn make(&mut self, step: &Step) -> Command {
        let command = match step {
            Step::Again(back) => match self.made.iter().rev().nth(*back) {
                Some(earlier) => earlier.clone(),
                None => Command::Transaction { transaction_id: self.id(Id::Unknown) },
            },
            Step::Settle(id, amount) => self.resolve(*id, Resolve::Settle { amount: *amount }),
            Step::Cancel(id) => self.resolve(*id, Resolve::Cancel),
            Step::Expire(id) => self.resolve(*id, Resolve::Expire),
            Step::Transaction(id) => Command::Transaction { transaction_id: self.id(*id) },
            Step::Open { .. } => self.open(step),
            Step::Balance { wallet, ticker, at } => Command::Balance(BalanceQuery {
                wallet_id: self.world.wallets[*wallet],
                ticker: ticker.map(|ticker| self.ticker(ticker)),
                at: at.map(|seconds| moved(self.now, seconds)),
            }),
            Step::History { wallet, ticker, status, from, until, before, limit } => {
                Command::History(HistoryQuery {
                    wallet_id: self.world.wallets[*wallet],
                    ticker: ticker.map(|ticker| self.ticker(ticker)),
                    status: *status,
                    from: from.map(|seconds| moved(self.now, seconds)),
                    until: until.map(|seconds| moved(self.now, seconds)),
                    before: before.and_then(|back| self.nexts.iter().rev().nth(back)).copied(),
                    limit: *limit,
                })
            }
        };
        self.made.push(command.clone());
        command
    }

    fn open(&mut self, step: &Step) -> Command {
        let Step::Open { operation, id, wallet, to, ticker, amount, pending, metadata, redelivered } = step
        else {
            unreachable!("called for those that open")
        };
        let amount: Decimal = *amount;
        let movement = Movement {
            identity: identity(self.id(*id)),
            wallet_id: self.world.wallets[*wallet],
            ticker: self.ticker(*ticker),
            amount,
            pending: *pending,
            metadata: metadata.then(|| "{\"order\": 7}".into()),
            requested_by: redelivered.then(|| "amqp:opener".into()),
        };
        let mut command = sealed(match operation {
            Operation::Invoice => Command::Invoice(movement),
            Operation::Withdraw => Command::Withdraw(movement),
            _ => Command::Transfer { movement, to_wallet_id: self.world.wallets[*to] },
        });
        if let Some(identity) = command.identity_mut() {
            identity.redelivered = *redelivered;
            self.waiting.extend(pending.map(|_| identity.transaction_id));
        }
        command
    }

    fn resolve(&mut self, id: Id, how: Resolve) -> Command {
        let requested_by = (how != Resolve::Cancel).then(|| "key:ender".into());
        Command::Resolve { transaction_id: self.id(id), how, requested_by }
    }

    fn id(&mut self, id: Id) -> Uuid {
        let number = match id {
            Id::New => {
                self.identities += 1;
                self.identities
            }
            Id::Earlier(back) => self.identities.saturating_sub(u64::try_from(back).unwrap()).max(1),
            Id::Waiting(back) => {
                let waiting = &self.waiting[self.waiting.len().saturating_sub(back + 1)..];
                return waiting.first().copied().unwrap_or(Uuid::nil());
            }
            Id::Unknown => u64::MAX,
        };
        Uuid::from_u64_pair(self.world.identities, number)
    }

    fn ticker(&self, number: usize) -> String {
        self.world.tickers.iter().nth(number).map_or("GOLD".to_owned(), |ticker| ticker.name.to_string())
    }
}

fn moved(time: SystemTime, seconds: i64) -> SystemTime {
    let by = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { time - by } else { time + by }
}

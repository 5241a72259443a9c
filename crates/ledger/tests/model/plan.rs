//! Random lists, in words that can be made shorter without losing their sense.

use std::time::Duration;

use florin_ledger::{Decimal, LIMIT, Operation, Pending, Scale, Status};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Rounds of requests.
#[derive(Debug, Clone)]
pub(crate) struct Plan(pub(crate) Vec<RoundPlan>);

/// What is asked for at one time.
#[derive(Debug, Clone)]
pub(crate) struct RoundPlan {
    /// How many seconds the clock goes on before it; or back.
    pub(super) clock: i64,
    pub(super) groups: Vec<GroupPlan>,
}

#[derive(Debug, Clone)]
pub(super) enum GroupPlan {
    One(Step),
    AllOrNone(Vec<Step>),
}

/// A request. Wallets and tickers are numbers in a list that ends before some of them: those do not exist.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Open {
        operation: Operation,
        id: Id,
        wallet: usize,
        to: usize,
        ticker: usize,
        amount: Decimal,
        pending: Option<Pending>,
        metadata: bool,
        redelivered: bool,
    },
    /// The request that was made so many requests ago, once more.
    Again(usize),
    Settle(Id, Option<Decimal>),
    Cancel(Id),
    Expire(Id),
    /// At so many seconds from now.
    Balance {
        wallet: usize,
        ticker: Option<usize>,
        at: Option<i64>,
    },
    Transaction(Id),
    History {
        wallet: usize,
        ticker: Option<usize>,
        status: Option<Status>,
        from: Option<i64>,
        until: Option<i64>,
        /// The `next` of so many pages ago.
        before: Option<usize>,
        limit: u16,
    },
}

/// An identity.
#[derive(Debug, Clone, Copy)]
pub(super) enum Id {
    New,
    /// The one that came up so many before the last.
    Earlier(usize),
    /// The one that waited, or was to wait, so many before the last.
    Waiting(usize),
    Unknown,
}

/// Rounds of 1 to 500 groups. Some plans are about small amounts, and some about the largest that there are.
pub(crate) fn plan() -> impl Strategy<Value = Plan> {
    prop_oneof![4 => vec(round(small), 1..16), 1 => vec(round(large), 1..16)].prop_map(Plan)
}

/// Where a plan takes its amounts from.
type Amounts = fn() -> BoxedStrategy<Decimal>;

fn round(amounts: Amounts) -> impl Strategy<Value = RoundPlan> {
    let clock = prop_oneof![6 => 0_i64..20, 2 => -15_i64..0, 1 => 20_i64..200];
    let groups = prop_oneof![
        6 => vec(group(amounts), 1..6),
        3 => vec(group(amounts), 6..40),
        1 => vec(group(amounts), 100..=500),
    ];
    (clock, groups).prop_map(|(clock, groups)| RoundPlan { clock, groups })
}

fn group(amounts: Amounts) -> impl Strategy<Value = GroupPlan> {
    prop_oneof![
        6 => step(amounts).prop_map(GroupPlan::One),
        1 => vec(step(amounts), 0..6).prop_map(GroupPlan::AllOrNone),
        // Mostly those that only open and end, so that groups often succeed.
        1 => vec(prop_oneof![3 => opening(amounts), 2 => resolution(amounts)], 1..5).prop_map(GroupPlan::AllOrNone),
    ]
}

fn step(amounts: Amounts) -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => opening(amounts),
        7 => resolution(amounts),
        4 => (0_usize..20).prop_map(Step::Again),
        1 => (wallet(), option::weighted(0.3, ticker()), option::weighted(0.5, moment()))
            .prop_map(|(wallet, ticker, at)| Step::Balance { wallet, ticker, at }),
        1 => id().prop_map(Step::Transaction),
        1 => history(),
    ]
}

fn opening(amounts: Amounts) -> impl Strategy<Value = Step> {
    let operation = prop_oneof![
        4 => Just(Operation::Invoice),
        2 => Just(Operation::Withdraw),
        3 => Just(Operation::Transfer),
    ];
    let timeout = option::weighted(0.7, (1_u64..40).prop_map(Duration::from_secs));
    let pending = option::weighted(0.6, timeout.prop_map(|timeout| Pending { timeout }));
    // Mostly two different ones.
    let wallets = prop_oneof![
        12 => (0_usize..3, 1_usize..3).prop_map(|(from, further)| (from, (from + further) % 3)),
        2 => (wallet(), wallet()),
    ];
    let id = prop_oneof![12 => Just(Id::New), 1 => id()];
    (
        operation,
        id,
        (wallets, ticker()),
        amounts(),
        pending,
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(operation, id, ((wallet, to), ticker), amount, pending, metadata, redelivered)| {
            Step::Open { operation, id, wallet, to, ticker, amount, pending, metadata, redelivered }
        })
}

fn resolution(amounts: Amounts) -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (id(), option::weighted(0.7, amounts())).prop_map(|(id, amount)| Step::Settle(id, amount)),
        1 => id().prop_map(Step::Cancel),
        1 => id().prop_map(Step::Expire),
    ]
}

fn history() -> impl Strategy<Value = Step> {
    let times = (option::weighted(0.2, moment()), option::weighted(0.2, moment()));
    let status = option::weighted(0.3, prop::sample::select(Status::ALL.to_vec()));
    let limit = prop_oneof![3 => 1_u16..4, 1 => 4_u16..=1000];
    let before = option::weighted(0.5, 0_usize..4);
    (wallet(), option::weighted(0.2, ticker()), status, times, before, limit).prop_map(
        |(wallet, ticker, status, (from, until), before, limit)| Step::History {
            wallet,
            ticker,
            status,
            from,
            until,
            before,
            limit,
        },
    )
}

/// Three exist.
fn wallet() -> impl Strategy<Value = usize> {
    prop_oneof![30 => 0_usize..3, 1 => Just(3)]
}

/// Two exist.
fn ticker() -> impl Strategy<Value = usize> {
    prop_oneof![40 => Just(0_usize), 20 => Just(1), 1 => Just(2)]
}

/// Mostly a recent one that waits.
fn id() -> impl Strategy<Value = Id> {
    prop_oneof![
        20 => (0_usize..6).prop_map(Id::Waiting),
        15 => (6_usize..30).prop_map(Id::Waiting),
        4 => (0_usize..30).prop_map(Id::Earlier),
        1 => Just(Id::Unknown),
    ]
}

/// Seconds from now.
fn moment() -> impl Strategy<Value = i64> {
    -60_i64..5
}

/// Mostly few and round, so that the same ones come up again.
fn small() -> BoxedStrategy<Decimal> {
    prop_oneof![
        60 => (1_i128..9).prop_map(|units| decimal(units, 0)),
        2 => (-2_i128..=0).prop_map(|units| decimal(units, 2)),
        10 => (1_i128..2000).prop_map(|units| decimal(units, 2)),
        2 => Just(decimal(1, 7)),
        1 => large(),
    ]
    .boxed()
}

/// Parts of the limit that come to just that or to one less, in the units of both tickers.
fn large() -> BoxedStrategy<Decimal> {
    let units = prop::sample::select(vec![1, LIMIT / 4, LIMIT / 4 - 1, LIMIT / 2, LIMIT - 1, LIMIT]);
    (units, prop::sample::select(vec![2, 6])).prop_map(|(units, places)| decimal(units, places)).boxed()
}

fn decimal(units: i128, places: u8) -> Decimal {
    Decimal::from_minor(units, Scale::new(places).unwrap())
}

//! Random lists of commands against a naive model: a map of whole numbers, one command after another.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use florin_ledger::{
    Answer, Command, Decimal, Identity, Movement, OnExisting, Outcome, Posting, Scale, State, Tail, Ticker,
    apply,
};
use proptest::prelude::*;
use uuid::Uuid;

const TICKERS: [(&str, u8); 2] = [("RUB", 2), ("USDT", 6)];
const WALLETS: std::ops::Range<i64> = 1..4;

/// A command in the words of the model.
#[derive(Debug, Clone)]
enum Step {
    Move { id: u8, credit: bool, wallet_id: i64, ticker: usize, cents: i64 },
    Read { wallet_id: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<u8>(), any::<bool>(), 0_i64..5, 0_usize..3, -2_i64..2000)
            .prop_map(|(id, credit, wallet_id, ticker, cents)| Step::Move { id, credit, wallet_id, ticker, cents }),
        1 => (0_i64..5).prop_map(|wallet_id| Step::Read { wallet_id }),
    ]
}

fn command(step: &Step) -> Command {
    match *step {
        Step::Read { wallet_id } => Command::Balance { wallet_id },
        Step::Move { id, credit, wallet_id, ticker, cents } => {
            let request_hash = format!("{credit:<5}{wallet_id}{ticker}{cents:>9}");
            let request_hash = request_hash.into_bytes().try_into().unwrap();
            let identity = Identity {
                transaction_id: Uuid::from_u128(id.into()),
                request_hash,
                on_existing: OnExisting::Replay,
                redelivered: false,
            };
            let ticker = TICKERS.get(ticker).map_or("XXX", |(name, _)| name).to_owned();
            let amount = Decimal::from_minor(cents.into(), Scale::new(2).unwrap());
            let movement = Movement { identity, wallet_id, ticker, amount };
            if credit { Command::Invoice(movement) } else { Command::Withdraw(movement) }
        }
    }
}

/// Balances in cents, as naive as can be: no scales, no chains, no batches.
#[derive(Default)]
struct Model {
    cents: BTreeMap<(i64, &'static str), i64>,
    done: HashMap<u8, (String, String)>,
}

impl Model {
    /// The answer in words: a code, `ok`, or the balances.
    fn run(&mut self, step: &Step) -> String {
        match *step {
            Step::Read { wallet_id } if !WALLETS.contains(&wallet_id) => "unknown_wallet".into(),
            Step::Read { wallet_id } => {
                let own = self.cents.iter().filter(|((wallet, _), _)| *wallet == wallet_id);
                own.map(|((_, ticker), cents)| format!("{ticker}={cents};")).collect()
            }
            Step::Move { cents, .. } if cents <= 0 => "amount_not_positive".into(),
            Step::Move { wallet_id, .. } if !WALLETS.contains(&wallet_id) => "unknown_wallet".into(),
            Step::Move { ticker, .. } if ticker >= TICKERS.len() => "unknown_ticker".into(),
            Step::Move { id, credit, wallet_id, ticker, cents } => {
                let request = format!("{credit} {wallet_id} {ticker} {cents}");
                if let Some((earlier, answer)) = self.done.get(&id) {
                    return if *earlier == request { answer.clone() } else { "identity_reused".into() };
                }
                let key = (wallet_id, TICKERS[ticker].0);
                let held = self.cents.get(&key).copied();
                let after = held.unwrap_or(0) + if credit { cents } else { -cents };
                let answer = if after < 0 { "insufficient_funds" } else { "ok" };
                if after >= 0 {
                    self.cents.insert(key, after);
                }
                self.done.insert(id, (request, answer.into()));
                answer.into()
            }
        }
    }
}

fn in_words(outcome: &Outcome) -> String {
    match &outcome.answer {
        Answer::Transaction { .. } => "ok".into(),
        Answer::Refused { code, .. } => code.to_string(),
        Answer::Balance(lines) => lines
            .iter()
            .map(|line| {
                let cents = line.actual.to_minor(Scale::new(2).unwrap()).unwrap();
                format!("{}={cents};", line.ticker)
            })
            .collect(),
    }
}

fn start() -> State {
    let tickers = TICKERS
        .iter()
        .zip(1..)
        .map(|((name, places), id)| ((*name).to_owned(), Ticker { id, scale: Scale::new(*places).unwrap() }));
    let wallets = WALLETS.map(|wallet_id| (wallet_id, BTreeMap::new())).collect();
    State { tickers: Arc::new(tickers.collect()), wallets, ..State::default() }
}

/// Every chain counts 1, 2, 3... and each balance is the one before plus its change.
fn check_chains(postings: &[Posting]) {
    let mut tails: HashMap<(i64, i32), Tail> = HashMap::new();
    for posting in postings {
        let tail = tails.entry((posting.wallet_id, posting.ticker.id)).or_default();
        let change = match (posting.error, posting.operation.as_str()) {
            (Some(_), _) => 0,
            (None, "invoice") => posting.amount,
            (None, _) => -posting.amount,
        };
        assert_eq!(posting.after.version, tail.version + 1);
        assert_eq!(posting.after.actual, tail.actual + change);
        assert!(posting.after.actual >= 0 && posting.after.frozen == 0);
        *tail = posting.after;
    }
}

proptest! {
    #[test]
    fn the_rules_do_what_the_model_does(steps in prop::collection::vec(step(), 1..120), batch in 1_usize..40) {
        let mut model = Model::default();
        let mut state = start();
        let mut postings = Vec::new();
        for steps in steps.chunks(batch) {
            let commands: Vec<Command> = steps.iter().map(command).collect();
            let applied = apply(&mut state, SystemTime::UNIX_EPOCH, &commands);
            let expected: Vec<String> = steps.iter().map(|step| model.run(step)).collect();
            let got: Vec<String> = applied.outcomes.iter().map(in_words).collect();
            prop_assert_eq!(got, expected);
            postings.extend(applied.postings);
        }
        check_chains(&postings);
    }
}

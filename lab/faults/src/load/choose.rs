//! Random requests of a client.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fastrand::Rng;
use florin_ledger::{Decimal, Scale};
use florin_wire::{
    BatchItem, BatchRequest, HistoryQueryBody, JsonDecimal, MovementBody, RawJson, Reply, Request, SettleBody,
};
use serde_json::json;
use uuid::Uuid;

use super::{HOT_WALLETS, TICKERS, WALLETS};
use crate::history::What;

/// Nobody has this wallet.
const NO_WALLET: i64 = 999_999;
/// How many old requests and holds a client keeps.
const REMEMBERED: usize = 300;
const BATCH: usize = 12;

/// A request as it is sent, each time the same.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) name: String,
    pub(super) operation: String,
    pub(super) message_id: Option<String>,
    pub(super) body: String,
    /// Whether it is sent until it is known.
    pub(super) repeats: bool,
    /// Copies share it.
    attempts: Arc<AtomicU32>,
}

impl Asked {
    pub(super) fn next_attempt(&self) -> u32 {
        self.attempts.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }

    pub(super) fn sending(&self, attempt: u32) -> What {
        What::Send {
            attempt,
            operation: self.operation.clone(),
            message_id: self.message_id.clone(),
            body: self.body.clone(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Holds, as far as the client knows.
    open: VecDeque<Uuid>,
    /// Transactions of any status.
    known: VecDeque<Uuid>,
    /// Requests that have their answer, and an identity.
    answered: VecDeque<Asked>,
}

impl Memory {
    pub(super) fn learn(&mut self, reply: &Reply) {
        let results = reply.results().unwrap_or_default();
        let replies = results.into_iter().map(|result| result.into_reply().0);
        for reply in replies.chain([reply.clone()]) {
            let Ok(receipt) = reply.receipt() else { continue };
            if reply.code == 202 {
                remember(&mut self.open, receipt.transaction_id);
            }
            remember(&mut self.known, receipt.transaction_id);
        }
    }

    pub(super) fn keep(&mut self, asked: Asked) {
        if asked.message_id.is_some() {
            remember(&mut self.answered, asked);
        }
    }

    /// A request that was answered some time ago.
    pub(super) fn old(&self, rng: &mut Rng) -> Option<Asked> {
        rng.choice(&self.answered).cloned()
    }

    pub(super) fn choose(&mut self, rng: &mut Rng, bare: bool, name: impl Fn() -> String) -> Asked {
        let name = name();
        match rng.u32(0..100) {
            0..8 => return self.batch(rng, bare, name),
            8 => {
                if let Some(asked) = self.conflict(rng, &name) {
                    return asked;
                }
            }
            _ => {}
        }
        let bare = bare && rng.u32(0..10) == 0;
        let tag = (bare || rng.u32(0..3) > 0).then(|| json!({ "request": name }));
        let uuid = Uuid::new_v4().to_string();
        let message_id = match rng.u32(0..4) {
            // Where nothing else names the request, its identity has to.
            0 if tag.is_some() => format!("order-{name}"),
            _ => uuid,
        };
        let message_id = (!bare).then_some(message_id);
        let request = self.request(rng, tag.as_ref());
        let body = String::from_utf8_lossy(&request.to_json()).into_owned();
        let operation = request.operation().as_str().to_owned();
        let repeats = !bare && rng.u32(0..8) > 0;
        Asked { name, operation, message_id, body, repeats, attempts: Arc::default() }
    }

    fn request(&mut self, rng: &mut Rng, tag: Option<&serde_json::Value>) -> Request {
        let tagged = |body: MovementBody| match tag.and_then(|tag| RawJson::new(tag).ok()) {
            Some(tag) => body.metadata(tag),
            None => body,
        };
        match rng.u32(0..100) {
            0..26 => Request::Invoice(tagged(movement(rng))),
            26..46 => Request::Withdraw(tagged(movement(rng))),
            46..60 => {
                let body = tagged(movement(rng));
                transfer(rng, body)
            }
            60..72 => {
                let timeout = [None, Some(1), Some(3), Some(60)][rng.usize(0..4)].map(Duration::from_secs);
                let body = tagged(movement(rng)).pending(timeout);
                match rng.u32(0..3) {
                    0 => Request::Invoice(body),
                    1 => Request::Withdraw(body),
                    _ => transfer(rng, body),
                }
            }
            72..84 => self.end(rng),
            84..92 => balance(rng),
            92..96 => {
                let known = rng.choice(&self.known).copied();
                known.map_or_else(|| balance(rng), |transaction_id| Request::Transaction { transaction_id })
            }
            _ => Request::History(HistoryQueryBody::new(wallet(rng)).limit(rng.u16(1..40))),
        }
    }

    /// Resolves a hold. The same one may be resolved several times, and in different ways.
    fn end(&mut self, rng: &mut Rng) -> Request {
        let place = rng.usize(0..self.open.len().max(1));
        let keep = rng.u32(0..4) == 0;
        let found = if keep { self.open.get(place).copied() } else { self.open.remove(place) };
        let Some(transaction_id) = found else { return balance(rng) };
        match rng.u32(0..5) {
            0 | 1 => Request::Settle(SettleBody::new(transaction_id)),
            2 => {
                let amount = Decimal::from_minor(rng.i128(1..400), scale(2));
                Request::Settle(SettleBody::new(transaction_id).amount(amount))
            }
            _ => Request::Cancel { transaction_id },
        }
    }

    /// Another request under an identity that is in use.
    fn conflict(&self, rng: &mut Rng, name: &str) -> Option<Asked> {
        let opening = |asked: &&Asked| ["invoice", "withdraw"].contains(&asked.operation.as_str());
        let taken: Vec<&Asked> = self.answered.iter().filter(opening).collect();
        let message_id = rng.choice(taken)?.message_id.clone();
        let mut body = movement(rng);
        body.amount = JsonDecimal(Decimal::from_minor(rng.i128(1..99) * 100 + 77, scale(2)));
        let body = body.metadata(RawJson::new(&json!({ "request": name })).ok()?);
        let body = String::from_utf8_lossy(&Request::Invoice(body).to_json()).into_owned();
        let operation = "invoice".to_owned();
        Some(Asked {
            name: name.to_owned(),
            operation,
            message_id,
            body,
            repeats: true,
            attempts: Arc::default(),
        })
    }

    fn batch(&mut self, rng: &mut Rng, bare: bool, name: String) -> Asked {
        let atomic = rng.u32(0..3) == 0;
        let bare = bare && rng.u32(0..6) == 0;
        let with_ids = rng.bool();
        let mut operations = Vec::new();
        for place in 0..rng.usize(1..BATCH) {
            let tag = json!({ "request": name, "place": place });
            let mut request = self.request(rng, Some(&tag));
            // The checker ignores reads in a batch, and histories would make it long.
            if matches!(request, Request::History(_) | Request::Transaction { .. }) {
                request = balance(rng);
            }
            let id = (with_ids && !bare).then(|| format!("{name} at {place}"));
            operations.push(BatchItem { id, request });
        }
        let body = BatchRequest { operations, atomic }.to_json();
        Asked {
            operation: florin_wire::BATCH.to_owned(),
            message_id: (!bare).then(|| Uuid::new_v4().to_string()),
            body: String::from_utf8_lossy(&body).into_owned(),
            repeats: !bare,
            attempts: Arc::default(),
            name,
        }
    }
}

fn remember<T>(list: &mut VecDeque<T>, new: T) {
    if list.len() >= REMEMBERED {
        list.pop_front();
    }
    list.push_back(new);
}

fn scale(places: u8) -> Scale {
    Scale::new(places).expect("a ticker has few places")
}

fn wallet(rng: &mut Rng) -> i64 {
    match rng.u32(0..100) {
        0..60 => rng.i64(1..=HOT_WALLETS),
        60..99 => rng.i64(HOT_WALLETS + 1..=WALLETS),
        _ => NO_WALLET,
    }
}

fn movement(rng: &mut Rng) -> MovementBody {
    let (ticker, places) = TICKERS[rng.usize(0..TICKERS.len())];
    let units = match rng.u32(0..50) {
        0 => rng.i128(1..1_000_000_000),
        1 => rng.i128(1..10) * 10_i128.pow(24),
        _ => rng.i128(1..50_000),
    };
    // Now and then more places than the ticker has.
    let places = if rng.u32(0..100) == 0 { places + 3 } else { places };
    MovementBody::new(wallet(rng), ticker, Decimal::from_minor(units, scale(places)))
}

fn transfer(rng: &mut Rng, body: MovementBody) -> Request {
    Request::Transfer(body.to_wallet(wallet(rng)))
}

fn balance(rng: &mut Rng) -> Request {
    Request::Balance(florin_wire::BalanceQueryBody::new(wallet(rng)))
}

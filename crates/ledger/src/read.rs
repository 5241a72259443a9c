//! The queries: each sees the commands of the list before it, and none after.

use uuid::Uuid;

use crate::apply::Rules;
use crate::{
    Answer, Balance, BalanceLine, BalanceQuery, Change, Decimal, ErrorCode, HistoryQuery, Outcome, TickerId,
};

impl Rules<'_> {
    pub(crate) fn read_balance(&self, query: &BalanceQuery) -> Outcome {
        let Some(wallet) = self.state.wallets.get(&query.wallet_id) else {
            return Outcome::refused(ErrorCode::UnknownWallet);
        };
        if self.is_unknown(query.ticker.as_deref()) {
            return Outcome::refused(ErrorCode::UnknownTicker);
        }
        let lines = self.state.tickers.iter().filter_map(|ticker| {
            query.ticker.as_deref().is_none_or(|name| name == &*ticker.name).then_some(())?;
            let balance =
                wallet.get(&ticker.id).and_then(|balance| self.as_it_was(query, ticker.id, *balance));
            let balance = balance.filter(|balance| balance.held)?;
            Some(BalanceLine {
                ticker: ticker.name.to_string(),
                actual: Decimal::from_minor(balance.actual, ticker.scale),
                frozen: Decimal::from_minor(balance.frozen, ticker.scale),
            })
        });
        Outcome::fresh(Answer::Balance(lines.collect()))
    }

    /// The last posting at or before the requested time.
    fn as_it_was(&self, query: &BalanceQuery, ticker_id: TickerId, present: Balance) -> Option<Balance> {
        let Some(at) = query.at.filter(|at| present.created_at > *at) else { return Some(present) };
        // The changes of one list may be of different times: after a clock went back, a transfer brings the
        // later time of one wallet to the other.
        let changes = self.applied.changes.iter().rev();
        let of_ticker = changes.filter(|change| change.transaction.ticker.id == ticker_id);
        let mut own = of_ticker.flat_map(Change::postings).filter(|one| one.wallet_id == query.wallet_id);
        let newest = own.find(|posting| posting.after.created_at <= at).map(|posting| posting.after);
        newest.or_else(|| self.state.past.get(&(query.wallet_id, at))?.get(&ticker_id).copied())
    }

    pub(crate) fn read_transaction(&self, transaction_id: Uuid) -> Outcome {
        match self.state.transactions.get(&transaction_id) {
            Some(transaction) => Outcome::fresh(Answer::Transaction(Box::new(transaction.clone()))),
            None => Outcome::refused(ErrorCode::UnknownTransaction),
        }
    }

    pub(crate) fn read_history(&self, query: &HistoryQuery) -> Outcome {
        if !self.state.wallets.contains_key(&query.wallet_id) {
            return Outcome::refused(ErrorCode::UnknownWallet);
        }
        if self.is_unknown(query.ticker.as_deref()) {
            return Outcome::refused(ErrorCode::UnknownTicker);
        }
        let page = self.state.pages.get(query).cloned().unwrap_or_default();
        Outcome::fresh(Answer::History(query.extend(page, &self.applied.changes)))
    }

    fn is_unknown(&self, ticker: Option<&str>) -> bool {
        ticker.is_some_and(|name| self.state.tickers.get(name).is_none())
    }
}

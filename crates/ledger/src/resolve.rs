//! The rules for resolving a hold: settle, cancel, expire.
//!
//! A hold is resolved once. The same request again gets the same answer; a different resolution is refused.

use std::sync::Arc;

use uuid::Uuid;

use crate::apply::{Rules, credit};
use crate::{
    Answer, Balance, Conflict, Decimal, ErrorCode, Operation, Outcome, Repeated, Resolution, Resolve, Status,
    Transaction,
};

impl Rules<'_> {
    pub(crate) fn resolve(
        &mut self,
        transaction_id: Uuid,
        how: Resolve,
        requested_by: Option<&Arc<str>>,
    ) -> Result<Outcome, Conflict> {
        if let Resolve::Settle { amount: Some(amount) } = how
            && !amount.is_positive()
        {
            return Ok(Outcome::refused(ErrorCode::AmountNotPositive));
        }
        let Some(transaction) = self.state.transactions.get(&transaction_id).cloned() else {
            return Ok(Outcome::refused(ErrorCode::UnknownTransaction));
        };
        let wanted = match wanted(&transaction, how) {
            Ok(wanted) => wanted,
            Err(code) => return Ok(Outcome::refused(code)),
        };
        if transaction.opened != Status::Created {
            return Ok(Outcome::refused(ErrorCode::AlreadyFinal));
        }
        if let Some(resolution) = &transaction.resolution {
            return Ok(self.repeat(&transaction, resolution, wanted));
        }
        let time_is_over = transaction.expires_at.is_some_and(|expires_at| self.now >= expires_at);
        if time_is_over && how != Resolve::Expire {
            // The request came too late: the hold expired, and is recorded so, without a requester.
            self.finish(transaction, Wanted::Release(ErrorCode::Expired), None)?;
            return Ok(Outcome::refused(ErrorCode::AlreadyFinal));
        }
        if how == Resolve::Expire && !time_is_over {
            return Ok(Outcome::refused(ErrorCode::NotExpired));
        }
        if let Wanted::Settle(amount) = wanted
            && amount > transaction.amount
        {
            return Ok(Outcome::refused(ErrorCode::ExceedsPending));
        }
        self.finish(transaction, wanted, requested_by)
    }

    /// The answer to a request that finds the hold resolved already.
    fn repeat(&mut self, transaction: &Transaction, resolution: &Resolution, wanted: Wanted) -> Outcome {
        self.applied.repeated.push(Repeated { transaction_id: transaction.id, resolved: true });
        let same = match wanted {
            Wanted::Settle(amount) => resolution.error.is_none() && resolution.amount == amount,
            Wanted::Release(error) => resolution.error == Some(error),
        };
        if same {
            Outcome { replayed: true, answer: answer(transaction, resolution) }
        } else {
            Outcome::refused(ErrorCode::AlreadyFinal)
        }
    }

    /// Unfreezes the amount of the hold and moves what was captured.
    fn finish(
        &mut self,
        mut transaction: Transaction,
        wanted: Wanted,
        requested_by: Option<&Arc<str>>,
    ) -> Result<Outcome, Conflict> {
        let frozen = transaction.amount;
        let settled = if let Wanted::Settle(amount) = wanted { amount } else { 0 };
        let ticker_id = transaction.ticker.id;
        let payer = self.balance(transaction.wallet_id, ticker_id);
        if payer.frozen < frozen {
            return Err(Conflict);
        }
        let back = if transaction.operation == Operation::Invoice { settled } else { frozen - settled };
        let payer = Balance { frozen: payer.frozen - frozen, actual: payer.actual + back, ..payer };
        let payee = transaction.to_wallet_id.filter(|_| settled > 0);
        let payee =
            match payee.map(|wallet_id| credit(self.balance(wallet_id, ticker_id), settled)).transpose() {
                Ok(payee) => payee,
                Err(code) => return Ok(Outcome::refused(code)),
            };
        let at = self.now.max(payer.created_at).max(payee.map_or(self.now, |balance| balance.created_at));
        let (error, amount) = match wanted {
            Wanted::Settle(amount) => (None, amount),
            Wanted::Release(error) => (Some(error), frozen),
        };
        let resolution = Resolution { error, amount, at, requested_by: requested_by.cloned() };
        let outcome = Outcome::fresh(answer(&transaction, &resolution));
        transaction.resolution = Some(resolution);
        self.append(transaction, payer, payee, 2, at);
        Ok(outcome)
    }
}

/// The resolution that a request wants.
#[derive(Clone, Copy)]
enum Wanted {
    /// Captures this much, in minor units; the rest is released.
    Settle(i128),
    /// Releases all of it, for this reason.
    Release(ErrorCode),
}

fn wanted(transaction: &Transaction, how: Resolve) -> Result<Wanted, ErrorCode> {
    Ok(match how {
        Resolve::Settle { amount: None } => Wanted::Settle(transaction.amount),
        Resolve::Settle { amount: Some(amount) } => {
            Wanted::Settle(amount.to_minor(transaction.ticker.scale)?)
        }
        Resolve::Cancel => Wanted::Release(ErrorCode::Cancelled),
        Resolve::Expire => Wanted::Release(ErrorCode::Expired),
    })
}

fn answer(transaction: &Transaction, resolution: &Resolution) -> Answer {
    let settled = Decimal::from_minor(resolution.amount, transaction.ticker.scale);
    Answer::Resolved {
        transaction_id: transaction.id,
        settled: resolution.error.is_none().then_some(settled),
        error: resolution.error,
    }
}

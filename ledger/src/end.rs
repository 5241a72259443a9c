//! The rules for the end of a transaction that waits: settle, cancel, expire.
//!
//! It ends once. The same end asked for again gets the same answer; another one is refused.

use std::sync::Arc;

use uuid::Uuid;

use crate::apply::{Rules, credit};
use crate::{
    Answer, Contradiction, Decimal, End, Ending, ErrorCode, Operation, Outcome, Repeated, Status, Tail,
    Transaction,
};

impl Rules<'_> {
    pub(crate) fn end(
        &mut self,
        transaction_id: Uuid,
        how: End,
        requested_by: Option<&Arc<str>>,
    ) -> Result<Outcome, Contradiction> {
        if let End::Settle { amount: Some(amount) } = how
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
        if let Some(ending) = &transaction.ending {
            return Ok(self.repeat(&transaction, ending, wanted));
        }
        let time_is_over = transaction.expires_at.is_some_and(|expires_at| self.now >= expires_at);
        if time_is_over && how != End::Expire {
            // Time ended it, not the one who came too late.
            self.close(transaction, Wanted::Release(ErrorCode::Expired), None)?;
            return Ok(Outcome::refused(ErrorCode::AlreadyFinal));
        }
        if how == End::Expire && !time_is_over {
            return Ok(Outcome::refused(ErrorCode::NotExpired));
        }
        if let Wanted::Settle(amount) = wanted
            && amount > transaction.amount
        {
            return Ok(Outcome::refused(ErrorCode::ExceedsPending));
        }
        self.close(transaction, wanted, requested_by)
    }

    /// The answer to a request for an end, after the transaction has ended.
    fn repeat(&mut self, transaction: &Transaction, ending: &Ending, wanted: Wanted) -> Outcome {
        self.applied.repeated.push(Repeated { transaction_id: transaction.id, ended: true });
        let same = match wanted {
            Wanted::Settle(amount) => ending.error.is_none() && ending.amount == amount,
            Wanted::Release(error) => ending.error == Some(error),
        };
        if same {
            Outcome { replayed: true, answer: answer(transaction, ending) }
        } else {
            Outcome::refused(ErrorCode::AlreadyFinal)
        }
    }

    /// Moves what was frozen on, or back.
    fn close(
        &mut self,
        mut transaction: Transaction,
        wanted: Wanted,
        requested_by: Option<&Arc<str>>,
    ) -> Result<Outcome, Contradiction> {
        let frozen = transaction.amount;
        let settled = if let Wanted::Settle(amount) = wanted { amount } else { 0 };
        let ticker_id = transaction.ticker.id;
        let payer = self.tail(transaction.wallet_id, ticker_id);
        if payer.frozen < frozen {
            return Err(Contradiction);
        }
        let back = if transaction.operation == Operation::Invoice { settled } else { frozen - settled };
        let payer = Tail { frozen: payer.frozen - frozen, actual: payer.actual + back, ..payer };
        let payee = transaction.to_wallet_id.filter(|_| settled > 0);
        let payee = match payee.map(|wallet_id| credit(self.tail(wallet_id, ticker_id), settled)).transpose()
        {
            Ok(payee) => payee,
            Err(code) => return Ok(Outcome::refused(code)),
        };
        let at = self.now.max(payer.created_at).max(payee.map_or(self.now, |tail| tail.created_at));
        let (error, amount) = match wanted {
            Wanted::Settle(amount) => (None, amount),
            Wanted::Release(error) => (Some(error), frozen),
        };
        let ending = Ending { error, amount, at, requested_by: requested_by.cloned() };
        let outcome = Outcome::fresh(answer(&transaction, &ending));
        transaction.ending = Some(ending);
        self.append(transaction, payer, payee, 2, at);
        Ok(outcome)
    }
}

/// The end that a request asks for.
#[derive(Clone, Copy)]
enum Wanted {
    /// This much, in minor units.
    Settle(i128),
    /// Nothing, for this reason.
    Release(ErrorCode),
}

fn wanted(transaction: &Transaction, how: End) -> Result<Wanted, ErrorCode> {
    Ok(match how {
        End::Settle { amount: None } => Wanted::Settle(transaction.amount),
        End::Settle { amount: Some(amount) } => Wanted::Settle(amount.to_minor(transaction.ticker.scale)?),
        End::Cancel => Wanted::Release(ErrorCode::Cancelled),
        End::Expire => Wanted::Release(ErrorCode::Expired),
    })
}

fn answer(transaction: &Transaction, ending: &Ending) -> Answer {
    let settled = Decimal::from_minor(ending.amount, transaction.ticker.scale);
    Answer::Ended {
        transaction_id: transaction.id,
        settled: ending.error.is_none().then_some(settled),
        error: ending.error,
    }
}

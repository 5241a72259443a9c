//! One method per operation, with default options. For others: [`Client::call`].

use florin_ledger::{Decimal, WalletId};
use florin_wire::{BalanceQueryBody, HistoryQueryBody, MovementBody, Request, SettleBody};
use uuid::Uuid;

use crate::client::Client;
use crate::error::Error;
use crate::options::CallOptions;
use crate::response::Response;

impl Client {
    /// Credits a wallet, under a fresh identity.
    ///
    /// # Errors
    ///
    /// See [`Error`]. A refusal is a [`Response`].
    pub async fn invoice(
        &self,
        wallet_id: WalletId,
        ticker: &str,
        amount: Decimal,
    ) -> Result<Response, Error> {
        self.ask(Request::Invoice(MovementBody::new(wallet_id, ticker, amount))).await
    }

    /// Debits a wallet, under a fresh identity.
    ///
    /// # Errors
    ///
    /// See [`Error`]. A refusal is a [`Response`].
    pub async fn withdraw(
        &self,
        wallet_id: WalletId,
        ticker: &str,
        amount: Decimal,
    ) -> Result<Response, Error> {
        self.ask(Request::Withdraw(MovementBody::new(wallet_id, ticker, amount))).await
    }

    /// Debits one wallet and credits another, under a fresh identity.
    ///
    /// # Errors
    ///
    /// See [`Error`]. A refusal is a [`Response`].
    pub async fn transfer(
        &self,
        wallet_id: WalletId,
        to_wallet_id: WalletId,
        ticker: &str,
        amount: Decimal,
    ) -> Result<Response, Error> {
        let movement = MovementBody::new(wallet_id, ticker, amount);
        self.ask(Request::Transfer(movement.to_wallet(to_wallet_id))).await
    }

    /// Captures a hold, in full or in part.
    ///
    /// # Errors
    ///
    /// See [`Error`]. A refusal is a [`Response`].
    pub async fn settle(&self, settle: SettleBody) -> Result<Response, Error> {
        self.ask(Request::Settle(settle)).await
    }

    /// Releases a hold.
    ///
    /// # Errors
    ///
    /// See [`Error`]. A refusal is a [`Response`].
    pub async fn cancel(&self, transaction_id: Uuid) -> Result<Response, Error> {
        self.ask(Request::Cancel { transaction_id }).await
    }

    /// Releases a hold whose expiry time has passed. The service does so by itself a moment later.
    ///
    /// # Errors
    ///
    /// See [`Error`]. A refusal is a [`Response`].
    pub async fn expire(&self, transaction_id: Uuid) -> Result<Response, Error> {
        self.ask(Request::Expire { transaction_id }).await
    }

    /// Reads all balances of a wallet, as they are now.
    ///
    /// # Errors
    ///
    /// See [`Error`]. A refusal is a [`Response`].
    pub async fn balance(&self, wallet_id: WalletId) -> Result<Response, Error> {
        self.ask(Request::Balance(BalanceQueryBody::new(wallet_id))).await
    }

    /// Reads one transaction by its id.
    ///
    /// # Errors
    ///
    /// See [`Error`]. A refusal is a [`Response`].
    pub async fn transaction(&self, transaction_id: Uuid) -> Result<Response, Error> {
        self.ask(Request::Transaction { transaction_id }).await
    }

    /// Reads the postings of a wallet, newest first, a page at a time.
    ///
    /// # Errors
    ///
    /// See [`Error`]. A refusal is a [`Response`].
    pub async fn history(&self, query: HistoryQueryBody) -> Result<Response, Error> {
        self.ask(Request::History(query)).await
    }

    async fn ask(&self, request: Request) -> Result<Response, Error> {
        self.call(&request, CallOptions::default()).await
    }
}

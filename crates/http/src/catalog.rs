//! Wallets and tickers: listed with any key, created by operators.

use axum::Extension;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use florin_ledger::{Scale, TickerRow, WalletId, WalletRow};
use florin_wire::RawJson;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::Caller;
use super::database::{DatabaseError, DatabaseRequest};
use super::problem::{Fault, Problem};
use super::response::json;
use super::text::{JsonText, malformed};
use super::{App, Shared};

const MAX_NEW_WALLETS: i64 = 100_000;
const DEFAULT_PAGE: u16 = 100;
const MAX_PAGE: u16 = 1000;

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "new_wallets")]
#[serde(deny_unknown_fields)]
pub(super) struct NewWallets {
    /// The first wallet.
    #[schemars(range(min = 1))]
    from: WalletId,
    /// The last wallet, at most 100,000 in all; without it only the first is created.
    #[serde(default)]
    #[schemars(range(min = 1))]
    to: Option<WalletId>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "created_wallets")]
pub(super) struct CreatedWallets {
    /// Wallets that existed already are not counted.
    created: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WalletPage {
    #[serde(default)]
    after: Option<WalletId>,
    #[serde(default)]
    limit: Option<u16>,
}

/// A page of wallets, by number.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "wallets")]
pub(super) struct Wallets {
    wallets: Vec<Wallet>,
    /// `after` of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<WalletId>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "wallet")]
struct Wallet {
    wallet_id: WalletId,
    /// One per ticker that the wallet ever held.
    balances: Vec<Balance>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "wallet_balance")]
struct Balance {
    ticker: String,
    /// What can be withdrawn.
    #[schemars(with = "serde_json::Number")]
    actual: RawJson,
    /// What holds have frozen.
    #[schemars(with = "serde_json::Number")]
    frozen: RawJson,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ticker")]
#[serde(deny_unknown_fields)]
pub(super) struct Ticker {
    /// 1 to 32 letters, digits, `.`, `_` and `-`.
    #[schemars(regex(pattern = "^[A-Za-z0-9._-]{1,32}$"))]
    name: String,
    /// Decimal places. They never change.
    #[schemars(range(min = 0, max = 18))]
    scale: u8,
}

/// All tickers, by name.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "tickers")]
pub(super) struct TickerList {
    tickers: Vec<Ticker>,
}

/// `GET /wallets`.
pub(super) async fn list_wallets(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    page: Result<Query<WalletPage>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Query(WalletPage { after, limit }) = page.map_err(|rejection| malformed(rejection.body_text()))?;
    let limit = limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(malformed("limit must be a whole number from 1 to 1000"));
    }
    let (rows, more) = app.wallets(&caller, after, limit).await?;
    let next = rows.last().filter(|_| more).map(|row| row.wallet_id);
    let wallets = rows.into_iter().map(Wallet::from).collect();
    Ok(json(StatusCode::OK, &Wallets { wallets, next }))
}

impl Shared {
    /// The wallets after `after` that the caller's key covers, at most `limit`; and whether there are more.
    pub(super) async fn wallets(
        &self,
        caller: &Caller,
        after: Option<WalletId>,
        limit: u16,
    ) -> Result<(Vec<WalletRow>, bool), DatabaseError> {
        let own = caller.wallets();
        let after = own.map(|own| own.start().saturating_sub(1)).max(after);
        let mut rows =
            self.database.call(DatabaseRequest::ListWallets, (after, i64::from(limit) + 1)).await?;
        rows.retain(|row| own.is_none_or(|own| own.contains(&row.wallet_id)));
        let more = rows.len() > usize::from(limit);
        rows.truncate(usize::from(limit));
        Ok((rows, more))
    }
}

/// `POST /wallets`.
pub(super) async fn create_wallets(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    JsonText(body): JsonText,
) -> Result<Response, Problem> {
    let NewWallets { from, to } = read(&body)?;
    let to = to.unwrap_or(from);
    if from < 1 || to < from {
        return Err(malformed("wallet numbers start at 1, and from must not be greater than to"));
    }
    if to - from >= MAX_NEW_WALLETS {
        return Err(malformed(format!("at most {MAX_NEW_WALLETS} wallets are created per request")));
    }
    caller.needs_wallets([from, to])?;
    let created = app.database.call(DatabaseRequest::CreateWallets, from..=to).await.map_err(not_written)?;
    let status = if created > 0 { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json(status, &CreatedWallets { created }))
}

/// `GET /tickers`.
pub(super) async fn list_tickers(State(app): State<App>) -> Result<Response, Problem> {
    let tickers =
        app.database.call(DatabaseRequest::ListTickers, ()).await?.into_iter().map(Ticker::from).collect();
    Ok(json(StatusCode::OK, &TickerList { tickers }))
}

/// `POST /tickers`.
pub(super) async fn add_ticker(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    JsonText(body): JsonText,
) -> Result<Response, Problem> {
    // A ticker is there for all wallets, for ever.
    caller.needs_all_wallets()?;
    let ticker: Ticker = read(&body)?;
    let scale =
        Scale::new(ticker.scale).ok_or_else(|| malformed("scale must be a whole number from 0 to 18"))?;
    let added = app.database.call(DatabaseRequest::AddTicker, (ticker.name.clone(), scale)).await;
    let new = added.map_err(|error| match error {
        DatabaseError::Exists(reason) => Problem::new(Fault::TickerExists, reason),
        DatabaseError::Refused(_) => malformed("name must be 1 to 32 letters, digits, '.', '_' or '-'"),
        error => not_written(error),
    })?;
    Ok(json(if new { StatusCode::CREATED } else { StatusCode::OK }, &ticker))
}

/// A write that was not answered may have been done. Both writes can be repeated without harm.
fn not_written(error: DatabaseError) -> Problem {
    match error {
        DatabaseError::TimedOut(_) => {
            Problem::new(Fault::OutcomeUnknown, format!("{error}: send the request again"))
        }
        error => error.into(),
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    // serde would also take an array, in the order of the fields.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(malformed("the body must be a JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| malformed(format!("invalid body: {error}")))
}

impl From<WalletRow> for Wallet {
    fn from(row: WalletRow) -> Self {
        let number = |digits: String| digits.parse().expect("PostgreSQL writes numbers as JSON does");
        let balances = row.balances.into_iter().map(|balance| Balance {
            ticker: balance.ticker,
            actual: number(balance.actual),
            frozen: number(balance.frozen),
        });
        Self { wallet_id: row.wallet_id, balances: balances.collect() }
    }
}

impl From<TickerRow> for Ticker {
    fn from(row: TickerRow) -> Self {
        Self { name: row.name, scale: row.scale.places() }
    }
}

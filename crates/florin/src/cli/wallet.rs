//! `florin wallet`: creates wallets and shows their balances.

use std::ops::RangeInclusive;

use anyhow::{Context, bail};
use clap::Subcommand;
use florin_ledger::{WalletId, WalletRow};
use florin_service::cli::StoreArgs;
use florin_service::cli::output::{OutputArgs, table};
use florin_service::cli::values::number;
use serde::Serialize;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  florin wallet create 1-9 4111111111111111
  florin wallet list --limit 20 --after 9
  florin wallet list --json | jq -r '.wallets[].wallet_id'")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Creates wallets. Existing ones are left as they are.
    #[command(after_help = "JSON: {\"created\"}: how many did not exist before.")]
    Create {
        /// Wallet ids (`7`) and ranges of them (`1-9`).
        #[arg(required = true, value_name = "ID|FROM-TO", value_parser = wallet_ids)]
        wallet_ids: Vec<RangeInclusive<WalletId>>,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        database: StoreArgs,
    },
    /// Lists wallets with their balances, by wallet id.
    #[command(after_help = "\
JSON: {\"wallets\": [{\"wallet_id\", \"balances\": [{\"ticker\", \"actual\", \"frozen\"}]}], \"next\"}
Amounts are strings with all their digits. next is the --after of the next page; null if there
is none.")]
    List {
        /// Maximum number of wallets to list.
        #[arg(long, value_name = "WALLETS", default_value_t = 50, value_parser = number(1..=100_000_i64))]
        limit: i64,
        /// Lists only wallets with a greater id.
        #[arg(long, value_name = "ID", value_parser = number(0..=WalletId::MAX))]
        after: Option<WalletId>,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        database: StoreArgs,
    },
}

#[derive(Serialize)]
struct Created {
    created: u64,
}

#[derive(Serialize)]
struct Wallets {
    wallets: Vec<Wallet>,
    next: Option<WalletId>,
}

#[derive(Serialize)]
struct Wallet {
    wallet_id: WalletId,
    balances: Vec<Balance>,
}

#[derive(Serialize)]
struct Balance {
    ticker: String,
    actual: String,
    frozen: String,
}

impl From<WalletRow> for Wallet {
    fn from(row: WalletRow) -> Self {
        let balances = row.balances.into_iter();
        let balances =
            balances.map(|row| Balance { ticker: row.ticker, actual: row.actual, frozen: row.frozen });
        Self { wallet_id: row.wallet_id, balances: balances.collect() }
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    match args.action {
        Action::Create { wallet_ids, output, database } => {
            let created = Created { created: create(database, wallet_ids).await? };
            output.print(&created, |Created { created }| format!("wallets created: {created}\n"))
        }
        Action::List { limit, after, output, database } => {
            output.print(&list(database, limit, after).await?, text)
        }
    }
}

async fn create(database: StoreArgs, wallet_ids: Vec<RangeInclusive<WalletId>>) -> anyhow::Result<u64> {
    let failed = "cannot create wallets";
    let store = database.open(failed).await?;
    let mut created = 0;
    for range in wallet_ids {
        created += store.create_wallets(range).await.context(failed)?;
    }
    Ok(created)
}

async fn list(database: StoreArgs, limit: i64, after: Option<WalletId>) -> anyhow::Result<Wallets> {
    let failed = "cannot list wallets";
    let rows = database.open(failed).await?.list_wallets(after, limit).await.context(failed)?;
    let is_full = usize::try_from(limit).is_ok_and(|limit| rows.len() >= limit);
    let next = rows.last().filter(|_| is_full).map(|last| last.wallet_id);
    Ok(Wallets { wallets: rows.into_iter().map(Wallet::from).collect(), next })
}

/// One line per balance; a wallet without any has one line, too.
fn text(list: &Wallets) -> String {
    let mut table = table(&["WALLET", "TICKER", "ACTUAL", "FROZEN"], &[0, 2, 3]);
    for wallet in &list.wallets {
        let wallet_id = wallet.wallet_id.to_string();
        if wallet.balances.is_empty() {
            table.add_row([wallet_id.as_str(), "-", "-", "-"]);
        }
        for balance in &wallet.balances {
            table.add_row([&wallet_id, &balance.ticker, &balance.actual, &balance.frozen]);
        }
    }
    let next = list.next.map_or_else(String::new, |next| format!("more: --after {next}\n"));
    format!("{table}\n{next}")
}

/// Reads `7` or `1-9`.
pub(super) fn wallet_ids(text: &str) -> anyhow::Result<RangeInclusive<WalletId>> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse::<WalletId>().ok().filter(|number| *number >= 1);
    match (number(from), number(to)) {
        (Some(from), Some(to)) if from <= to => Ok(from..=to),
        (Some(_), Some(_)) => bail!("the range ends before it begins"),
        _ => bail!("must be a whole number from 1 to {}, or a range of two, such as 1-9", WalletId::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ranges_are_read() {
        let cases = [("7", 7..=7), ("1-9", 1..=9), ("9223372036854775807", WalletId::MAX..=WalletId::MAX)];
        for (text, range) in cases {
            assert_eq!(wallet_ids(text).unwrap(), range, "{text}");
        }
        for text in ["", "0", "-1", "1-", "-", "9-1", "1-2-3", "a", "0-3", "9223372036854775808"] {
            assert!(wallet_ids(text).is_err(), "{text}");
        }
    }

    #[test]
    fn wallets_without_a_balance_are_listed() {
        let balance = Balance { ticker: "USD".into(), actual: "10.50".into(), frozen: "0.00".into() };
        let wallets = vec![
            Wallet { wallet_id: 1, balances: vec![balance] },
            Wallet { wallet_id: 22, balances: Vec::new() },
        ];
        let text = text(&Wallets { wallets, next: None });
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            words,
            [["WALLET", "TICKER", "ACTUAL", "FROZEN"], ["1", "USD", "10.50", "0.00"], ["22", "-", "-", "-"]]
        );
    }
}

//! `florin wallet`: creates wallets and shows their balances.

use std::ops::RangeInclusive;

use anyhow::{Context, bail};
use clap::Subcommand;
use comfy_table::{CellAlignment, Table, presets};
use florin_ledger::WalletId;
use florin_store::Store;

use florin_service::cli::StoreArgs;

/// The flags of `florin wallet`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  florin wallet create 1-9 4111111111111111
  florin wallet list --limit 20 --after 9")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Creates wallets. Those that exist are left as they are.
    Create {
        /// Numbers (`7`) and ranges (`1-9`), each at least 1.
        #[arg(required = true, value_name = "ID|FROM-TO", value_parser = wallet_ids)]
        wallet_ids: Vec<RangeInclusive<WalletId>>,
        #[command(flatten)]
        database: StoreArgs,
    },
    /// Lists wallets and their balances, by number.
    List {
        /// At most so many wallets.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=100_000))]
        limit: i64,
        /// Only wallets with a number above this one.
        #[arg(long, value_name = "ID")]
        after: Option<WalletId>,
        #[command(flatten)]
        database: StoreArgs,
    },
}

/// Creates or lists.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    match args.action {
        Action::Create { wallet_ids, database } => create(&database.store()?, wallet_ids).await,
        Action::List { limit, after, database } => list(&database.store()?, limit, after).await,
    }
}

async fn create(store: &Store, wallet_ids: Vec<RangeInclusive<WalletId>>) -> anyhow::Result<()> {
    let mut created = 0;
    for range in wallet_ids {
        created += store.create_wallets(range).await.context("cannot create wallets")?;
    }
    florin_service::cli::print(&format!("wallets created: {created}\n"))
}

async fn list(store: &Store, limit: i64, after: Option<WalletId>) -> anyhow::Result<()> {
    let wallets = store.list_wallets(after, limit).await.context("cannot list wallets")?;
    florin_service::cli::print(&format!("{}\n", table(&wallets)))?;
    let full = usize::try_from(limit).is_ok_and(|limit| wallets.len() >= limit);
    match wallets.last() {
        Some(last) if full => florin_service::cli::print(&format!("more: --after {}\n", last.wallet_id)),
        _ => Ok(()),
    }
}

/// One line per balance; a wallet without any has one line, too.
fn table(wallets: &[WalletRow]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["WALLET", "TICKER", "ACTUAL", "FROZEN"]);
    for wallet in wallets {
        let number = wallet.wallet_id.to_string();
        if wallet.balances.is_empty() {
            table.add_row([number.as_str(), "-", "-", "-"]);
        }
        for balance in &wallet.balances {
            table.add_row([&number, &balance.ticker, &balance.actual, &balance.frozen]);
        }
    }
    for index in [0, 2, 3] {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Reads `7` or `1-9`.
pub(super) fn wallet_ids(text: &str) -> anyhow::Result<RangeInclusive<WalletId>> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse::<WalletId>().ok().filter(|number| *number >= 1);
    match (number(from), number(to)) {
        (Some(from), Some(to)) if from <= to => Ok(from..=to),
        (Some(_), Some(_)) => bail!("the range ends before it begins"),
        _ => bail!("a wallet is a whole number from 1 to {}, a range is two of them as 1-9", WalletId::MAX),
    }
}

#[cfg(test)]
mod tests {
    use florin_ledger::WalletBalance;

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
        let balance = WalletBalance { ticker: "USD".into(), actual: "10.50".into(), frozen: "0.00".into() };
        let wallets = [
            WalletRow { wallet_id: 1, balances: vec![balance] },
            WalletRow { wallet_id: 22, balances: Vec::new() },
        ];
        let text = table(&wallets).to_string();
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            words,
            [["WALLET", "TICKER", "ACTUAL", "FROZEN"], ["1", "USD", "10.50", "0.00"], ["22", "-", "-", "-"]]
        );
    }
}

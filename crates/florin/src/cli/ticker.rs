//! `florin ticker`: adds and lists currencies.

use anyhow::{Context, bail};
use clap::Subcommand;
use comfy_table::{CellAlignment, Table, presets};
use florin_ledger::Scale;
use florin_store::{self as store, Store};

use florin_service::cli::StoreArgs;

/// The flags of `florin ticker`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  florin ticker add USD --scale 2\n  florin ticker list")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Adds a ticker. One that exists with the same scale is left as it is.
    Add {
        /// 1 to 32 letters, digits, `.`, `_` and `-`.
        name: String,
        /// Decimal places, 0 to 18. They can never be changed.
        #[arg(long, value_name = "PLACES", value_parser = scale)]
        scale: Scale,
        #[command(flatten)]
        database: StoreArgs,
    },
    /// Lists all tickers.
    List {
        #[command(flatten)]
        database: StoreArgs,
    },
}

/// Adds or lists.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    match args.action {
        Action::Add { name, scale, database } => add(&database.store()?, &name, scale).await,
        Action::List { database } => list(&database.store()?).await,
    }
}

async fn add(store: &Store, name: &str, scale: Scale) -> anyhow::Result<()> {
    let new = match store.add_ticker(name, scale).await {
        Err(store::Error::InvalidData(_)) => {
            bail!("a ticker's name is 1 to 32 letters, digits, '.', '_' and '-', not {name:?}")
        }
        added => added.with_context(|| format!("cannot add ticker {name}"))?,
    };
    let verb = if new { "added" } else { "exists:" };
    florin_service::cli::print(&format!("{verb} {name} with {} decimal places\n", scale.places()))
}

async fn list(store: &Store) -> anyhow::Result<()> {
    let tickers = store.list_tickers().await.context("cannot list tickers")?;
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["TICKER", "SCALE"]);
    for ticker in tickers {
        table.add_row([ticker.name, ticker.scale.places().to_string()]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    florin_service::cli::print(&format!("{table}\n"))
}

fn scale(text: &str) -> anyhow::Result<Scale> {
    let places: i64 = text.parse().context("not a whole number")?;
    Ok(Scale::try_from(places)?)
}

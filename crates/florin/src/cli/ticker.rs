//! `florin ticker`: adds and lists currencies.

use anyhow::{Context, bail};
use clap::Subcommand;
use florin_ledger::Scale;
use florin_service::cli::StoreArgs;
use florin_service::cli::output::{OutputArgs, table};
use florin_service::cli::values::number;
use florin_store as store;
use serde::Serialize;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  florin ticker add USD --scale 2
  florin ticker list
  florin ticker list --json")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Adds a ticker. One that exists with the same scale is left as it is.
    #[command(after_help = "JSON: {\"name\", \"scale\", \"added\"}; added is false if it existed already.")]
    Add {
        /// 1 to 32 letters, digits, `.`, `_` and `-`.
        name: String,
        /// Decimal places, 0 to 18. They can never be changed.
        #[arg(long, value_name = "PLACES", value_parser = scale)]
        scale: Scale,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        database: StoreArgs,
    },
    /// Lists all tickers by name.
    #[command(after_help = "JSON: {\"tickers\": [{\"name\", \"scale\"}]}")]
    List {
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        database: StoreArgs,
    },
}

#[derive(Serialize)]
struct Added {
    name: String,
    scale: u8,
    added: bool,
}

#[derive(Serialize)]
struct Tickers {
    tickers: Vec<Ticker>,
}

#[derive(Serialize)]
struct Ticker {
    name: String,
    scale: u8,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    match args.action {
        Action::Add { name, scale, output, database } => {
            let added = add(database, name, scale).await?;
            output.print(&added, |Added { name, scale, added }| {
                let verb = if *added { "added" } else { "exists:" };
                format!("{verb} {name} with {scale} decimal places\n")
            })
        }
        Action::List { output, database } => output.print(&list(database).await?, text),
    }
}

async fn add(database: StoreArgs, name: String, scale: Scale) -> anyhow::Result<Added> {
    let failed = "cannot add the ticker";
    let added = match database.open(failed).await?.add_ticker(&name, scale).await {
        Err(store::Error::InvalidData(_)) => {
            bail!("a ticker's name is 1 to 32 letters, digits, '.', '_' and '-', not {name:?}")
        }
        added => added.context(failed)?,
    };
    Ok(Added { name, scale: scale.places(), added })
}

async fn list(database: StoreArgs) -> anyhow::Result<Tickers> {
    let failed = "cannot list tickers";
    let tickers = database.open(failed).await?.list_tickers().await.context(failed)?;
    let tickers = tickers.into_iter().map(|row| Ticker { name: row.name, scale: row.scale.places() });
    Ok(Tickers { tickers: tickers.collect() })
}

fn text(list: &Tickers) -> String {
    let mut table = table(&["TICKER", "SCALE"], &[1]);
    for ticker in &list.tickers {
        table.add_row([ticker.name.clone(), ticker.scale.to_string()]);
    }
    format!("{table}\n")
}

fn scale(text: &str) -> anyhow::Result<Scale> {
    let places = number(0..=18_i64)(text).map_err(anyhow::Error::msg)?;
    Ok(Scale::try_from(places)?)
}

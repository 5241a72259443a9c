//! `florin migrate`: brings the schema of the database up to date.

use super::config::StoreArgs;

/// The flags of `florin migrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  DATABASE_URL=postgres://owner@db/florin florin migrate")]
pub(crate) struct Args {
    #[command(flatten)]
    database: StoreArgs,
}

/// Migrates, and prints what was missing.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let applied = args.database.store()?.migrate().await?;
    if applied.is_empty() {
        return super::print("The schema was up to date.\n");
    }
    super::print(&applied.iter().map(|name| format!("applied {name}\n")).collect::<String>())
}

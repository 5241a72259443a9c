//! `florin migrate`: brings the schema of the database up to date.

use florin_service::cli::StoreArgs;

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
        return florin_service::cli::print("The schema was up to date.\n");
    }
    florin_service::cli::print(&applied.iter().map(|name| format!("applied {name}\n")).collect::<String>())
}

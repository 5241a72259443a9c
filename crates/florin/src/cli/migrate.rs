//! `florin migrate`: brings the schema of the database up to date.

use anyhow::Context;
use florin_service::cli::StoreArgs;
use florin_service::cli::output::OutputArgs;
use serde::Serialize;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  DATABASE_URL=postgres://owner@db/florin florin migrate

The role needs the right to create tables in the schema.
JSON: {\"applied\": [\"V1__baseline\", ...]}")]
pub(crate) struct Args {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    database: StoreArgs,
}

#[derive(Serialize)]
struct Migrated {
    applied: Vec<String>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let failed = "cannot bring the schema up to date";
    let store = args.database.open(failed).await?;
    let applied = store.migrate().await.context(failed)?;
    args.output.print(&Migrated { applied }, |Migrated { applied }| match applied.as_slice() {
        [] => "The schema was up to date.\n".to_owned(),
        names => names.iter().map(|name| format!("applied {name}\n")).collect(),
    })
}

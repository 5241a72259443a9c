//! `florin dead drop`: removes messages for good, after a confirmation.

use std::io::{IsTerminal, stdin};

use anyhow::{Context, bail};
use clap::error::ErrorKind;
use florin_broker::dead_letter::Purpose;
use florin_service::cli::output::{OutputArgs, prompt};
use florin_service::config::Config;

use super::table::{self, Row};
use super::{Dropped, Selection, find, open, progress};

pub(super) async fn discard(
    config: &Config,
    selection: Selection,
    yes: bool,
    output: OutputArgs,
) -> anyhow::Result<()> {
    if !yes && !stdin().is_terminal() {
        let message = "refusing to drop without confirmation: not a terminal; pass --yes\n";
        clap::Error::raw(ErrorKind::MissingRequiredArgument, message).exit();
    }
    let dropped = if selection.all {
        discard_all(config, yes).await?
    } else {
        discard_named(config, &selection.names, yes).await?
    };
    output.print(&Dropped { dropped }, |Dropped { dropped }| format!("messages dropped: {dropped}\n"))
}

async fn discard_all(config: &Config, yes: bool) -> anyhow::Result<usize> {
    let mut queue = open(config, Purpose::Clear).await?;
    let count = queue.left();
    ask(yes || count == 0, &format!("Drop all {count} messages for good?")).await?;
    let bar = progress("dropping", &queue);
    let mut dropped = 0;
    while let Some(letter) = queue.next().await? {
        queue.remove(&letter);
        dropped += 1;
        bar.inc(1);
    }
    bar.finish_and_clear();
    queue.close().await.context("some messages may still be here")?;
    Ok(dropped)
}

async fn discard_named(config: &Config, names: &[String], yes: bool) -> anyhow::Result<usize> {
    let mut queue = open(config, Purpose::Look).await?;
    let dropping = async {
        let found = find(&mut queue, names).await?;
        let rows: Vec<Row> = found.iter().map(Row::new).collect();
        ask(yes, &format!("{}\nDrop them for good?", table::table(&rows))).await?;
        for letter in &found {
            queue.remove(letter);
        }
        anyhow::Ok(found.len())
    };
    let dropped = dropping.await;
    let closed = queue.close().await;
    let dropped = dropped?;
    closed.context("some messages may still be here")?;
    Ok(dropped)
}

/// Asks for confirmation, unless it was given or is not needed.
async fn ask(yes: bool, question: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    prompt(&format!("{question} [y/N] "));
    let answer = tokio::task::spawn_blocking(|| stdin().lines().next()).await?;
    match answer.transpose()?.as_deref().map(str::trim) {
        Some("y" | "Y" | "yes") => Ok(()),
        _ => bail!("nothing was dropped"),
    }
}

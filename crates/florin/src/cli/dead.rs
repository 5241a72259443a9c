//! `florin dead`: looks after the dead-letter queue.

mod show;
mod table;

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write, stderr, stdin};

use anyhow::{Context, bail};
use clap::Subcommand;
use clap::error::ErrorKind;
use florin_broker::dead::{DeadLetter, DeadLetters, Purpose, Requeue};
use florin_service::config::Config;
use florin_wire::names::DEAD_LETTERS;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use florin_service::cli::{BrokerArgs, CommonArgs, flag};
use table::Row;

/// So many of the messages that an ambiguous name may mean are told.
const CANDIDATES_SHOWN: usize = 5;

/// The flags of `florin dead`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  florin dead list
  florin dead show 3f2a91c04b7d
  florin dead requeue 3f2a91c04b7d order-17
  florin dead requeue --all
  florin dead drop 3f2a91c04b7d

A message is named by its id from the list, by the beginning of that, or by its message_id.

What these commands read is held until they end, so that two at a time see different messages. Then RabbitMQ
puts it back to the front of the queue; the list goes by the time of death and not by the order of the queue.
When a command is killed, or loses its connection, nothing is lost: at worst a message was requeued and is
still here, and requeuing it again is harmless.")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Lists messages and why they are here, oldest first. Changes nothing.
    List {
        /// At most so many messages.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        #[command(flatten)]
        common: DeadArgs,
    },
    /// Shows all of one message.
    Show {
        /// The message.
        #[arg(value_name = "ID")]
        name: String,
        #[command(flatten)]
        common: DeadArgs,
    },
    /// Sends messages to the work queue once more, as the requests that they were.
    #[command(after_help = "\
A requeued request has the identity that it had. If it was applied, it is answered as before and not applied
again, also without a message_id; only requests that cannot be told apart may then count as one. It has no
expiration any more. Messages that the service cannot read are left here.")]
    Requeue {
        #[command(flatten)]
        selection: Selection,
        /// The work queue.
        #[arg(long, value_name = "NAME", help_heading = "Settings")]
        queue: Option<String>,
        #[command(flatten)]
        common: DeadArgs,
    },
    /// Removes messages for good.
    Drop {
        #[command(flatten)]
        selection: Selection,
        /// Does not ask.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        common: DeadArgs,
    },
}

/// What every action takes.
#[derive(Debug, clap::Args)]
struct DeadArgs {
    /// Prints the result as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    broker: BrokerArgs,
}

/// Which messages.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Selection {
    /// These messages.
    #[arg(value_name = "ID")]
    names: Vec<String>,
    /// All that are in the queue now.
    #[arg(long)]
    all: bool,
}

/// What was sent to the work queue.
#[derive(Debug, Default, Serialize)]
struct Requeued {
    requeued: u32,
    left: Vec<Left>,
}

/// A message that stays where it is.
#[derive(Debug, Serialize)]
struct Left {
    id: String,
    reason: String,
}

/// Does what is asked for, on a thread with a deep stack: headers are read and shown recursively.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    tokio::spawn(act(args.action)).await?
}

async fn act(action: Action) -> anyhow::Result<()> {
    match action {
        Action::List { limit, common } => {
            let (config, json) = common.start([])?;
            list(&config, limit as usize, json).await
        }
        Action::Show { name, common } => {
            let (config, json) = common.start([])?;
            show(&config, name, json).await
        }
        Action::Requeue { selection, queue, common } => {
            let (config, json) = common.start(flag("--queue", "broker.queue", queue))?;
            requeue(&config, selection, json).await
        }
        Action::Drop { selection, yes, common } => {
            let (config, json) = common.start([])?;
            discard(&config, selection, yes, json).await
        }
    }
}

impl DeadArgs {
    fn start(
        self,
        more: impl IntoIterator<Item = florin_service::config::Flag>,
    ) -> anyhow::Result<(Config, bool)> {
        Ok((self.common.start(self.broker.flags().into_iter().chain(more))?, self.json))
    }
}

async fn list(config: &Config, limit: usize, json: bool) -> anyhow::Result<()> {
    let mut queue = open(config, Purpose::Look).await?;
    let bar = progress("reading", &queue);
    let (mut rows, mut total) = (Vec::new(), 0_u32);
    while let Some(letter) = queue.next().await.context("cannot read the dead letters")? {
        rows.push(Row::new(&letter));
        total += 1;
        // Only the oldest are kept, so that the memory does not grow with the queue.
        if rows.len() > 2 * limit {
            table::keep_oldest(&mut rows, limit);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    queue.close().await.context("cannot close the connection")?;
    table::keep_oldest(&mut rows, limit);
    let text = if json { table::json(&rows, total)? } else { table::for_people(&rows, total) };
    florin_service::cli::print(&text)
}

async fn show(config: &Config, name: String, json: bool) -> anyhow::Result<()> {
    let mut queue = open(config, Purpose::Look).await?;
    let found = find(&mut queue, &[name]).await;
    queue.close().await.context("cannot close the connection")?;
    let found = found?;
    let Some(letter) = found.first() else { return Ok(()) };
    florin_service::cli::print(&if json { show::json(letter)? } else { show::for_people(letter) })?;
    if found.len() > 1 {
        eprintln!("{} messages are the same to the byte", found.len());
    }
    Ok(())
}

async fn requeue(config: &Config, selection: Selection, json: bool) -> anyhow::Result<()> {
    let work_queue = config.broker.queue.as_str();
    let mut queue = open(config, selection.purpose()).await?;
    let sender = Requeue::open(&config.broker.url(), work_queue)
        .await
        .with_context(|| format!("cannot send to the queue {work_queue}"))?;
    let mut done = Requeued::default();
    let outcome = requeue_selected(&mut queue, &sender, &selection, &mut done).await;
    let closed = queue.close().await;
    let requeued = done.requeued;
    outcome.with_context(|| format!("{requeued} messages were requeued, the others are still here"))?;
    closed.with_context(|| format!("{requeued} messages were requeued, and some may still be here"))?;
    florin_service::cli::print(&match json {
        true => serde_json::to_string_pretty(&done)? + "\n",
        false => format!("messages requeued to {work_queue}: {requeued}\n"),
    })?;
    match done.left.as_slice() {
        [] => Ok(()),
        [first, ..] => bail!(
            "{} messages are left, for the service cannot read them; the first is {}: {}",
            done.left.len(),
            first.id,
            first.reason
        ),
    }
}

async fn requeue_selected(
    queue: &mut DeadLetters,
    sender: &Requeue,
    selection: &Selection,
    done: &mut Requeued,
) -> anyhow::Result<()> {
    if !selection.all {
        for letter in find(queue, &selection.names).await? {
            requeue_one(queue, sender, &letter, done).await?;
        }
        return Ok(());
    }
    let bar = progress("requeuing", queue);
    while let Some(letter) = queue.next().await? {
        requeue_one(queue, sender, &letter, done).await?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

async fn requeue_one(
    queue: &mut DeadLetters,
    sender: &Requeue,
    letter: &DeadLetter,
    done: &mut Requeued,
) -> anyhow::Result<()> {
    if !letter.unreadable.is_empty() {
        done.left.push(Left { id: letter.id.clone(), reason: letter.reason.clone() });
        return Ok(());
    }
    sender.send(letter).await.with_context(|| format!("cannot requeue {}", letter.id))?;
    queue.remove(letter);
    done.requeued += 1;
    Ok(())
}

async fn discard(config: &Config, selection: Selection, yes: bool, json: bool) -> anyhow::Result<()> {
    if !yes && !stdin().is_terminal() {
        let message = "there is nobody to ask whether they may be dropped: say --yes\n";
        clap::Error::raw(ErrorKind::MissingRequiredArgument, message).exit();
    }
    let mut queue = open(config, selection.purpose()).await?;
    let outcome = discard_selected(&mut queue, &selection, yes).await;
    let closed = queue.close().await;
    let dropped = outcome?;
    closed.context("some messages may still be here")?;
    florin_service::cli::print(&match json {
        true => serde_json::to_string_pretty(&serde_json::json!({ "dropped": dropped }))? + "\n",
        false => format!("messages dropped: {dropped}\n"),
    })
}

async fn discard_selected(queue: &mut DeadLetters, selection: &Selection, yes: bool) -> anyhow::Result<u32> {
    let mut dropped = 0;
    if selection.all {
        let count = queue.left();
        ask(yes || count == 0, &format!("Drop all {count} messages for good?")).await?;
        let bar = progress("dropping", queue);
        while let Some(letter) = queue.next().await? {
            queue.remove(&letter);
            dropped += 1;
            bar.inc(1);
        }
        bar.finish_and_clear();
        return Ok(dropped);
    }
    let found = find(queue, &selection.names).await?;
    let rows: Vec<Row> = found.iter().map(Row::new).collect();
    ask(yes, &format!("{}\nDrop them for good?", table::table(&rows))).await?;
    for letter in found {
        queue.remove(&letter);
        dropped += 1;
    }
    Ok(dropped)
}

/// Asks a person, unless the answer is known.
async fn ask(yes: bool, question: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    write!(stderr(), "{question} [y/N] ")?;
    let answer = tokio::task::spawn_blocking(|| stdin().lines().next()).await?;
    match answer.transpose()?.as_deref().map(str::trim) {
        Some("y" | "Y" | "yes") => Ok(()),
        _ => bail!("nothing was dropped"),
    }
}

async fn open(config: &Config, purpose: Purpose) -> anyhow::Result<DeadLetters> {
    let queue = DeadLetters::open(&config.broker.url(), purpose).await;
    queue.with_context(|| format!("cannot open the queue {DEAD_LETTERS}"))
}

/// Reads the whole queue for these messages. All that it returns is what one of the names means.
async fn find(queue: &mut DeadLetters, names: &[String]) -> anyhow::Result<Vec<DeadLetter>> {
    let bar = progress("searching", queue);
    let mut meanings: Vec<BTreeSet<String>> = names.iter().map(|_| BTreeSet::new()).collect();
    let mut found = Vec::new();
    while let Some(letter) = queue.next().await.context("cannot read the dead letters")? {
        bar.inc(1);
        let mut is_wanted = false;
        for (name, meanings) in names.iter().zip(&mut meanings) {
            if letter.is(name) {
                meanings.insert(letter.id.clone());
                // Of an ambiguous name no messages are kept, for there may be many.
                is_wanted |= meanings.len() == 1;
            }
        }
        if is_wanted {
            found.push(letter);
        }
    }
    bar.finish_and_clear();
    for (name, meanings) in names.iter().zip(&meanings) {
        if meanings.is_empty() {
            bail!(
                "there is no dead letter {name:?}: `florin dead list` shows those that nobody else works on"
            );
        }
        if meanings.len() > 1 {
            let some: Vec<&str> = meanings.iter().map(String::as_str).take(CANDIDATES_SHOWN).collect();
            bail!("{name:?} may mean any of {} messages: {}", meanings.len(), some.join(", "));
        }
    }
    Ok(found)
}

/// A bar of the messages that are still to be read. Nothing is shown where there is no terminal.
fn progress(what: &'static str, queue: &DeadLetters) -> ProgressBar {
    let bar = ProgressBar::new(queue.left().into());
    let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos} of {len}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(what);
    bar
}

impl Selection {
    const fn purpose(&self) -> Purpose {
        if self.all { Purpose::Clear } else { Purpose::Look }
    }
}

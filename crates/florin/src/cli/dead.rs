//! `florin dead`: lists, shows, requeues and drops dead letters.

mod discard;
mod show;
mod table;

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use clap::Subcommand;
use florin_broker::dead_letter::{self, DeadLetter, DeadLetters, Purpose, Requeue};
use florin_service::cli::output::{OutputArgs, note};
use florin_service::cli::values::number;
use florin_service::cli::{BrokerArgs, CommonArgs, flag, no_broker};
use florin_service::config::Config;
use florin_wire::names::DEAD_LETTERS;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use discard::discard;
use table::{List, Row};

/// How many of the messages that an ambiguous name matches are listed.
const CANDIDATES_SHOWN: usize = 5;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  florin dead list
  florin dead show 3f2a91c04b7d
  florin dead requeue 3f2a91c04b7d order-17
  florin dead requeue --all
  florin dead drop 3f2a91c04b7d

A message is named by its id from the list, by the beginning of that id, or by its message_id.

A property that cannot be decoded, such as a text that is not UTF-8, is left out; the header
florin-undecodable names it.

These commands hold the messages that they read until they end, so that two of them at a time see
different messages. Then RabbitMQ puts the messages back to the front of the queue. The list is
sorted by time of death, not by the order of the queue. Nothing is lost if a command is killed or
loses its connection: at worst a message was requeued and is still here, and requeuing it again is
harmless.")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Lists dead letters with their reasons, oldest first. Changes nothing.
    #[command(after_help = "\
JSON: {\"messages\": [{\"id\", \"died_at\", \"operation\", \"message_id\", \"error\", \"reason\", \"bytes\",
\"body_start\"}], \"total\"}
body_start is the first 48 characters of the body; `florin dead show --json` has all of it.")]
    List {
        /// Maximum number of messages to list.
        #[arg(long, value_name = "MESSAGES", default_value_t = 50, value_parser = number(1..=100_000_u32))]
        limit: u32,
        #[command(flatten)]
        common: DeadArgs,
    },
    /// Shows one message in full.
    #[command(after_help = "\
JSON: {\"id\", \"died_at\", \"error\", \"reason\", \"operation\", \"exchange\",
\"routing_key\", \"deaths\", \"properties\", \"headers\", \"body\", \"body_hex\"}
body is null, and body_hex has its bytes, when it is not UTF-8.")]
    Show {
        /// The message.
        #[arg(value_name = "ID")]
        name: String,
        #[command(flatten)]
        common: DeadArgs,
    },
    /// Sends messages to the work queue again, under the same identity.
    #[command(after_help = "\
A requeued request keeps its identity. If it was applied before, it is answered as before and not
applied again, even without a message_id; only requests that cannot be told apart may then count as
one. It no longer has an expiration, and of its headers only those that are not nested.

JSON: {\"requeued\"}")]
    Requeue {
        #[command(flatten)]
        selection: Selection,
        /// Sends them without their reply addresses: they are executed, and nobody is answered.
        #[arg(long)]
        no_reply: bool,
        /// Name of the work queue.
        #[arg(long, value_name = "NAME", help_heading = "Settings")]
        queue: Option<String>,
        #[command(flatten)]
        common: DeadArgs,
    },
    /// Removes messages for good.
    #[command(after_help = "JSON: {\"dropped\"}")]
    Drop {
        #[command(flatten)]
        selection: Selection,
        /// Does not ask for confirmation.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        common: DeadArgs,
    },
}

/// What every action takes.
#[derive(Debug, clap::Args)]
struct DeadArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    broker: BrokerArgs,
}

/// Which messages.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Selection {
    /// The messages.
    #[arg(value_name = "ID")]
    names: Vec<String>,
    /// All messages that are in the queue now.
    #[arg(long)]
    all: bool,
}

/// What was sent to the work queue.
#[derive(Debug, Default, Serialize)]
struct Requeued {
    requeued: u32,
}

#[derive(Debug, Serialize)]
struct Dropped {
    dropped: usize,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    match args.action {
        Action::List { limit, common } => {
            let (config, output) = common.start([])?;
            list(&config, limit as usize, output).await
        }
        Action::Show { name, common } => {
            let (config, output) = common.start([])?;
            show(&config, name, output).await
        }
        Action::Requeue { selection, no_reply, queue, common } => {
            let (config, output) = common.start(flag("--queue", "broker.queue", queue))?;
            requeue(&config, selection, !no_reply, output).await
        }
        Action::Drop { selection, yes, common } => {
            let (config, output) = common.start([])?;
            discard(&config, selection, yes, output).await
        }
    }
}

impl DeadArgs {
    fn start(
        self,
        more: impl IntoIterator<Item = florin_service::config::Flag>,
    ) -> anyhow::Result<(Config, OutputArgs)> {
        Ok((self.common.start(self.broker.flags().into_iter().chain(more))?, self.output))
    }
}

async fn list(config: &Config, limit: usize, output: OutputArgs) -> anyhow::Result<()> {
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
    output.print(&List { messages: rows, total }, table::for_people)
}

async fn show(config: &Config, name: String, output: OutputArgs) -> anyhow::Result<()> {
    let mut queue = open(config, Purpose::Look).await?;
    let found = find(&mut queue, &[name]).await;
    queue.close().await.context("cannot close the connection")?;
    let found = found?;
    let Some(letter) = found.first() else { return Ok(()) };
    output.print(&show::json(letter), |_| show::for_people(letter))?;
    if found.len() > 1 {
        note(&format!("{} messages are identical", found.len()));
    }
    Ok(())
}

async fn requeue(
    config: &Config,
    selection: Selection,
    with_reply: bool,
    output: OutputArgs,
) -> anyhow::Result<()> {
    let work_queue = config.broker.queue.as_str();
    let mut queue = open(config, selection.purpose()).await?;
    let requeue = Requeue::open(&config.broker.url(), work_queue)
        .await
        .with_context(|| format!("cannot send to the queue {work_queue}"))?;
    let mut done = Requeued::default();
    let send = async |letter: &DeadLetter| requeue.send(letter, with_reply).await;
    let outcome = requeue_selected(&mut queue, send, &selection, &mut done).await;
    let closed = queue.close().await;
    let requeued = done.requeued;
    outcome.with_context(|| format!("{requeued} messages were requeued, the others are still here"))?;
    closed.with_context(|| format!("{requeued} messages were requeued, and some may still be here"))?;
    output.print(&done, |_| format!("messages requeued to {work_queue}: {requeued}\n"))
}

async fn requeue_selected(
    queue: &mut DeadLetters,
    send: impl AsyncFn(&DeadLetter) -> Result<(), dead_letter::Error>,
    selection: &Selection,
    done: &mut Requeued,
) -> anyhow::Result<()> {
    if !selection.all {
        for letter in find(queue, &selection.names).await? {
            requeue_one(queue, &send, &letter, done).await?;
        }
        return Ok(());
    }
    let bar = progress("requeuing", queue);
    while let Some(letter) = queue.next().await? {
        requeue_one(queue, &send, &letter, done).await?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

async fn requeue_one(
    queue: &mut DeadLetters,
    send: &impl AsyncFn(&DeadLetter) -> Result<(), dead_letter::Error>,
    letter: &DeadLetter,
    done: &mut Requeued,
) -> anyhow::Result<()> {
    send(letter).await.with_context(|| format!("cannot requeue {}", letter.id))?;
    queue.remove(letter);
    done.requeued += 1;
    Ok(())
}

async fn open(config: &Config, purpose: Purpose) -> anyhow::Result<DeadLetters> {
    let queue = DeadLetters::open(&config.broker.url(), purpose).await.map_err(|error| match error {
        dead_letter::Error::Connection(error @ florin_broker::Error::Connect { .. }) => {
            no_broker(config, &error)
        }
        other => other.into(),
    });
    queue.with_context(|| format!("cannot open the queue {DEAD_LETTERS}"))
}

/// Reads the whole queue for the messages with these names.
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
                // An ambiguous name may mean many messages: none of the further ones is kept.
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
                "there is no dead letter {name:?}: `florin dead list` shows those that no other command holds"
            );
        }
        if meanings.len() > 1 {
            let some: Vec<&str> = meanings.iter().map(String::as_str).take(CANDIDATES_SHOWN).collect();
            bail!("{name:?} is ambiguous: it matches {} messages: {}", meanings.len(), some.join(", "));
        }
    }
    Ok(found)
}

/// A bar of the messages that are still to be read; only on a terminal.
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

//! `florin key`: creates, lists and revokes API keys of the HTTP side.

use std::ops::RangeInclusive;
use std::time::SystemTime;

use anyhow::{Context, bail};
use clap::Subcommand;
use comfy_table::{Table, presets};
use florin_keys::{ApiKey, Role};
use florin_ledger::WalletId;
use florin_store::{self as store, NewKey, Store};
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

use florin_service::cli::StoreArgs;

/// The flags of `florin key`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  florin key create --role client --name shop-1 --wallets 1-100
  florin key create --role operator --name ada --expires-in 12h
  florin key list
  florin key revoke shop-1

A reader looks things up, a client moves money as well, an operator also makes wallets and tickers and sees to what
waits and to dead letters. A key is shown once: only a salted hash of it is kept.")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Creates a key and prints it, once.
    Create {
        /// What people call it: 1 to 64 letters, digits, `.`, `_` and `-`. Transactions keep it.
        #[arg(long)]
        name: String,
        /// What it is good for: reader, client or operator.
        #[arg(long)]
        role: Role,
        /// The only wallets that it is good for: all that a request touches have to be among them.
        #[arg(long, value_name = "FROM-TO", value_parser = super::wallet::wallet_ids)]
        wallets: Option<RangeInclusive<WalletId>>,
        /// When it ends: `90m`, `12h`, `30d`.
        #[arg(long, value_name = "TIME", value_parser = duration)]
        expires_in: Option<SignedDuration>,
        #[command(flatten)]
        database: StoreArgs,
    },
    /// Lists all keys, the oldest first, without their secrets.
    List {
        #[command(flatten)]
        database: StoreArgs,
    },
    /// Makes a key useless. An instance that runs takes note within a second.
    Revoke {
        /// The name.
        name: String,
        #[command(flatten)]
        database: StoreArgs,
    },
}

/// Creates, lists or revokes.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    match args.action {
        Action::Create { name, role, wallets, expires_in, database } => {
            let expires_at = expires_in.map(|time| Timestamp::now().checked_add(time)).transpose();
            let expires_at = expires_at.context("that is too far away")?.map(SystemTime::from);
            create(&database.store()?, NewKey { name, role, wallets, expires_at }).await
        }
        Action::List { database } => list(&database.store()?).await,
        Action::Revoke { name, database } => revoke(&database.store()?, &name).await,
    }
}

async fn create(store: &Store, key: NewKey) -> anyhow::Result<()> {
    let token = match store.create_key(&key).await {
        Err(store::Error::InvalidData(_)) => {
            bail!("a key's name is 1 to 64 letters, digits, '.', '_' and '-', not {:?}", key.name)
        }
        created => created.with_context(|| format!("cannot create key {}", key.name))?,
    };
    eprintln!("This is the only time that the key is shown:");
    florin_service::cli::print(&format!("{}\n", token.reveal()))
}

async fn list(store: &Store) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["NAME", "ROLE", "WALLETS", "CREATED", "EXPIRES", "STATE"]);
    let now = SystemTime::now();
    for key in store.list_keys().await.context("cannot list keys")? {
        let state = match &key {
            ApiKey { revoked_at: Some(_), .. } => "revoked",
            key if key.is_good(now) => "good",
            _ => "expired",
        };
        let wallets =
            key.wallets.map_or("all".to_owned(), |range| format!("{}-{}", range.start(), range.end()));
        let expires = key.expires_at.map_or("never".to_owned(), shown);
        table.add_row([
            key.name,
            key.role.to_string(),
            wallets,
            shown(key.created_at),
            expires,
            state.to_owned(),
        ]);
    }
    florin_service::cli::print(&format!("{table}\n"))
}

async fn revoke(store: &Store, name: &str) -> anyhow::Result<()> {
    if !store.revoke_key(name).await.with_context(|| format!("cannot revoke key {name}"))? {
        bail!("there is no key named {name}: `florin key list` shows those that there are");
    }
    florin_service::cli::print(&format!("revoked {name}\n"))
}

/// To the second, in UTC.
fn shown(time: SystemTime) -> String {
    Timestamp::try_from(time)
        .map_or_else(|_| "far away".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

fn duration(text: &str) -> anyhow::Result<SignedDuration> {
    let span: Span = text.parse().context("a time is a number and m, h or d, such as 12h")?;
    let time = span.to_duration(SpanRelativeTo::days_are_24_hours())?;
    if !time.is_positive() {
        bail!("a key has to last for some time");
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, secs) in [("90m", 5400), ("12h", 43_200), ("30d", 2_592_000), ("1d 12h", 129_600)] {
            assert_eq!(duration(text).unwrap(), SignedDuration::from_secs(secs), "{text}");
        }
        for text in ["", "12", "-1h", "0s", "soon"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}

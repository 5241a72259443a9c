//! `florin key`: creates, lists and revokes API keys of the HTTP API.

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail, ensure};
use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use florin_keys::{ApiKey, Role};
use florin_ledger::WalletId;
use florin_service::cli::StoreArgs;
use florin_service::cli::output::{OutputArgs, note, table};
use florin_service::cli::values::duration;
use florin_store::{self as store, NewKey};
use jiff::Timestamp;
use serde::Serialize;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  florin key create --role client --name shop-1 --wallets 1-100
  florin key create --role operator --name ada --expires-in 12h
  florin key list
  florin key revoke shop-1

Roles: a reader may only read. A client may also move money. An operator may also create wallets
and tickers, settle and cancel pending transactions in the console, and requeue and drop dead
letters. A key is shown once, when it is created: the database stores a salted hash of it.")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Creates a key and prints it, once.
    #[command(after_help = "JSON: {\"name\", \"role\", \"key\"}")]
    Create {
        /// A name for the key: 1 to 64 letters, digits, `.`, `_` and `-`. Transactions record it.
        #[arg(long)]
        name: String,
        /// What the key allows.
        #[arg(long, value_parser = roles())]
        role: Role,
        /// Restricts the key to these wallets: all that a request touches must be among them.
        #[arg(long, value_name = "FROM-TO", value_parser = super::wallet::wallet_ids)]
        wallets: Option<RangeInclusive<WalletId>>,
        /// How long the key is valid: `90m`, `12h`, `30d`, `1y` [default: until it is revoked].
        #[arg(long, value_name = "TIME", value_parser = duration)]
        expires_in: Option<Duration>,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        database: StoreArgs,
    },
    /// Lists all keys without their secrets, the oldest first.
    #[command(after_help = "\
JSON: {\"keys\": [{\"name\", \"role\", \"wallets\": {\"from\", \"to\"}, \"created_at\", \"expires_at\",
\"revoked_at\", \"state\"}]}
state is active, expired or revoked. wallets is null for a key that covers all of them.")]
    List {
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        database: StoreArgs,
    },
    /// Revokes a key for good. Running instances notice within a second.
    #[command(after_help = "JSON: {\"name\", \"state\"}")]
    Revoke {
        /// The name of the key.
        name: String,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        database: StoreArgs,
    },
}

#[derive(Serialize)]
struct Created {
    name: String,
    role: &'static str,
    key: String,
}

#[derive(Serialize)]
struct Keys {
    keys: Vec<Key>,
}

#[derive(Serialize)]
struct Key {
    name: String,
    role: &'static str,
    wallets: Option<Range>,
    created_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    state: &'static str,
}

#[derive(Serialize)]
struct Range {
    from: WalletId,
    to: WalletId,
}

#[derive(Serialize)]
struct Revoked {
    name: String,
    state: &'static str,
}

impl Key {
    fn new(key: ApiKey, now: SystemTime) -> Self {
        let state = match &key {
            ApiKey { revoked_at: Some(_), .. } => "revoked",
            key if key.is_active(now) => "active",
            _ => "expired",
        };
        // The database accepts years that the calendar here does not have.
        let time = |time| Timestamp::try_from(time).ok();
        Self {
            name: key.name,
            role: key.role.as_str(),
            wallets: key.wallets.map(|range| Range { from: *range.start(), to: *range.end() }),
            created_at: time(key.created_at),
            expires_at: key.expires_at.and_then(time),
            revoked_at: key.revoked_at.and_then(time),
            state,
        }
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    match args.action {
        Action::Create { name, role, wallets, expires_in, output, database } => {
            ensure!(expires_in != Some(Duration::ZERO), "--expires-in must be above 0");
            let expires_at = expires_in.map(|time| SystemTime::now() + time);
            let created = create(database, NewKey { name, role, wallets, expires_at }).await?;
            note("This is the only time that the key is shown:");
            output.print(&created, |Created { key, .. }| format!("{key}\n"))
        }
        Action::List { output, database } => output.print(&list(database).await?, text),
        Action::Revoke { name, output, database } => {
            revoke(database, &name).await?;
            output.print(&Revoked { name, state: "revoked" }, |Revoked { name, .. }| {
                format!("revoked {name}\n")
            })
        }
    }
}

async fn create(database: StoreArgs, key: NewKey) -> anyhow::Result<Created> {
    let failed = "cannot create the key";
    let token = match database.open(failed).await?.create_key(&key).await {
        Err(store::Error::InvalidData(_)) => {
            bail!("a key's name is 1 to 64 letters, digits, '.', '_' and '-', not {:?}", key.name)
        }
        created => created.context(failed)?,
    };
    Ok(Created { name: key.name, role: key.role.as_str(), key: token.reveal() })
}

async fn list(database: StoreArgs) -> anyhow::Result<Keys> {
    let failed = "cannot list keys";
    let keys = database.open(failed).await?.list_keys().await.context(failed)?;
    let now = SystemTime::now();
    Ok(Keys { keys: keys.into_iter().map(|key| Key::new(key, now)).collect() })
}

fn text(list: &Keys) -> String {
    let mut table = table(&["NAME", "ROLE", "WALLETS", "CREATED", "EXPIRES", "STATE"], &[]);
    for key in &list.keys {
        let wallets =
            key.wallets.as_ref().map_or("all".to_owned(), |Range { from, to }| format!("{from}-{to}"));
        let created = key.created_at.map_or("-".to_owned(), to_the_second);
        let expires = key.expires_at.map_or("never".to_owned(), to_the_second);
        table.add_row([key.name.as_str(), key.role, &wallets, &created, &expires, key.state]);
    }
    format!("{table}\n")
}

async fn revoke(database: StoreArgs, name: &str) -> anyhow::Result<()> {
    let failed = "cannot revoke the key";
    if !database.open(failed).await?.revoke_key(name).await.context(failed)? {
        bail!("no key is named {name}: `florin key list` shows all of them");
    }
    Ok(())
}

fn to_the_second(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn roles() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::as_str)).try_map(|name| name.parse::<Role>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_active_until_it_expires_or_is_revoked() {
        let now = SystemTime::now();
        let second = Duration::from_secs(1);
        let key = ApiKey {
            id: String::new(),
            name: "shop".into(),
            role: Role::Client,
            wallets: Some(1..=9),
            created_at: now,
            expires_at: Some(now + second),
            revoked_at: None,
        };
        let state = |key: ApiKey, at| Key::new(key, at).state;
        assert_eq!(state(key.clone(), now), "active");
        assert_eq!(state(key.clone(), now + second), "expired");
        assert_eq!(state(ApiKey { revoked_at: Some(now), ..key.clone() }, now), "revoked");
        let text = text(&Keys { keys: vec![Key::new(key, now)] });
        assert!(text.contains("1-9") && text.trim_end().ends_with("active"), "{text:?}");
    }
}

//! `florin dev`: everything on one machine, to try Florin: a private PostgreSQL and RabbitMQ, demo wallets
//! and tickers, and the service in this process.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueHint;
use devstack::{Options, Stack};
use florin_broker::Link;
use florin_http as http;
use florin_keys::Role;
use florin_ledger::Scale;
use florin_service::cli::CommonArgs;
use florin_service::cli::output::print;
use florin_service::cli::signals;
use florin_service::cli::values::number;
use florin_service::config::{Broker, Config, Database, Http, SecretUrl};
use florin_service::serve;
use florin_store::{NewKey, Store};
use serde::Serialize;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const TICKERS: [(&str, u8); 4] = [("USD", 2), ("RUB", 2), ("EUR", 2), ("USDT", 6)];

/// How often to look whether the service is connected.
const READY_CHECK: Duration = Duration::from_millis(20);

/// Permissions of the ready file.
const OWNER_ONLY: u32 = 0o600;

/// The flags of `florin dev`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  florin dev
  florin dev --data-dir ./florin-data --http-port 9000
  florin dev --ready-file /tmp/florin.json     for scripts: appears when everything is ready

The servers stop with this process, however it ends. Without --data-dir nothing is kept.")]
pub struct Args {
    /// Keeps the data of the servers in this folder.
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    data_dir: Option<PathBuf>,
    /// Port of PostgreSQL [default: a free one].
    #[arg(long, value_name = "PORT", value_parser = number(1..=u16::MAX))]
    postgres_port: Option<u16>,
    /// Port of RabbitMQ [default: a free one].
    #[arg(long, value_name = "PORT", value_parser = number(1..=u16::MAX))]
    amqp_port: Option<u16>,
    /// Port of HTTP [default: a free one].
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true,
          value_parser = number(0..=u16::MAX))]
    http_port: u16,
    /// Writes `{"amqp_url","database_url","http_url","operator_key"}` to this file when everything is ready.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    ready_file: Option<PathBuf>,
    #[command(flatten)]
    common: CommonArgs,
}

/// Where everything is, and an API key.
#[derive(Debug, Serialize)]
struct Access {
    amqp_url: String,
    database_url: String,
    http_url: String,
    operator_key: String,
}

/// Starts everything and serves until a signal.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let mut config = args.common.start([])?;
    let (host, port) = (Ipv4Addr::LOCALHOST.into(), args.http_port);
    // HTTPS would need a certificate of this address.
    // Whoever tries things out may send as much as there is.
    let (key_requests_per_second, max_in_flight_per_key) = (NonZeroU32::MAX, 100_000);
    config.http = Http {
        host,
        port,
        key_requests_per_second,
        max_in_flight_per_key,
        cert_file: None,
        key_file: None,
        client_ca_file: None,
        ..config.http
    };
    let shutdown = signals::shutdown_token()?;
    // First, for it is the cheapest to fail.
    let listener = http::listen(&config.http).await?;
    let http_url = format!("http://{}", listener.local_addr()?);
    let ready_file = ReadyFile::absent(args.ready_file)?;

    print("Starting a private PostgreSQL and RabbitMQ...\n")?;
    let options = Options {
        data_dir: args.data_dir,
        postgres_port: args.postgres_port,
        amqp_port: args.amqp_port,
        ..Options::default()
    };
    let stack = start(options, &shutdown).await?;
    let (amqp_url, database_url) = (stack.rabbit.url(), stack.postgres.url());
    // These servers speak no TLS, whatever the settings say of others.
    let Broker { tls, ca_file, cert_file, key_file, .. } = Broker::default();
    let urls = vec![SecretUrl::new(&amqp_url)];
    config.broker = Broker { urls, tls, ca_file, cert_file, key_file, ..config.broker };
    let Database { ssl_mode, ca_file, cert_file, key_file, .. } = Database::default();
    let url = Some(SecretUrl::new(&database_url));
    config.database = Database { url, ssl_mode, ca_file, cert_file, key_file, ..config.database };
    let access = Access { amqp_url, database_url, http_url, operator_key: String::new() };

    let served = furnish_and_serve(&config, listener, access, &ready_file, shutdown).await;
    drop(ready_file);
    // Stopping takes a while and would hold up this thread.
    spawn_blocking(move || drop(stack)).await?;
    served
}

/// Starts the servers. When it is interrupted it waits until they can be stopped again.
async fn start(options: Options, shutdown: &CancellationToken) -> anyhow::Result<Stack> {
    let mut starting: JoinHandle<_> = spawn_blocking(move || Stack::start(&options));
    tokio::select! {
        started = &mut starting => Ok(started??),
        () = shutdown.cancelled() => {
            drop(starting.await);
            bail!("interrupted before the servers were ready")
        }
    }
}

async fn furnish_and_serve(
    config: &Config,
    listener: http::Listener,
    mut access: Access,
    ready_file: &ReadyFile,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    access.operator_key = furnish(config).await?;
    let link = Link::default();
    let serving = serve::serve(config, listener, link.clone(), false, shutdown.clone());
    let announced = async {
        tokio::select! {
            () = connected(&link) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
        ready_file.write(&access)?;
        print(&welcome(&access))
    };
    // The announcement ends early, the serving late; a failure of either ends both.
    tokio::try_join!(serving, announced).map(|_| ())
}

/// Creates the tickers and wallets of the demo, and an operator's key. Existing ones stay.
async fn furnish(config: &Config) -> anyhow::Result<String> {
    let store = Store::new(&config.database.url(), config.database.pool_size)?;
    store.migrate().await.context("cannot bring the schema up to date")?;
    for (name, places) in TICKERS {
        let scale = Scale::new(places).context("a ticker has at most 18 decimal places")?;
        store.add_ticker(name, scale).await?;
    }
    store.create_wallets(1..=9).await?;
    let name = format!("dev-{}", Uuid::now_v7());
    let key = NewKey { name, role: Role::Operator, wallets: None, expires_at: None };
    Ok(store.create_key(&key).await?.reveal())
}

async fn connected(link: &Link) {
    let mut checks = interval(READY_CHECK);
    while !link.is_connected() {
        checks.tick().await;
    }
}

fn welcome(Access { amqp_url, database_url, http_url, operator_key }: &Access) -> String {
    // As it was called, so that the lines can be copied.
    let program = env::args().next().unwrap_or_else(|| "florin".into());
    format!(
        "
Florin is ready, with wallets 1 to 9 and tickers USD, RUB, EUR and USDT.

  RabbitMQ    {amqp_url}
  PostgreSQL  {database_url}
  Console     {http_url}/console
  HTTP        {http_url}/docs  /openapi.json  /metrics  /healthz  /readyz
  API key     {operator_key}

Try in another terminal:

  {program} demo --amqp-url {amqp_url} --database-url {database_url}
  {program} bench --amqp-url {amqp_url} --database-url {database_url}
  {program} wallet list --database-url {database_url}
  {program} status --amqp-url {amqp_url} --database-url {database_url}
  psql {database_url} -c 'SELECT * FROM balances'
  curl {http_url}/wallets/1/balance -H 'Authorization: Bearer {operator_key}'

Ctrl-C stops everything.
"
    )
}

/// Tells scripts that all is ready. Not there before, and not there any more when the servers stop.
#[derive(Debug)]
struct ReadyFile(Option<PathBuf>);

impl ReadyFile {
    /// Removes what an earlier run may have left.
    fn absent(path: Option<PathBuf>) -> anyhow::Result<Self> {
        if let Some(path) = path.as_deref().filter(|path| path.exists()) {
            fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(Self(path))
    }

    /// The file appears with all that is in it, or not at all.
    fn write(&self, access: &Access) -> anyhow::Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        let text = serde_json::to_string(access)?;
        replace(path, &text).with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // It may not be there yet.
            let _ = fs::remove_file(path);
        }
    }
}

fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".tmp");
    // It has the operator's key. One of an earlier run may be readable by others.
    let _ = fs::remove_file(&unfinished);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_ready_file_comes_and_goes() {
        let path = std::env::temp_dir().join(format!("florin-ready-{}.json", std::process::id()));
        fs::write(&path, "of an earlier run").unwrap();
        let ready = ReadyFile::absent(Some(path.clone())).unwrap();
        assert!(!path.exists());
        let [amqp_url, database_url, http_url, operator_key] =
            ["amqp://a", "postgres://d", "http://h", "florin_k"].map(String::from);
        ready.write(&Access { amqp_url, database_url, http_url, operator_key }).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            r#"{"amqp_url":"amqp://a","database_url":"postgres://d","http_url":"http://h","operator_key":"florin_k"}"#
        );
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(ready);
        assert!(!path.exists());
    }
}

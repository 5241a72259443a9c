//! `florin serve`: the service and its HTTP side, until a signal.

use florin_broker::Link;
use florin_http as http;
use florin_service::cli::{BrokerArgs, CommonArgs, DatabaseArgs, flag, signals};
use florin_service::config::Flag;
use florin_service::serve::serve;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  florin serve
  AMQP_URL=amqp://... DATABASE_URL=postgres://... florin serve --port 9001
  florin serve --config /etc/florin.toml --no-migrate

SIGTERM or Ctrl-C finishes the requests in flight, then stops; a second one stops at once.
SIGHUP reads the certificates of HTTP again.")]
// `florin config` takes the same flags, and the name of the group would be there twice.
#[group(skip)]
pub(crate) struct Args {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Name of the work queue.
    #[arg(long, value_name = "NAME", help_heading = "Settings")]
    queue: Option<String>,
    /// Maximum number of unacknowledged requests.
    #[arg(long, value_name = "REQUESTS", help_heading = "Settings")]
    prefetch: Option<String>,
    /// IP address that HTTP listens on.
    #[arg(long, value_name = "IP", help_heading = "Settings")]
    host: Option<String>,
    /// Port that HTTP listens on; 0 picks a free one.
    #[arg(long, value_name = "PORT", help_heading = "Settings")]
    port: Option<String>,
    /// Does not bring the schema of the database up to date first.
    #[arg(long, help_heading = "Settings")]
    no_migrate: bool,
    /// Lets the work queue belong to this database's ledger from now on, whichever it belonged to.
    #[arg(long)]
    new_ledger: bool,
    /// Does without API keys: everybody who can reach the port may do everything.
    #[arg(long, help_heading = "Settings")]
    no_auth: bool,
}

impl Args {
    pub(super) fn flags(self) -> (CommonArgs, Vec<Flag>) {
        let no_migrate = self.no_migrate.then(|| "false".to_owned());
        let no_auth = self.no_auth.then(|| "false".to_owned());
        let flags = [
            self.broker.flags(),
            self.database.flags(),
            flag("--queue", "broker.queue", self.queue),
            flag("--prefetch", "broker.prefetch", self.prefetch),
            flag("--host", "http.host", self.host),
            flag("--port", "http.port", self.port),
            flag("--no-migrate", "database.migrate_on_start", no_migrate),
            flag("--no-auth", "http.auth", no_auth),
        ];
        (self.common, flags.into_iter().flatten().collect())
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let new_ledger = args.new_ledger;
    let (common, flags) = args.flags();
    let config = common.start(flags)?;
    let shutdown = signals::shutdown_token()?;
    signals::outlive_hangups(config.http.cert_file.is_some())?;
    let listener = http::listen(&config.http).await?;
    serve(&config, listener, Link::default(), new_ledger, shutdown).await
}

//! `florin demo`.

use super::config::{BrokerArgs, CommonArgs};

/// The flags of `florin demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    broker: BrokerArgs,
}

/// Not there yet.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let config = args.common.start(args.broker.flags())?;
    anyhow::bail!("florin demo is not there yet ({:?})", config.broker.url)
}
